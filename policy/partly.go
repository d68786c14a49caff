package policy

import (
	"slices"

	"cel.dev/cel-go/common/types"
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
	return len(rule.Unmask) > 0 || rule.MaxRows > 0 || rule.Decides && (rule.Effect < v.Effect || rule.Effect == Hold && v.Effect == Hold)
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
