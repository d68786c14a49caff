package soak

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/audit"
)

var marked = regexp.MustCompile(`mark-\d+-\d+;`)

// checkRecord verifies the record, and that it tells of everything once: each
// decision has one ending, each wait one answer, each session one end, and each
// statement that a worker marked one decision.
func (h *house) checkRecord(t *testing.T, workers []*worker) {
	t.Helper()
	report, err := audit.Verify(context.Background(), h.record, h.log.VerifierKey())
	if err != nil || !report.OK() {
		t.Errorf("verify the record: %v, %+v", err, report)
	}
	once := map[audit.Kind]map[string]int{audit.Decided: {}, audit.Asked: {}, audit.Connected: {}}
	marks := map[string]int{}
	for _, w := range workers {
		for _, m := range w.marks {
			marks[m] = 0
		}
	}
	h.events(t, func(ev audit.Event) {
		switch ev.Kind {
		case audit.Decided:
			once[audit.Decided][ev.ID]++
			for _, m := range marked.FindAllString(ev.SQL+" "+strings.Join(ev.Params, " "), -1) {
				marks[m]++
			}
		case audit.Finished:
			once[audit.Decided][ev.Of] += 1 << 16
		case audit.Asked:
			once[audit.Asked][ev.Of]++
		case audit.Answered:
			once[audit.Asked][ev.Of] += 1 << 16
		case audit.Connected:
			if ev.Outcome == "ok" {
				once[audit.Connected][ev.Session]++
			}
		case audit.Closed:
			once[audit.Connected][ev.Session] += 1 << 16
		}
	})
	for kind, list := range once {
		for id, n := range list {
			if n != 1<<16|1 {
				t.Errorf("%s %s: %d times begun, %d times ended", kind, id, n&0xffff, n>>16)
			}
		}
		t.Logf("%d of %s", len(list), kind)
	}
	for m, n := range marks {
		if n != 1 {
			t.Errorf("%q was decided %d times", m, n)
		}
	}
}

// events reads the record's files, which hold one event a line.
func (h *house) events(t *testing.T, see func(audit.Event)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(h.record, "entries", "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the record has no entries: %v", err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 64<<20)
		for lines.Scan() {
			var ev audit.Event
			if err := json.Unmarshal(lines.Bytes(), &ev); err != nil {
				t.Fatal(err)
			}
			see(ev)
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}
