package identity

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

// jobClaims are what GitHub says of a job.
func (is *issuer) jobClaims(c *clock, change map[string]any) map[string]any {
	m := map[string]any{
		"iss": is.URL, "aud": "sluice://gw", "sub": "repo:acme/shop:ref:refs/heads/main", "jti": "j-1",
		"iat": c.t.Unix(), "nbf": c.t.Unix(), "exp": c.t.Add(5 * time.Minute).Unix(),
		"repository": "acme/shop", "ref": "refs/heads/main", "run_id": "77", "environment": "production",
		"job_workflow_ref": "acme/shop/.github/workflows/deploy.yml@refs/heads/main",
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

func (is *issuer) workloads(t *testing.T, c *clock, change ...func(*WorkloadConfig)) *Workloads {
	t.Helper()
	cfg := WorkloadConfig{Issuer: is.URL, Audience: "sluice://gw", When: `claims.repository == "acme/shop" && claims.environment == "production"`, Groups: []string{"ci"}, Name: "{repository}@{ref}"}
	for _, f := range change {
		f(&cfg)
	}
	w, err := NewWorkloads([]WorkloadConfig{cfg}, "sluice", nil, c.now)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWorkloadTokenNamesTheJob(t *testing.T) {
	c, is := newClock(), newIssuer(t)
	w := is.workloads(t, c)
	for _, raw := range []string{
		is.sign(t, jose.RS256, is.rsa, "r", is.jobClaims(c, nil)),
		is.sign(t, jose.ES256, is.ec, "e", is.jobClaims(c, nil)),
	} {
		got, ttl, claims, err := w.Verify(t.Context(), raw)
		if err != nil {
			t.Fatal(err)
		}
		want := Identity{Subject: "repo:acme/shop:ref:refs/heads/main", Label: "acme/shop@refs/heads/main", Groups: []string{"ci"}, Kind: Job, Method: "workload", Issuer: is.URL, Claims: claims}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		for name, value := range map[string]string{"repository": "acme/shop", "run_id": "77", "environment": "production", "job_workflow_ref": "acme/shop/.github/workflows/deploy.yml@refs/heads/main"} {
			if claims[name] != value {
				t.Errorf("the record would say %s=%q", name, claims[name])
			}
		}
		if ttl != MaxJobTTL {
			t.Errorf("certificates of %v", ttl)
		}
	}
}

// PEERS C, token type confusion: each token only for its purpose. Each row is one
// change of a token that is good as it stands.
func TestTokenTypeConfusionOfWorkloads(t *testing.T) {
	c, is, other := newClock(), newIssuer(t), newIssuer(t)
	w := is.workloads(t, c)
	rs := func(change map[string]any) string {
		return is.sign(t, jose.RS256, is.rsa, "r", is.jobClaims(c, change))
	}
	typed := func(typ string) string {
		return is.signTyped(t, jose.RS256, is.rsa, "r", (&jose.SignerOptions{}).WithType(jose.ContentType(typ)), is.jobClaims(c, nil))
	}
	good := rs(nil)
	parts := strings.Split(good, ".")
	b64 := base64.RawURLEncoding.EncodeToString
	pub, err := x509.MarshalPKIXPublicKey(is.rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := json.Marshal(jose.JSONWebKey{Key: other.rsa.Public(), KeyID: "r"})
	if err != nil {
		t.Fatal(err)
	}
	person := is.claims(c, nil) // as at a login
	for name, raw := range map[string]string{
		"alg none":                             b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".",
		"alg none with a signature":            b64([]byte(`{"alg":"none","kid":"r"}`)) + "." + parts[1] + "." + parts[2],
		"alg HS256 with the public key":        is.sign(t, jose.HS256, pub, "r", is.jobClaims(c, nil)),
		"alg RS512":                            is.sign(t, jose.RS512, is.rsa, "r", is.jobClaims(c, nil)),
		"alg PS256":                            is.sign(t, jose.PS256, is.rsa, "r", is.jobClaims(c, nil)),
		"alg RS256 said to be ES256":           b64([]byte(`{"alg":"ES256","kid":"r"}`)) + "." + parts[1] + "." + parts[2],
		"RS256 with a wrong key":               is.sign(t, jose.RS256, other.rsa, "r", is.jobClaims(c, nil)),
		"key in the header":                    is.sign(t, jose.RS256, other.rsa, "", is.jobClaims(c, nil)),
		"key in the header, offered as jwk":    b64([]byte(`{"alg":"RS256","kid":"r","jwk":`+string(jwk)+`}`)) + "." + parts[1] + "." + strings.Split(is.sign(t, jose.RS256, other.rsa, "r", is.jobClaims(c, nil)), ".")[2],
		"kid unknown":                          is.sign(t, jose.RS256, is.rsa, "zz", is.jobClaims(c, nil)),
		"kid of another key":                   is.sign(t, jose.RS256, is.rsa, "e", is.jobClaims(c, nil)),
		"iss of another":                       rs(map[string]any{"iss": other.URL}),
		"iss with a slash":                     rs(map[string]any{"iss": is.URL + "/"}),
		"no iss":                               rs(map[string]any{"iss": nil}),
		"aud of another":                       rs(map[string]any{"aud": "sluice://other"}),
		"aud is the client people log in with": rs(map[string]any{"aud": "sluice"}),
		"no aud":                               rs(map[string]any{"aud": nil}),
		"several aud":                          rs(map[string]any{"aud": []string{"sluice://gw", "vault"}}),
		"aud in another case":                  rs(map[string]any{"aud": "SLUICE://gw"}),
		"azp of the client people log in with": rs(map[string]any{"azp": "sluice"}),
		"expired":                              rs(map[string]any{"exp": c.t.Add(-clockSkew).Unix()}),
		"no exp":                               rs(map[string]any{"exp": nil}),
		"exp beyond a day":                     rs(map[string]any{"exp": c.t.Add(maxWorkloadLife + time.Second).Unix()}),
		"nbf in the future":                    rs(map[string]any{"nbf": c.t.Add(clockSkew + time.Second).Unix()}),
		"nbf beyond numbers":                   rs(map[string]any{"nbf": 1e300}),
		"nbf as a text":                        rs(map[string]any{"nbf": "0"}),
		"iat in the future":                    rs(map[string]any{"iat": c.t.Add(clockSkew + time.Second).Unix()}),
		"nonce":                                rs(map[string]any{"nonce": "n-1"}),
		"typ of an access token":               typed("at+jwt"),
		"typ of a logout token":                typed("logout+jwt"),
		"ID token of a person":                 is.sign(t, jose.RS256, is.rsa, "r", person),
		"no sub":                               rs(map[string]any{"sub": nil}),
		"sub with an escape":                   rs(map[string]any{"sub": "a\x1b[2J"}),
		"claim the name needs is missing":      rs(map[string]any{"ref": nil}),
		"claim the name needs is a list":       rs(map[string]any{"ref": []string{"x"}}),
		"another repository":                   rs(map[string]any{"repository": "evil/shop"}),
		"repository in another case":           rs(map[string]any{"repository": "Acme/shop"}),
		"another environment":                  rs(map[string]any{"environment": "staging"}),
		"no environment":                       rs(map[string]any{"environment": nil}),
		"environment of another type":          rs(map[string]any{"environment": true}),
		"claims changed after":                 parts[0] + "." + b64([]byte(`{"iss":"`+is.URL+`"}`)) + "." + parts[2],
		"signature cut":                        parts[0] + "." + parts[1] + ".",
		"empty":                                "",
		"dots":                                 "..",
		"four parts":                           good + ".x",
		"JSON form":                            `{"payload":"` + parts[1] + `","signatures":[]}`,
		"oversized":                            rs(map[string]any{"x": strings.Repeat("x", maxWorkloadToken)}),
	} {
		if id, _, _, err := w.Verify(t.Context(), raw); err == nil || id.Subject != "" {
			t.Errorf("%s: taken for %+v", name, id)
		}
	}
	for name, raw := range map[string]string{
		"as it stands":              good,
		"typ JWT":                   typed("JWT"),
		"no kid":                    is.sign(t, jose.RS256, is.rsa, "", is.jobClaims(c, nil)),
		"expired within the skew":   rs(map[string]any{"exp": c.t.Add(time.Second - clockSkew).Unix()}),
		"issued within the skew":    rs(map[string]any{"iat": c.t.Add(clockSkew).Unix(), "nbf": c.t.Add(clockSkew).Unix()}),
		"azp that is not a login's": rs(map[string]any{"azp": "1234567890"}),
	} {
		if _, _, _, err := w.Verify(t.Context(), raw); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The other way round: what a job has does not log a person in.
func TestTokenTypeConfusionOfLogins(t *testing.T) {
	c, is := newClock(), newIssuer(t)
	p := is.provider(t, c, nil)
	key := newKey(t)
	nonce, err := NonceFor(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]map[string]any{
		"a workload token":                        nil,
		"a workload token for the login client":   {"aud": "sluice"},
		"... that says azp as well":               {"aud": "sluice", "azp": "sluice"},
		"a token with the nonce of another key":   {"aud": "sluice", "nonce": "0123456789abcdef.x"},
		"a token with the nonce, for the gateway": {"nonce": nonce},
	} {
		raw := is.sign(t, jose.RS256, is.rsa, "r", is.jobClaims(c, change))
		if id, err := p.VerifyLogin(t.Context(), raw, nonce, key.Public()); err == nil {
			t.Errorf("%s logs in %+v", name, id)
		}
	}
}

// keys serves a set of keys that changes, and counts who asks.
type keys struct {
	*httptest.Server
	set   atomic.Pointer[jose.JSONWebKeySet]
	asked atomic.Int64
	away  atomic.Bool
}

func serveKeys(t *testing.T, document func(url string) map[string]any) *keys {
	k := &keys{}
	k.set.Store(&jose.JSONWebKeySet{})
	k.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if k.away.Load() {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		if r.URL.Path == "/keys" {
			k.asked.Add(1)
			json.NewEncoder(w).Encode(k.set.Load())
			return
		}
		doc := map[string]any{"issuer": k.URL, "jwks_uri": k.URL + "/keys"}
		maps.Copy(doc, document(k.URL))
		json.NewEncoder(w).Encode(doc)
	}))
	t.Cleanup(k.Close)
	return k
}

func (k *keys) hold(list map[string]*ecdsa.PrivateKey) {
	set := &jose.JSONWebKeySet{}
	for kid, key := range list {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: kid, Use: "sig"})
	}
	k.set.Store(set)
}

func TestKeysOfAnIssuerAreFollowed(t *testing.T) {
	c, k := newClock(), serveKeys(t, func(string) map[string]any { return nil })
	is := &issuer{Server: k.Server}
	a, b := newKey(t), newKey(t)
	w := is.workloads(t, c)
	try := func(key *ecdsa.PrivateKey, kid string) error {
		_, _, _, err := w.Verify(t.Context(), is.sign(t, jose.ES256, key, kid, is.jobClaims(c, nil)))
		return err
	}
	k.away.Store(true)
	if err := try(a, "a"); !errors.Is(err, errNoKeys) {
		t.Fatalf("an issuer that was never there: %v", err)
	}
	k.away.Store(false)
	k.hold(map[string]*ecdsa.PrivateKey{"a": a})
	if err := try(a, "a"); !errors.Is(err, errNoKeys) {
		t.Errorf("it was asked again at once: %v", err)
	}
	c.t = c.t.Add(keysPause)
	if err := try(a, "a"); err != nil {
		t.Fatalf("an issuer that came back: %v", err)
	}
	// A new key, at a moment when the issuer may be asked again.
	k.hold(map[string]*ecdsa.PrivateKey{"a": a, "b": b})
	c.t = c.t.Add(keysPause)
	if err := try(b, "b"); err != nil {
		t.Errorf("after a rotation: %v", err)
	}
	// An outage: what is known goes on being known, but not for ever.
	k.away.Store(true)
	c.t = c.t.Add(keysFresh)
	if err := try(a, "a"); err != nil {
		t.Errorf("in an outage: %v", err)
	}
	c.t = c.t.Add(keysLast)
	if err := try(a, "a"); !errors.Is(err, errNoKeys) {
		t.Errorf("after a day of outage: %v", err)
	}
	// A key that was taken away is no longer believed once the issuer was asked.
	k.away.Store(false)
	k.hold(map[string]*ecdsa.PrivateKey{"b": b})
	c.t = c.t.Add(keysFresh)
	if err := try(a, "a"); err == nil {
		t.Error("a key that the issuer took away still opens")
	}
}

// Attack: send made-up tokens with new key ids, so that the gateway floods the issuer.
func TestMadeUpKeysDoNotFloodTheIssuer(t *testing.T) {
	c, k := newClock(), serveKeys(t, func(string) map[string]any { return nil })
	is := &issuer{Server: k.Server}
	good, bad := newKey(t), newKey(t)
	k.hold(map[string]*ecdsa.PrivateKey{"g": good})
	w := is.workloads(t, c)
	for i := range 50 {
		if _, _, _, err := w.Verify(t.Context(), is.sign(t, jose.ES256, bad, "x"+string(rune('a'+i)), is.jobClaims(c, nil))); err == nil {
			t.Fatal("a made-up token was accepted")
		}
	}
	if n := k.asked.Load(); n != 1 {
		t.Errorf("the issuer was asked %d times", n)
	}
	if _, _, _, err := w.Verify(t.Context(), is.sign(t, jose.ES256, good, "g", is.jobClaims(c, nil))); err != nil {
		t.Error(err)
	}
}

// Attack: an issuer's discovery document that leads elsewhere, or never ends.
func TestDiscoveryThatLiesIsNotFollowed(t *testing.T) {
	key := newKey(t)
	for name, doc := range map[string]func(string) map[string]any{
		"another issuer":     func(string) map[string]any { return map[string]any{"issuer": "https://evil.example.com"} },
		"no issuer":          func(string) map[string]any { return map[string]any{"issuer": nil} },
		"no keys":            func(string) map[string]any { return map[string]any{"jwks_uri": nil} },
		"keys in a file":     func(string) map[string]any { return map[string]any{"jwks_uri": "file:///etc/passwd"} },
		"a document so long": func(string) map[string]any { return map[string]any{"x": strings.Repeat("x", maxDocument)} },
	} {
		c, k := newClock(), serveKeys(t, doc)
		k.hold(map[string]*ecdsa.PrivateKey{"a": key})
		is := &issuer{Server: k.Server}
		if _, _, _, err := is.workloads(t, c).Verify(t.Context(), is.sign(t, jose.ES256, key, "a", is.jobClaims(c, nil))); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestSeveralEntriesOfOneIssuer(t *testing.T) {
	c, is := newClock(), newIssuer(t)
	w, err := NewWorkloads([]WorkloadConfig{
		{Issuer: is.URL, Audience: "sluice://gw", When: `claims.repository == "acme/shop"`, Groups: []string{"shop"}},
		{Issuer: is.URL, Audience: "sluice://gw", When: `claims.repository == "acme/pay"`, Groups: []string{"pay"}, TTL: time.Minute},
		{Issuer: is.URL, Audience: "other", When: `claims.repository == "acme/pay"`, Groups: []string{"other"}},
	}, "sluice", nil, c.now)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"sluice://gw", "other"}, w.Audiences()); d != "" {
		t.Error(d)
	}
	for _, tt := range []struct{ repo, aud, want string }{{"acme/shop", "sluice://gw", "shop"}, {"acme/pay", "sluice://gw", "pay"}, {"acme/pay", "other", "other"}, {"acme/x", "other", ""}, {"acme/shop", "other", ""}} {
		id, _, claims, err := w.Verify(t.Context(), is.sign(t, jose.RS256, is.rsa, "r", is.jobClaims(c, map[string]any{"repository": tt.repo, "aud": tt.aud})))
		if got := strings.Join(id.Groups, " "); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s for %s: %q, %v", tt.repo, tt.aud, got, err)
		}
		if claims["repository"] != tt.repo {
			t.Errorf("the record would not say whose token was refused: %v", claims)
		}
	}
}

func TestWorkloadEntriesAreChecked(t *testing.T) {
	good := WorkloadConfig{Issuer: "https://ci", Audience: "sluice://gw", When: `claims.sub == "x"`}
	if f := CheckWorkload(good); len(f) > 0 {
		t.Fatalf("the entry that the others vary is not good: %v", f)
	}
	for _, tt := range []struct {
		name, key, want string
		change          func(*WorkloadConfig)
	}{
		{"no audience", "audience", "missing", func(c *WorkloadConfig) { c.Audience = "" }},
		{"no condition", "when", "when is missing", func(c *WorkloadConfig) { c.When = " " }},
		{"condition that admits all", "when", "looks at no claim", func(c *WorkloadConfig) { c.When = "true" }},
		{"condition of another type", "when", "type string", func(c *WorkloadConfig) { c.When = `"a" + string(claims.sub)` }},
		{"claim alone", "when", "type dyn", func(c *WorkloadConfig) { c.When = "claims.ref_protected" }},
		{"unknown name", "when", "speaks of claims", func(c *WorkloadConfig) { c.When = `repository == "x"` }},
		{"text against number", "when", "no matching overload", func(c *WorkloadConfig) { c.When = `claims.sub == "x" && "a" == 1` }},
		{"not an expression", "when", "when:", func(c *WorkloadConfig) { c.When = `claims.sub ==` }},
		{"condition too long", "when", "longer", func(c *WorkloadConfig) { c.When = `claims.sub == "` + strings.Repeat("x", maxCondition) + `"` }},
		{"name without a claim", "name", "no claim", func(c *WorkloadConfig) { c.Name = "ci" }},
		{"name left open", "name", "{", func(c *WorkloadConfig) { c.Name = "{sub" }},
		{"name closed twice", "name", "}", func(c *WorkloadConfig) { c.Name = "{sub}}" }},
		{"certificates too long", "ttl", "at most 15m", func(c *WorkloadConfig) { c.TTL = MaxJobTTL + time.Second }},
		{"group of nothing", "groups", "empty", func(c *WorkloadConfig) { c.Groups = []string{""} }},
	} {
		cfg := good
		tt.change(&cfg)
		flaws := CheckWorkload(cfg)[tt.key]
		if len(flaws) == 0 || !strings.Contains(flaws[0].Text, tt.want) {
			t.Errorf("%s: %v", tt.name, flaws)
		}
		if _, err := NewWorkloads([]WorkloadConfig{cfg}, "sluice", nil, time.Now); err == nil {
			t.Errorf("%s: prepared", tt.name)
		}
	}
	if f := CheckWorkload(WorkloadConfig{Audience: "a", When: "claims.sub == 'x' &&\nrepo == 'y'"})["when"]; len(f) != 1 || f[0].Line != 2 {
		t.Errorf("the flaw is said to be at %v", f)
	}
	own := good
	own.Audience = "sluice"
	if _, err := NewWorkloads([]WorkloadConfig{own}, "sluice", nil, time.Now); err == nil {
		t.Error("the client that people log in with is an audience of workloads")
	}
}

func FuzzWorkloadToken(f *testing.F) {
	for _, s := range []string{"", "..", "e30.e30.", "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2NpIn0.AAAA", "a.b.c", "{}"} {
		f.Add(s)
	}
	w, err := NewWorkloads([]WorkloadConfig{{Issuer: "https://ci", Audience: "a", When: `claims.sub == "x"`}}, "sluice",
		&http.Client{Transport: noNetwork{}}, time.Now)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if id, _, _, err := w.Verify(t.Context(), raw); err == nil {
			t.Errorf("%q is taken for %+v", raw, id)
		}
	})
}

type noNetwork struct{}

func (noNetwork) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no network")
}
