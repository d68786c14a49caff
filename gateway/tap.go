package gateway

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/wire"
)

// Limits of watching a session. Nothing of it makes the session wait.
const (
	tapQueue = 256 // events that wait for one watcher; what comes then is counted, not kept
	tapRows  = 5   // of a result
	maxTaps  = 8   // watchers of one session
	tapAlive = 5 * time.Second
)

// tap is one watcher of a session.
type tap struct {
	events chan api.SessionEvent
	missed atomic.Int64
}

// taps are the watchers of a session. The list is replaced whole, under the session's
// lock; who tells them only loads it.
type taps struct{ list atomic.Pointer[[]*tap] }

func (t *taps) any() bool { return t.list.Load() != nil }

// tellTaps hands an event to all watchers.
func (s *session) tellTaps(ev api.SessionEvent) {
	list := s.taps.list.Load()
	if list == nil {
		return
	}
	ev.At, ev.SQL = s.g.cfg.Now(), cutText(ev.SQL, shownSQL)
	for i, p := range ev.Params {
		if len(p) > shownSQL {
			ev.Params = slices.Clone(ev.Params)
			ev.Params[i] = cutText(p, shownSQL)
		}
	}
	for _, t := range *list {
		ev.Missed = t.missed.Swap(0)
		select {
		case t.events <- ev:
		default:
			t.missed.Add(ev.Missed + 1)
		}
	}
}

// watch adds a watcher, unless there are many already.
func (s *session) watch(t *tap) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*tap
	if have := s.taps.list.Load(); have != nil {
		list = slices.Clone(*have)
	}
	if len(list) >= maxTaps {
		return false
	}
	list = append(list, t)
	s.taps.list.Store(&list)
	return true
}

func (s *session) unwatch(t *tap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(*s.taps.list.Load()), func(have *tap) bool { return have == t })
	if len(list) == 0 {
		s.taps.list.Store(nil)
		return
	}
	s.taps.list.Store(&list)
}

// stare shows what happens in a session, as it happens, to its caller or an
// administrator. It is recorded first.
func (g *Gateway) stare(w http.ResponseWriter, r *http.Request, caller func() identity.Identity) {
	who, id := caller(), r.PathValue("id")
	s := g.sessions.get(id)
	if s == nil || !g.admin(who) && !owns(who, s.Who) {
		fail(w, &api.Error{Sentence: fmt.Sprintf("there is no session %q", id), Hint: "run: sluice sessions ls", Code: api.CodeError})
		return
	}
	ev := s.event(audit.Admin)
	ev.Detail = "session watched by " + who.Name()
	ev.Who, ev.Subject, ev.CallerKind, ev.Groups = who.Name(), who.Subject, string(who.Kind), who.Groups
	if err := g.note(ev); err != nil {
		fail(w, err)
		return
	}
	t := &tap{events: make(chan api.SessionEvent, tapQueue)}
	if !s.watch(t) {
		fail(w, &api.Error{Sentence: fmt.Sprintf("%d others watch this session already", maxTaps), Hint: "wait until one of them leaves", Code: api.CodeError})
		return
	}
	defer s.unwatch(t)
	to := newLines(w)
	if to.send(api.SessionEvent{At: g.cfg.Now(), Kind: "watching", Text: s.Who.Name() + " on " + s.Connection}) != nil {
		return
	}
	s.carryTap(r.Context(), t, w, to, func() bool { now := caller(); return g.known(now) == nil && (g.admin(now) || owns(now, s.Who)) })
}

// carryTap sends a watcher what comes, until the session, the watcher or their right ends.
func (s *session) carryTap(ctx context.Context, t *tap, w http.ResponseWriter, to *lines, may func() bool) {
	alive := time.NewTicker(tapAlive)
	defer alive.Stop()
	for {
		select {
		case ev := <-t.events:
			if !may() || to.send(ev) != nil {
				return
			}
		case <-alive.C:
			if !may() {
				return
			}
			if _, err := w.Write([]byte("\n")); err != nil || to.out.Flush() != nil {
				return
			}
		case <-s.gone:
			for len(t.events) > 0 {
				if to.send(<-t.events) != nil {
					return
				}
			}
			_ = to.send(api.SessionEvent{At: s.g.cfg.Now(), Kind: "closed"}) // they leave either way
			return
		case <-ctx.Done():
			return
		}
	}
}

// tapDecided tells watchers what was decided of a statement.
func (s *session) tapDecided(ev *audit.Event) {
	if s.taps.any() {
		s.tellTaps(api.SessionEvent{Kind: "decided", SQL: ev.SQL, Params: ev.Params, Effect: ev.Effect, Rule: ev.Rule, Text: ev.Reason})
	}
}

// tapFinished tells watchers how a statement ended.
func (s *session) tapFinished(ev *audit.Event, x *run) {
	if s.taps.any() {
		s.tellTaps(api.SessionEvent{Kind: "finished", SQL: x.kept, Outcome: ev.Outcome, Rows: ev.Rows, Bytes: ev.Bytes, Masked: ev.Masked,
			Duration: ev.DurationUS, Code: ev.ErrorCode, Text: ev.Error, Sample: x.sample})
		x.strict = nil // what they were given is not added to
	}
}

// tapAsk tells watchers that a statement waits for people, or waits no more.
func (s *session) tapAsk(kind, sql, effect, text string) {
	if s.taps.any() {
		s.tellTaps(api.SessionEvent{Kind: kind, SQL: sql, Effect: effect, Text: text})
	}
}

// watchable reports whether rows of a request are to be looked at because somebody
// watches the session. Those of a statement whose columns were not asked for when it was
// prepared cannot be.
func (s *session) watchable(req *wire.Request) bool {
	return s.taps.any() && (req.Prepared == nil || req.Prepared.Look)
}

// planSample prepares for a watcher what is shown of a result: no rule unmasks anything
// for them.
func (s *session) planSample(x *run, told []wire.Column, own bool) {
	if !s.taps.any() {
		return
	}
	strict := *x
	strict.verdict.Unmask = nil
	x.strict = mask.NewPlan(s.cross(&strict, strict.columns(told, s.base.snapshot()), told, own))
	x.sample = &api.PreviewRows{Columns: []string{}, Rows: [][]*string{}}
	for _, c := range told {
		x.sample.Columns = append(x.sample.Columns, mask.EgressName(c.Name))
	}
}

// sampleRow keeps one of the first rows of a result for watchers.
func (x *run) sampleRow(row [][]byte) {
	if x.strict == nil || len(x.sample.Rows) >= tapRows || len(x.strict.Columns()) != len(row) {
		return
	}
	masked := slices.Clone(row) // Apply puts other values in place of cells, and changes none
	x.strict.Apply(masked)
	cells := make([]*string, len(masked))
	for i, b := range masked {
		if b == nil {
			continue
		}
		c := x.strict.Columns()[i]
		text := cutChars(paramTexts([]wire.Param{{Value: slices.Clone(b), Binary: c.Binary, TypeOID: c.TypeOID}})[0], previewCellChars)
		cells[i] = &text
	}
	x.sample.Rows = append(x.sample.Rows, cells)
}
