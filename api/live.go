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
	State      string    `json:"state"`                // waiting, approved, denied, expired, cancelled
	MayAnswer  bool      `json:"may_answer,omitempty"` // whether the caller who reads this may
	Seal       string    `json:"seal,omitempty"`       // what a vote must repeat: it says what was looked at
	Evidence   *Evidence `json:"evidence,omitempty"`
	Needs      []Need    `json:"needs,omitempty"`       // all of these must be met; Groups and Needed are their sum, for older readers
	BreakGlass bool      `json:"break_glass,omitempty"` // released by its own author; while it waits: the caller may do so
}

// Evidence is what is known of an ask beside its text.
type Evidence struct {
	From    string   `json:"from,omitempty"`        // network address of the caller
	Shape   string   `json:"shape,omitempty"`       // fingerprint of the statement: the same for all that differ in values only
	Client  string   `json:"application,omitempty"` // application_name
	Why     string   `json:"why,omitempty"`         // what the caller says of it
	Reads   []string `json:"reads,omitempty"`
	Writes  []string `json:"writes,omitempty"`
	Signs   []string `json:"signs,omitempty"`
	Masked  []string `json:"masked,omitempty"` // result columns hidden from the caller
	Clear   []string `json:"clear,omitempty"`  // of personal data, shown to the caller in the clear
	Done    bool     `json:"done"`             // the rest was looked up
	Rows    *int64   `json:"rows,omitempty"`   // that the planner expects
	Table   string   `json:"table,omitempty"`  // and of how many in which
	Whole   int64    `json:"whole,omitempty"`
	Locks   []string `json:"locks,omitempty"`
	History []string `json:"history,omitempty"`
	Notes   []string `json:"notes,omitempty"`
}

// Preview is what a held write came to when it was tried and undone.
type Preview struct {
	Rows   int64        `json:"rows"`             // it would change
	Before *PreviewRows `json:"before,omitempty"` // some of them, as they are
	After  *PreviewRows `json:"after,omitempty"`  // and as they would be
	Error  string       `json:"error,omitempty"`  // it would fail, or took too long
	Notes  []string     `json:"notes,omitempty"`
}

// PreviewRows are rows as the policy lets the caller see them; nil is NULL.
type PreviewRows struct {
	Columns []string    `json:"columns"`
	Rows    [][]*string `json:"rows"`
}

// NewRequest asks ahead of time for a script, or for a window of so many seconds.
type NewRequest struct {
	Connection string `json:"connection"`
	SQL        string `json:"sql,omitempty"`
	Seconds    int64  `json:"seconds,omitempty"`
	Reason     string `json:"reason"`
}

// Request is what was asked for ahead of time. Its own State is that of the request:
// waiting, granted, denied, expired, cancelled, used.
type Request struct {
	Ask     `json:"ask"`
	State   string    `json:"state"`
	Why     string    `json:"why,omitempty"`     // how it ended
	Seconds int64     `json:"seconds,omitempty"` // of a window
	Until   time.Time `json:"until,omitzero"`    // it may be used till then
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

// Live is one line of LivePath: what changed since the line before. Until Whole, the
// lines bring what there is.
type Live struct {
	Whole    bool      `json:"whole"`
	Asks     []Ask     `json:"asks,omitempty"` // new, or changed
	Ended    []Ended   `json:"ended,omitempty"`
	Requests []Request `json:"requests,omitempty"` // new, or changed; those that wait are asks too
	Sessions []Session `json:"sessions,omitempty"` // new, or changed
	Closed   []string  `json:"closed,omitempty"`   // ids of sessions
}

// Ended is an ask that waits no more.
type Ended struct {
	ID         string `json:"id"`
	State      string `json:"state,omitempty"` // approved, denied, expired, cancelled; "" if it is not known any more
	Why        string `json:"why,omitempty"`
	BreakGlass bool   `json:"break_glass,omitempty"`
}

// SessionEvent is something that happened in a session while it was watched. In rows
// personal data is masked, whatever the caller or who watches may see.
type SessionEvent struct {
	At       time.Time    `json:"at"`
	Kind     string       `json:"kind"` // watching, decided, asked, answered, finished, closed
	SQL      string       `json:"sql,omitempty"`
	Params   []string     `json:"params,omitempty"`
	Effect   string       `json:"effect,omitempty"`
	Rule     string       `json:"rule,omitempty"`
	Text     string       `json:"text,omitempty"` // a sentence: why it was decided so, who approved, why it ended
	Outcome  string       `json:"outcome,omitempty"`
	Code     string       `json:"error_code,omitempty"` // SQLSTATE; Text is its message then
	Rows     int64        `json:"rows,omitempty"`
	Bytes    int64        `json:"bytes,omitempty"`
	Masked   int64        `json:"masked,omitempty"` // values hidden from the caller
	Duration int64        `json:"duration_us,omitempty"`
	Sample   *PreviewRows `json:"sample,omitempty"` // the first rows, where they were looked at
	Missed   int64        `json:"missed,omitempty"` // events before this one that there was no room for
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
	SQL        string    `json:"sql,omitempty"`   // what it runs, or ran last, without secrets, shortened
	Begun      time.Time `json:"begun,omitzero"`  // when that was decided
	Rows       int64     `json:"rows,omitempty"`  // returned or changed, of all that has ended
	Bytes      int64     `json:"bytes,omitempty"` // of row and COPY data, as above
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
