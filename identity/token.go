package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// How long a token can be used.
const (
	DefaultTokenTTL = 15 * time.Minute
	MaxTokenTTL     = 24 * time.Hour
)

// tokenMark begins every token, so that scanners for secrets find one that was
// committed somewhere.
const tokenMark = "sluice_token_"

// Token is a secret that buys certificates, for programs that no issuer vouches for:
// a job in a CI system without OIDC, or an agent. Only its hash is kept. The zero
// value buys nothing.
type Token struct {
	ID          string    `json:"id"`
	Hash        string    `json:"hash"` // SHA-256 of the whole token, hex: it is random, so that nothing slower is needed
	Kind        Kind      `json:"kind"` // Job or Agent
	Name        string    `json:"name"` // of the job or agent, for people
	Groups      []string  `json:"groups,omitempty"`
	Connections []string  `json:"connections,omitempty"` // it is good for; nil for all that the groups reach
	Granted     bool      `json:"granted,omitempty"`     // an administrator gave it those connections
	Writes      bool      `json:"writes,omitempty"`      // an agent's: it may change data, as far as the policy lets it
	Uses        int       `json:"uses"`                  // certificates it still buys; Unlimited until it expires
	Made        Maker     `json:"made"`
	Created     time.Time `json:"created"`
	Expires     time.Time `json:"expires"`
	Ends        time.Time `json:"ends,omitzero"` // no certificate got with it lasts longer: when the maker's own access ends
	Revoked     time.Time `json:"revoked,omitzero"`
}

// Unlimited uses.
const Unlimited = -1

// Maker is who made a token, as of then.
type Maker struct {
	Subject    string `json:"subject"`
	Name       string `json:"name"`
	Email      string `json:"email,omitempty"`
	Issuer     string `json:"issuer,omitempty"`
	Credential string `json:"credential,omitempty"` // serial number of the certificate they made it with
}

// Why a token buys nothing. They are one sentence to whoever presents it, so that
// guessing teaches nothing; the record has the difference.
var (
	ErrTokenUnknown = errors.New("there is no such token")
	ErrTokenSpent   = errors.New("it was used as often as it may be")
	ErrTokenExpired = errors.New("it has expired")
	ErrTokenRevoked = errors.New("it was revoked")
)

func (t *Token) check() error {
	switch {
	case !isTokenID(t.ID), len(t.Hash) != 2*sha256.Size, t.Kind != Job && t.Kind != Agent, t.Made.Subject == "", t.Expires.IsZero():
		return fmt.Errorf("the token %q is damaged", t.ID)
	}
	return nil
}

func (t *Token) revoke(now time.Time) {
	if t.Revoked.IsZero() {
		t.Revoked = now.UTC()
	}
}

// State is what became of a token, in one word.
func (t *Token) State(now time.Time) string {
	switch {
	case !t.Revoked.IsZero():
		return "revoked"
	case t.Uses == 0:
		return "used"
	case !now.Before(t.Expires):
		return "expired"
	}
	return "good"
}

// identity is whom a certificate got with the token names.
func (t *Token) identity() Identity {
	id := Identity{
		Kind: t.Kind, Groups: slices.Clone(t.Groups), Only: slices.Clone(t.Connections), Granted: t.Granted,
		Owner: t.Made.Subject, OwnerName: t.Made.Name, Method: "token", Issuer: t.Made.Issuer, Token: t.ID,
		Expires: t.Ends, Writes: t.Kind == Agent && t.Writes,
	}
	// The owner is part of the subject, so that no two people's programs are one caller.
	id.Subject = string(t.Kind) + ":" + t.Name + ":" + t.Made.Subject
	id.Label = t.Name + " for " + t.Made.Name
	return id
}

// Mint makes a token of the shape t, and gives the secret, which is kept nowhere. ID,
// Hash and Created are set here.
func (s *Standing) Mint(t Token) (secret string, made Token, err error) {
	if err := plainName(t.Name, maxSubject); err != nil {
		return "", Token{}, fmt.Errorf("token: its name %w", err)
	}
	t.ID = "t-" + strings.ToLower(rand.Text()[:12])
	secret = tokenMark + strings.TrimPrefix(t.ID, "t-") + "_" + rand.Text()
	t.Hash, t.Created = hashToken(secret), s.now().UTC()
	if err := t.check(); err != nil {
		return "", Token{}, err
	}
	err = s.change(func(st *standing) error {
		each := 0
		for _, have := range st.Tokens {
			if have.Made.Subject == t.Made.Subject && have.State(s.now()) == "good" {
				each++
			}
		}
		if each >= maxTokensEach || len(st.Tokens) >= maxTokens {
			return fmt.Errorf("there are too many tokens (at most %d of one person, %d in all): revoke some", maxTokensEach, maxTokens)
		}
		// Under the same lock as a revocation, so that none slips in between.
		if _, revoked := st.Revoked[t.Made.Credential]; revoked && t.Made.Credential != "" {
			return &Barred{"this certificate was revoked", "run: sluice login"}
		}
		st.Tokens = append(st.Tokens, t)
		return nil
	})
	return secret, t, err
}

// Redeem gives the identity that a token stands for, and uses it up by one. The use is
// on disk before it is granted, so that a crash never gives it back.
func (s *Standing) Redeem(secret string) (Identity, Token, error) {
	if len(secret) > maxSecret || !strings.HasPrefix(secret, tokenMark) {
		return Identity{}, Token{}, ErrTokenUnknown
	}
	hash, now := hashToken(secret), s.now()
	if found, err := s.redeemable(hash, now); err != nil {
		return Identity{}, found, err // without a write for each guess
	}
	var used Token
	err := s.change(func(st *standing) error {
		i := st.index(hash)
		if i < 0 {
			return ErrTokenUnknown
		}
		t := &st.Tokens[i]
		if err := t.good(now); err != nil {
			used = *t
			return err
		}
		if l := st.lock(t.identity()); l != nil {
			used = *t
			return l.barred()
		}
		if t.Uses > 0 {
			t.Uses--
		}
		used = *t
		return nil
	})
	if err != nil {
		return Identity{}, used, err
	}
	return used.identity(), used, nil
}

// maxSecret is more than a token has.
const maxSecret = 128

func (s *Standing) redeemable(hash string, now time.Time) (Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.state.index(hash)
	if i < 0 {
		return Token{}, ErrTokenUnknown
	}
	return s.state.Tokens[i], s.state.Tokens[i].good(now)
}

func (t *Token) good(now time.Time) error {
	switch t.State(now) {
	case "revoked":
		return ErrTokenRevoked
	case "used":
		return ErrTokenSpent
	case "expired":
		return ErrTokenExpired
	}
	if !t.Ends.IsZero() && !now.Before(t.Ends) {
		return ErrTokenExpired
	}
	return nil
}

// Tokens lists the tokens, the newest first, without their hashes.
func (s *Standing) Tokens() []Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Clone(s.state.Tokens)
	for i := range list {
		list[i].Hash = ""
	}
	slices.Reverse(list)
	return list
}

// Withdraw revokes a token: it buys nothing more, and the certificates got with it are
// refused by Check.
func (s *Standing) Withdraw(id string) (Token, error) {
	var t Token
	err := s.change(func(st *standing) error {
		found := st.token(id)
		if found == nil {
			return ErrTokenUnknown
		}
		found.revoke(s.now())
		t = *found
		return nil
	})
	t.Hash = ""
	return t, err
}

func (st *standing) token(id string) *Token {
	for i := range st.Tokens {
		if st.Tokens[i].ID == id {
			return &st.Tokens[i]
		}
	}
	return nil
}

// index finds a token by its hash, comparing all of them in constant time.
func (st *standing) index(hash string) int {
	at := -1
	for i := range st.Tokens {
		if subtle.ConstantTimeCompare([]byte(st.Tokens[i].Hash), []byte(hash)) == 1 {
			at = i
		}
	}
	return at
}

func hashToken(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// isTokenID reports whether id is written as Mint writes it.
func isTokenID(id string) bool {
	rest, ok := strings.CutPrefix(id, "t-")
	return ok && len(rest) == 12 && strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}
