package query

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// face is what something in FROM shows of every row of a relation: under its own
// names, columns of that relation.
type face struct {
	columns []faceColumn
	row     bool // it is the relation itself, with what every row has beside its columns
	open    bool // and has columns that nobody knows, under their own names
}

// faceColumn is a column of a face; of is "" if it shows something else.
type faceColumn struct{ name, of string }

// copied is what stands in FROM under a name and has every row of a relation.
type copied struct {
	name string
	*face
}

// of is the relation's column that the face shows under a name, or "".
func (c *face) of(name string) string {
	for _, col := range c.columns {
		if col.name == name {
			return col.of
		}
	}
	if c.open && name != "" || c.row && systemColumn(name) {
		return name
	}
	return ""
}

// renamed is the face with other names for its first columns.
func (c *face) renamed(names []string) *face {
	if c == nil || len(names) == 0 {
		return c
	}
	out := &face{columns: slices.Clone(c.columns), row: c.row, open: c.open}
	for i, name := range names {
		if i == len(out.columns) {
			break
		}
		out.columns[i].name = name
	}
	return out
}

// copies are what in an item of FROM has every row of rel.
func (f folder) copies(n ast.Node, depth int) []copied {
	f.a.folds++
	if depth > maxWhole || f.a.folds > maxFolds {
		return nil
	}
	var name string
	var alias *ast.Alias
	var found *face
	switch n := n.(type) {
	case *ast.JoinExpr:
		return f.copiesJoined(n, depth)
	case *ast.RangeVar:
		name, alias, found = aliasOf(n.Alias, n.RelName), n.Alias, f.faceOf(n, depth)
	case *ast.RangeSubselect:
		name, alias, found = aliasOf(n.Alias, ""), n.Alias, f.faceOfQuery(n.Subquery, depth+1)
	}
	if found == nil {
		return nil
	}
	if alias != nil {
		found = found.renamed(names(alias.ColNames))
	}
	return []copied{{name, found}}
}

// copiesJoined follows the sides of a join of which no row is lost.
func (f folder) copiesJoined(n *ast.JoinExpr, depth int) (out []copied) {
	free := n.Jointype == ast.JOIN_INNER && !n.IsNatural && len(names(n.UsingClause)) == 0 &&
		(n.Quals == nil || folder{a: f.a}.cond(n.Quals, depth) == always)
	if free || n.Jointype == ast.JOIN_LEFT || n.Jointype == ast.JOIN_FULL {
		out = f.copies(n.Larg, depth+1)
	}
	if free || n.Jointype == ast.JOIN_RIGHT || n.Jointype == ast.JOIN_FULL {
		out = append(out, f.copies(n.Rarg, depth+1)...)
	}
	return out
}

// faceOf is the face of a relation or a WITH query by its name, nil if it is not known
// to have every row of rel.
func (f folder) faceOf(rv *ast.RangeVar, depth int) *face {
	if c := f.a.ctes[rv.RelName]; c != nil && rv.SchemaName == "" {
		return f.faceOfQuery(c.Ctequery, depth+1).renamed(names(c.Aliascolnames))
	}
	if f.means(f.rel, rv) {
		return ofColumns(f.tables, nil)
	}
	if f.base != nil && f.means(f.base, rv) {
		return ofColumns(f.bases, f.shown)
	}
	if f.a.schema == nil {
		return nil
	}
	for _, rel := range f.a.schema.Lookup(rv.SchemaName, rv.RelName) {
		if found := f.faceOfView(rel, depth+1); found != nil {
			return found
		}
	}
	return nil
}

// means reports whether a name in FROM may be that of a relation.
func (f folder) means(rel, rv *ast.RangeVar) bool {
	return rel != nil && rv.RelName == rel.RelName &&
		(rv.SchemaName == rel.SchemaName || rv.SchemaName == "" || rel.SchemaName == "")
}

// ofColumns is the face of a relation itself. shown are the names by which a view of it
// shows its columns; without a view they have their own.
func ofColumns(tables []*Relation, shown map[string]string) *face {
	out := &face{row: true, open: len(tables) != 1 && shown == nil}
	if out.open {
		return out
	}
	for _, t := range tables {
		for _, c := range t.Columns {
			of := c
			if shown != nil {
				of = shown[c]
			}
			out.columns = append(out.columns, faceColumn{c, of})
		}
	}
	return out
}

// faceOfView reads a view where it is named. Its text knows nothing of the statement's
// WITH queries.
func (f folder) faceOfView(rel *Relation, depth int) *face {
	sel := f.a.definition(rel)
	if sel == nil || depth > maxWhole {
		return nil
	}
	var found *face
	f.a.apart(sel, func() bool {
		found = f.faceOfQuery(sel, depth).renamed(rel.Columns)
		return found != nil
	})
	return found
}

// faceOfQuery is what a query shows of every row of rel, nil if it may leave rows out.
func (f folder) faceOfQuery(n ast.Node, depth int) *face {
	f.a.folds++
	sel, ok := n.(*ast.SelectStmt)
	if !ok || depth > maxWhole || f.a.folds > maxFolds || sel.LimitOffset != nil || !unlimited(sel.LimitCount) {
		return nil
	}
	if sel.Op == ast.SETOP_UNION {
		if found := f.faceOfQuery(sel.Larg, depth+1); found != nil {
			return found
		}
		shown, _ := f.outputs(sel.Larg, depth+1)
		return f.faceOfQuery(sel.Rarg, depth+1).renamed(shown)
	}
	beside := f.everyRow(sel, depth)
	if len(beside) == 0 {
		return nil
	}
	out := &face{}
	for _, t := range items(sel.TargetList) {
		rt, ok := t.(*ast.ResTarget)
		if !ok {
			continue
		}
		out.add(rt, beside)
	}
	return out
}

// add is one more output of a query over copies.
func (c *face) add(rt *ast.ResTarget, beside []copied) {
	ref, ok := neutral(rt.Val).(*ast.ColumnRef)
	if ok && starred(ref) {
		for _, b := range beside {
			if q := starOf(ref); q == "" || q == b.name {
				c.columns, c.open = append(c.columns, b.columns...), c.open || b.open
			}
		}
		return
	}
	name := rt.Name
	if name == "" {
		name = figure(rt.Val)
	}
	col := faceColumn{name: name}
	if ok {
		col.of = originIn(ref, beside)
	}
	c.columns = append(c.columns, col)
}

// originIn is the column of rel that a name means among copies of it.
func originIn(ref *ast.ColumnRef, beside []copied) string {
	q, column := qualifier(ref), lastField(ref)
	for _, b := range beside {
		if of := b.of(column); of != "" && (q == "" || q == b.name) {
			return of
		}
	}
	return ""
}

// starOf is what stands before a star.
func starOf(ref *ast.ColumnRef) string {
	if parts := names(ref.Fields); len(parts) > 0 {
		return parts[len(parts)-1]
	}
	return ""
}

// everyRow are the copies in a query's FROM, none if the query may leave rows of them out.
func (f folder) everyRow(sel *ast.SelectStmt, depth int) (out []copied) {
	if sel.Op != ast.SETOP_NONE || sel.HavingClause != nil || len(items(sel.DistinctClause)) > 0 && !hollow(sel.DistinctClause) {
		return nil
	}
	from := items(sel.FromClause)
	for _, n := range from {
		out = append(out, f.copies(n, depth+1)...)
	}
	if len(out) == 0 || sel.WhereClause == nil {
		return out
	}
	var rel *ast.RangeVar
	if len(from) == 1 {
		rel, _ = from[0].(*ast.RangeVar)
	}
	if t := f.a.folder(rel, nil, nil).cond(sel.WhereClause, depth+1); t != always && (t != byText || rel == nil) {
		return nil
	}
	return out
}

// under finds the table that rel shows if it is a view of one, through views of views.
func (f *folder) under() {
	bases, shown := f.tables, map[string]string(nil)
	for range maxInView {
		if len(bases) != 1 {
			return
		}
		sel, ok := f.a.definition(bases[0]).(*ast.SelectStmt)
		if !ok || len(items(sel.FromClause)) != 1 || sel.Op != ast.SETOP_NONE {
			return
		}
		next, ok := sel.FromClause.Items[0].(*ast.RangeVar)
		if !ok {
			return
		}
		tables := f.a.schema.Lookup(next.SchemaName, next.RelName)
		out := &face{}
		for _, t := range items(sel.TargetList) {
			if rt, ok := t.(*ast.ResTarget); ok {
				out.add(rt, []copied{{aliasOf(next.Alias, next.RelName), ofColumns(tables, nil)}})
			}
		}
		shown = through(out.renamed(bases[0].Columns), shown)
		bases = tables
		f.base, f.bases, f.shown = next, bases, shown
	}
}

// through says by which names a view's view shows a table's columns.
func through(view *face, outer map[string]string) map[string]string {
	out := map[string]string{}
	for _, c := range view.columns {
		name := c.name
		if outer != nil {
			name = outer[name]
		}
		if c.of != "" && name != "" {
			out[c.of] = name
		}
	}
	return out
}

// definition is the query of a view, read once; nil if it is none.
func (a *analysis) definition(rel *Relation) ast.Node {
	if rel == nil || rel.Definition == "" || rel.Kind != View && rel.Kind != MaterializedView {
		return nil
	}
	if n, ok := a.views[rel]; ok {
		return n
	}
	if a.views == nil {
		a.views = map[*Relation]ast.Node{}
	}
	n, err := parseQuery(rel.Definition)
	if err != nil {
		n = nil
	}
	a.views[rel] = n
	return n
}
