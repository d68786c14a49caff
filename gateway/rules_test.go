package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/gateway"
)

// put puts a policy in force.
func (th *through) put(text string) {
	th.t.Helper()
	if err := th.SetPolicy(gateway.Policy{Rules: rules(th.t, text), Source: "test", Text: text}, "the test"); err != nil {
		th.t.Fatal(err)
	}
}

const (
	allowAll = "builtin: false\nrules: [{name: all, when: 'true', effect: allow, unmask: [all]}]"
	noWrites = "builtin: false\nrules:\n- {name: all, when: 'true', effect: allow, unmask: [all]}\n- {name: frozen, when: statement.writes, effect: deny, reason: nothing changes today}"
	masking  = "builtin: false\nrules: [{name: all, when: 'true', effect: allow}]"
)

// A statement decided after the change follows the new rules, in sessions that are
// open, in every protocol mode, also one that was prepared and decided many times before.
func TestNewPolicyDecidesInOpenSessions(t *testing.T) {
	ctx := context.Background()
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec, pgx.QueryExecModeCacheStatement} {
		t.Run(mode.String(), func(t *testing.T) {
			th := start(t, "prod", people, rules(t, allowAll))
			conn := connect(t, th.as(person("ada")))
			change := func() error {
				_, err := conn.Exec(ctx, "update people set age = age where id = $1", mode, 3)
				return err
			}
			for range 3 {
				if err := change(); err != nil {
					t.Fatal(err)
				}
			}
			th.put(noWrites)
			if e := wantCode(t, change(), "42501"); !strings.Contains(e.Message, "nothing changes today") {
				t.Errorf("told %q", e.Message)
			}
			th.put(allowAll)
			if err := change(); err != nil {
				t.Error(err)
			}
			th.balanced()
		})
	}
}

// Attack: keep a prepared statement from the time when its columns were shown.
func TestNewPolicyMasksWhatWasPreparedBefore(t *testing.T) {
	ctx := context.Background()
	th := start(t, "prod", people, rules(t, allowAll))
	conn := connect(t, th.as(person("ada")))
	email := func(sql string, args ...any) (s string, err error) {
		err = conn.QueryRow(ctx, sql, args...).Scan(&s)
		return s, err
	}
	if _, err := conn.Prepare(ctx, "mail", "select email from people where id = $1"); err != nil {
		t.Fatal(err)
	}
	if _, err := run(conn, "prepare mails as select email from people where id = 3"); err != nil {
		t.Fatal(err)
	}
	if s, err := email("mail", 3); err != nil || s != "ada3@example.com" {
		t.Fatalf("%q, %v", s, err)
	}
	th.put(masking)
	if s, err := email("mail", 3); err == nil && strings.Contains(s, "ada3") {
		t.Errorf("a prepared statement shows %q", s)
	}
	for _, again := range []func() (string, error){
		func() (string, error) { return email("mail", 3) },
		func() (string, error) { return run(conn, "execute mails") },
		func() (string, error) { return run(conn, "select email from people where id = 3") },
	} {
		if s, err := again(); err != nil || strings.Contains(s, "ada3") {
			t.Errorf("it shows %q, %v", s, err)
		}
	}
	th.balanced()
}

// What was approved under the old rules is judged by the new ones before it runs.
func TestApprovalUnderTheOldPolicy(t *testing.T) {
	const (
		held     = "builtin: false\nrules:\n- {name: all, when: 'true', effect: allow}\n- {name: look, when: statement.ddl, effect: hold, approvers: {groups: [dba]}}"
		denied   = "builtin: false\nrules:\n- {name: all, when: 'true', effect: allow}\n- {name: freeze, when: statement.ddl, effect: deny, reason: nothing is built today}"
		others   = "builtin: false\nrules:\n- {name: all, when: 'true', effect: allow}\n- {name: look, when: statement.ddl, effect: hold, approvers: {groups: [security]}}"
		reworded = held + "\n- {name: other, when: 'statement.kind == \"call\"', effect: deny}"
	)
	for i, tt := range []struct {
		name, policy string
		denied       bool
		second       bool // other people are asked
	}{
		{"denies", denied, true, false},
		{"allows", allowAll, false, false},
		{"holds for the same people", reworded, false, false},
		{"holds for others", others, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			th := start(t, "prod", people, rules(t, held))
			conn, column := connect(t, th.as(person("ada"))), fmt.Sprintf("extra%d", i)
			done := background(conn, "alter table people add column "+column+" int")
			ask := th.held(t, 1)[0]
			th.put(tt.policy)
			th.approve(t, ask.ID)
			if tt.second {
				sec := person("eve", "security")
				var asks []api.Ask
				eventually(t, "others are asked", func() bool {
					asks = th.Asks(sec)
					return len(asks) == 1 && asks[0].ID != ask.ID
				})
				if columnExists(t, th, column) {
					t.Fatal("it ran on the approval of those who are not asked any more")
				}
				if _, err := th.Answer(sec, asks[0].ID, th.yes(asks[0].ID)); err != nil {
					t.Fatal(err)
				}
			}
			err := await(t, done)
			if tt.denied {
				e := wantCode(t, err, "42501")
				if !strings.Contains(e.Message, "approved by bob@example.com, but the policy has changed since: nothing is built today") || !strings.HasPrefix(e.Message, "refused by policy") {
					t.Errorf("told %q", e.Message)
				}
			} else if err != nil {
				t.Error(err)
			}
			if columnExists(t, th, column) == tt.denied {
				t.Errorf("denied is %v, and it ran: %v", tt.denied, !tt.denied)
			}
			answers := th.events(audit.Answered)
			if last := answers[len(answers)-1]; (last.Effect == "deny") != tt.denied || len(last.Approvers) == 0 {
				t.Errorf("recorded as %+v", last)
			}
			th.balanced()
		})
	}
}

// Somebody approves a statement; meanwhile the table that it names has become another.
func TestApprovalOfWhatHasChangedMeanwhile(t *testing.T) {
	th := start(t, "prod", "create table a (n int); create table b (n int); create view v as select n from a;",
		rules(t, "builtin: false\nrules:\n- {name: all, when: 'true', effect: allow}\n- {name: look, when: 'statement.kind == \"insert\"', effect: hold, approvers: {groups: [dba]}}"))
	conn := connect(t, th.as(person("ada")))
	done := background(conn, "insert into b select n from v")
	ask := th.held(t, 1)[0]
	if _, err := run(connect(t, th.as(person("eve"))), "create or replace view v as select n from b"); err != nil {
		t.Fatal(err)
	}
	th.approve(t, ask.ID)
	if e := wantCode(t, await(t, done), "42501"); !strings.Contains(e.Message, "what it would do has changed since") {
		t.Errorf("told %q", e.Message)
	}
	th.balanced()
}

func TestPolicyChangesAreOnTheRecord(t *testing.T) {
	th := start(t, "prod", people, rules(t, allowAll), func(c *gateway.Config) { c.PolicyText = allowAll })
	before := th.PolicyStatus()
	th.put(noWrites)
	after := th.PolicyStatus()
	if after.Hash == before.Hash || after.Rules != 2 || after.Text != noWrites || after.Since.Before(before.Since) || after.Refused != nil {
		t.Errorf("in force: %+v", after)
	}
	if err := th.RefusePolicy("test", "rules: [", errors.New("line 1: not valid YAML"), "the test"); err != nil {
		t.Fatal(err)
	}
	if s := th.PolicyStatus(); s.Hash != after.Hash || s.Refused == nil || !strings.Contains(s.Refused.Problem, "not valid YAML") {
		t.Errorf("after a bad file: %+v", s)
	}
	conn := connect(t, th.as(person("ada")))
	_, err := run(conn, "update people set age = 1 where id = 1")
	wantCode(t, err, "42501") // the last good one stays
	th.put(noWrites)          // as the file was before: no change, and nothing is refused any more
	if s := th.PolicyStatus(); s.Refused != nil {
		t.Errorf("still refused: %+v", s.Refused)
	}
	events := th.events(audit.Admin)
	if len(events) != 2 {
		t.Fatalf("%d events: %+v", len(events), events)
	}
	for i, want := range [][]string{
		{"ok", "policy changed (the test)", "sha256:" + before.Hash, "to test sha256:" + after.Hash, "added frozen"},
		{"refused", "policy refused (the test)", "sha256:" + after.Hash + " stays", "of test"},
	} {
		for _, part := range want[1:] {
			if events[i].Outcome != want[0] || !strings.Contains(events[i].Detail, part) {
				t.Errorf("event %d is %s, %q; %q is missing", i, events[i].Outcome, events[i].Detail, part)
			}
		}
	}
	if events[1].Error != "line 1: not valid YAML" {
		t.Errorf("the problem is recorded as %q", events[1].Error)
	}
}

// The zero value of a policy refuses everything, so it must not come into force by a slip.
func TestPolicyWithoutRulesIsNotTaken(t *testing.T) {
	th := start(t, "prod", people, rules(t, allowAll))
	if err := th.SetPolicy(gateway.Policy{Source: "x", Text: "y"}, "the test"); err == nil {
		t.Error("taken")
	}
	if _, err := run(connect(t, th.as(person("ada"))), "select 1"); err != nil {
		t.Error(err)
	}
}

// Sessions work while policies come and go; none sees a mixture or ends.
func TestPoliciesChangeUnderLoad(t *testing.T) {
	th := start(t, "prod", people, rules(t, allowAll))
	var group sync.WaitGroup
	for i := range 4 {
		conn := connect(t, th.as(person("ada")))
		group.Go(func() {
			for n := range 100 {
				_, err := conn.Exec(context.Background(), "update people set age = $1 where id = $2", n%90, i+1)
				if err != nil && !strings.Contains(err.Error(), "nothing changes today") {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := range 20 {
		th.put([]string{noWrites, allowAll}[n%2])
	}
	group.Wait()
	th.balanced()
}

// The limit on rows is that of the policy in force when an approved statement runs.
func TestApprovalUnderANewLimit(t *testing.T) {
	const held = "builtin: false\nrules:\n- {name: all, when: 'true', effect: allow}\n- {name: look, when: statement.writes, effect: hold, approvers: {groups: [dba]}, max_rows: %d}"
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec} {
		th := start(t, "prod", people, rules(t, fmt.Sprintf(held, 1000)))
		conn := connect(t, th.as(person("ada")))
		done := make(chan error, 1)
		go func() {
			_, err := conn.Exec(context.Background(), "update people set age = 200 where id > 0", mode)
			done <- err
		}()
		ask := th.held(t, 1)[0]
		th.put(fmt.Sprintf(held, 10))
		th.approve(t, ask.ID)
		if e := wantCode(t, await(t, done), "42501"); !strings.Contains(e.Message, "changes 500 rows, and no more than 10 rows") {
			t.Errorf("told %q", e.Message)
		}
		if n := count(t, th, "select count(*) from people where age = 200"); n != 0 {
			t.Errorf("%d rows are changed", n)
		}
		th.balanced()
	}
}
