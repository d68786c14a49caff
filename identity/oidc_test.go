package identity

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

// issuer is an identity provider that signs whatever it is told to.
type issuer struct {
	*httptest.Server
	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	rk, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	is := &issuer{rsa: rk, ec: newKey(t)}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{
			"issuer": is.URL, "authorization_endpoint": is.URL + "/auth", "token_endpoint": is.URL + "/token",
			"jwks_uri": is.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256", "ES256", "HS256", "none"},
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
			{Key: rk.Public(), KeyID: "r", Use: "sig"}, {Key: is.ec.Public(), KeyID: "e", Use: "sig"},
		}})
	})
	is.Server = httptest.NewServer(mux)
	t.Cleanup(is.Close)
	return is
}

func (is *issuer) sign(t *testing.T, alg jose.SignatureAlgorithm, key any, kid string, claims map[string]any) string {
	t.Helper()
	return is.signTyped(t, alg, key, kid, nil, claims)
}

func (is *issuer) signTyped(t *testing.T, alg jose.SignatureAlgorithm, key any, kid string, opt *jose.SignerOptions, claims map[string]any) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, opt)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	obj, err := s.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := obj.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (is *issuer) claims(c *clock, change map[string]any) map[string]any {
	m := map[string]any{
		"iss": is.URL, "aud": "sluice", "sub": "u1", "nonce": "n-1", "email": "ada@example.com",
		"iat": c.t.Unix(), "exp": c.t.Add(5 * time.Minute).Unix(), "groups": []string{"support", "dba", "dba"},
	}
	for k, v := range change {
		if v == nil {
			delete(m, k)
		} else {
			m[k] = v
		}
	}
	return m
}

func (is *issuer) provider(t *testing.T, c *clock, change func(*OIDCConfig)) *Provider {
	t.Helper()
	cfg := OIDCConfig{Issuer: is.URL, ClientID: "sluice", Now: c.now}
	if change != nil {
		change(&cfg)
	}
	p, err := NewProvider(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestVerifyIDToken(t *testing.T) {
	c, is := newClock(), newIssuer(t)
	p := is.provider(t, c, nil)
	want := Identity{
		Subject: "u1", Email: "ada@example.com", Groups: []string{"dba", "support"}, Kind: Person,
		Method: "oidc", Issuer: is.URL, Expires: c.t.Add(5 * time.Minute),
	}
	for _, raw := range []string{
		is.sign(t, jose.RS256, is.rsa, "r", is.claims(c, nil)),
		is.sign(t, jose.ES256, is.ec, "e", is.claims(c, nil)),
	} {
		got, err := p.VerifyIDToken(t.Context(), raw, "n-1")
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
}

func TestClaimsAsProvidersSendThem(t *testing.T) {
	c, is := newClock(), newIssuer(t)
	p := is.provider(t, c, nil)
	tests := map[string]struct {
		change map[string]any
		groups []string
		email  string
	}{
		"no groups":               {map[string]any{"groups": nil}, nil, "ada@example.com"},
		"one group":               {map[string]any{"groups": "dba"}, []string{"dba"}, "ada@example.com"},
		"unverified address":      {map[string]any{"email_verified": false}, []string{"dba", "support"}, ""},
		"unverified, as a string": {map[string]any{"email_verified": "false"}, []string{"dba", "support"}, ""},
		"verified":                {map[string]any{"email_verified": true}, []string{"dba", "support"}, "ada@example.com"},
		"address with an escape":  {map[string]any{"email": "a\x1b[2J@x"}, []string{"dba", "support"}, ""},
		"two audiences":           {map[string]any{"aud": []string{"sluice", "x"}, "azp": "sluice"}, []string{"dba", "support"}, "ada@example.com"},
	}
	for name, tt := range tests {
		got, err := p.VerifyIDToken(t.Context(), is.sign(t, jose.RS256, is.rsa, "r", is.claims(c, tt.change)), "n-1")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff(tt.groups, got.Groups); d != "" || got.Email != tt.email {
			t.Errorf("%s: email %q, groups %s", name, got.Email, d)
		}
	}
}

func TestForgedTokensAreRefused(t *testing.T) {
	c, is, other := newClock(), newIssuer(t), newIssuer(t)
	p := is.provider(t, c, nil)
	rs := func(change map[string]any) string { return is.sign(t, jose.RS256, is.rsa, "r", is.claims(c, change)) }
	good := rs(nil)
	parts := strings.Split(good, ".")
	b64 := base64.RawURLEncoding.EncodeToString
	pubDER, err := x509.MarshalPKIXPublicKey(is.rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	tampered, err := json.Marshal(is.claims(c, map[string]any{"sub": "root"}))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"audience of another":        rs(map[string]any{"aud": "other"}),
		"no audience":                rs(map[string]any{"aud": nil}),
		"two audiences without azp":  rs(map[string]any{"aud": []string{"sluice", "x"}}),
		"azp of another":             rs(map[string]any{"azp": "other"}),
		"issuer of another":          rs(map[string]any{"iss": "https://evil.example.com"}),
		"issuer with a slash":        rs(map[string]any{"iss": is.URL + "/"}),
		"no issuer":                  rs(map[string]any{"iss": nil}),
		"expired":                    rs(map[string]any{"exp": c.t.Add(-time.Second).Unix()}),
		"expires this moment":        rs(map[string]any{"exp": c.t.Unix()}),
		"no expiry":                  rs(map[string]any{"exp": nil}),
		"from the future":            rs(map[string]any{"nbf": c.t.Add(time.Hour).Unix()}),
		"nonce of another login":     rs(map[string]any{"nonce": "n-2"}),
		"no nonce":                   rs(map[string]any{"nonce": nil}),
		"no subject":                 rs(map[string]any{"sub": nil}),
		"subject with a line break":  rs(map[string]any{"sub": "a\nb"}),
		"subject too long":           rs(map[string]any{"sub": strings.Repeat("s", maxSubject+1)}),
		"groups are numbers":         rs(map[string]any{"groups": []int{1}}),
		"groups are an object":       rs(map[string]any{"groups": map[string]string{"a": "b"}}),
		"group with an escape":       rs(map[string]any{"groups": []string{"dba\x1b[0m"}}),
		"empty group":                rs(map[string]any{"groups": []string{""}}),
		"signed by another":          is.sign(t, jose.RS256, other.rsa, "r", is.claims(c, nil)),
		"unknown key":                is.sign(t, jose.RS256, other.rsa, "zz", is.claims(c, nil)),
		"algorithm not allowed":      is.sign(t, jose.RS512, is.rsa, "r", is.claims(c, nil)),
		"public key as HMAC secret":  is.sign(t, jose.HS256, pubDER, "r", is.claims(c, nil)),
		"algorithm none":             b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".",
		"algorithm none, signature":  b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + "." + parts[2],
		"RS256 said to be ES256":     b64([]byte(`{"alg":"ES256","kid":"r"}`)) + "." + parts[1] + "." + parts[2],
		"claims changed after":       parts[0] + "." + b64(tampered) + "." + parts[2],
		"signature cut":              parts[0] + "." + parts[1] + ".",
		"empty":                      "",
		"garbage":                    "not a token",
		"dots":                       "..",
		"oversized":                  good + strings.Repeat("A", maxToken),
		"oversized, properly signed": rs(map[string]any{"x": strings.Repeat("x", maxToken)}),
	}
	for name, raw := range tests {
		if id, err := p.VerifyIDToken(t.Context(), raw, "n-1"); err == nil || id.Subject != "" {
			t.Errorf("%s: taken for %+v", name, id)
		}
	}
	if _, err := p.VerifyIDToken(t.Context(), good, "n-1"); err != nil {
		t.Errorf("the token that the forgeries vary is not good itself: %v", err)
	}
	if _, err := p.VerifyIDToken(t.Context(), rs(map[string]any{"nonce": nil}), ""); err == nil {
		t.Error("no nonce on both sides was taken for equal")
	}
}

func TestMissingGroupsClaimIsNamedWhenRequired(t *testing.T) {
	c, is := newClock(), newIssuer(t)
	p := is.provider(t, c, func(cfg *OIDCConfig) { cfg.RequireGroups = true; cfg.GroupsClaim = "roles" })
	_, err := p.VerifyIDToken(t.Context(), is.sign(t, jose.RS256, is.rsa, "r", is.claims(c, nil)), "n-1")
	if err == nil || !strings.Contains(err.Error(), `"roles"`) {
		t.Errorf("got %v", err)
	}
}

func TestStolenTokenBuysNothingForAnotherKey(t *testing.T) {
	c, is := newClock(), newIssuer(t)
	p := is.provider(t, c, nil)
	mine, theirs := newKey(t), newKey(t)
	nonce, err := NonceFor(mine.Public())
	if err != nil {
		t.Fatal(err)
	}
	raw := is.sign(t, jose.RS256, is.rsa, "r", is.claims(c, map[string]any{"nonce": nonce}))
	if _, err := p.VerifyLogin(t.Context(), raw, nonce, mine.Public()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.VerifyLogin(t.Context(), raw, nonce, theirs.Public()); err == nil {
		t.Error("a token for one key was accepted for another")
	}
	other, err := NonceFor(theirs.Public())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.VerifyLogin(t.Context(), raw, other, theirs.Public()); err == nil {
		t.Error("a nonce that is not in the token was accepted")
	}
}

func TestProviderConfigIsChecked(t *testing.T) {
	c, is := newClock(), newIssuer(t)
	tests := map[string]OIDCConfig{
		"no issuer":       {ClientID: "sluice", Now: c.now},
		"no client":       {Issuer: is.URL, Now: c.now},
		"no clock":        {Issuer: is.URL, ClientID: "sluice"},
		"none allowed":    {Issuer: is.URL, ClientID: "sluice", Now: c.now, AllowedAlgs: []string{"None"}},
		"HMAC allowed":    {Issuer: is.URL, ClientID: "sluice", Now: c.now, AllowedAlgs: []string{"HS256"}},
		"another address": {Issuer: is.URL + "/x", ClientID: "sluice", Now: c.now},
	}
	for name, cfg := range tests {
		if _, err := NewProvider(t.Context(), cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
