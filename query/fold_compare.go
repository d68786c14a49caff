package query

import (
	"strconv"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// compare folds a comparison.
func (f folder) compare(n *ast.A_Expr, depth int) truth {
	l, r := f.core(n.Lexpr), f.core(n.Rexpr)
	switch n.Kind {
	case ast.AEXPR_OP:
		return f.operator(opName(n), l, r, depth)
	case ast.AEXPR_NOT_DISTINCT, ast.AEXPR_DISTINCT:
		if f.same(l, r) {
			return truthOf(n.Kind == ast.AEXPR_NOT_DISTINCT)
		}
	case ast.AEXPR_LIKE, ast.AEXPR_ILIKE, ast.AEXPR_SIMILAR:
		if opName(n)[0] != '!' && (f.same(l, r) || matchesAll("~~", r)) {
			return always
		}
	case ast.AEXPR_IN, ast.AEXPR_OP_ANY:
		if opName(n) != "<>" {
			return f.among(l, r, depth)
		}
	case ast.AEXPR_BETWEEN, ast.AEXPR_BETWEEN_SYM:
		if list, ok := r.(*ast.NodeList); ok && len(items(list)) == 2 {
			ends := items(list)
			if atEnd(">=", bare(ends[0])) && atEnd("<=", bare(ends[1])) {
				return always
			}
			if t, ok := constBetween(l, ends); ok {
				return t
			}
		}
		return f.among(l, r, depth)
	}
	return byRow
}

// operator folds a comparison by an operator.
func (f folder) operator(op string, l, r ast.Node, depth int) truth {
	if t, ok := constCompare(op, l, r); ok {
		return t
	}
	switch op {
	case "=", ">=", "<=", "~~", "~~*", "@>", "<@", "&&", "~=":
		if f.same(l, r) || f.looksUpItself(l, r, depth) || f.looksUpItself(r, l, depth) {
			return always
		}
		if op == "=" && (f.yields(l, r) || f.yields(r, l)) {
			return byText
		}
	case "<>", "!=", "<", ">":
		if f.same(l, r) {
			return never
		}
	}
	switch {
	case matchesAll(op, r), f.extreme(op, l, r), f.extreme(turned[op], r, l), atEnd(op, r), atEnd(turned[op], l):
		return always
	case f.notNegative(op, l, r), f.notNegative(turned[op], r, l), firstPlace(op, l, r), firstPlace(turned[op], r, l):
		return always
	}
	return byRow
}

// turned are comparisons with their sides changed.
var turned = map[string]string{"=": "=", "<>": "<>", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}

// matchesAll reports whether a pattern fits every text.
func matchesAll(op string, pattern ast.Node) bool {
	if call, ok := bare(pattern).(*ast.FuncCall); ok { // of SIMILAR TO, and of ESCAPE
		if args := items(call.Args); len(args) > 0 {
			pattern = args[0]
		}
	}
	s, ok := stringConst(pattern)
	if !ok {
		return false
	}
	switch op {
	case "^@":
		return s == ""
	case "~~", "~~*":
		return strings.Contains(s, "%") && strings.Trim(s, "%_") == "" && strings.Count(s, "_") < 2
	case "~", "~*":
		switch strings.TrimSuffix(strings.TrimPrefix(s, "^"), "$") {
		case "", ".*", ".+", ".", "(.*)", ".*?", `[\s\S]*`:
			return true
		}
	}
	return false
}

// atEnd compares with the ends of PostgreSQL's integers, beyond which there is none.
func atEnd(op string, n ast.Node) bool {
	v, ok := integer(n)
	switch op {
	case ">", ">=":
		return ok && v <= -1<<31
	case "<", "<=":
		return ok && v >= 1<<31-1
	}
	return false
}

// integer reads a whole number, with its sign.
func integer(n ast.Node) (float64, bool) {
	sign := 1.0
	for {
		e, ok := bare(n).(*ast.A_Expr)
		if !ok || e.Kind != ast.AEXPR_OP || e.Lexpr != nil || opName(e) != "-" && opName(e) != "+" {
			break
		}
		if opName(e) == "-" {
			sign = -sign
		}
		n = e.Rexpr
	}
	text, number, ok := constant(n)
	if !ok || !number {
		return 0, false
	}
	v, err := strconv.ParseFloat(text, 64)
	return sign * v, err == nil
}

// notNegative compares what is never below zero with zero.
func (f folder) notNegative(op string, l, r ast.Node) bool {
	v, ok := integer(r)
	if !ok || v > 0 || v == 0 && op != ">=" || v < 0 && op != ">=" && op != ">" && op != "<>" && op != "!=" {
		return false
	}
	switch n := l.(type) {
	case *ast.FuncCall:
		switch lastName(n.Funcname) {
		case "length", "char_length", "character_length", "octet_length", "bit_length", "abs", "cardinality", "strpos", "position":
			return true
		}
	case *ast.A_Expr:
		return n.Kind == ast.AEXPR_OP && opName(n) == "*" && f.same(f.core(n.Lexpr), f.core(n.Rexpr))
	}
	return false
}

// firstPlace compares a row's physical place with the first there is.
func firstPlace(op string, l, r ast.Node) bool {
	place, ok := stringConst(r)
	place = strings.ReplaceAll(place, " ", "")
	return ok && lastField(l) == "ctid" && (op == ">=" && (place == "(0,0)" || place == "(0,1)") || (op == ">" || op == "<>") && place == "(0,0)")
}

// extreme compares a column with the least or greatest value it has.
func (f folder) extreme(op string, l, r ast.Node) bool {
	link, ok := r.(*ast.SubLink)
	if !ok || link.SubLinkType != ast.EXPR_SUBLINK || op != ">=" && op != "<=" {
		return false
	}
	return f.extremeOf(op, l, link.Subselect)
}

func (f folder) extremeOf(op string, l ast.Node, query ast.Node) bool {
	sel, ok := query.(*ast.SelectStmt)
	if !ok || len(items(sel.TargetList)) != 1 {
		return false
	}
	t, ok := sel.TargetList.Items[0].(*ast.ResTarget)
	if !ok {
		return false
	}
	call, ok := bare(t.Val).(*ast.FuncCall)
	if !ok || len(items(call.Args)) != 1 || call.AggFilter != nil {
		return false
	}
	name := map[string]string{">=": "min", "<=": "max"}[op]
	most, ok1 := bare(call.Args.Items[0]).(*ast.ColumnRef)
	column, ok2 := l.(*ast.ColumnRef)
	if lastName(call.Funcname) != name || !ok1 || !ok2 || f.origin(column) == "" {
		return false
	}
	return originIn(most, f.everyRow(sel, 0)) == f.origin(column)
}

// among finds the column itself in an IN list, an array or both ends of BETWEEN, or
// all of its values.
func (f folder) among(l, r ast.Node, depth int) truth {
	var list []ast.Node
	switch r := r.(type) {
	case *ast.NodeList:
		list = items(r)
	case *ast.A_ArrayExpr:
		list = items(r.Elements)
	case *ast.ArrayExpr:
		list = items(r.Elements)
	case *ast.SubLink:
		if r.SubLinkType == ast.ARRAY_SUBLINK && f.gives(r.Subselect, l, depth) {
			return always
		}
		return byRow
	default:
		return byRow
	}
	yes, no := false, false
	for _, x := range list {
		if f.same(l, f.core(x)) {
			return always
		}
		if f.yields(bare(x), l) {
			return byText
		}
		if t, ok := constCompare("=", l, x); ok && t == always {
			return always
		}
		if c, ok := bare(x).(*ast.A_Const); ok && !c.Isnull {
			b, ok := c.Val.(*ast.Boolean)
			yes, no = yes || ok && b.BoolVal, no || ok && !b.BoolVal
		}
	}
	if yes && no {
		return always
	}
	return byRow
}

// constBetween compares a constant with two.
func constBetween(n ast.Node, ends []ast.Node) (truth, bool) {
	low, ok1 := constCompare(">=", n, ends[0])
	high, ok2 := constCompare("<=", n, ends[1])
	switch {
	case !ok1 || !ok2:
		return byRow, false
	case low == always && high == always:
		return always, true
	case low == byText || high == byText:
		return byText, true
	}
	return never, true
}

// yields reports whether expr may become x itself by a parameter's choice, as
// coalesce($1, x) and case when $1 then x … end do.
func (f folder) yields(expr, x ast.Node) bool {
	switch e := expr.(type) {
	case *ast.CoalesceExpr:
		for _, a := range items(e.Args) {
			if f.same(f.core(a), x) {
				return true
			}
		}
	case *ast.CaseExpr:
		if e.Defresult != nil && f.same(f.core(e.Defresult), x) {
			return true
		}
		for _, w := range items(e.Args) {
			if when, ok := w.(*ast.CaseWhen); ok && f.same(f.core(when.Result), x) {
				return true
			}
		}
	}
	return false
}

// same is the package's, and takes a copy of the row for the row.
func (f folder) same(l, r ast.Node) bool {
	if same(l, r) {
		return true
	}
	a, ok1 := l.(*ast.ColumnRef)
	b, ok2 := r.(*ast.ColumnRef)
	return ok1 && ok2 && f.origin(a) != "" && f.origin(a) == f.origin(b)
}

// core strips what changes nothing, with the casts of a column to the type it has.
func (f folder) core(n ast.Node) ast.Node {
	for range maxSame {
		n = neutral(n)
		cast, ok := n.(*ast.TypeCast)
		if !ok || cast.TypeName == nil {
			return n
		}
		inner := neutral(cast.Arg)
		if again, ok := inner.(*ast.TypeCast); ok && again.TypeName != nil && lastName(again.TypeName.Names) == "text" {
			inner = neutral(again.Arg)
		}
		if c, ok := inner.(*ast.ColumnRef); !ok || f.typeOf(c) == "" || f.typeOf(c) != typeWords(lastName(cast.TypeName.Names)) {
			return n
		}
		n = inner
	}
	return n
}

// typeWords is a type's name as the catalogue writes it.
func typeWords(name string) string {
	switch name {
	case "int2":
		return "smallint"
	case "int4":
		return "integer"
	case "int8":
		return "bigint"
	case "float4":
		return "real"
	case "float8":
		return "double precision"
	case "bool":
		return "boolean"
	case "varchar":
		return "character varying"
	case "timestamp":
		return "timestamp without time zone"
	case "timestamptz":
		return "timestamp with time zone"
	}
	return name
}

func emptyText(n ast.Node) bool {
	s, ok := stringConst(n)
	return ok && s == ""
}
