package policy

import (
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"

	"github.com/sluicehq/sluice/approval"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/query"
)

// DecidePartly decides on a statement of which not everything is known: lacks are the
// names that no rule may rely on. needs are those of them on which the verdict hangs;
// if there are none, the verdict is what Decide would give if all were known.
func (r *Rules) DecidePartly(req Request, lacks map[string]bool) (v Verdict, needs []string) {
	if len(lacks) == 0 {
		return r.Decide(req), nil
	}
	var open []*Rule
	f := facts{req: &req, zone: r.Zone, lacks: lacks}
	v = r.weigh(&req, func(rule *Rule) (bool, error) {
		matches, known, err := rule.matchesPartly(&f)
		if !known {
			open = append(open, rule)
		}
		return matches, err
	})
	if v.Effect == Deny && v.Rule != ruleNone {
		return v, nil // nothing is stricter
	}
	for _, rule := range open {
		if !couldChange(v, rule) {
			continue
		}
		for _, name := range rule.names {
			if lacks[name] && !slices.Contains(needs, name) {
				needs = append(needs, name)
			}
		}
	}
	return v, needs
}

// couldChange reports whether the verdict would be another if rule matched.
func couldChange(v Verdict, rule *Rule) bool {
	if v.Rule == ruleNone { // refused, because nothing allows it
		return rule.Decides && rule.Effect != Deny
	}
	return len(rule.Unmask) > 0 || len(rule.Pseudonym) > 0 || rule.MaxRows > 0 || rule.Decides && (rule.Effect < v.Effect || rule.Effect == Hold && v.Effect == Hold)
}

// matchesPartly is matches where names may be unknown; known is false if the answer
// hangs on one of them.
func (r *Rule) matchesPartly(f *facts) (matches, known bool, err error) {
	if r.program == nil {
		return false, true, errNotBool
	}
	out, _, err := r.program.Eval(f)
	if types.IsUnknown(out) {
		return false, false, nil
	}
	if err != nil {
		return false, true, err
	}
	b, ok := out.(types.Bool)
	if !ok {
		return false, true, errNotBool
	}
	return bool(b), true, nil
}

// Windows are the people who must agree to an access window for who on a connection:
// those of every rule that may hold a statement of theirs there and lets a window
// answer. ok is false if there is no such rule, and then no window can be asked for.
func (r *Rules) Windows(who identity.Identity, connection Connection, at time.Time) (q approval.Quorum, rules []string, ok bool) {
	if !who.Valid(at) {
		return q, nil, false
	}
	lacks := map[string]bool{}
	for name := range names() {
		lacks[name] = strings.HasPrefix(name, "statement.") || tellsTime(name)
	}
	f := facts{req: &Request{Who: who, Connection: connection, Statement: &query.Statement{}, At: at}, zone: r.Zone, lacks: lacks}
	for i := range r.List {
		rule := &r.List[i]
		if !rule.Window || rule.Effect != Hold {
			continue
		}
		// One that cannot be worked out refuses when it is asked; here it may match.
		if matches, known, err := rule.matchesPartly(&f); known && err == nil && !matches {
			continue
		}
		if ok {
			q = q.Plus(rule.Approvers)
		} else {
			q, ok = rule.Approvers, true
		}
		rules = append(rules, rule.Name)
	}
	return q, rules, ok
}
