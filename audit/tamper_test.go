package audit

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// tamperedSize is more than a tile and not a multiple of one, so that there are
// full tiles, partial ones, and a level above.
const tamperedSize = 600

// pristine makes the log that attackers get copies of. Its history has
// checkpoints over 0, 300 and all entries.
func pristine(t *testing.T) (Config, string) {
	t.Helper()
	cfg := faultConfig(t)
	cfg.disk = newFaultDisk(0, nil)
	l := openLog(t, cfg)
	appendN(t, l, 0, 300)
	closeLog(t, l)
	l = openLog(t, cfg)
	appendN(t, l, 300, tamperedSize)
	closeLog(t, l)
	return cfg, l.VerifierKey()
}

// stolen gives an attacker a copy of the log.
func stolen(t *testing.T, from Config) Config {
	t.Helper()
	cfg := faultConfig(t)
	copyLog(t, from, cfg)
	return cfg
}

func segmentOf(cfg Config) string { return segmentPath(cfg.Dir, 0) }

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, fileMode); err != nil {
		t.Fatal(err)
	}
}

// mustFind verifies and wants a problem at entry seq whose text has all of words.
func mustFind(t *testing.T, dir, key string, seq uint64, words ...string) {
	t.Helper()
	r, err := Verify(context.Background(), dir, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Problems {
		all := p.Seq == seq
		for _, w := range words {
			all = all && strings.Contains(p.What, w)
		}
		if all {
			return
		}
	}
	t.Errorf("found %d problems, none of them at entry %d with %q: %v", len(r.Problems), seq, words, r.Problems)
}

// TestAttackerEditsLines changes the entries in the ways that hide something.
func TestAttackerEditsLines(t *testing.T) {
	good, key := pristine(t)
	for _, c := range []struct {
		name   string
		edit   func(lines [][]byte) [][]byte
		seq    uint64
		words  []string
		opened string // what Open says, if it must refuse
	}{
		{"changes who did it", func(l [][]byte) [][]byte {
			l[3] = bytes.Replace(l[3], []byte("user0@"), []byte("user9@"), 1)
			return l
		}, 3, []string{"entry 3 is not what was recorded"}, "not those that were signed"},
		{"changes an entry in the last tile", func(l [][]byte) [][]byte {
			l[590] = bytes.Replace(l[590], []byte("select"), []byte("delete"), 1)
			return l
		}, 590, []string{"entry 590 is not what was recorded"}, "not those that were signed"},
		{"removes the first", func(l [][]byte) [][]byte { return l[1:] },
			0, []string{"entry 0 is missing"}, "damaged"},
		{"removes one", func(l [][]byte) [][]byte { return append(l[:3], l[4:]...) },
			3, []string{"entry 3 is missing"}, "damaged"},
		{"removes a run over a tile's edge", func(l [][]byte) [][]byte { return append(l[:250], l[262:]...) },
			250, []string{"entry 250 and all up to entry 261 are missing"}, "damaged"},
		{"swaps two", func(l [][]byte) [][]byte { l[3], l[4] = l[4], l[3]; return l },
			3, []string{"entry 3", "missing"}, "damaged"},
		{"swaps two and their numbers", func(l [][]byte) [][]byte {
			l[3], l[4] = bytes.Replace(l[4], []byte(`"seq":4`), []byte(`"seq":3`), 1), bytes.Replace(l[3], []byte(`"seq":3`), []byte(`"seq":4`), 1)
			return l
		}, 4, []string{"entry 4 is not what was recorded"}, "not those that were signed"},
		{"copies one behind itself", func(l [][]byte) [][]byte {
			return append(l[:4:4], append([][]byte{l[3]}, l[4:]...)...)
		}, 3, []string{"entry 3", "added or moved"}, "damaged"},
		{"inserts rubbish", func(l [][]byte) [][]byte {
			return append(l[:4:4], append([][]byte{[]byte("{}")}, l[4:]...)...)
		}, 4, []string{"entry 4 is damaged"}, "damaged"},
		{"inserts an empty line", func(l [][]byte) [][]byte {
			return append(l[:4:4], append([][]byte{nil}, l[4:]...)...)
		}, 4, []string{"entry 4 is damaged"}, "damaged"},
		{"cuts the last entry off", func(l [][]byte) [][]byte { return l[:599] },
			599, []string{"entry 599", "missing at the end"}, "ends at entry 599"},
		{"cuts the end off up to the last tile", func(l [][]byte) [][]byte { return l[:512] },
			512, []string{"entry 512 and all up to entry 599 are missing"}, "ends at entry 512"},
		{"empties the file", func([][]byte) [][]byte { return nil },
			0, []string{"entry 0 and all up to entry 599 are missing"}, "ends at entry 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := stolen(t, good)
			lines := bytes.Split(bytes.TrimSuffix(readFile(t, segmentOf(cfg)), []byte("\n")), []byte("\n"))
			lines = c.edit(lines)
			out := append(bytes.Join(lines, []byte("\n")), '\n')
			if len(lines) == 0 {
				out = nil
			}
			writeFile(t, segmentOf(cfg), out)
			mustFind(t, cfg.Dir, key, c.seq, c.words...)
			if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), c.opened) {
				t.Errorf("Open: %v, want %q", err, c.opened)
			}
		})
	}
}

// TestAttackerFlipsAByteAnywhere flips single bytes all over every file that
// carries the record, and wants each found; in the entries, with its entry.
func TestAttackerFlipsAByteAnywhere(t *testing.T) {
	good, key := pristine(t)
	cfg := stolen(t, good)
	var files []string
	err := filepath.WalkDir(cfg.Dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && e.Name() != lockName {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 7 {
		t.Fatalf("only %d files", len(files))
	}
	for _, path := range files {
		was := readFile(t, path)
		name, err := filepath.Rel(cfg.Dir, path)
		if err != nil {
			t.Fatal(err)
		}
		step := max(1, len(was)/97)
		for at := 0; at < len(was); at += step {
			for _, flip := range []byte{1, 0x80} {
				now := bytes.Clone(was)
				now[at] ^= flip
				writeFile(t, path, now)
				r, err := Verify(context.Background(), cfg.Dir, key)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if r.OK() {
					t.Errorf("%s: byte %d changed from %q to %q and nobody noticed", name, at, was[at], now[at])
				}
				if path == segmentOf(cfg) {
					wantNamed(t, r, uint64(bytes.Count(was[:at], []byte("\n"))))
				}
			}
		}
		writeFile(t, path, was)
	}
	mustVerify(t, cfg.Dir, key, tamperedSize)
}

// TestAttackerFlipsEveryByteOfAnEntry leaves no position of one line out.
func TestAttackerFlipsEveryByteOfAnEntry(t *testing.T) {
	good, key := pristine(t)
	cfg := stolen(t, good)
	was := readFile(t, segmentOf(cfg))
	start, end := 0, 0
	for range 4 {
		start, end = end, end+bytes.IndexByte(was[end:], '\n')+1
	}
	for at := start; at < end; at++ {
		now := bytes.Clone(was)
		now[at] ^= 4
		writeFile(t, segmentOf(cfg), now)
		r, err := Verify(context.Background(), cfg.Dir, key)
		if err != nil {
			t.Fatal(err)
		}
		wantNamed(t, r, 3)
		if len(r.Problems) > 4 {
			t.Errorf("byte %d: one change is %d problems", at, len(r.Problems))
		}
	}
}

// wantNamed wants a problem whose text names entry seq.
func wantNamed(t *testing.T, r Report, seq uint64) {
	t.Helper()
	for _, p := range r.Problems {
		if p.Seq == seq && strings.Contains(p.What, fmt.Sprintf("entry %d", seq)) {
			return
		}
	}
	t.Errorf("entry %d is not named: %v", seq, r.Problems)
}

// TestAttackerRemovesAFile removes each file in turn.
func TestAttackerRemovesAFile(t *testing.T) {
	good, key := pristine(t)
	for _, c := range []struct {
		path string
		word string
	}{
		{"checkpoint", "the last checkpoint is missing"},
		{"entries/00000000000000000000.jsonl", "entry 0 and all up to entry 599 are missing with their file"},
		{"tile/0/000", "stored hashes of entry 0"},
		{"tile/0/002.p/88", "stored hashes of entry 512"},
		{"tile/1/000.p/2", "stored hashes of entry 0"},
	} {
		t.Run(c.path, func(t *testing.T) {
			cfg := stolen(t, good)
			if err := os.Remove(filepath.Join(cfg.Dir, filepath.FromSlash(c.path))); err != nil {
				t.Fatal(err)
			}
			r, err := Verify(context.Background(), cfg.Dir, key)
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, p := range r.Problems {
				found = found || strings.Contains(p.What, c.word)
			}
			if !found {
				t.Errorf("%s removed: %v", c.path, r.Problems)
			}
		})
	}
}

// TestAttackerAddsAFile: what is not part of the record must not pass for it.
func TestAttackerAddsAFile(t *testing.T) {
	good, key := pristine(t)
	for _, path := range []string{
		"entries/00000000000000131072.jsonl", "entries/00000000000000000007.jsonl", "entries/notes.txt",
		"tile/0/003", "tile/0/000.p/12", "tile/1/001.p/7", "tile/5/000.p/1", "tile/notes.txt",
	} {
		t.Run(path, func(t *testing.T) {
			cfg := stolen(t, good)
			full := filepath.Join(cfg.Dir, filepath.FromSlash(path))
			if err := os.MkdirAll(filepath.Dir(full), dirMode); err != nil {
				t.Fatal(err)
			}
			writeFile(t, full, make([]byte, 12*tlog.HashSize))
			r, err := Verify(context.Background(), cfg.Dir, key)
			if err != nil {
				t.Fatal(err)
			}
			if r.OK() {
				t.Errorf("%s was added and nobody noticed", path)
			}
		})
	}
}

// TestAttackerRollsBack puts parts of an old, then truly signed state back.
func TestAttackerRollsBack(t *testing.T) {
	old := faultConfig(t)
	old.disk = newFaultDisk(0, nil)
	l := openLog(t, old)
	key := l.VerifierKey()
	appendN(t, l, 0, 300)
	closeLog(t, l)
	now := stolen(t, old)
	now.disk = newFaultDisk(0, nil)
	l = openLog(t, now)
	appendN(t, l, 300, tamperedSize)
	closeLog(t, l)

	for _, c := range []struct {
		back []string
		seq  uint64
		word string
	}{
		{[]string{"checkpoint"}, 300, "an old state was put back"},
		{[]string{"entries"}, 300, "missing at the end"},
		{[]string{"checkpoint", "entries", "tile"}, 300, "an old state was put back"},
		{[]string{"checkpoints", "entries", "tile"}, 300, "entry 300"},
		{[]string{"tile"}, 512, "stored hashes of entry 512"},
	} {
		t.Run(strings.Join(c.back, " and "), func(t *testing.T) {
			cfg := stolen(t, now)
			for _, name := range c.back {
				path := filepath.Join(cfg.Dir, name)
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
				from := filepath.Join(old.Dir, name)
				if st, err := os.Stat(from); err == nil && st.IsDir() {
					if err := os.CopyFS(path, os.DirFS(from)); err != nil {
						t.Fatal(err)
					}
					continue
				}
				writeFile(t, path, readFile(t, from))
			}
			mustFind(t, cfg.Dir, key, c.seq, c.word)
			if c.back[0] != "tile" {
				if _, err := Open(cfg); err == nil {
					t.Error("the log goes on from a state that was put back")
				}
			}
		})
	}
}

// TestAttackerSignsWithAnotherKey rewrites history whole, hashes and all, and
// signs it with a key of their own.
func TestAttackerSignsWithAnotherKey(t *testing.T) {
	good, key := pristine(t)
	forged := faultConfig(t)
	forged.disk = newFaultDisk(0, nil)
	l := openLog(t, forged)
	for n := range tamperedSize {
		ev := numbered(n)
		ev.Who = "nobody"
		if _, err := l.Append(ev); err != nil {
			t.Fatal(err)
		}
	}
	closeLog(t, l)

	t.Run("checkpoint only", func(t *testing.T) {
		cfg := stolen(t, good)
		writeFile(t, filepath.Join(cfg.Dir, checkpointName), readFile(t, filepath.Join(forged.Dir, checkpointName)))
		mustFind(t, cfg.Dir, key, tamperedSize, "not signed by")
		if _, err := Open(cfg); err == nil {
			t.Error("the log goes on from a forged checkpoint")
		}
	})
	t.Run("everything, with its public key", func(t *testing.T) {
		// By itself it is consistent; only somebody who has the true key can tell.
		if r := mustVerify(t, forged.Dir, "", tamperedSize); !r.SelfSigned {
			t.Error("the report does not say that the key came with the log")
		}
		mustFind(t, forged.Dir, key, 0, "not signed by")
		mustFind(t, forged.Dir, key, 0, "is not the one given")
	})
	t.Run("everything, the gateway keeps its key", func(t *testing.T) {
		cfg := forged
		cfg.KeyFile = good.Dir + ".key"
		if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "not the public half") {
			t.Errorf("Open: %v", err)
		}
	})
}

// TestAttackerRewritesEntryAndHashes changes an entry and every hash on disk to
// fit, everything that can be done without the signing key.
func TestAttackerRewritesEntryAndHashes(t *testing.T) {
	good, key := pristine(t)
	cfg := stolen(t, good)
	now := bytes.Replace(readFile(t, segmentOf(cfg)), []byte("id = 310"), []byte("id = 311"), 1)
	writeFile(t, segmentOf(cfg), now)
	var tr tree
	save := func(tile tlog.Tile, hashes []tlog.Hash) {
		writeFile(t, filepath.Join(cfg.Dir, filepath.FromSlash(tilePath(tile))), joinHashes(hashes))
	}
	for line := range bytes.Lines(now) {
		tr.push(tlog.RecordHash(bytes.TrimSuffix(line, []byte("\n"))), save)
	}
	tr.partial(save)
	// The checkpoint over 300 still holds, so the change is above it.
	mustFind(t, cfg.Dir, key, 300, "between entry 300 and entry 599 something was changed")
	if _, err := Open(cfg); err == nil {
		t.Error("the log goes on from a rewritten history")
	}
}

// TestAttackerThrowsTheRecordAway: a new empty one must not take its place.
func TestAttackerThrowsTheRecordAway(t *testing.T) {
	good, _ := pristine(t)
	cfg := stolen(t, good)
	if err := os.RemoveAll(cfg.Dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "not whole") {
		t.Errorf("Open: %v", err)
	}

	cfg = stolen(t, good)
	if err := os.Remove(filepath.Clean(cfg.Dir) + ".key"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "signing key") {
		t.Errorf("Open without the key: %v", err)
	}
}

// TestAttackerHidesUnsealedEntries damages what no checkpoint covers yet: that
// is not proven by a hash, but the log must not silently drop it.
func TestAttackerHidesUnsealedEntries(t *testing.T) {
	cfg := faultConfig(t)
	cfg.disk = newFaultDisk(0, nil)
	l := openLog(t, cfg)
	appendN(t, l, 0, 10)
	crashed := stolen(t, cfg) // as after kill -9, before any checkpoint
	closeLog(t, l)

	was := readFile(t, segmentOf(crashed))
	for name, now := range map[string][]byte{
		"removed":  append(bytes.Clone(was[:bytes.Index(was, []byte(`{"seq":4`))]), was[bytes.Index(was, []byte(`{"seq":5`)):]...),
		"damaged":  bytes.Replace(was, []byte(`"who":"user1@example.com"`), []byte(`"who":"user1@example.com`), 1),
		"repeated": append(bytes.Clone(was), was[:bytes.IndexByte(was, '\n')+1]...),
	} {
		t.Run(name, func(t *testing.T) {
			writeFile(t, segmentOf(crashed), now)
			r, err := Verify(context.Background(), crashed.Dir, "")
			if err != nil {
				t.Fatal(err)
			}
			if r.OK() {
				t.Error("nobody noticed")
			}
			if _, err := Open(crashed); err == nil || !strings.Contains(err.Error(), "whole entries come after it") {
				t.Errorf("Open: %v", err)
			}
		})
	}
	writeFile(t, segmentOf(crashed), was)
	checkRecovered(t, crashed, 10)
}
