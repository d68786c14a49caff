package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/internal/howlong"
	"github.com/sluicehq/sluice/runbook"
)

// stepRows is what a step returned, in its last turn; all of it data.
type stepRows struct {
	Step      string              `json:"step"`
	Columns   []column            `json:"columns"`
	Hidden    []hiding            `json:"hidden,omitempty"`
	Rows      [][]json.RawMessage `json:"rows"`
	Truncated bool                `json:"truncated,omitempty"`

	size int // bytes of rows
}

// runBook runs what st orders in sessions of its own, which are gone when it returns.
func (s *Server) runBook(ctx context.Context, st *statement) outcome {
	ctx, cancel := context.WithCancel(ctx)
	var keeper sync.WaitGroup
	defer keeper.Wait()
	defer cancel()
	keeper.Go(func() { s.freshen(ctx) })
	r := &runner{st: st, cancel: cancel, types: pgtype.NewMap()}
	why := plain(st.reason)
	r.out.run, r.out.err = st.book.Run(ctx, st.bound, strings.ToValidUTF8(why[:min(len(why), maxReason)], ""), Listener{
		Event:  r.event,
		Notice: func(n *pgconn.Notice) { r.notice((*pgconn.PgError)(n)) },
		Asked:  r.asked,
	})
	st.held(nil)
	return r.out
}

// asked hears that people are asked about a whole run before it begins.
func (r *runner) asked(q *api.Request) {
	if q == nil {
		r.st.held(nil)
		return
	}
	rule := plain(q.Rule)
	if q.Reason != "" {
		rule += ": " + plain(q.Reason)
	}
	r.st.held(&waiting{Approval: plain(q.ID), Needs: needed(q.Needs), Rule: rule})
}

// event hears how far a run is, and keeps what its steps return.
func (r *runner) event(e runbook.Event) {
	switch e.What {
	case runbook.StepBegan, runbook.Undoing:
		r.st.reached(fmt.Sprintf("step %d of %d, %s", e.Index, e.Of, plain(e.Step)))
	case runbook.StepDone:
		r.st.held(nil)
		r.keep(e.Step, e.Result)
	}
}

func (r *runner) keep(step string, res *runbook.Result) {
	hidden := r.out.hidden
	r.out.hidden = nil // of the next
	if len(res.Columns) == 0 {
		return
	}
	var kept *stepRows
	for _, have := range r.out.steps {
		if have.Step == step {
			kept = have
			r.size -= have.size
		}
	}
	if kept == nil {
		kept = &stepRows{}
		r.out.steps = append(r.out.steps, kept)
	}
	*kept = stepRows{Step: step, Hidden: hidden, Rows: [][]json.RawMessage{}}
	var fields []pgconn.FieldDescription
	for _, c := range res.Columns {
		fields = append(fields, pgconn.FieldDescription{Name: c.Name, DataTypeOID: c.OID})
		shown := column{Name: c.Name}
		if t, ok := r.types.TypeForOID(c.OID); ok {
			shown.Type = t.Name
		}
		kept.Columns = append(kept.Columns, shown)
	}
	r.masks = make([]bool, len(fields))
	for _, row := range res.Rows {
		values := make([][]byte, len(row))
		for i, v := range row {
			if v != nil {
				values[i] = []byte(*v)
			}
		}
		cells, size := r.row(fields, values)
		if len(kept.Rows) >= r.st.rows || r.size+size > r.st.bytes {
			kept.Truncated = true
			break
		}
		kept.Rows, kept.size, r.size = append(kept.Rows, cells), kept.size+size, r.size+size
	}
	kept.Hidden = alsoMasked(kept.Hidden, kept.Columns, r.masks)
}

// reached notes how far a run is.
func (st *statement) reached(at string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.at = at
}

func (st *statement) position() string {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.at
}

// ranBook is what programs are told of a run.
type ranBook struct {
	Status  string    `json:"status"`
	ID      string    `json:"statement_id,omitempty"`
	Runbook string    `json:"runbook"`
	Run     string    `json:"run,omitempty"`        // id, as the record and sluice runbook runs have it
	Ended   string    `json:"run_status,omitempty"` // done, unchanged, undone, stopped, broken, stuck, doubtful
	At      string    `json:"at,omitempty"`         // a step: where it is, or where it ended
	Steps   []stepEnd `json:"steps,omitempty"`
	Masked  int64     `json:"hidden_values,omitempty"`
	Cut     bool      `json:"values_cut,omitempty"`
	Remarks []string  `json:"remarks,omitempty"`
	Waiting *waiting  `json:"waiting,omitempty"`
	Rule    string    `json:"rule,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Hint    string    `json:"hint,omitempty"`
}

type stepEnd struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Turns  int    `json:"turns,omitempty"`
	Rows   int64  `json:"rows"`
	Undone bool   `json:"undone,omitempty"`
}

// tellRun is what there is to say of a run now.
func (st *statement) tellRun(now time.Time) answer {
	facts := ranBook{ID: st.id, Runbook: plain(st.book.Name), At: st.position()}
	out, ended := st.result()
	switch wait, _ := st.waits(); {
	case ended:
		facts.At = ""
		return st.tellRunEnd(out, facts)
	case wait != nil:
		facts.Status, facts.Waiting = stateHeld, wait
		what := "The run has not begun"
		if facts.At != "" {
			what = "The run is held at " + facts.At
		}
		return answer{facts: facts, says: fmt.Sprintf("%s: it waits for approval %s by %s (rule %s). Tell the person you act for; people answer with: sluice approvals. "+
			"Go on with something else, and ask statement_status with statement_id %s later; it goes on by itself when it is approved. cancel_statement withdraws it. Do not run it again meanwhile.",
			what, wait.Approval, wait.Needs, wait.Rule, st.id)}
	default:
		facts.Status = stateRunning
		at := facts.At
		if at != "" {
			at = ", at " + at
		}
		return answer{facts: facts, says: fmt.Sprintf("It still runs, for %s by now%s. Ask statement_status with statement_id %s for the outcome, or end it with cancel_statement.", howlong.Text(now.Sub(st.began).Round(time.Second)), at, st.id)}
	}
}

// standing says what a status means for the database, and what is to be done about it.
var standing = map[runbook.Status]struct{ means, next string }{
	runbook.Unchanged: {"nothing was changed", ""},
	runbook.Undone:    {"what was done was taken back", ""},
	runbook.Stopped:   {"the steps that are done stand", "%s"},
	runbook.Broken:    {"the steps that are done stand, and the run can be gone on with", "%s"},
	runbook.Stuck:     {"not all of what was done is taken back", "%s --undo"},
	runbook.Doubtful:  {"what became of the last transaction is not known", "%s"},
}

func (st *statement) tellRunEnd(out outcome, facts ranBook) answer {
	facts.Masked, facts.Cut, facts.Remarks = out.masked, out.cut, out.remarks
	data := map[string]any{}
	var says []string
	if out.run != nil {
		facts.Run, facts.Ended = out.run.Run, string(out.run.Status)
		for i := range out.run.Steps {
			s := &out.run.Steps[i]
			facts.Steps = append(facts.Steps, stepEnd{s.Name, s.Status, s.Turns, s.Rows, s.Undone})
			says = append(says, plain(fmt.Sprintf("%s %s, %s", s.Name, s.Status, counted(int(s.Rows), "row"))))
		}
		if given := out.ofDone(); len(given) > 0 {
			data["results"] = given
		}
	}
	steps := " Steps: " + strings.Join(says, "; ") + "."
	failed := out.err != nil
	var text string
	if failed {
		r, why := toldRun(out.run, out.err)
		facts.Status, facts.Rule, facts.Reason, facts.Hint = r.Status, r.Rule, r.Reason, r.Hint
		text = r.answer().says
		if out.run != nil {
			if out.run.Status == runbook.Unchanged {
				steps = "" // none of them ever was
			}
			at := ""
			if f := out.run.Failure; f != nil && f.Step != "" {
				facts.At = plain(f.Step)
				at = ", at step " + facts.At
			}
			text = fmt.Sprintf("The run %s of %s did not come to its end%s: %s (%s).%s\n%s", facts.Run, facts.Runbook, at, standing[out.run.Status].means, facts.Ended, steps, text)
		}
		if why != nil {
			data["error"] = why
		}
	} else {
		facts.Status = stateDone
		text = fmt.Sprintf("The run %s of %s is done.%s", facts.Run, facts.Runbook, steps)
		for _, remark := range out.remarks {
			text += " Sluice says: " + remark + "."
		}
	}
	if out.hides() {
		text += "\nValues are hidden because they are personal data that you may not see; hidden in the data says which, and of what kind."
	}
	if out.cut {
		text += "\nValues that end in … were cut."
	}
	if len(out.notices) > 0 {
		data["notices"] = out.notices
	}
	a := answer{says: text, facts: facts, failed: failed}
	if len(data) > 0 {
		a.data = data
	}
	return a
}

// ofDone are the results of steps that stand: what a step that did not succeed returned
// never was.
func (out outcome) ofDone() (given []*stepRows) {
	for _, res := range out.steps {
		for i := range out.run.Steps {
			if s := &out.run.Steps[i]; s.Name == res.Step && s.Status == runbook.StepIsDone {
				given = append(given, res)
			}
		}
	}
	return given
}

func (out outcome) hides() bool {
	if out.run == nil {
		return false
	}
	for _, res := range out.ofDone() {
		if len(res.Hidden) > 0 {
			return true
		}
	}
	return false
}

// What to do instead, of a runbook: its text is not the agent's to change.
const (
	hintBookRefused = "the rule is for a step of this runbook as for any statement: tell the person you act for, who can run it or have the policy changed; do not send its statements in another way"
	hintBookFailed  = "check what you gave as params; else tell the person you act for, since the runbook's text is not yours to change"
	hintBookEnded   = "run it again if it is still wanted"
)

// causes are what ended a run, in words that hold nothing out of a database.
var causes = map[runbook.Cause]refusal{
	runbook.Failed:     {Status: stateFailed, Reason: "a step did not work; why is in the data", Hint: hintBookFailed},
	runbook.Refused:    {Status: stateRefused, Reason: "a step was refused; why is in the data", Hint: hintBookRefused},
	runbook.Denied:     {Status: stateNotApproved, Reason: "people did not agree, or did not answer in time; what they said is in the data", Hint: hintDenied},
	runbook.Unexpected: {Status: stateFailed, Reason: "what the runbook expects of a step did not hold; what was found is in the data", Hint: hintBookFailed},
	runbook.TooMany:    {Status: stateFailed, Reason: "a step did more than the runbook allows", Hint: hintBookFailed},
	runbook.Lost:       {Status: stateFailed, Reason: "the session was lost", Hint: "run it again in a moment; if it does not help, tell the person you act for"},
	runbook.Unkept:     {Status: stateFailed, Reason: "how far the run is could not be written down on this machine", Hint: "tell the person you act for to look at the disk"},
}

// toldRun makes a refusal of how a run ended. What the database said, and what a
// condition saw in it, is data.
func toldRun(s *runbook.State, err error) (refusal, any) {
	var f *runbook.Failure
	if !errors.As(err, &f) {
		return told(err)
	}
	r, data := causes[f.Cause], any(map[string]string{"reason": f.Error()})
	var no *api.Error
	switch pg := pgError(f.Err); {
	case f.Cause == runbook.Interrupted:
		r = refusal{Status: stateCancelled, Reason: "it was cancelled before it ended", Hint: hintBookEnded}
		if f.Hint != "" { // says which limit
			r.Reason = "its time was over, which the runbook limits"
		}
	case pg != nil && (f.Cause != runbook.Denied || pg.Code == "42501"): // else its wait was over
		r, data = sqlRefusal(pg)
		data = map[string]any{"reason": f.Error(), "said": data}
	case errors.As(f.Err, &no):
		r, _ = told(no)
	}
	switch {
	case r.Status == stateRefused:
		r.Hint = hintBookRefused
	case f.Cause == runbook.Failed, pgError(f.Err) != nil && r.Status == stateFailed:
		r.Hint = hintBookFailed
	}
	if next := standing[s.Status].next; next != "" {
		r.Hint = "tell the person you act for what stands; they look at it and go on with: " + fmt.Sprintf("sluice runbook resume "+next, s.Run) + "; do not run it again before that"
	}
	return r, data
}
