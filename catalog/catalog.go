// Package catalog holds what a database contains: relations, columns, types,
// views and functions, as one immutable Snapshot read with a handful of queries,
// and the labels that say which columns hold personal data. A snapshot answers
// query.Schema. What is not in it is unknown, never assumed harmless.
package catalog

import "github.com/sluicehq/sluice/query"

// Label is what is known of a column's content.
type Label struct {
	PII        bool    // personal data or a secret
	Type       string  // "email", "person", "phone", …; "" if not PII
	Where      string  // "whole", "embedded" or "json"; "" if not PII
	Clean      bool    // known to hold nothing personal: its bytes may pass unread
	Confidence float64 // 0 to 1
	Evidence   string  // one line for people: what in name or content led to it
}

// Column is one column of a relation.
type Column struct {
	Name    string
	Type    string // as format_type prints it, domains resolved to their base
	TypeOID uint32 // base type
	Comment string
	Label   Label // zero until labelled: neither PII nor clean, so unknown
}

// Snapshot is the catalogue of one database at one moment. It is never changed
// once published; a refresh makes a new one.
type Snapshot struct {
	Database  string
	Version   uint64 // grows with every refresh that found a difference
	relations map[string][]*entry
	harmless  map[string]bool
	path      []string // search_path of a fresh session; nil means unknown
}

type entry struct {
	rel     query.Relation
	columns []Column
}
