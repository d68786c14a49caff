package tui

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/audit"
)

// replayHead is how many lines stand above the steps.
const replayHead = 3

// replayBody is the session up to the step shown, which is the lowest.
func (m *model) replayBody() []string {
	r := m.replay
	title := line(r.session)
	if r.head != "" {
		title += ": " + r.head
	}
	state := m.replayState()
	lines := []string{
		spread(" "+m.theme.selected.Render(cutTo(title, m.width-textWidth(state)-3)), state+" ", m.width),
		m.replayPlace(),
		" " + m.theme.faint.Render(strings.Repeat("─", max(0, m.width-2))),
	}
	height := max(1, m.bodyHeight()-replayHead)
	switch {
	case len(r.steps) == 0 && r.problem != "":
		return append(lines, m.centred("The record was not read.", "", r.problem, "", "esc goes back")...)
	case len(r.steps) == 0 && r.asking:
		return append(lines, m.centred("Asking the record …")...)
	case len(r.steps) == 0:
		return append(lines, m.centred("There is nothing of this session in the record.", "", "Its entries may have been removed, or are not yours.")...)
	case r.open:
		all := m.replayPage()
		first := max(0, min(r.scroll, len(all)-height))
		return append(lines, all[first:min(first+height, len(all))]...)
	}
	return append(lines, m.stepsUpTo(r.at, height)...)
}

// replayState says how it is played.
func (m *model) replayState() string {
	r := m.replay
	pace := paces[r.pace].String()
	switch {
	case r.problem != "":
		return m.theme.bad.Render("not all was read; r asks again")
	case r.asking && r.at >= len(r.steps)-1:
		return m.theme.faint.Render("asking the record …")
	case r.playing:
		return m.theme.good.Render("playing " + pace)
	case r.over() && len(r.steps) > 0:
		return m.theme.warn.Render("the end")
	}
	return m.theme.warn.Render("paused") + m.theme.faint.Render(" "+pace)
}

// replayPlace is where in the session the step shown is: its time, how much of the
// session's time has passed, and which statement it is.
func (m *model) replayPlace() string {
	r := m.replay
	if len(r.steps) == 0 {
		return ""
	}
	at := r.steps[r.at].Time
	left := " " + at.Local().Format("2006-01-02 15:04:05")
	if m.width >= 72 && !r.ended.IsZero() {
		left += m.theme.faint.Render(" of " + r.begun.Local().Format("15:04:05") + "–" + r.ended.Local().Format("15:04:05"))
	}
	right := ""
	if n := r.number(); n > 0 {
		right = "statement " + grouped(n)
		if r.total >= n {
			right += " of " + grouped(r.total)
		}
		right += " "
	}
	room := m.width - textWidth(left) - textWidth(right) - 3
	if room < 4 || r.ended.IsZero() {
		return spread(left, right, m.width)
	}
	room = min(room, 40)
	passed := 1.0
	if whole := r.ended.Sub(r.begun); whole > 0 {
		passed = max(0, min(1, float64(at.Sub(r.begun))/float64(whole)))
	}
	n := int(passed*float64(room) + 0.5)
	return spread(left+"  "+m.theme.mark.Render(strings.Repeat("█", n))+m.theme.faint.Render(strings.Repeat("░", room-n)), right, m.width)
}

// stepsUpTo are the last lines of the steps up to one, that one marked. Only what is on
// the screen is made.
func (m *model) stepsUpTo(at, height int) []string {
	var blocks [][]string
	for i, room := at, height; i >= 0 && room > 0; i-- {
		block := m.stepLines(i, i == at)
		if i > 0 {
			if later := paces[m.replay.pace].Later(m.replay.steps[i].Time.Sub(m.replay.steps[i-1].Time)); later != "" {
				block = append([]string{"  " + m.theme.faint.Render(strings.Repeat(" ", len("15:04:05.000"))+" "+later)}, block...)
			}
		}
		blocks = append(blocks, block)
		room -= len(block)
	}
	slices.Reverse(blocks)
	lines := slices.Concat(blocks...)
	if extra := len(lines) - height; extra > 0 {
		if last := len(blocks[len(blocks)-1]); last > height {
			extra = len(lines) - last // of one that is too long its beginning is shown; enter shows it whole
		}
		lines = lines[extra:]
	}
	return lines
}

const (
	stepSQL   = 6 // lines of a statement; enter shows it whole
	stepWidth = len("  15:04:05.000 X ")
)

// stepLines are the lines of one step.
func (m *model) stepLines(i int, here bool) (out []string) {
	r := m.replay
	ev := &r.steps[i]
	s := stepOf(ev, r.of(ev))
	at := m.theme.faint.Render(ev.Time.Local().Format("15:04:05.000"))
	mark := map[string]func(...string) string{markAllowed: m.theme.good.Render, markHeld: m.theme.warn.Render, markDenied: m.theme.bad.Render, markOther: m.theme.faint.Render}[s.mark](s.mark)
	edge := "  "
	if here {
		edge = m.theme.mark.Render("▌") + " "
	}
	say := func(text string) {
		out = append(out, edge+at+" "+mark+" "+text)
		at, mark = strings.Repeat(" ", len("15:04:05.000")), " "
	}
	width := max(20, m.width-stepWidth)
	if ev.Kind == audit.Decided {
		cells := wrapCells(classify(flat(s.sql)), width)
		for j, l := range cells[:min(len(cells), stepSQL)] {
			text := paint(l, &m.theme.sql)
			if j == stepSQL-1 && len(cells) > stepSQL {
				text = m.theme.faint.Render(fmt.Sprintf("… %d lines more; enter shows all", len(cells)-stepSQL+1))
			}
			say(text)
		}
		if len(s.params) > 0 {
			say(m.theme.faint.Render("with ") + cutTo(paramLine(s.params), width-5))
		}
	}
	for j, n := range s.notes {
		style := m.theme.faint.Render
		switch {
		case s.bad && j == len(s.notes)-1:
			style = m.theme.bad.Render
		case s.mark == markHeld && j == 0:
			style = m.theme.warn.Render
		}
		for _, l := range wrapCells(classifyAs(line(n), plain), width) {
			say(style(plainText(l)))
		}
	}
	return out
}

// replayPage is all that the record has of the step shown.
func (m *model) replayPage() []string {
	if m.page != nil {
		return m.page
	}
	p := &page{theme: &m.theme, width: m.width}
	m.eventPage(p, m.replay.steps[m.replay.at])
	m.page = p.lines
	return m.page
}

func (m *model) replayHelps() []keyHelp {
	r := m.replay
	play := keyHelp{"space", "play"}
	if r.playing {
		play.does = "pause"
	}
	if r.open {
		return []keyHelp{{"esc", "back"}, {"↑↓", "scroll"}, {"←→", "step"}, play, {"?", "help"}}
	}
	return []keyHelp{play, {"←→", "step"}, {"+-", "speed"}, {"t", "time"}, {"enter", "open"}, {"esc", "back"}, {"?", "help"}, {"q", "quit"}, {"home end", "begin, end"}}
}

// readJump reads a time to go to from another: a time of its day, so much later or
// earlier, or a day and time.
func readJump(text string, from time.Time) (time.Time, error) {
	text = strings.TrimSpace(text)
	if d, err := time.ParseDuration(text); err == nil {
		return from.Add(d), nil
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		if t, err := time.ParseInLocation(layout, text, from.Location()); err == nil {
			return time.Date(from.Year(), from.Month(), from.Day(), t.Hour(), t.Minute(), t.Second(), 0, from.Location()), nil
		}
	}
	for _, layout := range []string{time.DateTime, "2006-01-02 15:04", time.DateOnly, time.RFC3339} {
		if t, err := time.ParseInLocation(layout, text, from.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: write 15:04, +10m or 2026-11-30 15:04:05", line(text))
}
