package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/durable"
	"golang.org/x/oauth2"
)

// When a login is renewed, and how long that may take.
const (
	mostAhead   = time.Hour        // before its end at the earliest; a quarter of its life if that is less
	renewTime   = 10 * time.Second // one renewal
	renewWait   = 5 * time.Second  // for the process that does it now
	renewPause  = 30 * time.Second // after one that failed; less if the end is near
	lookAgain   = time.Minute      // timers stand still while a laptop sleeps, and other processes renew too
	lockRetry   = 50 * time.Millisecond
	shortPauses = 8 // into as many the time that is left is parted
)

// errNoRefresh says that a login ends with its certificate.
var errNoRefresh = errors.New("the identity provider gave no refresh token")

// due is when a login should be renewed.
func (c *Credentials) due() time.Time {
	life := c.Identity.Expires.Sub(c.Issued)
	if c.Issued.IsZero() || life <= 0 {
		return c.Identity.Expires
	}
	return c.Identity.Expires.Add(-min(life/4, mostAhead))
}

// Keep renews the login again and again until ctx ends, as long as the identity provider
// agrees. It tells a person, once, that it does not any more.
func (g *Gateway) Keep(ctx context.Context, tell func(sentence, hint string)) {
	if g.store == nil {
		return // a job's token gives it new ones
	}
	told := time.Time{} // end of the login that was told of
	wait := g.untilDue()
	if wait <= 0 {
		wait = renewPause // Open has just tried
	}
	for pause(ctx, min(wait, lookAgain)) == nil {
		if wait = g.untilDue(); wait > 0 {
			continue
		}
		wait = lookAgain
		c, err := g.store.Look(g.Address)
		if err != nil || !c.Identity.Valid(g.store.Now()) {
			continue // Hold tells of it, and somebody may log in again
		}
		err = g.renew(ctx)
		switch {
		case err == nil:
			wait = g.untilDue()
		case !lasts(err):
			wait = min(renewPause, c.Identity.Expires.Sub(g.store.Now())/shortPauses)
		case !errors.Is(err, errNoRefresh) && told != c.Identity.Expires:
			told = c.Identity.Expires
			tell(fmt.Sprintf("your login ends at %s: %s", told.Local().Format("15:04"), sentence(err)), "run: sluice login "+g.Address+"; sessions that are open end then")
		}
	}
}

// untilDue is how long the login needs no renewal; lookAgain if there is none.
func (g *Gateway) untilDue() time.Duration {
	c, err := g.store.Look(g.Address)
	if err != nil {
		return lookAgain
	}
	return c.due().Sub(g.store.Now())
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(max(d, time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// renewIfDue renews a login that is near its end. That it fails is no error while the
// login lasts: Hold, Keep or the next command says what is to be said.
func (g *Gateway) renewIfDue(ctx context.Context, c *Credentials) {
	if c.Refresh == "" || g.store.Now().Before(c.due()) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, renewWait)
	defer cancel()
	_ = g.renew(ctx)
}

// renew gets a new certificate for the key we have. One process does it at a time: a
// provider that gives a new refresh token at each use takes the second use of an old one
// for a theft.
func (g *Gateway) renew(ctx context.Context) error {
	unlock, err := g.store.lock(ctx, g.Address)
	if err != nil {
		return err
	}
	defer unlock()
	// From here on it is not given up halfway: a refresh token that the provider has
	// replaced, and we have not got the new one of, would end the login.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewTime)
	defer cancel()
	c, err := g.store.Load(g.Address)
	if err != nil {
		return lasting{err}
	}
	switch {
	case g.store.Now().Before(c.due()):
		g.link.refresh() // another process has done it, or a person has logged in
		return nil
	case c.Refresh == "":
		return lasting{errNoRefresh}
	case !c.Identity.Valid(g.store.Now()):
		return lasting{loginExpired(g.Address)}
	}
	token, err := refreshed(ctx, g.store, c)
	if err != nil {
		return err
	}
	var resp api.CertificateResponse
	if err := g.Call(ctx, http.MethodPost, api.RenewPath, api.RenewRequest{IDToken: token}, &resp); err != nil {
		if e, ok := api.AsError(err); ok && e.Code == api.CodeNotLoggedIn {
			return lasting{err}
		}
		return err
	}
	was := c.Identity.Subject
	c.Cert = resp.CertPEM
	pair, err := c.keyPair()
	if err != nil {
		return err
	}
	if c.Identity, err = identity.Claimed(pair.Leaf); err != nil {
		return err
	}
	if c.Identity.Subject != was {
		return lasting{errors.New("the gateway's new certificate is for somebody else")}
	}
	c.Issued = g.store.Now().UTC()
	if err := g.store.Save(c); err != nil {
		return err
	}
	g.link.refresh()
	g.http.CloseIdleConnections() // they are streams of the session before
	return nil
}

// refreshed asks the provider for a new ID token. A new refresh token is saved before
// anything else can go wrong: the old one may be worth nothing from now on.
func refreshed(ctx context.Context, store *Store, c *Credentials) (idToken string, err error) {
	if err := checkIssuer(c.Provider.Issuer); err != nil {
		return "", lasting{err}
	}
	hc, end := providerClient()
	defer end()
	octx := oidc.ClientContext(ctx, hc)
	p, err := oidc.NewProvider(octx, c.Provider.Issuer)
	if err != nil {
		return "", fmt.Errorf("the identity provider %s does not answer: %w", c.Provider.Issuer, err)
	}
	conf := c.Provider.config(p)
	tok, err := conf.TokenSource(octx, &oauth2.Token{RefreshToken: c.Refresh}).Token()
	var no *oauth2.RetrieveError
	if errors.As(err, &no) && (no.ErrorCode == "invalid_grant" || no.ErrorCode == "unauthorized_client" || no.ErrorCode == "invalid_client") {
		c.Refresh = ""
		if err := store.Save(c); err != nil {
			return "", err
		}
		return "", lasting{&api.Error{Sentence: "your identity provider does not renew it", Hint: "run: sluice login " + c.Gateway, Code: api.CodeNotLoggedIn}}
	}
	if err != nil {
		return "", fmt.Errorf("renew the login: %w", err)
	}
	if tok.RefreshToken != "" && tok.RefreshToken != c.Refresh {
		c.Refresh = tok.RefreshToken
		if err := store.Save(c); err != nil {
			return "", err
		}
	}
	raw, ok := tok.Extra("id_token").(string)
	if !ok || raw == "" {
		return "", lasting{&api.Error{Sentence: "your identity provider sends no ID token for a refresh token", Hint: "run: sluice login " + c.Gateway, Code: api.CodeNotLoggedIn}}
	}
	return raw, nil
}

// lock waits until no other process of this person's has what: the address of a gateway,
// whose login is renewed, or the path of a file.
func (s *Store) lock(ctx context.Context, what string) (unlock func(), err error) {
	path := s.file(what) + ".lock"
	if err := durable.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the credential directory: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the credentials: %w", err)
	}
	for {
		taken, err := lockFile(f)
		switch {
		case err != nil:
			f.Close()
			return nil, fmt.Errorf("lock the credentials: %w", err)
		case !taken:
			return func() { f.Close() }, nil
		}
		if err := pause(ctx, lockRetry); err != nil {
			f.Close()
			return nil, err
		}
	}
}

// providerClient is for the identity provider; end lets go of its connections.
func providerClient() (hc *http.Client, end func()) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	return &http.Client{Timeout: providerTimeout, Transport: t}, t.CloseIdleConnections
}
