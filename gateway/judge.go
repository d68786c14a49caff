package gateway

import (
	"context"
	"slices"
	"time"

	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/wire"
)

// run is one statement of a job.
type run struct {
	text    *query.Statement // as it was sent
	means   *query.Statement // what it comes to: of EXECUTE the prepared statement, of FETCH the cursor's
	verdict policy.Verdict
	result  []query.Column // columns of its result
	known   bool           // result is complete and in order
	look    bool           // rows must be seen: not every column is known to be clean
	event   string         // id of the Decided event
	started time.Time

	// Owned by down.
	plan   *mask.Plan
	copy   *mask.Copy
	masked int64
	hidden []string
	done   bool
}

// judge works out what a request would do and what the policy says of it. It never
// fails: what it cannot work out is Unknown.
func (s *session) judge(ctx context.Context, req *wire.Request) *job {
	if req.Action == wire.Call {
		st := &query.Statement{SQL: "(function call message)", Kind: query.Unknown, Problem: "the function call protocol names a function by number only"}
		v := policy.Verdict{Effect: policy.Deny, Rule: ruleFastPath, Reason: "the function call protocol cannot be checked; call the function with SELECT"}
		return &job{runs: []*run{{text: st, means: st, verdict: v}}, opaque: true}
	}
	v := s.view(ctx)
	statements := s.statements(req, v)
	j := &job{}
	names := s.namesIn(statements, v)
	for i := range statements {
		x := names.resolve(&statements[i])
		x.verdict = s.decide(x)
		s.results(x)
		j.runs = append(j.runs, x)
		j.renames = j.renames || renames(x.text)
		j.opaque = j.opaque || s.touchesPersonal(x.means)
		j.gated = j.gated || mustBeDurable(x) || j.opaque
	}
	return j
}

// Rules that no policy file states.
const (
	ruleFastPath  = "no-function-calls"
	ruleText      = "text-means-what-it-says"
	ruleCancelled = "cancelled"
)

// statements are the analysed statements of a request. What follows, in the same
// message, one that may change the meaning of names is read without relying on them.
func (s *session) statements(req *wire.Request, v view) []query.Statement {
	if req.Unnamed {
		return []query.Statement{unknownName("the cursor or prepared statement")}
	}
	list := v.analyze(s.g.cache, req.SQL)
	for i := range list {
		if i+1 < len(list) && changes(&list[i]) {
			list = slices.Clone(list)
			for k := i + 1; k < len(list); k++ {
				if again := v.blind().analyze(s.g.cache, list[k].SQL); len(again) == 1 {
					list[k] = again[0]
				} else {
					list[k] = query.Statement{SQL: list[k].SQL, Kind: query.Unknown, Problem: "it could not be read on its own"}
				}
			}
			break
		}
	}
	return list
}

func unknownName(what string) query.Statement {
	return query.Statement{Kind: query.Unknown, SQL: "(unknown name)", Problem: what + " is not known to sluice"}
}

// renames reports whether what comes after must wait for the answer to this, because
// names or the reading of text may have changed.
func renames(st *query.Statement) bool {
	switch st.Kind {
	case query.Prepare, query.Deallocate, query.Declare, query.Close, query.Unknown:
		return true
	case query.Set:
		return st.Has(query.SessionState)
	}
	return false
}

// mustBeDurable says which decisions are on disk before anything of the answer is
// handed back (decision 6): all but reads of nothing personal.
func mustBeDurable(x *run) bool {
	switch x.means.Kind {
	case query.Select, query.Show, query.Explain, query.Transaction, query.Set, query.Fetch, query.Empty,
		query.Deallocate, query.Close, query.Listen, query.Prepare, query.Declare, query.CopyTo:
		return x.means.Writes || x.verdict.Effect != policy.Allow
	}
	return true
}

// naming resolves statement names while a message is walked, with those that the
// message itself makes.
type naming struct {
	s        *session
	v        view
	prepared map[string]*query.Statement
	cursors  map[string]*query.Statement
}

func (s *session) namesIn(statements []query.Statement, v view) *naming {
	n := &naming{s: s, v: v}
	if len(statements) > 1 {
		n.prepared, n.cursors = map[string]*query.Statement{}, map[string]*query.Statement{}
	}
	return n
}

func (n *naming) resolve(st *query.Statement) *run {
	x := &run{text: st, means: st}
	switch st.Kind {
	case query.Prepare:
		if n.prepared != nil {
			n.prepared[st.Name] = st.Inner
		}
	case query.Declare:
		if n.cursors != nil {
			n.cursors[st.Name] = st.Inner
		}
		x.means = orUnknown(st.Inner, "the cursor's query")
	case query.Execute:
		x.means = orUnknown(n.lookup(n.prepared, st.Name, n.s.server.Statement), "the prepared statement")
	case query.Fetch:
		x.means = orUnknown(n.lookup(n.cursors, st.Name, n.s.server.Cursor), "the cursor")
	}
	return x
}

func orUnknown(st *query.Statement, what string) *query.Statement {
	if st == nil {
		u := unknownName(what)
		return &u
	}
	return st
}

// lookup finds what a name means: in this message, else in the session.
func (n *naming) lookup(here map[string]*query.Statement, name string, session func(string) *wire.Prepared) *query.Statement {
	if st := here[name]; st != nil {
		return st
	}
	p := session(name)
	if p == nil {
		return nil
	}
	list := n.v.analyze(n.s.g.cache, p.SQL)
	if len(list) != 1 {
		return nil
	}
	if list[0].Kind == query.Execute || list[0].Kind == query.Fetch {
		return nil // a name for a name: say it directly
	}
	return &list[0]
}

// decide asks the policy. A statement that only gives another a name is refused if
// that other would be, since it could not run; it is held when it runs.
func (s *session) decide(x *run) policy.Verdict {
	if x.means.Kind == query.Set && misreads(x.means) {
		return policy.Verdict{Effect: policy.Deny, Rule: ruleText, Reason: x.means.SetName + " must stay as it is, or statements would mean something else than they say"}
	}
	ask := func(st *query.Statement) policy.Verdict {
		return s.g.cfg.Rules.Decide(policy.Request{Who: s.Who, Connection: policy.Connection{Name: s.Connection, Env: s.base.Env}, Statement: st, At: s.g.cfg.Now()})
	}
	switch x.text.Kind {
	case query.Prepare:
		v := ask(orUnknown(x.text.Inner, "the statement"))
		if v.Effect == policy.Hold {
			v.Effect = policy.Allow
		}
		return v
	case query.Fetch:
		v := ask(x.means)
		if v.Effect == policy.Hold && x.means.Kind != query.Unknown {
			v.Effect = policy.Allow // people have seen it at DECLARE
		}
		return v
	}
	return ask(x.means)
}

// verdict is the strictest of a job's statements: one message runs whole or not.
func (j *job) verdict() policy.Verdict {
	all := make([]policy.Verdict, len(j.runs))
	for i, x := range j.runs {
		all[i] = x.verdict
	}
	return policy.Strictest(all...)
}

func (s *session) touchesPersonal(st *query.Statement) bool {
	if st.Kind == query.Unknown || st.Partial {
		return true
	}
	k := s.base.current.Load()
	for _, refs := range [][]query.Ref{st.Reads, st.Targets} {
		for _, r := range refs {
			if k.personal(r) {
				return true
			}
		}
	}
	return st.Inner != nil && s.touchesPersonal(st.Inner)
}
