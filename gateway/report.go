package gateway

import (
	"context"
	"encoding/json"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/audit/report"
	"github.com/sluicehq/sluice/identity"
)

// AuditReport makes a report of the record, up to the newest entry. That it was asked
// for is recorded before, and so is in it.
func (g *Gateway) AuditReport(ctx context.Context, who identity.Identity, in api.AuditReport) (*report.Report, error) {
	if !g.auditor(who) {
		return nil, &api.Error{Sentence: "only auditors may have a report of the record", Hint: "ask about what you did yourself: sluice audit query", Code: api.CodeRefused}
	}
	asked, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	if err := g.note(audit.Event{Kind: audit.Questioned, Who: who.Name(), Subject: who.Subject, CallerKind: string(who.Kind), Groups: who.Groups, Detail: "report " + string(asked)}); err != nil {
		return nil, err
	}
	if g.cfg.Index == nil {
		return nil, &api.Error{Sentence: "this gateway keeps no index of its record", Hint: "make the report from a copy: sluice audit report --record DIR", Code: api.CodeError}
	}
	if err := g.cfg.Record.Seal(ctx); err != nil {
		return nil, err
	}
	now := g.cfg.Now()
	if in.Until.IsZero() {
		in.Until = now
	}
	r, err := report.Make(ctx, report.Config{
		For: in.For, Since: in.Since, Until: in.Until, Made: now, By: who.Name(), Record: g.cfg.RecordDir, Index: g.cfg.Index, Key: g.cfg.Record.VerifierKey(), Quick: in.Quick,
	})
	if err != nil && in.Since.Before(in.Until) && ctx.Err() == nil {
		return nil, &api.Error{Sentence: err.Error(), Hint: "see sluice audit report --help", Code: api.CodeUsage}
	}
	return r, err
}
