package query

import (
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// Whether a statement fails is told to whoever runs it, since programs must know. So an
// expression that fails for some values tells of them, one bit a statement, as whoever
// wrote it likes: 1 / (salary - 70000). What fails is counted if it does so by what was
// computed of a column. A column as it is may be divided by, cast and given to functions:
// who does it cannot choose what that tells. No constant may have a part in this, or the
// cache must know (idle).

// fail notes the columns of which f was computed, which decide whether something fails.
func (r *resolver) fail(f flow) {
	if r.inView == 0 {
		r.fails.or(f.derived)
	}
}

// fallible follows n, which may fail by its value, unless it is a column as it is.
func (r *resolver) fallible(n ast.Node, f flow, sc *scope) {
	switch {
	case n == nil:
	case r.a.within && r.varies(n):
		r.a.branches = true
	case f.derived.zero():
	case r.isColumn(n, sc):
	default:
		r.fail(f)
	}
}

// isColumn reports whether n is a column as it is, or a part of a document that a constant
// names. NULLIF with a constant is a comparison with it.
func (r *resolver) isColumn(n ast.Node, sc *scope) bool {
	n, compared := plainOf(n)
	for {
		op, ok := n.(*ast.A_Expr)
		if !ok || op.Kind != ast.AEXPR_OP || !givenWhole(op.Rexpr) {
			break
		}
		switch lastName(op.Name) {
		case "->", "->>", "#>", "#>>":
		default:
			return false
		}
		var again bool
		n, again = plainOf(op.Lexpr)
		compared = compared || again
	}
	ref, ok := n.(*ast.ColumnRef)
	if !ok {
		return false
	}
	f := r.expr(ref, sc)
	if compared && f.asItIs() {
		r.equal(f)
	}
	return f.asItIs()
}

// varies reports whether a variable of a body has a part in n.
func (r *resolver) varies(n ast.Node) bool { return hasParameter(n) }

// plainOf is what n is made of without anything of its writer's choice: casts to the server's
// types, letters in one case, no spaces around, NULL for one constant and the other way
// round. compared tells that one of these was for a constant.
func plainOf(n ast.Node) (plain ast.Node, compared bool) {
	for {
		n = bare(n)
		var next ast.Node
		switch x := n.(type) {
		case *ast.TypeCast:
			if !serverType(x.TypeName) {
				return n, compared
			}
			next = x.Arg
		case *ast.A_Expr:
			if x.Kind == ast.AEXPR_NULLIF && givenWhole(x.Rexpr) {
				next, compared = x.Lexpr, true
			}
		case *ast.CoalesceExpr:
			list := items(x.Args)
			for i, arg := range list {
				if i > 0 && !givenWhole(arg) {
					return n, compared
				}
			}
			if len(list) > 0 {
				next = list[0]
			}
		case *ast.FuncCall:
			if parts := names(x.Funcname); len(parts) > 0 && plainly[parts[len(parts)-1]] && len(items(x.Args)) == 1 {
				next = items(x.Args)[0]
			}
		}
		if next == nil {
			return n, compared
		}
		n = next
	}
}

var plainly = wordSet("btrim ltrim rtrim trim lower upper")

// givenWhole reports whether the client states a value.
func givenWhole(n ast.Node) bool {
	switch n := bare(n).(type) {
	case *ast.A_Const, *ast.ParamRef:
		return true
	case *ast.TypeCast:
		return givenWhole(n.Arg)
	}
	return false
}

// serverType reports whether a type is the server's own: one that a user made can check
// what is made of it as that user likes.
func serverType(n *ast.TypeName) bool {
	if n == nil {
		return false
	}
	parts := names(n.Names)
	if len(parts) == 2 && parts[0] == "pg_catalog" {
		parts = parts[1:]
	}
	return len(parts) == 1 && (textual[parts[0]] || reckoned[parts[0]] || serverTypes[parts[0]])
}

var (
	textual  = wordSet("text varchar bpchar char name citext character unknown")
	reckoned = wordSet(`int2 int4 int8 smallint int integer bigint numeric decimal float4 float8 real money bool boolean
date time timetz timestamp timestamptz interval`)
	// narrow are those that a number of another type may not fit.
	narrow = wordSet("int2 smallint money bool boolean")
)

// casting follows a cast: to text nothing fails, and a number or a day that was computed
// becomes another kind of number or day.
func (r *resolver) casting(n *ast.TypeCast, f flow, sc *scope) {
	parts := []string{""}
	if n.TypeName != nil {
		parts = names(n.TypeName.Names)
	}
	to := ""
	if len(parts) > 0 {
		to = parts[len(parts)-1]
	}
	known := serverType(n.TypeName)
	array := n.TypeName != nil && len(items(n.TypeName.ArrayBounds)) > 0
	switch {
	case known && textual[to] && !array:
	case known && reckoned[to] && !narrow[to] && !array && len(items(n.TypeName.Typmods)) == 0 && (f.num.reckons() || reckons(n.Arg)):
		if s := sortOfName(n.TypeName); s == whole && f.num.size() > maxGain {
			r.failAll(f)
		}
	case !known:
		if r.inView == 0 {
			r.fails.or(f.direct)
		}
		r.fail(f)
	default:
		r.fallible(n.Arg, f, sc)
	}
}

// reckons reports whether an expression is a number or a day by its form: what else it
// could be, the server would not take.
func reckons(n ast.Node) bool {
	switch n := bare(n).(type) {
	case *ast.A_Const:
		switch n.Val.(type) {
		case *ast.Integer, *ast.Float:
			return true
		}
	case *ast.ColumnRef, *ast.SQLValueFunction:
		return true
	case *ast.TypeCast:
		return n.TypeName != nil && serverType(n.TypeName) && len(items(n.TypeName.ArrayBounds)) == 0 && reckoned[lastName(n.TypeName.Names)]
	case *ast.A_Expr:
		if n.Kind == ast.AEXPR_NULLIF {
			return reckons(n.Lexpr)
		}
		switch lastName(n.Name) {
		case "+", "-", "*", "/", "%":
			return n.Kind == ast.AEXPR_OP && (n.Lexpr == nil || reckons(n.Lexpr)) && reckons(n.Rexpr)
		}
	case *ast.CoalesceExpr:
		return reckonsAll(n.Args)
	case *ast.MinMaxExpr:
		return reckonsAll(n.Args)
	case *ast.FuncCall:
		name := lastName(n.Funcname)
		return numbers[name] || lesser[name] && reckonsAll(n.Args)
	}
	return false
}

func reckonsAll(l *ast.NodeList) bool {
	for _, x := range items(l) {
		if !reckons(x) {
			return false
		}
	}
	return true
}

var (
	// numbers give a number or a day whatever they are given.
	numbers = wordSet(`count sum avg stddev stddev_pop stddev_samp variance var_pop var_samp round ceil ceiling floor abs sign trunc
extract date_part date_trunc age length char_length character_length octet_length bit_length cardinality array_length
row_number rank dense_rank ntile now clock_timestamp percentile_cont`)
	// lesser give one of what they are given.
	lesser = wordSet("min max first_value last_value lag lead")
)

// divides follows the operators that fail for some right sides: 0, a pattern that is none.
func (r *resolver) divides(n *ast.A_Expr, right flow, sc *scope) {
	switch n.Kind {
	case ast.AEXPR_OP, ast.AEXPR_OP_ANY, ast.AEXPR_OP_ALL:
		switch lastName(n.Name) {
		case "/", "%":
			if !divisor(n.Rexpr) {
				r.fallible(n.Rexpr, right, sc)
			}
		case "^", "|/", "||/", "~", "~*", "!~", "!~*", "~~", "~~*", "!~~", "!~~*", "@?", "@@":
			r.fallible(n.Rexpr, right, sc)
		}
	case ast.AEXPR_LIKE, ast.AEXPR_ILIKE, ast.AEXPR_SIMILAR:
		r.fallible(n.Rexpr, right, sc)
	}
}

// divisor reports whether n is never 0.
func divisor(n ast.Node) bool {
	switch n := bare(n).(type) {
	case *ast.A_Const:
		return true // who writes 0 there is told nothing
	case *ast.A_Expr:
		text, number, ok := constant(n.Rexpr)
		return n.Kind == ast.AEXPR_NULLIF && ok && number && strings.Trim(text, "0.") == ""
	case *ast.CoalesceExpr:
		for _, arg := range items(n.Args) {
			if !divisor(arg) {
				return false
			}
		}
		return len(items(n.Args)) > 0
	case *ast.TypeCast:
		return divisor(n.Arg)
	}
	return false
}

// Functions that a user may have made another of, of the same name, and that fail for some
// of what they are given.
var (
	fallibles = wordSet(`mod div power pow exp sqrt ln log log10 acos asin atanh acosh acosd asind factorial chr get_byte get_bit set_byte set_bit
decode convert_from convert convert_to to_number to_date to_timestamp make_date make_time make_timestamp make_timestamptz make_interval
width_bucket generate_series array_fill int4range int8range numrange daterange tsrange tstzrange to_tsquery setseed set_masklen
xmlparse xpath xpath_exists jsonb_path_query jsonb_path_query_first jsonb_path_query_array jsonb_path_exists jsonb_path_match
json_populate_record jsonb_populate_record json_to_record jsonb_to_record parse_ident`)
	fallibleSecond = wordSet(`substr substring repeat lpad rpad overlay split_part date_trunc date_part encode format
regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regexp_count regexp_instr regexp_like regexp_substr`)
)
