package query

import (
	"slices"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// A write fails if a key, a check, a length or a trigger of the table says so, and that it
// failed is told. What was made of a column so that it is one thing or another, as
// comparisons, parts and differences are, tells as much as a division by it. A column as it
// is may be written to any table as it was found: who does so did not choose what that
// asks. To a table whose checks are new it may not, since they may have been made to ask.

// limited notes columns whose values decide whether a write fails.
func (r *resolver) limited(w write) {
	if r.inView > 0 {
		return
	}
	for _, c := range w.set {
		of := c.flow.plus(flow{})
		if of.direct.zero() && of.derived.zero() {
			continue
		}
		if own, n := w.goal.find(c.name); n == 1 {
			of.direct, of.derived = of.direct.without(own.direct), of.derived.without(own.direct)
		}
		if r.mayFail(w, c.name, of) {
			r.failAll(of)
			r.barred.or(of.direct)
			r.barred.or(of.derived)
		}
	}
}

func (b bitset) without(c bitset) bitset {
	out := slices.Clone(b)
	for i := range out {
		if i < len(c) {
			out[i] &^= c[i]
		}
	}
	return out
}

// mayFail reports whether what is put into a column makes a write fail, or not, by its
// writer's choice. Nothing tells of a relation that is not known.
func (r *resolver) mayFail(w write, column string, of flow) bool {
	var rels []*Relation
	for _, t := range w.target {
		if r.a.schema != nil {
			rels = append(rels, r.a.schema.Lookup(t.Schema, t.Table)...)
		}
	}
	chosen := of.num.has(tests)
	if len(rels) == 0 {
		return true
	}
	for _, rel := range rels {
		if covers(rel.Limited, column) && chosen || covers(rel.Fresh, column) || of.num.has(voids) && slices.Contains(rel.Required, column) {
			return true
		}
		if i := slices.Index(rel.Columns, column); i >= 0 && i < len(rel.Types) && of.num.size() > mostIn(rel.Types[i]) {
			return true
		}
	}
	return false
}

// mostIn is how much larger than a column what is put into a type may be.
func mostIn(typ string) float64 {
	switch {
	case typ == "bigint":
		return maxGain * summed
	case sortOf(typ) == whole, strings.Contains(typ, "("):
		return maxGain
	}
	return infinite
}

func covers(list []string, column string) bool {
	return len(list) > 0 && (column == Star || slices.Contains(list, column) || slices.Contains(list, Star))
}

// Tight is a relation with limits on all columns that may have been made to ask something.
func (rel *Relation) Tight() *Relation {
	next := *rel
	next.Limited, next.Fresh = []string{Star}, []string{Star}
	return &next
}

// declares notes the limits that CREATE TABLE puts on its columns.
func (m *Made) declares(n *ast.CreateStmt) {
	rel := &m.Relation
	if n.PartSpec != nil {
		*rel = *rel.Tight()
	}
	for _, e := range items(n.TableElts) {
		switch e := e.(type) {
		case *ast.Constraint:
			m.constrains(e, names(e.Keys))
		case *ast.ColumnDef:
			if e.TypeName != nil && tells(e.TypeName) {
				rel.Fresh = append(rel.Fresh, e.Colname)
			}
			for _, x := range items(e.Constraints) {
				if k, ok := x.(*ast.Constraint); ok {
					m.constrains(k, []string{e.Colname})
				}
			}
		case *ast.TableLikeClause:
			if e.Options != 0 {
				*rel = *rel.Tight()
			}
		}
	}
}

func (m *Made) constrains(k *ast.Constraint, columns []string) {
	rel := &m.Relation
	switch k.Contype {
	case ast.CONSTR_PRIMARY, ast.CONSTR_UNIQUE:
		rel.Limited = append(rel.Limited, columns...)
	case ast.CONSTR_CHECK, ast.CONSTR_FOREIGN, ast.CONSTR_EXCLUSION, ast.CONSTR_GENERATED:
		*rel = *rel.Tight()
	}
}

// tells reports whether a type was perhaps chosen so that some values do not fit it: it is a
// user's, or so short that values are longer.
func tells(n *ast.TypeName) bool {
	const long, digits = 64, 10 // longer than most that people have
	var mods []float64
	for _, m := range items(n.Typmods) {
		c, ok := m.(*ast.A_Const)
		if !ok {
			return true
		}
		mods = append(mods, statedNum(c).size())
	}
	switch name := lastName(n.Names); {
	case sortOf(name) == anything && !serverType(n):
		return true
	case len(mods) == 0 || sortOf(name) == day:
		return false
	case sortOf(name) == wide:
		if len(mods) > 1 {
			mods[0] -= mods[1]
		}
		return mods[0] < digits
	}
	return mods[0] < long
}

// altered follows what ALTER TABLE looks for in the rows that are there: values move between
// the columns of a row by USING, and must be as new checks, keys and types say.
func (r *resolver) altered(n *ast.AlterTableStmt) {
	if n.Relation == nil {
		return
	}
	var w write
	w.goal = r.goal(n.Relation, &w)
	sc := &scope{items: []*item{w.goal}}
	for _, c := range items(n.Cmds) {
		cmd, ok := c.(*ast.AlterTableCmd)
		if !ok {
			continue
		}
		switch def := cmd.Def.(type) {
		case *ast.Constraint:
			r.checked(def, w.goal, sc)
		case *ast.ColumnDef:
			for _, x := range items(def.Constraints) {
				if k, ok := x.(*ast.Constraint); ok && cmd.Subtype == ast.AT_AddColumn {
					r.checked(k, w.goal, sc)
				}
			}
			if cmd.Subtype != ast.AT_AlterColumnType {
				continue
			}
			if own, found := w.goal.find(cmd.Name); def.TypeName != nil && found == 1 && tells(def.TypeName) {
				r.failAll(own)
			}
			if def.RawDefault != nil {
				w.assign(cmd.Name, r.value(def.RawDefault, sc))
			}
		}
	}
	r.put(w)
	r.moves(n)
}

// checked follows a constraint that all rows must meet. A check is a condition on them, and
// a key to another table a comparison with what is in that.
func (r *resolver) checked(k *ast.Constraint, goal *item, sc *scope) {
	switch k.Contype {
	case ast.CONSTR_CHECK:
		r.condition(k.RawExpr, sc)
	case ast.CONSTR_GENERATED:
		r.expr(k.RawExpr, sc)
	case ast.CONSTR_FOREIGN:
		if k.Pktable == nil {
			return
		}
		to := r.base(k.Pktable)
		columns := names(k.PkAttrs)
		for i, name := range names(k.FkAttrs) {
			from, n := goal.find(name)
			if n != 1 || i >= len(columns) {
				r.failAll(from)
				continue
			}
			if key, m := to.find(columns[i]); m == 1 {
				r.joined(from, key)
			}
		}
	case ast.CONSTR_EXCLUSION:
		for _, x := range items(k.Exclusions) {
			list, ok := x.(*ast.NodeList)
			if !ok || len(list.Items) == 0 {
				continue
			}
			r.element(list.Items[0], goal, sc, true)
		}
	}
}

// indexed follows what an index is made of: an expression is worked out for every row, and
// no two of a unique one may be the same.
func (r *resolver) indexed(n *ast.IndexStmt) {
	if n.Relation == nil {
		return
	}
	var w write
	goal := r.goal(n.Relation, &w)
	sc := &scope{items: []*item{goal}}
	for _, x := range items(n.IndexParams) {
		r.element(x, goal, sc, false)
		if el, ok := x.(*ast.IndexElem); ok && el.Expr != nil && n.Unique {
			if f := r.expr(el.Expr, sc); f.num.has(tests) {
				r.failAll(f)
			}
		}
	}
	if n.Unique {
		r.condition(n.WhereClause, sc)
	} else if n.WhereClause != nil {
		r.expr(n.WhereClause, sc)
	}
}

func (r *resolver) element(n ast.Node, goal *item, sc *scope, decides bool) {
	el, ok := n.(*ast.IndexElem)
	if !ok {
		return
	}
	f, _ := goal.find(el.Name)
	if el.Expr != nil {
		f = r.expr(el.Expr, sc)
	}
	if decides {
		r.failAll(f)
	}
}
