package gateway

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/policy"
)

// Stats is how a gateway is doing, in numbers that tell nothing of anybody.
type Stats struct {
	Connections []ConnectionStats // by name
	Waiting     int               // statements and requests that wait for people
	Memory      int64             // bytes that large messages take now
	MemoryLimit int64
	Record      audit.Stats
	IndexBehind uint64 // entries that the index has not taken in
	Indexed     bool   // there is an index
	Peers       []PeerStats
}

// PeerStats is how another gateway that shares labels is heard (decision 086).
type PeerStats struct {
	Address string
	Silent  time.Duration // since it was heard last, or since the start; 0 while its word holds
}

// ConnectionStats are those of one connection, since the start.
type ConnectionStats struct {
	Name                  string
	Sessions              int // open now, each with a connection to the database
	Opened                int64
	Unreachable           int64 // sessions that could not be opened
	Allowed, Held, Denied int64 // statements
	Failed                int64 // statements that ended with an error of the database
	Rows, Bytes, Masked   int64 // masked: values that were hidden
}

// counters are what is counted of one connection.
type counters struct {
	opened, unreachable, failed, rows, bytes, masked atomic.Int64
	effects                                          [policy.Allow + 1]atomic.Int64
}

// decided counts a statement by what was said of it first.
func (c *counters) decided(effect string) {
	for _, e := range []policy.Effect{policy.Deny, policy.Hold, policy.Allow} {
		if e.String() == effect {
			c.effects[e].Add(1)
		}
	}
}

// ended counts the end of a statement.
func (c *counters) ended(ev *audit.Event) {
	c.rows.Add(ev.Rows)
	c.bytes.Add(ev.Bytes)
	c.masked.Add(ev.Masked)
	if ev.Outcome == "error" {
		c.failed.Add(1)
	}
}

// Stats says how the gateway is doing. It is cheap, and waits for nobody.
func (g *Gateway) Stats() Stats {
	s := Stats{Waiting: len(g.desk.List()), Memory: g.memory.Used(), MemoryLimit: g.cfg.Memory, Record: g.cfg.Record.Stats()}
	open := map[string]int{}
	g.sessions.mu.Lock()
	for _, one := range g.sessions.list {
		open[one.Connection]++
	}
	g.sessions.mu.Unlock()
	for name, base := range g.bases {
		c := &base.counts
		s.Connections = append(s.Connections, ConnectionStats{
			Name: name, Sessions: open[name], Opened: c.opened.Load(), Unreachable: c.unreachable.Load(),
			Allowed: c.effects[policy.Allow].Load(), Held: c.effects[policy.Hold].Load(), Denied: c.effects[policy.Deny].Load(),
			Failed: c.failed.Load(), Rows: c.rows.Load(), Bytes: c.bytes.Load(), Masked: c.masked.Load(),
		})
	}
	slices.SortFunc(s.Connections, func(a, b ConnectionStats) int { return strings.Compare(a.Name, b.Name) })
	if g.cfg.Index != nil {
		s.Indexed = true
		s.IndexBehind = s.Record.Entries - min(s.Record.Entries, g.cfg.Index.Place())
	}
	s.Peers = g.peers.stats()
	return s
}
