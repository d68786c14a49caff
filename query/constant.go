package query

import (
	"strconv"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// boolConst reads true, false, 't'::bool and the like.
func boolConst(n ast.Node) (value, ok bool) {
	switch n := bare(n).(type) {
	case *ast.A_Const:
		if n.Isnull {
			return false, true
		}
		switch v := n.Val.(type) {
		case *ast.Boolean:
			return v.BoolVal, true
		case *ast.String:
			return boolWord(v.SVal)
		case *ast.Integer:
			return v.IVal != 0, true
		}
	case *ast.TypeCast:
		return boolConst(n.Arg)
	}
	return false, false
}

func boolWord(s string) (value, ok bool) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "t", "tr", "tru", "true", "y", "ye", "yes", "on", "1":
		return true, true
	case "f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0":
		return false, true
	}
	return false, false
}

// constCompare compares two constants.
func constCompare(op string, l, r ast.Node) (truth, bool) {
	a, aNum, ok1 := constant(l)
	b, bNum, ok2 := constant(r)
	if !ok1 || !ok2 {
		return byRow, false
	}
	c := strings.Compare(a, b)
	if aNum && bNum {
		x, err1 := strconv.ParseFloat(a, 64)
		y, err2 := strconv.ParseFloat(b, 64)
		if err1 != nil || err2 != nil {
			return byText, true
		}
		switch {
		case x < y:
			c = -1
		case x > y:
			c = 1
		default:
			c = 0
		}
	} else if aNum != bNum {
		return byText, true
	}
	switch op {
	case "=":
		return truthOf(c == 0), true
	case "<>", "!=":
		return truthOf(c != 0), true
	case "<", ">", "<=", ">=":
		if !aNum {
			return byText, true // the collation decides
		}
	}
	switch op {
	case "<":
		return truthOf(c < 0), true
	case ">":
		return truthOf(c > 0), true
	case "<=":
		return truthOf(c <= 0), true
	case ">=":
		return truthOf(c >= 0), true
	}
	return byText, true
}

func constant(n ast.Node) (text string, number, ok bool) {
	switch n := bare(n).(type) {
	case *ast.A_Const:
		if n.Isnull {
			return "", false, false
		}
		switch v := n.Val.(type) {
		case *ast.Integer:
			return strconv.Itoa(v.IVal), true, true
		case *ast.Float:
			return v.FVal, true, true
		case *ast.String:
			return v.SVal, false, true
		case *ast.Boolean:
			return strconv.FormatBool(v.BoolVal), false, true
		}
	}
	return "", false, false
}
