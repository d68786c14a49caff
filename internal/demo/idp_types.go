package demo

import (
	"crypto/ecdsa"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// authRequest is one login under way. The store's own are guarded by its lock;
// the library is given copies.
type authRequest struct {
	id       string
	req      oidc.AuthRequest
	expires  time.Time
	subject  string // empty until somebody has signed in
	authTime time.Time
}

func (r *authRequest) copy() *authRequest { c := *r; return &c }

func (r *authRequest) GetID() string                      { return r.id }
func (r *authRequest) GetACR() string                     { return "" }
func (r *authRequest) GetAMR() []string                   { return []string{"demo"} }
func (r *authRequest) GetAudience() []string              { return []string{r.req.ClientID} }
func (r *authRequest) GetAuthTime() time.Time             { return r.authTime }
func (r *authRequest) GetClientID() string                { return r.req.ClientID }
func (r *authRequest) GetNonce() string                   { return r.req.Nonce }
func (r *authRequest) GetRedirectURI() string             { return r.req.RedirectURI }
func (r *authRequest) GetResponseType() oidc.ResponseType { return r.req.ResponseType }
func (r *authRequest) GetResponseMode() oidc.ResponseMode { return r.req.ResponseMode }
func (r *authRequest) GetScopes() []string                { return r.req.Scopes }
func (r *authRequest) GetState() string                   { return r.req.State }
func (r *authRequest) GetSubject() string                 { return r.subject }
func (r *authRequest) Done() bool                         { return r.subject != "" }
func (r *authRequest) GetCodeChallenge() *oidc.CodeChallenge {
	return &oidc.CodeChallenge{Challenge: r.req.CodeChallenge, Method: r.req.CodeChallengeMethod}
}

// refreshGrant is what a refresh token stands for. The store's own are guarded by its
// lock; the library is given copies.
type refreshGrant struct {
	client   string
	subject  string
	scopes   []string
	login    string // all tokens of one login have it in common
	authTime time.Time
	expires  time.Time
	used     bool // there is a newer one
}

func (g *refreshGrant) copy() *refreshGrant { c := *g; return &c }

func (g *refreshGrant) GetAMR() []string                 { return []string{"demo"} }
func (g *refreshGrant) GetAudience() []string            { return []string{g.client} }
func (g *refreshGrant) GetAuthTime() time.Time           { return g.authTime }
func (g *refreshGrant) GetClientID() string              { return g.client }
func (g *refreshGrant) GetScopes() []string              { return g.scopes }
func (g *refreshGrant) GetSubject() string               { return g.subject }
func (g *refreshGrant) SetCurrentScopes(scopes []string) { g.scopes = scopes }

// idpClient is the one program that may ask: public (it can keep no secret),
// native (it returns to a loopback port of its choice).
type idpClient struct{ id string }

func (c idpClient) GetID() string                        { return c.id }
func (c idpClient) RedirectURIs() []string               { return []string{"http://127.0.0.1/callback"} }
func (c idpClient) PostLogoutRedirectURIs() []string     { return nil }
func (c idpClient) ApplicationType() op.ApplicationType  { return op.ApplicationTypeNative }
func (c idpClient) AuthMethod() oidc.AuthMethod          { return oidc.AuthMethodNone }
func (c idpClient) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeBearer }
func (c idpClient) IDTokenLifetime() time.Duration       { return tokenLifetime }
func (c idpClient) DevMode() bool                        { return false }
func (c idpClient) IDTokenUserinfoClaimsAssertion() bool { return true }
func (c idpClient) ClockSkew() time.Duration             { return 0 }
func (c idpClient) IsScopeAllowed(scope string) bool {
	return scope == "groups" || scope == oidc.ScopeOfflineAccess
}
func (c idpClient) LoginURL(id string) string { return "/login?id=" + url.QueryEscape(id) }
func (c idpClient) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}

func (c idpClient) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeDeviceCode, oidc.GrantTypeRefreshToken}
}

func (c idpClient) RestrictAdditionalIdTokenScopes() func([]string) []string { return allScopes }

func (c idpClient) RestrictAdditionalAccessTokenScopes() func([]string) []string { return allScopes }

func allScopes(scopes []string) []string { return scopes }

// signingKey lives as long as the process; publicKey is its public half as the
// key set shows it.
type signingKey struct {
	id  string
	key *ecdsa.PrivateKey
}

func (k signingKey) ID() string                                  { return k.id }
func (k signingKey) Key() any                                    { return k.key }
func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.ES256 }

type publicKey signingKey

func (k publicKey) ID() string                         { return k.id }
func (k publicKey) Key() any                           { return &k.key.PublicKey }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.ES256 }
