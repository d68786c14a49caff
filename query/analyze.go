package query

import (
	"slices"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// Analyze says what each statement of a message would do. It always answers,
// with at least one statement: Unknown with the sign Unparsable for a text that
// is refused or not understood, Empty for one that holds nothing. Without a
// catalogue (s nil) kinds and signs are the same, but relations are named as
// they are written and no column's source is known.
func Analyze(sql string, s Schema) []Statement {
	if len(sql) > MaxSQL {
		return analyzeBulk(sql, s)
	}
	list, problem := parse(sql)
	if problem != "" {
		return []Statement{unparsable(sql, problem)}
	}
	if len(list) == 0 {
		return []Statement{{SQL: strings.TrimSpace(sql), Kind: Empty, Tag: "EMPTY"}}
	}
	out := make([]Statement, len(list))
	for i, p := range list {
		out[i] = analyze(p, s)
	}
	return out
}

// analyzeFree is Analyze of one statement, with the number of its constants that had
// no part in what was found; -1 if the text is anything else.
func analyzeFree(sql string, s Schema) ([]Statement, int) {
	list, problem := parse(sql)
	if problem != "" || len(list) != 1 {
		return nil, -1
	}
	st := analyze(list[0], s)
	if st.Kind == Unknown {
		return nil, -1
	}
	return []Statement{st}, idle(list[0].node)
}

func unparsable(sql, problem string) Statement {
	return Statement{SQL: sql, Kind: Unknown, Signs: []Sign{Unparsable}, Problem: problem, Partial: true}
}

// analyze classifies one statement, collects its signs and follows its columns.
// A panic in any of it makes the statement Unknown.
func analyze(p parsed, s Schema) (st Statement) {
	defer func() {
		if v := recover(); v != nil {
			st = unparsable(p.sql, "statement not understood")
			st.Fingerprint = p.fingerprint
		}
	}()
	a := &analysis{schema: s, st: &Statement{SQL: p.sql, Fingerprint: p.fingerprint}}
	a.statement(p.node)
	return *a.st
}

// analysis is the work on one statement. It fills st and is then thrown away.
type analysis struct {
	schema  Schema
	st      *Statement
	along   string    // the search_path of the routine this is in, if it has its own
	setting listed    // see there
	later   bool      // run by EXECUTE, which gives the parameters
	within  bool      // in a routine's body: whoever reads that adds what called does
	called  []called  // routines whose bodies say what they do
	written []written // relations that the text writes, and what comes of that

	branches bool  // a variable decides what it does, or whether it fails
	given    []Ref // columns that it gives to routines

	configured bool    // it calls set_config
	sleeps     float64 // seconds of the longest pg_sleep in it
	rows       float64 // of its largest relation, by the planner's count
	casts      bool    // types that it names are those of rows there are

	eachRow map[ast.Node]bool               // calls and operators that run for every row of a table
	ctes    map[string]*ast.CommonTableExpr // of its WITH clauses, at any depth
	views   map[*Relation]ast.Node          // definitions of views that conditions were traced through
	folds   int                             // queries in conditions looked at
}

// inner analyses the statement inside another (EXPLAIN, PREPARE, DECLARE).
func (a *analysis) inner(n ast.Node) *Statement {
	b := &analysis{schema: a.schema, along: a.along, within: a.within, later: a.later || a.st.Kind == Prepare, st: &Statement{SQL: a.st.SQL, Fingerprint: a.st.Fingerprint}}
	b.statement(n)
	a.called = append(a.called, b.called...)
	a.written = append(a.written, b.written...)
	return b.st
}

// statement classifies n, then looks at the whole of it for signs, then
// follows its columns.
func (a *analysis) statement(n ast.Node) {
	a.classify(n)
	a.look(n)
	a.follow(n)
	a.making(n)
	if !a.within {
		a.settle()
	}
	st := a.st
	slices.Sort(st.Signs)
	slices.Sort(st.Functions)
	st.Signs = slices.Compact(st.Signs)
	st.Functions = slices.Compact(st.Functions)
	st.Targets = sortRefs(st.Targets)
}

func (a *analysis) sign(signs ...Sign) {
	for _, s := range signs {
		if !slices.Contains(a.st.Signs, s) {
			a.st.Signs = append(a.st.Signs, s)
		}
	}
}

func (a *analysis) target(rv *ast.RangeVar) {
	if rv == nil {
		return
	}
	a.st.Targets = append(a.st.Targets, a.place(rv)...)
}

// place is what a written relation may be: what the catalogue has by that name,
// else the name as written.
func (a *analysis) place(rv *ast.RangeVar) []Ref {
	if a.schema != nil {
		var refs []Ref
		for _, rel := range a.schema.Lookup(rv.SchemaName, rv.RelName) {
			refs = append(refs, Ref{Schema: rel.Schema, Table: rel.Name})
		}
		if refs != nil {
			return refs
		}
	}
	return []Ref{{Schema: rv.SchemaName, Table: rv.RelName}}
}

// places is where a new relation goes.
func (a *analysis) places(rv *ast.RangeVar) Ref {
	ref := Ref{Schema: rv.SchemaName, Table: rv.RelName}
	if p, ok := a.schema.(Placer); ok && ref.Schema == "" && rv.RelPersistence != ast.RELPERSISTENCE_TEMP {
		ref.Schema = p.Creates()
	}
	if rv.RelPersistence == ast.RELPERSISTENCE_TEMP && ref.Schema == "" {
		ref.Schema = "pg_temp"
	}
	return ref
}

func sortRefs(refs []Ref) []Ref {
	slices.SortFunc(refs, compareRefs)
	return slices.Compact(refs)
}

func compareRefs(a, b Ref) int {
	if c := strings.Compare(a.Schema, b.Schema); c != 0 {
		return c
	}
	if c := strings.Compare(a.Table, b.Table); c != 0 {
		return c
	}
	return strings.Compare(a.Column, b.Column)
}
