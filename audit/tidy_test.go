package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

var longAgo = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// aged is a log of n entries, one a second from longAgo on, and a clock a year later.
func aged(t *testing.T, n int, change ...func(*Config)) (Config, *Log) {
	t.Helper()
	cfg := testConfig(t)
	cfg.Now = func() time.Time { return longAgo.AddDate(1, 0, 0) }
	for _, c := range change {
		c(&cfg)
	}
	l := openLog(t, cfg)
	older(t, l, 0, n)
	return cfg, l
}

func older(t *testing.T, l *Log, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := l.Later(Event{Kind: Decided, Time: longAgo.Add(time.Duration(i) * time.Second), Who: "ada", SQL: fmt.Sprint("select ", i), Effect: "allow"}); err != nil {
			t.Fatal(err)
		}
	}
	ticket, err := l.Append(Event{Kind: Admin, Time: longAgo.Add(time.Duration(to) * time.Second), Detail: "the last"})
	if err == nil {
		err = ticket.Durable(t.Context())
	}
	if err == nil {
		err = l.Seal(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func verified(t *testing.T, cfg Config, key string, witnesses ...Witness) Report {
	t.Helper()
	r, err := Verify(t.Context(), cfg.Dir, key, witnesses...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// found is the texts of some entries, read in every way that there is.
func found(t *testing.T, cfg Config, from Place) (out []string) {
	t.Helper()
	n := 0
	_, err := Forward(t.Context(), cfg.Dir, from, func(at Place, line []byte) error {
		if n++; n%1000 == 1 {
			out = append(out, fmt.Sprint(at), string(line))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	res, err := Query(t.Context(), cfg.Dir, Filter{Text: "777", Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range res.Events {
		out = append(out, ev.SQL)
	}
	return out
}

const tidyEntries = 2*segmentEntries + 50

func TestPackedSegmentsAreReadAsBefore(t *testing.T) {
	cfg, l := aged(t, tidyEntries)
	somewhere, err := PlaceOf(t.Context(), cfg.Dir, 70_000)
	if err != nil {
		t.Fatal(err)
	}
	before, later := found(t, cfg, Place{}), found(t, cfg, somewhere)
	size := dirBytes(t, cfg.Dir)
	done, err := l.Tidy(t.Context(), Tidying{Pack: time.Hour})
	if err != nil || done.Packed != 2 || done.Removed != 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	if now := dirBytes(t, cfg.Dir); now > size/3 {
		t.Errorf("%d bytes, %d before", now, size)
	}
	if again, err := l.Tidy(t.Context(), Tidying{Pack: time.Hour}); err != nil || again.Packed != 0 {
		t.Errorf("a second time: %+v, %v", again, err)
	}
	for i, want := range [][]string{before, later} {
		if got := found(t, cfg, []Place{{}, somewhere}[i]); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("what is read is not what was there")
		}
	}
	if r := verified(t, cfg, l.VerifierKey()); !r.OK() || r.Entries != tidyEntries+1 {
		t.Errorf("%+v", r)
	}
	if p, err := Prove(t.Context(), cfg.Dir, fmt.Sprint(l.idPrefix, 12_345), nil); err != nil || !strings.Contains(p.Entry, "select 12345") {
		t.Errorf("%+v, %v", p, err)
	}
	if out, ok := stranger(t, l.VerifierKey(), cfg.Dir); !ok {
		t.Error(out)
	}
	closeLog(t, l)
	l = openLog(t, cfg)
	older(t, l, tidyEntries, tidyEntries+100)
	if r := verified(t, cfg, l.VerifierKey()); !r.OK() || r.Entries != tidyEntries+102 {
		t.Errorf("after a restart: %+v", r)
	}
}

func dirBytes(t *testing.T, dir string) (n int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, entriesDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		n += info.Size()
	}
	return n
}

// A packed segment that was changed is found, and says where.
func TestAChangedPackedSegmentIsFound(t *testing.T) {
	cfg, l := aged(t, 2*segmentEntries+5)
	if _, err := l.Tidy(t.Context(), Tidying{Pack: time.Hour}); err != nil {
		t.Fatal(err)
	}
	path := segmentPath(cfg.Dir, 0) + packedSuffix
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := openPacked(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := make([]byte, p.(*packedFile).size)
	if _, err := p.ReadAt(lines, 0); err != nil {
		t.Fatal(err)
	}
	_ = p.Close()
	forged, err := pack(bytes.Replace(lines, []byte("select 4242\""), []byte("select 4243\""), 1))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"another entry": forged, "a flipped byte": flipped(whole, 1000), "cut off": whole[:len(whole)-20], "a damaged table": flipped(whole, len(whole)-30), "nothing": nil} {
		if err := os.WriteFile(path, data, fileMode); err != nil {
			t.Fatal(err)
		}
		r, err := Verify(t.Context(), cfg.Dir, l.VerifierKey())
		if err == nil && r.OK() {
			t.Errorf("%s: it verifies", name)
		}
		if name == "another entry" && (err != nil || len(r.Problems) != 1 || r.Problems[0].Seq != 4242) {
			t.Errorf("%s: %+v, %v", name, r.Problems, err)
		}
		if out, ok := stranger(t, l.VerifierKey(), cfg.Dir); ok && name != "a damaged table" { // which it need not read
			t.Errorf("%s: a stranger says %s", name, out)
		}
	}
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 0x40
	return b
}

func TestRemovedEntriesLeaveAWholeTree(t *testing.T) {
	cfg, l := aged(t, tidyEntries)
	if _, err := l.Tidy(t.Context(), Tidying{Pack: time.Hour}); err != nil {
		t.Fatal(err)
	}
	old, _, err := Newest(cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	// What somebody still needs stays, whatever its age.
	if done, err := l.Tidy(t.Context(), Tidying{Keep: time.Hour, Needed: segmentEntries - 1}); err != nil || done.Removed != 0 || done.First != 0 {
		t.Errorf("what is needed: %+v, %v", done, err)
	}
	done, err := l.Tidy(t.Context(), Tidying{Keep: time.Hour, Needed: 2*segmentEntries + 7})
	if err != nil || done.Removed != 2 || done.First != 2*segmentEntries {
		t.Fatalf("%+v, %v", done, err)
	}
	check := func(what string) {
		t.Helper()
		r := verified(t, cfg, l.VerifierKey(), Witness{Name: "w", Kept: append(old, '\n')})
		if !r.OK() || r.Removed != 2*segmentEntries {
			t.Errorf("%s: %+v", what, r)
		}
		if out, ok := stranger(t, l.VerifierKey(), cfg.Dir); !ok || !strings.Contains(out, fmt.Sprint("the first ", 2*segmentEntries, " were removed")) {
			t.Errorf("%s: a stranger says %s", what, out)
		}
	}
	check("removed")
	res, err := Query(t.Context(), cfg.Dir, Filter{Kind: Removed})
	if err != nil || len(res.Events) != 1 || res.Events[0].KeptFrom != 2*segmentEntries || !strings.Contains(res.Events[0].Detail, "entries 0 to 131071 are removed") {
		t.Errorf("the record says %+v, %v", res.Events, err)
	}
	if _, err := Prove(t.Context(), cfg.Dir, fmt.Sprint(l.idPrefix, 5), nil); err == nil {
		t.Error("a removed entry is proven")
	}
	p, err := Prove(t.Context(), cfg.Dir, fmt.Sprint(l.idPrefix, 2*segmentEntries+5), old)
	if err != nil || p.Since == nil {
		t.Errorf("a kept entry, and that the record only grew: %v", err)
	}
	if first, err := First(cfg.Dir); err != nil || first != 2*segmentEntries {
		t.Error(first, err)
	}
	closeLog(t, l)
	l = openLog(t, cfg)
	older(t, l, 0, 10)
	check("after a restart")
}

// Whoever takes entries away by themselves is found, with the key too.
func TestWhatIsGoneWithoutARecordIsFound(t *testing.T) {
	cfg, l := aged(t, tidyEntries)
	if _, err := l.Tidy(t.Context(), Tidying{Keep: time.Hour, Needed: segmentEntries + 1}); err != nil {
		t.Fatal(err)
	}
	older(t, l, 0, 10)
	closeLog(t, l)
	at := func(name string) string { return filepath.Join(cfg.Dir, filepath.FromSlash(name)) }
	read := func(path string) []byte {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	sign := func(size uint64, root tlog.Hash) []byte {
		msg, err := note.Sign(&note.Note{Text: removal{cfg.Origin, size, root}.text()}, l.key.signer)
		if err != nil {
			t.Fatal(err)
		}
		return msg
	}
	next := segmentPath(cfg.Dir, segmentEntries)
	msg, size, err := Newest(cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := openCheckpoint(msg, l.key.known)
	if err != nil {
		t.Fatal(err)
	}
	root, err := tlog.TreeHash(2*segmentEntries, tlog.TileHashReader(tlog.Tree{N: size, Hash: c.Root}, tileFiles(cfg.Dir)))
	if err != nil {
		t.Fatal(err)
	}
	for name, harm := range map[string]struct {
		path  string
		data  []byte // nil removes
		also  string
		forge []byte
		opens bool
	}{
		"another segment":                        {path: next},
		"another segment, with a signed note":    {path: next, also: at(removedName), forge: sign(2*segmentEntries, root), opens: true},
		"the note":                               {path: at(removedName)},
		"a note that is not signed":              {path: at(removedName), data: bytes.Replace(read(at(removedName)), []byte("65536"), []byte("131072"), 1)},
		"a hash of what was removed":             {path: at("tile/0/007"), data: flipped(read(at("tile/0/007")), 40), opens: true},
		"the hashes of what was removed":         {path: at("tile/0/007"), opens: true},
		"a note with another root over the same": {path: at(removedName), data: sign(segmentEntries, root), opens: true},
	} {
		saved := map[string][]byte{harm.path: read(harm.path)}
		if harm.also != "" {
			saved[harm.also] = read(harm.also)
			if err := os.WriteFile(harm.also, harm.forge, fileMode); err != nil {
				t.Fatal(err)
			}
		}
		if harm.data == nil {
			err = os.Remove(harm.path)
		} else {
			err = os.WriteFile(harm.path, harm.data, fileMode)
		}
		if err != nil {
			t.Fatal(err)
		}
		if r := verified(t, cfg, l.VerifierKey()); r.OK() {
			t.Errorf("%s: it verifies", name)
		}
		if out, ok := stranger(t, l.VerifierKey(), cfg.Dir); ok {
			t.Errorf("%s: a stranger says %s", name, out)
		}
		if again, err := Open(cfg); (err == nil) != harm.opens {
			t.Errorf("%s: opened: %v", name, err)
		} else if err == nil {
			closeLog(t, again)
		}
		for path, data := range saved {
			if err := os.WriteFile(path, data, fileMode); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// stuck is a disk that removes nothing for a while.
type stuck struct {
	realDisk
	left *int
}

var errStuck = errors.New("it is stuck")

func (s stuck) remove(path string) error {
	if strings.Contains(path, segmentSuffix) {
		if *s.left--; *s.left < 0 {
			return errStuck
		}
	}
	return s.realDisk.remove(path)
}

// Wherever a crash ends it, the record verifies, and the next time it is finished.
func TestTidyingThatEndsHalfwayIsFinished(t *testing.T) {
	base, l := aged(t, tidyEntries)
	closeLog(t, l)
	for left := range 4 {
		n := left
		cfg := base
		cfg.Dir = filepath.Join(t.TempDir(), "record")
		if err := errors.Join(os.CopyFS(cfg.Dir, os.DirFS(base.Dir)), os.CopyFS(cfg.Dir+".keys", os.DirFS(filepath.Dir(base.Dir)))); err != nil {
			t.Fatal(err)
		}
		cfg.KeyFile, cfg.disk = filepath.Join(cfg.Dir+".keys", "record.key"), stuck{left: &n}
		l := openLog(t, cfg)
		_, err := l.Tidy(t.Context(), Tidying{Keep: time.Hour, Pack: time.Minute, Needed: 2 * segmentEntries})
		if err != nil && !errors.Is(err, errStuck) {
			t.Fatal(err)
		}
		if r := verified(t, cfg, l.VerifierKey()); !r.OK() {
			t.Errorf("after %d: %+v", left, r.Problems)
		}
		if out, ok := stranger(t, l.VerifierKey(), cfg.Dir); !ok {
			t.Errorf("after %d: %s", left, out)
		}
		n = 100
		done, err := l.Tidy(t.Context(), Tidying{Keep: time.Hour, Pack: time.Minute, Needed: 2 * segmentEntries})
		if err != nil || done.First != 2*segmentEntries {
			t.Errorf("after %d: %+v, %v", left, done, err)
		}
		if r := verified(t, cfg, l.VerifierKey()); !r.OK() || r.Removed != 2*segmentEntries {
			t.Errorf("after %d, finished: %+v", left, r)
		}
		closeLog(t, l)
	}
}

// The last segment, and what no checkpoint covers, is never touched; and a context that is
// done ends the work.
func TestTidyingLeavesTheEndAlone(t *testing.T) {
	_, l := aged(t, segmentEntries-2) // with the last one, all but one of a segment
	for range 2 {
		if done, err := l.Tidy(t.Context(), Tidying{Keep: time.Second, Pack: time.Second, Needed: 1 << 40}); err != nil || done != (Tidied{}) {
			t.Errorf("%+v, %v", done, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	older(t, l, 0, segmentEntries)
	if done, err := l.Tidy(ctx, Tidying{Pack: time.Second}); err == nil || done.Packed != 0 {
		t.Errorf("%+v, %v", done, err)
	}
}

func FuzzPacked(f *testing.F) {
	for _, lines := range []string{"", "a\n", strings.Repeat("{\"seq\":1}\n", 50_000)} {
		data, err := pack([]byte(lines))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x.zst")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		p, err := openPacked(file)
		if err != nil {
			return
		}
		defer p.Close()
		buf := make([]byte, 100)
		for range 50 {
			if _, err := p.Read(buf); err != nil {
				break
			}
		}
		_, _ = p.ReadAt(buf, 7)
	})
}

// A verification that began before entries were removed does not call that a fault, and
// one that finds them taken away by somebody else does.
func TestVerificationGoesOnWhileEntriesAreRemoved(t *testing.T) {
	cfg, l := aged(t, tidyEntries)
	begin := func() *verifier {
		v := &verifier{dir: cfg.Dir, listed: map[string]bool{}}
		if err := errors.Join(v.chooseKey(l.VerifierKey()), v.readCheckpoints(), v.listTiles()); err != nil {
			t.Fatal(err)
		}
		return v
	}
	before, thief := begin(), begin()
	v := before
	v.meet() // what was signed of the empty log
	if err := v.readRemoved([]uint64{0, segmentEntries, 2 * segmentEntries}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Tidy(t.Context(), Tidying{Keep: time.Hour, Needed: segmentEntries + 1}); err != nil {
		t.Fatal(err)
	}
	for base := int64(0); ; base += segmentEntries {
		ended, err := v.segment(t.Context(), base)
		if err != nil {
			t.Fatal(err)
		}
		if ended {
			break
		}
	}
	v.closeTile()
	v.settleRemoved()
	if len(v.report.Problems) > 0 || v.report.Removed != segmentEntries {
		t.Errorf("%+v", v.report)
	}
	if err := os.Remove(segmentPath(cfg.Dir, segmentEntries)); err != nil {
		t.Fatal(err)
	}
	if err := thief.readEntries(t.Context()); err != nil || len(thief.report.Problems) == 0 {
		t.Errorf("a segment that was taken away is no fault: %v", err)
	}
}
