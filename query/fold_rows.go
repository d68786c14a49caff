package query

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// folder folds the condition of a change of rel.
type folder struct {
	a      *analysis
	rel    *ast.RangeVar
	name   string          // by which the condition knows rel
	tables []*Relation     // what rel may be
	copies map[string]bool // names beside rel that stand for the same row of it
}

// folder looks at what stands beside rel. Where that is rel itself, joined to it by a
// column, it is the same row, or more of them.
func (a *analysis) folder(rel *ast.RangeVar, others []ast.Node, where ast.Node) folder {
	f := folder{a: a, rel: rel}
	if rel == nil {
		return f
	}
	f.name = rel.RelName
	if rel.Alias != nil && rel.Alias.AliasName != "" {
		f.name = rel.Alias.AliasName
	}
	if a.schema != nil {
		f.tables = a.schema.Lookup(rel.SchemaName, rel.RelName)
	}
	may := map[string]bool{}
	for _, o := range others {
		if name := f.copyOf(o); name != "" && name != f.name {
			may[name] = true
		}
	}
	if len(may) > 0 {
		f.copies = f.joined(where, may)
	}
	return f
}

// copyOf is the name of something in FROM that has every row of rel.
func (f folder) copyOf(n ast.Node) string {
	switch n := n.(type) {
	case *ast.JoinExpr:
		if n.Jointype == ast.JOIN_LEFT || n.Jointype == ast.JOIN_FULL {
			return f.copyOf(n.Larg)
		}
	case *ast.RangeVar:
		if f.itself(n) || f.wholeQuery(n, "", 0) {
			return aliasOf(n.Alias, n.RelName)
		}
	case *ast.RangeSubselect:
		if f.whole(n.Subquery, "", 0) {
			return aliasOf(n.Alias, "")
		}
	}
	return ""
}

func aliasOf(a *ast.Alias, name string) string {
	if a != nil && a.AliasName != "" {
		return a.AliasName
	}
	return name
}

// joined are those of some names that a condition, which must hold, puts equal to rel
// in one column.
func (f folder) joined(where ast.Node, may map[string]bool) map[string]bool {
	out := map[string]bool{}
	parts := []ast.Node{bare(where)}
	if b, ok := bare(where).(*ast.BoolExpr); ok && b.Boolop == ast.AND_EXPR {
		parts = flat(b)
	}
	for _, x := range parts {
		e, ok := x.(*ast.A_Expr)
		if !ok || opName(e) != "=" {
			continue
		}
		l, r := bare(e.Lexpr), bare(e.Rexpr)
		if lastField(l) == "" || lastField(l) != lastField(r) {
			continue
		}
		for _, pair := range [][2]string{{qualifier(l), qualifier(r)}, {qualifier(r), qualifier(l)}} {
			if pair[0] == f.name && may[pair[1]] {
				out[pair[1]] = true
			}
		}
	}
	return out
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

// itself reports whether a relation in FROM is rel.
func (f folder) itself(rv *ast.RangeVar) bool {
	if f.rel == nil || rv.RelName != f.rel.RelName || rv.SchemaName == "" && f.a.ctes[rv.RelName] != nil {
		return false
	}
	return rv.SchemaName == f.rel.SchemaName || rv.SchemaName == "" || f.rel.SchemaName == ""
}

// whole reports whether a query gives the column of every row of rel; with column ""
// it gives rows of which each of rel's is one.
func (f folder) whole(n ast.Node, column string, depth int) bool {
	sel, ok := n.(*ast.SelectStmt)
	if !ok || depth > maxWhole {
		return false
	}
	if sel.Op == ast.SETOP_UNION {
		return sel.LimitCount == nil && (f.whole(sel.Larg, column, depth+1) || f.whole(sel.Rarg, column, depth+1))
	}
	if !f.allRows(sel, depth) {
		return false
	}
	targets := items(sel.TargetList)
	if column == "" && len(targets) > 0 {
		return true
	}
	if len(targets) != 1 {
		return false
	}
	t, ok := targets[0].(*ast.ResTarget)
	if !ok {
		return false
	}
	ref, ok := bare(t.Val).(*ast.ColumnRef)
	return ok && (lastField(ref) == column || starred(ref))
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

// allRows reports whether a query looks at every row of rel.
func (f folder) allRows(sel *ast.SelectStmt, depth int) bool {
	f.a.folds++
	from := items(sel.FromClause)
	if depth > maxWhole || sel.Op != ast.SETOP_NONE || len(from) != 1 || sel.LimitOffset != nil || sel.HavingClause != nil ||
		len(items(sel.DistinctClause)) > 0 && !hollow(sel.DistinctClause) || !unlimited(sel.LimitCount) {
		return false
	}
	switch x := from[0].(type) {
	case *ast.RangeVar:
		return (f.itself(x) || f.wholeQuery(x, "", depth+1)) && f.a.unbounded(sel.WhereClause, x, nil)
	case *ast.RangeSubselect:
		return f.whole(x.Subquery, "", depth+1) && sel.WhereClause == nil
	case *ast.JoinExpr:
		return f.copyOf(x) != "" && sel.WhereClause == nil
	}
	return false
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

// wholeQuery reports whether a name is that of a WITH query that has every row of rel.
func (f folder) wholeQuery(rv *ast.RangeVar, column string, depth int) bool {
	c := f.a.ctes[rv.RelName]
	return c != nil && rv.SchemaName == "" && c.Aliascolnames == nil && f.whole(c.Ctequery, column, depth+1)
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
		column := lastField(bare(n.Testexpr))
		switch {
		case empty:
			return never
		case op == "=" && column != "" && f.whole(sel, column, 0):
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
	name := f.copyOf(from[0])
	if name == "" || name == f.name {
		return byRow
	}
	inner := f
	inner.copies = f.joined(sel.WhereClause, map[string]bool{name: true})
	if len(inner.copies) == 0 {
		return byRow
	}
	if t := inner.cond(sel.WhereClause, depth+1); t == always {
		return always
	}
	return byRow
}

// own reports whether a column is one of rel's row, or of a copy of it.
func (f folder) own(ref *ast.ColumnRef) bool {
	q := qualifier(ref)
	return q == "" && f.has(lastField(ref)) || q != "" && (q == f.name || f.copies[q])
}

// has reports whether rel has a column of that name, or may.
func (f folder) has(column string) bool {
	if column == f.name || f.rel == nil || len(f.tables) == 0 {
		return true
	}
	switch column {
	case "ctid", "xmin", "xmax", "cmin", "cmax":
		return true
	}
	return slices.ContainsFunc(f.tables, func(r *Relation) bool { return slices.Contains(r.Columns, column) })
}

// typeOf is the type of one of rel's columns, "" if it is not known.
func (f folder) typeOf(ref *ast.ColumnRef) string {
	if len(f.tables) != 1 || !f.own(ref) {
		return ""
	}
	t := f.tables[0]
	if i := slices.Index(t.Columns, lastField(ref)); i >= 0 && i < len(t.Types) {
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
	switch name {
	case "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid":
		return true
	}
	if name == "" || len(f.tables) == 0 || !f.own(ref) {
		return false
	}
	if name == f.name && qualifier(ref) == "" && !slices.Contains(f.tables[0].Columns, name) {
		return true // the row itself
	}
	return !slices.ContainsFunc(f.tables, func(r *Relation) bool { return !slices.Contains(r.Required, name) })
}
