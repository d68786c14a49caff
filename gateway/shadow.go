package gateway

import (
	"maps"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/query"
)

// shadow is what a session has done to the meaning of the names it uses: once a
// session may have made a temporary table, or changed its path, a bare name may
// mean something the catalogue does not know.
type shadow struct {
	path    bool             // search_path is no longer the one a session begins with
	opaque  bool             // something ran whose effect is unknown: any bare name may be shadowed
	renamed bool             // a temporary relation may have got any name: any bare one may be shadowed
	names   map[string]bool  // relations it has made that hide others of the same name
	made    map[string]*made // relations it has made, with what they hold
	tight   map[string]bool  // relations to which it has added checks, keys or triggers that the catalogue does not show
	misread string           // the setting that makes statements mean something else than we read

	// Until a change of the catalogue is known to be committed or undone, nobody but
	// this session sees it, and this session may see nothing else.
	changed bool        // relations
	code    bool        // and functions
	grown   bool        // no more than new relations, whose names are in names or made
	loaded  []query.Ref // tables into which COPY has put rows that nobody else may see yet
	altered func()      // tells other gateways that the change is over; nil if they were not told of any
	sending bool        // the request that changes them is being sent, so its answer cannot be judged
}

// doubt notes, before a statement is sent, what it may do to names. It only ever
// adds doubt, so nothing is taken back if the statement fails.
func (s *session) doubt(st *query.Statement, v view) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, unseen := &s.names, runsUnseen(st)
	n.opaque = n.opaque || st.Kind == query.Unknown || st.Has(query.UnknownRoutine) || st.Has(query.DynamicSQL)
	n.path = n.path || st.Kind == query.Set && movesNames(st.SetName) || st.Kind != query.Set && st.Has(query.SessionState)
	var table *made
	if alters(st) {
		table = s.makes(st, v)
		n.sending, n.grown = true, true
		n.changed = n.changed || table == nil && (!st.Still || unseen)
		n.code = n.code || unseen || st.Has(query.ServerCode)
	}
	inside := st.Runs(query.DDL, query.Drop) // a DO block, whose DDL ends in doubt only until it is committed
	switch {
	case table != nil:
		n.make(table)
		return
	case !inside && (st.Kind != query.DDL || st.Still):
		if st.Still {
			n.tighten(st)
		}
		return
	}
	for _, t := range st.Targets {
		switch {
		case !temporary(t.Schema):
		case strings.HasPrefix(st.Tag, "ALTER"), inside: // may give a temporary table any name
			n.renamed = true
		default:
			n.hide(t.Table)
		}
	}
	if strings.HasSuffix(st.Tag, "VIEW") && len(n.made)+len(n.names) > 0 {
		for _, t := range st.Targets { // one that shows a temporary table is itself temporary
			n.hide(t.Table)
		}
	}
}

// tighten notes relations of which a statement changes what a write may fail by.
func (n *shadow) tighten(st *query.Statement) {
	n.tight = maps.Clone(n.tight)
	if n.tight == nil {
		n.tight = map[string]bool{}
	}
	for _, t := range st.Targets {
		n.tight[t.Table] = true
	}
}

// loosen leaves to the catalogue what it shows by now: of temporary tables, nothing.
func (n *shadow) loosen() {
	kept := map[string]bool{}
	for name := range n.tight {
		if m := n.made[name]; n.names[name] || m != nil && temporary(m.rel.Schema) {
			kept[name] = true
		}
	}
	n.tight = kept
}

// makes is the table that a statement makes, if nothing else comes of it.
func (s *session) makes(st *query.Statement, v view) *made {
	if st.Kind != query.DDL || runsUnseen(st) || st.Has(query.ServerCode) {
		return nil
	}
	return v.makes(st, s.Who.Name())
}

// runsUnseen reports whether what a statement runs is not in its text.
func runsUnseen(st *query.Statement) bool {
	return st.Kind == query.Unknown || st.Has(query.UnknownRoutine) || st.Has(query.DynamicSQL) || st.Runs(query.DDL, query.Drop)
}

// alters reports whether a statement may change the catalogue.
func alters(st *query.Statement) bool {
	return st.Kind == query.DDL || st.Kind == query.Drop || runsUnseen(st)
}

// changes reports whether a statement may change what the names in those after it
// mean.
func changes(st *query.Statement) bool {
	return alters(st) || st.Kind == query.Set && movesNames(st.SetName) || st.Has(query.SessionState)
}

// movesNames reports whether a setting decides what bare names mean.
func movesNames(setting string) bool {
	return slices.Contains([]string{"search_path", "schema", "role", "session_authorization", "all"}, setting)
}

// sent notes that a request is on its way, so that its answer can be judged.
func (s *session) sent() {
	s.mu.Lock()
	s.names.sending = false
	s.mu.Unlock()
	s.caughtUp()
}

// caughtUp has the catalogue read again once a change is committed or undone. Both
// lines call it: down before the client hears that its transaction ended.
func (s *session) caughtUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := &s.names; len(n.loaded) > 0 && s.server.Idle() {
		for _, table := range n.loaded {
			select {
			case s.base.loaded <- table:
			default: // too much is loaded at once: what passes is looked at besides
			}
		}
		n.loaded = nil
	}
	if n := &s.names; (n.changed || n.grown) && !n.sending && s.server.Idle() {
		n.changed, n.code, n.grown = false, false, false
		n.over(true)
		n.loosen()
		n.catalogued(s.base)
		s.base.stale()
		if known := s.base.snapshot(); known != nil && known.Identity != "" {
			s.g.staleAll(known.Identity)
		}
		if n.altered != nil {
			n.altered()
			n.altered = nil
		}
	}
}

// ended notes how a transaction ended, before the client hears of it. What going back
// to a savepoint undoes is not known: tables made since may be there or not.
func (s *session) ended(said, tag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case tag == "COMMIT":
		s.names.over(true)
	case tag == "ROLLBACK" && !strings.Contains(said, "TO"):
		s.names.over(false)
	}
}

// copied notes that COPY has put rows into tables. What they hold is judged again once
// others can see it.
func (s *session) copied(targets []query.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range targets {
		if n := &s.names; !temporary(t.Schema) && len(n.loaded) < maxPassed && !slices.Contains(n.loaded, t) {
			n.loaded = append(n.loaded, t)
		}
	}
}

// settled notes what a statement that succeeded has done to the reading of text.
func (s *session) settled(st *query.Statement) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := &s.names; st.Kind == query.Set && (st.SetName == n.misread || st.SetName == "names" || st.SetName == "all") {
		n.misread = "" // the server reports the new value if it is bad
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
