package audit

import "time"

// Kind is what an event tells.
type Kind string

// The kinds of event in the record.
const (
	Decided    Kind = "decided"    // what the policy said of a statement, before it ran
	Finished   Kind = "finished"   // how that statement ended
	Connected  Kind = "connected"  // a session was opened, or refused
	Closed     Kind = "closed"     // a session ended
	LoggedIn   Kind = "login"      // a certificate was issued, or refused
	Asked      Kind = "asked"      // a statement began to wait for people
	Voted      Kind = "voted"      // a person approved or denied
	Answered   Kind = "answered"   // the wait ended
	Questioned Kind = "questioned" // the record itself was read
	Admin      Kind = "admin"      // a session was killed, somebody locked, a token made or revoked, a cancel came without a match
	Ran        Kind = "ran"        // a run of a runbook began, ended or was gone on with
	Started    Kind = "started"    // the gateway began to serve, with which policy
	Stopped    Kind = "stopped"    // the gateway ended in order
	Removed    Kind = "removed"    // old entries are removed from the record; their hashes stay
	Rotated    Kind = "rotated"    // another key signs the record from now on
	Rights     Kind = "rights"     // at each start, which groups may open a connection, read the whole record, or see and end sessions
	RunBegan   Kind = "run_began"  // a caller says that a run of a job begins; "back" if it was lost and is heard again
	RunEnded   Kind = "run_ended"  // and that it ended, with what it made; "lost" if nothing was heard of it any more
	Claimed    Kind = "claimed"    // somebody says what a pipeline elsewhere moved
)

// Event is one entry of the record. It is flat and public on purpose: it copies
// from live types and outlives them. Empty fields are left out of its JSON form.
// Unknown fields in a log written by a later version are kept by verification,
// which works on bytes.
type Event struct {
	Seq     uint64    `json:"seq"`               // index in the log, from 0; set by Append
	ID      string    `json:"id"`                // unique; set by Append
	Time    time.Time `json:"time"`              // UTC, microseconds; set by the caller
	Kind    Kind      `json:"kind"`              //
	Session string    `json:"session,omitempty"` // one connection of one client
	Of      string    `json:"of,omitempty"`      // Finished, Asked, Voted, Answered: ID of the Decided event it belongs to, or of the ask

	Who        string   `json:"who,omitempty"`     // name people know: address or subject
	Subject    string   `json:"subject,omitempty"` // stable identity
	CallerKind string   `json:"caller_kind,omitempty"`
	Owner      string   `json:"owner,omitempty"` // person an agent acts for
	Groups     []string `json:"groups,omitempty"`
	From       string   `json:"from,omitempty"`        // network address
	Connection string   `json:"connection,omitempty"`  // name of the connection
	Role       string   `json:"role,omitempty"`        // database role used
	Client     string   `json:"application,omitempty"` // application_name
	Credential string   `json:"credential,omitempty"`  // serial number of the certificate that the caller showed, or was given
	Claims     []string `json:"claims,omitempty"`      // of a job, "name=value": what its issuer said of it
	Purpose    string   `json:"purpose,omitempty"`     // what the caller said it is for, with SET sluice.reason

	SQL         string   `json:"sql,omitempty"`
	SQLHash     string   `json:"sql_hash,omitempty"`    // SHA-256 of the whole text, hex, when SQL was cut
	Params      []string `json:"params,omitempty"`      // as text; "NULL" for null
	Fingerprint string   `json:"fingerprint,omitempty"` //
	Statement   string   `json:"statement,omitempty"`   // statement kind
	Signs       []string `json:"signs,omitempty"`       //
	Reads       []string `json:"reads,omitempty"`       // schema.table.column
	Writes      []string `json:"writes,omitempty"`      // schema.table or schema.table.column
	Personal    []string `json:"personal,omitempty"`    // columns of personal data it reads or writes, as known then: "schema.table.column:email"
	Effect      string   `json:"effect,omitempty"`      // allow, hold, deny
	Rule        string   `json:"rule,omitempty"`        //
	Reason      string   `json:"reason,omitempty"`      //
	Approvers   []string `json:"approvers,omitempty"`   // who approved
	Outcome     string   `json:"outcome,omitempty"`     // ok, error, refused, cancelled, skipped, lost
	ErrorCode   string   `json:"error_code,omitempty"`  // SQLSTATE
	Error       string   `json:"error,omitempty"`       // message without values of rows
	Rows        int64    `json:"rows,omitempty"`        // returned or affected
	Bytes       int64    `json:"bytes,omitempty"`       // of row and COPY data, both ways
	Masked      int64    `json:"masked,omitempty"`      // values hidden
	MaskedCols  []string `json:"masked_cols,omitempty"` // result columns hidden, with label: "email:email"
	DurationUS  int64    `json:"duration_us,omitempty"` // microseconds from forward to end
	ParamsCut   bool     `json:"params_cut,omitempty"`  // some parameters were cut or left out for length
	Cut         []string `json:"cut,omitempty"`         // fields, by JSON name, that were shortened to fit; set by Append, or by a caller who was only given the beginning
	KeptFrom    int64    `json:"kept_from,omitempty"`   // Removed: the first entry that is kept
	Detail      string   `json:"detail,omitempty"`      // anything a person should read

	Runbook     string `json:"runbook,omitempty"`      // name of the runbook whose run it is part of
	RunbookHash string `json:"runbook_hash,omitempty"` // Ran: "sha256:…" of the file that the gateway was given and read
	RunbookRun  string `json:"runbook_run,omitempty"`  // id of the run, given by who runs it
	RunbookStep string `json:"runbook_step,omitempty"` // which of its steps the statement is; "undo: NAME" takes one back

	Command  string   `json:"command,omitempty"`  // leading words where Statement does not say it all: "DROP TABLE", "ROLLBACK_TO"; of a run its command line
	Flows    []string `json:"flows,omitempty"`    // which values go where: see Flow
	Run      string   `json:"run,omitempty"`      // run of a job that the caller says this is part of; it is of the same caller
	Job      string   `json:"job,omitempty"`      // RunBegan, RunEnded, Claimed: its name, as the caller says
	Parent   string   `json:"parent,omitempty"`   // RunBegan, Claimed: the run that this is part of: its id, or namespace/job/id of one elsewhere
	Inputs   []string `json:"inputs,omitempty"`   // RunBegan, RunEnded, Claimed: data sets read, as the caller says: see Artifact
	Outputs  []string `json:"outputs,omitempty"`  // RunEnded, Claimed: what was made, as Inputs
	Facts    []string `json:"facts,omitempty"`    // RunBegan, RunEnded, Claimed: "name=value", as the caller says
	Database string   `json:"database,omitempty"` // Connected: the database behind the connection, host:port/name
	Key      string   `json:"key,omitempty"`      // Rotated: the public key that signs the record from now on, in the note format
}
