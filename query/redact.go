package query

import (
	"strings"

	"github.com/multigres/multigres/go/common/parser"
)

// redacted stands for a literal that the record must not keep, withheld for a text.
const (
	redacted = "'•••'"
	withheld = "(text withheld: it may hold a password)"
)

// Redact is the statement's text without secrets: every literal of a statement
// that can carry a password or a connection string is taken out. A text that
// cannot be read word by word is withheld whole if it mentions one.
func Redact(st *Statement) string {
	if !mayCarrySecret(st) {
		return st.SQL
	}
	if st.Has(Unparsable) {
		return withheld // where the secret is cannot be told, and reading it may take long
	}
	tokens, ok := lex(st.SQL)
	if !ok {
		return withheld
	}
	var b strings.Builder
	last := 0
	for i, t := range tokens {
		if t.kind != parser.SCONST && t.kind != parser.USCONST {
			continue
		}
		end := len(st.SQL)
		if i+1 < len(tokens) {
			end = tokens[i+1].at
		}
		text := st.SQL[t.at:end]
		b.WriteString(st.SQL[last:t.at])
		b.WriteString(redacted)
		b.WriteString(text[len(strings.TrimRight(text, " \t\r\n")):])
		last = end
	}
	b.WriteString(st.SQL[last:])
	return b.String()
}

// mayCarrySecret goes by the statement's kind, and by words where the kind is not
// known. Erring here costs the record some literals, never a password.
func mayCarrySecret(st *Statement) bool {
	for _, tag := range []string{"CREATE ROLE", "ALTER ROLE", "CREATE USER", "ALTER USER", "CREATE GROUP", "ALTER GROUP",
		"CREATE SUBSCRIPTION", "ALTER SUBSCRIPTION", "CREATE USER MAPPING", "ALTER USER MAPPING", "CREATE SERVER", "ALTER SERVER"} {
		if strings.HasPrefix(st.Tag, tag) {
			return true
		}
	}
	if st.Inner != nil && mayCarrySecret(st.Inner) {
		return true
	}
	low := strings.ToLower(st.SQL)
	if st.Has(Unparsable) && namesAccount(low) {
		return true
	}
	return strings.Contains(low, "dblink") || strings.Contains(low, "password") && st.Kind != Select && st.Kind != Insert && st.Kind != Update && st.Kind != Delete
}

// namesAccount reports whether a text that cannot be parsed may have been meant to
// make or change an account: whoever mistypes PASSWORD still gives one.
func namesAccount(low string) bool {
	if !strings.Contains(low, "alter") && !strings.Contains(low, "create") {
		return false
	}
	for _, word := range []string{"role", "user", "group", "subscription", "server"} {
		if strings.Contains(low, word) {
			return true
		}
	}
	return false
}
