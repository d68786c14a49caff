package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/tunnel"
)

// How long to pause before a peer is dialled again, doubling.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 2 * time.Second
)

// firstWord is how long the first session waits for peers, so that a gateway that starts
// beside others does not begin with doubt.
const firstWord = 3 * time.Second

// hearAll listens to every peer until ctx is done.
func (g *Gateway) hearAll(ctx context.Context) {
	if g.peers == nil {
		return
	}
	var group sync.WaitGroup
	for _, x := range g.peers.list {
		group.Go(func() { g.hear(ctx, x) })
	}
	group.Wait()
}

// hear listens to one peer until ctx is done, whatever becomes of the connection.
func (g *Gateway) hear(ctx context.Context, x *peer) {
	p := g.peers
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, lastPause) {
		began := time.Now()
		err := g.listen(ctx, x)
		if err == nil {
			return // it is this gateway
		}
		if p.lost(ctx, x, err) {
			g.lift()
		}
		if time.Since(began) > lastPause {
			pause = firstPause // it was heard for a while
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// lost notes why a peer is not heard, and tells of it once its word no longer holds. One
// that will not have us may have gone on without telling us: nothing is vouched for then.
func (p *peers) lost(ctx context.Context, x *peer, err error) (void bool) {
	p.mu.Lock()
	first := x.trouble == ""
	x.tried = true
	x.trouble = err.Error()
	if void = errors.Is(err, errNotPeer) && len(p.vouched) > 0; void {
		p.vouched = map[string]map[uint32]int16{}
		x.until = moment{}
		err = errors.Join(err, p.save())
	}
	over := x.until.past(time.Now())
	tell := over && !x.mourned && ctx.Err() == nil
	x.mourned = x.mourned || tell
	p.stir()
	p.mu.Unlock()
	if first || tell {
		p.log.Warn("another gateway is not heard", "address", x.address, "error", err)
	}
	if tell {
		p.tell("error", "the gateway at "+x.address+" is not heard: what appears meanwhile in the databases that both serve is hidden")
	}
	return void
}

// listen dials a peer and asks it until that fails. It returns nil if the peer turns out
// to be this gateway.
func (g *Gateway) listen(ctx context.Context, x *peer) error {
	p := g.peers
	sess, err := tunnel.Dial(ctx, x.address, p.cfg.Identity.Dial(), tunnel.Config{})
	if err != nil {
		return err
	}
	defer sess.Close()
	id, ok := p.cfg.Identity.Identify(sess.TLS)
	if !ok {
		return errors.New("what answers there does not have the key")
	}
	if err := p.rename(x, id); err != nil {
		return err
	}
	c := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return sess.Open(ctx, tunnel.Header{Kind: tunnel.API})
		},
		DisableCompression: true,
	}}
	defer c.CloseIdleConnections()
	ask := peerAsk{Process: p.epoch}
	for {
		sent := time.Now()
		told, err := p.ask(ctx, c, ask)
		if err != nil {
			return err
		}
		if told.Epoch == p.epoch {
			p.mu.Lock()
			defer p.mu.Unlock()
			x.self, x.tried = true, true
			p.stir()
			return nil
		}
		if id == p.id {
			return fmt.Errorf("it has the same name as this gateway, %s: its data directory is a copy", id)
		}
		if err := g.take(ctx, x, told, sent, ask.Epoch != told.Epoch); err != nil {
			return err
		}
		ask.Epoch, ask.Has, ask.Round = told.Epoch, told.Upto, told.Round
	}
}

// rename notes which gateway answers at an address. Another one than before has been told
// nothing.
func (p *peers) rename(x *peer, id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x.id == id {
		return nil
	}
	x.id, x.has, x.round = id, 0, 0
	return p.save()
}

// ask asks a peer once, in less time than what it says would hold.
func (p *peers) ask(ctx context.Context, c *http.Client, in peerAsk) (told peerTold, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Lease)
	defer cancel()
	body, err := json.Marshal(in)
	if err != nil {
		return told, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://peer"+api.PeerPath, bytes.NewReader(body))
	if err != nil {
		return told, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return told, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, api.MaxReply))
	if err != nil {
		return told, err
	}
	if resp.StatusCode != http.StatusOK {
		no := &api.Error{}
		if json.Unmarshal(body, no) == nil && no.Code == api.CodeRefused {
			return told, fmt.Errorf("%w: %s", errNotPeer, no.Sentence)
		}
		return told, fmt.Errorf("it answers %s", resp.Status)
	}
	return told, json.Unmarshal(body, &told)
}

// take puts to use what a peer said. Its word holds from when it was asked, and only once
// all of it is in force. The first time nothing is taken for in force that was kept: what
// came before may have been cut short in between.
func (g *Gateway) take(ctx context.Context, x *peer, told peerTold, sent time.Time, first bool) error {
	p := g.peers
	news, err := g.rulings.merge(x.name(p), told.Labels)
	if err != nil {
		return err
	}
	if first {
		for _, known := range told.Labels {
			if known.As != asAuto {
				news = append(news, known)
			}
		}
	}
	if len(news) > 0 {
		if err := g.adopt(ctx, news, nil); err != nil {
			return err
		}
		p.log.Info("labels from another gateway", "address", x.address, "labels", len(news))
	}
	p.mu.Lock()
	var over []string
	for database := range x.alters {
		if !slices.Contains(told.Alters, database) {
			over = append(over, database)
		}
	}
	before := x.alters
	x.alters = map[string]bool{}
	for _, database := range told.Alters {
		x.alters[database] = true
	}
	back := false
	if told.Upto == told.Last {
		back = x.until.past(time.Now())
		x.until, x.heard, x.trouble, x.tried = in(p.cfg.Lease, sent), time.Now(), "", true
	}
	again := back && x.mourned
	x.mourned = x.mourned && !back
	p.stir()
	p.mu.Unlock()
	for _, database := range over {
		g.staleAll(database)
	}
	for _, database := range told.Alters {
		if !before[database] {
			g.numbered(ctx, database, nil)
		}
	}
	if back {
		g.lift()
	}
	if again {
		p.tell("ok", "the gateway at "+x.address+" is heard again")
	}
	return nil
}

func (x *peer) name(p *peers) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return x.id
}

// begun waits until every peer was asked once, and no longer than a first session should.
func (p *peers) begun(ctx context.Context) {
	if p == nil {
		return
	}
	timer := time.NewTimer(firstWord)
	defer timer.Stop()
	for {
		p.mu.Lock()
		moved, all := p.moved, !slices.ContainsFunc(p.list, func(x *peer) bool { return !x.tried })
		p.mu.Unlock()
		if all {
			return
		}
		select {
		case <-moved:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
