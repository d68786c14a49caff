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
	"slices"
	"strings"
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
	Device      bool                           // by a code that the person types in a browser elsewhere
	Headless    bool                           // the same, if provider and gateway have it; else as without
	ShowDevice  func(DeviceCode)               // shows the code; nil for plain lines to Out
	Out         io.Writer                      // lines for the person
	Trust       func(fingerprint string) error // asked at the first contact with a gateway that no public authority vouches for; nil refuses
	Pin         string                         // fingerprint of the authority above the gateway's certificate: trust it alone, and ask nothing
	CAFile      []byte                         // PEM: trust this authority instead of asking
	HTTP        *http.Client                   // for the identity provider; nil for one with a time limit
}

// Login logs a person in: the identity provider says who they are, and the
// gateway gives a certificate for a key made here, which is stored.
func Login(ctx context.Context, opt LoginOptions) (identity.Identity, error) {
	if opt.Out == nil {
		opt.Out = io.Discard
	}
	if opt.HTTP == nil {
		hc, end := providerClient()
		defer end()
		opt.HTTP = hc
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
	err = l.run(ctx, func(ctx context.Context, tok tokens) (string, []fact, error) {
		c, err := certify(ctx, gw, key, tok, l.nonce)
		if err != nil {
			return "", nil, err
		}
		c.Gateway, c.ID, c.Trust, c.LoggedIn = addr, info.GatewayID, trust, opt.Store.Now().UTC()
		c.Issued, c.Provider = c.LoggedIn, l.provider
		unlock, err := opt.Store.lock(ctx, addr) // so that no renewal writes over it
		if err != nil {
			return "", nil, err
		}
		defer unlock()
		if err := opt.Store.Save(c); err != nil {
			return "", nil, err
		}
		id = c.Identity
		until := id.Expires.Local().Format("Monday 15:04")
		if c.Refresh != "" {
			until += ", then renewed while your identity provider agrees"
		}
		return id.Name(), []fact{{"Gateway", addr}, {"Until", until}}, nil
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
	if opt.Pin != "" {
		return pinned(ctx, addr, opt)
	}
	known, err := opt.Store.Look(addr)
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
			Hint:     "give that fingerprint with --ca-pin if it is the one the gateway printed, or its authority with --ca FILE",
			Code:     api.CodeError,
		}
	}
	if err := opt.Trust(print); err != nil {
		return Trust{}, err
	}
	return Trust{Pin: print}, nil
}

// pinned trusts the gateway that has the given fingerprint, and no other.
func pinned(ctx context.Context, addr string, opt LoginOptions) (Trust, error) {
	pin := strings.ToLower(opt.Pin)
	if digits, ok := strings.CutPrefix(pin, "sha256:"); !ok || len(digits) != 64 || strings.Trim(digits, "0123456789abcdef") != "" {
		return Trust{}, &api.Error{
			Sentence: fmt.Sprintf("%.80q is not the fingerprint of a gateway", opt.Pin),
			Hint:     "it is sha256: and 64 hexadecimal digits, as the gateway prints it at its start",
			Code:     api.CodeUsage,
		}
	}
	chain, err := lookAt(ctx, addr, opt.Store.Now)
	if err != nil {
		return Trust{}, dialError(addr, err)
	}
	for _, c := range chain {
		if identity.Fingerprint(c) == pin {
			return Trust{Pin: pin}, nil
		}
	}
	return Trust{}, &api.Error{
		Sentence: fmt.Sprintf("the gateway's fingerprint is %s, not the one given", identity.Fingerprint(chain[len(chain)-1])),
		Hint:     "ask whoever runs the gateway for the right one; someone may be in between",
		Code:     api.CodeError,
	}
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
func certify(ctx context.Context, gw *http.Client, key *ecdsa.PrivateKey, tok tokens, nonce string) (*Credentials, error) {
	pub, err := identity.EncodePublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	var resp api.CertificateResponse
	req := api.CertificateRequest{IDToken: tok.id, Nonce: nonce, PublicKeyPEM: string(pub), Device: tok.device}
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
	return &Credentials{Key: string(keyPEM), Cert: resp.CertPEM, Identity: id, Refresh: tok.refresh}, nil
}

// login is one run of the authorization code flow (RFC 6749 section 4.1, with
// PKCE, RFC 7636, on a loopback port, RFC 8252), or of the device flow (RFC 8628).
type login struct {
	opt      LoginOptions
	provider Provider
	conf     oauth2.Config
	http     *http.Client
	state    string
	nonce    string
	verifier string
	device   bool
	prompt   string // what the provider is to ask of the person; mostly nothing
	offline  bool   // the provider wants to be asked for a refresh token in its own way
}

// tokens are what a login gives.
type tokens struct {
	id      string
	refresh string // "" if there is none
	device  bool   // by device code
}

func newLogin(ctx context.Context, info api.Info, key *ecdsa.PrivateKey, opt LoginOptions) (*login, error) {
	if err := checkIssuer(info.Issuer); err != nil {
		return nil, err
	}
	p, err := oidc.NewProvider(oidc.ClientContext(ctx, opt.HTTP), info.Issuer)
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
	var meta struct {
		Scopes []string `json:"scopes_supported"`
	}
	if err := p.Claims(&meta); err != nil {
		return nil, fmt.Errorf("read what the identity provider says of itself: %w", err)
	}
	l := &login{
		opt:      opt,
		http:     opt.HTTP,
		state:    oauth2.GenerateVerifier(), // 256 random bits, like the verifier
		nonce:    nonce,
		verifier: oauth2.GenerateVerifier(),
		offline:  info.Issuer == google,
		prompt:   info.Prompt,
	}
	l.provider = Provider{Issuer: info.Issuer, ClientID: info.ClientID, ClientSecret: info.ClientSecret, Scopes: scopes(info.Scopes, meta.Scopes)}
	l.conf = l.provider.config(p)
	can := info.Device && l.conf.Endpoint.DeviceAuthURL != ""
	switch {
	case opt.Device && !info.Device:
		return nil, &api.Error{Sentence: "this gateway does not take logins by device code", Hint: "leave --device out, on a machine with a browser", Code: api.CodeRefused}
	case opt.Device && !can:
		return nil, &api.Error{Sentence: fmt.Sprintf("the identity provider %s has no login by device code", info.Issuer), Hint: "leave --device out, on a machine with a browser", Code: api.CodeError}
	}
	l.device = opt.Device || opt.Headless && can
	return l, nil
}

// config is how the provider is talked to. A program on a laptop is a public client: it
// names itself in the request and proves nothing, and asking first whether it should by
// another way would use up codes at some providers.
func (p Provider) config(at *oidc.Provider) oauth2.Config {
	endpoint := at.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInParams
	return oauth2.Config{ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: endpoint, Scopes: p.Scopes}
}

// google gives refresh tokens for a parameter of its own, not for a scope.
const google = "https://accounts.google.com"

// scopes are what a login asks for: what the gateway says, or what is usual as far as the
// provider knows it. Several refuse the whole login for a scope that they do not know.
func scopes(given, known []string) []string {
	if len(given) > 0 {
		return given
	}
	out := []string{oidc.ScopeOpenID}
	for _, s := range []string{"email", "profile", "groups", oidc.ScopeOfflineAccess} {
		if len(known) == 0 && s != oidc.ScopeOfflineAccess || slices.Contains(known, s) {
			out = append(out, s)
		}
	}
	return out
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

// run has the person log in, and hands the tokens to finish, whose outcome the browser
// shows too if it is on this machine.
func (l *login) run(ctx context.Context, finish func(ctx context.Context, tok tokens) (name string, facts []fact, err error)) error {
	if l.device {
		tok, err := l.byDevice(ctx)
		if err == nil {
			_, _, err = finish(ctx, tok)
		}
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	cb, err := listenCallback(l.state, l.provider.Issuer)
	if err != nil {
		return err
	}
	defer cb.close()
	l.conf.RedirectURL = cb.url()
	how := []oauth2.AuthCodeOption{oidc.Nonce(l.nonce), oauth2.S256ChallengeOption(l.verifier)}
	if l.offline {
		how = append(how, oauth2.AccessTypeOffline, oauth2.ApprovalForce)
	}
	if l.prompt != "" && !l.offline {
		how = append(how, oauth2.SetAuthURLParam("prompt", l.prompt))
	}
	at := l.conf.AuthCodeURL(l.state, how...)
	if l.opt.OpenBrowser == nil {
		fmt.Fprintf(l.opt.Out, "open this address to log in:\n\n  %s\n\n", at)
	} else if err := l.opt.OpenBrowser(at); err != nil {
		fmt.Fprintf(l.opt.Out, "the browser did not open: %v\nopen this address to log in:\n\n  %s\n\n", err, at)
	}
	code, err := cb.wait(ctx)
	if err == nil {
		var tok tokens
		var name string
		if tok, err = l.exchange(ctx, code); err == nil {
			name, cb.facts, err = finish(ctx, tok)
		}
		cb.finish(ctx, name, err)
	}
	return err
}

// exchange trades the code for tokens.
func (l *login) exchange(ctx context.Context, code string) (tokens, error) {
	tok, err := l.conf.Exchange(oidc.ClientContext(ctx, l.http), code, oauth2.VerifierOption(l.verifier))
	if err != nil {
		return tokens{}, &api.Error{
			Sentence: fmt.Sprintf("the identity provider did not accept the login: %v", err),
			Hint:     "run sluice login again",
			Code:     api.CodeNotLoggedIn,
		}
	}
	return l.tokens(tok)
}

func (l *login) tokens(tok *oauth2.Token) (tokens, error) {
	raw, ok := tok.Extra("id_token").(string)
	if !ok || raw == "" {
		return tokens{}, &api.Error{
			Sentence: "the identity provider sent no ID token",
			Hint:     "its client for sluice needs the scope openid",
			Code:     api.CodeError,
		}
	}
	return tokens{id: raw, refresh: tok.RefreshToken, device: l.device}, nil
}
