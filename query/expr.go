package query

import (
	"slices"
	"strconv"
	"strings"

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
	f := r.valueOf(n, sc)
	if f.num.sort == unset {
		f.num.sort = anything
	}
	return f
}

func (r *resolver) valueOf(n ast.Node, sc *scope) flow {
	switch n := n.(type) {
	case *ast.ColumnRef:
		return r.reference(n, sc)
	case *ast.ParamRef:
		return r.parameter(n)
	case *ast.A_Const:
		return flow{num: statedNum(n)}
	case *ast.SQLValueFunction:
		return flow{num: number(day, said, 1)}
	case *ast.SetToDefault, *ast.MergeSupportFunc,
		*ast.CurrentOfExpr, *ast.GroupingFunc, *ast.String, *ast.Integer, *ast.Float, *ast.Boolean, *ast.Null, *ast.BitString:
		return flow{}
	case *ast.ParenExpr:
		return r.expr(n.Expr, sc)
	case *ast.CollateClause:
		return r.expr(n.Arg, sc)
	case *ast.TypeCast:
		f := r.expr(n.Arg, sc)
		r.casting(n, f, sc)
		size := casted(n, f)
		f = f.through()
		f.num = size
		return f
	case *ast.A_Expr:
		return r.operator(n, sc)
	case *ast.BoolExpr:
		return r.list2(sc, n.Args).through().tested()
	case *ast.NullTest:
		return r.expr(n.Arg, sc).presence()
	case *ast.BooleanTest:
		return r.expr(n.Arg, sc).through().tested()
	case *ast.CaseExpr:
		return r.caseOf(n, sc)
	case *ast.CoalesceExpr:
		f := r.list2(sc, n.Args).through()
		if list := items(n.Args); len(list) > 0 && givenWhole(list[len(list)-1]) {
			f.num.is &^= voids
		}
		return f
	case *ast.MinMaxExpr:
		return r.list2(sc, n.Args).through()
	case *ast.A_ArrayExpr:
		return r.arrayOf(n.Elements, sc)
	case *ast.ArrayExpr:
		return r.arrayOf(n.Elements, sc)
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
	var chain []*ast.A_Expr
	for {
		if r.steps++; r.steps > maxSteps {
			r.over = true
			return unknownFlow
		}
		chain = append(chain, n)
		next, ok := bare(n.Lexpr).(*ast.A_Expr)
		if !ok {
			break
		}
		n = next
	}
	f := flow{}.plus(r.expr(n.Lexpr, sc))
	for _, n := range slices.Backward(chain) {
		if !builtinOperator(n) {
			// An operator of an extension or of a user is a function that no one names.
			f.unknown = true
		}
		right := r.expr(n.Rexpr, sc)
		r.divides(n, right, sc)
		size := r.reckon(n, f, right)
		f.add(right)
		f = f.through()
		f.num = size
	}
	return f
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
	var chosen bool
	r.in(RoleConditional, func() { chosen = r.chooses(n, sc) })
	var f flow
	for _, w := range items(n.Args) {
		when, ok := w.(*ast.CaseWhen)
		if !ok {
			f.unknown = true
			continue
		}
		switch {
		case n.Arg == nil:
			r.in(RoleConditional, func() { r.condition(when.Expr, sc) })
		case !chosen:
			r.in(RoleConditional, func() { r.steer(when.Expr, sc) })
		}
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
		case *ast.String:
			r.a.attribute(x.SVal)
		case *ast.A_Star:
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
	if out, ok := r.inlined(n, sc); ok {
		return all(out.cols).through()
	}
	var f flow
	var args []flow
	for _, x := range items(n.Args) {
		args = append(args, r.expr(x, sc))
		f.add(args[len(args)-1])
	}
	for _, o := range items(n.AggOrder) {
		by, ok := o.(*ast.SortBy)
		switch {
		case !ok:
			f.unknown = true
		case n.AggWithinGroup:
			f.add(r.expr(by.Node, sc))
		default:
			r.in(RoleSort, func() { r.steer(by.Node, sc) })
		}
	}
	r.in(RoleFilter, func() { r.condition(n.AggFilter, sc) })
	r.window(n.Over, sc)
	r.leaves(n, f)
	r.multiplies(n, f)
	r.refuses(n, args, sc)
	r.passes(n, f)
	if !r.known(n) && !r.a.plain(n) {
		f.unknown = true
	}
	if parts := names(n.Funcname); len(parts) > 0 && manyRows[parts[len(parts)-1]] {
		r.sways(f) // how often the values beside it come
	}
	f.num = r.callNum(n, args)
	if parts := names(n.Funcname); len(parts) > 0 && parts[len(parts)-1] == "count" && r.known(n) {
		return f.presence()
	}
	return f.through()
}

// manyRows are functions that make several rows of one, also in a select list.
var manyRows = wordSet(`
unnest generate_series generate_subscripts regexp_matches regexp_split_to_table string_to_table
json_each jsonb_each json_each_text jsonb_each_text json_array_elements jsonb_array_elements
json_array_elements_text jsonb_array_elements_text json_object_keys jsonb_object_keys
json_populate_recordset jsonb_populate_recordset json_to_recordset jsonb_to_recordset jsonb_path_query jsonb_path_query_tz
`)

// known reports whether the value of a call comes from its arguments alone. A
// function of the catalogue's own schema is, if it is on the list; a user's
// function of the same name takes that away.
func (r *resolver) known(n *ast.FuncCall) bool {
	parts := names(n.Funcname)
	if len(parts) == 2 && parts[0] == "information_schema" {
		return standard[parts[1]]
	}
	if len(parts) == 0 || len(parts) > 2 || len(parts) == 2 && parts[0] != "pg_catalog" {
		return false
	}
	name := parts[len(parts)-1]
	if r.a.harmlessSignal(strings.Join(parts[:len(parts)-1], "."), name, n) {
		return true
	}
	if !pure(name) || elsewhere[name] {
		return false
	}
	if s := r.a.schema; s != nil && len(parts) == 1 && !s.Harmless("", name) {
		return false
	}
	return true
}

// standard are the functions of information_schema, with which drivers ask for keys and
// indexes: all but one make their value of their arguments, and that one of an index.
var standard = wordSet(`_pg_expandarray _pg_index_position _pg_truetypid _pg_truetypmod _pg_char_max_length
_pg_char_octet_length _pg_numeric_precision _pg_numeric_precision_radix _pg_numeric_scale _pg_datetime_precision _pg_interval_type`)

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
	r.in(RoleFilter, func() { r.steer(c.AggFilter, sc) })
	for _, o := range items(c.AggOrder) {
		if by, ok := o.(*ast.SortBy); ok {
			r.in(RoleSort, func() { r.steer(by.Node, sc) })
		}
	}
	r.window(c.Over, sc)
}

func itoa(i int) string { return strconv.Itoa(i) }
