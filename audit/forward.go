package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Place is where an entry begins. The zero Place is where the record begins.
type Place struct {
	Seq    uint64
	Offset int64 // in the segment of Seq
}

// Forward gives the entries of the log in dir from a place on, oldest first, each
// with its place, and returns the place after the last whole one. It stops where the
// record ends, and at the first error of give. A line is valid until give returns. The
// log may be open elsewhere; the tree is not checked.
func Forward(ctx context.Context, dir string, from Place, give func(Place, []byte) error) (Place, error) {
	for {
		base := from.Seq / segmentEntries * segmentEntries
		if from.Seq == base {
			from.Offset = 0
		}
		next, err := forwardSegment(ctx, dir, base, from, give)
		if err != nil {
			return next, err
		}
		if next.Seq < base+segmentEntries {
			return next, nil
		}
		from = next
	}
}

// forwardSegment is Forward within one segment.
func forwardSegment(ctx context.Context, dir string, base uint64, from Place, give func(Place, []byte) error) (Place, error) {
	path := segmentPath(dir, base)
	file, err := openSegmentFile(dir, base)
	if errors.Is(err, fs.ErrNotExist) && from.Seq == base {
		return from, nil // the record ends with a full segment
	}
	if err != nil {
		return from, fmt.Errorf("read the record: %w", err)
	}
	defer file.Close()
	if _, err := file.Seek(from.Offset, io.SeekStart); err != nil {
		return from, fmt.Errorf("read the record: %s: %w", path, err)
	}
	r := newLineReader(file)
	defer r.done()
	start := from.Offset
	for from.Seq < base+segmentEntries {
		if from.Seq%checkEvery == 0 && ctx.Err() != nil {
			return from, fmt.Errorf("read the record: %w", ctx.Err())
		}
		line, err := r.next()
		if errors.Is(err, io.EOF) {
			return from, nil // what has no line break yet is being written
		}
		if err == nil {
			var seq uint64
			if seq, err = lineSeq(line); err == nil && seq != from.Seq {
				err = fmt.Errorf("%w: entry %d stands where %d belongs", errLine, seq, from.Seq)
			}
		}
		if err != nil {
			return from, fmt.Errorf("read the record: %s at byte %d: %w\nhint: run sluice audit verify", path, from.Offset, err)
		}
		if err := give(from, line); err != nil {
			return from, err
		}
		from = Place{Seq: from.Seq + 1, Offset: start + r.offset}
	}
	return from, nil
}

// Decode reads an entry as Forward gives it.
func Decode(line []byte) (Event, error) { return decodeLine(line) }

// DecodeTo is Decode into an event that may have been another, for whoever reads many.
func DecodeTo(line []byte, ev *Event) error {
	if len(line) > maxEventBytes {
		return fmt.Errorf("%w: %d bytes is longer than any event", errLine, len(line))
	}
	return decodeText(string(line), ev)
}

// Check says why dir has no record, nil if it has one.
func Check(dir string) error {
	_, err := os.Stat(filepath.Join(dir, vkeyName))
	return err
}

// Encode writes an event as a line of the record holds it, for whoever hands on a part of
// one: such a line is no entry.
func Encode(ev Event) ([]byte, error) {
	work := scratches.Get().(*scratch)
	defer work.put()
	if err := work.encode(&ev); err != nil {
		return nil, err
	}
	id := strings.TrimSuffix(ev.ID, strconv.FormatUint(ev.Seq, 10))
	return append(appendHead(nil, ev.Seq, id), work.body...), nil
}

// PlaceOf finds where an entry begins, or will begin if it is the next.
func PlaceOf(ctx context.Context, dir string, seq uint64) (Place, error) {
	stop := errors.New("there")
	at, err := Forward(ctx, dir, Place{Seq: seq / segmentEntries * segmentEntries}, func(at Place, _ []byte) error {
		if at.Seq == seq {
			return stop
		}
		return nil
	})
	if err != nil && !errors.Is(err, stop) {
		return at, err
	}
	if at.Seq != seq {
		return at, fmt.Errorf("read the record: entry %d is not there: %w", seq, errNoEntry)
	}
	return at, nil
}

// PublicKey is the public key that lies with the record in dir, in the note format.
func PublicKey(dir string) (string, error) {
	key, err := os.ReadFile(filepath.Join(dir, vkeyName))
	if err != nil {
		return "", fmt.Errorf("read the record: %w", err)
	}
	return strings.TrimSuffix(string(key), "\n"), nil
}

// First is the first entry that the record in dir still has.
func First(dir string) (uint64, error) {
	bases, _, err := listSegments(dir)
	if err != nil || len(bases) == 0 {
		return 0, err
	}
	return bases[0], nil
}
