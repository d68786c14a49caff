package tui

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/internal/howlong"
)

// step is what is said of one event of a session that is shown again, in parts that each
// begin a line.
type step struct {
	mark   string   // of the kind: one of the marks below
	sql    string   // the statement, if it is one
	params []string //
	notes  []string // how it was decided, who answered, how it ended
	bad    bool     // the last note is of something that failed or was refused
}

// Marks of steps. They are words to those who hear them: each stands before a text that
// says the same.
const (
	markAllowed = "▸"
	markHeld    = "‖"
	markDenied  = "✗"
	markOther   = "·"
)

// stepOf is what is said of an event. of is the decision it belongs to, nil if that is
// not known. The ending of a statement that waited for people is said with the answer,
// so that it is not told before.
func stepOf(ev, of *audit.Event) step {
	switch ev.Kind {
	case audit.Decided:
		return statementStep(ev)
	case audit.Asked:
		return step{mark: markHeld, notes: []string{"it waits for people: " + ev.Detail}}
	case audit.Voted:
		return step{mark: markHeld, notes: []string{strings.Trim(ev.Who+" voted "+ev.Effect+": "+ev.Reason, ": ")}}
	case audit.Answered:
		s := step{mark: markHeld, notes: []string{cmp.Or(ev.Reason, ev.Effect)}, bad: ev.Effect != "allow"}
		if of != nil && of.Outcome != "" && of.Outcome != "refused" { // which is why it was
			s.notes = append(s.notes, endingOf(of))
			s.bad = of.Outcome != "ok"
		}
		return s
	case audit.Connected:
		text := "connected"
		if ev.Outcome != "" && ev.Outcome != "ok" {
			text = "was not connected: " + cmp.Or(ev.Error, ev.Reason, ev.Outcome)
		}
		return step{mark: markOther, notes: []string{strings.TrimSuffix(text+"; "+ev.Detail, "; ")}}
	case audit.Closed:
		return step{mark: markOther, notes: []string{strings.TrimSuffix("the session ended; "+cmp.Or(ev.Error, ev.Reason, ev.Detail), "; ")}}
	}
	return step{mark: markOther, notes: []string{strings.Trim(string(ev.Kind)+" by "+ev.Who+": "+cmp.Or(ev.Detail, ev.Reason), ": ")}}
}

func statementStep(ev *audit.Event) step {
	s := step{sql: ev.SQL, params: ev.Params, mark: markAllowed}
	decided := "allowed by " + cmp.Or(ev.Rule, "no rule")
	switch ev.Effect {
	case "hold":
		s.mark, decided = markHeld, "held by "+ev.Rule+": "+ev.Reason
	case "deny":
		s.mark, decided, s.bad = markDenied, "refused by "+ev.Rule+": "+ev.Reason, true
	}
	if ev.Effect == "hold" {
		s.notes = []string{decided}
		return s
	}
	if ev.Effect != "deny" || ev.Outcome != "refused" { // else that was just said
		decided += "; " + endingOf(ev)
	}
	s.notes = []string{decided}
	s.bad = s.bad || ev.Outcome != "" && ev.Outcome != "ok"
	return s
}

// endingOf is how a statement ended: "ok, 1 row, 1 value hidden (email:email), in 830µs".
func endingOf(ev *audit.Event) string {
	switch ev.Outcome {
	case "":
		return "the record has no ending of it"
	case "refused", "skipped", "cancelled", "lost":
		return strings.TrimSuffix(ev.Outcome+"; "+ev.Error, "; ")
	}
	text := ev.Outcome + ", " + counted(ev.Rows, "row")
	if ev.Masked > 0 {
		text += ", " + counted(ev.Masked, "value") + " hidden"
		if len(ev.MaskedCols) > 0 {
			text += " (" + strings.Join(ev.MaskedCols, ", ") + ")"
		}
	}
	text += " in " + howlong.About(time.Duration(ev.DurationUS)*time.Microsecond)
	if ev.ErrorCode != "" || ev.Error != "" {
		text += "; " + strings.TrimSpace(ev.ErrorCode+" "+ev.Error)
	}
	return text
}

// ReplayText tells a session again in lines, for terminals that only print and for those
// who have them read. The zero value begins.
type ReplayText struct {
	Pace       Pace
	begun      bool
	statements int
	last       time.Time
	open       map[string]*audit.Event // statements that wait, by their ID
}

// Gap is how long after the event before it ev happened, and the line that says so; "" if
// there is none to say. It is called once for each event, before Lines.
func (r *ReplayText) Gap(ev *audit.Event) (time.Duration, string) {
	gap := ev.Time.Sub(r.last)
	if r.last.IsZero() {
		gap = 0
	}
	r.last = ev.Time
	return gap, r.Pace.Later(gap)
}

// Lines are what is said of an event; of the first, whose session it is comes before. The
// end is nil.
func (r *ReplayText) Lines(ev *audit.Event) []string {
	if ev == nil {
		return []string{plural(r.statements, "statement") + " shown."}
	}
	var lines []string
	if !r.begun {
		r.begun = true
		lines = append(lines, sessionLine(ev))
	}
	of := r.open[ev.Of]
	if ev.Kind == audit.Answered {
		delete(r.open, ev.Of)
	}
	if ev.Kind == audit.Decided {
		r.statements++
		if ev.Effect == "hold" {
			if r.open == nil {
				r.open = map[string]*audit.Event{}
			}
			r.open[ev.ID] = ev
		}
	}
	return append(lines, linesOf(ev, of, int64(r.statements))...)
}

// sessionLine says whose session an event is of.
func sessionLine(ev *audit.Event) string {
	who := "Session " + ev.Session + " of " + ev.Who + " on " + ev.Connection
	if ev.From != "" {
		who += ", from " + strings.TrimSuffix(ev.From+" with "+ev.Client, " with ")
	}
	return line(who + ", " + ev.Time.Local().Format("2006-01-02") + ":")
}

// linesOf says a step: its time, then the statement with its number, if it is one, and
// what came of it. of is as for stepOf; 0 is no number.
func linesOf(ev, of *audit.Event, number int64) (lines []string) {
	const indent = "             "
	s := stepOf(ev, of)
	at := ev.Time.Local().Format("15:04:05.000") + " "
	if ev.Kind == audit.Decided {
		which := "statement"
		if number > 0 {
			which += fmt.Sprintf(" %d", number)
		}
		lines = append(lines, at+which+": "+flat(s.sql))
		if len(s.params) > 0 {
			lines = append(lines, indent+"with "+paramLine(s.params))
		}
		at = indent
	}
	for _, n := range s.notes {
		lines = append(lines, at+line(n))
		at = indent
	}
	return lines
}
