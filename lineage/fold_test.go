package lineage

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/audit"
)

// teller makes the events of a record, one a second.
type teller struct {
	g   *Graph
	seq uint64
	at  time.Time
	who audit.Event
}

func newTeller() *teller {
	return &teller{g: New(), at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), who: audit.Event{Who: "ada", Subject: "ada", CallerKind: "person", Connection: "orders", Session: "s-1"}}
}

func (w *teller) tell(ev audit.Event) string {
	ev.Seq, ev.ID, ev.Time = w.seq, fmt.Sprint("abc-", w.seq), w.at
	w.seq++
	w.at = w.at.Add(time.Second)
	w.g.Take(&ev)
	return ev.ID
}

// by is an event with the caller's fields.
func (w *teller) by(ev audit.Event) audit.Event {
	ev.Who, ev.Subject, ev.CallerKind, ev.Owner, ev.Connection = w.who.Who, w.who.Subject, w.who.CallerKind, w.who.Owner, w.who.Connection
	if ev.Session == "" {
		ev.Session = w.who.Session
	}
	if ev.Run == "" {
		ev.Run = w.who.Run
	}
	return ev
}

// run is a statement that was decided and ended in some way.
func (w *teller) run(ev audit.Event, outcome string) string {
	ev.Kind, ev.Effect = audit.Decided, "allow"
	id := w.tell(w.by(ev))
	w.tell(w.by(audit.Event{Kind: audit.Finished, Of: id, Outcome: outcome, Rows: ev.Rows}))
	return id
}

func (w *teller) transaction(command, sql, outcome string) {
	w.run(audit.Event{Statement: "transaction", Command: command, SQL: sql}, outcome)
}

// copies is INSERT INTO into SELECT from.
func (w *teller) copies(from, into, outcome string) string {
	return w.run(audit.Event{
		Statement: "insert", SQL: "insert", Reads: []string{from}, Writes: []string{audit.Relation(into)},
		Flows: audit.FormatFlows([]audit.Flow{{Into: into, How: audit.FlowDirect, From: []string{from}}}),
	}, outcome)
}

func (w *teller) selects(column string) {
	w.run(audit.Event{Statement: "select", Reads: []string{column}, Rows: 1}, "ok")
}

// edges are those of an answer, as "from how into".
func (w *teller) edges(t *testing.T, q Question) (list []string) {
	t.Helper()
	a, err := w.g.Ask(q)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range a.Edges {
		how := e.How
		if e.Masked {
			how += "+masked"
		}
		list = append(list, strings.Join([]string{a.Nodes[e.From].Title, how, a.Nodes[e.Into].Title}, " "))
	}
	slices.Sort(list)
	return list
}

func (w *teller) up(t *testing.T, target string) []string {
	t.Helper()
	return w.edges(t, Question{Target: target, Up: true})
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

const ab, bc = "orders:public.a.x direct orders:public.b.x", "orders:public.b.x direct orders:public.c.x"

func TestOnlyWhatRanMovedAnything(t *testing.T) {
	for _, outcome := range []string{"error", "refused", "cancelled", "skipped", "lost"} {
		w := newTeller()
		w.copies("public.z.x", "public.b.x", "ok")
		w.copies("public.a.x", "public.b.x", outcome)
		same(t, w.up(t, "b.x"), "orders:public.z.x direct orders:public.b.x")
	}
}

func TestWhatWasRolledBackMovedNothing(t *testing.T) {
	w := newTeller()
	w.copies("public.z.x", "public.b.x", "ok")
	w.transaction("BEGIN", "begin", "ok")
	w.copies("public.a.x", "public.b.x", "ok")
	w.transaction("ROLLBACK", "rollback", "ok")
	same(t, w.up(t, "b.x"), "orders:public.z.x direct orders:public.b.x")

	w.transaction("BEGIN", "begin", "ok")
	w.copies("public.a.x", "public.b.x", "ok")
	w.run(audit.Event{Statement: "select"}, "error")
	w.transaction("COMMIT", "commit", "ok") // which undoes
	same(t, w.up(t, "b.x"), "orders:public.z.x direct orders:public.b.x")

	w.transaction("BEGIN", "begin", "ok")
	w.copies("public.a.x", "public.b.x", "ok")
	w.tell(audit.Event{Kind: audit.Closed, Session: "s-1"})
	w.transaction("COMMIT", "commit", "ok")
	same(t, w.up(t, "b.x"), "orders:public.z.x direct orders:public.b.x")
}

func TestSavepointsUndoTheirPart(t *testing.T) {
	w := newTeller()
	w.transaction("BEGIN", "begin", "ok")
	w.copies("public.a.x", "public.b.x", "ok")
	w.transaction("SAVEPOINT", "savepoint One", "ok")
	w.copies("public.y.x", "public.b.x", "ok")
	w.transaction("SAVEPOINT", "savepoint two", "ok")
	w.run(audit.Event{Statement: "select"}, "error")
	w.transaction("ROLLBACK_TO", "rollback to savepoint one;", "ok")
	w.copies("public.q.x", "public.b.x", "ok")
	w.transaction("COMMIT", "commit and chain", "ok")
	w.copies("public.r.x", "public.b.x", "ok")
	w.transaction("ROLLBACK", "rollback", "ok")
	w.copies("public.s.x", "public.b.x", "ok")
	same(t, w.up(t, "b.x"), ab, "orders:public.q.x direct orders:public.b.x", "orders:public.s.x direct orders:public.b.x")
}

// What comes into a table after it was read is no source of what was read.
func TestWhatCameLaterIsNoSource(t *testing.T) {
	w := newTeller()
	w.copies("public.b.x", "public.c.x", "ok")
	w.copies("public.a.x", "public.b.x", "ok")
	same(t, w.up(t, "c.x"), bc)
	same(t, w.edges(t, Question{Target: "a.x"}), ab)
	w.copies("public.b.x", "public.c.x", "ok")
	same(t, w.up(t, "c.x"), ab, bc)
	same(t, w.edges(t, Question{Target: "a.x"}), ab, bc)
}

// Of what happened before and after the time that counts, only the first is sure to count.
func TestTimesAfterwardsAreNotSaidOfBefore(t *testing.T) {
	w := newTeller()
	w.copies("public.a.x", "public.b.x", "ok")
	w.copies("public.b.x", "public.c.x", "ok")
	w.copies("public.a.x", "public.b.x", "ok")
	a, err := w.g.Ask(Question{Target: "c.x", Up: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range a.Edges {
		if e.Later != (a.Nodes[e.Into].Name == "public.b") || e.Later && (e.Last != e.First || len(e.Entries) != 2) {
			t.Errorf("%+v", e)
		}
	}
}

func TestATableThatIsEmptiedHoldsNothingOfBefore(t *testing.T) {
	for name, ends := range map[string]audit.Event{
		"truncate": {Statement: "truncate", Command: "TRUNCATE", Writes: []string{"public.b"}},
		"drop":     {Statement: "drop", Command: "DROP TABLE", Writes: []string{"public.b"}},
		"delete":   {Statement: "delete", Signs: []string{"no_where"}, Writes: []string{"public.b"}},
	} {
		w := newTeller()
		w.copies("public.a.x", "public.b.x", "ok")
		w.copies("public.b.x", "public.c.x", "ok")
		then := w.at
		w.run(ends, "ok")
		w.copies("public.z.x", "public.b.x", "ok")
		if got := w.up(t, "b.x"); !slices.Equal(got, []string{"orders:public.z.x direct orders:public.b.x"}) {
			t.Errorf("%s: %q", name, got)
		}
		same(t, w.up(t, "c.x"), ab, bc) // it was read before
		same(t, w.edges(t, Question{Target: "b.x", Up: true, At: then}), ab)
		same(t, w.edges(t, Question{Target: "z.x"}), "orders:public.z.x direct orders:public.b.x")
		same(t, w.edges(t, Question{Target: "a.x"}), ab, bc)
	}
}

func TestRenamesAreFollowed(t *testing.T) {
	w := newTeller()
	w.copies("public.a.x", "public.b.x", "ok")
	w.run(audit.Event{Statement: "ddl", Command: "ALTER TABLE RENAME", Writes: []string{"public.b", "public.b2"}}, "ok")
	w.run(audit.Event{Statement: "ddl", Command: "ALTER COLUMN RENAME", SQL: `alter table b2 rename column "x" to "New x"`, Writes: []string{"public.b2"}}, "ok")
	got := w.up(t, "b2.New x")
	want := []string{ab, "orders:public.b renamed orders:public.b2", "orders:public.b2.x renamed orders:public.b2.New x"}
	same(t, got, want...)
}

func TestWhoIsGivenWhat(t *testing.T) {
	w := newTeller()
	w.run(audit.Event{
		Statement: "select", Reads: []string{"public.c.id", "public.c.email", "public.c.age", "public.c"}, Rows: 1, Personal: []string{"public.c.email:email"},
		Flows: audit.FormatFlows([]audit.Flow{{How: audit.FlowDirect, Masked: true, From: []string{"public.c.email"}}, {How: audit.FlowSteers, From: []string{"public.c.age", "public.c"}}}),
	}, "ok")
	same(t, w.up(t, "ada"), "orders:public.c.email direct+masked ada", "orders:public.c.id direct ada")
	same(t, w.edges(t, Question{Target: "c.age", Steers: true}), "orders:public.c steers ada", "orders:public.c.age steers ada")
	if n := w.g.keys[nodeKey(Column, "orders", "public.c", "email")]; w.g.Nodes[n].Label != "email" {
		t.Errorf("%+v", w.g.Nodes[n])
	}
	// Rows that came before an error were seen.
	w.run(audit.Event{Statement: "select", Reads: []string{"public.d.x"}, Rows: 7}, "error")
	w.run(audit.Event{Statement: "select", Reads: []string{"public.e.x"}}, "error")
	same(t, w.edges(t, Question{Target: "d.x"}), "orders:public.d.x direct ada")
}

// What cannot be traced, or was cut, may be any of what was read.
func TestWhatIsNotTracedIsUnknown(t *testing.T) {
	for name, ev := range map[string]audit.Event{
		"cut":      {Statement: "insert", Cut: []string{"flows"}, Flows: []string{"public.b.x direct public.q.x"}},
		"unread":   {Statement: "insert", Flows: []string{"garbage"}},
		"old":      {Statement: "insert"},
		"table":    {Statement: "ddl", Command: "CREATE TABLE AS", Cut: []string{"flows"}},
		"untraced": {Statement: "insert", Flows: []string{"public.b.x unknown"}},
	} {
		w := newTeller()
		ev.Reads, ev.Writes = []string{"public.a.x"}, []string{"public.b"}
		w.run(ev, "ok")
		found := false
		for _, e := range w.up(t, "public.b") {
			found = found || strings.HasPrefix(e, "orders:public.a.x unknown orders:public.b")
		}
		if !found {
			t.Errorf("%s: %q", name, w.up(t, "public.b"))
		}
	}
}

// A statement that reads and writes a thousand columns untraced does not make a million
// edges.
func TestAWideStatementMakesFewEdges(t *testing.T) {
	w := newTeller()
	ev := audit.Event{Statement: "insert", Writes: []string{"public.b"}}
	for i := range 1000 {
		ev.Reads = append(ev.Reads, fmt.Sprintf("public.a%d.x%d", i%3, i))
		ev.Flows = append(ev.Flows, fmt.Sprintf("public.b.y%d unknown", i))
	}
	w.run(ev, "ok")
	if n := len(w.g.Edges); n != 3 {
		t.Errorf("%d edges", n)
	}
	same(t, w.up(t, "b.y7"), "orders:public.a0 unknown orders:public.b", "orders:public.a1 unknown orders:public.b", "orders:public.a2 unknown orders:public.b")
}

func TestPeopleDoNotPassDataOn(t *testing.T) {
	w := newTeller()
	w.selects("public.a.x")
	w.run(audit.Event{Statement: "insert", Writes: []string{"public.b"}}, "ok")
	same(t, w.edges(t, Question{Target: "a.x"}), "orders:public.a.x direct ada")
	same(t, w.up(t, "public.b"), "ada sent orders:public.b")
}

func (w *teller) begins(id, parent string) {
	w.tell(w.by(audit.Event{Kind: audit.RunBegan, Run: id, Job: "job-" + id, Parent: parent}))
}

func (w *teller) ends(id string, outputs ...string) {
	w.tell(w.by(audit.Event{Kind: audit.RunEnded, Run: id, Outcome: "ok", Outputs: outputs}))
}

func TestRunsPassDataOn(t *testing.T) {
	w := newTeller()
	w.begins("r1", "")
	w.who.Run = "r1"
	w.selects("public.a.x")
	w.who.Run = ""
	w.begins("r2", "r1") // part of the first
	w.who.Run = "r2"
	w.selects("public.b.x")
	w.who.Run = ""
	w.ends("r2")
	w.ends("r1", "model:m@1")
	w.selects("public.late.x")
	same(t, w.up(t, "model:m"), "run:r1 made model:m@1", "orders:public.a.x direct run:r1", "run:r2 part run:r1", "orders:public.b.x direct run:r2")
	same(t, w.edges(t, Question{Target: "b.x", Models: true}), "run:r1 made model:m@1", "run:r2 part run:r1", "orders:public.b.x direct run:r2")
	if got := w.edges(t, Question{Target: "late.x", Models: true}); len(got) != 0 {
		t.Errorf("a model of what came later: %q", got)
	}
}

// An ID of a run says something only if whoever began the run uses it.
func TestARunOfSomebodyElseIsNotTaken(t *testing.T) {
	w := newTeller()
	w.begins("r1", "")
	w.who = audit.Event{Who: "eve", Subject: "eve", CallerKind: "person", Connection: "orders", Session: "s-2", Run: "r1"}
	w.selects("public.a.x")
	w.tell(w.by(audit.Event{Kind: audit.RunEnded, Run: "r1", Outcome: "ok", Outputs: []string{"model:evil@1"}}))
	w.begins("r1", "") // again, as eve
	same(t, w.edges(t, Question{Target: "a.x"}), "orders:public.a.x direct eve")
	if _, err := w.g.Ask(Question{Target: "model:evil@1"}); err == nil {
		t.Error("eve ended a run of ada's")
	}
	if in, ok := w.g.Open("r1"); !ok || in.Who != "ada" {
		t.Errorf("%+v %v", in, ok)
	}
}

// A run that was lost and is back ends with all that it moved, before, meanwhile and after;
// nobody else brings it back, and one that has ended is not back.
func TestARunThatIsBackHasAllThatItMoved(t *testing.T) {
	w := newTeller()
	var told []string
	w.g.Done = func(h Happening) {
		if h.Run >= 0 {
			told = append(told, fmt.Sprint(h.Graph.Nodes[h.Run].Info.Status, " ", len(h.Edges), " ", len(h.Write), " ", h.Again))
		}
	}
	move := func(into string) {
		w.who.Run = "r1"
		w.run(audit.Event{Statement: "insert", Reads: []string{"public.a.x"}, Writes: []string{"public." + into}, Flows: []string{"public." + into + ".x direct public.a.x"}}, "ok")
		w.who.Run = ""
	}
	back := func() { w.tell(w.by(audit.Event{Kind: audit.RunBegan, Run: "r1", Job: "job-r1", Outcome: Back})) }
	w.begins("r1", "")
	back() // it is under way: that says nothing
	move("b")
	w.tell(w.by(audit.Event{Kind: audit.RunEnded, Run: "r1", Outcome: Lost, Error: "nothing was heard of it"}))
	if _, open := w.g.Open("r1"); open {
		t.Error("it is under way")
	}
	if in, lost := w.g.Lost("r1"); !lost || in.Error == "" {
		t.Errorf("%+v %v", in, lost)
	}
	move("c")
	mine := w.who
	w.who.Subject = "eve"
	back()
	if _, open := w.g.Open("r1"); open {
		t.Error("eve brought it back")
	}
	w.who = mine
	back()
	if in, open := w.g.Open("r1"); !open || in.Error != "" {
		t.Errorf("%+v %v", in, open)
	}
	move("d")
	w.ends("r1", "model:m@1")
	back()
	if _, open := w.g.Open("r1"); open {
		t.Error("it is back after its end")
	}
	same(t, told, "lost 1 1 false", "ok 3 3 true")
}

func TestRunsInACircleEnd(t *testing.T) {
	w := newTeller()
	w.begins("r1", "r2")
	w.begins("r2", "r1")
	w.ends("r1")
	w.ends("r2")
	if got := w.up(t, "run:r1"); len(got) > 1 {
		t.Errorf("%q", got)
	}
}

// Temporary tables are those of their session.
func TestTemporaryTablesOfTwoSessionsAreTwo(t *testing.T) {
	w := newTeller()
	w.copies("public.a.x", "pg_temp.t.x", "ok")
	w.who.Session = "s-2"
	w.copies("pg_temp.t.x", "public.b.x", "ok")
	same(t, w.up(t, "b.x"), "orders:pg_temp.t of s-2.x direct orders:public.b.x")
	w.who.Session = "s-1"
	w.copies("pg_temp.t.x", "public.c.x", "ok")
	same(t, w.up(t, "c.x"), "orders:public.a.x direct orders:pg_temp.t of s-1.x", "orders:pg_temp.t of s-1.x direct orders:public.c.x")
}

func TestOthersSeeOnlyWhatIsTheirs(t *testing.T) {
	w := newTeller()
	w.copies("public.a.x", "public.b.x", "ok")
	w.who = audit.Event{Who: "eve", Subject: "eve", CallerKind: "person", Connection: "orders", Session: "s-2"}
	w.selects("public.b.x")
	same(t, w.edges(t, Question{Target: "b.x", Up: true, Who: "eve"}))
	same(t, w.edges(t, Question{Target: "b.x", Who: "eve"}), "orders:public.b.x direct eve")
	if _, err := w.g.Ask(Question{Target: "a.x", Who: "eve"}); err == nil {
		t.Error("eve learnt that there is a column that she never used")
	}
}

func TestNamesOfTargets(t *testing.T) {
	w := newTeller()
	w.copies("public.a.x", "public.b.x", "ok")
	w.who.Connection = "pay"
	w.copies("public.a.x", "other.b.x", "ok")
	for target, want := range map[string]string{
		"orders:a.x": "", "pay:other.b": "", "other.b": "", "b": "may be orders:public.b, pay:other.b", "a.x": "may be", "x": "nothing", "nowhere": "nothing", "": "nothing",
	} {
		_, err := w.g.Ask(Question{Target: target})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", target, err)
		}
	}
}

func TestClaimsAreMarked(t *testing.T) {
	w := newTeller()
	w.copies("public.a.x", "public.b.x", "ok")
	w.tell(w.by(audit.Event{
		Kind: audit.Claimed, Run: "elsewhere", Job: "spark/etl", Outcome: "ok", Inputs: []string{"sluice:orders public.b"}, Outputs: []string{"s3://lake out/x", "s3://lake plain"},
		Flows: audit.FormatFlows([]audit.Flow{{Into: "s3://lake out/x#mail", How: audit.FlowDerived, Masked: true, From: []string{"sluice:orders public.b#x"}}}),
	}))
	a, err := w.g.Ask(Question{Target: "a.x"})
	if err != nil {
		t.Fatal(err)
	}
	claimed := 0
	for _, e := range a.Edges {
		if e.Claimed {
			claimed++
		}
	}
	if claimed != len(a.Edges)-1 || claimed == 0 {
		t.Errorf("%+v", a.Edges)
	}
	same(t, w.up(t, "s3://lake/out/x"), "orders:public.b.x derived+masked s3://lake/out/x#mail", ab)
}

// The graph is the same whether it was saved in between or not.
func TestSavedAndLoadedIsTheSame(t *testing.T) {
	w := newTeller()
	w.begins("r1", "")
	w.who.Run = "r1"
	w.copies("public.a.x", "public.b.x", "ok")
	w.transaction("BEGIN", "begin", "ok")
	w.copies("public.z.x", "public.b.x", "ok")
	id := w.tell(w.by(audit.Event{Kind: audit.Decided, Effect: "allow", Statement: "select", Reads: []string{"public.b.x"}}))
	var b strings.Builder
	m := Mark{Key: "k", Place: audit.Place{Seq: 9, Offset: 3}, Last: "0 x"}
	if err := w.g.Save(&b, m); err != nil {
		t.Fatal(err)
	}
	g, back, err := Load([]byte(b.String()))
	if err != nil || back != m {
		t.Fatal(back, err)
	}
	w.g = g
	w.tell(w.by(audit.Event{Kind: audit.Finished, Of: id, Outcome: "ok", Rows: 1}))
	w.transaction("COMMIT", "commit", "ok")
	w.ends("r1", "model:m@1")
	same(t, w.up(t, "b.x"), ab, "orders:public.z.x direct orders:public.b.x")
	if got := w.up(t, "model:m@1"); len(got) != 3 { // b was read before z was committed to it
		t.Errorf("%q", got)
	}
}

func FuzzLoad(f *testing.F) {
	w := newTeller()
	w.copies("public.a.x", "public.b.x", "ok")
	var b strings.Builder
	if err := w.g.Save(&b, Mark{}); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(b.String()))
	f.Add([]byte(snapshotFormat + " \n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if g, _, err := Load(data); err == nil {
			g.Take(&audit.Event{Kind: audit.Started})
		}
	})
}

// Whatever events say, folding them does not panic, and grows the graph by a bounded
// amount.
func FuzzTake(f *testing.F) {
	f.Add("decided", "insert", "ALTER COLUMN RENAME", "alter table x rename y to z", "public.a.b", "public.c direct d", "x-1", "ok")
	f.Add("finished", "", "", "", "", "", "x-0", "ok")
	f.Add("claimed", "", "", "", "s3://a b#c", "- unknown", "", "")
	f.Fuzz(func(t *testing.T, kind, statement, command, sql, ref, flow, of, outcome string) {
		w := newTeller()
		w.begins("r", of)
		ev := audit.Event{Kind: audit.Kind(kind), Statement: statement, Command: command, SQL: sql, Reads: []string{ref}, Writes: []string{ref, of}, Flows: []string{flow},
			Of: of, Outcome: outcome, Run: "r", Effect: "allow", Inputs: []string{ref}, Outputs: []string{of}, Personal: []string{ref}, Signs: []string{"server_file"}, Session: "s-1"}
		w.tell(ev)
		id := w.tell(audit.Event{Kind: audit.Decided, Statement: statement, Command: command, SQL: sql, Reads: []string{ref, of}, Writes: []string{ref}, Flows: []string{flow}, Signs: []string{"server_file"}})
		w.tell(audit.Event{Kind: audit.Finished, Of: id, Outcome: "ok"})
		w.ends("r", ref)
		if len(w.g.Nodes) > 40 {
			t.Errorf("%d nodes", len(w.g.Nodes))
		}
		_, _ = w.g.Ask(Question{Target: ref})
	})
}
