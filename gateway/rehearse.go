package gateway

import (
	"context"
	"log/slog"
	"time"

	"github.com/sluicehq/sluice/catalog"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
)

// Stage is a catalogue on which statements are tried without running them.
type Stage struct{ known *known }

// NewStage is the stage of a database that has these tables. A column without a label
// is judged by its name and type; what shows nothing personal there counts as clean,
// since there are no values to look at.
func NewStage(tables []catalog.Declared) *Stage {
	k := &known{Snapshot: catalog.Declare(tables), path: []string{"public"}, abouts: &abouts{}}
	labels := map[query.Ref]catalog.Label{}
	for ref, c := range k.Columns() {
		if c.Label != (catalog.Label{}) {
			continue
		}
		f := mask.Classify(mask.ColumnInfo{Schema: ref.Schema, Table: ref.Table, Column: ref.Column, Type: c.Type, TypeOID: c.TypeOID})
		labels[ref] = catalog.Label{PII: f.PII, Type: string(f.Type), Where: f.Where, Clean: !f.PII, Confidence: f.Confidence, Evidence: f.Evidence}
	}
	k.Snapshot = k.WithLabels(labels)
	k.settle()
	return &Stage{known: k}
}

// Stage is the catalogue of a connection as it is now.
func (g *Gateway) Stage(ctx context.Context, connection string) (*Stage, error) {
	base := g.bases[connection]
	if base == nil {
		return nil, noConnection(connection)
	}
	if err := base.ready(ctx); err != nil {
		return nil, err
	}
	return &Stage{known: base.current.Load()}, nil
}

// Rehearsal is who would send something, to what and when.
type Rehearsal struct {
	Rules      *policy.Rules
	Who        identity.Identity
	Connection policy.Connection
	At         time.Time
}

// Rehearse says what would be done with a message and with each of its statements, as a
// gateway with these rules would do it in a new session.
func (st *Stage) Rehearse(r Rehearsal, sql string) (whole policy.Verdict, each []Explained) {
	g := &Gateway{cfg: Config{Now: func() time.Time { return r.At }, Log: slog.New(slog.DiscardHandler)}, cache: query.NewCache(query.Config{Entries: 1})}
	g.policies.now.Store(newInForce(Policy{Rules: r.Rules}, r.At))
	base := &database{Connection: Connection{Name: r.Connection.Name, Env: r.Connection.Env}, log: g.cfg.Log}
	base.current.Store(st.known)
	s := &session{Caller: Caller{Who: r.Who, Connection: r.Connection.Name}, g: g, base: base}
	s.follow()
	j, each := s.explain(sql, fresh(base, st.known))
	return j.verdict(), each
}
