package gateway

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/wire"
)

// run is one statement of a job.
type run struct {
	text    *query.Statement // as it was sent
	means   *query.Statement // what it comes to: of EXECUTE the prepared statement, of FETCH the cursor's
	common  bool             // text is the query cache's: what is found of it can be kept
	about   *about           // what is known of it
	kept    string           // its text as the record keeps it, without secrets
	verdict policy.Verdict
	blind   string   // the personal column that steers it, so that all of its result is hidden
	look    bool     // rows must be seen: not every column is known to be clean
	event   string   // id of the Decided event
	veiled  []veiled // values that the record does not keep; see veil.go
	vague   bool     // nor some of the text
	started time.Time

	// Owned by down.
	plan   *mask.Plan
	copy   *mask.Copy
	rows   int64 // seen one by one
	masked int64
	hidden []string
	strict *mask.Plan       // for those who watch; nil if nobody does
	sample *api.PreviewRows // the first rows, as they may see them
	done   bool
}

// secret reports whether the text itself holds what must not be kept.
func (x *run) secret() bool { return x.kept != x.text.SQL }

// judge works out what a request would do and what the policy says of it. It never
// fails: what it cannot work out is Unknown.
func (s *session) judge(ctx context.Context, req *wire.Request) *job {
	s.follow()
	v := s.view(ctx, req.SQL)
	s.block.see(s.server.Quiet(), s.server.InTransaction())
	j := &job{view: v}
	if x := s.textless(req, v); x != nil {
		x.about = newAbout(v, x)
		j.runs, j.opaque, j.gated, j.bare = []*run{x}, true, true, x.bare()
		j.limitRows()
		return j
	}
	statements, after := s.statements(req, v)
	if slices.ContainsFunc(statements, unsettled) && s.base.behind(ctx, v.known, lookEvery) ||
		slices.ContainsFunc(statements, copiesOut) && s.base.behind(ctx, v.known, copyEvery) ||
		s.base.due() && v.known.Snapshot != nil && slices.ContainsFunc(statements, func(st query.Statement) bool { return v.unnumbered(&st) }) && s.base.behind(ctx, v.known, lookEvery) {
		statements, after = s.statements(req, s.view(ctx, req.SQL))
	}
	v = after
	j.view = v
	names := naming{s: s, v: v}
	for i := range statements {
		x := names.resolve(&statements[i])
		x.common = v.version != 0 && v.misread == "" && len(statements) == 1 && req.Oversize == nil
		x.about = v.about(x)
		x.kept = x.about.redacted
		if x.text.Like != nil { // its constants are its own
			x.kept = query.Redact(x.text)
		}
		x.verdict = s.decide(x)
		x.verdict = s.guard(x, v, req)
		x.look = x.mustLook() || asks(x.text)
		j.runs = append(j.runs, x)
		j.renames = j.renames || renames(x.text)
		j.opaque = j.opaque || x.about.personal && !x.bare()
		j.gated = j.gated || s.strict || s.block.gates(x, len(statements) == 1)
	}
	if req.Oversize != nil {
		j.refuseAll(oversize(req.Oversize))
	}
	j.limitRows()
	j.bare = !slices.ContainsFunc(j.runs, func(x *run) bool { return !x.bare() })
	return j
}

// unsettled reports whether a statement names something that the catalogue does not
// have, or may.
func unsettled(st query.Statement) bool {
	switch st.Kind {
	case query.Select, query.Insert, query.Update, query.Delete, query.Merge, query.CopyTo, query.CopyFrom:
		return st.Partial || st.Has(query.UnknownRoutine)
	case query.Explain, query.Prepare, query.Declare:
		return st.Inner != nil && unsettled(*st.Inner)
	}
	return false
}

// copiesOut reports whether a statement copies what its names mean, with no word of the
// server about what that is.
func copiesOut(st query.Statement) bool { return st.Kind == query.CopyTo }

// textless makes a run of a request that does not bring the text of what it would run;
// nil of one that does.
func (s *session) textless(req *wire.Request, v view) *run {
	switch {
	case req.Action == wire.Call:
		return s.call(req, v)
	case req.Unnamed:
		st := orUnknown(nil, "the portal") // which could not be shown to an approver
		return &run{text: st, means: st, kept: st.SQL,
			verdict: policy.Verdict{Effect: policy.Deny, Rule: ruleName, Reason: "the statement it would run was never given here; parse and bind it first"}}
	}
	return nil
}

// Rules that no policy file states.
const (
	ruleFastPath  = "no-function-calls"
	ruleText      = "text-means-what-it-says"
	ruleName      = "names-are-known"
	ruleCopy      = "copy-can-be-read"
	ruleMoved     = "meaning-has-not-moved"
	ruleEncoding  = "text-is-utf8"
	ruleCancelled = "cancelled"
	ruleUntold    = "labels-are-everywhere"
	ruleOurs      = "settings-of-sluice"
)

// statements are the analysed statements of a request. What follows, in the same
// message, one that may change the meaning of names is read without relying on them.
// The view is the one after them all.
func (s *session) statements(req *wire.Request, v view) ([]query.Statement, view) {
	if o := req.Oversize; o != nil && !o.Parameters {
		return []query.Statement{tooLong(req.SQL)}, v
	}
	list := v.analyze(s.g.cache, req.SQL)
	if len(list) < 2 {
		return list, v
	}
	if !slices.ContainsFunc(list[:len(list)-1], func(st query.Statement) bool { return changes(&st) }) {
		return list, v
	}
	list = slices.Clone(list)
	for i := range list {
		if i > 0 {
			if again := v.analyze(s.g.cache, list[i].SQL); len(again) == 1 {
				list[i] = again[0]
			} else {
				list[i] = query.Statement{SQL: list[i].SQL, Kind: query.Unknown, Problem: "it could not be read on its own"}
			}
		}
		v = s.after(&list[i], v)
	}
	return list, v
}

// after is the view of what follows a statement in the same message: with the table that
// it makes, if that is all that it changes.
func (s *session) after(st *query.Statement, v view) view {
	switch {
	case !changes(st):
		return v
	case st.Still && !runsUnseen(st):
		return v.tightened(st)
	}
	if m := s.makes(st, v); m != nil && v.schema != nil {
		return v.with(m)
	}
	return v.blind(runsUnseen(st) || st.Has(query.ServerCode))
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

// mustBeDurable says of which decisions nothing of the answer is handed back before
// they are on disk: all but those on reads, if nothing personal is read.
func mustBeDurable(x *run) bool {
	switch x.means.Kind {
	case query.Select, query.Show, query.Explain, query.Transaction, query.Set, query.Fetch, query.Empty,
		query.Deallocate, query.Close, query.Listen, query.Prepare, query.Declare, query.CopyTo:
		return x.means.Writes || x.verdict.Effect != policy.Allow
	}
	return true
}

// decide asks the policy. A statement that only gives another a name is refused if
// that other would be, since it could not run; it is held when it runs.
func (s *session) decide(x *run) policy.Verdict {
	if x.text.Problem == query.ProblemEncoding {
		// No database would run it, so there is nothing to ask people about.
		return policy.Verdict{Effect: policy.Deny, Rule: ruleEncoding, Reason: "the statement is not valid UTF-8"}
	}
	if name, value, ok := said(x.text); ok {
		if name == "request" && s.server != nil {
			return s.takeScript(value)
		}
		if name == "runbook" && s.server != nil {
			return s.takeRun(value)
		}
		return policy.Verdict{Effect: policy.Allow, Rule: ruleOurs, Reason: "it speaks to Sluice"}
	}
	if x.means.Kind == query.Set && misreads(x.means) {
		return policy.Verdict{Effect: policy.Deny, Rule: ruleText, Reason: x.means.SetName + " must stay as it is, or statements would mean something else than they say"}
	}
	if x.means.Kind == query.Unknown && (x.text.Kind == query.Execute || x.text.Kind == query.Fetch) && !s.unseen() {
		// Nothing ran here that could have made such a name unseen, so there is none.
		return policy.Verdict{Effect: policy.Deny, Rule: ruleName, Reason: fmt.Sprintf("there is no %s %q in this session", nameOf(x.text.Kind), x.text.Name)}
	}
	switch x.text.Kind {
	case query.Prepare:
		v := s.rule(orUnknown(x.text.Inner, "the statement"), false)
		if v.Effect == policy.Hold {
			v.Effect = policy.Allow
		}
		return v
	case query.Fetch:
		v := s.rule(x.means, false)
		if v.Effect == policy.Hold && x.means.Kind != query.Unknown {
			v.Effect = policy.Allow // people have seen it at DECLARE
		}
		return v
	}
	v := s.rule(x.means, x.common && x.means == x.text)
	if no, blind := blindCopy(x); blind && v.Effect != policy.Deny && !slices.Contains(v.Unmask, all) {
		return no
	}
	return v
}

// maxVerdicts bounds what a session remembers: more than the statements of a busy
// application.
const maxVerdicts = 512

// verdicts are those of one session's rules on statements of the query cache, by
// the statement that all of its shape share: rules do not see constants. up owns them.
type verdicts map[*query.Statement]policy.Verdict

// rule asks the policy about a statement, once if the answer cannot change and it is
// one to keep.
func (s *session) rule(st *query.Statement, keep bool) policy.Verdict {
	rules, now := s.policy.Rules, s.g.cfg.Now()
	kept := keep && s.policy.steady && s.who().Valid(now)
	if kept {
		if v, ok := s.verdicts[shared(st)]; ok {
			return v
		}
	}
	v := rules.Decide(s.request(st))
	if kept {
		if len(s.verdicts) >= maxVerdicts {
			clear(s.verdicts)
		}
		s.verdicts[shared(st)] = v
	}
	return v
}

func (s *session) request(st *query.Statement) policy.Request {
	return policy.Request{Who: s.who(), Connection: policy.Connection{Name: s.Connection, Env: s.base.Env}, Statement: st, At: s.g.cfg.Now()}
}

// verdict is the strictest of a job's statements: one message runs whole or not.
func (j *job) verdict() policy.Verdict {
	all := make([]policy.Verdict, len(j.runs))
	for i, x := range j.runs {
		all[i] = x.verdict
	}
	return policy.Strictest(all...)
}

// unseen reports whether something ran in this session whose effect is unknown.
func (s *session) unseen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names.opaque
}

func nameOf(k query.Kind) string {
	if k == query.Fetch {
		return "cursor"
	}
	return "prepared statement"
}
