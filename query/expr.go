package query

import (
	"slices"
	"strconv"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// expr follows the columns whose values reach the value of n. What only decides
// which value it is (conditions, keys, subscripts) goes to the steers. A node
// that it does not know is unknown.
func (r *resolver) expr(n ast.Node, sc *scope) flow {
	if n == nil {
		return flow{}
	}
	if !r.enter() {
		r.leave()
		return unknownFlow
	}
	defer r.leave()
	switch n := n.(type) {
	case *ast.ColumnRef:
		return r.reference(n, sc)
	case *ast.A_Const, *ast.ParamRef, *ast.SetToDefault, *ast.SQLValueFunction, *ast.MergeSupportFunc,
		*ast.CurrentOfExpr, *ast.GroupingFunc, *ast.String, *ast.Integer, *ast.Float, *ast.Boolean, *ast.Null, *ast.BitString:
		return flow{}
	case *ast.ParenExpr:
		return r.expr(n.Expr, sc)
	case *ast.CollateClause:
		return r.expr(n.Arg, sc)
	case *ast.TypeCast:
		return r.expr(n.Arg, sc).through()
	case *ast.A_Expr:
		return r.operator(n, sc)
	case *ast.BoolExpr:
		return r.list2(sc, n.Args).through()
	case *ast.NullTest:
		return r.expr(n.Arg, sc).through()
	case *ast.BooleanTest:
		return r.expr(n.Arg, sc).through()
	case *ast.CaseExpr:
		return r.caseOf(n, sc)
	case *ast.CoalesceExpr:
		return r.list2(sc, n.Args).through()
	case *ast.MinMaxExpr:
		return r.list2(sc, n.Args).through()
	case *ast.A_ArrayExpr:
		return r.list2(sc, n.Elements).through()
	case *ast.ArrayExpr:
		return r.list2(sc, n.Elements).through()
	case *ast.RowExpr:
		return r.list2(sc, n.Args).through()
	case *ast.NodeList:
		return r.list2(sc, n)
	case *ast.A_Indirection:
		return r.indirection(n, sc)
	case *ast.SubLink:
		return r.subLink(n, sc)
	case *ast.FuncCall:
		return r.call(n, sc)
	case *ast.NamedArgExpr:
		if n.Arg == nil {
			return flow{}
		}
		return r.expr(n.Arg, sc)
	case *ast.ResTarget:
		return r.expr(n.Val, sc)
	case *ast.MultiAssignRef:
		return r.expr(n.Source, sc).through()
	}
	return r.structured(n, sc)
}

func (r *resolver) list2(sc *scope, lists ...*ast.NodeList) flow {
	var f flow
	for _, l := range lists {
		for _, x := range items(l) {
			f.add(r.expr(x, sc))
		}
	}
	return f
}

// operator follows both operands. A chain of operators leans to the left and may
// be very long, so it is walked in a loop.
func (r *resolver) operator(n *ast.A_Expr, sc *scope) flow {
	var f flow
	for {
		if r.steps++; r.steps > maxSteps {
			r.over = true
			return unknownFlow
		}
		if !builtinOperator(n) {
			// An operator of an extension or of a user is a function that no one names.
			f.unknown = true
		}
		f.add(r.expr(n.Rexpr, sc))
		next, ok := bare(n.Lexpr).(*ast.A_Expr)
		if !ok {
			f.add(r.expr(n.Lexpr, sc))
			return f.through()
		}
		n = next
	}
}

func builtinOperator(n *ast.A_Expr) bool {
	parts := names(n.Name)
	switch len(parts) {
	case 0:
		return n.Kind != ast.AEXPR_OP
	case 1:
	case 2:
		if parts[0] != "pg_catalog" {
			return false
		}
	default:
		return false
	}
	return n.Kind != ast.AEXPR_OP && n.Kind != ast.AEXPR_OP_ANY && n.Kind != ast.AEXPR_OP_ALL || operators[parts[len(parts)-1]]
}

var operators = wordSet("+ - * / % ^ |/ ||/ @ & | # ~ << >> < > = <= >= <> != || && @> <@ ? ?| ?& -> ->> #> #>> #- @? @@ " +
	"~~ ~~* !~~ !~~* ~* !~ !~* ^@ ## &< &> <<| |>> &<| |&> -|- @-@ ?# ?- ?-| ?|| ~= <-> <<= >>= !! *= *<> *< *> ~<~ ~>~ ~<=~ ~>=~")

func (r *resolver) caseOf(n *ast.CaseExpr, sc *scope) flow {
	r.steer(n.Arg, sc)
	var f flow
	for _, w := range items(n.Args) {
		when, ok := w.(*ast.CaseWhen)
		if !ok {
			f.unknown = true
			continue
		}
		r.steer(when.Expr, sc)
		f.add(r.expr(when.Result, sc))
	}
	f.add(r.expr(n.Defresult, sc))
	return f.through()
}

// indirection follows (x).field and x[i].
func (r *resolver) indirection(n *ast.A_Indirection, sc *scope) flow {
	list := items(n.Indirection)
	if len(list) > 0 {
		if field, ok := list[0].(*ast.String); ok {
			if it := r.rowItem(n.Arg, sc); it != nil {
				if f, found := it.find(field.SVal); found == 1 {
					r.mark(f)
					return f
				}
			}
		}
	}
	f := r.expr(n.Arg, sc).through()
	for _, x := range list {
		switch x := x.(type) {
		case *ast.A_Indices:
			r.steer(x.Lidx, sc)
			r.steer(x.Uidx, sc)
		case *ast.String, *ast.A_Star:
		default:
			f.unknown = true
		}
	}
	return f
}

func (r *resolver) subLink(n *ast.SubLink, sc *scope) flow {
	out := r.query(n.Subselect, sc)
	f := all(out.cols)
	f.unknown = f.unknown || out.open
	switch n.SubLinkType {
	case ast.EXISTS_SUBLINK:
		// Whether a row exists depends on its conditions, not on what it selects.
		return flow{}
	case ast.EXPR_SUBLINK:
		return f
	}
	f.add(r.expr(n.Testexpr, sc))
	return f.through()
}

// call follows a function's arguments to its value, if the function is known to
// make it of nothing else.
func (r *resolver) call(n *ast.FuncCall, sc *scope) flow {
	f := r.list2(sc, n.Args)
	for _, o := range items(n.AggOrder) {
		by, ok := o.(*ast.SortBy)
		switch {
		case !ok:
			f.unknown = true
		case n.AggWithinGroup:
			f.add(r.expr(by.Node, sc))
		default:
			r.steer(by.Node, sc)
		}
	}
	r.steer(n.AggFilter, sc)
	r.window(n.Over, sc)
	if !r.known(n) {
		f.unknown = true
	}
	return f.through()
}

// known reports whether the value of a call comes from its arguments alone. A
// function of the catalogue's own schema is, if it is on the list; a user's
// function of the same name takes that away.
func (r *resolver) known(n *ast.FuncCall) bool {
	parts := names(n.Funcname)
	if len(parts) == 0 || len(parts) > 2 || len(parts) == 2 && parts[0] != "pg_catalog" {
		return false
	}
	name := parts[len(parts)-1]
	if !pure(name) || elsewhere[name] {
		return false
	}
	if s := r.a.schema; s != nil && len(parts) == 1 && !s.Harmless("", name) {
		return false
	}
	return true
}

// elsewhere are harmless functions whose value was put somewhere before, perhaps
// from a column.
var elsewhere = wordSet("current_setting pg_stat_get_activity pg_listening_channels")

// structured follows the constructors of XML and JSON.
func (r *resolver) structured(n ast.Node, sc *scope) flow {
	var f flow
	switch n := n.(type) {
	case *ast.XmlExpr:
		f = r.list2(sc, n.NamedArgs, n.Args)
	case *ast.XmlSerialize:
		f = r.expr(n.Expr, sc)
	case *ast.JsonValueExpr:
		if n == nil {
			return flow{}
		}
		f = r.expr(n.RawExpr, sc)
	case *ast.JsonArgument:
		if n.Val != nil {
			f = r.expr(n.Val, sc)
		}
	case *ast.JsonKeyValue:
		if n == nil {
			return flow{}
		}
		if n.Key != nil {
			f = f.plus(r.expr(n.Key, sc))
		}
		if n.Value != nil {
			f = f.plus(r.expr(n.Value, sc))
		}
	case *ast.JsonBehavior:
		if n == nil {
			return flow{}
		}
		f = r.expr(n.Expr, sc)
	case *ast.JsonFuncExpr:
		return r.jsonFunc(n, sc)
	case *ast.JsonObjectConstructor:
		f = r.list2(sc, n.Exprs)
	case *ast.JsonArrayConstructor:
		f = r.list2(sc, n.Exprs)
	case *ast.JsonArrayQueryConstructor:
		out := r.query(n.Query, sc)
		f = all(out.cols)
		f.unknown = f.unknown || out.open
	case *ast.JsonObjectAgg:
		if n.Arg != nil {
			f = r.expr(n.Arg, sc)
		}
		r.jsonAgg(n.Constructor, sc)
	case *ast.JsonArrayAgg:
		if n.Arg != nil {
			f = r.expr(n.Arg, sc)
		}
		r.jsonAgg(n.Constructor, sc)
	case *ast.JsonParseExpr:
		if n.Expr != nil {
			f = r.expr(n.Expr, sc)
		}
	case *ast.JsonScalarExpr:
		if n.Expr != nil {
			f = r.expr(n.Expr, sc)
		}
	case *ast.JsonSerializeExpr:
		if n.Expr != nil {
			f = r.expr(n.Expr, sc)
		}
	case *ast.JsonIsPredicate:
		f = r.expr(n.Expr, sc)
	default:
		r.lost = true
		return unknownFlow
	}
	return f.through()
}

func (r *resolver) jsonFunc(n *ast.JsonFuncExpr, sc *scope) flow {
	f := r.list2(sc, n.Passing)
	if n.ContextItem != nil {
		f.add(r.expr(n.ContextItem, sc))
	}
	f.add(r.expr(n.Pathspec, sc))
	for _, b := range []*ast.JsonBehavior{n.OnEmpty, n.OnError} {
		if b != nil {
			f.add(r.expr(b, sc))
		}
	}
	return f.through()
}

func (r *resolver) jsonAgg(c *ast.JsonAggConstructor, sc *scope) {
	if c == nil {
		return
	}
	r.steer(c.AggFilter, sc)
	for _, o := range items(c.AggOrder) {
		if by, ok := o.(*ast.SortBy); ok {
			r.steer(by.Node, sc)
		}
	}
	r.window(c.Over, sc)
}

func itoa(i int) string { return strconv.Itoa(i) }

// figure is the name that PostgreSQL gives a column without one.
func figure(n ast.Node) string {
	if name, _ := figureAt(n, 0); name != "" {
		return name
	}
	return "?column?"
}

// figureAt answers a name and how good it is: 1 for a type's name or CASE, which
// a better one inside replaces, 2 for the rest.
func figureAt(n ast.Node, depth int) (name string, strength int) {
	if depth > 1000 {
		return "", 0
	}
	switch n := bare(n).(type) {
	case *ast.ColumnRef:
		return lastName(n.Fields), 2
	case *ast.A_Indirection:
		if name := lastName(n.Indirection); name != "" {
			return name, 2
		}
		return figureAt(n.Arg, depth+1)
	case *ast.FuncCall:
		return lastName(n.Funcname), 2
	case *ast.A_Expr:
		if n.Kind == ast.AEXPR_NULLIF {
			return "nullif", 2
		}
	case *ast.TypeCast:
		if name, strength := figureAt(n.Arg, depth+1); strength > 1 {
			return name, strength
		}
		if n.TypeName != nil {
			return lastName(n.TypeName.Names), 1
		}
	case *ast.CollateClause:
		return figureAt(n.Arg, depth+1)
	case *ast.CaseExpr:
		if name, strength := figureAt(n.Defresult, depth+1); strength > 1 {
			return name, strength
		}
		return "case", 1
	case *ast.SubLink:
		return figureSubLink(n, depth)
	case *ast.A_ArrayExpr:
		return "array", 2
	case *ast.RowExpr:
		return "row", 2
	case *ast.CoalesceExpr:
		return "coalesce", 2
	case *ast.GroupingFunc:
		return "grouping", 2
	case *ast.MergeSupportFunc:
		return "merge_action", 2
	case *ast.MinMaxExpr:
		if n.Op == ast.IS_LEAST {
			return "least", 2
		}
		return "greatest", 2
	case *ast.SQLValueFunction:
		return valueFunctionName(n.Op), 2
	case *ast.XmlSerialize:
		return "xmlserialize", 2
	case *ast.XmlExpr:
		return xmlName(n.Op), 2
	case *ast.JsonFuncExpr, *ast.JsonObjectConstructor, *ast.JsonArrayConstructor, *ast.JsonArrayQueryConstructor,
		*ast.JsonObjectAgg, *ast.JsonArrayAgg, *ast.JsonParseExpr, *ast.JsonScalarExpr, *ast.JsonSerializeExpr:
		return jsonName(n), 2
	}
	return "", 0
}

func figureSubLink(n *ast.SubLink, depth int) (string, int) {
	switch n.SubLinkType {
	case ast.EXISTS_SUBLINK:
		return "exists", 2
	case ast.ARRAY_SUBLINK:
		return "array", 2
	case ast.EXPR_SUBLINK:
		sel, ok := n.Subselect.(*ast.SelectStmt)
		for ok && sel.Op != ast.SETOP_NONE && sel.Larg != nil {
			sel = sel.Larg
		}
		if !ok || sel == nil {
			return "", 0
		}
		if t := items(sel.TargetList); len(t) > 0 {
			if rt, ok := t[0].(*ast.ResTarget); ok {
				if rt.Name != "" {
					return rt.Name, 2
				}
				return figureAt(rt.Val, depth+1)
			}
		}
		if sel.ValuesLists != nil {
			return "column1", 2
		}
	}
	return "", 0
}

// lastName is the last part of a list that is a name.
func lastName(l *ast.NodeList) string {
	list := items(l)
	for _, n := range slices.Backward(list) {
		if s, ok := n.(*ast.String); ok {
			return s.SVal
		}
	}
	return ""
}

func valueFunctionName(op ast.SQLValueFunctionOp) string {
	switch op {
	case ast.SVFOP_CURRENT_DATE:
		return "current_date"
	case ast.SVFOP_CURRENT_TIME, ast.SVFOP_CURRENT_TIME_N:
		return "current_time"
	case ast.SVFOP_CURRENT_TIMESTAMP, ast.SVFOP_CURRENT_TIMESTAMP_N:
		return "current_timestamp"
	case ast.SVFOP_LOCALTIME, ast.SVFOP_LOCALTIME_N:
		return "localtime"
	case ast.SVFOP_LOCALTIMESTAMP, ast.SVFOP_LOCALTIMESTAMP_N:
		return "localtimestamp"
	case ast.SVFOP_CURRENT_ROLE:
		return "current_role"
	case ast.SVFOP_CURRENT_USER:
		return "current_user"
	case ast.SVFOP_USER:
		return "user"
	case ast.SVFOP_SESSION_USER:
		return "session_user"
	case ast.SVFOP_CURRENT_CATALOG:
		return "current_catalog"
	case ast.SVFOP_CURRENT_SCHEMA:
		return "current_schema"
	}
	return ""
}

func xmlName(op ast.XmlExprOp) string {
	switch op {
	case ast.IS_XMLCONCAT:
		return "xmlconcat"
	case ast.IS_XMLELEMENT:
		return "xmlelement"
	case ast.IS_XMLFOREST:
		return "xmlforest"
	case ast.IS_XMLPARSE:
		return "xmlparse"
	case ast.IS_XMLPI:
		return "xmlpi"
	case ast.IS_XMLROOT:
		return "xmlroot"
	}
	return ""
}

func jsonName(n ast.Node) string {
	switch n := n.(type) {
	case *ast.JsonFuncExpr:
		switch n.Op {
		case ast.JSON_EXISTS_OP:
			return "json_exists"
		case ast.JSON_QUERY_OP:
			return "json_query"
		case ast.JSON_VALUE_OP:
			return "json_value"
		}
	case *ast.JsonObjectConstructor:
		return "json_object"
	case *ast.JsonArrayConstructor, *ast.JsonArrayQueryConstructor:
		return "json_array"
	case *ast.JsonObjectAgg:
		return "json_objectagg"
	case *ast.JsonArrayAgg:
		return "json_arrayagg"
	case *ast.JsonParseExpr:
		return "json"
	case *ast.JsonScalarExpr:
		return "json_scalar"
	case *ast.JsonSerializeExpr:
		return "json_serialize"
	}
	return ""
}
