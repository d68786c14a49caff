package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/audit/index"
	"github.com/sluicehq/sluice/identity"
)

// AuditQuery answers a question of the record. Auditors see all, everyone else what
// they did themselves. The question is recorded before it is answered.
func (g *Gateway) AuditQuery(ctx context.Context, who identity.Identity, in api.AuditQuery) (api.AuditResult, error) {
	in, err := AskAbout(in, g.cfg.Literals)
	if err != nil {
		return api.AuditResult{}, err
	}
	asked, err := json.Marshal(in)
	if err != nil {
		return api.AuditResult{}, err
	}
	if err := g.note(audit.Event{Kind: audit.Questioned, Who: who.Name(), Subject: who.Subject, CallerKind: string(who.Kind), Groups: who.Groups, Detail: string(asked)}); err != nil {
		return api.AuditResult{}, err
	}
	if !g.auditor(who) {
		if who.Subject == "" { // an empty filter would choose everyone
			return api.AuditResult{}, g.known(who)
		}
		in.Who = who.Subject
	}
	if err := g.cfg.Record.Flush(); err != nil && !errors.Is(err, audit.ErrClosed) {
		return api.AuditResult{}, err
	}
	res, err := Inquire(ctx, g.cfg.RecordDir, g.cfg.Index, in)
	res.Size = g.cfg.Record.Size()
	return res, err
}

// Inquire answers a question of the record in dir, by its index if x is one.
func Inquire(ctx context.Context, dir string, x *index.Index, in api.AuditQuery) (api.AuditResult, error) {
	var a index.Answer
	var err error
	f, c := in.Filter(), index.Count{By: in.By, Order: in.Order, Limit: in.Limit}
	if len(in.By) > 0 {
		if err := c.Check(); err != nil {
			return api.AuditResult{}, &api.Error{Sentence: err.Error(), Hint: "see sluice audit query --help", Code: api.CodeUsage}
		}
	}
	switch scan := x == nil || in.Scan; {
	case scan && len(in.By) > 0:
		a, err = index.CountRecord(ctx, dir, f, c)
	case scan:
		var res audit.Result
		res, err = audit.Query(ctx, dir, f)
		a.Events, a.Next = res.Events, res.Next
	case len(in.By) > 0:
		a, err = x.Count(ctx, f, c)
	case in.Whole:
		a, err = x.List(ctx, f)
	default:
		a, err = x.Entries(ctx, f)
	}
	if err != nil {
		return api.AuditResult{}, err
	}
	res := api.AuditResult{Events: a.Events, Next: a.Next, More: a.More}
	if res.Events == nil {
		res.Events = []audit.Event{}
	}
	for _, g := range a.Groups {
		res.Groups = append(res.Groups, api.AuditGroup(g))
	}
	if a.Scanned != "" {
		res.Note = "the record itself was read, which takes longer: " + a.Scanned
	} else if x != nil {
		if why := x.Rebuilt(); why != "" {
			res.Note = "the index of the record was made anew: " + why
		}
	}
	return res, nil
}

// sqlTime is how long a question in SQL may take: it can be any.
const sqlTime = time.Minute

// AuditSQL answers a question in SQL from the index of the record. It is recorded
// before it is answered.
func (g *Gateway) AuditSQL(ctx context.Context, who identity.Identity, in api.AuditSQL) (api.AuditRows, error) {
	if !g.auditor(who) {
		return api.AuditRows{}, &api.Error{Sentence: "only auditors may ask the record in SQL", Hint: "ask about what you did yourself: sluice audit query", Code: api.CodeRefused}
	}
	if err := g.note(audit.Event{Kind: audit.Questioned, Who: who.Name(), Subject: who.Subject, CallerKind: string(who.Kind), Groups: who.Groups, Detail: "sql " + in.SQL}); err != nil {
		return api.AuditRows{}, err
	}
	if g.cfg.Index == nil {
		return api.AuditRows{}, &api.Error{Sentence: "this gateway keeps no index of its record", Hint: "ask with sluice audit query", Code: api.CodeError}
	}
	ctx, cancel := context.WithTimeout(ctx, sqlTime)
	defer cancel()
	rows, err := g.cfg.Index.SQL(ctx, in.SQL, in.Limit)
	if err != nil {
		return api.AuditRows{}, SQLError(err)
	}
	return api.AuditRows(rows), nil
}

// SQLError is what is wrong with a question in SQL, in words for who asked it.
func SQLError(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &api.Error{Sentence: "the question took longer than a minute", Hint: "narrow it, or ask with sluice audit query, which is faster", Code: api.CodeError}
	}
	return &api.Error{Sentence: err.Error(), Hint: "the tables and views are listed by: select name, sql from sqlite_schema", Code: api.CodeUsage}
}

// AuditProve makes the proof of an entry, up to the newest.
func (g *Gateway) AuditProve(ctx context.Context, who identity.Identity, in api.AuditProve) (*audit.Proof, error) {
	if !g.auditor(who) {
		return nil, &api.Error{Sentence: "only auditors may have entries proven", Hint: "ask one of them for the proof of " + in.ID, Code: api.CodeRefused}
	}
	if err := g.note(audit.Event{Kind: audit.Questioned, Who: who.Name(), Subject: who.Subject, CallerKind: string(who.Kind), Groups: who.Groups, Detail: "prove " + in.ID}); err != nil {
		return nil, err
	}
	if err := g.cfg.Record.Seal(ctx); err != nil {
		return nil, err
	}
	var since []byte
	if in.Since != "" {
		since = []byte(in.Since)
	}
	return audit.Prove(ctx, g.cfg.RecordDir, in.ID, since)
}

// AuditVerify checks the whole record.
func (g *Gateway) AuditVerify(ctx context.Context, who identity.Identity) (api.VerifyResult, error) {
	if !g.auditor(who) {
		return api.VerifyResult{}, &api.Error{Sentence: "only auditors may have the record checked", Hint: "check a copy of it yourself: sluice audit verify --record DIR", Code: api.CodeRefused}
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

// AuditRotateKey has a new key sign the record, for administrators. The record says who
// wanted it.
func (g *Gateway) AuditRotateKey(ctx context.Context, who identity.Identity) (api.KeyReplaced, error) {
	if !g.admin(who) {
		return api.KeyReplaced{}, &api.Error{Sentence: "only administrators replace the key that signs the record", Hint: "ask a member of " + orNobody(g.cfg.Admins), Code: api.CodeRefused}
	}
	r, err := g.cfg.Record.Rotate(ctx, g.adminEvent(who))
	return api.KeyReplaced(r), err
}
