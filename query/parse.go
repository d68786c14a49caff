package query

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/multigres/multigres/go/common/parser"
	"github.com/multigres/multigres/go/common/parser/ast"
)

// parsed is one statement of a message: its tree and the text it came from.
type parsed struct {
	sql         string
	fingerprint string
	node        ast.Node
}

// parse reads a whole message. The problem is "" unless the text is refused,
// unguarded or unparsed; it never panics, whatever the grammar's code does.
func parse(sql string) (list []parsed, problem string) {
	if problem := refuse(sql); problem != "" {
		return nil, problem
	}
	defer func() {
		if v := recover(); v != nil {
			list, problem = nil, "statement not understood"
		}
	}()
	part, problem := untilFault(sql)
	if problem != "" {
		return nil, problem
	}
	nodes, err := parser.ParseSQL(part)
	if err == nil && len(part) < len(sql) {
		return nil, "statement not understood"
	}
	if err != nil {
		return nil, stumbled(sql, err)
	}
	pieces := cut(sql)
	if len(pieces) != len(nodes) {
		// What a statement is shown, recorded and approved as must be its own text.
		return nil, "statement not understood: its parts cannot be told apart"
	}
	for i, n := range nodes {
		if n == nil {
			return nil, "statement not understood"
		}
		list = append(list, parsed{pieces[i].text, pieces[i].fingerprint, n})
	}
	return list, ""
}

// place is where the grammar's own message says it stopped reading.
var place = regexp.MustCompile(`at position (\d+)`)

// stumbled says which part of a text the grammar refuses. Constants are not quoted:
// one of them may be a password.
func stumbled(sql string, err error) string {
	tokens, whole := lex(sql)
	at, what := len(sql), ""
	if m := place.FindStringSubmatch(err.Error()); m != nil {
		n, _ := strconv.Atoi(m[1])
		at = n - 1 // the word before it is the one
	} else {
		// A token that does not end, or is none: the lexer says which.
		why, _, _ := strings.Cut(firstLine(err.Error()), `"`)
		what = "cannot be parsed: " + strings.TrimSuffix(why, " at or near ")
	}
	near := -1
	for i, t := range tokens {
		if t.at <= at {
			near = i
		}
	}
	switch {
	case near < 0:
		what = cmp.Or(what, "cannot be parsed")
	case what == "":
		what = fmt.Sprintf("cannot be parsed near %s at position %d", shownToken(tokens[near]), utf8.RuneCountInString(sql[:tokens[near].at])+1)
	default:
		what += fmt.Sprintf(", near %s at position %d", shownToken(tokens[near]), utf8.RuneCountInString(sql[:tokens[near].at])+1)
	}
	pieces, which := cut(sql), 0
	for i, p := range pieces {
		if p.at <= at {
			which = i + 1
		}
	}
	switch {
	case which > 1 && !whole:
		return fmt.Sprintf("statement %d %s", which, what) // how many follow was not read
	case which > 0 && len(pieces) > 1:
		return fmt.Sprintf("statement %d of %d %s", which, len(pieces), what)
	}
	return "it " + what
}

// shownToken is a token for people.
func shownToken(t token) string {
	if t.word == "?" {
		return "a constant"
	}
	return strconv.Quote(firstLine(strings.Trim(t.word, `"`)))
}

// parseQuery reads text that must be exactly one query, as a view's definition is.
func parseQuery(sql string) (ast.Node, error) {
	list, problem := parse(sql)
	if problem != "" {
		return nil, fmt.Errorf("parse query: %s", problem)
	}
	if len(list) != 1 {
		return nil, fmt.Errorf("parse query: %d statements where one is expected", len(list))
	}
	return list[0].node, nil
}

// piece is the text of one statement of a message.
type piece struct {
	text, fingerprint string
	at                int // where its first token is
}

// cut splits a message at the semicolons between statements. Those inside
// parentheses (CREATE RULE) and BEGIN ATOMIC bodies belong to a statement.
func cut(sql string) []piece {
	var pieces []piece
	var open []token
	depth, atomic := 0, 0
	flush := func(end int) {
		if len(open) > 0 {
			pieces = append(pieces, piece{strings.TrimSpace(sql[open[0].at:end]), digest(open), open[0].at})
		}
		open = nil
	}
	tokens, _ := lex(sql)
	for _, t := range tokens {
		switch {
		case t.kind == '(':
			depth++
		case t.kind == ')':
			depth--
		case t.kind == parser.ATOMIC && len(open) > 0 && open[len(open)-1].kind == parser.BEGIN_P:
			atomic = 1
		case t.kind == parser.CASE && atomic > 0:
			atomic++
		case t.kind == parser.END_P && atomic > 0:
			atomic--
		case t.kind == ';' && depth <= 0 && atomic == 0:
			flush(t.at)
			depth = 0
			continue
		}
		open = append(open, t)
	}
	flush(len(sql))
	return pieces
}

// token is one token of the grammar: where it begins, and the word that stands
// for it in a fingerprint.
type token struct {
	kind int
	at   int
	word string
}

// lex reads all tokens of a text that refuse let pass. ok is false if the text
// holds something that is no token: reading on past it would cost the lexer a walk from
// the beginning of the text for each such thing.
func lex(sql string) (tokens []token, ok bool) {
	l := parser.NewLexer(sql)
	// Every token takes at least one byte, so the loop ends even if the lexer does not.
	for range len(sql) + 1 {
		t := l.NextToken()
		switch {
		case t == nil || t.Type == parser.EOF:
			return tokens, !l.HasErrors()
		case t.Type == parser.INVALID:
			return tokens, false
		}
		tokens = append(tokens, token{t.Type, t.Position, word(t)})
		if l.HasErrors() {
			return tokens, false
		}
	}
	return tokens, false
}

// word is the normal form of a token: ? for a constant, quotes around every
// name, so that neither can be taken for a keyword.
func word(t *parser.Token) string {
	switch t.Type {
	case parser.SCONST, parser.USCONST, parser.ICONST, parser.FCONST, parser.BCONST, parser.XCONST, parser.PARAM:
		return "?"
	case parser.IDENT, parser.UIDENT:
		return `"` + t.Value.Str + `"`
	}
	if t.Value.Keyword != "" {
		return strings.ToLower(t.Value.Keyword)
	}
	if t.Value.Str != "" {
		return t.Value.Str
	}
	return t.Text
}

func firstLine(s string) string {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		s = s[:i]
	}
	// The grammar's messages quote the text; a message for people stays short.
	const longest = 60
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "…"
	}
	return s
}
