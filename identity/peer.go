package identity

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"
)

// MinPeerKey is the least number of bytes of a key that gateways share. Anyone can ask
// a gateway for what its peers know it by, and then guess at leisure.
const MinPeerKey = 32

// peerName is what gateways ask each other for in a TLS handshake, whatever their
// addresses are. Nobody else does: the domain is reserved (RFC 6761).
const peerName = "peer.sluice.invalid"

// Peer is a gateway among those that share a key. The key makes an authority, the same
// at each of them, which signs what they show each other: both sides of a connection
// are verified by TLS, and the key itself never travels. Safe for use by several
// goroutines.
type Peer struct {
	cert tls.Certificate
	pool *x509.CertPool
	root *x509.Certificate
	now  func() time.Time
}

// NewPeer makes what the gateway named id shows to those that have the same key.
func NewPeer(key []byte, id string, now func() time.Time) (*Peer, error) {
	if len(key) < MinPeerKey {
		return nil, fmt.Errorf("the key of gateways that share labels has %d bytes, %d are the least", len(key), MinPeerKey)
	}
	seed, err := hkdf.Key(sha256.New, key, nil, "sluice peer authority v1", ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("derive the authority of peers: %w", err)
	}
	signer := ed25519.NewKeyFromSeed(seed)
	root, err := peerAuthority(signer)
	if err != nil {
		return nil, err
	}
	p := &Peer{root: root, pool: x509.NewCertPool(), now: now}
	p.pool.AddCert(root)
	leafKey, err := NewKey()
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: id},
		DNSNames:              []string{peerName},
		NotBefore:             now().Add(-time.Hour), // clocks of servers differ too
		NotAfter:              now().Add(serverLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}, root, leafKey.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate for peers: %w", err)
	}
	p.cert = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: leafKey}
	return p, nil
}

// peerAuthority is the same for the same key, wherever and whenever it is made.
func peerAuthority(signer ed25519.PrivateKey) (*x509.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "Sluice peers"},
		NotBefore:             time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage:              x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("sign the authority of peers: %w", err)
	}
	return x509.ParseCertificate(der)
}

// Serve is base for a listener that peers reach as well: it takes their certificates
// beside those of clients, and shows its own to who asks for a peer. Clients are served
// as before. What a certificate of a peer allows is Identify's to say, and no client's.
func (p *Peer) Serve(base *tls.Config) *tls.Config {
	c := base.Clone()
	if c.ClientCAs == nil {
		c.ClientCAs = x509.NewCertPool()
	} else {
		c.ClientCAs = c.ClientCAs.Clone()
	}
	c.ClientCAs.AddCert(p.root)
	others := c.GetCertificate
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		switch {
		case hello.ServerName == peerName:
			return &p.cert, nil
		case others != nil:
			return others(hello)
		}
		return nil, nil // those of c
	}
	return c
}

// Dial is the TLS side of who calls a peer.
func (p *Peer) Dial() *tls.Config {
	return &tls.Config{RootCAs: p.pool, ServerName: peerName, Certificates: []tls.Certificate{p.cert}, Time: p.now}
}

// Identify gives the name of the peer on the other side of a connection; ok is false if
// there is none.
func (p *Peer) Identify(state tls.ConnectionState) (id string, ok bool) {
	if p == nil || !state.HandshakeComplete || len(state.PeerCertificates) == 0 {
		return "", false
	}
	leaf := state.PeerCertificates[0]
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: p.pool, CurrentTime: p.now(), DNSName: peerName, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return leaf.Subject.CommonName, err == nil && !leaf.IsCA && leaf.Subject.CommonName != ""
}
