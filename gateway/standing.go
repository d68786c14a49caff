package gateway

import (
	"crypto/tls"
	"errors"
	"sync"
	"time"

	"github.com/sluicehq/sluice/identity"
)

// tunnels are the sessions of the tunnel that have a certificate, to end those whose
// owner is locked or whose certificate was revoked.
type tunnels struct {
	mu   sync.Mutex
	next uint64
	list map[uint64]opened
}

type opened struct {
	who identity.Identity
	end func()
}

// enter notes a tunnel until leave is called.
func (t *tunnels) enter(h opened) (leave func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.list == nil {
		t.list = map[uint64]opened{}
	}
	t.next++
	id := t.next
	t.list[id] = h
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.list, id)
	}
}

func (t *tunnels) all() []opened {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]opened, 0, len(t.list))
	for _, h := range t.list {
		list = append(list, h)
	}
	return list
}

// admit is told of each tunnel with a certificate. Whose certificate is not good, or
// who is locked, is served just long enough to hear why.
func (g *Gateway) admit(state tls.ConnectionState, end func()) (leave func(), known bool) {
	who, err := g.cfg.Authority.Identify(state)
	if err != nil {
		_, peer := g.isPeer(state)
		return func() {}, peer
	}
	// Noted before it is looked at, so that a lock that comes between finds it.
	leave = g.tunnels.enter(opened{who, end})
	return leave, g.barred(who) == nil
}

// barred says why somebody may do nothing although their certificate is good; nil if
// nothing stands against them. What cannot be found out stands against them.
func (g *Gateway) barred(who identity.Identity) *identity.Barred {
	if g.cfg.Standing == nil {
		return nil
	}
	err := g.cfg.Standing.Check(who)
	if err == nil {
		return nil
	}
	var no *identity.Barred
	if errors.As(err, &no) {
		return no
	}
	return &identity.Barred{Sentence: err.Error(), Hint: "ask whoever runs the gateway"}
}

// against is barred for those who count votes.
func (g *Gateway) against(who identity.Identity) error {
	if no := g.barred(who); no != nil {
		return no
	}
	return nil
}

// lastWords is how long sessions that are cut may tell their clients why, before their
// tunnel ends: what is left of the second in which all of it must be over.
const lastWords = 500 * time.Millisecond

// cutBarred ends the sessions and tunnels of everybody who is barred now, and says how
// many. New ones are refused already.
func (g *Gateway) cutBarred() (sessions, tunnels int) {
	var cut []*session
	for _, s := range g.sessions.all() {
		if no := g.barred(s.Who); no != nil {
			s.cut(no)
			cut = append(cut, s)
		}
	}
	late := time.NewTimer(lastWords)
	defer late.Stop()
	for _, s := range cut {
		select {
		case <-s.gone:
			continue
		case <-late.C:
		}
		break
	}
	for _, h := range g.tunnels.all() {
		if g.barred(h.who) != nil {
			h.end()
			tunnels++
		}
	}
	return len(cut), tunnels
}
