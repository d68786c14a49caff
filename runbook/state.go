package runbook

import "fmt"

// Status is how a run stands, or how it ended.
type Status string

// The statuses. Only what is Broken, Stopped, Stuck or Doubtful can be gone on with.
const (
	Running   Status = "running"
	Done      Status = "done"
	Unchanged Status = "unchanged" // it failed, and the database is as it was
	Undone    Status = "undone"    // what was done was taken back by the steps' undo
	Stopped   Status = "stopped"   // a step failed; those before it stand
	Broken    Status = "broken"    // it was lost or interrupted between steps; those before it stand
	Stuck     Status = "stuck"     // taking back did not come to its end; what is not undone stands
	Doubtful  Status = "doubtful"  // what became of a transaction is not known
)

// The statuses of a step.
const (
	StepIsWaiting = "waiting"
	StepIsRunning = "running"
	StepIsDone    = "done"
	StepIsSkipped = "skipped"
	StepIsFailed  = "failed"
)

// State is a run as it is kept: enough to go on with it, and to say what it did. It has
// no values that the gateway did not show.
type State struct {
	Run        string             `json:"run"` // given by who begins it
	Runbook    string             `json:"runbook"`
	Hash       string             `json:"hash"`
	Commit     string             `json:"commit,omitempty"` // of git, as the caller says
	Connection string             `json:"connection"`
	Values     map[string]*string `json:"values"`
	Status     Status             `json:"status"`
	TxID       string             `json:"transaction,omitempty"` // in doubt
	Steps      []StepState        `json:"steps"`
	Failure    *Failure           `json:"failure,omitempty"`
}

// StepState is how a step stands.
type StepState struct {
	Name    string    `json:"name"`
	Status  string    `json:"status"`
	Turns   int       `json:"turns,omitempty"` // that are done
	Rows    int64     `json:"rows"`            // of all turns
	Last    int64     `json:"last,omitempty"`  // of the last turn
	More    bool      `json:"more,omitempty"`  // it goes on after this turn
	Changed bool      `json:"changed,omitempty"`
	Undone  bool      `json:"undone,omitempty"`
	Columns []Column  `json:"columns,omitempty"`
	First   []*string `json:"first,omitempty"` // row of the last turn

	TxID     string `json:"transaction,omitempty"` // in doubt
	UndoTxID string `json:"undo_transaction,omitempty"`
}

// NewState is a run before it begins.
func NewState(b *Bound) *State {
	s := &State{Runbook: b.Book.Name, Hash: b.Book.Hash, Connection: b.Book.Connection, Values: b.Values, Status: Running}
	for i := range b.Book.Steps {
		s.Steps = append(s.Steps, StepState{Name: b.Book.Steps[i].Name, Status: StepIsWaiting})
	}
	return s
}

// reset forgets what was undone.
func (s *State) reset() {
	s.TxID = ""
	for i := range s.Steps {
		s.Steps[i] = StepState{Name: s.Steps[i].Name, Status: StepIsWaiting}
	}
}

// Summary is how the steps stand and what went wrong, without its words, which may hold
// values.
func (s *State) Summary() (text string) {
	for i := range s.Steps {
		text += fmt.Sprintf("%s %s %d; ", s.Steps[i].Name, s.Steps[i].Status, s.Steps[i].Rows)
	}
	if s.Failure != nil {
		text += string(s.Failure.Cause)
		if s.Failure.Step != "" {
			text += " at step " + s.Failure.Step
		}
	}
	return text
}

func (s *State) inDoubt() bool {
	for i := range s.Steps {
		if s.Steps[i].TxID != "" || s.Steps[i].UndoTxID != "" {
			return true
		}
	}
	return s.TxID != ""
}

// undoable reports whether a step that is done has an undo.
func (s *State) undoable(b *Runbook) bool {
	for i := range s.Steps {
		if s.Steps[i].Status == StepIsDone && !s.Steps[i].Undone && b.Steps[i].Undo != "" {
			return true
		}
	}
	return false
}

// keep notes what a turn gave, before it is made last.
func (s *StepState) keep(res *Result) {
	s.Last, s.Columns, s.First = res.Count, nil, nil
	if len(res.Rows) > 0 {
		s.Columns, s.First = res.Columns, res.Rows[0]
	}
}

// turned notes that a turn is done, and says whether another follows.
func (s *StepState) turned() bool {
	s.Turns++
	s.Rows += s.Last
	s.TxID = ""
	if !s.More {
		s.Status = StepIsDone
	}
	return s.More
}

// Resumable reports whether a run can be gone on with.
func (s *State) Resumable() bool {
	return s.Status == Broken || s.Status == Stopped || s.Status == Stuck || s.Status == Doubtful || s.Status == Running
}

// GoOn takes over a run that broke, to go on with it or to undo what it did. It must be of
// the very same runbook: other steps would be other work.
func GoOn(b *Bound, old *State, undo bool) (*State, *Failure) {
	no := func(hint, format string, args ...any) (*State, *Failure) {
		return nil, &Failure{Cause: Failed, Sentence: fmt.Sprintf(format, args...), Hint: hint}
	}
	switch {
	case old.Hash != b.Book.Hash:
		return no("bring the file back as it was (git has it), or undo by hand what was done", "the runbook %s has changed since the run %s began", b.Book.Name, old.Run)
	case len(old.Steps) != len(b.Book.Steps):
		return no("", "the run %s has other steps than its runbook", old.Run)
	case !old.Resumable():
		return no("run it anew", "the run %s is %s, there is nothing to go on with", old.Run, old.Status)
	case old.Status == Stuck && !undo:
		return no("go on taking back with --undo", "what the run %s did was being taken back", old.Run)
	case undo && b.Book.Transaction == One:
		return no("a run in one transaction leaves nothing behind that fails", "there is nothing to take back of %s", old.Run)
	}
	copied := *old
	copied.Steps = append([]StepState{}, old.Steps...)
	for i := range copied.Steps {
		if copied.Steps[i].Name != b.Book.Steps[i].Name {
			return no("", "the run %s has other steps than its runbook", old.Run)
		}
		if copied.Steps[i].Status == StepIsFailed {
			copied.Steps[i].Status = StepIsWaiting
		}
		if copied.Steps[i].Undone && !undo {
			copied.Steps[i] = StepState{Name: copied.Steps[i].Name, Status: StepIsWaiting}
		}
	}
	return &copied, nil
}
