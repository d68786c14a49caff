package query

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// write is what INSERT, UPDATE, DELETE or MERGE does to its target, and what it
// returns.
type write struct {
	goal      *item          // the target as it was
	target    []Ref          // what the target's name may mean
	set       []column       // columns written, with what reaches them
	at        map[string]int // where in set a name is
	returning output
	returns   bool
}

// assign adds what reaches one written column.
func (w *write) assign(name string, f flow) {
	if i, ok := w.at[name]; ok {
		w.set[i].flow = w.set[i].flow.plus(f)
		return
	}
	if w.at == nil {
		w.at = map[string]int{}
	}
	w.at[name] = len(w.set)
	w.set = append(w.set, column{name, f})
}

func (r *resolver) write(n ast.Node, up *scope) write { return r.put(r.writeOf(n, up)) }

func (r *resolver) writeOf(n ast.Node, up *scope) write {
	switch n := n.(type) {
	case *ast.InsertStmt:
		return r.insert(n, up)
	case *ast.UpdateStmt:
		return r.update(n, up)
	case *ast.DeleteStmt:
		return r.deletes(n, up)
	case *ast.MergeStmt:
		return r.merge(n, up)
	}
	return write{returning: openOutput, returns: true}
}

// goal is the target of a write as its expressions see it.
func (r *resolver) goal(rv *ast.RangeVar, w *write) *item {
	if rv == nil {
		return &item{cols: openOutput.cols, open: true}
	}
	w.target = r.a.place(rv)
	before := map[Ref]bool{}
	for ref := range r.rels {
		before[ref] = true
	}
	it := r.base(rv)
	w.goal = it
	// The target is read only if a column of it is: Reads and Relations say so then.
	for _, ref := range w.target {
		if !before[ref] {
			delete(r.rels, ref)
		}
	}
	return it
}

// returned resolves RETURNING. A written column returns what it held, or what
// was put into it.
func (r *resolver) returned(l *ast.NodeList, w *write, goal *item, with *scope, others ...*item) {
	if l == nil {
		return
	}
	w.returns = true
	after := *goal
	after.hidden = false
	after.cols = slices.Clone(goal.cols)
	for i, c := range after.cols {
		for _, s := range w.set {
			if s.name == c.name || s.name == Star {
				after.cols[i].flow = c.flow.plus(s.flow)
			}
		}
	}
	news, olds := after, after
	news.name, olds.name = "new", "old"
	news.hidden, olds.hidden = true, true
	sc := &scope{up: with, items: append([]*item{&after}, others...)}
	sc.items = append(sc.items, &news, &olds)
	w.returning = r.targetList(l, sc)
}

func (r *resolver) insert(n *ast.InsertStmt, up *scope) write {
	var w write
	with := r.with(n.WithClause, up)
	defer r.runWrites(n.WithClause, with, up)
	goal := r.goal(n.Relation, &w)
	var out output
	if n.SelectStmt != nil {
		out = r.query(n.SelectStmt, with)
	}
	r.place(&w, goal, n.Cols, out)
	if c := n.OnConflictClause; c != nil {
		r.conflict(c, &w, goal, with)
	}
	r.returned(n.ReturningList, &w, goal, with)
	return w
}

// place matches the columns of a query with the columns they are put into: by
// position, whatever their names.
func (r *resolver) place(w *write, goal *item, cols *ast.NodeList, out output) {
	var into []string
	var part []bool // only an element or a field is set
	for _, c := range items(cols) {
		rt, ok := c.(*ast.ResTarget)
		if !ok {
			w.assign(Star, unknownFlow)
			continue
		}
		into = append(into, rt.Name)
		part = append(part, len(items(rt.Indirection)) > 0)
	}
	listed := into != nil
	if !listed && !goal.open && !goal.unstable {
		for _, c := range goal.cols {
			into = append(into, c.name)
		}
	}
	if out.open || len(out.cols) > len(into) {
		f := all(out.cols)
		f.unknown = true
		for _, name := range into {
			w.assign(name, f)
		}
		if len(into) == 0 {
			w.assign(Star, f)
		}
		return
	}
	for i, c := range out.cols {
		f := c.flow
		if i < len(part) && part[i] {
			f = f.through()
		}
		w.assign(into[i], f)
	}
}

// conflict resolves ON CONFLICT. EXCLUDED holds the values that were offered.
func (r *resolver) conflict(n *ast.OnConflictClause, w *write, goal *item, with *scope) {
	excluded := &item{name: "excluded", hidden: true, open: goal.open}
	for _, c := range goal.cols {
		e := column{name: c.name}
		for _, s := range w.set {
			if s.name == c.name || s.name == Star {
				e.flow = e.flow.plus(s.flow)
			}
		}
		if c.name == Star {
			e.flow = unknownFlow
		}
		excluded.cols = append(excluded.cols, e)
	}
	if goal.open {
		excluded.cols = append(excluded.cols, w.set...)
	}
	sc := &scope{up: with, items: []*item{goal, excluded}}
	if inf := n.Infer; inf != nil {
		for _, e := range items(inf.IndexElems) {
			el, ok := e.(*ast.IndexElem)
			switch {
			case !ok:
				r.steers.unknown = true
			case el.Expr != nil:
				r.steer(el.Expr, sc)
			}
		}
		r.steer(inf.WhereClause, sc)
	}
	r.in(RoleFilter, func() { r.condition(n.WhereClause, sc) })
	r.sets(n.TargetList, w, goal, sc)
}

// sets resolves the SET list of an UPDATE.
func (r *resolver) sets(l *ast.NodeList, w *write, goal *item, sc *scope) {
	// What is assigned is computed from the row as it was: flows are collected
	// first, so that one assignment does not see another's.
	var done []column
	for _, t := range items(l) {
		rt, ok := t.(*ast.ResTarget)
		if !ok {
			done = append(done, column{Star, unknownFlow})
			continue
		}
		f := r.assigned(rt.Val, sc)
		if len(items(rt.Indirection)) > 0 {
			// Setting an element or a field keeps the rest.
			own, n := goal.find(rt.Name)
			f = f.plus(own).through()
			f.unknown = f.unknown || n != 1
			for _, x := range rt.Indirection.Items {
				if i, ok := x.(*ast.A_Indices); ok {
					r.steer(i.Lidx, sc)
					r.steer(i.Uidx, sc)
				}
			}
		}
		done = append(done, column{rt.Name, f})
	}
	for _, c := range done {
		w.assign(c.name, c.flow)
	}
}

// assigned follows the value of one assignment; for (a, b) = … its own part.
func (r *resolver) assigned(n ast.Node, sc *scope) flow {
	m, ok := n.(*ast.MultiAssignRef)
	if !ok {
		return r.value(n, sc)
	}
	switch src := bare(m.Source).(type) {
	case *ast.RowExpr:
		if args := items(src.Args); m.Colno >= 1 && m.Colno <= len(args) {
			return r.value(args[m.Colno-1], sc)
		}
	case *ast.SubLink:
		out, ok := r.multi[src]
		if !ok {
			sways := r.swaying(func() { out = r.query(src.Subselect, sc) })
			for i := range out.cols {
				out.cols[i].flow.sway(sways)
			}
			r.multi[src] = out
		}
		if !out.open && m.Colno >= 1 && m.Colno <= len(out.cols) {
			return out.cols[m.Colno-1].flow
		}
	}
	f := r.expr(m.Source, sc)
	f.unknown = true
	return f
}

func (r *resolver) update(n *ast.UpdateStmt, up *scope) write {
	var w write
	with := r.with(n.WithClause, up)
	defer r.runWrites(n.WithClause, with, up)
	goal := r.goal(n.Relation, &w)
	sc := &scope{up: with}
	for _, f := range items(n.FromClause) {
		sc.items = append(sc.items, r.from(f, sc, nil)...)
	}
	others := sc.items
	sc = &scope{up: with, items: append([]*item{goal}, others...)}
	r.in(RoleFilter, func() { r.condition(n.WhereClause, sc) })
	r.sets(n.TargetList, &w, goal, sc)
	r.returned(n.ReturningList, &w, goal, with, others...)
	return w
}

func (r *resolver) deletes(n *ast.DeleteStmt, up *scope) write {
	var w write
	with := r.with(n.WithClause, up)
	defer r.runWrites(n.WithClause, with, up)
	goal := r.goal(n.Relation, &w)
	sc := &scope{up: with}
	for _, f := range items(n.UsingClause) {
		sc.items = append(sc.items, r.from(f, sc, nil)...)
	}
	others := sc.items
	r.in(RoleFilter, func() { r.condition(n.WhereClause, &scope{up: with, items: append([]*item{goal}, others...)}) })
	r.returned(n.ReturningList, &w, goal, with, others...)
	return w
}

func (r *resolver) merge(n *ast.MergeStmt, up *scope) write {
	var w write
	with := r.with(n.WithClause, up)
	defer r.runWrites(n.WithClause, with, up)
	goal := r.goal(n.Relation, &w)
	source := r.from(n.SourceRelation, &scope{up: with}, nil)
	sc := &scope{up: with, items: append([]*item{goal}, source...)}
	r.in(RoleJoin, func() { r.condition(n.JoinCondition, sc) })
	for _, x := range items(n.MergeWhenClauses) {
		when, ok := x.(*ast.MergeWhenClause)
		if !ok {
			w.assign(Star, unknownFlow)
			continue
		}
		r.in(RoleConditional, func() { r.condition(when.Condition, sc) })
		switch when.CommandType {
		case ast.CMD_UPDATE:
			list := &ast.NodeList{}
			for _, t := range when.TargetList {
				list.Items = append(list.Items, t)
			}
			r.sets(list, &w, goal, sc)
		case ast.CMD_INSERT:
			r.mergeInsert(when, &w, goal, &scope{up: with, items: source})
		}
	}
	r.returned(n.ReturningList, &w, goal, with, source...)
	return w
}

func (r *resolver) mergeInsert(when *ast.MergeWhenClause, w *write, goal *item, sc *scope) {
	var cols *ast.NodeList
	if len(when.TargetList) > 0 {
		cols = &ast.NodeList{}
		for _, t := range when.TargetList {
			cols.Items = append(cols.Items, t)
		}
	}
	var out output
	for _, v := range items(when.Values) {
		out.cols = append(out.cols, column{flow: r.value(v, sc)})
	}
	r.place(w, goal, cols, out)
}
