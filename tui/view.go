package tui

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// The smallest window in which an answer can be given with open eyes.
const (
	minWidth  = 40
	minHeight = 12
)

// View draws the screen: title, note, list, detail, outcome, keys.
func (m model) View() string {
	if m.width < minWidth || m.height < minHeight {
		return fmt.Sprintf("The window is too small: at least %d × %d, please.", minWidth, minHeight)
	}
	lines := m.head()
	switch {
	case m.mode == helping:
		lines = append(lines, m.helpText()...)
	case !m.loaded:
		lines = append(lines, m.centred("Asking the gateway what is waiting …")...)
	case m.empty():
		lines = append(lines, m.emptyText()...)
	default:
		lines = append(lines, m.table()...)
		lines = append(lines, m.detail()...)
	}
	room := m.height - 2
	for len(lines) < room {
		lines = append(lines, "")
	}
	lines = append(lines[:room], m.statusLine(), m.keyLine())
	for i, l := range lines {
		lines[i] = ansi.Truncate(l, m.width, "…")
	}
	return strings.Join(lines, "\n")
}

func (m *model) empty() bool {
	if m.onSessions {
		return len(m.state.Sessions) == 0
	}
	return len(m.state.Asks) == 0
}

// head is the title and the note.
func (m *model) head() []string {
	tab := func(on bool, name string, n int) string {
		text := fmt.Sprintf("%s %d", name, n)
		if !on {
			return m.theme.faint.Render(text)
		}
		return m.theme.tab.Render(text)
	}
	left := " " + m.theme.title.Render("sluice") + "   " +
		tab(!m.onSessions, "Approvals", len(m.state.Asks)) + "   " +
		tab(m.onSessions, "Sessions", len(m.state.Sessions))
	lines := []string{spread(left, m.theme.faint.Render(line(m.state.Me))+" ", m.width), ""}
	if m.note != "" {
		lines = append(lines, noteLines(m.note, m.width)...)
		lines = append(lines, "")
	}
	return lines
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
	if m.onSessions {
		return m.centred("Nobody is connected.", "", "Sessions appear here as soon as somebody opens one.")
	}
	return m.centred("Nothing is waiting.", "",
		"A statement that a rule holds appears here at once,", "and its author waits until somebody answers.")
}

// centred puts a few words in the upper middle.
func (m *model) centred(text ...string) []string {
	lines := make([]string, max(0, (m.height-8)/4))
	for i, t := range text {
		pad := strings.Repeat(" ", max(0, (m.width-ansi.StringWidth(t))/2))
		if i > 0 {
			t = m.theme.faint.Render(t)
		}
		lines = append(lines, pad+t)
	}
	return lines
}

func (m *model) helpText() []string {
	rows := [][2]string{
		{"↑ ↓  k j", "choose a row"},
		{"space  b", "scroll the statement"},
		{"a", "approve: shows the statement once more, then y or enter"},
		{"d", "deny: asks for a reason that the author will see"},
		{"tab", "between approvals and sessions"},
		{"q  ctrl+c", "quit; whatever waits goes on waiting"},
	}
	lines := []string{" An approval releases one execution of the statement shown, with the", " parameters shown, for the person who asked. Nothing else.", ""}
	for _, r := range rows {
		lines = append(lines, " "+m.theme.key.Render(pad(r[0], 12))+r[1])
	}
	lines = append(lines, "", m.theme.faint.Render(" Characters that cannot be shown appear as ")+
		paint([]cell{{unshown, strange}}, &m.theme.sql)+m.theme.faint.Render(" or as a picture such as ")+
		paint([]cell{{pictures + 0x1b, strange}}, &m.theme.sql)+m.theme.faint.Render("."))
	return lines
}

func (m *model) statusLine() string {
	switch {
	case m.lost != "":
		return " " + m.theme.bad.Render("✗ "+m.lost)
	case m.sent != "":
		return " " + m.theme.faint.Render("… sending the answer to "+line(m.sent))
	case m.status == "":
		return ""
	case m.failed:
		return " " + m.theme.bad.Render("✗ "+m.status)
	}
	return " " + m.theme.good.Render("✓ "+m.status)
}

func (m *model) keyLine() string {
	var parts []string
	for _, k := range keyHelps(m.mode, !m.onSessions) {
		parts = append(parts, m.theme.key.Render(k.key)+" "+m.theme.faint.Render(k.does))
	}
	return " " + strings.Join(parts, "   ")
}

// spread puts one text at each end of a line.
func spread(left, right string, width int) string {
	gap := width - ansi.StringWidth(left) - ansi.StringWidth(right)
	if gap < 1 {
		return left
	}
	return left + strings.Repeat(" ", gap) + right
}

// pad fills or cuts a text to exactly width columns.
func pad(s string, width int) string {
	s = ansi.Truncate(s, width, "…")
	return s + strings.Repeat(" ", max(0, width-ansi.StringWidth(s)))
}

// padLeft is pad for figures: they end on the same column.
func padLeft(s string, width int) string {
	s = ansi.Truncate(s, width, "…")
	return strings.Repeat(" ", max(0, width-ansi.StringWidth(s))) + s
}

// span is a duration for people: "48s", "2m03s", "1h05m", "3d04h".
func span(d time.Duration) string {
	s := int(max(d, 0).Round(time.Second) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
}
