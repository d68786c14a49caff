package tui

import (
	"errors"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
	"github.com/muesli/termenv"

	"github.com/sluicehq/sluice/api"
)

func stripped(s string) string { return ansi.Strip(s) }

// Two keys and a reason between them: the answer carries the seal of what was shown.
func TestApproveAndDenyInTwoKeys(t *testing.T) {
	for _, tt := range []struct {
		keys []string
		want string
	}{
		{[]string{"a", "enter"}, `POST /v1/asks/m3xpa {"grant":true,"seal":"seal-m3xpa"}`},
		{[]string{"a", "fine by me", "enter"}, `POST /v1/asks/m3xpa {"grant":true,"reason":"fine by me","seal":"seal-m3xpa"}`},
		{[]string{"d", "enter"}, `POST /v1/asks/m3xpa {"grant":false,"seal":"seal-m3xpa"}`},
		{[]string{"d", "say which a d y ?", "enter"}, `POST /v1/asks/m3xpa {"grant":false,"reason":"say which a d y ?","seal":"seal-m3xpa"}`},
		{[]string{"a", "esc", "enter"}, ""},
		{[]string{"a", "y"}, ""},
	} {
		s := newScreen(t, 80, 24).start()
		s.press("down")
		s.press(tt.keys...)
		if got := s.called(); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.keys, got, tt.want)
		}
	}
}

// A decision counts only for what has stood still under the cursor for 300 ms.
func TestNoDecisionWithinAMomentOfAChange(t *testing.T) {
	changes := map[string]func(*screenTest){
		"the cursor moved":      func(s *screenTest) { s.take(keyOf("down")...) },
		"the detail was opened": func(s *screenTest) { s.take(keyOf("enter")...) },
		"it came back":          func(s *screenTest) { s.press("enter"); s.take(keyOf("esc")...) },
		"evidence arrived": func(s *screenTest) {
			a := sample().Asks[1]
			a.Reason = "another"
			s.take(liveMsg{live: api.Live{Whole: true, Asks: []api.Ask{a}}})
		},
		"the one before it ended": func(s *screenTest) {
			s.take(liveMsg{live: api.Live{Whole: true, Ended: []api.Ended{{ID: s.m.lists[inboxTab].chosen}}}})
		},
		"the list was searched":    func(s *screenTest) { s.press("/", "COPY"); s.take(keyOf("enter")...) },
		"the window has changed":   func(s *screenTest) { s.take(tea.WindowSizeMsg{Width: 100, Height: 30}) },
		"another list was shown":   func(s *screenTest) { s.press("3"); s.take(keyOf("1")...) },
		"the link came back":       func(s *screenTest) { s.take(lostMsg{err: errors.New("x")}, liveMsg{live: sample(), first: true}) },
		"it was laid out":          func(s *screenTest) { s.take(keyOf("f")...) },
		"it was clicked":           func(s *screenTest) { s.take(click(3, s.m.clickTop)) },
		"a question was withdrawn": func(s *screenTest) { s.press("a"); s.take(keyOf("esc")...) },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			s := newScreen(t, 80, 24).start()
			s.press("down")
			s.m.View()
			s.rest()
			change(s)
			s.time = s.time.Add(settle - time.Millisecond)
			s.take(keyOf("a")...)
			if s.m.mode != browsing || !strings.Contains(s.m.status, "as the screen changed") {
				t.Fatalf("a question was asked: mode %d, %q", s.m.mode, s.m.status)
			}
			s.time = s.time.Add(time.Millisecond)
			s.take(keyOf("a")...)
			if s.m.mode != answering && s.m.refusal(mustAsk(s)) == "" {
				t.Errorf("after a moment it was not: %q", s.m.status)
			}
		})
	}
}

func mustAsk(s *screenTest) api.Ask { a, _ := s.m.chosenAsk(); return a }

func click(x, y int) tea.Msg {
	return tea.MouseMsg{X: x, Y: y, Action: tea.MouseActionPress, Button: tea.MouseButtonLeft}
}

// Attack, or a slow link: keys that were typed before the screen showed what they would
// answer.
func TestTypedAheadKeysDoNothing(t *testing.T) {
	for _, keys := range [][]string{{"a", "enter"}, {"down", "a", "enter"}, {"d", "no", "enter"}, {"enter", "a", "enter"}, {"end", "!", "because", "enter"}, {"3", "K", "enter"}, {"2", "a", "enter", "enter", "enter"}} {
		s := newScreen(t, 80, 24).start()
		s.typeFast(keys...)
		if got := s.called(); got != "" {
			t.Errorf("%v did %s", keys, got)
		}
	}
	// What arrives just before enter is pressed stops it too.
	s := newScreen(t, 80, 24).start()
	s.press("down", "a")
	s.rest()
	a := sample().Asks[1]
	a.Evidence = &api.Evidence{Clear: []string{"everything"}}
	s.take(liveMsg{live: api.Live{Whole: true, Asks: []api.Ask{a}}})
	s.typeFast("enter")
	if got := s.called(); got != "" || s.m.mode != answering {
		t.Errorf("it did %q, mode %d", got, s.m.mode)
	}
}

// The statement under the finger is chosen by its id, not by its place.
func TestListMovesUnderTheFinger(t *testing.T) {
	s := newScreen(t, 80, 24).start()
	s.press("down", "a")
	older := api.Ask{ID: "aaaaa", Seal: "x", SQL: "DROP TABLE users", MayAnswer: true, Created: now.Add(-time.Hour)}
	s.take(liveMsg{live: api.Live{Whole: true, Asks: []api.Ask{older}}})
	if s.m.mode != answering || mustAsk(s).ID != "m3xpa" {
		t.Fatalf("mode %d on %s", s.m.mode, mustAsk(s).ID)
	}
	// It ends while the question stands: the answer must not go to its neighbour.
	s.take(liveMsg{live: api.Live{Whole: true, Ended: []api.Ended{{ID: "m3xpa", State: "denied", Why: "denied by cy@example.com"}}}})
	if s.m.mode != browsing || !strings.Contains(s.m.status, "m3xpa is over: denied by cy") {
		t.Errorf("mode %d, status %q", s.m.mode, s.m.status)
	}
	s.press("enter")
	if got := s.called(); got != "" {
		t.Errorf("it did %q", got)
	}
	// Nor to another ask that was given the same id.
	s = newScreen(t, 80, 24).start()
	s.press("down", "a")
	other := older
	other.ID, other.Created = "m3xpa", sample().Asks[1].Created
	s.take(liveMsg{live: api.Live{Whole: true, Ended: []api.Ended{{ID: "m3xpa"}}, Asks: []api.Ask{other}}})
	s.press("enter", "enter")
	if got := s.called(); got != "" {
		t.Errorf("it did %q", got)
	}
}

// Letters that arrive in one piece are a pasted text, never a decision.
func TestPasteDoesNotDecide(t *testing.T) {
	for _, msg := range []tea.KeyMsg{
		{Type: tea.KeyRunes, Runes: []rune("ay")},
		{Type: tea.KeyRunes, Runes: []rune("a"), Paste: true},
		{Type: tea.KeyRunes, Runes: []rune("aa")},
	} {
		s := newScreen(t, 80, 24).start()
		s.take(msg)
		if s.m.mode != browsing || s.called() != "" {
			t.Errorf("%q: mode %d", msg, s.m.mode)
		}
	}
	s := newScreen(t, 80, 24).start()
	s.take(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("jjj")})
	if got := mustAsk(s).ID; got != "p9wzn" {
		t.Errorf("a held j went to %s", got)
	}
}

// A word that comes in one piece is text, also one that is the name of a key.
func TestWordsAreNoKeys(t *testing.T) {
	s := newScreen(t, 80, 24).start()
	s.press("down", "d")
	for _, w := range []string{"shop is", " ", "down", " ", "enter", " ", "esc", " ", "up", " ", "ctrl+u", "end"} {
		s.take(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(w)})
	}
	s.press("enter")
	if got := s.called(); !strings.Contains(got, `"reason":"shop is down enter esc up ctrl+uend"`) {
		t.Errorf("it called %q", got)
	}
}

func TestOnlyOneAnswerAtATime(t *testing.T) {
	s := newScreen(t, 80, 24).start()
	s.press("down", "a")
	s.m.sent = "k7f2q" // it is on its way
	s.press("esc", "up", "a")
	if s.m.mode != browsing || !s.m.failed || !strings.Contains(s.m.status, "still under way") {
		t.Errorf("mode %d, status %q", s.m.mode, s.m.status)
	}
}

// While the link is lost nothing is decided on what may be over.
func TestNothingIsDecidedWithoutALink(t *testing.T) {
	s := newScreen(t, 80, 24).start()
	s.take(lostMsg{err: errors.New("connection reset"), retry: time.Second})
	s.press("down", "a", "enter", "d", "enter", "v", "3", "K", "enter")
	if got := s.called(); got != "" {
		t.Errorf("it did %q", got)
	}
	next := sample()
	next.Asks = next.Asks[1:]
	next.Whole = false
	s.take(liveMsg{live: next, first: true})
	if len(s.m.st.asks.order) != 4 {
		t.Error("half of the new state is shown")
	}
	s.take(liveMsg{live: api.Live{Whole: true}})
	if len(s.m.st.asks.order) != 3 || s.m.lost != "" {
		t.Errorf("%d asks, lost %q", len(s.m.st.asks.order), s.m.lost)
	}
}

// Breaking the glass needs a reason, and everybody is told loudly until they have seen it.
func TestBreakGlassOnTheScreen(t *testing.T) {
	s := newScreen(t, 80, 24).start()
	s.press("end", "!", "enter")
	if got := s.called(); got != "" || !strings.Contains(s.m.View(), "needs a reason") {
		t.Errorf("without a reason it did %q", got)
	}
	s.press("shop is down", "enter")
	if got := s.called(); got != `POST /v1/asks/p9wzn {"grant":true,"reason":"shop is down","seal":"seal-p9wzn","break_glass":true}` {
		t.Errorf("it did %q", got)
	}
	s = newScreen(t, 80, 24).start()
	s.press("down", "!")
	if s.m.mode != browsing || !strings.Contains(s.m.status, "no rule lets you") {
		t.Errorf("mode %d, status %q", s.m.mode, s.m.status)
	}
	s.take(liveMsg{live: api.Live{Whole: true, Ended: []api.Ended{{ID: "zzzzz", Why: "break-glass by bo@example.com: the shop is down", BreakGlass: true}}}})
	s.press("down", "up", "3", "1")
	if !strings.Contains(s.m.View(), "!! BREAK-GLASS: zzzzz ran by bo@example.com: the shop is down") {
		t.Errorf("it is not loud:\n%s", s.m.View())
	}
	s.press("x")
	if strings.Contains(s.m.View(), "zzzzz") {
		t.Error("it cannot be dismissed")
	}
}

// A new ask rings, shows in the title, and on the desktop only if that was asked for.
func TestArrivalIsAnnounced(t *testing.T) {
	for _, tt := range []struct {
		opt  Options
		want string
	}{
		{Options{}, "\a"},
		{Options{Silent: true}, ""},
		{Options{Notify: NotifyOSC9}, "\a\x1b]9;ana@example.com asks on orders: update\x1b\\"},
		{Options{Notify: NotifyOSC777, Silent: true}, "\x1b]777;notify;sluice;ana@example.com asks on orders: update\x1b\\"},
	} {
		s := newScreenWith(t, 80, 24, tt.opt, termenv.Ascii).start()
		if s.said != "" || s.m.title != "(3) sluice" {
			t.Errorf("what waited already: %q, title %q", s.said, s.m.title)
		}
		a := many(1)[0]
		not := a
		not.ID, not.MayAnswer = "other", false
		s.take(liveMsg{live: api.Live{Whole: true, Asks: []api.Ask{a, not}}})
		if s.said != tt.want || s.m.title != "(4) sluice" {
			t.Errorf("%+v: %q, title %q", tt.opt, s.said, s.m.title)
		}
		s.said = ""
		s.take(liveMsg{live: api.Live{Whole: true, Asks: []api.Ask{a}}}) // more is known of it
		if s.said != "" {
			t.Errorf("it was announced again: %q", s.said)
		}
	}
}

// The mouse moves and chooses. It never decides.
func TestMouseChoosesAndNeverDecides(t *testing.T) {
	s := newScreen(t, 80, 24).start()
	s.m.View()
	s.take(click(3, s.m.clickTop+2))
	if got := mustAsk(s).ID; got != s.m.list()[2] {
		t.Errorf("a click chose %s", got)
	}
	s.take(tea.MouseMsg{Button: tea.MouseButtonWheelUp, Action: tea.MouseActionPress})
	if got := mustAsk(s).ID; got != s.m.list()[1] {
		t.Errorf("the wheel chose %s", got)
	}
	x := strings.Index(strip(s.m.View()), "Sessions")
	s.take(click(x+1, 0))
	if s.m.tab != sessionsTab {
		t.Errorf("a click on Sessions shows list %d", s.m.tab)
	}
	s.take(click(2, 0), click(79, 0), click(0, 500), click(0, -1))
	for y := range 24 {
		for x := 0; x < 80; x += 3 {
			s.rest()
			s.take(click(x, y))
		}
	}
	s.press("1", "down", "a")
	for y := range 24 {
		s.rest()
		s.take(click(5, y))
	}
	if got := s.called(); strings.HasPrefix(got, "POST /v1/asks") || strings.Contains(got, "kill") {
		t.Errorf("the mouse did %q", got)
	}
}
