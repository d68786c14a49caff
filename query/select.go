package query

import (
	"github.com/multigres/multigres/go/common/parser/ast"
)

// query resolves a query, or a write used as one for what it returns.
func (r *resolver) query(n ast.Node, up *scope) output {
	if !r.enter() {
		r.leave()
		return openOutput
	}
	defer r.leave()
	switch n := bare(n).(type) {
	case *ast.SelectStmt:
		if n == nil {
			return openOutput
		}
		return r.selects(n, up)
	case *ast.InsertStmt, *ast.UpdateStmt, *ast.DeleteStmt, *ast.MergeStmt:
		w := r.write(n, up)
		for _, c := range w.set {
			r.mark(c.flow) // what is written has been read
			r.steers.unknown = r.steers.unknown || c.flow.unknown
		}
		return w.returning
	}
	r.lost = true
	return openOutput
}

func (r *resolver) selects(n *ast.SelectStmt, up *scope) output {
	with := r.with(n.WithClause, up)
	defer r.runWrites(n.WithClause, with, up)
	defer func(was Role) { r.role = was }(r.role)
	r.role = 0 // each clause has its own
	var out output
	var sc *scope
	switch {
	case n.Op != ast.SETOP_NONE:
		out = r.setOperation(n, with)
		sc = &scope{up: with}
	case n.ValuesLists != nil:
		out = r.values(n.ValuesLists, with)
		sc = &scope{up: with}
	default:
		sc, out = r.plain(n, with)
		if n.DistinctClause != nil {
			r.compared(out)
		}
	}
	r.in(RoleSort, func() { r.sorting(n.SortClause, sc, out) })
	r.in(RoleFilter, func() {
		r.steer(n.LimitCount, sc)
		r.steer(n.LimitOffset, sc)
	})
	return out
}

// compared notes that rows are compared with one another as a whole, so that equal
// ones come once: whether a row is there is then decided by all of its columns, also
// for whoever looks at one of them only, or counts. The one column of a result needs
// no such note, because it is there itself.
func (r *resolver) compared(out output) {
	if (len(out.cols) > 1 || r.depth > 1) && r.spend(len(out.cols)) {
		r.in(RoleGroup, func() { r.sways(all(out.cols)) })
	}
}

// plain resolves SELECT … FROM … WHERE ….
func (r *resolver) plain(n *ast.SelectStmt, up *scope) (*scope, output) {
	sc := &scope{up: up}
	for _, f := range items(n.FromClause) {
		sc.items = append(sc.items, r.from(f, sc, nil)...)
	}
	r.in(RoleFilter, func() { r.condition(n.WhereClause, sc) })
	out := r.targetList(n.TargetList, sc)
	r.in(RoleGroup, func() {
		for _, g := range items(n.GroupClause) {
			r.grouping(g, sc, out)
		}
	})
	r.in(RoleFilter, func() { r.condition(n.HavingClause, sc) })
	for _, w := range items(n.WindowClause) {
		if d, ok := w.(*ast.WindowDef); ok {
			r.window(d, sc)
		}
	}
	r.in(RoleGroup, func() {
		for _, d := range items(n.DistinctClause) {
			r.sortKey(d, sc, out, true)
		}
	})
	return sc, out
}

// targetList resolves a select list or RETURNING.
func (r *resolver) targetList(l *ast.NodeList, sc *scope) output {
	var out output
	for _, t := range items(l) {
		rt, ok := t.(*ast.ResTarget)
		if !ok {
			out.cols = append(out.cols, column{Star, unknownFlow})
			out.open = true
			continue
		}
		if more, ok := r.stars(rt.Val, sc); ok {
			out.cols = append(out.cols, more.cols...)
			out.open = out.open || more.open
			if r.wide += len(more.cols); r.wide > maxColumns {
				r.over = true
			}
			if r.over {
				return openOutput
			}
			continue
		}
		name := rt.Name
		if name == "" {
			name = figure(rt.Val)
		}
		out.cols = append(out.cols, column{name, r.value(rt.Val, sc)})
	}
	return out
}

// stars expands *, t.* and (row).*; ok is false for anything else.
func (r *resolver) stars(n ast.Node, sc *scope) (out output, ok bool) {
	switch n := n.(type) {
	case *ast.ColumnRef:
		fields := items(n.Fields)
		if len(fields) == 0 {
			return output{}, false
		}
		if _, ok := fields[len(fields)-1].(*ast.A_Star); !ok {
			return output{}, false
		}
		return r.star(n, sc), true
	case *ast.A_Indirection:
		list := items(n.Indirection)
		if len(list) == 0 {
			return output{}, false
		}
		if _, ok := list[len(list)-1].(*ast.A_Star); !ok {
			return output{}, false
		}
		if it := r.rowItem(n.Arg, sc); it != nil && len(list) == 1 {
			var out output
			out.append(it)
			r.mark(all(it.cols))
			return out, true
		}
		f := r.expr(n.Arg, sc).through()
		f.unknown = true
		return output{cols: []column{{Star, f}}, open: true}, true
	}
	return output{}, false
}

// rowItem is the entry of FROM that n names as a whole row, if it does.
func (r *resolver) rowItem(n ast.Node, sc *scope) *item {
	ref, ok := bare(n).(*ast.ColumnRef)
	if !ok {
		return nil
	}
	parts := names(ref.Fields)
	if len(parts) != 1 {
		return nil
	}
	for s := sc; s != nil; s = s.up {
		for _, it := range s.items {
			if it.hidden {
				continue
			}
			if _, n := it.find(parts[0]); n > 0 || it.open || it.loose {
				return nil // a column of that name comes first
			}
		}
	}
	return sc.item("", parts[0])
}

// setOperation resolves UNION, INTERSECT and EXCEPT. A chain of them leans to
// the left and may be thousands long, so its spine is walked in a loop.
func (r *resolver) setOperation(n *ast.SelectStmt, up *scope) output {
	var spine []*ast.SelectStmt
	left := n
	for left.Op != ast.SETOP_NONE && left.Larg != nil {
		spine = append(spine, left)
		left = left.Larg
		if left.WithClause != nil || left.SortClause != nil || left.LimitCount != nil || left.LimitOffset != nil {
			break
		}
	}
	out := r.query(left, up)
	compares := false
	for i := len(spine) - 1; i >= 0; i-- {
		var right output
		compares = compares || !spine[i].All || spine[i].Op != ast.SETOP_UNION
		if spine[i].Rarg == nil {
			return openOutput
		}
		right = r.query(spine[i].Rarg, up)
		if spine[i].Op == ast.SETOP_EXCEPT {
			// What EXCEPT takes away is not in the result, but decides what is.
			r.in(RoleFilter, func() { r.sways(all(right.cols)) })
			continue
		}
		out = merged(out, right)
	}
	if compares {
		r.compared(out)
	}
	return out
}

func (r *resolver) values(l *ast.NodeList, sc *scope) output {
	var out output
	for i, row := range items(l) {
		list, ok := row.(*ast.NodeList)
		if !ok {
			return openOutput
		}
		for j, x := range items(list) {
			f := r.value(x, sc)
			switch {
			case i == 0:
				out.cols = append(out.cols, column{"column" + itoa(j+1), flow{}})
				fallthrough
			case j < len(out.cols):
				out.cols[j].flow = out.cols[j].flow.plus(f)
			default:
				return openOutput
			}
		}
	}
	return out
}

func (r *resolver) sorting(l *ast.NodeList, sc *scope, out output) {
	for _, s := range items(l) {
		if by, ok := s.(*ast.SortBy); ok {
			r.sortKey(by.Node, sc, out, true)
		} else {
			r.steers.unknown = true
		}
	}
}

// grouping resolves one item of GROUP BY.
func (r *resolver) grouping(n ast.Node, sc *scope, out output) {
	switch g := bare(n).(type) {
	case *ast.GroupingSet:
		for _, x := range items(g.Content) {
			r.grouping(x, sc, out)
		}
	case *ast.RowExpr:
		for _, x := range items(g.Args) {
			r.grouping(x, sc, out)
		}
	case *ast.NodeList:
		for _, x := range items(g) {
			r.grouping(x, sc, out)
		}
	default:
		r.sortKey(n, sc, out, false)
	}
}

// sortKey resolves a key of ORDER BY, DISTINCT ON or GROUP BY: a position, an
// output column's name, or an expression. A bare name is an output column first
// in ORDER BY and DISTINCT ON, an input column first in GROUP BY.
func (r *resolver) sortKey(n ast.Node, sc *scope, out output, outputFirst bool) {
	switch k := n.(type) {
	case *ast.A_Const:
		if i, ok := k.Val.(*ast.Integer); ok && !k.Isnull {
			if out.open || i.IVal < 1 || i.IVal > len(out.cols) {
				r.sways(all(out.cols))
				r.steers.unknown = true
				return
			}
			r.order(out.cols[i.IVal-1].flow)
			return
		}
	case *ast.ColumnRef:
		parts := names(k.Fields)
		if len(parts) != 1 {
			break
		}
		if !outputFirst && r.inputHas(parts[0], sc) {
			break
		}
		it := item{cols: out.cols}
		if f, n := it.find(parts[0]); n > 0 {
			r.order(f)
			return
		}
	}
	if n != nil {
		r.order(r.expr(n, sc))
	}
}

// inputHas reports whether a bare name is a column of this level's FROM.
func (r *resolver) inputHas(name string, sc *scope) bool {
	for _, it := range sc.items {
		if it.hidden {
			continue
		}
		if _, n := it.find(name); n > 0 || it.open || it.loose {
			return true
		}
	}
	return false
}

func (r *resolver) window(d *ast.WindowDef, sc *scope) {
	if d == nil {
		return
	}
	defer func(was Role) { r.role = was }(r.role)
	r.role = RoleWindow
	for _, p := range items(d.PartitionClause) {
		r.order(r.expr(p, sc))
	}
	for _, o := range items(d.OrderClause) {
		if by, ok := o.(*ast.SortBy); ok {
			r.order(r.expr(by.Node, sc))
		} else {
			r.steers.unknown = true
		}
	}
	r.steer(d.StartOffset, sc)
	r.steer(d.EndOffset, sc)
}
