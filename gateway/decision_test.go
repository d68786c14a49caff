package gateway_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/policy"
)

// heldBy are rules that hold every write for those approvers.
func heldBy(t *testing.T, approvers string) *policy.Rules {
	t.Helper()
	rules, err := policy.Load("p.yaml", []byte("builtin: false\nrules:\n- {name: all, when: 'true', effect: allow}\n"+
		"- {name: writes, when: statement.writes, effect: hold, window: true, approvers: "+approvers+"}\n"))
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

const move = "update cities set name = 'moved' where id = 1"

// Attack: have somebody approve another statement than the one they looked at.
func TestVoteOnAnotherStatementThanWasShown(t *testing.T) {
	th := start(t, "prod", shop, heldBy(t, "{groups: [dba]}"))
	conn, other := connect(t, th.as(person("ada"))), connect(t, th.as(person("ada")))
	done := background(conn, move)
	ask := th.held(t, 1)[0]
	second := background(other, move)
	asks := th.held(t, 2)
	for _, seal := range []string{"", asks[1].Seal + "0", asks[0].Seal[:8], asks[1].Seal} {
		if seal == ask.Seal {
			seal = asks[0].Seal + "1"
		}
		_, err := th.Answer(approver, ask.ID, api.AskDecision{Grant: true, Seal: seal})
		if e, ok := api.AsError(err); !ok || e.Code != api.CodeRefused || !strings.Contains(e.Hint, "approvals show") {
			t.Errorf("seal %q: %v", seal, err)
		}
	}
	if ends := th.events(audit.Voted); len(ends) != 4 || ends[0].Outcome != "refused" {
		t.Errorf("recorded as %+v", ends)
	}
	th.approve(t, ask.ID)
	if err := await(t, done); err != nil {
		t.Error(err)
	}
	if _, err := th.Answer(approver, th.held(t, 1)[0].ID, api.AskDecision{}); err != nil {
		t.Error(err)
	}
	if err := await(t, second); err == nil {
		t.Error("what was denied ran")
	}
}

// The glass can be broken where a rule lets, by whose statement it is, with a reason,
// and the record says so at the vote and at the answer.
func TestBreakGlassIsLoud(t *testing.T) {
	th := start(t, "prod", shop, heldBy(t, "{groups: [dba], count: 2, break_glass: {groups: [oncall]}}"))
	ada := person("ada", "oncall")
	conn := connect(t, th.as(ada))
	done := background(conn, move)
	ask := th.held(t, 1)[0]
	in := api.AskDecision{Grant: true, Seal: ask.Seal, BreakGlass: true, Reason: "the shop is down"}
	for name, bad := range map[string]func(*api.AskDecision){
		"own vote": func(in *api.AskDecision) { in.BreakGlass = false }, "no reason": func(in *api.AskDecision) { in.Reason = "" },
		"not looked at": func(in *api.AskDecision) { in.Seal = "" },
	} {
		no := in
		bad(&no)
		if _, err := th.Answer(ada, ask.ID, no); err == nil {
			t.Errorf("%s: it was released", name)
		}
	}
	if _, err := th.Answer(person("ada"), ask.ID, in); err == nil {
		t.Error("with a certificate that no longer names the group it was released")
	}
	if _, err := th.Answer(approver, ask.ID, in); err == nil {
		t.Error("somebody else broke the glass")
	}
	if mine := th.Asks(ada); len(mine) != 1 || !mine[0].BreakGlass || mine[0].MayAnswer {
		t.Errorf("it is shown as %+v", mine)
	}
	out, err := th.Answer(ada, ask.ID, in)
	if err != nil || !out.BreakGlass || out.State != api.AskApproved {
		t.Fatalf("%+v, %v", out, err)
	}
	if err := await(t, done); err != nil {
		t.Fatal(err)
	}
	votes, ends := th.events(audit.Voted), th.events(audit.Answered)
	last := votes[len(votes)-1]
	if !strings.HasSuffix(last.Detail, " break-glass") || last.Reason != in.Reason || last.Outcome != "ok" {
		t.Errorf("the vote is recorded as %+v", last)
	}
	if len(ends) != 1 || !strings.HasSuffix(ends[0].Detail, " break-glass") || !strings.Contains(ends[0].Reason, "break-glass by ada@example.com: the shop is down") || ends[0].Effect != "allow" {
		t.Errorf("the answer is recorded as %+v", ends)
	}
	th.balanced()
}

// The second group sees an ask and answers it when its time has come.
func TestEscalationReachesTheSecondGroup(t *testing.T) {
	th := start(t, "prod", shop, heldBy(t, "{groups: [dba], escalate: {after: 1s, groups: [leads]}}"))
	lea := person("lea", "leads")
	done := background(connect(t, th.as(person("ada"))), move)
	ask := th.held(t, 1)[0]
	if need := ask.Needs[0]; need.Later[0] != "leads" || !need.From.Equal(ask.Created.Add(time.Second)) {
		t.Errorf("it is shown as %+v", need)
	}
	if _, err := th.Answer(lea, ask.ID, th.yes(ask.ID)); err == nil && time.Since(ask.Created) < time.Second {
		t.Error("the second group answered before its time")
	}
	eventually(t, "the second group is asked", func() bool { return len(th.Asks(lea)) == 1 && th.Asks(lea)[0].MayAnswer })
	if _, err := th.Answer(lea, ask.ID, th.yes(ask.ID)); err != nil {
		t.Fatal(err)
	}
	if err := await(t, done); err != nil {
		t.Error(err)
	}
}

// A gateway that is killed while a statement waits cannot say so; the next one does, in
// the record, and what the first one ended is not ended again.
func TestAskOfAKilledGatewayIsRecordedAsLost(t *testing.T) {
	dir := t.TempDir()
	state := func(c *gateway.Config) { c.StateDir = dir }
	th := start(t, "prod", shop, nil, state)
	done := background(connect(t, th.as(person("ada"))), "alter table cities add column lost int")
	ask := th.held(t, 1)[0]
	var notes []string
	eventually(t, "it is on disk that it waits", func() bool {
		var err error
		notes, err = filepath.Glob(filepath.Join(dir, "s-*.ask.json"))
		return err == nil && len(notes) == 1
	})
	note, err := os.ReadFile(notes[0])
	if err != nil || strings.Contains(string(note), "alter table") {
		t.Fatalf("%s, %v", note, err)
	}
	if _, err := th.Answer(approver, ask.ID, api.AskDecision{Reason: "no"}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, await(t, done), "42501")
	eventually(t, "the note is gone", func() bool { _, err := os.Stat(notes[0]); return errors.Is(err, os.ErrNotExist) })

	// As a kill leaves it: one that the record knows the end of, one that it does not,
	// and one that the disk tore.
	lost := strings.ReplaceAll(string(note), "ask "+ask.ID, "ask zzzzz")
	for name, text := range map[string]string{notes[0]: string(note), filepath.Join(dir, "s-x-zzzzz.ask.json"): lost, filepath.Join(dir, "s-y-torn.ask.json"): "{"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := th.stop(); err != nil {
		t.Fatal(err)
	}
	th.again(t, state)
	var got []string
	for _, ev := range th.events(audit.Answered) {
		got = append(got, ev.Detail[:9]+" "+ev.Effect+" "+ev.Outcome)
	}
	if want := "ask " + ask.ID + " deny ,ask zzzzz deny lost,a damaged deny lost"; strings.Join(got, ",") != want {
		t.Errorf("recorded as %q, want %q", got, want)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
