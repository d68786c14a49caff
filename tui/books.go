package tui

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/sluicehq/sluice/runbook"
)

// Books are runbooks that are run from the screen, as the person who looks at it.
type Books interface {
	// List reads them: those that the person may run, and how many others there are.
	List(context.Context) (list []Book, others int, err error)
	// Plan asks what each statement of a run would do, as explain says it. Nothing runs.
	Plan(ctx context.Context, b Book, bound *runbook.Bound) ([]Planned, error)
	// Run runs it, tells how far it is, and returns when it has ended, which it does when
	// the context ends. The state is nil if it did not begin.
	Run(ctx context.Context, b Book, bound *runbook.Bound, reason string, tell func(BookNews)) (*runbook.State, error)
}

// Book is one of them.
type Book struct {
	*runbook.Runbook
	Name    string
	File    string
	Text    string
	Commit  string
	Problem string // its file has mistakes, and Runbook is nil
}

// Planned is one statement of a run, and what would be done with it.
type Planned struct {
	runbook.Statement
	Effect    string // allow, hold, deny
	Rule      string
	Reason    string
	Approvers []string
	Reads     []string
	Writes    []string
	Signs     []string
	Masks     []string // "column: kind"
	Problem   string
}

// BookNews is what a run tells while it goes on.
type BookNews struct {
	Event runbook.Event
	Held  string // what it waits for, in a line; with an Event it waits no longer
}

// bookMode is what the page of runbooks shows.
type bookMode int

const (
	listing bookMode = iota
	filling          // the parameters
	planned          // what would run; enter runs it
	running
	ended
)

// books is the page of runbooks. A run goes on while other pages are looked at.
type books struct {
	shelf   Books
	loaded  bool
	loading bool
	problem string
	list    []Book
	others  int
	chosen  int
	mode    bookMode
	form    *bookForm
	bound   *runbook.Bound
	reason  string
	plan    []Planned
	turn    int // of plans and runs: answers to older ones are not shown
	run     *bookRun
	scroll  int
	leaving bool // the first of two keys that leave a run
}

// bookRun is one run, from its first step to what came of it.
type bookRun struct {
	book    Book
	began   time.Time
	took    time.Duration
	lines   []string // what happened, oldest first
	now     string   // what it does at the moment
	held    string
	results map[string]*runbook.Result
	state   *runbook.State
	err     error
	over    bool
	stop    func()
	stopped bool
}

type (
	booksMsg struct {
		list   []Book
		others int
		err    error
	}
	planMsg struct {
		turn int
		plan []Planned
		err  error
	}
	newsMsg struct {
		turn int
		news BookNews
	}
	ranMsg struct {
		turn  int
		state *runbook.State
		err   error
	}
)

// busy reports whether a run is under way.
func (b *books) busy() bool { return b != nil && b.run != nil && !b.run.over }

// book is the one that the page is about.
func (b *books) book() (Book, bool) {
	if b.chosen >= len(b.list) {
		return Book{}, false
	}
	return b.list[b.chosen], true
}

func (m *model) loadBooks() tea.Cmd {
	m.books.loading = true
	shelf := m.books.shelf
	return m.do(func(ctx context.Context) tea.Msg {
		var msg booksMsg
		msg.list, msg.others, msg.err = shelf.List(ctx)
		return msg
	})
}

// takeBook takes in what the page asked for, or what its run tells.
func (m *model) takeBook(msg tea.Msg) {
	b := m.books
	if b == nil {
		return
	}
	switch msg := msg.(type) {
	case booksMsg:
		b.loading, b.problem = false, wordsOf(msg.err)
		if msg.err != nil {
			return
		}
		was, _ := b.book()
		b.loaded, b.list, b.others = true, msg.list, msg.others
		b.chosen = max(0, slices.IndexFunc(b.list, func(x Book) bool { return x.Name == was.Name }))
	case planMsg:
		if msg.turn != b.turn || b.mode != filling {
			return
		}
		if b.form.asking = false; msg.err != nil {
			m.say(true, "%s", wordsOf(msg.err))
			return
		}
		b.plan = msg.plan
		m.bookGoes(planned)
	case newsMsg:
		if msg.turn == b.turn && b.run != nil {
			b.run.take(msg.news)
		}
	case ranMsg:
		if msg.turn == b.turn && b.run != nil {
			m.ran(msg)
		}
	}
}

// bookGoes shows another thing on the page.
func (m *model) bookGoes(to bookMode) {
	m.books.mode, m.books.scroll = to, 0
	m.status = ""
	m.disturb()
}

// ran notes how a run ended, also to who looks at another page.
func (m *model) ran(msg ranMsg) {
	r := m.books.run
	r.over, r.state, r.err, r.now, r.held = true, msg.state, msg.err, "", ""
	r.took = m.clock().Sub(r.began)
	if m.books.mode == running {
		m.bookGoes(ended)
	}
	if m.tab != booksTab {
		m.say(msg.err != nil, "the runbook %s has ended: %s", line(r.book.Name), r.outcome())
	}
}

// take takes in how far a run is.
func (r *bookRun) take(n BookNews) {
	e := n.Event
	at := fmt.Sprintf("%d/%d %s", e.Index, e.Of, line(e.Step))
	if e.Turn > 1 {
		at += fmt.Sprintf(", turn %d", e.Turn)
	}
	r.held = n.Held
	switch e.What {
	case runbook.StepBegan:
		r.now = at
	case runbook.StepDone:
		if e.Turn > 1 && len(r.lines) > 0 {
			r.lines = r.lines[:len(r.lines)-1] // turns of one step share a line
		}
		r.now = ""
		r.lines = append(r.lines, "✓ "+at+"  "+line(e.Result.Tag))
		if len(e.Result.Columns) > 0 {
			r.results[e.Step] = e.Result
		}
	case runbook.StepSkipped:
		r.lines = append(r.lines, "- "+at+"  skipped: "+line(e.Text)+" is false")
	case runbook.Undoing:
		r.lines = append(r.lines, "↺ taking back "+line(e.Step))
	case runbook.Settling:
		r.lines = append(r.lines, "? asking the server what became of transaction "+line(e.Text))
	case runbook.Ended:
	}
}

// bookWords say what a status means for the database.
var bookWords = map[runbook.Status]string{
	runbook.Done: "done", runbook.Unchanged: "nothing was changed", runbook.Undone: "what was done was taken back",
	runbook.Stopped: "the steps that are done stand", runbook.Broken: "the steps that are done stand, and the run can be gone on with",
	runbook.Stuck: "not all of what was done is taken back", runbook.Doubtful: "what became of the last transaction is not known",
}

func (r *bookRun) outcome() string {
	if r.state == nil {
		return "nothing ran"
	}
	return bookWords[r.state.Status]
}

// failure is why a run did not come to its end, and what to do next.
func (r *bookRun) failure() (why, hint string) {
	if r.err == nil {
		return "", ""
	}
	var f *runbook.Failure
	if !errors.As(r.err, &f) {
		return wordsOf(r.err), ""
	}
	why, hint = f.Error(), f.Hint
	if r.state != nil && r.state.Resumable() {
		if hint != "" {
			hint += "; "
		}
		hint += "go on with: sluice runbook resume " + r.state.Run
	}
	return why, hint
}

// bookKey does what a key asks for on the page; took is false if it is for the screen.
func (m *model) bookKey(msg tea.KeyMsg) (cmd tea.Cmd, took bool) {
	b := m.books
	if b.mode == filling {
		return m.formKey(msg)
	}
	name, _ := keyName(msg)
	want := intentOf(browsing, name)
	switch {
	case want.moves():
		m.bookMove(want)
	case want == back:
		m.bookBack()
	case want == reload && b.mode == listing:
		return m.loadBooks(), true
	case want == dismiss && b.mode == running:
		if !m.steady() {
			m.say(true, "that key came as the screen changed: look, then press it again")
			return nil, true
		}
		b.run.stopped = true
		b.run.stop()
	case want == open && b.mode == listing:
		m.openForm()
	case want == open && b.mode == planned:
		return m.startRun(), true
	case want == open && b.mode == ended:
		m.bookGoes(listing)
	case want == open:
	default:
		return nil, false
	}
	return nil, true
}

func (m *model) bookMove(want intent) {
	b := m.books
	if b.mode == listing && (want == up || want == down || want == top || want == bottom) {
		step := map[intent]int{up: -1, down: 1, top: -len(b.list), bottom: len(b.list)}[want]
		if next := max(0, min(b.chosen+step, len(b.list)-1)); next != b.chosen {
			b.chosen, b.scroll = next, 0
			m.disturb()
		}
		return
	}
	height := m.bookRoom()
	lines := len(m.bookLines())
	step := map[intent]int{up: -1, down: 1, pageUp: -max(height-1, 1), pageDown: max(height-1, 1), top: -lines, bottom: lines}[want]
	b.scroll = max(0, min(b.scroll+step, lines-height))
}

// bookBack leaves what is in front. A run is not left by it: it goes on.
func (m *model) bookBack() {
	b := m.books
	switch b.mode {
	case planned:
		m.bookGoes(filling)
	case ended:
		m.bookGoes(listing)
	case running:
		m.say(false, "the run goes on; x stops it")
	case listing, filling:
		m.status = ""
	}
}

// openForm asks for the parameters of the runbook under the cursor. A run that is under
// way is shown instead: there is one at a time.
func (m *model) openForm() {
	b := m.books
	book, ok := b.book()
	switch {
	case b.busy():
		m.bookGoes(running)
	case !ok:
	case book.Runbook == nil:
		m.say(true, "its file has mistakes: sluice runbook lint %s", line(book.Name))
	default:
		b.form = newBookForm(book, m.clockedInput)
		m.bookGoes(filling)
	}
}

// startRun runs what the plan shows.
func (m *model) startRun() tea.Cmd {
	b := m.books
	book, _ := b.book()
	switch {
	case m.lost != "":
		m.say(true, "there is no link to the gateway")
		return nil
	case !m.steady():
		m.say(true, "that key came as the screen changed: look, then press it again")
		return nil
	case len(refusedSteps(b.plan)) > 0:
		m.say(true, "a step would be refused, so the run would fail; esc goes back")
		return nil
	}
	b.turn++
	turn, bound, reason, shelf := b.turn, b.bound, b.reason, b.shelf
	r := &bookRun{book: book, began: m.clock(), results: map[string]*runbook.Result{}}
	b.run = r
	m.bookGoes(running)
	r.stop = m.background(func(ctx context.Context, send func(tea.Msg)) {
		state, err := shelf.Run(ctx, book, bound, reason, func(n BookNews) { send(newsMsg{turn, n}) })
		send(ranMsg{turn, state, err})
	})
	return nil
}

// mayLeave asks once more before a run is left: leaving ends it.
func (m *model) mayLeave() bool {
	if !m.books.busy() || m.books.leaving {
		return true
	}
	m.books.leaving = true
	m.say(true, "%s is under way, and leaving stops it: press it again to leave", line(m.books.run.book.Name))
	return false
}

// refusedSteps are those that the policy would not let run.
func refusedSteps(plan []Planned) (names []string) {
	for _, p := range plan {
		if p.Effect == "deny" {
			names = append(names, p.Step)
		}
	}
	return names
}

// shortHash is as much of a runbook's hash as people compare.
func shortHash(hash string) string { return strings.TrimPrefix(hash, "sha256:")[:12] }
