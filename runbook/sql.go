package runbook

import (
	"slices"
	"strings"

	"github.com/sluicehq/sluice/internal/sheet"
	"github.com/sluicehq/sluice/query"
)

// sql checks the one statement of a step, for every choice of every name in it.
func (l *loader) sql(at, sql, missing string) {
	if sql == "" {
		l.SayAt(at, "%s", missing)
		return
	}
	if len(sql) > MaxSQL {
		l.SayAt(at, "the statement is longer than %d KiB", MaxSQL>>10)
		return
	}
	places, numbered, ok := query.Places(sql)
	if !ok {
		st := query.Analyze(sql, nil)
		l.SayAt(at, "the statement cannot be read: %s", problemOf(st))
		return
	}
	if len(numbered) > 0 {
		l.SayInside(at, 1+strings.Count(sql[:numbered[0]], "\n"), "parameters are written by name: :customer, not $1")
		return
	}
	before := len(l.Problems)
	values, names := map[string]*string{}, []Parameter{}
	for _, p := range places {
		line := 1 + strings.Count(sql[:p.At], "\n")
		i := slices.IndexFunc(l.book.Parameters, func(x Parameter) bool { return x.Name == p.Name })
		switch {
		case i < 0:
			if !l.given("parameters." + p.Name) { // else that is what is wrong
				l.SayInside(at, line, "there is no parameter %q%s", p.Name, l.nearParameter(p.Name))
			}
			continue
		case p.Quoted != (l.book.Parameters[i].Type == Name) && p.Quoted:
			l.SayInside(at, line, `:"%s" is for parameters of type name; write :%s, which is bound`, p.Name, p.Name)
		case p.Quoted != (l.book.Parameters[i].Type == Name):
			l.SayInside(at, line, `%s is a name; write :"%s"`, p.Name, p.Name)
		}
		par := l.book.Parameters[i]
		if par.Type == Name && len(par.Choices) > 0 {
			values[p.Name] = &par.Choices[0]
			if !slices.ContainsFunc(names, func(x Parameter) bool { return x.Name == par.Name }) {
				names = append(names, par)
			}
		} else {
			values[p.Name] = nil
		}
	}
	if len(l.Problems) > before {
		return
	}
	l.try(at, sql, values)
	for _, p := range names {
		for i := range p.Choices {
			if len(l.Problems) == before {
				values[p.Name] = &p.Choices[i]
				l.try(at, sql, values)
			}
		}
	}
}

func (l *loader) nearParameter(name string) string {
	var known []string
	for _, p := range l.book.Parameters {
		known = append(known, p.Name)
	}
	if len(known) == 0 {
		return "; the runbook declares none"
	}
	return sheet.DidYouMean(name, known)
}

// try reads a statement with values in place.
func (l *loader) try(at, sql string, values map[string]*string) {
	out, _, problem := fill(sql, func(p query.Place) (*string, bool) { v, ok := values[p.Name]; return v, ok })
	if problem != "" {
		l.SayAt(at, "%s", problem)
		return
	}
	list := query.Analyze(out, nil)
	n := 0
	for _, st := range list {
		if st.Kind != query.Empty {
			n++
		}
	}
	if len(list) == 1 && list[0].Has(query.Unparsable) {
		l.SayAt(at, "the statement cannot be read: %s", problemOf(list))
		return
	}
	if n != 1 {
		l.SayAt(at, "a step is one statement, this is %d", n)
		return
	}
	st := &list[0]
	switch {
	case st.Kind == query.Transaction:
		l.SayAt(at, "%s is the runner's: say transaction: one or each", st.Tag)
	case st.Kind == query.CopyFrom || st.Kind == query.CopyTo:
		l.SayAt(at, "a step carries no COPY data")
	case slices.Contains([]query.Kind{query.Prepare, query.Execute, query.Deallocate, query.Declare, query.Fetch, query.Close, query.Listen}, st.Kind):
		l.SayAt(at, "%s relies on what a session remembers, which a run that is resumed does not have", st.Tag)
	case st.Kind == query.Set && !strings.HasPrefix(strings.ToUpper(out), "SET LOCAL"):
		l.SayAt(at, "SET reaches beyond its step: write SET LOCAL, or put a limit under limits")
	case st.Kind == query.Set && strings.HasPrefix(st.SetName, "sluice."):
		l.SayAt(at, "%s is between the runner and the gateway", st.SetName)
	}
}

func problemOf(list []query.Statement) string {
	for _, st := range list {
		if st.Problem != "" {
			return st.Problem
		}
	}
	return "it is not SQL"
}
