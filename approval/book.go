package approval

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"crypto/rand"

	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/durable"
	"github.com/sluicehq/sluice/internal/howlong"
)

// The states of a request.
const (
	Waiting   = "waiting"   // people may answer
	Granted   = "granted"   // it may be used
	Denied    = "denied"    // for ever
	Expired   = "expired"   // nobody answered, or nobody used it in time
	Cancelled = "cancelled" // taken back by who made it, or by an approver after the grant
	Used      = "used"      // the script has been let run, once
)

// Limits of a book.
const (
	MaxRequests = 500                // that are open at once
	AnswerTime  = 24 * time.Hour     // that people have to answer a request
	UseTime     = 24 * time.Hour     // that a granted script may be run in
	MaxWindow   = 12 * time.Hour     // the longest window: a day's work
	keepEnded   = 7 * 24 * time.Hour // that ended requests are listed; the record has them for ever
)

// Request is asked ahead of time: a script that may then run once, or a window of time
// in which holds that its approvers could answer are answered. It is for the one
// person, job or agent that made it, on one connection.
type Request struct {
	Ask
	For     time.Duration // of a window; 0 for a script
	Effects []string      // of a script: a digest of what each statement would do when it was asked for
	State   string
	Votes   []Vote
	Why     string    // how it ended, for people
	Until   time.Time // once granted: the end of the window, or of the time to run the script

	// Untold are states that it has or had, and that others have still to be told of. They
	// are on disk with the state itself, so that none is lost.
	Untold []string `json:",omitempty"`
}

// Window reports whether the request is for a window of time.
func (r *Request) Window() bool { return r.For > 0 }

// Why a request cannot be used.
var (
	ErrNoRequest = errors.New("there is no such request of yours")
	ErrNotOpen   = errors.New("the request cannot be used")
)

// Book keeps requests, in a file that survives the gateway: what Book says was granted,
// used or ended is on disk when it says so. Safe for use by several goroutines.
type Book struct {
	file    durable.JSON
	cfg     Config
	changed func()

	mu   sync.Mutex
	list map[string]*Request
}

// OpenBook reads the book at path, or begins one; "" keeps it in memory. changed is
// called, without the book's lock, whenever it reads differently. What cannot be read
// is an error: grants and uses that were forgotten could be used again.
func OpenBook(path string, cfg Config, changed func()) (*Book, error) {
	if cfg.Barred == nil {
		cfg.Barred = func(identity.Identity) error { return nil }
	}
	b := &Book{file: durable.JSON{Path: path, What: "the requests"}, cfg: cfg, changed: changed, list: map[string]*Request{}}
	var list []*Request
	if _, err := b.file.Read(&list); err != nil {
		return nil, err
	}
	for _, r := range list {
		if r == nil || r.ID == "" {
			return nil, fmt.Errorf("read the requests in %s: one has no id", path)
		}
		b.list[r.ID] = r
	}
	return b, nil
}

// change runs do on a copy of a request, as it is by now, and keeps the copy if it is on
// disk.
func (b *Book) change(id string, do func(*Request) error) (Request, error) {
	return b.alter(id, func(r *Request) error {
		expire(r, b.cfg.Now())
		return do(r)
	})
}

// alter is change for a request as it is kept.
func (b *Book) alter(id string, do func(*Request) error) (Request, error) {
	b.mu.Lock()
	r := b.list[id]
	if r == nil {
		b.mu.Unlock()
		return Request{}, fmt.Errorf("%w: %q", ErrUnknown, id)
	}
	next := *r
	next.Votes, next.Untold = slices.Clone(r.Votes), slices.Clone(r.Untold)
	err := do(&next)
	// That a grant was used, or not in time, is no news.
	if b.cfg.Tell && next.State != r.State && (r.State == Waiting || next.State == Cancelled) {
		next.Untold = append(next.Untold, next.State)
	}
	if err == nil {
		err = b.keep(&next)
	}
	b.mu.Unlock()
	if err == nil {
		b.changed()
	}
	return next, err
}

// keep writes the book with r in it; the lock is held.
func (b *Book) keep(r *Request) error {
	now := b.cfg.Now()
	list := []*Request{r}
	for id, have := range b.list {
		ended := have.State != Waiting && have.State != Granted
		if id != r.ID && !(ended && now.Sub(have.Created) > keepEnded) {
			list = append(list, have)
		}
	}
	slices.SortFunc(list, func(a, b *Request) int { return a.Created.Compare(b.Created) })
	if err := b.file.Write(list); err != nil {
		return err
	}
	clear(b.list)
	for _, r := range list {
		b.list[r.ID] = r
	}
	return nil
}

// expire ends what nobody answered or used in time.
func expire(r *Request, now time.Time) {
	switch {
	case r.State == Waiting && !now.Before(r.Deadline):
		r.State, r.Why = Expired, "nobody answered in time"
	case r.State == Granted && !now.Before(r.Until):
		r.State, r.Why = Expired, "its time is over"
	}
}

// Add opens a request; id, times and seal are given here.
func (b *Book) Add(r Request) (Request, error) {
	now := b.cfg.Now()
	switch {
	case !r.Who.Valid(now):
		return Request{}, ErrExpired
	case !r.Quorum.Possible():
		return Request{}, ErrNoQuorum
	case r.For < 0 || r.For > MaxWindow:
		return Request{}, fmt.Errorf("a window is at most %s long", howlong.Text(MaxWindow))
	case r.Window() == (r.SQL != ""):
		return Request{}, errors.New("a request is for a script or for a window")
	}
	r.Ask = r.Ask.clone()
	r.Created, r.Deadline, r.State, r.Votes, r.Until = now, now.Add(AnswerTime), Waiting, nil, time.Time{}
	r.Hash = Bind(r.SQL, []string{r.For.String()}, r.Who, "", r.Connection)
	r.Untold = nil
	if b.cfg.Tell {
		r.Untold = []string{Waiting}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	open, own := 0, 0
	for _, have := range b.list {
		if have.State == Waiting || have.State == Granted {
			open++
			if samePerson(have.Who, r.Who) {
				own++
			}
		}
	}
	if open >= MaxRequests || own >= MaxOpenEach {
		return Request{}, ErrFull
	}
	for r.ID == "" || b.list[r.ID] != nil {
		r.ID = "r-" + NewID()
	}
	r.Seal = seal(rand.Text(), r.ID, r.Hash)
	if err := b.keep(&r); err != nil {
		return Request{}, err
	}
	go b.changed() // not under the lock
	return r, nil
}

// Decide takes in a vote. On what is granted already, an approver's denial takes the
// grant back.
func (b *Book) Decide(id string, v Vote) (Request, error) {
	v.At = b.cfg.Now()
	v.Reason = cut(v.Reason, MaxReason)
	return b.change(id, func(r *Request) error {
		if r.State == Granted && !v.Grant {
			if err := r.MayAnswer(v.Who, v.At); err != nil {
				return err
			}
			if err := b.cfg.Barred(v.Who); err != nil {
				return err
			}
			r.State, r.Why, r.Votes = Cancelled, said("taken back by ", v), append(r.Votes, v)
			return nil
		}
		if r.State != Waiting {
			return fmt.Errorf("%w: %q", ErrUnknown, id)
		}
		p := poll{ask: r.Ask, votes: r.Votes}
		if err := p.vote(v, b.cfg.Barred); err != nil {
			return err
		}
		r.Votes = p.votes
		if !p.done {
			return nil
		}
		r.Why, r.State = p.answer.Why, Denied
		if p.answer.Granted {
			r.State, r.Until = Granted, v.At.Add(UseTime)
			if r.Window() {
				r.Until = v.At.Add(r.For)
			}
		}
		return nil
	})
}

// Cancel takes a request back, by who made it.
func (b *Book) Cancel(id string, who identity.Identity) (Request, error) {
	return b.change(id, func(r *Request) error {
		if !madeBy(r, who) {
			return fmt.Errorf("%w: %q", ErrUnknown, id)
		}
		if r.State != Waiting && r.State != Granted {
			return fmt.Errorf("%w: it is %s", ErrNotOpen, r.State)
		}
		r.State, r.Why = Cancelled, "taken back by "+who.Name()
		return nil
	})
}

// Told notes that others were told of a state of a request.
func (b *Book) Told(id, state string) error {
	_, err := b.alter(id, func(r *Request) error { // that it is over is for Lapse to say
		r.Untold = slices.DeleteFunc(r.Untold, func(s string) bool { return s == state })
		return nil
	})
	return err
}

// Lapse ends the requests that nobody answered in time, on disk, and gives them.
func (b *Book) Lapse() (over []Request) {
	now := b.cfg.Now()
	b.mu.Lock()
	var ids []string
	for id, r := range b.list {
		if r.State == Waiting && !now.Before(r.Deadline) {
			ids = append(ids, id)
		}
	}
	b.mu.Unlock()
	for _, id := range ids {
		if r, err := b.change(id, func(*Request) error { return nil }); err == nil {
			over = append(over, r)
		} // else the next look ends it
	}
	return over
}

// madeBy is exact: a grant is for the very same caller.
func madeBy(r *Request, who identity.Identity) bool {
	return r.Who.Issuer == who.Issuer && r.Who.Subject == who.Subject && r.Who.Kind == who.Kind && r.Who.Owner == who.Owner
}

// usable is nil if who may use a granted request on a connection at now: nobody whose
// vote it needs was barred since.
func (b *Book) usable(r *Request, who identity.Identity, connection string, now time.Time) error {
	p := poll{ask: r.Ask, votes: r.Votes}
	glass := slices.ContainsFunc(r.Votes, func(v Vote) bool { return v.BreakGlass && b.cfg.Barred(v.Who) == nil })
	switch {
	case !madeBy(r, who) || r.Connection != connection || !who.Valid(now):
		return ErrNoRequest
	case r.State != Granted:
		why := r.State
		if r.Why != "" {
			why += ": " + r.Why
		}
		return fmt.Errorf("%w: it is %s", ErrNotOpen, why)
	case !glass && !r.Quorum.Met(p.standing(b.cfg.Barred), r.Created):
		return fmt.Errorf("%w: somebody who agreed has no rights any more", ErrNotOpen)
	}
	return nil
}

// Script is the granted script with that id, for its author.
func (b *Book) Script(id string, who identity.Identity, connection string) (Request, error) {
	now := b.cfg.Now()
	r, ok := b.Get(id)
	if !ok || r.Window() {
		return Request{}, ErrNoRequest
	}
	return r, b.usable(&r, who, connection, now)
}

// Use takes the one run of a granted script: when it returns nil, that is on disk, and
// nobody gets it again.
func (b *Book) Use(id string, who identity.Identity, connection string) (Request, error) {
	now := b.cfg.Now()
	return b.change(id, func(r *Request) error {
		if r.Window() {
			return ErrNoRequest
		}
		if err := b.usable(r, who, connection, now); err != nil {
			return err
		}
		r.State, r.Why = Used, strings.TrimSpace(r.Why+", then run")
		return nil
	})
}

// Windows are the windows that are open for who on a connection, the first to end first.
func (b *Book) Windows(who identity.Identity, connection string) (open []Request) {
	now := b.cfg.Now()
	for _, r := range b.List() {
		if r.Window() && b.usable(&r, who, connection, now) == nil {
			open = append(open, r)
		}
	}
	slices.SortFunc(open, func(a, b Request) int { return a.Until.Compare(b.Until) })
	return open
}

// Get is the request with that id as it is now.
func (b *Book) Get(id string) (Request, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.list[id]
	if r == nil {
		return Request{}, false
	}
	out := *r
	out.Ask, out.Votes, out.Untold = r.Ask.clone(), slices.Clone(r.Votes), slices.Clone(r.Untold)
	expire(&out, b.cfg.Now())
	return out, true
}

// List is every request that is kept, the oldest first.
func (b *Book) List() []Request {
	b.mu.Lock()
	ids := make([]string, 0, len(b.list))
	for id := range b.list {
		ids = append(ids, id)
	}
	b.mu.Unlock()
	var out []Request
	for _, id := range ids {
		if r, ok := b.Get(id); ok {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b Request) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}
