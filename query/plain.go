package query

import "github.com/multigres/multigres/go/common/parser/ast"

// plain reports whether the value of a call of users' routines comes from its
// arguments alone: no body that it may reach reads a table, a setting, a cursor or
// anything else that somebody may have put there. Within a body the answer counts
// on the routines that this calls in turn, which whoever reads the body checks.
func (a *analysis) plain(n *ast.FuncCall) bool {
	rs, ok := a.schema.(Routiner)
	parts := names(n.Funcname)
	if !ok || len(parts) == 0 || len(parts) > 2 {
		return false
	}
	schema, name := "", parts[len(parts)-1]
	if len(parts) == 2 {
		schema = parts[0]
	}
	if _, bad := dangerous(name); bad || schema == "" && a.schema.Harmless("pg_catalog", name) && (!pure(name) || elsewhere[name]) {
		return false
	}
	list, all := rs.Routines(schema, name)
	var may []called
	for _, r := range list {
		if r.takes(arityOf(n.Args)) {
			may = append(may, called{r: r, schema: a.schema, along: a.along})
		}
	}
	if !all || len(may) == 0 {
		return false
	}
	if a.within {
		a.called = append(a.called, may...)
		return true
	}
	return inwardOnly(may)
}

// inwardOnly reports whether neither these routines nor those that they call take
// values from elsewhere.
func inwardOnly(todo []called) bool {
	seen := map[bodyKey]bool{}
	for len(todo) > 0 {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[bodyKey{c.r, c.along}] {
			continue
		}
		seen[bodyKey{c.r, c.along}] = true
		e := c.effect()
		if e.outside || len(seen) > maxRoutines {
			return false
		}
		todo = append(todo, e.calls...)
	}
	return true
}
