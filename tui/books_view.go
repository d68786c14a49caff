package tui

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/internal/howlong"
	"github.com/sluicehq/sluice/runbook"
)

// booksBody is the page of runbooks, between the title and the outcome.
func (m *model) booksBody() []string {
	b := m.books
	switch {
	case b.problem != "":
		return m.centred("The runbooks cannot be listed.", "", b.problem)
	case !b.loaded:
		return m.centred("Reading the runbooks …")
	case len(b.list) == 0:
		return m.centred("There is no runbook for you here.", "", "sluice runbook ls lists all that there are; --dir says where.")
	}
	lines := m.bookTable()
	lines = append(lines, m.bookDivider())
	all, height := m.bookLines(), m.bookRoom()
	first := max(0, min(b.scroll, len(all)-height))
	return append(lines, all[first:min(first+height, len(all))]...)
}

// bookTable lists the runbooks; only the chosen one while it is filled in, planned or run.
func (m *model) bookTable() []string {
	b := m.books
	if b.mode != listing {
		return nil
	}
	wide := m.width - 3
	name, conn := max(10, wide*3/12), max(8, wide*2/12)
	lines := []string{"  " + m.theme.faint.Render(pad("NAME", name)+pad("CONNECTION", conn)+"TITLE")}
	shown := m.bookRows()
	first := max(0, min(b.chosen-shown/2, len(b.list)-shown))
	for i := first; i < min(first+shown, len(b.list)); i++ {
		x := b.list[i]
		on, title := "-", "its file has mistakes"
		if x.Runbook != nil {
			on, title = x.Connection, x.Title
		}
		text := pad(cutTo(line(x.Name), name-1), name) + pad(cutTo(line(on), conn-1), conn) + line(title)
		if i == b.chosen {
			lines = append(lines, m.theme.mark.Render("▌")+" "+m.theme.selected.Render(cutTo(text, wide)))
			continue
		}
		lines = append(lines, "  "+cutTo(text, wide))
	}
	return lines
}

// bookRows is how many rows of the list are shown: what its runbooks need, a third of the
// screen at most.
func (m *model) bookRows() int { return min(len(m.books.list), max(3, m.bodyHeight()/3)) }

// bookRoom is how many lines there are below the list.
func (m *model) bookRoom() int {
	used := 1
	if m.books.mode == listing {
		used += 1 + m.bookRows()
	}
	return max(1, m.bodyHeight()-used)
}

// bookDivider names what is shown below it, and which part of it.
func (m *model) bookDivider() string {
	book, _ := m.books.book()
	title := line(book.Name)
	switch m.books.mode {
	case filling:
		title += ": what it is to be run with"
	case planned:
		title += ": what would run"
	case running:
		title = line(m.books.run.book.Name) + ": under way for " + span(m.clock().Sub(m.books.run.began))
	case ended:
		title = line(m.books.run.book.Name) + ": " + m.books.run.outcome()
	case listing:
		if m.books.busy() {
			title += "; " + line(m.books.run.book.Name) + " is under way, enter shows it"
		}
	}
	part, all, height := "", len(m.bookLines()), m.bookRoom()
	if all > height {
		first := max(0, min(m.books.scroll, all-height))
		part = fmt.Sprintf(" lines %d–%d of %d", first+1, first+height, all)
	}
	title = cutTo(title, max(0, m.width-4-textWidth(part)))
	rule := strings.Repeat("─", max(0, m.width-4-textWidth(title)-textWidth(part)))
	return " " + m.theme.selected.Render(title) + " " + m.theme.faint.Render(rule+part)
}

// bookLines is what the page says below its list.
func (m *model) bookLines() []string {
	p := &page{theme: &m.theme, width: m.width}
	switch m.books.mode {
	case listing:
		if book, ok := m.books.book(); ok {
			m.bookPage(p, book)
		}
	case filling:
		m.formPage(p)
	case planned:
		m.planPage(p)
	case running:
		m.runPage(p)
	case ended:
		m.endPage(p)
	}
	return p.lines
}

// bookPage is what a runbook is for, and what it does.
func (m *model) bookPage(p *page, b Book) {
	if b.Runbook == nil {
		for _, l := range strings.Split(clean(b.Problem), "\n") {
			p.painted("", l, warning)
		}
		return
	}
	p.field("For", strings.Join(strings.Fields(b.Purpose), " "))
	p.field("Runs", "on "+b.Connection+", "+map[bool]string{true: "all of it or nothing", false: "each step by itself"}[b.Transaction == runbook.One])
	if who := append(append([]string{}, b.Who.Groups...), b.Who.Kinds...); len(who) > 0 {
		p.joined("Who", who)
	}
	if b.Approvals.Ahead {
		p.field("Approved", "ahead of time, by "+cmp.Or(strings.Join(b.Approvals.Groups, " or "), "those whom the policy asks"))
	}
	for i := range b.Parameters {
		label := ""
		if i == 0 {
			label = "Asks for"
		}
		p.field(label, b.Parameters[i].Name+": "+b.Parameters[i].Words())
	}
	p.field("File", b.File+" "+shortHash(b.Hash)+" "+b.Commit)
	for i := range b.Steps {
		st := &b.Steps[i]
		p.section(strconv.Itoa(i+1) + " " + line(st.Name))
		p.field("", st.Note)
		p.field("If", st.When)
		m.statement(p, st.SQL, nil)
		p.field("Expects", st.Expect)
		if st.Repeat != nil {
			p.field("Again", fmt.Sprintf("while %s, at most %d times", st.Repeat.While, st.Repeat.Most))
		}
		p.field("Undo", st.Undo)
	}
	if n := m.books.others; n > 0 {
		p.gap()
		p.painted("", plural(n, "more runbook")+" are not for you, or for connections that you may not open", faded)
	}
}

// formPage asks for the values, and says of each what is wrong with it as it is typed.
func (m *model) formPage(p *page) {
	f := m.books.form
	for i := range f.fields {
		x := &f.fields[i]
		name, says := "why", "a few words for approvers and the record"
		if x.param != nil {
			name, says = x.param.Name, x.param.Words()
		}
		mark, label := "  ", pad(cutTo(line(name), 15), 16)
		if i == f.at {
			mark, label = m.theme.mark.Render("▌")+" ", m.theme.selected.Render(label)
		}
		in := x.input
		in.Width = max(8, m.width-22)
		shown := in.View()
		if len(x.choices) > 0 && i == f.at {
			shown = "‹ " + line(in.Value()) + " ›"
		}
		p.add(" " + mark + label + shown)
		why := x.wrong(f.book.Approvals.Ahead)
		switch {
		case x.touched && why != "":
			p.add(pad("", 19) + m.theme.bad.Render(cutTo("✗ "+line(why), m.width-20)))
		case i == f.at:
			p.add(pad("", 19) + m.theme.faint.Render(cutTo(line(says), m.width-20)))
		case x.touched && x.param != nil:
			p.add(pad("", 19) + m.theme.good.Render("✓"))
		default:
			p.add("")
		}
	}
	if f.asking {
		p.gap()
		p.painted("", "asking the gateway what would run …", faded)
	}
}

// planPage is what would run, with what explain says of each statement.
func (m *model) planPage(p *page) {
	b := m.books
	if no := refusedSteps(b.plan); len(no) > 0 {
		p.painted("Refused", "the policy would not let "+strings.Join(no, ", ")+" run, so nothing will", warning)
	}
	if b.reason != "" {
		p.field("Why", "“"+b.reason+"”")
	}
	for i, x := range b.plan {
		title := strconv.Itoa(i+1) + " " + line(x.Step)
		if x.Undo {
			title = "undo of " + line(x.Step) + ", if a later step fails"
		}
		p.section(title)
		switch x.Effect {
		case "allow":
			p.field("", "runs")
		case "hold":
			p.painted("Waits", "for "+strings.Join(x.Approvers, " and ")+" (rule "+x.Rule+": "+x.Reason+")", warning)
		default:
			p.painted("Refused", "by rule "+x.Rule+": "+x.Reason, warning)
		}
		p.field("If", x.When)
		m.statement(p, x.SQL, shownParams(x.Params))
		p.field("Expects", x.Expect)
		p.field("Again", again(x))
		p.joined("Changes", x.Writes)
		p.joined("Reads", x.Reads)
		p.joined("Signs", x.Signs)
		p.joined("Hides", x.Masks)
		p.painted("Note", x.Problem, warning)
	}
}

func again(x Planned) string {
	if x.While == "" {
		return ""
	}
	return fmt.Sprintf("while %s, at most %d times", x.While, x.Most)
}

func shownParams(params []*string) (list []string) {
	for _, v := range params {
		if v == nil {
			list = append(list, "NULL")
			continue
		}
		list = append(list, *v)
	}
	return list
}

// runPage is how far a run is.
func (m *model) runPage(p *page) {
	r := m.books.run
	for _, l := range r.lines {
		p.add(" " + m.bookLine(l))
	}
	if r.now != "" {
		p.add(" " + m.theme.selected.Render("▸ "+r.now))
	}
	if r.held != "" {
		p.painted("Held", r.held, warning)
	}
	if r.stopped {
		p.painted("", "stopping …", faded)
	}
}

// bookLine is a line of progress, with its sign in colour.
func (m *model) bookLine(l string) string {
	sign, rest, _ := strings.Cut(l, " ")
	style := m.theme.faint
	switch sign {
	case "✓":
		style = m.theme.good
	case "↺", "?":
		style = m.theme.warn
	}
	return style.Render(sign) + " " + rest
}

// maxResultRows is how many rows of a result are shown; sluice runbook prints all.
const maxResultRows = 200

// endPage is how a run ended, and what its steps returned.
func (m *model) endPage(p *page) {
	r := m.books.run
	run := "nothing began"
	if r.state != nil {
		run = r.state.Run
	}
	text := r.outcome() + ", in " + howlong.About(r.took) + " (run " + line(run) + ")"
	if why, hint := r.failure(); why != "" {
		p.painted("Failed", why, warning)
		p.field("Left", text)
		p.field("Next", hint)
	} else {
		p.field("Ended", text)
	}
	p.gap()
	for _, l := range r.lines {
		p.add(" " + m.bookLine(l))
	}
	if r.state == nil {
		return
	}
	for i := range r.state.Steps {
		s := &r.state.Steps[i]
		res := r.results[s.Name]
		if res == nil || s.Status != runbook.StepIsDone || s.Undone {
			continue // what did not stand never was
		}
		p.section(line(s.Name) + ", " + plural(len(res.Rows), "row"))
		rows := &api.PreviewRows{Rows: res.Rows[:min(len(res.Rows), maxResultRows)]}
		for _, c := range res.Columns {
			rows.Columns = append(rows.Columns, c.Name)
		}
		for _, l := range rowLines(rows, m.width-4, *p.theme) {
			p.add("   " + l)
		}
		if n := len(res.Rows) - maxResultRows; n > 0 {
			p.painted("", fmt.Sprintf("and %d more", n), faded)
		}
	}
}

// bookHelps are the keys of the page.
func (m *model) bookHelps() []keyHelp {
	end := []keyHelp{{"?", "help"}, {"q", "quit"}}
	switch m.books.mode {
	case filling:
		list := []keyHelp{{"enter", "next, then the plan"}, {"esc", "back"}, {"↑↓", "move"}}
		if f := m.books.form; len(f.fields[f.at].choices) > 0 {
			list = append(list, keyHelp{"←→", "choose"})
		}
		return list
	case planned:
		if len(refusedSteps(m.books.plan)) > 0 {
			return append([]keyHelp{{"esc", "back"}, {"↑↓ space", "scroll"}}, end...)
		}
		return append([]keyHelp{{"enter", "run it"}, {"esc", "back"}, {"↑↓ space", "scroll"}}, end...)
	case running:
		return append([]keyHelp{{"x", "stop it"}, {"tab", "other pages"}, {"↑↓", "scroll"}}, end...)
	case ended:
		return append([]keyHelp{{"enter", "back to the list"}, {"↑↓ space", "scroll"}}, end...)
	case listing:
	}
	return append([]keyHelp{{"enter", "run it"}, {"↑↓", "choose"}, {"space", "scroll"}, {"r", "again"}, {"tab", "next"}}, end...)
}
