package api

import (
	"encoding/json"
	"time"
)

// Ask is a statement that waits for people.
type Ask struct {
	ID         string    `json:"id"`
	Who        WhoAmI    `json:"who"`
	Connection string    `json:"connection"`
	Session    string    `json:"session"`
	SQL        string    `json:"sql"`
	Params     []string  `json:"params,omitempty"` // as text, "NULL" for null
	Kind       string    `json:"kind,omitempty"`   // of the statement
	Rule       string    `json:"rule"`
	Reason     string    `json:"reason,omitempty"`
	Groups     []string  `json:"groups"` // whose members may answer
	Needed     int       `json:"needed"` // distinct people who must agree
	Votes      []Vote    `json:"votes,omitempty"`
	Created    time.Time `json:"created"`
	Deadline   time.Time `json:"deadline"`
	State      string    `json:"state"`                 // waiting, approved, denied, expired, cancelled
	MayAnswer  bool      `json:"may_answer,omitempty"`  // whether the caller who reads this may
	Seal       string    `json:"seal,omitempty"`        // what a vote must repeat: it says what was looked at
	Needs      []Need    `json:"needs,omitempty"`       // all of these must be met; Groups and Needed are their sum, for older readers
	BreakGlass bool      `json:"break_glass,omitempty"` // released by its own author; while it waits: the caller may do so
}

// Need is a number of people of some groups.
type Need struct {
	Groups []string  `json:"groups"`
	Count  int       `json:"count"`
	Have   int       `json:"have"`            // who agreed so far
	Later  []string  `json:"later,omitempty"` // groups that are asked besides, from From on
	From   time.Time `json:"from,omitzero"`   //
}

// The states of an ask.
const (
	AskWaiting   = "waiting"
	AskApproved  = "approved"
	AskDenied    = "denied"
	AskExpired   = "expired"
	AskCancelled = "cancelled"
)

// Vote is one person's decision on an ask.
type Vote struct {
	Who    string    `json:"who"`
	Grant  bool      `json:"grant"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// AskDecision is the caller's answer to an ask. The zero value denies.
type AskDecision struct {
	Grant      bool   `json:"grant"`
	Reason     string `json:"reason,omitempty"`
	Seal       string `json:"seal,omitempty"`        // of the ask that was looked at; nothing is granted without
	BreakGlass bool   `json:"break_glass,omitempty"` // release one's own ask, with a reason, where the rule lets
}

// Session is one open database session.
type Session struct {
	ID         string    `json:"id"`
	Who        WhoAmI    `json:"who"`
	Connection string    `json:"connection"`
	From       string    `json:"from"`                  // network address
	Client     string    `json:"application,omitempty"` // application_name
	Since      time.Time `json:"since"`
	State      string    `json:"state"` // idle, active, waiting
	Statements int64     `json:"statements"`
}

// ExplainRequest asks what would be done with a statement, without running it.
type ExplainRequest struct {
	Connection string `json:"connection"`
	SQL        string `json:"sql"`
}

// ExplainResult has one object for each statement of the text, in the stable
// form that `sluice explain -o json` prints.
type ExplainResult []json.RawMessage

// LabelRequest says once and for all what a column holds. Only administrators may.
type LabelRequest struct {
	Connection string `json:"connection"`
	Column     string `json:"column"` // schema.table.column
	As         string `json:"as"`     // a type such as "email", "none", or "auto" to take back what was said
	Reason     string `json:"reason"`
}

// ScanRequest asks what is known of every column of a connection.
type ScanRequest struct {
	Connection string `json:"connection"`
}
