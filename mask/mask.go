// Package mask hides values. It finds what is personal (Classify for columns,
// Scan for single values), decides per result column when a statement is
// described (NewPlan), and applies the decision to rows, COPY data and messages.
// A column whose source is unknown is never passed unread. The package is pure
// but for its dictionaries, and holds no state between calls.
package mask

// Type names a kind of personal data or secret, such as "email" or "card".
type Type string

// State is what happens to the values of one result column. The zero value hides.
type State int

// The states of a result column.
const (
	Hide    State = iota // every value is replaced whole: derived from personal data, or of unknown origin in an unreadable type
	PII                  // every value is masked in the manner of its Type, without looking
	Unknown              // every value is scanned; hits are hidden
	Clean                // bytes are forwarded untouched
)

// Column is one result column as the plan needs it.
type Column struct {
	Name    string
	State   State
	Type    Type   // with PII: how to mask
	Label   string // for people and the record: which personal data it holds
	TypeOID uint32 // PostgreSQL type of the result column, base type of domains
	Binary  bool   // result format code is 1
}
