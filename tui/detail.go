package tui

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// maxShown is how much of a statement is laid out, in bytes. Nobody reads more on a
// screen, and the screen must stay quick; that there is more is said in its place.
const maxShown = 200_000

const labelWidth = 11

// detail is the lower part: a line that divides, what is known of the chosen row,
// and its statement, of which a part is shown if it is long.
func (m *model) detail() []string {
	meta, body := m.meta(), m.body()
	height := m.bodyHeight()
	lines := append([]string{"", m.divider(len(body), height)}, meta...)
	lines = append(lines, "")
	first := max(0, min(m.scroll, len(body)-height))
	return append(lines, body[first:min(first+height, len(body))]...)
}

// bodyHeight is how many lines of the statement there is room for.
func (m *model) bodyHeight() int {
	used := len(m.head()) + 1 + m.listHeight() + 2 + len(m.meta()) + 1 + 2
	return max(1, m.height-used)
}

// divider separates list and detail. It carries the question before an answer, or
// which part of a long statement is shown.
func (m *model) divider(lines, height int) string {
	a := m.chosen()
	switch {
	case m.mode == approving && a != nil:
		question := " " + m.theme.warn.Bold(true).Render("Approve "+line(a.ID)+"?") + " It runs once, as shown."
		return spread(question, m.theme.faint.Render(m.part(lines, height))+" ", m.width)
	case m.mode == denying && a != nil:
		question := " " + m.theme.warn.Bold(true).Render("Deny "+line(a.ID)+".") + " Why? "
		m.reason.Width = max(10, m.width-ansi.StringWidth(question)-2)
		return question + m.reason.View()
	}
	part := m.part(lines, height)
	rule := strings.Repeat("─", max(0, m.width-2-ansi.StringWidth(part)))
	return " " + m.theme.faint.Render(rule+part)
}

func (m *model) part(lines, height int) string {
	if lines <= height {
		return ""
	}
	first := max(0, min(m.scroll, lines-height))
	return fmt.Sprintf(" lines %d–%d of %d", first+1, first+height, lines)
}

// meta is what is known of the chosen row beside its statement.
func (m *model) meta() []string {
	if m.onSessions {
		s := m.chosenSession()
		if s == nil {
			return nil
		}
		return []string{
			m.field("Who", caller(s.Who, s.WhoKind)),
			m.field("Through", strings.Trim(line(s.Client)+" to "+line(s.Connection), " ")),
			m.field("Doing", line(s.Doing)),
		}
	}
	a := m.chosen()
	if a == nil {
		return nil
	}
	by := caller(a.Who, a.WhoKind) + " on " + line(a.Connection)
	if a.Session != "" {
		by += m.theme.faint.Render(", session " + line(a.Session))
	}
	lines := []string{m.field("Asked by", by)}
	lines = append(lines, m.wrapped("Rule", line(a.Rule))...)
	lines = append(lines, m.wrapped("Because", line(a.Reason))...)
	for _, f := range a.Facts[:min(len(a.Facts), m.factsShown())] {
		lines = append(lines, m.wrapped(line(f.Label), line(f.Text))...)
	}
	lines = append(lines, m.field("Needs", m.needs(a)))
	if a.Refusal != "" {
		lines = append(lines, m.field("You", m.theme.warn.Render("cannot answer: "+line(a.Refusal))))
	}
	return lines
}

// factsShown is how many facts there is room for: the statement comes first.
func (m *model) factsShown() int { return max(0, min(6, (m.height-20)/2)) }

func (m *model) field(label, text string) string {
	return " " + m.theme.label.Render(pad(label, labelWidth)) + text
}

// wrapped is a field that may need two lines; more are cut, for the statement's sake.
func (m *model) wrapped(label, text string) []string {
	rows := wrapCells(classifyAs(text, plain), m.width-labelWidth-2)
	if len(rows) > 2 {
		rows[1] = append(rows[1][:len(rows[1]):len(rows[1])], cell{'…', plain})
		rows = rows[:2]
	}
	lines := make([]string, len(rows))
	for i, r := range rows {
		lines[i] = m.field(label, paint(r, &m.theme.sql))
		label = ""
	}
	return lines
}

// needs is the progress of the quorum: a dot for each person, filled if they agreed.
func (m *model) needs(a *Ask) string {
	var parts []string
	for _, n := range a.Needs {
		have := max(0, min(n.Have, n.Count))
		dots := m.theme.good.Render(strings.Repeat("●", min(have, 10))) + strings.Repeat("○", max(0, min(n.Count-have, 10)))
		parts = append(parts, fmt.Sprintf("%s %d of %d from %s", dots, have, n.Count, line(strings.Join(n.Groups, " or "))))
	}
	text := strings.Join(parts, ", and ")
	var agreed []string
	for _, v := range a.Votes {
		if v.Grant {
			agreed = append(agreed, line(v.Who))
		}
	}
	if len(agreed) > 0 {
		text += m.theme.faint.Render(" (" + strings.Join(agreed, ", ") + ")")
	}
	return text
}

// body is the statement, and its parameters below.
func (m *model) body() []string {
	var sql string
	var params []string
	if a := m.chosen(); a != nil {
		sql, params = a.SQL, a.Params
	} else if s := m.chosenSession(); s != nil && m.onSessions {
		sql = s.SQL
	}
	lines := m.layOut(sql)
	if len(params) > 0 {
		lines = append(lines, "")
	}
	for i, p := range params {
		text := classifyAs(clean(p), literal)
		label := pad(fmt.Sprintf("$%d", i+1), 4)
		for j, l := range wrapCells(text, m.width-8) {
			if j > 0 {
				label = "    "
			}
			lines = append(lines, "  "+m.theme.label.Render(label)+" "+paint(l, &m.theme.sql))
		}
	}
	return lines
}

func (m *model) layOut(sql string) []string {
	rest := 0
	if len(sql) > maxShown {
		rest = len(sql) - maxShown
		sql = strings.ToValidUTF8(sql[:maxShown], "")
	}
	var lines []string
	for _, l := range wrapCells(classify(strings.TrimSpace(clean(sql))), m.width-4) {
		lines = append(lines, "  "+paint(l, &m.theme.sql))
	}
	if rest > 0 {
		lines = append(lines, "  "+m.theme.bad.Render(fmt.Sprintf("… and %d bytes more that do not fit here: read them elsewhere before you approve", rest)))
	}
	return lines
}

// classifyAs gives all text one class, but for what stands in for something else.
func classifyAs(text string, c class) []cell {
	cells := make([]cell, 0, len(text))
	for _, r := range text {
		if r == unshown || (r >= pictures && r <= deleted) {
			cells = append(cells, cell{r, strange})
			continue
		}
		cells = append(cells, cell{r, c})
	}
	return cells
}
