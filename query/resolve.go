package query

import (
	"github.com/multigres/multigres/go/common/parser/ast"
)

// Limits of one resolution. Past them every column is unknown.
const (
	maxSteps   = 2_000_000 // nodes visited, views and recursive queries again each time
	maxDepth   = 3000      // queries and expressions nested in one another
	maxInView  = 32        // views over views
	maxFixed   = 100       // rounds until a recursive query's columns no longer change
	maxColumns = 100_000   // columns that stars may expand to
)

// resolver follows columns through one statement. Conditions, grouping and
// sorting add to steers as they are met; what is never referenced adds nothing.
type resolver struct {
	a      *analysis
	ids    map[Ref]int
	refs   []Ref
	reads  bitset       // columns the statement's own text names
	rels   map[Ref]bool // relations reached
	steers *flow        // what steers the query now being resolved
	views  map[*Relation]*view
	multi  map[ast.Node]output // sub-selects of (a, b) = (SELECT …), resolved once
	puts   []placed            // what is written
	gone   []column            // what functions take away
	probes bitset              // see Statement, as the next three
	orders bitset
	equals bitset
	joins  [][2]flow
	fails  bitset // columns of which something is computed that may fail
	barred bitset // those of fails that are written where something may be against it
	given  bitset // columns that are given to routines
	pairs  [][2]flow
	scales []scale
	role   Role // in which what is now resolved steers
	roles  [roleCount]bitset
	inView int
	inline int    // functions that stand in place of their calls
	args   []flow // of the innermost
	steps  int
	wide   int
	depth  int
	over   bool // a limit was passed
	lost   bool // a relation or column could not be found
}

// view is a view's columns and what steers them.
type view struct {
	done   bool
	out    output
	steers flow
}

// follow fills the parts of the statement that say where columns come from.
func (a *analysis) follow(n ast.Node) {
	r := &resolver{a: a, ids: map[Ref]int{}, rels: map[Ref]bool{}, steers: &flow{},
		views: map[*Relation]*view{}, multi: map[ast.Node]output{}}
	st := a.st
	switch n := n.(type) {
	case *ast.SelectStmt:
		out := r.query(n, nil)
		if into := intoOf(n); into != nil {
			r.createdAs(into, out)
			break
		}
		st.Output = r.columns(r.kept(out).cols)
	case *ast.InsertStmt, *ast.UpdateStmt, *ast.DeleteStmt, *ast.MergeStmt:
		r.written(r.write(n, nil))
	case *ast.CreateTableAsStmt:
		if st.Inner == nil && n.Into != nil {
			r.createdAs(n.Into, r.query(n.Query, nil))
		}
	case *ast.ViewStmt:
		r.createdAs(&ast.IntoClause{Rel: n.View, ColNames: n.Aliases}, r.query(n.Query, nil))
	case *ast.CopyStmt:
		r.copy(n)
	case *ast.ExplainStmt:
		st.Output = []Column{st.plan()}
		return
	case *ast.VariableShowStmt:
		st.Output = []Column{{Name: st.SetName, Known: true}}
		if st.SetName == "all" {
			st.Output = []Column{{Name: "name", Known: true}, {Name: "setting", Known: true}, {Name: "description", Known: true}}
		}
		return
	default:
		// ALTER TABLE … USING and generated columns move values inside a table.
		alter, alters := n.(*ast.AlterTableStmt)
		if alters {
			r.altered(alter)
			r.steered()
		}
		if index, ok := n.(*ast.IndexStmt); ok {
			r.indexed(index)
			r.steered()
		}
		st.Partial = st.Partial || st.Kind == Unknown || alters
		return
	}
	r.finish()
	r.moves(n)
	r.steered()
}

// finish writes down what was read and what steered.
func (r *resolver) finish() {
	st := r.a.st
	if r.over {
		r.lost = true
		st.Problem = ProblemComplex
		st.Output = r.columns(openOutput.cols)
		if st.Returning != nil {
			st.Returning = st.Output
		}
	}
	var steers bitset
	steers.or(r.steers.direct)
	steers.or(r.steers.derived)
	steers.or(r.steers.present())
	r.reads.or(steers)
	for _, cols := range [][]Column{st.Output, st.Returning} {
		for _, c := range cols {
			for _, s := range c.Sources {
				r.reads.set(r.number(s.Ref))
			}
			r.lost = r.lost || !c.Known
		}
	}
	st.Indirect = r.list(steers)
	r.parts()
	st.Reads = r.list(r.reads)
	read := map[Ref]bool{}
	for _, ref := range st.Reads {
		rel := Ref{Schema: ref.Schema, Table: ref.Table}
		read[rel], r.rels[rel] = true, true
	}
	for ref := range r.rels {
		st.Relations = append(st.Relations, ref)
		if !read[ref] {
			st.Reads = append(st.Reads, ref)
		}
	}
	st.Relations = sortRefs(st.Relations)
	st.Reads = sortRefs(st.Reads)
	st.Partial = st.Partial || r.lost || r.steers.unknown
}

// kept bounds an output; past the limit nothing of it is known.
func (r *resolver) kept(out output) output {
	if r.over {
		return openOutput
	}
	return out
}

// createdAs describes a relation made from a query.
func (r *resolver) createdAs(into *ast.IntoClause, out output) {
	st := r.a.st
	out = r.kept(out)
	it := &item{cols: out.cols, open: out.open}
	it.rename(into.ColNames)
	if into.Rel != nil {
		t := r.a.places(into.Rel)
		st.Target = &t
		for _, c := range it.cols {
			r.puts = append(r.puts, placed{ref: Ref{t.Schema, t.Table, c.name}, at: -1, flow: c.flow})
		}
	}
	st.Output = r.columns(it.cols)
}

// written describes the columns that a write sets and those it returns.
func (r *resolver) written(w write) {
	st := r.a.st
	if len(w.target) == 1 {
		t := w.target[0]
		st.Target = &t
	} else if len(w.target) > 1 {
		// Several relations may be meant: the name as written stands for all.
		st.Target = &Ref{Table: w.target[0].Table}
	}
	st.Output = r.columns(w.set)
	if w.returns {
		st.Returning = r.columns(r.kept(w.returning).cols)
	}
}

// copy describes COPY: out of a table or a query, or into a table.
func (r *resolver) copy(n *ast.CopyStmt) {
	st := r.a.st
	if in := st.Inner; in != nil {
		st.Output = in.Output
		if in.Kind != Select {
			st.Output = in.Returning
		}
		st.Reads, st.Relations, st.Indirect, st.Partial = in.Reads, in.Relations, in.Indirect, in.Partial
		st.Roles = in.Roles
		for _, c := range st.Output {
			for _, s := range c.Sources {
				r.reads.set(r.number(s.Ref))
			}
		}
		for _, ref := range in.Reads {
			if ref.Column != "" {
				r.reads.set(r.number(ref))
			}
		}
		for _, ref := range in.Indirect {
			r.steers.derived.set(r.number(ref))
			for i := range roleCount {
				if in.Roles[ref]&(1<<i) != 0 {
					r.roles[i].set(r.number(ref))
				}
			}
		}
		for _, ref := range in.Relations {
			r.rels[ref] = true
		}
		st.Relations = nil
		return
	}
	if n.Relation == nil {
		st.Output = r.columns(openOutput.cols)
		return
	}
	it := r.base(n.Relation)
	chosen := it.cols
	if n.Attlist != nil {
		chosen = nil
		for _, name := range names(n.Attlist) {
			f, found := it.find(name)
			f.unknown = f.unknown || found != 1
			chosen = append(chosen, column{name, f})
		}
	} else if it.open || it.unstable {
		chosen = openOutput.cols
	}
	if !n.IsFrom {
		st.Output = r.columns(chosen)
		return
	}
	refs := r.a.place(n.Relation)
	if len(refs) == 1 {
		st.Target = &refs[0]
	}
	// The values come from the client, the server's file or the program.
	set := make([]column, len(chosen))
	for i, c := range chosen {
		set[i] = column{name: c.name}
		for _, ref := range refs {
			r.puts = append(r.puts, placed{ref: Ref{ref.Schema, ref.Table, c.name}, at: -1})
		}
		if c.name == Star {
			set[i].flow = unknownFlow
		}
	}
	st.Output = r.columns(set)
	r.rels = map[Ref]bool{}
	r.in(RoleFilter, func() { r.condition(n.WhereClause, &scope{items: []*item{it}}) })
}

// enter counts a visit; it says no once a limit is passed.
func (r *resolver) enter() bool {
	r.steps++
	r.depth++
	if r.steps > maxSteps || r.depth > maxDepth {
		r.over = true
	}
	return !r.over
}

func (r *resolver) leave() { r.depth-- }

// spend counts work that grows with columns rather than with the text.
func (r *resolver) spend(n int) bool {
	if r.steps += n; r.steps > maxSteps {
		r.over = true
	}
	return !r.over
}

// steer adds what a condition reads to what steers the query.
func (r *resolver) steer(n ast.Node, sc *scope) {
	if n != nil {
		f := r.expr(n, sc)
		r.sways(f)
		r.probe(f)
	}
}

// apart resolves something whose conditions count only if it is used, and
// returns them.
func (r *resolver) apart(f func()) flow {
	saved := r.steers
	r.steers = &flow{}
	f()
	own := *r.steers
	r.steers = saved
	return own
}
