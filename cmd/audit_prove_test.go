package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/audit"
)

// oldRecord is a record of a gateway that ran and ended, in dir, with the ID of its
// first entry.
func oldRecord(t *testing.T, dir string, cfg houseConfig) string {
	t.Helper()
	a := &app{now: time.Now}
	cfg.dir, cfg.log = dir, new(bytes.Buffer)
	h, err := a.openHouse(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, h.gateway.Watch(ctx, func(context.Context) error { return nil }))
	must(t, h.close())
	h.witnesses.tell(t.Context())
	res, err := audit.Query(t.Context(), filepath.Join(dir, "record"), audit.Filter{})
	if err != nil || len(res.Events) < 2 {
		t.Fatal(res, err)
	}
	return res.Events[len(res.Events)-1].ID
}

// What a stranger does with one file and the public key.
func TestProveAndVerifyOffline(t *testing.T) {
	dir := t.TempDir()
	id := oldRecord(t, dir, houseConfig{})
	record := filepath.Join(dir, "record")
	older, err := os.ReadFile(filepath.Join(record, "checkpoint"))
	must(t, err)
	before := filepath.Join(t.TempDir(), "before")
	must(t, os.WriteFile(before, older, 0o600))
	oldRecord(t, dir, houseConfig{})
	w := &town{t: t}
	proof := filepath.Join(t.TempDir(), "proof.json")
	key := filepath.Join(record, "log.vkey")
	for _, c := range []struct {
		args      []string
		code      int
		out, errs string
	}{
		{[]string{"prove", id, "--record", record, "--since-checkpoint", before, "--file", proof}, exitOK, "", ""},
		{[]string{"verify", proof, "--key", key}, exitOK, "ok: the record has only grown since the checkpoint over 4 entries", ""},
		{[]string{"verify", proof}, exitUsage, "", "--key is missing"},
		{[]string{"verify", before, "--key", key}, exitError, "", "proves nothing"},
		{[]string{"prove", "x-99", "--record", record}, exitError, "", "no entry"},
		{[]string{"prove", "x-0", "--record", record}, exitError, "", "no entry has this ID"},
		{[]string{"verify", "--record", record, "--witness", before}, exitOK, "the witness saw 4 of them", ""},
		{[]string{"verify", "--witness", before}, exitUsage, "", "go with --record"},
		{[]string{"query", "--record", record, "--kind", "started", "-o", "jsonl"}, exitOK, `"kind":"started"`, ""},
		{[]string{"query", "--record", record, "--by", "kind", "-o", "csv"}, exitOK, "started,2,", ""},
		{[]string{"query", "--record", record, "--by", "nothing"}, exitUsage, "", "cannot be counted by"},
		{[]string{"query", "--record", record, "--scan", "--text", "built-in"}, exitOK, "policy built-in", ""},
		{[]string{"query", "--record", t.TempDir()}, exitError, "", "there is no record"},
		{[]string{"sql", "--record", record, "select kind, count(*) as n from events group by 1 order by 1", "-o", "json"}, exitOK, `"n": 2`, ""},
		{[]string{"sql", "--record", record, "delete from event"}, exitUsage, "", "only one select"},
		{[]string{"show", id, "--record", record}, exitOK, id, ""},
	} {
		code, out, errs := w.run(t.TempDir(), "", append([]string{"audit"}, c.args...)...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errs, c.errs) || code != exitOK && !strings.Contains(errs, "hint:") {
			t.Errorf("%s: %d\n%s%s", c.args, code, out, errs)
		}
	}
	text, err := os.ReadFile(proof)
	must(t, err)
	must(t, os.WriteFile(proof, bytes.Replace(text, []byte("started"), []byte("stopped"), 1), 0o600))
	if code, out, errs := w.run(t.TempDir(), "", "audit", "verify", proof, "--key", key); code != exitError || !strings.Contains(errs, "not the one that was signed") {
		t.Errorf("a changed proof: %d\n%s%s", code, out, errs)
	}
}

// A gateway does not go on with a record that a witness knows to be an older state.
func TestAGatewayDoesNotServeARecordPutBack(t *testing.T) {
	dir, old := t.TempDir(), filepath.Join(t.TempDir(), "old")
	cfg := houseConfig{witness: witnessConfig{Files: []string{filepath.Join(t.TempDir(), "seen")}}}
	oldRecord(t, dir, cfg)
	must(t, os.CopyFS(old, os.DirFS(filepath.Join(dir, "record"))))
	oldRecord(t, dir, cfg)
	must(t, os.RemoveAll(filepath.Join(dir, "record")))
	must(t, os.CopyFS(filepath.Join(dir, "record"), os.DirFS(old)))
	cfg.dir, cfg.log = dir, new(bytes.Buffer)
	_, err := (&app{now: time.Now}).openHouse(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "is not what the witness") {
		t.Fatalf("it serves: %v", err)
	}
}

// A witness that is told over the network gets each checkpoint once, and again if it did
// not take it.
func TestAWitnessIsTold(t *testing.T) {
	dir := t.TempDir()
	oldRecord(t, dir, houseConfig{})
	var got []string
	broken := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if broken {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		got = append(got, string(b))
	}))
	defer server.Close()
	w := &witnesses{record: filepath.Join(dir, "record"), urls: []string{server.URL}, log: slog.New(slog.DiscardHandler), told: map[string]int64{}}
	w.tell(t.Context())
	broken = false
	w.tell(t.Context())
	w.tell(t.Context())
	want, err := os.ReadFile(filepath.Join(dir, "record", "checkpoint"))
	must(t, err)
	if len(got) != 1 || got[0] != string(want) {
		t.Errorf("it got %q", got)
	}
}

// Proofs by a gateway cover what was recorded a moment ago.
func TestProveByAGateway(t *testing.T) {
	w := newTown(t)
	code, out, errs := w.run(w.boss, "", "audit", "query", "--kind", "started", "-o", "json")
	var events []audit.Event
	if err := json.Unmarshal([]byte(out), &events); err != nil || len(events) != 1 {
		t.Fatalf("%d: %v\n%s%s", code, err, out, errs)
	}
	code, out, errs = w.run(w.boss, "", "audit", "prove", events[0].ID)
	if code != exitOK {
		t.Fatalf("%d: %s%s", code, out, errs)
	}
	if _, err := audit.VerifyProof([]byte(out), w.house.record.VerifierKey()); err != nil {
		t.Error(err)
	}
	if code, _, errs = w.run(w.home, "", "audit", "prove", events[0].ID); code != exitRefused {
		t.Errorf("somebody who is no auditor: %d %s", code, errs)
	}
}

// An administrator has another key sign, while sessions go on; what was proven before is
// still proven, and whoever has either key can check it all.
func TestRotateKeyByAGateway(t *testing.T) {
	w := newTown(t)
	goesOn := w.beside()
	old := w.house.record.VerifierKey()
	var events []audit.Event
	_, out, errs := w.run(w.boss, "", "audit", "query", "--kind", "started", "-o", "json")
	if err := json.Unmarshal([]byte(out), &events); err != nil || len(events) != 1 {
		t.Fatal(err, out, errs)
	}
	before := filepath.Join(t.TempDir(), "before.json")
	if code, out, errs := w.run(w.boss, "", "audit", "prove", events[0].ID, "--file", before); code != exitOK {
		t.Fatal(code, out, errs)
	}
	if code, _, errs := w.run(w.home, "", "audit", "rotate-key"); code != exitRefused || !strings.Contains(errs, "only administrators") || !strings.Contains(errs, "hint:") {
		t.Errorf("somebody who is no administrator: %d %s", code, errs)
	}
	if w.house.record.VerifierKey() != old {
		t.Fatal("the key was replaced all the same")
	}
	code, out, errs := w.run(w.boss, "", "audit", "rotate-key")
	now := w.house.record.VerifierKey()
	if code != exitOK || strings.TrimSpace(out) != now || now == old {
		t.Fatalf("%d: %s%s", code, out, errs)
	}
	goesOn("an administrator who replaced the key")
	after := filepath.Join(t.TempDir(), "after.json")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"prove", events[0].ID, "--file", after}, exitOK, ""},
		{[]string{"verify", after, "--key", old}, exitOK, "ok: entry"},
		{[]string{"verify", after, "--key", now}, exitOK, "ok: entry"},
		{[]string{"verify", before, "--key", old}, exitOK, "ok: entry"},
		{[]string{"verify", before, "--key", now}, exitError, "proves nothing"},
		{[]string{"verify"}, exitOK, "2 keys have signed"},
		{[]string{"verify", "--record", filepath.Join(w.house.dir, "record"), "--key", old}, exitOK, "has been replaced since"},
		{[]string{"query", "--kind", "rotated", "-o", "jsonl"}, exitOK, `"key":"` + now + `"`},
		{[]string{"rotate-key", "--record", filepath.Join(w.house.dir, "record")}, exitError, "a gateway uses the record"},
		{[]string{"rotate-key", "--record", t.TempDir()}, exitError, "there is no record"},
	} {
		code, out, errs := w.run(w.boss, "", append([]string{"audit"}, c.args...)...)
		if code != c.code || !strings.Contains(out+errs, c.says) || code != exitOK && !strings.Contains(errs, "hint:") {
			t.Errorf("%s: %d\n%s%s", c.args, code, out, errs)
		}
	}
}

// Without a gateway it is done by hand, and the gateway then goes on with the new key.
func TestRotateKeyByHand(t *testing.T) {
	dir := t.TempDir()
	oldRecord(t, dir, houseConfig{})
	record := filepath.Join(dir, "record")
	old, err := audit.PublicKey(record)
	must(t, err)
	w := &town{t: t}
	code, out, errs := w.run(t.TempDir(), "", "audit", "rotate-key", "--record", record, "-o", "json")
	var r struct{ Old, New string }
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitOK || r.Old != old {
		t.Fatalf("%d: %v\n%s%s", code, err, out, errs)
	}
	oldRecord(t, dir, houseConfig{})
	for _, key := range []string{r.Old, r.New} {
		if rep, err := audit.Verify(t.Context(), record, key); err != nil || !rep.OK() || len(rep.Keys) != 2 || rep.Entries < 9 {
			t.Errorf("%+v, %v", rep, err)
		}
	}
}
