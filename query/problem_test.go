package query

import (
	"strings"
	"testing"
)

// Which part was not understood is said, in words that hold no constant.
func TestProblems(t *testing.T) {
	for sql, want := range map[string]string{
		"select 1; selec 2; select 3":               `statement 2 of 3 cannot be parsed near "selec" at position 11`,
		"select a from t wher b = 1 and c = 2":      `it cannot be parsed near "b" at position 22`,
		"select from where":                         `it cannot be parsed near "where" at position 13`,
		"select 'ä' frm x y z":                      `it cannot be parsed near "x" at position 16`,
		"alter role a password 'hunter2' 'hunter3'": "it cannot be parsed near a constant at position 33",
		"select (1":                                          "it cannot be parsed near a constant at position 9",
		"select 'open":                                       `it cannot be parsed: unterminated quoted string, near a constant at position 8`,
		"select 1; select 'open":                             `statement 2 cannot be parsed: unterminated quoted string, near a constant at position 18`,
		"select nobody.knows(1)":                             "function nobody.knows is not known: there is no catalogue to look in",
		"select query_to_xml('x', true, true, '')":           "function query_to_xml runs SQL that is a text to it",
		"select pg_terminate_backend(1)":                     "function pg_terminate_backend does more than compute, and what that comes to is not known",
		"do $$ begin\n\n  execute 'drop ' || x; end $$":      "the DO block runs dynamic SQL at line 3",
		"do $$ begin\n  if x then end; end $$":               "the DO block is not understood at line 2",
		"do $$ begin select 1 frm t whe x; end $$":           `the DO block holds SQL that cannot be parsed near "t" at position 14`,
		"do language plperl 'x'":                             "the DO block is written in plperl",
		"do $$ begin perform nobody.knows(); end $$":         "in the DO block: function nobody.knows is not known",
		"select " + strings.Repeat("1,", MaxSQL/2) + "1":     ProblemTooLong + ": it has 1048584 bytes",
		"select 1 " + strings.Repeat("+", maxOperator) + "1": ProblemOperator,
	} {
		st := Analyze(sql, nil)[0]
		if !strings.HasPrefix(st.Problem, want) || strings.Contains(st.Problem, "hunter") {
			t.Errorf("%.60q:\n got  %q\n want %q", sql, st.Problem, want)
		}
	}
}
