package mcp

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/runbook"
)

// Bounds of what is kept for clients that poll.
const (
	maxLive = 16               // statements that run or wait at once: each holds a session
	maxKept = 64               // outcomes that were not forgotten yet
	keepFor = 30 * time.Minute // an outcome, from its end on
)

// order is what is to be run.
type order struct {
	connection, database string
	sql                  string
	params               []*string // nil is NULL
	reason               string
	request              string // sql was approved ahead of time under this id
	writes               bool
	rows, bytes          int
	book                 *Book          // is run instead of sql
	bound                *runbook.Bound // of book
}

// statements are those of one agent: each runs in a goroutine and a session of its own,
// and goes on when the call that began it has returned. Safe for use by several
// goroutines.
type statements struct {
	run func(context.Context, *statement) outcome
	now func() time.Time

	ctx   context.Context // of all that run; a field because it is theirs, not a call's
	stop  context.CancelFunc
	group sync.WaitGroup

	mu   sync.Mutex
	all  map[string]*statement // under mu
	live int                   // under mu
}

// statement is one that runs, waits or has ended.
type statement struct {
	order
	id     string
	began  time.Time
	cancel context.CancelFunc
	done   chan struct{} // closed when out is set

	mu    sync.Mutex
	wait  *waiting      // under mu: for people; nil if it waits for none
	at    string        // under mu: how far a run of a runbook is
	moved chan struct{} // under mu: closed, and made anew, when wait changes
	out   outcome       // once done is closed
	ended time.Time     // as out
}

// waiting is what the gateway says of a statement that waits for people.
type waiting struct {
	Approval string `json:"approval_id"` // as approvers see it
	Needs    string `json:"needs"`       // "1 of dba"
	Rule     string `json:"rule"`
	Hint     string `json:"-"`
}

func newStatements(run func(context.Context, *statement) outcome, now func() time.Time) *statements {
	l := &statements{run: run, now: now, all: map[string]*statement{}}
	l.ctx, l.stop = context.WithCancel(context.Background())
	return l
}

// start begins o. It is nil if too many run already, or all is closing.
func (l *statements) start(o order) *statement {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget()
	if l.live >= maxLive || l.ctx.Err() != nil {
		return nil
	}
	st := &statement{order: o, id: "s-" + strings.ToLower(rand.Text()[:12]), began: l.now(), done: make(chan struct{}), moved: make(chan struct{})}
	ctx, cancel := context.WithCancel(l.ctx)
	st.cancel = cancel
	l.all[st.id] = st
	l.live++
	l.group.Go(func() {
		defer cancel()
		out := l.run(ctx, st)
		l.mu.Lock()
		defer l.mu.Unlock()
		st.out, st.ended = out, l.now()
		l.live--
		close(st.done)
	})
	return st
}

// forget lets go of outcomes that are old, or too many. Called under mu.
func (l *statements) forget() {
	var oldest *statement
	kept := 0
	for id, st := range l.all {
		switch {
		case st.ended.IsZero():
			continue
		case l.now().Sub(st.ended) > keepFor:
			delete(l.all, id)
			continue
		case oldest == nil || st.ended.Before(oldest.ended):
			oldest = st
		}
		kept++
	}
	if kept >= maxKept {
		delete(l.all, oldest.id)
	}
}

func (l *statements) get(id string) *statement {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget()
	return l.all[id]
}

// close cancels all that runs, and returns when it has ended.
func (l *statements) close() {
	l.mu.Lock()
	l.stop()
	l.mu.Unlock()
	l.group.Wait()
}

// held notes that the statement waits for people, or no longer does.
func (st *statement) held(w *waiting) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.wait = w
	close(st.moved)
	st.moved = make(chan struct{})
}

func (st *statement) waits() (*waiting, <-chan struct{}) {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.wait, st.moved
}

// await returns when the statement has ended, when it waits for people if only is that
// it began to, or after a while.
func (st *statement) await(ctx context.Context, patience time.Duration, untilHeld bool) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		w, moved := st.waits()
		if w != nil && untilHeld {
			return
		}
		select {
		case <-st.done:
			return
		case <-moved:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// result is the outcome, if there is one.
func (st *statement) result() (outcome, bool) {
	select {
	case <-st.done:
		return st.out, true
	default:
		return outcome{}, false
	}
}
