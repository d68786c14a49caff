package gateway

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/query"
)

// shadow is what a session has done to the meaning of the names it uses: once a
// session may have made a temporary table, or changed its path, a bare name may
// mean something the catalogue does not know.
type shadow struct {
	path    bool            // search_path is no longer the one a session begins with
	opaque  bool            // something ran whose effect is unknown: any bare name may be shadowed
	names   map[string]bool // relations it has made that hide others of the same name
	misread string          // the setting that makes statements mean something else than we read
	changed bool            // the catalogue was changed inside a transaction not yet ended
}

// errUnreadable ends a session whose COPY data cannot be told apart.
var errUnreadable = errors.New("the columns of COPY data are not known, so none of it can be shown")

// doubt notes, when a statement is sent, what it may do to names. It only ever adds
// doubt, so nothing is taken back if the statement fails.
func (s *session) doubt(x *run) {
	st := x.means
	s.mu.Lock()
	defer s.mu.Unlock()
	n := &s.names
	switch {
	case st.Kind == query.Unknown, st.Has(query.UnknownRoutine), st.Has(query.DynamicSQL):
		n.opaque = true
	case st.Kind == query.Set && movesNames(st.SetName), st.Kind != query.Set && st.Has(query.SessionState):
		n.path = true
	}
	if st.Kind != query.DDL {
		return
	}
	for _, t := range st.Targets {
		if temporary(t.Schema) {
			if n.names == nil {
				n.names = map[string]bool{}
			}
			n.names[t.Table] = true
		}
	}
}

// movesNames reports whether a setting decides what bare names mean.
func movesNames(setting string) bool {
	return slices.Contains([]string{"search_path", "schema", "role", "session_authorization", "all"}, setting)
}

// changes reports whether a statement may change what the names in those after it
// mean.
func changes(st *query.Statement) bool {
	return st.Kind == query.Unknown || st.Kind == query.DDL || st.Kind == query.Drop || st.Kind == query.Set && movesNames(st.SetName) ||
		st.Has(query.UnknownRoutine) || st.Has(query.DynamicSQL) || st.Has(query.SessionState)
}

// settled notes what a statement that succeeded has done to the catalogue.
func (s *session) settled(x *run) {
	st := x.means
	s.mu.Lock()
	defer s.mu.Unlock()
	n := &s.names
	switch {
	case st.Kind == query.Set:
		if st.SetName == n.misread || st.SetName == "names" || st.SetName == "all" {
			n.misread = "" // the server reports the new value if it is bad
		}
	case st.Kind == query.Transaction:
		if n.changed {
			n.changed = false
			s.base.stale()
		}
	case changes(st):
		s.base.stale()
		n.changed = n.changed || s.server.InTransaction()
	}
}

func temporary(schema string) bool {
	return schema == "" || schema == "pg_temp" || strings.HasPrefix(schema, "pg_temp_")
}

// misread notes a setting under which statements may mean something else than the
// parser reads; every statement but the one that repairs it is then Unknown.
func (s *session) misread(setting string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names.misread = setting
}

// view is the catalogue as this session's names see it, for one request.
type view struct {
	schema  query.Schema // nil if nothing is known
	version uint64       // key for the cache; 0 if this view is the session's own, which no cache may share
	misread string       // see shadow
}

func (s *session) view(ctx context.Context) view {
	k := s.base.fresh(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := &s.names
	v := view{misread: n.misread}
	if k.Snapshot == nil {
		return v
	}
	v.schema, v.version = k.InPath(k.path), s.base.number<<40|k.number<<1|1<<63
	if n.path {
		v.schema, v.version = k.InPath(nil), v.version|1
	}
	if n.opaque || len(n.names) > 0 {
		v.schema, v.version = own{Schema: v.schema, hidden: maps.Clone(n.names), all: n.opaque}, 0
	}
	return v
}

// blind is the view of a statement that follows, in the same message, one that may
// change what names mean.
func (v view) blind() view {
	if v.schema != nil {
		v.schema, v.version = own{Schema: v.schema, all: true}, 0
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
		return !slices.Contains([]string{"", "utf8", "utf-8", "unicode"}, st.SetTo)
	}
	return false
}

// own is the catalogue with the bare names taken out that a session may have given
// another meaning. What is not found is unknown, and so is never shown unread.
type own struct {
	query.Schema
	hidden map[string]bool
	all    bool
}

func (o own) Lookup(schema, name string) []*query.Relation {
	if schema == "" && (o.all || o.hidden[name]) || temporary(schema) && schema != "" {
		return nil
	}
	return o.Schema.Lookup(schema, name)
}

func (o own) Harmless(schema, name string) bool {
	if o.all && schema != "pg_catalog" {
		return false // a function of that name may have been made in pg_temp's stead
	}
	return o.Schema.Harmless(schema, name)
}

// typeOf is the type of the base column a COPY column comes from, if there is one.
func (s *session) typeOf(c query.Column) uint32 {
	if len(c.Sources) != 1 || c.Sources[0].How != query.Direct {
		return 0
	}
	src := c.Sources[0].Ref
	col, _ := s.base.snapshot().Column(src.Schema, src.Table, src.Column)
	return col.TypeOID
}

// copyFormat reads the options of a COPY statement that decide how its data looks.
func copyFormat(st *query.Statement, binary bool) mask.CopyFormat {
	f := mask.CopyFormat{}
	if binary {
		f.Kind = mask.CopyBinary
	}
	for name, value := range st.Options {
		switch name {
		case "format":
			if strings.EqualFold(value, "csv") {
				f.Kind = mask.CopyCSV
			}
		case "delimiter":
			f.Delimiter = first(value)
		case "null":
			f.Null, f.NullSet = value, true
		case "quote":
			f.Quote = first(value)
		case "escape":
			f.Escape = first(value)
		case "header":
			f.Header = !slices.Contains([]string{"false", "off", "0"}, strings.ToLower(value))
		}
	}
	return f
}

func first(s string) byte {
	if s == "" {
		return 0
	}
	return s[0]
}
