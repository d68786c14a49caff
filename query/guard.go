package query

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits on a message, each against one way to make the parser slow or deep.
const (
	// MaxSQL is the longest text that is parsed. A chain of ANDs of this size
	// takes about half a second; real statements are a thousand times shorter, but
	// for rows of constants (MaxBulk). At 8 MiB a chain takes six seconds and 1.3 GB,
	// and one of + ends the process, for want of stack.
	MaxSQL = 1 << 20
	// maxOperator is one more than the longest operator PostgreSQL accepts. The
	// lexer is quadratic in the length of a run of + and -.
	maxOperator = 64
	// maxContinued bounds literals continued on the next line, which the lexer
	// rebuilds from the start each time.
	maxContinued = 1000
	// maxCopied bounds how many bytes the lexer copies to look at: for each $ all that
	// follows it.
	maxCopied = 1 << 30
	// maxNesting bounds parentheses, brackets and comments, so that no walk can exhaust the stack.
	maxNesting = 1000
)

// Problems of texts that are refused unparsed; Statement.Problem begins with one of
// these, or says what the grammar stumbled over.
const (
	ProblemTooLong   = "statement is longer than 1 MiB"
	ProblemEncoding  = "statement is not valid UTF-8"
	ProblemOperator  = "operator of 64 or more characters"
	ProblemContinued = "string literal continued over too many lines"
	ProblemNesting   = "parentheses or comments nested too deeply"
	ProblemComplex   = "statement is too complex to analyse"
)

// refuse says why sql must not be given to the parser, or "".
func refuse(sql string) string {
	if len(sql) > MaxSQL {
		return fmt.Sprintf("%s: it has %d bytes", ProblemTooLong, len(sql))
	}
	if !utf8.ValidString(sql) || strings.IndexByte(sql, 0) >= 0 {
		return ProblemEncoding
	}
	p := prescan{s: sql}
	return p.run()
}

// prescan walks a text once, knowing quotes and comments, and stops at what
// would make the lexer or a walk of the tree expensive.
type prescan struct {
	s         string
	i         int
	depth     int
	continued int
	copied    int  // bytes that the lexer will copy
	closed    bool // a string literal has just ended, only white space since
}

func (p *prescan) run() string {
	for p.i < len(p.s) {
		c := p.s[p.i]
		switch {
		case isSpace(c):
			p.i++
			continue
		case p.at("--"):
			p.lineComment()
			continue
		case p.at("/*"):
			if problem := p.blockComment(); problem != "" {
				return problem
			}
			continue
		case c == '\'':
			if problem := p.literal(false); problem != "" {
				return problem
			}
			continue
		}
		p.closed = false
		switch {
		case c == '"':
			p.quoted('"', false)
		case c == '$':
			if problem := p.dollar(); problem != "" {
				return problem
			}
		case isIdentStart(c):
			if problem := p.word(); problem != "" {
				return problem
			}
		case c >= '0' && c <= '9':
			p.i++
		case c == '(' || c == '[':
			p.i++
			if p.depth++; p.depth > maxNesting {
				return ProblemNesting
			}
		case c == ')' || c == ']':
			p.i++
			if p.depth > 0 {
				p.depth--
			}
		case isOperator(c):
			if p.operator() >= maxOperator {
				return ProblemOperator
			}
		default:
			p.i++
		}
	}
	return ""
}

func (p *prescan) at(s string) bool { return strings.HasPrefix(p.s[p.i:], s) }

func (p *prescan) lineComment() {
	if n := strings.IndexAny(p.s[p.i:], "\r\n"); n >= 0 {
		p.i += n + 1
		return
	}
	p.i = len(p.s)
}

// blockComment passes a comment. The server reads one of n nested in n² steps, and
// cannot be interrupted meanwhile, so that they have the limit of parentheses.
func (p *prescan) blockComment() string {
	depth := 0
	for p.i < len(p.s) {
		switch {
		case p.at("/*"):
			if depth++; depth > maxNesting {
				return ProblemNesting
			}
			p.i += 2
		case p.at("*/"):
			p.i += 2
			if depth--; depth == 0 {
				return ""
			}
		default:
			p.i++
		}
	}
	return ""
}

// literal is at an opening quote. A literal that follows another with nothing
// but white space between them continues it.
func (p *prescan) literal(escapes bool) string {
	if p.closed {
		if p.continued++; p.continued > maxContinued {
			return ProblemContinued
		}
	}
	p.quoted('\'', escapes)
	p.closed = true
	return ""
}

func (p *prescan) quoted(quote byte, escapes bool) {
	for p.i++; p.i < len(p.s); p.i++ {
		switch {
		case escapes && p.s[p.i] == '\\':
			p.i++
		case p.s[p.i] != quote:
		case p.i+1 < len(p.s) && p.s[p.i+1] == quote:
			p.i++
		default:
			p.i++
			return
		}
	}
	p.i = len(p.s)
}

// word consumes an identifier or keyword, and the literal it prefixes as in E'…'.
func (p *prescan) word() string {
	start := p.i
	for p.i < len(p.s) && (isIdentStart(p.s[p.i]) || p.s[p.i] == '$' || p.s[p.i] >= '0' && p.s[p.i] <= '9') {
		p.i++
	}
	if p.i-start != 1 || p.i >= len(p.s) {
		return ""
	}
	switch c := p.s[start]; {
	case (c == 'u' || c == 'U') && p.at(`&"`):
		p.i++
		p.quoted('"', false)
	case (c == 'u' || c == 'U') && p.at("&'"):
		p.i++
		return p.literal(false)
	case (c == 'e' || c == 'E') && p.at("'"):
		return p.literal(true)
	}
	return ""
}

// dollar is at a $: a parameter, or the start of a dollar-quoted literal.
func (p *prescan) dollar() string {
	if p.i+1 == len(p.s) || p.s[p.i+1] < '0' || p.s[p.i+1] > '9' { // parameters are not looked behind
		if p.copied += len(p.s) - p.i; p.copied > maxCopied {
			return ProblemComplex
		}
	}
	end := p.i + 1
	for end < len(p.s) && (isIdentStart(p.s[end]) || end > p.i+1 && p.s[end] >= '0' && p.s[end] <= '9') {
		end++
	}
	if end >= len(p.s) || p.s[end] != '$' {
		p.i++
		return ""
	}
	tag := p.s[p.i : end+1]
	if n := strings.Index(p.s[end+1:], tag); n >= 0 {
		p.i = end + 1 + n + len(tag)
		return ""
	}
	p.i = len(p.s)
	return ""
}

func (p *prescan) operator() int {
	start := p.i
	for p.i < len(p.s) && isOperator(p.s[p.i]) {
		if p.i > start && (p.at("--") || p.at("/*")) {
			break
		}
		p.i++
	}
	return p.i - start
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func isIdentStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

func isOperator(c byte) bool { return strings.IndexByte("~!@#^&|`?+-*/%<>=", c) >= 0 }
