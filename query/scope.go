package query

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// scope is one level of names: what FROM brings, and the WITH queries in force.
// A reference looks in the innermost level first, then outwards.
type scope struct {
	up    *scope
	ctes  map[string]*cte
	items []*item
}

// item is one entry of FROM as the names of a query see it.
type item struct {
	name     string   // alias, or the relation's own name; "" for a join without alias
	schemas  []string // what may stand before the name; none once there is an alias
	cols     []column
	open     bool // may have columns nobody could list
	loose    bool // its columns are listed for a star, but a name not among them may still be its
	hidden   bool // its columns are seen only with its name before them: a join's own columns stand for them
	unnamed  bool // its name cannot be used
	base     bool // a relation, which has system columns
	unstable bool // of several candidates with different columns: a star cannot be expanded
}

func (it *item) find(name string) (f flow, n int) {
	for _, c := range it.cols {
		if c.name == name && !(c.name == Star && c.flow.unknown) {
			f.add(c.flow)
			n++
		}
	}
	return f, n
}

// rename applies the column aliases of FROM x AS t(a, b).
func (it *item) rename(list *ast.NodeList) {
	aliases := names(list)
	if len(aliases) == 0 {
		return
	}
	cols := slices.Clone(it.cols)
	for i, name := range aliases {
		switch {
		case i < len(cols) && !(cols[i].name == Star && cols[i].flow.unknown):
			cols[i].name = name
		case it.open:
			// A column that could not be listed gets a name; its source stays unknown.
			cols = slices.Insert(cols, i, column{name, unknownFlow})
		}
	}
	it.cols = cols
}

func (s *scope) cte(name string) *cte {
	for ; s != nil; s = s.up {
		if c, ok := s.ctes[name]; ok {
			return c
		}
	}
	return nil
}

// item finds what a qualifier names, in the nearest level that has it.
func (s *scope) item(schema, name string) *item {
	for ; s != nil; s = s.up {
		for _, it := range s.items {
			if it.unnamed || it.name != name {
				continue
			}
			if schema == "" || slices.Contains(it.schemas, schema) {
				return it
			}
		}
	}
	return nil
}

// systemColumn knows the columns that every table has and no catalogue lists.
// They hold no data.
func systemColumn(name string) bool {
	switch name {
	case "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid":
		return true
	}
	return false
}

// reference follows a column reference. A name that may mean a column nobody
// could list, or that nothing explains, is unknown.
func (r *resolver) reference(n *ast.ColumnRef, sc *scope) flow {
	var parts []string
	whole, beyond := false, false
	for _, f := range items(n.Fields) {
		switch f := f.(type) {
		case *ast.String:
			if beyond {
				continue // a field of what the subscript gave: the same column
			}
			parts = append(parts, f.SVal)
		case *ast.A_Star:
			whole = true
		case *ast.A_Indices:
			beyond = true
			r.steer(f.Lidx, sc)
			r.steer(f.Uidx, sc)
		default:
			return unknownFlow
		}
	}
	var f flow
	switch {
	case len(parts) == 0:
		return unknownFlow
	case whole:
		f = r.row(sc, parts)
	case len(parts) == 1:
		f = r.unqualified(parts[0], sc)
	case len(parts) <= 4:
		f = r.qualified(parts, sc)
	default:
		return unknownFlow
	}
	if beyond {
		f = f.through()
	}
	r.mark(f)
	return f
}

// mark notes columns that the client's own text names as read; a view's text does not count.
func (r *resolver) mark(f flow) {
	if r.inView == 0 {
		r.reads.or(f.direct)
		r.reads.or(f.derived)
		r.reads.or(f.present())
	}
}

func (r *resolver) unqualified(name string, sc *scope) flow {
	base := false
	for s := sc; s != nil; s = s.up {
		var f flow
		found, open := 0, false
		for _, it := range s.items {
			base = base || it.base
			if it.hidden {
				continue
			}
			r.spend(len(it.cols) / 16)
			g, n := it.find(name)
			found += n
			f.add(g)
			open = open || it.open || it.loose
		}
		switch {
		case found == 1:
			return f
		case found > 1:
			f.unknown = true // ambiguous: the server refuses it, or sees something else
			return f
		case open:
			return unknownFlow
		}
	}
	if base && systemColumn(name) {
		return flow{}
	}
	if it := sc.item("", name); it != nil {
		return r.wholeRow(it)
	}
	return unknownFlow
}

// qualified follows table.column, schema.table.column and database.schema.table.column.
func (r *resolver) qualified(parts []string, sc *scope) flow {
	schema, table, name := "", parts[len(parts)-2], parts[len(parts)-1]
	if len(parts) > 2 {
		schema = parts[len(parts)-3]
	}
	it := sc.item(schema, table)
	if it == nil {
		return unknownFlow
	}
	f, n := it.find(name)
	switch {
	case n == 1:
		return f
	case n == 0 && it.base && !it.open && systemColumn(name):
		return flow{}
	}
	// t.f may be a function of the row: then the row's columns are the least that it reads.
	r.a.attribute(name)
	f.add(all(it.cols).through())
	f.unknown = true
	return f
}

// row follows t.* used as a value.
func (r *resolver) row(sc *scope, parts []string) flow {
	schema := ""
	if len(parts) > 1 {
		schema = parts[len(parts)-2]
	}
	if it := sc.item(schema, parts[len(parts)-1]); it != nil {
		return r.wholeRow(it)
	}
	return unknownFlow
}

func (r *resolver) wholeRow(it *item) flow {
	if !r.spend(len(it.cols)) {
		return unknownFlow
	}
	f := all(it.cols).through()
	f.unknown = f.unknown || it.open || it.loose
	return f
}

// star lists the columns of * or t.*.
func (r *resolver) star(n *ast.ColumnRef, sc *scope) output {
	fields := items(n.Fields)
	var parts []string
	for _, f := range fields[:len(fields)-1] {
		s, ok := f.(*ast.String)
		if !ok {
			return openOutput
		}
		parts = append(parts, s.SVal)
	}
	if len(parts) == 0 {
		var out output
		for _, it := range sc.items {
			if !it.hidden {
				out.append(it)
			}
		}
		return out
	}
	schema := ""
	if len(parts) > 1 {
		schema = parts[len(parts)-2]
	}
	it := sc.item(schema, parts[len(parts)-1])
	if it == nil {
		return openOutput
	}
	var out output
	out.append(it)
	return out
}

func (o *output) append(it *item) {
	switch {
	case it.unstable:
		o.cols = append(o.cols, column{Star, unknownFlow})
		o.open = true
	case it.open:
		o.cols = append(o.cols, it.cols...)
		if !slices.ContainsFunc(it.cols, func(c column) bool { return c.name == Star && c.flow.unknown }) {
			o.cols = append(o.cols, column{Star, unknownFlow})
		}
		o.open = true
	default:
		o.cols = append(o.cols, it.cols...)
	}
}
