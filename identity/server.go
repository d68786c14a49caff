package identity

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sluicehq/sluice/internal/durable"
)

// serverLife is how long a self-made server certificate lasts. Clients pin the
// authority above it, so that the new one of each start goes unnoticed; a
// gateway is assumed to be restarted within the time.
const serverLife = 2 * 365 * 24 * time.Hour

// ServerCertificate gives the certificate that a gateway without one of its own
// shows: signed by an authority made for it in dir and sent along with it, so
// that clients can pin that authority at their first login. The returned
// fingerprint is what they are shown. Only the authority is kept: the certificate
// under it is made anew at each start, with its key in memory alone.
func ServerCertificate(dir string, now time.Time, hosts ...string) (tls.Certificate, string, error) {
	ca, err := loadOrCreateServerCA(dir, now)
	if err != nil {
		return tls.Certificate{}, "", fmt.Errorf("server authority in %s: %w", dir, err)
	}
	leafKey, err := NewKey()
	if err != nil {
		return tls.Certificate{}, "", fmt.Errorf("make the server's key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return tls.Certificate{}, "", err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Sluice gateway"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(serverLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, h := range slices.Compact(slices.Sorted(slices.Values(hosts))) {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if h != "" {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, leafKey.Public(), ca.key)
	if err != nil {
		return tls.Certificate{}, "", fmt.Errorf("sign the server's certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, "", fmt.Errorf("read back the server's certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der, ca.cert.Raw}, PrivateKey: leafKey, Leaf: leaf},
		Fingerprint(ca.cert), nil
}

func loadOrCreateServerCA(dir string, now time.Time) (*Authority, error) {
	kp := keyPair{cert: filepath.Join(dir, "server-ca.crt"), key: filepath.Join(dir, "server-ca.key")}
	cert, key, err := kp.load()
	if err == nil {
		if !cert.IsCA || !key.PublicKey.Equal(cert.PublicKey) {
			return nil, fmt.Errorf("%s and %s do not belong together", kp.cert, kp.key)
		}
		return &Authority{cert: cert, key: key}, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory: %w", err)
	}
	if key, err = NewKey(); err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Sluice server authority"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the authority's certificate: %w", err)
	}
	cert, key, err = kp.save(der, key)
	if err != nil {
		return nil, err
	}
	return &Authority{cert: cert, key: key}, nil
}

// Fingerprint is how a certificate is named to people and pinned: the SHA-256 of
// its public key, so that a renewal with the same key keeps it.
func Fingerprint(cert *x509.Certificate) string { return fingerprint(cert.RawSubjectPublicKeyInfo) }

// FingerprintOf is the Fingerprint of every certificate for a public key.
func FingerprintOf(pub crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("encode a public key: %w", err)
	}
	return fingerprint(der), nil
}

func fingerprint(spki []byte) string {
	sum := sha256.Sum256(spki)
	return "sha256:" + hex.EncodeToString(sum[:])
}
