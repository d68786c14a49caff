package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/identity"
)

// credentialRoutes are the control messages about tokens, locks and revocations.
func (g *Gateway) credentialRoutes(mux *http.ServeMux, who identity.Identity) {
	g.closed(mux, who, "GET "+api.TokensPath, func(*http.Request) (any, error) { return g.Tokens(who), nil })
	g.closed(mux, who, "POST "+api.TokensPath, func(r *http.Request) (any, error) {
		var in api.TokenRequest
		if err := read(r, &in); err != nil {
			return nil, err
		}
		return g.NewToken(who, in)
	})
	g.closed(mux, who, "POST "+api.TokenRevokePath, func(r *http.Request) (any, error) {
		var in api.Reason
		if err := read(r, &in); err != nil {
			return nil, err
		}
		return g.Revoke(who, r.PathValue("id"), in.Reason)
	})
	g.closed(mux, who, "GET "+api.UsersPath, func(*http.Request) (any, error) { return g.Users(who) })
	g.closed(mux, who, "POST "+api.UserLockPath, func(r *http.Request) (any, error) {
		var in api.UserLock
		if err := read(r, &in); err != nil {
			return nil, err
		}
		return g.Lock(who, in)
	})
	g.closed(mux, who, "POST "+api.UserUnlockPath, func(r *http.Request) (any, error) {
		var in api.UserLock
		if err := read(r, &in); err != nil {
			return nil, err
		}
		return g.Unlock(who, in)
	})
}

func (g *Gateway) onlyAdmins(who identity.Identity) error {
	if !g.admin(who) {
		return &api.Error{Sentence: "only administrators lock and unlock people", Hint: "administrators are named in the gateway's configuration", Code: api.CodeRefused}
	}
	if g.cfg.Standing == nil {
		return errNoTokens()
	}
	return nil
}

// Lock keeps somebody out: their sessions and tunnels, and those of their agents and
// jobs, end within a second, and they get no new ones until they are unlocked.
func (g *Gateway) Lock(who identity.Identity, in api.UserLock) (api.Revoked, error) {
	if err := g.onlyAdmins(who); err != nil {
		return api.Revoked{}, err
	}
	for _, mine := range []string{who.Subject, who.Email, who.Name()} {
		if strings.EqualFold(mine, in.Name) {
			return api.Revoked{}, &api.Error{Sentence: "nobody locks themselves", Hint: "ask another administrator", Code: api.CodeUsage}
		}
	}
	err := g.cfg.Standing.Lock(identity.Lock{Name: in.Name, Reason: in.Reason, By: who.Name()})
	return g.ended(who, api.Revoked{What: in.Name}, "locked "+cutName(in.Name), in.Reason, err)
}

// Unlock lets somebody in again.
func (g *Gateway) Unlock(who identity.Identity, in api.UserLock) (api.User, error) {
	if err := g.onlyAdmins(who); err != nil {
		return api.User{}, err
	}
	if !g.cfg.Standing.Locked(in.Name) {
		return api.User{}, &api.Error{Sentence: fmt.Sprintf("nobody called %q is locked", cutName(in.Name)), Hint: "run: sluice users ls", Code: api.CodeError}
	}
	ev := g.adminEvent(who)
	ev.Detail, ev.Reason = "unlocked "+cutName(in.Name), in.Reason
	if err := g.note(ev); err != nil { // first: nobody is let in unrecorded
		return api.User{}, err
	}
	if err := g.cfg.Standing.Unlock(in.Name); err != nil && !errors.Is(err, identity.ErrNotLocked) {
		return api.User{}, err
	}
	return api.User{Name: in.Name}, nil
}

// Users lists who is connected and who is locked, for administrators.
func (g *Gateway) Users(who identity.Identity) ([]api.User, error) {
	if err := g.onlyAdmins(who); err != nil {
		return nil, err
	}
	byKey := map[string]*api.User{}
	user := func(id identity.Identity) *api.User {
		u := byKey[id.Key()]
		if u == nil {
			u = &api.User{Subject: id.Subject, Name: id.Name(), Kind: string(id.Kind), Owner: id.OwnerName}
			byKey[id.Key()] = u
		}
		return u
	}
	for _, h := range g.tunnels.all() {
		user(h.who).Tunnels++
	}
	for _, s := range g.sessions.all() {
		user(s.Who).Sessions++
	}
	out := []api.User{}
	for _, u := range byKey {
		out = append(out, *u)
	}
	for _, l := range g.cfg.Standing.Locks() {
		out = append(out, api.User{Name: l.Name, Locked: true, Reason: l.Reason, By: l.By, Since: l.At})
	}
	slices.SortFunc(out, func(a, b api.User) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.Subject, b.Subject)
	})
	return out, nil
}
