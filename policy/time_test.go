package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/query"
)

// Rules read the clock where the file says they are at home, over the change to summer
// time as well.
func TestTimeOfTheZone(t *testing.T) {
	rules, err := Load("p.yaml", []byte(`
time_zone: Europe/Berlin
builtin: false
rules:
  - {name: night, when: 'time.hour < 6 || time.hour >= 22', effect: deny}
  - {name: weekend, when: 'time.weekday in ["saturday", "sunday"]', effect: hold, approvers: {groups: [dba]}}
  - {name: freeze, when: 'time.date >= "2026-12-20" && time.date <= "2027-01-02"', effect: deny}
  - {name: lunch, when: 'time.hour == 12 && time.minute < 30', effect: hold, approvers: {groups: [cook]}}
  - {name: us, when: 'now.getHours("America/New_York") == 3', effect: hold, approvers: {groups: [us]}}
  - {name: rest, when: 'true', effect: allow}
`))
	if err != nil {
		t.Fatal(err)
	}
	if rules.Steady() {
		t.Error("verdicts are said not to change with the time")
	}
	for at, want := range map[string]string{
		"2026-01-14T04:59:00Z": "night",   // 05:59 in winter
		"2026-01-14T05:00:00Z": "rest",    // 06:00
		"2026-07-15T04:00:00Z": "rest",    // 06:00 in summer
		"2026-07-15T19:59:00Z": "rest",    // 21:59
		"2026-07-15T20:00:00Z": "night",   // 22:00
		"2026-07-17T21:59:00Z": "night",   // Friday, 23:59
		"2026-07-18T06:00:00Z": "weekend", // Saturday
		"2026-12-21T09:00:00Z": "freeze",
		"2026-07-15T10:29:00Z": "lunch",
		"2026-07-15T07:10:00Z": "us",
	} {
		moment, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		who := caller("person", "")
		who.Expires = moment.Add(time.Hour)
		v := rules.Decide(Request{Who: who, Statement: &query.Statement{Kind: query.Select}, At: moment})
		if v.Rule != want {
			t.Errorf("%s: rule %s, want %s", at, v.Rule, want)
		}
	}
}

func TestSteadyWithoutTheClock(t *testing.T) {
	if !Builtin().Steady() {
		t.Error("the built-in policy does not look at the clock")
	}
	for when, want := range map[string]bool{
		`who.email == "now"`: true, `time.hour > 3`: false, `now > timestamp("2026-01-01T00:00:00Z")`: false, `statement.tables.exists(t, t == "x" && time.minute == 3)`: false,
	} {
		rules, err := Load("p.yaml", []byte("rules: [{name: a, effect: deny, when: '"+when+"'}]"))
		if err != nil {
			t.Fatal(err)
		}
		if rules.Steady() != want {
			t.Errorf("%s: steady is %v", when, !want)
		}
	}
}

func TestLoadRefusesConstantsThatNeverAre(t *testing.T) {
	for source, want := range map[string]string{
		"time_zone: Europe/Berln": `line 1: time_zone is "Europe/Berln", must be a name such as Europe/Berlin or UTC`,
		"time_zone: Local":        `line 1: time_zone is "Local", must be`,
		"rules:\n- {name: a, effect: deny, when: 'time.weekday == \"fryday\"'}":               `line 2:50: time.weekday is never "fryday", did you mean "friday"?`,
		"rules:\n- {name: a, effect: deny, when: 'time.weekday in [\"monday\", \"Sunday\"]'}": `time.weekday is never "Sunday", did you mean "sunday"?`,
		"rules:\n- {name: a, effect: deny, when: '\"robot\" != who.kind'}":                    `who.kind is never "robot"; known are `,
		"rules:\n- {name: a, effect: deny, when: 'now.getHours(\"Europe/Berln\") > 3'}":       `there is no time zone "Europe/Berln"`,
		"rules:\n- {name: a, effect: deny, when: 'now.getDayOfWeek(\"+2:00\") > 3'}":          `there is no time zone "+2:00"`,
		"rules:\n- {name: a, effect: deny, when: 'time.hours > 3'}":                           `unknown name "time.hours", did you mean "time.hour"?`,
		"rules:\n- {name: a, effect: deny, when: 'time > 3'}":                                 `time alone is no value; write one of its parts: date, hour, minute, weekday`,
		"rules:\n- {name: a, effect: deny, when: 'time.hour > \"3\"'}":                        `> does not take (int, string)`,
	} {
		rules, err := Load("p.yaml", []byte(source))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v, want %s", source, rules, err, want)
		}
	}
	if _, err := Load("p.yaml", []byte("rules:\n- {name: a, effect: deny, when: 'now.getHours(\"+02:00\") > 3 && now.getMinutes() > 1'}")); err != nil {
		t.Error(err)
	}
}

// What is not known of a statement matters only where a rule would decide otherwise.
func TestDecidePartly(t *testing.T) {
	rules, err := Load("p.yaml", []byte(`
builtin: false
rules:
  - {name: tags, when: 'statement.tag == "DROP TABLE"', effect: deny}
  - {name: prod, when: 'connection.env == "prod" && statement.kind == "delete"', effect: hold, approvers: {groups: [dba]}}
  - {name: calls, when: '"f" in statement.functions || statement.kind == "call"', effect: hold, approvers: {groups: [dba]}}
  - {name: show, when: '"support" in who.groups', unmask: [email]}
  - {name: any, when: 'statement.functions.exists(f, f.startsWith("g"))', effect: deny}
  - {name: rest, when: 'true', effect: allow}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ kind, env, lacks, want string }{
		{"delete", "prod", "", "hold prod"},
		{"delete", "prod", "statement.tag", "hold prod needs statement.tag"},
		{"delete", "", "connection.env", "allow rest needs connection.env"},
		{"select", "", "connection.env", "allow rest"},
		{"call", "", "statement.functions", "hold calls needs statement.functions"},
		{"delete", "prod", "statement.functions", "hold prod needs statement.functions"},
		{"select", "", "who.groups", "allow rest needs who.groups"},
		{"select", "", "who.email", "allow rest"},
	} {
		lacks := map[string]bool{}
		if tt.lacks != "" {
			lacks[tt.lacks] = true
		}
		v, needs := rules.DecidePartly(Request{Who: caller("person", ""), Connection: Connection{Env: tt.env}, At: at, Statement: &query.Statement{Kind: query.Kind(tt.kind)}}, lacks)
		got := v.Effect.String() + " " + v.Rule
		if len(needs) > 0 {
			got += " needs " + strings.Join(needs, " ")
		}
		if got != tt.want {
			t.Errorf("%s in %q without %s: %s, want %s", tt.kind, tt.env, tt.lacks, got, tt.want)
		}
	}
	// A refusal that is certain needs nothing else.
	v, needs := rules.DecidePartly(Request{Who: caller("person", ""), At: at, Statement: &query.Statement{Kind: query.Drop, Tag: "DROP TABLE"}}, map[string]bool{"statement.functions": true, "connection.env": true})
	if v.Rule != "tags" || len(needs) > 0 {
		t.Errorf("%+v needs %v", v, needs)
	}
}
