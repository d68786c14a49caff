package mask

import (
	"slices"
	"strings"
)

// sayings are messages of the server about the text of a statement. What they quote, at
// each %, is a piece of that text.
var sayings = split(`
COPY from stdin failed: %
relation "%" does not exist
column "%" does not exist
column % does not exist
column "%" of relation "%" does not exist
column reference "%" is ambiguous
column "%" specified more than once
column "%" must appear in the GROUP BY clause or be used in an aggregate function
missing FROM-clause entry for table "%"
invalid reference to FROM-clause entry for table "%"
table name "%" specified more than once
relation "%" already exists
schema "%" does not exist
type "%" does not exist
role "%" does not exist
database "%" does not exist
constraint "%" of relation "%" does not exist
index "%" does not exist
sequence "%" does not exist
view "%" does not exist
prepared statement "%" does not exist
prepared statement "%" already exists
cursor "%" does not exist
cursor "%" already exists
savepoint "%" does not exist
syntax error at or near "%"
syntax error at end of input
unterminated quoted string at or near "%"
function %(%) does not exist
function %(%) is not unique
aggregate functions are not allowed in %
subquery must return only one column
each UNION query must have the same number of columns
INSERT has more expressions than target columns
INSERT has more target columns than expressions
operator does not exist: % % %
`)

func split(s string) (out [][]string) {
	for _, line := range strings.Split(strings.TrimSpace(s), "\n") {
		out = append(out, strings.Split(line, "%"))
	}
	return out
}

// maxSaid bounds a message that is compared.
const maxSaid = 1000

// maxNames are the parts that a name has: of more, letters could be put together.
const maxNames = 4

// said reports whether a message holds nothing but words of the server and pieces of
// what the client sent, or names of types.
func said(message string, texts []string) bool {
	if len(message) > maxSaid {
		return false
	}
	for _, parts := range sayings {
		if quotes(message, parts, texts) {
			return true
		}
	}
	return false
}

// quotes reports whether message is parts, with pieces of texts between them.
func quotes(message string, parts, texts []string) bool {
	rest, ok := strings.CutPrefix(message, parts[0])
	if !ok {
		return false
	}
	for i, part := range parts[1:] {
		end := strings.Index(rest, part)
		if i == len(parts)-2 { // the last one must be the end
			if !strings.HasSuffix(rest, part) {
				return false
			}
			end = len(rest) - len(part)
		}
		if end < 0 || !stands(rest[:end], texts) {
			return false
		}
		rest = rest[end+len(part):]
	}
	return rest == ""
}

// stands reports whether each word of a piece is in one of the texts, or a type's name.
// The server folds names to lower case, and puts a type where a value is.
func stands(piece string, texts []string) bool {
	for _, word := range strings.Split(piece, ", ") {
		if _, isType := typeOIDs[word]; isType || word == "unknown" || word == "" {
			continue
		}
		names := strings.Split(word, ".") // the server puts a column's table before it
		if len(names) > maxNames {
			return false
		}
		for _, name := range names {
			if !slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(t, name) || strings.Contains(strings.ToLower(t), name) }) {
				return false
			}
		}
	}
	return true
}
