package query

import (
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// signalling are functions of PostgreSQL that change no data but tell other sessions
// something: with values of their own choice in them, they would carry what is masked
// past the mask, into pg_locks or to whoever listens.
var signalling = wordSet(`
pg_notify
pg_advisory_lock pg_advisory_lock_shared pg_advisory_xact_lock pg_advisory_xact_lock_shared
pg_try_advisory_lock pg_try_advisory_lock_shared pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared
pg_advisory_unlock pg_advisory_unlock_shared pg_advisory_unlock_all
`)

// reckoning are functions that give nothing but what their arguments say.
var reckoning = wordSet(`hashtext hashtextextended md5 lower upper abs concat format json_build_object jsonb_build_object`)

// signals notes a call of a signalling function.
func (a *analysis) signals(schema, name string, f *ast.FuncCall) {
	if strings.Contains(name, "advisory_") && !strings.Contains(name, "unlock") {
		a.sign(AdvisoryLock)
	}
	switch {
	case !a.systems(schema, name):
		a.unclear("function " + name + " may be another than PostgreSQL's own")
	case !a.ownWords(f):
		a.sign(Signals)
		a.problem("function " + name + " would tell other sessions something that is not in the text")
	}
}

// harmlessSignal reports whether a call is of a signalling function, and tells others
// only what the client itself has sent.
func (a *analysis) harmlessSignal(schema, name string, f *ast.FuncCall) bool {
	return signalling[name] && a.systems(schema, name) && a.ownWords(f)
}

// ownWords reports whether all arguments are the client's own: locks of migration
// tools, NOTIFY with parameters.
func (a *analysis) ownWords(f *ast.FuncCall) bool {
	for _, arg := range items(f.Args) {
		if !a.sent(arg, 0) {
			return false
		}
	}
	return !a.within
}

// systems reports whether a name means a function of PostgreSQL and nothing else. While
// functions may have been made that nobody has read, no bare name does.
func (a *analysis) systems(schema, name string) bool {
	if schema != "" {
		return schema == "pg_catalog"
	}
	rs, ok := a.schema.(Routiner)
	if !ok || !a.schema.Harmless("", "pg_backend_pid") {
		return false
	}
	list, _ := rs.Routines("", name)
	return len(list) == 0
}

// sent reports whether a value is the client's own: a constant, a parameter, or what
// is reckoned from these. The parameters of PREPARE come with EXECUTE, which may work
// them out.
func (a *analysis) sent(n ast.Node, depth int) bool {
	if depth > 20 {
		return false
	}
	switch n := n.(type) {
	case *ast.A_Const:
		return true
	case *ast.ParamRef:
		return !a.later
	case *ast.TypeCast:
		return a.sent(n.Arg, depth+1)
	case *ast.ParenExpr:
		return a.sent(n.Expr, depth+1)
	case *ast.FuncCall:
		parts := names(n.Funcname)
		if len(parts) == 0 || len(parts) > 2 || !reckoning[parts[len(parts)-1]] {
			return false
		}
		schema := ""
		if len(parts) == 2 {
			schema = parts[0]
		}
		if !a.systems(schema, parts[len(parts)-1]) {
			return false
		}
		for _, arg := range items(n.Args) {
			if !a.sent(arg, depth+1) {
				return false
			}
		}
		return true
	}
	return false
}

// listed is a call of set_config that takes the name of its setting from pg_settings,
// as pg_dump does to set one only where the server has it.
type listed struct {
	call *ast.FuncCall
	name string
}

// listed finds SELECT set_config(name, …) FROM pg_settings WHERE name = 'x', which
// sets x or nothing. Nothing else may be in the statement that gives these words
// another meaning.
func (a *analysis) listed(n *ast.SelectStmt) {
	from, where := items(n.FromClause), n.WhereClause
	if a.schema == nil || n.WithClause != nil || n.Larg != nil || len(from) != 1 || len(items(n.TargetList)) != 1 {
		return
	}
	rv, ok := from[0].(*ast.RangeVar)
	if !ok || rv.Alias != nil || rv.RelName != "pg_settings" {
		return
	}
	if found := a.schema.Lookup(rv.SchemaName, rv.RelName); len(found) != 1 || found[0].Schema != "pg_catalog" {
		return
	}
	if rs, ok := a.schema.(Routiner); !ok || len(rs.Operators("=")) > 0 {
		return
	}
	test, ok := where.(*ast.A_Expr)
	if !ok || test.Kind != ast.AEXPR_OP || len(names(test.Name)) != 1 || names(test.Name)[0] != "=" || !namesSetting(test.Lexpr) {
		return
	}
	setting, ok := stringConst(test.Rexpr)
	out, ok2 := n.TargetList.Items[0].(*ast.ResTarget)
	if !ok || !ok2 {
		return
	}
	if call, ok := out.Val.(*ast.FuncCall); ok && len(items(call.Args)) > 0 && namesSetting(call.Args.Items[0]) {
		a.setting = listed{call: call, name: strings.ToLower(setting)}
	}
}

// namesSetting reports whether n is the column name, by itself.
func namesSetting(n ast.Node) bool {
	c, ok := n.(*ast.ColumnRef)
	if !ok {
		return false
	}
	parts := names(c.Fields)
	return len(parts) == 1 && parts[0] == "name"
}
