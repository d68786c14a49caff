package tui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
	"github.com/muesli/termenv"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
)

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func person(name string) api.WhoAmI {
	return api.WhoAmI{Subject: name, Name: name + "@example.com", Kind: "person", Issuer: "https://id.example.com"}
}

func number(n int64) *int64 { return &n }

// sample is a gateway in which something is going on.
func sample() api.Live {
	return api.Live{
		Whole: true,
		Asks: []api.Ask{
			{
				ID: "k7f2q", Seal: "seal-k7f2q", Who: person("ana"), Connection: "orders", Session: "s-aaaa", Kind: "update", MayAnswer: true,
				SQL:    "-- moved house\nUPDATE customers\n   SET street = $1\n WHERE id = $2 AND city IN (SELECT city FROM cities WHERE zip BETWEEN 10000 AND 20000 ORDER BY name)",
				Params: []string{"12 Elm St", "42"}, Rule: "writes-need-a-second-person", Reason: "changes of production data need a second person",
				Needs: []api.Need{{Groups: []string{"dba"}, Count: 1}}, Created: now.Add(-12 * time.Second), Deadline: now.Add(48 * time.Second),
				Evidence: &api.Evidence{
					From: "10.1.2.3:5012", Shape: "abcdef0123456789", Client: "psql", Why: "ticket 4711: the customer has moved", Reads: []string{"public.cities.city", "public.cities.zip"},
					Writes: []string{"public.customers"}, Signs: []string{"subquery_in_where"}, Masked: []string{"street: address"}, Clear: []string{"email: email"}, Done: true,
					Rows: number(120), Table: "public.customers", Whole: 1000, Locks: []string{"RowExclusiveLock on public.customers for 12s by nightly"},
					History: []string{"statements of this shape: 3 in 30 days, 2 of them by the same person, the last 2026-05-30 10:00:00 UTC", "asks of this person here: 7 in 30 days, 6 of them approved"},
				},
			},
			{
				ID: "m3xpa", Seal: "seal-m3xpa", Who: api.WhoAmI{Subject: "deploy", Name: "deploy", Kind: "job"}, Connection: "billing", Session: "s-bbbb", Kind: "copy_from", MayAnswer: true,
				SQL: "COPY invoices FROM STDIN", Rule: "two-for-billing", Reason: "two people look at billing",
				Needs: []api.Need{{Groups: []string{"dba", "security"}, Count: 2, Have: 1}, {Groups: []string{"billing"}, Count: 1, Later: []string{"leads"}, From: now.Add(time.Hour)}},
				Votes: []api.Vote{{Who: "cy@example.com", Grant: true}}, Created: now.Add(-200 * time.Second), Deadline: now.Add(9 * time.Second),
			},
			{
				ID: "p9wzn", Seal: "seal-p9wzn", Who: person("bo"), Connection: "orders", Session: "s-cccc", BreakGlass: true,
				SQL: hostile, Rule: "unknown-effect", Reason: "what this would do cannot be told from its text, so a second person looks at it first",
				Needs: []api.Need{{Groups: []string{"dba"}, Count: 1}}, Created: now.Add(-time.Second), Deadline: now.Add(time.Hour),
				Evidence: &api.Evidence{From: "h\x1b[2Jost", Client: "ps\u202eql", Why: "be\nquick\x07", Signs: []string{"unparsable"}, Notes: []string{"no estimate: statements of this kind have no plan"}, Done: true},
			},
			requestSample().Ask,
		},
		Requests: []api.Request{requestSample(), {
			Ask:   api.Ask{ID: "r-w1ndw", Who: person("bo"), Connection: "orders", Kind: "window", Rule: "writes-need-a-second-person", Reason: "for 1h, what these rules hold runs without being asked about", Created: now.Add(-time.Hour), Evidence: &api.Evidence{Why: "incident 7"}, Needs: []api.Need{{Groups: []string{"dba"}, Count: 1, Have: 1}}},
			State: "granted", Why: "approved by cy@example.com", Seconds: 3600, Until: now.Add(20 * time.Minute),
		}},
		Sessions: []api.Session{
			{ID: "s-aaaa", Who: person("ana"), Connection: "orders", Client: "psql", From: "10.1.2.3:5012", State: "waiting", SQL: "UPDATE customers SET street = $1 WHERE id = $2", Since: now.Add(-time.Hour), Begun: now.Add(-12 * time.Second), Statements: 120, Rows: 4000, Bytes: 123456},
			{ID: "s-bbbb", Who: api.WhoAmI{Subject: "deploy", Name: "deploy", Kind: "job"}, Connection: "billing", Client: "sluice exec", State: "idle", SQL: "SELECT 1", Since: now.Add(-90 * time.Second), Begun: now.Add(-time.Second), Statements: 9},
			{ID: "s-cccc", Who: person("bo"), Connection: "orders", Client: "DBeaver\x1b[31m", State: "active", SQL: hostile, Since: now.Add(-30 * time.Second), Begun: now.Add(-3 * time.Second), Statements: 2},
		},
	}
}

func requestSample() api.Request {
	return api.Request{
		Ask: api.Ask{
			ID: "r-m1gra", Seal: "seal-r-m1gra", Who: person("ana"), Connection: "orders", Kind: "script", MayAnswer: true, State: "waiting",
			SQL: "ALTER TABLE orders ADD COLUMN note text;\nUPDATE orders SET note = '' WHERE note IS NULL;", Rule: "no-drop", Reason: "changes of tables are looked at",
			Needs: []api.Need{{Groups: []string{"dba"}, Count: 1}}, Created: now.Add(-5 * time.Minute), Deadline: now.Add(23 * time.Hour),
			Evidence: &api.Evidence{Why: "release 42", Writes: []string{"public.orders"}},
		},
		State: "waiting",
	}
}

// hostile hides its second statement from whoever drops escape sequences, turns the
// direction of writing, moves the cursor, and ends a comment with a lone return.
const hostile = "SELECT '\x1b]0;'; DROP TABLE users; --\x07'\n\u202eevil\u2066 \u009b2J\x1b[1A\x08\u200b-- c\rTRUNCATE users"

func pastSample() historyMsg {
	return historyMsg{res: api.AuditResult{Next: 7, Events: []audit.Event{
		{Seq: 90, ID: "log-90", Kind: audit.Decided, Time: now.Add(-time.Minute), Who: "ana@example.com", CallerKind: "person", Connection: "orders", Session: "s-aaaa", From: "10.1.2.3:5012",
			SQL: "select email from customers where id = 42", Statement: "select", Effect: "allow", Rule: "default", Reason: "reads are fine", Outcome: "ok", Rows: 1, Bytes: 40, DurationUS: 812, MaskedCols: []string{"email:email"}, Reads: []string{"public.customers.email"}},
		{Seq: 80, ID: "log-80", Kind: audit.Decided, Time: now.Add(-48 * time.Hour), Who: "eve\x1b[2J", Connection: "orders", SQL: "drop table customers", Statement: "drop", Effect: "deny", Rule: "no-drop", Reason: "DROP cannot be undone", Outcome: "refused", ErrorCode: "42501"},
		{Seq: 70, ID: "log-70", Kind: audit.Voted, Time: now.Add(-49 * time.Hour), Who: "cy@example.com", Connection: "orders", Effect: "allow", Detail: "ask k7f2q", Outcome: "ok"},
	}}}
}

// fake is a gateway of which tests decide what it says.
type fake struct {
	lines chan api.Live // nil ends the link
	calls chan string
	reply func(path string, in any) (any, error)
}

func newFake() *fake { return &fake{lines: make(chan api.Live), calls: make(chan string, 100)} }

func (f *fake) Watch(ctx context.Context, path string, each func([]byte) error) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case l := <-f.lines:
			if !l.Whole && len(l.Asks)+len(l.Ended)+len(l.Sessions)+len(l.Closed) == 0 {
				return errors.New("connection reset")
			}
			b, err := json.Marshal(l)
			if err != nil {
				return err
			}
			if err := each(b); err != nil {
				return err
			}
		}
	}
}

func (f *fake) Call(_ context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	f.calls <- method + " " + path + " " + string(body)
	if f.reply == nil {
		return nil
	}
	v, err := f.reply(path, in)
	if err != nil || out == nil {
		return err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, out)
}

// screenTest drives a model as a program would, with a clock of its own.
type screenTest struct {
	t    *testing.T
	m    *model
	gw   *fake
	time time.Time
	said string  // what went to the terminal beside frames
	due  tea.Msg // what the clock was asked for last, and after how long
	wait time.Duration
}

// newScreen is a screen of a size, without colours.
func newScreen(t *testing.T, width, height int) *screenTest {
	return newScreenWith(t, width, height, Options{Me: person("bo")}, termenv.Ascii)
}

func newScreenWith(t *testing.T, width, height int, opt Options, profile termenv.Profile) *screenTest {
	t.Helper()
	time.Local = time.UTC
	r := lipgloss.NewRenderer(io.Discard)
	r.SetColorProfile(profile)
	s := &screenTest{t: t, m: newModel(opt, newTheme(r)), gw: newFake(), time: now}
	s.m.gw = s.gw
	s.m.clock = func() time.Time { return s.time }
	s.m.do = func(f func(context.Context) tea.Msg) tea.Cmd { return func() tea.Msg { return f(t.Context()) } }
	s.m.after = func(wait time.Duration, msg tea.Msg) tea.Cmd {
		return func() tea.Msg { s.due, s.wait = msg, wait; return nil }
	}
	s.m.emit = func(text string) tea.Cmd { return func() tea.Msg { s.said += text; return nil } }
	s.take(tea.WindowSizeMsg{Width: width, Height: height}, tickMsg(now))
	return s
}

// take gives messages, and lets what they ask for happen at once.
func (s *screenTest) take(msgs ...tea.Msg) {
	s.t.Helper()
	for _, msg := range msgs {
		_, cmd := s.m.Update(msg)
		if _, clock := msg.(tickMsg); !clock {
			s.run(cmd)
		}
	}
}

func (s *screenTest) run(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	switch msg := cmd().(type) {
	case tea.BatchMsg:
		for _, c := range msg {
			s.run(c)
		}
	case answeredMsg, previewMsg, historyMsg, policyMsg, replayMsg:
		s.take(msg)
	}
}

// start is the screen with the sample on it, at rest.
func (s *screenTest) start() *screenTest {
	s.take(liveMsg{live: sample(), first: true})
	s.rest()
	return s
}

// rest lets a moment pass.
func (s *screenTest) rest() { s.time = s.time.Add(time.Second) }

// press takes keys by name, each after a moment, letters of a word one by one.
func (s *screenTest) press(names ...string) {
	s.t.Helper()
	for _, n := range names {
		s.rest()
		s.take(keyOf(n)...)
	}
}

// typeFast is press without a moment between the keys.
func (s *screenTest) typeFast(names ...string) {
	s.t.Helper()
	for _, n := range names {
		s.time = s.time.Add(5 * time.Millisecond)
		s.take(keyOf(n)...)
	}
}

func keyOf(name string) []tea.Msg {
	special := map[string]tea.KeyType{"enter": tea.KeyEnter, "esc": tea.KeyEsc, "tab": tea.KeyTab, "up": tea.KeyUp, "down": tea.KeyDown, "pgdown": tea.KeyPgDown,
		"pgup": tea.KeyPgUp, "home": tea.KeyHome, "end": tea.KeyEnd, "left": tea.KeyLeft, "right": tea.KeyRight, "ctrl+u": tea.KeyCtrlU, "shift+tab": tea.KeyShiftTab}
	if k, ok := special[name]; ok {
		return []tea.Msg{tea.KeyMsg{Type: k}}
	}
	if name == "space" {
		return []tea.Msg{tea.KeyMsg{Type: tea.KeySpace, Runes: []rune{' '}}}
	}
	var msgs []tea.Msg
	for _, r := range name {
		if r == ' ' {
			msgs = append(msgs, tea.KeyMsg{Type: tea.KeySpace, Runes: []rune{' '}})
			continue
		}
		msgs = append(msgs, tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}})
	}
	return msgs
}

// called is the next call to the gateway; "" if there was none.
func (s *screenTest) called() string {
	select {
	case c := <-s.gw.calls:
		return c
	default:
		return ""
	}
}

// checkFrame holds for every screen whatever is on it.
func checkFrame(t *testing.T, view string, width, height int) {
	t.Helper()
	lines := strings.Split(view, "\n")
	if len(lines) != height {
		t.Errorf("%d lines, want %d", len(lines), height)
	}
	for i, l := range lines {
		if w := ansi.StringWidth(l); w > width {
			t.Errorf("line %d is %d wide: %q", i+1, w, l)
		}
	}
	for _, r := range ansi.Strip(view) {
		if r != '\n' && (r < ' ' || (r >= 0x7f && r < 0xa0) || strings.ContainsRune("\u200b\u202e\u2066", r)) {
			t.Errorf("%U reached the screen", r)
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

func trimRight(view string) string {
	lines := strings.Split(view, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

// many is n asks.
func many(n int) (asks []api.Ask) {
	for i := range n {
		asks = append(asks, api.Ask{ID: fmt.Sprintf("a%05d", i), Seal: fmt.Sprint("seal", i), Who: person("ana"), Connection: "orders", Session: "s", Kind: "update", MayAnswer: true,
			SQL: fmt.Sprintf("UPDATE customers SET street = 'x' WHERE id = %d", i), Rule: "r", Created: now.Add(time.Duration(i) * time.Millisecond), Deadline: now.Add(time.Hour)})
	}
	return asks
}

// newScreenB is a screen for benchmarks.
func newScreenB(b *testing.B) *model {
	b.Helper()
	r := lipgloss.NewRenderer(io.Discard)
	r.SetColorProfile(termenv.ANSI256)
	m := newModel(Options{Me: person("bo")}, newTheme(r))
	m.Update(tea.WindowSizeMsg{Width: 120, Height: 40})
	m.Update(tickMsg(now))
	return m
}
