package gateway

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
)

// Limits of a replay. What they cut off is counted.
const (
	// maxShapes is how many shapes are remembered at once; a busy month has some
	// thousands. Beyond it the memory is emptied and filled again.
	maxShapes = 20_000
	// maxChanges is how many groups of changes are told apart: more than anyone reads.
	maxChanges = 5_000
	// maxDoubts is how many reasons for doubt are.
	maxDoubts = 500
	// maxExample is the length of the text of an example.
	maxExample = 2_000
)

// Replay makes decisions of the record again under two policies.
type Replay struct {
	Policy, Against Policy
	Dir             string // of the record
	Filter          audit.Filter
	Envs            map[string]string // of the connections, by name

	places map[string]place
	shapes map[string]*shape
	out    api.ReplayResult
	totals map[[2]string]uint64
	change map[changeKey]*api.ReplayChange
	doubts map[string]*api.ReplayDoubt
	key    []byte
}

// shape is what decisions have in common that no policy could tell apart but by time.
type shape struct {
	*recalled
	steady bool // the verdicts below hold at any time
	pair   pair
}

// pair is what the two policies say.
type pair struct {
	old, new policy.Verdict
	needs    []string // names on which either hangs, and that are lacking
}

type changeKey struct {
	from, to                         policy.Effect
	what, fromRule, toRule           string
	subject, connection, fingerprint string
}

// Run reads the record and compares. It takes one pass and bounded memory: what is
// alike is decided once.
func (p *Replay) Run(ctx context.Context) (api.ReplayResult, error) {
	p.shapes, p.totals, p.change, p.doubts = map[string]*shape{}, map[[2]string]uint64{}, map[changeKey]*api.ReplayChange{}, map[string]*api.ReplayDoubt{}
	if p.places == nil {
		p.places = map[string]place{}
		for name, env := range p.Envs {
			p.places[name] = place{env: env}
		}
	}
	p.out = api.ReplayResult{Policy: replayed(p.Policy), Against: replayed(p.Against)}
	p.Filter.Kind = audit.Decided
	err := audit.Scan(ctx, p.Dir, p.Filter, func(ev audit.Event) error {
		if err := ctx.Err(); err != nil { // a policy may take its time over each
			return err
		}
		p.take(ev)
		return nil
	})
	if err != nil {
		return api.ReplayResult{}, err
	}
	return p.result(), nil
}

func replayed(p Policy) api.Policy {
	return api.Policy{Source: p.Source, Hash: hashText(p.Text), Rules: len(p.Rules.List)}
}

// ownRules refuse whatever a policy says.
var ownRules = []string{ruleFastPath, ruleText, ruleName, ruleCopy, ruleStays, ruleProbe, ruleMask, ruleReads, ruleOnly, ruleMoved, ruleCancelled, ruleEncoding, ruleSize}

// OwnRules are the names of all rules that no policy file states.
var OwnRules = append([]string{ruleRows, "no-rule", "no-identity"}, ownRules...)

// take makes one decision again.
func (p *Replay) take(ev audit.Event) {
	p.out.Decisions++
	if slices.Contains(ownRules, ev.Rule) && ev.Effect == policy.Deny.String() {
		p.out.Own++
		return
	}
	s := p.shape(&ev)
	if s.drifted {
		p.out.Drifted++
	}
	verdicts := s.pair
	if !s.steady {
		s.req.At = ev.Time
		verdicts = p.decide(s.recalled)
	}
	switch {
	case len(verdicts.needs) > 0:
		p.out.Unsure++
		p.doubt(&ev, s.recalled, verdicts.needs)
	case difference(verdicts.old, verdicts.new) == "":
		p.out.Same++
	default:
		p.out.Changed++
		p.changed(&ev, verdicts)
	}
}

// shape finds what is known of decisions like this one.
func (p *Replay) shape(ev *audit.Event) *shape {
	p.key = appendShape(p.key[:0], ev)
	if s := p.shapes[string(p.key)]; s != nil {
		return s
	}
	if len(p.shapes) >= maxShapes {
		clear(p.shapes)
	}
	s := &shape{recalled: recall(ev, p.places), steady: p.Policy.Rules.Steady() && p.Against.Rules.Steady()}
	if s.steady {
		s.pair = p.decide(s.recalled)
	}
	p.shapes[string(p.key)] = s
	return s
}

// appendShape is equal for decisions of which all that a policy may look at is equal,
// but the time. Texts of one fingerprint differ in constants only, and what constants
// mean to a policy stands in the signs. A text without one stands for itself.
func appendShape(dst []byte, ev *audit.Event) []byte {
	put := func(words ...string) {
		for _, w := range words {
			dst = append(append(dst, w...), 0)
		}
		dst = append(dst, 1)
	}
	put(ev.Who, ev.Subject, ev.CallerKind, ev.Owner, ev.Connection, ev.Statement, ev.Fingerprint)
	if ev.Fingerprint == "" {
		put(ev.SQL)
	}
	put(ev.Groups...)
	put(ev.Reads...)
	put(ev.Writes...)
	put(ev.Signs...)
	put(ev.Cut...)
	return dst
}

// decide asks both policies.
func (p *Replay) decide(r *recalled) (out pair) {
	var more []string
	out.old, out.needs = decideAgain(p.Against.Rules, r)
	out.new, more = decideAgain(p.Policy.Rules, r)
	for _, name := range more {
		if !slices.Contains(out.needs, name) {
			out.needs = append(out.needs, name)
		}
	}
	return out
}

// decideAgain is what a session's decide and limitRows come to for one statement.
func decideAgain(rules *policy.Rules, r *recalled) (policy.Verdict, []string) {
	req := r.req
	prepares := r.text == query.Prepare && req.Statement.Kind == query.Prepare && req.Statement.Inner != nil
	if prepares {
		req.Statement = req.Statement.Inner
	}
	if req.Statement.Kind == query.FunctionCall && !r.lacks["statement.functions"] {
		may := rules.Callable(req)
		for _, f := range req.Statement.Functions {
			if !slices.Contains(may, f) && !slices.Contains(may, strings.TrimPrefix(f, "pg_catalog.")) {
				return policy.Verdict{Rule: ruleFastPath, Reason: "no rule lets " + f + " be called by number"}, nil
			}
		}
	}
	v, needs := rules.DecidePartly(req, r.lacks)
	if v.Effect == policy.Hold && (prepares || r.text == query.Fetch && req.Statement.Kind != query.Unknown) {
		v.Effect = policy.Allow // people see it when it runs, or have seen it
	}
	x := &run{text: req.Statement, means: req.Statement, verdict: v}
	j := &job{runs: []*run{x}}
	j.limitRows()
	return x.verdict, needs
}

// difference says for people in what two verdicts differ for whoever asks; "" if in
// nothing.
func difference(old, new policy.Verdict) string {
	if old.Effect != new.Effect {
		return old.Effect.String() + " -> " + new.Effect.String()
	}
	if old.Effect == policy.Deny {
		return ""
	}
	var parts []string
	if old.Effect == policy.Hold && old.Approvers.String() != new.Approvers.String() {
		parts = append(parts, "asks "+new.Approvers.String())
	}
	if more := without(new.Unmask, old.Unmask); len(more) > 0 {
		parts = append(parts, "shows "+strings.Join(more, ", "))
	}
	if fewer := without(old.Unmask, new.Unmask); len(fewer) > 0 {
		parts = append(parts, "hides "+strings.Join(fewer, ", "))
	}
	if !maps.Equal(old.Pseudonym, new.Pseudonym) {
		parts = append(parts, "shows other pseudonyms")
	}
	switch {
	case old.MaxRows == new.MaxRows:
	case new.MaxRows == 0:
		parts = append(parts, "any number of rows")
	default:
		parts = append(parts, "at most "+rows(new.MaxRows))
	}
	return strings.Join(parts, "; ")
}

func without(list, out []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(out, s) })
}

func (p *Replay) changed(ev *audit.Event, v pair) {
	p.totals[[2]string{v.old.Effect.String(), v.new.Effect.String()}]++
	key := changeKey{from: v.old.Effect, to: v.new.Effect, what: difference(v.old, v.new), fromRule: v.old.Rule, toRule: v.new.Rule,
		subject: ev.Subject, connection: ev.Connection, fingerprint: ev.Fingerprint}
	c := p.change[key]
	if c == nil {
		if len(p.change) >= maxChanges {
			p.out.Unlisted++
			return
		}
		c = &api.ReplayChange{ // the newest of its kind, since the record is read from there
			From: v.old.Effect.String(), To: v.new.Effect.String(), What: key.what, FromRule: v.old.Rule, ToRule: v.new.Rule, Reason: v.new.Reason,
			Who: ev.Who, Kind: ev.CallerKind, Connection: ev.Connection, Fingerprint: ev.Fingerprint, Statement: ev.Statement,
			Last: ev.Time, Example: cutExample(ev.SQL), Event: ev.ID,
		}
		p.change[key] = c
	}
	c.Count++
	c.First = ev.Time
}

// cutExample copies a text, so that it does not keep the whole entry.
func cutExample(sql string) string {
	if len(sql) > maxExample {
		sql = strings.ToValidUTF8(sql[:maxExample], "") + "…"
	}
	return strings.Clone(sql)
}

func (p *Replay) doubt(ev *audit.Event, r *recalled, needs []string) {
	slices.Sort(needs)
	key := r.why + "\x00" + strings.Join(needs, ",")
	d := p.doubts[key]
	if d == nil {
		if len(p.doubts) >= maxDoubts {
			return // counted in all
		}
		d = &api.ReplayDoubt{Why: r.why, Needs: slices.Clone(needs), Example: cutExample(ev.SQL), Event: ev.ID}
		p.doubts[key] = d
	}
	d.Count++
}

// result orders what was found, the most frequent first.
func (p *Replay) result() api.ReplayResult {
	out := p.out
	out.Totals, out.Changes, out.Doubts = []api.ReplayTotal{}, []api.ReplayChange{}, []api.ReplayDoubt{}
	for way, n := range p.totals {
		out.Totals = append(out.Totals, api.ReplayTotal{From: way[0], To: way[1], Count: n})
	}
	for c := range maps.Values(p.change) {
		out.Changes = append(out.Changes, *c)
	}
	for d := range maps.Values(p.doubts) {
		out.Doubts = append(out.Doubts, *d)
	}
	slices.SortFunc(out.Totals, func(a, b api.ReplayTotal) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	slices.SortFunc(out.Changes, func(a, b api.ReplayChange) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.ToRule, b.ToRule), cmp.Compare(a.Who, b.Who), cmp.Compare(a.Connection, b.Connection), cmp.Compare(a.Example, b.Example))
	})
	slices.SortFunc(out.Doubts, func(a, b api.ReplayDoubt) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Why, b.Why))
	})
	return out
}

// PolicyReplay answers what a changed policy would have done to the record, with
// today's catalogues at hand. It shows texts of everyone, and works out rules of the
// caller's for each: it is for auditors. The question is recorded before it is answered,
// and one is answered at a time.
func (g *Gateway) PolicyReplay(ctx context.Context, who identity.Identity, in api.ReplayRequest) (api.ReplayResult, error) {
	if !g.auditor(who) {
		return api.ReplayResult{}, &api.Error{Sentence: "only auditors may have decisions of the record made again", Hint: "give the file to one of them, or try cases of your own: sluice policy test", Code: api.CodeRefused}
	}
	if !g.replaying.TryLock() {
		return api.ReplayResult{}, &api.Error{Sentence: "another replay is running", Hint: "try again when it is over", Code: api.CodeError}
	}
	defer g.replaying.Unlock()
	p := &Replay{Dir: g.cfg.RecordDir, Against: g.policies.now.Load().Policy, places: map[string]place{}}
	var err error
	if p.Policy, err = loadReplayed(in.Policy); err != nil {
		return api.ReplayResult{}, err
	}
	if in.Against != nil {
		if p.Against, err = loadReplayed(*in.Against); err != nil {
			return api.ReplayResult{}, err
		}
	}
	p.Filter = audit.Filter{Since: in.Since, Until: in.Until, Who: in.Who, Connection: in.Connection}
	ev := audit.Event{Kind: audit.Questioned, Who: who.Name(), Subject: who.Subject, CallerKind: string(who.Kind), Groups: who.Groups,
		Detail: fmt.Sprintf("policy replay of sha256:%s against sha256:%s", hashText(p.Policy.Text), hashText(p.Against.Text))}
	if err := g.note(ev); err != nil {
		return api.ReplayResult{}, err
	}
	for name, base := range g.bases {
		at := place{env: base.Env}
		if base.ready(ctx) == nil { // else its decisions are made again by what was recorded
			if k := base.fresh(ctx); k.Snapshot != nil {
				at.schema = k.paths[0]
			}
		}
		p.places[name] = at
	}
	return p.Run(ctx)
}

func loadReplayed(f api.PolicyFile) (Policy, error) {
	rules, err := policy.Load(f.Source, []byte(f.Text))
	if err != nil {
		return Policy{}, &api.Error{Sentence: err.Error(), Hint: "find its mistakes with: sluice policy check", Code: api.CodeUsage}
	}
	return Policy{Rules: rules, Source: f.Source, Text: f.Text}, nil
}
