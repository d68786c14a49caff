package index

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/audit/town"
)

func open(t testing.TB, cfg Config) *Index {
	t.Helper()
	x := New(cfg)
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return x
}

// questions are of every kind that the command line has, with answers in a town.
func questions(w *town.Town) map[string]audit.Filter {
	who := w.People[0]
	end := w.At
	return map[string]audit.Filter{
		"everything": {}, "who": {Who: who.Who}, "subject": {Who: who.Subject}, "group": {Group: "team-1"}, "connection": {Connection: "db1"},
		"table": {Table: w.Tables[0]}, "table without schema": {Table: strings.SplitN(w.Tables[1], ".", 2)[1]}, "column": {Column: strings.SplitN(w.Tables[0], ".", 2)[1] + ".ssn"},
		"bare column": {Column: "ssn"}, "touches": {Touches: w.Tables[2]}, "statement": {Statement: "update"}, "kind": {Kind: audit.Connected},
		"effect": {Effect: "deny"}, "held": {Effect: "hold"}, "rule": {Rule: "ddl-in-production"}, "approver": {Approver: w.People[0].Who},
		"outcome": {Outcome: "error"}, "rows": {RowsOver: 100}, "masked": {Masked: true}, "fingerprint": {Fingerprint: w.Texts[0].Fingerprint},
		"since": {Since: end.Add(-30 * 24 * time.Hour)}, "until": {Until: end.Add(-100 * 24 * time.Hour)},
		"text of a shape": {Text: "note_1"}, "text in capitals": {Text: "ORDER BY created_at"}, "a value": {Text: "o''brien 17"}, "text of an error": {Text: "gone_1"},
		"short text": {Text: "= $"}, "who and table": {Who: who.Who, Table: w.Tables[0], Since: end.Add(-90 * 24 * time.Hour)},
		"personal": {Personal: "*"}, "kind of personal data": {Personal: "ssn"}, "a personal column": {Personal: strings.SplitN(w.Tables[0], ".", 2)[1] + ".email"}, "purpose": {Purpose: "month-end closing"},
		"run": {Run: "run-10"}, "table in a run": {Run: "run-10", Statement: "select"},
		"nobody": {Who: "nobody"}, "no such rule": {Rule: "none"}, "who ran what was refused": {Group: "staff", Effect: "deny", Connection: "db0"},
	}
}

// Pages that begin with the oldest have the same events as those that begin with the
// newest, whoever answers.
func TestPagesInBothDirections(t *testing.T) {
	const n = blockEntries + 300
	record := town.Build(t, t.TempDir(), n)
	x := open(t, Config{Record: record})
	if err := x.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	answers := map[string]func(audit.Filter) ([]audit.Event, uint64, error){
		"index": func(f audit.Filter) ([]audit.Event, uint64, error) {
			a, err := x.List(t.Context(), f)
			return a.Events, a.Next, err
		},
		"record": func(f audit.Filter) ([]audit.Event, uint64, error) {
			f.Whole = true
			r, err := audit.Query(t.Context(), record, f)
			return r.Events, r.Next, err
		},
	}
	for name, answer := range answers {
		var up, down []audit.Event
		for f := (audit.Filter{Effect: "allow", Limit: 333, Oldest: true}); ; {
			events, next, err := answer(f)
			if err != nil {
				t.Fatal(err)
			}
			up = append(up, events...)
			if f.From = next; next == 0 {
				break
			}
		}
		for f := (audit.Filter{Effect: "allow", Limit: 333}); ; {
			events, next, err := answer(f)
			if err != nil {
				t.Fatal(err)
			}
			down = append(down, events...)
			if f.Before = next; next == 0 {
				break
			}
		}
		slices.Reverse(down)
		if d := cmp.Diff(down, up); d != "" || len(up) < 1000 {
			t.Errorf("%s: %d events up, %d down:\n%s", name, len(up), len(down), d)
		}
	}
}

// The index gives what reading the record gives, for every kind of question.
func TestIndexAnswersAsTheRecordDoes(t *testing.T) {
	const n = blockEntries + 700
	record := town.Build(t, t.TempDir(), n)
	x := open(t, Config{Record: record})
	if err := x.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := town.New(n)
	for range n {
		w.Event(func(int) string { return "" })
	}
	empty := 0
	for name, f := range questions(w) {
		for _, f.Before = range []uint64{0, blockEntries - 5} {
			f.Limit = 50
			got, err := x.List(t.Context(), f)
			if err != nil || got.Scanned != "" {
				t.Fatalf("%s: %v, the record was read: %q", name, err, got.Scanned)
			}
			f.Whole = true
			want, err := audit.Query(t.Context(), record, f)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want.Events, got.Events); d != "" || want.Next != got.Next {
				t.Errorf("%s before %d: next %d, want %d (-record +index):\n%s", name, f.Before, got.Next, want.Next, d)
			}
			if len(got.Events) == 0 {
				empty++
			}
		}
		f.Before = 0
		for _, f.From = range []uint64{0, blockEntries - 5} {
			f.Oldest = true
			got, err := x.List(t.Context(), f)
			if err != nil || got.Scanned != "" {
				t.Fatalf("%s: %v, the record was read: %q", name, err, got.Scanned)
			}
			want, err := audit.Query(t.Context(), record, f)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want.Events, got.Events); d != "" || want.Next != got.Next {
				t.Errorf("%s from %d on, the oldest first: next %d, want %d (-record +index):\n%s", name, f.From, got.Next, want.Next, d)
			}
		}
	}
	if empty != 4 { // nobody, and no such rule
		t.Errorf("%d questions found nothing", empty)
	}
}

func TestIndexCountsAsTheRecordDoes(t *testing.T) {
	const n = blockEntries + 300
	record := town.Build(t, t.TempDir(), n)
	x := open(t, Config{Record: record})
	w := town.New(n)
	for range n {
		w.Event(func(int) string { return "" })
	}
	counts := []Count{{By: []string{"who", "table"}}, {By: []string{"day", "effect"}, Order: "name"}}
	for _, by := range Dimensions {
		counts = append(counts, Count{By: []string{by}, Order: Orders[len(counts)%len(Orders)], Limit: 20})
	}
	for name, f := range questions(w) {
		if f.Text != "" { // these are compared by shape; see TestCountsByText
			continue
		}
		for i, c := range counts {
			if len(name)%6 != i%6 && name != "everything" { // each count with some questions is enough
				continue
			}
			got, err := x.Count(t.Context(), f, c)
			if err != nil || got.Scanned != "" {
				t.Fatalf("%s by %s: %v, the record was read: %q", name, c.By, err, got.Scanned)
			}
			want, err := CountRecord(t.Context(), record, f, c)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s by %s (-record +index):\n%s", name, c.By, d)
			}
		}
	}
}

// A value that one caller looked for is counted for that caller, not for all who ran
// the same statement.
func TestCountsByText(t *testing.T) {
	record, l := live(t)
	for i, value := range []string{"17", "23", "17", "99"} {
		add(t, l, audit.Event{Kind: audit.Decided, Who: fmt.Sprint("p", i), SQL: "select ssn from people where id = " + value, Fingerprint: "f1", Statement: "select"})
	}
	x := open(t, Config{Record: record, Flush: l.Flush})
	for text, want := range map[string]int64{"17": 2, "99": 1, "from people": 4, "id = 23": 1, "id = 5": 0} {
		a, err := x.Count(t.Context(), audit.Filter{Text: text}, Count{By: []string{"statement"}})
		if err != nil {
			t.Fatal(err)
		}
		var got int64
		for _, g := range a.Groups {
			got += g.Count
		}
		if got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// live is a record that is open.
func live(t *testing.T) (string, *audit.Log) {
	t.Helper()
	record := t.TempDir() + "/record"
	l, err := audit.Open(audit.Config{Dir: record, Origin: "sluice/live"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return record, l
}

func add(t *testing.T, l *audit.Log, ev audit.Event) audit.Ticket {
	t.Helper()
	tk, err := l.Append(ev)
	if err != nil {
		t.Fatal(err)
	}
	return tk
}

// What was recorded before a question is in its answer, an ending that is still
// gathered too.
func TestTheNewestEntriesAreInTheAnswer(t *testing.T) {
	record, l := live(t)
	x := open(t, Config{Record: record, Flush: l.Flush})
	for i := range 50 {
		tk := add(t, l, audit.Event{Kind: audit.Decided, Who: "ada", SQL: fmt.Sprint("select ", i), Statement: "select", Effect: "allow"})
		if err := l.Later(audit.Event{Kind: audit.Finished, Of: tk.ID, Outcome: "ok", Rows: int64(i)}); err != nil {
			t.Fatal(err)
		}
		a, err := x.List(t.Context(), audit.Filter{Who: "ada", Limit: 1})
		if err != nil || len(a.Events) != 1 || a.Events[0].ID != tk.ID || a.Events[0].Outcome != "ok" || a.Events[0].Rows != int64(i) {
			t.Fatalf("statement %d: %+v, %v", i, a, err)
		}
	}
}

// A statement that ends long after its block is full is found by how it ended.
func TestALateEndingIsFound(t *testing.T) {
	record, l := live(t)
	x := open(t, Config{Record: record, Flush: l.Flush})
	long := add(t, l, audit.Event{Kind: audit.Decided, Who: "ada", SQL: "select slow()", Statement: "select"})
	for range blockEntries + 10 {
		if err := l.Later(audit.Event{Kind: audit.LoggedIn, Who: "bob"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Later(audit.Event{Kind: audit.Finished, Of: long.ID, Outcome: "error", Rows: 7_000_000, Error: "canceling because of lunchtime"}); err != nil {
		t.Fatal(err)
	}
	for _, f := range []audit.Filter{{RowsOver: 6_999_999}, {Outcome: "error"}, {Text: "lunchtime"}} {
		a, err := x.List(context.Background(), f)
		if err != nil || len(a.Events) != 1 || a.Events[0].ID != long.ID {
			t.Errorf("%+v: %+v, %v", f, a, err)
		}
	}
}
