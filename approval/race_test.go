package approval

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Of two approvers at the same moment one grants, the other is told it is over, and
// the statement is released once.
func TestTwoApproversAtOnce(t *testing.T) {
	d := NewDesk(Config{Now: time.Now})
	a, done := wait(t, t.Context(), d, ask(person("ana"), oneDBA))
	errs := make([]error, 2)
	atOnce(func() { _, errs[0] = d.Decide(a.ID, yes(a, person("bo", "dba"))) },
		func() { _, errs[1] = d.Decide(a.ID, yes(a, person("cy", "dba"))) })
	r := <-done
	if !r.answer.Granted || len(r.answer.Votes) != 1 {
		t.Errorf("got %+v", r)
	}
	if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs...), ErrUnknown) {
		t.Errorf("the votes gave %v and %v, want one to come too late", errs[0], errs[1])
	}
}

// Two of two at the same moment are enough.
func TestTwoNeededAtOnce(t *testing.T) {
	d := NewDesk(Config{Now: time.Now})
	a, done := wait(t, t.Context(), d, ask(person("ana"), Quorum{Groups: []string{"dba"}, Count: 2}))
	atOnce(func() { d.Decide(a.ID, yes(a, person("bo", "dba"))) }, func() { d.Decide(a.ID, yes(a, person("cy", "dba"))) })
	if r := <-done; !r.answer.Granted || len(r.answer.Votes) != 2 {
		t.Errorf("got %+v", r)
	}
}

// Whatever order the scheduler picks, the approver and the waiting caller are told
// the same.
func TestApproveAgainstCancel(t *testing.T) {
	d := NewDesk(Config{Now: time.Now})
	ctx, cancel := context.WithCancel(t.Context())
	a, done := wait(t, ctx, d, ask(person("ana"), oneDBA))
	var err error
	atOnce(cancel, func() { _, err = d.Decide(a.ID, yes(a, person("bo", "dba"))) })
	if r := <-done; r.answer.Granted != (err == nil) {
		t.Errorf("the approver got %v, the caller %+v", err, r)
	}
}

func TestApproveAgainstDeny(t *testing.T) {
	d := NewDesk(Config{Now: time.Now})
	a, done := wait(t, t.Context(), d, ask(person("ana"), oneDBA))
	var granted, denied error
	atOnce(func() { _, granted = d.Decide(a.ID, yes(a, person("bo", "dba"))) },
		func() { _, denied = d.Decide(a.ID, Vote{Who: person("cy", "dba")}) })
	r := <-done
	if (granted == nil) == (denied == nil) || r.answer.Granted != (granted == nil) {
		t.Errorf("grant gave %v, denial %v, the caller got %+v", granted, denied, r)
	}
}

// A vote after the caller has left does not count, even before Wait has noticed.
func TestVoteAfterCancel(t *testing.T) {
	d := NewDesk(Config{Now: time.Now})
	ctx, cancel := context.WithCancel(t.Context())
	opened, goOn, done := make(chan Ask), make(chan struct{}), make(chan Answer, 1)
	go func() {
		answer, _ := d.Wait(ctx, ask(person("ana"), oneDBA), func(a Ask) {
			opened <- a
			<-goOn // keeps Wait from looking at ctx
		})
		done <- answer
	}()
	a := <-opened
	cancel()
	if _, err := d.Decide(a.ID, yes(a, person("bo", "dba"))); !errors.Is(err, ErrUnknown) {
		t.Errorf("the vote gave %v", err)
	}
	if len(d.List()) != 0 {
		t.Error("the ask is listed after its caller left")
	}
	close(goOn)
	if answer := <-done; answer.Granted || answer.Why != "cancelled" {
		t.Errorf("got %+v", answer)
	}
}

// At the very moment of the deadline it is too late, whichever goroutine is first.
func TestApproveAgainstDeadline(t *testing.T) {
	for _, early := range []time.Duration{0, time.Nanosecond} {
		synctest.Test(t, func(t *testing.T) {
			d := NewDesk(Config{Now: time.Now})
			a, done := wait(t, t.Context(), d, ask(person("ana"), oneDBA))
			var err error
			voted := make(chan struct{})
			time.AfterFunc(time.Until(a.Deadline)-early, func() {
				_, err = d.Decide(a.ID, yes(a, person("bo", "dba")))
				close(voted)
			})
			r := <-done
			<-voted
			if want := early > 0; r.answer.Granted != want || (err == nil) != want {
				t.Errorf("%v before the deadline the approver got %v, the caller %+v", early, err, r)
			}
		})
	}
}

// Many asks, votes, cancellations and readers at once: every Wait ends, every grant
// has its vote, nothing stays behind.
func TestManyAtOnce(t *testing.T) {
	d := NewDesk(Config{Now: time.Now})
	ctx, stop := context.WithCancel(t.Context())
	changed := d.Watch(ctx)
	var waits sync.WaitGroup
	for i := range 40 {
		ctx, cancel := context.WithCancel(t.Context())
		waits.Go(func() {
			defer cancel()
			answer, err := d.Wait(ctx, ask(person("ana"), oneDBA), func(a Ask) {
				switch i % 3 {
				case 0:
					go cancel()
				case 1:
					go d.Decide(a.ID, yes(a, person("bo", "dba")))
				case 2:
					go d.Decide(a.ID, Vote{Who: person("cy", "dba")})
				}
				d.List()
			})
			if err != nil || answer.Granted != (i%3 == 1) {
				t.Errorf("ask %d: %+v, %v", i, answer, err)
			}
		})
	}
	waits.Wait()
	if len(d.List()) != 0 {
		t.Errorf("left behind: %+v", d.List())
	}
	stop()
	for range changed {
	}
}

// atOnce runs all as nearly together as can be, and waits for them.
func atOnce(fs ...func()) {
	var ready, all sync.WaitGroup
	start := make(chan struct{})
	for _, f := range fs {
		ready.Add(1)
		all.Go(func() {
			ready.Done()
			<-start
			f()
		})
	}
	ready.Wait()
	close(start)
	all.Wait()
}
