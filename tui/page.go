package tui

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/internal/howlong"
)

// maxShown is how much of a statement is laid out, in bytes. Nobody reads more on a
// screen, and the screen must stay quick; that there is more is said in its place.
const maxShown = 200_000

const labelWidth = 10

// page is what is known of one thing, as lines of one width.
type page struct {
	theme *theme
	width int
	lines []string
}

func (p *page) add(l string) { p.lines = append(p.lines, l) }

// gap is an empty line, unless there is one already.
func (p *page) gap() {
	if n := len(p.lines); n > 0 && p.lines[n-1] != "" {
		p.add("")
	}
}

// field is a label and a text that may need several lines. An empty text has none.
func (p *page) field(label, text string) { p.painted(label, text, plain) }

func (p *page) painted(label, text string, c class) {
	if text == "" {
		return
	}
	for _, l := range wrapCells(classifyAs(line(text), c), p.width-labelWidth-2) {
		p.add(" " + p.theme.label.Render(pad(label, labelWidth)) + paint(l, &p.theme.sql))
		label = ""
	}
}

// fields is a list, a line each.
func (p *page) fields(label string, texts []string, c class) {
	for _, t := range texts {
		p.painted(label, t, c)
		label = ""
	}
}

// joined is a list on as few lines as it needs.
func (p *page) joined(label string, texts []string) { p.field(label, strings.Join(texts, ", ")) }

// section is a line that divides, with a name.
func (p *page) section(name string) {
	p.gap()
	p.add(" " + p.theme.faint.Render("── "+name+" "+strings.Repeat("─", max(0, min(p.width, 100)-len(name)-6))))
}

// loud is a line that nobody overlooks, with colours or without.
func (p *page) loud(text string) {
	for _, l := range wrapCells(classifyAs(line(text), plain), p.width-8) {
		p.add(" " + p.theme.alarm.Render(pad("!! "+plainText(l), p.width-2)))
	}
}

// detail is the page about what is chosen, made when it is first asked for.
func (m *model) detail() []string {
	if m.page != nil {
		return m.page
	}
	p := &page{theme: &m.theme, width: m.width}
	id := m.lists[m.tab].chosen
	switch m.tab {
	case inboxTab:
		if a, ok := m.st.asks.items[id]; ok {
			m.askPage(p, a)
		}
	case requestsTab:
		if r, ok := m.st.requests.items[id]; ok {
			m.requestPage(p, r)
		}
	case sessionsTab:
		if s, ok := m.st.sessions.items[id]; ok {
			m.sessionPage(p, s)
		}
	case historyTab:
		if ev, ok := m.past.events[id]; ok {
			m.eventPage(p, ev)
		}
	case policyTab:
		var at int
		p.lines, at = m.policyLines()
		if !m.policy.sought && m.policy.loaded {
			m.policy.sought, m.scroll = true, max(0, at-2)
		}
	}
	if p.lines == nil {
		p.lines = []string{}
	}
	m.page = p.lines
	return m.page
}

// askPage is everything that is known of an ask.
func (m *model) askPage(p *page, a api.Ask) {
	ev := a.Evidence
	if ev == nil {
		ev = &api.Evidence{}
	}
	if a.BreakGlass {
		p.loud("BREAK-GLASS: in an emergency you may release this yourself, in everybody's sight: press !")
	}
	who := nameOf(a.Who)
	if ev.From != "" {
		who += ", from " + line(ev.From)
	}
	if ev.Client != "" {
		who += " with " + line(ev.Client)
	}
	if a.Session != "" {
		who += ", session " + line(a.Session)
	}
	p.field("Who", who)
	if a.Who.OwnerName != "" {
		p.field("For", a.Who.OwnerName)
	}
	if ev.Why != "" {
		p.field("Why", "“"+ev.Why+"”")
	} else {
		p.painted("Why", "no reason was given", faded)
	}
	p.field("Rule", a.Rule+": "+cmp.Or(a.Reason, "it gives no reason"))
	p.add(" " + p.theme.label.Render(pad("Needs", labelWidth)) + m.needs(a))
	if why := m.refusal(a); why != "" {
		p.painted("You", why, warning)
	}
	m.risk(p, ev)
	p.gap()
	m.statement(p, a.SQL, a.Params)
	p.section("what it would do")
	m.effects(p, ev)
	if !ev.Done && a.Session != "" {
		p.painted("Note", "the database is still being asked", faded)
	}
	m.previewPage(p, a)
}

// risk is what an approver should see before anything else.
func (m *model) risk(p *page, ev *api.Evidence) {
	var parts []string
	if ev.Rows != nil {
		parts = append(parts, estimate(ev))
	}
	if n := len(ev.Locks); n > 0 {
		parts = append(parts, plural(n, "lock")+" in the way")
	}
	if n := len(ev.Clear); n > 0 {
		parts = append(parts, "shows "+plural(n, "personal column")+" in the clear")
	}
	if n := len(ev.Signs); n > 0 {
		parts = append(parts, strings.ReplaceAll(strings.Join(ev.Signs, ", "), "_", " "))
	}
	p.painted("In short", strings.Join(parts, "; "), warning)
}

// counted is plural for numbers that may be large.
func counted(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return grouped(n) + " " + what + "s"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// effects is what a statement would touch, and what came before.
func (m *model) effects(p *page, ev *api.Evidence) {
	if ev.Rows != nil {
		p.field("Estimate", estimate(ev)+share(ev))
	}
	p.joined("Changes", ev.Writes)
	p.joined("Reads", ev.Reads)
	p.joined("Signs", ev.Signs)
	p.joined("Hides", ev.Masked)
	p.fields("Reveals", ev.Clear, warning)
	p.fields("Locks", ev.Locks, warning)
	p.fields("Before", ev.History, plain)
	p.fields("Note", ev.Notes, faded)
}

// estimate is what the planner expects: "about 120 of 1,000 rows of public.people (12%)".
func estimate(ev *api.Evidence) string {
	switch {
	case ev.Table == "":
		return "about " + counted(*ev.Rows, "row")
	case ev.Whole <= 0:
		return "about " + counted(*ev.Rows, "row") + " of " + line(ev.Table) + ", which was never counted"
	}
	return fmt.Sprintf("about %s of %s rows of %s (%.3g%%)", grouped(*ev.Rows), grouped(ev.Whole), line(ev.Table), 100*portion(ev))
}

func portion(ev *api.Evidence) float64 {
	return max(0, min(1, float64(*ev.Rows)/float64(ev.Whole)))
}

// share is a bar of how much of the table it is.
func share(ev *api.Evidence) string {
	if ev.Whole <= 0 {
		return ""
	}
	const cells = 10
	n := int(portion(ev)*cells + 0.5)
	return " " + strings.Repeat("█", n) + strings.Repeat("░", cells-n)
}

// grouped writes a number with its thousands apart.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// needs is the progress of the quorum: a dot for each person, filled if they agreed.
func (m *model) needs(a api.Ask) string {
	var parts []string
	for _, n := range a.Needs {
		have := max(0, min(n.Have, n.Count))
		dots := m.theme.good.Render(strings.Repeat("●", min(have, 10))) + strings.Repeat("○", max(0, min(n.Count-have, 10)))
		text := fmt.Sprintf("%s %d of %d from %s", dots, have, n.Count, line(strings.Join(n.Groups, " or ")))
		if len(n.Later) > 0 {
			text += m.theme.faint.Render(fmt.Sprintf(" (from %s on also %s)", n.From.Local().Format("15:04:05"), line(strings.Join(n.Later, " or "))))
		}
		parts = append(parts, text)
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

// statement is the text whole, and its parameters below.
func (m *model) statement(p *page, sql string, params []string) {
	rest := 0
	if len(sql) > maxShown {
		rest = len(sql) - maxShown
		sql = strings.ToValidUTF8(sql[:maxShown], "")
	}
	cells := classify(strings.TrimSpace(clean(sql)))
	if m.laid {
		cells = layOut(cells, p.width-4)
	}
	for _, l := range wrapCells(cells, p.width-4) {
		p.add("  " + paint(l, &p.theme.sql))
	}
	if rest > 0 {
		p.add("  " + p.theme.bad.Render(fmt.Sprintf("… and %d bytes more that do not fit here: read them elsewhere before you approve", rest)))
	}
	if len(params) > 0 {
		p.gap()
	}
	for i, v := range params {
		label := pad(fmt.Sprintf("$%d", i+1), 4)
		for _, l := range wrapCells(classifyAs(clean(v), literal), p.width-8) {
			p.add("  " + p.theme.label.Render(label) + " " + paint(l, &p.theme.sql))
			label = "    "
		}
	}
}

// previewPage is what trying it showed.
func (m *model) previewPage(p *page, a api.Ask) {
	t := m.previews[a.Seal]
	switch {
	case t == nil && a.MayAnswer && a.Session != "":
		p.section("preview")
		p.painted("", "v tries it, undoes it, and shows what it would change", faded)
		return
	case t == nil:
		return
	}
	p.section("preview: tried and undone")
	switch r := t.preview; {
	case t.running:
		p.painted("", "trying …", faded)
	case t.problem != "":
		p.painted("", t.problem, warning)
	case r.Error != "":
		p.painted("Fails", r.Error, warning)
	default:
		p.field("Rows", grouped(r.Rows)+" would change")
		now, after := changedFirst(r.Before, r.After)
		for _, s := range []struct {
			name string
			rows *api.PreviewRows
		}{{"Now", now}, {"After", after}} {
			if s.rows == nil || len(s.rows.Rows) == 0 {
				continue
			}
			p.add(" " + p.theme.label.Render(s.name))
			for _, l := range rowLines(s.rows, p.width-4, *p.theme) {
				p.add("   " + l)
			}
		}
		p.fields("Note", r.Notes, faded)
	}
}

// changedFirst puts the columns whose values change behind the first, which mostly is the
// key, and the rows of both sides in one order.
func changedFirst(now, after *api.PreviewRows) (a, b *api.PreviewRows) {
	if now == nil || after == nil || len(now.Columns) == 0 || !slices.Equal(now.Columns, after.Columns) {
		return now, after
	}
	same := func(x, y *string) bool { return x == nil && y == nil || x != nil && y != nil && *x == *y }
	b = &api.PreviewRows{}
	changes := map[int]bool{}
	for _, was := range now.Rows {
		i := slices.IndexFunc(after.Rows, func(is []*string) bool { return len(is) > 0 && len(was) > 0 && same(is[0], was[0]) })
		if i < 0 || len(after.Rows[i]) != len(now.Columns) || len(was) != len(now.Columns) {
			return now, after
		}
		b.Rows = append(b.Rows, after.Rows[i])
		for c := range was {
			if !same(was[c], after.Rows[i][c]) {
				changes[c] = true
			}
		}
	}
	if len(b.Rows) != len(after.Rows) {
		return now, after
	}
	order := []int{0}
	for _, want := range []bool{true, false} {
		for c := 1; c < len(now.Columns); c++ {
			if changes[c] == want {
				order = append(order, c)
			}
		}
	}
	pick := func(rows [][]*string) *api.PreviewRows {
		out := &api.PreviewRows{}
		for _, c := range order {
			out.Columns = append(out.Columns, now.Columns[c])
		}
		for _, r := range rows {
			var row []*string
			for _, c := range order {
				row = append(row, r[c])
			}
			out.Rows = append(out.Rows, row)
		}
		return out
	}
	return pick(now.Rows), pick(b.Rows)
}

// rowLines are rows under the names of their columns, cut to a width.
func rowLines(rows *api.PreviewRows, width int, t theme) []string {
	const most = 24 // columns of a cell
	cell := func(v *string) string {
		if v == nil {
			return "NULL"
		}
		return line(*v)
	}
	widths := make([]int, len(rows.Columns))
	for i, c := range rows.Columns {
		widths[i] = textWidth(line(c))
	}
	for _, r := range rows.Rows {
		for i, v := range r[:min(len(r), len(widths))] {
			widths[i] = max(widths[i], textWidth(cell(v)))
		}
	}
	head := ""
	for i, c := range rows.Columns {
		widths[i] = min(widths[i], most) + 2
		head += pad(line(c), widths[i])
	}
	lines := []string{t.label.Render(cutTo(head, width))}
	for _, r := range rows.Rows {
		text := ""
		for i, v := range r[:min(len(r), len(widths))] {
			text += pad(cell(v), widths[i])
		}
		lines = append(lines, cutTo(text, width))
	}
	return lines
}

// requestPage is what was asked for ahead of time.
func (m *model) requestPage(p *page, r api.Request) {
	a := r.Ask
	if now, ok := m.st.asks.items[r.ID]; ok {
		a = now // votes come sooner there
	}
	p.field("Who", nameOf(a.Who)+" on "+line(a.Connection))
	if a.Evidence != nil {
		p.field("Why", "“"+a.Evidence.Why+"”")
	}
	p.field("Asks for", whatOf(r))
	p.field("State", strings.TrimSuffix(r.State+": "+r.Why, ": "))
	if !r.Until.IsZero() {
		p.field("Until", r.Until.Local().Format(time.DateTime))
	}
	p.field("Rule", a.Rule+": "+a.Reason)
	p.add(" " + p.theme.label.Render(pad("Needs", labelWidth)) + m.needs(a))
	if r.State == api.AskWaiting && m.refusal(a) != "" {
		p.painted("You", m.refusal(a), warning)
	}
	if a.SQL != "" {
		p.gap()
		m.statement(p, a.SQL, nil)
	}
	if a.Evidence != nil && a.SQL != "" {
		p.section("what it would do")
		p.joined("Changes", a.Evidence.Writes)
		p.joined("Reads", a.Evidence.Reads)
		p.joined("Signs", a.Evidence.Signs)
		p.fields("Reveals", a.Evidence.Clear, warning)
	}
}

func whatOf(r api.Request) string {
	if r.Seconds > 0 {
		return "a window of " + span(time.Duration(r.Seconds)*time.Second)
	}
	return "one run of a script"
}

func (m *model) sessionPage(p *page, s liveSession) {
	p.field("Who", nameOf(s.Who))
	if s.Who.OwnerName != "" {
		p.field("For", s.Who.OwnerName)
	}
	p.field("Where", strings.Trim(line(s.Client)+" from "+line(s.From)+" to "+line(s.Connection), " "))
	p.field("Since", s.Since.Local().Format(time.DateTime))
	p.field("Done", fmt.Sprintf("%s statements, %s rows, %s", grouped(s.Statements), grouped(s.Rows), bytesText(s.Bytes)))
	if !s.Begun.IsZero() {
		p.field(cmp.Or(map[string]string{"idle": "Last", "waiting": "Held"}[s.State], "Running"), "since "+s.Begun.Local().Format("15:04:05"))
	}
	p.gap()
	if s.SQL == "" {
		p.painted("", "no statement was sent yet", faded)
		return
	}
	m.statement(p, s.SQL, nil)
}

// bytesText is a number of bytes for people.
func bytesText(n int64) string {
	switch {
	case n < 10<<10:
		return grouped(n) + " bytes"
	case n < 10<<20:
		return grouped(n>>10) + " KiB"
	}
	return grouped(n>>20) + " MiB"
}

func (m *model) eventPage(p *page, ev audit.Event) {
	p.field("Event", string(ev.Kind)+" "+ev.ID)
	p.field("When", ev.Time.Local().Format("2006-01-02 15:04:05.000"))
	who := ev.Who
	if ev.CallerKind != "" && ev.CallerKind != "person" {
		who += " (" + ev.CallerKind + ")"
	}
	p.field("Who", who)
	p.field("For", ev.Owner)
	p.field("Where", strings.Trim(strings.Join([]string{ev.Client, ev.From, ev.Connection, ev.Session}, " "), " "))
	if ev.Effect != "" {
		p.field("Decision", strings.Trim(ev.Effect+" by "+cmp.Or(ev.Rule, "no rule")+": "+ev.Reason, ": "))
	} else {
		p.field("Reason", ev.Reason)
	}
	p.joined("Approved", ev.Approvers)
	c := plain
	if ev.Outcome != "" && ev.Outcome != "ok" {
		c = warning
	}
	p.painted("Outcome", strings.Trim(ev.Outcome+" "+ev.ErrorCode+" "+ev.Error, " "), c)
	if ev.Outcome == "ok" && ev.Kind == audit.Decided {
		p.field("Rows", fmt.Sprintf("%s, %s, in %s", grouped(ev.Rows), bytesText(ev.Bytes), howlong.About(time.Duration(ev.DurationUS)*time.Microsecond)))
	}
	p.joined("Hidden", ev.MaskedCols)
	p.field("Detail", ev.Detail)
	if ev.SQL != "" {
		p.gap()
		m.statement(p, ev.SQL, ev.Params)
	}
	p.gap()
	p.joined("Changes", ev.Writes)
	p.joined("Reads", ev.Reads)
	p.joined("Signs", ev.Signs)
	p.joined("Cut", ev.Cut)
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

func plainText(cells []cell) string {
	var b strings.Builder
	for _, c := range cells {
		b.WriteRune(c.r)
	}
	return b.String()
}
