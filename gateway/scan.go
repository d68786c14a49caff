package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/catalog"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/query"
)

// Scanned is what is known of one column.
type Scanned struct {
	PII        bool    `json:"pii"`
	Type       string  `json:"type"`
	Where      string  `json:"where"`
	Evidence   string  `json:"evidence"`
	State      string  `json:"state"` // personal, clean, or unknown: read value by value
	Confidence float64 `json:"confidence"`
	Overruled  bool    `json:"overruled,omitempty"` // a person said so
	DataType   string  `json:"data_type,omitempty"` // of the column, as format_type prints it
	Comment    string  `json:"comment,omitempty"`   // that the database has of it
	Note       string  `json:"note,omitempty"`      // what else there is to know of it
}

func shown(l catalog.Label, said ruling) Scanned {
	s := Scanned{PII: l.PII, Type: l.Type, Where: l.Where, Evidence: l.Evidence, Confidence: l.Confidence, State: "unknown"}
	switch {
	case l.PII:
		s.State = "personal"
	case l.Clean:
		s.State = "clean"
	}
	s.Overruled = said.As != "" && said.As != asDoubt && !said.Copied
	return s
}

// Scan lists every column of a connection's own relations, by schema.table.column,
// and what it holds.
func (g *Gateway) Scan(ctx context.Context, who identity.Identity, connection string) (map[string]Scanned, error) {
	base := g.open(who, connection)
	if base == nil {
		return nil, noConnection(connection)
	}
	if err := base.ready(ctx); err != nil {
		return nil, err
	}
	out := map[string]Scanned{}
	k := base.current.Load()
	said, err := g.rulings.in(connection, k.Snapshot)
	if err != nil {
		return nil, err
	}
	for ref, c := range k.Columns() {
		if rel, ok := k.Relation(ref.Schema, ref.Table); ok && rel.System {
			continue
		}
		found := shown(c.Label, said[ref])
		found.DataType, found.Comment = c.Type, c.Comment
		out[ref.String()] = found
	}
	return out, nil
}

// Label keeps what an administrator says that a column holds. It is recorded, on disk
// and in force when Label returns, at every other gateway that answers too, and stays
// through restarts and renames.
func (g *Gateway) Label(ctx context.Context, who identity.Identity, in api.LabelRequest) (Scanned, error) {
	base := g.open(who, in.Connection)
	if base == nil {
		return Scanned{}, noConnection(in.Connection)
	}
	ev := audit.Event{
		Kind: audit.Admin, Who: who.Name(), Subject: who.Subject, CallerKind: string(who.Kind), Groups: who.Groups, Connection: in.Connection,
		Reason: in.Reason, Detail: fmt.Sprintf("label of %s set to %q", in.Column, in.As), Outcome: "ok",
	}
	if err := g.mayLabel(who, in); err != nil {
		ev.Outcome, ev.Error = "refused", err.Error()
		return Scanned{}, errors.Join(err, g.note(ev))
	}
	if err := base.ready(ctx); err != nil {
		return Scanned{}, err
	}
	if err := g.note(ev); err != nil {
		return Scanned{}, err
	}
	s, kept, err := base.say(ctx, who.Name(), in)
	if err != nil {
		return s, err
	}
	if err := g.adopt(ctx, kept, base); err != nil {
		return s, err
	}
	var no *untold
	if err := g.peers.await(ctx, kept[0].Seq, 0, false); errors.As(err, &no) {
		s.Note = no.Error() + ", and is told when it does"
	} else if err != nil {
		return s, err
	}
	return s, nil
}

func (g *Gateway) mayLabel(who identity.Identity, in api.LabelRequest) error {
	if !g.admin(who) {
		return &api.Error{Sentence: "only administrators may say what a column holds", Hint: "ask a member of " + orNobody(g.cfg.Admins), Code: api.CodeRefused}
	}
	if in.As != asNone && in.As != asAuto && !slices.Contains(mask.Types(), mask.Type(in.As)) {
		return &api.Error{Sentence: fmt.Sprintf("%q is no type of personal data", in.As), Hint: "one of none, auto, " + typeNames(), Code: api.CodeUsage}
	}
	if strings.TrimSpace(in.Reason) == "" && in.As != asAuto {
		return &api.Error{Sentence: "a reason is missing", Hint: "say why with --reason; it is kept with the label", Code: api.CodeUsage}
	}
	return nil
}

func orNobody(groups []string) string {
	if len(groups) == 0 {
		return "a group named in admins: of the gateway's configuration; there is none"
	}
	return strings.Join(groups, " or ")
}

func typeNames() string {
	names := make([]string, 0, len(mask.Types()))
	for _, t := range mask.Types() {
		names = append(names, string(t))
	}
	return strings.Join(names, ", ")
}

// say puts a ruling on disk and then in force.
func (d *database) say(ctx context.Context, by string, in api.LabelRequest) (is Scanned, kept []ruling, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.current.Load()
	var ref query.Ref
	for r := range old.Columns() {
		if r.String() == in.Column {
			ref = r
		}
	}
	at, ok := old.Attribute(ref)
	if !ok {
		return Scanned{}, nil, &api.Error{Sentence: fmt.Sprintf("there is no column %q", in.Column), Hint: "write it as schema.table.column; run: sluice mask scan " + d.Name, Code: api.CodeError}
	}
	sure, _ := old.certain.Label(ref)
	if now, _ := old.Label(ref); in.As == asNone && now != sure {
		return Scanned{}, nil, &api.Error{Sentence: "that cannot be said yet: the column is " + now.Evidence, Hint: "start that gateway, or take it out of peers: here, and say it again", Code: api.CodeRefused}
	}
	said := ruling{
		Connection: d.Name, Database: old.Database, Server: old.Identity, Relation: at.Relation, Number: at.Number,
		Schema: ref.Schema, Table: ref.Table, Column: ref.Column, As: in.As, Reason: in.Reason, By: by, At: d.now(),
	}
	if said.Seq, err = d.rulings.put(said); err != nil {
		return Scanned{}, nil, err
	}
	if err := d.connect(ctx); err != nil {
		return Scanned{}, nil, err
	}
	next := old.sure()
	// What was found is forgotten, so that it is judged as if for the first time where
	// nothing was said.
	next.Snapshot = next.WithLabels(map[query.Ref]catalog.Label{ref: {}})
	table := map[query.Ref]bool{{Schema: ref.Schema, Table: ref.Table}: true}
	if err := d.label(ctx, &next, unlabelled, catalog.Budget{Only: table}); err != nil {
		d.log.Warn("judge a column again", "connection", d.Name, "error", err)
	}
	d.replace(old, &next)
	label, _ := d.snapshot().Label(ref)
	all, err := d.rulings.in(d.Name, d.snapshot())
	return shown(label, all[ref]), []ruling{said}, err
}
