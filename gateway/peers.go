package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/durable"
)

// PeersConfig names the other gateways in front of the same databases (decision 086).
type PeersConfig struct {
	Identity  *identity.Peer // what they know each other by
	Addresses []string       // where they are reached, host:port; this one may be among them
	State     string         // file of what is known of them; "" keeps it in memory
	Lease     time.Duration  // default DefaultLease
}

// DefaultLease is how long what a peer said holds. Within it, who has not heard from a
// peer begins to doubt, and a peer that cannot be told waits before it goes on: long
// enough for a busy machine, short enough for people who wait.
const DefaultLease = 10 * time.Second

// MaxPeers bounds them: every one is asked by every other.
const MaxPeers = 32

// peers are the other gateways: what they have said, and what they have been told. The
// rule is a lease. A peer that asks us is told all that is new, and may rely on that for
// a while from when it asked; what we are about to do runs once each peer has it or can
// no longer rely on anything.
//
// Each peer owns one goroutine that asks it (hear), ended with the gateway.
type peers struct {
	cfg   PeersConfig
	id    string
	epoch string // of this process: what was told under another is told again
	log   *slog.Logger
	note  func(audit.Event) error
	state durable.JSON
	began time.Time // when this process did

	mu       sync.Mutex
	list     []*peer
	vouched  map[string]map[uint32]int16 // by database: relations and their columns that every peer's word is known of
	changing map[string]int              // databases whose catalogue somebody here is about to change: how many
	round    int64                       // grows with changing
	moved    chan struct{}               // closed when any of this changes, and replaced
}

// peer is one other gateway; peers.mu guards it.
type peer struct {
	address string
	id      string // who answers there; "" until it has
	self    bool   // this gateway does

	// What it has said.
	until   moment          // its word holds
	heard   time.Time       // last; zero if not since the start
	trouble string          // why it is not heard; "" if it is
	tried   bool            // it was asked, or could not be
	mourned bool            // that it is not heard was told
	alters  map[string]bool // databases whose catalogue it is about to change

	// What it has been told.
	has   int64     // rulings up to this place are in force there
	round int64     // changes up to this one are known there
	holds time.Time // until then it may rely on what it was told before
}

// moment is a time by two clocks: that of the process, which stops while a virtual
// machine is paused, and that of the day, which people set.
type moment struct{ process, day time.Time }

func in(d time.Duration, from time.Time) moment {
	return moment{process: from.Add(d), day: from.Round(0).Add(d)}
}

func (m moment) past(now time.Time) bool {
	return !now.Before(m.process) || !now.Round(0).Before(m.day)
}

// peersFile is what outlives the process.
type peersFile struct {
	Gateways map[string]peerKept         `json:"gateways"` // by address
	Vouched  map[string]map[uint32]int16 `json:"vouched"`
}

type peerKept struct {
	ID  string `json:"id"`
	Has int64  `json:"has"`
}

func newPeers(g *Gateway, cfg *PeersConfig) (*peers, error) {
	if cfg == nil {
		return nil, nil
	}
	p := &peers{
		cfg: *cfg, id: g.cfg.ID, epoch: rand.Text(), log: g.cfg.Log, note: g.note, state: durable.JSON{Path: cfg.State}, began: time.Now(),
		changing: map[string]int{}, moved: make(chan struct{}), vouched: map[string]map[uint32]int16{},
	}
	if p.cfg.Lease == 0 {
		p.cfg.Lease = DefaultLease
	}
	if len(cfg.Addresses) > MaxPeers {
		return nil, fmt.Errorf("%d gateways share labels, %d are the most", len(cfg.Addresses), MaxPeers)
	}
	var kept peersFile
	if _, err := p.state.Read(&kept); err != nil {
		return nil, fmt.Errorf("read what is known of other gateways: %w", err)
	}
	maps.Copy(p.vouched, kept.Vouched)
	for _, address := range cfg.Addresses {
		old := kept.Gateways[address]
		// Before this process another of this gateway may have told it something.
		p.list = append(p.list, &peer{address: address, id: old.ID, has: old.Has, holds: time.Now().Add(p.cfg.Lease)})
	}
	return p, nil
}

// stats says of each of them how long it has been silent.
func (p *peers) stats() (list []PeerStats) {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for _, x := range p.list {
		if x.self {
			continue
		}
		s := PeerStats{Address: x.address}
		if x.until.past(now) {
			since := x.heard
			if since.IsZero() {
				since = p.began
			}
			s.Silent = now.Sub(since)
		}
		list = append(list, s)
	}
	return list
}

// save keeps what outlives the process; p.mu is held.
func (p *peers) save() error {
	kept := peersFile{Gateways: map[string]peerKept{}, Vouched: p.vouched}
	for _, x := range p.list {
		if x.id != "" && !x.self {
			kept.Gateways[x.address] = peerKept{ID: x.id, Has: x.has}
		}
	}
	if err := p.state.Write(kept); err != nil {
		return fmt.Errorf("keep what is known of other gateways: %w", err)
	}
	return nil
}

// stir wakes who waits for a change; p.mu is held.
func (p *peers) stir() {
	close(p.moved)
	p.moved = make(chan struct{})
}

// silent names the peers whose word no longer holds; "" if all are heard.
func (p *peers) silent() string {
	if p == nil {
		return ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.missing(time.Now())
}

// missing is silent with p.mu held.
func (p *peers) missing(now time.Time) string {
	var names []string
	for _, x := range p.list {
		if x.self || !x.until.past(now) {
			continue
		}
		since := "has not been heard since this gateway started"
		if !x.heard.IsZero() {
			since = "has not been heard since " + x.heard.UTC().Format(time.DateTime)
		}
		names = append(names, "the gateway at "+x.address+" "+since)
	}
	return strings.Join(names, ", and ")
}

// uneasy reports whether what names mean in a database may have changed without a word:
// a peer is about to change its catalogue, or is silent.
func (p *peers) uneasy(database string) bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.missing(time.Now()) != "" || slices.ContainsFunc(p.list, func(x *peer) bool { return x.alters[database] })
}

// settled reports whether every peer has all rulings up to a place.
func (p *peers) settled(at int64) bool {
	if p == nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return !slices.ContainsFunc(p.list, func(x *peer) bool { return !x.self && x.has < at })
}

// untold says that a peer could not be told something, and may go on without it.
type untold struct{ address string }

func (u *untold) Error() string { return "the gateway at " + u.address + " does not answer" }

// await waits until every peer has the rulings up to place at and the changes up to
// round, or has nothing left to rely on. Unless it is of what no peer has seen, having nothing to rely on is
// not enough: what a peer once knew to be clean it goes on taking for clean. The error is
// an *untold then.
func (p *peers) await(ctx context.Context, at, round int64, unseen bool) error {
	if p == nil {
		return nil
	}
	for {
		p.mu.Lock()
		now, moved := time.Now(), p.moved
		var first time.Time
		for _, x := range p.list {
			switch {
			case x.self, x.has >= at && x.round >= round:
			case now.Before(x.holds):
				if first.IsZero() || x.holds.Before(first) {
					first = x.holds
				}
			case !unseen:
				p.mu.Unlock()
				return &untold{x.address}
			}
		}
		p.mu.Unlock()
		if first.IsZero() {
			return nil
		}
		timer := time.NewTimer(first.Sub(now))
		select {
		case <-moved:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		timer.Stop()
	}
}

// alter notes that somebody is about to change the catalogue of a database; round is what
// peers must know of before it runs. end is called when it is over.
func (p *peers) alter(database string) (round int64, end func()) {
	if p == nil {
		return 0, func() {}
	}
	change := func(by int) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.changing[database] += by; p.changing[database] <= 0 {
			delete(p.changing, database)
		}
		p.round++
		p.stir()
	}
	change(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.round, sync.OnceFunc(func() { change(-1) })
}

// known reports whether every peer's word is known of a column: it was there when all
// were heard.
func (p *peers) known(database string) func(relation uint32, number int16) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	vouched := p.vouched[database] // replaced, never changed
	return func(relation uint32, number int16) bool { return number <= vouched[relation] }
}

// vouch notes the columns of a database whose catalogue was read before now, if every peer
// is heard: all that they had to say of these has been said, and what they are going to
// say they say first. silent is who is not heard.
func (p *peers) vouch(database string, columns map[uint32]int16) (silent string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if silent = p.missing(time.Now()); silent != "" || maps.Equal(p.vouched[database], columns) {
		return silent
	}
	old := p.vouched[database]
	p.vouched[database] = columns
	if err := p.save(); err != nil {
		p.vouched[database] = old
		p.log.Error("keep what other gateways have vouched for", "error", err)
		return "what other gateways vouch for could not be kept"
	}
	return ""
}

// tell records what became of a peer.
func (p *peers) tell(outcome, detail string) {
	if err := p.note(audit.Event{Kind: audit.Admin, Who: "sluice", Outcome: outcome, Detail: detail}); err != nil {
		p.log.Error("record what became of another gateway", "error", err)
	}
}

var errNotPeer = errors.New("that gateway does not have this one among its peers")
