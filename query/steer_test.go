package query

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func steerSchema() *testSchema {
	s := newSchema(map[string][]string{"t": {"id", "a", "b", "doc"}, "u": {"id", "a"}})
	s.rels[[2]string{"public", "v"}] = &Relation{Schema: "public", Name: "v", Kind: View, Columns: []string{"id", "x"}, Definition: "select id, a as x from public.t where b like 'x%'"}
	return s
}

func TestHowColumnsSteer(t *testing.T) {
	for _, tt := range []struct{ sql, probes, orders, equals, joins string }{
		{"select id from t where a = 'x'", "", "", "t.a", ""},
		{"select id from t where $1 = a and b in ('x', 'y') or not a <> 'z'", "", "", "t.a t.b", ""},
		{"select id from t where a = any($1) and b = 'x'::text and doc ->> 'k' = 'v'", "", "", "t.a t.b t.doc", ""},
		{"select id from t where a is null and b is not null", "", "", "", ""},
		{"select id from t where a like 'x%'", "t.a", "", "", ""},
		{"select id from t where a > 'x' and lower(b) = 'x'", "t.a t.b", "", "", ""},
		{"select id from t where a = b || 'x'", "t.a t.b", "", "", ""},
		{"select id from t where a = (select 'x')", "t.a", "", "", ""},
		{"select id from t where doc ->> a = 'v'", "t.a t.doc", "", "", ""},
		{"select t.id from t join u on t.a = u.a", "", "", "", "t.a=u.a"},
		{"select t.id from t join u using (a)", "", "", "", "t.a=u.a"},
		{"select id from t where a in (select a from u)", "", "", "", "t.a=u.a"},
		{"select id from t where a in (select a || '' from u)", "t.a u.a", "", "", ""},
		{"select g from generate_series(1, 9) g join t on t.id = g", "t.id", "", "", ""},
		{"select id from t order by a, lower(b)", "t.b", "t.a", "", ""},
		{"select a, count(*) from t group by 1 having max(b) > 'x'", "t.b", "t.a", "", ""},
		{"select rank() over (partition by a order by b) from t", "", "t.a t.b", "", ""},
		{"select case a when 'x' then 1 end, case when b like 'x' then 1 end from t", "t.b", "", "t.a", ""},
		{"select 1 from u limit (select id from t limit 1)", "t.id", "", "", ""},
		{"select unnest(string_to_array(a, '')) from t", "t.a", "", "", ""},
		{"select id from v where x = 'y'", "", "", "t.a", ""},
		{"select count(*) filter (where a ~ 'x') from t", "t.a", "", "", ""},
		{"delete from t where a > 'x'", "t.a", "", "", ""},
		{"update t set b = 'x' where a = 'y'", "", "", "t.a", ""},
		{"copy (select id from t where a > 'x') to stdout", "t.a", "", "", ""},
		{"explain select id from t where a > 'x'", "t.a", "", "", ""},
	} {
		st := &Analyze(tt.sql, steerSchema())[0]
		if st.Inner != nil {
			st = st.Inner
		}
		var joins []string
		for _, j := range st.Joins {
			joins = append(joins, short(j[:1])+"="+short(j[1:]))
		}
		got := fmt.Sprintf("%s|%s|%s|%s", short(st.Probes), short(st.Orders), short(st.Equals), strings.Join(joins, " "))
		if want := tt.probes + "|" + tt.orders + "|" + tt.equals + "|" + tt.joins; got != want {
			t.Errorf("%s: %s, want %s", tt.sql, got, want)
		}
	}
}

func short(refs []Ref) string {
	var out []string
	for _, r := range refs {
		out = append(out, r.Table+"."+r.Column)
	}
	return strings.Join(out, " ")
}

func TestWhatIsPutWhere(t *testing.T) {
	for sql, want := range map[string]string{
		"insert into u select id, a from t":                                                          "u.id<t.id u.a<t.a",
		"insert into v (x) select a from u":                                                          "t.a<u.a",
		"update t set b = u.a from u":                                                                "t.b<u.a",
		"with w as (insert into u (a) select b from t returning 1) select 1 from w":                  "u.a<t.b",
		"create table n as select a || b as c from t":                                                "n.c<t.a+t.b",
		"alter table t alter column b type text using a":                                             "t.b<t.a",
		"merge into u using t on t.id = u.id when matched then update set a = t.b":                   "u.a<t.b",
		"insert into u (id, a) values (1, 'x') on conflict (id) do update set a = (select b from t)": "u.id< u.a<t.b",
		"copy u from stdin": "u.id< u.a<",
	} {
		var got []string
		for _, p := range Analyze(sql, steerSchema())[0].Puts {
			var from []string
			for _, s := range p.From.Sources {
				from = append(from, short([]Ref{s.Ref}))
			}
			got = append(got, short([]Ref{p.Into})+"<"+strings.Join(from, "+"))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
}

func TestWhatIsCountedIsOnlyThere(t *testing.T) {
	for sql, want := range map[string]How{
		"select count(a) from t": Counted, "select count(distinct a) from t": Counted, "select a is null from t": Counted,
		"select bool_or(a is null) from t": Counted, "select count(nullif(a, 'x')) from t": Derived, "select count(a || b) from t": Derived,
		"select lower(a) is null from t": Derived, "select sum(id) from t": Derived, "select a from t": Direct,
	} {
		st := Analyze(sql, steerSchema())[0]
		if len(st.Output) != 1 || !slices.ContainsFunc(st.Output[0].Sources, func(s Source) bool { return s.How == want }) {
			t.Errorf("%s: %+v, want %s", sql, st.Output, want)
		}
	}
}

func TestTablesThatAreMade(t *testing.T) {
	for sql, want := range map[string]string{
		"create table n (x int primary key, y text[] default '{}', unique (y))": "public.n integer,text[]",
		"create temp table n as select a, b || a as c from t":                   "pg_temp.n ,",
		"create table n (like u, z timestamptz)":                                "public.n ,,timestamp with time zone",
		"create table n (x int) inherits (t)":                                   "",
		"create table n (x int, y int generated always as (x) stored)":          "",
		"create table n as select * from nowhere":                               "",
		"create materialized view n as select 1 as x":                           "",
	} {
		got := ""
		if m := Analyze(sql, steerSchema())[0].Made; m != nil {
			got = m.Relation.Schema + "." + m.Relation.Name + " " + strings.Join(m.Relation.Types, ",")
		}
		if got != want {
			t.Errorf("%s makes %q, want %q", sql, got, want)
		}
	}
}
