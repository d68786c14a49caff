package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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
	file, err := os.Open(path)
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

// Check says why dir has no record, nil if it has one.
func Check(dir string) error {
	_, err := os.Stat(filepath.Join(dir, vkeyName))
	return err
}
