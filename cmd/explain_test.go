package cmd

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
)

func plain(_, text string) string { return text }

// marked paints so that a test sees it.
func marked(_, text string) string { return "<" + text + ">" }

func TestExplainShowsWhereItIsNotUnderstood(t *testing.T) {
	for _, tt := range []struct{ sql, want string }{
		{"select * fom customers", "it cannot be parsed near \"fom\", line 1, column 10\n│  ├─ select * fom customers\n│  └─          ^"},
		{"select 1;\n\tselect 'ä', * frm x y z", "statement 2 of 2 cannot be parsed near \"frm\", line 2, column 16\n│  ├─  select 'ä', * frm x y z\n│  └─                ^"},
		{"select 1 where (", "it cannot be parsed near \"(\", line 1, column 16\n│  ├─ select 1 where (\n│  └─                ^"},
		{"select \xff", "problem  statement is not valid UTF-8"},
		{"select 'abc", "problem  it cannot be parsed: unterminated quoted string, near a constant, line 1, column 8"},
		{"select 1 from \x1b[31m(", "problem  it cannot be parsed near \"\\x1b\", line 1, column 15"},
	} {
		st := query.Analyze(tt.sql, nil)[0]
		var out bytes.Buffer
		if err := printTree(&out, gateway.Explained{Explanation: st.Explain(), Problem: st.Problem, SQL: st.SQL}, plain); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); !strings.Contains(got, tt.want) || strings.Contains(got, "\x1b") {
			t.Errorf("%q:\n%s\nwant %s", tt.sql, got, tt.want)
		}
	}
}

// A position that is none does not panic, whatever the gateway says.
func FuzzMisunderstood(f *testing.F) {
	f.Add("select", "parse error at position 6: syntax error")
	f.Add("", "at position 99999999999999999999999")
	f.Add("é\n", "at position 1")
	f.Fuzz(func(_ *testing.T, sql, problem string) { misunderstood(gateway.Explained{SQL: sql, Problem: problem}) })
}

func TestExplainOfSeveralSaysWhatBecomesOfAll(t *testing.T) {
	for want, effects := range map[string][]policy.Effect{
		"allow  sent as one message, each is allowed": {policy.Allow, policy.Allow},
		"hold  sent as one message, all wait":         {policy.Allow, policy.Hold},
		"deny  sent as one message, all are refused":  {policy.Hold, policy.Deny, policy.Allow},
	} {
		var all []gateway.Explained
		for _, e := range effects {
			all = append(all, gateway.Explained{Effect: e})
		}
		var out bytes.Buffer
		if err := printTogether(&out, all, plain); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%v: %s", effects, out.String())
		}
	}
}

func TestExplainColours(t *testing.T) {
	e := gateway.Explained{Explanation: query.Explanation{Kind: query.Select}, Effect: policy.Allow, Rule: "default"}
	var with, without bytes.Buffer
	if printTree(&with, e, marked) != nil || printTree(&without, e, plain) != nil {
		t.Fatal("a buffer refused text")
	}
	if !strings.HasPrefix(with.String(), "<allow>  <select>") || strings.Contains(without.String(), "<") {
		t.Errorf("%s%s", with.String(), without.String())
	}
}

// What a newcomer tries first.
func TestExplainOfStrangeTexts(t *testing.T) {
	w := newTown(t)
	big := filepath.Join(t.TempDir(), "big.sql")
	put(t, big, strings.Repeat("\n", 9<<20))
	lines := filepath.Join(t.TempDir(), "lines.sql") // twice as long in JSON
	put(t, lines, "select 1"+strings.Repeat("\n", 7<<20))
	for name, where := range map[string][]string{"gateway": {"orders"}, "dsn": {"--dsn", w.dsn}} {
		for _, tt := range []struct {
			in, out, errs string
			code          int
			args          []string
		}{
			{in: "", code: exitUsage, errs: "there is no statement in the text"},
			{in: "-- nothing\n;", code: exitUsage, errs: "there is no statement"},
			{in: "select 1; drop table people", out: "deny  sent as one message"},
			{in: "select * fom people", out: "near \"fom\", line 1, column 10"},
			{in: "select purge(1)", out: "calls    purge"},
			{args: []string{"-f", big}, code: exitUsage, errs: "longer than 8 MiB"},
			{args: []string{"-f", "no-such-file"}, code: exitUsage, errs: "the file cannot be read"},
			{args: []string{"-c", "x", "-f", "y"}, code: exitUsage, errs: "give -c or -f, not both"},
		} {
			code, out, errs := w.run(w.home, tt.in, append(append([]string{"explain"}, where...), tt.args...)...)
			if code != tt.code || !strings.Contains(out, tt.out) || !strings.Contains(errs, tt.errs) {
				t.Errorf("%s, %q %v: %d\n%s%s", name, tt.in, tt.args, code, out, errs)
			}
		}
	}
	if code, _, errs := w.run(w.home, "", "explain", "orders", "-f", lines); code != exitUsage || !strings.Contains(errs, "the request is longer than 9 MiB") {
		t.Errorf("long in JSON: %d, %s", code, errs)
	}
	policy := filepath.Join(t.TempDir(), "p.yaml")
	must(t, os.WriteFile(policy, []byte("rules: [{name: mails, when: '\"support\" in who.groups && who.kind == \"agent\" && connection.env == \"prod\" && who.email == \"a@b\"', unmask: [email]}]"), 0o600))
	code, out, errs := w.run(w.home, "", "explain", "--dsn", w.dsn, "--as", "a@b", "--groups", "x,support", "--kind", "agent", "--env", "prod", "--policy", policy, "-o", "json", "-c", "select email from people")
	var e gateway.Explained
	if code != 0 || json.Unmarshal([]byte(out), &e) != nil || len(e.Masks) != 0 || e.SQL != "select email from people" {
		t.Errorf("%d, %s%s", code, out, errs)
	}
	if d := cmp.Diff(query.Kind("select"), e.Kind); d != "" {
		t.Error(d)
	}
}
