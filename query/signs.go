package query

import (
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// look visits every node of a statement, whatever it is inside of: the writes,
// the unbounded changes and the calls of functions in it.
func (a *analysis) look(n ast.Node) {
	if a.st.Kind == Explain {
		// Nothing inside runs, but immutable functions are called to plan.
		a.calls(n)
		return
	}
	if a.st.Inner != nil {
		switch n := n.(type) {
		case *ast.PrepareStmt, *ast.DeclareCursorStmt:
			return // all of it is in Inner
		case *ast.CopyStmt:
			a.sign(a.st.Inner.Signs...)
			a.st.Functions = append(a.st.Functions, a.st.Inner.Functions...)
			_ = n
			return
		case *ast.ExplainStmt:
			a.st.Functions = append(a.st.Functions, a.st.Inner.Functions...)
			return
		}
	}
	a.named(n)
	if s, ok := n.(*ast.SelectStmt); ok {
		a.listed(s)
	}
	a.forEach(n)
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		a.visit(c.Node())
		return true
	}, nil)
	if a.sleeps*a.rows >= longSleep {
		a.sign(LongRunning) // once for each row
	}
}

// named collects the WITH queries of a statement by their names. A name that is given
// twice stands for neither.
func (a *analysis) named(n ast.Node) {
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		if x, ok := c.Node().(*ast.CommonTableExpr); ok && x != nil {
			if a.ctes == nil {
				a.ctes = map[string]*ast.CommonTableExpr{}
			}
			if _, twice := a.ctes[x.Ctename]; twice {
				x = &ast.CommonTableExpr{Ctename: x.Ctename}
			}
			a.ctes[x.Ctename] = x
		}
		return true
	}, nil)
}

func (a *analysis) visit(n ast.Node) {
	st := a.st
	a.writeNode(n)
	a.heavy(n)
	switch n := n.(type) {
	case *ast.FuncCall:
		if n != nil {
			a.call(n)
		}
	case *ast.A_Expr:
		if n != nil {
			a.operator(n)
		}
	case *ast.TypeName:
		if k := a.st.Kind; k != DDL && k != Drop && k != Grant || a.casts {
			a.converts(n)
		}
	case *ast.AlterTableStmt:
		a.retyped(n)
	case *ast.TypeCast:
		if n != nil && a.st.Kind == DDL {
			a.converts(n.TypeName)
		}
	case *ast.InsertStmt:
		if n != nil {
			st.Writes = true
			st.Changes++
			a.changes(n.Relation)
			if a.conflictUnbounded(n) {
				a.sign(NoWhere)
			}
		}
	case *ast.UpdateStmt:
		if n != nil {
			st.Writes = true
			st.Changes++
			a.changes(n.Relation)
			if a.unbounded(n.WhereClause, n.Relation, items(n.FromClause)) {
				a.sign(NoWhere)
			}
		}
	case *ast.DeleteStmt:
		if n != nil {
			st.Writes = true
			st.Changes++
			a.changes(n.Relation)
			if a.unbounded(n.WhereClause, n.Relation, items(n.UsingClause)) {
				a.sign(NoWhere)
			}
		}
	case *ast.MergeStmt:
		if n != nil {
			st.Writes = true
			st.Changes++
			a.changes(n.Relation)
			if a.mergeUnbounded(n) {
				a.sign(NoWhere)
			}
		}
	case *ast.SelectStmt:
		if n != nil && n.IntoClause != nil {
			st.Writes = true
		}
	case *ast.RangeFunction:
		a.rows = max(a.rows, functionRows)
	case *ast.RangeVar:
		a.counted(n)
		if n != nil && filesOfServer[n.RelName] && (n.SchemaName == "" || n.SchemaName == "pg_catalog") && a.ctes[n.RelName] == nil {
			a.sign(ServerFile)
		}
	}
}

// filesOfServer are views that show what is in files of the server.
var filesOfServer = wordSet("pg_hba_file_rules pg_ident_file_mappings pg_file_settings")

// changes notes a relation whose rows are changed. PostgreSQL's own are changed by
// commands; who writes to them by hand passes by what those check. An UPDATE of
// pg_settings is set_config of whatever it finds.
func (a *analysis) changes(rv *ast.RangeVar) {
	a.target(rv)
	if rv == nil {
		return
	}
	for _, ref := range a.place(rv) {
		own := ref.Schema == "pg_catalog" || ref.Schema == "information_schema" || ref.Schema == "pg_toast"
		switch {
		case !own && (ref.Schema != "" || !strings.HasPrefix(ref.Table, "pg_")):
		case ref.Table == "pg_settings":
			a.sign(SessionState)
		default:
			a.sign(SystemCatalog)
		}
	}
}

// calls collects functions only.
func (a *analysis) calls(n ast.Node) {
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		switch n := c.Node().(type) {
		case *ast.FuncCall:
			if n != nil {
				a.call(n)
			}
		case *ast.A_Expr:
			if n != nil {
				a.operator(n)
			}
		case *ast.TypeName:
			a.converts(n)
		}
		return true
	}, nil)
}

// call notes a function and the signs its name gives.
func (a *analysis) call(f *ast.FuncCall) {
	parts := names(f.Funcname)
	if len(parts) == 0 {
		a.unclear("it calls a function by a name that is not one")
		return
	}
	a.st.Functions = append(a.st.Functions, strings.ToLower(strings.Join(parts, ".")))
	schema, name := "", parts[len(parts)-1]
	if len(parts) > 1 {
		schema = parts[len(parts)-2]
	}
	a.slow(name, items(f.Args))
	if signalling[name] {
		a.signals(schema, name, f)
		return
	}
	if sign, ok := dangerous(name); ok {
		a.special(name, sign, f)
		return
	}
	if !a.harmless(schema, name) {
		a.routine(schema, name, arityOf(f.Args), a.eachRow[f])
	}
}

// special notes a call of a function that dangerous knows.
func (a *analysis) special(name string, sign Sign, f *ast.FuncCall) {
	switch sign {
	case writesRows:
		a.st.Writes = true
	case SessionState:
		a.setConfig(f)
	case UnknownRoutine:
		a.unclear("function " + name + " does more than compute, and what that comes to is not known")
	case DynamicSQL:
		a.sign(sign)
		a.problem("function " + name + " runs SQL that is a text to it")
	default:
		a.sign(sign)
	}
}

// unclear notes a call of which nobody knows what it does.
func (a *analysis) unclear(why string) {
	a.sign(UnknownRoutine)
	a.problem(why)
}

// problem says what was not understood; the first counts.
func (a *analysis) problem(why string) {
	if a.st.Problem == "" {
		a.st.Problem = why
	}
}

// setConfig names the parameter that set_config sets, "" if it is computed. Settings
// of an application, and those that only tune, are no state that anything depends on.
func (a *analysis) setConfig(f *ast.FuncCall) {
	name := ""
	if args := items(f.Args); len(args) > 0 {
		if s, ok := stringConst(args[0]); ok {
			name = strings.ToLower(s)
		}
	}
	if f == a.setting.call {
		name = a.setting.name
	}
	state := name == "" || changesSession(name)
	if a.configured && a.st.SetName != name {
		name = ""
	}
	a.st.SetName, a.configured = name, true
	if state {
		a.sign(SessionState)
	}
}

func (a *analysis) harmless(schema, name string) bool {
	if a.schema != nil {
		return a.schema.Harmless(schema, name)
	}
	return (schema == "" || schema == "pg_catalog") && pure(name)
}

func stringConst(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.A_Const:
		if s, ok := n.Val.(*ast.String); ok && s != nil && !n.Isnull {
			return s.SVal, true
		}
	case *ast.TypeCast:
		return stringConst(n.Arg)
	case *ast.ParenExpr:
		return stringConst(n.Expr)
	}
	return "", false
}
