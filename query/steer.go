package query

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// How columns steer a query says what its rows tell of them. Being equal to a constant
// tells whoever knows a value that it is there; patterns, ranges and expressions tell
// it letter by letter to whoever does not. What a view's author wrote in it is not
// counted: who asks did not choose it.

// condition follows a condition to the columns that steer by it.
func (r *resolver) condition(n ast.Node, sc *scope) {
	if n == nil {
		return
	}
	if !r.enter() {
		r.leave()
		return
	}
	defer r.leave()
	switch n := bare(n).(type) {
	case *ast.BoolExpr:
		for _, x := range items(n.Args) {
			r.condition(x, sc)
		}
		return
	case *ast.NullTest:
		if f := r.expr(n.Arg, sc); f.asItIs() {
			r.sways(f)
			return
		}
	case *ast.BooleanTest, *ast.ColumnRef:
		if f := r.expr(n, sc); n.NodeTag() == ast.T_ColumnRef && f.asItIs() {
			r.equal(f)
			return
		}
	case *ast.A_Expr:
		if r.compares(n, sc) {
			return
		}
	case *ast.SubLink:
		if r.among(n, sc) {
			return
		}
	}
	r.steer(n, sc)
}

// compares follows a comparison for being equal; false if n is another.
func (r *resolver) compares(n *ast.A_Expr, sc *scope) bool {
	switch n.Kind {
	case ast.AEXPR_OP, ast.AEXPR_OP_ANY, ast.AEXPR_OP_ALL, ast.AEXPR_IN, ast.AEXPR_DISTINCT, ast.AEXPR_NOT_DISTINCT:
	default:
		return false
	}
	if parts := names(n.Name); len(parts) == 0 || parts[len(parts)-1] != "=" && parts[len(parts)-1] != "<>" {
		return false
	}
	left, right := r.part(n.Lexpr, sc), r.part(n.Rexpr, sc)
	switch {
	case left.asItIs() && right.empty() && stated(n.Rexpr):
		r.equal(left)
	case left.empty() && right.asItIs() && stated(n.Lexpr):
		r.equal(right)
	case left.asItIs() && right.asItIs() && n.Kind != ast.AEXPR_OP_ANY && n.Kind != ast.AEXPR_OP_ALL:
		r.matches(left, right)
		r.joined(left, right)
	default:
		r.sways(left)
		r.sways(right)
		r.probe(left)
		r.probe(right)
	}
	return true
}

// stated reports whether the client itself says what a value is: it is no column, of
// whatever it may be, and comes from no query.
func stated(n ast.Node) bool {
	found := false
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		switch x := c.Node().(type) {
		case *ast.ColumnRef:
			found = found || x != nil
		case *ast.SubLink:
			found = found || x != nil
		}
		return !found
	}, nil)
	return !found
}

// part is what flows into one side of a comparison. A part of a JSON document that a
// constant names counts as the value itself.
func (r *resolver) part(n ast.Node, sc *scope) flow {
	if op, ok := bare(n).(*ast.A_Expr); ok && op.Kind == ast.AEXPR_OP {
		if parts := names(op.Name); len(parts) == 1 && slices.Contains([]string{"->", "->>", "#>", "#>>"}, parts[0]) {
			if key := r.expr(op.Rexpr, sc); key.empty() {
				return r.part(op.Lexpr, sc)
			}
		}
	}
	if c, ok := bare(n).(*ast.TypeCast); ok { // 'x'::citext, $1::text; a column that is cast is another value
		if f := r.expr(c.Arg, sc); f.empty() {
			return f
		}
	}
	return r.expr(n, sc)
}

// among follows x IN (SELECT y …) as a join.
func (r *resolver) among(n *ast.SubLink, sc *scope) bool {
	if n.SubLinkType != ast.ANY_SUBLINK || len(names(n.OperName)) > 0 && names(n.OperName)[0] != "=" || n.Testexpr == nil {
		return false
	}
	out := r.query(n.Subselect, sc)
	left := r.expr(n.Testexpr, sc)
	if out.open || len(out.cols) != 1 {
		return false
	}
	right := out.cols[0].flow
	r.matches(left, right)
	if left.asItIs() && right.asItIs() {
		r.joined(left, right)
		return true
	}
	r.probe(left)
	r.probe(right)
	return true
}

// chooses follows the value that CASE compares; false if its alternatives are no constants.
func (r *resolver) chooses(n *ast.CaseExpr, sc *scope) bool {
	if n.Arg == nil {
		return false
	}
	f := r.expr(n.Arg, sc)
	fixed := !slices.ContainsFunc(items(n.Args), func(w ast.Node) bool {
		when, ok := w.(*ast.CaseWhen)
		return !ok || !r.part(when.Expr, sc).empty() || !stated(when.Expr)
	})
	if fixed && f.asItIs() {
		r.equal(f)
		return true
	}
	r.sways(f)
	r.probe(f)
	return false
}

// multiplies notes what decides how many rows a function in a select list makes.
func (r *resolver) multiplies(n *ast.FuncCall, f flow) {
	if parts := names(n.Funcname); len(parts) > 0 && multiplying[parts[len(parts)-1]] {
		r.probe(f)
	}
}

var multiplying = wordSet(`generate_series generate_subscripts unnest regexp_split_to_table regexp_matches string_to_table
json_array_elements jsonb_array_elements json_array_elements_text jsonb_array_elements_text json_each jsonb_each
json_each_text jsonb_each_text json_object_keys jsonb_object_keys jsonb_path_query jsonb_path_query_tz ts_parse`)

// asItIs reports whether a flow is columns themselves and nothing else.
func (f flow) asItIs() bool { return !f.unknown && f.derived.zero() && !f.direct.zero() }

// empty reports whether nothing of a column is in a flow.
func (f flow) empty() bool { return !f.unknown && f.derived.zero() && f.direct.zero() }

func (b bitset) zero() bool {
	for _, w := range b {
		if w != 0 {
			return false
		}
	}
	return true
}

func (r *resolver) probe(f flow) {
	if r.inView == 0 {
		r.probes.or(f.direct)
		r.probes.or(f.derived)
	}
}

// value is expr of something that becomes a column, with the columns that choose its
// value: CASE on a salary writes the salary's half, and a count of those above it too.
func (r *resolver) value(n ast.Node, sc *scope) flow {
	var f flow
	sways := r.swaying(func() { f = r.expr(n, sc) })
	if sways == nil {
		return f
	}
	f = f.plus(flow{})
	f.sway(sways)
	return f
}

// swaying is by which columns what f follows is steered; nil if by none.
func (r *resolver) swaying(f func()) *bitset {
	probes, orders := r.probes, r.orders
	r.probes, r.orders = nil, nil
	f()
	var own bitset
	own.or(r.probes)
	own.or(r.orders)
	probes.or(r.probes)
	orders.or(r.orders)
	r.probes, r.orders = probes, orders
	if own.zero() {
		return nil
	}
	return &own
}

func (r *resolver) equal(f flow) {
	r.sways(f)
	if r.inView == 0 {
		r.equals.or(f.direct)
	}
}

// order follows a key by which rows are sorted or put together.
func (r *resolver) order(f flow) {
	r.sways(f)
	switch {
	case r.inView > 0:
	case f.asItIs():
		r.orders.or(f.direct)
	default:
		r.probe(f)
	}
}

func (r *resolver) joined(l, m flow) {
	if r.inView == 0 && len(r.joins) < maxJoins {
		r.joins = append(r.joins, [2]flow{l, m})
	} else {
		r.probe(l)
		r.probe(m)
	}
}

// maxJoins bounds the pairs that are kept; what is beyond counts as a probe.
const maxJoins = 1000

// steered writes down how columns steer.
func (r *resolver) steered() {
	st := r.a.st
	for _, pair := range r.joins {
		if !pair[0].asItIs() || !pair[1].asItIs() {
			r.probe(pair[0])
			r.probe(pair[1])
			continue
		}
		for _, a := range r.list(pair[0].direct) {
			for _, b := range r.list(pair[1].direct) {
				st.Joins = append(st.Joins, [2]Ref{a, b})
			}
		}
	}
	st.Probes, st.Orders, st.Equals = r.list(r.probes), r.list(r.orders), r.list(r.equals)
	st.Fails, st.Barred, r.a.given = r.list(r.fails), r.list(r.barred), r.list(r.given)
	for _, pair := range r.pairs {
		for _, a := range r.list(pair[0].derived) {
			for _, b := range r.list(pair[1].derived) {
				if a != b && len(st.Reckoned) < maxJoins {
					st.Reckoned = append(st.Reckoned, [2]Ref{a, b})
				} else if a != b {
					st.Fails = sortRefs(append(st.Fails, a, b))
				}
			}
		}
	}
	for _, s := range r.scales {
		st.Scales = append(st.Scales, Scale{s.param, s.most, r.list(s.of.derived)})
	}
}

// passes notes what is given to a routine that is not the server's, which may do one thing
// or another by it.
func (r *resolver) passes(n *ast.FuncCall, f flow) {
	if r.inView == 0 && !r.known(n) {
		r.given.or(f.direct)
		r.given.or(f.derived)
	}
}

// carry adds what a routine moves and how it is steered.
func (a *analysis) carry(e *effect) {
	st := a.st
	st.Puts, st.Exits = append(st.Puts, e.puts...), append(st.Exits, e.exits...)
	st.Probes = sortRefs(append(st.Probes, e.probes...))
	st.Fails = sortRefs(append(st.Fails, e.fails...))
	st.Reckoned = append(st.Reckoned, e.reckoned...)
	if e.branches {
		st.Fails = sortRefs(append(append(st.Fails, e.taken...), a.given...))
	}
}
