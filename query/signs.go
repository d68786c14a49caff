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
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		a.visit(c.Node())
		return true
	}, nil)
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
	switch n := n.(type) {
	case *ast.FuncCall:
		if n != nil {
			a.call(n)
		}
	case *ast.A_Expr:
		if n != nil {
			a.operator(n)
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
	case *ast.RangeVar:
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
		}
		return true
	}, nil)
}

// call notes a function and the signs its name gives.
func (a *analysis) call(f *ast.FuncCall) {
	parts := names(f.Funcname)
	if len(parts) == 0 {
		a.sign(UnknownRoutine)
		return
	}
	a.st.Functions = append(a.st.Functions, strings.ToLower(strings.Join(parts, ".")))
	schema, name := "", parts[len(parts)-1]
	if len(parts) > 1 {
		schema = parts[len(parts)-2]
	}
	if a.signals(schema, name, f) {
		return
	}
	if sign, ok := dangerous(name); ok {
		a.sign(sign)
		if sign == writesRows {
			a.st.Signs = a.st.Signs[:len(a.st.Signs)-1]
			a.st.Writes = true
		}
		if sign == SessionState {
			a.setConfig(f)
		}
		return
	}
	if !a.harmless(schema, name) {
		a.routine(schema, name, arityOf(f.Args))
	}
}

// setConfig names the parameter that set_config sets, "" if it is computed.
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
	if a.configured && a.st.SetName != name {
		name = ""
	}
	a.st.SetName, a.configured = name, true
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
