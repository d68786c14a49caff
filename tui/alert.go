package tui

import (
	"fmt"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/sluicehq/sluice/api"
)

const bell = "\a"

// waiting is how many asks who is looking may answer.
func (m *model) waiting() (n int) {
	for _, a := range m.st.asks.items {
		if a.MayAnswer {
			n++
		}
	}
	return n
}

// retitle puts what waits into the title of the window, if that is something else.
func (m *model) retitle() tea.Cmd {
	title := "sluice"
	if n := m.waiting(); n > 0 {
		title = fmt.Sprintf("(%d) sluice", n)
	}
	if title == m.title {
		return nil
	}
	m.title = title
	return tea.SetWindowTitle(title)
}

// announce tells the person of asks that arrived and that they may answer: once,
// however many they are.
func (m *model) announce(arrived []api.Ask) tea.Cmd {
	var first api.Ask
	n := 0
	for _, a := range arrived {
		if a.MayAnswer {
			if n++; n == 1 {
				first = a
			}
		}
	}
	if n == 0 {
		return nil
	}
	out := ""
	if !m.opt.Silent {
		out = bell
	}
	text := nameOf(first.Who) + " asks on " + line(first.Connection) + ": " + kindOf(first)
	if n > 1 {
		text = fmt.Sprintf("%d statements wait for you", n)
	}
	out += notification(m.opt.Notify, text)
	if out == "" {
		return nil
	}
	return m.emit(out)
}

// notification is what has a terminal show a text on the desktop. The text is on one
// line and has no control in it, so that it cannot end the sequence and begin another.
func notification(how, text string) string {
	text = line(text)
	switch how {
	case NotifyOSC9:
		return "\x1b]9;" + text + "\x1b\\"
	case NotifyOSC777:
		return "\x1b]777;notify;sluice;" + strings.ReplaceAll(text, ";", ",") + "\x1b\\"
	}
	return ""
}

// kindOf is what an ask is: "update", "script", "window".
func kindOf(a api.Ask) string {
	if a.Kind == "" {
		return "unknown"
	}
	return strings.ReplaceAll(line(a.Kind), "_", " ")
}
