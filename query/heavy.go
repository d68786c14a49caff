package query

import (
	"slices"
	"strconv"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// Sizes from which a statement is said to run long.
const (
	longSleep    = 5          // seconds
	longSeries   = 10_000_000 // rows that generate_series makes
	functionRows = 1000       // that a function in FROM is taken to make
	longText     = 100e6      // characters of a text that repeat makes
	longCross    = 1e9        // pairs of rows of a join without a condition, by the planner's counts
)

// heavy notes what keeps others out of a table, or runs long, whatever it is for.
func (a *analysis) heavy(n ast.Node) {
	switch n := n.(type) {
	case *ast.LockStmt:
		if n.Mode >= ast.ShareLock { // from which on nobody else may write
			a.sign(TableLock)
		}
	case *ast.AlterTableStmt:
		for _, c := range items(n.Cmds) {
			if cmd, ok := c.(*ast.AlterTableCmd); ok && rewrites(cmd) {
				a.sign(TableLock)
			}
		}
	case *ast.IndexStmt:
		if !n.Concurrent {
			a.sign(TableLock)
		}
	case *ast.ClusterStmt:
		a.sign(TableLock)
	case *ast.ReindexStmt:
		if !optionOn(n.Params, "concurrently") {
			a.sign(TableLock)
		}
	case *ast.VacuumStmt:
		if optionOn(n.Options, "full") {
			a.sign(TableLock)
		}
	case *ast.RefreshMatViewStmt:
		if !n.Concurrent {
			a.sign(TableLock)
		}
	case *ast.SelectStmt:
		if n == nil {
			return
		}
		if len(items(n.LockingClause)) > 0 {
			a.sign(RowLock)
		}
		if a.locksAll(n) {
			a.sign(TableLock)
		}
		if endless(n) || a.crosses(n) {
			a.sign(LongRunning)
		}
	}
}

// locksAll reports whether a query locks every row of its tables. FOR KEY SHARE keeps
// nobody from more than a delete.
func (a *analysis) locksAll(n *ast.SelectStmt) bool {
	locks := slices.ContainsFunc(items(n.LockingClause), func(n ast.Node) bool {
		c, ok := n.(*ast.LockingClause)
		return !ok || c.Strength > ast.LCS_FORKEYSHARE
	})
	from := items(n.FromClause)
	if !locks || len(from) == 0 || n.LimitCount != nil && !isNull(n.LimitCount) {
		return false
	}
	if rv, ok := from[0].(*ast.RangeVar); ok && len(from) == 1 {
		return a.unbounded(n.WhereClause, rv, nil)
	}
	v, ok := boolConst(n.WhereClause)
	return n.WhereClause == nil || ok && v
}

// isNull reports whether n is NULL, which is how LIMIT ALL is kept.
func isNull(n ast.Node) bool {
	c, ok := bare(n).(*ast.A_Const)
	if !ok {
		return false
	}
	_, null := c.Val.(*ast.Null)
	return c.Isnull || null
}

// counted notes how many rows a relation has.
func (a *analysis) counted(rv *ast.RangeVar) {
	if rv == nil || a.schema == nil {
		return
	}
	for _, rel := range a.schema.Lookup(rv.SchemaName, rv.RelName) {
		a.rows = max(a.rows, rel.Rows)
	}
}

// optionOn reports whether the last option of that name is on.
func optionOn(list *ast.NodeList, name string) (on bool) {
	for _, o := range items(list) {
		if d, ok := o.(*ast.DefElem); ok && strings.EqualFold(d.Defname, name) {
			on = !isOff(d.Arg)
		}
	}
	return on
}

// rewrites reports whether a part of ALTER TABLE reads or writes every row while
// nobody else may use the table.
func rewrites(cmd *ast.AlterTableCmd) bool {
	switch cmd.Subtype {
	case ast.AT_AlterColumnType, ast.AT_SetExpression, ast.AT_SetLogged, ast.AT_SetUnLogged, ast.AT_SetAccessMethod,
		ast.AT_SetTableSpace, ast.AT_SetNotNull:
		return true
	case ast.AT_AddConstraint:
		c, ok := cmd.Def.(*ast.Constraint)
		return ok && !c.SkipValidation
	case ast.AT_AddColumn:
		def, ok := cmd.Def.(*ast.ColumnDef)
		if !ok {
			return false
		}
		return slices.ContainsFunc(items(def.Constraints), func(n ast.Node) bool {
			c, ok := n.(*ast.Constraint)
			return ok && (c.Contype == ast.CONSTR_GENERATED || c.Contype == ast.CONSTR_IDENTITY || c.Contype == ast.CONSTR_UNIQUE || c.Contype == ast.CONSTR_PRIMARY)
		})
	}
	return false
}

// endless reports whether a recursive query has nothing that would end it: its step
// takes all rows there are, and nobody says how many are wanted.
func endless(n *ast.SelectStmt) bool {
	if n.WithClause == nil || !n.WithClause.Recursive || n.LimitCount != nil {
		return false
	}
	for _, c := range items(n.WithClause.Ctes) {
		cte, ok := c.(*ast.CommonTableExpr)
		if !ok || cte.CycleClause != nil {
			continue
		}
		sel, ok := cte.Ctequery.(*ast.SelectStmt)
		if !ok || sel.Op != ast.SETOP_UNION || !sel.All || sel.LimitCount != nil || sel.Rarg == nil {
			continue
		}
		if step := sel.Rarg; step.WhereClause == nil && step.LimitCount == nil && step.HavingClause == nil && onlyReads(step, cte.Ctename) {
			return true
		}
	}
	return false
}

// onlyReads reports whether a query reads the relation of that name, and joins it with
// nothing under a condition.
func onlyReads(n *ast.SelectStmt, name string) bool {
	found := false
	for _, f := range items(n.FromClause) {
		rels, open := joined(f)
		if !open {
			return false
		}
		for _, rv := range rels {
			found = found || rv.SchemaName == "" && rv.RelName == name
		}
	}
	return found
}

// joined are the relations of one entry of FROM. open is false if something else, or
// a condition, is among them.
func joined(n ast.Node) (rels []*ast.RangeVar, open bool) {
	switch n := bare(n).(type) {
	case *ast.RangeVar:
		return []*ast.RangeVar{n}, true
	case *ast.JoinExpr:
		if v, ok := boolConst(n.Quals); n.IsNatural || n.UsingClause != nil || n.Quals != nil && !(ok && v) {
			return nil, false
		}
		l, lOK := joined(n.Larg)
		r, rOK := joined(n.Rarg)
		return append(l, r...), lOK && rOK
	}
	return nil, false
}

// crosses reports whether every row of large tables is paired with every row of others.
func (a *analysis) crosses(n *ast.SelectStmt) bool {
	if n.WhereClause != nil || a.schema == nil {
		return false
	}
	pairs, tables := 1.0, 0
	for _, f := range items(n.FromClause) {
		rels, open := joined(f)
		if !open {
			return false
		}
		for _, rv := range rels {
			for _, rel := range a.schema.Lookup(rv.SchemaName, rv.RelName) {
				if rel.Rows > 0 {
					pairs *= rel.Rows
					tables++
				}
			}
		}
	}
	return tables > 1 && pairs > longCross
}

// slow notes calls that wait, or make rows, for long.
func (a *analysis) slow(name string, args []ast.Node) {
	if a.st.Kind == Explain {
		return
	}
	switch name {
	case "pg_sleep":
		if len(args) == 1 {
			if s, known := figures(args[0]); known && s < longSleep {
				a.sleeps = max(a.sleeps, s)
				return
			}
		}
		a.sign(LongRunning)
	case "repeat":
		if len(args) == 2 && a.length(args[0])*a.times(args[1]) > longText {
			a.sign(LongRunning)
		}
	case "pg_sleep_for", "pg_sleep_until":
		a.sign(LongRunning)
	case "generate_series":
		if len(args) < 2 {
			return
		}
		from, ok1 := figures(args[0])
		to, ok2 := figures(args[1])
		step := 1.0
		if len(args) > 2 {
			if s, ok := figures(args[2]); ok && s != 0 {
				step = s
			}
		}
		if ok1 && ok2 && (to-from)/step > longSeries {
			a.sign(LongRunning)
		}
	}
}

// length is how long a text at least is, if it is a constant or made of one by repeat.
func (a *analysis) length(n ast.Node) float64 {
	switch n := bare(n).(type) {
	case *ast.TypeCast:
		return a.length(n.Arg)
	case *ast.FuncCall:
		if parts, args := names(n.Funcname), items(n.Args); len(parts) > 0 && parts[len(parts)-1] == "repeat" && len(args) == 2 {
			return a.length(args[0]) * a.times(args[1])
		}
	case *ast.A_Const:
		if s, ok := stringConst(n); ok {
			return float64(len(s))
		}
	}
	return 1
}

func (a *analysis) times(n ast.Node) float64 {
	v, _ := figures(n)
	return v
}

// figures reads a constant number, which may have a sign or a cast.
func figures(n ast.Node) (float64, bool) {
	switch n := bare(n).(type) {
	case *ast.TypeCast:
		return figures(n.Arg)
	case *ast.A_Expr:
		if opName(n) == "-" && n.Lexpr == nil {
			v, ok := figures(n.Rexpr)
			return -v, ok
		}
	case *ast.A_Const:
		if text, _, ok := constant(n); ok {
			v, err := strconv.ParseFloat(text, 64)
			return v, err == nil
		}
	}
	return 0, false
}
