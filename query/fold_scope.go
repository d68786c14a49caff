package query

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// fromItem is a name in the FROM of a query inside a condition.
type fromItem struct {
	name    string
	columns []string
	known   bool // columns are all it has
}

// mentions reports whether anything in n can depend on the row of rel: one of its
// columns, also in a query inside, if there it is not a column of that query's own.
func (f folder) mentions(n ast.Node) bool { return f.depends(n, nil, 0) }

func (f folder) depends(n ast.Node, inner [][]fromItem, depth int) bool {
	if n == nil {
		return false
	}
	if depth > maxWhole {
		return true
	}
	found := false
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		switch x := c.Node().(type) {
		case *ast.ColumnRef:
			found = found || x != nil && f.refers(x, inner)
		case *ast.CurrentOfExpr:
			found = found || x != nil
		case *ast.SelectStmt:
			if x != nil && ast.Node(x) != n {
				found = found || f.depends(x, inner, depth+1)
				return false
			}
			if x != nil {
				inner = append(slices.Clone(inner), f.items(x, depth))
			}
		}
		return !found
	}, nil)
	return found
}

// refers reports whether a name may mean a column of rel.
func (f folder) refers(ref *ast.ColumnRef, inner [][]fromItem) bool {
	q, column := qualifier(ref), lastField(ref)
	for i := len(inner) - 1; i >= 0; i-- {
		for _, it := range inner[i] {
			if q != "" && q == it.name || q == "" && (slices.Contains(it.columns, column) || it.name == column) {
				return false
			}
		}
	}
	if q != "" {
		return q == f.name || f.rel == nil || slices.ContainsFunc(f.beside, func(c copied) bool { return c.name == q })
	}
	return column != "tableoid" && (f.has(column) || f.origin(ref) != "")
}

// items are the names in a query's FROM.
func (f folder) items(sel *ast.SelectStmt, depth int) []fromItem {
	var out []fromItem
	todo := slices.Clone(items(sel.FromClause))
	for len(todo) > 0 {
		switch x := todo[0].(type) {
		case *ast.JoinExpr:
			todo = append(todo, x.Larg, x.Rarg)
		case *ast.RangeVar:
			out = append(out, f.relationItem(x, depth))
		case *ast.RangeSubselect:
			cols, known := f.outputs(x.Subquery, depth+1)
			out = append(out, fromItem{aliasOf(x.Alias, ""), cols, known})
		case *ast.RangeFunction:
			out = append(out, fromItem{name: aliasOf(x.Alias, "")})
		}
		todo = todo[1:]
	}
	return out
}

func (f folder) relationItem(rv *ast.RangeVar, depth int) fromItem {
	it := fromItem{name: aliasOf(rv.Alias, rv.RelName)}
	if c := f.a.ctes[rv.RelName]; c != nil && rv.SchemaName == "" {
		if it.columns = names(c.Aliascolnames); it.columns == nil {
			it.columns, it.known = f.outputs(c.Ctequery, depth+1)
		}
		return it
	}
	if f.a.schema != nil {
		for _, rel := range f.a.schema.Lookup(rv.SchemaName, rv.RelName) {
			it.columns, it.known = append(it.columns, rel.Columns...), true
		}
	}
	return it
}

// outputs are the names of a query's columns. known is false if there may be others.
func (f folder) outputs(n ast.Node, depth int) (cols []string, known bool) {
	sel, ok := n.(*ast.SelectStmt)
	if !ok || depth > maxWhole {
		return nil, false
	}
	for sel.Op != ast.SETOP_NONE && sel.Larg != nil {
		sel = sel.Larg
	}
	known = true
	for _, t := range items(sel.TargetList) {
		rt, ok := t.(*ast.ResTarget)
		if !ok {
			return cols, false
		}
		ref, isRef := rt.Val.(*ast.ColumnRef)
		switch {
		case rt.Name != "":
			cols = append(cols, rt.Name)
		case isRef && starred(ref):
			for _, it := range f.items(sel, depth+1) {
				cols, known = append(cols, it.columns...), known && it.known
			}
		default:
			cols = append(cols, figure(rt.Val))
		}
	}
	return cols, known
}
