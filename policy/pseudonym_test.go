package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
)

func TestPseudonymRules(t *testing.T) {
	rules, err := policy.Load("p.yaml", []byte(`
builtin: false
rules:
  - {name: open, when: 'true', effect: allow}
  - {name: a, when: '"x" in who.groups', pseudonym: [email, phone], purpose: churn}
  - {name: b, when: '"x" in who.groups && "from" in who.groups', pseudonym: [email, card]}
`))
	if err != nil {
		t.Fatal(err)
	}
	if !rules.Pseudonymous() || policy.Builtin().Pseudonymous() {
		t.Error("which rules take a key is not seen")
	}
	ask := func(kind identity.Kind, groups ...string) policy.Verdict {
		who := identity.Identity{Subject: "ann", Email: "ann@example.com", Groups: groups, Kind: kind, Expires: time.Now().Add(time.Hour)}
		return rules.Decide(policy.Request{Who: who, Statement: &query.Statement{Kind: query.Select}, At: time.Now()})
	}
	one, both := ask(identity.Person, "x"), ask(identity.Person, "x", "from")
	if len(one.Pseudonym) != 2 || one.Pseudonym["email"] != "churn" || both.Pseudonym["email"] != "churn" || both.Pseudonym["card"] != "b" {
		t.Errorf("%v and %v", one.Pseudonym, both.Pseudonym)
	}
	if v := ask(identity.Job, "x"); len(v.Pseudonym) != 0 {
		t.Errorf("a rule for people shows a job %v", v.Pseudonym)
	}
	if v := policy.Strictest(one, both); len(v.Pseudonym) != 2 {
		t.Errorf("of two statements: %v", v.Pseudonym)
	}
	if v := policy.Strictest(one, policy.Verdict{}); len(v.Pseudonym) != 0 {
		t.Errorf("refused, and yet %v", v.Pseudonym)
	}
}

func TestPseudonymRulesThatCannotWork(t *testing.T) {
	for text, want := range map[string]string{
		"when: 'true', pseudonym: [salary]":                `"salary" has no pseudonym`,
		"when: 'true', pseudonym: [emial]":                 "email",
		"when: 'true', effect: allow, purpose: x":          "what pseudonyms are for",
		"when: 'true', effect: deny, pseudonym: [email]":   "has no effect",
		"when: 'true', pseudonym: [email], purpose: 'a b'": "a purpose is made of",
	} {
		_, err := policy.Load("p.yaml", []byte("rules:\n  - {name: a, "+text+"}\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
