package mcp

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
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
