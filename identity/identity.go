// Package identity answers who is asking. It verifies what an identity provider
// says of a person, turns that into a short-lived client certificate for a key
// that never left the person's machine, and reads the certificate back on every
// connection. It guarantees that an Identity it returns was vouched for and has
// not expired; anything less is an error.
package identity

import "time"

// Kind is what sort of caller an Identity is. The zero value is nobody: rules
// that grant something must name one of the others.
type Kind string

// The kinds of caller.
const (
	Nobody Kind = ""
	Person Kind = "person"
	Job    Kind = "job"
	Agent  Kind = "agent"
)

// Identity is a verified caller. The zero value is nobody and may do nothing.
type Identity struct {
	Subject string    `json:"subject"`          // stable name the issuer gives: issuer-scoped "sub" for people
	Email   string    `json:"email,omitempty"`  // shown to people; never compared for rights alone
	Groups  []string  `json:"groups,omitempty"` // as mapped from the issuer's claims
	Kind    Kind      `json:"kind"`             // person, job or agent
	Owner   string    `json:"owner,omitempty"`  // subject of the person an agent acts for, or whose token a job has
	Method  string    `json:"method"`           // how it was verified: "oidc", "dev"
	Issuer  string    `json:"issuer,omitempty"` // who vouched for it
	Expires time.Time `json:"expires"`          // after this moment it is nobody

	Label     string            `json:"label,omitempty"`      // what a job or an agent is called
	OwnerName string            `json:"owner_name,omitempty"` // what people call the owner
	Claims    map[string]string `json:"claims,omitempty"`     // of a job: what its issuer says of it, for the record
	Only      []string          `json:"only,omitempty"`       // the connections it may open at most; nil if its groups alone say which
	Granted   bool              `json:"granted,omitempty"`    // an administrator gave it those in Only, whatever its groups
	Token     string            `json:"token,omitempty"`      // id of the Sluice token that its certificate was got with
	Writes    bool              `json:"writes,omitempty"`     // of an agent: its owner lets it change data, as far as the policy does

	Credential string `json:"-"` // serial number of the certificate it was read from
}

// Name is what people call the caller: the address if there is one, else the label,
// else the subject.
func (id Identity) Name() string {
	switch {
	case id.Email != "":
		return id.Email
	case id.Label != "":
		return id.Label
	}
	return id.Subject
}

// Same reports whether two identities are one caller. Subjects are names within one
// issuer, so that they alone say nothing.
func (id Identity) Same(other Identity) bool {
	return id.Subject == other.Subject && id.Issuer == other.Issuer && id.Kind == other.Kind
}

// Key is a text that tells callers apart as Same does.
func (id Identity) Key() string {
	return id.Subject + "\x00" + string(id.Kind) + "\x00" + id.Issuer
}

// Valid reports whether the identity names somebody and has not expired at now.
func (id Identity) Valid(now time.Time) bool {
	return id.Subject != "" && id.Kind != Nobody && now.Before(id.Expires)
}

// In reports whether the caller belongs to group.
func (id Identity) In(group string) bool {
	for _, g := range id.Groups {
		if g == group && g != "" {
			return true
		}
	}
	return false
}
