package audit

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// witnessed is a record of 500 entries of which a witness keeps 200 and 500, and a copy
// of it as it was at 200.
func witnessed(t *testing.T) (cfg Config, key string, w WitnessFile, old string) {
	t.Helper()
	cfg = testConfig(t)
	w = WitnessFile{Path: filepath.Join(t.TempDir(), "seen")}
	old = filepath.Join(t.TempDir(), "old")
	l := openLog(t, cfg)
	key = l.VerifierKey()
	appendN(t, l, 0, 200)
	closeLog(t, l)
	keep(t, w, cfg.Dir)
	if out, err := exec.CommandContext(t.Context(), "cp", "-r", cfg.Dir, old).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	l = openLog(t, cfg)
	appendN(t, l, 200, 500)
	closeLog(t, l)
	keep(t, w, cfg.Dir)
	keep(t, w, cfg.Dir) // nothing new
	return cfg, key, w, old
}

func keep(t *testing.T, w WitnessFile, dir string) {
	t.Helper()
	if err := w.Keep(dir); err != nil {
		t.Fatal(err)
	}
}

// verifyWith gives the problems that a verification with the witness finds.
func verifyWith(t *testing.T, dir, key string, w WitnessFile) Report {
	t.Helper()
	seen, err := ReadWitness(w.Path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Verify(context.Background(), dir, key, seen)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAWitnessSeesTheWholeRecord(t *testing.T) {
	cfg, key, w, _ := witnessed(t)
	r := verifyWith(t, cfg.Dir, key, w)
	if !r.OK() || r.Witnessed != 500 {
		t.Fatalf("%+v", r)
	}
	b, err := os.ReadFile(w.Path)
	if err != nil {
		t.Fatal(err)
	}
	if notes, _, torn := splitHistory(b); len(notes) != 2 || torn != 0 {
		t.Errorf("it keeps %d checkpoints and %d bytes more", len(notes), torn)
	}
	// A checkpoint by itself, as it was copied or printed, is a witness too.
	one, err := os.ReadFile(filepath.Join(cfg.Dir, checkpointName))
	if err != nil {
		t.Fatal(err)
	}
	r, err = Verify(context.Background(), cfg.Dir, key, Witness{Name: "paper", Kept: one})
	if err != nil || !r.OK() || r.Witnessed != 500 {
		t.Errorf("%+v, %v", r, err)
	}
}

// The whole directory put back as it was verifies by itself; the witness knows better,
// and keeps nothing of it.
func TestRollBackIsSeenByAWitness(t *testing.T) {
	_, key, w, old := witnessed(t)
	mustVerify(t, old, key, 200)
	r := verifyWith(t, old, key, w)
	if r.OK() || r.Problems[0].Seq != 200 || !strings.Contains(r.Problems[0].What, "covers 500 entries, but only 200 are there") {
		t.Errorf("%+v", r.Problems)
	}
	if err := w.Keep(old); !Rolled(err) {
		t.Errorf("kept: %v", err)
	}
}

// Who has the signing key cuts the end off and goes on with other entries: the record
// verifies by itself, and the witness says between which entries it is another.
func TestRewritingIsSeenByAWitness(t *testing.T) {
	cfg, key, w, old := witnessed(t)
	forged := cfg
	forged.Dir, forged.KeyFile = old, cfg.Dir+".key"
	l := openLog(t, forged)
	appendN(t, l, 200, 499)
	if _, err := l.Append(Event{Kind: Admin, Detail: "nothing happened"}); err != nil {
		t.Fatal(err)
	}
	appendN(t, l, 500, 600)
	closeLog(t, l)
	mustVerify(t, old, key, 600)
	r := verifyWith(t, old, key, w)
	if r.OK() || r.Problems[0].Seq != 200 || !strings.Contains(r.Problems[0].What, "between entry 200 and entry 499") {
		t.Errorf("%+v", r.Problems)
	}
	if err := w.Keep(old); !Rolled(err) {
		t.Errorf("kept: %v", err)
	}
}

// A witness that is of another log, or empty, vouches for nothing.
func TestAFalseWitnessIsNamed(t *testing.T) {
	cfg, key, w, _ := witnessed(t)
	for name, kept := range map[string]string{"empty": "", "rubbish": "no checkpoint at all\n\nnor this\n\n"} {
		if err := os.WriteFile(w.Path, []byte(kept), fileMode); err != nil {
			t.Fatal(err)
		}
		if r := verifyWith(t, cfg.Dir, key, w); r.OK() {
			t.Errorf("%s: all is well", name)
		}
	}
}
