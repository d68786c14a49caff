package query

import (
	"fmt"
	"strings"

	"github.com/multigres/multigres/go/common/parser"
)

// dynamic reads EXECUTE: a text that is one constant is analysed, any other says
// nothing of what will run.
func (p *procedural) dynamic(stop string) {
	end := p.until(stop)
	if end < 0 {
		p.broken()
		return
	}
	first := end
	for _, w := range []string{"into", "using"} {
		if at := p.until(w); at >= 0 && at < first {
			first = at
		}
	}
	if run, ok := p.constant(first); ok {
		names := p.vars
		p.vars = map[string]bool{} // a text that is run does not see them
		p.body.text(run)
		p.vars = names
	} else {
		p.out.signs = append(p.out.signs, DynamicSQL)
		if p.computed == "" {
			p.computed = fmt.Sprintf("runs dynamic SQL at line %d", p.line(p.i))
		}
		p.out.writes, p.out.partial, p.out.outside = true, true, true
	}
	p.sql("SELECT " + p.span(p.i, first))
	p.i = first
	for p.i < end {
		switch {
		case p.is("into"):
			p.i++
			for p.i < end && !p.is("using") {
				p.i++
			}
		default:
			p.i++ // USING
			stop := end
			if at := p.until("into"); at >= 0 && at < end {
				stop = at
			}
			p.sql("SELECT " + p.span(p.i, stop))
			p.i = stop
		}
	}
}

// constant is the text of the tokens up to end, if they are constants put together.
func (p *procedural) constant(end int) (string, bool) {
	var b strings.Builder
	l := parser.NewLexer(p.span(p.i, end))
	for i := 0; ; i++ {
		t := l.NextToken()
		switch {
		case t == nil || t.Type == parser.EOF:
			return b.String(), i%2 == 1 && !l.HasErrors()
		case i%2 == 0 && t.Type == parser.SCONST:
			b.WriteString(t.Value.Str)
		case i%2 == 1 && t.Text == "||":
		default:
			return "", false
		}
	}
}

// statement reads SQL up to its semicolon. INTO and the variables after it are taken
// out wherever it stands, as the server does.
func (p *procedural) statement() {
	if p.is("create") {
		for i := p.i; i < len(p.toks) && p.keyword(i) != ";"; i++ {
			if p.keyword(i) == "atomic" {
				p.broken()
				return
			}
		}
	}
	end := p.until(";")
	if end < 0 {
		p.broken()
		return
	}
	var b strings.Builder
	from := p.i
	for i := p.i; i < end; i++ {
		prev := p.keyword(i - 1)
		if p.keyword(i) != "into" || i > p.i && (prev == "insert" || prev == "merge") || p.is("import") {
			continue
		}
		b.WriteString(p.span(from, i))
		b.WriteByte(' ')
		i++
		if p.keyword(i) == "strict" {
			i++
		}
		for i < end && name(p.toks[i]) != "" {
			i++
			for p.keyword(i) == "." {
				i += 2
			}
			if p.keyword(i) != "," {
				break
			}
			i++
		}
		from = i
		i--
	}
	b.WriteString(p.span(from, end))
	p.sql(b.String())
	p.i = end + 1
}
