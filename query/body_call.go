package query

import (
	"fmt"
	"slices"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// routine notes a call that is not harmless: its candidates if their bodies can be
// read, else that nobody knows what it does.
func (a *analysis) routine(schema, name string, args arity, each bool) {
	rs, ok := a.schema.(Routiner)
	if !ok {
		a.unclear("function " + dotted(schema, name) + " is not known: there is no catalogue to look in")
		return
	}
	list, all := rs.Routines(schema, name)
	found := false
	for _, r := range list {
		if r.takes(args) {
			found = true
			a.called = append(a.called, called{r: r, schema: a.schema, along: a.along, each: each})
		}
	}
	switch {
	case !all:
		a.unclear("function " + dotted(schema, name) + " is one of the server's of which it is not known what it does")
	case len(list) == 0:
		a.unclear("function " + dotted(schema, name) + " is not in the catalogue")
	case !found:
		a.unclear(fmt.Sprintf("no function %s that is known takes %d arguments", dotted(schema, name), args))
	}
}

func dotted(schema, name string) string {
	if schema == "" {
		return name
	}
	return schema + "." + name
}

// operator notes the users' functions that an operator of this name calls. Which of
// several it is depends on types, so all count.
func (a *analysis) operator(n *ast.A_Expr) {
	rs, ok := a.schema.(Routiner)
	if parts := names(n.Name); ok && len(parts) > 0 {
		for _, r := range rs.Operators(parts[len(parts)-1]) {
			a.called = append(a.called, called{r: r, schema: a.schema, along: a.along, each: a.eachRow[n]})
		}
	}
}

// converts notes the users' functions that run where a type of this name is said,
// but those in C, which are how types are made.
func (a *analysis) converts(n *ast.TypeName) {
	rs, ok := a.schema.(Routiner)
	if !ok || n == nil {
		return
	}
	if parts := names(n.Names); len(parts) > 0 {
		for _, r := range rs.Casts(parts[len(parts)-1]) {
			if !r.byServer() {
				a.called = append(a.called, called{r: r, schema: a.schema, along: a.along})
			}
		}
	}
}

// retyped notes what runs when the rows of a table get values of another type. A new
// column has its default only, which a cast that nobody wrote does not make.
func (a *analysis) retyped(n *ast.AlterTableStmt) {
	for _, c := range items(n.Cmds) {
		cmd, ok := c.(*ast.AlterTableCmd)
		if !ok {
			continue
		}
		switch cmd.Subtype {
		case ast.AT_AlterColumnType:
			a.casts = true
		case ast.AT_AddColumn:
			if def, ok := cmd.Def.(*ast.ColumnDef); ok && def.TypeName != nil {
				if parts := names(def.TypeName.Names); len(parts) > 0 && !serverTypes[parts[len(parts)-1]] {
					a.converts(def.TypeName)
				}
			}
		}
	}
}

// viewCalls notes what the functions in a view's definition do. Those in C were
// made by who rules the server, and are taken for what views may have.
func (a *analysis) viewCalls(n ast.Node) {
	rs, ok := a.schema.(Routiner)
	if !ok {
		return
	}
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		if op, ok := c.Node().(*ast.A_Expr); ok && op != nil {
			a.operator(op)
		}
		if to, ok := c.Node().(*ast.TypeName); ok {
			a.converts(to)
		}
		f, ok := c.Node().(*ast.FuncCall)
		if !ok || f == nil {
			return true
		}
		parts := names(f.Funcname)
		if len(parts) == 0 {
			return true
		}
		schema, name := "pg_catalog", parts[len(parts)-1] // the catalogue prints all other schemas
		if len(parts) > 1 {
			schema = parts[len(parts)-2]
		}
		if sign, ok := dangerous(name); ok && sign != writesRows {
			a.sign(sign)
			return true
		}
		if list, _ := rs.Routines(schema, name); !a.harmless(schema, name) {
			a.mayCall(list, arityOf(f.Args))
		}
		return true
	}, nil)
}

// attribute notes the functions that x.name calls if x has no column of that name.
func (a *analysis) attribute(name string) {
	if rs, ok := a.schema.(Routiner); ok {
		list, _ := rs.Routines("", name)
		a.mayCall(list, arity{1, 1})
	}
}

// mayCall notes those of the routines that a call with so many arguments may mean,
// but those in C. Where the statement is over every row of some table, so is the call, as
// far as can be told.
func (a *analysis) mayCall(list []*Routine, args arity) {
	for _, r := range list {
		if r.takes(args) && r.Language != "c" && r.Language != "internal" {
			a.called = append(a.called, called{r: r, schema: a.schema, along: a.along, each: a.eachRow != nil})
		}
	}
}

// settle adds what the called routines do to what the statement does, and what the
// routines do that these call.
func (a *analysis) settle() {
	type key struct {
		bodyKey
		caused, trust, each bool
	}
	seen := map[key]bool{}
	ch := a.chain()
	for n := 0; a.more(ch); {
		c := a.called[len(a.called)-1]
		a.called = a.called[:len(a.called)-1]
		k := key{bodyKey{c.r, c.along}, c.from != "", c.trust, c.each}
		if seen[k] {
			continue
		}
		seen[k] = true
		if n++; n > maxRoutines {
			a.doubt(UnknownRoutine, "it calls more routines than are followed")
			break
		}
		e := c.effect()
		// Planning runs what is not marked volatile, and puts SQL bodies in place of
		// their calls.
		if a.st.Kind == Explain && c.r.Volatile {
			if c.r.Language == "sql" {
				a.called = append(a.called, e.calls...)
			}
			continue
		}
		from := c.from
		if from == "" {
			a.join(e)
			if c.each && e.changesEach() {
				a.sign(NoWhere)
			}
			if !c.r.Volatile {
				a.st.Folded = sortRefs(append(a.st.Folded, e.reads...))
			}
			from = c.r.title()
		} else {
			ch.caused(c, e)
		}
		for _, next := range e.calls {
			next.from, next.trust, next.each = c.from, c.from != "" && c.trusted(), next.each || c.each
			a.called = append(a.called, next)
		}
		for _, w := range e.written {
			w.why = from
			a.written = append(a.written, w)
		}
	}
	if st := a.st; (st.Kind == Call || st.Kind == Do) && (slices.Contains(st.Signs, UnknownRoutine) || slices.Contains(st.Signs, DynamicSQL)) {
		if st.Problem == "" {
			st.Problem = "what " + strings.ToLower(st.Tag) + " runs is not known"
		}
		if st.Kind == Do {
			a.sign(DynamicSQL)
		}
		st.Kind, st.Writes = Unknown, true
	}
}

// more follows the writes found so far, and reports whether routines are left to read.
func (a *analysis) more(ch *chain) bool {
	for {
		for len(a.written) > 0 {
			w := a.written[len(a.written)-1]
			a.written = a.written[:len(a.written)-1]
			ch.write(w)
		}
		if a.st.Kind != Explain {
			ch.reads()
			ch.events()
		}
		if len(a.written) == 0 {
			return len(a.called) > 0
		}
	}
}

func (a *analysis) join(e *effect) {
	st := a.st
	st.Writes = st.Writes || e.writes
	st.Partial = st.Partial || e.partial
	st.Changes += e.changes
	st.Reads = sortRefs(append(st.Reads, e.reads...))
	st.Relations = sortRefs(append(st.Relations, e.relations...))
	st.Targets = append(st.Targets, e.targets...)
	a.carry(e)
	st.Functions = append(st.Functions, e.functions...)
	a.sign(e.signs...)
	for _, k := range e.kinds {
		if !slices.Contains(st.Inside, k) {
			st.Inside = append(st.Inside, k)
		}
	}
	slices.Sort(st.Inside)
	a.problem(e.problem)
}

// do notes the body of a DO block as a routine without a name.
func (a *analysis) do(n *ast.DoStmt) {
	r := &Routine{Language: "plpgsql", Volatile: true}
	for _, o := range items(n.Args) {
		d, ok := o.(*ast.DefElem)
		if !ok {
			r.Language = ""
			continue
		}
		s, ok := d.Arg.(*ast.String)
		switch {
		case ok && d.Defname == "as":
			r.Body = s.SVal
		case ok && d.Defname == "language":
			r.Language = strings.ToLower(s.SVal)
		default:
			r.Language = ""
		}
	}
	a.called = append(a.called, called{r: r, schema: a.schema, along: a.along})
}
