package query

import (
	"slices"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// maxWritten bounds how many writes of relations one statement is followed into.
const maxWritten = 20_000

// written is a relation that is written, and how.
type written struct {
	schema  Schema
	along   string
	name    Ref // as its name stands in the text; its schema may be ""
	kind    Kind
	columns []string // that an UPDATE sets; nil is all
	only    bool     // without its children
	cascade bool     // TRUNCATE and DROP
	below   bool     // reached from a parent, above, whose triggers are its own
	above   Ref
	why     string // "" if the statement itself says so
}

// writes notes a write of rv that the text says.
func (a *analysis) writes(rv *ast.RangeVar, kind Kind, columns []string) {
	if rv == nil {
		return
	}
	a.written = append(a.written, written{schema: a.schema, along: a.along, name: Ref{Schema: rv.SchemaName, Table: rv.RelName},
		kind: kind, columns: columns, only: !rv.Inh})
}

// removes notes a TRUNCATE or DROP.
func (a *analysis) removes(rv *ast.RangeVar, kind Kind, behavior ast.DropBehavior) {
	a.writes(rv, kind, nil)
	if rv != nil {
		a.written[len(a.written)-1].cascade = behavior == ast.DropCascade
	}
}

// assignedColumns are those of a SET list; nil, which is all, if they are not plain.
func assignedColumns(list []ast.Node) []string {
	columns := []string{}
	for _, t := range list {
		rt, ok := t.(*ast.ResTarget)
		if !ok {
			return nil
		}
		columns = append(columns, rt.Name)
	}
	return columns
}

// writeNode notes what INSERT, UPDATE, DELETE and MERGE write.
func (a *analysis) writeNode(n ast.Node) {
	switch n := n.(type) {
	case *ast.InsertStmt:
		if n == nil {
			return
		}
		a.writes(n.Relation, Insert, nil)
		if c := n.OnConflictClause; c != nil && len(items(c.TargetList)) > 0 {
			a.writes(n.Relation, Update, assignedColumns(items(c.TargetList)))
		}
	case *ast.UpdateStmt:
		a.writes(n.Relation, Update, assignedColumns(items(n.TargetList)))
	case *ast.DeleteStmt:
		a.writes(n.Relation, Delete, nil)
	case *ast.MergeStmt:
		for _, x := range items(n.MergeWhenClauses) {
			when, ok := x.(*ast.MergeWhenClause)
			if !ok {
				continue
			}
			switch when.CommandType {
			case ast.CMD_INSERT:
				a.writes(n.Relation, Insert, nil)
			case ast.CMD_DELETE:
				a.writes(n.Relation, Delete, nil)
			case ast.CMD_UPDATE:
				var set []ast.Node
				for _, t := range when.TargetList {
					set = append(set, t)
				}
				a.writes(n.Relation, Update, assignedColumns(set))
			}
		}
	}
}

// chain follows what writes and reads set off until nothing more comes of it.
type chain struct {
	a     *analysis
	seen  map[string]bool
	told  map[Consequence]bool
	read  map[Ref]bool
	count int
	made  map[string]bool // command tags whose event triggers are followed
}

func (a *analysis) chain() *chain {
	return &chain{a: a, seen: map[string]bool{}, told: map[Consequence]bool{}, read: map[Ref]bool{}, made: map[string]bool{}}
}

// tell notes a consequence once; what is written is a target.
func (c *chain) tell(ref Ref, kind Kind, why string) {
	x := Consequence{Ref: ref, Kind: kind, Why: why}
	if c.told[x] {
		return
	}
	c.told[x] = true
	st := c.a.st
	st.Consequences = append(st.Consequences, x)
	if kind != Select {
		st.Targets = append(st.Targets, ref)
	}
}

// write follows one write.
func (c *chain) write(w written) {
	a := c.a
	if c.count++; c.count > maxWritten {
		if c.count == maxWritten+1 {
			a.doubt(UnknownRoutine, "it sets off more than is followed")
		}
		return
	}
	at, ok := w.schema.(Attacher)
	var list []*Attached
	if ok {
		list = at.Attached(w.name.Schema, w.name.Table)
	}
	if len(list) == 0 && w.why != "" {
		c.tell(w.name, w.kind, w.why)
	}
	for _, x := range list {
		c.upon(x, w)
	}
}

func (c *chain) upon(x *Attached, w written) {
	if w.why != "" {
		c.tell(x.Ref, w.kind, w.why)
	}
	key := strings.Join(append([]string{x.Ref.Schema, x.Ref.Table, string(w.kind), flags(w.only, w.cascade, w.below)}, w.columns...), "\x00")
	if w.columns != nil {
		key += "\x00of"
	}
	if c.seen[key] {
		return
	}
	c.seen[key] = true
	for _, parent := range x.Parents {
		if w.below && parent == w.above || w.kind == DDL {
			continue
		}
		kind := w.kind
		if kind == Drop {
			kind = Delete
		}
		c.tell(parent, kind, "rows of "+x.Ref.String()+" are rows of it too")
	}
	if c.rules(x, w) {
		return
	}
	instead := c.triggers(x, w)
	if x.View && !instead {
		c.behind(x, w)
	}
	c.hooks(x, w.kind)
	c.keys(x, w)
	c.children(x, w)
	if w.kind == Drop && w.cascade {
		for _, view := range x.Dependents {
			next := c.next(x, w, view, Drop, "it is made of "+x.Ref.String())
			next.cascade = true
			c.a.written = append(c.a.written, next)
		}
	}
}

func flags(list ...bool) string {
	var b strings.Builder
	for _, x := range list {
		if x {
			b.WriteByte('1')
		} else {
			b.WriteByte('0')
		}
	}
	return b.String()
}

// next is a write of another relation that comes of w.
func (c *chain) next(x *Attached, w written, ref Ref, kind Kind, why string) written {
	return written{schema: w.schema, along: w.along, name: ref, kind: kind, why: why}
}

// run follows a routine that the server runs by itself.
func (c *chain) run(r *Routine, w written, why string) {
	if r != nil {
		c.a.called = append(c.a.called, called{r: r, schema: w.schema, along: w.along, from: why})
	}
}

// rules reports whether one of them takes the place of the write.
func (c *chain) rules(x *Attached, w written) (instead bool) {
	if w.below {
		return false // rules go with the name in the text
	}
	for _, r := range x.Rules {
		if r.On == w.kind {
			c.run(r.Runs, w, "rule "+r.Name+" on "+x.Ref.String())
			instead = instead || r.Instead
		}
	}
	return instead
}

// triggers reports whether one of them takes the place of the write.
func (c *chain) triggers(x *Attached, w written) (instead bool) {
	for _, t := range x.Triggers {
		if !t.fires(x, w) {
			continue
		}
		c.run(t.Runs, w, "trigger "+t.Name+" on "+x.Ref.String())
		instead = instead || t.Instead
	}
	return instead
}

func (t *Trigger) fires(x *Attached, w written) bool {
	if w.below && (t.Clone || !t.Row) {
		return false
	}
	if w.kind == Update && t.Row && (x.Partitioned || w.below) {
		// A row that moves to another partition is deleted and inserted.
		return true
	}
	if !slices.Contains(t.On, w.kind) {
		return false
	}
	return w.kind != Update || meets(t.Columns, w.columns)
}

// meets reports whether two lists of columns have one in common; nil is all.
func meets(a, b []string) bool {
	return len(a) == 0 || b == nil || slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// hooks follows the functions in defaults, checks and policies.
func (c *chain) hooks(x *Attached, kind Kind) {
	if kind == DDL || kind == Drop {
		return // of which rows are not looked at
	}
	for _, h := range x.Calls {
		if !slices.Contains(h.On, kind) && !slices.Contains(h.On, Select) || h.Runs.byServer() {
			continue
		}
		c.a.called = append(c.a.called, called{r: h.Runs, schema: c.a.schema, along: c.a.along, from: h.Why + " of " + x.Ref.String()})
	}
}

// behind follows a write of a view to what it shows.
func (c *chain) behind(x *Attached, w written) {
	if w.kind != Insert && w.kind != Update && w.kind != Delete {
		return
	}
	node, err := parseQuery(x.Definition)
	sel, ok := node.(*ast.SelectStmt)
	if err != nil || !ok {
		return
	}
	for _, f := range items(sel.FromClause) {
		if rv, ok := f.(*ast.RangeVar); ok {
			next := c.next(x, w, Ref{Schema: rv.SchemaName, Table: rv.RelName}, w.kind, "view "+x.Ref.String()+" shows it")
			next.only, next.columns = !rv.Inh, beneath(sel, w.columns)
			c.a.written = append(c.a.written, next)
		}
	}
}

// beneath are the columns of its table that columns of a view show; nil, which is all,
// if that is not plain.
func beneath(sel *ast.SelectStmt, columns []string) (under []string) {
	for _, name := range columns {
		found := ""
		for _, t := range items(sel.TargetList) {
			rt, ok := t.(*ast.ResTarget)
			if !ok {
				continue
			}
			ref, ok := rt.Val.(*ast.ColumnRef)
			if !ok {
				continue
			}
			parts := names(ref.Fields)
			if n := len(parts); n > 0 && (rt.Name == name || rt.Name == "" && parts[n-1] == name) {
				found = parts[n-1]
			}
		}
		if found == "" {
			return nil
		}
		under = append(under, found)
	}
	return under
}

// keys follows foreign keys of others to their rows.
func (c *chain) keys(x *Attached, w written) {
	for _, k := range x.Keys {
		kind := Unknown
		switch w.kind {
		case Delete:
			kind = k.OnDelete
		case Update:
			if meets(k.Columns, w.columns) {
				kind = k.OnUpdate
			}
		case Truncate:
			if w.cascade {
				kind = Truncate
			}
		case Drop:
			if w.cascade {
				c.tell(k.From, DDL, "its foreign key "+k.Name+" goes with "+x.Ref.String())
			}
		}
		if kind == Unknown {
			continue
		}
		next := c.next(x, w, k.From, kind, "foreign key "+k.Name+" to "+x.Ref.String())
		next.cascade = w.cascade
		if kind == Update {
			next.columns = k.Own
		}
		c.a.written = append(c.a.written, next)
	}
}

// children follows a write of a parent to what inherits from it. INSERT goes down to
// partitions only.
func (c *chain) children(x *Attached, w written) {
	if w.only || w.kind == Insert && !x.Partitioned {
		return
	}
	why := "it inherits from " + x.Ref.String()
	if x.Partitioned {
		why = partitionOf + x.Ref.String()
	} else if w.kind == Drop && !w.cascade {
		return
	}
	for _, child := range x.Children {
		next := c.next(x, w, child, w.kind, why)
		next.below, next.above, next.columns, next.cascade = true, x.Ref, w.columns, w.cascade
		c.a.written = append(c.a.written, next)
	}
}

const partitionOf = "it is a partition of "

// Part reports whether the consequence is only that a table's partitions are written
// or read with it.
func (c Consequence) Part() bool { return strings.HasPrefix(c.Why, partitionOf) }

// reads follows the relations that the statement reads.
func (c *chain) reads() {
	for _, ref := range c.a.st.Relations {
		c.reading(ref)
	}
}

func (c *chain) reading(ref Ref) {
	at, ok := c.a.schema.(Attacher)
	if !ok || c.read[ref] {
		return
	}
	c.read[ref] = true
	for _, x := range at.Attached(ref.Schema, ref.Table) {
		c.hooks(x, Select)
		for _, parent := range x.Parents {
			c.tell(parent, Select, "rows of "+x.Ref.String()+" are rows of it too")
		}
		why := "it inherits from " + x.Ref.String()
		if x.Partitioned {
			why = partitionOf + x.Ref.String()
		}
		for _, child := range x.Children {
			c.tell(child, Select, why)
		}
	}
}

// events follows event triggers.
func (c *chain) events() {
	a := c.a
	at, ok := a.schema.(Attacher)
	if !ok {
		return
	}
	tag := a.st.Tag
	switch {
	case a.st.Runs(DDL, Drop, Grant):
		tag = ""
	case a.st.Kind != DDL && a.st.Kind != Drop && a.st.Kind != Grant && tag != "REFRESH MATERIALIZED VIEW":
		return
	}
	if c.made[tag] {
		return
	}
	c.made[tag] = true
	for _, t := range at.EventTriggers(tag) {
		a.called = append(a.called, called{r: t.Runs, schema: a.schema, along: a.along, from: "event trigger " + t.Name})
	}
}

// byServer reports whether a routine was made by who rules the server, and is taken
// for what such things may do: C that hangs on a relation, as in a default.
func (r *Routine) byServer() bool { return r.Language == "c" || r.Language == "internal" }

// doubt makes what the statement does unknown, and says why.
func (a *analysis) doubt(sign Sign, why string) {
	a.sign(sign)
	a.problem(why)
	a.st.Partial, a.st.Writes = true, true
}

// caused adds what a routine does that the server runs because of the statement. What
// it reads is not shown to anybody by that, and that it changes every row of a table
// of its own is what it is for; that nobody knows what it does counts.
func (c *chain) caused(r called, e *effect) {
	a := c.a
	st := a.st
	st.Writes = st.Writes || e.writes && e.problem == ""
	a.carry(e)
	st.Functions = append(st.Functions, e.functions...)
	for _, ref := range e.relations {
		c.tell(ref, Select, r.from)
		c.reading(ref)
	}
	for _, ref := range e.targets {
		if !slices.ContainsFunc(e.written, func(w written) bool { return w.name.Table == ref.Table }) {
			c.tell(ref, DDL, r.from)
		}
	}
	for _, k := range e.kinds {
		if !slices.Contains(st.Inside, k) && k != Unknown {
			st.Inside = append(st.Inside, k)
		}
	}
	slices.Sort(st.Inside)
	for _, sign := range e.signs {
		switch sign {
		case NoWhere, SessionState, Signals, UnknownRoutine, DynamicSQL:
		default:
			a.sign(sign)
		}
	}
	for _, sign := range []Sign{UnknownRoutine, DynamicSQL} {
		if slices.Contains(e.signs, sign) && !r.trusted() {
			a.doubt(sign, r.from+": "+e.problem)
		}
	}
}

// trusted reports whether doubt in what it does is not counted: extensions are
// installed by who rules the server.
func (c called) trusted() bool { return c.r.Extension || c.trust }
