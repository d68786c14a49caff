package approval

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/identity"
)

// person is somebody of the same issuer whose subject is name.
func person(name string, groups ...string) identity.Identity {
	return identity.Identity{
		Subject: name, Email: name + "@example.com", Groups: groups, Kind: identity.Person,
		Issuer: "https://id.example.com", Expires: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

func yes(a Ask, who identity.Identity) Vote { return Vote{Who: who, Grant: true, Saw: a.Seal} }

func ask(who identity.Identity, q Quorum) Ask {
	return Ask{
		Who: who, Connection: "orders", Session: "s1", SQL: "UPDATE t SET a = $1", Params: []string{"1"},
		Kind: "update", Rule: "r", Quorum: q, Deadline: time.Now().Add(time.Minute),
	}
}

var oneDBA = Quorum{Groups: []string{"dba"}, Count: 1}

// result is what Wait gave.
type result struct {
	answer Answer
	err    error
}

// wait opens the ask and returns once it is listed.
func wait(t *testing.T, ctx context.Context, d *Desk, a Ask) (Ask, <-chan result) {
	t.Helper()
	opened, done := make(chan Ask, 1), make(chan result, 1)
	go func() {
		answer, err := d.Wait(ctx, a, func(a Ask) { opened <- a })
		done <- result{answer, err}
	}()
	select {
	case a := <-opened:
		return a, done
	case r := <-done:
		t.Fatalf("the ask was not opened: %+v", r)
		return Ask{}, nil
	}
}

func TestGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDesk(Config{Now: time.Now})
		a, done := wait(t, t.Context(), d, ask(person("ana"), oneDBA))
		if want := Bind(a.SQL, a.Params, a.Who, a.Session, a.Connection); a.Hash != want {
			t.Errorf("hash is %q, want the binding %q", a.Hash, want)
		}
		if list := d.List(); len(list) != 1 || list[0].Ask.ID != a.ID {
			t.Fatalf("list is %+v, want the one ask", list)
		}
		if _, err := d.Decide(a.ID, yes(a, person("bo", "dba"))); err != nil {
			t.Fatal(err)
		}
		r := <-done
		if r.err != nil || !r.answer.Granted || r.answer.Hash != a.Hash || r.answer.Why != "approved by bo@example.com" {
			t.Errorf("got %+v", r)
		}
		if len(d.List()) != 0 {
			t.Error("the ask is still listed")
		}
		// Single use: nothing is left that a second vote or execution could use.
		if _, err := d.Decide(a.ID, yes(a, person("cy", "dba"))); !errors.Is(err, ErrUnknown) {
			t.Errorf("a vote after the end gave %v", err)
		}
	})
}

func TestRefusedVotes(t *testing.T) {
	agent := identity.Identity{Subject: "agent-1", Owner: "ana", Kind: identity.Agent, Issuer: "sluice", Expires: person("x").Expires}
	expired := person("bo", "dba")
	expired.Expires = time.Unix(1, 0)
	job := person("robot", "dba")
	job.Kind = identity.Job
	bot := person("bot", "dba")
	bot.Kind = identity.Agent
	elsewhere := person("other-subject", "dba")
	elsewhere.Email, elsewhere.Issuer = "ANA@example.com", "https://other.example.com"
	tests := []struct {
		attack string
		asker  identity.Identity
		voter  identity.Identity
		want   error
	}{
		{"administrator approves own request", person("ana", "dba"), person("ana", "dba"), ErrOwn},
		{"owner approves for the own agent", agent, person("ana", "dba"), ErrOwn},
		{"same human through a second issuer", person("ana"), elsewhere, ErrOwn},
		{"outsider", person("ana"), person("eve", "dev"), ErrGroup},
		{"no groups at all", person("ana"), person("eve"), ErrGroup},
		{"empty group name", person("ana"), person("eve", ""), ErrGroup},
		{"expired credential", person("ana"), expired, ErrExpired},
		{"zero identity", person("ana"), identity.Identity{}, ErrExpired},
		{"job approves", person("ana"), job, ErrNoPerson},
		{"agent approves", person("ana"), bot, ErrNoPerson},
	}
	for _, tt := range tests {
		t.Run(tt.attack, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := NewDesk(Config{Now: time.Now})
				ctx, cancel := context.WithCancel(t.Context())
				a, done := wait(t, ctx, d, ask(tt.asker, oneDBA))
				for _, grant := range []bool{true, false} {
					if _, err := d.Decide(a.ID, Vote{Who: tt.voter, Grant: grant, Saw: a.Seal}); !errors.Is(err, tt.want) {
						t.Errorf("grant %v gave %v, want %v", grant, err, tt.want)
					}
				}
				if list := d.List(); len(list) != 1 || len(list[0].Votes) != 0 {
					t.Errorf("a refused vote left %+v", list)
				}
				cancel()
				if r := <-done; r.answer.Granted || r.answer.Why != "cancelled" {
					t.Errorf("got %+v", r)
				}
			})
		})
	}
}

// One person in two groups must not count twice, by any of their names.
func TestOnePersonIsNotTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDesk(Config{Now: time.Now})
		a, done := wait(t, t.Context(), d, ask(person("ana"), Quorum{Groups: []string{"dba", "security"}, Count: 2}))
		bo := person("bo", "dba", "security")
		if _, err := d.Decide(a.ID, yes(a, bo)); err != nil {
			t.Fatal(err)
		}
		again := bo
		again.Subject, again.Issuer = "bo-elsewhere", "https://other.example.com"
		for _, who := range []identity.Identity{bo, again} {
			if _, err := d.Decide(a.ID, yes(a, who)); !errors.Is(err, ErrTwice) {
				t.Errorf("%s of %s again gave %v", who.Subject, who.Issuer, err)
			}
		}
		synctest.Wait()
		if len(done) != 0 {
			t.Fatal("one person was enough for two")
		}
		if _, err := d.Decide(a.ID, yes(a, person("cy", "security"))); err != nil {
			t.Fatal(err)
		}
		if r := <-done; !r.answer.Granted || r.answer.Why != "approved by bo@example.com, cy@example.com" {
			t.Errorf("got %+v", r)
		}
	})
}

func TestDenyEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDesk(Config{Now: time.Now})
		a, done := wait(t, t.Context(), d, ask(person("ana"), Quorum{Groups: []string{"dba"}, Count: 3}))
		if _, err := d.Decide(a.ID, yes(a, person("bo", "dba"))); err != nil {
			t.Fatal(err)
		}
		// The one who agreed may change their mind to no.
		if _, err := d.Decide(a.ID, Vote{Who: person("bo", "dba"), Reason: "wrong table"}); err != nil {
			t.Fatal(err)
		}
		r := <-done
		if r.answer.Granted || r.answer.Why != "denied by bo@example.com: wrong table" {
			t.Errorf("got %+v", r)
		}
		if !r.answer.Votes[1].At.Equal(time.Now()) {
			t.Errorf("the vote is dated %v", r.answer.Votes[1].At)
		}
	})
}

// Several rules hold one statement: each needs its own people.
func TestEveryPartOfAQuorumIsNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDesk(Config{Now: time.Now})
		q := oneDBA.Plus(Quorum{Groups: []string{"security"}, Count: 1})
		a, done := wait(t, t.Context(), d, ask(person("ana"), q))
		for _, name := range []string{"bo", "cy"} {
			if _, err := d.Decide(a.ID, yes(a, person(name, "dba"))); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if len(done) != 0 {
			t.Fatal("granted without anybody of security")
		}
		if _, err := d.Decide(a.ID, yes(a, person("di", "security"))); err != nil {
			t.Fatal(err)
		}
		if r := <-done; !r.answer.Granted {
			t.Errorf("got %+v", r)
		}
	})
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDesk(Config{Now: time.Now})
		start := time.Now()
		a := ask(person("ana"), Quorum{Groups: []string{"dba"}, Count: 2})
		a.Deadline = start.Add(15 * time.Minute)
		if r := waitFor(t, d, a); r.answer.Granted || r.answer.Why != "nobody answered in 15m" {
			t.Errorf("got %+v", r)
		}
		if took := time.Since(start); took != 15*time.Minute {
			t.Errorf("it took %v", took)
		}
		a.Deadline = time.Now().Add(time.Minute)
		open, done := wait(t, t.Context(), d, a)
		if _, err := d.Decide(open.ID, yes(open, person("bo", "dba"))); err != nil {
			t.Fatal(err)
		}
		want := "not enough people answered in 1m: needs 2 of dba, approved by bo@example.com so far"
		if r := <-done; r.answer.Granted || r.answer.Why != want {
			t.Errorf("got %+v", r)
		}
	})
}

func waitFor(t *testing.T, d *Desk, a Ask) result {
	t.Helper()
	answer, err := d.Wait(t.Context(), a, nil)
	return result{answer, err}
}

// A statement must not be released after the right of its author has run out.
func TestTheAskersOwnExpiryEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDesk(Config{Now: time.Now})
		who := person("ana")
		who.Expires = time.Now().Add(10 * time.Second)
		start := time.Now()
		if r := waitFor(t, d, ask(who, oneDBA)); r.answer.Granted || time.Since(start) != 10*time.Second {
			t.Errorf("got %+v after %v", r, time.Since(start))
		}
	})
}

func TestNotOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDesk(Config{Now: time.Now, MaxOpen: 1})
		noGroups, blank, late, nobody := ask(person("ana"), Quorum{Count: 1}), ask(person("ana"), Quorum{Groups: []string{""}}),
			ask(person("ana"), oneDBA), ask(identity.Identity{}, oneDBA)
		late.Deadline = time.Now()
		part := ask(person("ana"), oneDBA.Plus(Quorum{Count: 1}))
		for _, tt := range []struct {
			name string
			ask  Ask
			want error
		}{
			{"a quorum without groups", noGroups, ErrNoQuorum},
			{"a quorum of the empty group", blank, ErrNoQuorum},
			{"a part that nobody can meet", part, ErrNoQuorum},
			{"no time left", late, ErrLate},
			{"nobody asks", nobody, ErrExpired},
		} {
			called := false
			answer, err := d.Wait(t.Context(), tt.ask, func(Ask) { called = true })
			if !errors.Is(err, tt.want) || answer.Granted || called {
				t.Errorf("%s: got %+v, %v, opened %v", tt.name, answer, err, called)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		first, done := wait(t, ctx, d, ask(person("ana"), oneDBA))
		if r := waitFor(t, d, ask(person("di"), oneDBA)); !errors.Is(r.err, ErrFull) {
			t.Errorf("a full desk gave %+v", r)
		}
		cancel()
		<-done
		if len(d.open) != 0 {
			t.Errorf("%s is still there", first.ID)
		}
		if _, err := NewDesk(Config{}).Wait(t.Context(), ask(person("ana"), oneDBA), nil); !errors.Is(err, ErrNoClock) {
			t.Errorf("a desk without a clock gave %v", err)
		}
	})
}

// One caller must not be able to keep everybody else's asks out.
func TestOneCallerCannotFillTheDesk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDesk(Config{Now: time.Now})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for range MaxOpenEach {
			wait(t, ctx, d, ask(person("ana"), oneDBA))
		}
		if r := waitFor(t, d, ask(person("ana"), oneDBA)); !errors.Is(r.err, ErrFull) {
			t.Errorf("one more of the same gave %+v", r)
		}
		wait(t, ctx, d, ask(person("di"), oneDBA))
	})
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDesk(Config{Now: time.Now})
		ctx, stop := context.WithCancel(t.Context())
		changed := d.Watch(ctx)
		<-changed // now
		a, done := wait(t, t.Context(), d, ask(person("ana"), Quorum{Groups: []string{"dba"}, Count: 2}))
		<-changed
		for _, name := range []string{"bo", "cy"} {
			if _, err := d.Decide(a.ID, yes(a, person(name, "dba"))); err != nil {
				t.Fatal(err)
			}
		}
		<-done
		if len(changed) != 1 {
			t.Errorf("%d signals wait, want the changes joined to one", len(changed))
		}
		<-changed
		stop()
		if _, more := <-changed; more {
			t.Error("the channel is not closed at the end")
		}
		if len(d.watchers) != 0 {
			t.Error("the watcher is still there")
		}
	})
}

// What List hands out is the caller's own: changing it changes no ask.
func TestListIsACopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDesk(Config{Now: time.Now})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		mine := ask(person("ana", "dev"), Quorum{Groups: []string{"dba"}, Count: 1, And: []Quorum{{Groups: []string{"sec"}}}})
		wait(t, ctx, d, mine)
		want := mine.clone()
		spoilt := d.List()[0].Ask
		spoilt.Params[0], spoilt.Who.Groups[0] = "2", "dba"
		spoilt.Quorum.Groups[0], spoilt.Quorum.And[0].Groups[0] = "dev", "dev"
		mine.Params[0], mine.Quorum.Groups[0], mine.Quorum.And[0].Groups[0] = "3", "all", "all"
		got := d.List()[0].Ask
		want.ID, want.Hash, want.Seal, want.Created = got.ID, got.Hash, got.Seal, got.Created
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestLongReasonIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDesk(Config{Now: time.Now})
		a, done := wait(t, t.Context(), d, ask(person("ana"), oneDBA))
		if _, err := d.Decide(a.ID, Vote{Who: person("bo", "dba"), Reason: strings.Repeat("é", MaxReason)}); err != nil {
			t.Fatal(err)
		}
		if got := (<-done).answer.Votes[0].Reason; len(got) != MaxReason {
			t.Errorf("%d bytes are kept", len(got))
		}
	})
}
