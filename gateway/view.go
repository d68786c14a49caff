package gateway

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/query"
)

// view is the catalogue as this session's names see it, for one request.
type view struct {
	schema  query.Schema // nil if nothing is known
	version uint64       // key for the cache; 0 if this view is the session's own, which no cache may share
	known   *known
	made    map[string]*made // tables that only this session knows, by name
	misread string           // see shadow
}

// fresh is the view of a session that has done nothing yet.
func fresh(d *database, k *known) view {
	if k.Snapshot == nil {
		return view{known: k}
	}
	return view{known: k, schema: k.paths[0], version: d.number<<40 | k.number<<1 | 1<<63}
}

func (s *session) view(ctx context.Context, sql string) view {
	s.caughtUp()
	k := s.base.forText(ctx, sql)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := &s.names
	v := fresh(s.base, k)
	v.misread = n.misread
	if v.schema == nil {
		return v
	}
	if n.path {
		v.schema, v.version = k.paths[1], v.version|1
	}
	if n.opaque || n.renamed || n.changed || len(n.names) > 0 || len(n.made) > 0 || len(n.tight) > 0 {
		v.made = maps.Clone(n.made)
		v.schema, v.version = own{Schema: v.schema, hidden: maps.Clone(n.names), made: v.made, tight: n.tight, bare: n.opaque || n.renamed, all: n.changed, code: n.code || n.opaque, wide: k.paths[1]}, 0
	}
	return v
}

// with is the view of a statement that follows, in the same message, one that makes m.
func (v view) with(m *made) view {
	o, ok := v.schema.(own)
	if !ok {
		o = own{Schema: v.schema, wide: v.known.paths[1]}
	}
	n := shadow{made: maps.Clone(v.made), names: maps.Clone(o.hidden)}
	n.make(m)
	o.hidden, o.made = n.names, n.made
	v.schema, v.made, v.version = o, n.made, 0
	return v
}

// tightened is the view of a statement that follows, in the same message, one that adds
// checks, keys or the like.
func (v view) tightened(st *query.Statement) view {
	if v.schema == nil {
		return v
	}
	o, ok := v.schema.(own)
	if !ok {
		o = own{Schema: v.schema, wide: v.known.paths[1]}
	}
	n := shadow{tight: o.tight}
	n.tighten(st)
	o.tight = n.tight
	v.schema, v.version = o, 0
	return v
}

// blind is the view of a statement that follows, in the same message, one that may
// change what names mean. code tells that functions may be new too.
func (v view) blind(code bool) view {
	if v.schema != nil {
		v.schema, v.version = own{Schema: v.schema, bare: true, all: true, code: code, wide: v.known.paths[1]}, 0
	}
	return v
}

// analyze reads a text in this view. While a setting makes text mean something else
// than we read, all is unknown but the statement that repairs it.
func (v view) analyze(c *query.Cache, sql string) []query.Statement {
	var list []query.Statement
	if v.version != 0 {
		list = c.Analyze(sql, v.schema, v.version)
	} else {
		list = query.Analyze(sql, v.schema)
		if v.schema != nil {
			v.suspect(list)
		}
	}
	if v.misread == "" || len(list) == 1 && list[0].Kind == query.Set && !misreads(&list[0]) {
		return list
	}
	list = slices.Clone(list)
	for i := range list {
		list[i] = query.Statement{SQL: list[i].SQL, Kind: query.Unknown, Problem: "with this " + v.misread + " the text may mean something else than it says"}
	}
	return list
}

// misreads reports whether a SET would make later text mean something else than we
// read.
func misreads(st *query.Statement) bool {
	switch st.SetName {
	case "standard_conforming_strings":
		return !slices.Contains([]string{"", "on", "true", "yes", "1"}, st.SetTo)
	case "client_encoding", "names":
		return !utf8Name(st.SetTo)
	}
	return false
}

func utf8Name(encoding string) bool {
	return slices.Contains([]string{"", "utf8", "utf-8", "unicode"}, strings.ToLower(encoding))
}

// own is the catalogue with the names taken out that a session may have given
// another meaning. What is not found is unknown, and so is never shown unread.
type own struct {
	query.Schema
	hidden map[string]bool  // these bare names
	made   map[string]*made // what this session made is there besides
	tight  map[string]bool  // to these it added what a write may fail by
	bare   bool             // all bare names
	all    bool             // all names but those of the system
	code   bool             // functions too
	wide   query.Schema     // with every relation that a bare name may mean
}

// Lookup implements query.Schema.
func (o own) Lookup(schema, name string) []*query.Relation {
	found := o.lookup(schema, name)
	if !o.tight[name] {
		return found
	}
	found = slices.Clone(found)
	for i, rel := range found {
		found[i] = rel.Tight()
	}
	return found
}

func (o own) lookup(schema, name string) []*query.Relation {
	switch {
	case schema == "" && (o.bare || o.all || o.hidden[name]):
		return nil
	case schema != "" && temporary(schema):
		if m := o.made[name]; m != nil && schema == "pg_temp" && m.rel.Schema == schema && !o.bare {
			return []*query.Relation{m.rel}
		}
		return nil
	case o.all && schema != "pg_catalog" && schema != "information_schema":
		return nil
	}
	found := o.Schema.Lookup(schema, name)
	if m := o.made[name]; m != nil && (schema == "" || schema == m.rel.Schema) {
		return append([]*query.Relation{m.rel}, found...)
	}
	return found
}

// Creates implements query.Placer.
func (o own) Creates() string {
	if p, ok := o.Schema.(query.Placer); ok {
		return p.Creates()
	}
	return ""
}

// Harmless implements query.Schema. Functions of one name share it whatever their
// arguments are, so a new one may be meant wherever the schema is not said.
func (o own) Harmless(schema, name string) bool {
	if o.code && schema != "pg_catalog" {
		return false
	}
	return o.Schema.Harmless(schema, name)
}

// Routines implements query.Routiner.
func (o own) Routines(schema, name string) ([]*query.Routine, bool) {
	rs, ok := o.Schema.(query.Routiner)
	if o.code || !ok {
		return nil, false
	}
	return rs.Routines(schema, name)
}

// Operators implements query.Routiner.
func (o own) Operators(name string) []*query.Routine {
	if rs, ok := o.Schema.(query.Routiner); ok {
		return rs.Operators(name)
	}
	return nil
}

// Casts implements query.Routiner.
func (o own) Casts(to string) []*query.Routine {
	if rs, ok := o.Schema.(query.Routiner); ok {
		return rs.Casts(to)
	}
	return nil
}

// Attached implements query.Attacher. A name that the session may have given another
// meaning may have kept its old one too.
func (o own) Attached(schema, name string) []*query.Attached {
	at, ok := o.Schema.(query.Attacher)
	switch {
	case !ok || schema != "" && temporary(schema):
		return nil
	case schema == "" && o.wide != nil:
		at, ok = o.wide.(query.Attacher)
		if !ok {
			return nil
		}
	}
	return at.Attached(schema, name)
}

// EventTriggers implements query.Attacher.
func (o own) EventTriggers(tag string) []query.Trigger {
	if at, ok := o.Schema.(query.Attacher); ok {
		return at.EventTriggers(tag)
	}
	return nil
}

// Dependents implements query.Attacher.
func (o own) Dependents(of query.ObjectKind, schema, name string) []query.Ref {
	if at, ok := o.Schema.(query.Attacher); ok {
		return at.Dependents(of, schema, name)
	}
	return nil
}

// Extension implements query.Attacher. What this session has done may have removed it.
func (o own) Extension(name string) bool {
	at, ok := o.Schema.(query.Attacher)
	return ok && !o.code && !o.all && at.Extension(name)
}

// Along implements query.Routiner: the session's own names hide others in any path.
func (o own) Along(path []string) query.Schema {
	if rs, ok := o.Schema.(query.Routiner); ok {
		o.Schema = rs.Along(path)
		return o
	}
	return own{Schema: o.Schema, bare: true, all: true, code: true}
}

// Bodies implements query.Routiner: what bodies do here is not so elsewhere.
func (o own) Bodies() *query.Bodies { return nil }

// suspect adds to what a statement touches all that an unresolved name may mean,
// with every column: a rule that names a relation must not be passed by because a
// session did something that leaves the name in doubt.
func (v view) suspect(list []query.Statement) {
	for i := range list {
		for st := &list[i]; st != nil; st = st.Inner {
			st.Targets, _ = v.candidates(st.Targets)
			var columns []query.Ref
			st.Relations, columns = v.candidates(st.Relations)
			st.Reads, _ = v.candidates(st.Reads)
			st.Reads = append(st.Reads, columns...)
		}
	}
}

// candidates is refs with, for those that have no schema, every relation of the name
// that any search_path could find, and the columns of these.
func (v view) candidates(refs []query.Ref) (wider, columns []query.Ref) {
	wider = slices.Clone(refs)
	for _, r := range refs {
		if r.Schema != "" {
			continue
		}
		for _, rel := range v.known.paths[1].Lookup("", r.Table) {
			wider = append(wider, query.Ref{Schema: rel.Schema, Table: rel.Name, Column: r.Column})
			for _, c := range rel.Columns {
				columns = append(columns, query.Ref{Schema: rel.Schema, Table: rel.Name, Column: c})
			}
		}
	}
	return wider, columns
}
