package differ

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/query"
)

// TestEffects runs made statements in transactions that are rolled back. Whatever
// rows, schema, settings, locks or large objects they changed must have been
// foretold, unless the statement is said to be of unknown effect; and a statement
// that only reads changes nothing.
func TestEffects(t *testing.T) {
	w := newWorld(t, busy+watcher+"create table differ.start as select pg_current_xact_id()::xid as first;")
	w.run("set statement_timeout = '2s'; deallocate all")
	e := &effects{t: t, w: w}
	e.look()
	for seed, n := range w.seeds(t, 300) {
		m := newMaker(seed, n, true)
		e.run(seed, n, m.statement())
		if e.finds > 30 {
			break
		}
	}
	t.Logf("%d statements, %d refused by the server, %d changed something, %d of unknown effect, %d only read, %d finds", e.statements, e.refused, e.changes, e.unknown, e.reads, e.finds)
	if !repeated() && (e.refused*2 > e.statements || e.changes*5 < e.statements || e.reads*10 < e.statements || e.unknown*2 > e.statements) {
		t.Error("too little was looked at to mean anything")
	}
}

type effects struct {
	t                                                   *testing.T
	w                                                   *world
	before                                              state
	statements, refused, changes, unknown, reads, finds int
}

func (e *effects) run(seed, n uint64, sql string) {
	e.statements++
	list := e.analyze(sql)
	e.w.run("begin")
	_, err := e.w.conn.Exec(context.Background(), sql).ReadAll()
	var after state
	if err == nil {
		after, err = e.w.state()
	}
	e.w.run("rollback; deallocate all; close all; select pg_advisory_unlock_all()")
	if err != nil {
		if debugging() {
			e.t.Logf("%v\n  %s", err, sql)
		}
		e.refused++
		if strings.Contains(sql, "counter") || strings.Contains(sql, "f_seq") || strings.Contains(sql, "made") {
			e.look() // a sequence may have moved
		}
		return
	}
	what := changed(e.before, after)
	if len(what) > 0 {
		e.changes++
	}
	f := foretells(list)
	if f.unknown {
		e.unknown++
	} else if f.reads() {
		e.reads++
	}
	var missed []string
	sequences := false
	for _, c := range what {
		if !f.covers(c) {
			missed = append(missed, c)
		}
		sequences = sequences || strings.HasPrefix(c, "sequence ")
	}
	if missed != nil {
		e.finds++
		e.t.Errorf("%s\nchanges %q\nbut is said to be %s\nrepeat with DIFFER=%d/%d", sql, missed, f, seed, n)
	}
	if sequences { // are not rolled back
		e.look()
	}
}

// analyze reads a message as the gateway does: what follows a change of the path is read
// without relying on it.
func (e *effects) analyze(sql string) []query.Statement {
	list := query.Analyze(sql, e.w.schema)
	for i := range list {
		if i > 0 && list[i-1].Kind == query.Set && list[i-1].SetName == "search_path" {
			list[i] = query.Analyze(list[i].SQL, e.w.schema.(query.Routiner).Along(nil))[0]
		}
	}
	return list
}

// look notes what there is before a statement.
func (e *effects) look() {
	e.w.run("begin")
	before, err := e.w.state()
	if err != nil {
		e.t.Fatal(err)
	}
	e.before = before
	e.w.run("rollback")
}

// foretold is what the analysis of a message says that it may change.
type foretold struct {
	list    []query.Statement
	unknown bool // nobody knows what it does
	writes  bool
	targets []query.Ref
	kinds   []query.Kind // inside of others too
}

func foretells(list []query.Statement) *foretold {
	f := &foretold{list: list}
	for i := range list {
		f.add(&list[i])
	}
	return f
}

func (f *foretold) add(st *query.Statement) {
	for _, s := range []query.Sign{query.UnknownRoutine, query.DynamicSQL, query.Unparsable} {
		f.unknown = f.unknown || slices.Contains(st.Signs, s)
	}
	f.unknown = f.unknown || st.Kind == query.Unknown
	f.writes = f.writes || st.Writes
	f.targets = append(f.targets, st.Targets...)
	f.kinds = append(append(f.kinds, st.Kind), st.Inside...)
	if st.Inner != nil {
		f.add(st.Inner)
	}
}

func (f *foretold) String() string {
	var b strings.Builder
	for _, st := range f.list {
		fmt.Fprintf(&b, "%q %s writes=%v inside=%v targets=%v signs=%v functions=%v; ", st.Kind, st.Tag, st.Writes, st.Inside, st.Targets, st.Signs, st.Functions)
	}
	return b.String()
}

// reads reports whether nothing is said to change.
func (f *foretold) reads() bool {
	return !f.unknown && !f.writes && !f.has(query.DDL, query.Drop, query.Grant, query.Maintain, query.Truncate, query.Lock, query.Set, query.Prepare, query.Declare, query.Listen, query.Transaction, query.Deallocate, query.Close)
}

func (f *foretold) has(kinds ...query.Kind) bool {
	return slices.ContainsFunc(f.kinds, func(k query.Kind) bool { return slices.Contains(kinds, k) })
}

// runs reports whether routines are said to run statements of a kind.
func (f *foretold) runs(k query.Kind) bool {
	return slices.ContainsFunc(f.list, func(st query.Statement) bool { return st.Runs(k) })
}

func (f *foretold) sign(s query.Sign) bool {
	return slices.ContainsFunc(f.list, func(st query.Statement) bool { return st.Has(s) })
}

// defines reports whether it is said to change what a database holds beside rows.
func (f *foretold) defines() bool {
	return f.has(query.DDL, query.Drop, query.Grant, query.Maintain, query.Truncate)
}

// covers reports whether a change was foretold.
func (f *foretold) covers(change string) bool {
	if f.unknown {
		return true
	}
	kind, name := cutKind(change)
	switch kind {
	case "rows":
		return f.aims(name)
	case "sequence":
		return f.writes || f.calls("nextval") // which is let pass as a read: decision 029
	case "schema":
		// TRUNCATE … RESTART IDENTITY begins the sequences of the table anew.
		return f.defines() && (f.aims(name) || f.has(query.Drop, query.DDL, query.Maintain) || f.has(query.Truncate) && strings.HasSuffix(name, "_seq"))
	case "catalog":
		return f.defines() || f.writes && f.has(query.Drop)
	case "large":
		return f.writes
	case "cursor":
		// One that a body opens is found by nobody who was not told its name, and FETCH
		// from a name that was not declared is of unknown effect.
		return f.has(query.Declare, query.Do, query.Call)
	case "prepared":
		return f.has(query.Prepare)
	case "listens":
		return f.has(query.Listen)
	case "lock":
		// EXPLAIN locks as what it explains would.
		return f.writes || f.has(query.Lock, query.Maintain) || f.sign(query.AdvisoryLock) && strings.HasPrefix(name, "advisory") || f.has(query.Explain) && strings.HasSuffix(name, " RowExclusiveLock")
	case "setting":
		return f.sets(name)
	}
	return false
}

func (f *foretold) calls(name string) bool {
	for _, st := range f.list {
		for in := &st; in != nil; in = in.Inner {
			for _, fn := range in.Functions {
				if fn == name || strings.HasSuffix(fn, "."+name) {
					return true
				}
			}
		}
	}
	return false
}

// aims reports whether relation schema.table is one that is said to be written.
func (f *foretold) aims(name string) bool {
	if !f.writes {
		return false
	}
	schema, table, _ := strings.Cut(name, ".")
	temporary := strings.HasPrefix(schema, "pg_temp")
	for _, t := range f.targets {
		if t.Table == table && (t.Schema == schema || t.Schema == "" || temporary) {
			return true
		}
	}
	return false
}

// sets reports whether a setting is one that is said to be set.
func (f *foretold) sets(name string) bool {
	if f.sign(query.SessionState) || f.runs(query.Set) || f.calls("set_config") && !steering[strings.ToLower(name)] {
		return true
	}
	for _, st := range f.list {
		if st.Kind == query.Set && (st.SetName == strings.ToLower(name) || st.SetName == "all" || aliases[st.SetName] == name) {
			return true
		}
	}
	return false
}

// steering are settings of which set_config is said to change the state of the session;
// others only tune (decision 024).
var steering = map[string]bool{"role": true, "search_path": true, "row_security": true, "session_replication_role": true, "standard_conforming_strings": true}

// aliases are parameters that SET knows by another name.
var aliases = map[string]string{"time zone": "TimeZone", "names": "client_encoding"}
