package gateway

import (
	"context"
	"crypto/tls"
	"net/http"
	"time"

	"github.com/sluicehq/sluice/api"
)

// peerAsk is what a gateway asks another, again and again. It acknowledges what it was
// told before: that is in force where it asks from.
type peerAsk struct {
	Process string `json:"process"` // of who asks
	Epoch   string `json:"epoch"`   // of who was heard last; what follows is of that
	Has     int64  `json:"has"`     // rulings up to this place are in force
	Round   int64  `json:"round"`   // changes up to this one are known
}

// peerTold is the answer: it comes when there is something new, and before long in any
// case. Who gets it may rely on it for a lease from when it asked, if Upto is Last.
type peerTold struct {
	Epoch  string   `json:"epoch"`
	Labels []ruling `json:"labels,omitempty"` // after Has, oldest first
	Upto   int64    `json:"upto"`             // place of the last of them
	Last   int64    `json:"last"`             // place of the last there is
	Round  int64    `json:"round"`
	Alters []string `json:"alters,omitempty"` // databases whose catalogue is about to change
}

// maxTold bounds the rulings of one answer, well below what an answer may have.
const maxTold = 10_000

// peerHandler serves one peer. Nothing else is open to it.
func (g *Gateway) peerHandler(id string) http.Handler {
	mux := http.NewServeMux()
	open(mux, "POST "+api.PeerPath, func(r *http.Request) (any, error) {
		var in peerAsk
		if err := read(r, &in); err != nil {
			return nil, err
		}
		return g.peers.answer(r.Context(), g.rulings, id, in)
	})
	return mux
}

// isPeer names the peer on the other side of a tunnel; ok is false if there is none.
func (g *Gateway) isPeer(st tls.ConnectionState) (id string, ok bool) {
	if g.peers == nil {
		return "", false
	}
	return g.peers.cfg.Identity.Identify(st)
}

// answer tells a peer what is new. The order matters: that it may rely on what it is told
// is noted before what it is told is put together, so that what comes between waits.
func (p *peers) answer(ctx context.Context, kept *rulings, id string, ask peerAsk) (any, error) {
	if ask.Process == p.epoch {
		return peerTold{Epoch: p.epoch}, nil // we, by another address
	}
	ask, err := p.take(id, ask)
	if err != nil {
		return nil, err
	}
	hold := time.NewTimer(p.cfg.Lease / 5)
	defer hold.Stop()
	for waited := false; ; {
		last, grown := kept.last()
		p.mu.Lock()
		round, moved := p.round, p.moved
		p.mu.Unlock()
		if waited || last > ask.Has || round > ask.Round {
			return p.told(kept, id, ask.Has), nil
		}
		select {
		case <-grown:
		case <-moved:
		case <-hold.C:
			waited = true
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take notes what a peer acknowledges. What it heard of another process counts for
// nothing, and is told again.
func (p *peers) take(id string, ask peerAsk) (peerAsk, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	is := p.named(id)
	if len(is) == 0 {
		return ask, &api.Error{
			Sentence: "this gateway has not reached " + id + " at any address that it was given",
			Hint:     "name both gateways in peers: of both, with addresses at which each reaches the other", Code: api.CodeRefused,
		}
	}
	if ask.Epoch != p.epoch {
		ask.Has, ask.Round = 0, 0
		return ask, nil
	}
	grown := false
	for _, x := range is {
		grown = grown || ask.Has > x.has
		x.has, x.round = max(x.has, ask.Has), ask.Round
	}
	if grown {
		if err := p.save(); err != nil {
			return ask, err
		}
	}
	p.stir()
	return ask, nil
}

// named are the peers of a name: one that has several addresses is several. p.mu is held.
func (p *peers) named(id string) (list []*peer) {
	for _, x := range p.list {
		if x.id == id && !x.self {
			list = append(list, x)
		}
	}
	return list
}

func (p *peers) told(kept *rulings, id string, has int64) peerTold {
	p.mu.Lock()
	for _, x := range p.named(id) {
		x.holds = time.Now().Add(p.cfg.Lease)
	}
	t := peerTold{Epoch: p.epoch, Round: p.round}
	for database := range p.changing {
		t.Alters = append(t.Alters, database)
	}
	p.mu.Unlock()
	t.Labels, t.Last = kept.since(has, maxTold)
	t.Upto = t.Last
	if len(t.Labels) == maxTold {
		t.Upto = t.Labels[maxTold-1].Seq
	}
	return t
}
