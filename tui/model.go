package tui

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/textinput"
	tea "github.com/charmbracelet/bubbletea"
)

// maxReason is how much can be typed as a reason: more would not be read.
const maxReason = 300

// model is what the screen knows. It is changed by Update only, and all that
// reaches outside is a tea.Cmd.
type model struct {
	note   string
	theme  theme
	decide func(Answer) tea.Cmd

	width, height int
	now           time.Time // of the last tick
	state         State
	loaded        bool // a state has come
	lost          string
	onSessions    bool
	ask, session  string // ids of the chosen rows
	mode          mode
	reason        textinput.Model
	scroll        int    // first line of the detail shown
	status        string // outcome of the last answer
	failed        bool   // status is bad news
	sent          string // id of the ask whose answer is under way
}

type (
	stateMsg State
	tickMsg  time.Time
	lostMsg  struct {
		err   error
		retry time.Duration
	}
	decidedMsg struct {
		id    string
		grant bool
		err   error
	}
)

func newModel(opt Options, t theme) model {
	in := textinput.New()
	in.Prompt = ""
	in.CharLimit = maxReason
	in.Placeholder = "a few words for whoever asked"
	in.PlaceholderStyle = t.faint
	return model{note: opt.Note, theme: t, reason: in, width: 80, height: 24}
}

func tick(wait time.Duration) tea.Cmd {
	return tea.Tick(wait, func(t time.Time) tea.Msg { return tickMsg(t) })
}

// Init starts the clock that ages are counted by.
func (m model) Init() tea.Cmd { return tick(0) }

// Update takes in one message.
func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tickMsg:
		m.now = time.Time(msg)
		return m, tick(time.Second)
	case stateMsg:
		m.take(State(msg))
	case lostMsg:
		m.lost = fmt.Sprintf("no link to the gateway (%s); trying again in %s", line(msg.err.Error()), msg.retry)
	case decidedMsg:
		m.decided(msg)
	case tea.KeyMsg:
		return m.key(msg)
	}
	return m, nil
}

// take shows a new state. The chosen row stays chosen by its id, so that a list
// that moves never puts another statement under the finger.
func (m *model) take(s State) {
	m.state, m.loaded, m.lost = s, true, ""
	was := m.ask
	m.ask = keep(m.ask, asksIDs(s.Asks))
	m.session = keep(m.session, sessionIDs(s.Sessions))
	if m.ask == was {
		return
	}
	m.scroll = 0
	if m.mode == approving || m.mode == denying {
		m.mode = browsing
		m.reason.Blur()
		m.say(true, "%s is over: it was answered, cancelled, or its time ran out", line(was))
	}
}

func (m *model) say(bad bool, format string, args ...any) {
	m.status, m.failed = fmt.Sprintf(format, args...), bad
}

func (m *model) decided(msg decidedMsg) {
	if m.sent == msg.id {
		m.sent = ""
	}
	did := "denied"
	if msg.grant {
		did = "approved"
	}
	if msg.err != nil {
		m.say(true, "%s was not %s: %s", line(msg.id), did, line(msg.err.Error()))
		return
	}
	m.say(false, "you %s %s", did, line(msg.id))
}

// key turns a key into its intent and does it.
func (m model) key(msg tea.KeyMsg) (tea.Model, tea.Cmd) {
	// A pasted text is never a row of commands.
	if msg.Paste && m.mode != denying {
		return m, nil
	}
	name, times := msg.String(), 1
	// A held arrow or letter can arrive as several at once. Only moving is repeated:
	// letters that come in one piece are more likely text than a decision.
	if n := len(msg.Runes); n > 1 && m.mode != denying {
		if name != strings.Repeat(name[:1], n) {
			return m, nil
		}
		name, times = name[:1], n
	}
	want := intentOf(m.mode, name)
	if times > 1 && want != up && want != down && want != pageUp && want != pageDown {
		return m, nil
	}
	if m.mode == denying && (want == nothing || msg.Paste) {
		var cmd tea.Cmd
		m.reason, cmd = m.reason.Update(msg)
		return m, cmd
	}
	switch want {
	case quit:
		return m, tea.Quit
	case up, down:
		for range times {
			m.move(want)
		}
	case pageUp, pageDown:
		for range times {
			m.turn(want)
		}
	case switchTab:
		m.onSessions, m.scroll = !m.onSessions, 0
	case startApprove, startDeny:
		return m.begin(want)
	case confirm:
		return m.send()
	case back:
		m.mode = browsing
		m.reason.Blur()
	case help:
		m.mode = helping
	}
	return m, nil
}

func (m *model) move(want intent) {
	step := 1
	if want == up {
		step = -1
	}
	if m.onSessions {
		m.session = neighbour(m.session, sessionIDs(m.state.Sessions), step)
	} else {
		m.ask = neighbour(m.ask, asksIDs(m.state.Asks), step)
	}
	m.scroll, m.status = 0, ""
}

// turn scrolls the detail by most of a page, and stays on it.
func (m *model) turn(want intent) {
	page, lines := m.bodyHeight(), len(m.body())
	step := max(page-1, 1)
	if want == pageUp {
		step = -step
	}
	m.scroll = max(0, min(m.scroll+step, lines-page))
}

// begin opens the question that comes before an answer.
func (m model) begin(want intent) (tea.Model, tea.Cmd) {
	a := m.chosen()
	switch {
	case a == nil:
		return m, nil
	case a.Refusal != "":
		m.say(true, "you cannot answer %s: %s", line(a.ID), line(a.Refusal))
		return m, nil
	case m.sent != "":
		m.say(true, "the answer to %s is still under way", line(m.sent))
		return m, nil
	}
	m.status, m.scroll = "", 0
	if want == startApprove {
		m.mode = approving
		return m, nil
	}
	m.mode = denying
	m.reason.Reset()
	return m, m.reason.Focus()
}

// send passes the answer on; the outcome comes back as a message.
func (m model) send() (tea.Model, tea.Cmd) {
	a := m.chosen()
	grant, reason := m.mode == approving, m.reason.Value()
	m.mode = browsing
	m.reason.Blur()
	if a == nil {
		return m, nil
	}
	if grant {
		reason = ""
	}
	m.sent = a.ID
	return m, m.decide(Answer{ID: a.ID, Seal: a.Seal, Grant: grant, Reason: reason})
}

// chosen is the ask under the cursor, or nil.
func (m *model) chosen() *Ask {
	i := slices.IndexFunc(m.state.Asks, func(a Ask) bool { return a.ID == m.ask })
	if i < 0 || m.onSessions {
		return nil
	}
	return &m.state.Asks[i]
}

func (m *model) chosenSession() *Session {
	i := slices.IndexFunc(m.state.Sessions, func(s Session) bool { return s.ID == m.session })
	if i < 0 {
		return nil
	}
	return &m.state.Sessions[i]
}

func asksIDs(list []Ask) []string {
	ids := make([]string, len(list))
	for i, a := range list {
		ids[i] = a.ID
	}
	return ids
}

func sessionIDs(list []Session) []string {
	ids := make([]string, len(list))
	for i, s := range list {
		ids[i] = s.ID
	}
	return ids
}

// keep is id if it is still there, else the first.
func keep(id string, ids []string) string {
	if slices.Contains(ids, id) {
		return id
	}
	if len(ids) == 0 {
		return ""
	}
	return ids[0]
}

func neighbour(id string, ids []string, step int) string {
	i := slices.Index(ids, id) + step
	if len(ids) == 0 || i < 0 || i >= len(ids) {
		return id
	}
	return ids[i]
}
