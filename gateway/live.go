package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/approval"
	"github.com/sluicehq/sluice/identity"
)

const (
	// liveEvery is how often a watcher hears of sessions and requests, and of being
	// connected at all.
	liveEvery = time.Second
	// liveGap is the least time between two looks at the asks: many that come at once
	// are one line, and no person sees the difference.
	liveGap = 15 * time.Millisecond
	// liveBytes is about how much one line holds. An ask that is longer has a line of
	// its own.
	liveBytes = 1 << 20
)

// liveRoutes are the control messages that go on until the caller has enough.
func (g *Gateway) liveRoutes(mux *http.ServeMux, who identity.Identity, latest func() identity.Identity) {
	mux.HandleFunc("GET "+api.LivePath, func(w http.ResponseWriter, r *http.Request) {
		if err := g.known(who); err != nil {
			fail(w, err)
			return
		}
		g.live(r.Context(), newLines(w), latest)
	})
	mux.HandleFunc("GET "+api.StreamPath, func(w http.ResponseWriter, r *http.Request) {
		if err := g.known(who); err != nil {
			fail(w, err)
			return
		}
		g.stare(w, r, latest)
	})
}

// lines writes JSON lines that arrive at once.
type lines struct {
	enc *json.Encoder
	out *http.ResponseController
}

func newLines(w http.ResponseWriter) *lines {
	w.Header().Set("Content-Type", "application/jsonl")
	return &lines{enc: json.NewEncoder(w), out: http.NewResponseController(w)}
}

func (l *lines) send(v any) error {
	if err := l.enc.Encode(v); err != nil {
		return err
	}
	return l.out.Flush()
}

// live tells a caller of what changes among what they may see, until ctx is done or
// they may no longer ask.
func (g *Gateway) live(ctx context.Context, to *lines, caller func() identity.Identity) {
	changed := g.desk.Watch(ctx)
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	seen := &seen{asks: map[string]askSeen{}, requests: map[string]requestSeen{}, sessions: map[string]sessionSeen{}}
	for all := true; ; {
		who := caller() // who may have renewed their login meanwhile
		if g.known(who) != nil {
			return
		}
		for _, line := range seen.next(g, who, all) {
			if to.send(line) != nil {
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			all = true
		case _, ok := <-changed:
			if !ok {
				return
			}
			all = false
			select {
			case <-time.After(liveGap):
			case <-ctx.Done():
				return
			}
		}
	}
}

// seen is what a watcher was told last, of each ask, request and session: as much as it
// takes to see that it reads differently now.
type seen struct {
	asks     map[string]askSeen
	requests map[string]requestSeen
	sessions map[string]sessionSeen
}

type askSeen struct {
	seal       string
	turn       uint64
	may, glass bool
}

type requestSeen struct {
	state, why string
	votes      int
	may        bool
}

type sessionSeen struct {
	state      string
	statements int64
	rows       int64
	who        time.Time // end of the login
}

// next is what has changed; all says to look at sessions and requests too.
func (s *seen) next(g *Gateway, who identity.Identity, all bool) []api.Live {
	var pack packer
	s.nextAsks(g, who, &pack)
	if all {
		s.nextRequests(g, who, &pack)
		s.nextSessions(g, who, &pack)
	}
	if !all && pack.empty() {
		return nil
	}
	return pack.all()
}

func (s *seen) nextAsks(g *Gateway, who identity.Identity, pack *packer) {
	now, auditor := g.cfg.Now(), g.auditor(who)
	open := g.desk.List()
	for _, r := range g.book.List() {
		if r.State == approval.Waiting {
			open = append(open, approval.Open{Ask: r.Ask, Votes: r.Votes, Turn: uint64(len(r.Votes))})
		}
	}
	there := make(map[string]bool, len(open))
	for _, o := range open {
		is := askSeen{seal: o.Ask.Seal, turn: o.Turn, may: o.Ask.MayAnswer(who, now) == nil, glass: o.Ask.MayBreakGlass(who, now) == nil}
		if !is.may && !auditor && !owns(who, o.Ask.Who) {
			continue
		}
		there[o.Ask.ID] = true
		was, known := s.asks[o.Ask.ID]
		if known && was == is {
			continue
		}
		if known && was.seal != is.seal { // the id was given out again
			pack.end(g.howEnded(o.Ask.ID, was.seal))
		}
		s.asks[o.Ask.ID] = is
		a := showAsk(o)
		a.MayAnswer, a.BreakGlass = is.may, is.glass
		pack.ask(a)
	}
	for id, was := range s.asks {
		if !there[id] {
			delete(s.asks, id)
			pack.end(g.howEnded(id, was.seal))
		}
	}
}

// howEnded is how an ask that was there ended, as far as it is remembered.
func (g *Gateway) howEnded(id, seal string) api.Ended {
	if r, ok := g.book.Get(id); ok {
		state := map[string]string{approval.Granted: api.AskApproved, approval.Used: api.AskApproved}[r.State]
		if state == "" {
			state = r.State
		}
		return api.Ended{ID: id, State: state, Why: r.Why, BreakGlass: brokeGlass(r)}
	}
	answer, ok := g.desk.Ended(seal)
	if !ok {
		return api.Ended{ID: id}
	}
	e := api.Ended{ID: id, State: api.AskExpired, Why: answer.Why, BreakGlass: answer.BreakGlass}
	switch denied := slices.ContainsFunc(answer.Votes, func(v approval.Vote) bool { return !v.Grant }); {
	case answer.Granted:
		e.State = api.AskApproved
	case denied:
		e.State = api.AskDenied
	case answer.Why == "cancelled":
		e.State = api.AskCancelled
	}
	return e
}

func (s *seen) nextRequests(g *Gateway, who identity.Identity, pack *packer) {
	for _, r := range g.requestsFor(who) {
		is := requestSeen{state: r.State, why: r.Why, votes: len(r.Votes), may: r.MayAnswer}
		if was, known := s.requests[r.ID]; !known || was != is {
			s.requests[r.ID] = is
			pack.request(r)
		}
	}
}

func (s *seen) nextSessions(g *Gateway, who identity.Identity, pack *packer) {
	list := g.Sessions(who)
	there := make(map[string]bool, len(list))
	for _, x := range list {
		there[x.ID] = true
		is := sessionSeen{state: x.State, statements: x.Statements, rows: x.Rows, who: x.Who.Expires}
		if was, known := s.sessions[x.ID]; !known || was != is {
			s.sessions[x.ID] = is
			pack.session(x)
		}
	}
	for id := range s.sessions {
		if !there[id] {
			delete(s.sessions, id)
			pack.now.Closed = append(pack.now.Closed, id)
		}
	}
}

// packer puts changes into lines of bearable length.
type packer struct {
	lines []api.Live
	now   api.Live
	size  int
}

// room begins another line if this one is full.
func (p *packer) room(size int) {
	if p.size > 0 && p.size+size > liveBytes {
		p.lines, p.now, p.size = append(p.lines, p.now), api.Live{}, 0
	}
	p.size += size
}

// overhead is about what the rest of an item takes on its line.
const overhead = 1 << 10

func (p *packer) ask(a api.Ask) {
	size := len(a.SQL) + overhead
	for _, v := range a.Params {
		size += len(v)
	}
	p.room(size)
	p.now.Asks = append(p.now.Asks, a)
}

func (p *packer) end(e api.Ended) {
	p.room(overhead)
	p.now.Ended = append(p.now.Ended, e)
}

func (p *packer) request(r api.Request) {
	p.room(len(r.SQL) + overhead)
	p.now.Requests = append(p.now.Requests, r)
}

func (p *packer) session(s api.Session) {
	p.room(len(s.SQL) + overhead)
	p.now.Sessions = append(p.now.Sessions, s)
}

func (p *packer) empty() bool { return len(p.lines) == 0 && p.size == 0 && len(p.now.Closed) == 0 }

func (p *packer) all() []api.Live {
	p.now.Whole = true
	return append(p.lines, p.now)
}

// requestsFor is Requests, with whether who may answer each.
func (g *Gateway) requestsFor(who identity.Identity) []api.Request {
	list := g.Requests(who)
	for i := range list {
		if r, ok := g.book.Get(list[i].ID); ok {
			list[i].MayAnswer = r.MayAnswer(who, g.cfg.Now()) == nil
		}
	}
	return list
}

// Limits of what is shown of a session's statement.
const (
	shownSQL  = 2000 // bytes
	pinnedSQL = 4096 // bytes of a text that may be kept as it is; of a longer one a copy of its beginning is
)

// latest notes what a session runs, for those who look. It needs s.mu.
func (s *session) latest(j *job) {
	if len(j.runs) == 0 {
		return
	}
	text := j.runs[0].kept
	if len(text) > pinnedSQL || len(j.runs) > 1 { // it may be a part of something much larger
		text = strings.Clone(cutText(text, shownSQL))
	}
	s.doing, s.begun = text, s.g.cfg.Now()
}
