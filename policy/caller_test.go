package policy

import (
	"slices"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/query"
)

// Attack: an agent, or a job with a person's groups, reads in clear what a rule shows
// to the people of the group.
func TestMachinesSeeInClearOnlyWhatNamesTheirKind(t *testing.T) {
	for when, want := range map[string]string{
		`true`:                                           "person",
		`"support" in who.groups`:                        "person",
		`who.kind == "agent"`:                            "agent",
		`"agent" == who.kind`:                            "agent",
		`who.kind in ["person", "job"]`:                  "person job",
		`who.kind != "job"`:                              "person", // it matches agents, and names none
		`!(who.kind == "job")`:                           "person",
		`who.kind.startsWith("agent")`:                   "",
		`who.subject == "agent"`:                         "",
		`who.kind == "agent" || "support" in who.groups`: "person agent",
		`["agent"].exists(k, k == who.kind)`:             "",
	} {
		rules, err := Load("p.yaml", []byte("rules:\n  - name: shows\n    when: '"+when+"'\n    unmask: [email]\n"))
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		var got []string
		for _, kind := range []string{"person", "job", "agent"} {
			v := rules.Decide(Request{Who: caller(kind, "support"), Statement: &query.Statement{Kind: query.Select, Tag: "SELECT"}, At: at})
			if len(v.Unmask) > 0 {
				got = append(got, kind)
			}
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%s shows to %q, want %q", when, g, want)
		}
	}
}

func TestOnlyRulesThatMayMatchApply(t *testing.T) {
	rules, err := Load("p.yaml", []byte(`rules:
  - {name: prod-writes, when: 'statement.writes && connection.env == "prod"', effect: hold, approvers: {groups: [dba]}}
  - {name: not-for-dbas, when: '!("dba" in who.groups) && statement.ddl', effect: deny}
  - {name: at-night, when: 'now.getHours() < 6', effect: deny}
  - {name: shows, when: '"support" in who.groups', unmask: [email]}
  - {name: cannot-be-told, when: 'statement.tables[0] == "public.users"', effect: deny}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ kind, groups, env, want string }{
		{"person", "", "prod", "prod-writes not-for-dbas at-night cannot-be-told"},
		{"person", "", " PROD ", "prod-writes not-for-dbas at-night cannot-be-told"},
		{"person", "", "dev", "not-for-dbas at-night cannot-be-told"},
		{"person", "dba,support", "dev", "at-night shows cannot-be-told"},
		{"agent", "dba,support", "dev", "at-night cannot-be-told"},
		{"expired", "dba", "prod", ""},
		{"nobody", "", "prod", ""},
	} {
		var got []string
		for _, r := range rules.Applies(caller(c.kind, c.groups), Connection{Name: "orders", Env: c.env}, at) {
			if !r.BuiltIn {
				got = append(got, r.Name)
			}
		}
		if g := strings.Join(got, " "); g != c.want {
			t.Errorf("%s[%s] in %q: %q, want %q", c.kind, c.groups, c.env, g, c.want)
		}
	}
	names := func(kind identity.Kind) (list []string) {
		for _, r := range rules.Applies(caller(string(kind), ""), Connection{Env: "dev"}, at) {
			list = append(list, r.Name)
		}
		return list
	}
	if slices.Contains(names(identity.Person), "unknown-effect-machines") || !slices.Contains(names(identity.Job), "unknown-effect-machines") {
		t.Error("what machines may not do is told to people, or not to jobs")
	}
}
