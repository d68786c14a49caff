package tui

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
)

// Limits of a session that is shown again. A session may have a million statements: a
// part of it is kept, and the next is asked for shortly before it is needed.
const (
	replayPage  = 100
	replayAhead = 20  // steps left when the next page is asked for
	replayKeep  = 500 // steps kept; those farthest from the one shown go first
	replayLeap  = 10  // steps of a page key
)

// replayKeys are the keys while a session is shown again.
var replayKeys = map[string]intent{
	"q": quit, " ": playPause, "right": stepOn, "l": stepOn, "n": stepOn, "left": stepBack, "b": stepBack, "up": up, "k": up, "down": down, "j": down,
	"pgup": pageUp, "pgdown": pageDown, "home": top, "g": top, "end": bottom, "G": bottom, "+": faster, "=": faster, "-": slower, "t": jumpTime,
	"enter": open, "esc": back, "f": layout, "m": mouse, "x": dismiss, "r": reload, "?": help, "tab": nextTab, "shift+tab": lastTab,
	"1": toTab1, "2": toTab2, "3": toTab3, "4": toTab4, "5": toTab5,
}

// paces are the speeds that + and - go through.
var paces = []Pace{{Speed: 1}, {Speed: 10}, {}}

// replay is a session that is shown again from the record, a step for each event. It
// knows a part of it, in order; at is the step shown last.
type replay struct {
	session string
	head    string // who, on what
	pace    int    // of paces
	playing bool
	turn    int  // of the clock: ticks of before are not heard
	ticking bool // a tick of this turn is to come

	steps []audit.Event // a part of the session, the oldest first
	index map[string]int
	at    int
	first bool   // steps begin with the first of the session
	next  uint64 // From of what follows them; 0 if nothing did when it was asked
	done  int64  // statements before steps; -1 if that is not known
	total int64  // of the session; -1 as above
	begun time.Time
	ended time.Time

	asked   int // of questions to the record: answers to older ones are not taken
	asking  bool
	toEnd   bool   // the last step of the answer is to be shown, not the first
	problem string // of the last question; nothing more is asked until r
	open    bool   // all of the step is shown
	scroll  int
}

type (
	// replayMsg is a part of the session.
	replayMsg struct {
		asked  int
		where  part
		res    api.AuditResult
		done   int64 // statements before it; -1 if that is not known
		about  *replayAbout
		err    error
		toTime time.Time // that was jumped to
	}
	replayTickMsg struct{ turn int }
)

// replayAbout is what a session comes to.
type replayAbout struct {
	statements   int64
	first, last  time.Time
	who, on, how string
}

// part says where what is asked for belongs.
type part int

const (
	fresh  part = iota // instead of what is there
	behind             // after it
	before             // before it
)

func newReplay(session string) *replay {
	return &replay{session: session, total: -1, done: -1, index: map[string]int{}}
}

// startReplay shows the session under the cursor again: from the event that is chosen in
// the history, or from its beginning.
func (m *model) startReplay() tea.Cmd {
	r := newReplay("")
	from := uint64(0)
	switch {
	case m.tab == historyTab:
		ev, ok := m.past.events[m.lists[historyTab].chosen]
		if !ok {
			return nil
		}
		if ev.Session == "" {
			m.say(true, "this was in no session: choose a statement, or search kind:connected")
			return nil
		}
		r.session, from = ev.Session, ev.Seq
	case m.tab == sessionsTab && m.stream == nil:
		r.session = m.lists[sessionsTab].chosen
	}
	if r.session == "" {
		return nil
	}
	m.replay, m.mode, m.status = r, replaying, ""
	m.disturb()
	return m.askReplay(fresh, api.AuditQuery{Oldest: true, From: from})
}

func (m *model) leaveReplay() {
	if m.replay != nil {
		m.replay, m.mode = nil, browsing
		m.disturb()
	}
}

// base is what the keyboard is for when nothing is asked or typed.
func (m *model) base() mode {
	if m.replay != nil {
		return replaying
	}
	return browsing
}

// askReplay asks the record for a part of the session. With a part that takes the place
// of what was there comes how many statements were before it, and at first how many
// there are in all.
func (m *model) askReplay(where part, q api.AuditQuery) tea.Cmd {
	ask := m.replay.question(where, q)
	return m.do(func(ctx context.Context) tea.Msg { return ask(ctx, m.gw) })
}

// question notes that a part of the session is asked for; what it returns asks.
func (r *replay) question(where part, q api.AuditQuery) func(context.Context, Gateway) replayMsg {
	r.asked++
	r.asking, r.problem = true, ""
	q.Session, q.Whole, q.Limit = r.session, true, replayPage
	msg := replayMsg{asked: r.asked, where: where, done: -1, toTime: q.Since}
	whole, summary := where == fresh, r.total < 0 || where == behind && r.next == 0
	return func(ctx context.Context, gw Gateway) replayMsg {
		msg.err = gw.Call(ctx, http.MethodPost, api.AuditQueryPath, q, &msg.res)
		if msg.err == nil && (whole || summary) && len(msg.res.Events) > 0 {
			msg.err = msg.sumUp(ctx, gw, msg.res.Events[0], summary)
		}
		return msg
	}
}

// sumUp counts the statements of a session before an event, and in all.
func (msg *replayMsg) sumUp(ctx context.Context, gw Gateway, first audit.Event, all bool) error {
	count := func(before uint64) (about replayAbout, err error) {
		var res api.AuditResult
		q := api.AuditQuery{Session: first.Session, By: []string{"kind"}, Before: before}
		err = gw.Call(ctx, http.MethodPost, api.AuditQueryPath, q, &res)
		for _, g := range res.Groups {
			if len(g.Values) == 1 && g.Values[0] == string(audit.Decided) {
				about.statements = g.Count
			}
			if about.first.IsZero() || g.First.Before(about.first) {
				about.first = g.First
			}
			if g.Last.After(about.last) {
				about.last = g.Last
			}
		}
		return about, err
	}
	if msg.done = 0; first.Seq > 0 {
		earlier, err := count(first.Seq)
		if err != nil {
			return err
		}
		msg.done = earlier.statements
	}
	if !all {
		return nil
	}
	about, err := count(0)
	about.who, about.on, about.how = first.Who, first.Connection, strings.Trim(first.Client+" from "+first.From, " ")
	msg.about = &about
	return err
}

// takeReplay takes in a part of the session.
func (m *model) takeReplay(msg replayMsg) tea.Cmd {
	r := m.replay
	if r == nil || msg.asked != r.asked {
		return nil
	}
	toEnd := r.toEnd
	r.asking, r.toEnd = false, false
	if msg.err != nil {
		r.problem = wordsOf(msg.err)
		r.pause()
		m.say(true, "the record was not read: %s", r.problem)
		return nil
	}
	if msg.about != nil {
		r.head = line(strings.Trim(msg.about.who+" on "+msg.about.on, " "))
		if msg.about.how != "from" && msg.about.how != "" {
			r.head += ", " + line(msg.about.how)
		}
	}
	events := msg.res.Events
	switch {
	case msg.nothing():
		m.say(true, "nothing happened in this session from %s on", msg.toTime.Local().Format(time.DateTime))
		return nil
	case msg.where == fresh:
		r.scroll = 0
		r.pause()
	}
	r.join(msg)
	if toEnd {
		r.at = max(0, len(events)-1)
	}
	m.page = nil
	if r.ticking {
		return m.moreReplay()
	}
	return m.playOn()
}

// nothing reports whether nothing happened from the time on that was jumped to.
func (msg *replayMsg) nothing() bool {
	return msg.where == fresh && len(msg.res.Events) == 0 && !msg.toTime.IsZero()
}

// join puts a part of the session where it belongs.
func (r *replay) join(msg replayMsg) {
	events := msg.res.Events
	if msg.about != nil {
		r.total, r.begun, r.ended = msg.about.statements, msg.about.first, msg.about.last
	}
	switch msg.where {
	case fresh:
		r.steps, r.next, r.done, r.at = events, msg.res.Next, msg.done, 0
		r.first = len(events) > 0 && msg.done == 0 && !events[0].Time.After(r.begun)
	case behind:
		r.steps, r.next = append(r.steps, events...), msg.res.Next
	case before:
		slices.Reverse(events)
		r.steps, r.first = append(events, r.steps...), msg.res.Next == 0
		r.at += len(events)
		r.done -= statementsIn(events)
	}
	r.trim(msg.where)
}

func statementsIn(events []audit.Event) (n int64) {
	for _, ev := range events {
		if ev.Kind == audit.Decided {
			n++
		}
	}
	return n
}

// trim forgets what is far from the step shown, on the side that did not grow.
func (r *replay) trim(grown part) {
	if extra := len(r.steps) - replayKeep; extra > 0 && grown == before {
		if cut := max(replayKeep, r.at+1); cut < len(r.steps) {
			r.next = r.steps[cut].Seq
			r.steps = slices.Clone(r.steps[:cut])
		}
	} else if extra > 0 {
		extra = min(extra, r.at)
		r.done += statementsIn(r.steps[:extra])
		r.steps, r.at, r.first = slices.Clone(r.steps[extra:]), r.at-extra, false
	}
	clear(r.index)
	for i, ev := range r.steps {
		r.index[ev.ID] = i
	}
}

// number is which statement of the session the step shown is, or comes after; 0 if that
// is not known.
func (r *replay) number() int64 {
	if r.done < 0 || len(r.steps) == 0 {
		return 0
	}
	return r.done + statementsIn(r.steps[:r.at+1])
}

// of is the decision that a step belongs to, if it is among those kept.
func (r *replay) of(ev *audit.Event) *audit.Event {
	if i, ok := r.index[ev.Of]; ok && ev.Of != "" {
		return &r.steps[i]
	}
	return nil
}

// over reports whether the step shown is the last that there was.
func (r *replay) over() bool { return r.at >= len(r.steps)-1 && r.next == 0 }

// step goes so many steps on, or back.
func (m *model) step(by int) {
	r := m.replay
	to := max(0, min(r.at+by, len(r.steps)-1))
	if to != r.at {
		r.at, r.scroll, m.status = to, 0, ""
		m.page = nil
	}
}

// moreReplay asks for what is needed soon, if it is not there.
func (m *model) moreReplay() tea.Cmd {
	r := m.replay
	switch {
	case r == nil || r.asking || r.problem != "":
		return nil
	case r.next > 0 && r.at >= len(r.steps)-1-replayAhead:
		return m.askReplay(behind, api.AuditQuery{Oldest: true, From: r.next})
	case !r.first && len(r.steps) > 0 && r.at <= replayAhead:
		return m.askReplay(before, api.AuditQuery{Before: r.steps[0].Seq})
	}
	return nil
}

// playOn sets the clock for the next step, if there is one and it is played.
func (m *model) playOn() tea.Cmd {
	r := m.replay
	more := m.moreReplay()
	if !r.playing {
		return more
	}
	r.turn++
	r.ticking = false
	if r.at >= len(r.steps)-1 {
		r.playing = r.next > 0 // else it is over
		return more
	}
	r.ticking = true
	wait, _ := paces[r.pace].Wait(r.steps[r.at+1].Time.Sub(r.steps[r.at].Time))
	return tea.Batch(more, m.after(wait, replayTickMsg{turn: r.turn}))
}

// tickReplay goes on by a step; at once by all that are there.
func (m *model) tickReplay(msg replayTickMsg) tea.Cmd {
	r := m.replay
	if r == nil || !r.playing || msg.turn != r.turn {
		return nil
	}
	if paces[r.pace].Speed <= 0 {
		m.step(len(r.steps))
	} else {
		m.step(1)
	}
	return m.playOn()
}

// pause stops the clock.
func (r *replay) pause() {
	r.playing, r.ticking = false, false
	r.turn++
}

// actReplay does what a key asks for while a session is shown again. did is false if the
// key means the same as elsewhere.
func (m *model) actReplay(want intent) (cmd tea.Cmd, did bool) {
	r := m.replay
	if r == nil || m.mode != replaying {
		return nil, false
	}
	switch want {
	case playPause:
		if r.playing {
			r.pause()
			return nil, true
		}
		if r.over() {
			m.say(true, "this is the end; r asks whether more happened, home begins again")
			return nil, true
		}
		r.playing, m.status = true, ""
		return m.playOn(), true
	case stepOn, stepBack:
		r.pause()
		m.step(map[intent]int{stepOn: 1, stepBack: -1}[want])
		return m.moreReplay(), true
	case faster, slower:
		r.pace = max(0, min(r.pace+map[intent]int{faster: 1, slower: -1}[want], len(paces)-1))
		return m.playOn(), true
	case jumpTime:
		return m.startJump(), true
	case open:
		r.open, r.scroll = len(r.steps) > 0, 0
		m.page = nil
		return nil, true
	case reload:
		r.problem = ""
		if r.next != 0 || r.asking || len(r.steps) == 0 {
			return m.moreReplay(), true
		}
		return m.askReplay(behind, api.AuditQuery{Oldest: true, From: r.steps[len(r.steps)-1].Seq + 1}), true
	case back:
		if r.open {
			r.open = false
			return nil, true
		}
		m.leaveReplay()
		m.changed()
		return nil, true
	}
	return nil, false
}

// moveReplay goes along the session, or along the step that is shown whole.
func (m *model) moveReplay(want intent) {
	r := m.replay
	if r.open {
		all, height := len(m.replayPage()), m.bodyHeight()-replayHead
		step := map[intent]int{up: -1, down: 1, pageUp: 1 - height, pageDown: height - 1, top: -all, bottom: all}[want]
		r.scroll = max(0, min(r.scroll+step, all-height))
		return
	}
	r.pause()
	m.step(map[intent]int{up: -1, down: 1, pageUp: -replayLeap, pageDown: replayLeap, top: -len(r.steps), bottom: len(r.steps)}[want])
}

// endsOfReplay asks for the beginning or the end of the session, if it is not among what
// is there.
func (m *model) endsOfReplay(want intent) tea.Cmd {
	r := m.replay
	switch {
	case r == nil || r.open || m.mode != replaying:
		return nil
	case want == top && !r.first:
		return m.askReplay(fresh, api.AuditQuery{Oldest: true})
	case want == bottom && r.next > 0 && !r.ended.IsZero():
		r.toEnd = true
		return m.askReplay(fresh, api.AuditQuery{Oldest: true, Since: r.ended.Add(-time.Microsecond)})
	}
	return m.moreReplay()
}

// startJump takes a time to go to.
func (m *model) startJump() tea.Cmd {
	m.replay.pause()
	m.mode, m.status = jumping, ""
	m.input.Reset()
	m.input.CharLimit = 40
	m.input.Placeholder = "15:04, +10m, -1h or 2026-11-30 15:04:05"
	return m.input.Focus()
}

// jump goes to the time that was typed.
func (m *model) jump(text string) tea.Cmd {
	r := m.replay
	m.mode = m.base()
	m.input.Blur()
	if r == nil || len(r.steps) == 0 {
		return nil
	}
	to, err := readJump(text, r.steps[r.at].Time.Local())
	if err != nil {
		m.say(true, "%s", err.Error())
		return nil
	}
	return m.askReplay(fresh, api.AuditQuery{Oldest: true, Since: to})
}
