package api

import "time"

// ReplayRequest asks what a changed policy would have done to the decisions of the
// record. Empty fields do not narrow.
type ReplayRequest struct {
	Policy     PolicyFile  `json:"policy"`            // the changed one
	Against    *PolicyFile `json:"against,omitempty"` // what to compare with; the policy in force if nil
	Since      time.Time   `json:"since,omitzero"`
	Until      time.Time   `json:"until,omitzero"`
	Who        string      `json:"who,omitempty"` // name, subject or owner
	Connection string      `json:"connection,omitempty"`
}

// PolicyFile is a policy as somebody wrote it.
type PolicyFile struct {
	Source string `json:"source"` // file name, for its errors
	Text   string `json:"text"`   // YAML
}

// ReplayResult is the difference between two policies, told by decisions of the
// record. Decisions = Same + Changed + Unsure + Own.
type ReplayResult struct {
	Policy    Policy         `json:"policy"`
	Against   Policy         `json:"against"`
	Decisions uint64         `json:"decisions"` // read
	Same      uint64         `json:"same"`      // both policies say the same
	Changed   uint64         `json:"changed"`   //
	Unsure    uint64         `json:"unsure"`    // what the record keeps does not suffice to tell
	Own       uint64         `json:"own"`       // refused by Sluice itself, whatever the policy says
	Drifted   uint64         `json:"drifted"`   // decided by what was recorded, because today's catalogue would tell it otherwise
	Totals    []ReplayTotal  `json:"totals"`    // of the changes, the most first
	Changes   []ReplayChange `json:"changes"`   // by rule, identity and statement shape, the most first
	Unlisted  uint64         `json:"unlisted"`  // changed decisions that Changes has no room for
	Doubts    []ReplayDoubt  `json:"doubts"`    // why Unsure are, the most first
}

// ReplayTotal counts the decisions that change in one way.
type ReplayTotal struct {
	From  string `json:"from"` // effect, as To
	To    string `json:"to"`
	Count uint64 `json:"count"`
}

// ReplayChange is what changes for statements of one shape from one identity.
type ReplayChange struct {
	From        string    `json:"from"` // effect, as To
	To          string    `json:"to"`
	What        string    `json:"what"` // for people: "allow -> hold", or what differs though the effect does not
	FromRule    string    `json:"from_rule"`
	ToRule      string    `json:"to_rule"`
	Reason      string    `json:"reason"` // of ToRule
	Who         string    `json:"who"`
	Kind        string    `json:"kind"` // of the caller
	Connection  string    `json:"connection"`
	Fingerprint string    `json:"fingerprint"`
	Statement   string    `json:"statement"` // kind
	Count       uint64    `json:"count"`
	First       time.Time `json:"first"`
	Last        time.Time `json:"last"`
	Example     string    `json:"example"` // text of the latest, cut
	Event       string    `json:"event"`   // its id in the record
}

// ReplayDoubt is why some decisions cannot be made again.
type ReplayDoubt struct {
	Why     string   `json:"why"`
	Needs   []string `json:"needs"` // names that a rule looks at and the record does not tell
	Count   uint64   `json:"count"`
	Example string   `json:"example"`
	Event   string   `json:"event"`
}
