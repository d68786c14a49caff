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
	Owner   string    `json:"owner,omitempty"`  // subject of the person an agent acts for
	Method  string    `json:"method"`           // how it was verified: "oidc", "dev"
	Issuer  string    `json:"issuer,omitempty"` // who vouched for it
	Expires time.Time `json:"expires"`          // after this moment it is nobody
}

// Name is what people call the caller: the address if there is one, else the subject.
func (id Identity) Name() string {
	if id.Email != "" {
		return id.Email
	}
	return id.Subject
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
