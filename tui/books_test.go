package tui

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/muesli/termenv"

	"github.com/sluicehq/sluice/runbook"
)

const cancelBook = `title: Cancel an order
purpose: Sets an order to cancelled, unless it was sent. Leaves its items.
connection: orders
parameters:
  order: {type: integer, min: 1, description: number of the order, example: 42}
  how: {type: text, choices: [refund, voucher], description: what the customer gets}
  note: {type: text, max_length: 20, optional: true}
  loud: {type: boolean, default: false}
who: {groups: [support]}
steps:
  - name: find
    note: it is there, and was not sent
    sql: select id, status, email from orders where id = :order and status in ('open', 'paid')
    expect: rows == 1
  - name: cancel
    when: steps.find.rows == 1
    sql: update orders set status = 'cancelled', refund = :how, note = :note, loud = :loud where id = :order
    expect: rows == 1
`

const tidyBook = `title: Empty old baskets
purpose: Removes baskets that nobody touched for a year, a thousand at a time.
connection: orders
transaction: each
approvals: {ahead: true, groups: [dba], count: 1}
steps:
  - name: empty
    sql: delete from baskets where id in (select id from baskets where touched < now() - interval '1 year' limit 1000)
    repeat: {while: rows > 0, most: 100}
`

// fakeBooks are runbooks of which tests decide what comes of them.
type fakeBooks struct {
	list   []Book
	others int
	err    error
	plan   []Planned
	planNo error
	news   []BookNews
	state  *runbook.State
	runNo  error

	planned, ran []string // values and reasons
}

func (f *fakeBooks) List(context.Context) ([]Book, int, error) { return f.list, f.others, f.err }

func told(bound *runbook.Bound, reason string) string {
	var words []string
	for _, p := range bound.Book.Parameters {
		v := "NULL"
		if bound.Values[p.Name] != nil {
			v = *bound.Values[p.Name]
		}
		words = append(words, p.Name+"="+v)
	}
	return strings.Join(append(words, reason), " ")
}

func (f *fakeBooks) Plan(_ context.Context, b Book, bound *runbook.Bound) ([]Planned, error) {
	f.planned = append(f.planned, told(bound, ""))
	if f.plan != nil || f.planNo != nil {
		return f.plan, f.planNo
	}
	var out []Planned
	for i, st := range bound.Statements() {
		p := Planned{Statement: st, Effect: "allow", Rule: "default", Reads: []string{"public.orders.id", "public.orders.status"}}
		if i == 1 {
			p.Effect, p.Rule, p.Reason, p.Approvers, p.Writes = "hold", "writes-need-a-second-person", "changes need a second person", []string{"dba"}, []string{"public.orders"}
		} else {
			p.Masks = []string{"email: email"}
		}
		out = append(out, p)
	}
	return out, nil
}

func (f *fakeBooks) Run(_ context.Context, _ Book, bound *runbook.Bound, reason string, tell func(BookNews)) (*runbook.State, error) {
	f.ran = append(f.ran, told(bound, reason))
	for _, n := range f.news {
		tell(n)
	}
	return f.state, f.runNo
}

func aBook(t testing.TB, name, text string) Book {
	t.Helper()
	b, err := runbook.Load(name+".yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return Book{Runbook: b, Name: name, File: "runbooks/" + name + ".yaml", Text: text, Commit: "3f2a9c1b77de"}
}

// bookScreen is a screen with runbooks, whose runs tell what they have to only when they
// are let: later holds it until then.
type bookScreen struct {
	*screenTest
	f     *fakeBooks
	later []tea.Msg
	ended bool // its context
}

func newBookScreen(t *testing.T, width, height int) *bookScreen {
	t.Helper()
	f := &fakeBooks{others: 2, list: []Book{aBook(t, "cancel-order", cancelBook), {Name: "half-written", Problem: "half-written.yaml:3: there is no key \"sqll\"\nhalf-written.yaml:9: the condition is empty"}, aBook(t, "tidy-baskets", tidyBook)}}
	f.news = newsSample()
	f.state = &runbook.State{Run: "rb-k3x9q2ab", Runbook: "cancel-order", Status: runbook.Done, Steps: []runbook.StepState{{Name: "find", Status: runbook.StepIsDone, Rows: 1}, {Name: "cancel", Status: runbook.StepIsDone, Rows: 1}}}
	s := &bookScreen{screenTest: newScreenWith(t, width, height, Options{Me: person("bo"), Books: f}, termenv.Ascii), f: f}
	s.m.background = func(run func(context.Context, func(tea.Msg))) func() {
		run(t.Context(), func(msg tea.Msg) { s.later = append(s.later, msg) })
		return func() { s.ended = true }
	}
	s.start()
	s.press("6")
	s.look()
	return s
}

// look reads the runbooks, and takes in what was asked for.
func (s *bookScreen) look() {
	s.t.Helper()
	if s.m.books.loading {
		s.take(s.m.loadBooks()())
	}
}

// enter presses enter and takes in the plan that it may ask for.
func (s *bookScreen) enter() {
	s.t.Helper()
	s.rest()
	_, cmd := s.m.Update(tea.KeyMsg{Type: tea.KeyEnter})
	if cmd != nil {
		s.take(cmd())
	}
}

// let has the run tell the next n things; all if n is 0.
func (s *bookScreen) let(n int) {
	s.t.Helper()
	if n == 0 {
		n = len(s.later)
	}
	s.rest()
	s.take(s.later[:n]...)
	s.later = s.later[n:]
}

// fill types an order and what the customer gets, and asks for the plan.
func (s *bookScreen) fill(order string) {
	s.t.Helper()
	s.press("enter", order, "down")
	s.take(tea.KeyMsg{Type: tea.KeyRight})
	s.press("down", "down", "down", "ticket 7")
	s.enter()
}

func newsSample() []BookNews {
	rows := [][]*string{{text("42"), text("paid"), text("a•••@masked.invalid")}}
	found := &runbook.Result{Columns: []runbook.Column{{Name: "id", OID: 20}, {Name: "status", OID: 25}, {Name: "email", OID: 25}}, Rows: rows, Count: 1, Tag: "SELECT 1"}
	return []BookNews{
		{Event: runbook.Event{What: runbook.StepBegan, Step: "find", Index: 1, Of: 2, Turn: 1}},
		{Event: runbook.Event{What: runbook.StepDone, Step: "find", Index: 1, Of: 2, Turn: 1, Result: found}},
		{Event: runbook.Event{What: runbook.StepBegan, Step: "cancel", Index: 2, Of: 2, Turn: 1}},
		{Held: "waiting for approval k7f2q by 1 of dba; rule writes-need-a-second-person: changes need a second person"},
		{Event: runbook.Event{What: runbook.StepDone, Step: "cancel", Index: 2, Of: 2, Turn: 1, Result: &runbook.Result{Tag: "UPDATE 1", Count: 1}}},
		{Event: runbook.Event{What: runbook.Ended, Text: "done"}},
	}
}

// unexpected has the run fail at its first step.
func (f *fakeBooks) unexpected() {
	f.news = f.news[:1]
	f.state = &runbook.State{Run: "rb-k3x9q2ab", Status: runbook.Unchanged, Steps: []runbook.StepState{{Name: "find", Status: runbook.StepIsWaiting}, {Name: "cancel", Status: runbook.StepIsWaiting}}}
	f.state.Failure = &runbook.Failure{Cause: runbook.Unexpected, Step: "find", Sentence: "expected rows == 1, but rows is 0", Hint: "look whether it was sent"}
	f.runNo = f.state.Failure
}

var bookScreens = []struct {
	name string
	do   func(*bookScreen)
}{
	{"books", func(*bookScreen) {}},
	{"books-mistakes", func(s *bookScreen) { s.press("down") }},
	{"books-ahead", func(s *bookScreen) { s.press("end") }},
	{"books-form", func(s *bookScreen) { s.press("enter", "0") }},
	{"books-form-choice", func(s *bookScreen) { s.press("enter", "42", "enter"); s.take(tea.KeyMsg{Type: tea.KeyRight}) }},
	{"books-form-missing", func(s *bookScreen) {
		s.press("enter", "down", "down", "a note that is much too long", "down", "down")
		s.enter()
	}},
	{"books-plan", func(s *bookScreen) { s.fill("42") }},
	{"books-refused", func(s *bookScreen) {
		s.f.plan = []Planned{{Statement: runbook.Statement{Step: "cancel", SQL: "drop table orders"}, Effect: "deny", Rule: "no-drop", Reason: "DROP cannot be undone", Writes: []string{"public.orders"}}}
		s.fill("42")
		s.enter()
	}},
	{"books-held", func(s *bookScreen) { s.fill("42"); s.enter(); s.let(4) }},
	{"books-done", func(s *bookScreen) { s.fill("42"); s.enter(); s.let(0) }},
	{"books-failed", func(s *bookScreen) { s.f.unexpected(); s.fill("42"); s.enter(); s.let(0) }},
	{"books-elsewhere", func(s *bookScreen) { s.fill("42"); s.enter(); s.press("1"); s.let(0) }},
	{"books-help", func(s *bookScreen) { s.press("?") }},
}

func TestBookScreens(t *testing.T) {
	for _, size := range [][2]int{{60, 24}, {80, 24}, {120, 40}} {
		for _, tt := range bookScreens {
			name := fmt.Sprintf("%s-%dx%d", tt.name, size[0], size[1])
			t.Run(name, func(t *testing.T) {
				s := newBookScreen(t, size[0], size[1])
				tt.do(s)
				got := s.m.View()
				checkFrame(t, got, size[0], size[1])
				golden(t, name, trimRight(got))
			})
		}
	}
}

func TestBooksInEverySize(t *testing.T) {
	for _, width := range []int{40, 57, 80, 300} {
		for _, height := range []int{12, 13, 50} {
			for _, tt := range bookScreens {
				s := newBookScreen(t, width, height)
				tt.do(s)
				checkFrame(t, s.m.View(), width, height)
			}
		}
	}
}

// A run has the values that were typed, bound, and the reason; what is left out is left
// out.
func TestRunFromTheScreenHasWhatWasTyped(t *testing.T) {
	s := newBookScreen(t, 80, 24)
	s.fill("42")
	if !slices.Equal(s.f.planned, []string{"order=42 how=refund note=NULL loud=false "}) {
		t.Errorf("%q", s.f.planned)
	}
	s.enter()
	if !slices.Equal(s.f.ran, []string{"order=42 how=refund note=NULL loud=false ticket 7"}) {
		t.Errorf("%q", s.f.ran)
	}
	s.let(0)
	for _, want := range []string{"Ended", "done", "rb-k3x9q2ab", "✓ 2/2 cancel  UPDATE 1", "a•••@masked.invalid"} {
		if !strings.Contains(s.m.View(), want) {
			t.Errorf("%q is not shown:\n%s", want, s.m.View())
		}
	}
}

// Letters that are commands elsewhere are text in a form; nothing of it runs.
func TestKeysAreTextInAForm(t *testing.T) {
	s := newBookScreen(t, 80, 24)
	s.press("enter", "down", "down", "aq1d!xK?/")
	f := s.m.books.form
	if got := f.fields[2].input.Value(); got != "aq1d!xK?/" || s.m.tab != booksTab || s.m.mode != browsing {
		t.Errorf("%q", got)
	}
	s.take(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("6\n7 pasted"), Paste: true})
	if got := f.fields[2].input.Value(); strings.Contains(got, "\n") || !strings.Contains(got, "pasted") {
		t.Errorf("%q", got)
	}
	if s.called() != "" || len(s.f.ran)+len(s.f.planned) > 0 {
		t.Error("something was asked for")
	}
}

// What cannot be a value is said as it is typed, and no plan is asked for with it.
func TestWrongValuesAreSaidAsTheyAreTyped(t *testing.T) {
	for typed, want := range map[string]string{"0": "must be at least 1", "4x": "must be a whole number", "99999999999999999999": "must be a whole number"} {
		s := newBookScreen(t, 80, 24)
		s.press("enter", typed)
		if !strings.Contains(s.m.View(), want) {
			t.Errorf("%s:\n%s", typed, s.m.View())
		}
		s.press("down", "down", "down", "down")
		s.enter()
		if len(s.f.planned) > 0 || s.m.books.form.at != 0 {
			t.Errorf("%s: a plan was asked for", typed)
		}
	}
	s := newBookScreen(t, 80, 24)
	s.press("end", "enter")
	s.enter()
	if !strings.Contains(s.m.View(), "needs a reason") || len(s.f.planned) > 0 {
		t.Errorf("no reason:\n%s", s.m.View())
	}
}

// Attack: have a key that was pressed for what was there before run what has just come.
func TestEnterThatComesWithThePlanRunsNothing(t *testing.T) {
	s := newBookScreen(t, 80, 24)
	s.fill("42")
	s.typeFast("enter", "enter")
	if len(s.f.ran) > 0 {
		t.Fatal("it ran before anybody could have read it")
	}
	s.enter()
	if len(s.f.ran) != 1 {
		t.Error("it does not run")
	}
	s.typeFast("enter", "x", "enter") // nor is it stopped by one
	if len(s.f.ran) != 1 || s.ended {
		t.Errorf("it ran %d times, stopped: %v", len(s.f.ran), s.ended)
	}
}

// What would be refused, or cannot be asked about, is not run.
func TestPlanThatIsRefusedOrFailsIsNotRun(t *testing.T) {
	s := newBookScreen(t, 80, 24)
	s.f.plan = []Planned{{Statement: runbook.Statement{Step: "find"}, Effect: "deny", Rule: "r"}}
	s.fill("42")
	s.enter()
	if len(s.f.ran) > 0 || !strings.Contains(s.m.View(), "would be refused") {
		t.Errorf("%q\n%s", s.f.ran, s.m.View())
	}
	s = newBookScreen(t, 80, 24)
	s.f.planNo = errors.New("the gateway is away\x1b[2J")
	s.fill("42")
	if s.m.books.mode != filling || !strings.Contains(s.m.View(), "the gateway is away") {
		t.Errorf("%s", s.m.View())
	}
	s = newBookScreen(t, 80, 24)
	s.fill("42")
	s.take(lostMsg{err: errors.New("reset"), retry: 1})
	s.enter()
	if len(s.f.ran) > 0 {
		t.Error("it ran without a link")
	}
}

// A run is stopped by a key of its own, and leaving needs two: it would end with the
// screen.
func TestRunIsNotLeftByOneKey(t *testing.T) {
	s := newBookScreen(t, 80, 24)
	s.fill("42")
	s.enter()
	s.let(1)
	s.press("esc")
	if s.ended || s.m.books.mode != running {
		t.Error("esc stops it")
	}
	s.press("q")
	if s.ended || !strings.Contains(s.m.View(), "leaving stops it") {
		t.Errorf("%s", s.m.View())
	}
	s.press("x")
	if !s.ended || !strings.Contains(s.m.View(), "stopping") {
		t.Errorf("x does not stop it:\n%s", s.m.View())
	}
	s.let(0)
	_, cmd := s.m.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("q")})
	if cmd == nil {
		t.Fatal("q does not leave when nothing is under way")
	}
	if _, quits := cmd().(tea.QuitMsg); !quits {
		t.Error("q does not leave when nothing is under way")
	}
}

// Attack: write what moves the cursor, hides or turns text into a runbook, a plan or what
// a run tells.
func TestHostileTextInRunbooks(t *testing.T) {
	const evil = "x\x1b[2J\x1b]0;t\x07\u202e\u200b\u009b1A\r\ny"
	for _, width := range []int{60, 120} {
		s := newBookScreen(t, width, 40)
		b := s.f.list[0]
		b.Name, b.File, b.Commit = evil, evil, evil
		book := *b.Runbook
		b.Runbook = &book
		book.Title, book.Purpose, book.Connection, book.Who = evil, evil, evil, runbook.Who{Groups: []string{evil}}
		book.Steps = slices.Clone(book.Steps)
		book.Steps[0].Note, book.Steps[0].SQL, book.Steps[0].When, book.Steps[0].Expect, book.Steps[0].Undo = evil, evil, evil, evil, evil
		book.Parameters = slices.Clone(book.Parameters)
		book.Parameters[0].Description, book.Parameters[0].Example = evil, evil
		s.f.list = []Book{b, {Name: evil, Problem: evil}}
		s.take(booksMsg{list: s.f.list, others: 1})
		look := func() {
			t.Helper()
			checkFrame(t, s.m.View(), width, 40)
		}
		look()
		s.f.plan = []Planned{{Statement: runbook.Statement{Step: evil, SQL: evil, Params: []*string{text(evil)}, When: evil, Expect: evil, While: evil}, Effect: "hold", Rule: evil, Reason: evil, Approvers: []string{evil}, Reads: []string{evil}, Writes: []string{evil}, Signs: []string{evil}, Masks: []string{evil}, Problem: evil}}
		s.press("enter")
		look()
		s.press("esc")
		s.fill("42")
		look()
		res := &runbook.Result{Columns: []runbook.Column{{Name: evil}}, Rows: [][]*string{{text(evil)}}, Tag: evil}
		s.f.news = []BookNews{{Event: runbook.Event{What: runbook.StepBegan, Step: evil}}, {Event: runbook.Event{What: runbook.StepDone, Step: "find", Result: res}}, {Event: runbook.Event{What: runbook.StepSkipped, Step: evil, Text: evil}},
			{Event: runbook.Event{What: runbook.Undoing, Step: evil}}, {Event: runbook.Event{What: runbook.Settling, Text: evil}}, {Held: evil}}
		s.f.state.Run, s.f.runNo = evil, &runbook.Failure{Step: evil, Sentence: evil, Hint: evil}
		s.enter()
		for len(s.later) > 0 {
			s.let(1)
			look()
		}
		s.press("1")
		look()
	}
}
