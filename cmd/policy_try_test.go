package cmd

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const triedPolicy = `time_zone: Europe/Berlin
rules:
  - name: second-person
    when: 'statement.writes && connection.env == "prod" && !("dba" in who.groups)'
    effect: hold
    approvers: {groups: [dba], count: 1}
    max_rows: 1000
    reason: writes in production need a second pair of eyes
  - {name: nights, when: 'time.hour < 6 && statement.ddl', effect: deny}
  - {name: mails, when: '"support" in who.groups', unmask: [email]}
`

const triedCases = `schema:
  customers: {id: bigint, email: text, full_name: varchar(80), note: text, made: timestamp with time zone}
  shop.orders: {id: int, total: "numeric(10,2)", tags: "text[]"}
labels: {customers.note: email}
defaults:
  who: {email: ada@example.com, groups: [dev]}
  connection: {name: orders, env: prod}
tests:
  - name: nobody drops a table
    statement: drop table customers
    expect: {effect: deny, rule: no-drop, masks: []}
  - name: reads are masked
    statement: select id, email, note, lower(full_name) n, made, count(*) from customers group by 1,2,3,4,5
    expect: {effect: allow, masks: [n, note, email], unmask: []}
  - statement: select email from customers
    who: {groups: [support]}
    expect: {effect: allow, masks: [], unmask: [email]}
  - name: writes wait
    statement: update customers set note = 'x' where id = 3
    expect: {effect: hold, approvers: [dba], max_rows: 1000, reason: second pair}
  - name: but not those of a DBA
    statement: update customers set note = 'x' where id = 3
    who: {groups: [dba]}
    expect: {effect: allow, max_rows: 0}
  - name: at night
    statement: create table x (n int)
    connection: {env: dev}
    time: 2026-06-03T03:30:00+02:00
    expect: {effect: deny, rule: nights}
  - name: at noon
    statement: create table x (n int)
    connection: {env: dev}
    expect: {effect: allow}
  - name: an agent calls what nobody knows
    statement: select purge()
    who: {kind: agent, owner: ada}
    expect: {effect: deny, rule: unknown-effect-machines}
  - name: what cannot be counted
    statement: copy customers from stdin
    expect: {effect: deny, rule: rows-can-be-counted}
  - name: the strictest of several
    statement: select 1; drop table customers
    expect: {effect: deny}
  - name: another schema
    statement: select total, tags from shop.orders
    expect: {effect: allow, masks: []}
`

// try runs policy test on files with these texts.
func try(t *testing.T, rules, cases string, more ...string) (code int, out, errs string) {
	t.Helper()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "p.yaml"), rules)
	put(t, filepath.Join(dir, "p_test.yaml"), cases)
	w := &town{t: t}
	code, out, errs = w.run("", "", append([]string{"policy", "test", filepath.Join(dir, "p.yaml")}, more...)...)
	clean := strings.NewReplacer(dir+string(filepath.Separator), "")
	return code, clean.Replace(out), clean.Replace(errs)
}

func TestPolicyCasesHold(t *testing.T) {
	if code, out, errs := try(t, triedPolicy, triedCases); code != 0 || out != "ok: 11 cases\n" {
		t.Errorf("%d: %s%s", code, out, errs)
	}
	code, out, errs := try(t, triedPolicy, triedCases, "-v")
	if code != 0 || strings.Count(out, "\n") != 12 || !strings.Contains(out, "ok    p_test.yaml:15: select email from customers\n") {
		t.Errorf("%d: %s%s", code, out, errs)
	}
}

func TestPolicyCaseThatFails(t *testing.T) {
	cases := strings.Replace(triedCases, "expect: {effect: hold, approvers: [dba], max_rows: 1000, reason: second pair}", `expect:
      effect: allow
      rule: default
      reason: nothing
      masks: [a]
      unmask: [email]
      approvers: [security, dba]
      max_rows: 5`, 1)
	code, out, errs := try(t, triedPolicy, cases)
	want := `FAIL  p_test.yaml:18: writes wait
      statement: update customers set note = 'x' where id = 3
      effect (line 21)
        - want allow
        + got  hold
      rule (line 22)
        - want default
        + got  second-person
      reason (line 23)
        - want nothing
        + got  writes in production need a second pair of eyes
      masks (line 24)
        - want [a]
        + got  []
      unmask (line 25)
        - want [email]
        + got  []
      approvers (line 26)
        - want [dba, security]
        + got  [dba]
      max_rows (line 27)
        - want 5
        + got  1000
      decided by second-person: writes in production need a second pair of eyes
`
	if d := cmp.Diff(want, out); d != "" || code != exitError || !strings.Contains(errs, "1 of 11 cases failed") {
		t.Errorf("%d, %s\n%s", code, errs, d)
	}
	code, out, _ = try(t, triedPolicy, cases, "-o", "json")
	var res policyTested
	if err := json.Unmarshal([]byte(out), &res); err != nil || code != exitError || res.OK || res.Failed != 1 || len(res.Cases) != 11 {
		t.Fatalf("%d, %v, %s", code, err, out)
	}
	if d := cmp.Diff(caseDiff{"effect", 21, "allow", "hold"}, res.Cases[3].Diff[0]); d != "" {
		t.Error(d)
	}
}

func TestPolicyCasesWithMistakes(t *testing.T) {
	for want, cases := range map[string]string{
		`p_test.yaml:1: tests is missing or empty`:                                 "defaults: {who: {kind: job}}",
		`p_test.yaml:2: unknown key "statment", did you mean "statement"?`:         "tests:\n  - {statment: x}",
		`p_test.yaml:2: the case has no statement`:                                 "tests:\n  - {name: x, expect: {effect: deny}}",
		`p_test.yaml:2: the case expects nothing`:                                  "tests:\n  - {statement: x}",
		`p_test.yaml:2: effect is "alow", did you mean "allow"?`:                   "tests:\n  - {statement: x, expect: {effect: alow}}",
		`p_test.yaml:2: the policy has no rule "no-dorp", did you mean "no-drop"?`: "tests:\n  - {statement: x, expect: {rule: no-dorp}}",
		`p_test.yaml:1: kind is "robot"; known are person, job or agent`:           "defaults: {who: {kind: robot}}\ntests:\n  - {statement: x, expect: {effect: deny}}",
		`p_test.yaml:2: time is "noon", must be such as`:                           "tests:\n  - {statement: x, time: noon, expect: {effect: deny}}",
		`p_test.yaml:1: type "bigit" is not one of PostgreSQL's own`:               "schema: {a: {n: bigit}}\ntests:\n  - {statement: x, expect: {effect: deny}}",
		`p_test.yaml:1: there is no column "a.n" under schema`:                     "labels: {a.n: email}\ntests:\n  - {statement: x, expect: {effect: deny}}",
		`p_test.yaml:3: the name "a" is there twice`:                               "schema:\n  a: {n: int}\n  a: {m: int}\ntests:\n  - {statement: x, expect: {effect: deny}}",
		`p_test.yaml:1: schema must have names with values`:                        "schema: [a]\ntests:\n  - {statement: x, expect: {effect: deny}}",
		`: this is not YAML`: "tests: [",
	} {
		if code, out, errs := try(t, triedPolicy, cases); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: %d, %s%s", want, code, out, errs)
		}
	}
	if code, _, errs := try(t, "rules: [{}]", triedCases); code != exitUsage || !strings.Contains(errs, "p.yaml: 3 problems") && !strings.Contains(errs, "line 1") {
		t.Errorf("a bad policy: %d, %s", code, errs)
	}
	w := &town{t: t}
	if code, _, errs := w.run("", "", "policy", "test", "built-in", "--cases", "none.yaml"); code != exitUsage || !strings.Contains(errs, "the cases cannot be read") {
		t.Errorf("%d, %s", code, errs)
	}
}

// With a database its own tables and labels count.
func TestPolicyCasesOfADatabase(t *testing.T) {
	w := newTown(t)
	cases := "tests:\n  - {statement: 'select email, age from people', expect: {effect: allow, masks: [email]}}\n"
	if code, out, errs := try(t, "rules: []", cases, "--dsn", w.dsn); code != 0 || out != "ok: 1 case\n" {
		t.Errorf("%d: %s%s", code, out, errs)
	}
	if code, _, errs := try(t, "rules: []", "schema: {people: {email: text}}\n"+cases, "--dsn", w.dsn); code != exitUsage || !strings.Contains(errs, "schema does not go with --dsn") {
		t.Errorf("%d: %s", code, errs)
	}
}

// A file with cases is read by people's hands and by nobody else's, but never panics.
func FuzzPolicyCases(f *testing.F) {
	f.Add(triedCases)
	f.Add("schema: {a: {n: [int]}}\nlabels: {? [a] : b}\ntests: [{expect: {masks: {}}}]")
	file, err := policyFileOf(builtIn)
	if err != nil {
		f.Fatal(err)
	}
	rules, err := replayable(file)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := readCases("x", []byte(text), rules.Rules, nil)
		if err == nil && (c.stage == nil || len(c.Tests) == 0) {
			t.Error("nothing to try, and no error")
		}
	})
}
