package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/mod/sumdb/tlog"
)

// checkOrigin: the origin is the name of the signing key too, whose format
// allows neither spaces nor plus signs.
func checkOrigin(origin string) error {
	if origin == "" {
		return errors.New("no origin given")
	}
	if strings.ContainsFunc(origin, func(r rune) bool { return unicode.IsSpace(r) || r == '+' || !unicode.IsPrint(r) }) {
		return fmt.Errorf("origin %q has a space or a plus sign in it", origin)
	}
	return nil
}

// identify loads the signing key, or makes a new log with a new one. The key is
// written last: while it is missing the log was never in use, and once it is
// there the log must be too. So throwing the whole log away, or only its
// checkpoint, does not go unseen at the next start.
func (l *Log) identify() error {
	cfg := l.cfg
	secret, err := os.ReadFile(cfg.KeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return l.found()
	}
	if err != nil {
		return fmt.Errorf("read the record's signing key: %w", err)
	}
	if l.key, err = parseKey(strings.TrimSpace(string(secret))); err != nil {
		return fmt.Errorf("read the record's signing key %s: %w", cfg.KeyFile, err)
	}
	if l.key.signer.Name() != cfg.Origin {
		return fmt.Errorf("open the record: the signing key in %s is of %q, not of %q", cfg.KeyFile, l.key.signer.Name(), cfg.Origin)
	}
	if _, err := PublicKey(cfg.Dir); err != nil {
		return fmt.Errorf("open the record: its signing key is there but the record is not whole: %w\nhint: restore %s; to begin a new record, move %s away first", err, cfg.Dir, cfg.KeyFile)
	}
	if l.keys, err = storedKeys(cfg.Dir); err != nil {
		return fmt.Errorf("open the record: %w", err)
	}
	if err := l.settleTurn(); err != nil {
		return err
	}
	if l.keys.public[l.keys.newest()] != l.key.public {
		return fmt.Errorf("open the record: the newest public key in %s is not the public half of %s", cfg.Dir, cfg.KeyFile)
	}
	l.idPrefix = idPrefix(l.keys.keys[0])
	return nil
}

// found makes a new log.
func (l *Log) found() error {
	cfg := l.cfg
	old, err := os.ReadDir(filepath.Join(cfg.Dir, entriesDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open the record: %w", err)
	}
	if len(old) > 0 {
		return fmt.Errorf("open the record: %s has entries, but their signing key %s is missing\nhint: restore the key; to begin a new record, move the directory away first", cfg.Dir, cfg.KeyFile)
	}
	if l.key, err = newKey(cfg.Origin); err != nil {
		return err
	}
	if l.keys, err = onlyKey(l.key.public); err != nil {
		return err
	}
	l.idPrefix = idPrefix(l.key.known)
	if err := cfg.disk.writeFile(filepath.Join(cfg.Dir, vkeyName), []byte(l.key.public+"\n")); err != nil {
		return err
	}
	empty := tree{}
	if err := l.writeCheckpoint(checkpoint{Origin: cfg.Origin, Root: empty.root()}); err != nil {
		return err
	}
	if err := cfg.disk.mkdir(filepath.Dir(cfg.KeyFile)); err != nil {
		return err
	}
	return cfg.disk.writeFile(cfg.KeyFile, []byte(l.key.secret+"\n"))
}

// recover brings back the state at the last write, from the files.
func (l *Log) recover() error {
	dir := l.cfg.Dir
	for _, name := range []string{entriesDir, tileDir} {
		if err := l.cfg.disk.mkdir(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	last, err := l.recoverCheckpoints()
	if err != nil {
		return err
	}
	// Entries below the segment in which the last checkpoint ends are not read
	// again: the tiles stand for them, and are checked through the root.
	base := uint64(last.Size) / segmentEntries * segmentEntries
	t, err := loadTree(dir, last.Size)
	if err != nil {
		return err
	}
	bases, strays, err := listSegments(dir)
	if err != nil {
		return err
	}
	if len(strays) > 0 {
		return fmt.Errorf("open the record: %s is not a segment", filepath.Join(dir, strays[0]))
	}
	removed, err := removedBefore(dir, l.keys)
	if err != nil {
		return fmt.Errorf("open the record: %w", err)
	}
	if err := checkSegments(bases, uint64(last.Size), removed.size); err != nil {
		return fmt.Errorf("open the record: %w", err)
	}
	if len(bases) == 0 {
		bases = []uint64{0}
	}
	var leaves []tlog.Hash // above the checkpoint
	var keep int64         // bytes of the last segment that are whole lines
	for i, b := range bases {
		if b < base {
			continue
		}
		keep, err = scanSegment(dir, b, i == len(bases)-1, last.Size, func(leaf tlog.Hash) error {
			if t.size == last.Size {
				leaves = append(leaves, leaf)
				return nil
			}
			t.push(leaf, nil)
			return nil
		})
		if err != nil {
			return err
		}
	}
	if t.size != last.Size {
		return fmt.Errorf("open the record: it ends at entry %d, but a checkpoint covers %d entries\nhint: the end of the record was removed; run sluice audit verify", t.size, last.Size)
	}
	if t.root() != last.Root {
		return fmt.Errorf("open the record: its first %d entries are not those that were signed\nhint: run sluice audit verify, which says where", last.Size)
	}
	l.seal.tree, l.seal.last = t, last
	l.leaves = leaves
	l.written = uint64(last.Size) + uint64(len(leaves))
	l.next, l.synced, l.sealed = l.written, l.written, uint64(last.Size)
	l.base = bases[len(bases)-1]
	return l.reopenSegment(keep)
}

// reopenSegment opens the last segment to go on, without its torn end, and puts
// on disk what a crash may have left with the operating system only.
func (l *Log) reopenSegment(keep int64) error {
	path := segmentPath(l.cfg.Dir, l.base)
	var err error
	if l.file, err = l.cfg.disk.openAppend(path); err != nil {
		return fmt.Errorf("open the record: %w", err)
	}
	st, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("open the record: %w", err)
	}
	if st.Size() > keep {
		l.cfg.Log.Warn("removed a half-written end of the record, which was never acknowledged",
			"entry", l.next, "bytes", st.Size()-keep)
		if err := l.file.Truncate(keep); err != nil {
			return fmt.Errorf("open the record: %w", err)
		}
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("open the record: %w", err)
	}
	return nil
}

// recoverCheckpoints reads the last checkpoint, and opens the history without
// its torn end.
func (l *Log) recoverCheckpoints() (checkpoint, error) {
	dir, s := l.cfg.Dir, &l.seal
	msg, err := os.ReadFile(filepath.Join(dir, checkpointName))
	if err != nil {
		return checkpoint{}, fmt.Errorf("open the record: its last checkpoint is missing: %w\nhint: run sluice audit verify", err)
	}
	last, err := l.keys.open(msg)
	if err != nil {
		return checkpoint{}, fmt.Errorf("open the record: %s: %w", checkpointName, err)
	}
	if last.Origin != l.cfg.Origin {
		return checkpoint{}, fmt.Errorf("open the record: %s is of %q, not of %q", checkpointName, last.Origin, l.cfg.Origin)
	}
	path := filepath.Join(dir, historyName)
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return checkpoint{}, fmt.Errorf("open the record: %w", err)
	}
	notes, _, torn := splitHistory(data)
	s.kept = -1
	if len(notes) > 0 {
		kept, err := l.keys.open(notes[len(notes)-1])
		if err != nil {
			return checkpoint{}, fmt.Errorf("open the record: %s: the last one: %w", historyName, err)
		}
		if kept.Size > last.Size || kept.Size == last.Size && kept.Root != last.Root {
			return checkpoint{}, fmt.Errorf("open the record: %s covers %d entries, but an earlier one already covered %d\nhint: an old state was put back; run sluice audit verify", checkpointName, last.Size, kept.Size)
		}
		s.kept = kept.Size
	}
	if s.history, err = l.cfg.disk.openAppend(path); err != nil {
		return checkpoint{}, fmt.Errorf("open the record: %w", err)
	}
	if torn > 0 {
		if err := s.history.Truncate(int64(len(data) - torn)); err != nil {
			return checkpoint{}, fmt.Errorf("open the record: %w", err)
		}
	}
	return last, nil
}

// loadTree gives the tree of the full segments below size, from the tiles that
// were written with the checkpoint of that size.
func loadTree(dir string, size int64) (tree, error) {
	t := tree{size: size / segmentEntries * segmentEntries}
	for level := 0; size>>(tileHeight*level) > 0; level++ {
		width := int(size>>(tileHeight*level)) % tileWidth
		var hashes []tlog.Hash
		if level >= 2 && width > 0 {
			tile := tlog.Tile{H: tileHeight, L: level, N: size >> (tileHeight * (level + 1)), W: width}
			b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(tilePath(tile))))
			if err != nil {
				return tree{}, fmt.Errorf("open the record: a tile is missing: %w\nhint: run sluice audit verify", err)
			}
			var ok bool
			if hashes, ok = splitHashes(b, width); !ok {
				return tree{}, fmt.Errorf("open the record: %s has %d bytes instead of %d", tilePath(tile), len(b), width*tlog.HashSize)
			}
		}
		t.levels = append(t.levels, hashes)
	}
	return t, nil
}

// listSegments gives the first entries of the segment files, in order, and the
// names of files that are none. A directory that is not there has neither.
func listSegments(dir string) (bases []uint64, strays []string, err error) {
	names, err := os.ReadDir(filepath.Join(dir, entriesDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("read the record: %w", err)
	}
	for _, e := range names {
		name := e.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		plain := strings.TrimSuffix(name, packedSuffix)
		base, err := strconv.ParseUint(strings.TrimSuffix(plain, segmentSuffix), 10, 64)
		if n := len(bases); err == nil && n > 0 && bases[n-1] == base && plain != name {
			continue // it is being packed, and stands there both ways
		}
		if err != nil || filepath.Base(segmentPath(dir, base)) != plain || base%segmentEntries != 0 {
			strays = append(strays, filepath.Join(entriesDir, name))
			continue
		}
		bases = append(bases, base)
	}
	return bases, strays, nil
}

// checkSegments says whether a segment of a log of size entries is missing, of which the
// first removed ones need not be there.
func checkSegments(bases []uint64, size, removed uint64) error {
	want := uint64(0)
	if len(bases) > 0 && bases[0] <= removed {
		want = bases[0]
	}
	for _, b := range bases {
		if b != want {
			return fmt.Errorf("the segment of entry %d is missing", want)
		}
		want += segmentEntries
	}
	if want < size {
		return fmt.Errorf("the segment of entry %d is missing", want)
	}
	return nil
}

// scanSegment reads the segment of base and calls f with the leaf of each whole
// entry. It gives where the whole entries end. Only in the last segment, above
// what is sealed, may they end before the file does, and only if nothing whole
// comes after: everything else would be throwing away what may have been
// acknowledged.
func scanSegment(dir string, base uint64, isLast bool, sealed int64, f func(tlog.Hash) error) (int64, error) {
	path := segmentPath(dir, base)
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && isLast && int64(base) >= sealed {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("open the record: %w", err)
	}
	defer file.Close()
	r := newLineReader(file)
	seq, end := base, int64(0)
	for {
		line, err := r.next()
		if errors.Is(err, io.EOF) && len(line) == 0 {
			break
		}
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errLine) {
			return 0, fmt.Errorf("open the record: %w", err)
		}
		if err != nil || seq >= base+segmentEntries || !wholeLine(line, seq, int64(seq) >= sealed) {
			whole := err == nil && isEntry(line) // an entry, but not the one that belongs here
			return end, tornEnd(r, whole, path, seq, end, isLast, sealed)
		}
		if err := f(tlog.RecordHash(line)); err != nil {
			return 0, err
		}
		seq++
		end = r.offset
	}
	if !isLast && seq != base+segmentEntries {
		return 0, fmt.Errorf("open the record: entry %d is missing at the end of %s, byte %d", seq, path, end)
	}
	return end, nil
}

// wholeLine says whether line is entry seq. The full look is for entries that
// no checkpoint vouches for yet.
func wholeLine(line []byte, seq uint64, full bool) bool {
	got, err := lineSeq(line)
	return err == nil && got == seq && (!full || json.Valid(line))
}

// tornEnd says whether what begins at end in a segment may be removed.
func tornEnd(r *lineReader, whole bool, path string, seq uint64, end int64, isLast bool, sealed int64) error {
	if int64(seq) < sealed {
		return fmt.Errorf("open the record: entry %d is damaged, in %s at byte %d, and a checkpoint covers it\nhint: run sluice audit verify", seq, path, end)
	}
	if !isLast {
		return fmt.Errorf("open the record: entry %d is damaged, in %s at byte %d, and a segment comes after it", seq, path, end)
	}
	for !whole {
		line, err := r.next()
		if errors.Is(err, io.EOF) {
			return nil // what has no end is no entry
		}
		if err != nil && !errors.Is(err, errLine) {
			return fmt.Errorf("open the record: %w", err)
		}
		whole = err == nil && isEntry(line)
	}
	return fmt.Errorf("open the record: entry %d is damaged, in %s at byte %d, and whole entries come after it\nhint: look at the file; cut it at that byte to go on without them", seq, path, end)
}

// isEntry says whether line is an entry, wherever it belongs.
func isEntry(line []byte) bool {
	_, err := lineSeq(line)
	return err == nil && json.Valid(line)
}

// lineReader reads lines of bounded length and knows where it is.
type lineReader struct {
	r      *bufio.Reader
	offset int64 // after the last line read
}

// lineBuffers have room for the longest event and one byte to notice longer ones.
var lineBuffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, maxEventBytes+2) }}

func newLineReader(r io.Reader) *lineReader {
	b := lineBuffers.Get().(*bufio.Reader)
	b.Reset(r)
	return &lineReader{r: b}
}

// done gives its buffer back: whoever opens files again and again calls it at the end, when
// no line is used any more.
func (l *lineReader) done() {
	l.r.Reset(nil)
	lineBuffers.Put(l.r)
	l.r = nil
}

// next gives the next line without its line break, valid until the next call.
// What comes after the last line break is given with io.EOF; a line that is too
// long is passed over and is errLine.
func (l *lineReader) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	l.offset += int64(len(line))
	if errors.Is(err, bufio.ErrBufferFull) {
		for errors.Is(err, bufio.ErrBufferFull) {
			line, err = l.r.ReadSlice('\n')
			l.offset += int64(len(line))
		}
		if err == nil {
			err = errLine
		}
		return nil, err
	}
	return bytes.TrimSuffix(line, []byte{'\n'}), err
}
