package approval

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/identity"
)

// Limits of a desk.
const (
	// MaxOpen is how many asks may wait at once: more than any team can read, and
	// little enough memory that a runaway script cannot fill the gateway.
	MaxOpen = 1000
	// MaxOpenEach keeps one caller from using up the desk for everybody else.
	MaxOpenEach = 50
	// MaxReason is how much of a voter's reason is kept, in bytes: a paragraph.
	MaxReason = 1000
)

// Why an ask could not be opened.
var (
	ErrFull     = errors.New("too many asks are waiting")
	ErrNoQuorum = errors.New("nobody could ever answer: the rule names no group of approvers")
	ErrLate     = errors.New("the time to answer is over before it began")
	ErrInUse    = errors.New("an ask with this id is waiting already")
	ErrNoClock  = errors.New("the desk has no clock")
)

// Config is what a Desk needs.
type Config struct {
	Now     func() time.Time // the clock; without one nothing can be held, so everything is refused
	NewID   func() string    // proposes an id; NewID of this package if nil
	MaxOpen int              // asks that may wait at once; MaxOpen if 0

	// Tell has a book keep which states of its requests others have still to be told of.
	Tell bool

	// Barred says why somebody has no rights any more, whatever their certificate
	// says; nil bars nobody. It is asked at each vote, of all who voted, and must not
	// block or call the desk.
	Barred func(identity.Identity) error
}

// Desk keeps the asks that wait. It decides under one lock, so that of a grant, a
// denial, a cancellation and the deadline exactly one takes effect.
type Desk struct {
	cfg      Config
	mu       sync.Mutex
	open     map[string]*hold
	ended    []Closed // the last of them
	watchers map[chan struct{}]struct{}
}

// Closed is an ask that waits no more, and its answer.
type Closed struct {
	Seal   string
	Answer Answer
}

// keepClosed is how many of them a desk remembers, for those who watched them wait.
const keepClosed = 2 * MaxOpen

// hold is one waiting ask. All but ctx is guarded by the desk's lock.
type hold struct {
	poll
	ctx   context.Context // of the caller that waits: a vote after its end does not count
	ended chan struct{}   // closed when there is an answer
	turn  uint64          // of Open.Turn
}

// Open is a waiting ask and the votes so far.
type Open struct {
	Ask   Ask
	Votes []Vote
	Turn  uint64 // grows with each change of it
}

// NewDesk returns an empty desk.
func NewDesk(cfg Config) *Desk {
	if cfg.NewID == nil {
		cfg.NewID = NewID
	}
	if cfg.MaxOpen <= 0 {
		cfg.MaxOpen = MaxOpen
	}
	if cfg.Barred == nil {
		cfg.Barred = func(identity.Identity) error { return nil }
	}
	return &Desk{cfg: cfg, open: map[string]*hold{}, watchers: map[chan struct{}]struct{}{}}
}

// Wait lists the ask, calls opened once with it (id and hash filled in), and blocks
// until it is granted, denied, past its deadline, or ctx is done. The answer holds
// for this call only: when Wait returns, the ask is gone. An error means that the
// ask could not be opened, and refuses like an answer that says no.
func (d *Desk) Wait(ctx context.Context, a Ask, opened func(Ask)) (Answer, error) {
	h, err := d.add(ctx, a)
	if err != nil {
		return Answer{}, fmt.Errorf("open ask: %w", err)
	}
	defer d.remove(h)
	if opened != nil {
		opened(h.ask.clone())
	}
	alarms := append(h.ask.Quorum.Escalates(h.ask.Created), h.ask.Deadline)
	for _, at := range alarms {
		if at.After(h.ask.Deadline) {
			at = h.ask.Deadline
		}
		if over := d.until(ctx, h, at); over {
			break
		}
		d.Wake() // more people may answer now, and are shown it
	}
	return d.giveUp(h), nil
}

// until waits for the end of a hold, or that time; over tells the end.
func (d *Desk) until(ctx context.Context, h *hold, at time.Time) (over bool) {
	timer := time.NewTimer(at.Sub(d.cfg.Now()))
	defer timer.Stop()
	select {
	case <-h.ended:
		return true
	case <-ctx.Done():
		return true
	case <-timer.C:
		return false
	}
}

// add checks the ask and lists it.
func (d *Desk) add(ctx context.Context, a Ask) (*hold, error) {
	if d.cfg.Now == nil {
		return nil, ErrNoClock
	}
	a = a.clone()
	now := d.cfg.Now()
	if a.Created.IsZero() {
		a.Created = now
	}
	// An answer must not outlive the right to ask.
	if a.Who.Expires.Before(a.Deadline) {
		a.Deadline = a.Who.Expires
	}
	switch {
	case !a.Who.Valid(now):
		return nil, ErrExpired
	case !a.Quorum.Possible():
		return nil, ErrNoQuorum
	case !now.Before(a.Deadline):
		return nil, ErrLate
	}
	if a.Hash == "" {
		a.Hash = Bind(a.SQL, a.Params, a.Who, a.Session, a.Connection)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.room(a.Who); err != nil {
		return nil, err
	}
	id, err := d.freeID(a.ID)
	if err != nil {
		return nil, err
	}
	a.ID, a.Seal = id, seal(rand.Text(), id, a.Hash)
	h := &hold{poll: poll{ask: a}, ctx: ctx, ended: make(chan struct{})}
	d.open[a.ID] = h
	d.signal()
	return h, nil
}

func (d *Desk) room(who identity.Identity) error {
	if len(d.open) >= d.cfg.MaxOpen {
		return fmt.Errorf("%w: %d", ErrFull, len(d.open))
	}
	own := 0
	for _, h := range d.open {
		if samePerson(h.ask.Who, who) {
			own++
		}
	}
	if own >= MaxOpenEach {
		return fmt.Errorf("%w: %d of %s", ErrFull, own, who.Name())
	}
	return nil
}

func (d *Desk) freeID(id string) (string, error) {
	if id != "" {
		if d.open[id] != nil {
			return "", fmt.Errorf("%w: %s", ErrInUse, id)
		}
		return id, nil
	}
	// A collision is rare; a source that repeats itself must not spin for ever.
	for range 100 {
		id = d.cfg.NewID()
		if id != "" && d.open[id] == nil {
			return id, nil
		}
	}
	return "", fmt.Errorf("%w: no free id found", ErrInUse)
}

// Decide records v on the ask with that id. A refusal by one person ends it; it is
// granted when the quorum is met by people who still have the right at this moment, or
// by break-glass. A grant must carry the seal of the ask that was looked at. The
// returned Ask is what the vote was about, also with an error, if the ask exists.
func (d *Desk) Decide(id string, v Vote) (Ask, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.open[id]
	if h == nil || h.over(d.cfg.Now()) {
		return Ask{}, fmt.Errorf("%w: %q", ErrUnknown, id)
	}
	v.At = d.cfg.Now()
	v.Reason = cut(v.Reason, MaxReason)
	v.Who.Groups = slices.Clone(v.Who.Groups)
	if err := h.vote(v, d.cfg.Barred); err != nil {
		return h.ask.clone(), err
	}
	h.turn++
	if h.done {
		close(h.ended)
	}
	d.signal()
	return h.ask.clone(), nil
}

// over reports whether no vote counts any more: it has an answer, its caller has
// gone, or its time is up, whether or not the waiting goroutine has noticed.
func (h *hold) over(now time.Time) bool {
	return h.done || h.ctx.Err() != nil || !now.Before(h.ask.Deadline)
}

// giveUp ends an ask that nobody answered in time, or whose caller left. A vote
// that was accepted first stands.
func (d *Desk) giveUp(h *hold) Answer {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !h.done {
		h.poll.giveUp(h.ctx.Err() != nil)
		close(h.ended)
	}
	return h.answer
}

func (d *Desk) remove(h *hold) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, h.ask.ID)
	if len(d.ended) >= keepClosed {
		d.ended = slices.Delete(d.ended, 0, keepClosed/2)
	}
	d.ended = append(d.ended, Closed{Seal: h.ask.Seal, Answer: h.answer})
	d.signal()
}

// Ended is how the ask with that seal ended, if it did so lately.
func (d *Desk) Ended(seal string) (Answer, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range d.open {
		if h.done && h.ask.Seal == seal { // the one that waits has not noticed yet
			return h.answer, true
		}
	}
	for _, c := range slices.Backward(d.ended) {
		if c.Seal == seal {
			return c.Answer, true
		}
	}
	return Answer{}, false
}

// List is every ask that still takes votes, the oldest first.
func (d *Desk) List() []Open {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := []Open{}
	for _, h := range d.open {
		if !h.over(d.cfg.Now()) {
			list = append(list, Open{Ask: h.ask.clone(), Votes: slices.Clone(h.votes), Turn: h.turn})
		}
	}
	slices.SortFunc(list, func(a, b Open) int {
		if c := a.Ask.Created.Compare(b.Ask.Created); c != 0 {
			return c
		}
		return strings.Compare(a.Ask.ID, b.Ask.ID)
	})
	return list
}

// Get is the ask with that id, if it still takes votes.
func (d *Desk) Get(id string) (Open, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.open[id]
	if h == nil || h.over(d.cfg.Now()) {
		return Open{}, false
	}
	return Open{Ask: h.ask.clone(), Votes: slices.Clone(h.votes), Turn: h.turn}, true
}

// Watch returns a channel with a signal in it now and after every change; changes
// that nobody has picked up yet are one signal. It is closed when ctx is done.
func (d *Desk) Watch(ctx context.Context) <-chan struct{} {
	ch := make(chan struct{}, 1)
	ch <- struct{}{}
	d.mu.Lock()
	d.watchers[ch] = struct{}{}
	d.mu.Unlock()
	context.AfterFunc(ctx, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.watchers, ch)
		close(ch)
	})
	return ch
}

// Wake tells the watchers that what they show may read differently.
func (d *Desk) Wake() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.signal()
}

// signal wakes the watchers; the lock is held.
func (d *Desk) signal() {
	for ch := range d.watchers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

func (a Ask) clone() Ask {
	a.Params = slices.Clone(a.Params)
	a.Who.Groups = slices.Clone(a.Who.Groups)
	a.Quorum = a.Quorum.clone()
	return a
}
