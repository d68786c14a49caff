package tui

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/cursor"
	"github.com/charmbracelet/bubbles/textinput"
	tea "github.com/charmbracelet/bubbletea"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/internal/howlong"
)

const (
	// maxReason is how much can be typed as a reason: more would not be read.
	maxReason = 300
	// settle is how long what is under the cursor must have stood still before a
	// decision counts: longer than it takes to press a key for what was there before.
	settle = 300 * time.Millisecond
	// silence is how long the gateway, which speaks each second, says nothing before
	// the screen says so.
	silence = 4 * time.Second
)

// tab is one of the lists.
type tab int

const (
	inboxTab tab = iota
	requestsTab
	sessionsTab
	historyTab
	policyTab
	booksTab // there only if there are runbooks
	tabs
)

// list is where a person is in a list. The chosen row is known by its id, so that a list
// that moves never puts another thing under the finger.
type list struct {
	chosen string
	index  int // where that is or was, to find a neighbour of one that is gone
	filter string
}

// question is what enter answers. It holds on to what it is about.
type question struct {
	about    intent // approve, deny, glass, kill, endRequest
	id, seal string
	words    string
	reason   bool // may be given
	must     bool // must be given
}

// model is what the screen knows. It is changed by Update only, and all that
// reaches outside is a tea.Cmd.
type model struct {
	theme  theme
	opt    Options
	gw     Gateway
	do     func(func(context.Context) tea.Msg) tea.Cmd
	emit   func(string) tea.Cmd        // writes to the terminal, beside the frames
	follow func(session string) func() // begins to watch a session, and gives how to stop
	after  func(time.Duration, tea.Msg) tea.Cmd
	// background begins what tells as it goes on, and gives how to stop it.
	background func(func(context.Context, func(tea.Msg))) func()
	clock      func() time.Time

	width, height int
	now           time.Time // of the last tick
	heard         time.Time // of the last line
	st, fresh     *state    // what is known; what is being gathered after a lost link
	loaded        bool
	lost          string

	tab    tab
	lists  [tabs]list
	full   bool // the detail fills the screen
	scroll int  // first line of the detail shown
	far    int  // last line of it that was ever shown
	laid   bool // statements are laid out, not shown as they were sent
	mouse  bool
	mode   mode
	q      question
	input  textinput.Model
	still  time.Time // since when what is under the cursor stands still

	status   string   // outcome of the last answer
	failed   bool     // status is bad news
	sent     string   // id of the ask whose answer is under way
	took     question // that was answered last
	alarms   []string
	title    string
	previews map[string]*tried // by seal
	past     past
	stream   *stream
	replay   *replay
	looking  looking
	policy   policyText
	books    *books // nil if there are none

	page     []string // the detail, laid out; nil if it must be made anew
	rows     []string // ids of the list on the screen, filtered; nil as above
	clickTop int      // line of the screen on which the list begins
	firstRow int
}

// tried is a preview.
type tried struct {
	running bool
	preview api.Preview
	problem string
}

type (
	liveMsg struct {
		live  api.Live
		first bool // of a new link
	}
	tickMsg time.Time
	lostMsg struct {
		err   error
		retry time.Duration
	}
	answeredMsg struct {
		q   question
		err error
	}
	previewMsg struct {
		seal    string
		preview api.Preview
		err     error
	}
)

func newModel(opt Options, t theme) *model {
	in := textinput.New()
	in.Prompt = ""
	in.PlaceholderStyle = t.faint
	in.Cursor.SetMode(cursor.CursorStatic) // it blinks by itself, and redraws the screen for it
	m := &model{opt: opt, theme: t, input: in, width: 80, height: 24, st: newState(), clock: time.Now, laid: true, previews: map[string]*tried{}}
	m.do = func(func(context.Context) tea.Msg) tea.Cmd { return nil }
	m.emit = func(string) tea.Cmd { return nil }
	m.follow = func(string) func() { return func() {} }
	m.after = func(time.Duration, tea.Msg) tea.Cmd { return nil }
	m.background = func(func(context.Context, func(tea.Msg))) func() { return func() {} }
	if opt.Books != nil {
		m.books = &books{shelf: opt.Books}
	}
	m.past.query = "since:24h kind:decided"
	return m
}

func tick(wait time.Duration) tea.Cmd {
	return tea.Tick(wait, func(t time.Time) tea.Msg { return tickMsg(t) })
}

// Init starts the clock that ages are counted by.
func (m *model) Init() tea.Cmd { return tick(0) }

// Update takes in one message.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	_, cmd := m.update(msg)
	return m, tea.Batch(cmd, m.look())
}

func (m *model) update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
		m.disturb()
	case tickMsg:
		m.now = time.Time(msg)
		return m, tick(time.Second)
	case liveMsg:
		return m, m.take(msg)
	case lostMsg:
		m.lost = fmt.Sprintf("no link to the gateway (%s); trying again in %s", line(msg.err.Error()), howlong.Text(msg.retry))
	case answeredMsg:
		m.answered(msg)
	case previewMsg:
		m.previews[msg.seal] = &tried{preview: msg.preview, problem: wordsOf(msg.err)}
		m.page = nil
	case historyMsg:
		m.past.take(msg)
		m.changed()
	case policyMsg:
		m.policy.take(msg)
		m.page = nil
	case booksMsg, planMsg, newsMsg, ranMsg:
		m.takeBook(msg)
	case streamMsg:
		m.stream.take(msg)
	case streamEndMsg:
		m.stream.end(msg)
	case replayMsg:
		return m, m.takeReplay(msg)
	case replayTickMsg:
		return m, m.tickReplay(msg)
	case lookMsg:
		return m, m.lookAt(msg)
	case tea.MouseMsg:
		return m, m.mouseAt(msg)
	case tea.KeyMsg:
		return m, m.key(msg)
	}
	return m, nil
}

// disturb notes that something else is under the cursor, or that it moved.
func (m *model) disturb() {
	m.still = m.clock()
	m.page, m.rows = nil, nil
}

// steady reports whether what is under the cursor has stood there for a moment.
func (m *model) steady() bool { return m.clock().Sub(m.still) >= settle }

// changed puts the lists in order after something came or went. The chosen row stays
// chosen by its id; if it is gone its neighbour is.
func (m *model) changed() {
	m.rows = nil
	l := &m.lists[m.tab]
	rows := m.list()
	if i := slices.Index(rows, l.chosen); i >= 0 {
		l.index = i
		return
	}
	was := l.chosen
	l.chosen = ""
	if len(rows) > 0 {
		l.index = max(0, min(l.index, len(rows)-1))
		l.chosen = rows[l.index]
	}
	if was == l.chosen {
		return
	}
	m.full = m.full && l.chosen != "" && was == ""
	m.begin()
}

// begin shows another thing from its first line on.
func (m *model) begin() {
	m.scroll, m.far = 0, 0
	m.disturb()
}

// take takes in what the gateway tells.
func (m *model) take(msg liveMsg) tea.Cmd {
	m.heard = m.clock()
	m.lost = ""
	if msg.first && m.loaded {
		m.fresh = newState() // what ended while there was no link is in no line
	}
	if m.fresh != nil {
		m.fresh.take(msg.live, m.heard)
		if !msg.live.Whole {
			return nil
		}
		m.st, m.fresh = m.fresh, nil
		m.previews = map[string]*tried{}
		m.disturb()
		m.overIfGone()
		m.changed()
		return m.retitle()
	}
	arrived := m.st.take(msg.live, m.heard)
	chosen := m.lists[m.tab].chosen
	if chosen != "" && concerns(msg.live, chosen, m.tab) {
		m.disturb()
	}
	if m.tab == sessionsTab {
		m.page = nil // that a session goes on does not disturb: it does each second
	}
	for _, e := range msg.live.Ended {
		m.over(e)
	}
	m.overIfGone()
	m.changed()
	if !m.loaded {
		m.loaded = msg.live.Whole
		return m.retitle()
	}
	return tea.Batch(m.retitle(), m.announce(arrived))
}

// concerns reports whether a line brings news of the ask or request under the cursor.
func concerns(l api.Live, id string, at tab) bool {
	switch at {
	case inboxTab:
		return slices.ContainsFunc(l.Asks, func(a api.Ask) bool { return a.ID == id })
	case requestsTab:
		return slices.ContainsFunc(l.Asks, func(a api.Ask) bool { return a.ID == id }) || slices.ContainsFunc(l.Requests, func(r api.Request) bool { return r.ID == id })
	}
	return false
}

// over tells how an ask ended that somebody was looking at, and loudly of break-glass.
func (m *model) over(e api.Ended) {
	how := line(e.Why)
	if how == "" {
		how = "it was answered, cancelled, or its time ran out"
	}
	if e.BreakGlass {
		m.alarms = append(m.alarms, line(e.ID)+" ran "+strings.TrimPrefix(how, "break-glass "))
	}
	if m.lists[inboxTab].chosen == e.ID && m.tab == inboxTab && m.sent != e.ID && !m.mineWas(e) {
		m.say(true, "%s is over: %s", line(e.ID), how)
	}
}

// mineWas reports whether an ask ended as who is looking has just answered it, and was told.
func (m *model) mineWas(e api.Ended) bool {
	return m.took.id == e.ID && e.State == map[bool]string{true: api.AskDenied, false: api.AskApproved}[m.took.about == deny]
}

// overIfGone takes a question back whose subject is no longer what was shown.
func (m *model) overIfGone() {
	if m.mode != answering {
		return
	}
	gone := false
	switch m.q.about {
	case approve, deny, glass:
		a, ok := m.st.asks.items[m.q.id]
		r, asked := m.st.requests.items[m.q.id]
		gone = !(ok && a.Seal == m.q.seal) && !(asked && r.State == "granted" && m.q.about == deny)
	case kill:
		_, ok := m.st.sessions.items[m.q.id]
		gone = !ok
	}
	if gone {
		m.stopAsking()
		if m.status == "" {
			m.say(true, "%s is over", line(m.q.id))
		}
	}
}

func (m *model) stopAsking() {
	m.mode = m.base()
	m.input.Blur()
	m.disturb()
}

func (m *model) say(bad bool, format string, args ...any) {
	m.status, m.failed = fmt.Sprintf(format, args...), bad
}

// wordsOf is an error for people, with what to do next.
func wordsOf(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := api.AsError(err); ok && e.Hint != "" {
		return line(e.Sentence + "; " + e.Hint)
	}
	return line(err.Error())
}

// did is what became of an answer that was taken.
var did = map[intent][2]string{
	approve: {"approved", "approve"}, deny: {"denied", "deny"}, glass: {"broke the glass for", "break the glass for"},
	kill: {"ended", "end"}, endRequest: {"took back", "take back"},
}

func (m *model) answered(msg answeredMsg) {
	if m.sent == msg.q.id {
		m.sent = ""
	}
	if msg.err != nil {
		m.say(true, "could not %s %s: %s", did[msg.q.about][1], line(msg.q.id), wordsOf(msg.err))
		return
	}
	m.took = msg.q
	m.say(false, "you %s %s", did[msg.q.about][0], line(msg.q.id))
}
