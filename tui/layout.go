package tui

import "strings"

// A statement that was sent on one long line is laid out over several. Only spaces
// outside of strings, names and comments become line ends: the words stay, and their
// order.

// clauses are the words that begin a line.
const clauses = ` FROM WHERE SET VALUES GROUP HAVING ORDER LIMIT OFFSET UNION EXCEPT INTERSECT RETURNING
 JOIN LEFT RIGHT FULL INNER CROSS ON USING WHEN SELECT INSERT UPDATE DELETE MERGE ADD DROP ALTER `

// inner are those that begin a line a step further in.
const inner = ` AND OR ON `

// layOut breaks a statement without line ends into lines, if it is longer than one.
func layOut(cells []cell, width int) []cell {
	if len(cells) <= width {
		return cells
	}
	for _, c := range cells {
		if c.r == '\n' {
			return cells // whoever wrote it has laid it out
		}
	}
	out := make([]cell, 0, len(cells)+64)
	depth := 0
	for i := 0; i < len(cells); i++ {
		c := cells[i]
		switch {
		case c.c != plain && c.c != keyword:
		case c.r == '(':
			depth++
		case c.r == ')':
			depth = max(0, depth-1)
		case c.r == ' ' && c.c == plain:
			word := strings.ToUpper(wordAt(cells, i+1))
			if word == "" || !strings.Contains(clauses+inner, " "+word+" ") || within(out, word) {
				break
			}
			out = append(out, cell{'\n', plain})
			indent := depth
			if strings.Contains(inner, " "+word+" ") {
				indent++
			}
			for range min(indent, 8) * 2 {
				out = append(out, cell{' ', plain})
			}
			continue
		}
		out = append(out, c)
	}
	return out
}

// within reports whether the word goes on what stands before it: "LEFT JOIN", "DELETE
// FROM", "BETWEEN 1 AND 2", "GROUP BY … ORDER BY" in a window.
func within(out []cell, word string) bool {
	before := strings.ToUpper(lastWord(out))
	switch word {
	case "FROM":
		return before == "DELETE" || before == "DISTINCT"
	case "JOIN":
		return before == "LEFT" || before == "RIGHT" || before == "FULL" || before == "INNER" || before == "CROSS" || before == "OUTER"
	case "AND":
		return between(out)
	case "UPDATE", "DELETE":
		return before == "ON" || before == "DO" || before == "FOR"
	case "SET", "SELECT", "VALUES":
		return before == "UPDATE" && word == "SET"
	}
	return len(out) == 0
}

// between reports whether an AND belongs to a BETWEEN on the same line.
func between(out []cell) bool {
	start := len(out)
	for start > 0 && out[start-1].r != '\n' {
		start--
	}
	text := strings.ToUpper(plainText(out[start:]))
	at := strings.LastIndex(text, " BETWEEN ")
	return at >= 0 && !strings.Contains(text[at:], " AND ")
}

func wordAt(cells []cell, i int) string {
	var b strings.Builder
	for ; i < len(cells) && cells[i].c == keyword; i++ {
		b.WriteRune(cells[i].r)
	}
	return b.String()
}

func lastWord(cells []cell) string {
	end := len(cells)
	for end > 0 && cells[end-1].r == ' ' {
		end--
	}
	start := end
	for start > 0 && (cells[start-1].c == keyword || inName(cells[start-1].r)) {
		start--
	}
	return plainText(cells[start:end])
}
