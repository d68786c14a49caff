package query

import (
	"math/bits"
	"slices"
)

// bitset is a set of base columns by their number in a resolver.
type bitset []uint64

func (b *bitset) set(i int) {
	for len(*b) <= i/64 {
		*b = append(*b, 0)
	}
	(*b)[i/64] |= 1 << (i % 64)
}

func (b *bitset) or(c bitset) {
	for len(*b) < len(c) {
		*b = append(*b, 0)
	}
	for i, w := range c {
		(*b)[i] |= w
	}
}

func (b bitset) has(i int) bool { return i/64 < len(b) && b[i/64]&(1<<(i%64)) != 0 }

func (b bitset) each(f func(int)) {
	for i, w := range b {
		for ; w != 0; w &= w - 1 {
			f(i*64 + bits.TrailingZeros64(w))
		}
	}
}

func (b bitset) within(c bitset) bool {
	for i, w := range b {
		if i >= len(c) && w != 0 || i < len(c) && w&^c[i] != 0 {
			return false
		}
	}
	return true
}

// flow is what reaches a value: base columns as they are, base columns through
// an expression, and perhaps something that could not be worked out. The zero
// flow is a constant.
type flow struct {
	direct, derived bitset
	counted         *bitset // only whether they are NULL; nil is none, which most have
	swayed          *bitset // they choose between values; nil as above
	unknown         bool
	num             num // its size
}

// add makes f the union of both. It writes to f's own sets only, so a flow that
// is added to must not be shared; take a copy with plus.
func (f *flow) add(g flow) {
	f.num = f.num.plus(g.num)
	f.direct.or(g.direct)
	f.derived.or(g.derived)
	f.count(g.present())
	f.sway(g.swayed)
	f.unknown = f.unknown || g.unknown
}

// through is f after an expression.
func (f flow) through() flow {
	var out flow
	out.derived.or(f.direct)
	out.derived.or(f.derived)
	out.count(f.present())
	out.sway(f.swayed)
	out.unknown, out.num = f.unknown, f.num
	return out
}

// presence is what is left of columns as they are once only their being there counts.
func (f flow) presence() flow {
	if !f.asItIs() {
		return f.through()
	}
	var out flow
	out.count(f.direct)
	out.count(f.present())
	out.sway(f.swayed)
	return out
}

func (f flow) present() bitset {
	if f.counted == nil {
		return nil
	}
	return *f.counted
}

func (f *flow) count(b bitset) {
	if b.zero() {
		return
	}
	var own bitset
	own.or(f.present())
	own.or(b)
	f.counted = &own
}

// sway adds columns that choose between the values of f.
func (f *flow) sway(b *bitset) {
	if b == nil || b.zero() {
		return
	}
	var own bitset
	if f.swayed != nil {
		own.or(*f.swayed)
	}
	own.or(*b)
	f.swayed = &own
}

func (f flow) swayers() bitset {
	if f.swayed == nil {
		return nil
	}
	return *f.swayed
}

func (f flow) plus(g flow) flow {
	var out flow
	out.add(f)
	out.add(g)
	return out
}

func (f flow) within(g flow) bool {
	return f.direct.within(g.direct) && f.derived.within(g.derived) && f.present().within(g.present()) && f.swayers().within(g.swayers()) && (!f.unknown || g.unknown)
}

var unknownFlow = flow{unknown: true}

// column is one column of a query's output or of a relation in FROM.
type column struct {
	name string
	flow flow
}

// output is the result of a query. With open there are columns that nobody
// could list; they are then one column named Star among the others.
type output struct {
	cols []column
	open bool
}

var openOutput = output{cols: []column{{name: Star, flow: unknownFlow}}, open: true}

// merged unites two outputs position by position, as UNION does; the names are
// those of the first. Outputs that do not fit leave nothing known.
func merged(a, b output) output {
	if a.open || b.open || len(a.cols) != len(b.cols) {
		return openOutput
	}
	out := output{cols: make([]column, len(a.cols))}
	for i := range a.cols {
		out.cols[i] = column{a.cols[i].name, a.cols[i].flow.plus(b.cols[i].flow)}
	}
	return out
}

func (o output) within(p output) bool {
	if o.open != p.open || len(o.cols) != len(p.cols) {
		return false
	}
	for i := range o.cols {
		if !o.cols[i].flow.within(p.cols[i].flow) {
			return false
		}
	}
	return true
}

// all is the union of every column, as a whole-row reference takes it.
func all(cols []column) flow {
	var f flow
	for _, c := range cols {
		f.add(c.flow)
	}
	return f
}

// number gives a base column its place in the sets of this resolver.
func (r *resolver) number(ref Ref) int {
	if i, ok := r.ids[ref]; ok {
		return i
	}
	i := len(r.refs)
	r.ids[ref] = i
	r.refs = append(r.refs, ref)
	return i
}

func (r *resolver) list(b bitset) []Ref {
	var refs []Ref
	b.each(func(i int) { refs = append(refs, r.refs[i]) })
	slices.SortFunc(refs, compareRefs)
	return refs
}

// columns turns columns into what Statement shows: sources sorted, each once; a
// source that also went through an expression counts as derived.
func (r *resolver) columns(cols []column) []Column {
	out := make([]Column, 0, len(cols))
	for _, c := range cols {
		var both bitset
		both.or(c.flow.direct)
		both.or(c.flow.derived)
		both.or(c.flow.present())
		col := Column{Name: c.name, Known: !c.flow.unknown}
		both.each(func(i int) {
			how := Direct
			switch {
			case c.flow.derived.has(i):
				how = Derived
			case !c.flow.direct.has(i):
				how = Counted
			}
			col.Sources = append(col.Sources, Source{r.refs[i], how})
		})
		slices.SortFunc(col.Sources, func(a, b Source) int { return compareRefs(a.Ref, b.Ref) })
		col.Swayed = r.list(c.flow.swayers())
		out = append(out, col)
	}
	return out
}
