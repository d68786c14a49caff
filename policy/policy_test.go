package policy

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/approval"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/query"
)

var at = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// schema knows one table and no function but count to be harmless.
type schema struct{}

func (schema) Lookup(s, name string) []*query.Relation {
	if name != "users" || (s != "" && s != "public") {
		return nil
	}
	return []*query.Relation{{Schema: "public", Name: "users", Kind: query.Table, Columns: []string{"id", "name", "email"}}}
}

func (schema) Harmless(_, name string) bool { return name == "count" }

var caseLine = regexp.MustCompile(`^(\w+)(?:\[([\w,]*)\])? (\w+)/(\w+)> (.*)$`)

// TestDecide runs the cases in testdata/decide: a policy, "---", then who asks on
// which connection for what, each followed by the verdict.
func TestDecide(t *testing.T) {
	files, err := filepath.Glob("testdata/decide/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			source, cases, _ := strings.Cut(string(data), "---\n")
			rules, err := Load(file, []byte(source))
			if err != nil {
				t.Fatal(err)
			}
			runCases(t, rules, cases, strings.Count(source, "\n")+1)
		})
	}
}

func runCases(t *testing.T, rules *Rules, cases string, number int) {
	t.Helper()
	var asked, got string
	ran := 0
	for in := bufio.NewScanner(strings.NewReader(cases)); in.Scan(); {
		number++
		text := in.Text()
		want, isWant := strings.CutPrefix(text, "= ")
		switch {
		case text == "" || text[0] == '#':
		case isWant:
			ran++
			// Approvers are compared where the case names them.
			if !strings.Contains(want, " by ") {
				got = regexp.MustCompile(` by .* of dba`).ReplaceAllString(got, "")
			}
			if got != want {
				t.Errorf("line %d: %s\n got %s\nwant %s", number, asked, got, want)
			}
		default:
			m := caseLine.FindStringSubmatch(text)
			if m == nil {
				t.Fatalf("line %d is no case: %s", number, text)
			}
			asked, got = text, decide(rules, m[1], m[2], Connection{Name: m[3], Env: m[4]}, m[5])
		}
	}
	if ran == 0 {
		t.Error("the file has no cases")
	}
}

func caller(kind, groups string) identity.Identity {
	who := identity.Identity{Subject: "ana", Kind: identity.Kind(kind), Expires: at.Add(time.Hour)}
	if groups != "" {
		who.Groups = strings.Split(groups, ",")
	}
	switch kind {
	case "nobody":
		who = identity.Identity{}
	case "expired":
		who.Kind, who.Expires = identity.Person, at
	}
	return who
}

// decide is the verdict in one line.
func decide(rules *Rules, kind, groups string, conn Connection, sql string) string {
	var all []Verdict
	for _, s := range query.Analyze(sql, schema{}) {
		all = append(all, rules.Decide(Request{Who: caller(kind, groups), Connection: conn, Statement: &s, At: at}))
	}
	v := Strictest(all...)
	line := v.Effect.String() + " " + v.Rule
	if v.Effect == Hold {
		line += " by " + v.Approvers.String()
	}
	if len(v.Unmask) > 0 {
		line += " unmask " + strings.Join(v.Unmask, " ")
	}
	return line
}

// A rule with a loop over more than its cost allows refuses; it does not hang.
func TestEndlessRuleIsRefused(t *testing.T) {
	data, err := os.ReadFile("testdata/decide/broken.txt")
	if err != nil {
		t.Fatal(err)
	}
	source, _, _ := strings.Cut(string(data), "---\n")
	rules, err := Load("p.yaml", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	v := rules.Decide(Request{Who: caller("person", ""), At: at, Statement: &query.Statement{
		Kind: query.Select, Tag: "VALUES", Relations: []query.Ref{{Schema: "public", Table: "users"}},
	}})
	if v.Effect != Deny || v.Rule != "too-much-work" || !strings.Contains(v.Reason, "cost limit") {
		t.Errorf("got %+v", v)
	}
}

func TestZeroValuesRefuse(t *testing.T) {
	s := &query.Statement{Kind: query.Select}
	who := caller("person", "dba")
	for name, v := range map[string]Verdict{
		"no rules":                 (&Rules{}).Decide(Request{Who: who, Statement: s, At: at}),
		"a rule without a program": (&Rules{List: []Rule{{Name: "x", Decides: true, Effect: Allow}}}).Decide(Request{Who: who, Statement: s, At: at}),
		"no statement":             Builtin().Decide(Request{Who: who, At: at}),
		"no identity":              Builtin().Decide(Request{Statement: s, At: at}),
		"no verdicts":              Strictest(),
		"the zero verdict":         Strictest(Verdict{Effect: Allow, Unmask: []string{"email"}}, Verdict{Unmask: []string{"email"}}),
	} {
		if v.Effect != Deny || len(v.Unmask) != 0 {
			t.Errorf("%s: got %+v", name, v)
		}
	}
}

// A function call message has no text at all.
func TestFunctionCallIsUnknown(t *testing.T) {
	for kind, want := range map[string]Effect{"person": Hold, "job": Deny, "agent": Deny} {
		v := Builtin().Decide(Request{Who: caller(kind, "dba"), Connection: Connection{Env: "dev"}, Statement: &query.Statement{}, At: at})
		if v.Effect != want {
			t.Errorf("%s: got %+v, want %s", kind, v, want)
		}
	}
}

// Held statements of one message need the approvers of each, and only what every
// statement may show is shown.
func TestStrictest(t *testing.T) {
	dba, sec := approval.Quorum{Groups: []string{"dba"}, Count: 1}, approval.Quorum{Groups: []string{"sec"}, Count: 2}
	got := Strictest(
		Verdict{Effect: Allow, Rule: "default", Unmask: []string{"email", "person"}},
		Verdict{Effect: Hold, Rule: "a", Reason: "x", Approvers: dba, Unmask: []string{"email"}},
		Verdict{Effect: Hold, Rule: "b", Reason: "y", Approvers: sec, Unmask: []string{"email", "card"}},
		Verdict{Effect: Hold, Rule: "a", Reason: "x", Approvers: dba, Unmask: []string{"email"}},
	)
	want := Verdict{Effect: Hold, Rule: "a, b", Reason: "x; y", Unmask: []string{"email"},
		Approvers: approval.Quorum{Groups: []string{"dba"}, Count: 1, And: []approval.Quorum{sec}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDecideIsDeterministic(t *testing.T) {
	rules := Builtin()
	s := query.Analyze("ALTER TABLE users DROP COLUMN name", schema{})
	req := Request{Who: caller("person", ""), Connection: Connection{"orders", "prod"}, Statement: &s[0], At: at}
	first := rules.Decide(req)
	for range 100 {
		if diff := cmp.Diff(first, rules.Decide(req)); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestEffectText(t *testing.T) {
	for e, want := range map[Effect]string{Deny: `"deny"`, Hold: `"hold"`, Allow: `"allow"`, 99: `"deny"`} {
		text, err := json.Marshal(e)
		if err != nil || string(text) != want {
			t.Errorf("effect %d is %s, %v, want %s", int(e), text, err, want)
		}
	}
	e := Allow
	if err := json.Unmarshal([]byte(`"alow"`), &e); err == nil || e != Deny {
		t.Errorf("a misspelt effect gave %v, %v", e, err)
	}
}

// Every rule that refuses or holds tells people what to do, in one line.
func TestBuiltinReasons(t *testing.T) {
	list := Builtin().List
	if len(list) < 10 {
		t.Fatalf("the built-in policy has %d rules", len(list))
	}
	for _, r := range list {
		if !r.BuiltIn || len(r.Reason) < 10 || strings.HasPrefix(r.Reason, "rule ") {
			t.Errorf("%s: built-in %v, reason %q", r.Name, r.BuiltIn, r.Reason)
		}
	}
	if last := list[len(list)-1]; last.Effect != Allow || last.Name != "default" {
		t.Errorf("the last rule is %+v", last)
	}
	if !slices.ContainsFunc(list, func(r Rule) bool { return r.Effect == Hold }) {
		t.Error("nothing is held")
	}
}

func BenchmarkDecide(b *testing.B) {
	rules := Builtin()
	for _, sql := range []string{"SELECT name, email FROM users WHERE id = 1", "ALTER TABLE users ADD COLUMN x int"} {
		s := query.Analyze(sql, schema{})
		req := Request{Who: caller("person", "dev,support"), Connection: Connection{"orders", "prod"}, Statement: &s[0], At: at}
		b.Run(fmt.Sprintf("%.6s", sql), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rules.Decide(req)
			}
		})
	}
}
