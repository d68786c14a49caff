package query

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// from resolves one entry of FROM to the items it brings. sc holds the items
// before it; beside are those to its left within the same join.
func (r *resolver) from(n ast.Node, sc *scope, beside []*item) []*item {
	if !r.enter() || !r.spend(len(sc.items)+len(beside)) {
		r.leave()
		return []*item{{cols: openOutput.cols, open: true}}
	}
	defer r.leave()
	lateral := &scope{up: sc.up, items: append(slices.Clone(sc.items), beside...)}
	switch n := bare(n).(type) {
	case *ast.RangeVar:
		return []*item{r.relation(n, sc)}
	case *ast.RangeSubselect:
		up := sc.up
		if n.Lateral {
			up = lateral
		}
		out := r.query(n.Subquery, up)
		return []*item{aliased(&item{cols: out.cols, open: out.open}, n.Alias)}
	case *ast.JoinExpr:
		return r.join(n, sc, beside)
	case *ast.RangeFunction:
		return []*item{r.rangeFunction(n, lateral)}
	case *ast.RangeTableSample:
		for _, x := range items(n.Args) {
			r.steer(x, lateral)
		}
		r.steer(n.Repeatable, lateral)
		return r.from(n.Relation, sc, beside)
	case *ast.RangeTableFunc:
		return []*item{r.xmlTable(n, lateral)}
	case *ast.JsonTable:
		return []*item{r.jsonTable(n, lateral)}
	}
	r.lost = true
	return []*item{{cols: openOutput.cols, open: true}}
}

// aliased names an item by its alias; without one it cannot be named.
func aliased(it *item, alias *ast.Alias) *item {
	if alias == nil {
		it.unnamed = it.name == ""
		return it
	}
	it.name, it.schemas = alias.AliasName, nil
	it.rename(alias.ColNames)
	return it
}

// relation is a WITH query or a relation of the catalogue.
func (r *resolver) relation(n *ast.RangeVar, sc *scope) *item {
	if n.SchemaName == "" {
		if c := sc.cte(n.RelName); c != nil {
			out := r.cte(c)
			return aliased(&item{name: n.RelName, cols: out.cols, open: out.open}, n.Alias)
		}
	}
	return r.base(n)
}

// base finds a relation in the catalogue. Where the name may mean several, the
// columns are the union of all.
func (r *resolver) base(n *ast.RangeVar) *item {
	var found []*Relation
	if r.a.schema != nil {
		found = r.a.schema.Lookup(n.SchemaName, n.RelName)
	}
	it := &item{name: n.RelName, base: true}
	if n.SchemaName != "" {
		it.schemas = []string{n.SchemaName}
	}
	if len(found) == 0 {
		r.lost = true
		r.rels[Ref{Schema: n.SchemaName, Table: n.RelName}] = true
		it.cols, it.open = openOutput.cols, true
		return aliased(it, n.Alias)
	}
	for i, rel := range found {
		r.rels[Ref{Schema: rel.Schema, Table: rel.Name}] = true
		it.schemas = append(it.schemas, rel.Schema)
		cols := r.columnsOf(rel)
		if i == 0 {
			it.cols = slices.Clone(cols)
			continue
		}
		it.unite(cols)
	}
	return aliased(it, n.Alias)
}

// unite adds the columns of another relation of the same name.
func (it *item) unite(cols []column) {
	for i, c := range cols {
		at := slices.IndexFunc(it.cols, func(d column) bool { return d.name == c.name })
		if at != i {
			it.unstable = true
		}
		if at < 0 {
			it.cols = append(it.cols, c)
			continue
		}
		it.cols[at].flow = it.cols[at].flow.plus(c.flow)
	}
	it.unstable = it.unstable || len(cols) != len(it.cols)
}

// columnsOf gives a relation's columns: a table's are themselves, a view's are
// what its definition says.
func (r *resolver) columnsOf(rel *Relation) []column {
	cols := make([]column, len(rel.Columns))
	switch rel.Kind {
	case View, MaterializedView:
		out := r.view(rel)
		if copies(rel) {
			out = openOutput
		}
		for i, name := range rel.Columns {
			cols[i].name = name
			if !out.open && len(out.cols) == len(rel.Columns) {
				cols[i].flow = out.cols[i].flow
				continue
			}
			cols[i].flow.unknown = true
			cols[i].flow.direct.set(r.number(Ref{rel.Schema, rel.Name, name}))
		}
		return cols
	}
	for i, name := range rel.Columns {
		cols[i].name = name
		at := r.number(Ref{rel.Schema, rel.Name, name})
		if !r.spend(at / 64) {
			cols[i].flow.unknown = true
			continue
		}
		cols[i].flow.direct.set(at)
		if i < len(rel.Types) {
			cols[i].flow.num.sort = sortOf(rel.Types[i])
		}
		cols[i].flow.unknown = rel.Kind != Table && rel.Kind != ForeignTable || copies(rel)
	}
	return cols
}

// copies reports whether a catalogue's relation holds copies of what is in other
// tables or of what others have written.
func copies(rel *Relation) bool {
	if rel.Schema != "pg_catalog" {
		return false
	}
	switch rel.Name {
	case "pg_statistic", "pg_statistic_ext_data", "pg_stats", "pg_stats_ext", "pg_stats_ext_exprs",
		"pg_largeobject", "pg_stat_activity", "pg_prepared_statements", "pg_cursors", "pg_settings":
		return true
	}
	return false
}

// view resolves a view's definition once; its conditions count at each use.
func (r *resolver) view(rel *Relation) output {
	v := r.views[rel]
	if v == nil {
		v = &view{out: openOutput}
		r.views[rel] = v
		node, err := parseQuery(rel.Definition)
		if err != nil || r.inView >= maxInView {
			r.lost = true
			v.done = true
			return v.out
		}
		r.a.viewCalls(node)
		r.inView++
		v.steers = r.apart(func() { v.out = r.query(node, nil) })
		r.inView--
		v.done = true
	}
	if !v.done {
		return openOutput // a view that reads itself
	}
	r.steers.add(v.steers)
	return v.out
}

// join resolves a join: its own columns, which an unaliased join shows unless
// qualified, and the entries of both sides.
func (r *resolver) join(n *ast.JoinExpr, sc *scope, beside []*item) []*item {
	left := r.from(n.Larg, sc, beside)
	right := r.from(n.Rarg, sc, append(slices.Clone(beside), left...))
	both := append(slices.Clone(left), right...)
	if n.Quals != nil {
		r.in(RoleJoin, func() { r.condition(n.Quals, &scope{up: sc.up, items: both}) })
	}
	lcols, lopen := shown(left)
	rcols, ropen := shown(right)
	using := names(n.UsingClause)
	j := &item{open: lopen || ropen}
	for _, it := range both {
		j.loose = j.loose || !it.hidden && it.loose
	}
	if n.IsNatural {
		using = common(lcols, rcols)
		if j.open || j.loose {
			// Which columns are shared cannot be known, so neither can what a star gives
			// nor what rows are joined by.
			j.unstable = true
			r.steers.unknown = true
		}
	}
	if !r.spend(len(both) + len(lcols) + len(rcols)) {
		return []*item{{cols: openOutput.cols, open: true}}
	}
	merged := r.using(n.Jointype, using, lcols, rcols)
	j.cols = append(j.cols, merged...)
	for _, cols := range [][]column{lcols, rcols} {
		for _, c := range cols {
			if !slices.Contains(using, c.name) || c.name == Star && c.flow.unknown {
				j.cols = append(j.cols, c)
			}
		}
	}
	if n.Alias != nil {
		return []*item{aliased(j, n.Alias)}
	}
	for _, it := range both {
		it.hidden = true
	}
	// A join inside this one can no longer be seen: its columns are in j.
	both = slices.DeleteFunc(both, func(it *item) bool { return it.unnamed })
	j.unnamed = true
	if a := n.JoinUsingAlias; a != nil {
		both = append(both, &item{name: a.AliasName, cols: merged, hidden: true})
	}
	return append(both, j)
}

// shown lists the columns that a star over items would.
func shown(list []*item) (cols []column, open bool) {
	var out output
	for _, it := range list {
		if !it.hidden {
			out.append(it)
		}
	}
	return out.cols, out.open
}

func common(l, r []column) []string {
	var names []string
	for _, c := range l {
		if c.name != Star && slices.ContainsFunc(r, func(d column) bool { return d.name == c.name }) {
			names = append(names, c.name)
		}
	}
	return names
}

// using resolves the shared columns of a join. The server shows one side's value
// (for FULL the first that is there), but both are equal where rows matched: who
// may not see one must not see it as the other. Both sides steer.
func (r *resolver) using(kind ast.JoinType, using []string, lcols, rcols []column) []column {
	var merged []column
	for _, name := range using {
		l, n := (&item{cols: lcols}).find(name)
		l.unknown = l.unknown || n != 1
		m, n := (&item{cols: rcols}).find(name)
		m.unknown = m.unknown || n != 1
		r.in(RoleJoin, func() { r.sways(l); r.sways(m) })
		r.joined(l, m)
		r.mark(l)
		r.mark(m)
		f := l.plus(m)
		if kind == ast.JOIN_FULL {
			f = f.through()
		}
		merged = append(merged, column{name, f})
	}
	return merged
}
