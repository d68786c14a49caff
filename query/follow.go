package query

import "github.com/multigres/multigres/go/common/parser/ast"

type resolver struct{}

func (a *analysis) follow(n ast.Node) {
	a.st.Partial = true
	a.st.Output = []Column{{Name: Star}}
}
