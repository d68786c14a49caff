package query

import (
	"slices"
	"strings"
	"sync"

	"github.com/multigres/multigres/go/common/parser"
	"github.com/multigres/multigres/go/common/parser/ast"
)

// Routine is what Analyze must know of a user's function or procedure to see what
// a call of it would do.
type Routine struct {
	Schema, Name string
	Procedure    bool
	Volatile     bool       // never run to plan a statement
	Language     string     // "sql" and "plpgsql" are read; what is in any other is unknown
	Body         string     // its source; the whole CREATE statement if it is kept parsed (BEGIN ATOMIC, RETURN)
	Parsed       bool       // Body is a CREATE statement
	Defaults     string     // expressions of arguments that a call may leave out, with commas between
	Result       []string   // names of the columns that it gives in FROM; none if they are not known
	Names        []string   // of its arguments and result columns, which its body sees as variables
	Args         []string   // names of the arguments that a call gives, in order; "" for one without
	Out          []string   // columns of its result; nil if that is one value without a name
	Least, Most  int        // arguments that a call may have; Most below 0 is any number
	Pinned       bool       // it has a search_path of its own: Path
	Path         []string   //
	Pieces       []*Routine // what an aggregate is made of, of the users' routines
	Strange      bool       // it has settings that change who acts, or how text is read
	Extension    bool       // came with an extension
	Reckons      bool       // gives a value of its arguments and does nothing else, whatever its language
	Converts     []*Routine // users' routines that run when its arguments and results become values of their types
}

// Aggregate is the Language of an aggregate whose pieces are all known.
const Aggregate = "aggregate"

// arity is how many arguments a call may have to the server: parameters that the
// client gives the type void, as JDBC does with what a function returns, are left out
// of it, and types of parameters are not seen here.
type arity struct{ least, most int }

// arityOf is that of a call with these arguments. A cast may be what gives the type.
func arityOf(args *ast.NodeList) arity {
	n := arity{most: len(items(args))}
	for _, arg := range items(args) {
		if !isParameter(arg) {
			n.least++
		}
	}
	return n
}

func isParameter(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.ParamRef:
		return true
	case *ast.TypeCast:
		return isParameter(n.Arg)
	case *ast.ParenExpr:
		return isParameter(n.Expr)
	case *ast.CollateClause:
		return isParameter(n.Arg)
	case *ast.NamedArgExpr:
		return isParameter(n.Arg)
	}
	return false
}

// takes reports whether a call with so many arguments may mean r.
func (r *Routine) takes(n arity) bool { return n.most >= r.Least && (r.Most < 0 || n.least <= r.Most) }

// Routiner is a Schema that knows the bodies of routines.
type Routiner interface {
	// Routines are the users' routines that a name may mean; schema may be "". It
	// says no if the name may also mean something else that is not harmless.
	Routines(schema, name string) ([]*Routine, bool)
	// Operators are the users' routines that an operator of that name may call.
	Operators(name string) []*Routine
	// Along is the same catalogue seen with another search_path.
	Along(path []string) Schema
	// Casts are the users' routines that run where a type of that name is said: casts to
	// it, checks of domains in it, and casts from it that nobody has to write.
	Casts(to string) []*Routine
	// Bodies remembers what this catalogue's bodies do; nil if nothing does.
	Bodies() *Bodies
}

// Bodies remembers what routines of one snapshot do, so that each body is read
// once. It is safe for concurrent use.
type Bodies struct {
	known sync.Map // called without its schema → *effect
}

// called is a routine that something calls, and the names in force there.
type called struct {
	r      *Routine
	schema Schema
	along  string // the search_path in force, if it is not the session's
	from   string // what makes the server run it; "" if a statement or routine calls it
	trust  bool   // a routine of an extension calls it, which the server runs by itself
	each   bool   // it is called for every row of a table
}

type bodyKey struct {
	r     *Routine
	along string
}

// effect is what a body does by itself; what the routines it calls do is found
// from calls.
type effect struct {
	writes, partial           bool
	changes                   int
	reads, relations, targets []Ref
	puts                      []Put
	exits                     []Exit
	probes                    []Ref
	fails                     []Ref // by what they read, whatever is in variables
	reckoned                  [][2]Ref
	taken                     []Ref // columns whose values may be in variables
	branches                  bool  // a variable decides what it does, or whether it fails
	signs                     []Sign
	functions                 []string
	kinds                     []Kind
	calls                     []called
	written                   []written
	outside                   bool   // takes values from somewhere beside its arguments
	problem                   string // why it is not known, "" if it is
}

// maxRoutines bounds how many bodies one statement is followed into.
const maxRoutines = 1000

// effect reads the body, or remembers it.
func (c called) effect() *effect {
	rs, ok := c.schema.(Routiner)
	if c.r.Pinned {
		if !ok {
			return c.r.unknown("has a search_path of its own")
		}
		c.schema, c.along = rs.Along(c.r.Path), "="+strings.Join(c.r.Path, "\x00")
	}
	var memo *Bodies
	if ok {
		memo = rs.Bodies()
	}
	if memo == nil || c.r.Name == "" {
		return c.read()
	}
	key := bodyKey{c.r, c.along}
	if e, ok := memo.known.Load(key); ok {
		return e.(*effect) //nolint:forcetypeassert // nothing else is stored
	}
	e := c.read()
	memo.known.Store(key, e)
	return e
}

// unknown is the effect of a routine that nobody could follow.
func (r *Routine) unknown(why string) *effect {
	return &effect{writes: true, partial: true, signs: []Sign{UnknownRoutine}, outside: true, problem: r.title() + " " + why}
}

// title names a routine for people.
func (r *Routine) title() string {
	kind := "function "
	switch {
	case r.Name == "":
		return "the DO block"
	case r.Language == RuleActions:
		kind = "rule "
	case r.Procedure:
		kind = "procedure "
	}
	if r.Schema != "" {
		return kind + r.Schema + "." + r.Name
	}
	return kind + r.Name
}

// maxBody is the longest body that is read.
const maxBody = 256 << 10

func (c called) read() (e *effect) {
	r := c.r
	defer func() {
		if v := recover(); v != nil {
			e = r.unknown("is not understood")
		}
	}()
	switch {
	case r.Reckons:
		return &effect{}
	case r.Strange:
		return r.unknown("has settings of its own that change who acts or how text is read")
	case len(r.Body) > maxBody:
		return r.unknown("is too long")
	}
	b := &body{called: c, vars: map[string]bool{}, out: &effect{}}
	for _, conv := range r.Converts {
		b.out.calls = append(b.out.calls, called{r: conv, schema: c.schema, along: c.along})
	}
	if r.Defaults != "" {
		b.text("SELECT " + r.Defaults)
	}
	for _, n := range append(slices.Clone(r.Names), r.Name) {
		b.vars[n] = n != ""
	}
	switch {
	case r.Language == Aggregate:
		for _, piece := range r.Pieces {
			b.out.calls = append(b.out.calls, called{r: piece, schema: c.schema, along: c.along})
		}
	case r.Parsed:
		b.parsedBody()
	case r.Language == RuleActions:
		b.rule()
	case r.Language == "sql":
		b.text(r.Body)
	case r.Language == "plpgsql":
		b.procedural()
	default:
		return r.unknown("is written in " + r.Language)
	}
	e = b.out
	e.outside = e.outside || b.problem != ""
	if b.problem != "" {
		u := r.unknown(b.problem)
		e.writes, e.partial, e.problem = true, true, u.problem
		e.signs = append(e.signs, UnknownRoutine)
	}
	switch {
	case e.problem != "":
	case b.computed != "":
		e.problem = r.title() + " " + b.computed
	case b.unclear != "":
		e.problem = "in " + r.title() + ": " + b.unclear
	}
	return e
}

// body is one body while it is read.
type body struct {
	called
	vars     map[string]bool // names that may be variables
	deciding bool            // what is read decides what runs
	out      *effect
	problem  string // the first thing that was not understood
	unclear  string // what a statement in it calls that is not known
	computed string // where it runs SQL that is computed, "" if nowhere
}

func (b *body) fail(why string) {
	if b.problem == "" {
		b.problem = why
	}
}

// parsedBody reads what the server keeps parsed: one RETURN, or BEGIN ATOMIC … END.
func (b *body) parsedBody() {
	list, problem := parse(b.r.Body)
	if problem != "" || len(list) != 1 {
		b.fail("is not understood")
		return
	}
	def, ok := list[0].node.(*ast.CreateFunctionStmt)
	if !ok || def.SQLBody == nil {
		b.fail("is not understood")
		return
	}
	b.nodes(def.SQLBody)
}

func (b *body) nodes(n ast.Node) {
	switch n := n.(type) {
	case *ast.NodeList:
		for _, x := range items(n) {
			b.nodes(x)
		}
	case *ast.ReturnStmt:
		b.node(&ast.SelectStmt{BaseNode: ast.BaseNode{Tag: ast.T_SelectStmt},
			TargetList: ast.NewNodeList(ast.NewResTarget("", n.ReturnVal))})
	default:
		b.node(n)
	}
}

// text reads SQL in which the routine's variables may stand for values. A name that
// is a column too is read as both, since which it is depends on more than the text.
func (b *body) text(sql string) {
	list, problem := parse(sql)
	if problem != "" {
		b.fail("holds SQL that " + strings.TrimPrefix(problem, "it "))
		return
	}
	var twice bool
	for _, p := range list {
		twice = b.doubtful(p.node) || twice
	}
	if twice {
		again, _ := parse(sql)
		for _, p := range again {
			b.node(p.node)
		}
	}
	for _, p := range list {
		b.node(b.substitute(p.node))
	}
}

// relations are the names by which a statement knows its relations, and the columns
// these have. known is false if one of them is in no catalogue.
func (b *body) relations(n ast.Node) (aliases, columns map[string]bool, known bool) {
	aliases, columns, known = map[string]bool{}, map[string]bool{}, true
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		switch n := c.Node().(type) {
		case *ast.RangeVar:
			if n == nil {
				break
			}
			aliases[n.RelName] = true
			var found []*Relation
			if b.schema != nil {
				found = b.schema.Lookup(n.SchemaName, n.RelName)
			}
			known = known && len(found) > 0
			for _, rel := range found {
				for _, col := range rel.Columns {
					columns[col] = true
				}
			}
		case *ast.Alias:
			if n != nil {
				aliases[n.AliasName] = true
			}
		}
		return true
	}, nil)
	return aliases, columns, known
}

// doubtful reports whether a name in n may be a column as well as a variable.
func (b *body) doubtful(n ast.Node) bool {
	_, columns, known := b.relations(n)
	doubt := false
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		if ref, ok := c.Node().(*ast.ColumnRef); ok && ref != nil {
			if parts := names(ref.Fields); len(parts) == 1 && b.vars[parts[0]] {
				doubt = doubt || !known || columns[parts[0]]
			}
		}
		return true
	}, nil)
	return doubt
}

// substitute puts parameters, of which nothing is known, in place of variables.
func (b *body) substitute(n ast.Node) ast.Node {
	aliases, _, _ := b.relations(n)
	return ast.Rewrite(n, func(c *ast.Cursor) bool {
		ref, ok := c.Node().(*ast.ColumnRef)
		if !ok || ref == nil {
			return true
		}
		fields := items(ref.Fields)
		if len(fields) == 0 {
			return true
		}
		first, ok := fields[0].(*ast.String)
		if ok && b.vars[first.SVal] && (len(fields) == 1 || !aliases[first.SVal]) {
			c.Replace(&ast.ParamRef{BaseNode: ast.BaseNode{Tag: ast.T_ParamRef}, Number: 1})
			return false
		}
		return true
	}, nil)
}

// rule reads the actions of a rule, and its condition.
func (b *body) rule() {
	toks, ok := lex(b.r.Body)
	do, where, depth := -1, -1, 0
	for i, t := range toks {
		switch {
		case t.kind == '(':
			depth++
		case t.kind == ')':
			depth--
		case depth > 0:
		case t.kind == parser.WHERE && where < 0:
			where = i
		case t.kind == parser.DO && do < 0:
			do = i
		}
	}
	if !ok || do < 0 || do+1 >= len(toks) {
		b.fail("is not understood")
		return
	}
	b.vars["new"], b.vars["old"] = true, true
	if where >= 0 && where < do {
		b.text("SELECT " + b.r.Body[toks[where+1].at:toks[do].at])
	}
	first := do + 1
	if k := toks[first].kind; k == parser.INSTEAD || k == parser.ALSO {
		first++
	}
	if first >= len(toks) || toks[first].kind == parser.NOTHING {
		return
	}
	text := strings.TrimRight(b.r.Body[toks[first].at:], "; \n\t")
	if toks[first].kind == '(' {
		text = strings.TrimSuffix(text[1:], ")")
	}
	b.text(text)
}

// node adds what one statement of the body does.
func (b *body) node(n ast.Node) {
	a := &analysis{schema: b.schema, along: b.along, within: true, st: &Statement{}}
	a.statement(n)
	b.out.calls = append(b.out.calls, a.called...)
	b.out.written = append(b.out.written, a.written...)
	b.out.branches = b.out.branches || a.branches || b.deciding && decidedBy(n)
	for st := a.st; st != nil; st = st.Inner {
		b.add(st)
	}
}

func (b *body) add(st *Statement) {
	e := b.out
	if b.unclear == "" {
		b.unclear = st.Problem
	}
	e.outside = e.outside || st.Kind != Select || st.Partial || st.Writes || len(st.Relations) > 0 || len(st.Reads) > 0 || len(st.Signs) > 0
	e.writes = e.writes || st.Writes
	e.partial = e.partial || st.Partial
	e.changes += st.Changes
	if st.Writes && st.Changes == 0 {
		e.changes++ // what the server does not count must not pass for nothing
	}
	e.reads = sortRefs(append(e.reads, st.Reads...))
	e.relations = sortRefs(append(e.relations, st.Relations...))
	e.targets = sortRefs(append(e.targets, st.Targets...))
	e.puts, e.exits = append(e.puts, st.Puts...), append(e.exits, st.Exits...)
	e.fails = sortRefs(append(e.fails, st.Fails...))
	e.reckoned = append(e.reckoned, st.Reckoned...)
	if b.deciding {
		e.fails = sortRefs(append(e.fails, st.Probes...))
	} else {
		e.probes = sortRefs(append(e.probes, st.Probes...))
	}
	b.take(st.Returning)
	if st.Target == nil {
		b.take(st.Output)
	}
	e.functions = append(e.functions, st.Functions...)
	e.signs = append(e.signs, st.Signs...)
	slices.Sort(e.signs)
	e.signs = slices.Compact(e.signs)
	if !slices.Contains(e.kinds, st.Kind) && st.Kind != Select {
		e.kinds = append(e.kinds, st.Kind)
	}
	switch {
	case st.Kind == Unknown:
		b.fail("runs a statement that is not understood")
	case st.Kind == Transaction:
		b.fail("begins or ends transactions")
	case st.Kind == Execute || st.Kind == Prepare || st.Kind == Fetch && st.Name != "":
		b.fail("runs a prepared statement or a cursor of the session")
	case slices.Contains(st.Signs, SessionState) && (st.SetName == "" || changesSession(st.SetName)):
		b.fail("changes settings that decide what names mean or who acts")
	case slices.Contains(st.Signs, ServerCode):
		b.fail("makes code that may run in it")
	}
}
