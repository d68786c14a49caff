package query

import "strings"

// step reads one statement of PL/pgSQL.
func (p *procedural) step() {
	if p.assignment() {
		return
	}
	if p.is("<<") {
		p.label()
		if !p.is("declare", "begin", "loop", "while", "for", "foreach") {
			p.broken()
			return
		}
	}
	switch p.keyword(p.i) {
	case "declare", "begin":
		p.block()
		p.need(";")
	case "if":
		p.conditional()
	case "case":
		p.cases()
	case "loop", "while", "for", "foreach":
		p.loop()
	case "exit", "continue":
		if at := p.until("when"); at >= 0 {
			p.i = at + 1
			p.decision(";")
		}
		p.finish()
	case "return":
		p.i++
		p.returns()
	case "raise":
		p.i++
		p.raise()
	case "assert":
		p.i++
		p.decision(";")
		p.need(";")
	case "execute":
		p.i++
		p.dynamic(";")
		p.need(";")
	case "perform":
		p.i++
		p.expression(";")
		p.need(";")
	case "open":
		p.i++
		p.open()
	case "get", "fetch", "move", "close":
		end := p.until(";")
		if end < 0 || strings.ContainsRune(p.span(p.i, end), '(') {
			p.broken()
			return
		}
		p.out.outside = true // a cursor may be one of the session
		p.finish()
	case "null", ";":
		p.finish()
	case "commit", "rollback":
		p.fail("begins or ends transactions")
		p.finish()
	default:
		p.statement()
	}
}

// finish passes the rest of a statement in which nothing runs.
func (p *procedural) finish() {
	end := p.until(";")
	if end < 0 {
		p.broken()
		return
	}
	p.i = end + 1
}

// assignment reads a := b, also of a field or an element. No statement of SQL
// begins with a name and an equal sign.
func (p *procedural) assignment() bool {
	if p.i >= len(p.toks) || name(p.toks[p.i]) == "" {
		return false
	}
	at := p.i + 1
	depth := 0
	for ; at < len(p.toks); at++ {
		k := p.keyword(at)
		switch {
		case k == "[":
			depth++
		case k == "]":
			depth--
		case depth > 0:
		case k == "." && at+1 < len(p.toks):
			at++
		case k == ":=" || k == "=":
			if at > p.i+1 {
				p.subscripts(p.i+1, at)
			}
			p.i = at + 1
			p.expression(";")
			p.need(";")
			return true
		default:
			return false
		}
		if k == ";" {
			return false
		}
	}
	return false
}

// subscripts reads the expressions between brackets.
func (p *procedural) subscripts(from, to int) {
	for i := from; i < to; i++ {
		if p.keyword(i) == "[" {
			saved := p.i
			p.i = i + 1
			if end := p.until("]"); end > 0 && end < to {
				p.sql("SELECT (ARRAY[1])[" + p.span(i+1, end) + "]")
				i = end
			} else {
				p.fail("is not understood")
			}
			p.i = saved
		}
	}
}

func (p *procedural) conditional() {
	p.i++
	p.decision("then")
	p.need("then")
	p.statements()
	for p.skip("elsif") || p.skip("elseif") {
		p.decision("then")
		p.need("then")
		p.statements()
	}
	if p.skip("else") {
		p.statements()
	}
	p.need("end", "if", ";")
}

func (p *procedural) cases() {
	p.i++
	read := p.decision
	if !p.is("when") {
		p.choice("when")
		read = p.expression
	}
	for p.skip("when") {
		read("then")
		p.need("then")
		p.statements()
	}
	if p.skip("else") {
		p.statements()
	}
	p.need("end", "case", ";")
}

func (p *procedural) loop() {
	from, forever := p.i, p.is("loop")
	switch p.keyword(p.i) {
	case "while":
		p.i++
		forever = p.is("true") && p.keyword(p.i+1) == "loop"
		p.decision("loop")
	case "for":
		p.i++
		at := p.until("in")
		if at < 0 {
			p.broken()
			return
		}
		p.i = at + 1
		p.forLoop()
	case "foreach":
		at := p.until("array")
		if at < 0 {
			p.broken()
			return
		}
		p.i = at + 1
		p.number("loop")
	}
	if p.depth++; p.depth > maxBlocks {
		p.broken()
		return
	}
	p.need("loop")
	p.statements()
	for ; forever && from < p.i; from++ {
		switch p.keyword(from) {
		case "exit", "return", "raise", "assert":
			forever = false
		}
	}
	if forever {
		p.out.signs = append(p.out.signs, LongRunning)
	}
	p.need("end", "loop")
	p.depth--
	if !p.is(";") {
		p.i++ // its label
	}
	p.need(";")
}

// forLoop reads what a loop runs over: numbers, a text that is run, a query, or a
// cursor, whose query counts where it is declared.
func (p *procedural) forLoop() {
	if p.skip("execute") {
		p.dynamic("loop")
		return
	}
	p.skip("reverse")
	end := p.until("loop")
	if end < 0 {
		p.broken()
		return
	}
	if dots := p.until(".."); dots >= 0 && dots < end {
		p.number("..")
		p.i = dots + 1
		if by := p.until("by"); by >= 0 && by < end {
			p.number("by")
			p.i = by + 1
		}
		p.number("loop")
		return
	}
	switch {
	case end == p.i+1:
		p.out.outside = true
	case end > p.i+1 && name(p.toks[p.i]) != "" && p.keyword(p.i+1) == "(" && p.vars[name(p.toks[p.i])] && !p.is("select", "values", "with"):
		p.cursorArguments(p.i+1, end)
	default:
		p.sql(p.span(p.i, end))
	}
	p.i = end
}

// cursorArguments reads (a, b := c) after the name of a cursor.
func (p *procedural) cursorArguments(from, to int) {
	p.out.outside = true
	p.sql("SELECT ROW" + strings.ReplaceAll(p.span(from, to), ":=", "="))
}

func (p *procedural) returns() {
	switch {
	case p.skip("next"):
	case p.skip("query"):
		if p.skip("execute") {
			p.dynamic(";")
		} else {
			p.statement()
			return
		}
	}
	if !p.is(";") {
		p.expression(";")
	}
	p.need(";")
}

// raise reads the expressions of RAISE; the names of its options are left out.
func (p *procedural) raise() {
	for p.is("debug", "log", "info", "notice", "warning", "exception", "sqlstate") {
		p.i++
	}
	if p.i < len(p.toks) && name(p.toks[p.i]) != "" && !p.is("using") {
		p.i++ // the name of a condition
	}
	for p.i < len(p.toks) && !p.is(";") {
		switch {
		case p.is(","):
			p.i++
		case p.is("using"):
			p.i++
		default:
			if k := p.keyword(p.i + 1); (k == "=" || k == ":=") && name(p.toks[p.i]) != "" {
				p.i += 2
			}
			p.expression(",", ";", "using")
		}
	}
	p.need(";")
}

// open reads OPEN of a cursor.
func (p *procedural) open() {
	p.i++ // its name
	for p.is("no", "scroll") {
		p.i++
	}
	switch {
	case p.is("("):
		end := p.until(";")
		if end < 0 {
			p.broken()
			return
		}
		p.cursorArguments(p.i, end)
		p.i = end
	case p.skip("for"):
		if p.skip("execute") {
			p.dynamic(";")
			break
		}
		p.statement()
		return
	}
	p.need(";")
}
