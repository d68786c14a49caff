package client

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/tunnel"
	"golang.org/x/oauth2"
)

// Limits of a login.
const (
	loginTimeout    = 5 * time.Minute // a person types a password and a second factor
	providerTimeout = 15 * time.Second
)

// LoginOptions say where and how to log in.
type LoginOptions struct {
	Gateway     string                         // host or host:port
	Store       *Store                         //
	OpenBrowser func(url string) error         // shows url to the person; may return before they are done
	Out         io.Writer                      // lines for the person
	Trust       func(fingerprint string) error // asked at the first contact with a gateway that no public authority vouches for; nil refuses
	CAFile      []byte                         // PEM: trust this authority instead of asking
	HTTP        *http.Client                   // for the identity provider; nil for one with a time limit
}

// Login logs a person in: the identity provider says who they are, and the
// gateway gives a certificate for a key made here, which is stored.
func Login(ctx context.Context, opt LoginOptions) (identity.Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	if opt.Out == nil {
		opt.Out = io.Discard
	}
	addr, err := Address(opt.Gateway)
	if err != nil {
		return identity.Identity{}, err
	}
	trust, err := firstContact(ctx, addr, opt)
	if err != nil {
		return identity.Identity{}, err
	}
	door := &door{addr: addr, tc: trust.config(addr, opt.Store.Now)}
	defer door.close()
	gw := streamClient(door.open)
	defer gw.CloseIdleConnections()
	var info api.Info
	if err := call(ctx, gw, http.MethodGet, api.InfoPath, nil, &info); err != nil {
		return identity.Identity{}, err
	}
	key, err := identity.NewKey()
	if err != nil {
		return identity.Identity{}, fmt.Errorf("make a key: %w", err)
	}
	l, err := newLogin(ctx, info, key, opt)
	if err != nil {
		return identity.Identity{}, err
	}
	var id identity.Identity
	err = l.run(ctx, func(ctx context.Context, idToken string) (string, error) {
		c, err := certify(ctx, gw, key, idToken, l.nonce)
		if err != nil {
			return "", err
		}
		c.Gateway, c.ID, c.Trust, c.LoggedIn = addr, info.GatewayID, trust, opt.Store.Now().UTC()
		if err := opt.Store.Save(c); err != nil {
			return "", err
		}
		id = c.Identity
		return id.Name(), nil
	})
	return id, err
}

// firstContact finds out how to recognise the gateway. One that was trusted
// before is not asked again: a change shows as a wrong certificate. Nothing is
// sent to a gateway before this is settled.
func firstContact(ctx context.Context, addr string, opt LoginOptions) (Trust, error) {
	if len(opt.CAFile) > 0 {
		return Trust{CA: string(opt.CAFile)}, nil
	}
	known, err := opt.Store.Load(addr)
	if err == nil {
		return known.Trust, nil
	}
	if e, ok := api.AsError(err); !ok || e.Sentence != notLoggedIn(addr).Error() {
		return Trust{}, err
	}
	chain, err := lookAt(ctx, addr, opt.Store.Now)
	if err != nil {
		return Trust{}, dialError(addr, err)
	}
	system := Trust{System: true}
	if system.verify(chain, hostOf(addr), opt.Store.Now()) == nil {
		return system, nil
	}
	print := identity.Fingerprint(chain[len(chain)-1])
	if opt.Trust == nil {
		return Trust{}, &api.Error{
			Sentence: "nobody vouches for the gateway at " + addr + " (" + print + ")",
			Hint:     "give its authority with --ca FILE, or log in on a terminal to compare the fingerprint",
			Code:     api.CodeError,
		}
	}
	if err := opt.Trust(print); err != nil {
		return Trust{}, err
	}
	return Trust{Pin: print}, nil
}

// lookAt fetches the certificates that addr shows, and hangs up.
func lookAt(ctx context.Context, addr string, now func() time.Time) ([]*x509.Certificate, error) {
	tc := &tls.Config{InsecureSkipVerify: true, Time: now} // only looks: the session is closed before a byte is sent
	s, err := tunnel.Dial(ctx, addr, tc, tunnel.Config{})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.TLS.PeerCertificates, nil
}

// door is the session without a certificate that a login talks over. The gateway
// keeps it for a short time only, so it is dialled for each connection.
type door struct {
	addr string
	tc   *tls.Config
	sess []*tunnel.Session // owned by Login, which makes one call at a time
}

func (d *door) open(ctx context.Context) (net.Conn, error) {
	s, err := tunnel.Dial(ctx, d.addr, d.tc, tunnel.Config{})
	if err != nil {
		return nil, dialError(d.addr, err)
	}
	d.sess = append(d.sess, s)
	conn, err := s.Open(ctx, tunnel.Header{Kind: tunnel.API})
	var no *tunnel.Rejection
	if errors.As(err, &no) {
		return nil, &api.Error{Sentence: no.Sentence, Hint: no.Hint, Code: api.CodeError}
	}
	if err != nil {
		return nil, dialError(d.addr, err)
	}
	return conn, nil
}

func (d *door) close() {
	for _, s := range d.sess {
		s.Close()
	}
}

// certify trades the ID token for a certificate.
func certify(ctx context.Context, gw *http.Client, key *ecdsa.PrivateKey, idToken, nonce string) (*Credentials, error) {
	pub, err := identity.EncodePublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	var resp api.CertificateResponse
	req := api.CertificateRequest{IDToken: idToken, Nonce: nonce, PublicKeyPEM: string(pub)}
	if err := call(ctx, gw, http.MethodPost, api.CertificatePath, req, &resp); err != nil {
		return nil, err
	}
	keyPEM, err := identity.EncodeKey(key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair([]byte(resp.CertPEM), keyPEM)
	if err != nil {
		return nil, fmt.Errorf("the gateway's certificate does not fit our key: %w", err)
	}
	id, err := identity.Claimed(pair.Leaf)
	if err != nil {
		return nil, err
	}
	return &Credentials{Key: string(keyPEM), Cert: resp.CertPEM, Identity: id}, nil
}

// login is one run of the authorization code flow (RFC 6749 section 4.1, with
// PKCE, RFC 7636, on a loopback port, RFC 8252).
type login struct {
	opt      LoginOptions
	issuer   string
	conf     oauth2.Config
	http     *http.Client
	state    string
	nonce    string
	verifier string
}

func newLogin(ctx context.Context, info api.Info, key *ecdsa.PrivateKey, opt LoginOptions) (*login, error) {
	if err := checkIssuer(info.Issuer); err != nil {
		return nil, err
	}
	hc := opt.HTTP
	if hc == nil {
		hc = &http.Client{Timeout: providerTimeout}
	}
	p, err := oidc.NewProvider(oidc.ClientContext(ctx, hc), info.Issuer)
	if err != nil {
		return nil, &api.Error{
			Sentence: fmt.Sprintf("the identity provider %s does not answer as it should: %v", info.Issuer, err),
			Hint:     "check that this machine can reach it",
			Code:     api.CodeError,
		}
	}
	nonce, err := identity.NonceFor(key.Public())
	if err != nil {
		return nil, err
	}
	scopes := info.Scopes
	if len(scopes) == 0 {
		scopes = []string{oidc.ScopeOpenID, "email", "profile", "groups"}
	}
	return &login{
		opt:      opt,
		issuer:   info.Issuer,
		conf:     oauth2.Config{ClientID: info.ClientID, Endpoint: p.Endpoint(), Scopes: scopes},
		http:     hc,
		state:    oauth2.GenerateVerifier(), // 256 random bits, like the verifier
		nonce:    nonce,
		verifier: oauth2.GenerateVerifier(),
	}, nil
}

// checkIssuer refuses to send a person, and then a code, over plain HTTP, but
// for a provider on this very machine.
func checkIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	if err == nil && u.Host != "" {
		ip := net.ParseIP(u.Hostname())
		if u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()) {
			return nil
		}
	}
	return &api.Error{
		Sentence: fmt.Sprintf("the gateway names an identity provider that is not reached by https: %q", issuer),
		Hint:     "correct oidc.issuer in the gateway's configuration",
		Code:     api.CodeError,
	}
}

// run sends the person to the provider, waits for the code and hands the ID
// token to finish, whose outcome the browser shows too.
func (l *login) run(ctx context.Context, finish func(ctx context.Context, idToken string) (name string, err error)) error {
	cb, err := listenCallback(l.state, l.issuer)
	if err != nil {
		return err
	}
	defer cb.close()
	l.conf.RedirectURL = cb.url()
	at := l.conf.AuthCodeURL(l.state, oidc.Nonce(l.nonce), oauth2.S256ChallengeOption(l.verifier))
	fmt.Fprintf(l.opt.Out, "Log in with your browser. If it does not open by itself, open:\n\n  %s\n\n", at)
	if l.opt.OpenBrowser != nil {
		if err := l.opt.OpenBrowser(at); err != nil {
			fmt.Fprintf(l.opt.Out, "The browser did not open: %v\n", err)
		}
	}
	code, err := cb.wait(ctx)
	if err == nil {
		var token, name string
		if token, err = l.exchange(ctx, code); err == nil {
			name, err = finish(ctx, token)
		}
		cb.finish(ctx, name, err)
	}
	return err
}

// exchange trades the code for an ID token.
func (l *login) exchange(ctx context.Context, code string) (string, error) {
	tok, err := l.conf.Exchange(oidc.ClientContext(ctx, l.http), code, oauth2.VerifierOption(l.verifier))
	if err != nil {
		return "", &api.Error{
			Sentence: fmt.Sprintf("the identity provider did not accept the login: %v", err),
			Hint:     "run sluice login again",
			Code:     api.CodeNotLoggedIn,
		}
	}
	raw, ok := tok.Extra("id_token").(string)
	if !ok || raw == "" {
		return "", &api.Error{
			Sentence: "the identity provider sent no ID token",
			Hint:     "its client for sluice needs the scope openid",
			Code:     api.CodeError,
		}
	}
	return raw, nil
}
