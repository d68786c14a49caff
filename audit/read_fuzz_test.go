package audit

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// A path that is read as a tile's is the one that tile has: no file can stand for
// another.
func FuzzTilePath(f *testing.F) {
	for _, s := range []string{
		"tile/0/000", "tile/0/x001/234", "tile/1/000.p/2", "tile/2/x001/000.p/9", "tile/0/000.p/256", "tile/0/000.p/0", "tile/0/1",
		"tile/00/000", "tile/-1/000", "tile/data/000", "tile/64/000", "tile/0/../000", "tile/tile/0/000", "tile/8/0/000", "tile/0/x999/x999/x999/x999/x999/x999/999", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		tile, err := parseTilePath(path)
		if err != nil || tile.L < 0 || !strings.HasPrefix(path, tileDir+"/") {
			return // refused, also by whoever lists tiles
		}
		if tile.H != tileHeight || tile.W < 1 || tile.W > tileWidth || tile.N < 0 {
			t.Errorf("%q was read as %+v", path, tile)
		}
		if back := tilePath(tile); back != path {
			t.Errorf("%q was read as %q", path, back)
		}
	})
}

// The content of a tile is read whole, at its width, or not at all.
func FuzzSplitHashes(f *testing.F) {
	two := make([]byte, 2*tlog.HashSize)
	two[0], two[tlog.HashSize] = 1, 2
	f.Add(two, uint16(2))
	f.Add(two, uint16(1))
	f.Add(two[1:], uint16(2))
	f.Add([]byte{}, uint16(0))
	f.Add([]byte{}, uint16(tileWidth))
	f.Fuzz(func(t *testing.T, b []byte, width uint16) {
		hashes, ok := splitHashes(b, int(width))
		if ok != (len(b) == int(width)*tlog.HashSize) || !ok && hashes != nil {
			t.Fatalf("%d bytes for %d hashes: %v", len(b), width, ok)
		}
		if ok && !bytes.Equal(joinHashes(hashes), b) {
			t.Error("the hashes are not those of the tile")
		}
	})
}

// A segment of any bytes reads the same forwards and backwards, and a question about it
// gives entries that are in it, newest first.
func FuzzSegment(f *testing.F) {
	first := appendBody(appendHead(nil, 0, "id-"), &Event{Kind: Decided, Session: "s1", SQL: "select 1"})
	second := appendBody(appendHead(nil, 1, "id-"), &Event{Kind: Finished, Session: "s1"})
	honest := bytes.Join([][]byte{bytes.TrimSuffix(first, []byte{'\n'}), bytes.TrimSuffix(second, []byte{'\n'}), nil}, []byte{'\n'})
	if got := bytes.Count(honest, []byte{'\n'}); got != 2 {
		f.Fatalf("%d lines", got)
	}
	for i := range len(honest) + 1 {
		f.Add(honest[:i])
	}
	f.Add(bytes.Repeat([]byte("\n"), 9))
	f.Add(append(bytes.Repeat([]byte{'x'}, maxEventBytes+3), "\n{\"seq\":1,\n"...))
	f.Add([]byte(`{"seq":18446744073709551615,"id":"x"}` + "\n" + `{"seq":18446744073709551616,"id":"x"}` + "\n"))
	f.Add([]byte(`{"seq":2,"id":"a"}` + "\n" + `{"seq":1,"id":"b"}` + "\n"))
	dir := f.TempDir()
	path := segmentPath(dir, 0)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		lines, long := forwards(t, raw)
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		back, err := newBackReader(file)
		if err != nil {
			t.Fatal(err)
		}
		for i := len(lines) - 1; !long; i-- {
			line, err := back.previous()
			if errors.Is(err, io.EOF) && i < 0 {
				break
			}
			if err != nil || i < 0 || !bytes.Equal(line, lines[i]) {
				t.Fatalf("line %d backwards is %q, %v", i, line, err)
			}
		}
		result, err := Query(t.Context(), dir, Filter{})
		if err != nil {
			return
		}
		at := len(lines)
		for _, ev := range result.Events {
			for at--; at >= 0; at-- {
				if seq, err := lineSeq(lines[at]); err == nil && seq == ev.Seq {
					break
				}
			}
			if at < 0 && !long {
				t.Fatalf("entry %d is not in the file, or not in that order", ev.Seq)
			}
		}
	})
}

// forwards gives the whole lines of a file, and whether one is longer than an entry.
func forwards(t *testing.T, raw []byte) (lines [][]byte, long bool) {
	r := newLineReader(bytes.NewReader(raw))
	for {
		line, err := r.next()
		if errors.Is(err, io.EOF) {
			if r.offset != int64(len(raw)) {
				t.Fatalf("%d bytes read of %d", r.offset, len(raw))
			}
			return lines, long
		}
		if err != nil || len(line) > maxEventBytes {
			long = true
			continue
		}
		lines = append(lines, bytes.Clone(line))
	}
}
