package audit

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// stranger runs the verifier in Python, which was written from format.md alone.
func stranger(t *testing.T, key, what string) (string, bool) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "python3", filepath.Join("..", "scripts", "verify_record.py"), key, what).CombinedOutput()
	text := string(out)
	if (err == nil) != strings.HasPrefix(text, "ok: ") || err != nil && !strings.HasPrefix(text, "wrong: ") {
		t.Fatalf("%s: %v\n%s\nhint: make test installs Python 3", what, err, text)
	}
	return text, err == nil
}

// Somebody else's verifier accepts what is right, and refuses what was changed.
func TestStrangersVerifyARecord(t *testing.T) {
	cfg := testConfig(t)
	l := openLog(t, cfg)
	appendN(t, l, 0, 300)
	closeLog(t, l)
	l = openLog(t, cfg)
	appendN(t, l, 300, 700)
	closeLog(t, l)
	if out, ok := stranger(t, l.VerifierKey(), cfg.Dir); !ok || !strings.HasPrefix(out, "ok: 700 entries, ") {
		t.Fatal(out)
	}
	for name, harm := range map[string]func([]byte) []byte{
		"a changed entry":  func(b []byte) []byte { return bytes.Replace(b, []byte("id = 123"), []byte("id = 124"), 1) },
		"a removed entry":  func(b []byte) []byte { return b[bytes.IndexByte(b, '\n')+1:] },
		"the end cut off":  func(b []byte) []byte { return b[:bytes.Index(b, []byte(`{"seq":650,`))] },
		"nothing but time": func(b []byte) []byte { return bytes.Replace(b, []byte("05:06:07"), []byte("05:06:08"), 1) },
	} {
		file := segmentPath(cfg.Dir, 0)
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, harm(bytes.Clone(whole)), fileMode); err != nil {
			t.Fatal(err)
		}
		if out, ok := stranger(t, l.VerifierKey(), cfg.Dir); ok {
			t.Errorf("%s: %s", name, out)
		}
		if err := os.WriteFile(file, whole, fileMode); err != nil {
			t.Fatal(err)
		}
	}
	other := testConfig(t)
	o := openLog(t, other)
	closeLog(t, o)
	if out, ok := stranger(t, o.VerifierKey(), cfg.Dir); ok {
		t.Errorf("with another key: %s", out)
	}
}

func TestStrangersVerifyAProof(t *testing.T) {
	cfg, key, p := proved(t, 333, 200, nil)
	old, err := os.ReadFile(filepath.Join(cfg.Dir, checkpointName))
	if err != nil {
		t.Fatal(err)
	}
	l := openLog(t, cfg)
	appendN(t, l, 333, 1000)
	closeLog(t, l)
	file := filepath.Join(t.TempDir(), "proof")
	check := func(p *Proof, want bool) {
		t.Helper()
		if err := os.WriteFile(file, marshal(t, p), fileMode); err != nil {
			t.Fatal(err)
		}
		if out, ok := stranger(t, key, file); ok != want {
			t.Error(out)
		}
	}
	check(p, true)
	if p, err = Prove(t.Context(), cfg.Dir, fmt.Sprint(l.idPrefix, 256), old); err != nil {
		t.Fatal(err)
	}
	check(p, true)
	for _, harm := range []func(q *Proof){
		func(q *Proof) { q.Entry = strings.Replace(q.Entry, "allow", "deny", 1) },
		func(q *Proof) { q.Index++ },
		func(q *Proof) { q.Inclusion = q.Inclusion[1:] },
		func(q *Proof) { q.Since.Consistency = q.Since.Consistency[1:] },
		func(q *Proof) { q.Checkpoint = strings.Replace(q.Checkpoint, "\n1000\n", "\n1001\n", 1) },
	} {
		q, since := *p, *p.Since
		q.Since = &since
		harm(&q)
		check(&q, false)
	}
}
