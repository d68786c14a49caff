package query

import "github.com/multigres/multigres/go/common/parser/ast"

// Assigned is the value that a text which is one SET gives to its parameter, as it
// was written, and whether it lasts for the transaction only. ok is false for every
// other text, and if the value is no single constant.
func Assigned(sql string) (value string, local, ok bool) {
	node, err := parseQuery(sql)
	if err != nil {
		return "", false, false
	}
	set, ok := node.(*ast.VariableSetStmt)
	if !ok || set.Kind != ast.VAR_SET_VALUE {
		return "", false, false
	}
	args := items(set.Args)
	if len(args) != 1 {
		return "", false, false
	}
	value, ok = plainText(args[0])
	return value, set.IsLocal, ok
}
