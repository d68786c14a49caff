package gateway

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
)

// forewarn says what an allowed request is about to do to whoever must know before it
// does: where personal data will be, and that names may come to mean something else. What
// another gateway cannot be told of, and could not see by itself, does not run.
func (s *session) forewarn(ctx context.Context, j *job, v policy.Verdict) (policy.Verdict, error) {
	err := s.spread(ctx, j)
	var no *untold
	switch {
	case errors.As(err, &no):
		return j.refuseAll(policy.Verdict{Rule: ruleUntold, Reason: untoldReason(no, "columns that were there before")}), nil
	case err != nil:
		return v, err
	}
	if !slices.ContainsFunc(j.runs, func(x *run) bool { return rearranges(x.means) }) {
		return v, nil
	}
	known := s.base.snapshot()
	if known == nil {
		return v, nil // it is not read yet, so nothing is clean here; others doubt by themselves
	}
	s.g.numbered(ctx, known.Identity, s.base)
	if s.g.peers == nil {
		return v, nil
	}
	s.mu.Lock()
	round := int64(0)
	if n := &s.names; n.altered == nil {
		round, n.altered = s.g.peers.alter(known.Identity)
	}
	s.mu.Unlock()
	last, _ := s.g.rulings.last() // a label that goes by a name must be there before the name goes
	return v, s.g.peers.await(ctx, last, round, true)
}

func untoldReason(no *untold, into string) string {
	return "it copies personal data into " + into + ", and " + no.Error() + ", so that it would be shown there; copy it into a new table, or start that gateway, or take it out of peers"
}

// rearranges reports whether a statement may change what names mean to others.
func rearranges(st *query.Statement) bool {
	if !alters(st) {
		return false
	}
	own := len(st.Targets) > 0 && !slices.ContainsFunc(st.Targets, func(t query.Ref) bool { return t.Schema == "" || !temporary(t.Schema) })
	return !own || runsUnseen(st)
}

// unsure leaves other gateways looking for a change that this session was making when it
// ended: whether it comes about is the database's to say, which may take a moment.
func (s *session) unsure() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := &s.names; n.altered != nil {
		time.AfterFunc(2*pollEvery, n.altered)
		n.altered = nil
	}
}
