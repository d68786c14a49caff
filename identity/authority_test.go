package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// clock is a time that tests move.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func newClock() *clock { return &clock{time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)} }

var ada = Identity{Subject: "u1", Email: "ada@example.com", Groups: []string{"dba", "support"}, Kind: Person, Method: "oidc", Issuer: "https://id.example.com"}

func authority(t *testing.T, c *clock) *Authority {
	t.Helper()
	a, err := LoadOrCreateAuthority(t.TempDir(), c.now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func issue(t *testing.T, a *Authority, id Identity, ttl time.Duration) *x509.Certificate {
	t.Helper()
	der, err := a.Issue(id, newKey(t).Public(), ttl)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, der)
}

func parse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func shown(certs ...*x509.Certificate) tls.ConnectionState {
	return tls.ConnectionState{HandshakeComplete: true, PeerCertificates: certs}
}

func TestIssueAndIdentify(t *testing.T) {
	c := newClock()
	a := authority(t, c)
	cert := issue(t, a, ada, time.Hour)
	got, err := a.Identify(shown(cert))
	if err != nil {
		t.Fatal(err)
	}
	want := ada
	want.Expires, want.Credential = c.t.Add(time.Hour), cert.SerialNumber.Text(16)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestAuthorityIsKept(t *testing.T) {
	c, dir := newClock(), t.TempDir()
	first, err := LoadOrCreateAuthority(dir, c.now)
	if err != nil {
		t.Fatal(err)
	}
	cert := issue(t, first, ada, time.Hour)
	second, err := LoadOrCreateAuthority(dir, c.now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Identify(shown(cert)); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	info, err := os.Stat(filepath.Join(dir, "client-ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("key has mode %v", info.Mode())
	}
}

func TestTTLIsCapped(t *testing.T) {
	c := newClock()
	a := authority(t, c)
	for kind, want := range map[Kind]time.Duration{Person: MaxPersonTTL, Agent: MaxPersonTTL, Job: MaxJobTTL} {
		cert := issue(t, a, Identity{Subject: "x", Kind: kind}, 1000*time.Hour)
		if got := cert.NotAfter.Sub(c.t); got != want {
			t.Errorf("%s: lives %v, want %v", kind, got, want)
		}
	}
}

func TestIssueRefuses(t *testing.T) {
	c := newClock()
	a := authority(t, c)
	good := newKey(t).Public()
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	big, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stale := ada
	stale.Expires = c.t
	many := ada
	many.Groups = []string{strings.Repeat("g", maxExtension)}
	tests := map[string]struct {
		id  Identity
		key any
		ttl time.Duration
	}{
		"nobody":         {Identity{}, good, time.Hour},
		"no kind":        {Identity{Subject: "x"}, good, time.Hour},
		"no subject":     {Identity{Kind: Person}, good, time.Hour},
		"unknown kind":   {Identity{Subject: "x", Kind: "root"}, good, time.Hour},
		"no life":        {ada, good, 0},
		"negative life":  {ada, good, -time.Hour},
		"expired login":  {stale, good, time.Hour},
		"weak RSA key":   {ada, weak.Public(), time.Hour},
		"P-521 key":      {ada, big.Public(), time.Hour},
		"nil key":        {ada, nil, time.Hour},
		"private key":    {ada, newKey(t), time.Hour},
		"groups too big": {many, good, time.Hour},
	}
	for name, tt := range tests {
		if der, err := a.Issue(tt.id, tt.key, tt.ttl); err == nil || der != nil {
			t.Errorf("%s: a certificate was issued", name)
		}
	}
}

// forge signs template with the given authority, or itself.
func forge(t *testing.T, template *x509.Certificate, signer *Authority) *x509.Certificate {
	t.Helper()
	key := newKey(t)
	template.SerialNumber = big.NewInt(7)
	parent, parentKey := template, key
	if signer != nil {
		parent, parentKey = signer.cert, signer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, der)
}

func TestIdentifyRefusesForgeries(t *testing.T) {
	c := newClock()
	a, other := authority(t, c), authority(t, c)
	body, err := json.Marshal(Identity{Subject: "root", Kind: Person, Expires: c.t.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	ext := []pkix.Extension{{Id: extensionOID, Value: body}}
	base := func() *x509.Certificate {
		return &x509.Certificate{
			NotBefore: c.t.Add(-time.Hour), NotAfter: c.t.Add(time.Hour), BasicConstraintsValid: true,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, ExtraExtensions: ext,
		}
	}
	with := func(change func(*x509.Certificate)) *x509.Certificate { x := base(); change(x); return x }
	value := func(s string) *x509.Certificate {
		return with(func(x *x509.Certificate) { x.ExtraExtensions = []pkix.Extension{{Id: extensionOID, Value: []byte(s)}} })
	}
	if _, err := a.Identify(shown(forge(t, base(), a))); err != nil {
		t.Fatalf("the template that the forgeries vary is not good itself: %v", err)
	}
	tests := map[string]*x509.Certificate{
		"self-signed":              forge(t, base(), nil),
		"signed by another":        forge(t, base(), other),
		"wrong use":                forge(t, with(func(x *x509.Certificate) { x.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), a),
		"expired":                  forge(t, with(func(x *x509.Certificate) { x.NotAfter = c.t.Add(-time.Second) }), a),
		"not yet valid":            forge(t, with(func(x *x509.Certificate) { x.NotBefore = c.t.Add(time.Minute) }), a),
		"no identity":              forge(t, with(func(x *x509.Certificate) { x.ExtraExtensions = nil }), a),
		"identity is garbage":      forge(t, value("{"), a),
		"identity is nobody":       forge(t, value("{}"), a),
		"identity without kind":    forge(t, value(`{"subject":"root"}`), a),
		"identity of unknown kind": forge(t, value(`{"subject":"root","kind":"god"}`), a),
		"identity expired":         forge(t, value(`{"subject":"root","kind":"person","expires":"2020-01-01T00:00:00Z"}`), a),
		"an authority":             forge(t, with(func(x *x509.Certificate) { x.IsCA = true }), a),
		"the authority itself":     a.cert,
	}
	for name, cert := range tests {
		if id, err := a.Identify(shown(cert)); err == nil || id.Subject != "" {
			t.Errorf("%s: taken for %+v", name, id)
		}
	}
}

// A client certificate signs another: the chain must not count.
func TestCertificateInCertificateIsRefused(t *testing.T) {
	c := newClock()
	a := authority(t, c)
	key := newKey(t)
	der, err := a.Issue(ada, key.Public(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	mid := &Authority{cert: parse(t, der), key: key}
	body, _ := json.Marshal(Identity{Subject: "root", Kind: Person, Expires: c.t.Add(time.Hour)})
	nested := forge(t, &x509.Certificate{
		NotBefore: c.t.Add(-time.Hour), NotAfter: c.t.Add(time.Hour),
		ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		ExtraExtensions: []pkix.Extension{{Id: extensionOID, Value: body}},
	}, mid)
	if _, err := a.Identify(shown(nested, mid.cert)); err == nil {
		t.Error("a certificate signed by a client was accepted")
	}
}

func TestIdentifyWithoutCertificate(t *testing.T) {
	a := authority(t, newClock())
	if _, err := a.Identify(shown()); !errors.Is(err, ErrNoCertificate) {
		t.Errorf("got %v", err)
	}
	if _, err := a.Identify(tls.ConnectionState{PeerCertificates: []*x509.Certificate{issue(t, a, ada, time.Hour)}}); err == nil {
		t.Error("a certificate was believed before the handshake was complete")
	}
}

func TestExpiryInMidSession(t *testing.T) {
	c := newClock()
	a := authority(t, c)
	state := shown(issue(t, a, ada, time.Minute))
	c.t = c.t.Add(59 * time.Second)
	if _, err := a.Identify(state); err != nil {
		t.Fatal(err)
	}
	c.t = c.t.Add(time.Second)
	if _, err := a.Identify(state); err == nil {
		t.Error("an expired certificate is still somebody")
	}
}

func TestDamagedAuthorityIsNotReplaced(t *testing.T) {
	tests := map[string]func(dir string) error{
		"readable by others":  func(d string) error { return os.Chmod(filepath.Join(d, "client-ca.key"), 0o644) },
		"garbage key":         func(d string) error { return os.WriteFile(filepath.Join(d, "client-ca.key"), []byte("x"), 0o600) },
		"certificate is gone": func(d string) error { return os.Remove(filepath.Join(d, "client-ca.crt")) },
		"garbage certificate": func(d string) error { return os.WriteFile(filepath.Join(d, "client-ca.crt"), []byte("x"), 0o600) },
		"key of another": func(d string) error {
			k, err := NewKey()
			if err != nil {
				return err
			}
			raw, err := EncodeKey(k)
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(d, "client-ca.key"), raw, 0o600)
		},
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" && name == "readable by others" {
				return
			}
			c, dir := newClock(), t.TempDir()
			if _, err := LoadOrCreateAuthority(dir, c.now); err != nil {
				t.Fatal(err)
			}
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := LoadOrCreateAuthority(dir, c.now); err == nil {
				t.Error("it was loaded, or silently made anew")
			}
		})
	}
}

func TestServerCertificate(t *testing.T) {
	c, dir := newClock(), t.TempDir()
	cert, print, err := ServerCertificate(dir, c.t, "gw.example.com", "10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	ca := parse(t, cert.Certificate[1])
	if Fingerprint(ca) != print {
		t.Error("the fingerprint is not the authority's")
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	for _, host := range []string{"gw.example.com", "10.0.0.1"} {
		if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: c.t}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, again, err := ServerCertificate(dir, c.t.Add(time.Hour), "other"); err != nil || again != print {
		t.Errorf("after a restart: %q, %v; want %q", again, err, print)
	}
}

func FuzzParsePublicKey(f *testing.F) {
	k, err := NewKey()
	if err != nil {
		f.Fatal(err)
	}
	good, err := EncodePublicKey(&k.PublicKey)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := ParsePublicKey(good); err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"))
	f.Add(append(good, good...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		key, err := ParsePublicKey(raw)
		if err == nil && checkKey(key) != nil {
			t.Error("a key was accepted that Issue refuses")
		}
	})
}
