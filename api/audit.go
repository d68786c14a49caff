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
	ID         string     `json:"id,omitempty"`      // of the event
	Of         string     `json:"of,omitempty"`      // id of the event it belongs to
	Limit      int        `json:"limit,omitempty"`   // 0 means the gateway's default
	Before     uint64     `json:"before,omitempty"`  // page: only entries with a smaller number; 0 for the newest
}

// AuditResult is a page of events, newest first.
type AuditResult struct {
	Events []audit.Event `json:"events"`
	Next   uint64        `json:"next,omitempty"` // Before of the next page; 0 if there is none
	Size   uint64        `json:"size"`           // entries in the record when it was read
}

// VerifyResult is what a check of the whole record found.
type VerifyResult struct {
	OK          bool            `json:"ok"`
	Origin      string          `json:"origin"`
	Entries     uint64          `json:"entries"`        // entries checked
	Sealed      uint64          `json:"sealed"`         // of them under a signed checkpoint
	Checkpoints int             `json:"checkpoints"`    // signed states checked
	Root        string          `json:"root,omitempty"` // hash of the tree, base64
	Signer      string          `json:"signer"`         // name and hash of the key
	SelfSigned  bool            `json:"self_signed"`    // the key came from the record's own directory
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
		OK: r.OK(), Origin: r.Origin, Entries: r.Entries, Sealed: r.Sealed, Checkpoints: r.Checkpoints,
		Root: r.Root, Signer: r.Signer, SelfSigned: r.SelfSigned, Problems: []VerifyProblem{},
	}
	for _, p := range r.Problems {
		out.Problems = append(out.Problems, VerifyProblem{Entry: p.Seq, File: p.File, Offset: p.Offset, What: p.What})
	}
	return out
}
