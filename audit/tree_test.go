package audit

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// TestTreeIsTheOneOfRFC6962 compares with the library's slow way at each size.
func TestTreeIsTheOneOfRFC6962(t *testing.T) {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = stored[x]
		}
		return out, nil
	})
	var tr tree
	full := func(tile tlog.Tile, hashes []tlog.Hash) {
		want, err := tlog.ReadTileData(tile, reader)
		if err != nil {
			t.Fatal(err)
		}
		if string(want) != string(joinHashes(hashes)) {
			t.Errorf("tile %s is wrong", tilePath(tile))
		}
	}
	for n := range int64(70_000) {
		leaf := tlog.RecordHash(fmt.Append(nil, n))
		more, err := tlog.StoredHashesForRecordHash(n, leaf, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, more...)
		tr.push(leaf, full)
		if n > 600 && n%1021 != 0 && n != segmentEntries-1 && n != segmentEntries {
			continue
		}
		want, err := tlog.TreeHash(n+1, reader)
		if err != nil {
			t.Fatal(err)
		}
		if tr.root() != want {
			t.Fatalf("root at %d is wrong", n+1)
		}
		tr.partial(full)
	}
}

// TestProofsFromTheTilesOnDisk: the library's own reader of tiles, which knows
// nothing of this package, proves an entry from the files.
func TestProofsFromTheTilesOnDisk(t *testing.T) {
	good, key := pristine(t)
	known, err := note.NewVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := openCheckpoint(readFile(t, filepath.Join(good.Dir, checkpointName)), known)
	if err != nil {
		t.Fatal(err)
	}
	r := tlog.TileHashReader(tlog.Tree{N: c.Size, Hash: c.Root}, tilesOnDisk{t, good.Dir})
	lines := splitLines(readFile(t, segmentOf(good)))
	for _, n := range []int64{0, 3, 255, 256, 511, 512, 599} {
		proof, err := tlog.ProveRecord(c.Size, n, r)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckRecord(proof, c.Size, c.Root, n, tlog.RecordHash(lines[n])); err != nil {
			t.Errorf("entry %d: %v", n, err)
		}
	}
}

func splitLines(b []byte) (lines [][]byte) {
	for len(b) > 0 {
		i := 0
		for b[i] != '\n' {
			i++
		}
		lines, b = append(lines, b[:i]), b[i+1:]
	}
	return lines
}

// tilesOnDisk is how any client of C2SP tlog-tiles sees the directory.
type tilesOnDisk struct {
	t   *testing.T
	dir string
}

func (d tilesOnDisk) Height() int                     { return tileHeight }
func (d tilesOnDisk) SaveTiles([]tlog.Tile, [][]byte) {}
func (d tilesOnDisk) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, tile := range tiles {
		out = append(out, readFile(d.t, filepath.Join(d.dir, filepath.FromSlash(tilePath(tile)))))
	}
	return out, nil
}

func TestTilePath(t *testing.T) {
	for path, want := range map[string]tlog.Tile{
		"tile/0/000":          {H: 8, L: 0, N: 0, W: 256},
		"tile/0/x001/234":     {H: 8, L: 0, N: 1234, W: 256},
		"tile/1/000.p/2":      {H: 8, L: 1, N: 0, W: 2},
		"tile/2/x001/000.p/9": {H: 8, L: 2, N: 1000, W: 9},
	} {
		got, err := parseTilePath(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		if tilePath(got) != path {
			t.Errorf("%s became %s", path, tilePath(got))
		}
	}
}

func FuzzCheckpoint(f *testing.F) {
	k, err := newKey("sluice/fuzz")
	if err != nil {
		f.Fatal(err)
	}
	good := checkpoint{Origin: "sluice/fuzz", Size: 12, Root: tlog.RecordHash(nil)}
	msg, err := good.sign(k.signer)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(good.text()))
	f.Add(msg)
	f.Add([]byte("sluice/fuzz\n007\nAAAA\n"))
	f.Add([]byte("a\n-1\n\n\n\n"))
	f.Add([]byte("\n\n\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := parseCheckpoint(string(data)); err == nil && c.text() != string(data) {
			t.Errorf("%q was read as %q", data, c.text())
		}
		// Others may sign it too; what it says is what was signed.
		if c, err := openCheckpoint(data, k.known); err == nil && c != good {
			t.Errorf("a checkpoint that was not signed passed: %q", data)
		}
		notes, offsets, torn := splitHistory(data)
		end := 0
		for i, n := range notes {
			if int(offsets[i]) != end || string(data[end:end+len(n)]) != string(n) {
				t.Fatalf("checkpoint %d of %q is not where it is said to be", i, data)
			}
			end += len(n) + 1
		}
		if end+torn != len(data) {
			t.Errorf("%q: %d bytes and %d torn ones are not all", data, end, torn)
		}
	})
}

func TestKeyFormats(t *testing.T) {
	k, err := newKey("sluice/a")
	if err != nil {
		t.Fatal(err)
	}
	again, err := parseKey(k.secret)
	if err != nil {
		t.Fatal(err)
	}
	if again.public != k.public {
		t.Error("the public half depends on more than the secret one")
	}
	for _, bad := range []string{"", "PRIVATE+KEY+x", "PRIVATE+KEY+sluice/a+00000000+AAAA", k.public, k.secret + "AAAA"} {
		if _, err := parseKey(bad); err == nil {
			t.Errorf("%q passed for a key", bad)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no directory":   func(c *Config) { c.Dir = "" },
		"no origin":      func(c *Config) { c.Origin = "" },
		"origin, space":  func(c *Config) { c.Origin = "sluice a" },
		"origin, plus":   func(c *Config) { c.Origin = "sluice+a" },
		"origin, line":   func(c *Config) { c.Origin = "sluice\n12" },
		"durability":     func(c *Config) { c.Durability = "sometimes" },
		"key in the way": func(c *Config) { c.KeyFile = c.Dir },
	} {
		cfg := testConfig(t)
		change(&cfg)
		if l, err := Open(cfg); err == nil {
			closeLog(t, l)
			t.Errorf("%s: opened", name)
		}
	}
	// Another origin would make the key sign for a log that is not its own.
	cfg := testConfig(t)
	closeLog(t, openLog(t, cfg))
	cfg.Origin = "sluice/other"
	if _, err := Open(cfg); err == nil {
		t.Error("opened under another origin")
	}
}
