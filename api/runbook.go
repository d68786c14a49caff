package api

// NewRun begins a run of a runbook, or goes on with one. The gateway reads the file
// itself, so that what the record and the approvers are told of it is true.
type NewRun struct {
	Run        string             `json:"run"` // id, chosen by who runs it: letters, digits and -
	Connection string             `json:"connection"`
	File       string             `json:"file"` // name of the file
	Text       string             `json:"text"` // all of it
	Commit     string             `json:"commit,omitempty"`
	Values     map[string]*string `json:"values,omitempty"` // of the parameters; null is NULL
	Reason     string             `json:"reason,omitempty"`
	Goes       string             `json:"goes,omitempty"`    // "on" or "back" with what broke, "settle" to ask only what became of it; "" from the start
	Ahead      bool               `json:"ahead,omitempty"`   // ask now for all that will be held
	Request    string             `json:"request,omitempty"` // id of what was granted ahead of time
}

// Run is a run as the gateway knows it. A session takes it with SET sluice.runbook, and
// then runs nothing else.
type Run struct {
	Run     string   `json:"run"`
	Runbook string   `json:"runbook"`
	Hash    string   `json:"hash"`
	Request *Request `json:"request,omitempty"` // people must agree first; then begin again with its id
}

// RunEnd says how a run ended.
type RunEnd struct {
	Status string `json:"status"` // as package runbook has it
	Detail string `json:"detail,omitempty"`
}
