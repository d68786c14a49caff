package gateway

import (
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/wire"
)

// given are names that the statements now on their way give to others: a pipeline
// may use them before the answer confirms them. up owns it.
type given struct {
	prepared map[string]*query.Statement
	cursors  map[string]*query.Statement
}

func (g *given) add(st *query.Statement) {
	const what = "the statement it names"
	switch st.Kind {
	case query.Prepare:
		if g.prepared == nil {
			g.prepared = map[string]*query.Statement{}
		}
		g.prepared[st.Name] = orUnknown(st.Inner, what)
	case query.Declare:
		if g.cursors == nil {
			g.cursors = map[string]*query.Statement{}
		}
		g.cursors[st.Name] = orUnknown(st.Inner, what)
	}
}

// naming resolves statement names while a message is walked: first by those that
// the message itself gives, then those on their way, then those of the session.
type naming struct {
	s    *session
	v    view
	here given
}

func (n *naming) resolve(st *query.Statement) *run {
	x := &run{text: st, means: st}
	n.here.add(st)
	switch st.Kind {
	case query.Declare:
		x.means = orUnknown(st.Inner, "the cursor's query")
	case query.Execute:
		x.means = n.lookup(st.Name, "the prepared statement", n.here.prepared, n.s.given.prepared, n.s.server.Statement)
	case query.Explain:
		if st.Name != "" { // EXPLAIN EXECUTE
			x.means = query.Planned(st, n.lookup(st.Name, "the prepared statement", n.here.prepared, n.s.given.prepared, n.s.server.Statement))
		}
	case query.Fetch:
		x.means = n.lookup(st.Name, "the cursor", n.here.cursors, n.s.given.cursors, n.s.server.Cursor)
	}
	return x
}

func (n *naming) lookup(name, what string, here, given map[string]*query.Statement, session func(string) *wire.Prepared) *query.Statement {
	if st := here[name]; st != nil {
		return st
	}
	if st := given[name]; st != nil {
		return st
	}
	p := session(name)
	if p == nil {
		return orUnknown(nil, what)
	}
	list := n.v.analyze(n.s.g.cache, p.SQL)
	if len(list) != 1 {
		return orUnknown(nil, what)
	}
	return named(&list[0], name, what)
}

// named is the statement that runs under a name. The text kept for the name may be
// the one that gave it; a name for a name, or anything else that no name can stand
// for, is unknown.
func named(st *query.Statement, name, what string) *query.Statement {
	if (st.Kind == query.Prepare || st.Kind == query.Declare) && st.Name == name && st.Inner != nil {
		st = st.Inner
	}
	switch st.Kind {
	case query.Select, query.Insert, query.Update, query.Delete, query.Merge:
		return st
	}
	return orUnknown(nil, what)
}

func orUnknown(st *query.Statement, what string) *query.Statement {
	if st == nil {
		return &query.Statement{Kind: query.Unknown, SQL: "(unknown name)", Problem: what + " is not known to sluice"}
	}
	return st
}

func (g *given) any() bool { return g.prepared != nil || g.cursors != nil }
