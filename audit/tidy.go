package audit

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/sluicehq/sluice/internal/howlong"
)

// Tidying says what becomes of old segments. Only full ones under a checkpoint are
// touched, never the last.
type Tidying struct {
	Pack   time.Duration // pack those whose entries are all older; 0 packs none
	Keep   time.Duration // remove those whose entries are all older; 0 keeps all for ever
	Needed uint64        // keep entries from here on, whatever their age: somebody still has to read them
}

// Tidied is what was done.
type Tidied struct {
	Packed  int    // segments
	Removed int    // segments
	First   uint64 // the first entry that is kept
}

// removedName is a signed note that says which entries were removed.
const removedName = "removed"

// Tidy packs and removes old segments. That entries are removed is recorded first, and
// signed; their hashes stay, so that the tree is still whole, and every checkpoint that was
// ever signed can be compared with it.
func (l *Log) Tidy(ctx context.Context, t Tidying) (done Tidied, err error) {
	bases, _, err := listSegments(l.cfg.Dir)
	if err != nil || len(bases) == 0 {
		return done, err
	}
	done.First = bases[0]
	sealed := l.Stats().Sealed
	now := l.cfg.Now()
	old := func(base uint64, age time.Duration) (bool, error) {
		if age <= 0 || base+segmentEntries > sealed || base == bases[len(bases)-1] {
			return false, nil
		}
		last, err := lastTime(l.cfg.Dir, base)
		return err == nil && now.Sub(last) > age, err
	}
	kept := bases
	for len(kept) > 1 && kept[0]+segmentEntries <= t.Needed {
		if gone, err := old(kept[0], t.Keep); err != nil {
			return done, err
		} else if !gone {
			break
		}
		kept = kept[1:]
	}
	_, keys := l.signing()
	known, err := removedBefore(l.cfg.Dir, keys)
	if err != nil {
		return done, err
	}
	if first := kept[0]; first > known.size {
		if err := l.noteRemoved(ctx, known.size, first, t.Keep); err != nil {
			return done, err
		}
		known.size = first
	}
	for _, base := range bases {
		if base+segmentEntries > known.size {
			break
		}
		// The oldest first, so that what is left has no gap, whenever this ends.
		if err := l.removeSegment(base); err != nil {
			return done, err
		}
		done.Removed++
		done.First = base + segmentEntries
	}
	for _, base := range kept {
		if ctx.Err() != nil {
			return done, ctx.Err()
		}
		ready, err := old(base, t.Pack)
		if err != nil {
			return done, err
		}
		if !ready {
			break
		}
		packed, err := l.packSegment(base)
		if err != nil {
			return done, err
		}
		if packed {
			done.Packed++
		}
	}
	return done, nil
}

// lastTime is the time of the last entry of a segment.
func lastTime(dir string, base uint64) (time.Time, error) {
	file, err := openSegmentFile(dir, base)
	if err != nil {
		return time.Time{}, fmt.Errorf("tidy the record: %w", err)
	}
	defer file.Close()
	r, err := newBackReader(file)
	if err != nil {
		return time.Time{}, fmt.Errorf("tidy the record: %w", err)
	}
	line, err := r.previous()
	if err != nil {
		return time.Time{}, fmt.Errorf("tidy the record: %w", err)
	}
	at, ok := lineTime(line)
	if !ok {
		return time.Time{}, fmt.Errorf("tidy the record: the last entry of %s: %w", segmentPath(dir, base), errLine)
	}
	return at, nil
}

// packSegment replaces a segment by its packed form. Both are there for a moment; they are
// the same, and readers take the one that is not packed.
func (l *Log) packSegment(base uint64) (bool, error) {
	path := segmentPath(l.cfg.Dir, base)
	lines, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // it is packed
	}
	if err != nil {
		return false, fmt.Errorf("pack a segment: %w", err)
	}
	packed, err := pack(lines)
	if err != nil {
		return false, err
	}
	if err := l.cfg.disk.writeFile(path+packedSuffix, packed); err != nil {
		return false, fmt.Errorf("pack a segment: %w", err)
	}
	// What was written is read back before the original goes.
	file, err := os.Open(path + packedSuffix)
	if err != nil {
		return false, fmt.Errorf("pack a segment: %w", err)
	}
	back, err := openPacked(file)
	if err != nil {
		return false, fmt.Errorf("pack a segment: %w", err)
	}
	again, err := io.ReadAll(back)
	if err := errors.Join(err, back.Close()); err != nil || !bytes.Equal(again, lines) {
		return false, fmt.Errorf("pack a segment: %s does not unpack to what it was: %w", path, errors.Join(err, errPacked))
	}
	return true, l.cfg.disk.remove(path)
}

func (l *Log) removeSegment(base uint64) error {
	for _, path := range []string{segmentPath(l.cfg.Dir, base), segmentPath(l.cfg.Dir, base) + packedSuffix} {
		if err := l.cfg.disk.remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a segment: %w", err)
		}
	}
	return nil
}

// noteRemoved records that the entries below first are removed, has that under a
// checkpoint, and signs a note of it.
func (l *Log) noteRemoved(ctx context.Context, from, first uint64, age time.Duration) error {
	msg, size, err := Newest(l.cfg.Dir)
	if err != nil {
		return err
	}
	_, keys := l.signing()
	c, err := keys.open(msg)
	if err != nil {
		return err
	}
	root, err := tlog.TreeHash(int64(first), tlog.TileHashReader(tlog.Tree{N: size, Hash: c.Root}, tileFiles(l.cfg.Dir)))
	if err != nil {
		return fmt.Errorf("remove old entries: %w", err)
	}
	ticket, err := l.Append(Event{
		Kind: Removed, KeptFrom: int64(first),
		Detail: fmt.Sprintf("entries %d to %d are removed, all older than %s; the root over the first %d is %s", from, first-1, howlong.Text(age), first, root),
	})
	if err != nil {
		return err
	}
	if err := ticket.Durable(ctx); err != nil {
		return err
	}
	if err := l.Seal(ctx); err != nil {
		return err
	}
	now, _ := l.signing()
	signed, err := note.Sign(&note.Note{Text: removal{l.cfg.Origin, first, root}.text()}, now.signer)
	if err != nil {
		return fmt.Errorf("remove old entries: %w", err)
	}
	if err := l.cfg.disk.writeFile(filepath.Join(l.cfg.Dir, removedName), signed); err != nil {
		return fmt.Errorf("remove old entries: %w", err)
	}
	return nil
}

// removal says: the first size entries of the log named origin were removed, and this was
// the root over them.
type removal struct {
	origin string
	size   uint64
	root   tlog.Hash
}

func (r removal) text() string {
	return fmt.Sprintf("%s\nremoved %d\n%s\n", r.origin, r.size, r.root)
}

// removedBefore reads which entries of the log in dir were removed; none without a note.
// Any key that ever signed the log may have signed it: an entry has to say so as well.
func removedBefore(dir string, keys keyring) (removal, error) {
	msg, err := os.ReadFile(filepath.Join(dir, removedName))
	if errors.Is(err, fs.ErrNotExist) {
		return removal{}, nil
	}
	if err != nil {
		return removal{}, fmt.Errorf("read the record: %w", err)
	}
	text, err := keys.signedByAny(msg)
	if err != nil {
		return removal{}, fmt.Errorf("read the record: the note of what was removed: %w", err)
	}
	return parseRemoval(text)
}

func parseRemoval(text string) (removal, error) {
	bad := errors.New("read the record: the note of what was removed is not one")
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return removal{}, bad
	}
	number, ok := strings.CutPrefix(lines[1], "removed ")
	size, err := strconv.ParseUint(number, 10, 63)
	hash, err2 := base64.StdEncoding.DecodeString(lines[2])
	if !ok || err != nil || err2 != nil || size%segmentEntries != 0 || len(hash) != tlog.HashSize {
		return removal{}, bad
	}
	r := removal{origin: lines[0], size: size, root: tlog.Hash(hash)}
	if r.text() != text {
		return removal{}, bad
	}
	return r, nil
}

// RemovedBefore says how many entries at the beginning of the record in dir were removed,
// by the note that the key which lies there has signed. After a crash some of them may
// still be there.
func RemovedBefore(dir string) (uint64, error) {
	if _, err := os.Stat(filepath.Join(dir, removedName)); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	keys, err := storedKeys(dir)
	if err != nil {
		return 0, err
	}
	r, err := removedBefore(dir, keys)
	return r.size, err
}
