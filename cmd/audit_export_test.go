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
		{nil, exitUsage, "", "--record is missing"},
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
