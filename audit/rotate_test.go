package audit

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func rotate(t *testing.T, l *Log) Rotation {
	t.Helper()
	r, err := l.Rotate(t.Context(), Event{Who: "root@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sealAll makes a checkpoint over all there is.
func sealAll(t *testing.T, l *Log) {
	t.Helper()
	l.syncNow()
	if err := l.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// rotated is a record of 900 entries whose key was replaced twice, and its public keys; it
// was closed and opened in between.
func rotated(t *testing.T) (cfg Config, keys []string, old key) {
	t.Helper()
	cfg = faultConfig(t)
	l := openLog(t, cfg)
	old = l.key
	appendN(t, l, 0, 300)
	one := rotate(t, l)
	appendN(t, l, 301, 500)
	closeLog(t, l)
	l = openLog(t, cfg)
	appendN(t, l, 500, 600)
	two := rotate(t, l)
	if one.New != two.Old || l.VerifierKey() != two.New || two.Entry != 600 {
		t.Fatalf("%+v, then %+v", one, two)
	}
	appendN(t, l, 601, 900)
	closeLog(t, l)
	return cfg, []string{one.Old, one.New, two.New}, old
}

// Whoever has any of the keys can verify the record and all proofs, ours or a stranger's
// program; each ID and each proof from before is still good.
func TestARotatedRecordVerifies(t *testing.T) {
	cfg := faultConfig(t)
	l := openLog(t, cfg)
	first := l.VerifierKey()
	appendN(t, l, 0, 200)
	sealAll(t, l)
	before, err := Prove(t.Context(), cfg.Dir, fmt.Sprint(l.idPrefix, 100), nil)
	if err != nil {
		t.Fatal(err)
	}
	old := readFile(t, filepath.Join(cfg.Dir, checkpointName))
	r := rotate(t, l)
	at := filepath.Join(t.TempDir(), "proof")
	check := func(p *Proof, key string, want bool) {
		t.Helper()
		text := marshal(t, p)
		_, err := VerifyProof(text, key)
		writeFile(t, at, text)
		if out, ok := stranger(t, key, at); (err == nil) != want || ok != want {
			t.Errorf("VerifyProof: %v; the stranger: %s", err, out)
		}
	}
	prove := func(seq int, since []byte) *Proof {
		t.Helper()
		p, err := Prove(t.Context(), cfg.Dir, fmt.Sprint(l.idPrefix, seq), since)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	check(before, first, true)
	check(before, r.New, false)         // it was not signed by that key, and does not lead to it
	check(prove(200, nil), first, true) // of the entry that says so
	check(prove(200, nil), r.New, true) // at once: no entry has to come
	appendN(t, l, 201, 400)
	r2 := rotate(t, l)
	appendN(t, l, 401, 500)
	closeLog(t, l)
	other := faultConfig(t)
	o := openLog(t, other)
	closeLog(t, o)
	for _, key := range []string{first, r.New, r2.New} {
		rep := mustVerify(t, cfg.Dir, key, 500)
		if len(rep.Keys) != 3 || rep.Replaced != (key != r2.New) || !strings.HasSuffix(rep.Signer, short(r2.New)) {
			t.Errorf("%+v", rep)
		}
		if out, ok := stranger(t, key, cfg.Dir); !ok || !strings.HasPrefix(out, "ok: 500 entries, ") {
			t.Error(out)
		}
		check(prove(100, old), key, true)
		check(prove(450, old), key, true)
	}
	check(prove(100, old), o.VerifierKey(), false)
	if out, ok := stranger(t, o.VerifierKey(), cfg.Dir); ok {
		t.Error(out)
	}
	if r, err := Verify(t.Context(), cfg.Dir, o.VerifierKey()); err != nil || r.OK() {
		t.Errorf("with another key: %+v, %v", r, err)
	}
	res, err := Query(t.Context(), cfg.Dir, Filter{Kind: Rotated})
	if err != nil || len(res.Events) != 2 || res.Events[0].Key != r2.New || res.Events[0].Who != "root@example.com" || res.Events[0].ID != fmt.Sprint(l.idPrefix, 400) {
		t.Errorf("%+v, %v", res.Events, err)
	}
	if b := readFile(t, l.cfg.KeyFile); strings.TrimSpace(string(b)) != l.key.secret {
		t.Error("the key file has another key")
	}
	if _, err := os.Stat(l.cfg.KeyFile + nextSuffix); err == nil {
		t.Error("the key is there twice")
	}
}

// mustFail verifies with each key, ours and the stranger's, and wants a problem with words.
func mustFail(t *testing.T, dir string, keys []string, words string) {
	t.Helper()
	for i, key := range keys {
		r, err := Verify(context.Background(), dir, key)
		if err != nil {
			t.Fatal(err)
		}
		if r.OK() {
			t.Errorf("key %d: nobody noticed", i)
		} else if words != "" && !strings.Contains(fmt.Sprint(r.Problems), words) {
			t.Errorf("key %d: %v, want %q", i, r.Problems, words)
		}
	}
	if out, ok := stranger(t, keys[0], dir); ok { // one is enough: it takes its time
		t.Errorf("the stranger noticed nothing: %s", out)
	}
}

// Who has stolen the old key after it was replaced can sign nothing with it: no later
// checkpoint, no other history under the old ones, no other key in place of the new one.
func TestAStolenOldKeySignsNothingAnyMore(t *testing.T) {
	good, keys, old := rotated(t)
	mustVerify(t, good.Dir, keys[2], 900)
	sign := func(c checkpoint) []byte {
		msg, err := c.sign(old.signer)
		if err != nil {
			t.Fatal(err)
		}
		return msg
	}
	ring, err := storedKeys(good.Dir)
	if err != nil {
		t.Fatal(err)
	}
	last, err := ring.open(readFile(t, filepath.Join(good.Dir, checkpointName)))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("a later checkpoint", func(t *testing.T) {
		cfg := stolen(t, good)
		writeFile(t, filepath.Join(cfg.Dir, checkpointName), sign(last))
		mustFail(t, cfg.Dir, keys, "signs from 0 to 301 only")
		if _, err := Open(cfg); err == nil {
			t.Error("a gateway goes on with it")
		}
	})
	t.Run("a proof", func(t *testing.T) {
		p, err := Prove(t.Context(), good.Dir, fmt.Sprint(idPrefix(ring.keys[0]), 700), nil)
		if err != nil {
			t.Fatal(err)
		}
		p.Checkpoint = string(sign(last))
		for _, key := range keys {
			if _, err := VerifyProof(marshal(t, p), key); err == nil {
				t.Error("a proof under a checkpoint of the old key is taken")
			}
		}
	})
	t.Run("another history under the old key", func(t *testing.T) {
		cfg := stolen(t, good)
		lines := bytes.SplitAfter(readFile(t, segmentOf(cfg)), []byte("\n"))
		lines[100] = bytes.Replace(lines[100], []byte("select"), []byte("delete"), 1)
		writeFile(t, segmentOf(cfg), bytes.Join(lines, nil))
		tr := tree{}
		for _, line := range lines[:301] {
			tr.push(tlog.RecordHash(bytes.TrimSuffix(line, []byte("\n"))), nil)
		}
		path := filepath.Join(cfg.Dir, historyName)
		notes, _, _ := splitHistory(readFile(t, path))
		var out []byte
		for _, n := range notes {
			if c, err := openCheckpoint(n, old.known); err == nil && c.Size == 301 {
				n = sign(checkpoint{Origin: c.Origin, Size: 301, Root: tr.root()})
			}
			out = append(append(out, n...), '\n')
		}
		writeFile(t, path, out)
		mustFail(t, cfg.Dir, keys, "entry 100")
	})
	t.Run("another key takes over", func(t *testing.T) {
		// The thief has the record as it was, and goes on with it: who only has the old key
		// cannot tell; who was given the new one can, and so can a witness.
		cfg := stolen(t, good)
		data := readFile(t, segmentOf(cfg))
		writeFile(t, segmentOf(cfg), data[:bytes.Index(data, []byte(`{"seq":300,`))])
		for _, path := range []string{tileDir, keysName, historyName} {
			if err := os.RemoveAll(filepath.Join(cfg.Dir, path)); err != nil {
				t.Fatal(err)
			}
		}
		empty := tree{}
		writeFile(t, filepath.Join(cfg.Dir, checkpointName), sign(checkpoint{Origin: cfg.Origin, Root: empty.root()}))
		writeFile(t, cfg.Dir+".key", []byte(old.secret+"\n"))
		l := openLog(t, cfg)
		rotate(t, l)
		appendN(t, l, 301, 900)
		closeLog(t, l)
		mustVerify(t, cfg.Dir, keys[0], 900)
		mustFail(t, cfg.Dir, keys[1:], "the public key")
		w := WitnessFile{Path: filepath.Join(t.TempDir(), "seen")}
		keep(t, w, good.Dir)
		if r := verifyWith(t, cfg.Dir, keys[0], w); r.OK() {
			t.Error("the witness did not see it")
		}
		if err := w.Keep(cfg.Dir); err == nil {
			t.Error("the witness goes on with it")
		}
	})
}

// A note that another key takes over counts only as the old key has signed it, and only if
// the record says so too.
func TestARotationBehindTheRecordsBack(t *testing.T) {
	good, keys, old := rotated(t)
	notes, _, _ := splitHistory(readFile(t, filepath.Join(good.Dir, keysName)))
	text, _, _ := strings.Cut(string(notes[0]), "\n\n")
	first, err := parseReplacement(text + "\n")
	if err != nil {
		t.Fatal(err)
	}
	thief, err := newKey(good.Origin)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(r replacement, by ...key) []byte {
		var signers []note.Signer
		for _, k := range by {
			signers = append(signers, k.signer)
		}
		msg, err := note.Sign(&note.Note{Text: r.text()}, signers...)
		if err != nil {
			t.Fatal(err)
		}
		return append(msg, '\n')
	}
	mine := first
	mine.New = thief.public
	for name, c := range map[string]struct {
		keys  []byte
		words string
	}{
		"the old key has not signed it":     {sign(mine, thief), "has not signed the note"},
		"the new key has not signed it":     {sign(mine, old), "has not signed the note"},
		"the entry names another key":       {sign(mine, old, thief), ""},
		"a note is missing":                 {append(bytes.Clone(notes[1]), '\n'), "other than"},
		"the last note is missing":          {append(bytes.Clone(notes[0]), '\n'), "not signed by"},
		"all notes are missing":             {nil, "not signed by"},
		"the notes are the other way round": {append(append(bytes.Clone(notes[1]), '\n'), append(bytes.Clone(notes[0]), '\n')...), "other than"},
		"half of a note":                    {append(append(bytes.Clone(notes[0]), '\n'), notes[1][:50]...), "not one"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := stolen(t, good)
			writeFile(t, filepath.Join(cfg.Dir, keysName), c.keys)
			mustFail(t, cfg.Dir, keys, c.words)
			if _, err := Open(cfg); err == nil {
				t.Error("a gateway goes on with it")
			}
		})
	}
	t.Run("no entry says so", func(t *testing.T) {
		cfg := faultConfig(t)
		l := openLog(t, cfg)
		appendN(t, l, 0, 100)
		closeLog(t, l)
		r := replacement{Origin: cfg.Origin, Entry: 50, Size: 100, Root: l.seal.last.Root, Old: l.key.public, New: ""}
		thief, err := newKey(cfg.Origin)
		if err != nil {
			t.Fatal(err)
		}
		r.New = thief.public
		writeFile(t, filepath.Join(cfg.Dir, keysName), sign(r, l.key, thief))
		mustFail(t, cfg.Dir, []string{r.Old, r.New}, "behind the record's back")
	})
	t.Run("any byte of the notes", func(t *testing.T) {
		cfg := stolen(t, good)
		path := filepath.Join(cfg.Dir, keysName)
		was := readFile(t, path)
		for at := range was {
			now := bytes.Clone(was)
			now[at] ^= 1
			writeFile(t, path, now)
			if r, err := VerifyHead(cfg.Dir, keys[2]); err != nil || r.OK() {
				t.Fatalf("byte %d changed from %q and nobody noticed: %v", at, was[at], err)
			}
		}
	})
}

// A crash at any write of a rotation leaves a record that opens, verifies with the key that
// people have, and goes on.
func TestCrashAtEveryDiskCallOfARotation(t *testing.T) {
	turned, kept := 0, 0
	for n := 1; ; n++ {
		cfg := faultConfig(t)
		cfg.disk = newFaultDisk(0, nil)
		l := openLog(t, cfg)
		first := l.VerifierKey()
		appendN(t, l, 0, 40)
		sealAll(t, l)
		d := newFaultDisk(n, errPower)
		l.cfg.disk = d
		_, err := l.Rotate(t.Context(), Event{})
		broke := d.broke()
		if (err != nil) != broke && !broke {
			t.Fatalf("call %d: %v", n, err)
		}
		_ = l.Close() // after the crash it says so
		cfg.disk = nil
		l, err = Open(cfg)
		if err != nil {
			t.Fatalf("call %d: %v", n, err)
		}
		if l.VerifierKey() == first {
			kept++
		} else {
			turned++
		}
		size := int(l.Size())
		appendN(t, l, size, size+20)
		rotate(t, l)
		closeLog(t, l)
		mustVerify(t, cfg.Dir, first, size+21)
		if !broke {
			break
		}
	}
	if turned < 2 || kept < 2 {
		t.Errorf("%d crashes came after the key was replaced, %d before: this test tests nothing", turned, kept)
	}
}

// Rotations, appends and checkpoints at the same time.
func TestRotationUnderLoad(t *testing.T) {
	cfg := faultConfig(t)
	cfg.sealEvery = 1
	l := openLog(t, cfg)
	first := l.VerifierKey()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 3000 {
			if _, err := l.Append(numbered(i)); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for range 5 {
		rotate(t, l)
	}
	<-done
	closeLog(t, l)
	r, err := Verify(t.Context(), cfg.Dir, first)
	if err != nil || !r.OK() || r.Entries != 3005 || len(r.Keys) != 6 {
		t.Errorf("%+v, %v", r, err)
	}
}

// The entry of a rotation may be removed with others; the notes then stand for it, and what
// was removed under one key is still removed under the next.
func TestRotationsOutliveTheirEntries(t *testing.T) {
	cfg := testConfig(t)
	cfg.Now = func() time.Time { return longAgo.AddDate(1, 0, 0) }
	l := openLog(t, cfg)
	older(t, l, 0, 100)
	one := rotate(t, l)
	older(t, l, 102, segmentEntries+200)
	for round := range 2 {
		done, err := l.Tidy(t.Context(), Tidying{Keep: time.Hour, Needed: 1 << 40})
		if err != nil || round == 0 && done.Removed != 1 {
			t.Fatalf("%+v, %v", done, err)
		}
		sealAll(t, l)
		for _, key := range []string{one.Old, one.New, l.VerifierKey()} {
			if r := verified(t, cfg, key); !r.OK() || r.Removed != segmentEntries || len(r.Keys) != 2+round {
				t.Errorf("round %d: %+v", round, r)
			}
		}
		if out, ok := stranger(t, l.VerifierKey(), cfg.Dir); !ok {
			t.Errorf("round %d: %s", round, out)
		}
		if before, err := RemovedBefore(cfg.Dir); err != nil || before != segmentEntries {
			t.Errorf("round %d: %d, %v", round, before, err)
		}
		if round == 0 {
			rotate(t, l)
		}
	}
	closeLog(t, l)
	l = openLog(t, cfg)
	closeLog(t, l)
}
