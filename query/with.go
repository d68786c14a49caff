package query

import (
	"github.com/multigres/multigres/go/common/parser/ast"
)

// cte is one query of a WITH clause. It is resolved when first referenced, and
// once: its conditions count each time it is used, and not at all if it is not.
type cte struct {
	node      *ast.CommonTableExpr
	sc        *scope // what its own text sees
	recursive bool   // it may see itself
	state     cteState
	out       output // while resolving: the columns found so far, if seeded
	seeded    bool
	steers    flow
}

type cteState int

const (
	cteNew cteState = iota
	cteResolving
	cteDone
)

// with puts the queries of a WITH clause into scope. Without RECURSIVE a query
// sees those before it, so that it may read the table whose name it takes.
func (r *resolver) with(n *ast.WithClause, up *scope) *scope {
	if n == nil {
		return up
	}
	if n.Recursive {
		sc := &scope{up: up, ctes: map[string]*cte{}}
		for _, c := range items(n.Ctes) {
			if node, ok := c.(*ast.CommonTableExpr); ok {
				sc.ctes[node.Ctename] = &cte{node: node, sc: sc, recursive: true}
			}
		}
		return sc
	}
	for _, c := range items(n.Ctes) {
		if node, ok := c.(*ast.CommonTableExpr); ok {
			up = &scope{up: up, ctes: map[string]*cte{node.Ctename: {node: node, sc: up}}}
		}
	}
	return up
}

// runWrites resolves the data-modifying queries of a WITH clause, which run
// whether referenced or not.
func (r *resolver) runWrites(n *ast.WithClause, with, outside *scope) {
	if n == nil {
		return
	}
	for s := with; s != nil && s != outside; s = s.up {
		for _, c := range s.ctes {
			if _, reads := c.node.Ctequery.(*ast.SelectStmt); !reads {
				r.cte(c)
			}
		}
	}
}

// cte gives the columns of a WITH query where it is referenced.
func (r *resolver) cte(c *cte) output {
	switch c.state {
	case cteDone:
		r.steers.add(c.steers)
		return c.out
	case cteResolving:
		if c.seeded {
			return c.out
		}
		r.lost = true
		return openOutput
	}
	c.state = cteResolving
	var out output
	c.steers = r.apart(func() {
		if sel, ok := c.node.Ctequery.(*ast.SelectStmt); ok && c.recursive && sel.Op != ast.SETOP_NONE && sel.Larg != nil {
			out = r.fixpoint(c, sel)
		} else {
			out = c.named(r.query(c.node.Ctequery, c.sc))
		}
	})
	c.out = r.generated(c, out)
	c.state = cteDone
	r.steers.add(c.steers)
	return c.out
}

// named applies WITH q(a, b).
func (c *cte) named(out output) output {
	it := &item{cols: out.cols, open: out.open}
	it.rename(c.node.Aliascolnames)
	return output{it.cols, out.open}
}

// fixpoint resolves a recursive query: the columns of its first branch, then the
// whole with those, until nothing is added. Each round moves a source at least
// one column further, so columns+1 rounds are enough.
func (r *resolver) fixpoint(c *cte, sel *ast.SelectStmt) output {
	first := r.with(sel.WithClause, c.sc)
	c.out = c.named(r.query(sel.Larg, first))
	c.seeded = true
	for range min(len(c.out.cols)+2, maxFixed) {
		next := c.named(r.query(sel, c.sc))
		if next.within(c.out) {
			if c.grows(next) {
				r.query(sel, c.sc) // what fails by it is noted
			}
			return c.out
		}
		c.out = merged(c.out, next)
		if c.out.open {
			return c.out
		}
	}
	out := output{cols: make([]column, len(c.out.cols))}
	for i, col := range c.out.cols {
		out.cols[i] = column{col.name, col.flow.plus(unknownFlow)}
	}
	return out
}

// grows notes which columns are larger after a round: they are so after each.
func (c *cte) grows(next output) (any bool) {
	for i := range min(len(c.out.cols), len(next.cols)) {
		if n := &c.out.cols[i].flow.num; next.cols[i].flow.num.size() > n.size() {
			n.large, n.is, any = gainOf(infinite), n.is&^said, true
		}
	}
	return any
}

// generated adds the columns of SEARCH and CYCLE.
func (r *resolver) generated(c *cte, out output) output {
	pick := func(l *ast.NodeList) flow {
		it := &item{cols: out.cols}
		var f flow
		for _, name := range names(l) {
			g, n := it.find(name)
			f.add(g.through())
			f.unknown = f.unknown || n != 1
		}
		return f
	}
	var more []column
	if s := c.node.SearchClause; s != nil {
		more = append(more, column{s.SearchSeqColumn, pick(s.SearchColList)})
	}
	if cy := c.node.CycleClause; cy != nil {
		f := pick(cy.CycleColList)
		c.steers.add(f)
		more = append(more, column{cy.CycleMarkColumn, flow{}}, column{cy.CyclePathColumn, f})
	}
	if more == nil {
		return out
	}
	return output{append(append([]column{}, out.cols...), more...), out.open}
}
