package identity

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
)

// Limits on what an identity provider and a caller can make us read.
const (
	maxToken    = 32 << 10         // ID tokens with hundreds of groups stay below 20 kB
	maxSubject  = 255              // OpenID Connect Core section 2
	maxGroups   = 1000             // more is a mistake in the provider's mapping
	maxName     = 512              // of one group or address
	oidcTimeout = 10 * time.Second // one exchange with the provider
)

// OIDCConfig names the provider people log in with.
type OIDCConfig struct {
	Issuer      string // exact, as in its discovery document and tokens
	ClientID    string // our client there: the audience of its ID tokens
	GroupsClaim string // claim with the groups, or the way to it; "groups" if empty (groups.go)
	GroupsSplit string // what parts groups in one string: "space" or "comma"; a string is one group if empty

	// Domains gives groups to people of whole domains, for providers that tell none.
	Domains map[string][]string

	AllowedAlgs   []string         // signatures accepted; RS256 and ES256 if empty
	RequireGroups bool             // refuse a token without the groups claim
	Client        *http.Client     // nil for one with a time limit
	Now           func() time.Time // clock
}

// Provider verifies the ID tokens of one issuer. Safe for use by several
// goroutines.
type Provider struct {
	cfg      OIDCConfig
	verifier *oidc.IDTokenVerifier
	spent    spent
}

// NewProvider reads the issuer's discovery document. ctx bounds that exchange
// only; the keys are fetched later, when they are first needed.
func NewProvider(ctx context.Context, cfg OIDCConfig) (*Provider, error) {
	switch {
	case cfg.Issuer == "" || cfg.ClientID == "":
		return nil, errors.New("identity provider: issuer and client_id are both needed")
	case cfg.Now == nil:
		return nil, errors.New("identity provider: no clock given")
	}
	if cfg.GroupsClaim == "" {
		cfg.GroupsClaim = "groups"
	}
	if _, err := separator(cfg.GroupsSplit); err != nil {
		return nil, fmt.Errorf("identity provider: %w", err)
	}
	if len(cfg.AllowedAlgs) == 0 {
		cfg.AllowedAlgs = []string{oidc.RS256, oidc.ES256}
	}
	for _, alg := range cfg.AllowedAlgs {
		if alg == "" || strings.EqualFold(alg, "none") || strings.HasPrefix(strings.ToUpper(alg), "HS") {
			return nil, fmt.Errorf("identity provider: signature algorithm %q proves nothing", alg)
		}
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{Timeout: oidcTimeout}
	}
	p, err := oidc.NewProvider(oidc.ClientContext(ctx, cfg.Client), cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("identity provider %s: %w", cfg.Issuer, err)
	}
	return &Provider{cfg: cfg, verifier: p.Verifier(&oidc.Config{
		ClientID:             cfg.ClientID,
		SupportedSigningAlgs: cfg.AllowedAlgs,
		Now:                  cfg.Now,
	})}, nil
}

// VerifyLogin verifies an ID token for the holder of pub: the token must carry a
// nonce that was made for that key, so that a stolen token buys no certificate
// for another.
func (p *Provider) VerifyLogin(ctx context.Context, raw, nonce string, pub crypto.PublicKey) (Identity, error) {
	if !nonceBinds(nonce, pub) {
		return Identity{}, errors.New("id token: its nonce was not made for this key")
	}
	return p.VerifyIDToken(ctx, raw, nonce)
}

// VerifyDevice is VerifyLogin for a login by device code, in which most providers have
// no place for a nonce. A token without one is not bound to a key, so it must be new,
// and is taken once.
func (p *Provider) VerifyDevice(ctx context.Context, raw, nonce string, pub crypto.PublicKey) (Identity, error) {
	if !nonceBinds(nonce, pub) {
		return Identity{}, errors.New("id token: its nonce was not made for this key")
	}
	tok, claims, err := p.verify(ctx, raw)
	if err != nil {
		return Identity{}, err
	}
	if tok.Nonce != "" {
		return p.VerifyIDToken(ctx, raw, nonce)
	}
	now := p.cfg.Now()
	if tok.IssuedAt.IsZero() || now.Sub(tok.IssuedAt) > freshFor {
		return Identity{}, errors.New("id token: it is not a new one")
	}
	who, err := p.person(tok, claims)
	if err != nil {
		return Identity{}, err
	}
	if !p.spent.take(raw, now, tok.IssuedAt.Add(freshFor)) {
		return Identity{}, errors.New("id token: it was used before")
	}
	return who, nil
}

// VerifyIDToken checks signature, issuer, audience, time and nonce of an ID
// token and gives the person it names.
func (p *Provider) VerifyIDToken(ctx context.Context, raw, nonce string) (Identity, error) {
	if nonce == "" {
		return Identity{}, errors.New("id token: no nonce to compare")
	}
	tok, claims, err := p.verify(ctx, raw)
	if err != nil {
		return Identity{}, err
	}
	if subtle.ConstantTimeCompare([]byte(tok.Nonce), []byte(nonce)) != 1 {
		return Identity{}, errors.New("id token: it belongs to another login (nonce differs)")
	}
	return p.person(tok, claims)
}

// freshFor is how old an ID token may be that renews a certificate: the time between
// the two exchanges, and clocks that differ.
const freshFor = 5 * time.Minute

// VerifyRenewal verifies the ID token that a provider gave for a refresh token, for
// the holder of pub, who is was until now. Such a token mostly has no nonce (OpenID
// Connect Core section 12.2), so the caller must have seen that they hold the key; if
// it has one, that was made for this key. The token must be new and name the same
// person; their groups are what it says now.
func (p *Provider) VerifyRenewal(ctx context.Context, raw string, was Identity, pub crypto.PublicKey) (Identity, error) {
	if was.Kind != Person || was.Method != "oidc" || was.Subject == "" || !was.Valid(p.cfg.Now()) {
		return Identity{}, errors.New("only the login of a person that has not expired can be renewed")
	}
	tok, claims, err := p.verify(ctx, raw)
	if err != nil {
		return Identity{}, err
	}
	switch {
	case tok.Issuer != was.Issuer || tok.Subject != was.Subject:
		return Identity{}, errors.New("id token: it is of another person than the certificate")
	case tok.Nonce != "" && !nonceBinds(tok.Nonce, pub):
		return Identity{}, errors.New("id token: its nonce was not made for this key")
	case p.cfg.Now().Sub(tok.IssuedAt) > freshFor || tok.IssuedAt.IsZero():
		return Identity{}, errors.New("id token: it is not a new one")
	}
	p.spent.take(raw, p.cfg.Now(), tok.IssuedAt.Add(freshFor)) // nobody logs in with it
	return p.person(tok, claims)
}

// verify checks what every ID token must be, whatever it is for.
func (p *Provider) verify(ctx context.Context, raw string) (*oidc.IDToken, map[string]json.RawMessage, error) {
	if len(raw) > maxToken {
		return nil, nil, fmt.Errorf("id token: %d bytes are more than %d", len(raw), maxToken)
	}
	tok, err := p.verifier.Verify(oidc.ClientContext(ctx, p.cfg.Client), raw)
	if err != nil {
		return nil, nil, fmt.Errorf("id token: %w", err)
	}
	// The library forgives one issuer its two spellings; we do not.
	if tok.Issuer != p.cfg.Issuer {
		return nil, nil, fmt.Errorf("id token: issued by %q, not %q", tok.Issuer, p.cfg.Issuer)
	}
	if !p.cfg.Now().Before(tok.Expiry) {
		return nil, nil, errors.New("id token: it has expired")
	}
	if err := plainName(tok.Subject, maxSubject); err != nil {
		return nil, nil, fmt.Errorf("id token: subject %w", err)
	}
	var claims map[string]json.RawMessage
	if err := tok.Claims(&claims); err != nil {
		return nil, nil, fmt.Errorf("id token: %w", err)
	}
	// A token for several audiences says in azp who asked for it (Core 3.1.3.7).
	if azp, ok := claims["azp"]; (ok || len(tok.Audience) > 1) && stringClaim(azp) != p.cfg.ClientID {
		return nil, nil, errors.New("id token: it was issued to another application (azp differs)")
	}
	return tok, claims, nil
}

// person is whom a verified token names.
func (p *Provider) person(tok *oidc.IDToken, claims map[string]json.RawMessage) (Identity, error) {
	groups, err := p.groups(claims)
	if err != nil {
		return Identity{}, err
	}
	return Identity{
		Subject: tok.Subject,
		Email:   email(claims),
		Groups:  groups,
		Kind:    Person,
		Method:  "oidc",
		Issuer:  tok.Issuer,
		Expires: tok.Expiry.UTC(),
	}, nil
}

// email gives the address to show, unless the provider says it is unverified or
// it could deceive whoever reads it.
func email(claims map[string]json.RawMessage) string {
	// Some providers send the flag as a string.
	if v, ok := claims["email_verified"]; ok && strings.Trim(string(v), `"`) != "true" {
		return ""
	}
	addr := stringClaim(claims["email"])
	if plainName(addr, maxName) != nil {
		return ""
	}
	return addr
}

func stringClaim(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// plainName refuses names that could not be shown as what they are.
func plainName(s string, limit int) error {
	if s == "" || len(s) > limit {
		return fmt.Errorf("is empty or longer than %d bytes", limit)
	}
	for _, r := range s {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return errors.New("holds characters that cannot be shown")
		}
	}
	return nil
}

// NonceFor makes the nonce of a login: random, and bound to the key that the
// certificate will be for.
func NonceFor(pub crypto.PublicKey) (string, error) {
	salt := rand.Text()
	sum, err := nonceSum(salt, pub)
	if err != nil {
		return "", err
	}
	return salt + "." + sum, nil
}

func nonceBinds(nonce string, pub crypto.PublicKey) bool {
	salt, got, ok := strings.Cut(nonce, ".")
	if !ok || len(salt) < 16 {
		return false
	}
	want, err := nonceSum(salt, pub)
	return err == nil && subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1
}

func nonceSum(salt string, pub crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("encode the public key: %w", err)
	}
	h := sha256.New()
	h.Write([]byte("sluice login nonce\x00" + salt + "\x00"))
	h.Write(der)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)), nil
}
