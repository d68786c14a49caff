package lineage

import (
	"regexp"
	"strings"
)

// tokens are the words of a statement: names with or without quotes, strings in whatever
// quotes as '…', numbers and signs; comments are left out.
func tokens(sql string) (out []string) {
	for i := 0; i < len(sql); {
		c := sql[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v':
			i++
		case strings.HasPrefix(sql[i:], "--"):
			i = after(sql, i, "\n")
		case strings.HasPrefix(sql[i:], "/*"):
			i = afterComment(sql, i)
		case c == '\'':
			escapes := false // E'…'
			if n := len(out); n > 0 && out[n-1] == "e" && (sql[i-1] == 'e' || sql[i-1] == 'E') {
				escapes, out = true, out[:n-1]
			}
			end := afterQuoted(sql, i, escapes)
			out = append(out, sql[i:end])
			i = end
		case c == '"':
			end := afterQuoted(sql, i, false)
			out = append(out, sql[i:end])
			i = end
		case c == '$' && dollar.MatchString(sql[i:]):
			mark := dollar.FindString(sql[i:])
			end := after(sql, i+len(mark), mark)
			out = append(out, "'"+strings.TrimSuffix(sql[i+len(mark):end], mark)+"'")
			i = end
		case wordByte(c):
			end := i
			for end < len(sql) && wordByte(sql[end]) {
				end++
			}
			out = append(out, strings.ToLower(sql[i:end]))
			i = end
		default:
			out = append(out, sql[i:i+1])
			i++
		}
	}
	return out
}

// dollar begins a string in dollar quotes.
var dollar = regexp.MustCompile(`^\$([A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$`)

// after is the place behind the next end from a place on; where the text ends if there is
// none.
func after(sql string, from int, end string) int {
	if i := strings.Index(sql[min(from, len(sql)):], end); i >= 0 {
		return from + i + len(end)
	}
	return len(sql)
}

// afterComment is the place behind a comment, which may have others in it.
func afterComment(sql string, i int) int {
	depth := 0
	for i < len(sql) {
		switch {
		case strings.HasPrefix(sql[i:], "/*"):
			depth++
			i += 2
		case strings.HasPrefix(sql[i:], "*/"):
			depth--
			i += 2
			if depth == 0 {
				return i
			}
		default:
			i++
		}
	}
	return i
}

// afterQuoted is the place behind what stands in quotes, which are doubled inside, or
// behind a backslash if that escapes.
func afterQuoted(sql string, i int, escapes bool) int {
	quote := sql[i]
	for i++; i < len(sql); i++ {
		switch {
		case escapes && sql[i] == '\\':
			i++
		case sql[i] == quote && i+1 < len(sql) && sql[i+1] == quote:
			i++
		case sql[i] == quote:
			return i + 1
		}
	}
	return len(sql)
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// unquoted is a name without its quotes.
func unquoted(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return strings.ReplaceAll(s[1:len(s)-1], `""`, `"`)
	}
	return s
}

// renamedColumn reads ALTER TABLE … RENAME [COLUMN] from TO to.
func renamedColumn(sql string) (from, to string, ok bool) {
	words := tokens(sql)
	for i, w := range words {
		if w != "rename" {
			continue
		}
		rest := words[i+1:]
		if len(rest) > 3 && rest[0] == "column" {
			rest = rest[1:]
		}
		if len(rest) >= 3 && rest[1] == "to" {
			return unquoted(rest[0]), unquoted(rest[2]), true
		}
	}
	return "", "", false
}

// fileName is the file or program of COPY; "a file on the server" if none is found.
func fileName(sql string) string {
	words := tokens(sql)
	for i, w := range words {
		if w != "from" && w != "to" || i+1 >= len(words) {
			continue
		}
		next := words[i+1]
		if next == "program" && i+2 < len(words) && words[i+2][0] == '\'' {
			return "program " + text(words[i+2])
		}
		if next[0] == '\'' {
			return text(next)
		}
	}
	return "a file on the server"
}

func text(s string) string {
	if len(s) >= 2 && s[len(s)-1] == '\'' {
		s = s[1 : len(s)-1]
	}
	return strings.ReplaceAll(s, "''", "'")
}
