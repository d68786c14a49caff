package gateway

import (
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
)

// recalled is a decision of the record in the form in which a policy can be asked about
// it again. What the record tells is taken from there; the rest is read from the text
// of the statement, and what neither tells is lacking (decision 027).
type recalled struct {
	req     policy.Request
	text    query.Kind      // of the text; another than the statement's for what runs by a name
	lacks   map[string]bool // names that no rule may rely on
	why     string          // they are not known
	drifted bool            // today's catalogue tells something else than the record
}

// place is what is known of a connection when its decisions are made again.
type place struct {
	env    string
	schema query.Schema // of today; nil if there is none at hand
}

// lack notes names that are not known, and the first reason.
func (r *recalled) lack(why string, names ...string) {
	if r.lacks == nil {
		r.lacks = map[string]bool{}
	}
	for _, name := range names {
		r.lacks[name] = true
	}
	if r.why == "" {
		r.why = why
	}
}

// forever is when a recalled identity expires: it was valid when it asked.
var forever = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// recall makes a request of a Decided event.
func recall(ev *audit.Event, places map[string]place) *recalled {
	r := &recalled{req: policy.Request{
		Who:        identity.Identity{Subject: ev.Subject, Groups: ev.Groups, Kind: identity.Kind(ev.CallerKind), Owner: ev.Owner, Expires: forever},
		Connection: policy.Connection{Name: ev.Connection},
		At:         ev.Time,
	}}
	// The name of somebody without an address is the subject.
	if ev.Who != ev.Subject || strings.Contains(ev.Who, "@") {
		r.req.Who.Email = ev.Who
	}
	at, known := places[ev.Connection]
	if !known {
		r.lack("the connection is not configured, so its env is not known", "connection.env")
	}
	r.req.Connection.Env = at.env
	r.identityCut(ev)
	if st, why := reread(ev, at.schema); st != nil {
		r.text = st.Kind
		if st.Kind == query.Declare {
			st = st.Inner
		}
		r.fromText(ev, st, at.schema != nil)
	} else {
		r.fromFacts(ev, why)
	}
	return r
}

func (r *recalled) identityCut(ev *audit.Event) {
	for field, names := range map[string][]string{"who": {"who.email"}, "subject": {"who.subject"}, "groups": {"who.groups"}, "owner": {"who.owner"}, "connection": {"connection.name", "connection.env"}} {
		if slices.Contains(ev.Cut, field) {
			r.lack("the entry of the record was cut: "+field, names...)
		}
	}
}

// reread analyses the text of an event again; nil if that does not tell what ran, and
// why.
func reread(ev *audit.Event, schema query.Schema) (st *query.Statement, why string) {
	switch {
	case slices.Contains(ev.Cut, "sql"):
		return nil, "the text of the statement was cut for its length"
	case ev.SQL == "":
		return nil, "the text of the statement is not in the record"
	}
	list := query.Analyze(ev.SQL, schema)
	if len(list) != 1 {
		return nil, "the text of the statement cannot be read by itself"
	}
	st = &list[0]
	means := st
	switch {
	case st.Kind == query.Declare && st.Inner != nil:
		means = st.Inner
	case ev.Statement == string(query.FunctionCall) && st.Kind == query.Select:
		st.Kind, st.Tag = query.FunctionCall, "FUNCTION CALL"
	case st.Kind == query.Execute || st.Kind == query.Fetch:
		return nil, "it ran by a name, and the text under that name is not in the entry"
	}
	if kindName(means.Kind) != ev.Statement {
		return nil, "its text is understood otherwise today"
	}
	return st, ""
}

// fromText takes what the text tells, but of relations, columns and signs what was
// recorded: that was found with the catalogue of the time.
func (r *recalled) fromText(ev *audit.Event, st *query.Statement, catalogue bool) {
	r.req.Statement = st
	a := newRecord(st)
	if slices.Equal(a.reads, ev.Reads) && slices.Equal(a.writes, ev.Writes) && slices.Equal(a.signs, ev.Signs) {
		if !catalogue {
			r.inside(ev)
		}
		return
	}
	r.drifted = catalogue
	known := map[string]query.Ref{}
	for s := st; s != nil; s = s.Inner {
		for _, refs := range [][]query.Ref{s.Reads, s.Targets, s.Relations, s.Indirect} {
			for _, ref := range refs {
				known[ref.String()] = ref
			}
		}
		s.Reads, s.Targets, s.Relations, s.Indirect, s.Signs, s.Inside = nil, nil, nil, nil, nil, nil
	}
	last := st
	for last.Inner != nil {
		last = last.Inner
	}
	r.facts(ev, last, known)
	r.inside(ev)
}

// tags are those of kinds that have one only.
var tags = map[query.Kind]string{
	query.Select: "SELECT", query.Insert: "INSERT", query.Update: "UPDATE", query.Delete: "DELETE", query.Merge: "MERGE",
	query.CopyTo: "COPY TO", query.CopyFrom: "COPY FROM", query.Truncate: "TRUNCATE", query.Call: "CALL", query.Do: "DO",
}

// fromFacts takes all from the record, and says what that does not tell.
func (r *recalled) fromFacts(ev *audit.Event, why string) {
	st := &query.Statement{SQL: ev.SQL, Kind: query.Kind(ev.Statement)}
	if ev.Statement == "unknown" {
		st.Kind = query.Unknown
	}
	if counts(st.Kind) {
		st.Changes = 1
	}
	r.req.Statement, r.text = st, st.Kind
	if word := strings.ToLower(strings.TrimSpace(ev.SQL)); strings.HasPrefix(word, "fetch") || strings.HasPrefix(word, "move") {
		r.text = query.Fetch
	}
	r.lack(why, "statement.functions")
	st.Tag = tags[st.Kind]
	if st.Tag == "" || strings.Contains(strings.ToLower(ev.SQL), "explain") { // which has another, whatever it explains
		r.lack(why, "statement.tag")
	}
	if st.Kind == query.Set || st.Kind == query.Unknown {
		r.lack(why, "statement.sets")
	}
	r.facts(ev, st, nil)
	r.inside(ev)
}

// facts puts what was recorded into st. A name of two parts is schema and relation, or
// relation and column where the relation was not known: known, from the text, may tell.
func (r *recalled) facts(ev *audit.Event, st *query.Statement, known map[string]query.Ref) {
	for i, list := range [][]string{ev.Reads, ev.Writes} {
		for _, name := range list {
			ref, ok := known[name]
			if !ok {
				parts := strings.Split(name, ".")
				switch {
				case len(parts) == 3:
					ref = query.Ref{Schema: parts[0], Table: parts[1], Column: parts[2]}
				case len(parts) == 2 && i == 1:
					ref = query.Ref{Schema: parts[0], Table: parts[1]}
				case len(parts) == 1:
					ref = query.Ref{Table: name}
				case len(parts) == 2:
					ref = query.Ref{Schema: parts[0], Table: parts[1]}
					r.lack("a name in the record may be of a relation or of a column: "+name, "statement.tables", "statement.reads")
				default:
					r.lack("a name in the record has dots in it: "+name, "statement.tables", "statement.reads")
				}
			}
			if i == 0 {
				st.Reads = append(st.Reads, ref)
			} else {
				st.Targets = append(st.Targets, ref)
			}
		}
	}
	for _, sign := range ev.Signs {
		st.Signs = append(st.Signs, query.Sign(sign))
	}
	st.Writes = st.Writes || len(ev.Writes) > 0
	for field, names := range map[string][]string{
		"reads": {"statement.reads", "statement.tables"}, "writes": {"statement.tables"},
		"signs": {"statement.signs", "statement.unknown", "statement.destroys", "statement.writes", "statement.reads_data"},
	} {
		if slices.Contains(ev.Cut, field) {
			r.lack("the entry of the record was cut: "+field, names...)
		}
	}
}

// inside says what is lacking of the routines that a statement calls: the record names
// what they touch and show, not of which kind they are.
func (r *recalled) inside(ev *audit.Event) {
	st := r.req.Statement
	for st.Inner != nil {
		st = st.Inner
	}
	known := len(ev.Signs) == 0 && len(ev.Writes) == 0
	switch st.Kind {
	case query.Select, query.Call, query.Do, query.FunctionCall, query.CopyTo, query.Execute:
		known = known || !r.lacks["statement.functions"] && len(st.Functions) == 0 && st.Kind == query.Select
	case query.Insert, query.Update, query.Delete, query.Merge:
		known = known || len(ev.Writes) <= 1 || !r.lacks["statement.functions"] && len(st.Functions) == 0
	default:
		known = true
	}
	if known {
		return
	}
	why := "the kinds of what its routines would run are not in the record"
	r.lack(why, "statement.kinds", "statement.ddl")
	if !slices.Contains(ev.Signs, string(query.Destructive)) {
		r.lack(why, "statement.destroys")
	}
}

// newRecord is what decided writes of a statement into the record.
func newRecord(st *query.Statement) *about {
	a := &about{}
	a.touch(st)
	return a
}
