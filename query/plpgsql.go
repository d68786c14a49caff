package query

import (
	"fmt"
	"strings"

	"github.com/multigres/multigres/go/common/parser"
)

// procedural walks a body in PL/pgSQL: it finds the SQL in it, and hands on every
// statement and expression as the server would run it. It follows no control flow:
// what may run counts. What it cannot place makes the whole body unknown.
type procedural struct {
	*body
	text  string
	toks  []token
	i     int
	depth int
}

// maxBlocks bounds how deep blocks are nested.
const maxBlocks = 200

// variables of every PL/pgSQL body, those of triggers included.
var builtinVariables = strings.Fields(`found new old sqlstate sqlerrm tg_name tg_when tg_level tg_op tg_relid tg_relname
	tg_table_name tg_table_schema tg_nargs tg_argv tg_event tg_tag`)

func (b *body) procedural() {
	if refuse(b.r.Body) != "" {
		b.fail("is too long or too deep")
		return
	}
	toks, ok := lex(b.r.Body)
	if !ok {
		b.fail("is not understood")
		return
	}
	for _, v := range builtinVariables {
		b.vars[v] = true
	}
	p := &procedural{body: b, text: b.r.Body, toks: toks}
	p.declared()
	for p.is("#") { // #variable_conflict and its like: names are read as both anyway
		p.i += 3
	}
	p.block()
	p.skip(";")
	if p.i < len(p.toks) {
		p.fail("is not understood")
	}
}

// name is the identifier a token is, if it may be one.
func name(t token) string {
	if len(t.word) > 1 && t.word[0] == '"' {
		return t.word[1 : len(t.word)-1]
	}
	if t.word != "" && (t.word[0] == '_' || t.word[0] >= 'a' && t.word[0] <= 'z') {
		return t.word
	}
	return ""
}

// keyword is the word a token would be in PL/pgSQL, most of whose keywords are
// plain identifiers in SQL. A quoted identifier is never one.
func (p *procedural) keyword(i int) string {
	if i < 0 || i >= len(p.toks) {
		return ""
	}
	t := p.toks[i]
	if t.kind == parser.UIDENT || p.text[t.at] == '"' {
		return ""
	}
	if n := name(t); n != "" {
		return n
	}
	if t.word == "?" {
		return ""
	}
	return t.word
}

func (p *procedural) is(words ...string) bool {
	k := p.keyword(p.i)
	for _, w := range words {
		if k == w {
			return k != ""
		}
	}
	return false
}

// skip passes a word that may be there.
func (p *procedural) skip(word string) bool {
	if p.is(word) {
		p.i++
		return true
	}
	return false
}

// need passes a word that must be there.
func (p *procedural) need(words ...string) {
	for _, w := range words {
		if !p.skip(w) {
			p.broken()
			return
		}
	}
}

// line is that of token i, counted as the server does in its messages.
func (p *procedural) line(i int) int {
	end := len(p.text)
	if i < len(p.toks) {
		end = p.toks[i].at
	}
	return 1 + strings.Count(p.text[:end], "\n")
}

// broken ends the walk.
func (p *procedural) broken() {
	p.fail(fmt.Sprintf("is not understood at line %d", p.line(p.i)))
	p.i = len(p.toks)
}

// declared finds the names of all variables beforehand: those of a block are known
// in all of the body here, which only reads more names as both.
func (p *procedural) declared() {
	for i, t := range p.toks {
		n := name(t)
		if n == "" {
			continue
		}
		switch prev := p.keyword(i - 1); {
		case prev == ";" || prev == "declare" || prev == "for" || prev == "foreach" || prev == "<<":
			p.vars[n] = true
		case prev == "(" || prev == ",": // arguments of a cursor
			if p.cursorArgument(i) {
				p.vars[n] = true
			}
		}
	}
}

// cursorArgument reports whether token i is in the list right after CURSOR.
func (p *procedural) cursorArgument(i int) bool {
	depth := 0
	for i--; i >= 0; i-- {
		switch p.keyword(i) {
		case ")":
			depth++
		case "(":
			if depth == 0 {
				return p.keyword(i-1) == "cursor"
			}
			depth--
		case ";":
			return false
		}
	}
	return false
}

// until finds the first of the words outside parentheses, from where it stands.
func (p *procedural) until(words ...string) int {
	depth := 0
	for i := p.i; i < len(p.toks); i++ {
		k := p.keyword(i)
		if depth == 0 {
			for _, w := range words {
				if k == w {
					return i
				}
			}
		}
		switch k {
		case "(", "[":
			depth++
		case ")", "]":
			depth--
		case ";":
			if depth <= 0 {
				return -1
			}
		}
	}
	return -1
}

// span is the text of tokens from up to to.
func (p *procedural) span(from, to int) string {
	if from >= to || from >= len(p.toks) {
		return ""
	}
	end := len(p.text)
	if to < len(p.toks) {
		end = p.toks[to].at
	}
	return p.text[p.toks[from].at:end]
}

// expression reads one up to the first of the words, as the server does: SELECT
// before it makes it a query. It stands on the word afterwards.
func (p *procedural) expression(words ...string) {
	end := p.until(words...)
	if end < 0 {
		p.broken()
		return
	}
	p.sql("SELECT " + p.span(p.i, end))
	p.i = end
}

// sql reads SQL in which variables are known.
func (p *procedural) sql(s string) { p.body.text(s) }

// label passes <<name>>.
func (p *procedural) label() {
	if p.is("<<") {
		p.i += 2
		p.need(">>")
	}
}

// block reads DECLARE … BEGIN … EXCEPTION … END.
func (p *procedural) block() {
	if p.depth++; p.depth > maxBlocks {
		p.broken()
		return
	}
	defer func() { p.depth-- }()
	p.label()
	if p.skip("declare") {
		for p.i < len(p.toks) && !p.is("begin") {
			if p.skip("declare") {
				continue
			}
			p.declaration()
		}
	}
	p.need("begin")
	p.statements()
	if p.skip("exception") {
		for p.skip("when") {
			end := p.until("then")
			if end < 0 {
				p.broken()
				return
			}
			p.i = end + 1
			p.statements()
		}
	}
	p.need("end")
	if !p.is(";") && p.i < len(p.toks) {
		p.i++ // its label
	}
}

func (p *procedural) declaration() {
	p.i++ // its name
	if p.is("cursor", "no", "scroll") {
		for p.is("no", "scroll", "cursor") {
			p.i++
		}
		at := p.until("for", "is")
		if at < 0 {
			p.broken()
			return
		}
		p.i = at + 1
		p.statement()
		return
	}
	p.declares()
	if end := p.until("default", ":=", "="); end >= 0 {
		p.i = end + 1
		p.expression(";")
	} else if end := p.until(";"); end >= 0 {
		p.i = end
	}
	p.need(";")
}

// declares reads the type of a variable, whose values may have to pass checks. That of
// a column or a row counts as the whole row.
func (p *procedural) declares() {
	from := p.i
	if p.keyword(from) == "constant" {
		from++
	}
	if k := p.keyword(from); k == "alias" || serverTypes[k] && p.keyword(from+1) != "." {
		return
	}
	end, rows := -1, -1
	for i := from; i < len(p.toks) && end < 0; i++ {
		switch p.keyword(i) {
		case "%":
			rows = i
		case "not", "default", "collate", ":=", "=", ";":
			end = i
		}
	}
	switch {
	case end < 0:
		return
	case rows >= 0 && p.keyword(rows+1) == "type":
		rows -= 2 // the column, and the dot before it
	}
	if rows > from {
		end = rows
	}
	if rows < 0 || rows > from {
		p.sql("SELECT NULL::" + p.span(from, end))
	}
}

// serverTypes are types of which no user's function makes a value unless a user's type
// is named too.
var serverTypes = wordSet(`int integer int4 bigint int8 smallint int2 numeric decimal real float float4 float8 double boolean bool text char character
	varchar bit date time timestamp timestamptz interval uuid json jsonb bytea record refcursor oid regclass name xml inet`)

// statements reads a list up to what ends it.
func (p *procedural) statements() {
	for p.i < len(p.toks) && !p.is("end", "exception", "elsif", "elseif", "else", "when") {
		before := p.i
		p.step()
		if p.i == before {
			p.broken()
		}
	}
}
