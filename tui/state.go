package tui

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/api"
)

func escapePath(id string) string { return url.PathEscape(id) }

// shelf keeps things in an order of their own, and finds them by id.
type shelf[T any] struct {
	compare func(a, b T) int
	items   map[string]T
	order   []string
}

func newShelf[T any](compare func(a, b T) int) *shelf[T] {
	return &shelf[T]{compare: compare, items: map[string]T{}}
}

// put adds a thing, or replaces it where it stands.
func (s *shelf[T]) put(id string, v T) {
	if old, ok := s.items[id]; ok {
		if s.compare(old, v) == 0 {
			s.items[id] = v
			return
		}
		s.remove(id)
	}
	s.items[id] = v
	at, _ := slices.BinarySearchFunc(s.order, v, func(other string, v T) int {
		return cmp.Or(s.compare(s.items[other], v), strings.Compare(other, id))
	})
	s.order = slices.Insert(s.order, at, id)
}

func (s *shelf[T]) remove(id string) {
	if _, ok := s.items[id]; !ok {
		return
	}
	delete(s.items, id)
	if i := slices.Index(s.order, id); i >= 0 {
		s.order = slices.Delete(s.order, i, i+1)
	}
}

// state is what the gateway has told.
type state struct {
	asks     *shelf[api.Ask]
	requests *shelf[api.Request]
	sessions *shelf[liveSession]
}

// liveSession is a session, and how busy it is.
type liveSession struct {
	api.Session
	at                 time.Time // of the last change
	perSecond, rowRate float64
}

func newState() *state {
	return &state{
		asks:     newShelf(func(a, b api.Ask) int { return a.Created.Compare(b.Created) }),
		requests: newShelf(func(a, b api.Request) int { return b.Created.Compare(a.Created) }),
		sessions: newShelf(func(a, b liveSession) int { return a.Since.Compare(b.Since) }),
	}
}

// take takes in one line. It gives the asks that were not there before.
func (s *state) take(l api.Live, now time.Time) (arrived []api.Ask) {
	for _, e := range l.Ended {
		s.asks.remove(e.ID)
	}
	for _, a := range l.Asks {
		if _, known := s.asks.items[a.ID]; !known {
			arrived = append(arrived, a)
		}
		s.asks.put(a.ID, a)
	}
	for _, r := range l.Requests {
		s.requests.put(r.ID, r)
	}
	for _, x := range l.Sessions {
		next := liveSession{Session: x, at: now}
		if was, known := s.sessions.items[x.ID]; known {
			if seconds := now.Sub(was.at).Seconds(); seconds > 0 {
				next.perSecond = float64(x.Statements-was.Statements) / seconds
				next.rowRate = float64(x.Rows-was.Rows) / seconds
			}
		}
		s.sessions.put(x.ID, next)
	}
	for _, id := range l.Closed {
		s.sessions.remove(id)
	}
	return arrived
}

// quiet is how long a session of which nothing is heard counts as busy: the gateway
// tells each second.
const quiet = 2500 * time.Millisecond

// rates are statements and rows a second at now.
func (x *liveSession) rates(now time.Time) (statements, rows float64) {
	if now.Sub(x.at) > quiet {
		return 0, 0
	}
	return x.perSecond, x.rowRate
}

// nameOf is what people call a caller, with what it is unless it is a person.
func nameOf(w api.WhoAmI) string {
	name := cmp.Or(w.Name, w.Email, w.Subject)
	if w.Kind != "" && w.Kind != "person" {
		name += " (" + w.Kind + ")"
	}
	return line(name)
}
