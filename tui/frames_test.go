package tui

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/muesli/termenv"

	"github.com/sluicehq/sluice/api"
)

var update = flag.Bool("update", false, "rewrite the expected screens")

// screens are the frames that are kept, and how one gets there.
var screens = []struct {
	name string
	do   func(*screenTest)
}{
	{"start", func(*screenTest) {}},
	{"empty", func(s *screenTest) { s.take(liveMsg{live: api.Live{Whole: true}, first: true}) }},
	{"inbox", func(s *screenTest) { s.start() }},
	{"inbox-job", func(s *screenTest) { s.start(); s.press("down") }},
	{"inbox-own", func(s *screenTest) { s.start(); s.press("end", "a") }},
	{"inbox-search", func(s *screenTest) { s.start(); s.press("/", "copy", "enter") }},
	{"detail", func(s *screenTest) { s.start(); s.press("j", "enter") }},
	{"detail-end", func(s *screenTest) { s.start(); s.press("j", "j", "enter", "end") }},
	{"approve", func(s *screenTest) { s.start(); s.press("j", "j", "a", "looks right") }},
	{"deny", func(s *screenTest) { s.start(); s.press("j", "d", "not now") }},
	{"glass", func(s *screenTest) { s.start(); s.press("end", "!") }},
	{"preview", func(s *screenTest) {
		s.gw.reply = func(string, any) (any, error) { return previewSample(), nil }
		s.start()
		s.press("j", "j", "v", "enter", "end")
	}},
	{"approved", func(s *screenTest) {
		s.start()
		s.press("j", "j", "a", "enter")
		s.take(liveMsg{live: api.Live{Whole: true, Ended: []api.Ended{{ID: "k7f2q", State: "approved", Why: "approved by bo@example.com"}}}})
	}},
	{"refused", func(s *screenTest) {
		s.gw.reply = func(string, any) (any, error) {
			return nil, &api.Error{Sentence: "not in a group\x1b[2J that may answer", Hint: "run: sluice approvals ls"}
		}
		s.start()
		s.press("j", "j", "a", "enter")
	}},
	{"alarm", func(s *screenTest) {
		s.start()
		s.take(liveMsg{live: api.Live{Whole: true, Ended: []api.Ended{{ID: "p9wzn", State: "approved", Why: "break-glass by bo@example.com: the shop is down", BreakGlass: true}}}})
	}},
	{"requests", func(s *screenTest) { s.start(); s.press("2") }},
	{"window", func(s *screenTest) { s.start(); s.press("2", "down", "enter") }},
	{"sessions", func(s *screenTest) {
		s.start()
		busy := sample().Sessions[2]
		busy.Statements, busy.Rows = 2500, 1_000_000
		s.take(liveMsg{live: api.Live{Whole: true, Sessions: []api.Session{busy}}}, tickMsg(s.time))
		s.press("3")
	}},
	{"kill", func(s *screenTest) { s.start(); s.press("3", "K") }},
	{"stream", func(s *screenTest) {
		s.start()
		s.press("3", "w")
		for _, ev := range streamSample() {
			s.take(streamMsg{session: "s-aaaa", event: ev})
		}
	}},
	{"history", func(s *screenTest) {
		s.gw.reply = func(string, any) (any, error) { return pastSample().res, nil }
		s.start()
		s.press("4")
	}},
	{"history-search", func(s *screenTest) {
		s.gw.reply = func(string, any) (any, error) { return pastSample().res, nil }
		s.start()
		s.press("4", "/", "ctrl+u", "who:ana drop")
	}},
	{"history-event", func(s *screenTest) {
		s.gw.reply = func(string, any) (any, error) { return pastSample().res, nil }
		s.start()
		s.press("4", "down", "enter")
	}},
	{"replay", func(s *screenTest) { replayOf(s, replaySample(), "right", "right", "right", "right") }},
	{"replay-playing", func(s *screenTest) { replayOf(s, replaySample(), "right", "right", "+", "space") }},
	{"replay-end", func(s *screenTest) { replayOf(s, replaySample(), "end") }},
	{"replay-open", func(s *screenTest) { replayOf(s, replaySample(), "right", "right", "enter") }},
	{"replay-jump", func(s *screenTest) { replayOf(s, replaySample(), "t", "11:03") }},
	{"policy", func(s *screenTest) {
		s.gw.reply = func(string, any) (any, error) {
			return api.Policy{Source: "policy.yaml", Since: now.Add(-time.Hour), Text: "rules:\n  - name: other\n    when: 'true'\n  - name: writes-need-a-second-person\n    when: 'statement.writes'\n    effect: hold\n  - name: last\n    effect: deny\n"}, nil
		}
		s.start()
		s.press("j", "j", "p")
	}},
	{"help", func(s *screenTest) { s.start(); s.press("?") }},
	{"lost", func(s *screenTest) {
		s.start()
		s.take(lostMsg{err: errors.New("connection reset"), retry: 2 * time.Second})
	}},
	{"silent", func(s *screenTest) { s.start(); s.take(tickMsg(now.Add(7 * time.Second))) }},
}

func text(s string) *string { return &s }

func previewSample() api.Preview {
	return api.Preview{Rows: 1, Before: &api.PreviewRows{Columns: []string{"id", "street", "email"}, Rows: [][]*string{{text("42"), text("1 Old Rd"), text("a•••@masked.invalid")}}},
		After: &api.PreviewRows{Columns: []string{"id", "street", "email"}, Rows: [][]*string{{text("42"), text("12 Elm\x1b[2J St"), nil}}}, Notes: []string{"what its own transaction has changed before it is not seen"}}
}

func streamSample() []api.SessionEvent {
	return []api.SessionEvent{
		{At: now, Kind: "watching", Text: "ana@example.com on orders"},
		{At: now.Add(time.Second), Kind: "decided", SQL: "select id, email from customers where id = $1", Params: []string{"42"}, Effect: "allow", Rule: "default"},
		{At: now.Add(time.Second), Kind: "finished", Outcome: "ok", Rows: 1, Masked: 1, Duration: 830, Sample: previewSample().Before},
		{At: now.Add(2 * time.Second), Kind: "decided", SQL: "drop table customers\x1b[2J", Effect: "deny", Rule: "no-drop", Text: "DROP cannot be undone", Missed: 3},
		{At: now.Add(2 * time.Second), Kind: "finished", Outcome: "refused", Code: "42501", Text: "refused by policy"},
		{At: now.Add(3 * time.Second), Kind: "decided", SQL: "update customers set street = 'x'", Effect: "hold", Rule: "writes", Text: "a second person looks"},
		{At: now.Add(3 * time.Second), Kind: "asked", Text: "it waits as k7f2q for 1 of dba"},
	}
}

func TestScreens(t *testing.T) {
	for _, size := range [][2]int{{60, 24}, {80, 24}, {120, 40}} {
		for _, tt := range screens {
			name := fmt.Sprintf("%s-%dx%d", tt.name, size[0], size[1])
			t.Run(name, func(t *testing.T) {
				s := newScreen(t, size[0], size[1])
				tt.do(s)
				got := s.m.View()
				checkFrame(t, got, size[0], size[1])
				golden(t, name, trimRight(got))
			})
		}
	}
}

// With a note on top, as the demo has it.
func TestNoteOnTop(t *testing.T) {
	s := newScreenWith(t, 80, 24, Options{Me: person("bo"), Note: "You are Grace here. To be Ada:\npsql 'postgres://ana:secret@localhost:5433/orders'"}, termenv.Ascii).start()
	got := s.m.View()
	checkFrame(t, got, 80, 24)
	golden(t, "note-80x24", trimRight(got))
}

// Any size, also absurd ones, gives a frame of that size.
func TestEverySize(t *testing.T) {
	for _, width := range []int{0, 1, 39, 40, 57, 80, 300} {
		for _, height := range []int{0, 1, 11, 12, 13, 50} {
			for _, tt := range screens {
				s := newScreen(t, width, height)
				tt.do(s)
				if width >= minWidth && height >= minHeight {
					checkFrame(t, s.m.View(), width, height)
				}
			}
		}
	}
}

// What colour says is said by words or signs too.
func TestColoursAddNothing(t *testing.T) {
	for _, tt := range screens {
		var views []string
		for _, profile := range []termenv.Profile{termenv.Ascii, termenv.ANSI256} {
			s := newScreenWith(t, 80, 24, Options{Me: person("bo")}, profile)
			tt.do(s)
			views = append(views, strip(s.m.View()))
		}
		if views[0] != views[1] {
			t.Errorf("%s reads differently with colours", tt.name)
		}
	}
}

func strip(view string) string {
	var out []string
	for _, l := range strings.Split(view, "\n") {
		out = append(out, strings.TrimRight(stripped(l), " "))
	}
	return strings.Join(out, "\n")
}

// Attack: put what moves the cursor, hides or turns text into any field there is.
func TestHostileTextInEveryField(t *testing.T) {
	const evil = "x\x1b[2J\x1b]0;t\x07\u202e\u200b\u009b1A\r\ny"
	live := sample()
	for i := range live.Asks {
		a := &live.Asks[i]
		a.ID += evil
		a.Seal = a.ID
		a.Who.Name, a.Who.Kind, a.Who.OwnerName, a.Connection, a.Session, a.Kind, a.SQL, a.Rule, a.Reason = evil, evil, evil, evil, evil, evil, evil, evil, evil
		a.Params = []string{evil}
		a.Needs = []api.Need{{Groups: []string{evil}, Count: 1, Later: []string{evil}}}
		a.Votes = []api.Vote{{Who: evil, Grant: true}}
		one := []string{evil}
		a.Evidence = &api.Evidence{From: evil, Client: evil, Why: evil, Reads: one, Writes: one, Signs: one, Masked: one, Clear: one, Locks: one, History: one, Notes: one, Rows: number(1), Table: evil, Whole: 2, Shape: evil}
	}
	for i := range live.Requests {
		r := &live.Requests[i]
		r.ID += evil
		r.Who.Name, r.Connection, r.State, r.Why, r.SQL, r.Rule = evil, evil, evil, evil, evil, evil
	}
	for i := range live.Sessions {
		s := &live.Sessions[i]
		s.ID += evil
		s.Who.Name, s.Connection, s.State, s.SQL, s.Client, s.From = evil, evil, evil, evil, evil, evil
	}
	res := pastSample().res
	for i := range res.Events {
		ev := &res.Events[i]
		ev.ID += evil
		ev.Who, ev.Connection, ev.SQL, ev.Rule, ev.Reason, ev.Error, ev.Detail, ev.Outcome, ev.Effect, ev.Client = evil, evil, evil, evil, evil, evil, evil, evil, evil, evil
		ev.Params, ev.Reads, ev.Writes, ev.Signs, ev.MaskedCols, ev.Approvers = []string{evil}, []string{evil}, []string{evil}, []string{evil}, []string{evil}, []string{evil}
	}
	for _, width := range []int{60, 120} {
		s := newScreen(t, width, 40)
		s.gw.reply = func(path string, _ any) (any, error) {
			switch path {
			case api.AuditQueryPath:
				return res, nil
			case api.PolicyPath:
				return api.Policy{Source: evil, Text: evil, Refused: &api.PolicyRefused{Problem: evil}}, nil
			}
			rows := &api.PreviewRows{Columns: []string{evil}, Rows: [][]*string{{text(evil)}}}
			return api.Preview{Rows: 1, Before: rows, After: rows, Notes: []string{evil}}, nil
		}
		s.take(liveMsg{live: live, first: true})
		look := func(keys ...string) {
			t.Helper()
			s.press(keys...)
			checkFrame(t, s.m.View(), width, 40)
		}
		look("v")
		look("enter")
		look("end")
		look("a")
		look("esc", "esc")
		look("2")
		look("enter")
		look("3")
		look("enter")
		look("esc", "w")
		for _, kind := range []string{"watching", "decided", "asked", "answered", "finished", "closed"} {
			s.take(streamMsg{session: s.m.stream.session, event: api.SessionEvent{Kind: kind, SQL: evil, Params: []string{evil}, Effect: evil, Rule: evil, Text: evil, Outcome: evil, Code: evil, Sample: &api.PreviewRows{Columns: []string{evil}, Rows: [][]*string{{text(evil)}}}}})
		}
		look()
		look("esc", "4")
		look("enter")
		look("p")
		s.take(lostMsg{err: errors.New(evil)}, liveMsg{live: api.Live{Whole: true, Ended: []api.Ended{{ID: evil, Why: evil, BreakGlass: true}}}})
		look("1")
		if strings.Contains(s.m.title, "\x1b") || strings.Contains(s.said, evil) {
			t.Error("the title or a notification carries it")
		}
	}
	for _, how := range []string{NotifyOSC9, NotifyOSC777} {
		n := notification(how, evil)
		if body := strings.TrimSuffix(n[1:], "\x1b\\"); strings.ContainsAny(body, "\x1b\x07\n\r\u202e\u009b") {
			t.Errorf("%s is %q", how, n)
		}
	}
}

var _ tea.Model = (*model)(nil)
