package mcp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/runbook"
)

// Attack: a model that begins statements without end holds no session beyond a bound,
// and what it never asks for is forgotten.
func TestStatementsAreBounded(t *testing.T) {
	now := time.Now()
	go1 := make(chan struct{})
	l := newStatements(func(ctx context.Context, st *statement) outcome {
		if st.sql == "short" {
			return outcome{command: st.sql}
		}
		select {
		case <-go1:
			return outcome{}
		case <-ctx.Done():
			return outcome{err: ctx.Err()}
		}
	}, func() time.Time { return now })
	var first *statement
	for i := range maxLive {
		st := l.start(order{sql: "long"})
		if st == nil {
			t.Fatalf("only %d were begun", i)
		}
		if first == nil {
			first = st
		}
	}
	if l.start(order{sql: "long"}) != nil {
		t.Error("one more than there may be")
	}
	first.cancel()
	first.await(t.Context(), time.Minute, true)
	if out, ok := first.result(); !ok || !errors.Is(out.err, context.Canceled) {
		t.Errorf("the first ended with %v", out.err)
	}
	var ids []string
	for range maxKept + 10 {
		st := l.start(order{sql: "short"})
		if st == nil {
			t.Fatal("there is no room though one has ended")
		}
		st.await(t.Context(), time.Minute, true)
		ids = append(ids, st.id)
		now = now.Add(time.Second)
	}
	if l.get(ids[0]) != nil || l.get(ids[len(ids)-1]) == nil {
		t.Error("the oldest outcome is kept, or the newest is not")
	}
	now = now.Add(keepFor + time.Second)
	if l.get(ids[len(ids)-1]) != nil {
		t.Error("an old outcome is kept")
	}
	l.close()
	for id, st := range l.all {
		if _, ok := st.result(); !ok {
			t.Errorf("%s goes on after the end", id)
		}
	}
	if l.start(order{}) != nil {
		t.Error("one was begun after the end")
	}
	close(go1)
}

func TestWhoAwaitsHearsOfAHold(t *testing.T) {
	l := newStatements(func(ctx context.Context, st *statement) outcome {
		st.held(&waiting{Approval: "abcde", Needs: "1 of dba", Rule: "x: y"})
		<-ctx.Done()
		return outcome{err: ctx.Err()}
	}, time.Now)
	defer l.close()
	st := l.start(order{})
	st.await(t.Context(), time.Minute, true)
	if w, _ := st.waits(); w == nil || w.Approval != "abcde" {
		t.Errorf("it waits for %+v", w)
	}
	began := time.Now()
	st.await(t.Context(), 50*time.Millisecond, false)
	if time.Since(began) < 50*time.Millisecond {
		t.Error("one who polls with patience was not made to wait")
	}
	if a := st.tell(time.Now()); a.failed || fmt.Sprint(a.facts.(ran).Status) != stateHeld {
		t.Errorf("%+v", a)
	}
}

// A run of a runbook does not hold the call: it is said how far it is, and the words of
// the database never leave the fence.
func TestRunOfARunbookIsToldAsItGoes(t *testing.T) {
	step, end := make(chan runbook.Event), make(chan error)
	book := Book{Runbook: &runbook.Runbook{Name: "b"}, Run: func(ctx context.Context, _ *runbook.Bound, _ string, l Listener) (*runbook.State, error) {
		state := &runbook.State{Run: "rb-1", Status: runbook.Broken, Steps: []runbook.StepState{{Name: "one", Status: runbook.StepIsDone}, {Name: "two", Status: runbook.StepIsWaiting}}}
		for {
			select {
			case e := <-step:
				l.Event(e)
			case err := <-end:
				return state, err
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}}
	s := &Server{cfg: Config{Now: time.Now}}
	s.statements = newStatements(s.run, time.Now)
	defer s.Close()
	st := s.statements.start(order{book: &book, rows: 2, bytes: 1 << 10})
	step <- runbook.Event{What: runbook.StepBegan, Step: "one", Index: 1, Of: 2}
	value := func(n int) *string { v := strings.Repeat("x", n); return &v }
	for _, rows := range [][][]*string{{{value(900)}}, {{value(5)}, {value(6)}, {value(7)}}} { // two turns, of which the last is kept
		step <- runbook.Event{What: runbook.StepDone, Step: "one", Result: &runbook.Result{Columns: []runbook.Column{{Name: "c", OID: 25}}, Rows: rows}}
	}
	step <- runbook.Event{What: runbook.StepDone, Step: "two", Result: &runbook.Result{Columns: []runbook.Column{{Name: "c", OID: 25}}, Rows: [][]*string{{value(900)}}}}
	if a := st.tell(time.Now()); a.failed || a.facts.(ranBook).Status != stateRunning || !strings.Contains(a.says, "step 1 of 2, one") {
		t.Errorf("it goes on: %+v", a)
	}
	end <- &runbook.Failure{Cause: runbook.Lost, Step: "two", Sentence: "the session was lost: evil"}
	st.await(t.Context(), time.Minute, true)
	a := st.tell(time.Now())
	if facts := a.facts.(ranBook); !a.failed || facts.Ended != "broken" || strings.Contains(a.says+facts.Reason+facts.Hint, "evil") || !strings.Contains(facts.Hint, "sluice runbook resume rb-1;") {
		t.Errorf("it ended: %+v", a)
	}
	given := a.data.(map[string]any)["results"].([]*stepRows)
	if len(given) != 1 || given[0].Step != "one" || len(given[0].Rows) != 2 || !given[0].Truncated {
		t.Errorf("results: %+v", given)
	}
}
