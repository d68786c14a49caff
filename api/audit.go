package api

import (
	"time"

	"github.com/sluicehq/sluice/audit"
)

// AuditQuery asks for events of the record. Empty fields do not narrow; several
// values in one field mean any of them.
type AuditQuery struct {
	Since      time.Time    `json:"since,omitzero"`
	Until      time.Time    `json:"until,omitzero"`
	Kinds      []audit.Kind `json:"kinds,omitempty"`
	Who        string       `json:"who,omitempty"` // name or subject
	Connection string       `json:"connection,omitempty"`
	Session    string       `json:"session,omitempty"`
	Effect     string       `json:"effect,omitempty"`
	Rule       string       `json:"rule,omitempty"`
	Reads      string       `json:"reads,omitempty"`  // schema.table.column, or a leading part of it
	Writes     string       `json:"writes,omitempty"` // schema.table, or a leading part of it
	Text       string       `json:"text,omitempty"`   // words in the statement
	ID         string       `json:"id,omitempty"`     // one event and what belongs to it
	Limit      int          `json:"limit,omitempty"`  // 0 means the gateway's default
	Before     uint64       `json:"before,omitempty"` // page: only entries with a smaller number; 0 for the newest
}

// AuditResult is a page of events, newest first.
type AuditResult struct {
	Events []audit.Event `json:"events"`
	Next   uint64        `json:"next,omitempty"` // Before of the next page; 0 if there is none
	Size   uint64        `json:"size"`           // entries in the record when it was read
}

// VerifyResult is what a check of the whole record found.
type VerifyResult struct {
	OK          bool   `json:"ok"`
	Size        uint64 `json:"size"`              // entries checked
	Checkpoints int    `json:"checkpoints"`       // signed states checked
	Root        string `json:"root,omitempty"`    // hash of the tree, base64
	Entry       int64  `json:"entry,omitempty"`   // first entry that does not fit, from 1; 0 if all do
	Problem     string `json:"problem,omitempty"` // one sentence when not OK
}
