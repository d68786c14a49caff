package tui

import (
	"strings"
	"unicode"

	"github.com/charmbracelet/lipgloss"
	"github.com/mattn/go-runewidth"
)

// class is how a character of a statement is coloured.
type class uint8

const (
	plain class = iota
	keyword
	literal
	comment
	strange // stands in for something that cannot be shown
	warning // of no statement: what to look at
	faded   // of no statement: what matters less
	classes
)

// keywords are those worth seeing at a glance. Colour is a help to the eye only;
// nothing is decided by it.
const keywords = ` ADD ALL ALTER ANALYZE AND AS BEGIN BETWEEN BY CASCADE CASE COLUMN COMMIT CONFLICT
 COPY CREATE CROSS DATABASE DEFAULT DELETE DESC DISTINCT DO DROP ELSE END EXECUTE EXISTS EXPLAIN FALSE
 FROM FULL FUNCTION GRANT GROUP HAVING IF ILIKE IN INDEX INNER INSERT INTO IS JOIN LATERAL LEFT LIKE
 LIMIT MATERIALIZED MERGE NOT NOTHING NULL OFFSET ON OR ORDER OUTER OWNED PREPARE PRIMARY PROGRAM
 RECURSIVE REINDEX RENAME RETURNING REVOKE RIGHT ROLE ROLLBACK SCHEMA SELECT SET TABLE THEN TO TRUE
 TRUNCATE UNION UNIQUE UPDATE USING VACUUM VALUES VIEW WHEN WHERE WITH `

var isKeyword = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(keywords) {
		m[w] = true
	}
	return m
}()

// cell is one character and its class.
type cell struct {
	r rune
	c class
}

// classify colours cleaned text.
func classify(text string) []cell {
	rs := []rune(text)
	cells := make([]cell, len(rs))
	for i := 0; i < len(rs); {
		end, c := token(rs, i)
		for ; i < end; i++ {
			cells[i] = cell{rs[i], c}
			if rs[i] == unshown || (rs[i] >= pictures && rs[i] <= deleted) {
				cells[i].c = strange
			}
		}
	}
	return cells
}

// token finds the end and class of what begins at i.
func token(rs []rune, i int) (end int, c class) {
	at := func(j int) rune {
		if j < len(rs) {
			return rs[j]
		}
		return 0
	}
	switch r := rs[i]; {
	case r == '\'':
		return until(rs, i+1, "'"), literal
	case (r == 'e' || r == 'E') && at(i+1) == '\'':
		return escaped(rs, i+2), literal
	case r == '"':
		return until(rs, i+1, `"`), plain
	case r == '-' && at(i+1) == '-':
		return until(rs, i+2, "\n"), comment
	case r == '/' && at(i+1) == '*':
		return nested(rs, i+2), comment
	case unicode.IsDigit(r):
		for end = i; unicode.IsDigit(at(end)) || at(end) == '.'; end++ {
		}
		return end, literal
	case r == '$' && unicode.IsDigit(at(i+1)):
		for end = i + 1; unicode.IsDigit(at(end)); end++ {
		}
		return end, literal
	case r == '$':
		for end = i + 1; inName(at(end)) && at(end) != '$'; end++ {
		}
		if at(end) == '$' {
			return until(rs, end+1, string(rs[i:end+1])), plain
		}
	case inName(r):
		for end = i; inName(at(end)); end++ {
		}
		if isKeyword[strings.ToUpper(string(rs[i:end]))] {
			return end, keyword
		}
		return end, plain
	}
	return i + 1, plain
}

func inName(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r == '$'
}

// escaped is the end of a string in which a backslash protects the next character.
func escaped(rs []rune, i int) int {
	for ; i < len(rs); i++ {
		switch rs[i] {
		case '\\':
			i++
		case '\'':
			return i + 1
		}
	}
	return len(rs)
}

// nested is the end of a comment; PostgreSQL's can hold others.
func nested(rs []rune, i int) int {
	depth := 1
	for ; i+1 < len(rs); i++ {
		switch {
		case rs[i] == '/' && rs[i+1] == '*':
			depth++
			i++
		case rs[i] == '*' && rs[i+1] == '/':
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}
	return len(rs)
}

// until is the place after the next occurrence of stop, or the end.
func until(rs []rune, i int, stop string) int {
	want := []rune(stop)
	for ; i+len(want) <= len(rs); i++ {
		if string(rs[i:i+len(want)]) == stop {
			return i + len(want)
		}
	}
	return len(rs)
}

// wrapCells breaks cells into lines of at most width columns, at spaces where that
// does not waste more than half a line.
func wrapCells(cells []cell, width int) [][]cell {
	width = max(width, 1)
	var lines [][]cell
	start, space, used := 0, -1, 0
	for i := 0; i < len(cells); i++ {
		if cells[i].r == '\n' {
			lines = append(lines, cells[start:i])
			start, space, used = i+1, -1, 0
			continue
		}
		w := runewidth.RuneWidth(cells[i].r)
		if used+w > width {
			cutAt := i
			if space > start+width/2 {
				cutAt = space + 1
			}
			lines = append(lines, cells[start:cutAt])
			start, space, used = cutAt, -1, 0
			for _, c := range cells[start:i] {
				used += runewidth.RuneWidth(c.r)
			}
		}
		if cells[i].r == ' ' {
			space = i
		}
		used += w
	}
	return append(lines, cells[start:])
}

// paint draws one line of cells.
func paint(cells []cell, styles *[classes]lipgloss.Style) string {
	var b strings.Builder
	for i := 0; i < len(cells); {
		j := i
		var run strings.Builder
		for ; j < len(cells) && cells[j].c == cells[i].c; j++ {
			run.WriteRune(cells[j].r)
		}
		b.WriteString(styles[cells[i].c].Render(run.String()))
		i = j
	}
	return b.String()
}
