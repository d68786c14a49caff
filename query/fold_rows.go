package query

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// folder folds the condition of a change of rel.
type folder struct {
	a      *analysis
	rel    *ast.RangeVar
	name   string            // by which the condition knows rel
	tables []*Relation       // what rel may be
	base   *ast.RangeVar     // the table that rel shows, if it is a view
	bases  []*Relation       // what base may be
	shown  map[string]string // columns of base, and by which names rel shows them
	beside []copied          // what stands for the same row of rel
}

// folder looks at what stands beside rel. Where that is rel itself, joined to it by a
// column, it is the same row, or more of them.
func (a *analysis) folder(rel *ast.RangeVar, others []ast.Node, where ast.Node) folder {
	f := folder{a: a, rel: rel}
	if rel == nil {
		return f
	}
	f.name = aliasOf(rel.Alias, rel.RelName)
	if a.schema != nil {
		f.tables = a.schema.Lookup(rel.SchemaName, rel.RelName)
		f.under()
	}
	var may []copied
	for _, o := range others {
		may = append(may, f.copies(o, 0)...)
	}
	f.beside = f.joined(where, may)
	return f
}

func aliasOf(a *ast.Alias, name string) string {
	if a != nil && a.AliasName != "" {
		return a.AliasName
	}
	return name
}

// joined are those of some copies that a condition, which must hold, puts equal to rel
// in one column.
func (f folder) joined(where ast.Node, may []copied) (out []copied) {
	may = slices.DeleteFunc(may, func(c copied) bool { return c.name == f.name })
	if len(may) == 0 || where == nil {
		return nil
	}
	parts := []ast.Node{bare(where)}
	if b, ok := bare(where).(*ast.BoolExpr); ok && b.Boolop == ast.AND_EXPR {
		parts = flat(b)
	}
	for _, x := range parts {
		e, ok := x.(*ast.A_Expr)
		if !ok || opName(e) != "=" {
			continue
		}
		l, ok1 := bare(e.Lexpr).(*ast.ColumnRef)
		r, ok2 := bare(e.Rexpr).(*ast.ColumnRef)
		if !ok1 || !ok2 {
			continue
		}
		for _, c := range may {
			if f.equal(l, r, c) || f.equal(r, l, c) {
				out = append(out, c)
			}
		}
	}
	return out
}

// equal reports whether one name is a column of rel and the other the same of a copy.
func (f folder) equal(own, other *ast.ColumnRef, c copied) bool {
	if q := qualifier(own); q != f.name && (q != "" || !f.certainlyHas(lastField(own))) {
		return false
	}
	of := originIn(other, []copied{c})
	return of != "" && of == lastField(own)
}

func qualifier(n ast.Node) string {
	ref, ok := n.(*ast.ColumnRef)
	if !ok {
		return ""
	}
	parts := items(ref.Fields)
	if len(parts) < 2 {
		return ""
	}
	s, ok := parts[len(parts)-2].(*ast.String)
	if !ok {
		return ""
	}
	return s.SVal
}

// maxWhole bounds how deep queries in queries are followed.
const maxWhole = 20

func starred(ref *ast.ColumnRef) bool {
	fields := items(ref.Fields)
	if len(fields) == 0 {
		return false
	}
	_, ok := fields[len(fields)-1].(*ast.A_Star)
	return ok
}

// hollow is a DISTINCT without ON.
func hollow(l *ast.NodeList) bool {
	for _, n := range items(l) {
		if n != nil {
			return false
		}
	}
	return true
}

// unlimited is no LIMIT, LIMIT ALL or LIMIT NULL.
func unlimited(n ast.Node) bool {
	if n == nil {
		return true
	}
	c, ok := bare(n).(*ast.A_Const)
	if !ok {
		return false
	}
	_, null := c.Val.(*ast.Null)
	return null || c.Isnull
}

// gives reports whether a query gives what is asked of every row of rel: a column, or
// a row of columns.
func (f folder) gives(query, asked ast.Node, depth int) bool {
	shown := f.faceOfQuery(query, depth)
	if shown == nil {
		return false
	}
	list := []ast.Node{asked}
	if row, ok := bare(asked).(*ast.RowExpr); ok {
		list = items(row.Args)
	}
	if len(list) == 0 || len(shown.columns) != len(list) && !(shown.open && len(shown.columns) == 0) {
		return false
	}
	for i, x := range list {
		ref, ok := f.core(x).(*ast.ColumnRef)
		if !ok || f.origin(ref) == "" || len(shown.columns) > 0 && shown.columns[i].of != f.origin(ref) {
			return false
		}
	}
	return true
}

// subLink folds IN, EXISTS and comparisons with a query.
func (f folder) subLink(n *ast.SubLink, depth int) truth {
	sel, ok := n.Subselect.(*ast.SelectStmt)
	if !ok {
		return byRow
	}
	empty := f.empty(sel, depth)
	op := "="
	if parts := names(n.OperName); len(parts) > 0 {
		op = parts[len(parts)-1]
	}
	switch n.SubLinkType {
	case ast.ANY_SUBLINK:
		switch {
		case empty:
			return never
		case op == "=" && f.gives(sel, n.Testexpr, 0):
			return always
		}
	case ast.ALL_SUBLINK:
		if empty || (op == ">=" || op == "<=") && f.extremeOf(op, bare(n.Testexpr), sel) {
			return always
		}
	case ast.EXISTS_SUBLINK:
		if empty {
			return never
		}
		return f.existsItself(sel, depth)
	}
	return byRow
}

// empty reports whether a query gives no row whatever the tables hold.
func (f folder) empty(sel *ast.SelectStmt, depth int) bool {
	f.a.folds++
	if v, ok := integer(sel.LimitCount); ok && v == 0 {
		return true
	}
	if sel.Op != ast.SETOP_NONE || sel.WhereClause == nil || sel.GroupClause != nil || calling(sel.TargetList) {
		return false // an aggregate of nothing is a row
	}
	inner := folder{a: f.a}
	return inner.cond(sel.WhereClause, depth+1) == never
}

func calling(l *ast.NodeList) bool {
	found := false
	for _, n := range items(l) {
		ast.Rewrite(n, func(c *ast.Cursor) bool {
			call, ok := c.Node().(*ast.FuncCall)
			found = found || ok && call != nil
			return !found
		}, nil)
	}
	return found
}

// existsItself finds EXISTS of the very row that is asked.
func (f folder) existsItself(sel *ast.SelectStmt, depth int) truth {
	from := items(sel.FromClause)
	if sel.Op != ast.SETOP_NONE || len(from) != 1 || sel.HavingClause != nil || sel.GroupClause != nil || sel.LimitOffset != nil || sel.WhereClause == nil {
		return byRow
	}
	inner := f
	if inner.beside = f.joined(sel.WhereClause, f.copies(from[0], depth+1)); len(inner.beside) == 0 {
		return byRow
	}
	if t := inner.cond(sel.WhereClause, depth+1); t == always {
		return always
	}
	return byRow
}

// looksUpItself reports whether a query in place of a value answers with a column of the
// very row that asks, as (select b.id from t b where b.id = t.id) does, or (select id).
func (f folder) looksUpItself(column, n ast.Node, depth int) bool {
	link, ok := n.(*ast.SubLink)
	if !ok || link.SubLinkType != ast.EXPR_SUBLINK {
		return false
	}
	sel, ok := link.Subselect.(*ast.SelectStmt)
	if !ok || len(items(sel.TargetList)) != 1 {
		return false
	}
	rt, ok1 := sel.TargetList.Items[0].(*ast.ResTarget)
	ref, ok2 := column.(*ast.ColumnRef)
	if !ok1 || !ok2 || f.origin(ref) == "" {
		return false
	}
	if len(items(sel.FromClause)) == 0 {
		return sel.WhereClause == nil && f.same(column, f.core(rt.Val))
	}
	shown, ok := f.core(rt.Val).(*ast.ColumnRef)
	return ok && f.existsItself(sel, depth) == always && originIn(shown, f.copies(sel.FromClause.Items[0], depth+1)) == f.origin(ref)
}

// own reports whether a column is one of rel's row, or of a copy of it.
func (f folder) own(ref *ast.ColumnRef) bool { return f.origin(ref) != "" }

// origin is the name of the column of rel that a name means, there or in a copy of the
// same row; "" if it means none.
func (f folder) origin(ref *ast.ColumnRef) string {
	q, column := qualifier(ref), lastField(ref)
	if q == f.name && f.rel != nil || q == "" && f.has(column) && (f.certainlyHas(column) || originIn(ref, f.beside) == "") {
		return column
	}
	return originIn(ref, f.beside)
}

// certainlyHas reports whether rel is known to have a column of that name.
func (f folder) certainlyHas(column string) bool {
	return systemColumn(column) ||
		slices.ContainsFunc(f.tables, func(r *Relation) bool { return slices.Contains(r.Columns, column) })
}

// has reports whether rel has a column of that name, or may.
func (f folder) has(column string) bool {
	if column == f.name || f.rel == nil || len(f.tables) == 0 {
		return true
	}
	return f.certainlyHas(column)
}

// typeOf is the type of one of rel's columns, "" if it is not known.
func (f folder) typeOf(ref *ast.ColumnRef) string {
	if len(f.tables) != 1 || !f.own(ref) {
		return ""
	}
	t := f.tables[0]
	if i := slices.Index(t.Columns, f.origin(ref)); i >= 0 && i < len(t.Types) {
		return t.Types[i]
	}
	return ""
}

// filled reports whether an expression is never NULL in a row of rel.
func (f folder) filled(n ast.Node, depth int) bool {
	if depth > maxFold {
		return false
	}
	switch n := bare(n).(type) {
	case *ast.A_Const:
		return !n.Isnull
	case *ast.TypeCast:
		return f.filled(n.Arg, depth+1)
	case *ast.ColumnRef:
		return f.required(n)
	case *ast.A_Expr:
		return n.Kind == ast.AEXPR_OP && n.Rexpr != nil && (n.Lexpr == nil || f.filled(n.Lexpr, depth+1)) && f.filled(n.Rexpr, depth+1)
	case *ast.BoolExpr:
		return !slices.ContainsFunc(items(n.Args), func(x ast.Node) bool { return !f.filled(x, depth+1) })
	case *ast.CoalesceExpr:
		return slices.ContainsFunc(items(n.Args), func(x ast.Node) bool { return f.filled(x, depth+1) })
	}
	return false
}

// required reports whether a column of rel must have a value.
func (f folder) required(ref *ast.ColumnRef) bool {
	name := lastField(ref)
	if systemColumn(name) {
		return true
	}
	if name == "" || len(f.tables) == 0 || !f.own(ref) {
		return false
	}
	if name == f.name && qualifier(ref) == "" && !slices.Contains(f.tables[0].Columns, name) {
		return true // the row itself
	}
	name = f.origin(ref)
	for column, as := range f.shown {
		if as == name && requires(f.bases, column) {
			return true
		}
	}
	return requires(f.tables, name)
}

// requires reports whether all that a relation may be have a value in a column.
func requires(tables []*Relation, column string) bool {
	return len(tables) > 0 && !slices.ContainsFunc(tables, func(r *Relation) bool { return !slices.Contains(r.Required, column) })
}
