package runbook

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/query"
)

// Advice is what is allowed, and still may not be meant.
func (b *Runbook) Advice() []Problem {
	var list []Problem
	say := func(line int, format string, args ...any) {
		list = append(list, Problem{max(line, 1), fmt.Sprintf(format, args...)})
	}
	writes := 0
	for i := range b.Steps {
		s := &b.Steps[i]
		st := b.analysed(s.SQL)
		if st == nil {
			continue
		}
		changes := slices.Contains([]query.Kind{query.Insert, query.Update, query.Delete, query.Merge}, st.Kind)
		if changes {
			writes++
		}
		if changes && s.Expect == "" && b.Limits.Rows == 0 {
			say(s.line, "step %s changes rows, but says neither what it expects nor how many at most: add expect, or limits: rows", s.Name)
		}
		if st.Has(query.NoWhere) && st.Kind != query.Insert {
			say(s.line, "step %s changes every row of its table", s.Name)
		}
		if b.Transaction == Each && changes && s.Undo == "" && s.Repeat == nil && i+1 < len(b.Steps) {
			say(s.line, "step %s stands by itself and has no undo: if a later step fails it stays", s.Name)
		}
		if s.Repeat != nil && b.Transaction == One {
			say(s.line, "step %s repeats inside of one transaction, which keeps its locks to the end: say transaction: each", s.Name)
		}
		if st.Kind == query.Unknown {
			say(s.line, "what step %s would do cannot be told from its text, so people will be asked: %s", s.Name, st.Problem)
		}
	}
	if b.Transaction == Each && writes < 2 && !slices.ContainsFunc(b.Steps, func(s Step) bool { return s.Repeat != nil }) {
		say(1, "transaction: each is for what cannot be one; here one would do")
	}
	for _, p := range b.Parameters {
		if p.Description == "" {
			say(1, "the parameter %s has no description", p.Name)
		}
	}
	slices.SortStableFunc(list, func(x, y Problem) int { return x.Line - y.Line })
	return list
}

// analysed is what a step would do, as far as its text says, with the first choice of
// each name.
func (b *Runbook) analysed(sql string) *query.Statement {
	out, _, problem := fill(sql, func(p query.Place) (*string, bool) {
		for i := range b.Parameters {
			if x := &b.Parameters[i]; x.Name == p.Name && len(x.Choices) > 0 {
				return &x.Choices[0], true
			}
		}
		return nil, true
	})
	if problem != "" {
		return nil
	}
	list := query.Analyze(strings.TrimSpace(out), nil)
	if len(list) == 0 {
		return nil
	}
	return &list[0]
}
