package tui

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehq/sluice/api"
)

// maxSteps is the most steps that one command shows.
const maxSteps = 1000

// plainReplay is a session that is shown again in lines: a step when it is asked for, or
// each when it is time. What waits for people is told in between, as ever.
type plainReplay struct {
	replay
	pace Pace
}

// replay does one of the commands for it.
func (p *plainScreen) replay(ctx context.Context, command, rest string) {
	p.clock = nil // whatever is asked for, it is not played meanwhile
	if command == "replay" {
		p.startReplay(ctx, rest)
		return
	}
	r := p.again
	if r == nil {
		p.say("No session is shown again. Type replay and the id of one: sessions and history have them.")
		return
	}
	switch command {
	case "next", "back":
		n, err := strconv.Atoi(rest)
		switch {
		case rest == "":
			n = 1
		case err != nil || n < 1 || n > maxSteps:
			p.say("How many steps? A number from 1 to %d.", maxSteps)
			return
		}
		if command == "back" {
			p.stepBack(ctx, n)
			return
		}
		for more := true; more && n > 0 && p.err == nil; n-- {
			more = p.stepOn(ctx, Pace{})
		}
	case "goto":
		to, err := readJump(rest, r.steps[r.at].Time.Local())
		if err != nil {
			p.say("%s.", line(err.Error()))
			return
		}
		p.readReplay(ctx, r, fresh, api.AuditQuery{Oldest: true, Since: to})
	case "play":
		pace := Pace{Speed: 1}
		if rest != "" {
			var err error
			if pace, err = ReadPace(rest); err != nil {
				p.say("%s.", line(err.Error()))
				return
			}
		}
		r.pace = pace
		p.setClock(ctx)
	case "pause": // which it is by now
		p.say("Paused. Type next for a step, or play.")
	}
}

// startReplay shows the first step of a session.
func (p *plainScreen) startReplay(ctx context.Context, session string) {
	if session == "" || strings.Contains(session, " ") {
		p.say("Which session? Type replay and its id: sessions and history have them.")
		return
	}
	r := &plainReplay{replay: *newReplay(session)}
	if p.readReplay(ctx, r, fresh, api.AuditQuery{Oldest: true}) {
		p.again = r
	}
}

// readReplay asks the record for a part of the session. Of a part that takes the place of
// what was there the first step is shown.
func (p *plainScreen) readReplay(ctx context.Context, r *plainReplay, where part, q api.AuditQuery) bool {
	msg := r.question(where, q)(ctx, p.gw)
	switch {
	case msg.err != nil:
		p.say("The record was not read: %s.", wordsOf(msg.err))
		return false
	case msg.nothing():
		p.say("Nothing happened in this session from %s on.", msg.toTime.Local().Format(time.DateTime))
		return false
	case where == fresh && len(msg.res.Events) == 0:
		p.say("The record has nothing of a session %s, or it is not yours.", line(r.session))
		return false
	}
	r.join(msg)
	if where == fresh {
		of := ""
		if r.total > 0 {
			of = " " + plural(int(r.total), "statement") + ". Type next for the next step, or play."
		}
		p.say("%s%s", sessionLine(&r.steps[0]), of)
		p.sayStep(r)
	}
	return true
}

// sayStep says the step shown.
func (p *plainScreen) sayStep(r *plainReplay) {
	ev := &r.steps[r.at]
	for _, l := range linesOf(ev, r.of(ev), r.number()) {
		p.say("%s", l)
	}
}

// another reports whether there is a next step. What is not there yet is asked for, at the
// end too: the session may go on.
func (p *plainScreen) another(ctx context.Context) bool {
	r := p.again
	if r.at < len(r.steps)-1 {
		return true
	}
	from := r.next
	if from == 0 {
		from = r.steps[r.at].Seq + 1
	}
	if !p.readReplay(ctx, r, behind, api.AuditQuery{Oldest: true, From: from}) {
		return false
	}
	if r.at == len(r.steps)-1 {
		p.say("This is the end of what the record has of the session.")
		return false
	}
	return true
}

// stepOn shows the next step; false if there is none.
func (p *plainScreen) stepOn(ctx context.Context, pace Pace) bool {
	if !p.another(ctx) {
		return false
	}
	r := p.again
	r.at++
	if later := pace.Later(r.steps[r.at].Time.Sub(r.steps[r.at-1].Time)); later != "" {
		p.say("%s", strings.TrimPrefix(later, "… "))
	}
	p.sayStep(r)
	return true
}

// stepBack shows the step so many before.
func (p *plainScreen) stepBack(ctx context.Context, n int) {
	r := p.again
	for r.at < n && !r.first {
		if !p.readReplay(ctx, r, before, api.AuditQuery{Before: r.steps[0].Seq}) {
			return
		}
	}
	if r.at == 0 {
		p.say("This is the beginning of what the record has of the session.")
		return
	}
	r.at = max(0, r.at-n)
	p.sayStep(r)
}

// setClock sets the clock for the next step, if there is one.
func (p *plainScreen) setClock(ctx context.Context) {
	p.clock = nil
	if p.err == nil && p.another(ctx) {
		r := p.again
		wait, _ := r.pace.Wait(r.steps[r.at+1].Time.Sub(r.steps[r.at].Time))
		p.clock = time.After(wait)
	}
}

// playOn shows the step that is due.
func (p *plainScreen) playOn(ctx context.Context) {
	if p.stepOn(ctx, p.again.pace) {
		p.setClock(ctx)
	}
}
