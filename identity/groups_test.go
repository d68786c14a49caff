package identity

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

// The shapes that providers send groups in, as their documentation shows them.
func TestGroupsAsProvidersSendThem(t *testing.T) {
	c, is := newClock(), newIssuer(t)
	without := func(m map[string]any) map[string]any {
		if _, ok := m["groups"]; !ok {
			m["groups"] = nil
		}
		return m
	}
	tests := map[string]struct {
		config func(*OIDCConfig)
		claims map[string]any
		want   []string
		fault  string
	}{
		"Okta": {claims: map[string]any{"groups": []string{"Everyone", "dba"}, "ver": 1, "amr": []string{"pwd"}}, want: []string{"Everyone", "dba"}},
		"Dex":  {claims: map[string]any{"groups": []string{"acme:dba"}, "federated_claims": map[string]any{"connector_id": "github"}}, want: []string{"acme:dba"}},
		"Entra, ids": {
			claims: map[string]any{"groups": []string{"6d3a2a3e-8f6c-4a4b-9a1e-0d6d4d0c1f00"}, "tid": "t", "oid": "o", "ver": "2.0"},
			want:   []string{"6d3a2a3e-8f6c-4a4b-9a1e-0d6d4d0c1f00"},
		},
		"Entra, roles of the application": {
			config: func(o *OIDCConfig) { o.GroupsClaim = "roles" },
			claims: map[string]any{"roles": []string{"Sluice.Dba"}}, want: []string{"Sluice.Dba"},
		},
		"Entra, too many": {
			claims: map[string]any{
				"_claim_names":   map[string]any{"groups": "src1"},
				"_claim_sources": map[string]any{"src1": map[string]any{"endpoint": "https://graph.windows.net/t/users/o/getMemberObjects"}},
			},
			fault: "too many groups",
		},
		"Entra, too many, implicit": {claims: map[string]any{"hasgroups": true}, fault: "too many groups"},
		"Entra, too many groups beside roles": {
			config: func(o *OIDCConfig) { o.GroupsClaim = "roles" },
			claims: map[string]any{
				"roles": []string{"r"}, "_claim_names": map[string]any{"groups": "src1"},
				"_claim_sources": map[string]any{"src1": map[string]any{"endpoint": "https://graph.windows.net/t/users/o/getMemberObjects"}},
			},
			want: []string{"r"},
		},
		"Keycloak, roles of the realm": {
			config: func(o *OIDCConfig) { o.GroupsClaim = "realm_access.roles" },
			claims: map[string]any{"realm_access": map[string]any{"roles": []string{"offline_access", "dba"}}}, want: []string{"dba", "offline_access"},
		},
		"Keycloak, roles of a client with dots": {
			config: func(o *OIDCConfig) { o.GroupsClaim = "resource_access.sluice.example.com.roles" },
			claims: map[string]any{"resource_access": map[string]any{"sluice.example.com": map[string]any{"roles": []string{"dba"}}, "account": map[string]any{"roles": []string{"x"}}}},
			want:   []string{"dba"},
		},
		"Keycloak, groups with their paths": {claims: map[string]any{"groups": []string{"/data/dba"}}, want: []string{"/data/dba"}},
		"Keycloak, way that ends too early": {
			config: func(o *OIDCConfig) { o.GroupsClaim, o.RequireGroups = "realm_access.roles", true },
			claims: map[string]any{"realm_access": "dba"}, fault: `no claim "realm_access.roles"`,
		},
		"Auth0, a URL": {
			config: func(o *OIDCConfig) { o.GroupsClaim = "https://example.com/groups" },
			claims: map[string]any{"https://example.com/groups": []string{"dba"}}, want: []string{"dba"},
		},
		"Google": {
			config: func(o *OIDCConfig) { o.Domains = map[string][]string{"example.com": {"staff"}} },
			claims: map[string]any{"hd": "example.com", "email_verified": true}, want: []string{"staff"},
		},
		"verified address": {
			config: func(o *OIDCConfig) { o.Domains = map[string][]string{"example.com": {"staff"}} },
			claims: map[string]any{"email_verified": true, "groups": []string{"dba"}}, want: []string{"dba", "staff"},
		},
		"address that nobody verified": {
			config: func(o *OIDCConfig) { o.Domains = map[string][]string{"example.com": {"staff"}} },
			claims: map[string]any{}, want: nil,
		},
		"address within an address": {
			config: func(o *OIDCConfig) { o.Domains = map[string][]string{"example.com": {"staff"}} },
			claims: map[string]any{"email": "ada@evil.com@example.com", "email_verified": true}, want: nil,
		},
		"hd before the address": {
			config: func(o *OIDCConfig) { o.Domains = map[string][]string{"example.com": {"staff"}} },
			claims: map[string]any{"hd": "other.com", "email_verified": true}, want: nil,
		},
		"one string":   {claims: map[string]any{"groups": "not admins"}, want: []string{"not admins"}},
		"spaces":       {config: func(o *OIDCConfig) { o.GroupsSplit = "space" }, claims: map[string]any{"groups": "dba  support"}, want: []string{"dba", "support"}},
		"commas":       {config: func(o *OIDCConfig) { o.GroupsSplit = "comma" }, claims: map[string]any{"groups": "dba, read only,"}, want: []string{"dba", "read only"}},
		"numbers":      {claims: map[string]any{"groups": []int{1}}, fault: "not a list of names"},
		"an object":    {claims: map[string]any{"groups": map[string]any{"dba": true}}, fault: "not a list of names"},
		"an escape":    {claims: map[string]any{"groups": []string{"a\x1b[2J"}}, fault: "cannot be shown"},
		"renamed":      {config: func(o *OIDCConfig) { o.RequireGroups = true }, claims: map[string]any{"member_groups": []string{"dba"}}, fault: `no claim "groups", which the gateway is configured to read groups from; it has member_groups`},
		"null":         {config: func(o *OIDCConfig) { o.RequireGroups = true }, claims: map[string]any{}, fault: `no claim "groups"`},
		"empty is one": {config: func(o *OIDCConfig) { o.RequireGroups = true }, claims: map[string]any{"groups": []string{}}, want: []string{}},
	}
	for name, tt := range tests {
		p := is.provider(t, c, tt.config)
		got, err := p.VerifyIDToken(t.Context(), is.sign(t, jose.RS256, is.rsa, "r", is.claims(c, without(tt.claims))), "n-1")
		if tt.fault != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("%s: got %v, want …%s…", name, err, tt.fault)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff(tt.want, got.Groups); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// At Google anybody can have an account with an address of any domain.
func TestGoogleAccountWithACompanysAddressIsNotOfTheCompany(t *testing.T) {
	p := &Provider{cfg: OIDCConfig{Issuer: google}}
	claims := map[string]json.RawMessage{"email": json.RawMessage(`"eve@example.com"`), "email_verified": json.RawMessage(`true`)}
	if d := p.domain(claims); d != "" {
		t.Errorf("taken for one of %s", d)
	}
}

func TestDomainsAreChecked(t *testing.T) {
	for name, d := range map[string]map[string][]string{
		"empty": {"": {"staff"}}, "upper case": {"Example.com": {"staff"}}, "an address": {"a@example.com": {"staff"}}, "no groups": {"example.com": nil}, "no name": {"example.com": {""}},
	} {
		if CheckDomains(d) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := CheckDomains(map[string][]string{"example.com": {"staff"}}); err != nil {
		t.Error(err)
	}
}

func TestRenewalRefuses(t *testing.T) {
	c, is := newClock(), newIssuer(t)
	p := is.provider(t, c, nil)
	pub := newKey(t).Public()
	nonce, err := NonceFor(newKey(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	was := ada
	was.Issuer, was.Expires = is.URL, c.t.Add(time.Hour)
	token := func(change map[string]any) string {
		m := map[string]any{"nonce": nil}
		for k, v := range change {
			m[k] = v
		}
		return is.sign(t, jose.RS256, is.rsa, "r", is.claims(c, m))
	}
	got, err := p.VerifyRenewal(t.Context(), token(map[string]any{"groups": []string{"new"}}), was, pub)
	if err != nil || !got.In("new") || got.In("dba") {
		t.Fatalf("the honest renewal that the attacks vary: %+v, %v", got, err)
	}
	with := func(change func(*Identity)) Identity { id := was; change(&id); return id }
	for name, tt := range map[string]struct {
		raw string
		was Identity
	}{
		"token of another person":     {token(map[string]any{"sub": "u2"}), was},
		"token with another's nonce":  {token(map[string]any{"nonce": nonce}), was},
		"token from yesterday":        {token(map[string]any{"iat": c.t.Add(-24 * time.Hour).Unix()}), was},
		"token without its time":      {token(map[string]any{"iat": nil}), was},
		"token of another audience":   {token(map[string]any{"aud": "other"}), was},
		"token that expired":          {token(map[string]any{"exp": c.t.Add(-time.Minute).Unix()}), was},
		"certificate of another":      {token(nil), with(func(id *Identity) { id.Subject = "u2" })},
		"certificate of other issuer": {token(nil), with(func(id *Identity) { id.Issuer = "https://other" })},
		"certificate that expired":    {token(nil), with(func(id *Identity) { id.Expires = c.t })},
		"certificate of a job":        {token(nil), with(func(id *Identity) { id.Kind = Job })},
		"certificate of an agent":     {token(nil), with(func(id *Identity) { id.Kind = Agent })},
		"certificate of sluice dev":   {token(nil), with(func(id *Identity) { id.Method = "dev" })},
		"nobody":                      {token(nil), Identity{}},
	} {
		if id, err := p.VerifyRenewal(t.Context(), tt.raw, tt.was, pub); err == nil {
			t.Errorf("%s: renewed as %+v", name, id)
		}
	}
}

// The ID token of a device login names no key: whoever gets hold of it later, or
// second, must get nothing for it.
func TestDeviceTokenIsTakenOnceAndFresh(t *testing.T) {
	c, is := newClock(), newIssuer(t)
	p := is.provider(t, c, nil)
	key, thief := newKey(t).Public(), newKey(t).Public()
	nonce, err := NonceFor(key)
	if err != nil {
		t.Fatal(err)
	}
	thiefs, err := NonceFor(thief)
	if err != nil {
		t.Fatal(err)
	}
	token := func(change map[string]any) string { return is.sign(t, jose.RS256, is.rsa, "r", is.claims(c, change)) }
	plain := token(map[string]any{"nonce": nil})
	if who, err := p.VerifyDevice(t.Context(), plain, nonce, key); err != nil || who.Subject != "u1" {
		t.Fatalf("the honest login: %+v, %v", who, err)
	}
	if who, err := p.VerifyDevice(t.Context(), token(map[string]any{"nonce": nonce}), nonce, key); err != nil || who.Subject != "u1" {
		t.Fatalf("with a nonce: %+v, %v", who, err)
	}
	was := ada
	was.Issuer, was.Expires = is.URL, c.t.Add(time.Hour)
	renewal := token(map[string]any{"nonce": nil, "jti": "2"})
	if _, err := p.VerifyRenewal(t.Context(), renewal, was, key); err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string]string{
		"used before":            plain,
		"used for a renewal":     renewal,
		"old":                    token(map[string]any{"nonce": nil, "iat": c.t.Add(-freshFor - time.Second).Unix()}),
		"without its time":       token(map[string]any{"nonce": nil, "iat": nil}),
		"bound to another's key": token(map[string]any{"nonce": nonce}),
	} {
		if who, err := p.VerifyDevice(t.Context(), raw, thiefs, thief); err == nil {
			t.Errorf("a token that is %s let in %+v", name, who)
		}
	}
	if _, err := p.VerifyDevice(t.Context(), token(map[string]any{"nonce": nil, "jti": "3"}), nonce, thief); err == nil {
		t.Error("a nonce made for another key was accepted")
	}
	if _, err := p.VerifyLogin(t.Context(), token(map[string]any{"nonce": nil, "jti": "4"}), nonce, key); err == nil {
		t.Error("a token without a nonce was taken for a login in the browser")
	}
}
