package gateway

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/catalog"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
)

// MemoryUsed is what all sessions have of the budget now.
func (g *Gateway) MemoryUsed() int64 { return g.memory.Used() }

// Again makes a decision of the record again under the policy in force, with today's
// catalogue or without one.
func (g *Gateway) Again(ev audit.Event, catalogue bool) (v policy.Verdict, needs []string) {
	at := map[string]place{}
	for name, base := range g.bases {
		at[name] = place{env: base.Env}
		if catalogue {
			at[name] = place{env: base.Env, schema: base.current.Load().paths[0]}
		}
	}
	return decideAgain(g.policies.now.Load().Rules, recall(&ev, at))
}

// Stall keeps the gateway from asking a database for approvers until release is called.
func (g *Gateway) Stall(connection string) (release func()) {
	turn := g.bases[connection].aside.turn
	turn <- struct{}{}
	return sync.OnceFunc(func() { <-turn })
}

// Wanted is how many asks are to be looked into before others.
func (g *Gateway) Wanted(connection string) int {
	q := &g.bases[connection].cases
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.wanted)
}

// NeedsNone lets tests ask which texts wait for no catalogue.
var NeedsNone = needsNone

// Relabel judges all columns of a connection again, as the watch does now and then.
func (g *Gateway) Relabel(ctx context.Context, connection string) {
	g.bases[connection].relabel(ctx, nil)
}

// Poll looks for changes of the catalogue, as the watch does all the time.
func (g *Gateway) Poll(ctx context.Context, connection string) { g.bases[connection].poll(ctx) }

// Silent names the peers that this gateway does not hear; "" if there are none.
func (g *Gateway) Silent() string { return g.peers.silent() }

// ForgetRows has the next reading of a catalogue read everything.
func (g *Gateway) ForgetRows() {
	for _, d := range g.bases {
		d.mu.Lock()
		d.reader = &catalog.Reader{Conn: d.conn}
		d.mu.Unlock()
	}
}

// Judged has f called whenever columns were judged again, before the labels count.
func (g *Gateway) Judged(connection string, f func()) {
	d := g.bases[connection]
	d.mu.Lock()
	defer d.mu.Unlock()
	d.testJudged = f
}

// Pass has the catalogue last been looked at a long time ago.
func (g *Gateway) Pass(connection string) {
	d := g.bases[connection]
	d.mu.Lock()
	defer d.mu.Unlock()
	d.looked = time.Time{}
	d.dueAt.Store(0)
}

// PollMeanwhile has a poll for changes wait for the catalogue's lock while a column gets
// another label.
func (g *Gateway) PollMeanwhile(ctx context.Context, connection, table, column string, l catalog.Label) {
	d := g.bases[connection]
	d.mu.Lock()
	done := make(chan struct{})
	go func() { d.poll(ctx); close(done) }()
	for !waitsForLock("(*database).poll(") {
		runtime.Gosched()
	}
	old := d.current.Load()
	next := old.sure()
	next.Snapshot = next.WithLabels(map[query.Ref]catalog.Label{{Schema: "public", Table: table, Column: column}: l})
	d.replace(old, &next)
	d.mu.Unlock()
	<-done
}

// waitsForLock reports whether a goroutine is waiting for a lock in a function.
func waitsForLock(function string) bool {
	all := make([]byte, 4<<20)
	for g := range strings.SplitSeq(string(all[:runtime.Stack(all, true)]), "\n\n") {
		if strings.Contains(g, function) && strings.Contains(g, "[sync.Mutex.Lock") {
			return true
		}
	}
	return false
}
