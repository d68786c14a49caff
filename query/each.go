package query

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// forEach notes the calls that a statement makes once for every row of a table. A
// routine that changes a row then changes as many as the table has.
func (a *analysis) forEach(n ast.Node) {
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		switch n := c.Node().(type) {
		case *ast.SelectStmt:
			if n != nil && unlimited(n.LimitCount) && a.everyRowOf(items(n.FromClause), n.WhereClause) {
				a.each(n)
			}
		case *ast.UpdateStmt:
			if n != nil && a.everyRowOf([]ast.Node{n.Relation}, n.WhereClause) {
				a.each(n)
			}
		case *ast.DeleteStmt:
			if n != nil && a.everyRowOf([]ast.Node{n.Relation}, n.WhereClause) {
				a.each(n)
			}
		}
		return true
	}, nil)
}

// everyRowOf reports whether FROM has a table of which a condition leaves no row out, as
// far as can be told without calling what the condition calls.
func (a *analysis) everyRowOf(from []ast.Node, where ast.Node) bool {
	for _, n := range from {
		for {
			join, ok := n.(*ast.JoinExpr)
			if !ok {
				break
			}
			n = join.Larg
		}
		rv, ok := n.(*ast.RangeVar)
		if !ok {
			continue
		}
		f := a.folder(rv, nil, nil)
		narrow := false
		for _, x := range conjunction(where) {
			narrow = narrow || !a.callsOthers(x) && f.cond(x, 0) == byRow
		}
		if !narrow {
			return true
		}
	}
	return false
}

// conjunction lists what must all hold.
func conjunction(where ast.Node) []ast.Node {
	switch n := bare(where).(type) {
	case nil:
		return nil
	case *ast.BoolExpr:
		if n.Boolop == ast.AND_EXPR {
			return flat(n)
		}
	}
	return []ast.Node{where}
}

// callsOthers reports whether an expression calls what is not known to be harmless.
func (a *analysis) callsOthers(n ast.Node) bool {
	found := false
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		if f, ok := c.Node().(*ast.FuncCall); ok && f != nil {
			parts := names(f.Funcname)
			schema := ""
			if len(parts) > 1 {
				schema = parts[len(parts)-2]
			}
			found = found || len(parts) == 0 || !a.harmless(schema, parts[len(parts)-1])
		}
		return !found
	}, nil)
	return found
}

// each marks the calls and operators in a statement over every row.
func (a *analysis) each(n ast.Node) {
	if a.eachRow == nil {
		a.eachRow = map[ast.Node]bool{}
	}
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		switch x := c.Node().(type) {
		case *ast.FuncCall:
			a.eachRow[x] = true
		case *ast.A_Expr:
			a.eachRow[x] = true
		}
		return true
	}, nil)
}

// changesEach reports whether what a routine does to a row it does to every row, if it
// is called for each.
func (e *effect) changesEach() bool {
	return slices.ContainsFunc(e.kinds, func(k Kind) bool { return k == Update || k == Delete || k == Merge })
}
