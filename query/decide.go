package query

import "github.com/multigres/multigres/go/common/parser/ast"

// What a body reads and then decides by is told by what it does: it fails, makes rows,
// waits, or does not. Which variable holds what is not followed: once a variable decides,
// all that the body reads into variables does.

// decision reads a condition.
func (p *procedural) decision(words ...string) { p.decides("", "", words...) }

// number reads a value by which something is done so and so often.
func (p *procedural) number(words ...string) { p.decides("(", ") > 0", words...) }

// choice reads a value that is compared with others.
func (p *procedural) choice(words ...string) { p.decides("(", ") = 0", words...) }

func (p *procedural) decides(before, after string, words ...string) {
	end := p.until(words...)
	if end < 0 {
		p.broken()
		return
	}
	p.deciding = !p.foundOnly(end)
	p.sql("SELECT 1 WHERE " + before + p.span(p.i, end) + after)
	p.deciding = false
	p.i = end
}

// foundOnly reports whether nothing but FOUND decides: whether rows were there, which the
// conditions of their query tell.
func (p *procedural) foundOnly(end int) bool {
	for i := p.i; i < end; i++ {
		switch p.keyword(i) {
		case "found", "not", "and", "or", "(", ")":
		default:
			return false
		}
	}
	return true
}

// take notes columns whose values a variable may get.
func (b *body) take(columns []Column) {
	for _, c := range columns {
		for _, s := range c.Sources {
			if s.How != Counted {
				b.out.taken = append(b.out.taken, s.Ref)
			}
		}
	}
	b.out.taken = sortRefs(b.out.taken)
}

// decidedBy reports whether a variable decides, by more than being NULL.
func decidedBy(n ast.Node) (found bool) {
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		switch x := c.Node().(type) {
		case *ast.NullTest:
			return x == nil
		case *ast.ParamRef:
			found = found || x != nil
		}
		return !found
	}, nil)
	return found
}
