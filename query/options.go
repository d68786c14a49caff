package query

import (
	"strconv"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// options reads a WITH list as names and texts; what has no single text is left
// out, and an option without a value reads as "true".
func options(list *ast.NodeList) map[string]string {
	var out map[string]string
	for _, o := range items(list) {
		d, ok := o.(*ast.DefElem)
		if !ok {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		name := strings.ToLower(d.Defname)
		if d.Arg == nil {
			out[name] = "true"
			continue
		}
		if text, ok := plainText(d.Arg); ok {
			out[name] = text
		}
	}
	return out
}

// plainText is the text of a node that stands for one word, literal or number.
func plainText(n ast.Node) (string, bool) {
	switch v := n.(type) {
	case *ast.String:
		return v.SVal, true
	case *ast.Integer:
		return strconv.Itoa(v.IVal), true
	case *ast.Boolean:
		return strconv.FormatBool(v.BoolVal), true
	case *ast.A_Const:
		return plainText(v.Val)
	case *ast.TypeName:
		return strings.ToLower(lastName(v.Names)), v.Names != nil
	}
	return "", false
}

// setTo is the value a SET gives, if it is one constant. A value that is none
// reads as "?", so that nothing takes it for DEFAULT.
func setTo(n *ast.VariableSetStmt) string {
	args := items(n.Args)
	if n.Kind != ast.VAR_SET_VALUE || len(args) == 0 {
		return ""
	}
	text, ok := plainText(args[0])
	if !ok || len(args) != 1 {
		return "?"
	}
	return strings.ToLower(text)
}
