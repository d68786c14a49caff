package gateway

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/catalog"
	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/query"
)

// Where personal data lies in a column.
const (
	whole    = "whole"
	embedded = "embedded"
)

// carried is a label that flows into a column with what is written there.
type carried struct {
	catalog.Label
	direct bool // the value itself does, and not only something computed from it
}

// filled is the label of a column that holds nothing but what flows into it.
func (v view) filled(c query.Column, by string) catalog.Label {
	if l, ok := v.carried(c, query.Ref{}, by); ok {
		return l.Label
	}
	if !c.Known {
		return catalog.Label{PII: true, Type: string(mask.Opaque), Where: embedded, Confidence: 0.5, Evidence: "filled by " + by + " with what could not be traced"}
	}
	for _, src := range c.Sources {
		if src.How != query.Counted && !v.label(src.Ref).Clean {
			return catalog.Label{}
		}
	}
	return catalog.Label{Clean: true, Confidence: 1, Evidence: "filled by " + by + " from what is not personal"}
}

// carried is the label that personal data brings to a column into which it flows; ok
// is false if none does. The value itself keeps its type; what was computed from it, or
// from several, is hidden whole. What a column holds already brings it nothing new.
func (v view) carried(c query.Column, into query.Ref, by string) (out carried, ok bool) {
	var first query.Source
	n, alike := 0, true
	for _, src := range c.Sources {
		l := v.label(src.Ref)
		if !l.PII || src.Ref == into || src.How == query.Counted {
			continue
		}
		if n++; n == 1 {
			first, out.Label = src, l
		}
		alike = alike && src.How == query.Direct && l.Type == out.Type && l.Where == out.Where
		out.direct = out.direct || src.How == query.Direct
	}
	if n == 0 {
		return v.swayed(c, into, by)
	}
	out.Evidence = "copied from " + first.Ref.String()
	if !alike {
		out.Type, out.Where = string(mask.Opaque), whole
	}
	if !out.direct {
		out.Evidence = "computed from " + first.Ref.String()
	}
	if n > 1 {
		out.Evidence += fmt.Sprintf(" and %d more", n-1)
	}
	out.Evidence += " by " + by
	return out, true
}

// swayed is the label of a column whose values personal data has chosen: "much" and
// "little" by salary. Nothing of the data is in it, and all of what was asked is.
func (v view) swayed(c query.Column, into query.Ref, by string) (out carried, ok bool) {
	for _, ref := range c.Swayed {
		if l := v.label(ref); l.PII && ref != into && v.people(ref) {
			out.Label = catalog.Label{PII: true, Type: string(mask.Opaque), Where: whole, Confidence: 1, Evidence: "chosen by " + ref.String() + " by " + by}
			return out, true
		}
	}
	return out, false
}

// flows adds the labels that a statement brings to the columns it writes. What could
// not be traced counts as personal if the statement reads anything that is. insist says of
// which columns others must be told although they are known to be personal here.
func (v view) flows(st *query.Statement, by string, insist func(query.Ref) bool, found map[query.Ref]carried) {
	from := query.Ref{}
	for _, ref := range st.Reads {
		if ref.Column != "" && v.label(ref).PII {
			from = ref
			break
		}
	}
	for _, ref := range st.Targets { // a trigger on it is given the row
		if len(st.Consequences) > 0 && from == (query.Ref{}) && v.known.holders[ref] {
			from = ref
		}
	}
	for _, ref := range st.Relations {
		if from == (query.Ref{}) && v.nothing(ref) {
			from = ref
		}
	}
	for _, p := range st.Puts {
		l, ok := v.carried(p.From, p.Into, by)
		if !ok && !p.From.Known && from != (query.Ref{}) {
			l, ok = carried{Label: catalog.Label{PII: true, Type: string(mask.Opaque), Where: whole, Confidence: 0.5,
				Evidence: "written by " + by + " with what could not be traced, by a statement that reads " + from.String()}}, true
		}
		if !ok {
			continue
		}
		for _, ref := range v.columns(p.Into) {
			if now := v.kept(ref); now.PII && (now.Where == whole || now.Where == "" || l.Where != whole) && !insist(ref) {
				continue // it is hidden already
			}
			if old, twice := found[ref]; twice {
				l.Label, l.direct = stricter(old.Label, l.Label), old.direct || l.direct
			}
			found[ref] = l
		}
	}
}

// kept is the label of a column as it is kept: what a statement of this message will
// make has none yet.
func (v view) kept(ref query.Ref) catalog.Label {
	if temporary(ref.Schema) {
		return v.label(ref)
	}
	l, _ := v.known.Label(ref)
	return l
}

// nothing reports whether nothing at all is known of a relation.
func (v view) nothing(ref query.Ref) bool {
	return v.schema == nil || v.known.Snapshot == nil || len(v.schema.Lookup(ref.Schema, ref.Table)) == 0 && len(v.known.paths[1].Lookup(ref.Schema, ref.Table)) == 0
}

// columns are those that a written column may be: all of the relation if it is a star, and
// of each relation that a name may mean which is in doubt. None if nothing tells.
func (v view) columns(ref query.Ref) (out []query.Ref) {
	if ref.Column != query.Star && ref.Schema != "" || v.schema == nil {
		return []query.Ref{ref}
	}
	found := v.schema.Lookup(ref.Schema, ref.Table)
	if len(found) == 0 {
		found = v.known.paths[1].Lookup(ref.Schema, ref.Table)
	}
	for _, rel := range found {
		names := rel.Columns
		if ref.Column != query.Star {
			names = []string{ref.Column}
		}
		if rel.Kind == query.View {
			continue // what is under it cannot be told
		}
		for _, name := range names {
			out = append(out, query.Ref{Schema: rel.Schema, Table: rel.Name, Column: name})
		}
	}
	return out
}

// nowhere reports whether nothing tells which column is written: its relation is not in
// the catalogue, or may not be the one that is. A temporary table, which nobody else
// reads, stays unknown to the session that made it.
func (v view) nowhere(ref query.Ref) bool {
	if o, ok := v.schema.(own); ok && ref.Schema == "" && o.hidden[ref.Table] {
		return false
	}
	return v.schema != nil && len(v.columns(ref)) == 0
}

// spread gives the columns that a request is about to write the labels of what it
// writes there: on disk and in force before it runs, so that no statement that comes
// after reads them as clean. They stay if it fails.
func (s *session) spread(ctx context.Context, j *job) error {
	found := map[query.Ref]carried{}
	insist := s.insist(j.view)
	for _, x := range j.runs {
		for st := x.means; st != nil; st = st.Inner {
			j.view.flows(st, s.Who.Name(), insist, found)
		}
	}
	return s.labelled(ctx, found)
}

// insist says of which columns that are known to be personal other gateways must be told:
// each has its own eyes, and what one saw another may not have.
func (s *session) insist(v view) func(query.Ref) bool {
	if s.g.peers == nil || v.known == nil {
		return func(query.Ref) bool { return false }
	}
	last, _ := s.g.rulings.last()
	all := !s.g.peers.settled(last)
	return func(ref query.Ref) bool { return !temporary(ref.Schema) && (all || !v.known.told[ref]) }
}

// labelled gives columns labels, on disk and in force when it returns, here and at every
// other gateway that may take them for clean. The error is an *untold if one cannot be
// told.
func (s *session) labelled(ctx context.Context, found map[query.Ref]carried) error {
	if len(found) == 0 {
		return nil
	}
	s.mu.Lock()
	for ref, l := range found {
		l.Label = on(l.Label, s.g.cfg.Now())
		found[ref] = l
		if s.names.taint(ref, l.Label) && temporary(ref.Schema) {
			delete(found, ref) // nobody else sees it
		}
	}
	s.mu.Unlock()
	if len(found) == 0 {
		return nil
	}
	at, news, err := s.base.taint(s.Who.Name(), found)
	if err != nil {
		return err
	}
	if len(news) > 0 {
		if err := s.g.adopt(ctx, news, s.base); err != nil {
			return err
		}
	}
	if s.g.peers.settled(at) {
		return nil
	}
	s.base.stale() // another gateway may know of a column that somebody made past this one
	known := s.base.fresh(ctx)
	made := known.Snapshot != nil // by this statement: what is new is doubted where nothing was heard of it
	for ref := range found {
		_, there := known.Attribute(ref)
		made = made && !there
	}
	return s.g.peers.await(ctx, at, 0, made)
}

// taint gives a column of a table that the session made a label; false if it made none.
func (n *shadow) taint(ref query.Ref, l catalog.Label) bool {
	m := n.made[ref.Table]
	if m == nil || m.rel.Schema != ref.Schema {
		return false
	}
	next := *m
	next.labels = maps.Clone(m.labels)
	next.labels[ref.Column] = stricter(l, m.labels[ref.Column])
	n.made[ref.Table] = &next
	return true
}

// taint keeps labels that flowed into columns and puts them to use. What a person said
// of a column stands against what is computed from personal data: hashes and counts are
// what people say such things of. It does not stand against the data itself.
// at is their place in the order, news are those that are new.
func (d *database) taint(by string, found map[query.Ref]carried) (at int64, news []ruling, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.current.Load()
	if old == nil || old.Snapshot == nil || len(found) == 0 {
		return 0, nil, nil
	}
	said, err := d.rulings.in(d.Name, old.certain)
	if err != nil {
		return 0, nil, err
	}
	var list []ruling
	var lines []string
	for ref, l := range found {
		if said[ref].As == asNone && !l.direct {
			continue
		}
		at, _ := old.Attribute(ref)
		list = append(list, ruling{
			Connection: d.Name, Database: old.Database, Server: old.Identity, Relation: at.Relation, Number: at.Number,
			Schema: ref.Schema, Table: ref.Table, Column: ref.Column, As: l.Type, Where: l.Where, Copied: true, Reason: l.Evidence, By: by, At: d.now(),
		})
		lines = append(lines, fmt.Sprintf("%s is %s: %s", ref, l.Type, l.Evidence))
	}
	at, fresh, err := d.rulings.putAll(list)
	if err != nil || !fresh {
		return at, nil, err
	}
	if said, err = d.rulings.in(d.Name, old.certain); err != nil {
		return at, nil, err
	}
	next := old.sure()
	next.overrule(said)
	d.replace(old, &next)
	slices.Sort(lines)
	d.tell("label: " + strings.Join(lines, "; "))
	return at, list, nil
}

// on is the evidence with the day.
func on(l catalog.Label, at time.Time) catalog.Label {
	l.Evidence += ", " + at.UTC().Format(time.DateOnly)
	return l
}
