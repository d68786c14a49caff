package query

import (
	"strings"
	"testing"
)

// Attack: a run of operator characters, over which the lexer takes minutes, in what
// might hold a password. It is not read at all, only withheld.
func TestRedactReadsNothingThatMayTakeForEver(t *testing.T) {
	sql := "create role eve password 'hunter2' " + strings.Repeat("+-", 1<<19-100)
	list := Analyze(sql, nil)
	if len(list) != 1 || !list[0].Has(Unparsable) {
		t.Fatalf("%d statements", len(list))
	}
	if got := Redact(&list[0]); got != withheld {
		t.Errorf("%d bytes are kept", len(got))
	}
}
