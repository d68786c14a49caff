package gateway

import (
	"slices"
	"sync"

	"github.com/sluicehq/sluice/catalog"
	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/query"
)

// made is a table that this session made and that the catalogue does not show: a
// temporary one, or one whose transaction is not over. What it holds is known from the
// statement that made it, and from those that wrote to it since. Nothing in it is
// changed once it is in a view.
type made struct {
	rel    *query.Relation
	labels map[string]catalog.Label // by column
	open   bool                     // its transaction is not over
	gone   bool                     // with its transaction it goes
}

// maxMade bounds what a session remembers; the names of more are in doubt.
const maxMade = 1000

// make remembers a table that a statement is about to make. That it will be made is
// not certain, so the tables that the catalogue has under the name still count, and
// those that the session made before under it.
func (n *shadow) make(m *made) {
	name := m.rel.Name
	old := n.made[name]
	switch {
	case n.names[name] || len(n.made) >= maxMade:
		n.hide(name)
		return
	case old != nil && !old.joins(m):
		n.hide(name)
		return
	}
	if n.made == nil {
		n.made = map[string]*made{}
	}
	n.made[name] = m
}

// hide leaves open what a bare name means.
func (n *shadow) hide(name string) {
	delete(n.made, name)
	if n.names == nil {
		n.names = map[string]bool{}
	}
	n.names[name] = true
}

// joins adds to m what is known of one made before under the same name, which it may
// still be; false if they are not alike.
func (old *made) joins(m *made) bool {
	if old.rel.Schema != m.rel.Schema || !slices.Equal(old.rel.Columns, m.rel.Columns) {
		return false
	}
	for name, l := range old.labels {
		m.labels[name] = stricter(m.labels[name], l)
	}
	m.gone, m.open = m.gone && old.gone, m.open && old.open // the older one outlives the transaction
	return true
}

// stricter is the label that hides more.
func stricter(a, b catalog.Label) catalog.Label {
	switch {
	case a.PII && b.PII && (a.Type != b.Type || a.Where != b.Where):
		a.Type, a.Where = string(mask.Opaque), whole
		return a
	case a.PII:
		return a
	case b.PII:
		return b
	case a.Clean:
		return b
	}
	return a
}

// over notes how a transaction ended: what it made is there for good, or gone.
func (n *shadow) over(committed bool) {
	for name, m := range n.made {
		switch {
		case !m.open:
		case !committed || m.gone:
			delete(n.made, name)
		default:
			kept := *m
			kept.open = false
			n.made[name] = &kept
		}
	}
}

// catalogued leaves to the catalogue what it shows by now, with what is known of it.
func (n *shadow) catalogued(d *database) {
	for name, m := range n.made {
		if !temporary(m.rel.Schema) {
			delete(n.made, name)
			d.born(m)
		}
	}
}

// maxBorn bounds the columns of new tables that wait for the catalogue to be read.
const maxBorn = 10_000

// newborn are columns of tables that sessions made, until the catalogue shows them. A
// number or a date says nothing by itself, so what one holds is known only from here.
type newborn struct {
	mu     sync.Mutex
	labels map[query.Ref]catalog.Label
}

func (b *newborn) born(m *made) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.labels == nil || len(b.labels) > maxBorn {
		b.labels = map[query.Ref]catalog.Label{}
	}
	for name, l := range m.labels {
		if l.Clean {
			b.labels[query.Ref{Schema: m.rel.Schema, Table: m.rel.Name, Column: name}] = l
		}
	}
}

// take gives what is known of a column, once.
func (b *newborn) take(ref query.Ref) catalog.Label {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.labels[ref]
	delete(b.labels, ref)
	return l
}

// makes is the table that a statement makes; nil if it makes none, or one that may be
// another than its text says.
func (v view) makes(st *query.Statement, by string) *made {
	m := st.Made
	if m == nil || v.known.Snapshot == nil || m.Relation.Schema == "" {
		return nil
	}
	if _, there := v.known.Relation(m.Relation.Schema, m.Relation.Name); m.Maybe && there && !temporary(m.Relation.Schema) {
		return nil // IF NOT EXISTS, and it does
	}
	out := &made{rel: &m.Relation, labels: map[string]catalog.Label{}, open: true, gone: m.Fleeting}
	for i, name := range m.Relation.Columns {
		switch {
		case st.Target != nil && i < len(st.Output):
			out.labels[name] = v.filled(st.Output[i], by)
		case m.Like[i] != query.Ref{}:
			out.labels[name] = v.like(m.Like[i], m.Relation.Types[i])
		default:
			out.labels[name] = declared(m.Relation.Columns, i, m.Relation.Types[i])
		}
	}
	return out
}

// like is the label of an empty column that is declared like another: personal if that
// is, for that is what it is for; else nothing is known of what will be in it.
func (v view) like(ref query.Ref, typ string) catalog.Label {
	if l := v.label(ref); l.PII {
		return l
	}
	return declared([]string{ref.Column}, 0, typ)
}

// declared is the label of an empty column: what its name says, else unknown.
func declared(columns []string, i int, typ string) catalog.Label {
	f := mask.Classify(mask.ColumnInfo{Column: columns[i], Type: typ, TypeOID: mask.TypeOID(typ),
		Siblings: slices.Delete(slices.Clone(columns), i, i+1)})
	switch oid := mask.TypeOID(typ); {
	case !f.PII && oid != 0 && !mask.Readable(oid):
		return catalog.Label{Clean: true, Confidence: 0.5, Evidence: "was empty when it was made, and its name says nothing personal"}
	case !f.PII:
		return catalog.Label{}
	}
	return catalog.Label{PII: true, Type: string(f.Type), Where: f.Where, Confidence: f.Confidence, Evidence: f.Evidence}
}

// label is what is known of a column as this session sees it.
func (v view) label(ref query.Ref) catalog.Label {
	if m := v.made[ref.Table]; m != nil && m.rel.Schema == ref.Schema {
		return m.labels[ref.Column]
	}
	l, _ := v.known.Label(ref)
	return l
}

// certain is label without what is only doubted because another gateway is silent.
func (v view) certain(ref query.Ref) catalog.Label {
	if m := v.made[ref.Table]; m != nil && m.rel.Schema == ref.Schema {
		return m.labels[ref.Column]
	}
	l, _ := v.known.certain.Label(ref)
	return l
}

// personal reports whether a column, or any column of a relation, holds personal data
// or is not known not to.
func (v view) personal(ref query.Ref) bool {
	m := v.made[ref.Table]
	if m == nil || m.rel.Schema != ref.Schema {
		return v.known.personal(ref)
	}
	for name, l := range m.labels {
		if l.PII && (ref.Column == "" || ref.Column == name) {
			return true
		}
	}
	return ref.Column != "" && !slices.Contains(m.rel.Columns, ref.Column)
}
