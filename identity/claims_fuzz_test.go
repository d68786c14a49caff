package identity

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Whatever a certificate carries, it names somebody of a known kind, for no longer
// than the certificate lives, or it is refused.
func FuzzClaimed(f *testing.F) {
	end := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	honest, err := json.Marshal(Identity{Subject: "u1", Email: "ada@example.com", Groups: []string{"dba"}, Kind: Person, Method: "oidc", Issuer: "https://id", Expires: end.Add(-time.Hour)})
	if err != nil {
		f.Fatal(err)
	}
	for i := range len(honest) + 1 {
		f.Add(honest[:i])
	}
	for _, s := range []string{`null`, `[]`, `{"subject":""}`, `{"subject":1}`, `{"subject":"u1","kind":"root"}`, `{"subject":"u1","kind":255}`} {
		f.Add([]byte(s))
	}
	f.Add(bytes.Replace(honest, []byte("2030-"), []byte("9999-"), 1))
	f.Add(append(bytes.Clone(honest), bytes.Repeat([]byte{' '}, maxExtension)...))
	claimed := func(raw []byte) (Identity, error) {
		return Claimed(&x509.Certificate{NotAfter: end, Extensions: []pkix.Extension{{Id: extensionOID, Value: raw}}})
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		id, err := claimed(raw)
		if err != nil {
			if d := cmp.Diff(Identity{}, id); d != "" {
				t.Errorf("an error and an identity: %s", d)
			}
			return
		}
		if _, err := maxTTL(id.Kind); err != nil || id.Subject == "" || id.Expires.After(end) || id.Expires.IsZero() || len(raw) > maxExtension {
			t.Fatalf("accepted %+v", id)
		}
		again, err := json.Marshal(id)
		if err != nil {
			t.Fatal(err)
		}
		if len(again) > maxExtension {
			return
		}
		back, err := claimed(again)
		if d := cmp.Diff(id, back, cmpopts.EquateEmpty()); d != "" || err != nil {
			t.Errorf("%v %s", err, d)
		}
	})
}

// Claims of any shape give groups that were written there as such, each fit to be
// shown, or none.
func FuzzGroups(f *testing.F) {
	for _, s := range []string{
		`{"groups":["support","dba","dba"]}`, `{"groups":"dba"}`, `{"groups":""}`, `{"groups":null}`, `{"groups":[]}`,
		`{"groups":[null]}`, `{"groups":["dba",null]}`, `{"groups":["dba",1]}`, `{"groups":[["dba"]]}`, `{"groups":{"0":"dba"}}`,
		`{"groups":true}`, `{"groups":"a\u202eb"}`, `{"groups":["\u0000"]}`, `{"Groups":["dba"]}`, `{"groups":["a"],"groups":["b"]}`,
		`{"email":"ada@example.com","email_verified":"false"}`, `{"email":"ada@example.com","email_verified":[]}`, `{"email":["ada@example.com"]}`,
		`{"groups":["` + strings.Repeat("x", maxName+1) + `"]}`, `{"groups":[` + strings.Repeat(`"x",`, maxGroups) + `"x"]}`,
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, required bool) {
		var claims map[string]json.RawMessage
		if json.Unmarshal(raw, &claims) != nil {
			return // VerifyIDToken refuses it
		}
		if addr := email(claims); addr != "" && (plainName(addr, maxName) != nil || addr != stringClaim(claims["email"])) {
			t.Errorf("the address %q", addr)
		}
		p := &Provider{cfg: OIDCConfig{GroupsClaim: "groups", RequireGroups: required}}
		groups, err := p.groups(claims)
		if err != nil {
			if groups != nil {
				t.Errorf("an error and groups: %q", groups)
			}
			return
		}
		var said any
		if claims["groups"] != nil && json.Unmarshal(claims["groups"], &said) != nil || said == nil && required {
			t.Fatalf("%s was accepted", raw)
		}
		written, isList := said.([]any)
		if !isList {
			written = []any{said}
		}
		if len(groups) > maxGroups || !slices.IsSorted(groups) || len(slices.Compact(slices.Clone(groups))) != len(groups) {
			t.Errorf("groups %q", groups)
		}
		for _, g := range groups {
			if plainName(g, maxName) != nil || !slices.Contains(written, any(g)) {
				t.Errorf("%s gave the group %q", raw, g)
			}
		}
	})
}

// A token that was changed is refused, or says what the signed one says.
func FuzzIDToken(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		f.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{"iss": "https://id", "aud": "sluice", "sub": "u1", "nonce": "n-1", "exp": now.Add(time.Minute).Unix(), "groups": []string{"dba"}})
	if err != nil {
		f.Fatal(err)
	}
	signed, err := signer.Sign(body)
	if err != nil {
		f.Fatal(err)
	}
	good, err := signed.CompactSerialize()
	if err != nil {
		f.Fatal(err)
	}
	clock := func() time.Time { return now }
	p := &Provider{
		cfg: OIDCConfig{Issuer: "https://id", ClientID: "sluice", GroupsClaim: "groups", Now: clock},
		verifier: oidc.NewVerifier("https://id", &oidc.StaticKeySet{PublicKeys: []crypto.PublicKey{key.Public()}},
			&oidc.Config{ClientID: "sluice", SupportedSigningAlgs: []string{oidc.ES256}, Now: clock}),
	}
	want, err := p.VerifyIDToken(context.Background(), good, "n-1")
	if err != nil {
		f.Fatal(err)
	}
	parts := strings.Split(good, ".")
	f.Add(0, []byte(nil), "n-1")
	f.Add(len(parts[0])+1, []byte("e30"), "n-1")
	f.Add(len(good)-1, []byte("A"), "n-1")
	f.Add(0, []byte("eyJhbGciOiJub25lIn0."+parts[1]+"."), "n-1") // {"alg":"none"}
	f.Add(0, []byte(signed.FullSerialize()), "n-1")
	f.Add(0, []byte(nil), "")
	f.Add(0, bytes.Repeat([]byte{'.'}, maxToken+1), "n-1")
	f.Fuzz(func(t *testing.T, at int, change []byte, nonce string) {
		if at < 0 || at > len(good) {
			return
		}
		raw := good[:at] + string(change)
		if rest := at + len(change); rest < len(good) {
			raw += good[rest:]
		}
		id, err := p.VerifyIDToken(t.Context(), raw, nonce)
		expect := want
		if err != nil {
			expect = Identity{}
		}
		if d := cmp.Diff(expect, id); d != "" || err == nil && (nonce != "n-1" || len(raw) > maxToken) {
			t.Errorf("%q with %q: %v %s", raw, nonce, err, d)
		}
	})
}
