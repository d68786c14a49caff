package api

import (
	"time"

	"github.com/sluicehq/sluice/audit"
)

// AuditQuery asks for events of the record. Empty fields do not narrow.
type AuditQuery struct {
	Since      time.Time  `json:"since,omitzero"`
	Until      time.Time  `json:"until,omitzero"`
	Kind       audit.Kind `json:"kind,omitempty"`
	Who        string     `json:"who,omitempty"` // name, subject or owner
	Connection string     `json:"connection,omitempty"`
	Session    string     `json:"session,omitempty"`
	Effect     string     `json:"effect,omitempty"`
	Outcome    string     `json:"outcome,omitempty"`
	Touches    string     `json:"touches,omitempty"` // relation or column read or written: "orders", "public.orders.email"
	Text       string     `json:"text,omitempty"`    // part of the statement, a parameter, the error or the reason
	About      string     `json:"about,omitempty"`   // a value that statements were about, of which the record has a pseudonym; instead of Text
	ID         string     `json:"id,omitempty"`      // of the event
	Of         string     `json:"of,omitempty"`      // id of the event it belongs to
	Limit      int        `json:"limit,omitempty"`   // 0 means the gateway's default
	Before     uint64     `json:"before,omitempty"`  // page: only entries with a smaller number; 0 for the newest

	Group       string `json:"group,omitempty"`       // of the caller
	Table       string `json:"table,omitempty"`       // relation read or written: "customers", "public.customers"
	Column      string `json:"column,omitempty"`      // column read or written: "ssn", "customers.ssn"
	Statement   string `json:"statement,omitempty"`   // kind of statement: "select"
	Fingerprint string `json:"fingerprint,omitempty"` // of the statement
	Rule        string `json:"rule,omitempty"`        // that decided
	Approver    string `json:"approver,omitempty"`    // who said yes
	RowsOver    int64  `json:"rows_over,omitempty"`   // only what returned or affected more rows
	Masked      bool   `json:"masked,omitempty"`      // only what had values hidden
	Personal    string `json:"personal,omitempty"`    // column of personal data, or what it holds: "email"; "*" for any
	Purpose     string `json:"purpose,omitempty"`     // that the caller gave
	Run         string `json:"run,omitempty"`         // run of a job or a runbook, by its id; by the name of a job or runbook all of its runs

	Oldest bool   `json:"oldest,omitempty"` // the oldest first; Next is From of the next page then
	From   uint64 `json:"from,omitempty"`   // with Oldest: only entries with this number or a larger one

	Whole bool     `json:"whole,omitempty"` // a statement, its ending and the answer to its ask are one event
	By    []string `json:"by,omitempty"`    // count by one or two of these, instead of giving events: "who", "table", …
	Order string   `json:"order,omitempty"` // of what is counted: "count", "rows", "bytes", "masked", "last", "name"
	Scan  bool     `json:"scan,omitempty"`  // read the record itself, not the index
}

// Filter is q as the record takes it.
func (q AuditQuery) Filter() audit.Filter {
	return audit.Filter{
		Since: q.Since, Until: q.Until, Kind: q.Kind, Who: q.Who, Connection: q.Connection, Session: q.Session, Effect: q.Effect, Outcome: q.Outcome,
		Touches: q.Touches, Text: q.Text, ID: q.ID, Of: q.Of, Limit: q.Limit, Before: q.Before, Group: q.Group, Table: q.Table, Column: q.Column,
		Statement: q.Statement, Fingerprint: q.Fingerprint, Rule: q.Rule, Approver: q.Approver, RowsOver: q.RowsOver, Masked: q.Masked, Personal: q.Personal, Purpose: q.Purpose, Run: q.Run, Whole: q.Whole, Oldest: q.Oldest, From: q.From,
	}
}

// AuditResult is a page of events, newest first unless AuditQuery.Oldest is set.
type AuditResult struct {
	Events []audit.Event `json:"events"`
	Next   uint64        `json:"next,omitempty"` // Before of the next page, or From; 0 if there is none
	Size   uint64        `json:"size"`           // entries in the record when it was read
	Groups []AuditGroup  `json:"groups,omitempty"`
	More   int           `json:"more,omitempty"` // groups that there is no room for
	Note   string        `json:"note,omitempty"` // a sentence about the index: that it was made anew, or could not answer
}

// AuditGroup is what events with the same values come to.
type AuditGroup struct {
	Values []string  `json:"values"` // as AuditQuery.By has them; "" for events without one
	Count  int64     `json:"count"`
	Rows   int64     `json:"rows"`
	Bytes  int64     `json:"bytes"`
	Masked int64     `json:"masked"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}

// AuditSQL asks the index of the record in SQL, for auditors only.
type AuditSQL struct {
	SQL   string `json:"sql"`
	Limit int    `json:"limit,omitempty"` // rows at most; 0 is 1,000
}

// AuditRows is what it answers. Values are text, numbers or null.
type AuditRows struct {
	Columns []string `json:"columns"`
	Rows    [][]any  `json:"rows"`
	More    bool     `json:"more,omitempty"` // there are more than Limit
}

// AuditProve asks for the proof of an entry, for auditors only.
type AuditProve struct {
	ID    string `json:"id"`
	Since string `json:"since,omitempty"` // an older signed checkpoint, to prove that the record has only grown
}

// AuditReport asks for a report, for auditors only.
type AuditReport struct {
	For   string    `json:"for"` // soc2, gdpr, hipaa, pci
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"` // now if not given
	Quick bool      `json:"quick,omitempty"`
}

// KeyReplaced is what became of the key that signs the record.
type KeyReplaced struct {
	Old   string `json:"old"` // public keys in the note format
	New   string `json:"new"`
	Entry uint64 `json:"entry"` // that says so
	Size  uint64 `json:"size"`  // entries under the last checkpoint of the old key
}

// VerifyResult is what a check of the whole record found.
type VerifyResult struct {
	OK          bool            `json:"ok"`
	Origin      string          `json:"origin"`
	Entries     uint64          `json:"entries"`             // entries checked
	Removed     uint64          `json:"removed,omitempty"`   // entries before them that were removed on the record; their hashes were checked
	Sealed      uint64          `json:"sealed"`              // of them under a signed checkpoint
	Checkpoints int             `json:"checkpoints"`         // signed states checked
	Root        string          `json:"root,omitempty"`      // hash of the tree, base64
	Signer      string          `json:"signer"`              // name and hash of the key that signs now
	Keys        []string        `json:"keys,omitempty"`      // all that have signed, one after the other, if there are several
	Replaced    bool            `json:"replaced,omitempty"`  // the key that was given is not the newest
	Witnessed   uint64          `json:"witnessed,omitempty"` // entries under the newest checkpoint of a witness
	SelfSigned  bool            `json:"self_signed"`         // the key came from the record's own directory
	Problems    []VerifyProblem `json:"problems"`
}

// VerifyProblem is one thing that does not fit, and where.
type VerifyProblem struct {
	Entry  uint64 `json:"entry"` // number of the entry, from 0
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	What   string `json:"what"`
}

// Verified puts a report in the form that travels.
func Verified(r audit.Report) VerifyResult {
	out := VerifyResult{
		OK: r.OK(), Origin: r.Origin, Entries: r.Entries, Removed: r.Removed, Sealed: r.Sealed, Checkpoints: r.Checkpoints,
		Root: r.Root, Signer: r.Signer, Witnessed: r.Witnessed, SelfSigned: r.SelfSigned, Problems: []VerifyProblem{},
	}
	if len(r.Keys) > 1 {
		out.Keys, out.Replaced = r.Keys, r.Replaced
	}
	for _, p := range r.Problems {
		out.Problems = append(out.Problems, VerifyProblem{Entry: p.Seq, File: p.File, Offset: p.Offset, What: p.What})
	}
	return out
}
