package tui

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// The smallest window in which an answer can be given with open eyes.
const (
	minWidth  = 40
	minHeight = 12
)

// View draws the screen: title, note, list, detail, outcome, keys.
func (m *model) View() string {
	if m.width < minWidth || m.height < minHeight {
		return fmt.Sprintf("The window is too small: at least %d × %d, please.", minWidth, minHeight)
	}
	lines := append(m.head(), m.body()...)
	room := m.height - 2
	for len(lines) < room {
		lines = append(lines, "")
	}
	lines = append(lines[:room], m.statusLine(), m.keyLine())
	for i, l := range lines {
		lines[i] = cutTo(l, m.width)
	}
	return strings.Join(lines, "\n")
}

func (m *model) body() []string {
	switch {
	case m.mode == helping:
		return m.helpText()
	case m.replay != nil:
		return m.replayBody()
	case m.stream != nil:
		return m.streamBody()
	case m.tab == booksTab:
		return m.booksBody()
	case m.tab == policyTab:
		return m.window(m.bodyHeight())
	case m.tab != historyTab && !m.loaded:
		return m.centred("Asking the gateway what is waiting …")
	}
	var lines []string
	if m.tab == historyTab {
		lines = append(lines, m.pastHead())
	}
	switch {
	case len(m.list()) == 0:
		return append(lines, m.emptyText()...)
	case m.full:
		return append(lines, append([]string{m.divider()}, m.window(m.detailHeight())...)...)
	}
	m.clickTop = len(m.head()) + len(lines) + 1
	lines = append(lines, m.table()...)
	lines = append(lines, m.divider())
	return append(lines, m.window(m.detailHeight())...)
}

// bodyHeight is how many lines there are between the title and the outcome.
func (m *model) bodyHeight() int { return max(1, m.height-len(m.head())-2) }

// detailHeight is how many lines of the detail there is room for.
func (m *model) detailHeight() int {
	used := 1
	switch {
	case m.tab == policyTab:
		used = 0
	case !m.full:
		used = 1 + m.listHeight() + 1
	}
	if m.tab == historyTab {
		used++
	}
	return max(1, m.bodyHeight()-used)
}

// window is the part of the detail that is scrolled to.
func (m *model) window(height int) []string {
	all := m.detail()
	first := max(0, min(m.scroll, len(all)-height))
	last := min(first+height, len(all))
	m.far = max(m.far, last)
	return all[first:last]
}

// tabNames in their order.
var tabNames = [tabs]string{"Inbox", "Requests", "Sessions", "History", "Policy", "Runbooks"}

// tabCount is how many lists there are.
func (m *model) tabCount() tab {
	if m.books == nil {
		return booksTab
	}
	return tabs
}

// tabGap is how far the names of lists are apart.
func (m *model) tabGap() int {
	switch {
	case m.width >= 72:
		return 3
	case m.books == nil:
		return 2
	}
	return 1
}

// tabTexts are the names of the lists with how much is in them.
func (m *model) tabTexts() (texts []string) {
	for i, name := range tabNames[:m.tabCount()] {
		if tab(i) == booksTab && m.width < 72 {
			name = "Books"
		}
		if n := [tabs]int{len(m.st.asks.order), m.openRequests(), len(m.st.sessions.order)}[i]; n > 0 {
			name += fmt.Sprintf(" %d", n)
		}
		texts = append(texts, name)
	}
	return texts
}

// openRequests are those that wait or may be used.
func (m *model) openRequests() (n int) {
	for _, r := range m.st.requests.items {
		if r.State == "waiting" || r.State == "granted" {
			n++
		}
	}
	return n
}

const brand = "sluice"

// head is the title, what must not be overlooked, and the note.
func (m *model) head() []string {
	gap := strings.Repeat(" ", m.tabGap())
	left := " " + m.theme.title.Render(brand)
	before := gap
	for i, text := range m.tabTexts() {
		if tab(i) == m.tab { // between brackets, which take the place of spaces
			left += before[:len(before)-1] + m.theme.faint.Render("[") + m.theme.tab.Render(text) + m.theme.faint.Render("]")
			before = gap[1:]
			continue
		}
		left += before + m.theme.faint.Render(text)
		before = gap
	}
	lines := []string{left}
	if me := nameOf(m.opt.Me); textWidth(left)+len(gap)+textWidth(me) < m.width {
		lines[0] = spread(left, m.theme.faint.Render(me)+" ", m.width)
	}
	if n := len(m.alarms); n > 0 {
		text := "!! BREAK-GLASS: " + m.alarms[n-1]
		if n > 1 {
			text += fmt.Sprintf(" (and %d more)", n-1)
		}
		lines = append(lines, m.theme.alarm.Render(pad(" "+text, m.width-14)+" x dismisses ")+" ")
	} else {
		lines = append(lines, "")
	}
	if m.opt.Note != "" {
		lines = append(lines, noteLines(m.opt.Note, m.width)...)
		lines = append(lines, "")
	}
	return lines
}

// tabAt is the list whose name stands at a column of the first line.
func (m *model) tabAt(x int) (tab, bool) {
	gap := m.tabGap()
	at := 1 + len(brand)
	for i, text := range m.tabTexts() {
		at += gap
		if x >= at && x < at+ansi.StringWidth(text) {
			return tab(i), true
		}
		at += ansi.StringWidth(text)
	}
	return 0, false
}

// divider separates list and detail, names what the detail is about, and says which part
// of it is shown.
func (m *model) divider() string {
	title := m.detailTitle()
	all, height := len(m.detail()), m.detailHeight()
	part := ""
	if all > height {
		first := max(0, min(m.scroll, all-height))
		part = fmt.Sprintf(" lines %d–%d of %d", first+1, first+height, all)
	}
	title = cutTo(title, max(0, m.width-4-ansi.StringWidth(part)))
	rule := strings.Repeat("─", max(0, m.width-4-ansi.StringWidth(title)-ansi.StringWidth(part)))
	return " " + m.theme.selected.Render(title) + " " + m.theme.faint.Render(rule+part)
}

func (m *model) detailTitle() string {
	id := m.lists[m.tab].chosen
	switch m.tab {
	case inboxTab:
		a := m.st.asks.items[id]
		return fmt.Sprintf("%s: %s on %s, %s left", line(a.ID), kindOf(a), line(a.Connection), m.left(a.Deadline))
	case requestsTab:
		r := m.st.requests.items[id]
		return fmt.Sprintf("%s: %s, %s", line(r.ID), whatOf(r), line(r.State))
	case sessionsTab:
		s := m.st.sessions.items[id]
		text := fmt.Sprintf("%s: %s", line(s.ID), doing(s.State))
		if s.State != "idle" && !s.Begun.IsZero() {
			text += " for " + m.since(s.Begun)
		}
		return text
	case historyTab:
		return line(id)
	}
	return ""
}

// pastHead is the search, and what came of it.
func (m *model) pastHead() string {
	p := &m.past
	switch {
	case m.mode == searching:
		m.input.Width = max(10, m.width-12)
		return " " + m.theme.label.Render("Search  ") + m.input.View()
	case p.problem != "":
		return " " + m.theme.bad.Render("✗ "+p.problem)
	}
	what := fmt.Sprintf("%d found", len(p.ids))
	switch {
	case p.running:
		what = "asking the record …"
	case p.next > 0:
		what += ", there are more"
	}
	if p.note != "" {
		what += "; " + p.note
	}
	return spread(" "+m.theme.label.Render("Search  ")+line(p.query), m.theme.faint.Render(what)+" ", m.width)
}

func (m *model) streamBody() []string {
	s := m.stream
	state := m.theme.good.Render("live")
	switch {
	case s.over != "":
		state = m.theme.warn.Render(s.over)
	case !s.follow:
		state = m.theme.warn.Render("paused; G follows again")
	}
	title := fmt.Sprintf("%s: %s", line(s.session), s.head)
	lines := []string{spread(" "+m.theme.selected.Render(title), state+" ", m.width)}
	return append(lines, s.shown(m.bodyHeight()-1)...)
}

// noteLines shows the note from the first column on. A line that is too long is
// continued the way a shell understands, so that it can still be pasted.
func noteLines(note string, width int) []string {
	var lines []string
	for _, l := range strings.Split(clean(note), "\n") {
		for ansi.StringWidth(l) > width {
			cutAt := lastGap(ansi.Truncate(l, width-2, ""))
			if cutAt <= 0 {
				break // one long word: it is shown cut
			}
			lines = append(lines, l[:cutAt]+` \`)
			l = l[cutAt+1:]
		}
		lines = append(lines, l)
	}
	return lines
}

// lastGap is the place of the last space that a shell takes as one, or -1.
func lastGap(l string) int {
	at, quote := -1, byte(0)
	for i := range len(l) {
		switch c := l[i]; {
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case c == quote:
			quote = 0
		case quote == 0 && c == ' ':
			at = i
		}
	}
	return at
}

func (m *model) emptyText() []string {
	if m.lists[m.tab].filter != "" {
		return m.centred("Nothing has “"+line(m.lists[m.tab].filter)+"” in it.", "", "esc shows all again")
	}
	switch m.tab {
	case requestsTab:
		return m.centred("Nothing was asked for ahead of time.", "", "sluice request NAME -f script.sql --reason …", "asks for a script, --for 1h for a window of time.")
	case sessionsTab:
		return m.centred("Nobody is connected.", "", "Sessions that you may see appear here as soon as", "somebody opens one.")
	case historyTab:
		if m.past.running {
			return m.centred("Asking the record …")
		}
		return m.centred("Nothing was found.", "", "/ changes the search")
	}
	return m.centred("Nothing is waiting.", "",
		"A statement that a rule holds appears here at once,", "and its author waits until somebody answers.")
}

// centred puts a few words in the upper middle.
func (m *model) centred(text ...string) []string {
	lines := make([]string, max(0, (m.height-8)/4))
	var folded []string
	first := 0 // lines of the first text, which is the one that counts
	for i, t := range text {
		parts := []string{""}
		if t != "" {
			parts = nil
			for _, p := range wrapCells(classifyAs(t, plain), max(10, m.width-4)) {
				parts = append(parts, strings.TrimSpace(plainText(p)))
			}
		}
		folded = append(folded, parts...)
		if i == 0 {
			first = len(folded)
		}
	}
	for i, t := range folded {
		pad := strings.Repeat(" ", max(0, (m.width-ansi.StringWidth(t))/2))
		if i >= first {
			t = m.theme.faint.Render(t)
		}
		lines = append(lines, pad+t)
	}
	return lines
}

func (m *model) helpText() []string {
	rows := [][2]string{
		{"↑↓ jk", "choose a row, or scroll the whole detail"},
		{"space b", "scroll the detail by a page"},
		{"enter esc", "the whole detail, and back"},
		m.tabHelp(),
		{"a d", "approve, deny; a reason if you like; enter"},
		{"!", "break the glass for your own, where a rule lets"},
		{"v", "preview: try the write, undo it, show the rows"},
		{"f", "the statement laid out, or as it was sent"},
		{"h s p", "history of person, of shape of statement; rule"},
		{"w R K", "watch a session live, replay it; end it"},
		{"e", "take your own request back"},
		{"/ r", "search; ask the record again"},
		{"m", "mouse on or off; off lets you mark text"},
		{"x", "dismiss an alarm"},
		{"q ctrl+c", "quit; whatever waits goes on waiting"},
	}
	lines := []string{" An approval releases one run of what is shown. Keys that", " decide do nothing just after the screen has changed.", ""}
	for _, r := range rows {
		lines = append(lines, " "+m.theme.key.Render(pad(r[0], 10))+r[1])
	}
	lines = append(lines, m.theme.faint.Render(" What cannot be shown is ")+
		paint([]cell{{unshown, strange}}, &m.theme.sql)+m.theme.faint.Render(" or a picture such as ")+
		paint([]cell{{pictures + 0x1b, strange}}, &m.theme.sql)+m.theme.faint.Render("."))
	return lines
}

// tabHelp says which lists there are.
func (m *model) tabHelp() [2]string {
	if m.books != nil {
		return [2]string{"tab 1–6", "inbox, requests, sessions, history, policy, runbooks"}
	}
	return [2]string{"tab 1–5", "inbox, requests, sessions, history, policy"}
}

// statusLine is the question that waits for an answer, or what there is to say.
func (m *model) statusLine() string {
	switch {
	case m.mode == answering:
		return m.questionLine()
	case m.mode == jumping:
		m.input.Width = max(10, m.width-12)
		return " " + m.theme.label.Render("Go to ") + m.input.View()
	case m.mode == searching && m.tab != historyTab:
		m.input.Width = max(10, m.width-12)
		return " " + m.theme.label.Render("Search ") + m.input.View()
	case m.lost != "":
		return " " + m.theme.bad.Render("✗ "+m.lost)
	case m.loaded && !m.now.IsZero() && m.now.Sub(m.heard) > silence:
		return " " + m.theme.warn.Render("… no word from the gateway for "+span(m.now.Sub(m.heard)))
	case m.sent != "":
		return " " + m.theme.faint.Render("… sending the answer to "+line(m.sent))
	case m.status == "":
		return ""
	case m.failed:
		return " " + m.theme.bad.Render("✗ "+m.status)
	}
	return " " + m.theme.good.Render("✓ "+m.status)
}

// questionLine asks, with room for a reason.
func (m *model) questionLine() string {
	style := m.theme.warn.Bold(true)
	if m.q.about == glass {
		style = m.theme.alarm
	}
	text := " " + style.Render(m.q.words) + " "
	if m.status != "" {
		text = " " + m.theme.bad.Render(m.status) + " "
	}
	if !m.q.reason {
		return text
	}
	m.input.Width = max(10, m.width-ansi.StringWidth(text)-2)
	return text + m.input.View()
}

func (m *model) keyLine() string {
	text := ""
	for _, k := range m.keyHelps() {
		next := m.theme.key.Render(k.key) + " " + m.theme.faint.Render(k.does)
		if text != "" {
			next = "  " + next
		}
		if ansi.StringWidth(text)+ansi.StringWidth(next) > m.width-2 {
			break
		}
		text += next
	}
	return " " + text
}

// keyHelps are the keys that matter now, the most telling first: a narrow screen shows
// the first of them.
func (m *model) keyHelps() []keyHelp {
	end := []keyHelp{{"?", "help"}, {"q", "quit"}}
	switch {
	case m.mode == answering:
		verb := strings.TrimSuffix(did[m.q.about][1], " for")
		if hidden := len(m.detail()) - m.far; hidden > 0 && m.q.about == approve {
			return []keyHelp{{"enter", verb}, {"esc", "back"}, {"pgdn", fmt.Sprintf("scroll; %d lines were not shown yet", hidden)}}
		}
		return []keyHelp{{"enter", verb}, {"esc", "back"}, {"pgup pgdn", "scroll"}}
	case m.mode == searching:
		return []keyHelp{{"enter", "search"}, {"esc", "back"}}
	case m.mode == jumping:
		return []keyHelp{{"enter", "go there"}, {"esc", "back"}}
	case m.mode == helping:
		return []keyHelp{{"any key", "back"}}
	case m.replay != nil:
		return m.replayHelps()
	case m.stream != nil:
		return append([]keyHelp{{"esc", "back"}, {"↑↓", "scroll"}, {"G", "follow"}}, end...)
	}
	switch {
	case m.tab == booksTab:
		return m.bookHelps()
	case len(m.list()) > 0 || m.lists[m.tab].filter != "":
	case m.tab == historyTab:
		return append([]keyHelp{{"/", "search"}, {"r", "again"}, {"tab", "next list"}}, end...)
	case m.tab != policyTab:
		return append([]keyHelp{{"tab", "next list"}}, end...)
	}
	switch m.tab {
	case inboxTab:
		return []keyHelp{{"a", "approve"}, {"d", "deny"}, {"v", "preview"}, {"↑↓", "choose"}, {"?", "help"}, {"q", "quit"}, {"enter", "open"}, {"space", "scroll"}, {"h", "history"}, {"p", "rule"}, {"/", "search"}}
	case requestsTab:
		return append([]keyHelp{{"a", "approve"}, {"d", "deny"}, {"e", "take back"}, {"↑↓", "choose"}, {"enter", "open"}, {"/", "search"}}, end...)
	case sessionsTab:
		return append([]keyHelp{{"w", "watch"}, {"K", "end it"}, {"h", "history"}, {"R", "replay"}, {"↑↓", "choose"}, {"enter", "open"}, {"/", "search"}}, end...)
	case historyTab:
		return append([]keyHelp{{"/", "search"}, {"↑↓", "choose"}, {"enter", "open"}, {"R", "replay"}, {"r", "again"}, {"p", "rule"}}, end...)
	}
	return append([]keyHelp{{"↑↓", "scroll"}, {"r", "again"}, {"tab", "next"}}, end...)
}
