package gateway

import (
	"context"
	"fmt"
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

	// historyAtOnce is how many questions are asked of the record at a time: those of many
	// databases together would take each other's time.
	historyAtOnce = 2
)

// history asks the record what this person, and this shape of statement, did here
// before.
func (s *session) history(c *investigation, known *lookedUp, looks *approval.Looks) {
	for _, part := range []func(*investigation, *lookedUp) (string, error){s.shapeHistory, s.ownHistory} {
		line, err := part(c, known)
		if err != nil {
			if c.ctx.Err() == nil {
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

// tally counts events of this connection in the last 30 days.
func (s *session) tally(ctx context.Context, q api.AuditQuery) ([]api.AuditGroup, error) {
	select {
	case s.g.reading <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.g.reading }()
	ctx, done := context.WithTimeout(ctx, historyTime)
	defer done()
	if err := s.g.cfg.Record.Flush(); err != nil {
		return nil, err
	}
	q.Connection, q.Since, q.Limit = s.Connection, s.g.cfg.Now().Add(-historyBack), historyMost
	res, err := Inquire(ctx, s.g.cfg.RecordDir, s.g.cfg.Index, q)
	return res.Groups, err
}

// shapeTally is how often statements of one shape were let run, and how those ended that
// waited for people. Those that still wait are counted apart.
type shapeTally struct {
	all, held, ran, waiting int64
	by                      map[string]int64 // of all, by who sent them
	last                    time.Time
}

func (t *shapeTally) add(g api.AuditGroup) {
	t.all += g.Count
	t.by[g.Values[0]] += g.Count
	if g.Last.After(t.last) {
		t.last = g.Last
	}
}

// tallyShape counts the statements of a shape.
func (s *session) tallyShape(ctx context.Context, shape string) (shapeTally, error) {
	t := shapeTally{by: map[string]int64{}}
	q := api.AuditQuery{Kind: audit.Decided, Fingerprint: shape, Effect: policy.Allow.String(), By: []string{"who"}}
	groups, err := s.tally(ctx, q)
	if err != nil {
		return t, err
	}
	for _, g := range groups {
		t.add(g)
	}
	q.Effect, q.By = policy.Hold.String(), []string{"who", "outcome"}
	if groups, err = s.tally(ctx, q); err != nil {
		return t, err
	}
	for _, g := range groups {
		switch g.Values[1] {
		case "":
			t.waiting += g.Count
			continue
		case "ok", "error":
			t.ran += g.Count
		}
		t.held += g.Count
		t.add(g)
	}
	return t, nil
}

// shapeHistory is how often statements like this one were let run here, and how those
// that waited ended.
func (s *session) shapeHistory(c *investigation, known *lookedUp) (string, error) {
	if c.shape == "" {
		return "", nil
	}
	t, err := answer(&known.shapes, c.shape, c, func() (shapeTally, error) { return s.tallyShape(c.ctx, c.shape) })
	if err != nil {
		return "", err
	}
	more := ""
	if t.waiting > 1 { // this one is among them
		more = fmt.Sprintf("; %d wait for people now", t.waiting)
	}
	if t.all == 0 {
		return "no statement of this shape was sent here in 30 days" + more, nil
	}
	line := fmt.Sprintf("statements of this shape: %d in 30 days, %d of them by the same person, the last %s UTC", t.all, t.by[s.Who.Name()], t.last.UTC().Format(time.DateTime))
	if t.held > 0 {
		line += fmt.Sprintf("; %d waited for people, %d of those ran", t.held, t.ran)
	}
	return line + more, nil
}

// ownHistory is how the asks of this person here ended.
func (s *session) ownHistory(c *investigation, known *lookedUp) (string, error) {
	return answer(&known.people, s.Who.Subject, c, func() (string, error) {
		groups, err := s.tally(c.ctx, api.AuditQuery{Kind: audit.Answered, Who: s.Who.Subject, By: []string{"effect"}})
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
	})
}
