// Package approval holds statements until enough of the right people answer. An
// Ask is bound to one statement, its parameters, the caller, the session and the
// connection; its Answer releases that execution once and nothing else. The zero
// Answer says no. Nobody answers their own ask.
package approval

import (
	"time"

	"github.com/sluicehq/sluice/identity"
)

// Quorum says who must agree before an ask is granted.
type Quorum struct {
	Groups []string `json:"groups"`        // members of any of these may answer; nobody may if empty
	Count  int      `json:"count"`         // distinct people needed; below 1 means 1
	And    []Quorum `json:"and,omitempty"` // further quorums that must be met as well: several rules hold one statement
}

// Ask is a statement that waits.
type Ask struct {
	ID         string            // short, given by the desk: what people type
	Who        identity.Identity // the caller who waits
	Connection string            //
	Session    string            //
	SQL        string            // text of the whole message that waits
	Params     []string          // bind parameters as text, "NULL" for null
	Kind       string            // statement kind, for the list
	Hash       string            // Bind(…) of all that the answer is bound to
	Rule       string            // name of the rule that held it
	Reason     string            // why, from the rule
	Quorum     Quorum            //
	Created    time.Time         //
	Deadline   time.Time         // absolute; after it the ask is denied
}

// Vote is one person's decision on an ask.
type Vote struct {
	Who    identity.Identity
	Grant  bool
	Reason string
	At     time.Time
}

// Answer ends an ask. The zero Answer refuses.
type Answer struct {
	Granted bool
	Hash    string // the ask's hash: the caller must compare before it runs anything
	Votes   []Vote // who decided, in order
	Why     string // for people: "approved by …", "denied by …: reason", "nobody answered in 15m0s", "cancelled"
}
