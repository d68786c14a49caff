package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestExportOfACopy(t *testing.T) {
	dir := t.TempDir()
	oldRecord(t, dir, houseConfig{})
	record := filepath.Join(dir, "record")
	w := &town{t: t}
	cur := filepath.Join(t.TempDir(), "cursor")
	for _, c := range []struct {
		args      []string
		code      int
		out, errs string
	}{
		{[]string{"--record", record, "--cursor", cur}, exitOK, `"kind":"started"`, ""},
		{[]string{"--record", record, "--cursor", cur}, exitOK, "", ""},
		{[]string{"--record", record, "--format", "ocsf", "--since", "1h"}, exitOK, `"class_uid":6002`, ""},
		{[]string{"--record", record, "--format", "cef", "--until", "1h"}, exitOK, "", ""},
		{[]string{"--record", record, "--format", "otlp"}, exitUsage, "", "goes to an https address"},
		{[]string{"--record", record, "--to", "ftp://x"}, exitUsage, "", "neither stdout"},
		{[]string{"--record", t.TempDir()}, exitError, "", "there is no record"},
	} {
		code, out, errs := w.run(t.TempDir(), "", append([]string{"audit", "export"}, c.args...)...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errs, c.errs) || c.out == "" && out != "" || code != exitOK && !strings.Contains(errs, "hint:") {
			t.Errorf("%s: exit %d\n%s%s", c.args, code, out, errs)
		}
	}
}

// A gateway hands on what it records, and what was not taken comes after its next start.
func TestGatewayHandsTheRecordOn(t *testing.T) {
	var mu sync.Mutex
	var taken bytes.Buffer
	away := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if away || r.Header.Get("Sluice-Signature") == "" || r.Header.Get("Authorization") != "Splunk abc" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = taken.ReadFrom(r.Body)
	}))
	defer server.Close()
	env := map[string]string{"KEY": "s3cret", "AUTH": "Splunk abc"}
	a := &app{now: time.Now, env: func(s string) string { return env[s] }, out: new(bytes.Buffer), err: new(bytes.Buffer)}
	dir := t.TempDir()
	for range 2 {
		h, err := a.openHouse(t.Context(), houseConfig{dir: dir, log: new(bytes.Buffer), exports: []exportConfig{
			{Name: "siem", To: server.URL, Format: "ocsf", Secret: secret{Env: "KEY"}, Authorization: secret{Env: "AUTH"}},
		}})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); h.exports[0].Run(ctx) }()
		must(t, h.gateway.Watch(t.Context(), func(context.Context) error { return nil }))
		must(t, h.record.Seal(t.Context()))
		if mu.Lock(); away {
			mu.Unlock()
			for h.exports[0].Stats().Failures == 0 {
				<-time.After(time.Millisecond)
			}
		} else {
			mu.Unlock()
			for h.exports[0].Stats().Delivered < h.record.Size() {
				<-time.After(time.Millisecond)
			}
		}
		cancel()
		<-done
		must(t, h.close())
		mu.Lock()
		away = false
		mu.Unlock()
	}
	dec := json.NewDecoder(&taken)
	n := uint64(0)
	for ; dec.More(); n++ {
		var ev struct {
			Metadata struct{ Sequence uint64 }
		}
		must(t, dec.Decode(&ev))
		if ev.Metadata.Sequence != n {
			t.Fatalf("entry %d came after %d", ev.Metadata.Sequence, n)
		}
	}
	if n < 8 {
		t.Errorf("%d entries came", n)
	}
	if _, err := os.Stat(filepath.Join(dir, "exports", "siem.json")); err != nil {
		t.Error(err)
	}
}

// An auditor has the record of a gateway in every form, goes on where they left off, also
// with a copy of the directory, and the record says that they asked. Nobody else gets it.
func TestExportThroughAGateway(t *testing.T) {
	w := newTown(t)
	goesOn := w.beside()
	for _, who := range []string{w.home} {
		if code, out, errs := w.run(who, "", "audit", "export"); code != exitRefused || out != "" || !strings.Contains(errs, "only auditors") || !strings.Contains(errs, "hint:") {
			t.Fatalf("somebody who is no auditor: %d\n%s%s", code, out, errs)
		}
	}
	at := filepath.Join(t.TempDir(), "cursor.json")
	code, first, errs := w.run(w.boss, "", "audit", "export", "--cursor", at)
	if code != exitOK || strings.Count(first, "\n") < 5 || !strings.HasPrefix(first, `{"seq":0,`) || !strings.Contains(first, `"detail":"export {`) {
		t.Fatalf("%d\n%s%s", code, first, errs)
	}
	goesOn("an export")
	_, more, _ := w.run(w.boss, "", "audit", "export", "--cursor", at)
	record := filepath.Join(w.house.dir, "record")
	must(t, w.house.record.Seal(t.Context()))
	_, rest, errs := w.run(w.boss, "", "audit", "export", "--record", record, "--cursor", at)
	all, err := os.ReadFile(filepath.Join(record, "entries", "00000000000000000000.jsonl"))
	must(t, err)
	if got := first + more + rest; !strings.HasPrefix(string(all), got) || more == "" {
		t.Errorf("by three parts it is not the record:\n%s\n---\n%s%s", got, all, errs)
	}
	for form, has := range map[string]string{"ocsf": `"class_uid":6005`, "cef": "CEF:0|", "json": `"seq":`} {
		code, out, errs := w.run(w.boss, "", "audit", "export", "--format", form, "--since", "1h")
		if code != exitOK || !strings.Contains(out, has) {
			t.Errorf("%s: %d\n%s%s", form, code, short(out, 500), errs)
		}
		if _, none, _ := w.run(w.boss, "", "audit", "export", "--format", form, "--until", "1h"); none != "" {
			t.Errorf("%s: what is older than an hour: %s", form, none)
		}
	}
	var took []byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b := new(bytes.Buffer)
		_, _ = b.ReadFrom(r.Body)
		took = append(took, b.Bytes()...)
	}))
	defer server.Close()
	if code, _, errs := w.run(w.boss, "", "audit", "export", "--format", "otlp", "--to", server.URL); code != exitOK || !bytes.Contains(took, []byte("resourceLogs")) || !bytes.Contains(took, []byte("sluice/gw-")) {
		t.Errorf("otlp: %d %s\n%s", code, errs, took)
	}
	if code, out, _ := w.run(w.boss, "", "audit", "query", "--kind", "questioned", "--text", "export", "-o", "csv"); code != exitOK || strings.Count(out, "export {") < 8 {
		t.Errorf("the questions are not in the record: %d\n%s", code, out)
	}
}
