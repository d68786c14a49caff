package query

import (
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// maxSame bounds how deep two expressions are compared.
const maxSame = 100

// same reports whether two expressions have the same value in the same row: the
// same column, constant, or computation of them. Calls that may answer
// differently each time are never the same.
func same(a, b ast.Node) bool { return sameAt(a, b, 0) }

func sameAt(a, b ast.Node, depth int) bool {
	if depth > maxSame {
		return false
	}
	a, b = neutral(a), neutral(b)
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	switch x := a.(type) {
	case *ast.ColumnRef:
		y, ok := b.(*ast.ColumnRef)
		return ok && (sameColumn(names(x.Fields), names(y.Fields)) || starred(x) && starred(y) && qualifier(x) == qualifier(y))
	case *ast.A_Const:
		s, n1, ok1 := constant(x)
		t, n2, ok2 := constant(b)
		return ok1 && ok2 && n1 == n2 && s == t
	case *ast.ParamRef:
		y, ok := b.(*ast.ParamRef)
		return ok && x.Number == y.Number
	case *ast.TypeCast:
		y, ok := b.(*ast.TypeCast)
		return ok && sameAt(x.Arg, y.Arg, depth+1)
	case *ast.A_Expr:
		y, ok := b.(*ast.A_Expr)
		return ok && x.Kind == y.Kind && opName(x) == opName(y) &&
			sameAt(x.Lexpr, y.Lexpr, depth+1) && sameAt(x.Rexpr, y.Rexpr, depth+1)
	case *ast.FuncCall:
		y, ok := b.(*ast.FuncCall)
		if !ok || strings.Join(names(x.Funcname), ".") != strings.Join(names(y.Funcname), ".") {
			return false
		}
		return sameList(x.Args, y.Args, depth+1)
	case *ast.CoalesceExpr:
		y, ok := b.(*ast.CoalesceExpr)
		return ok && sameList(x.Args, y.Args, depth+1)
	case *ast.RowExpr:
		y, ok := b.(*ast.RowExpr)
		return ok && sameList(x.Args, y.Args, depth+1)
	case *ast.A_ArrayExpr:
		y, ok := b.(*ast.A_ArrayExpr)
		return ok && sameList(x.Elements, y.Elements, depth+1)
	case *ast.ArrayExpr:
		y, ok := b.(*ast.ArrayExpr)
		return ok && sameList(x.Elements, y.Elements, depth+1)
	case *ast.NodeList:
		y, ok := b.(*ast.NodeList)
		return ok && sameList(x, y, depth+1)
	}
	return false
}

func sameList(a, b *ast.NodeList, depth int) bool {
	x, y := items(a), items(b)
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if !sameAt(x[i], y[i], depth) {
			return false
		}
	}
	return true
}

// sameColumn compares names from the right; a qualifier that one of them lacks
// cannot tell them apart, or the unqualified one would be ambiguous.
func sameColumn(a, b []string) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	for i := 1; i <= len(a) && i <= len(b); i++ {
		if a[len(a)-i] != b[len(b)-i] {
			return false
		}
	}
	return true
}

// neutral strips parentheses and what changes nothing: x+0, 0+x, x-0, x*1, 1*x, - -x,
// the empty string joined, greatest and least of one. x-x and x*0 are 0.
func neutral(n ast.Node) ast.Node {
	for range maxSame {
		n = bare(n)
		next := neutralStep(n)
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

// neutralStep takes one layer off, or answers nil.
func neutralStep(n ast.Node) ast.Node {
	switch n := n.(type) {
	case *ast.MinMaxExpr:
		args := items(n.Args)
		for _, x := range args {
			if _, deep := bare(x).(*ast.MinMaxExpr); deep || !same(args[0], x) {
				return nil
			}
		}
		if len(args) > 0 {
			return args[0]
		}
	case *ast.CaseExpr:
		if w := items(n.Args); n.Arg == nil && len(w) > 0 {
			if when, ok := w[0].(*ast.CaseWhen); ok {
				if b, ok := boolConst(when.Expr); ok && b {
					return when.Result
				}
			}
		}
	case *ast.A_Expr:
		if n.Kind == ast.AEXPR_OP && n.Rexpr != nil {
			return neutralArithmetic(n)
		}
	}
	return nil
}

// nothing is 0 for a product with 0, however its other side reads, and else n itself.
func nothing(n ast.Node) ast.Node {
	e, ok := bare(n).(*ast.A_Expr)
	if !ok || e.Kind != ast.AEXPR_OP || e.Lexpr == nil || opName(e) != "*" {
		return n
	}
	l, lNum, lOK := constant(e.Lexpr)
	r, rNum, rOK := constant(e.Rexpr)
	if lOK && lNum && l == "0" || rOK && rNum && r == "0" {
		return ast.NewA_Const(ast.NewInteger(0), 0)
	}
	return n
}

func neutralArithmetic(e *ast.A_Expr) ast.Node {
	op := opName(e)
	if e.Lexpr == nil {
		inner, ok := bare(e.Rexpr).(*ast.A_Expr)
		switch {
		case op == "+":
			return e.Rexpr
		case op == "-" && ok && inner.Kind == ast.AEXPR_OP && inner.Lexpr == nil && opName(inner) == "-":
			return inner.Rexpr
		}
		return nil
	}
	l, lNum, lOK := constant(nothing(e.Lexpr))
	r, rNum, rOK := constant(nothing(e.Rexpr))
	switch {
	case rOK && rNum && (r == "0" && (op == "+" || op == "-") || r == "1" && (op == "*" || op == "/")):
		return e.Lexpr
	case rOK && !rNum && r == "" && op == "||":
		return e.Lexpr
	case lOK && lNum && (l == "0" && op == "+" || l == "1" && op == "*"):
		return e.Rexpr
	case lOK && !lNum && l == "" && op == "||":
		return e.Rexpr
	case op == "*" && (rNum && r == "0" || lNum && l == "0"), op == "%" && rNum && r == "1":
		return ast.NewA_Const(ast.NewInteger(0), 0)
	case op == "-":
		_, left := bare(e.Lexpr).(*ast.ColumnRef)
		if left && same(e.Lexpr, e.Rexpr) {
			return ast.NewA_Const(ast.NewInteger(0), 0)
		}
	}
	return nil
}
