package gateway

import (
	"context"
	"encoding/json"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/identity"
)

// AuditQuery answers a question of the record. Auditors see all, everyone else what
// they did themselves. The question is recorded before it is answered.
func (g *Gateway) AuditQuery(ctx context.Context, who identity.Identity, in api.AuditQuery) (api.AuditResult, error) {
	asked, err := json.Marshal(in)
	if err != nil {
		return api.AuditResult{}, err
	}
	if err := g.note(audit.Event{Kind: audit.Questioned, Who: who.Name(), Subject: who.Subject, CallerKind: string(who.Kind), Groups: who.Groups, Detail: string(asked)}); err != nil {
		return api.AuditResult{}, err
	}
	f := audit.Filter{
		Since: in.Since, Until: in.Until, Who: in.Who, Connection: in.Connection, Session: in.Session, Effect: in.Effect,
		Touches: in.Touches, Text: in.Text, Outcome: in.Outcome, ID: in.ID, Of: in.Of, Kind: in.Kind, Before: in.Before, Limit: in.Limit,
	}
	if !g.auditor(who) {
		if who.Subject == "" { // an empty filter would choose everyone
			return api.AuditResult{}, g.known(who)
		}
		f.Who = who.Subject
	}
	res, err := g.cfg.Record.Query(ctx, f)
	if err != nil {
		return api.AuditResult{}, err
	}
	if res.Events == nil {
		res.Events = []audit.Event{}
	}
	return api.AuditResult{Events: res.Events, Next: res.Next, Size: g.cfg.Record.Size()}, nil
}

// AuditVerify checks the whole record.
func (g *Gateway) AuditVerify(ctx context.Context, who identity.Identity) (api.VerifyResult, error) {
	if !g.auditor(who) {
		return api.VerifyResult{}, &api.Error{Sentence: "only auditors may have the record checked", Hint: "check a copy of it yourself: sluice audit verify --dir DIR", Code: api.CodeRefused}
	}
	if err := g.note(audit.Event{Kind: audit.Questioned, Who: who.Name(), Subject: who.Subject, CallerKind: string(who.Kind), Groups: who.Groups, Detail: "verify"}); err != nil {
		return api.VerifyResult{}, err
	}
	if err := g.cfg.Record.Seal(ctx); err != nil {
		return api.VerifyResult{}, err
	}
	report, err := audit.Verify(ctx, g.cfg.RecordDir, g.cfg.Record.VerifierKey())
	if err != nil {
		return api.VerifyResult{}, err
	}
	return api.Verified(report), nil
}
