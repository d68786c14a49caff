package leak

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// typ is the type of an expression, as the forms below write it.
type typ byte

const (
	whole   typ = 'i'
	text    typ = 't'
	boolean typ = 'b'
)

type column struct {
	name string
	typ  typ
	open bool // nothing personal is in it
}

type relation struct {
	name string // of an item in FROM, its alias
	cols []column
}

// world is what statements are made over: the tables of world_test.go.
var world = []relation{
	{"people", []column{{"id", whole, true}, {"first_name", text, false}, {"last_name", text, false}, {"email", text, false}, {"phone", text, false}, {"salary", whole, false},
		{"iban", text, false}, {"card_whole", text, false}, {"ssn", text, false}, {"street", text, false}, {"api_key", text, false}, {"notes", text, false}, {"low", text, false},
		{"mail::text", text, false}, {"profile->>'email'", text, false}, {"mails[1]", text, false}, {"born::text", text, false}, {"last_ip::text", text, false}, {"profile::text", text, false}}},
	{"people", []column{{"id", whole, true}, {"email", text, false}, {"last_name", text, false}, {"salary", whole, false}}},
	{"cities", []column{{"id", whole, true}, {"name", text, true}, {"size", whole, true}, {"doc->>'n'", text, true}, {"tags[1]", text, true}}},
	{"orders", []column{{"id", whole, true}, {"person_id", whole, true}, {"amount", whole, true}, {"status", text, true}}},
	{"tickets", []column{{"id", whole, true}, {"body", text, false}, {"doc::text", text, false}, {"doc #>> '{contact,email}'", text, false}}},
	{"payroll", []column{{"year", whole, true}, {"person_id", whole, true}, {"salary", whole, false}}},
	{"vip_person", []column{{"id", whole, true}, {"full_name", text, false}, {"level", text, true}}},
	{"contacts", []column{{"id", whole, true}, {"reach", text, false}, {"amount", whole, false}}},
	{"contacts_deep", []column{{"id", whole, true}, {"label", text, false}, {"n", whole, false}}},
	{"people_kept", []column{{"id", whole, true}, {"a", text, false}, {"b", whole, false}}},
	{"plain_copy", []column{{"id", whole, true}, {"reach", text, false}}},
	{"kv", []column{{"k", text, true}, {"v", text, true}}},
	{"numbers", []column{{"n", whole, true}}},
	{"folk()", []column{{"id", whole, true}, {"email", text, false}, {"salary", whole, false}}},
	{"folk_table()", []column{{"a", whole, true}, {"b", text, false}}},
}

// forms are expressions by type; %t, %i and %b stand for others, and %r for a whole row.
var forms = map[typ][]string{
	text: {"%t", "%t", "upper(%t)", "reverse(%t)", "(%t || %t)", "concat(%t, %i)", "substr(%t, 2)", "left(%t, 14)", "right(%t, 20)", "split_part(%t, '@', 1)",
		"replace(%t, '@', ' ')", "translate(%t, '@.', '  ')", "overlay(%t placing '' from 1 for 1)", "regexp_replace(%t, '(.)', '\\1 ', 'g')", "encode(%t::bytea, 'hex')",
		"encode(%t::bytea, 'base64')", "encode(%t::bytea, 'escape')", "(%i)::text", "format('%s-%s', %t, %i)", "quote_literal(%t)", "coalesce(%t, %t)", "nullif(%t, 'x')",
		"greatest(%t, 'a')", "(%t)::varchar(60)", "(%t collate \"C\")", "to_jsonb(%t)::text", "jsonb_build_object('a', %t, 'b', %i)::text", "(jsonb_build_object('a', %t))->>'a'",
		"(array[%t, %t])[1]", "array[%t, %t]::text", "array_to_string(array[%t, 'x'], '+')", "row(%i, %t)::text", "%r::text", "row_to_json(%r)::text", "to_jsonb(%r)::text",
		"case when %b then %t else %t end", "xmlelement(name a, %t)::text", "string_to_array(%t, '@')::text", "lpad(%t, 50, '*')", "initcap(%t)", "twist(%t)", "mail_of(%i)",
		"to_hex(%i)", "to_char(%i, '9999999999')", "(%i)::numeric::text", "convert_from(convert_to(%t, 'UTF8'), 'UTF8')", "chr(65) || %t", "trim(%t)", "btrim(%t, 'z')",
		"(select string_agg(c, '-') from regexp_split_to_table(%t, '') c)", "(select string_agg(ascii(c)::text, ' ') from regexp_split_to_table(%t, '') c)", "md5('x') || %t", "(%t)::name::text",
		"(%t)::bytea::text", "textsend(%t)::text", "jsonb_path_query_first(to_jsonb(%t), '$')::text", "ts_headline('simple', %t, 'zz')", "to_tsvector('simple', %t)::text", "concat_ws(',', %t, %t)", "%q"},
	whole: {"%i", "%i", "(%i + 0)", "-%i", "(%i * 1)", "abs(%i)", "greatest(%i, 0)", "least(%i, 2000000000)", "coalesce(%i, %i)", "(%i)::bigint::int", "(array[%i, %i])[1]",
		"case when %b then %i else %i end", "(%i)::numeric::int", "(to_jsonb(%i))::int", "length(%t)", "ascii(%t)", "lower(int4range(%i, null))", "(%i % 100000000)", "(%i # 0)", "%q"},
	boolean: {"%o > 0", "%o < 30", "%o <> 7", "%o is not null", "%o in (1, 2, 3, 4)", "%o between 1 and 20", "true", "not false"},
}

// maker makes statements; they follow from its seed alone.
type maker struct {
	*rand.Rand
	serial int
	extra  []relation // tables that the walk has made
}

func (m *maker) one(of ...string) string { return of[m.IntN(len(of))] }
func (m *maker) chance(percent int) bool { return m.IntN(100) < percent }

func (m *maker) fresh(prefix string) string {
	m.serial++
	return fmt.Sprintf("%s%d", prefix, m.serial)
}

// find picks a column of what is in scope; "" if there is none.
func (m *maker) find(scope []relation, t typ, open bool) string {
	var found []string
	for _, r := range scope {
		for _, c := range r.cols {
			if c.typ == t && (c.open || !open) {
				found = append(found, r.name+"."+c.name)
				if !c.open {
					found = append(found, r.name+"."+c.name, r.name+"."+c.name)
				}
			}
		}
	}
	if len(found) == 0 {
		return ""
	}
	c := m.one(found...)
	if strings.ContainsAny(c, ":->[ ") {
		return "(" + c + ")"
	}
	return c
}

func (m *maker) constant(t typ) string {
	switch t {
	case whole:
		return m.one("1", "3", "40")
	case text:
		return m.one("'x'", "'ab'", "text 'y'")
	}
	return "true"
}

func (m *maker) expr(scope []relation, t typ, depth int) string {
	if depth <= 0 || m.chance(25) {
		if c := m.find(scope, t, t == boolean); c != "" && m.chance(90) {
			return c
		}
		return m.constant(t)
	}
	form := m.one(forms[t]...)
	var b strings.Builder
	for i := 0; i < len(form); i++ {
		if form[i] != '%' || i+1 == len(form) || !strings.ContainsRune("tibroq", rune(form[i+1])) {
			b.WriteByte(form[i])
			continue
		}
		i++
		switch form[i] {
		case 'r':
			if len(scope) == 0 {
				b.WriteString("row(1)")
			} else {
				b.WriteString(scope[m.IntN(len(scope))].name)
			}
		case 'o': // conditions are mostly on what is not personal, or all is hidden for that
			if c := m.find(scope, whole, m.chance(95)); c != "" {
				b.WriteString(c)
			} else {
				b.WriteString("1")
			}
		case 'q':
			b.WriteString(m.scalar(scope, t, depth-1))
		default:
			b.WriteString(m.expr(scope, typ(form[i]), depth-1))
		}
	}
	return b.String()
}

// scalar is a subquery where a value may be.
func (m *maker) scalar(up []relation, t typ, depth int) string {
	from, scope := m.from(up, depth)
	agg := m.one("max(%)", "min(%)")
	if t == text {
		agg = m.one("max(%)", "min(%)", "string_agg(%, ',')", "array_agg(%)::text", "json_agg(%)::text", "glue(%)", "string_agg(%::bytea, ' ')::text", "xmlagg(xmlelement(name a, %))::text", "jsonb_object_agg(1, %)::text")
	}
	return "(select " + strings.Replace(agg, "%", m.expr(scope, t, depth), 1) + " from " + from + " where " + m.expr(scope, boolean, 1) + ")"
}

func (m *maker) pick() relation {
	if len(m.extra) > 0 && m.chance(70) {
		return m.extra[m.IntN(len(m.extra))]
	}
	return world[m.IntN(len(world))]
}

// from is a FROM clause, and what it brings into scope beside up.
func (m *maker) from(up []relation, depth int) (string, []relation) {
	var parts []string
	var scope []relation
	for range 1 + m.IntN(2)*m.IntN(2) {
		alias := m.fresh("t")
		switch n := m.IntN(100); {
		case n < 15 && depth > 0:
			sql, cols := m.query(depth - 1)
			parts = append(parts, "("+sql+") as "+alias)
			scope = append(scope, relation{alias, cols})
		case n < 22 && depth > 0 && len(scope) > 0:
			e := m.expr(scope, text, depth-1)
			parts = append(parts, "lateral (select "+e+" as l) as "+alias)
			scope = append(scope, relation{alias, []column{{"l", text, false}}})
		case n < 26 && len(scope) > 0:
			parts = append(parts, "unnest(array["+m.expr(scope, text, 1)+"]) as "+alias+"(u)")
			scope = append(scope, relation{alias, []column{{"u", text, false}}})
		default:
			r := m.pick()
			sql := r.name + " as " + alias
			cols := r.cols
			if m.chance(15) && !strings.HasSuffix(r.name, ")") && simpleNames(r) {
				var list []string
				var named []column
				for i, c := range r.cols {
					named = append(named, column{fmt.Sprintf("c%d", i), c.typ, c.open})
					list = append(list, c.name)
				}
				sql, cols = "(select "+strings.Join(list, ", ")+" from "+r.name+") as "+alias+"("+names(named)+")", named
			}
			parts = append(parts, sql)
			scope = append(scope, relation{alias, cols})
		}
	}
	if len(parts) > 1 && m.chance(40) {
		if a, b := m.find(scope[:1], whole, true), m.find(scope[1:2], whole, true); a != "" && b != "" && !strings.Contains(parts[1], "lateral") && !strings.Contains(parts[1], "unnest") {
			join := parts[0] + m.one(" join ", " left join ", " full join ") + parts[1] + " on " + a + " = " + b
			parts = append([]string{join}, parts[2:]...)
		}
	}
	return strings.Join(parts, ", "), append(scope, up...)
}

func simpleNames(r relation) bool {
	for _, c := range r.cols {
		if strings.ContainsAny(c.name, ":->[ ") {
			return false
		}
	}
	return true
}

func names(cols []column) string {
	var list []string
	for _, c := range cols {
		list = append(list, c.name)
	}
	return strings.Join(list, ", ")
}

// query is a whole query, of a few rows.
func (m *maker) query(depth int) (string, []column) {
	types := make([]typ, 1+m.IntN(2))
	for i := range types {
		types[i] = []typ{text, text, whole}[m.IntN(3)]
	}
	sql, cols := m.plain(types, depth)
	if m.chance(15) {
		other, _ := m.plain(types, depth-1)
		sql = "(" + sql + ")" + m.one(" union all ", " union ", " union all ", " except ") + "(" + other + ")"
	}
	if m.chance(15) {
		c := m.fresh("w")
		sql = "with " + c + " as " + m.one("", "materialized ") + "(" + sql + ") select " + names(cols) + " from " + c
	}
	return sql, cols
}

func (m *maker) plain(types []typ, depth int) (string, []column) {
	from, scope := m.from(nil, depth)
	var list []string
	var cols []column
	wrap := m.one("%", "%", "%", "%", "%", "max(%)", "%|window", "%|distinct", "%|group")
	for i, t := range types {
		e := m.expr(scope, t, depth)
		switch {
		case wrap == "max(%)":
			e = m.one("max(", "min(") + e + ")"
		case wrap == "%|window":
			e = m.one("first_value(", "max(", "lag(") + e + ") over (partition by 1)"
		}
		name := m.one(fmt.Sprintf("o%d", i), fmt.Sprintf("o%d", i), "name", "city", "size")
		for _, c := range cols {
			if c.name == name {
				name = fmt.Sprintf("o%d", i)
			}
		}
		list = append(list, e+" as "+name)
		cols = append(cols, column{name, t, false})
	}
	sql := "select "
	if wrap == "%|distinct" {
		sql += "distinct "
	}
	sql += strings.Join(list, ", ") + " from " + from
	if m.chance(60) {
		sql += " where " + m.expr(scope, boolean, 1)
	}
	if wrap == "%|group" {
		var keys []string
		for i := range types {
			keys = append(keys, fmt.Sprint(i+1))
		}
		sql += " group by " + strings.Join(keys, ", ")
	}
	if m.chance(50) {
		sql += " limit 5"
	}
	return sql, cols
}

// walk is a few statements of which the last reads; {n} in them is a number of its own.
func (m *maker) walk() []message {
	depth := 1 + m.IntN(3)
	sql, cols := m.query(depth)
	read := func() string { s, _ := m.query(1 + m.IntN(2)); return s }
	made := func(name string) { m.extra = append(m.extra, relation{name, cols}) }
	var list []string
	switch n := m.IntN(100); {
	case n < 50:
		list = []string{sql}
	case n < 56:
		made("w{n}")
		list = []string{m.one("create table w{n} as ", "create temp table w{n} as ", "create view w{n} as ", "create materialized view w{n} as ") + sql, read()}
	case n < 62: // a clean table, of the types that fit
		list = append(list, "create table w{n} ("+declared(cols)+")")
		made("w{n}")
		list = append(list, "insert into w{n} "+sql, read())
	case n < 66:
		list = append(list, "create table w{n} (id int, "+declared(cols)+")", "insert into w{n} (id) select generate_series(1, 5)")
		list = append(list, "update w{n} set ("+names(cols)+") = ("+strings.TrimSuffix(sql, " limit 5")+" limit 1) where id < 4")
		made("w{n}")
		list = append(list, read())
	case n < 69:
		list = []string{"with s as (" + sql + ") insert into scratch (a, b) select s::text, 'x' from s returning " + m.one("a", "*", "upper(a)", "b, a")}
	case n < 74:
		list = []string{"begin", "declare c cursor for " + sql, m.one("fetch 5 from c", "fetch all c", "fetch first from c"), "rollback"}
	case n < 78:
		list = []string{"prepare p as " + sql, "execute p", "deallocate p"}
	case n < 81:
		list = []string{m.one("explain verbose ", "explain (verbose, costs off) ", "explain (analyze, verbose, timing off, format json) ") + sql}
	case n < 84:
		list = []string{"do $$ declare r record; begin for r in " + sql + " loop raise notice '%', r; end loop; end $$"}
	case n < 87:
		list = []string{"create function g{n}() returns setof text language " + m.one("sql", "sql stable") + " as $f$ select s::text from (" + sql + ") s $f$", "select g{n}()", "select x from g{n}() as f(x)"}
	case n < 90:
		made("v{n}")
		list = []string{"create table w{n} as " + sql, "alter table w{n} rename to v{n}", read()}
	case n < 93:
		list = []string{"begin", "create table w{n} as " + sql}
		made("w{n}")
		list = append(list, read(), "commit", read())
	case n < 96:
		list = []string{"select (" + strings.TrimSuffix(sql, " limit 5") + " limit 1)::text::int"}
		if len(cols) > 1 {
			list = []string{"select (select (s::text)::int from (" + sql + ") s limit 1)"}
		}
	default:
		list = []string{sql, read()}
	}
	var out []message
	for _, s := range list {
		out = append(out, message{sql: s})
	}
	return out
}

func declared(cols []column) string {
	var list []string
	for _, c := range cols {
		list = append(list, c.name+map[typ]string{text: " text", whole: " bigint"}[c.typ])
	}
	return strings.Join(list, ", ")
}
