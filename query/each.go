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
			if n != nil && unlimited(n.LimitCount) && a.everyRowOf(items(n.FromClause), n.WhereClause, 0) {
				a.each(n)
			}
		case *ast.UpdateStmt:
			if n != nil && a.everyRowOf([]ast.Node{n.Relation}, n.WhereClause, 0) {
				a.each(n)
			}
		case *ast.DeleteStmt:
			if n != nil && a.everyRowOf([]ast.Node{n.Relation}, n.WhereClause, 0) {
				a.each(n)
			}
		}
		return true
	}, nil)
}

// everyRowOf reports whether FROM has a table of which a condition leaves no row out, as
// far as can be told without calling what the condition calls.
func (a *analysis) everyRowOf(from []ast.Node, where ast.Node, depth int) bool {
	if a.folds++; depth > maxWhole || a.folds > maxFolds {
		return true
	}
	for _, n := range from {
		var rel *ast.RangeVar
		switch x := n.(type) {
		case *ast.JoinExpr:
			if a.everyRowOf([]ast.Node{x.Larg, x.Rarg}, where, depth+1) {
				return true
			}
			continue
		case *ast.RangeSubselect:
			if !a.allOf(x.Subquery, depth) {
				continue
			}
		case *ast.RangeVar:
			if rel = x; !a.allOfNamed(x, depth) {
				continue
			}
		default:
			continue
		}
		f := a.folder(rel, nil, nil)
		if !slices.ContainsFunc(conjunction(where), func(c ast.Node) bool { return !a.callsOthers(c) && f.cond(c, 0) == byRow }) {
			return true
		}
	}
	return false
}

// allOf reports whether a query gives every row of some table.
func (a *analysis) allOf(n ast.Node, depth int) bool {
	sel, ok := n.(*ast.SelectStmt)
	if !ok {
		return false
	}
	if sel.Op != ast.SETOP_NONE {
		return unlimited(sel.LimitCount) && (a.allOf(sel.Larg, depth+1) || a.allOf(sel.Rarg, depth+1))
	}
	return unlimited(sel.LimitCount) && a.everyRowOf(items(sel.FromClause), sel.WhereClause, depth+1)
}

// allOfNamed is allOf for what a name stands for: a table, a view or a WITH query.
func (a *analysis) allOfNamed(rv *ast.RangeVar, depth int) bool {
	if c := a.ctes[rv.RelName]; c != nil && rv.SchemaName == "" {
		return c.Ctequery != nil && a.allOf(c.Ctequery, depth)
	}
	if a.schema == nil {
		return true
	}
	for _, rel := range a.schema.Lookup(rv.SchemaName, rv.RelName) {
		if sel := a.definition(rel); sel != nil && !a.apart(sel, func() bool { return a.allOf(sel, depth) }) {
			return false
		}
	}
	return true
}

// apart asks something of a view's text, which knows nothing of the statement's WITH
// queries.
func (a *analysis) apart(view ast.Node, ask func() bool) bool {
	outside := a.ctes
	defer func() { a.ctes = outside }()
	a.ctes = nil
	a.named(view)
	return ask()
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
