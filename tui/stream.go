package tui

import (
	"fmt"
	"strings"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/internal/howlong"
)

// stream is one session that is watched as things happen in it. A nil one takes nothing.
type stream struct {
	session string
	head    string
	lines   []string // oldest first
	first   int      // line shown at the top, if not following
	follow  bool     // shows the newest
	over    string   // why it ended
	width   int
	theme   theme
	stop    func()
}

type (
	streamMsg struct {
		session string
		event   api.SessionEvent
	}
	streamEndMsg struct {
		session string
		err     error
	}
)

// maxStream is how many lines of a stream are kept.
const maxStream = 2000

func (m *model) startWatching() {
	s, ok := m.st.sessions.items[m.lists[sessionsTab].chosen]
	if m.tab != sessionsTab || !ok || m.stream != nil {
		return
	}
	m.status = ""
	m.stream = &stream{session: s.ID, head: nameOf(s.Who) + " on " + line(s.Connection), follow: true, width: m.width, theme: m.theme, stop: m.follow(s.ID)}
	m.disturb()
}

func (m *model) leaveStream() {
	if m.stream != nil {
		m.stream.stop()
		m.stream = nil
	}
}

func (s *stream) take(msg streamMsg) {
	if s == nil || s.session != msg.session {
		return
	}
	s.lines = append(s.lines, s.layOut(msg.event)...)
	if n := len(s.lines) - maxStream; n > 0 {
		s.lines = s.lines[n:]
		s.first = max(0, s.first-n)
	}
	if msg.event.Kind == "closed" {
		s.over = "the session has ended"
	}
}

func (s *stream) end(msg streamEndMsg) {
	if s == nil || s.session != msg.session || s.over != "" {
		return
	}
	s.over = "the gateway tells no more of it"
	if msg.err != nil {
		s.over = wordsOf(msg.err)
	}
}

// move scrolls; at the end it follows again.
func (s *stream) move(want intent, height int) {
	last := max(0, len(s.lines)-height)
	if s.follow {
		s.first = last
	}
	step := map[intent]int{up: -1, down: 1, pageUp: -max(height-1, 1), pageDown: max(height-1, 1), top: -len(s.lines), bottom: len(s.lines)}[want]
	s.first = max(0, min(s.first+step, last))
	s.follow = s.first == last
}

// shown are the lines for a screen of that height.
func (s *stream) shown(height int) []string {
	first := s.first
	if s.follow {
		first = max(0, len(s.lines)-height)
	}
	return s.lines[first:min(first+height, len(s.lines))]
}

// layOut makes lines of an event.
func (s *stream) layOut(ev api.SessionEvent) (out []string) {
	if ev.Missed > 0 {
		out = append(out, " "+s.theme.warn.Render(fmt.Sprintf("… %d events were left out: more happened than could be shown", ev.Missed)))
	}
	at := s.theme.faint.Render(ev.At.Local().Format("15:04:05.000"))
	say := func(mark, text string) {
		out = append(out, " "+at+" "+mark+" "+text)
		at = strings.Repeat(" ", len("15:04:05.000"))
	}
	switch ev.Kind {
	case "watching":
		say(s.theme.faint.Render("·"), s.theme.faint.Render("watching "+line(ev.Text)+"; what happens from now on is shown"))
	case "decided":
		mark := map[string]string{"allow": s.theme.good.Render("▸"), "hold": s.theme.warn.Render("‖"), "deny": s.theme.bad.Render("✗")}[ev.Effect]
		sql := wrapCells(classify(flat(ev.SQL)), max(20, s.width-18))
		for i, l := range sql[:min(len(sql), 4)] {
			if i == 0 {
				say(mark, paint(l, &s.theme.sql))
				continue
			}
			say(" ", paint(l, &s.theme.sql))
		}
		if len(ev.Params) > 0 {
			say(" ", s.theme.faint.Render("with ")+paramLine(ev.Params))
		}
		if ev.Effect != "allow" {
			say(" ", s.theme.warn.Render(line(ev.Effect)+" by "+line(ev.Rule)+": "+line(ev.Text)))
		}
	case "asked", "answered":
		say(s.theme.warn.Render("‖"), line(ev.Text))
	case "finished":
		say(s.theme.faint.Render("└"), s.ending(ev))
		out = append(out, s.sample(ev.Sample)...)
	case "closed":
		say(s.theme.faint.Render("·"), "the session has ended")
	}
	return out
}

func (s *stream) ending(ev api.SessionEvent) string {
	text := fmt.Sprintf("%s, %s in %s", line(ev.Outcome), counted(ev.Rows, "row"), howlong.About(time.Duration(ev.Duration)*time.Microsecond))
	if ev.Masked > 0 {
		text += ", " + counted(ev.Masked, "value") + " hidden from the caller"
	}
	if ev.Code != "" {
		return s.theme.bad.Render(text + "; " + line(ev.Code) + ": " + line(ev.Text))
	}
	return s.theme.faint.Render(text)
}

// sample is the first rows of a result, in columns as wide as they need.
func (s *stream) sample(rows *api.PreviewRows) (out []string) {
	if rows == nil || len(rows.Rows) == 0 {
		return nil
	}
	for _, l := range rowLines(rows, s.width-18, s.theme) {
		out = append(out, strings.Repeat(" ", 16)+l)
	}
	return out
}

// flat is a statement on one line, all of it to be seen.
func flat(sql string) string { return line(strings.TrimSpace(sql)) }

func paramLine(params []string) string {
	parts := make([]string, len(params))
	for i, p := range params {
		parts[i] = fmt.Sprintf("$%d = %s", i+1, line(p))
	}
	return strings.Join(parts, ", ")
}
