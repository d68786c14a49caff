package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sluicehq/sluice/internal/durable"
	"github.com/sluicehq/sluice/internal/howlong"
)

// How long a client certificate may live at most. They are short because
// nothing else ends a stolen key: a day's work for people, one job for jobs.
const (
	MaxPersonTTL = 8 * time.Hour
	MaxJobTTL    = 15 * time.Minute
)

// backdate starts a certificate a little in the past, for laptops whose clock is
// behind the gateway's.
const backdate = time.Minute

// caLife is how long the authority's own certificate lasts. Clients never see
// it; it ends far beyond the life of a gateway's disk.
const caLife = 20 * 365 * 24 * time.Hour

// maxExtension bounds the identity inside a certificate: room for some hundreds
// of groups, and small enough to be read on each connection.
const maxExtension = 32 << 10

// extensionOID marks the extension that holds the identity as JSON. 2.25 is the
// arc that needs no registration; the number after it was drawn at random.
var extensionOID = asn1.ObjectIdentifier{2, 25, 1426381203, 1}

// ErrNoCertificate says that the other side presented no client certificate.
var ErrNoCertificate = errors.New("no client certificate")

// Authority signs and reads client certificates. It is the only root that a
// gateway accepts clients from. Safe for use by several goroutines.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
	now  func() time.Time
}

// LoadOrCreateAuthority reads the authority kept in dir, or makes one there.
func LoadOrCreateAuthority(dir string, now func() time.Time) (*Authority, error) {
	kp := keyPair{
		cert: filepath.Join(dir, "client-ca.crt"),
		key:  filepath.Join(dir, "client-ca.key"),
	}
	cert, key, err := kp.load()
	if errors.Is(err, os.ErrNotExist) {
		if err := durable.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make the directory of the client authority: %w", err)
		}
		cert, key, err = createAuthority(kp, now())
	}
	if err != nil {
		return nil, fmt.Errorf("client authority in %s: %w", dir, err)
	}
	if !cert.IsCA || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("client authority in %s: %s and %s do not belong together", dir, kp.cert, kp.key)
	}
	a := &Authority{cert: cert, key: key, pool: x509.NewCertPool(), now: now}
	a.pool.AddCert(cert)
	return a, nil
}

func createAuthority(kp keyPair, now time.Time) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Sluice client authority"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true, // a client certificate can never sign another
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign the authority's certificate: %w", err)
	}
	return kp.save(der, key)
}

// Issue signs a certificate that says the holder of pub's private half is id. It
// lives for ttl, cut to what id's kind allows, and the identity inside expires
// with it.
func (a *Authority) Issue(id Identity, pub crypto.PublicKey, ttl time.Duration) (certDER []byte, err error) {
	now := a.now()
	if id.Subject == "" {
		return nil, errors.New("issue a certificate: the identity names nobody")
	}
	limit, err := maxTTL(id.Kind)
	if err != nil {
		return nil, err
	}
	if ttl <= 0 {
		return nil, fmt.Errorf("issue a certificate: life of %s", howlong.Text(ttl))
	}
	if !id.Expires.IsZero() && !now.Before(id.Expires) {
		return nil, errors.New("issue a certificate: the login has expired")
	}
	if err := checkKey(pub); err != nil {
		return nil, err
	}
	// Certificates count in seconds: the identity must not outlive its frame.
	id.Expires = now.Add(min(ttl, limit)).UTC().Truncate(time.Second)
	body, err := json.Marshal(id)
	if err != nil {
		return nil, fmt.Errorf("encode the identity: %w", err)
	}
	if len(body) > maxExtension {
		return nil, fmt.Errorf("issue a certificate: the identity takes %d bytes, more than %d (too many groups?)", len(body), maxExtension)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	certDER, err = x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Sluice " + string(id.Kind)},
		NotBefore:             now.Add(-backdate),
		NotAfter:              id.Expires,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		ExtraExtensions:       []pkix.Extension{{Id: extensionOID, Value: body}},
	}, a.cert, pub, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign a client certificate: %w", err)
	}
	return certDER, nil
}

func maxTTL(kind Kind) (time.Duration, error) {
	switch kind {
	case Person, Agent:
		return MaxPersonTTL, nil
	case Job:
		return MaxJobTTL, nil
	case Nobody:
	}
	return 0, fmt.Errorf("issue a certificate: unknown kind of caller %q", kind)
}

// checkKey accepts the two kinds of key that are strong at one fixed size.
func checkKey(pub crypto.PublicKey) error {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return nil
		}
	case ed25519.PublicKey:
		if len(k) == ed25519.PublicKeySize {
			return nil
		}
	}
	return fmt.Errorf("issue a certificate: key of type %T is neither ECDSA P-256 nor Ed25519", pub)
}

// Pool is the authority's certificate, for tls.Config.ClientCAs.
func (a *Authority) Pool() *x509.CertPool { return a.pool.Clone() }

// Identify reads who is on the other side of a TLS connection. TLS has proved
// that the peer holds the key; the chain, the use and the time are checked here
// once more, so that a mistake in a tls.Config grants nothing.
func (a *Authority) Identify(state tls.ConnectionState) (Identity, error) {
	if len(state.PeerCertificates) == 0 {
		return Identity{}, ErrNoCertificate
	}
	if !state.HandshakeComplete {
		return Identity{}, errors.New("client certificate: the handshake is not complete")
	}
	leaf, now := state.PeerCertificates[0], a.now()
	if leaf.IsCA {
		return Identity{}, errors.New("client certificate: it is an authority, not a client")
	}
	// No intermediates on purpose: every client certificate is signed by the authority itself.
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots:       a.pool,
		CurrentTime: now,
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return Identity{}, fmt.Errorf("client certificate: %w", err)
	}
	id, err := Claimed(leaf)
	if err != nil {
		return Identity{}, err
	}
	if !id.Valid(now) {
		return Identity{}, errors.New("client certificate: the login has expired")
	}
	return id, nil
}

// Claimed reads the identity a certificate claims, without checking who signed
// it: for the holder to show, never for rights.
func Claimed(cert *x509.Certificate) (Identity, error) {
	i := slices.IndexFunc(cert.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(extensionOID) })
	if i < 0 {
		return Identity{}, errors.New("client certificate: it holds no identity")
	}
	body := cert.Extensions[i].Value
	if len(body) > maxExtension {
		return Identity{}, errors.New("client certificate: the identity in it is too long")
	}
	var id Identity
	if err := json.Unmarshal(body, &id); err != nil {
		return Identity{}, fmt.Errorf("client certificate: read the identity: %w", err)
	}
	if _, err := maxTTL(id.Kind); err != nil || id.Subject == "" {
		return Identity{}, errors.New("client certificate: the identity in it names nobody")
	}
	if id.Expires.IsZero() || cert.NotAfter.Before(id.Expires) {
		id.Expires = cert.NotAfter
	}
	id.Credential = cert.SerialNumber.Text(16)
	return id, nil
}

func newSerial() (*big.Int, error) {
	// 127 bits: positive and unguessable, as RFC 5280 section 4.1.2.2 allows.
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	return serial.Add(serial, big.NewInt(1)), nil
}
