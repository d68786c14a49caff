package api

import "time"

// HookCall is the body of a signed message that begins a run of a runbook.
type HookCall struct {
	Runbook    string         `json:"runbook,omitempty"`    // may be left out where the hook has one
	Parameters map[string]any `json:"parameters,omitempty"` // those that the hook lets its callers give
	Reason     string         `json:"reason,omitempty"`     // for approvers and the record
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
