package index

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/audit"
)

// A run is found by its id, and all runs of a job or a runbook by its name, in the index as
// in the record itself; what is in none, or in another's, is not.
func TestRunsAreFoundByIDAndByName(t *testing.T) {
	dir := t.TempDir()
	log, err := audit.Open(audit.Config{Dir: dir, Origin: "sluice/test", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	add := func(ev audit.Event) audit.Ticket {
		t.Helper()
		n++
		ev.Time, ev.Who, ev.Subject = time.Now(), "ada", "ada"
		ticket, err := log.Append(ev)
		if err != nil {
			t.Fatal(err)
		}
		return ticket
	}
	ran := func(sql string, ev audit.Event) {
		t.Helper()
		ev.Kind, ev.SQL, ev.Session, ev.Statement = audit.Decided, sql, fmt.Sprint("s-", n), "select"
		of := add(ev).ID
		add(audit.Event{Kind: audit.Finished, Of: of, Outcome: "ok", Rows: 1, Run: ev.Run, RunbookRun: ev.RunbookRun, Runbook: ev.Runbook})
	}
	add(audit.Event{Kind: audit.RunBegan, Run: "r-1", Job: "train"})
	ran("select 1", audit.Event{Run: "r-1"})
	add(audit.Event{Kind: audit.RunBegan, Run: "r-2", Job: "train"})
	add(audit.Event{Kind: audit.RunBegan, Run: "r-3", Job: "other"})
	ran("select 2", audit.Event{Run: "r-2"})
	ran("select 3", audit.Event{Run: "r-3"})
	ran("select 4", audit.Event{})
	add(audit.Event{Kind: audit.Ran, RunbookRun: "rb-1", Runbook: "tidy", Outcome: "began"})
	ran("select 5", audit.Event{RunbookRun: "rb-1", Runbook: "tidy", RunbookStep: "look"})
	add(audit.Event{Kind: audit.RunEnded, Run: "r-1", Job: "train", Outcome: "ok"})
	if err := log.Flush(); err != nil {
		t.Fatal(err)
	}
	x := open(t, Config{Record: dir})
	for run, want := range map[string][]string{
		"r-1": {"run_ended", "select 1", "run_began"}, "r-3": {"select 3", "run_began"}, "rb-1": {"select 5", "ran"}, "tidy": {"select 5", "ran"},
		"train": {"run_ended", "select 2", "run_began", "select 1", "run_began"}, "none": nil, "r": nil,
	} {
		f := audit.Filter{Run: run, Whole: true}
		got, err := x.List(t.Context(), f)
		if err != nil || got.Scanned != "" {
			t.Fatalf("%v, the record was read: %q", err, got.Scanned)
		}
		read, err := audit.Query(t.Context(), dir, f)
		if err != nil {
			t.Fatal(err)
		}
		for how, events := range map[string][]audit.Event{"index": got.Events, "record": read.Events} {
			var have []string
			for _, ev := range events {
				if ev.Kind != audit.Decided {
					ev.SQL = string(ev.Kind)
				}
				have = append(have, ev.SQL)
			}
			if d := cmp.Diff(want, have); d != "" {
				t.Errorf("%s by the %s:\n%s", run, how, d)
			}
		}
		count, err := x.Count(t.Context(), audit.Filter{Run: run}, Count{By: []string{"kind"}})
		if err != nil || count.Scanned != "" {
			t.Fatalf("%v %q", err, count.Scanned)
		}
		sum := int64(0)
		for _, g := range count.Groups {
			sum += g.Count
		}
		if sum != int64(len(want)) {
			t.Errorf("%s: %d are counted", run, sum)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}
