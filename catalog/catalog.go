// Package catalog holds what a database contains: relations, columns, types,
// views and functions, as one immutable Snapshot read with a handful of queries,
// and the labels that say which columns hold personal data. A snapshot answers
// query.Schema. What is not in it is unknown, never assumed harmless.
package catalog

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/query"
)

// Label is what is known of a column's content.
type Label struct {
	PII        bool    // personal data or a secret
	Type       string  // "email", "person", "phone", …; "" if not PII
	Where      string  // "whole", "embedded" or "json"; "" if not PII
	Clean      bool    // known to hold nothing personal: its bytes may pass unread
	Confidence float64 // 0 to 1
	Evidence   string  // one line for people: what in name or content led to it
}

// Column is one column of a relation.
type Column struct {
	Name    string
	Type    string // as format_type prints it, domains resolved to their base
	TypeOID uint32 // base type
	Comment string
	Label   Label // zero until labelled: neither PII nor clean, so unknown

	from []string // columns of the same table from which its values are computed

	num int16 // attribute number: with the relation's OID it outlives renames
}

// Generated reports whether the server computes the column from others.
func (c Column) Generated() bool { return len(c.from) > 0 }

// Snapshot is the catalogue of one database at one moment. It is never changed
// once published; a refresh makes a new one.
type Snapshot struct {
	Database   string
	Identity   string // what tells the database from all others: its cluster, and its number there; "" if the role may not ask
	Version    uint64 // grows with every refresh or labelling that found a difference
	relations  map[string][]*entry
	ordered    []*entry          // the same, by schema and name
	byOID      map[uint32]*entry // and by number
	harmless   map[string]bool
	functions  map[uint32]Function
	routines   map[string][]*query.Routine // the users' own, by name
	operators  map[string][]*query.Routine // the users' functions that operators of a name call, but those in C
	doubtful   map[string]bool             // names that a routine of the system has which is not harmless
	bodies     *query.Bodies               // what routines do where the path is not known
	attached   map[query.Ref]*query.Attached
	events     []eventTrigger
	casts      map[string][]*query.Routine // the users' functions that run where a type of a name is said
	extensions map[string]bool             // that are installed
	dependents map[object][]query.Ref      // relations that depend on types, routines and extensions
	path       []string                    // search_path of a fresh session; nil means unknown
	base       map[uint32]uint32
	enums      map[uint32]bool
	limits     map[limit]bool // those that were there when the database was first looked at
	sum        uint64         // of the structure, to tell whether a refresh found a difference
}

// Function is what a number stands for in a call of the function by number.
type Function struct {
	Schema, Name string
	Returns      uint32 // type
}

// Function finds one by its OID.
func (s *Snapshot) Function(oid uint32) (Function, bool) {
	if s == nil {
		return Function{}, false
	}
	f, ok := s.functions[oid]
	return f, ok
}

type entry struct {
	rel         query.Relation
	columns     []Column
	oid         uint32
	rows        float64  // the planner's estimate; below 0 if never counted
	parents     []uint32 // what it inherits from or is a partition of
	system      bool     // labels are built in
	stored      bool     // has rows of its own that may be sampled
	partitioned bool     //
	sum         uint64   // of all this but labels and rows
	own         bool     // columns are this snapshot's alone; else they are shared
}

// relabel gives a column a label. Columns that are shared with another snapshot are
// copied first.
func (e *entry) relabel(i int, l Label) {
	if e.columns[i].Label == l {
		return
	}
	if !e.own {
		e.columns, e.own = slices.Clone(e.columns), true
	}
	e.columns[i].Label = l
}

// Lookup implements query.Schema. The search path being unknown, a name without a
// schema may mean any relation of that name outside the schemas of temporary tables.
func (s *Snapshot) Lookup(schema, name string) []*query.Relation {
	if s == nil {
		return nil
	}
	if schema == "" && s.path != nil {
		return s.InPath(s.path).Lookup("", name)
	}
	var found []*query.Relation
	for _, e := range s.relations[name] {
		switch {
		case schema == "" && isTemporary(e.rel.Schema):
		case schema == "", schema == e.rel.Schema, schema == "pg_temp" && isTemporary(e.rel.Schema):
			found = append(found, &e.rel)
		}
	}
	return found
}

// Harmless implements query.Schema: every routine of that name is known to have no
// effect beside its result and to read no tables.
func (s *Snapshot) Harmless(schema, name string) bool {
	if s == nil {
		return false
	}
	return s.harmless[routineKey(schema, name)]
}

func routineKey(schema, name string) string {
	if schema == "" {
		return name
	}
	return schema + "\x00" + name
}

// InPath answers as a session does whose search_path is path, which must be
// resolved: "$user" and pg_temp in it make the path unknown. pg_catalog comes first
// unless the path names it. Temporary tables of the session are not known here.
func (s *Snapshot) InPath(path []string) query.Schema {
	if path == nil || slices.Contains(path, "$user") || slices.Contains(path, "pg_temp") {
		return inPath{Snapshot: s, bodies: &query.Bodies{}}
	}
	if !slices.Contains(path, "pg_catalog") {
		path = append([]string{"pg_catalog"}, path...)
	}
	return inPath{Snapshot: s, path: slices.Clone(path), bodies: &query.Bodies{}}
}

// Creates implements query.Placer.
func (p inPath) Creates() string {
	for _, dir := range p.path {
		if dir != "pg_catalog" {
			return dir
		}
	}
	return ""
}

type inPath struct {
	*Snapshot
	path   []string
	bodies *query.Bodies
}

func (p inPath) Lookup(schema, name string) []*query.Relation {
	if schema != "" || p.path == nil {
		return p.anywhere(schema, name)
	}
	for _, dir := range p.path {
		if found := p.Snapshot.Lookup(dir, name); len(found) > 0 {
			return found
		}
	}
	return nil
}

func (p inPath) anywhere(schema, name string) []*query.Relation {
	if p.Snapshot == nil {
		return nil
	}
	unknown := *p.Snapshot
	unknown.path = nil
	return unknown.Lookup(schema, name)
}

// Column finds one column.
func (s *Snapshot) Column(schema, table, column string) (Column, bool) {
	if s == nil {
		return Column{}, false
	}
	for _, e := range s.relations[table] {
		if e.rel.Schema != schema {
			continue
		}
		for _, c := range e.columns {
			if c.Name == column {
				return c, true
			}
		}
	}
	return Column{}, false
}

// Label finds the label of one column. ok is false if the column is not in the
// snapshot or has no label: it must then be treated as unknown.
func (s *Snapshot) Label(ref query.Ref) (Label, bool) {
	c, ok := s.Column(ref.Schema, ref.Table, ref.Column)
	return c.Label, ok && c.Label != Label{}
}

// Columns are all columns, relations in order of schema and name, columns in order
// of their attribute numbers.
func (s *Snapshot) Columns() iter.Seq2[query.Ref, Column] {
	return func(yield func(query.Ref, Column) bool) {
		for _, e := range s.entries() {
			for _, c := range e.columns {
				if !yield(query.Ref{Schema: e.rel.Schema, Table: e.rel.Name, Column: c.Name}, c) {
					return
				}
			}
		}
	}
}

// Relation is what a labeller must know of a relation beside its columns.
type Relation struct {
	Kind   query.RelationKind
	Rows   float64 // the planner's estimate; below 0 if never counted
	System bool    // part of PostgreSQL: its labels are built in
}

// Relation finds one relation. A nil Snapshot knows none.
func (s *Snapshot) Relation(schema, table string) (Relation, bool) {
	if s == nil {
		return Relation{}, false
	}
	for _, e := range s.relations[table] {
		if e.rel.Schema == schema {
			return Relation{Kind: e.rel.Kind, Rows: e.rows, System: e.system}, true
		}
	}
	return Relation{}, false
}

// Enum reports whether a type is one whose values are among those listed when it was
// made.
func (s *Snapshot) Enum(oid uint32) bool { return s != nil && s.enums[oid] }

// BaseType resolves a domain to its base type, and citext to text, whose values
// have the same form. A type that it does not know is returned as it is.
func (s *Snapshot) BaseType(oid uint32) uint32 {
	if s == nil {
		return oid
	}
	if b, ok := s.base[oid]; ok {
		return b
	}
	return oid
}

// WithLabels is the snapshot with these labels in place of those it had. Built-in
// labels stay. Personal data in a column of a table is personal data in the same
// column of its partitions, children and parents.
func (s *Snapshot) WithLabels(labels map[query.Ref]Label) *Snapshot {
	next := s.copy()
	for ref, l := range labels {
		for _, e := range next.relations[ref.Table] {
			if e.rel.Schema != ref.Schema || e.system {
				continue
			}
			for i := range e.columns {
				if e.columns[i].Name == ref.Column {
					e.relabel(i, l)
				}
			}
		}
	}
	next.shareLabels()
	if !next.sameLabels(s) {
		next.Version++
	}
	return next
}

// Overruled is the snapshot with labels that a person gave: they hold whatever was
// found, also for the same column of the relations below, which hold its rows.
func (s *Snapshot) Overruled(labels map[query.Ref]Label) *Snapshot {
	next := s.copy()
	for _, e := range next.ordered {
		if e.system {
			continue
		}
		for i := range e.columns {
			if l, ok := inherited(next.byOID, e, e.columns[i].Name, labels, maxHeirs); ok {
				e.relabel(i, l)
			}
		}
	}
	if !next.sameLabels(s) {
		next.Version++
	}
	return next
}

// maxHeirs is how far inheritance is followed: deeper than any that people make.
const maxHeirs = 32

func inherited(byOID map[uint32]*entry, e *entry, column string, labels map[query.Ref]Label, left int) (Label, bool) {
	if l, ok := labels[query.Ref{Schema: e.rel.Schema, Table: e.rel.Name, Column: column}]; ok || left == 0 {
		return l, ok
	}
	for _, oid := range e.parents {
		if p := byOID[oid]; p != nil {
			if l, ok := inherited(byOID, p, column, labels, left-1); ok {
				return l, true
			}
		}
	}
	return Label{}, false
}

// Attribute is what PostgreSQL knows a column by: it outlives renames.
type Attribute struct {
	Relation uint32 // OID
	Number   int16
}

// Attribute finds what a column is known by. Those of the system have none.
func (s *Snapshot) Attribute(ref query.Ref) (Attribute, bool) {
	if s == nil {
		return Attribute{}, false
	}
	for _, e := range s.relations[ref.Table] {
		if e.rel.Schema != ref.Schema || e.system {
			continue
		}
		for _, c := range e.columns {
			if c.Name == ref.Column {
				return Attribute{e.oid, c.num}, true
			}
		}
	}
	return Attribute{}, false
}

// Numbered finds the column that is known by a number; those of the system are not.
func (s *Snapshot) Numbered(at Attribute) (query.Ref, bool) {
	if s == nil {
		return query.Ref{}, false
	}
	e := s.byOID[at.Relation]
	if e == nil || e.system {
		return query.Ref{}, false
	}
	c := e.numbered(at.Number)
	if c == nil {
		return query.Ref{}, false
	}
	return query.Ref{Schema: e.rel.Schema, Table: e.rel.Name, Column: c.Name}, true
}

// Attributes are the columns by what PostgreSQL knows them by, those of the system
// left out.
func (s *Snapshot) Attributes() map[Attribute]query.Ref {
	out := map[Attribute]query.Ref{}
	for _, e := range s.entries() {
		if e.system {
			continue
		}
		for _, c := range e.columns {
			out[Attribute{e.oid, c.num}] = query.Ref{Schema: e.rel.Schema, Table: e.rel.Name, Column: c.Name}
		}
	}
	return out
}

// copy has relations of its own; everything else is shared until it is changed.
func (s *Snapshot) copy() *Snapshot {
	next := *s
	next.ordered = make([]*entry, 0, len(s.ordered))
	for _, e := range s.entries() {
		x := *e
		x.own = false
		next.ordered = append(next.ordered, &x)
	}
	next.index()
	return &next
}

// index fills in what relations are found by from those in order.
func (s *Snapshot) index() {
	s.relations, s.byOID = make(map[string][]*entry, len(s.ordered)), make(map[uint32]*entry, len(s.ordered))
	for _, e := range s.ordered {
		s.relations[e.rel.Name], s.byOID[e.oid] = append(s.relations[e.rel.Name], e), e
	}
	for _, list := range s.relations {
		slices.SortFunc(list, func(a, b *entry) int { return cmp.Compare(a.oid, b.oid) })
	}
}

func (s *Snapshot) sameLabels(other *Snapshot) bool {
	for i, e := range s.ordered {
		was := other.ordered[i].columns
		if len(was) == 0 || &e.columns[0] == &was[0] {
			continue // they are shared
		}
		for j, c := range e.columns {
			if c.Label != was[j].Label {
				return false
			}
		}
	}
	return true
}

// shareLabels spreads personal data along inheritance, up and then down, so that
// siblings share it too.
func (s *Snapshot) shareLabels() {
	var heirs []*entry
	for _, e := range s.ordered {
		if len(e.parents) > 0 {
			heirs = append(heirs, e)
		}
	}
	for changed := true; changed; {
		changed = false
		for _, e := range heirs {
			for _, oid := range e.parents {
				if p := s.byOID[oid]; p != nil {
					changed = spread(e, p) || changed
					changed = spread(p, e) || changed
				}
			}
		}
		for _, e := range s.ordered {
			changed = e.generate() || changed
		}
	}
}

// generate gives columns that are computed from others of the row the labels of these.
func (e *entry) generate() (changed bool) {
	for i := range e.columns {
		for _, name := range e.columns[i].from {
			for _, src := range e.columns {
				if src.Name == name && src.Label.PII && !e.columns[i].Label.PII {
					e.relabel(i, Label{PII: true, Type: "personal", Where: "whole", Confidence: src.Label.Confidence, Evidence: "generated from " + name})
					changed = true
				}
			}
		}
	}
	return changed
}

func spread(from, to *entry) (changed bool) {
	for _, c := range from.columns {
		for i := range to.columns {
			x := to.columns[i]
			if x.Name != c.Name || x.Label.PII == c.Label.PII && x.Label.Clean == c.Label.Clean {
				continue
			}
			if c.Label.PII || (x.Label.Clean && !c.Label.Clean) { // personal wins over unknown, unknown over clean
				to.relabel(i, c.Label)
				changed = true
			}
		}
	}
	return changed
}

// entries are the relations by schema and name.
func (s *Snapshot) entries() []*entry { return s.ordered }

func compareEntries(a, b *entry) int {
	return cmp.Or(strings.Compare(a.rel.Schema, b.rel.Schema), strings.Compare(a.rel.Name, b.rel.Name))
}

// Schemas are the names of the schemas that hold relations.
func (s *Snapshot) Schemas() []string {
	seen := map[string]bool{}
	for _, list := range s.relations {
		for _, e := range list {
			seen[e.rel.Schema] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}
