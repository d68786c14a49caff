package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// queue is investigations that nobody works at.
func queue(callers ...string) (*investigations, map[string]*investigation) {
	q, all := &investigations{busy: true}, map[string]*investigation{}
	for i, who := range callers {
		c := &investigation{held: &held{ctx: context.Background()}, caller: who, id: fmt.Sprint(who, i), looked: make(chan struct{})}
		all[c.id] = c
		q.add(c)
	}
	return q, all
}

func order(q *investigations) string {
	var ids []string
	for c := q.next(); c != nil; c = q.next() {
		ids = append(ids, c.id)
	}
	return strings.Join(ids, " ")
}

// Attack: send so much that what others send is not looked into for a long time.
func TestNobodysManyHoldUpSomebodysOne(t *testing.T) {
	q, _ := queue("ada", "ada", "ada", "ada", "ben", "ada", "cy", "ben")
	if got, want := order(q), "ada0 ben4 cy6 ada1 ben7 ada2 ada3 ada5"; got != want {
		t.Errorf("in the order %s, want %s", got, want)
	}
}

func TestWhatIsLookedAtComesFirst(t *testing.T) {
	q, all := queue("ada", "ada", "ada", "ada", "ben")
	q.want(all["ada2"])
	again := q.want(all["ada2"]) // by two people
	q.want(all["ada3"])
	letGo := q.want(all["ada1"])
	letGo()
	letGo() // is harmless
	again()
	q.leave(all["ben4"]) // withdrawn
	if got, want := order(q), "ada3 ada2 ada0 ada1"; got != want {
		t.Errorf("in the order %s, want %s", got, want)
	}
	q.want(all["ada0"])() // is over
	if len(q.wanted)+len(q.rest)+len(q.turns) != 0 || q.busy {
		t.Errorf("left are %v, %v, %v", q.wanted, q.rest, q.turns)
	}
}

// An ask is listed before it is in the queue: its record is written in between. Who looks
// at it in that moment has it looked into first all the same.
func TestWhatIsLookedAtBeforeItIsInTheQueueComesFirst(t *testing.T) {
	q, _ := queue("ada", "ada")
	soon := &investigation{held: &held{ctx: context.Background()}, caller: "ben", id: "soon", looked: make(chan struct{})}
	letGo := q.want(soon)
	if c := q.next(); c == nil || c.id != "ada0" {
		t.Errorf("begun with %+v", c)
	}
	q.add(soon)
	if got, want := order(q), "soon ada1"; got != want {
		t.Errorf("in the order %s, want %s", got, want)
	}
	letGo()
	gone := &investigation{held: soon.held, caller: "ben", id: "gone"}
	q.want(gone)
	q.leave(gone) // withdrawn before it was added
	q.add(gone)
	if len(q.wanted)+len(q.rest)+len(q.turns) != 0 {
		t.Errorf("left are %v, %v, %v", q.wanted, q.rest, q.turns)
	}
}

// An answer is given to those who waited when it was asked for, and to nobody who came
// later: what happened in between would be missing.
func TestWhatIsSharedIsNoOlderThanTheAsk(t *testing.T) {
	var known map[string]answerFor[int]
	found := 0
	find := func() (int, error) { found++; return found, nil }
	waits := func() *investigation {
		return &investigation{held: &held{ctx: context.Background()}, since: time.Now()}
	}
	first, second := waits(), waits()
	for _, c := range []*investigation{first, second, first} {
		if n, err := answer(&known, "x", c, find); n != 1 || err != nil {
			t.Errorf("found %d, %v", n, err)
		}
	}
	if n, _ := answer(&known, "x", waits(), find); n != 2 {
		t.Errorf("who came later is given answer %d", n)
	}
	if n, _ := answer(&known, "y", first, find); n != 3 {
		t.Errorf("another question has answer %d", n)
	}
	// What ended because its ask did is no answer for others.
	ctx, stop := context.WithCancel(context.Background())
	gone := &investigation{held: &held{ctx: ctx}, since: time.Now()}
	if _, err := answer(&known, "z", gone, func() (int, error) { stop(); return 0, ctx.Err() }); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	if n, err := answer(&known, "z", first, find); err != nil || n != 4 {
		t.Errorf("others are given %d, %v", n, err)
	}
	for i := range 3 * maxLookedUp {
		if _, _ = answer(&known, fmt.Sprint(i), first, find); len(known) > maxLookedUp {
			t.Fatalf("%d answers are kept", len(known))
		}
	}
}
