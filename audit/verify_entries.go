package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/tlog"
)

// tileScan is the entries under one tile of level 0, as read.
type tileScan struct {
	first  int64 // Seq of the first
	n      int   // how many are settled: read, or known to be missing
	have   [tileWidth]bool
	leaf   [tileWidth]tlog.Hash
	offset [tileWidth]int64
	file   string
	stored []tlog.Hash // what the tile says; shorter if it is partial or missing
}

// segment reads one segment line by line, and finds its way back after each
// line that is not the one that belongs there: one missing, added, moved or
// damaged entry is one problem and not sixty thousand. It gives true at the end
// of the log.
func (v *verifier) segment(ctx context.Context, base int64) (ended bool, err error) {
	file := segmentName(uint64(base))
	f, err := v.openSegment(base)
	if err != nil {
		return false, err
	}
	limit := base + segmentEntries
	if f == nil && base >= v.last.Size {
		return true, nil
	}
	v.closeTile()
	v.beginTile(base, file)
	if f == nil {
		end := min(limit, v.last.Size)
		if limit <= v.gone || v.goneMeanwhile(base, limit) {
			v.skipTo(limit, file) // their hashes stand for them; settleRemoved says if they may be gone
			return false, nil
		}
		v.problem(base, file, 0, "entry %d and all up to entry %d are missing with their file", base, end-1)
		v.skipTo(end, file)
		return end < limit, nil
	}
	defer f.Close()

	s := segmentScan{v: v, file: file, limit: limit, next: base}
	r := newLineReader(f)
	for n := 0; ; n++ {
		if n%checkEvery == 0 && ctx.Err() != nil {
			return false, fmt.Errorf("verify the record: %w", ctx.Err())
		}
		at := r.offset
		line, err := r.next()
		if errors.Is(err, io.EOF) {
			return s.end(at, len(line)), nil
		}
		if err != nil && !errors.Is(err, errLine) {
			return false, fmt.Errorf("verify the record: %s: %w", file, err)
		}
		s.line(line, at, err == nil)
	}
}

// segmentScan is the reading of one segment.
type segmentScan struct {
	v       *verifier
	file    string
	limit   int64 // Seq that belongs to the next segment
	next    int64 // Seq that should come now
	damaged bool  // a damaged line stands in the place of next, already named
}

// line takes one whole line.
func (s *segmentScan) line(line []byte, at int64, readable bool) {
	v := s.v
	var got int64
	if readable {
		seq, err := lineSeq(line)
		// What no checkpoint covers has no hash to tell, so its form is looked at.
		readable = err == nil && seq < uint64(s.limit) && (int64(seq) < v.last.Size || json.Valid(line))
		got = int64(seq)
	}
	leaf := tlog.Hash{}
	if readable {
		leaf = tlog.RecordHash(line)
		// A number that was itself changed must not lead astray: a line further
		// on is believed if its hash is the one stored for that entry.
		if got > s.next && got < v.last.Size && !v.isStored(got, leaf) {
			readable = false
		}
	}
	switch {
	case !readable:
		if s.damaged || s.next >= s.limit {
			v.problem(s.next, s.file, at, "a line that is no entry, where entry %d should be", s.next)
			return
		}
		v.problem(s.next, s.file, at, "entry %d is damaged", s.next)
		s.damaged = true
		return
	case got < s.next:
		v.problem(got, s.file, at, "entry %d stands where entry %d should be: it was added or moved", got, s.next)
		return
	case got > s.next:
		missing := s.next
		if s.damaged {
			missing++
		}
		if missing == got-1 {
			v.problem(missing, s.file, at, "entry %d is missing: entry %d stands in its place", missing, got)
		} else if missing < got {
			v.problem(missing, s.file, at, "entry %d and all up to entry %d are missing: entry %d stands in their place", missing, got-1, got)
		}
		v.skipTo(got, s.file)
	}
	s.damaged = false
	v.found++
	v.saidRemoved(got, line)
	v.saidReplaced(got, line)
	v.settle(leaf, true, at, s.file)
	s.next = got + 1
}

// end is called at the end of the file, with the length of what follows the
// last line break. It says whether the log ends here.
func (s *segmentScan) end(at int64, rest int) bool {
	v := s.v
	if rest > 0 {
		if s.next < v.last.Size && s.next < s.limit && !s.damaged {
			v.problem(s.next, s.file, at, "entry %d is cut off", s.next)
			s.damaged = true
		} else if s.next >= v.last.Size {
			v.report.TornBytes = int64(rest)
		} else {
			v.problem(s.next, s.file, at, "%d bytes that are no entry", rest)
		}
	}
	sealedHere := min(s.limit, v.last.Size)
	if missing := s.next; missing < sealedHere {
		if s.damaged {
			missing++
		}
		if missing < sealedHere {
			v.problem(missing, s.file, at, "entry %d and all up to entry %d are missing at the end of the file, but a checkpoint covers them", missing, sealedHere-1)
		}
		v.skipTo(sealedHere, s.file)
		s.next = sealedHere
	}
	return s.next < s.limit
}

// skipTo settles entries up to seq as not readable.
func (v *verifier) skipTo(seq int64, file string) {
	for v.now.first+int64(v.now.n) < seq {
		v.settle(tlog.Hash{}, false, 0, file)
	}
}

// settle takes the next leaf, or that there is none.
func (v *verifier) settle(leaf tlog.Hash, have bool, offset int64, file string) {
	t := &v.now
	if t.n == tileWidth {
		v.closeTile()
		v.beginTile(t.first, file)
	}
	t.leaf[t.n], t.have[t.n], t.offset[t.n] = leaf, have, offset
	t.n++
}

// closeTile compares the entries under a tile with their stored hashes, says
// which are wrong, and puts the right ones into the tree.
func (v *verifier) closeTile() {
	t := &v.now
	if t.n == 0 {
		return
	}
	var wrong []int
	whole := true
	for i := range t.n {
		whole = whole && t.have[i]
		if t.have[i] && i < len(t.stored) && t.leaf[i] != t.stored[i] {
			wrong = append(wrong, i)
		}
	}
	leaves := append([]tlog.Hash(nil), t.leaf[:t.n]...)
	if len(wrong) > 0 && whole && v.vouched(leaves) {
		// The tree above says that the entries are right.
		path := tilePath(v.leafTile())
		v.problem(t.first+int64(wrong[0]), path, int64(wrong[0])*tlog.HashSize, "the stored hash of entry %d was changed, the entry itself was not", t.first+int64(wrong[0]))
		wrong = nil
	} else {
		for i := range leaves {
			if i < len(t.stored) {
				leaves[i] = t.stored[i]
			} else if !t.have[i] {
				v.unknown = true
			}
		}
	}
	for _, i := range wrong {
		seq := t.first + int64(i)
		v.problem(seq, t.file, t.offset[i], "entry %d is not what was recorded", seq)
	}
	for _, leaf := range leaves {
		v.tree.push(leaf, v.fullTile)
		if v.tree.size == v.last.Size {
			v.tree.partial(v.edgeTile)
		}
		v.meet()
	}
	v.looseTiles(0, t.first>>tileHeight, leaves)
	t.n = 0
	t.first += int64(len(leaves))
}
