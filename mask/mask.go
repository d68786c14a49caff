// Package mask hides values. It finds what is personal (Classify for columns,
// Scan for single values), decides per result column when a statement is
// described (Resolve, NewPlan), and applies the decision to rows, COPY data and
// messages. A column whose source is unknown is never passed unread. The package
// is pure but for its dictionaries, and holds no state between calls.
package mask

import "strings"

// Type names a kind of personal data or secret, such as "email" or "card".
type Type string

// The types that have a mask or a detector of their own. Others are hidden whole.
const (
	Email      Type = "email"
	Person     Type = "person"
	Phone      Type = "phone"
	Card       Type = "card"
	IBAN       Type = "iban"
	Account    Type = "account"
	SSN        Type = "ssn"
	NationalID Type = "national_id"
	TaxID      Type = "tax_id"
	Passport   Type = "passport"
	Licence    Type = "driving_licence"
	Plate      Type = "licence_plate"
	Device     Type = "device_id"
	IP         Type = "ip"
	MAC        Type = "mac"
	BirthDate  Type = "dob"
	Address    Type = "address"
	Salary     Type = "salary"
	Health     Type = "health"
	Belief     Type = "belief" // religion, ethnicity, orientation, party
	Location   Type = "location"
	Username   Type = "username"
	Secret     Type = "secret" // passwords, their hashes, keys, tokens
	JWT        Type = "jwt"
	Text       Type = "text"     // free text or JSON with personal data of several types
	Statement  Type = "sql"      // text of statements, which quote values
	Statistics Type = "stats"    // values copied out of tables by ANALYZE
	Opaque     Type = "personal" // personal data of a type not known any more
)

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

	// Pseudonyms are put in the place of values, and of parts of values, of the types they
	// are for; nil masks all.
	Pseudonyms *Pseudonyms

	bytes bool // values of a type that is not known, in binary: what is text in them is read
}

// SourceLabel is what is known of one base column whose value reaches a result
// column. The zero value is a source of which nothing is known.
type SourceLabel struct {
	Type   Type
	PII    bool
	Clean  bool
	Direct bool   // the value itself, not through an expression
	Where  string // with PII: "whole", "embedded" or "json"; "" counts as whole
}

// Resolve decides what happens to a result column from its sources.
//
//   - One direct source of personal data, and no other source: PII. If the data is
//     embedded in text or JSON, the values are read and only the hits are hidden.
//   - Personal data through an expression, or mixed with other sources: Hide.
//   - Any source of which nothing is known, or sources that could not be worked out:
//     Unknown where the values can be read. A number, date or truth value of unknown
//     origin cannot be told from personal data by looking at it, so it is hidden
//     when the sources are not known; when they are known and only their content is
//     not, the types that hold nothing personal by themselves pass.
//   - All sources clean, or no source at all (constants, count(*)): Clean.
//
// The name of a result column is chosen by whoever asks. It can therefore show
// that a column is personal, but never that it is clean.
func Resolve(sources []SourceLabel, known bool, oid uint32, binary bool, name string) Column {
	c := Column{Name: name, TypeOID: oid, Binary: binary}
	unread := 0
	var labels []string
	for _, s := range sources {
		switch {
		case s.PII:
			if l := string(s.Type); !contains(labels, l) {
				labels = append(labels, l)
			}
		case !s.Clean:
			unread++
		}
	}
	if len(labels) > 0 {
		c.Label = strings.Join(labels, ", ")
		if known && len(sources) == 1 && sources[0].Direct {
			c.State, c.Type = directState(sources[0], oid, binary), sources[0].Type
		}
		return c
	}
	if known && unread == 0 {
		c.State = Clean
		return c
	}
	return resolveUnread(c, known)
}

// directState keeps the readable rest of a text in which personal data is embedded.
// A type that cannot be read is masked whole.
func directState(s SourceLabel, oid uint32, binary bool) State {
	if (s.Where == "embedded" || s.Where == "json") && readable(oid, binary) {
		return Unknown
	}
	return PII
}

func resolveUnread(c Column, known bool) Column {
	if t, strong := NameType(c.Name); strong && kindOf(c.TypeOID) == kindText {
		c.State, c.Type, c.Label = PII, t, string(t)
		return c
	}
	switch {
	case known && (alwaysClean(c.TypeOID) || plainRange(c.TypeOID)):
		c.State = Clean
	case known && bytewise(c.TypeOID, c.Binary):
		c.State, c.bytes = Unknown, true
	case readable(c.TypeOID, c.Binary), known && scannable(c.TypeOID):
		c.State = Unknown
	default:
		c.State, c.Label = Hide, "unknown"
	}
	return c
}

func contains[S ~string](list []S, s S) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
