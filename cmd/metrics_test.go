package cmd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	prom "github.com/prometheus/common/model"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/gateway"
)

// Operators see numbers and whether all is well; no path tells more, and a record that
// can no longer be written is said at once.
func TestMetricsAndHealth(t *testing.T) {
	a := &app{now: time.Now, env: func(string) string { return "" }, out: new(bytes.Buffer), err: new(bytes.Buffer)}
	dir := t.TempDir()
	h, err := a.openHouse(t.Context(), houseConfig{dir: dir, log: new(bytes.Buffer), metrics: "127.0.0.1:0", exports: []exportConfig{{Name: "copy", To: "file:" + filepath.Join(dir, "copy.jsonl")}}})
	must(t, err)
	defer func() { _ = h.close() }() // it fails in the end
	count := h.metrics.stats
	h.metrics.stats = func() gateway.Stats {
		s := count()
		s.Peers = []gateway.PeerStats{{Address: "gw-b:8443", Silent: 90 * time.Second}}
		return s
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go h.metrics.serve(ctx, h.operators, h.log)
	get := func(path string) (int, string) {
		t.Helper()
		resp, err := http.Get(fmt.Sprint("http://", h.operators.Addr(), path))
		must(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		must(t, err)
		return resp.StatusCode, string(text)
	}
	if code, text := get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, `"serving":false`) {
		t.Errorf("before it serves: %d %s", code, text)
	}
	h.metrics.ready.Store(true)
	must(t, h.exports[0].CatchUp(t.Context()))
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, text := get(path); code != http.StatusOK || !strings.Contains(text, `"ok":true`) {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
	if code, _ := get("/debug/pprof/"); code != http.StatusNotFound {
		t.Errorf("another path: %d", code)
	}
	_, text := get("/metrics")
	parser := expfmt.NewTextParser(prom.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	must(t, err)
	for _, want := range []string{
		"sluice_build_info", "sluice_holds_waiting", "sluice_record_entries", "sluice_record_unsynced_entries", "sluice_record_unsealed_entries", "sluice_record_failed",
		"sluice_record_fsync_seconds", "sluice_index_behind_entries", "sluice_export_delivered_total", "sluice_export_behind_entries", "sluice_memory_limit_bytes", "go_goroutines",
	} {
		if families[want] == nil {
			t.Errorf("there is no %s", want)
		}
	}
	if !strings.Contains(text, `sluice_peer_silent_seconds{peer="gw-b:8443"} 90`) {
		t.Error("a silent peer is in no metric")
	}
	for name, f := range families {
		for _, m := range f.Metric {
			for _, l := range m.Label {
				switch {
				case strings.HasPrefix(name, "sluice_") && l.GetName() != "connection" && l.GetName() != "effect" && l.GetName() != "export" && l.GetName() != "peer" && l.GetName() != "version":
					t.Errorf("%s has the label %s, of which there may be many values", name, l.GetName())
				}
			}
		}
	}
	must(t, os.RemoveAll(filepath.Join(dir, "record")))
	if ticket, err := h.record.Append(audit.Event{Kind: audit.Admin}); err == nil {
		_ = ticket.Durable(t.Context()) // it fails
	}
	if code, text := get("/healthz"); code != http.StatusServiceUnavailable || !strings.Contains(text, `"record":false`) {
		t.Errorf("without a record: %d %s", code, text)
	}
	if _, text := get("/metrics"); !strings.Contains(text, "sluice_record_failed 1") {
		t.Error("the failed record is in no metric")
	}
}
