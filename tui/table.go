package tui

import (
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"
)

// Widths of the columns that do not grow.
const (
	askWidth  = 7  // an ask's id is short, because people type it
	sessWidth = 16 // a session's is not
	kindWidth = 12
	timeWidth = 8
)

// hurry is when the time left is shown as a warning.
const hurry = 15 * time.Second

// table is the list of asks or sessions, the chosen row always among those shown.
func (m *model) table() []string {
	who, conn := m.growing()
	var head string
	var rows []string
	at := 0
	if m.onSessions {
		head = pad("ID", sessWidth) + pad("WHO", who) + pad("CONNECTION", conn) + pad("DOING", kindWidth) + padLeft("OPEN", timeWidth)
		for i, s := range m.state.Sessions {
			if s.ID == m.session {
				at = i
			}
			rows = append(rows, m.row(s.ID == m.session, pad(line(s.ID), sessWidth)+pad(caller(s.Who, s.WhoKind), who)+
				pad(line(s.Connection), conn)+pad(line(s.Doing), kindWidth), m.since(s.Since)))
		}
	} else {
		head = pad("ID", askWidth) + pad("WHO", who) + pad("CONNECTION", conn) + pad("STATEMENT", kindWidth) + padLeft("WAITED", timeWidth) + padLeft("LEFT", timeWidth)
		for i, a := range m.state.Asks {
			if a.ID == m.ask {
				at = i
			}
			rows = append(rows, m.row(a.ID == m.ask, pad(line(a.ID), askWidth)+pad(caller(a.Who, a.WhoKind), who)+
				pad(line(a.Connection), conn)+pad(statementKind(a.Kind), kindWidth), m.since(a.Created)+m.left(a.Deadline)))
		}
	}
	lines := []string{"  " + m.theme.faint.Render(head)}
	shown := m.listHeight()
	first := max(0, min(at-shown/2, len(rows)-shown))
	return append(lines, rows[first:min(first+shown, len(rows))]...)
}

// listHeight is how many rows the list shows: all if they fit into a third.
func (m *model) listHeight() int {
	n := len(m.state.Asks)
	if m.onSessions {
		n = len(m.state.Sessions)
	}
	return min(n, max(2, m.height/3-2))
}

// growing are the widths of the two columns that share what is left.
func (m *model) growing() (who, conn int) {
	rest := m.width - 2 - kindWidth - timeWidth - 1
	if m.onSessions {
		rest -= sessWidth
	} else {
		rest -= askWidth + timeWidth
	}
	who = max(8, rest*3/5)
	return who, max(6, rest-who)
}

func (m *model) row(chosen bool, text, times string) string {
	if !chosen {
		return "  " + text + times
	}
	return m.theme.mark.Render("▌") + " " + m.theme.selected.Render(text) + times
}

func (m *model) since(t time.Time) string {
	if m.now.IsZero() || t.IsZero() {
		return padLeft("", timeWidth)
	}
	return m.theme.faint.Render(padLeft(span(m.now.Sub(t)), timeWidth))
}

func (m *model) left(t time.Time) string {
	if m.now.IsZero() || t.IsZero() {
		return padLeft("", timeWidth)
	}
	d := t.Sub(m.now)
	style := lipgloss.Style(m.theme.sql[plain])
	if d < hurry {
		style = m.theme.warn
	}
	return style.Render(padLeft(span(d), timeWidth))
}

// caller is a name, with what it is unless it is a person.
func caller(who, kind string) string {
	if kind == "" || kind == "person" {
		return line(who)
	}
	return line(who + " (" + kind + ")")
}

func statementKind(kind string) string {
	if kind == "" {
		return "unknown"
	}
	return strings.ReplaceAll(line(kind), "_", " ")
}
