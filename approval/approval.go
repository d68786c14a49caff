// Package approval holds statements until enough of the right people answer. An
// Ask is bound to one statement, its parameters, the caller, the session and the
// connection; its Answer releases that execution once and nothing else. The zero
// Answer says no. Nobody answers their own ask, but for break-glass: a rule may let
// members of a group release their own, with a reason and in everybody's sight.
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

	Escalate   *Escalation `json:"escalate,omitempty"`    // who may answer besides, after a time
	BreakGlass []string    `json:"break_glass,omitempty"` // groups whose members may release their own ask, with a reason
}

// Escalation widens a quorum when nobody answered for a while.
type Escalation struct {
	After  time.Duration `json:"after"`  // since the ask was made
	Groups []string      `json:"groups"` // members of these may answer from then on
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
	Seal       string            // of this ask alone, given by the desk: what a vote must repeat
	Rule       string            // name of the rule that held it
	Reason     string            // why, from the rule
	Quorum     Quorum            //
	Created    time.Time         //
	Deadline   time.Time         // absolute; after it the ask is denied
	Evidence   *Evidence         // what is known beside the text; nil if nothing
	Data       any               `json:"-"` // the asker's own: comes back in each Open
}

// Vote is one person's decision on an ask.
type Vote struct {
	Who        identity.Identity
	Grant      bool
	BreakGlass bool   // the asker releases it alone; needs Reason
	Saw        string // Seal of the ask that was looked at: without it nothing is granted
	Reason     string
	At         time.Time
}

// Answer ends an ask. The zero Answer refuses.
type Answer struct {
	Granted    bool
	BreakGlass bool   // granted by its own author, past the quorum
	Hash       string // the ask's hash: the caller must compare before it runs anything
	Votes      []Vote // who decided, in order
	Why        string // for people: "approved by …", "denied by …: reason", "nobody answered in 15m0s", "cancelled"
}
