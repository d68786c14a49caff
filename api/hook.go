package api

import "time"

// HookCall is the body of a signed message that begins a run of a runbook, or goes on with
// one that broke.
type HookCall struct {
	Runbook    string         `json:"runbook,omitempty"`    // may be left out where the hook has one
	Parameters map[string]any `json:"parameters,omitempty"` // those that the hook lets its callers give
	Reason     string         `json:"reason,omitempty"`     // for approvers and the record
	Resume     string         `json:"resume,omitempty"`     // a run of this hook that broke, instead of a runbook and parameters
	Undo       bool           `json:"undo,omitempty"`       // with resume: take back what it did
}

// HookResume is how a person goes on with a run of a hook.
type HookResume struct {
	Undo   bool   `json:"undo,omitempty"`   // take back what it did
	Take   string `json:"take,omitempty"`   // of a transaction in doubt: done or not-done, as they found it
	Reason string `json:"reason,omitempty"` // for approvers and the record; without it that of the run
}

// HookQuestion asks what became of a run: by its own id, or by that of the message that
// began it.
type HookQuestion struct {
	Run string `json:"run,omitempty"`
	ID  string `json:"id,omitempty"`
}

// HookRun is a run that a hook began. It has no rows: what a runbook returns is for those
// who run it themselves.
type HookRun struct {
	Run     string       `json:"run"`
	Runbook string       `json:"runbook"`
	Hash    string       `json:"hash"`
	Status  string       `json:"status"`            // running, waiting, or as package runbook has it
	Waiting string       `json:"waiting,omitempty"` // id of the approval that it waits for
	Began   time.Time    `json:"began"`
	Ended   time.Time    `json:"ended,omitzero"`
	Hook    string       `json:"hook,omitempty"`      // for people: whose run it is
	By      string       `json:"by,omitempty"`        // who went on with it last
	GoesOn  bool         `json:"resumable,omitempty"` // it broke, and can be gone on with
	Steps   []HookStep   `json:"steps,omitempty"`
	Failure *HookFailure `json:"failure,omitempty"`
}

// HookStep is how a step of a run stands.
type HookStep struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Turns  int    `json:"turns,omitempty"`
	Rows   int64  `json:"rows"`
	Undone bool   `json:"undone,omitempty"`
}

// HookFailure is why a run did not come to its end.
type HookFailure struct {
	Cause    string `json:"cause"`
	Step     string `json:"step,omitempty"`
	Sentence string `json:"error"`
	Hint     string `json:"hint,omitempty"`
}
