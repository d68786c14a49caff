package query

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// maxInline bounds how deep calls of functions are put in place of each other.
const maxInline = 8

// inlined resolves a call of a user's function in SQL that is one SELECT as if that
// stood in place of the call, with the arguments for its parameters. ok is false for
// any other, and wherever it is not certain which function or what a name in it means:
// the value is then unknown, as that of a function that is not read.
func (r *resolver) inlined(n *ast.FuncCall, sc *scope) (out output, ok bool) {
	fn, sel := r.inlinable(n)
	if fn == nil || r.inline >= maxInline {
		return output{}, false
	}
	args, ok := r.arguments(fn, n, sc)
	if !ok {
		return output{}, false
	}
	schema, before := r.a.schema, r.args
	if rs, is := schema.(Routiner); fn.Pinned && is {
		r.a.schema = rs.Along(fn.Path)
	}
	r.args, r.inline, r.inView = args, r.inline+1, r.inView+1
	out = r.query(sel, nil)
	r.args, r.inline, r.inView = before, r.inline-1, r.inView-1
	r.a.schema = schema
	return fn.named(out)
}

// named gives the result of a body the columns that the function says it has. A row
// that is selected as a whole reaches all of them.
func (r *Routine) named(out output) (output, bool) {
	switch {
	case out.open || len(out.cols) == 0:
		return output{}, false
	case r.Out == nil && len(out.cols) > 1:
		return out, true // a record: who calls it names its columns
	case r.Out == nil:
		return output{cols: []column{{r.Name, out.cols[0].flow}}}, true
	case len(out.cols) != len(r.Out) && len(out.cols) != 1:
		return output{}, false
	}
	named := output{cols: make([]column, len(r.Out))}
	for i, name := range r.Out {
		f := out.cols[0].flow
		if len(out.cols) == len(r.Out) {
			f = out.cols[i].flow
		} else {
			f = f.through()
		}
		named.cols[i] = column{name, f}
	}
	return named, true
}

// inlinable is the one function that a call can mean, and the SELECT that it is, with
// the names of its parameters made numbers; nil if it is none.
func (r *resolver) inlinable(n *ast.FuncCall) (*Routine, *ast.SelectStmt) {
	rs, ok := r.a.schema.(Routiner)
	parts := names(n.Funcname)
	if r.a.within || !ok || len(parts) == 0 || len(parts) > 2 || n.AggStar || n.AggDistinct || n.Over != nil || n.FuncVariadic {
		return nil, nil
	}
	schema, name := "", parts[len(parts)-1]
	if len(parts) == 2 {
		schema = parts[0]
	}
	if _, bad := dangerous(name); bad || schema == "" && r.a.schema.Harmless("pg_catalog", name) {
		return nil, nil
	}
	list, all := rs.Routines(schema, name)
	var fn *Routine
	for _, c := range list {
		switch {
		case !c.takes(arityOf(n.Args)):
		case fn != nil:
			return nil, nil
		default:
			fn = c
		}
	}
	if !all || fn == nil || fn.Language != "sql" || fn.Procedure || fn.Strange || fn.Most < 0 || len(fn.Args) != fn.Most || len(fn.Body) > maxBody {
		return nil, nil
	}
	return fn, fn.selects(r.a)
}

// selects is the body, if it is one SELECT that writes nothing and in which each name
// means either a column or a parameter.
func (r *Routine) selects(a *analysis) *ast.SelectStmt {
	list, problem := parse(r.Body)
	if problem != "" || len(list) != 1 {
		return nil
	}
	node := list[0].node
	if r.Parsed {
		def, ok := node.(*ast.CreateFunctionStmt)
		if !ok {
			return nil
		}
		node = def.SQLBody
		if l, ok := node.(*ast.NodeList); ok && len(items(l)) == 1 {
			node = l.Items[0]
		}
		if l, ok := node.(*ast.NodeList); ok && len(items(l)) == 1 {
			node = l.Items[0]
		}
		if ret, ok := node.(*ast.ReturnStmt); ok {
			node = &ast.SelectStmt{BaseNode: ast.BaseNode{Tag: ast.T_SelectStmt}, TargetList: ast.NewNodeList(ast.NewResTarget("", ret.ReturnVal))}
		}
	}
	sel, ok := node.(*ast.SelectStmt)
	if !ok || intoOf(sel) != nil {
		return nil
	}
	b := &body{called: called{r: r, schema: a.schema}, vars: map[string]bool{}, out: &effect{}}
	for _, arg := range r.Args {
		b.vars[arg] = arg != ""
	}
	aliases, _, _ := b.relations(sel)
	sure := !b.doubtful(sel)
	ast.Rewrite(sel, func(c *ast.Cursor) bool {
		switch n := c.Node().(type) {
		case *ast.InsertStmt:
			sure = sure && n == nil
		case *ast.UpdateStmt:
			sure = sure && n == nil
		case *ast.DeleteStmt:
			sure = sure && n == nil
		case *ast.MergeStmt:
			sure = sure && n == nil
		case *ast.ColumnRef:
			if n == nil {
				return true
			}
			parts := names(n.Fields)
			at := -1
			switch {
			case len(parts) == 1:
				at = slices.Index(r.Args, parts[0])
			case len(parts) == 2 && parts[0] == r.Name:
				at = slices.Index(r.Args, parts[1])
			}
			switch {
			case at >= 0 && !aliases[parts[0]]:
				c.Replace(&ast.ParamRef{BaseNode: ast.BaseNode{Tag: ast.T_ParamRef}, Number: at + 1})
				return false
			case at >= 0 || len(parts) != 1 && len(items(n.Fields)) > 0 && b.vars[firstName(n)]:
				sure = false // a row's name, or a field of a parameter
			}
		}
		return true
	}, nil)
	if !sure {
		return nil
	}
	return sel
}

func firstName(n *ast.ColumnRef) string {
	s, ok := items(n.Fields)[0].(*ast.String)
	if !ok {
		return ""
	}
	return s.SVal
}

// arguments are what reaches the parameters of fn. Which default an argument that is
// left out has is not followed.
func (r *resolver) arguments(fn *Routine, n *ast.FuncCall, sc *scope) ([]flow, bool) {
	list := items(n.Args)
	if len(list) != len(fn.Args) {
		return nil, false
	}
	args := make([]flow, len(list))
	for i, arg := range list {
		at := i
		if named, ok := arg.(*ast.NamedArgExpr); ok {
			if at = slices.Index(fn.Args, named.Name); at < 0 {
				return nil, false
			}
		}
		args[at] = r.expr(arg, sc)
	}
	return args, true
}

// parameter is what reaches a parameter: nothing that is a column, but within a body
// that stands in place of its call.
func (r *resolver) parameter(n *ast.ParamRef) flow {
	if r.inline == 0 {
		return flow{}
	}
	if n.Number < 1 || n.Number > len(r.args) {
		return unknownFlow
	}
	return flow{}.plus(r.args[n.Number-1])
}
