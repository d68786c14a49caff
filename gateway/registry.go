package gateway

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/identity"
)

// Limits of what a gateway carries. A session takes some 100 KiB here and a server
// process at the database, which mostly ends first.
const (
	DefaultSessions     = 5000 // in all
	DefaultSessionsEach = 2500 // of one caller: half, so that nobody shuts out the others

	// DefaultMemory is what messages over 64 KiB, and what stands behind the names of
	// statements and cursors, may take at once: two of the largest of each caller, and
	// no more of all callers together than a small machine has.
	DefaultMemory = 512 << 20
)

// registry holds the sessions that are open, and how many each caller has open or
// is about to open.
type registry struct {
	mu    sync.Mutex
	list  map[string]*session
	count map[string]int // by subject
	total int
}

// enter takes a place for a session of who, before anything is done for it. leave
// gives it back.
func (r *registry) enter(who identity.Identity, most, each int) (leave func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := who.Key()
	if r.count[name] >= each {
		return nil, fmt.Errorf("you have %d sessions open, which is the most for one caller", each)
	}
	if r.total >= most {
		return nil, fmt.Errorf("the gateway has %d sessions open, which is the most", most)
	}
	if r.count == nil {
		r.count = map[string]int{}
	}
	r.count[name]++
	r.total++
	return sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.total--
		if r.count[name]--; r.count[name] == 0 {
			delete(r.count, name)
		}
	}), nil
}

func (r *registry) add(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.list == nil {
		r.list = map[string]*session{}
	}
	r.list[s.id] = s
}

func (r *registry) remove(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.list, s.id)
	close(s.gone)
}

func (r *registry) get(id string) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list[id]
}

func (r *registry) all() []*session {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*session, 0, len(r.list))
	for _, s := range r.list {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *session) int {
		if c := a.since.Compare(b.since); c != 0 {
			return c
		}
		return strings.Compare(a.id, b.id)
	})
	return list
}

func (s *session) describeFor() api.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return api.Session{
		ID: s.id, Who: whoAmI(s.who()), Connection: s.Connection, From: s.From, Client: s.program,
		Since: s.since, State: s.state, Statements: s.count.Load(),
		SQL: s.doing, Begun: s.begun, Rows: s.rows.Load(), Bytes: s.bytes.Load(),
	}
}

// Sessions lists the open sessions that who may see: their own, all for
// administrators.
func (g *Gateway) Sessions(who identity.Identity) []api.Session {
	out := []api.Session{}
	for _, s := range g.sessions.all() {
		if g.admin(who) || owns(who, s.Who) {
			out = append(out, s.describeFor())
		}
	}
	return out
}

// Kill ends a session: one's own, or any for administrators. It is recorded first.
func (g *Gateway) Kill(who identity.Identity, id string) (api.Session, error) {
	s := g.sessions.get(id)
	if s == nil || !g.admin(who) && !owns(who, s.Who) {
		return api.Session{}, &api.Error{Sentence: fmt.Sprintf("there is no session %q", id), Hint: "run: sluice sessions ls", Code: api.CodeError}
	}
	ev := s.event(audit.Admin)
	ev.Detail = "session ended by " + who.Name()
	ev.Who, ev.Subject, ev.CallerKind, ev.Groups = who.Name(), who.Subject, string(who.Kind), who.Groups
	if err := g.note(ev); err != nil {
		return api.Session{}, err
	}
	d := s.describeFor()
	s.cut(fmt.Errorf("%w: %s", errKilled, who.Name()))
	return d, nil
}
