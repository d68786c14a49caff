package gateway

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/catalog"
	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/query"
)

// DefaultRelabel is how often all columns are judged again. What a column holds
// changes slowly, new columns are judged when they are seen, and what passes is
// watched all the time; this finds the rest. At one sample of a few hundred tables
// it is less than a thousandth of a server's time.
const DefaultRelabel = 10 * time.Minute

// labeller is the part of a database that says what its columns hold.
type labeller struct {
	relabelEvery time.Duration
	rulings      *rulings
	note         func(audit.Event) error
	now          func() time.Time

	loaded  chan query.Ref       // tables into which COPY has put rows; watch has them judged
	passed  chan passed          // samples of what passed unread; watch reads them
	tallies map[query.Ref]*tally // owned by watch

	testJudged func() // called by relabel between judging and putting to use
}

func newLabeller(g *Gateway) labeller {
	return labeller{
		relabelEvery: g.cfg.Relabel, rulings: g.rulings, note: g.note, now: g.cfg.Now,
		loaded:  make(chan query.Ref, maxPassed),
		passed:  make(chan passed, maxPassed),
		tallies: map[query.Ref]*tally{},
	}
}

func unlabelled(_ query.Ref, c catalog.Column) bool { return c.Label == catalog.Label{} }

// label judges the columns that which picks. A column without evidence stays unknown,
// and its values are read one by one. What people said goes over all that was found.
// d.mu is held.
func (d *database) label(ctx context.Context, k *known, which func(query.Ref, catalog.Column) bool, budget catalog.Budget) error {
	found, err := judge(ctx, d.conn, k.Snapshot, which, budget)
	if lost := d.settled(k, found); lost != nil {
		return lost
	}
	return err
}

// judge says what the columns that which picks hold, by what is found of them in a
// database. An error says which could not be sampled; what was found is good nevertheless.
func judge(ctx context.Context, conn *pgx.Conn, s *catalog.Snapshot, which func(query.Ref, catalog.Column) bool, budget catalog.Budget) (map[query.Ref]mask.Finding, error) {
	tables := beside(s, which)
	if len(tables) == 0 {
		return nil, nil
	}
	samples, err := catalog.Sample(ctx, conn, s, budget)
	found := map[query.Ref]mask.Finding{}
	for ref, c := range s.Columns() {
		if which(ref, c) {
			found[ref] = classify(s, ref, c, samples[ref], tables[query.Ref{Schema: ref.Schema, Table: ref.Table}])
		}
	}
	return found, err
}

// settled makes labels of what was found, with what was said over it; d.mu is held.
func (d *database) settled(k *known, found map[query.Ref]mask.Finding) error {
	said, err := d.rulings.in(d.Name, k.Snapshot)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		labels, named := map[query.Ref]catalog.Label{}, map[query.Ref]bool{}
		for ref, f := range found {
			c, ok := k.Column(ref.Schema, ref.Table, ref.Column)
			if !ok {
				continue
			}
			named[ref] = f.Named && !c.Label.PII
			labels[ref] = judged(c.Label, f, said[ref].As == asDoubt)
			if l, now := d.take(ref), labels[ref]; l.Clean && !now.PII && said[ref].As != asDoubt && !mask.Readable(c.TypeOID) {
				labels[ref] = l
			}
		}
		k.Snapshot = k.WithLabels(labels)
		if more := referring(k.Snapshot, labels, named); len(more) > 0 {
			k.Snapshot = k.WithLabels(more)
		}
	}
	k.overrule(said)
	return nil
}

// beside are the columns of each table that has one which is picked.
func beside(s *catalog.Snapshot, which func(query.Ref, catalog.Column) bool) map[query.Ref][]string {
	tables, columns, picked, of := map[query.Ref][]string{}, []string(nil), false, query.Ref{}
	leave := func() {
		if picked {
			tables[of] = slices.Clone(columns)
		}
	}
	for ref, c := range s.Columns() {
		if table := (query.Ref{Schema: ref.Schema, Table: ref.Table}); table != of {
			leave()
			columns, picked, of = columns[:0], false, table
		}
		columns, picked = append(columns, ref.Column), picked || which(ref, c)
	}
	leave()
	return tables
}

// overrule puts what was said over what was found.
func (k *known) overrule(said map[query.Ref]ruling) {
	k.Snapshot = overrule(k.Snapshot, said)
	k.told = map[query.Ref]bool{}
	for ref, x := range said {
		k.told[ref] = x.As != asNone && x.As != asDoubt
	}
}

func classify(s *catalog.Snapshot, ref query.Ref, c catalog.Column, samples, columns []string) mask.Finding {
	rel, _ := s.Relation(ref.Schema, ref.Table)
	return mask.Classify(mask.ColumnInfo{
		Schema: ref.Schema, Table: ref.Table, Column: ref.Column, Type: c.Type, TypeOID: c.TypeOID, Comment: c.Comment, Samples: samples, Rows: rel.Rows,
		Siblings: slices.DeleteFunc(slices.Clone(columns), func(name string) bool { return name == ref.Column }),
	})
}

// judged is a label after another look. What was found to be personal stays so,
// whatever a later sample looks like, and what passed and was not clean does not
// become clean by a sample in which it does not occur. Only people take that back.
func judged(old catalog.Label, f mask.Finding, doubted bool) catalog.Label {
	if old.PII && !f.PII {
		return old
	}
	l := catalog.Label{PII: f.PII, Type: string(f.Type), Where: f.Where, Clean: f.Clean, Confidence: f.Confidence, Evidence: f.Evidence}
	if doubted && l.Clean {
		return catalog.Label{Evidence: "what passed was not clean, though a later sample was"}
	}
	return l
}

// referring are the labels of columns that refer to a key of which more is known: they
// hold the same values. What the name of one suggests (patient_id) is not so if the key
// is clean, and what a key holds is in all that refer to it.
func referring(s *catalog.Snapshot, labels map[query.Ref]catalog.Label, named map[query.Ref]bool) map[query.Ref]catalog.Label {
	out := map[query.Ref]catalog.Label{}
	for table, k := range s.Keys() {
		if len(k.Columns) != 1 || len(k.Own) != 1 || !k.Valid {
			continue // which of them refers to which is not known, or whether they do
		}
		own := query.Ref{Schema: k.From.Schema, Table: k.From.Table, Column: k.Own[0]}
		l, judgedNow := labels[own]
		if !judgedNow {
			continue
		}
		key := query.Ref{Schema: table.Schema, Table: table.Table, Column: k.Columns[0]}
		to, _ := s.Label(key)
		switch {
		case to.Clean && l.PII && named[own]:
			out[own] = catalog.Label{Clean: true, Confidence: to.Confidence, Evidence: "refers to " + key.String() + ", which holds nothing personal"}
		case to.PII && !l.PII:
			to.Evidence = "refers to " + key.String()
			out[own] = to
		}
	}
	return out
}

// overrule puts what people said over what was found. What they say is personal
// is so in the relations above and below too; what they say is not, in those below.
func overrule(s *catalog.Snapshot, said map[query.Ref]ruling) *catalog.Snapshot {
	if len(said) == 0 {
		return s
	}
	labels, personal := map[query.Ref]catalog.Label{}, map[query.Ref]catalog.Label{}
	for ref, r := range said {
		switch l, _ := s.Label(ref); {
		case r.As != asDoubt:
			labels[ref] = r.label()
			if labels[ref].PII {
				personal[ref] = labels[ref]
			}
		case l.Clean:
			labels[ref] = r.label()
		}
	}
	return s.WithLabels(personal).Overruled(labels)
}

// replace puts a catalogue to use that differs from old in labels only, and records
// which columns turned out not to be clean; d.mu is held.
func (d *database) replace(old, next *known) {
	if next.Version == old.certain.Version {
		kept := *old
		kept.told = next.told // of columns that were known to be personal anyhow
		d.current.Store(&kept)
		return
	}
	next.number, next.abouts = old.number+1, &abouts{}
	d.publish(next)
	var lines []string
	for ref, c := range next.certain.Columns() {
		if was, ok := old.certain.Label(ref); ok && was.Clean && !c.Label.Clean {
			lines = append(lines, fmt.Sprintf("%s: %s", ref, c.Label.Evidence))
		}
	}
	if len(lines) > 0 {
		d.tell("no longer clean: " + strings.Join(lines, "; "))
	}
}

// tell records something about the labels of this database.
func (d *database) tell(detail string) {
	ev := audit.Event{Kind: audit.Admin, Connection: d.Name, Who: "sluice", Outcome: "ok", Detail: detail}
	if err := d.note(ev); err != nil {
		d.log.Error("record a change of labels", "connection", d.Name, "error", err)
	}
}
