package query

import (
	"math"
	"strconv"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// A number that gets too large fails, and by how much a value was made larger is its
// writer's choice: salary * 238 fails above nine millions. So it is followed how much
// larger than a column a value may have become. What ordinary work does to whole numbers
// (twelve months, cents) stays far from their bounds; what is reckoned as numeric has none
// that ordinary work comes near. Where it cannot be told, as with a number that comes from
// elsewhere, it counts as too much.

// sort is what kind of value a flow is, as far as its bounds go.
type sort uint8

const (
	unset    sort = iota // no value yet
	anything             // not known
	whole                // int2, int4, int8, money
	wide                 // numeric, float
	fitted               // numeric(p, s)
	day                  // dates, times, intervals
	text                 // text, and whatever does not overflow
	array
)

// num is what is known of the size of a value. Many are kept, so it is small.
type num struct {
	sort  sort
	is    traits
	large gain // how much larger than a column; how large, if it is said. 0 is 1
}

type traits uint8

const (
	said  traits = 1 << iota // the client says it, or the clock
	tests                    // it says something of a column that its writer chose: a comparison, a part, a difference
	voids                    // it may be NULL where what it is made of is not
	marks = tests | voids
)

// gain is the first half of a floating-point number of 32 bits, rounded up.
type gain uint16

func gainOf(f float64) gain {
	const least = 1e-37
	if f > 0 && f < least {
		f = least
	}
	bits := math.Float32bits(float32(f))
	if bits&0xffff != 0 {
		bits += 1 << 16
	}
	return gain(bits >> 16)
}

func (g gain) float() float64 { return float64(math.Float32frombits(uint32(g) << 16)) }

func number(s sort, is traits, large float64) num { return num{s, is, gainOf(large)} }

func (n num) has(t traits) bool { return n.is&t != 0 }

// Bounds of what is let pass.
const (
	maxGain   = 100     // of whole numbers, and lengths of texts where these are bounded
	smallest  = 1 << 17 // what is added to a whole number and is smaller counts for nothing; the cache relies on it (shaper.kept)
	maxWide   = 1e30    // of numeric and floating-point numbers; the inverse is the least
	summed    = 1000    // how much larger a sum is taken to be
	maxPadded = 10_000
	maxPower  = 3
)

var infinite = math.Inf(1)

func (n num) size() float64 {
	if n.large == 0 {
		return 1
	}
	return n.large.float()
}

// plus is what is known of either of two values.
func (n num) plus(m num) num {
	switch {
	case n.sort == unset:
		return m
	case m.sort == unset:
		return n
	}
	out := number(n.sort, n.is&m.is&said|(n.is|m.is)&marks, math.Max(n.size(), m.size()))
	if n.sort != m.sort {
		out.sort = reckonedAs(n.sort, m.sort)
	}
	return out
}

// reckons reports whether a value is a number or a day.
func (n num) reckons() bool {
	return n.sort == whole || n.sort == wide || n.sort == fitted || n.sort == day
}

// reckonedAs is the sort of what is reckoned of two.
func reckonedAs(a, b sort) sort {
	switch {
	case a == anything || b == anything:
		return anything
	case a == day || b == day:
		return day
	case a == wide || b == wide || a == fitted || b == fitted:
		return wide
	case a == whole && b == whole:
		return whole
	}
	return text
}

// sortOf is the sort of a type as the catalogue writes it, or as a cast names it.
func sortOf(typ string) sort {
	name, mod, _ := strings.Cut(typ, "(")
	name = strings.TrimSpace(strings.TrimPrefix(name, "pg_catalog."))
	switch {
	case strings.HasSuffix(typ, "[]"):
		return array
	case sorts[name] == wide && mod != "":
		return fitted
	}
	if s, ok := sorts[name]; ok {
		return s
	}
	for _, prefix := range []string{"timestamp", "time", "interval"} {
		if strings.HasPrefix(name, prefix) {
			return day
		}
	}
	return anything
}

var sorts = func() map[string]sort {
	out := map[string]sort{"double precision": wide, "character varying": text}
	for names, s := range map[string]sort{
		"int2 int4 int8 smallint int integer bigint money smallserial serial bigserial oid": whole,
		"numeric decimal float4 float8 real float":                                          wide,
		"date": day,
		"text varchar character char bpchar name citext bool boolean uuid json jsonb xml bytea unknown": text,
	} {
		for w := range wordSet(names) {
			out[w] = s
		}
	}
	return out
}()

// sortOfName is the sort that a cast makes.
func sortOfName(n *ast.TypeName) sort {
	if n == nil || len(names(n.Names)) == 0 {
		return anything
	}
	if len(items(n.ArrayBounds)) > 0 {
		return array
	}
	s := sortOf(lastName(n.Names))
	if s == wide && len(items(n.Typmods)) > 0 && strings.HasPrefix(lastName(n.Names), "n") {
		return fitted
	}
	return s
}

// statedNum is the size of a constant.
func statedNum(n *ast.A_Const) num {
	switch v := n.Val.(type) {
	case *ast.Integer:
		return number(whole, said, math.Abs(float64(v.IVal)))
	case *ast.Float:
		size, s := magnitude(v.FVal), wide
		if !strings.ContainsAny(v.FVal, ".eE") && size < math.MaxInt64 {
			s = whole
		}
		return number(s, said, size)
	case *ast.String: // of whatever the other side is
		return number(text, said, sizeOfText(v.SVal))
	}
	return number(text, said, 1)
}

// SizeOf is how large a number in a text is, or a span of time; false if it cannot be told.
func SizeOf(s string) (float64, bool) {
	size := sizeOfText(s)
	return size, !math.IsInf(size, 0)
}

func magnitude(s string) float64 {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsNaN(f) {
		return infinite
	}
	return math.Abs(f)
}

// sizeOfText is the size of a number, a day or a span of time that stands in quotes.
func sizeOfText(s string) float64 {
	if f, err := strconv.ParseFloat(strings.TrimSpace(s), 64); err == nil && !math.IsNaN(f) {
		return math.Abs(f)
	}
	const longest = 4 // a year, or so many of anything
	run := 0
	for i := range len(s) {
		switch c := s[i]; {
		case !digit(c):
			run = 0
		case run > 0 || i == 0 || s[i-1] != '.':
			if run++; run > longest {
				return infinite
			}
		}
	}
	lower := strings.ToLower(s)
	for _, long := range []string{"mil", "cent", "dec", "inf"} {
		if strings.Contains(lower, long) {
			return infinite
		}
	}
	return 1
}

// casted is the size of what a cast makes.
func casted(n *ast.TypeCast, f flow) num {
	to := sortOfName(n.TypeName)
	out := f.num
	if out.has(said) && out.sort == text && (to == anything || to == array) {
		out.large = gainOf(infinite) // an address, a place in the log: how near it is to its bounds is not known
	}
	if out.sort == whole && to == wide {
		to = fitted
	}
	out.sort = to
	return out
}

// reckon follows one operator to the size of its value, and notes what may fail by it.
func (r *resolver) reckon(n *ast.A_Expr, l, m flow) num {
	a, b := l.num, m.num
	is := a.is&b.is&said | (a.is|b.is)&marks
	op := lastName(n.Name)
	switch {
	case n.Kind == ast.AEXPR_NULLIF:
		if !b.has(said) || a.has(tests) {
			a.is |= tests | voids
		}
		return a
	case n.Kind != ast.AEXPR_OP:
		return number(text, tests, 1)
	case n.Lexpr == nil && (op == "-" || op == "+"):
		return b
	case op == "||":
		r.joinsArrays(l, m)
		s := text
		if a.sort == array || b.sort == array {
			s = array
		}
		return number(s, is&^said, a.padded()+b.padded())
	case strings.HasPrefix(op, "->") || strings.HasPrefix(op, "#>"):
		return num{text, a.is &^ said, a.large}
	case op == "^":
		if !m.empty() || !b.has(said) || b.size() > maxPower {
			r.failAll(l)
			r.failAll(m)
		}
		return number(wide, is|tests, math.Pow(a.size(), maxPower))
	case len(op) != 1 || !strings.Contains("+-*/%", op):
		return number(text, tests, 1)
	}
	s := reckonedAs(a.sort, b.sort)
	switch { // what stands in quotes, and a parameter, is of the other's type
	case a.has(said) && a.sort == text:
		s = b.sort
	case b.has(said) && b.sort == text:
		s = a.sort
	case isBare(n.Lexpr) && !r.a.within:
		s = b.sort
	case isBare(n.Rexpr) && !r.a.within:
		s = a.sort
	}
	var large float64
	switch op {
	case "+", "-":
		large = a.added() + b.added()
		if is&said != 0 {
			large = a.size() + b.size()
		} else if a.has(said) || b.has(said) {
			is |= tests
		}
	case "*":
		large = a.times() * b.times()
	case "/":
		large = a.times()
		if b.has(said) && b.large > 0 && s != whole {
			large /= b.large.float()
		} else if large > 1 && m.empty() {
			large = math.Max(1, large/summed)
		}
	case "%":
		large, is = a.times(), is|tests
	}
	return r.overflows(n, op, l, m, number(s, is, large))
}

// overflows notes what decides whether an operator's value is too large.
func (r *resolver) overflows(n *ast.A_Expr, op string, l, m flow, out num) num {
	of := l.plus(m)
	if of.direct.zero() && of.derived.zero() {
		if r.a.within && op != "%" {
			left, right := r.varies(n.Lexpr), r.varies(n.Rexpr)
			r.a.branches = r.a.branches || left && right || out.size() > maxGain && (left || right)
		}
		return out
	}
	if op == "%" || op == "/" && out.sort == whole || op == "-" && l.num.sort == day && m.num.sort == day {
		return out
	}
	if op != "/" && (l.empty() && !l.num.has(said) || m.empty() && !m.num.has(said)) {
		switch known := r.scaled(n, op, of, out.sort); {
		case !known:
			out.large = gainOf(infinite)
		case op == "*" && out.sort != wide:
			out.large = gainOf(out.size() * maxGain)
		}
	}
	size := out.size()
	switch {
	case size > maxWide, size < 1/maxWide, size > maxGain && op != "/" && out.sort != wide:
		r.failAll(of)
	case l.empty() || m.empty() || op == "/":
	default:
		r.pair(l, m, out.sort)
		r.pair(m, l, out.sort)
	}
	return out
}

// failAll notes columns which decide whether something fails, though they are as they are:
// what else has a part in it was chosen.
func (r *resolver) failAll(f flow) {
	if r.inView == 0 {
		r.fails.or(f.direct)
		r.fails.or(f.derived)
	}
}

// pair notes columns that are reckoned with others: where those are nobody's, they may have
// been chosen. A whole number is too small for that where numeric comes out.
func (r *resolver) pair(l, m flow, out sort) {
	if r.inView > 0 || m.num.sort == fitted || out == wide && m.num.sort == whole {
		return
	}
	if len(r.pairs) >= maxJoins {
		r.failAll(l)
		r.failAll(m)
		return
	}
	r.pairs = append(r.pairs, [2]flow{l.through(), m.through()})
}

// scaled notes a parameter that a column is reckoned with: what it is, is seen when it runs.
func (r *resolver) scaled(n *ast.A_Expr, op string, of flow, out sort) bool {
	if r.a.within || r.a.later || r.inView > 0 {
		return false
	}
	for _, side := range []ast.Node{n.Lexpr, n.Rexpr} {
		if !isParameter(side) {
			continue
		}
		p, ok := paramOf(side)
		if !ok {
			return false
		}
		most := float64(smallest)
		switch {
		case out == wide:
			most = maxWide
		case op == "*":
			most = maxGain
		}
		r.scales = append(r.scales, scale{p, most, of.through()})
		return true
	}
	return false
}

// scale is a parameter that columns are reckoned with.
type scale struct {
	param int
	most  float64
	of    flow
}

func paramOf(n ast.Node) (number int, ok bool) {
	switch n := bare(n).(type) {
	case *ast.ParamRef:
		return n.Number, true
	case *ast.TypeCast:
		return paramOf(n.Arg)
	}
	return 0, false
}

func isBare(n ast.Node) bool {
	_, ok := bare(n).(*ast.ParamRef)
	return ok
}

// added is how much a value adds.
func (n num) added() float64 {
	if n.has(said) && n.large.float() < smallest {
		return 1
	}
	return n.size()
}

// times is by how much a value makes another larger.
func (n num) times() float64 {
	if n.has(said) {
		return math.Max(n.large.float(), 1/maxWide/10) // 0 times something is still to be looked at
	}
	return n.size()
}

// padded is by how much a text may have been made longer.
func (n num) padded() float64 {
	if n.has(said) {
		return 1
	}
	return n.size()
}

// joinsArrays notes what fails for arrays of the wrong length: array[[1, 2]] || x.
func (r *resolver) joinsArrays(l, m flow) {
	if l.num.sort != array && m.num.sort != array {
		return
	}
	r.fail(l)
	r.fail(m)
}

// arrayOf is an ARRAY[…]: of arrays that are computed, all must be of one length.
func (r *resolver) arrayOf(list *ast.NodeList, sc *scope) flow {
	var f flow
	nested := false
	for _, x := range items(list) {
		g := r.expr(x, sc)
		nested = nested || g.num.sort == array
		f.add(g)
	}
	if nested {
		r.fail(f)
	}
	f = f.through()
	f.num = num{sort: array, is: f.num.is & marks}
	return f
}
