package tui

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
)

// shelfOf answers questions of the record about one session, as the gateway does.
func shelfOf(events []audit.Event) func(string, any) (any, error) {
	return func(_ string, in any) (any, error) {
		q, ok := in.(api.AuditQuery)
		if !ok {
			return nil, nil
		}
		var found []audit.Event
		for _, ev := range events {
			if (q.Session == "" || ev.Session == q.Session) && ev.Seq >= q.From && (q.Before == 0 || ev.Seq < q.Before) && !ev.Time.Before(q.Since) {
				found = append(found, ev)
			}
		}
		if len(q.By) > 0 {
			res := api.AuditResult{}
			for _, ev := range found {
				at := -1
				for i, g := range res.Groups {
					if g.Values[0] == string(ev.Kind) {
						at = i
					}
				}
				if at < 0 {
					at, res.Groups = len(res.Groups), append(res.Groups, api.AuditGroup{Values: []string{string(ev.Kind)}, First: ev.Time})
				}
				res.Groups[at].Count++
				res.Groups[at].Last = ev.Time
			}
			return res, nil
		}
		res := api.AuditResult{}
		if !q.Oldest {
			if n := len(found) - q.Limit; n > 0 && q.Limit > 0 {
				found, res.Next = found[n:], found[n].Seq
			}
			for i := len(found) - 1; i >= 0; i-- {
				res.Events = append(res.Events, found[i])
			}
			return res, nil
		}
		if len(found) > q.Limit {
			found, res.Next = found[:q.Limit], found[q.Limit].Seq
		}
		res.Events = found
		return res, nil
	}
}

// replaySample is a session with one of each.
func replaySample() []audit.Event {
	by := func(seq uint64, after time.Duration, kind audit.Kind) audit.Event {
		return audit.Event{Seq: seq, ID: fmt.Sprintf("r-%d", seq), Time: now.Add(-time.Hour + after), Kind: kind, Session: "s-aaaa", Who: "ana@example.com", Connection: "orders", From: "10.1.2.3:5012", Client: "psql"}
	}
	list := []audit.Event{by(10, 0, audit.Connected), by(12, time.Second, audit.Decided), by(20, 200*time.Second, audit.Decided), by(24, 205*time.Second, audit.Decided), by(25, 205*time.Second, audit.Asked),
		by(27, 230*time.Second, audit.Voted), by(28, 230*time.Second, audit.Answered), by(40, 231*time.Second, audit.Decided), by(41, 900*time.Second, audit.Closed)}
	list[0].Outcome, list[0].Detail = "ok", "as role app"
	list[1].SQL, list[1].Params, list[1].Effect, list[1].Rule, list[1].Outcome, list[1].Rows, list[1].Masked, list[1].MaskedCols, list[1].DurationUS = "select id, email from customers where id = $1", []string{"42"}, "allow", "default", "ok", 1, 1, []string{"email:email"}, 830
	list[2].SQL, list[2].Effect, list[2].Rule, list[2].Reason, list[2].Outcome, list[2].ErrorCode = "drop table customers\x1b[2J", "deny", "no-drop", "DROP cannot be undone", "refused", "42501"
	list[3].SQL, list[3].Effect, list[3].Rule, list[3].Reason, list[3].Outcome, list[3].Rows, list[3].DurationUS = "update customers set street = '12 Elm St' where id = 42", "hold", "writes-need-a-second-person", "changes of production data need a second person", "ok", 1, 1200
	list[4].Of, list[4].Detail = "r-24", "ask k7f2q"
	list[5].Who, list[5].Effect, list[5].Reason = "bo@example.com", "allow", "looks right"
	list[6].Of, list[6].Effect, list[6].Reason = "r-24", "allow", "approved by bo@example.com"
	list[7].SQL, list[7].Effect, list[7].Rule, list[7].Outcome, list[7].ErrorCode, list[7].Error = "select "+strings.Repeat("a_long_column_name, ", 40)+"1", "allow", "default", "error", "42703", "column does not exist"
	return list
}

// replaying is a screen on which a session is shown again.
func replayOf(s *screenTest, events []audit.Event, keys ...string) *replay {
	s.t.Helper()
	s.gw.reply = shelfOf(events)
	s.start()
	s.press(append([]string{"4", "end", "R"}, keys...)...)
	if s.m.replay == nil {
		s.t.Fatal("nothing is shown again")
	}
	return s.m.replay
}

// wait gives what the clock was asked for last, once it is time.
func (s *screenTest) tick() time.Duration {
	s.t.Helper()
	if s.due == nil {
		s.t.Fatal("nothing is waited for")
	}
	wait, msg := s.wait, s.due
	s.due = nil
	s.take(msg)
	return wait
}

// many is a session of n statements, a second apart.
func longSession(n int) (list []audit.Event) {
	for i := range n {
		list = append(list, audit.Event{Seq: uint64(3*i + 1), ID: fmt.Sprintf("e-%d", i), Time: now.Add(-24*time.Hour + time.Duration(i)*time.Second), Kind: audit.Decided, Session: "s-long",
			Who: "ana", Connection: "orders", SQL: fmt.Sprintf("select %d", i), Effect: "allow", Outcome: "ok"})
	}
	return list
}

// A session is played at its pace: what is between is waited for, shortened where nothing
// happened for long, and at once if that is wanted.
func TestReplayKeepsThePace(t *testing.T) {
	s := newScreen(t, 80, 24)
	r := replayOf(s, replaySample())
	if r.at != 0 || r.playing {
		t.Fatalf("it begins at step %d, playing %t", r.at, r.playing)
	}
	s.press("space")
	var waits []time.Duration
	for r.playing {
		waits = append(waits, s.tick())
	}
	want := []time.Duration{time.Second, maxPause, maxPause, 0, maxPause, 0, time.Second, maxPause}
	if fmt.Sprint(waits) != fmt.Sprint(want) || !r.over() {
		t.Errorf("it waited %v, want %v", waits, want)
	}
	if view := s.m.View(); !strings.Contains(view, "the end") || !strings.Contains(view, "11m09s later, shown as 2s") {
		t.Errorf("it does not say what was shortened:\n%s", view)
	}
	s.press("home", "+", "space")
	if wait := s.tick(); wait != 100*time.Millisecond {
		t.Errorf("ten times as fast it waits %s", wait)
	}
	s.press("space")
	if s.take(replayTickMsg{turn: r.turn - 1}); r.at != 1 || r.playing {
		t.Errorf("paused, it went on to step %d", r.at)
	}
	s.press("+", "space")
	if wait := s.tick(); wait != 0 || !r.over() {
		t.Errorf("at once it waited %s, and is at step %d of %d", wait, r.at, len(r.steps))
	}
}

// Who waits for people is not told the end before the answer.
func TestReplayDoesNotTellTheEndBefore(t *testing.T) {
	s := newScreen(t, 120, 40)
	r := replayOf(s, replaySample(), "right", "right", "right")
	if view := s.m.View(); r.steps[r.at].Effect != "hold" || !strings.Contains(view, "held by writes-need-a-second-person") || strings.Contains(view, "ok, 1 row in 1.2ms") {
		t.Errorf("while it waits the screen says:\n%s", view)
	}
	s.press("right", "right", "right")
	if view := s.m.View(); !strings.Contains(view, "approved by bo@example.com") || !strings.Contains(view, "ok, 1 row in 1.2ms") {
		t.Errorf("once it is answered the screen says:\n%s", view)
	}
}

// A session is read page by page, in both directions; a part of it is kept, and the
// number of the statement shown is right wherever one goes.
func TestReplayReadsPages(t *testing.T) {
	const n = 12_345
	s := newScreen(t, 80, 24)
	events := longSession(n)
	r := replayOf(s, events)
	check := func(want int64) {
		t.Helper()
		if got := r.number(); got != want || r.steps[r.at].SQL != fmt.Sprintf("select %d", want-1) {
			t.Errorf("shown is %q as statement %d, want %d", r.steps[r.at].SQL, got, want)
		}
		if len(r.steps) > replayKeep+replayPage {
			t.Errorf("%d steps are kept", len(r.steps))
		}
		if view := s.m.View(); !strings.Contains(view, "statement "+grouped(want)+" of "+grouped(n)) {
			t.Errorf("the screen says:\n%s", view)
		}
	}
	s.press("home")
	check(1)
	for range 120 {
		s.press("pgdown")
	}
	check(1201)
	for range 90 {
		s.press("pgup")
	}
	check(301)
	s.press("end")
	check(n)
	s.press("left", "left")
	check(n - 2)
	s.press("t", "+100h", "enter")
	if view := s.m.View(); !strings.Contains(view, "nothing happened in this session from") {
		t.Errorf("beyond the end it says:\n%s", view)
	}
	check(n - 2)
	s.press("t", "ctrl+u", now.Add(-24*time.Hour+5000*time.Second).Format(time.DateTime), "enter")
	check(5001)
	s.press("left")
	check(5000)
	s.press("t", "-10m", "enter")
	check(4400)
	s.press("t", "soon", "enter")
	if view := s.m.View(); !strings.Contains(view, `"soon" is no time`) {
		t.Errorf("it says:\n%s", view)
	}
	s.press("esc")
	if s.m.replay != nil || s.m.mode != browsing {
		t.Error("esc does not lead back")
	}
	for len(s.gw.calls) > 0 {
		if c := s.called(); strings.Contains(c, `"session":"s-long"`) && !strings.Contains(c, `"by"`) && !strings.Contains(c, `"limit":100`) {
			t.Errorf("it asked %s", c)
		}
	}
}

// Played at once, a long session comes to its end with no more than a part of it kept.
func TestReplayAtOnceIsBounded(t *testing.T) {
	s := newScreen(t, 80, 24)
	r := replayOf(s, longSession(5000), "home", "+", "+", "space")
	for r.playing {
		s.tick()
		if len(r.steps) > replayKeep+replayPage {
			t.Fatalf("%d steps are kept", len(r.steps))
		}
		for len(s.gw.calls) > 0 {
			<-s.gw.calls
		}
	}
	if r.number() != 5000 {
		t.Errorf("it ends at statement %d", r.number())
	}
}

// What goes on is read when that is asked for.
func TestReplayOfASessionThatGoesOn(t *testing.T) {
	s := newScreen(t, 80, 24)
	all := replaySample()
	r := replayOf(s, all[:3], "end", "space")
	if view := s.m.View(); !strings.Contains(view, "r asks whether more happened") {
		t.Errorf("at the end it says:\n%s", view)
	}
	s.gw.reply = shelfOf(all)
	s.press("r", "end")
	if r.steps[r.at].Kind != audit.Closed || r.total != 4 {
		t.Errorf("it is at %s of %d statements", r.steps[r.at].Kind, r.total)
	}
}

// A record that cannot be read is said, and asked again when that is wanted.
func TestReplayWithoutAnAnswer(t *testing.T) {
	s := newScreen(t, 80, 24)
	s.gw.reply = shelfOf(longSession(1000))
	s.start()
	s.press("4", "end")
	s.gw.reply = func(string, any) (any, error) { return nil, errors.New("the disk is gone") }
	s.press("R")
	if view := s.m.View(); !strings.Contains(view, "The record was not read.") || !strings.Contains(view, "the disk is gone") {
		t.Errorf("it says:\n%s", view)
	}
	s.press("esc")
	s.gw.reply = shelfOf(longSession(1000))
	s.press("R")
	s.gw.reply = func(string, any) (any, error) { return nil, errors.New("the disk is gone") }
	for range 30 {
		s.press("pgup")
	}
	if view := s.m.View(); !strings.Contains(view, "not all was read; r asks again") {
		t.Errorf("it says:\n%s", view)
	}
	s.gw.reply = shelfOf(longSession(1000))
	s.press("r", "home")
	if s.m.replay.number() != 1 {
		t.Errorf("it is at statement %d", s.m.replay.number())
	}
}

// An ask that is looked at, and only that, is what the gateway is told of, once the
// cursor has stood still.
func TestGatewayIsToldWhatIsLookedAt(t *testing.T) {
	s := newScreen(t, 80, 24)
	asks := many(3)
	for i := range asks {
		asks[i].Evidence = &api.Evidence{}
	}
	asks[2].Evidence.Done = true
	s.take(liveMsg{live: api.Live{Whole: true, Asks: asks}, first: true})
	passed := s.due
	s.press("down")
	s.take(passed)
	if c := s.called(); c != "" {
		t.Errorf("told of what the cursor went over: %s", c)
	}
	s.tick()
	if c := s.called(); !strings.HasPrefix(c, "GET /v1/asks/a00001") {
		t.Errorf("it called %q", c)
	}
	s.press("down")
	if s.due != nil {
		t.Error("more is asked of what is known")
	}
}

// Lines say the same as the screen does.
func TestReplayText(t *testing.T) {
	time.Local = time.UTC
	text := &ReplayText{Pace: Pace{Speed: 10}}
	var out []string
	for _, ev := range replaySample() {
		if _, later := text.Gap(&ev); later != "" {
			out = append(out, later)
		}
		out = append(out, text.Lines(&ev)...)
	}
	out = append(out, text.Lines(nil)...)
	golden(t, "replay-text", strings.Join(out, "\n")+"\n")
	for _, bad := range []string{"", "x", "0", "-1x", "NaN", "Inf", "fast"} {
		if _, err := ReadPace(bad); err == nil {
			t.Errorf("%q is a speed", bad)
		}
	}
	for _, good := range []string{"1x", "10", "0.5x", "instant"} {
		if p, err := ReadPace(good); err != nil || strings.TrimSuffix(p.String(), "x") != strings.TrimSuffix(good, "x") {
			t.Errorf("%q is read as %s, %v", good, p, err)
		}
	}
}

var _ tea.Msg = replayMsg{}
