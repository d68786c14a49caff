package gateway

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/approval"
	"github.com/sluicehq/sluice/identity"
)

// lookTime is how long an approver who looks at an ask waits for what is known of it.
// Planning takes a second at most, and so does what is under way just then.
const lookTime = 5 * time.Second

// investigations are the asks of one database that were not looked into yet. One is
// looked into at a time, on one connection: first what an approver looks at, the last
// that was looked at before others; then each caller's oldest in turn, so that nobody's
// many hold up somebody's one. A goroutine works as long as there are some. The zero
// value is ready.
type investigations struct {
	work sync.WaitGroup // the goroutine

	mu     sync.Mutex
	busy   bool
	over   bool                        // nothing more is taken
	wanted []*investigation            // that approvers look at; the last comes first
	rest   map[string][]*investigation // by caller, the oldest first; also those that are wanted
	turns  []string                    // callers who have some, the next first
}

// investigation is what is to be found out of one held request. All but looked is as it
// was when the request began to wait.
type investigation struct {
	*held
	id     string // of the ask
	caller string
	shape  string    // fingerprint; "" if it has none
	since  time.Time // when it began to wait: what was asked before does not count for it

	begun  bool          // it was taken from the lists, or is not to be looked into any more; the lists' lock guards it
	looked chan struct{} // closed when approvers were told
}

// add puts an investigation behind those of its caller.
func (q *investigations) add(c *investigation) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.over || c.begun {
		return
	}
	if q.rest == nil {
		q.rest = map[string][]*investigation{}
	}
	if len(q.rest[c.caller]) == 0 {
		q.turns = append(q.turns, c.caller)
	}
	q.rest[c.caller] = append(q.rest[c.caller], c)
	if !q.busy {
		q.busy = true
		q.work.Go(q.run)
	}
}

// want puts an investigation ahead of all others, until it is let go again. It may be
// wanted before it is added: approvers see a request a moment earlier.
func (q *investigations) want(c *investigation) (letGo func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if c.begun {
		return func() {}
	}
	q.wanted = append(q.wanted, c)
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if i := slices.Index(q.wanted, c); i >= 0 { // one of those who look at it
			q.wanted = slices.Delete(q.wanted, i, i+1)
		}
	}
}

// leave forgets an investigation whose request waits no more.
func (q *investigations) leave(c *investigation) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.take(c)
}

// take takes an investigation out of all lists, for good; the lock is held.
func (q *investigations) take(c *investigation) {
	c.begun = true
	q.wanted = slices.DeleteFunc(q.wanted, func(other *investigation) bool { return other == c })
	own := q.rest[c.caller]
	i := slices.Index(own, c)
	if i < 0 {
		return
	}
	if own = slices.Delete(own, i, i+1); len(own) > 0 {
		q.rest[c.caller] = own
		return
	}
	delete(q.rest, c.caller)
	q.turns = slices.DeleteFunc(q.turns, func(caller string) bool { return caller == c.caller })
}

// end waits for what is under way, when the gateway stops.
func (q *investigations) end() {
	q.mu.Lock()
	q.over = true
	q.mu.Unlock()
	q.work.Wait()
}

// next is what is looked into now; nil if there is nothing more, and the goroutine ends.
func (q *investigations) next() *investigation {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.lastWanted()
	switch {
	case c != nil:
	case len(q.turns) > 0:
		caller := q.turns[0]
		q.turns = append(q.turns[1:], caller) // others have their turn before
		c = q.rest[caller][0]
	default:
		q.busy = false
		return nil
	}
	q.take(c)
	return c
}

// lastWanted is what was wanted last of what was added; nil if nothing was. The lock is held.
func (q *investigations) lastWanted() *investigation {
	for _, c := range slices.Backward(q.wanted) {
		if slices.Contains(q.rest[c.caller], c) {
			return c
		}
	}
	return nil
}

// run looks into what waits, one after the other.
func (q *investigations) run() {
	known := &lookedUp{}
	for c := q.next(); c != nil; c = q.next() {
		if c.ctx.Err() == nil {
			c.s.investigate(c, known)
		}
		close(c.looked)
	}
}

// lookedUp is what was found out for one ask and is true for others too. An answer
// serves those that waited already when it was asked for: for them it is as new as
// their own would be. Owned by the goroutine that looks into things, and gone with it.
type lookedUp struct {
	tables  map[string]answerFor[tableLooks]
	waiters map[string]answerFor[map[int32]int]
	shapes  map[string]answerFor[shapeTally]
	people  map[string]answerFor[string]
}

// answerFor is an answer, and since when it is true.
type answerFor[T any] struct {
	value T
	err   error
	at    time.Time
}

// maxLookedUp bounds how many answers of one sort are kept.
const maxLookedUp = approval.MaxOpen

// answer gives what is known under a key for who waits since then, or finds it out.
func answer[T any](known *map[string]answerFor[T], key string, c *investigation, find func() (T, error)) (T, error) {
	if a, ok := (*known)[key]; ok && a.at.After(c.since) {
		return a.value, a.err
	}
	if *known == nil || len(*known) >= maxLookedUp {
		*known = map[string]answerFor[T]{}
	}
	a := answerFor[T]{at: time.Now()}
	a.value, a.err = find()
	if c.ctx.Err() == nil { // else it is why there is no answer
		(*known)[key] = a
	}
	return a.value, a.err
}

// Look is an ask with what is known of it. An approver's look has it looked into ahead
// of others, and waits for that a little; whoever else may see it sees it as it is.
func (g *Gateway) Look(ctx context.Context, who identity.Identity, id string) (api.Ask, error) {
	if r, ok := g.book.Get(id); ok && r.State == approval.Waiting {
		if a, ok := g.askFor(approval.Open{Ask: r.Ask, Votes: r.Votes}, who); ok {
			return a, nil
		}
		return api.Ask{}, answerError(id, approval.ErrUnknown)
	}
	a, waits, err := g.openAsk(who, id)
	if err != nil || waits == nil || !a.MayAnswer && !g.auditor(who) {
		return a, err
	}
	defer waits.s.base.cases.want(waits)()
	late := time.NewTimer(lookTime)
	defer late.Stop()
	select {
	case <-waits.looked:
	case <-waits.ctx.Done(): // it waits no more
	case <-late.C:
	case <-ctx.Done():
		return a, ctx.Err()
	}
	if now, _, err := g.openAsk(who, id); err == nil {
		a = now
	}
	return a, nil // as it was, if it has ended meanwhile
}

// openAsk is a statement that waits, as who sees it, and what is still to be found out of it.
func (g *Gateway) openAsk(who identity.Identity, id string) (api.Ask, *investigation, error) {
	o, ok := g.desk.Get(id)
	if !ok {
		return api.Ask{}, nil, answerError(id, approval.ErrUnknown)
	}
	a, ok := g.askFor(o, who)
	if !ok {
		return api.Ask{}, nil, answerError(id, approval.ErrUnknown)
	}
	if kept, ok := o.Ask.Data.(*held); ok && a.Evidence != nil && !a.Evidence.Done {
		return a, kept.looks, nil
	}
	return a, nil, nil
}

func (g *Gateway) lookRoute(mux *http.ServeMux, who identity.Identity) {
	g.closed(mux, who, "GET "+api.AskPath, func(r *http.Request) (any, error) { return g.Look(r.Context(), who, r.PathValue("id")) })
}
