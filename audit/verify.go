package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Report is what Verify found.
type Report struct {
	Witnessed   uint64    // entries under the newest checkpoint that a witness keeps
	Origin      string    // name of the log
	Entries     uint64    // entries that were read
	Removed     uint64    // entries before them that were removed on the record, of which the hashes are there
	Sealed      uint64    // entries under the last checkpoint; those after it are only checked for form
	Checkpoints int       // signed checkpoints that were checked
	Root        string    // of the last checkpoint, in base64
	Signer      string    // name and hash of the key that signs now, "sluice/gw1+3f9a2c1b"
	Keys        []string  // all that signed, one after the other, the last one Signer
	Replaced    bool      // the key given is not the newest: whoever stole it could have signed another that takes over
	SelfSigned  bool      // the key came from the log's own directory, so whoever replaced all of it goes unseen
	TornBytes   int64     // an entry that is being written right now, or was when the process died
	Problems    []Problem // empty if all is well
	LeftOut     int       // problems beyond the first 100
}

// OK says that nothing is wrong.
func (r Report) OK() bool { return len(r.Problems) == 0 }

// Problem is one thing that is wrong, and where.
type Problem struct {
	Seq    uint64 // the entry, or the first of the entries, that it is about
	File   string // below the directory of the log
	Offset int64  // byte in that file
	What   string // a sentence, which names the entry
}

func (p Problem) String() string {
	return fmt.Sprintf("%s, byte %d: %s", p.File, p.Offset, p.What)
}

// maxProblems is enough to see a pattern; a log with more has one cause.
const maxProblems = 100

// Verify reads every byte of the log in dir and checks it: each entry against
// its stored hash, each tile against the entries, each kept checkpoint against
// the key and against the tree of the entries at its size, which is stronger
// than a proof of consistency. It needs nothing but the files, and works while
// the log is open elsewhere. With an empty key, the one in log.vkey is used.
//
// An error means that it could not be checked; what is wrong with the log is in
// the Report.
//
// What witnesses keep is checked too: a checkpoint that somebody saw and the log does
// not continue means that it was rolled back, cut off or rewritten.
func Verify(ctx context.Context, dir, key string, witnesses ...Witness) (Report, error) {
	v := &verifier{dir: dir, listed: map[string]bool{}}
	if err := v.chooseKey(key); err != nil {
		return Report{}, err
	}
	if err := v.readCheckpoints(); err != nil {
		return v.report, err
	}
	v.addWitnesses(witnesses)
	// Listed before the entries are read: a tile is only ever written after its
	// entries, so each of these must find its entries.
	if err := v.listTiles(); err != nil {
		return v.report, err
	}
	if err := v.readEntries(ctx); err != nil {
		return v.report, err
	}
	for path := range v.listed {
		v.problem(v.tree.size, path, 0, "a tile for entries that are not there")
	}
	v.report.Entries = v.found
	return v.report, nil
}

// verifier is one verification under way. Its methods are spread over
// verify.go (what was signed), verify_entries.go and verify_tiles.go.
type verifier struct {
	dir    string
	keys   keyring
	report Report

	last    checkpoint            // the newest good one
	marks   []mark                // all to be met, by size
	good    int64                 // size of the last mark that was met
	partial map[string][]byte     // partial tiles of last
	listed  map[string]bool       // tiles that exist and were not yet looked at
	extra   map[[2]int64][]string // partial tiles that exist, by level and number

	spoken []bool // of each note of a key that was replaced: its entry says so too

	removed int64 // entries that the note says were removed
	gone    int64 // entries at the beginning that are not there
	said    int64 // what the entries say was removed
	moving  bool  // more was removed while this went on

	tree    tree
	unknown bool   // some leaf could not be had, so roots mean nothing
	found   uint64 // entries that were read
	now     tileScan
}

// mark is a signed statement about the first Size entries.
type mark struct {
	checkpoint
	file   string
	offset int64
}

func (v *verifier) problem(seq int64, file string, offset int64, format string, args ...any) {
	if len(v.report.Problems) == maxProblems {
		v.report.LeftOut++
		return
	}
	v.report.Problems = append(v.report.Problems, Problem{
		Seq: uint64(seq), File: filepath.ToSlash(file), Offset: offset, What: fmt.Sprintf(format, args...),
	})
}

func (v *verifier) chooseKey(key string) error {
	stored, err := os.ReadFile(filepath.Join(v.dir, vkeyName))
	if err != nil && (key == "" || !errors.Is(err, fs.ErrNotExist)) {
		return fmt.Errorf("verify the record: read its public key: %w", err)
	}
	own, whole := strings.CutSuffix(string(stored), "\n")
	v.report.SelfSigned = key == ""
	if err := v.readKeys(own, key, whole); err != nil {
		return fmt.Errorf("verify the record: %w", err)
	}
	for i := range v.keys.keys {
		v.report.Keys = append(v.report.Keys, v.keys.title(i))
	}
	v.report.Signer = v.report.Keys[v.keys.newest()]
	v.report.Replaced = key != "" && key != v.keys.public[v.keys.newest()]
	v.report.Origin = v.keys.name()
	return nil
}

// readCheckpoints reads the history before the last checkpoint: a writer that
// is at work writes them the other way round, so the history is never ahead.
func (v *verifier) readCheckpoints() error {
	history, err := os.ReadFile(filepath.Join(v.dir, historyName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("verify the record: %w", err)
	}
	latest, err := v.snapshot()
	if err != nil {
		return err
	}
	notes, offsets, torn := splitHistory(history)
	for i, msg := range notes {
		v.addMark(msg, historyName, offsets[i])
	}
	if rest := history[len(history)-torn:]; torn > 0 && !strings.HasPrefix(string(latest)+"\n", string(rest)) {
		// Half of the last checkpoint is what a crash leaves. A writer at work may
		// have made a newer one since; then the history is whole by now.
		again, err := os.ReadFile(filepath.Join(v.dir, historyName))
		if err != nil {
			return fmt.Errorf("verify the record: %w", err)
		}
		if _, _, torn := splitHistory(again); torn > 0 {
			v.problem(v.newest().Size, historyName, int64(len(history)-len(rest)), "what follows is not a signed checkpoint")
		}
	}
	if latest == nil {
		v.problem(v.newest().Size, checkpointName, 0, "the last checkpoint is missing")
	} else {
		v.addMark(latest, checkpointName, 0)
	}
	v.last = v.newest()
	v.report.Sealed = uint64(v.last.Size)
	v.report.Root = v.last.Root.String()
	if v.last.Origin == "" {
		v.report.Root = ""
	}
	return nil
}

// newest is the last checkpoint that is good.
func (v *verifier) newest() checkpoint {
	if len(v.marks) == 0 {
		return checkpoint{}
	}
	return v.marks[len(v.marks)-1].checkpoint
}

// addMark checks a signed checkpoint by itself and against the one before it.
func (v *verifier) addMark(msg []byte, file string, offset int64) {
	v.report.Checkpoints++
	before := v.newest()
	c, err := v.keys.open(msg)
	if err != nil {
		v.problem(before.Size, file, offset, "a checkpoint after %d entries: %v", before.Size, err)
		return
	}
	switch {
	case c.Origin != v.keys.name():
		v.problem(c.Size, file, offset, "the checkpoint over %d entries is of the log %q, not of %q", c.Size, c.Origin, v.keys.name())
	case c.Size < before.Size:
		v.problem(c.Size, file, offset, "the checkpoint covers %d entries, but an earlier one already covered %d: an old state was put back", c.Size, before.Size)
	case len(v.marks) > 0 && c.Size == before.Size && c.Root != before.Root:
		v.problem(c.Size, file, offset, "two checkpoints over %d entries disagree: the record was signed with two histories", c.Size)
	default:
		v.marks = append(v.marks, mark{checkpoint: c, file: file, offset: offset})
	}
}

// snapshot reads the last checkpoint and the partial tiles that belong to it,
// which a writer at work removes once it has made the next.
func (v *verifier) snapshot() ([]byte, error) {
	const tries = 20 // each lost try means that a second has passed for the writer
	var msg []byte
	for range tries {
		var err error
		msg, err = os.ReadFile(filepath.Join(v.dir, checkpointName))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("verify the record: %w", err)
		}
		c, err := v.keys.open(msg)
		if err != nil {
			return msg, nil // addMark says what is wrong
		}
		if v.partial, err = readPartial(v.dir, c.Size); err != nil {
			return nil, err
		}
		again, err := os.ReadFile(filepath.Join(v.dir, checkpointName))
		if err == nil && string(again) == string(msg) {
			break
		}
	}
	return msg, nil
}

// readPartial reads the partial tiles of the tree of a size, as far as they are
// there.
func readPartial(dir string, size int64) (map[string][]byte, error) {
	got := map[string][]byte{}
	for level := 0; size>>(tileHeight*level) > 0; level++ {
		width := int(size>>(tileHeight*level)) % tileWidth
		if width == 0 {
			continue
		}
		path := tilePath(tlog.Tile{H: tileHeight, L: level, N: size >> (tileHeight * (level + 1)), W: width})
		b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(path)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("verify the record: %w", err)
		}
		got[path] = b
	}
	return got, nil
}

// meet compares the tree, as far as it has grown, with what was signed.
func (v *verifier) meet() {
	for len(v.marks) > 0 && v.marks[0].Size <= v.tree.size {
		m := v.marks[0]
		v.marks = v.marks[1:]
		if v.unknown {
			continue // the missing entries were named
		}
		if v.tree.root() != m.Root {
			v.problem(v.good, m.file, m.offset, "the first %d entries are not those that were signed: between entry %d and entry %d something was changed together with its stored hash", m.Size, v.good, m.Size-1)
			continue
		}
		v.good = m.Size
	}
}

// readEntries reads all segments.
func (v *verifier) readEntries(ctx context.Context) error {
	bases, strays, err := listSegments(v.dir)
	if err != nil {
		return err
	}
	for _, path := range strays {
		v.problem(v.last.Size, path, 0, "not a file of the record")
	}
	v.addReplaced()
	v.meet() // what was signed of the empty log
	if err := v.readRemoved(bases); err != nil {
		return err
	}
	base := uint64(0)
	for {
		ended, err := v.segment(ctx, int64(base))
		if err != nil {
			return err
		}
		if ended {
			break
		}
		base += segmentEntries
	}
	v.closeTile()
	v.settleRemoved()
	v.settleReplaced()
	v.tree.partial(func(t tlog.Tile, hashes []tlog.Hash) { v.looseTiles(t.L, t.N, hashes) })
	for _, m := range v.marks {
		v.problem(v.tree.size, m.file, m.offset, "the checkpoint covers %d entries, but only %d are there", m.Size, v.tree.size)
	}
	for _, b := range bases {
		if b > base {
			v.problem(int64(b), filepath.Join(entriesDir, filepath.Base(segmentPath("", b))), 0, "a segment beginning with entry %d, after the end of the record", b)
		}
	}
	return nil
}

// openSegment opens a segment, or gives nil if it is not there.
func (v *verifier) openSegment(base int64) (segmentFile, error) {
	f, err := openSegmentFile(v.dir, uint64(base))
	if errors.Is(err, errPacked) {
		v.problem(base, segmentName(uint64(base))+packedSuffix, 0, "the packed segment of entry %d cannot be unpacked: %v", base, err)
		return nil, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("verify the record: %w", err)
	}
	return f, nil
}
