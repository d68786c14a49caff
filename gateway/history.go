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
	historyTime = 500 * time.Millisecond // of asking the record; its index takes a few milliseconds
	historyBack = 30 * 24 * time.Hour
	historyMost = 1000 // groups: people who sent one shape of statement
)

// history asks the record what this person, and this shape of statement, did here
// before.
func (s *session) history(ctx context.Context, j *job, looks *approval.Looks) {
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
	all, last, err := s.ran(ctx, j, api.AuditQuery{Fingerprint: shape})
	if err != nil {
		return "", err
	}
	own, _, err := s.ran(ctx, j, api.AuditQuery{Fingerprint: shape, Who: s.Who.Subject})
	if err != nil {
		return "", err
	}
	if all == 0 {
		return "no statement of this shape was sent here in 30 days", nil
	}
	line := fmt.Sprintf("statements of this shape: %d in 30 days, %d of them by the same person, the last %s UTC", all, own, last.UTC().Format(time.DateTime))
	groups, err := s.tally(ctx, j, api.AuditQuery{Kind: audit.Decided, Fingerprint: shape, Effect: policy.Hold.String(), By: []string{"outcome"}})
	if err != nil {
		return "", err
	}
	var held, ran int64
	for _, g := range groups {
		held += g.Count
		if slices.Contains([]string{"ok", "error"}, g.Values[0]) {
			ran += g.Count
		}
	}
	if held > 0 {
		line += fmt.Sprintf("; %d waited for people, %d of those ran", held, ran)
	}
	return line, nil
}

// ran counts statements that were not refused by a rule, and when the last was sent.
func (s *session) ran(ctx context.Context, j *job, q api.AuditQuery) (n int64, last time.Time, err error) {
	q.Kind, q.By = audit.Decided, []string{"effect"}
	groups, err := s.tally(ctx, j, q)
	for _, g := range groups {
		if g.Values[0] == policy.Deny.String() {
			continue
		}
		n += g.Count
		if g.Last.After(last) {
			last = g.Last
		}
	}
	return n, last, err
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
