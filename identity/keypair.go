package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/sluicehq/sluice/internal/durable"
)

// maxKeyFile bounds what is read of a key or certificate file.
const maxKeyFile = 1 << 20

// maxPublicKey bounds the PEM form of a key: P-256 takes 178 bytes.
const maxPublicKey = 2 << 10

// keyPair names the two files of a certificate and its key.
type keyPair struct{ cert, key string }

// load reads both. Only a missing key counts as "not there": a certificate
// without its key is damage that a person must look at, not a reason to start a
// new authority that locks everybody out.
func (kp keyPair) load() (*x509.Certificate, *ecdsa.PrivateKey, error) {
	block, err := readKeyFile(kp.key)
	if err != nil {
		return nil, nil, err
	}
	key, err := parseKey(block)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", kp.key, err)
	}
	raw, err := os.ReadFile(kp.cert)
	if err != nil {
		return nil, nil, fmt.Errorf("read the certificate beside its key: %v", err) // not %w: it is not "not there"
	}
	pb, _ := pem.Decode(raw)
	if pb == nil || pb.Type != "CERTIFICATE" {
		return nil, nil, fmt.Errorf("%s: no certificate in it", kp.cert)
	}
	cert, err := x509.ParseCertificate(pb.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", kp.cert, err)
	}
	return cert, key, nil
}

// save writes the certificate before the key, because load begins with the key:
// after a crash between the two everything is made anew.
func (kp keyPair) save(der []byte, key *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("read back the certificate: %w", err)
	}
	keyPEM, err := EncodeKey(key)
	if err != nil {
		return nil, nil, err
	}
	if err := durable.WriteFile(kp.cert, EncodeCertificate(der), 0o644); err != nil {
		return nil, nil, fmt.Errorf("write the certificate: %w", err)
	}
	if err := durable.WriteFile(kp.key, keyPEM, 0o600); err != nil {
		return nil, nil, fmt.Errorf("write the key: %w", err)
	}
	return cert, key, nil
}

// NewKey makes the key of a client. It never leaves the machine.
func NewKey() (*ecdsa.PrivateKey, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// EncodeCertificate gives the PEM form of a certificate.
func EncodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// EncodeKey gives the PEM form (PKCS #8) of a private key.
func EncodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode the key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// readKeyFile reads a private file and refuses one that others may read.
func readKeyFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	// Windows has no such bits: there the directory's access list protects the file.
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o): run chmod 600 on it", path, info.Mode().Perm())
	}
	if info.Size() > maxKeyFile {
		return nil, fmt.Errorf("%s: %d bytes are too many for a key", path, info.Size())
	}
	return os.ReadFile(path)
}

func parseKey(raw []byte) (*ecdsa.PrivateKey, error) {
	pb, _ := pem.Decode(raw)
	if pb == nil || pb.Type != "PRIVATE KEY" {
		return nil, errors.New("no private key in it")
	}
	k, err := x509.ParsePKCS8PrivateKey(pb.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	key, ok := k.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("key of type %T is not ECDSA P-256", k)
	}
	return key, nil
}

// EncodePublicKey gives the PEM form of a public key, to be sent for a certificate.
func EncodePublicKey(key *ecdsa.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode the public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// ParsePublicKey reads what EncodePublicKey wrote. It is the decoder of what an
// unauthenticated caller sends, so it accepts one key in one block and no more.
func ParsePublicKey(raw []byte) (crypto.PublicKey, error) {
	if len(raw) > maxPublicKey {
		return nil, fmt.Errorf("public key: %d bytes are more than %d", len(raw), maxPublicKey)
	}
	pb, rest := pem.Decode(raw)
	if pb == nil || pb.Type != "PUBLIC KEY" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("public key: it is not one PEM block of type PUBLIC KEY")
	}
	key, err := x509.ParsePKIXPublicKey(pb.Bytes)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	if err := checkKey(key); err != nil {
		return nil, err
	}
	return key, nil
}
