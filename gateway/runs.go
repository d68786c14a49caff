package gateway

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/howlong"
	"github.com/sluicehq/sluice/lineage"
)

// DefaultRunLease is how long a run of a job counts as under way without a word of whoever
// began it: longer than a gateway takes to restart, or a network to come back by itself.
const DefaultRunLease = 90 * time.Second

// beatsEach is how often a run that is alive says so within its lease: several may be lost.
const beatsEach = 6

// factLease is what the record has of a run whose end is noticed: the length of its lease.
const factLease = "lease_s"

// jobRuns are those that are under way, as far as this process has heard of them, and those
// that it ended: the record knows all, and the graph a moment later. The zero value is
// ready.
type jobRuns struct {
	// turn is held while it is decided and recorded that a run is lost, goes on, or has
	// ended, so that the record has these in the order in which they were true.
	turn sync.Mutex

	mu     sync.Mutex
	owners map[string]string  // by ID
	ended  map[string]bool    // so that none ends twice before the graph knows
	leases map[string]*leased // of those that say that they go on
}

// leased is a run that says once in a while that it goes on.
type leased struct {
	who   identity.Identity // who began it, as the record has them
	job   string
	heard time.Time
	lost  bool
}

// maxJobRuns bounds what is remembered, in each of the three: beyond it the graph is asked.
const maxJobRuns = 10_000

// note remembers who began a run, unless it has ended.
func (r *jobRuns) note(id, owner string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended[id] {
		return
	}
	if r.owners == nil || len(r.owners) >= maxJobRuns {
		r.owners = map[string]string{}
	}
	r.owners[id] = owner
}

func (r *jobRuns) owner(id string) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	owner, ok := r.owners[id]
	return owner, ok
}

// end ends a run; false if it was ended already.
func (r *jobRuns) end(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended[id] {
		return false
	}
	delete(r.owners, id)
	delete(r.leases, id)
	if r.ended == nil || len(r.ended) >= maxJobRuns {
		r.ended = map[string]bool{}
	}
	r.ended[id] = true
	return true
}

// lease has a run's end be noticed. One for which there is no room is not.
func (r *jobRuns) lease(id string, l leased) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leases == nil {
		r.leases = map[string]*leased{}
	}
	if len(r.leases) < maxJobRuns && !r.ended[id] && r.leases[id] == nil {
		r.leases[id] = &l
	}
}

// heard notes that a run goes on.
func (r *jobRuns) heard(id string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.leases[id]; l != nil {
		l.heard, l.lost = now, false
	}
}

// silent are the runs of which nothing was heard for so long, and that count as under way.
func (r *jobRuns) silent(now time.Time, lease time.Duration) (ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, l := range r.leases {
		if !l.lost && now.Sub(l.heard) > lease {
			ids = append(ids, id)
		}
	}
	return ids
}

// lose marks a run as lost, if it still is silent.
func (r *jobRuns) lose(id string, now time.Time, lease time.Duration) (leased, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.leases[id]
	if l == nil || l.lost || now.Sub(l.heard) <= lease {
		return leased{}, false
	}
	l.lost = true
	return *l, true
}

// watchRuns notices runs that say nothing any more, until ctx is done. Those of earlier
// processes have a lease from now on: this gateway was away.
func (g *Gateway) watchRuns(ctx context.Context) {
	lease := g.runLease()
	g.leaseOpen(ctx)
	tick := time.NewTicker(lease / beatsEach)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, id := range g.jobRuns.silent(g.cfg.Now(), lease) {
				if err := g.loseRun(id, lease); err != nil {
					g.cfg.Log.Error("note that a run is lost", "run", id, "error", err)
				}
			}
		}
	}
}

func (g *Gateway) runLease() time.Duration {
	if g.cfg.RunLease > 0 {
		return g.cfg.RunLease
	}
	return DefaultRunLease
}

// leaseOpen takes up the runs that were under way when an earlier gateway stopped.
func (g *Gateway) leaseOpen(ctx context.Context) {
	err := g.cfg.Lineage.With(ctx, func(graph *lineage.Graph, _ string) error {
		graph.EachOpen(func(id string, in *lineage.Info) {
			if in.Fact(factLease) != "" {
				who := identity.Identity{Subject: in.Subject, Label: in.Who, Kind: identity.Kind(in.CallerKind), Owner: in.Owner}
				g.jobRuns.lease(id, leased{who: who, job: in.Job, heard: g.cfg.Now()})
			}
		})
		return nil
	})
	if err != nil && ctx.Err() == nil {
		g.cfg.Log.Error("look for runs that are under way", "error", err)
	}
}

// loseRun records that nothing is heard of a run.
func (g *Gateway) loseRun(id string, lease time.Duration) error {
	g.jobRuns.turn.Lock()
	defer g.jobRuns.turn.Unlock()
	l, lost := g.jobRuns.lose(id, g.cfg.Now(), lease)
	if !lost {
		return nil
	}
	ev := jobRunEvent(audit.RunEnded, l.who, id)
	ev.Job, ev.Outcome = l.job, lineage.Lost
	ev.Error = fmt.Sprintf("nothing was heard of it for %s: sluice run was killed, or cannot reach the gateway", howlong.Text(lease))
	return g.note(ev)
}

// BeatJobRun takes the word of who began a run that it goes on. One that was lost is under
// way again.
func (g *Gateway) BeatJobRun(ctx context.Context, who identity.Identity, id string) (api.JobRunStarted, error) {
	g.jobRuns.turn.Lock()
	defer g.jobRuns.turn.Unlock()
	if _, err := g.openRun(ctx, who, id); err != nil {
		return api.JobRunStarted{}, err
	}
	g.jobRuns.heard(id, g.cfg.Now())
	return api.JobRunStarted{ID: id}, nil
}

// back records that a run which was lost goes on after all. The turn is held.
func (g *Gateway) back(who identity.Identity, id string, in *lineage.Info) error {
	ev := jobRunEvent(audit.RunBegan, who, id)
	ev.Job, ev.Outcome = in.Job, lineage.Back
	if err := g.note(ev); err != nil {
		return err
	}
	g.jobRuns.lease(id, leased{who: who, job: in.Job})
	g.jobRuns.heard(id, g.cfg.Now())
	return nil
}
