package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/audit/index"
)

// rights finds what the gateway noted of who may do what: within the period, and the
// last word before it.
func (a *asker) rights() error {
	got, err := a.cfg.Index.List(a.ctx, audit.Filter{Kind: audit.Rights, Until: a.cfg.Until, Before: a.r.Entries, Limit: maxGroups})
	if err != nil {
		return err
	}
	used := map[string]int64{}
	opened, err := a.count(audit.Filter{Kind: audit.Connected, Outcome: "ok"}, "", "connection")
	if err != nil {
		return err
	}
	for _, g := range opened {
		used[g.Values[0]] = g.Count
	}
	at := map[string]int{}          // where a right stands in the list
	before := map[string]bool{}     // what of a right was in force when the period began
	for _, ev := range got.Events { // the newest first
		subject := ev.Connection + "\x00" + ev.Detail
		if ev.Time.Before(a.cfg.Since) {
			if before[subject] {
				continue
			}
			before[subject] = true
		}
		env, what := "", ev.Detail
		if rest, ok := strings.CutPrefix(what, "env "); ok {
			env, what, _ = strings.Cut(rest, "; ")
		}
		right := Right{Connection: ev.Connection, Role: ev.Role, Groups: ev.Groups, What: what, Env: env, From: ev.Time, Used: used[ev.Connection]}
		key := subject + "\x00" + ev.Role + "\x00" + strings.Join(ev.Groups, "\x00")
		if i, ok := at[key]; ok {
			a.r.Rights[i].From = ev.Time
			continue
		}
		at[key] = len(a.r.Rights)
		a.r.Rights = append(a.r.Rights, right)
	}
	slices.SortStableFunc(a.r.Rights, func(x, y Right) int {
		return cmp.Or(cmp.Compare(blankLast(x.Connection), blankLast(y.Connection)), x.From.Compare(y.From))
	})
	return nil
}

// blankLast sorts what has no connection behind those that have.
func blankLast(s string) string {
	if s == "" {
		return "\U0010ffff"
	}
	return s
}

// people finds everybody who did something, and how much.
func (a *asker) people() error {
	who := map[string]*Caller{}
	of := func(name string, first, last time.Time) *Caller {
		c := who[name]
		if c == nil {
			c = &Caller{Who: name, Groups: []string{}, Connections: []string{}, First: first, Last: last}
			who[name] = c
		}
		if first.Before(c.First) {
			c.First = first
		}
		if last.After(c.Last) {
			c.Last = last
		}
		return c
	}
	kinds, err := a.count(audit.Filter{}, "", "who", "kind")
	if err != nil {
		return err
	}
	for _, g := range kinds {
		if g.Values[0] == "" || g.Values[0] == "sluice" {
			continue
		}
		c := of(g.Values[0], g.First, g.Last)
		switch audit.Kind(g.Values[1]) {
		case audit.Decided:
			c.Statements, c.Rows, c.Masked = c.Statements+g.Count, c.Rows+g.Rows, c.Masked+g.Masked
		case audit.Questioned:
			a.r.Asked = append(a.r.Asked, Count{g.Values[0], g.Count, g.Last})
		}
	}
	for _, part := range []struct {
		f    audit.Filter
		by   string
		take func(*Caller, string, int64)
	}{
		{audit.Filter{}, "caller", func(c *Caller, v string, _ int64) { c.Caller = cmp.Or(v, c.Caller) }},
		{audit.Filter{}, "group", func(c *Caller, v string, _ int64) { c.Groups = append(c.Groups, v) }},
		{audit.Filter{Kind: audit.Decided}, "connection", func(c *Caller, v string, _ int64) { c.Connections = append(c.Connections, v) }},
		{audit.Filter{Kind: audit.LoggedIn, Outcome: "ok"}, "kind", func(c *Caller, _ string, n int64) { c.Logins += n }},
		{audit.Filter{Kind: audit.Connected, Outcome: "ok"}, "kind", func(c *Caller, _ string, n int64) { c.Sessions += n }},
		{audit.Filter{Kind: audit.Decided, Effect: "deny"}, "effect", func(c *Caller, _ string, n int64) { c.Refused += n }},
	} {
		groups, err := a.count(part.f, "name", "who", part.by)
		if err != nil {
			return err
		}
		for _, g := range groups {
			if c := who[g.Values[0]]; c != nil && g.Values[1] != "" {
				part.take(c, g.Values[1], g.Count)
			}
		}
	}
	for _, c := range who {
		a.r.People = append(a.r.People, *c)
	}
	slices.SortFunc(a.r.People, func(x, y Caller) int {
		return cmp.Or(cmp.Compare(y.Statements, x.Statements), cmp.Compare(x.Who, y.Who))
	})
	return nil
}

// days finds how much was done each day.
func (a *asker) days() error {
	groups, err := a.count(audit.Filter{Kind: audit.Decided}, "name", "day", "effect")
	if err != nil {
		return err
	}
	at := map[string]*Day{}
	for _, g := range groups {
		d := at[g.Values[0]]
		if d == nil {
			day, err := time.Parse(time.DateOnly, g.Values[0])
			if err != nil {
				continue // an event without a time
			}
			d = &Day{Day: day}
			at[g.Values[0]] = d
		}
		switch g.Values[1] {
		case "allow":
			d.Allow += g.Count
		case "hold":
			d.Hold += g.Count
		case "deny":
			d.Deny += g.Count
		}
	}
	for _, d := range at {
		a.r.Days = append(a.r.Days, *d)
	}
	slices.SortFunc(a.r.Days, func(x, y Day) int { return x.Day.Compare(y.Day) })
	return nil
}

// privileged are the kinds of statement that change what there is, or who may do what.
var privileged = []string{"ddl", "drop", "truncate", "grant"}

// changes finds privileged statements, what waited for people, and administrative acts.
func (a *asker) changes() (err error) {
	var all []audit.Event
	more := false
	for _, kind := range privileged {
		l, err := a.list(audit.Filter{Statement: kind, Kind: audit.Decided}, "")
		if err != nil {
			return err
		}
		more = more || l.More
		all = append(all, l.Events...)
	}
	slices.SortFunc(all, func(x, y audit.Event) int { return cmp.Compare(y.Seq, x.Seq) })
	a.r.Changes, err = a.list(audit.Filter{Statement: privileged[0], Kind: audit.Decided}, "--kind ddl")
	if err != nil {
		return err
	}
	a.r.Changes.Ask += "   (and --kind " + strings.Join(privileged[1:], ", --kind ") + ")"
	a.r.Changes.Events, a.r.Changes.More = all[:min(len(all), maxListed)], more || len(all) > maxListed
	if a.r.Held, err = a.list(audit.Filter{Effect: "hold", Kind: audit.Decided}, "--effect hold"); err != nil {
		return err
	}
	if a.r.Acts, err = a.list(audit.Filter{Kind: audit.Admin}, "--kind admin"); err != nil {
		return err
	}
	keys, err := a.list(audit.Filter{Kind: audit.Rotated}, "")
	if len(keys.Events) == 0 || err != nil {
		return err
	}
	acts := &a.r.Acts
	acts.Ask += "   (and --kind rotated)"
	acts.Events, acts.More = append(acts.Events, keys.Events...), acts.More || keys.More
	slices.SortFunc(acts.Events, func(x, y audit.Event) int { return cmp.Compare(y.Seq, x.Seq) })
	acts.Events, acts.More = acts.Events[:min(len(acts.Events), maxListed)], acts.More || len(acts.Events) > maxListed
	return nil
}

// personal finds who touched personal data, and what for.
func (a *asker) personal() error {
	any := audit.Filter{Kind: audit.Decided, Personal: "*", Outcome: "ok"}
	touches, err := a.count(any, "rows", "who", "personal")
	if err != nil {
		return err
	}
	a.kinds(touches)
	for _, g := range touches[:min(len(touches), maxShown)] {
		column, holds, _ := strings.Cut(g.Values[1], ":")
		a.r.Personal = append(a.r.Personal, Touch{Who: g.Values[0], Column: column, Holds: holds, Count: g.Count, Rows: g.Rows, Masked: g.Masked, First: g.First, Last: g.Last})
	}
	people, err := a.count(any, "rows", "who")
	if err != nil {
		return err
	}
	for _, g := range people {
		a.r.Touched = append(a.r.Touched, Caller{Who: g.Values[0], Statements: g.Count, Rows: g.Rows, Masked: g.Masked, First: g.First, Last: g.Last})
	}
	purposes, err := a.count(any, "", "purpose", "who")
	if err != nil {
		return err
	}
	for _, g := range purposes {
		a.r.Purposes = append(a.r.Purposes, Purpose{Purpose: g.Values[0], Who: g.Values[1], Count: g.Count, Rows: g.Rows, Last: g.Last})
	}
	return nil
}

// kinds adds up columns by what they hold.
func (a *asker) kinds(touches []index.Group) {
	type sets struct {
		Kind
		columns, people map[string]bool
	}
	kinds := map[string]*sets{}
	for _, g := range touches {
		column, holds, _ := strings.Cut(g.Values[1], ":")
		k := kinds[holds]
		if k == nil {
			k = &sets{Kind{Holds: holds}, map[string]bool{}, map[string]bool{}}
			kinds[holds] = k
		}
		k.columns[column], k.people[g.Values[0]] = true, true
		k.Count, k.Rows, k.Masked = k.Count+g.Count, k.Rows+g.Rows, k.Masked+g.Masked
	}
	for _, k := range kinds {
		k.Columns, k.People = len(k.columns), len(k.people)
		a.r.Kinds = append(a.r.Kinds, k.Kind)
	}
	slices.SortFunc(a.r.Kinds, func(x, y Kind) int { return cmp.Or(cmp.Compare(y.Rows, x.Rows), cmp.Compare(x.Holds, y.Holds)) })
}

// refused finds what did not happen.
func (a *asker) refused() (err error) {
	if a.r.Refused, err = a.list(audit.Filter{Effect: "deny", Kind: audit.Decided}, "--effect deny"); err != nil {
		return err
	}
	rules, err := a.count(audit.Filter{Effect: "deny", Kind: audit.Decided}, "", "rule", "who")
	if err != nil {
		return err
	}
	for _, g := range rules {
		a.r.Rules = append(a.r.Rules, Refusal{Rule: g.Values[0], Who: g.Values[1], Count: g.Count, Last: g.Last})
	}
	logins, err := a.list(audit.Filter{Kind: audit.LoggedIn, Outcome: "refused"}, "--kind login --outcome refused")
	if err != nil {
		return err
	}
	sessions, err := a.list(audit.Filter{Kind: audit.Connected, Outcome: "refused"}, "")
	if err != nil {
		return err
	}
	all := append(logins.Events, sessions.Events...)
	slices.SortFunc(all, func(x, y audit.Event) int { return cmp.Compare(y.Seq, x.Seq) })
	logins.Ask += "   (and --kind connected)"
	logins.More = logins.More || sessions.More || len(all) > maxListed
	logins.Events = all[:min(len(all), maxListed)]
	a.r.Logins = logins
	return nil
}
