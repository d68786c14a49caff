package api

import "time"

// The names of a token exchange (RFC 8693 section 2.1 and 3).
const (
	GrantExchange     = "urn:ietf:params:oauth:grant-type:token-exchange"
	TypeJWT           = "urn:ietf:params:oauth:token-type:jwt" // a token of an issuer under workloads
	TypeSecret        = "urn:sluice:token-type:secret"         // one of sluice token create
	TypeCertificate   = "urn:sluice:token-type:certificate"    // what is given for both
	TokenTypeNoBearer = "N_A"                                  // RFC 8693 section 2.2.1: it is good for nothing without its key
)

// TokenExchange trades a token for a certificate: the request of RFC 8693, as JSON, and
// the public half of a key that the caller made. Only the private half makes use of
// what comes back.
type TokenExchange struct {
	GrantType          string `json:"grant_type"`
	SubjectToken       string `json:"subject_token"`
	SubjectTokenType   string `json:"subject_token_type"`
	RequestedTokenType string `json:"requested_token_type,omitempty"`
	PublicKeyPEM       string `json:"public_key"` // SubjectPublicKeyInfo
}

// TokenExchanged is the answer of RFC 8693 section 2.2.1.
type TokenExchanged struct {
	AccessToken     string `json:"access_token"` // the certificate, PEM
	IssuedTokenType string `json:"issued_token_type"`
	TokenType       string `json:"token_type"`
	ExpiresIn       int64  `json:"expires_in"` // seconds
	Identity        WhoAmI `json:"identity"`
}

// TokenRequest asks for a token for a program that no issuer vouches for.
type TokenRequest struct {
	Kind        string        `json:"kind"` // "job" or "agent"
	Name        string        `json:"name"`
	Connections []string      `json:"connections,omitempty"` // needed for a job
	Groups      []string      `json:"groups,omitempty"`      // of the caller's own; all of them if empty
	TTL         time.Duration `json:"ttl,omitempty"`         // nanoseconds; 0 for the default
	Uses        int           `json:"uses,omitempty"`        // 0 for the default: one of a job, any number of an agent
	Writes      bool          `json:"writes,omitempty"`      // an agent's: it may change data, as far as the policy lets it
}

// TokenMade is a new token. Secret is told here and never again.
type TokenMade struct {
	Secret string `json:"secret"`
	Token  Token  `json:"token"`
}

// Token is what is known of one, without its secret.
type Token struct {
	ID          string    `json:"id"`
	Kind        string    `json:"kind"`
	Name        string    `json:"name"`
	Owner       string    `json:"owner"` // who made it, and whose rights it has at most
	Groups      []string  `json:"groups,omitempty"`
	Connections []string  `json:"connections,omitempty"`
	Uses        int       `json:"uses"`             // left; -1 for any number
	Writes      bool      `json:"writes,omitempty"` // of an agent: it may change data
	Created     time.Time `json:"created"`
	Expires     time.Time `json:"expires"`
	State       string    `json:"state"` // good, used, expired, revoked
}

// Reason says why, for the record.
type Reason struct {
	Reason string `json:"reason,omitempty"`
}

// Revoked says what a lock or a revocation ended.
type Revoked struct {
	What     string `json:"what"`
	Sessions int    `json:"sessions"`
	Tunnels  int    `json:"tunnels"`
}

// User is somebody who is connected, or locked.
type User struct {
	Subject  string    `json:"subject,omitempty"`
	Name     string    `json:"name"`
	Kind     string    `json:"kind,omitempty"`
	Owner    string    `json:"owner,omitempty"`
	Tunnels  int       `json:"tunnels"`
	Sessions int       `json:"sessions"`
	Locked   bool      `json:"locked"`
	Reason   string    `json:"reason,omitempty"` // of the lock, as the next two
	By       string    `json:"by,omitempty"`
	Since    time.Time `json:"since,omitzero"`
}

// UserLock names whom to lock or unlock.
type UserLock struct {
	Name   string `json:"name"` // subject or address
	Reason string `json:"reason,omitempty"`
}
