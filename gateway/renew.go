package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/identity"
)

// leases are what renewals said of those who hold a key, so that what was opened with
// an earlier certificate of the same key goes on, or ends, as the latest one says.
type leases struct {
	mu   sync.Mutex
	held map[string]identity.Identity // by fingerprint of the key; under mu
}

func (l *leases) put(key string, who identity.Identity, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = map[string]identity.Identity{}
	}
	for k, old := range l.held {
		if !old.Valid(now) {
			delete(l.held, k)
		}
	}
	l.held[key] = who
}

// latest is what is known last of who with key: what the certificate says, or a
// renewal since.
func (l *leases) latest(key string, who identity.Identity) identity.Identity {
	l.mu.Lock()
	defer l.mu.Unlock()
	if next, ok := l.held[key]; ok && next.Expires.After(who.Expires) {
		return next
	}
	return who
}

// caller is who opened a stream, and the fingerprint of their key.
func (g *Gateway) caller(state tls.ConnectionState) (identity.Identity, string, error) {
	who, err := g.cfg.Authority.Identify(state)
	if err != nil {
		return identity.Identity{}, "", err
	}
	key := identity.Fingerprint(state.PeerCertificates[0])
	if g.barred(who) != nil {
		return who, key, nil // whatever came after this certificate
	}
	return g.leases.latest(key, who), key, nil
}

// renew gives who another certificate for the key that leaf is for, because their
// identity provider still vouches for them. Their sessions then last as long as the new
// certificate; if the provider says something else of them than before, the sessions
// end at once.
func (g *Gateway) renew(ctx context.Context, who identity.Identity, leaf *x509.Certificate, idToken string) (any, error) {
	if g.cfg.Provider == nil {
		return nil, &api.Error{Sentence: "nobody can log in here: no identity provider is configured", Hint: "set oidc in the gateway's configuration", Code: api.CodeError}
	}
	next, err := g.cfg.Provider.VerifyRenewal(ctx, idToken, who, leaf.PublicKey)
	if err != nil {
		g.log(g.note(audit.Event{Kind: audit.LoggedIn, Outcome: "refused", Who: who.Name(), Subject: who.Subject, CallerKind: string(who.Kind), Error: "renewal: " + err.Error()}))
		return nil, &api.Error{Sentence: "the login was not renewed: " + err.Error(), Hint: "run: sluice login", Code: api.CodeNotLoggedIn}
	}
	der, err := g.cfg.Authority.Issue(next, leaf.PublicKey, g.cfg.CertificateTTL)
	if err != nil {
		return nil, fmt.Errorf("issue a certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read back a certificate: %w", err)
	}
	if next, err = identity.Claimed(cert); err != nil {
		return nil, err
	}
	ev := audit.Event{Kind: audit.LoggedIn, Outcome: "ok", Who: next.Name(), Subject: next.Subject, CallerKind: string(next.Kind), Groups: next.Groups, Detail: "renewed, certificate until " + next.Expires.UTC().Format(time.RFC3339)}
	if err := g.note(ev); err != nil {
		return nil, err
	}
	key := identity.Fingerprint(leaf)
	g.leases.put(key, next, g.cfg.Now())
	for _, s := range g.sessions.all() {
		if s.Key == key {
			s.keep()
		}
	}
	return api.CertificateResponse{CertPEM: string(identity.EncodeCertificate(der)), Expires: next.Expires, Identity: whoAmI(next)}, nil
}

// keep makes a session last as long as its caller's latest certificate, and ends it if
// that says something else of them than the session goes by. It gives the end.
func (s *session) keep() time.Time {
	next := s.Who
	if s.Key != "" {
		next = s.g.leases.latest(leaseKey(s.Key, s.Who), s.Who)
	}
	if !sameRights(s.Who, next) {
		s.cut(errRights)
		return s.Who.Expires
	}
	s.until.Store(&next.Expires)
	return next.Expires
}

// who is the session's caller, until the end that a renewal has given them.
func (s *session) who() identity.Identity {
	who := s.Who
	if until := s.until.Load(); until != nil {
		who.Expires = *until
	}
	return who
}

// sameRights says that no rule could tell two identities apart but by their end.
func sameRights(a, b identity.Identity) bool {
	return a.Subject == b.Subject && a.Email == b.Email && a.Kind == b.Kind && a.Owner == b.Owner &&
		a.Method == b.Method && a.Issuer == b.Issuer && a.Token == b.Token && a.Writes == b.Writes && slices.Equal(a.Groups, b.Groups)
}
