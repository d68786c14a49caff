package policy

import (
	"testing"

	"github.com/sluicehq/sluice/query"
)

const windowed = `
rules:
- name: writes
  when: 'statement.writes && connection.env == "prod"'
  effect: hold
  window: true
  approvers: {groups: [dba], count: 1, escalate: {after: 5m, groups: [leads]}, break_glass: {groups: [oncall]}}
- name: nights
  when: 'time.hour >= 0 && statement.writes && !("dba" in who.groups)'
  effect: hold
  window: true
  approvers: {groups: [security], count: 2}
- name: deletes
  when: 'statement.kind == "delete"'
  effect: hold
  approvers: {groups: [dba], count: 1}
`

func windowRules(t *testing.T) *Rules {
	t.Helper()
	rules, err := Load("w.yaml", []byte(windowed))
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// A window needs everybody whom a rule that it answers could ask.
func TestWindowNeedsAllThatItStandsFor(t *testing.T) {
	rules := windowRules(t)
	for _, tt := range []struct {
		group, env, want string
	}{
		{"dev", "prod", "1 of dba (after 5m also of leads) and 2 of security"},
		{"dba", "prod", "1 of dba (after 5m also of leads)"},
		{"dev", "test", "2 of security"},
		{"dba", "test", ""},
	} {
		q, _, ok := rules.Windows(caller("person", tt.group), Connection{"orders", tt.env}, at)
		if ok != (tt.want != "") || ok && q.String() != tt.want {
			t.Errorf("%s in %s: %v, %q, want %q", tt.group, tt.env, ok, q, tt.want)
		}
	}
	if _, _, ok := Builtin().Windows(caller("person", "dev"), Connection{"orders", "prod"}, at); ok {
		t.Error("the built-in policy opens windows that nobody decided on")
	}
	gone := caller("person", "dev")
	gone.Expires = at
	if _, _, ok := rules.Windows(gone, Connection{"orders", "prod"}, at); ok {
		t.Error("somebody whose login has expired gets a window")
	}
}

// A statement that one rule holds without a window is not answered by one.
func TestWindowMustBeLetByEveryRule(t *testing.T) {
	rules := windowRules(t)
	for sql, want := range map[string]bool{"update users set name = 'x' where id = 1": true, "delete from users where id = 1": false} {
		s := query.Analyze(sql, schema{})
		v := rules.Decide(Request{Who: caller("person", "dba"), Connection: Connection{"orders", "prod"}, Statement: &s[0], At: at})
		if v.Effect != Hold || v.Window != want {
			t.Errorf("%s: %+v", sql, v)
		}
		if both := Strictest(v, Verdict{Effect: Hold, Rule: "x", Window: false}); both.Window {
			t.Errorf("%s beside another: %+v", sql, both)
		}
	}
}
