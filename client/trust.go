package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/tunnel"
)

// Trust is how a gateway is recognised. Exactly one field is set; the zero Trust
// recognises none.
type Trust struct {
	System bool   `json:"system,omitempty"` // its certificate names it and a public authority signed that
	Pin    string `json:"pin,omitempty"`    // fingerprint of an authority above its certificate, or of its own
	CA     string `json:"ca,omitempty"`     // PEM: the authority that the user gave
}

// config gives the client side of TLS that trusts as t says.
func (t Trust) config(addr string, now func() time.Time) *tls.Config {
	return &tls.Config{
		Time: now,
		// The standard check knows no pins. VerifyConnection below does it all, for
		// every handshake, and there is no resumption.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			if err := t.verify(cs.PeerCertificates, hostOf(addr), now()); err != nil {
				return &wrongCertificate{err}
			}
			return nil
		},
	}
}

// wrongCertificate marks the failure among those of a handshake.
type wrongCertificate struct{ err error }

func (w *wrongCertificate) Error() string { return w.err.Error() }

func (t Trust) verify(chain []*x509.Certificate, host string, now time.Time) error {
	if len(chain) == 0 {
		return errors.New("no certificate")
	}
	opts := x509.VerifyOptions{CurrentTime: now, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	switch {
	case t.Pin != "":
		return verifyPinned(chain, t.Pin, opts)
	case t.CA != "":
		opts.DNSName, opts.Roots = host, x509.NewCertPool()
		if !opts.Roots.AppendCertsFromPEM([]byte(t.CA)) {
			return errors.New("the given authority is not a PEM certificate")
		}
	case t.System:
		opts.DNSName = host // Roots nil: the system's
	default:
		return errors.New("nothing says how to recognise the gateway")
	}
	_, err := chain[0].Verify(opts)
	return err
}

// verifyPinned checks that the chain hangs from the pinned key. The host name
// does not matter: that authority exists for this one gateway, which may be
// reached by several names.
func verifyPinned(chain []*x509.Certificate, pin string, opts x509.VerifyOptions) error {
	for i, c := range chain {
		if identity.Fingerprint(c) != pin {
			continue
		}
		if i == 0 {
			if opts.CurrentTime.Before(c.NotBefore) || opts.CurrentTime.After(c.NotAfter) {
				return x509.CertificateInvalidError{Cert: c, Reason: x509.Expired}
			}
			return nil
		}
		opts.Roots = x509.NewCertPool()
		opts.Roots.AddCert(c)
		_, err := chain[0].Verify(opts)
		return err
	}
	return fmt.Errorf("its fingerprint is %s, not %s", identity.Fingerprint(chain[len(chain)-1]), pin)
}

func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}

// dialError says what a person can do about a failed dial.
func dialError(addr string, err error) error {
	if _, ok := api.AsError(err); ok {
		return err
	}
	var wrong *wrongCertificate
	var invalid x509.CertificateInvalidError
	var notTLS tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.As(err, &wrong) && errors.As(wrong.err, &invalid) && invalid.Reason == x509.Expired:
		return &api.Error{
			Sentence: fmt.Sprintf("the certificate of the gateway at %s has expired, or is not valid yet", addr),
			Hint:     "compare this machine's clock; if it is right, ask whoever runs the gateway to renew its certificate",
			Code:     api.CodeError,
		}
	case errors.As(err, &wrong):
		return &api.Error{
			Sentence: fmt.Sprintf("wrong certificate: %s is not the gateway that was trusted before (%v)", addr, wrong.err),
			Hint:     "someone may be in between; if the gateway's owner confirms the new fingerprint, run: sluice logout " + addr + ", then sluice login " + addr,
			Code:     api.CodeError,
		}
	case errors.As(err, &notTLS):
		return &api.Error{Sentence: addr + " is not a gateway: it does not speak TLS", Hint: "check host and port", Code: api.CodeError}
	case errors.Is(err, tunnel.ErrCertificateRefused):
		return loginExpired(addr)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return &api.Error{
			Sentence: "no file descriptors are left to reach the gateway with",
			Hint:     "close connections, or raise the limit of open files (ulimit -n)",
			Code:     api.CodeError,
		}
	case errors.As(err, &op) && op.Op == "dial":
		return &api.Error{
			Sentence: fmt.Sprintf("cannot reach the gateway at %s: %v", addr, op.Err),
			Hint:     "check the address, the network, and that the gateway runs",
			Code:     api.CodeError,
		}
	}
	return &api.Error{Sentence: fmt.Sprintf("no tunnel to the gateway at %s: %v", addr, err), Hint: "check host and port, and that it is a Sluice gateway", Code: api.CodeError}
}
