package cmd

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/audit"
)

// Old entries go as the configuration says, but none that an export still has to take.
func TestRetentionWaitsForExports(t *testing.T) {
	now := time.Now()
	a := &app{now: func() time.Time { return now }, env: func(string) string { return "" }, out: new(bytes.Buffer), err: new(bytes.Buffer)}
	dir := t.TempDir()
	out := filepath.Join(t.TempDir(), "copy.jsonl")
	h, err := a.openHouse(t.Context(), houseConfig{dir: dir, log: new(bytes.Buffer), exports: []exportConfig{{Name: "copy", To: "file:" + out}}, tidying: audit.Tidying{Pack: time.Hour, Keep: 24 * time.Hour}})
	must(t, err)
	const entries = 65536 + 10
	for i := range entries {
		must(t, h.record.Later(audit.Event{Kind: audit.Decided, Time: now.Add(-48 * time.Hour), SQL: fmt.Sprint("select ", i), Effect: "allow"}))
	}
	ticket, err := h.record.Append(audit.Event{Kind: audit.Admin})
	must(t, err)
	must(t, ticket.Durable(t.Context()))
	must(t, h.record.Seal(t.Context()))
	must(t, h.index.CatchUp(t.Context()))
	must(t, h.lineage.CatchUp(t.Context()))
	h.tidyOnce(t.Context())
	record := filepath.Join(dir, "record")
	if first, err := audit.First(record); err != nil || first != 0 {
		t.Fatalf("entries went before they were handed on: the first is %d, %v", first, err)
	}
	if _, err := os.Stat(filepath.Join(record, "entries", "00000000000000000000.jsonl.zst")); err != nil {
		t.Error(err)
	}
	must(t, h.exports[0].CatchUp(t.Context()))
	h.tidyOnce(t.Context())
	if first, err := audit.First(record); err != nil || first != 65536 {
		t.Errorf("the first is %d, %v", first, err)
	}
	text, err := os.ReadFile(out)
	must(t, err)
	if n := bytes.Count(text, []byte("\n")); n != entries+1 {
		t.Errorf("%d entries were handed on", n)
	}
	must(t, h.close())
	w := &town{t: t}
	if code, out, errs := w.run(t.TempDir(), "", "audit", "verify", "--record", record); code != exitOK || !strings.Contains(out, "the first 65536 entries were removed") {
		t.Errorf("%d: %s%s", code, out, errs)
	}
}
