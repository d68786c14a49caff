// Package town makes a record to try things on: the events of a company's databases, as
// many as are wanted, the same ones for the same number. It is for tests only.
package town

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluicehq/sluice/audit"
)

// Town is people and jobs with sessions that overlap, statements of which some come again
// and again, and everything else that is recorded.
type Town struct {
	At     time.Time     // of the newest event
	Step   time.Duration // from one to the next
	Tables []string      // the busiest first
	People []audit.Event // who there is, the busiest first
	Texts  []audit.Event // what is run, the most frequent first

	r    *rand.Rand
	open []audit.Event
	ends []audit.Event // endings to come
	next int
}

var (
	nouns   = []string{"orders", "customers", "invoices", "payments", "shipments", "products", "users", "sessions", "carts", "refunds", "tickets", "employees", "salaries", "accounts", "ledgers", "addresses", "coupons", "reviews"}
	schemas = []string{"public", "billing", "hr", "app"}
)

// New founds the town of so many events.
func New(events int) *Town {
	w := &Town{r: rand.New(rand.NewPCG(1, uint64(events))), At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	w.Step = 180 * 24 * time.Hour / time.Duration(events)
	size := min(400, 20+events/100)
	for i := range size {
		w.Tables = append(w.Tables, fmt.Sprintf("%s.%s_%d", schemas[i%4], nouns[i%len(nouns)], i/len(nouns)))
	}
	for i := range min(550, 12+events/500) {
		ev := audit.Event{Who: fmt.Sprintf("person%03d@example.com", i), Subject: fmt.Sprintf("sub-%d", i), CallerKind: "person", Groups: []string{"staff", fmt.Sprint("team-", i%20)}}
		switch {
		case i%11 == 10:
			ev = audit.Event{Who: fmt.Sprint("repo:shop/app", i), Subject: fmt.Sprint("job-", i), CallerKind: "job", Groups: []string{"ci"}, Run: fmt.Sprint("run-", i)}
		case i%23 == 22:
			ev.CallerKind, ev.Owner, ev.Who = "agent", ev.Who, fmt.Sprint("agent-", i)
		}
		w.People = append(w.People, ev)
	}
	for i := range min(20_000, 40+events/20) {
		w.Texts = append(w.Texts, w.text(i))
	}
	return w
}

// skew is a number below n, small ones far more often.
func (w *Town) skew(n int) int {
	return int(float64(n) * w.r.Float64() * w.r.Float64() * w.r.Float64())
}

func (w *Town) text(i int) audit.Event {
	table := w.Tables[w.skew(len(w.Tables))]
	ev := audit.Event{Fingerprint: fmt.Sprintf("%016x", i*0x9e3779b9), Statement: "select", Effect: "allow", Rule: "default"}
	cols := func(names ...string) (out []string) {
		for _, n := range names {
			out = append(out, table+"."+n)
		}
		return out
	}
	switch x := w.r.IntN(100); {
	case x < 8:
		ev.Statement, ev.SQL, ev.Writes = "update", fmt.Sprintf("update %s set status = $1, note_%d = $2 where id = $3", table, i), []string{table}
		ev.Reads = cols("id")
	case x < 14:
		ev.Statement, ev.SQL, ev.Writes = "insert", fmt.Sprintf("insert into %s (customer_id, total, note_%d) values ($1, $2, $3)", table, i), []string{table}
	case x < 15:
		ev.Statement, ev.SQL, ev.Writes, ev.Effect, ev.Rule, ev.Reason = "delete", "delete from "+table, []string{table}, "deny", "no-where", "deletes every row"
		ev.Signs = []string{"no_where"}
	case x < 16:
		ev.Statement, ev.SQL, ev.Writes, ev.Effect, ev.Rule, ev.Reason = "ddl", fmt.Sprintf("alter table %s add column extra_%d text", table, i), []string{table}, "hold", "ddl-in-production", "changes the schema"
	case x < 30:
		ev.SQL, ev.Reads = fmt.Sprintf("select name, email, ssn from %s where id = %%d and label = 'O''Brien %%d' /* %d */", table, i), cols("name", "email", "ssn", "id", "label")
		ev.Personal = []string{table + ".name:person", table + ".email:email", table + ".ssn:ssn"}
	default:
		ev.SQL, ev.Reads = fmt.Sprintf("select id, name, total_%d from %s where customer_id = $1 and status = $2 order by created_at desc limit $3", i, table), cols("id", "name", "customer_id", "status", "created_at")
	}
	return ev
}

// Event makes the next entry; id is what the log would call entry seq.
func (w *Town) Event(id func(int) string) audit.Event {
	seq := w.next
	w.next++
	w.At = w.At.Add(w.Step)
	// A statement is often still under way when others come.
	if n := len(w.ends); n > 0 && (n > 40 || w.r.IntN(3) > 0) {
		i := w.r.IntN(n)
		if w.r.IntN(50) > 0 {
			i = 0
		}
		end := w.ends[i]
		w.ends = append(w.ends[:i:i], w.ends[i+1:]...)
		end.Time = w.At
		return end
	}
	if seq%5000 < 14 { // a start
		return w.start(seq % 5000)
	}
	if w.r.IntN(1500) == 0 {
		return w.aside()
	}
	if len(w.open) < 4 || len(w.open) < 60 && w.r.IntN(40) == 0 {
		s := w.People[w.skew(len(w.People))]
		s.Session, s.Connection, s.Role, s.Client = fmt.Sprintf("%010x", seq*7919+1), fmt.Sprint("db", w.skew(10)), "sluice_rw", "psql"
		s.From = "10.0.0.1:5555"
		if w.r.IntN(3) == 0 {
			s.Purpose = []string{"ticket SHOP-" + fmt.Sprint(w.r.IntN(40)), "month-end closing", "incident INC-7"}[w.r.IntN(3)]
		}
		w.open = append(w.open, s)
		s.Kind, s.Time, s.Outcome = audit.Connected, w.At, "ok"
		return s
	}
	i := w.r.IntN(len(w.open))
	ev := w.open[i]
	ev.Time = w.At
	if w.r.IntN(120) == 0 {
		w.open = append(w.open[:i:i], w.open[i+1:]...)
		ev.Kind = audit.Closed
		return ev
	}
	return w.statement(seq, ev, id)
}

// start is what a gateway records when it starts.
func (w *Town) start(i int) audit.Event {
	ev := audit.Event{Time: w.At, Kind: audit.Rights, Groups: []string{"staff", fmt.Sprint("team-", i)}, Detail: "env prod; may open the connection"}
	switch {
	case i == 0:
		return audit.Event{Time: w.At, Kind: audit.Started, Detail: "policy built-in"}
	case i < 12:
		ev.Connection, ev.Role = fmt.Sprint("db", i-1), "sluice_rw"
	case i == 12:
		ev.Groups, ev.Detail = []string{"security"}, "may read the whole record"
	default:
		ev.Groups, ev.Detail = []string{"dba"}, "may see and end everyone's sessions, and lock people out"
	}
	return ev
}

// aside is what people do beside their statements.
func (w *Town) aside() audit.Event {
	ev := w.People[w.skew(len(w.People))]
	ev.Time = w.At
	switch w.r.IntN(5) {
	case 0:
		ev.Kind, ev.Outcome, ev.Error = audit.LoggedIn, "refused", "the identity provider's answer is too old"
	case 1:
		ev.Kind, ev.Outcome, ev.Error, ev.Connection, ev.From = audit.Connected, "refused", "there is no connection \"db9\" for you", "db9", "10.0.0.1:5555"
	case 2:
		ev.Kind, ev.Outcome, ev.Detail = audit.Admin, "ok", "locked sub-17: left the company"
	case 3:
		ev.Kind, ev.Detail = audit.Questioned, `{"by":["who"]}`
	default:
		ev.Kind, ev.Outcome, ev.Detail = audit.LoggedIn, "ok", "certificate until 2026-02-01T10:00:00Z"
	}
	return ev
}

func (w *Town) statement(seq int, who audit.Event, id func(int) string) audit.Event {
	ev := w.Texts[w.skew(len(w.Texts))]
	ev.Kind, ev.Time, ev.Session, ev.Who, ev.Subject, ev.CallerKind, ev.Owner, ev.Groups = audit.Decided, who.Time, who.Session, who.Who, who.Subject, who.CallerKind, who.Owner, who.Groups
	ev.Run = who.Run
	ev.From, ev.Connection, ev.Role, ev.Client, ev.Purpose = who.From, who.Connection, who.Role, who.Client, who.Purpose
	if ev.Statement == "select" && len(ev.Reads) == 5 && ev.Reads[2][len(ev.Reads[2])-3:] == "ssn" {
		ev.SQL = fmt.Sprintf(ev.SQL, w.r.IntN(1_000_000), w.r.IntN(5000))
	} else if ev.Statement != "ddl" && ev.Statement != "delete" {
		ev.Params = []string{fmt.Sprint(w.r.IntN(1_000_000)), "open", "50"}
	}
	end := who
	end.Kind, end.Of, end.Statement, end.Outcome = audit.Finished, id(seq), ev.Statement, "ok"
	end.Rows, end.DurationUS = int64(w.r.ExpFloat64()*40), int64(w.r.ExpFloat64()*3000)
	switch x := w.r.IntN(1000); {
	case x == 0:
		end.Rows = int64(w.r.IntN(200_000))
	case x < 10:
		end.Outcome, end.ErrorCode, end.Error, end.Rows = "error", "42P01", fmt.Sprintf("relation \"gone_%d\" does not exist", w.r.IntN(100)), 0
	}
	end.Bytes = end.Rows * 120
	switch {
	case ev.Effect == "deny":
		end.Outcome, end.Rows, end.Bytes = "refused", 0, 0
	case ev.Effect == "hold":
		yes := who
		yes.Kind, yes.Of, yes.Effect, yes.Rule, yes.Approvers = audit.Answered, id(seq), "allow", ev.Rule, []string{w.People[w.r.IntN(3)].Who}
		w.ends = append(w.ends, yes)
	case len(ev.Reads) == 5 && ev.Params == nil:
		end.Masked, end.MaskedCols = end.Rows*2, []string{"email:email", "ssn:ssn"}
	}
	w.ends = append(w.ends, end)
	return ev
}

// Build makes a record of n entries in a directory of its own.
func Build(t testing.TB, dir string, n int) string {
	t.Helper()
	record := filepath.Join(dir, "record")
	l, err := audit.Open(audit.Config{Dir: record, Origin: "sluice/town"})
	if err != nil {
		t.Fatal(err)
	}
	w := New(n)
	first, err := l.Append(w.Event(func(int) string { return "" })) // a session opens, which has no ID in it
	if err != nil {
		t.Fatal(err)
	}
	prefix := first.ID[:len(first.ID)-1]
	for i := 1; i < n; i++ {
		if err := l.Later(w.Event(func(seq int) string { return fmt.Sprint(prefix, seq) })); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return record
}
