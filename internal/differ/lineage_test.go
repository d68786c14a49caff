package differ

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/query"
)

// change is one column of the base tables in which every value is altered.
type change struct {
	ref query.Ref
	sql string
}

// changes are the columns of the still world that hold rows, with several ways to alter each.
func changes() [][]change {
	var out [][]change
	relations := []string{"users", "orders", "lines", "scratch", "plain", "tree", "parted_low", "parted_high_a", "parted_high_rest", "base", "kid", "made", `"Odd name"`, "other.users"}
	for _, name := range relations {
		cols := columnsOf(strings.NewReplacer("high_a", "low", "high_rest", "low").Replace(name))
		for _, c := range cols {
			if strings.HasPrefix(name, "parted") && (c.name == "k" || name != "parted_low") {
				continue // would move the row
			}
			sets := []string{c.name + " = coalesce(" + c.name + ", 0) + 7", c.name + " = 3 - " + c.name, c.name + " = 1"}
			if c.typ == text {
				sets = []string{c.name + " = 'zz' || coalesce(" + c.name + ", '') || 'q'", c.name + " = 'bob'", c.name + " = null", c.name + " = reverse(" + c.name + ")"}
			}
			schema, table, qualified := strings.Cut(name, ".")
			if !qualified {
				schema, table = "public", name
			}
			ref := query.Ref{Schema: schema, Table: strings.Trim(table, `"`), Column: strings.Trim(c.name, `"`)}
			var alike []change
			for _, set := range sets {
				if strings.HasSuffix(set, " = 1") && c.name == "id" {
					continue // a key
				}
				alike = append(alike, change{ref, "update only " + name + " set " + set})
			}
			out = append(out, alike)
		}
	}
	return out
}

func columnsOf(name string) []column {
	for _, t := range tables {
		if t.name == name {
			return t.cols
		}
	}
	return nil
}

// from reports whether a column may be meant by another of the same name: a parent's
// rows are those of its children and partitions too.
func from(named, changed query.Ref) bool {
	if named == changed {
		return true
	}
	parents := map[string][]string{"kid": {"base"}, "parted_low": {"parted"}, "parted_high": {"parted"},
		"parted_high_a": {"parted", "parted_high"}, "parted_high_rest": {"parted", "parted_high"}}
	return named.Schema == changed.Schema && named.Column == changed.Column && slices.Contains(parents[changed.Table], named.Table)
}

// slow is what is not run once more for every column.
const slow = 30 * time.Millisecond

// lineage counts what was asked.
type lineage struct {
	t                                      *testing.T
	w                                      *world
	statements, refused, runs, known, cols int
	moved                                  int // changes of values that were seen
	finds                                  int
}

// TestLineage changes one column of the base tables at a time and runs a made query
// again: whatever differs in a result must come from a column that is said to reach
// or to steer it.
func TestLineage(t *testing.T) {
	w := newWorld(t, still)
	l := &lineage{t: t, w: w}
	for seed, n := range w.seeds(t, 60) {
		m := newMaker(seed, n, false)
		sql, _ := m.query(nil, nil, m.depth())
		l.read(m, seed, n, sql)
		if l.finds > 5 {
			break
		}
	}
	t.Logf("%d statements, %d refused by the server, %d runs, %d of %d columns known, %d values moved, %d finds", l.statements, l.refused, l.runs, l.known, l.cols, l.moved, l.finds)
	if !repeated() && (l.refused*2 > l.statements || l.known*3 < l.cols*2 || l.moved*2 < l.statements) {
		t.Error("too little was looked at to mean anything")
	}
}

func (l *lineage) read(m *maker, seed, n uint64, sql string) {
	l.statements++
	start := time.Now()
	before, err := l.w.rows(sql, "")
	if err == nil && time.Since(start) > slow {
		err = errors.New("too slow to run a hundred times")
	}
	if err != nil {
		if debugging() {
			l.t.Logf("%v\n  %s", err, sql)
		}
		l.refused++
		return
	}
	again, err := l.w.rows(sql, "")
	if err != nil || !slices.EqualFunc(before, again, slices.Equal) {
		l.refused++
		return
	}
	st := query.Analyze(sql, l.w.schema)[0]
	cols, ok := st.Results()
	if !ok {
		cols = nil
	} else if len(before) == 0 {
		before = make([][]string, len(cols)) // no rows, and so no columns were told
	} else if len(cols) != len(before) {
		l.find(seed, n, sql, fmt.Sprintf("%d columns are said to leave, %d do", len(cols), len(before)))
		return
	}
	l.cols += len(before)
	for _, c := range cols {
		if c.Known {
			l.known++
		}
	}
	for _, alike := range changes() {
		ch := alike[m.IntN(len(alike))]
		if !strings.Contains(sql, ch.ref.Table) && !l.hidden(sql) {
			continue
		}
		after, err := l.w.rows(sql, ch.sql)
		l.runs++
		if err == nil && len(after) == 0 {
			after = make([][]string, len(before))
		}
		if err == nil {
			l.compare(seed, n, sql, &st, cols, ch, before, after)
		}
	}
}

// hidden reports whether a statement may read tables that it does not name.
func (l *lineage) hidden(sql string) bool {
	for _, name := range []string{"contacts", "joined", "counted", "parted", "base", "f_", "fs_"} {
		if strings.Contains(sql, name) {
			return true
		}
	}
	return false
}

func (l *lineage) compare(seed, n uint64, sql string, st *query.Statement, cols []query.Column, ch change, before, after [][]string) {
	is := func(ref query.Ref) bool { return from(ref, ch.ref) }
	for i, c := range cols {
		if slices.Equal(before[i], after[i]) {
			continue
		}
		l.moved++
		if !c.Known || st.Partial || slices.ContainsFunc(st.Indirect, is) {
			continue // Partial says that what steers is not all known
		}
		if !slices.ContainsFunc(c.Sources, func(s query.Source) bool { return is(s.Ref) }) {
			l.find(seed, n, sql, fmt.Sprintf("column %s changes with %v (%s), but is said to come from %v and to be steered by %v", c.Name, ch.ref, ch.sql, c.Sources, st.Indirect))
			return
		}
	}
}

func (l *lineage) find(seed, n uint64, sql, what string) {
	l.finds++
	l.t.Errorf("%s\n%s\nrepeat with DIFFER=%d/%d", sql, what, seed, n)
}

// rows runs a query after a change, undoes both, and gives the sorted values of each column.
func (w *world) rows(sql, change string) (cols [][]string, err error) {
	if change == "" {
		change = "select 1"
	}
	results, err := w.conn.Exec(context.Background(), "begin; "+change+"; "+sql+"; rollback").ReadAll()
	if err != nil {
		w.run("rollback")
		return nil, err
	}
	cols = columns(results[2])
	if dedups.MatchString(sql) {
		// How often a value comes is then decided by all the columns beside it. That
		// is so by the sense of DISTINCT, and no column is named for it.
		for i := range cols {
			cols[i] = slices.Compact(cols[i])
		}
	}
	return cols, nil
}

var dedups = regexp.MustCompile(`distinct |union |intersect|except`)

// columns are the sorted values of each column of a result.
func columns(r *pgconn.Result) [][]string {
	cols := make([][]string, len(r.FieldDescriptions))
	for _, row := range r.Rows {
		for i, v := range row {
			value := "null"
			if v != nil {
				value = "=" + string(v)
			}
			cols[i] = append(cols[i], value)
		}
	}
	for i := range cols {
		slices.Sort(cols[i])
	}
	return cols
}
