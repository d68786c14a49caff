package query

import "github.com/multigres/multigres/go/common/parser"

// Constants are the strings that a text quotes, as the server reads them. Of a text
// that cannot be read they are those up to there.
func Constants(sql string) (list []string) {
	l := parser.NewLexer(sql)
	for {
		t := l.NextToken()
		if t == nil || t.Type == parser.EOF || l.HasErrors() {
			return list
		}
		if t.Type == parser.SCONST {
			list = append(list, t.Value.Str)
		}
	}
}
