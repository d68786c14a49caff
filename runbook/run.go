package runbook

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Conn is one session of a database, through which a run sends its statements.
type Conn interface {
	// Do runs one statement by the extended protocol, so that it is one and its
	// parameters are bound. It returns at most most rows; more is an error. An error
	// that is no *Failure counts as Lost.
	Do(ctx context.Context, sql string, params []*string, most int) (*Result, error)
	Close()
}

// Result is what a statement gave. What the gateway masks is masked.
type Result struct {
	Columns []Column    `json:"columns,omitempty"`
	Rows    [][]*string `json:"rows,omitempty"` // nil is NULL
	Count   int64       `json:"count"`          // rows returned or changed
	Tag     string      `json:"tag"`            // UPDATE 3
}

// Column is one of a result.
type Column struct {
	Name string `json:"name"`
	OID  uint32 `json:"oid"` // of its type
}

// Cause tells failures apart.
type Cause string

// The causes of failures.
const (
	Failed      Cause = "failed"      // the database refused the statement
	Refused     Cause = "refused"     // the policy did
	Denied      Cause = "denied"      // people did, or nobody answered in time
	Unexpected  Cause = "unexpected"  // what was expected did not hold
	TooMany     Cause = "too_many"    // rows, or turns
	Lost        Cause = "lost"        // the session ended
	Interrupted Cause = "interrupted" // by who runs it, or its time was over
	Unkept      Cause = "unkept"      // the state of the run could not be kept
)

// Failure is why a run, or a statement of it, did not go on.
type Failure struct {
	Cause    Cause  `json:"cause"`
	Step     string `json:"step,omitempty"`
	Sentence string `json:"sentence"`
	Hint     string `json:"hint,omitempty"`
	Code     string `json:"sqlstate,omitempty"`
	Err      error  `json:"-"`
}

func (f *Failure) Error() string {
	if f.Step == "" {
		return f.Sentence
	}
	return "step " + f.Step + ": " + f.Sentence
}

func (f *Failure) Unwrap() error { return f.Err }

// Event is one piece of progress.
type Event struct {
	What   What          `json:"what"`
	Step   string        `json:"step,omitempty"`
	Index  int           `json:"index,omitempty"` // of the step, from 1
	Of     int           `json:"of,omitempty"`
	Turn   int           `json:"turn,omitempty"` // of a step that repeats, from 1
	Result *Result       `json:"result,omitempty"`
	Took   time.Duration `json:"took,omitempty"`
	Text   string        `json:"text,omitempty"`
}

// What tells events apart.
type What string

// The events of a run.
const (
	StepBegan   What = "step"
	StepDone    What = "done"
	StepSkipped What = "skipped"
	Undoing     What = "undoing"
	Settling    What = "settling" // it is being found out what became of a transaction
	Ended       What = "ended"    // Text is the status
)

// Options of a run.
type Options struct {
	// Open opens a session. One that is for settling only asks what became of a
	// transaction, and needs nobody's approval.
	Open func(ctx context.Context, settling bool) (Conn, error)
	Now  func() time.Time
	Wait func(context.Context, time.Duration) error // a pause; an error if the context ends
	Save func(*State) error                         // before each change of the database can be made, and after; nil keeps nothing
	Tell func(Event)                                // nil tells nobody

	From *State // a run that broke, to go on with
	Undo bool   // with From: take back what was done instead
	Take Taken  // with From: what a person found out of a step that is in doubt
}

// Taken is what a person says of a transaction whose end nobody heard.
type Taken string

// What may be said.
const (
	TakenDone    Taken = "done"
	TakenNotDone Taken = "not-done"
)

// Run runs what was bound, and says how it ended: the state is never nil. The error is
// a *Failure, and nil only if the status is Done, or Undone as was asked for.
//
// In one transaction, whatever fails leaves the database as it was. With each step by
// itself, a step that fails is undone by its transaction, and those before it by their
// undo, the last first; a break, such as a lost session, undoes nothing and the run can
// go on from it. If a session is lost while a transaction ends, the server is asked
// what became of it; where that cannot be known the status is Doubtful.
func Run(ctx context.Context, b *Bound, o Options) (*State, error) {
	r := &runner{b: b, o: o, state: NewState(b)}
	if o.From != nil {
		state, f := GoOn(b, o.From, o.Undo)
		if f != nil {
			return o.From, f
		}
		r.state = state
	}
	ctx, cancel := context.WithTimeout(ctx, b.Book.Limits.Time)
	defer cancel()
	f := r.run(ctx)
	if r.conn != nil {
		r.conn.Close()
	}
	if f != nil {
		r.state.Failure = f
	}
	if err := r.save(); err != nil && f == nil {
		f = err
	}
	r.tell(Event{What: Ended, Text: string(r.state.Status)})
	if f != nil {
		return r.state, f
	}
	return r.state, nil
}

type runner struct {
	b     *Bound
	o     Options
	state *State
	conn  Conn
	broke bool // the session is no good any more
}

func (r *runner) run(ctx context.Context) *Failure {
	if r.state.Status == Doubtful || r.state.inDoubt() {
		if f := r.settle(ctx); f != nil {
			return f
		}
		if r.state.Status == Done {
			return nil
		}
	}
	r.state.Status, r.state.Failure = Running, nil
	if r.o.Undo {
		f := r.undo(ctx)
		if f == nil && r.state.Status == Stopped {
			f = &Failure{Cause: Unexpected, Sentence: "steps that have no undo still stand", Hint: "the state of the run says which changed something"}
		}
		return f
	}
	if f := r.save(); f != nil {
		r.state.Status = Broken
		return f
	}
	if r.b.Book.Transaction == One {
		return r.one(ctx)
	}
	return r.each(ctx)
}

// one runs all steps in one transaction.
func (r *runner) one(ctx context.Context) *Failure {
	r.state.reset()
	f := r.do(ctx, Begin)
	for i := 0; f == nil && i < len(r.state.Steps); i++ {
		f = r.step(ctx, i, func(context.Context, *StepState) *Failure { return nil })
	}
	if f == nil {
		_, f = r.commit(ctx, &r.state.TxID)
	}
	switch {
	case f == nil:
		r.state.Status = Done
	case r.state.Status == Doubtful:
	default:
		r.rollback(ctx)
		r.state.reset()
		r.state.Status = Unchanged
	}
	return f
}

// each runs every step that is not done in a transaction of its own.
func (r *runner) each(ctx context.Context) *Failure {
	for i := range r.state.Steps {
		if s := r.state.Steps[i].Status; s == StepIsDone || s == StepIsSkipped {
			continue
		}
		f := r.step(ctx, i, func(ctx context.Context, s *StepState) *Failure {
			wrote, f := r.commit(ctx, &s.TxID)
			s.Changed = s.Changed || wrote
			return f
		})
		if f == nil {
			continue
		}
		if r.state.Status == Doubtful {
			return f
		}
		r.rollback(ctx)
		if breaks(f.Cause) {
			r.state.Status = Broken
			return f
		}
		r.state.Steps[i].Status = StepIsFailed
		return r.takeBack(ctx, f)
	}
	r.state.Status = Done
	return nil
}

// breaks says of which failures the steps that are done keep standing.
func breaks(c Cause) bool { return c == Lost || c == Interrupted || c == Unkept }

// takeBack undoes what can be undone after a step has failed.
func (r *runner) takeBack(ctx context.Context, f *Failure) *Failure {
	r.state.Status = Stopped
	if !r.state.undoable(r.b.Book) {
		return f
	}
	if uf := r.undo(ctx); uf != nil {
		f.Sentence += "; and what was done could not be taken back: " + uf.Error()
	}
	return f
}

// undo takes the steps that are done back, the last first.
func (r *runner) undo(ctx context.Context) *Failure {
	r.state.Status = Stuck // until it is through
	left := false
	for i := len(r.state.Steps) - 1; i >= 0; i-- {
		s := &r.state.Steps[i]
		if s.Status != StepIsDone || s.Undone {
			continue
		}
		st := r.undoOf(s.Name)
		if st == nil {
			left = left || s.Changed
			continue
		}
		r.tell(Event{What: Undoing, Step: s.Name, Index: i + 1, Of: len(r.state.Steps)})
		f := r.do(ctx, Begin)
		if f == nil {
			_, f = r.send(ctx, st.SQL, st.Params)
		}
		if f == nil {
			_, f = r.commit(ctx, &s.UndoTxID)
		}
		if f != nil {
			f.Step = s.Name
			if r.state.Status != Doubtful {
				r.rollback(ctx)
			}
			return f
		}
		s.Undone, s.UndoTxID = true, ""
		if f := r.save(); f != nil {
			return f
		}
	}
	r.state.Status = Undone
	if left {
		r.state.Status = Stopped
	}
	return nil
}

func (r *runner) undoOf(step string) *Statement {
	for i := range r.b.list {
		if st := &r.b.list[i]; st.Undo && st.Step == step {
			return st
		}
	}
	return nil
}

// step runs one step, once or as often as it repeats, in the transaction that is open
// or, with each step by itself, in one for each turn.
func (r *runner) step(ctx context.Context, i int, commit func(context.Context, *StepState) *Failure) *Failure {
	s, st, def := &r.state.Steps[i], &r.b.list[i], &r.b.Book.Steps[i]
	own := r.b.Book.Transaction == Each
	fail := func(f *Failure) *Failure { f.Step = s.Name; return f }
	if s.Turns == 0 && def.when != nil {
		run, err := def.when.holds(r.facts(i))
		switch {
		case err != nil:
			return fail(&Failure{Cause: Unexpected, Sentence: "its condition cannot be worked out: " + err.Error(), Err: err})
		case !run:
			s.Status = StepIsSkipped
			r.tell(Event{What: StepSkipped, Step: s.Name, Index: i + 1, Of: len(r.state.Steps), Text: def.When})
			return r.save()
		}
	}
	s.Status = StepIsRunning
	for more := true; more; {
		began := r.o.Now()
		r.tell(Event{What: StepBegan, Step: s.Name, Index: i + 1, Of: len(r.state.Steps), Turn: s.Turns + 1, Text: def.Note})
		if f := r.save(); f != nil {
			return fail(f)
		}
		if own {
			if f := r.do(ctx, Begin); f != nil {
				return fail(f)
			}
		}
		res, f := r.send(ctx, st.SQL, st.Params)
		if f == nil {
			f = r.check(i, res)
		}
		if f != nil {
			return fail(f)
		}
		if f := commit(ctx, s); f != nil {
			return fail(f)
		}
		more = s.turned()
		if f := r.save(); f != nil {
			return fail(f)
		}
		r.tell(Event{What: StepDone, Step: s.Name, Index: i + 1, Of: len(r.state.Steps), Turn: s.Turns, Result: res, Took: r.o.Now().Sub(began)})
		if more && def.Repeat.Pause > 0 {
			if err := r.o.Wait(ctx, def.Repeat.Pause); err != nil {
				return fail(interrupted(err))
			}
		}
	}
	return nil
}

// check looks at what a step gave before it is made last.
func (r *runner) check(i int, res *Result) *Failure {
	s, def := &r.state.Steps[i], &r.b.Book.Steps[i]
	most := r.b.Book.Limits.Rows
	verb, _, _ := strings.Cut(res.Tag, " ")
	changes := verb == "INSERT" || verb == "UPDATE" || verb == "DELETE" || verb == "MERGE"
	if changes && most > 0 && res.Count > most {
		return &Failure{Cause: TooMany, Sentence: fmt.Sprintf("it changed %d rows, the runbook allows %d", res.Count, most)}
	}
	s.keep(res)
	facts := r.facts(i)
	if def.expect != nil {
		ok, err := def.expect.holds(facts)
		switch {
		case err != nil:
			return &Failure{Cause: Unexpected, Sentence: "what is expected cannot be worked out: " + err.Error(), Err: err}
		case !ok:
			return &Failure{Cause: Unexpected, Sentence: fmt.Sprintf("expected %s, but %s", def.expect.text, def.expect.sayFacts(facts))}
		}
	}
	s.More = false
	if def.while == nil {
		return nil
	}
	more, err := def.while.holds(facts)
	switch {
	case err != nil:
		return &Failure{Cause: Unexpected, Sentence: "whether it goes on cannot be worked out: " + err.Error(), Err: err}
	case more && s.Turns+1 >= def.Repeat.Most:
		return &Failure{Cause: TooMany, Sentence: fmt.Sprintf("it would go on after %d turns, the most that the runbook allows", def.Repeat.Most)}
	}
	s.More = more
	return nil
}

// facts are what conditions of step i may speak of.
func (r *runner) facts(i int) map[string]any {
	out := map[string]any{}
	for j := range r.b.Book.Parameters {
		p := &r.b.Book.Parameters[j]
		out["params."+p.Name] = p.fact(r.b.Values[p.Name])
	}
	for j := range r.state.Steps[:i+1] {
		s := &r.state.Steps[j]
		var row []*string
		if len(s.First) > 0 {
			row = s.First
		}
		if j == i {
			out["rows"], out["turn"], out["row"] = s.Last, int64(s.Turns+1), rowFact(s.Columns, row)
			continue
		}
		out["steps."+s.Name+".ran"] = s.Status == StepIsDone
		out["steps."+s.Name+".rows"] = s.Rows
		out["steps."+s.Name+".row"] = rowFact(s.Columns, row)
	}
	return out
}

// do sends a statement of the runner's own.
func (r *runner) do(ctx context.Context, sql string) *Failure {
	_, f := r.send(ctx, sql, nil)
	return f
}

func (r *runner) send(ctx context.Context, sql string, params []*string) (*Result, *Failure) {
	if r.conn == nil {
		conn, err := r.o.Open(ctx, sql == TransactionEnd)
		if err != nil {
			return nil, r.failure(ctx, err)
		}
		r.conn, r.broke = conn, false
	}
	res, err := r.conn.Do(ctx, sql, params, MaxResult)
	if err != nil {
		return nil, r.failure(ctx, err)
	}
	return res, nil
}

// failure reads an error of the connection.
func (r *runner) failure(ctx context.Context, err error) *Failure {
	f := &Failure{Cause: Lost, Sentence: err.Error(), Err: err}
	var own *Failure
	if errors.As(err, &own) {
		copied := *own
		f = &copied
	}
	r.broke = r.broke || f.Cause == Lost
	if ctx.Err() != nil && f.Cause != Refused && f.Cause != Denied {
		r.broke = r.broke || f.Cause == Lost
		why := interrupted(context.Cause(ctx))
		why.Err = err
		return why
	}
	return f
}

func interrupted(cause error) *Failure {
	f := &Failure{Cause: Interrupted, Sentence: "interrupted", Err: cause}
	if errors.Is(cause, context.DeadlineExceeded) {
		f.Sentence, f.Hint = "its time is over", "limits.time of the runbook says how long it may take"
	}
	return f
}

// rollback ends what is open. Where it cannot be sent the session is closed, which
// ends it too.
func (r *runner) rollback(ctx context.Context) {
	if r.conn == nil {
		return
	}
	ctx = context.WithoutCancel(ctx)
	if !r.broke {
		if _, err := r.conn.Do(ctx, Rollback, nil, 1); err == nil {
			return
		}
	}
	r.drop()
}

func (r *runner) drop() {
	r.conn.Close()
	r.conn = nil
}

func (r *runner) tell(e Event) {
	if r.o.Tell != nil {
		r.o.Tell(e)
	}
}

func (r *runner) save() *Failure {
	if r.o.Save == nil {
		return nil
	}
	if err := r.o.Save(r.state); err != nil {
		return &Failure{Cause: Unkept, Sentence: "how far the run is could not be kept, so it does not go on: " + err.Error(), Err: err}
	}
	return nil
}
