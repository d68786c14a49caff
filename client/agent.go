package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/identity"
)

// Delegate makes the credentials of an agent that acts for the person who is logged in
// here: tokens in memory alone, made with the person's login and not longer than it.
// When one ends and the login was renewed, another is made; one that was revoked is the
// last. Safe for use by several goroutines.
type Delegate struct {
	Store   *Store
	Gateway string           // address; "" for the one last logged in to
	Want    api.TokenRequest // what the agent is called and may do

	mu   sync.Mutex    // held while a token is made
	made api.TokenMade // under mu
}

// newToken is how long before its end a token is replaced by another.
const newToken = time.Minute

// Ambient is where OpenJob has the agent's tokens from.
func (d *Delegate) Ambient() *Ambient {
	return &Ambient{From: "the login of the person it acts for", Type: api.TypeSecret, read: func(ctx context.Context, _ string) (string, error) { return d.token(ctx) }}
}

func (d *Delegate) token(ctx context.Context) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.made.Secret != "" && d.Store.Now().Add(newToken).Before(d.made.Token.Expires) {
		return d.made.Secret, nil
	}
	err := d.asOwner(ctx, func(gw *Gateway) error {
		if gw.Identity.Kind != identity.Person {
			return &api.Error{Sentence: "only a person's login makes agents", Hint: "run: sluice login", Code: api.CodeNotLoggedIn}
		}
		var made api.TokenMade
		if err := gw.Call(ctx, http.MethodPost, api.TokensPath, d.Want, &made); err != nil {
			return err
		}
		d.made = made
		return nil
	})
	return d.made.Secret, err
}

// asOwner does something as the person, over a tunnel that ends with it.
func (d *Delegate) asOwner(ctx context.Context, do func(*Gateway) error) error {
	gw, err := Open(ctx, d.Store, d.Gateway)
	if err != nil {
		return err
	}
	return errors.Join(do(gw), gw.Close())
}

// End revokes the token, so that nothing of the agent is left when its program ends.
func (d *Delegate) End(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.made.Secret == "" || !d.Store.Now().Before(d.made.Token.Expires) {
		return nil
	}
	path := strings.Replace(api.TokenRevokePath, "{id}", url.PathEscape(d.made.Token.ID), 1)
	return d.asOwner(ctx, func(gw *Gateway) error {
		return gw.Call(ctx, http.MethodPost, path, api.Reason{Reason: "its program has ended"}, nil)
	})
}

// Freshen gets another certificate if the present one ends within a minute. An agent's
// sessions then last as long as the new one.
func (g *Gateway) Freshen(ctx context.Context) error {
	_, err := g.load(ctx)
	return err
}
