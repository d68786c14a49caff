package gateway

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/approval"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/policy"
)

const (
	historyTime = 2 * time.Second // of asking the record; its index takes a few milliseconds, more when it is behind
	historyBack = 30 * 24 * time.Hour
	historyMost = 1000 // groups: people who sent one shape of statement

	// historyAtOnce is how many asks have their history read at a time: many that arrive
	// together would take each other's time.
	historyAtOnce = 2
)

// history asks the record what this person, and this shape of statement, did here
// before.
func (s *session) history(ctx context.Context, j *job, looks *approval.Looks) {
	select {
	case s.g.reading <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-s.g.reading }()
	ctx, done := context.WithTimeout(ctx, historyTime)
	defer done()
	for _, part := range []func(context.Context, *job) (string, error){s.shapeHistory, s.ownHistory} {
		line, err := part(ctx, j)
		if err != nil {
			if ctx.Err() == nil {
				s.g.cfg.Log.Warn("ask the record for approvers", "error", err)
			}
			looks.Notes = append(looks.Notes, "no history: the record was not read in time")
			return
		}
		if line != "" {
			looks.History = append(looks.History, line)
		}
	}
}

// tally counts events of this connection in the last 30 days, but for the statement that
// waits.
func (s *session) tally(ctx context.Context, j *job, q api.AuditQuery) ([]api.AuditGroup, error) {
	if err := s.g.cfg.Record.Flush(); err != nil {
		return nil, err
	}
	q.Connection, q.Since, q.Limit = s.Connection, s.g.cfg.Now().Add(-historyBack), historyMost
	if seq := j.gate.Seq; seq > 0 {
		q.Before = seq
	}
	res, err := Inquire(ctx, s.g.cfg.RecordDir, s.g.cfg.Index, q)
	return res.Groups, err
}

// shapeHistory is how often statements like this one were let run here, and how those
// that waited ended.
func (s *session) shapeHistory(ctx context.Context, j *job) (string, error) {
	shape := j.runs[0].text.Fingerprint
	if shape == "" {
		return "", nil
	}
	q := api.AuditQuery{Kind: audit.Decided, Fingerprint: shape, By: []string{"who", "effect"}}
	groups, err := s.tally(ctx, j, q)
	if err != nil {
		return "", err
	}
	var all, own, held int64
	var last time.Time
	for _, g := range groups {
		if g.Values[1] == policy.Deny.String() {
			continue
		}
		all += g.Count
		if g.Values[0] == s.Who.Name() {
			own += g.Count
		}
		if g.Values[1] == policy.Hold.String() {
			held += g.Count
		}
		if g.Last.After(last) {
			last = g.Last
		}
	}
	if all == 0 {
		return "no statement of this shape was sent here in 30 days", nil
	}
	line := fmt.Sprintf("statements of this shape: %d in 30 days, %d of them by the same person, the last %s UTC", all, own, last.UTC().Format(time.DateTime))
	if held == 0 {
		return line, nil
	}
	q.Effect, q.By = policy.Hold.String(), []string{"outcome"}
	if groups, err = s.tally(ctx, j, q); err != nil {
		return "", err
	}
	var ran int64
	for _, g := range groups {
		if slices.Contains([]string{"ok", "error"}, g.Values[0]) {
			ran += g.Count
		}
	}
	return line + fmt.Sprintf("; %d waited for people, %d of those ran", held, ran), nil
}

// ownHistory is how the asks of this person here ended.
func (s *session) ownHistory(ctx context.Context, j *job) (string, error) {
	groups, err := s.tally(ctx, j, api.AuditQuery{Kind: audit.Answered, Who: s.Who.Subject, By: []string{"effect"}})
	if err != nil {
		return "", err
	}
	var all, yes int64
	for _, g := range groups {
		all += g.Count
		if g.Values[0] == policy.Allow.String() {
			yes += g.Count
		}
	}
	return fmt.Sprintf("asks of this person here: %d in 30 days, %d of them approved", all, yes), nil
}
