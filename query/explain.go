package query

import (
	"cmp"
	"slices"
)

// Explanation is what explain prints of a statement, for people and scripts.
// Its field names are a contract; no list is ever null, and what was added to the
// contract later is left out where there is nothing to say.
type Explanation struct {
	Kind     Kind              `json:"kind"`
	Reads    []string          `json:"reads"`
	Writes   []string          `json:"writes"`
	Target   *string           `json:"target"`
	Columns  []ExplainedColumn `json:"columns"`
	Indirect []string          `json:"indirect"`
	Signs    []Sign            `json:"signs"`

	Consequences []ExplainedConsequence `json:"consequences,omitempty"`
}

// ExplainedColumn is one output or written column.
type ExplainedColumn struct {
	Name    string   `json:"name"`
	Sources []string `json:"sources"`
	How     How      `json:"how"` // direct if every source is
	Known   bool     `json:"known"`
}

// ExplainedConsequence is a relation that is read or written because of what the
// statement sets off.
type ExplainedConsequence struct {
	Relation string `json:"relation"`
	Kind     Kind   `json:"kind"`
	Why      string `json:"why"`
}

// Explain puts what is known of the statement, and of the one inside it, into the
// form that explain prints.
func (s *Statement) Explain() Explanation {
	e := Explanation{
		Kind:     s.Kind,
		Reads:    refStrings(s.Reads),
		Writes:   refStrings(s.Targets),
		Columns:  []ExplainedColumn{},
		Indirect: refStrings(s.Indirect),
		Signs:    []Sign{},
	}
	if e.Kind == Unknown {
		e.Kind = "unknown"
	}
	if s.Target != nil {
		t := s.Target.String()
		e.Target = &t
	}
	for _, c := range s.Output {
		x := ExplainedColumn{Name: c.Name, Sources: []string{}, How: Direct, Known: c.Known}
		for _, src := range c.Sources {
			x.Sources = append(x.Sources, src.Ref.String())
			if src.How != Direct {
				x.How = Derived
			}
		}
		slices.Sort(x.Sources)
		x.Sources = slices.Compact(x.Sources)
		e.Columns = append(e.Columns, x)
	}
	for in := s; in != nil; in = in.Inner {
		e.Signs = append(e.Signs, in.Signs...)
		for _, c := range in.Consequences {
			e.Consequences = append(e.Consequences, ExplainedConsequence{c.Ref.String(), c.Kind, c.Why})
		}
	}
	slices.SortFunc(e.Consequences, func(a, b ExplainedConsequence) int {
		return cmp.Or(cmp.Compare(a.Relation, b.Relation), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Why, b.Why))
	})
	slices.Sort(e.Signs)
	e.Signs = slices.Compact(e.Signs)
	return e
}

func refStrings(refs []Ref) []string {
	out := []string{}
	for _, r := range refs {
		out = append(out, r.String())
	}
	slices.Sort(out)
	return slices.Compact(out)
}
