package query

import (
	"bytes"
	"math"
	"strings"
	"sync"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// A program that writes its constants into the text sends a new text each time.
// Two texts of one shape differ in constants only; what was found of one holds for
// the other if no constant had a part in it. Both halves of that are decided
// narrowly: shape reads only plain texts, and shared counts only constants in
// positions that nothing in this package reads the value of. A text that either
// half is unsure of is analysed whole.

// The marks that stand for constants in a shape. The grammar tells the three
// apart; control characters cannot come from the text.
const (
	wholeMark = '\x01'
	pointMark = '\x02'
	textMark  = '\x03'
)

// maxDigits keeps whole numbers within the grammar's integers, so that the same
// mark is always the same token.
const maxDigits = 9

// shaper writes the shape of a text.
type shaper struct {
	sql       string
	i         int
	out       []byte
	constants int
}

// shapers spare each statement a new buffer.
var shapers = sync.Pool{New: func() any { return &shaper{} }}

// shape is the shape of one plain statement, good until the next call, and the number
// of its constants. ok is false for a text with anything that makes its tokens hard to
// tell: comments, escapes, dollar quotes, control or non-ASCII characters, a second
// statement.
func (s *shaper) shape(sql string) (out []byte, constants int, ok bool) {
	*s = shaper{sql: sql, out: s.out[:0]}
	for s.i < len(sql) {
		if !s.token() {
			return s.out, 0, false
		}
	}
	s.sql = "" // which may be long, and is the caller's
	return s.out, s.constants, true
}

func (s *shaper) token() bool {
	c := s.sql[s.i]
	switch {
	case letter(c):
		end := s.i + 1
		for end < len(s.sql) && inName[s.sql[end]] {
			end++
		}
		s.out = append(s.out, s.sql[s.i:end]...)
		s.i = end
		// E'…', N'…', U&"…": what follows is no plain literal or name.
		return s.next() != '\'' && s.next() != '"' && s.next() != '&'
	case digit(c):
		return s.number()
	case c == '\'':
		return s.text()
	case c == '"':
		return s.quoted()
	case c == '$':
		s.keep()
		return s.digits() > 0 && !letter(s.next()) && s.next() != '$'
	case c == ';':
		return strings.Trim(s.sql[s.i:], "; \n\t\r") == "" && s.finish()
	case c == '-' && s.after() == '-', c == '/' && s.after() == '*', c == '.' && digit(s.after()):
		return false
	case c == ' ', c == '\n', c == '\t', c == '\r', c > ' ' && c < 0x7f && c != '\\':
		s.keep()
		return true
	}
	return false
}

func (s *shaper) keep() {
	s.out = append(s.out, s.sql[s.i])
	s.i++
}

// finish leaves out what ends the statement.
func (s *shaper) finish() bool {
	s.i = len(s.sql)
	return true
}

// next is the byte at hand, after the one behind it; 0 at the end.
func (s *shaper) next() byte { return s.at(s.i) }

func (s *shaper) after() byte { return s.at(s.i + 1) }

func (s *shaper) at(i int) byte {
	if i >= len(s.sql) {
		return 0
	}
	return s.sql[i]
}

func (s *shaper) digits() int {
	n := 0
	for digit(s.next()) {
		s.keep()
		n++
	}
	return n
}

func (s *shaper) number() bool {
	from, mark := len(s.out), byte(wholeMark)
	left := s.weighed()
	whole := s.digits()
	if whole > maxDigits {
		return false
	}
	if s.next() == '.' {
		s.keep()
		if n := s.digits(); n == 0 || n > maxDigits {
			return false
		}
		mark = pointMark
	}
	if !s.kept(left, whole) {
		s.mark(from, mark)
	}
	return !letter(s.next()) && s.next() != '.' && s.next() != '$'
}

// weighed is the arithmetic operator that ends what was written so far; 0 if none does. A
// sign is none.
func (s *shaper) weighed() byte {
	out := bytes.TrimRight(s.out, " \n\t\r")
	if len(out) == 0 {
		return 0
	}
	switch op := out[len(out)-1]; op {
	case '*', '/':
		return op
	case '+', '-':
		before := bytes.TrimRight(out[:len(out)-1], " \n\t\r")
		if len(before) > 0 && !bytes.ContainsAny(before[len(before)-1:], "(,=<>") {
			return op
		}
	}
	return 0
}

// kept reports whether a constant stays in the shape: how large a factor is, and whether
// what is added is large, says whether the result may be too large (num).
func (s *shaper) kept(left byte, digits int) bool {
	const small = 5 // digits of what is less than smallest
	right := byte(0)
	if rest := strings.TrimLeft(s.sql[s.i:], " \n\t\r"); rest != "" && strings.IndexByte("+-*/", rest[0]) >= 0 {
		right = rest[0]
	}
	switch {
	case left == '*' || left == '/' || right == '*' || right == '/':
		return true
	case left != 0 || right != 0:
		return digits > small
	}
	return false
}

// mark puts a mark in place of the constant written since from.
func (s *shaper) mark(from int, mark byte) {
	s.out = append(s.out[:from], mark)
	s.constants++
}

// text passes over a string literal. One that goes on after white space, or is of
// another kind than it looks, is not plain.
func (s *shaper) text() bool {
	from, left := s.i, s.weighed()
	for s.i++; ; s.i++ {
		c := s.next()
		switch {
		case c == '\'' && s.after() == '\'':
			s.i++
		case c == '\'':
			s.i++
			if left != 0 || s.kept(0, maxDigits) {
				s.out = append(s.out, s.sql[from:s.i]...)
			} else {
				s.mark(len(s.out), textMark)
			}
			return !strings.HasPrefix(strings.TrimLeft(s.sql[s.i:], " \n\t\r\f\v"), "'")
		case c < ' ' || c >= 0x7f || c == '\\':
			return false
		}
	}
}

func (s *shaper) quoted() bool {
	for s.keep(); s.next() != '"'; s.keep() {
		if c := s.next(); c < ' ' || c >= 0x7f {
			return false
		}
	}
	s.keep()
	return true
}

// inName are the bytes that go on a name.
var inName = func() (in [256]bool) {
	for c := range in {
		in[c] = letter(byte(c)) || digit(byte(c)) || c == '$'
	}
	return in
}()

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' }

func digit(c byte) bool { return c >= '0' && c <= '9' }

// idle counts the constants of a statement whose values no part of an analysis
// reads: compared with a column where that must hold for a row to be meant, listed
// as values, assigned, and limits. Whoever makes the analysis look at one of these
// takes the position out here; of values that are listed, bulk relies on it too.
func idle(n ast.Node) int {
	switch n := n.(type) {
	case *ast.SelectStmt:
		if n.Op != ast.SETOP_NONE {
			return 0
		}
		count := conjuncts(n.WhereClause) + literals(n.LimitCount, n.LimitOffset)
		for _, row := range items(n.ValuesLists) {
			if list, ok := row.(*ast.NodeList); ok {
				count += literals(items(list)...)
			}
		}
		return count
	case *ast.InsertStmt:
		if values, ok := n.SelectStmt.(*ast.SelectStmt); ok && len(items(values.ValuesLists)) > 0 {
			return idle(values)
		}
	case *ast.UpdateStmt:
		count := conjuncts(n.WhereClause)
		for _, t := range items(n.TargetList) {
			if target, ok := t.(*ast.ResTarget); ok {
				count += operands(target.Val, "", 0)
			}
		}
		return count
	case *ast.DeleteStmt:
		return conjuncts(n.WhereClause)
	}
	return 0
}

// conjuncts counts in the comparisons that all must hold.
func conjuncts(n ast.Node) int {
	switch n := bare(n).(type) {
	case *ast.BoolExpr:
		if n.Boolop != ast.AND_EXPR {
			return 0
		}
		count := 0
		for _, x := range items(n.Args) {
			count += conjuncts(x)
		}
		return count
	case *ast.A_Expr:
		return compared(n)
	}
	return 0
}

// compared counts the constants that a column is compared with.
func compared(n *ast.A_Expr) int {
	l, r := bare(n.Lexpr), bare(n.Rexpr)
	if lastField(l) == "ctid" || lastField(r) == "ctid" {
		return 0 // see firstPlace
	}
	_, left := l.(*ast.ColumnRef)
	_, right := r.(*ast.ColumnRef)
	switch n.Kind {
	case ast.AEXPR_OP:
		switch op := strings.Join(names(n.Name), "."); {
		case op != "=" && op != "<>" && op != "!=" && op != "<" && op != ">" && op != "<=" && op != ">=":
		case left:
			return literals(r)
		case right:
			return literals(l)
		}
	case ast.AEXPR_IN, ast.AEXPR_BETWEEN:
		if list, ok := r.(*ast.NodeList); ok && left {
			return literals(items(list)...)
		}
	}
	return 0
}

// operands counts in an assigned value, a constant or a sum of few parts. Of the rest how
// large they are says what may fail: the shape has them as they are.
func operands(n ast.Node, op string, depth int) int {
	const deepest = 4
	e, ok := bare(n).(*ast.A_Expr)
	if !ok {
		if op != "" && (bare(n) != n || !light(n, op)) {
			return 0
		}
		return literals(n)
	}
	if e.Kind != ast.AEXPR_OP || depth == deepest {
		return 0
	}
	switch op = strings.Join(names(e.Name), "."); op {
	case "+", "-", "||":
		return operands(e.Lexpr, op, depth+1) + operands(e.Rexpr, op, depth+1)
	}
	return 0
}

// light reports whether a constant is certainly none that the shape keeps.
func light(n ast.Node, op string) bool {
	const most = 99_999
	c, ok := n.(*ast.A_Const)
	if !ok {
		return false
	}
	switch v := c.Val.(type) {
	case *ast.Integer:
		return v.IVal >= -most && v.IVal <= most
	case *ast.Float:
		return math.Abs(magnitude(v.FVal)) <= most
	}
	return op == "||"
}

func literals(list ...ast.Node) int {
	count := 0
	for _, n := range list {
		c, ok := bare(n).(*ast.A_Const)
		if !ok || c == nil || c.Isnull {
			continue
		}
		switch c.Val.(type) {
		case *ast.Integer, *ast.Float, *ast.String:
			count++
		}
	}
	return count
}
