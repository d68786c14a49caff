package approval

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicehq/sluice/identity"
)

// A vote is about what its author looked at: without the seal of this very ask, or
// with that of another that reads the same, nothing is granted.
func TestVoteOnWhatWasNotSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDesk(Config{Now: time.Now})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		a, _ := wait(t, ctx, d, ask(person("ana"), oneDBA))
		same, _ := wait(t, ctx, d, ask(person("ana"), oneDBA))
		if a.Hash != same.Hash || a.Seal == same.Seal || a.Seal == a.Hash {
			t.Fatalf("the seals are %q and %q", a.Seal, same.Seal)
		}
		for _, saw := range []string{"", a.Hash, same.Seal, a.Seal[1:]} {
			if _, err := d.Decide(a.ID, Vote{Who: person("bo", "dba"), Grant: true, Saw: saw}); !errors.Is(err, ErrUnseen) {
				t.Errorf("a vote with the seal %q gave %v", saw, err)
			}
		}
		if len(d.List()) != 2 || len(d.List()[0].Votes) != 0 {
			t.Errorf("it left %+v", d.List())
		}
	})
}

// "At least", not "exactly": who is in two groups that are both asked counts for each,
// and a second person more than needed does no harm.
func TestSamePersonInTwoGroupsIsEnoughForOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDesk(Config{Now: time.Now})
		q := Quorum{Groups: []string{"dba", "security"}, Count: 1}
		a, done := wait(t, t.Context(), d, ask(person("ana"), q))
		if _, err := d.Decide(a.ID, yes(a, person("bo", "dba", "security"))); err != nil {
			t.Fatal(err)
		}
		if r := <-done; !r.answer.Granted {
			t.Errorf("it stays pending: %+v", r)
		}
		votes := []Vote{{Who: person("bo", "dba"), Grant: true}, {Who: person("cy", "dba"), Grant: true}}
		if !q.Met(votes, time.Time{}) {
			t.Error("two people are not enough for one")
		}
	})
}

func escalating() Quorum {
	return Quorum{Groups: []string{"dba"}, Count: 1, Escalate: &Escalation{After: 20 * time.Second, Groups: []string{"leads"}}}
}

// The second group may answer from its time on, not a moment before, and those who
// watch are told when that is.
func TestEscalation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDesk(Config{Now: time.Now})
		a, done := wait(t, t.Context(), d, ask(person("ana"), escalating()))
		lea := person("lea", "leads")
		if _, err := d.Decide(a.ID, yes(a, lea)); !errors.Is(err, ErrGroup) {
			t.Errorf("before its time the vote gave %v", err)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		changed := d.Watch(ctx)
		<-changed
		<-time.After(20*time.Second - time.Nanosecond)
		synctest.Wait()
		if a.MayAnswer(lea, time.Now()) == nil || len(changed) != 0 {
			t.Error("it escalated a moment early")
		}
		<-changed
		if got := time.Since(a.Created); got != 20*time.Second {
			t.Errorf("the watchers were woken after %v", got)
		}
		if _, err := d.Decide(a.ID, yes(a, lea)); err != nil {
			t.Fatal(err)
		}
		if r := <-done; !r.answer.Granted || !a.Quorum.Met(r.answer.Votes, a.Created) {
			t.Errorf("got %+v", r)
		}
	})
}

// A vote counts by what was in force when it was given: what the policy asks by the
// time the statement runs does not make it one of an earlier hour.
func TestEscalatedVoteBeforeItsTime(t *testing.T) {
	asked := time.Now()
	for after, want := range map[time.Duration]bool{0: false, 20*time.Second - 1: false, 20 * time.Second: true} {
		if got := escalating().Met([]Vote{{Who: person("lea", "leads"), Grant: true, At: asked.Add(after)}}, asked); got != want {
			t.Errorf("after %v it counts: %v", after, got)
		}
	}
}

// What ends before it escalates ends.
func TestDeadlineBeforeEscalation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDesk(Config{Now: time.Now})
		a := ask(person("ana"), escalating())
		a.Deadline = time.Now().Add(10 * time.Second)
		start := time.Now()
		if r := waitFor(t, d, a); r.answer.Granted || time.Since(start) != 10*time.Second {
			t.Errorf("got %+v after %v", r, time.Since(start))
		}
	})
}

// Rules that escalate differently stay apart: nobody of one rule's second group
// answers for the other rule.
func TestEscalationOfOneRuleOnly(t *testing.T) {
	q := escalating().Plus(oneDBA)
	if len(q.Parts()) != 2 {
		t.Fatalf("joined to %s", q)
	}
	lead := []Vote{{Who: person("lea", "leads"), Grant: true, At: time.Time{}.Add(time.Hour)}}
	if q.Met(lead, time.Time{}) {
		t.Error("a lead answered for the rule that does not escalate")
	}
	if !q.Met(append(lead, Vote{Who: person("bo", "dba"), Grant: true}), time.Time{}) {
		t.Error("one of dba and a lead are not enough")
	}
	if same := escalating().Plus(escalating()); len(same.Parts()) != 1 {
		t.Errorf("equal parts stay apart: %s", same)
	}
}

func breakable() Quorum {
	return Quorum{Groups: []string{"dba"}, Count: 2, BreakGlass: []string{"oncall"}}
}

func TestBreakGlass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDesk(Config{Now: time.Now})
		ana := person("ana", "oncall")
		a, done := wait(t, t.Context(), d, ask(ana, breakable()))
		v := Vote{Who: ana, Grant: true, BreakGlass: true, Saw: a.Seal, Reason: "orders are stuck"}
		for name, tt := range map[string]struct {
			change func(*Vote)
			want   error
		}{
			"no reason":       {func(v *Vote) { v.Reason = " \t" }, ErrReason},
			"not looked at":   {func(v *Vote) { v.Saw = "" }, ErrUnseen},
			"not said so":     {func(v *Vote) { v.BreakGlass = false }, ErrOwn},
			"a denial":        {func(v *Vote) { v.Grant = false }, ErrGlass},
			"not on call":     {func(v *Vote) { v.Who = person("ana", "dev") }, ErrGlass},
			"somebody else":   {func(v *Vote) { v.Who = person("bo", "oncall", "dba") }, ErrGlass},
			"another issuer":  {func(v *Vote) { v.Who.Issuer = "https://other.example.com" }, ErrGlass},
			"the same e-mail": {func(v *Vote) { v.Who.Subject = "ana2" }, ErrGlass},
			"an agent":        {func(v *Vote) { v.Who.Kind = identity.Agent }, ErrGlass},
			"expired":         {func(v *Vote) { v.Who.Expires = time.Unix(1, 0) }, ErrExpired},
		} {
			bad := v
			tt.change(&bad)
			if _, err := d.Decide(a.ID, bad); !errors.Is(err, tt.want) {
				t.Errorf("%s: got %v, want %v", name, err, tt.want)
			}
		}
		if _, err := d.Decide(a.ID, v); err != nil {
			t.Fatal(err)
		}
		r := <-done
		if !r.answer.Granted || !r.answer.BreakGlass || r.answer.Why != "break-glass by ana@example.com: orders are stuck" {
			t.Errorf("got %+v", r)
		}
		if a.Quorum.Met(r.answer.Votes, a.Created) {
			t.Error("the own vote counts as one of the quorum's")
		}
	})
}

// Every rule that holds a statement must let its glass be broken.
func TestBreakGlassOfOneRuleOnly(t *testing.T) {
	a := ask(person("ana", "oncall"), breakable().Plus(Quorum{Groups: []string{"security"}, Count: 1}))
	if err := a.MayBreakGlass(a.Who, time.Now()); !errors.Is(err, ErrGlass) {
		t.Errorf("got %v", err)
	}
	agent := ask(identity.Identity{Subject: "bot", Owner: "ana", Kind: identity.Agent, Groups: []string{"oncall"}, Expires: person("x").Expires}, breakable())
	for _, who := range []identity.Identity{agent.Who, person("ana", "oncall")} {
		if err := agent.MayBreakGlass(who, time.Now()); !errors.Is(err, ErrGlass) && !errors.Is(err, ErrNoPerson) {
			t.Errorf("%s for an agent: %v", who.Name(), err)
		}
	}
}

// bars is a list of people without rights.
type bars map[string]bool

func (b bars) barred(who identity.Identity) error {
	if b[who.Subject] {
		return errors.New("locked")
	}
	return nil
}

// Rights are looked at when it is decided: who was locked out in between cannot vote,
// and the agreement that they gave before no longer counts.
func TestApproverLosesRightsWhileDeciding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locked := bars{}
		d := NewDesk(Config{Now: time.Now, Barred: locked.barred})
		a, done := wait(t, t.Context(), d, ask(person("ana"), Quorum{Groups: []string{"dba"}, Count: 2}))
		if _, err := d.Decide(a.ID, yes(a, person("bo", "dba"))); err != nil {
			t.Fatal(err)
		}
		locked["bo"], locked["eve"] = true, true
		for _, grant := range []bool{true, false} {
			if _, err := d.Decide(a.ID, Vote{Who: person("eve", "dba"), Grant: grant, Saw: a.Seal}); err == nil || err.Error() != "locked" {
				t.Errorf("a locked approver got %v", err)
			}
		}
		if _, err := d.Decide(a.ID, yes(a, person("cy", "dba"))); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(done) != 0 {
			t.Fatal("the vote of somebody who was locked out counted")
		}
		if _, err := d.Decide(a.ID, yes(a, person("di", "dba"))); err != nil {
			t.Fatal(err)
		}
		if r := <-done; !r.answer.Granted || strings.Contains(r.answer.Why, "bo@") {
			t.Errorf("got %+v", r)
		}
	})
}

// A certificate that no longer names the group is what counts, not the one of before.
func TestGroupsAreThoseOfTheVote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDesk(Config{Now: time.Now})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		a, _ := wait(t, ctx, d, ask(person("ana"), oneDBA))
		if err := a.MayAnswer(person("bo", "dba"), time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Decide(a.ID, yes(a, person("bo", "dev"))); !errors.Is(err, ErrGroup) {
			t.Errorf("got %v", err)
		}
		late := person("cy", "dba")
		late.Expires = time.Now().Add(time.Second)
		<-time.After(time.Second)
		if _, err := d.Decide(a.ID, yes(a, late)); !errors.Is(err, ErrExpired) {
			t.Errorf("a login that ran out while its owner read gave %v", err)
		}
	})
}
