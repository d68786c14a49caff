package tui

import (
	tea "github.com/charmbracelet/bubbletea"
)

// key turns a key into its intent and does it.
func (m *model) key(msg tea.KeyMsg) tea.Cmd {
	if m.tab == booksTab && m.mode == browsing {
		if cmd, took := m.bookKey(msg); took {
			return cmd
		}
	}
	text := m.mode == answering || m.mode == searching || m.mode == jumping
	if msg.Paste && !text {
		return nil // a pasted text is never a row of commands
	}
	name, times := keyName(msg)
	want := intentOf(m.mode, name)
	if text && (want == nothing || msg.Paste) {
		return m.write(msg)
	}
	if times > 1 && !want.moves() {
		return nil // letters that come in one piece are more likely text than a decision
	}
	if want.decides() && m.mode != searching && m.mode != jumping && !m.steady() {
		m.say(true, "that key came as the screen changed: look, then press it again")
		return nil
	}
	if want.moves() {
		for range times {
			m.move(want)
		}
		if m.replay != nil {
			return m.endsOfReplay(want)
		}
		return m.morePast()
	}
	return m.act(want)
}

// write puts a key into the text. Letters that come in one piece go in one by one: as a
// piece they can read like the name of a key, "down".
func (m *model) write(msg tea.KeyMsg) (cmd tea.Cmd) {
	if msg.Type != tea.KeyRunes || msg.Paste {
		m.input, cmd = m.input.Update(msg)
		return cmd
	}
	for _, r := range msg.Runes {
		m.input, cmd = m.input.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}, Alt: msg.Alt})
	}
	return cmd
}

// act does what a key asks for, but for moving.
func (m *model) act(want intent) tea.Cmd {
	if m.mode == helping {
		m.mode = m.base()
		if want != quit {
			return nil
		}
	}
	if cmd, did := m.actReplay(want); did {
		return cmd
	}
	switch want {
	case quit:
		if !m.mayLeave() {
			return nil
		}
		m.leaveStream()
		return tea.Quit
	case nextTab, lastTab, toTab1, toTab2, toTab3, toTab4, toTab5, toTab6:
		return m.goTo(want)
	case open:
		if !m.full && m.lists[m.tab].chosen != "" && m.stream == nil {
			m.full = true
			m.begin()
		}
	case back:
		m.goBack()
	case confirm:
		return m.confirm()
	case approve, deny, glass, kill, endRequest:
		return m.ask(want)
	case preview:
		return m.try()
	case watch:
		m.startWatching()
	case replayIt:
		return m.startReplay()
	case history, shapeHistory:
		return m.historyOf(want)
	case showPolicy:
		return m.policyOf()
	case search:
		return m.startSearch()
	case reload:
		return m.reload()
	case layout:
		m.laid = !m.laid
		m.disturb()
	case mouse:
		m.mouse = !m.mouse
		if m.mouse {
			return tea.EnableMouseCellMotion
		}
		return tea.DisableMouse
	case dismiss:
		m.alarms = nil
	case help:
		m.mode = helping
	}
	return nil
}

// goTo shows another list.
func (m *model) goTo(want intent) tea.Cmd {
	m.leaveStream()
	m.leaveReplay()
	to, n := m.tab, m.tabCount()
	switch want {
	case nextTab:
		to = (to + 1) % n
	case lastTab:
		to = (to + n - 1) % n
	default:
		if to = tab(want - toTab1); to >= n {
			return nil
		}
	}
	return m.switchTo(to)
}

func (m *model) switchTo(to tab) tea.Cmd {
	m.tab, m.full, m.status = to, false, ""
	m.begin()
	m.changed()
	switch {
	case to == historyTab && !m.past.asked:
		return m.askHistory(0)
	case to == policyTab && !m.policy.loaded:
		return m.loadPolicy()
	case to == booksTab && !m.books.loaded:
		return m.loadBooks()
	}
	return nil
}

// goBack leaves whatever is in front, one thing at a time.
func (m *model) goBack() {
	switch l := &m.lists[m.tab]; {
	case m.mode != browsing:
		m.stopAsking()
	case m.stream != nil:
		m.leaveStream()
		m.begin()
	case m.full:
		m.full = false
		m.begin()
	case l.filter != "":
		l.filter = ""
		m.disturb()
		m.changed()
	default:
		m.status = ""
	}
}

// move goes along a list, or along what is shown in full.
func (m *model) move(want intent) {
	if m.mode == helping {
		m.mode = m.base()
		return
	}
	if m.replay != nil {
		m.moveReplay(want)
		return
	}
	if m.stream != nil {
		m.stream.move(want, m.bodyHeight())
		return
	}
	if m.full || m.tab == policyTab || want == pageUp || want == pageDown || m.mode == answering {
		m.turn(want)
		return
	}
	rows, l := m.list(), &m.lists[m.tab]
	if len(rows) == 0 {
		return
	}
	switch want {
	case up:
		l.index = max(0, l.index-1)
	case down:
		l.index = min(len(rows)-1, l.index+1)
	case top:
		l.index = 0
	case bottom:
		l.index = len(rows) - 1
	}
	m.choose(rows[l.index])
}

func (m *model) choose(id string) {
	l := &m.lists[m.tab]
	if l.chosen == id {
		return
	}
	l.chosen = id
	m.status = ""
	m.begin()
	m.changed()
}

// turn scrolls the detail, and stays on it.
func (m *model) turn(want intent) {
	page, lines := m.detailHeight(), len(m.detail())
	step := map[intent]int{up: -1, down: 1, pageUp: -max(page-1, 1), pageDown: max(page-1, 1), top: -lines, bottom: lines}[want]
	m.scroll = max(0, min(m.scroll+step, lines-page))
}

// mouseAt moves by the wheel and chooses by a click. Nothing is decided by the mouse.
func (m *model) mouseAt(msg tea.MouseMsg) tea.Cmd {
	if m.mode == answering || m.mode == searching || m.mode == jumping {
		return nil
	}
	switch {
	case msg.Button == tea.MouseButtonWheelUp && m.full:
		m.turn(up)
	case msg.Button == tea.MouseButtonWheelDown && m.full:
		m.turn(down)
	case msg.Button == tea.MouseButtonWheelUp:
		m.move(up)
	case msg.Button == tea.MouseButtonWheelDown:
		m.move(down)
	case msg.Action != tea.MouseActionPress || msg.Button != tea.MouseButtonLeft:
	case msg.Y == 0:
		if t, ok := m.tabAt(msg.X); ok && (t != m.tab || m.full || m.stream != nil || m.replay != nil) {
			m.leaveStream()
			m.leaveReplay()
			return m.switchTo(t)
		}
	case m.full || m.stream != nil || m.replay != nil || m.tab == policyTab || m.tab == booksTab:
	default:
		if i := msg.Y - m.clickTop + m.firstRow; msg.Y >= m.clickTop && msg.Y < m.clickTop+m.listHeight() && i < len(m.list()) {
			m.choose(m.list()[i])
		}
	}
	return nil
}
