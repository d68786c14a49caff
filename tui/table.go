package tui

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/internal/howlong"
)

// hurry is when the time left is shown as a warning.
const hurry = 15 * time.Second

// column of a list. Those of width 0 share what is left, by their parts.
type column struct {
	name  string
	width int
	parts int
	right bool
	from  int // width of the screen from which on it is shown
}

var columnsOf = [tabs][]column{
	inboxTab: {{name: "ID", width: 8}, {name: "WHO", parts: 3}, {name: "CONNECTION", parts: 2}, {name: "STATEMENT", width: 12}, {name: "TOUCHES", parts: 4, from: 100},
		{name: "WAITED", width: 7, right: true}, {name: "LEFT", width: 7, right: true}},
	requestsTab: {{name: "ID", width: 9}, {name: "WHO", parts: 3}, {name: "CONNECTION", parts: 2}, {name: "ASKS FOR", width: 16}, {name: "STATE", width: 10},
		{name: "UNTIL", width: 9, from: 80}},
	sessionsTab: {{name: "WHO", parts: 3}, {name: "CONNECTION", parts: 2}, {name: "DOING", width: 9}, {name: "STATEMENT", parts: 5, from: 80},
		{name: "PER S", width: 7, right: true}, {name: "ROWS/S", width: 8, right: true}, {name: "OPEN", width: 8, right: true}},
	historyTab: {{name: "TIME", width: 10}, {name: "WHO", parts: 3}, {name: "CONNECTION", parts: 2, from: 80}, {name: "RESULT", width: 11}, {name: "ROWS", width: 7, right: true, from: 80}, {name: " STATEMENT", parts: 5}},
	policyTab:  nil,
}

// columns are those that the screen has room for, with their widths.
func (m *model) columns() []column {
	var list []column
	rest, parts := m.width-3, 0
	for _, c := range columnsOf[m.tab] {
		if m.width < c.from {
			continue
		}
		list = append(list, c)
		rest -= c.width
		parts += c.parts
	}
	left := rest
	last := -1
	for i := range list {
		if list[i].parts > 0 {
			list[i].width = max(6, rest*list[i].parts/parts)
			left -= list[i].width
			last = i
		}
	}
	if last >= 0 && left > 0 {
		list[last].width += left
	}
	return list
}

// table is the list, the chosen row always among those shown. Only rows on the screen
// are made, so that thousands cost as much as ten.
func (m *model) table() []string {
	cols := m.columns()
	head := ""
	for _, c := range cols {
		head += fit(c, c.name)
	}
	lines := []string{"  " + m.theme.faint.Render(head)}
	rows, l := m.list(), &m.lists[m.tab]
	shown := m.listHeight()
	m.firstRow = max(0, min(l.index-shown/2, len(rows)-shown))
	for _, id := range rows[m.firstRow:min(m.firstRow+shown, len(rows))] {
		cells, style := m.cells(id)
		text := ""
		for _, c := range cols {
			text += m.dress(style, id, c, fit(c, cells[c.name]))
		}
		mark := "  "
		if id == l.chosen {
			mark = m.theme.mark.Render("▌") + " "
		}
		lines = append(lines, mark+text)
	}
	return lines
}

// fit puts a text into a column, with a space behind it.
func fit(c column, text string) string {
	if c.right {
		return padLeft(text, c.width)
	}
	return pad(text, c.width-1) + " "
}

// dress styles one cell.
func (m *model) dress(style map[string]func(...string) string, id string, c column, text string) string {
	if f := style[c.name]; f != nil {
		return f(text)
	}
	if id == m.lists[m.tab].chosen {
		return m.theme.selected.Render(text)
	}
	return text
}

// cells are what stands in a row, by the name of the column, and how.
func (m *model) cells(id string) (cells map[string]string, style map[string]func(...string) string) {
	style = map[string]func(...string) string{}
	switch m.tab {
	case inboxTab:
		a := m.st.asks.items[id]
		cells = map[string]string{"ID": line(a.ID), "WHO": nameOf(a.Who), "CONNECTION": line(a.Connection), "STATEMENT": kindOf(a), "TOUCHES": touches(a),
			"WAITED": m.since(a.Created), "LEFT": m.left(a.Deadline)}
		if a.BreakGlass {
			cells["ID"] = "!" + cells["ID"]
			style["ID"] = m.theme.alarm.Render
		}
		if !a.MayAnswer {
			style["WHO"], style["CONNECTION"], style["STATEMENT"] = m.theme.faint.Render, m.theme.faint.Render, m.theme.faint.Render
		}
		if !m.now.IsZero() && a.Deadline.Sub(m.now) < hurry {
			style["LEFT"] = m.theme.warn.Render
		}
	case requestsTab:
		r := m.st.requests.items[id]
		what := "a script"
		if r.Seconds > 0 {
			what = "window of " + howlong.Text(time.Duration(r.Seconds)*time.Second)
		}
		until := ""
		if r.State == "granted" {
			until = m.left(r.Until)
		}
		cells = map[string]string{"ID": line(r.ID), "WHO": nameOf(r.Who), "CONNECTION": line(r.Connection), "ASKS FOR": what, "STATE": line(r.State), "UNTIL": until}
		if r.State == api.AskWaiting || r.State == "granted" {
			style["STATE"] = m.theme.warn.Render
		}
	case sessionsTab:
		s := m.st.sessions.items[id]
		per, rows := s.rates(m.now)
		cells = map[string]string{"WHO": nameOf(s.Who), "CONNECTION": line(s.Connection), "DOING": doing(s.State), "STATEMENT": flat(cutTo(s.SQL, 200)),
			"PER S": rate(per), "ROWS/S": rate(rows), "OPEN": m.since(s.Since)}
		if s.State == "waiting" {
			style["DOING"] = m.theme.warn.Render
		}
	case historyTab:
		ev := m.past.events[id]
		text := ev.SQL
		if text == "" {
			text = string(ev.Kind) + " " + ev.Detail
		}
		result := ev.Outcome
		if result == "" {
			result = ev.Effect
		}
		cells = map[string]string{"TIME": m.clockTime(ev.Time), "WHO": line(ev.Who), "CONNECTION": line(ev.Connection), "RESULT": line(result),
			" STATEMENT": " " + flat(cutTo(text, 300))}
		if ev.Kind == audit.Decided && ev.Outcome != "" {
			cells["ROWS"] = grouped(ev.Rows)
		}
		if result != "ok" && result != "" && result != "allow" {
			style["RESULT"] = m.theme.warn.Render
		}
	}
	return cells, style
}

// touches is the first table that an ask writes, or reads, and how many rows.
func touches(a api.Ask) string {
	ev := a.Evidence
	if ev == nil {
		return ""
	}
	text := ""
	switch {
	case ev.Table != "":
		text = ev.Table
	case len(ev.Writes) > 0:
		text = ev.Writes[0]
	case len(ev.Reads) > 0:
		text = ev.Reads[0]
	}
	if ev.Rows != nil {
		text += " ~" + counted(*ev.Rows, "row")
	}
	return line(text)
}

func doing(state string) string {
	switch state {
	case "active":
		return "running"
	case "waiting":
		return "held"
	}
	return line(state)
}

// rate is a number a second, for a narrow column.
func rate(x float64) string {
	switch {
	case x == 0:
		return "·"
	case x < 10:
		return fmt.Sprintf("%.1f", x)
	case x < 10_000:
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.0fk", x/1000)
}

// listHeight is how many rows the list shows: all if they fit into a third.
func (m *model) listHeight() int {
	return min(len(m.list()), max(2, m.bodyHeight()/3))
}

func (m *model) since(t time.Time) string {
	if m.now.IsZero() || t.IsZero() {
		return ""
	}
	return span(m.now.Sub(t))
}

func (m *model) left(t time.Time) string {
	if m.now.IsZero() || t.IsZero() {
		return ""
	}
	return span(t.Sub(m.now))
}

// clockTime is the time of day, with the day if it is another.
func (m *model) clockTime(t time.Time) string {
	t = t.Local()
	if now := m.clock().Local(); t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format(time.TimeOnly)
	}
	return t.Format("01-02 15h")
}

// spread puts one text at each end of a line.
func spread(left, right string, width int) string {
	gap := width - ansi.StringWidth(left) - ansi.StringWidth(right)
	if gap < 1 {
		return left
	}
	return left + strings.Repeat(" ", gap) + right
}

func textWidth(s string) int { return ansi.StringWidth(s) }

// cutTo is a text of at most that many columns.
func cutTo(s string, width int) string { return ansi.Truncate(s, max(0, width), "…") }

// pad fills or cuts a text to exactly width columns.
func pad(s string, width int) string {
	s = cutTo(s, width)
	return s + strings.Repeat(" ", max(0, width-ansi.StringWidth(s)))
}

// padLeft is pad for figures: they end on the same column.
func padLeft(s string, width int) string {
	s = cutTo(s, width)
	return strings.Repeat(" ", max(0, width-ansi.StringWidth(s))) + s
}

// span is a duration that changes while it is looked at, and so keeps its width: "48s",
// "2m03s", "1h05m", "3d04h". What stands still is written by howlong.
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
