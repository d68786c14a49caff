package gateway

import (
	"context"
	"fmt"
	"slices"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/wire"
)

// Explained is one statement as explain prints it: what it would do, and what would
// be done with it. Field names are a contract.
type Explained struct {
	query.Explanation
	Effect    policy.Effect `json:"effect"`
	Rule      string        `json:"rule"`
	Reason    string        `json:"reason"`
	Masks     []Masked      `json:"masks"`
	Approvers []string      `json:"approvers"`
	MaxRows   int64         `json:"max_rows,omitempty"`  // it is undone if it changes more
	Functions []string      `json:"functions,omitempty"` // that it calls
	Problem   string        `json:"problem,omitempty"`   // what of it was not understood; positions are characters of SQL, from 1
	SQL       string        `json:"sql,omitempty"`       // its own text
}

// Masked is a result column that would be hidden. Label is "unknown" if values
// would be read one by one because nothing is known of them.
type Masked struct {
	Column string `json:"column"`
	Label  string `json:"label"`
}

// Explain says what would be done with each statement of a text if who sent it in a
// new session, without running it.
func (g *Gateway) Explain(ctx context.Context, who identity.Identity, connection, sql string) ([]Explained, error) {
	base := g.open(who, connection)
	if base == nil {
		return nil, noConnection(connection)
	}
	if err := base.ready(ctx); err != nil {
		return nil, err
	}
	s := &session{Caller: Caller{Who: who, Connection: connection}, g: g, base: base}
	s.follow()
	_, out := s.explain(sql, fresh(base, base.fresh(ctx)))
	return out, nil
}

// explain judges a text as the first of a session, and says what came of it.
func (s *session) explain(sql string, v view) (*job, []Explained) {
	out := []Explained{}
	list, v := s.statements(&wire.Request{SQL: sql}, v)
	j := &job{}
	for i := range list {
		x := &run{text: &list[i], means: &list[i]}
		if x.text.Kind == query.Declare {
			x.means = orUnknown(x.text.Inner, "the cursor's query")
		}
		x.about = newAbout(v, x)
		x.verdict = s.decide(x)
		x.verdict = s.guard(x, v, nil)
		j.runs = append(j.runs, x)
	}
	j.limitRows()
	for _, x := range j.runs {
		e := Explained{
			Explanation: x.text.Explain(), Effect: x.verdict.Effect, Rule: x.verdict.Rule, Reason: x.verdict.Reason,
			Masks: s.masks(x), Approvers: []string{}, MaxRows: j.most,
			Functions: called(x.text), Problem: x.means.Problem, SQL: x.text.SQL,
		}
		if x.verdict.Effect == policy.Hold {
			for _, q := range x.verdict.Approvers.Parts() {
				e.Approvers = append(e.Approvers, q.Groups...)
			}
		}
		out = append(out, e)
	}
	return j, out
}

// called are the functions of a statement and of the one inside it.
func called(st *query.Statement) (names []string) {
	for ; st != nil; st = st.Inner {
		names = append(names, st.Functions...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// masks are the result columns that would not pass as they are.
func (s *session) masks(x *run) []Masked {
	out := []Masked{}
	if x.bare() {
		return out
	}
	if !x.about.known {
		return append(out, Masked{Column: query.Star, Label: "unknown"})
	}
	for i, c := range x.about.result {
		m := mask.Resolve(x.seen(i), c.Known, s.typeOf(c), false, c.Name)
		switch m.State {
		case mask.Clean:
		case mask.PII, mask.Hide:
			out = append(out, Masked{Column: c.Name, Label: m.Label})
		default:
			label := m.Label
			if label == "" {
				label = "unknown"
			}
			out = append(out, Masked{Column: c.Name, Label: label})
		}
	}
	return out
}

func noConnection(name string) error {
	return &api.Error{Sentence: fmt.Sprintf("there is no connection %q for you", name), Hint: "run: sluice ls", Code: api.CodeError}
}

// Ready makes sure that a connection's database can be reached and its catalogue
// read, so that what is wrong is said before anyone waits for it.
func (g *Gateway) Ready(ctx context.Context, connection string) error {
	base := g.bases[connection]
	if base == nil {
		return noConnection(connection)
	}
	return base.ready(ctx)
}

// Approvers are all groups whose members some rule asks.
func (g *Gateway) Approvers() (groups []string) {
	for _, r := range g.policies.now.Load().Rules.List {
		for _, q := range r.Approvers.Parts() {
			groups = append(groups, q.Groups...)
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}
