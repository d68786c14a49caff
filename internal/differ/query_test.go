package differ

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// maker makes statements. What it makes follows from its seed alone.
type maker struct {
	*rand.Rand
	tables []table
	calls  []call
	goals  []string // names of what may be written; nil is all
	loud   bool     // calls may do something, and statements in WITH write
	ctes   []table
	serial int
}

func newMaker(seed, n uint64, loud bool) *maker {
	m := &maker{Rand: rand.New(rand.NewPCG(seed, n)), tables: tables, calls: stillCalls, loud: loud}
	if loud {
		m.tables, m.calls = append(append([]table{}, tables...), more...), busyCalls
	}
	return m
}

// one picks, and thereby chooses with which weight: what is named twice comes twice as often.
func (m *maker) one(of ...string) string { return of[m.IntN(len(of))] }

// depth is mostly little: what is found deep is mostly found shallow, and sooner.
func (m *maker) depth() int { return []int{1, 1, 2, 2, 2, 3}[m.IntN(6)] }

func (m *maker) chance(percent int) bool { return m.IntN(100) < percent }

func (m *maker) fresh(prefix string) string {
	m.serial++
	return fmt.Sprintf("%s%d", prefix, m.serial)
}

// scope is what names may stand for where an expression is.
type scope struct {
	up   *scope
	rels []table // name is the alias
}

// find picks a column of a type, sometimes from a query around this one; "" if there is none.
func (m *maker) find(sc *scope, t typ) string {
	for ; sc != nil; sc = sc.up {
		if sc.up != nil && m.chance(15) {
			continue
		}
		var found []string
		for _, r := range sc.rels {
			for _, c := range r.cols {
				if c.typ == t {
					found = append(found, r.name+"."+c.name)
				}
			}
		}
		if len(found) > 0 {
			return m.one(found...)
		}
	}
	return ""
}

func (m *maker) constant(t typ) string {
	switch t {
	case integer:
		return m.one("1", "2", "3", "40", "-1", "null::int")
	case text:
		return m.one("'ada'::text", "'bob'::text", "text 'x'", "cast('a' as text)", "''::text", "E'\\'q'::text", "$$y2$$::text", "U&'\\0061'::text")
	}
	return m.one("true", "false", "1 = 1")
}

// expr is an expression of type t.
func (m *maker) expr(sc *scope, t typ, depth int) string {
	if depth <= 0 || m.chance(35) {
		if c := m.find(sc, t); c != "" && m.chance(85) {
			return c
		}
		return m.constant(t)
	}
	if m.chance(8) {
		if s := m.call(sc, t, depth); s != "" {
			return s
		}
	}
	if m.chance(12) {
		return m.scalar(sc, t, depth)
	}
	if m.chance(8) {
		return fmt.Sprintf("case when %s then %s when %s then %s else %s end",
			m.expr(sc, boolean, depth-1), m.expr(sc, t, depth-1), m.expr(sc, boolean, depth-2), m.expr(sc, t, depth-1), m.expr(sc, t, depth-1))
	}
	e := func(t typ) string { return m.expr(sc, t, depth-1) }
	return m.fill(m.one(forms[t]...), e)
}

// forms are expressions by their type; %i, %t and %b stand for others.
var forms = map[typ][]string{
	integer: {"(%i + %i)", "(%i - %i)", "coalesce(%i, %i)", "length(%t)", "greatest(%i, %i)", "abs(%i)", "nullif(%i, %i)", "(%i)::int",
		"position(%t in %t)", "(array[%i, %i])[1]", "least(%i, %i)", "strpos(%t, %t)", "ascii(%t)", "(row(%i, %t)).f1", "char_length(%t)",
		"extract(year from date '2020-01-01' + %i)::int", "cardinality(array[%t, %t])", "width_bucket(%i, 0, 10, 5)"},
	text: {"(%t || %t)", "lower(%t)", "upper(%t)", "coalesce(%t, %t)", "substr(%t, 1, 2)", "nullif(%t, %t)", "concat(%t, %i)", "(%i)::text",
		"replace(%t, %t, %t)", "format('%%s', %t)", "(array[%t, %t])[2]", "cast(%t as varchar)", "(%t)::varchar(3)", "(%t collate \"C\")", "trim(%t)", "reverse(%t)",
		"jsonb_build_object('k', %t)->>'k'", "to_jsonb(%t)::text", "(row(%i, %t))::text", "split_part(%t, '@', 1)", "md5(%t)", "left(%t, 2)",
		"overlay(%t placing %t from 1)", "regexp_replace(%t, 'a', %t)", "array_to_string(array[%t, %t], ',')", "(string_to_array(%t, 'd'))[1]"},
	boolean: {"%i = %i", "%i < %i", "%t = %t", "%t like %t", "(%b and %b)", "(%b or %b)", "not (%b)", "%i is null", "%t is not null", "%i between %i and %i",
		"%i in (%i, %i)", "%t is distinct from %t", "%i = any (array[%i, %i])", "(%i, %t) = (%i, %t)", "starts_with(%t, %t)", "%t ~ 'a'", "(%b) is true"},
}

// fill puts expressions in the place of %i, %t and %b.
func (m *maker) fill(form string, e func(typ) string) string {
	var b strings.Builder
	for i := 0; i < len(form); i++ {
		if form[i] != '%' || i+1 == len(form) {
			b.WriteByte(form[i])
			continue
		}
		i++
		if form[i] == '%' {
			b.WriteByte('%')
			continue
		}
		b.WriteString(e(typ(form[i])))
	}
	return b.String()
}

func (m *maker) call(sc *scope, t typ, depth int) string {
	var of []string
	for _, c := range m.calls {
		if c.typ == t {
			of = append(of, c.sql)
		}
	}
	if len(of) == 0 {
		return ""
	}
	return m.fill(m.one(of...), func(t typ) string { return m.expr(sc, t, depth-2) })
}

// scalar is a subquery where an expression may be.
func (m *maker) scalar(sc *scope, t typ, depth int) string {
	switch {
	case t == boolean && m.chance(50):
		sql, _ := m.plain(sc, []typ{m.base()}, depth-1)
		return m.one("", "not ") + "exists (" + sql + ")"
	case t == boolean:
		of := m.base()
		sql, _ := m.plain(sc, []typ{of}, depth-1)
		return m.expr(sc, of, depth-2) + m.one(" in (", " = any (", " not in (", " = all (") + sql + ")"
	case m.chance(20):
		sql, _ := m.plain(sc, []typ{t}, depth-1)
		return "(array(" + sql + " order by 1))[1]"
	}
	from, inner := m.from(sc, depth-1)
	own := &scope{rels: inner.rels} // an aggregate of an outer query's columns belongs to that query
	agg := m.one("max", "min")
	if t == text && m.chance(30) {
		e := m.expr(own, text, depth-2)
		return fmt.Sprintf("(select string_agg(%s, ',' order by %s) from %s where %s)", e, m.one(e, m.expr(own, integer, 1)+", "+e), from, m.expr(inner, boolean, depth-2))
	}
	return fmt.Sprintf("(select %s(%s) from %s where %s)", agg, m.expr(own, t, depth-2), from, m.expr(inner, boolean, depth-2))
}

func (m *maker) base() typ { return []typ{integer, text}[m.IntN(2)] }

// from is a FROM clause and what it brings into scope.
func (m *maker) from(up *scope, depth int) (string, *scope) {
	sc := &scope{up: up}
	var parts []string
	for range 1 + m.IntN(2)*m.IntN(2) {
		sql, rel := m.item(sc, depth)
		part := sql
		before := len(sc.rels)
		sc.rels = append(sc.rels, rel)
		for before == len(sc.rels)-1 && m.chance(30) {
			next, r := m.item(&scope{up: up}, depth)
			kind := m.one("join", "left join", "right join", "full join", "cross join", "natural join", "join using", "natural left join")
			shared := common(rel, r)
			switch {
			case kind == "cross join":
				part += " cross join " + next
			case strings.HasPrefix(kind, "natural"):
				part = part + " " + kind + " " + next
			case kind == "join using" && shared != "":
				part += " join " + next + " using (" + shared + ")"
			case kind == "full join": // only conditions that can be merged or hashed
				part += " full join " + next + " on " + rel.name + "." + rel.cols[0].name + " is not distinct from null or true"
				part = strings.Replace(part, " is not distinct from null or true", " = "+m.likeOf(r, rel.cols[0].typ), 1)
			default:
				on := m.expr(&scope{up: up, rels: []table{rel, r}}, boolean, 1)
				part += " " + strings.TrimSuffix(kind, " using") + " " + next + " on " + on
			}
			sc.rels = append(sc.rels, r)
			break
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", "), sc
}

func (m *maker) likeOf(r table, t typ) string {
	for _, c := range r.cols {
		if c.typ == t {
			return r.name + "." + c.name
		}
	}
	return m.constant(t)
}

func common(a, b table) string {
	for _, x := range a.cols {
		for _, y := range b.cols {
			if x == y {
				return x.name
			}
		}
	}
	return ""
}

// item is one thing in FROM: a relation, a subquery, a function, VALUES, a CTE.
func (m *maker) item(sc *scope, depth int) (string, table) {
	alias := m.fresh("t")
	switch n := m.IntN(100); {
	case n < 12 && depth > 0:
		sql, cols := m.query(sc.up, nil, depth-1)
		return "(" + sql + ") as " + alias, table{alias, cols}
	case n < 18 && depth > 0:
		sql, cols := m.query(sc, nil, depth-1)
		return "lateral (" + sql + ") as " + alias, table{alias, cols}
	case n < 22 && depth > 0:
		sql, cols := m.query(sc.up, nil, depth-1)
		named, list := rename(cols, alias)
		return "(" + sql + ") as " + alias + "(" + list + ")", table{alias, named}
	case n < 26:
		return "generate_series(1, " + m.one("2", m.expr(&scope{up: sc.up}, integer, 0)) + ") as " + alias + "(g)", table{alias, []column{{"g", integer}}}
	case n < 29:
		return fmt.Sprintf("(values (1, %s), (2, 'bob')) as %s(id, name)", m.constant(text), alias), table{alias, []column{{"id", integer}, {"name", text}}}
	case n < 32:
		return fmt.Sprintf("unnest(array[%s, 'bob']) with ordinality as %s(name, o)", m.expr(&scope{up: sc}, text, 1), alias), table{alias, []column{{"name", text}}}
	case n < 36:
		return "fs_users() " + alias, table{alias, tables[0].cols}
	case n < 38 && !m.loud:
		return "fs_pairs(" + m.constant(integer) + ") " + alias, table{alias, []column{{"p", integer}, {"q", text}}}
	case n < 40 && !m.loud:
		return "fs_loop() as " + alias + "(w)", table{alias, []column{{"w", text}}}
	case n < 38:
		return "fs_noise() " + alias, table{alias, []column{{"p", integer}, {"q", text}}}
	case n < 40:
		return "fs_wipe() " + alias, table{alias, tables[4].cols}
	case n < 43:
		return fmt.Sprintf("jsonb_to_recordset('[{\"a\": 1}]') as %s(a int, b text)", alias), table{alias, []column{{"a", integer}, {"b", text}}}
	case n < 60 && len(m.ctes) > 0:
		c := m.ctes[m.IntN(len(m.ctes))]
		return c.name + " " + alias, table{alias, c.cols}
	}
	r := m.tables[m.IntN(len(m.tables))]
	if m.chance(20) && !strings.Contains(r.name, ".") {
		return r.name, r
	}
	if m.chance(15) {
		named, list := rename(r.cols, alias)
		if r.name == "made" {
			return r.name + " as " + alias, table{alias, r.cols}
		}
		return r.name + " as " + alias + "(" + list + ")", table{alias, named}
	}
	return m.one("", "", "", "only ") + r.name + " " + alias, table{alias, r.cols}
}

func rename(cols []column, alias string) (named []column, list string) {
	var names []string
	for i, c := range cols {
		named = append(named, column{fmt.Sprintf("%s_%d", alias, i), c.typ})
		names = append(names, named[i].name)
	}
	return named, strings.Join(names, ", ")
}

func (m *maker) types() []typ {
	want := make([]typ, 1+m.IntN(3))
	for i := range want {
		want[i] = m.base()
	}
	return want
}

// query is a whole query: WITH, set operations, ORDER BY and LIMIT included. want nil leaves
// the columns to it.
func (m *maker) query(up *scope, want []typ, depth int) (string, []column) {
	if want == nil && m.chance(10) {
		if sql, cols := m.star(up, depth); sql != "" {
			return sql, cols
		}
	}
	if want == nil {
		want = m.types()
	}
	with, before := m.with(up, depth)
	defer func() { m.ctes = m.ctes[:before] }()
	sql, cols := m.plain(up, want, depth)
	for depth > 0 && m.chance(15) {
		other, _ := m.plain(up, want, depth-1)
		sql = "(" + sql + ")" + m.one(" union all ", " union ", " except ", " intersect ", " except all ") + "(" + other + ")"
	}
	if m.chance(25) {
		sql += " order by " + m.one("1", "1 desc", "1 nulls first")
		if m.chance(30) {
			order := make([]string, len(want))
			for i := range want {
				order[i] = fmt.Sprint(i + 1)
			}
			sql = strings.TrimSuffix(sql, m.one("")) // the whole row, so that LIMIT chooses the same rows each time
			sql = sql[:strings.LastIndex(sql, " order by ")] + " order by " + strings.Join(order, ", ") + m.one(" limit 2", " offset 1", " fetch first 1 row only", " limit 1 + 1")
		}
	}
	return with + sql, cols
}

// star is a query whose columns are those of what it reads.
func (m *maker) star(up *scope, depth int) (string, []column) {
	sql, rel := m.item(&scope{up: up}, depth)
	if strings.HasPrefix(sql, "unnest") || rel.name == "made" || strings.Contains(sql, "made ") {
		return "", nil
	}
	sc := &scope{up: up, rels: []table{rel}}
	return fmt.Sprintf("select %s from %s where %s", m.one("*", rel.name+".*"), sql, m.expr(sc, boolean, depth)), rel.cols
}

// with makes common table expressions, which the query after them may name.
func (m *maker) with(up *scope, depth int) (string, int) {
	before := len(m.ctes)
	if depth < 2 || !m.chance(20) {
		return "", before
	}
	var parts []string
	recursive := ""
	for range 1 + m.IntN(2) {
		name := m.fresh("c")
		if m.chance(10) {
			name = m.one("users", "plain") // shadows a table
		}
		for _, c := range m.ctes[before:] {
			if c.name == name {
				name = m.fresh("c")
			}
		}
		if m.chance(20) {
			recursive = "recursive "
			name = m.fresh("r")
			parts = append(parts, fmt.Sprintf("%s(id, w) as (select id, label from tree where %s union select t.id, %s from tree t join %s on t.parent = %s.id)",
				name, m.expr(&scope{rels: []table{{"tree", tables[5].cols}}}, boolean, 1), m.one("t.label", name+".w", "left("+name+".w || t.label, 20)"), name, name))
			m.ctes = append(m.ctes, table{name, []column{{"id", integer}, {"w", text}}})
			continue
		}
		if m.loud && up == nil && m.chance(40) {
			sql, cols := m.change(depth-1, true)
			if cols == nil {
				parts = append(parts, name+" as ("+sql+")")
				continue
			}
			parts = append(parts, name+" as ("+sql+")")
			m.ctes = append(m.ctes, table{name, cols})
			continue
		}
		sql, cols := m.query(up, nil, depth-1)
		named, list := rename(cols, name)
		parts = append(parts, name+"("+list+") as "+m.one("", "materialized ", "not materialized ")+"("+sql+")")
		m.ctes = append(m.ctes, table{name, named})
	}
	return "with " + recursive + strings.Join(parts, ", ") + " ", before
}

// plain is one SELECT with columns of the types wanted.
func (m *maker) plain(up *scope, want []typ, depth int) (string, []column) {
	from, sc := m.from(up, depth)
	var list []string
	var cols []column
	out := func(sql string, t typ) {
		name := fmt.Sprintf("o%d", len(cols)+1)
		list = append(list, sql+" as "+name)
		cols = append(cols, column{name, t})
	}
	where := ""
	if m.chance(50) {
		where = " where " + m.expr(sc, boolean, depth)
	}
	switch n := m.IntN(100); {
	case n < 15: // grouped
		sc = &scope{rels: sc.rels}
		key := m.find(sc, m.base())
		if key == "" {
			key = "1 + 1"
		}
		key = m.one(key, "coalesce("+key+", "+key+")")
		for _, t := range want {
			out(m.aggregate(sc, t, depth), t)
		}
		tail := fmt.Sprintf(" group by %s", m.one(key, "grouping sets ((), ("+key+"))", "rollup ("+key+")"))
		if m.chance(30) {
			tail += " having " + m.aggregate(sc, integer, 1) + " > 0"
		}
		return "select " + strings.Join(list, ", ") + " from " + from + where + tail, cols
	case n < 22: // windows
		for _, t := range want {
			e := m.expr(sc, t, 1)
			over := fmt.Sprintf("(partition by %s order by %s)", m.expr(sc, m.base(), 1), e)
			out(m.one("max("+e+")", "min("+e+")", "first_value("+e+")")+" over "+over, t)
		}
		return "select " + strings.Join(list, ", ") + " from " + from + where, cols
	}
	many := m.IntN(20 * len(want))
	for i, t := range want {
		e := m.expr(sc, t, depth)
		if i == many && t == integer {
			e = "generate_series(1, least(3, " + e + "))"
		} else if i == many {
			e = m.one("unnest(array["+e+", 'u'])", "regexp_split_to_table("+e+", 'a')", "unnest(string_to_array("+e+", 'b'))")
		}
		out(e, t)
	}
	return "select " + m.one("", "", "", "distinct ") + strings.Join(list, ", ") + " from " + from + where, cols
}

func (m *maker) aggregate(sc *scope, t typ, depth int) string {
	e := m.expr(sc, t, depth-1)
	filter := ""
	if m.chance(25) {
		filter = " filter (where " + m.expr(sc, boolean, 1) + ")"
	}
	if t == text {
		return m.one("max("+e+")", "min("+e+")", "string_agg("+e+", ',' order by "+e+")", "array_agg("+e+" order by "+e+")"+filter+"::text", "jsonb_agg("+e+" order by "+e+")::text")
	}
	return m.one("max("+e+")"+filter, "min("+e+")"+filter, "count("+e+")::int", "count(distinct "+e+")::int", "sum("+e+")::int", "count(*)::int")
}
