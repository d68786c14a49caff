package differ

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/query"
)

// TestWrittenLineage is TestLineage for what INSERT, UPDATE, MERGE and DELETE write
// and return: whatever differs in a row that was written, in a column that was set,
// must come from a column that is said to reach or to steer it.
func TestWrittenLineage(t *testing.T) {
	w := newWorld(t, still)
	l := &lineage{t: t, w: w}
	for seed, n := range w.seeds(t, 40) {
		m := newMaker(seed, n, false)
		m.goals = []string{"users", "orders", "lines", "scratch", "plain", "tree", "made", `"Odd name"`, "other.users"}
		sql, _ := m.change(m.depth(), true)
		l.written(m, seed, n, sql)
		if l.finds > 5 {
			break
		}
	}
	t.Logf("%d statements, %d refused by the server, %d runs, %d of %d columns known, %d values moved, %d finds", l.statements, l.refused, l.runs, l.known, l.cols, l.moved, l.finds)
	if !repeated() && (l.refused*3 > l.statements*2 || l.known*3 < l.cols*2) {
		t.Error("too little was looked at to mean anything")
	}
}

// wrote is what a statement did: the rows that it made, column by column, and those
// that it returned.
type wrote struct {
	set      map[string][]string
	returned [][]string
}

func (l *lineage) written(m *maker, seed, n uint64, sql string) {
	l.statements++
	st := query.Analyze(sql, l.w.schema)[0]
	if st.Target == nil {
		l.find(seed, n, sql, "no target is said to be written")
		return
	}
	before, err := l.w.writes(sql, "", st.Target)
	if err != nil {
		if debugging() {
			l.t.Logf("%v\n  %s", err, sql)
		}
		l.refused++
		return
	}
	again, err := l.w.writes(sql, "", st.Target)
	if err != nil || !equal(before, again) {
		l.refused++
		return
	}
	results, ok := st.Results()
	if !ok || len(results) != len(before.returned) {
		results = nil
	}
	for _, c := range slices.Concat(st.Output, results) {
		l.cols++
		if c.Known {
			l.known++
		}
	}
	for _, alike := range changes() {
		ch := alike[m.IntN(len(alike))]
		if !strings.Contains(sql, ch.ref.Table) && !l.hidden(sql) {
			continue
		}
		after, err := l.w.writes(sql, ch.sql, st.Target)
		l.runs++
		if err != nil {
			continue
		}
		for _, c := range st.Output {
			if own := (query.Ref{Schema: st.Target.Schema, Table: st.Target.Table, Column: c.Name}); own == ch.ref && strings.Contains(sql, " on conflict ") {
				continue // a row that was there and is updated keeps what is not set
			}
			l.moves(seed, n, sql, &st, "written column "+c.Name, c, ch, before.set[c.Name], after.set[c.Name])
		}
		for i, c := range results {
			if i < len(after.returned) {
				l.moves(seed, n, sql, &st, "returned column "+c.Name, c, ch, before.returned[i], after.returned[i])
			}
		}
	}
}

func equal(a, b *wrote) bool {
	for name := range a.set {
		if !slices.Equal(a.set[name], b.set[name]) {
			return false
		}
	}
	return slices.EqualFunc(a.returned, b.returned, slices.Equal)
}

func (l *lineage) moves(seed, n uint64, sql string, st *query.Statement, what string, c query.Column, ch change, before, after []string) {
	is := func(ref query.Ref) bool { return from(ref, ch.ref) }
	// How many rows are written is decided by the keys they clash with.
	if slices.Equal(slices.Compact(slices.Clone(before)), slices.Compact(slices.Clone(after))) {
		return
	}
	l.moved++
	if !c.Known || st.Partial || slices.ContainsFunc(st.Indirect, is) || slices.ContainsFunc(c.Sources, func(s query.Source) bool { return is(s.Ref) }) {
		return
	}
	l.find(seed, n, sql, fmt.Sprintf("%s changes with %v (%s), but is said to come from %v and to be steered by %v", what, ch.ref, ch.sql, c.Sources, st.Indirect))
}

// writes runs a statement after a change, undoes both, and gives what it wrote.
func (w *world) writes(sql, change string, target *query.Ref) (*wrote, error) {
	if change == "" {
		change = "select 1"
	}
	name := fmt.Sprintf("%q.%q", target.Schema, target.Table)
	results, err := w.conn.Exec(context.Background(), "begin; "+change+"; create temp table was on commit drop as select ctid as at from only "+name+"; "+sql+
		"; select * from only "+name+" where ctid not in (select at from was); rollback").ReadAll()
	if err != nil {
		w.run("rollback")
		return nil, err
	}
	out := &wrote{set: map[string][]string{}, returned: columns(results[3])}
	cols := columns(results[4])
	for i, f := range results[4].FieldDescriptions {
		out.set[f.Name] = cols[i]
	}
	return out, nil
}
