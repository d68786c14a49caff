package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/wire"
)

// event is the part that every event of a session has. audit.Event copies from
// live types here, and nowhere else.
func (s *session) event(kind audit.Kind) audit.Event {
	ev := audit.Event{
		Kind: kind, Time: s.g.cfg.Now(), Session: s.id, Who: s.Who.Name(), Subject: s.Who.Subject, CallerKind: string(s.Who.Kind),
		Owner: s.Who.Owner, Groups: s.Who.Groups, From: s.From, Connection: s.Connection, Role: s.role, Client: s.program,
		Credential: s.Who.Credential, Run: s.Run,
	}
	if run := s.running.Load(); run != nil {
		ev.Runbook, ev.RunbookRun = run.bound.Book.Name, run.id
	}
	return ev
}

// record appends an event, and waits for the disk if durable. After an error the
// session must end.
func (s *session) record(ctx context.Context, ev audit.Event, durable bool) (audit.Ticket, error) {
	t, err := s.g.cfg.Record.Append(ev)
	if err != nil {
		return t, fmt.Errorf("record %s: %w", ev.Kind, err)
	}
	if durable {
		return t, t.Durable(ctx)
	}
	return t, nil
}

// decided writes one event per statement: what it would do and what was decided.
// It has been handed to the operating system when decided returns.
func (s *session) decided(ctx context.Context, j *job, req *wire.Request, whole policy.Verdict) error {
	s.track(j)
	params := paramTexts(req.Params)
	for _, x := range j.runs {
		if x.text.Kind == query.Empty {
			continue
		}
		ev := s.event(audit.Decided)
		ev.Fingerprint, ev.Statement = x.text.Fingerprint, kindName(x.means.Kind)
		s.written(&ev, x, j.view, req, params)
		ev.RunbookStep = j.step
		ev.Effect, ev.Rule, ev.Reason = x.verdict.Effect.String(), x.verdict.Rule, x.verdict.Reason
		if whole.Effect < x.verdict.Effect { // another statement of the message stops this one too
			ev.Effect, ev.Rule, ev.Reason = whole.Effect.String(), whole.Rule, whole.Reason
		}
		ev.Reads, ev.Writes, ev.Signs = x.about.reads, x.about.writes, x.about.signs
		ev.Personal, ev.Purpose = x.about.holdings, s.why
		ev.Flows, ev.Command = s.flows(x), command(x.means)
		if !x.secret() { // what the parser stumbled over may be the password
			ev.Detail = x.means.Problem
		}
		noteOversize(&ev, req.Oversize, x.secret())
		t, err := s.record(ctx, ev, false)
		if err != nil {
			return err
		}
		s.tapDecided(&ev)
		x.event, j.gate = t.ID, t
		s.base.counts.decided(ev.Effect)
	}
	return nil
}

// finish writes how a statement ended, once.
func (s *session) finish(j *job, x *run, r *wire.Reply, outcome string) {
	if x.done {
		return
	}
	x.done = true
	j.at++
	if j.at >= len(j.runs) {
		s.mu.Lock()
		delete(s.open, j)
		if s.state == "active" && len(s.open) == 0 {
			s.state = "idle"
		}
		s.mu.Unlock()
	}
	if x.event == "" {
		return // nothing was decided: an empty query
	}
	ev := s.event(audit.Finished)
	ev.Of, ev.Outcome, ev.Statement = x.event, outcome, kindName(x.means.Kind)
	ev.Rows, ev.Bytes, ev.Masked, ev.MaskedCols = r.Rows, r.Bytes, x.masked, x.hidden
	if !x.started.IsZero() {
		ev.DurationUS = s.g.cfg.Now().Sub(x.started).Microseconds()
	}
	if r.Failed && !r.Skipped {
		ev.ErrorCode, ev.Error = r.Fields['C'], x.unsaid(r.Fields['M'])
		if x.secret() && !r.Refused {
			ev.Error = "" // the database quotes what it stumbled over
		}
	}
	s.base.counts.ended(&ev)
	// Nobody acts upon an ending: it is written with the decision that comes next
	// (docs/decisions/015).
	s.rows.Add(r.Rows)
	s.bytes.Add(r.Bytes)
	s.tapFinished(&ev, x)
	if err := s.g.cfg.Record.Later(ev); err != nil {
		s.cut(errRecord)
	}
}

func kindName(k query.Kind) string {
	if k == query.Unknown {
		return "unknown"
	}
	return string(k)
}

func hashText(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// paramTexts writes parameters as a person would read them: text as it is, binary
// values of the well-known types as text, everything else in hexadecimal.
func paramTexts(params []wire.Param) []string {
	if len(params) == 0 {
		return nil
	}
	out := make([]string, len(params))
	var types *pgtype.Map
	for i, p := range params {
		switch {
		case p.Value == nil:
			out[i] = "NULL"
		case !p.Binary && utf8.Valid(p.Value):
			out[i] = string(p.Value)
		default:
			if types == nil {
				types = pgtype.NewMap()
			}
			out[i] = binaryText(types, p)
		}
	}
	return out
}

func binaryText(types *pgtype.Map, p wire.Param) string {
	plain := `\x` + hex.EncodeToString(p.Value)
	t, ok := types.TypeForOID(p.TypeOID)
	if !ok || !p.Binary || p.TypeOID == pgtype.ByteaOID {
		return plain
	}
	v, err := t.Codec.DecodeValue(types, p.TypeOID, pgtype.BinaryFormatCode, p.Value)
	if err != nil {
		return plain
	}
	switch v := v.(type) {
	case time.Time:
		return v.Format(time.RFC3339Nano)
	case [16]byte:
		return fmt.Sprintf("%x-%x-%x-%x-%x", v[:4], v[4:6], v[6:8], v[8:10], v[10:])
	}
	text, err := types.Encode(p.TypeOID, pgtype.TextFormatCode, v, nil)
	if err != nil || text == nil {
		return strings.TrimSpace(fmt.Sprint(v))
	}
	return string(text)
}
