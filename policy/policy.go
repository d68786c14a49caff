// Package policy decides what happens to a statement: it runs, it waits for other
// people, or it is refused. The strictest matching rule wins, a rule that cannot be
// worked out refuses, and what no rule allows is refused. The package is pure: the
// same request under the same rules always gives the same verdict.
package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/sluicehq/sluice/approval"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/query"
)

// Rules are an ordered set of rules. The zero value refuses everything.
type Rules struct {
	List []Rule         // those of the file first, then the built-in ones
	Zone *time.Location // in which rules read time.hour and the like; nil is UTC
}

func (r *Rules) zone() *time.Location {
	if r.Zone == nil {
		return time.UTC
	}
	return r.Zone
}

// Rule says what happens to the statements it matches.
type Rule struct {
	Name      string
	When      string          // CEL expression, true for the statements it matches
	Decides   bool            // it has an effect; without one it only unmasks, limits or lets call
	Effect    Effect          //
	Reason    string          // for the person whose statement it is
	Approvers approval.Quorum // for Hold: who must agree
	Window    bool            // for Hold: an access window that the approvers granted answers too
	Unmask    []string        // kinds of personal data shown in clear to the people it matches; to jobs and agents only if When names their kind
	Calls     []string        // functions that may be called by number; without a schema those of pg_catalog
	Pseudonym []string        // kinds of personal data shown as pseudonyms, as Unmask is
	Purpose   string          // of Pseudonym: those of one purpose can be joined with each other; the rule's name if empty
	MaxRows   int64           // that a statement may change; 0 is no limit
	BuiltIn   bool            // comes with Sluice
	program   cel.Program     // When, compiled
	names     []string        // that When speaks of
	kinds     []identity.Kind // kinds of caller that When compares who.kind with
}

// Connection is what rules see of the database behind a statement.
type Connection struct {
	Name string // as in the gateway's configuration
	Env  string // "prod", "staging", …; compared in lower case
}

// Request is one statement to decide on.
type Request struct {
	Who        identity.Identity
	Connection Connection
	Statement  *query.Statement
	At         time.Time
}

// Effect is what happens to a statement. The zero value refuses.
type Effect int

// The effects, the strictest first.
const (
	Deny Effect = iota
	Hold
	Allow
)

// String is the effect as rules and people write it.
func (e Effect) String() string {
	switch e {
	case Allow:
		return "allow"
	case Hold:
		return "hold"
	}
	return "deny"
}

// MarshalText writes the effect for JSON.
func (e Effect) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (e *Effect) UnmarshalText(text []byte) error {
	for _, x := range []Effect{Deny, Hold, Allow} {
		if x.String() == string(text) {
			*e = x
			return nil
		}
	}
	*e = Deny
	return fmt.Errorf("unknown effect %q", text)
}

// Verdict is what was decided. The zero value refuses.
type Verdict struct {
	Effect    Effect          `json:"effect"`
	Rule      string          `json:"rule"`             // the rule that decided; several that hold are joined with ", "
	Reason    string          `json:"reason"`           // one line for the person
	Unmask    []string        `json:"unmask,omitempty"` // kinds of personal data shown in clear
	Pseudonym Pseudonyms      `json:"pseudonym,omitempty"`
	MaxRows   int64           `json:"max_rows,omitempty"` // rows it may change, else it is undone; 0 is no limit
	Approvers approval.Quorum `json:"approvers"`          // with Hold: who must agree
	Window    bool            `json:"window,omitempty"`   // with Hold: every rule that holds it lets an access window answer
}

// Pseudonyms are kinds of personal data that are shown as pseudonyms, with the purpose of
// each.
type Pseudonyms map[string]string

// Names of the verdicts that no rule gave. Files may not use them.
const (
	ruleNone     = "no-rule"
	ruleIdentity = "no-identity"
)

// Decide gives the verdict on one statement. The strictest effect of the matching
// rules wins; every rule that holds must be satisfied; all that matching rules
// unmask is shown; the smallest of their row limits holds.
func (r *Rules) Decide(req Request) Verdict {
	f := facts{req: &req, zone: r.Zone}
	return r.weigh(&req, func(rule *Rule) (bool, error) { return rule.matches(&f) })
}

// weigh is Decide by what matches says.
func (r *Rules) weigh(req *Request, matches func(*Rule) (bool, error)) Verdict {
	if !req.Who.Valid(req.At) {
		return Verdict{Rule: ruleIdentity, Reason: "the identity has expired or names nobody: log in again"}
	}
	if req.Statement == nil {
		return Verdict{Rule: ruleNone, Reason: "there is no statement to decide on"}
	}
	verdict := Verdict{Rule: ruleNone, Reason: "no rule of the policy allows this"}
	decided := false
	var unmask []string
	var names Pseudonyms
	var limit int64
	for i := range r.List {
		rule := &r.List[i]
		match, err := matches(rule)
		if err != nil {
			return Verdict{Rule: rule.Name, Reason: fmt.Sprintf("rule %q could not be worked out, so the statement is refused: %v", rule.Name, err)}
		}
		if !match {
			continue
		}
		if rule.Decides {
			v := Verdict{Effect: rule.Effect, Rule: rule.Name, Reason: rule.Reason, Approvers: rule.Approvers, Window: rule.Window}
			if v.Effect == Deny {
				return v
			}
			verdict = stricter(verdict, v, decided)
			decided = true
		}
		if rule.unmasks(req.Who.Kind) {
			unmask = append(unmask, rule.Unmask...)
			names = names.with(rule)
		}
		limit = fewest(limit, rule.MaxRows)
	}
	if verdict.Effect == Deny {
		return verdict
	}
	slices.Sort(unmask)
	verdict.Unmask, verdict.Pseudonym, verdict.MaxRows = slices.Compact(unmask), names, limit
	return verdict
}

// with adds those of a rule. The first rule that names a kind says for which purpose.
func (p Pseudonyms) with(r *Rule) Pseudonyms {
	for _, kind := range r.Pseudonym {
		if _, ok := p[kind]; ok {
			continue
		}
		if p == nil {
			p = Pseudonyms{}
		}
		if p[kind] = r.Purpose; r.Purpose == "" {
			p[kind] = r.Name
		}
	}
	return p
}

// both are those of p that q has for the same purpose.
func (p Pseudonyms) both(q Pseudonyms) Pseudonyms {
	var out Pseudonyms
	for kind, purpose := range p {
		if q[kind] == purpose {
			if out == nil {
				out = Pseudonyms{}
			}
			out[kind] = purpose
		}
	}
	return out
}

// Pseudonymous reports whether a rule shows pseudonyms, which take a key.
func (r *Rules) Pseudonymous() bool {
	return slices.ContainsFunc(r.List, func(rule Rule) bool { return len(rule.Pseudonym) > 0 })
}

// fewest is the smaller of two limits, where 0 is none.
func fewest(a, b int64) int64 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// Callable are the functions that the rules which match a statement let be called by
// number. Whether the call then runs is Decide's.
func (r *Rules) Callable(req Request) []string {
	if !req.Who.Valid(req.At) || req.Statement == nil {
		return nil
	}
	f := facts{req: &req, zone: r.Zone}
	var list []string
	for i := range r.List {
		rule := &r.List[i]
		if len(rule.Calls) == 0 {
			continue
		}
		if matches, err := rule.matches(&f); err == nil && matches {
			list = append(list, rule.Calls...)
		}
	}
	return list
}

// Steady reports whether the verdict on the same statement of the same valid caller
// never changes: no rule looks at the clock.
func (r *Rules) Steady() bool {
	return !slices.ContainsFunc(r.List, func(rule Rule) bool { return slices.ContainsFunc(rule.names, tellsTime) })
}

// stricter joins v to what is decided so far, if anything is.
func stricter(sum, v Verdict, decided bool) Verdict {
	if !decided || v.Effect < sum.Effect {
		return v
	}
	if v.Effect == Hold && sum.Effect == Hold {
		sum.Approvers = sum.Approvers.Plus(v.Approvers)
		sum.Window = sum.Window && v.Window
		sum.Rule = join(sum.Rule, v.Rule, ", ")
		sum.Reason = join(sum.Reason, v.Reason, "; ")
	}
	return sum
}

// join appends b to a list of such, once.
func join(a, b, sep string) string {
	if slices.Contains(strings.Split(a, sep), b) {
		return a
	}
	return a + sep + b
}

// Strictest is the verdict on several statements that stand or fall together. What
// is held needs the approvers of every part, so that nothing rides along with a
// harmless statement; only what every part unmasks is shown. Of nothing it refuses.
func Strictest(verdicts ...Verdict) Verdict {
	if len(verdicts) == 0 {
		return Verdict{Rule: ruleNone, Reason: "there is no statement to decide on"}
	}
	sum := verdicts[0]
	unmask, names := slices.Clone(sum.Unmask), sum.Pseudonym
	for _, v := range verdicts[1:] {
		limit := fewest(sum.MaxRows, v.MaxRows)
		sum = stricter(sum, v, true)
		sum.MaxRows = limit
		unmask = slices.DeleteFunc(unmask, func(t string) bool { return !slices.Contains(v.Unmask, t) })
		names = names.both(v.Pseudonym)
	}
	sum.Unmask, sum.Pseudonym = unmask, names
	if sum.Effect == Deny || len(unmask) == 0 {
		sum.Unmask = nil
	}
	if sum.Effect == Deny {
		sum.Pseudonym = nil
	}
	return sum
}
