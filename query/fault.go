package query

import "github.com/multigres/multigres/go/common/parser"

// Every fault that the grammar's code notes in a text costs it a walk from the text's
// beginning, to say in which line it is; and it goes on after many a fault. A
// megabyte that holds nothing else would take minutes.
const (
	// shortText may hold faults only, and still be answered at once.
	shortText = 16 << 10
	// maxFaulty bounds what the grammar may take for a fault and pass over.
	maxFaulty = 1000
)

// untilFault is the part of a long text that is worth parsing: it ends with the first
// token that is none. The problem is not "" if the text holds more of what the grammar
// may complain of than it may.
func untilFault(sql string) (part, problem string) {
	if len(sql) <= shortText {
		return sql, ""
	}
	l := parser.NewLexer(sql)
	var last [3]int // kinds of the tokens before
	faulty := 0
	for range len(sql) + 1 {
		t := l.NextToken()
		if l.HasErrors() || t == nil || t.Type == parser.INVALID {
			return sql[:min(max(l.GetPosition(), 1), len(sql))], ""
		}
		if t.Type == parser.EOF {
			break
		}
		if mayBeFaulty(last, t.Type) {
			if faulty++; faulty > maxFaulty {
				return "", ProblemComplex
			}
		}
		last = [3]int{last[1], last[2], t.Type}
	}
	return sql, ""
}

// mayBeFaulty knows what the grammar complains of and yet reads on.
func mayBeFaulty(last [3]int, kind int) bool {
	switch kind {
	case parser.IS, parser.ISNULL, parser.NOTNULL: // x IS NULL IS NULL
		return last[2] == parser.NULL_P || last[2] == parser.ISNULL || last[2] == parser.NOTNULL
	case parser.ENCODING: // FORMAT JSON ENCODING x
		return true
	case '(': // ON UPDATE SET NULL (a)
		return last[1] == parser.SET && (last[2] == parser.NULL_P || last[2] == parser.DEFAULT)
	case parser.SELECT, parser.VALUES, parser.WITH, parser.TABLE: // UNIQUE (SELECT …)
		return last[1] == parser.UNIQUE && last[2] == '('
	}
	return last[0] == parser.UNIQUE && last[1] == '(' && last[2] == '('
}
