package store

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluicehq/sluice/audit"
)

// town makes the events of a company: people, jobs and agents who read, change and load
// tables in sessions that overlap, tables that are filled from others every night, and
// runs that train models. The same seed makes the same town.
type town struct {
	r      *rand.Rand
	at     time.Time
	step   time.Duration
	tables []string
	people []audit.Event
	shapes []audit.Event // statements that come again and again
	fills  []audit.Event
	open   []audit.Event
	next   int // statements so far
	runs   int
	put    func(audit.Event) string
}

var (
	nouns   = []string{"orders", "customers", "invoices", "payments", "shipments", "products", "users", "visits", "carts", "refunds", "tickets", "staff", "accounts", "ledgers", "addresses", "coupons"}
	columns = []string{"id", "customer_id", "email", "total", "status", "created_at", "country", "note"}
)

func newTown(statements int, put func(audit.Event) string) *town {
	w := &town{r: rand.New(rand.NewPCG(7, uint64(statements))), at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), put: put}
	w.step = 180 * 24 * time.Hour / time.Duration(statements)
	for i := range min(400, 30+statements/200) {
		w.tables = append(w.tables, fmt.Sprintf("public.%s_%d", nouns[i%len(nouns)], i/len(nouns)))
	}
	for i := range min(550, 12+statements/500) {
		ev := audit.Event{Who: fmt.Sprintf("person%03d@example.com", i), Subject: fmt.Sprint("sub-", i), CallerKind: "person"}
		switch {
		case i%11 == 10:
			ev = audit.Event{Who: fmt.Sprint("acme/app", i), Subject: fmt.Sprint("job-", i), CallerKind: "job"}
		case i%23 == 22:
			ev.CallerKind, ev.Owner = "agent", ev.Who
		}
		w.people = append(w.people, ev)
	}
	for i := range min(20_000, 40+statements/20) {
		w.shapes = append(w.shapes, w.shape(i))
	}
	for i := range w.tables {
		w.fills = append(w.fills, w.fill(i))
	}
	return w
}

// skew is a number below n, small ones far more often.
func (w *town) skew(n int) int {
	return int(float64(n) * w.r.Float64() * w.r.Float64() * w.r.Float64())
}

func (w *town) shape(i int) audit.Event {
	table := w.tables[w.skew(len(w.tables))]
	ev := audit.Event{Fingerprint: fmt.Sprintf("%016x", i*0x9e3779b9), Effect: "allow", Rule: "default"}
	cols := func(n int) (out []string) {
		for range n {
			if c := table + "." + columns[w.r.IntN(len(columns))]; len(out) == 0 || out[len(out)-1] != c {
				out = append(out, c)
			}
		}
		return out
	}
	switch x := w.r.IntN(100); {
	case x < 10:
		ev.Statement, ev.SQL, ev.Writes, ev.Reads = "update", fmt.Sprintf("update %s set status = $1, note = $2 where id = $3 /* %d */", table, i), []string{table}, []string{table + ".id"}
		ev.Flows = []string{table + " steers " + table + ".id"}
	case x < 18:
		ev.Statement, ev.SQL, ev.Writes = "insert", fmt.Sprintf("insert into %s (customer_id, total) values ($1, $2) /* %d */", table, i), []string{table}
	case x < 30:
		ev.Statement, ev.SQL = "select", fmt.Sprintf("select email, total, note from %s where id = %d", table, i)
		ev.Reads = []string{table + ".email", table + ".id", table + ".note", table + ".total"}
		ev.Flows, ev.Personal = []string{"- direct+masked " + table + ".email", "- steers " + table + ".id"}, []string{table + ".email:email"}
	default:
		ev.Statement, ev.Reads = "select", cols(4)
		ev.SQL, ev.Flows = fmt.Sprintf("select id, total, status, created_at from %s where customer_id = $1 order by created_at limit $2 /* %d */", table, i), []string{"- steers " + ev.Reads[0]}
	}
	return ev
}

// fill is what makes a table of others every night.
func (w *town) fill(i int) audit.Event {
	into := w.tables[i]
	ev := audit.Event{Statement: "insert", Effect: "allow", Rule: "default", SQL: "insert into " + into + " select …", Writes: []string{into}, Fingerprint: fmt.Sprint("fill-", i)}
	for k, c := range columns {
		from := w.tables[w.r.IntN(max(i, 1))] + "." + columns[w.r.IntN(len(columns))]
		how := "direct"
		if k%3 == 0 {
			how = "derived"
		}
		ev.Reads = append(ev.Reads, from)
		ev.Flows = append(ev.Flows, into+"."+c+" "+how+" "+from)
	}
	return ev
}

// statement makes one statement and its ending, and what comes with it.
func (w *town) statement() {
	w.next++
	w.at = w.at.Add(w.step)
	if len(w.open) < 4 || len(w.open) < 60 && w.r.IntN(100) == 0 {
		s := w.people[w.skew(len(w.people))]
		s.Session, s.Connection, s.Role, s.Client, s.From = fmt.Sprintf("s-%010x", w.next*7919), fmt.Sprint("db", w.skew(4)), "sluice_rw", "psql", "10.0.0.1:5555"
		w.open = append(w.open, s)
		s.Kind, s.Outcome, s.Database = audit.Connected, "ok", "db.internal:5432/"+s.Connection
		w.tell(s)
	}
	i := w.r.IntN(len(w.open))
	who := w.open[i]
	ev := w.shapes[w.skew(len(w.shapes))]
	switch {
	case w.next%100 == 0: // the night's work
		ev = w.fills[w.r.IntN(len(w.fills))]
		if w.r.IntN(3) == 0 {
			w.ran(who, audit.Event{Statement: "truncate", Command: "TRUNCATE", SQL: "truncate", Writes: ev.Writes, Effect: "hold"}, true)
		}
	case w.next%200 == 1:
		w.train(who)
	case w.r.IntN(200) == 0:
		w.open = append(w.open[:i:i], w.open[i+1:]...)
		who.Kind = audit.Closed
		w.tell(who)
		return
	}
	w.ran(who, ev, ev.Effect == "hold")
}

func (w *town) ran(who, ev audit.Event, held bool) {
	id := w.tell(as(who, ev, audit.Decided))
	if held {
		w.tell(as(who, audit.Event{Of: id, Effect: "allow", Approvers: []string{w.people[w.r.IntN(3)].Who}}, audit.Answered))
	}
	end := audit.Event{Of: id, Outcome: "ok", Statement: ev.Statement, Rows: int64(w.r.ExpFloat64() * 40), DurationUS: int64(w.r.ExpFloat64() * 3000)}
	if w.r.IntN(100) == 0 {
		end.Outcome, end.ErrorCode, end.Error, end.Rows = "error", "42P01", "relation does not exist", 0
	}
	w.tell(as(who, end, audit.Finished))
}

func as(who, ev audit.Event, kind audit.Kind) audit.Event {
	ev.Kind, ev.Session, ev.Who, ev.Subject, ev.CallerKind, ev.Owner = kind, who.Session, who.Who, who.Subject, who.CallerKind, who.Owner
	ev.From, ev.Connection, ev.Role, ev.Client, ev.Run = who.From, who.Connection, who.Role, who.Client, who.Run
	return ev
}

// train is a run that reads some tables and makes a model.
func (w *town) train(who audit.Event) {
	w.runs++
	who.Run = fmt.Sprintf("0199f000-0000-7000-8000-%012x", w.runs)
	begin := as(who, audit.Event{Job: fmt.Sprint("train-", w.runs%40), Inputs: []string{fmt.Sprintf("s3://bucket/raw-%d", w.runs%20)}, Facts: []string{"git.commit=0123456789abcdef"}}, audit.RunBegan)
	w.tell(begin)
	for range 3 {
		for { // what it reads
			if ev := w.shapes[w.skew(len(w.shapes))]; ev.Statement == "select" {
				w.ran(who, ev, false)
				break
			}
		}
	}
	w.tell(as(who, audit.Event{Job: begin.Job, Outcome: "ok", Outputs: []string{fmt.Sprintf("model:m%d@%d\tsha256:%064x\tmodel.bin", w.runs%40, w.runs/40, w.runs)}}, audit.RunEnded))
}

func (w *town) tell(ev audit.Event) string {
	ev.Time = w.at
	return w.put(ev)
}

// build makes a record of n statements in a directory of its own.
func build(t testing.TB, dir string, n int) string {
	t.Helper()
	record := filepath.Join(dir, "record")
	l, err := audit.Open(audit.Config{Dir: record, Origin: "sluice/town"})
	if err != nil {
		t.Fatal(err)
	}
	first, err := l.Append(audit.Event{Kind: audit.Started, Time: time.Date(2025, 12, 31, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	prefix, seq := first.ID[:len(first.ID)-1], 0
	w := newTown(n, func(ev audit.Event) string {
		if err := l.Later(ev); err != nil {
			t.Fatal(err)
		}
		seq++
		return fmt.Sprint(prefix, seq)
	})
	for range n {
		w.statement()
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return record
}
