package catalog_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/catalog"
	"github.com/sluicehq/sluice/internal/pgtest"
	"github.com/sluicehq/sluice/query"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func connect(t *testing.T, setup string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	run(t, conn, setup)
	return conn
}

func run(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func load(t *testing.T, conn *pgx.Conn, previous *catalog.Snapshot) *catalog.Snapshot {
	t.Helper()
	s, err := catalog.Load(t.Context(), conn, previous)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const shop = `
create schema shop;
create domain shop.mail as text check (value like '%@%');
create domain shop.worker as shop.mail;
create table shop.people (id bigserial primary key, email shop.worker not null, gone int, full_name varchar(80));
comment on column shop.people.full_name is 'as on the passport';
alter table shop.people drop column gone;
create view shop.adults as select id, email as contact from shop.people;
create materialized view shop.counts as select count(*) from shop.people;
create table public.people (id int, note text);
create table shop.orders (id int, at date) partition by range (at);
create table shop.orders_2026 partition of shop.orders for values from ('2026-01-01') to ('2027-01-01');
`

func names(rels []*query.Relation) []string {
	var out []string
	for _, r := range rels {
		out = append(out, r.Schema+"."+r.Name)
	}
	return out
}

func TestLoad(t *testing.T) {
	s := load(t, connect(t, shop), nil)

	people := s.Lookup("shop", "people")
	if len(people) != 1 {
		t.Fatalf("shop.people: %v", names(people))
	}
	want := &query.Relation{Schema: "shop", Name: "people", Kind: query.Table, Columns: []string{"id", "email", "full_name"},
		Types: []string{"bigint", "text", "character varying(80)"}, Required: []string{"id", "email"}, Limited: []string{"email", "id"}}
	if d := cmp.Diff(want, people[0]); d != "" {
		t.Error(d)
	}
	c, ok := s.Column("shop", "people", "email")
	if !ok || c.Type != "text" || c.TypeOID != 25 {
		t.Errorf("a domain over a domain: got %+v", c)
	}
	c, _ = s.Column("shop", "people", "full_name")
	if c.Type != "character varying(80)" || c.Comment != "as on the passport" {
		t.Errorf("full_name: got %+v", c)
	}
	view := s.Lookup("shop", "adults")[0]
	if view.Kind != query.View || !strings.Contains(view.Definition, "shop.people") || strings.HasSuffix(view.Definition, ";") {
		t.Errorf("view: got %+v", view)
	}
	if mv := s.Lookup("shop", "counts")[0]; mv.Kind != query.MaterializedView || mv.Definition == "" {
		t.Errorf("materialized view: got %+v", mv)
	}
}

func TestLookupByPath(t *testing.T) {
	conn := connect(t, shop+`create table public.pg_class (email text); create temp table people (x text);`)
	s := load(t, conn, nil)
	for _, tt := range []struct {
		name string
		in   query.Schema
		ask  string
		want []string
	}{
		{"path unknown: every candidate", s, "people", []string{"shop.people", "public.people"}},
		{"path unknown, through InPath", s.InPath(nil), "people", []string{"shop.people", "public.people"}},
		{"first in path", s.InPath([]string{"public", "shop"}), "people", []string{"public.people"}},
		{"order of the path", s.InPath([]string{"shop", "public"}), "people", []string{"shop.people"}},
		{"pg_catalog comes first", s.InPath([]string{"public"}), "pg_class", []string{"pg_catalog.pg_class"}},
		{"unless it is named", s.InPath([]string{"public", "pg_catalog"}), "pg_class", []string{"public.pg_class"}},
		{"not in path", s.InPath([]string{"public"}), "orders", nil},
		{"$user is not resolved here", s.InPath([]string{"$user", "public"}), "people", []string{"shop.people", "public.people"}},
		{"pg_temp in path is not known", s.InPath([]string{"pg_temp", "public"}), "people", []string{"shop.people", "public.people"}},
		{"empty path", s.InPath([]string{}), "people", nil},
		{"nothing", s, "no_such", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, names(tt.in.Lookup("", tt.ask))); d != "" {
				t.Error(d)
			}
		})
	}
	if got := s.Lookup("pg_temp", "people"); len(got) != 1 || !strings.HasPrefix(got[0].Schema, "pg_temp_") {
		t.Errorf("pg_temp.people: %v", names(got))
	}
}

func TestHarmless(t *testing.T) {
	s := load(t, connect(t, `
create function public.double(x int) returns int immutable language sql as 'select abs($1) * 2';
create function public.shout(x text) returns text immutable language sql as 'select upper(x) || ''from''';
create table secrets (v text);
create function public.peek() returns text stable language sql as 'select v from secrets';
create function public.peek_lying() returns text immutable language plpgsql as 'begin return (select v from secrets); end';
create function public.peek_sql() returns text immutable language sql as 'select v from secrets limit 1';
create function public.by_table() returns setof secrets immutable language sql as 'table secrets';
create function public.wipe() returns int volatile language plpgsql as 'begin delete from secrets; return 1; end';
create function public.calls_wipe() returns int immutable language sql as 'select public.wipe()';
create function public.definer(x int) returns int immutable language sql security definer as 'select x';
create function public.lower(x int) returns int volatile language plpgsql as 'begin return x; end';
create function public.calls_shadow() returns int immutable language sql as 'select lower(1)';
create procedure public.proc() language sql as 'select 1';
create function public.comment() returns int immutable language sql as 'select 1 /* '' */ + 1';
`), nil)
	for name, want := range map[string]bool{
		"count": true, "now": true, "upper": true, "random": true, "nextval": true, "pg_sleep": true, "format_type": true,
		"pg_get_viewdef": true, "pg_table_is_visible": true, "array_agg": true, "json_agg": true, "gen_random_uuid": true,
		"public.double": true, "double": true, "shout": true, "pg_catalog.lower": true,

		"peek": false, "peek_lying": false, "peek_sql": false, "by_table": false, "wipe": false, "calls_wipe": false, "calls_shadow": false,
		"definer": false, "proc": false, "comment": false, "no_such_function": false,
		"lower":        false, // one of the two that it may mean is not known
		"pg_read_file": false, "pg_ls_dir": false, "lo_import": false, "lo_get": false, "pg_terminate_backend": false,
		"set_config": false, "query_to_xml": false, "table_to_xml": false, "pg_logical_emit_message": false,
		"pg_reload_conf": false, "ts_stat": false, "pg_stat_get_activity": false, "setval": false, "pg_notify": false,
		"pg_advisory_lock": false, "pg_switch_wal": false, "pg_cursor": false,
	} {
		schema, fn, dotted := strings.Cut(name, ".")
		if !dotted {
			schema, fn = "", name
		}
		if got := s.Harmless(schema, fn); got != want {
			t.Errorf("Harmless(%q, %q) = %v", schema, fn, got)
		}
	}
	if (*catalog.Snapshot)(nil).Harmless("", "count") {
		t.Error("without a catalogue nothing is harmless")
	}
}

func TestBuiltInLabels(t *testing.T) {
	s := load(t, connect(t, ""), nil)
	for ref, want := range map[string]string{
		"pg_catalog.pg_class.relname":                          "clean",
		"pg_catalog.pg_attribute.attname":                      "clean",
		"information_schema.columns.column_name":               "clean",
		"pg_catalog.pg_stats.most_common_vals":                 "stats",
		"pg_catalog.pg_stats.histogram_bounds":                 "stats",
		"pg_catalog.pg_statistic.stavalues1":                   "stats",
		"pg_catalog.pg_stat_activity.query":                    "sql",
		"pg_catalog.pg_authid.rolpassword":                     "secret",
		"pg_catalog.pg_shadow.passwd":                          "secret",
		"pg_catalog.pg_largeobject.data":                       "personal",
		"pg_catalog.pg_description.description":                "unknown",
		"pg_catalog.pg_proc.prosrc":                            "unknown",
		"information_schema.user_mapping_options.option_value": "secret",
	} {
		p := strings.Split(ref, ".")
		l, ok := s.Label(query.Ref{Schema: p[0], Table: p[1], Column: p[2]})
		got := "unknown"
		switch {
		case l.PII:
			got = l.Type
		case l.Clean:
			got = "clean"
		}
		if got != want || (want != "unknown") != ok {
			t.Errorf("%s: got %s, want %s", ref, got, want)
		}
	}
	for ref := range s.Columns() {
		if ref.Schema == "pg_toast" {
			if l, _ := s.Label(ref); !l.PII {
				t.Errorf("%s passes", ref)
			}
		}
	}
}

func TestLabelsOutliveRenames(t *testing.T) {
	conn := connect(t, shop)
	first := load(t, conn, nil)
	email := query.Ref{Schema: "shop", Table: "people", Column: "email"}
	note := query.Ref{Schema: "public", Table: "people", Column: "note"}
	labelled := first.WithLabels(map[query.Ref]catalog.Label{
		email: {PII: true, Type: "email", Where: "whole"},
		note:  {Clean: true},
		{Schema: "pg_catalog", Table: "pg_authid", Column: "rolpassword"}: {Clean: true},
	})
	if _, ok := first.Label(email); ok {
		t.Error("the snapshot before was changed")
	}
	if labelled.Version <= first.Version {
		t.Error("new labels must give a new version: verdicts are cached by it")
	}
	if l, _ := labelled.Label(query.Ref{Schema: "pg_catalog", Table: "pg_authid", Column: "rolpassword"}); !l.PII {
		t.Error("a built-in label was overruled")
	}
	if again := load(t, conn, labelled); again != labelled {
		t.Error("nothing changed, but Load made a new snapshot")
	}
	run(t, conn, `alter table shop.people rename email to status;
		create schema attic; alter table shop.people set schema attic; alter table public.people rename note to remark`)
	next := load(t, conn, labelled)
	if l, _ := next.Label(query.Ref{Schema: "attic", Table: "people", Column: "status"}); !l.PII {
		t.Error("renaming a column and moving its table took the label away")
	}
	if _, ok := next.Label(query.Ref{Schema: "public", Table: "people", Column: "remark"}); ok {
		t.Error("a column that got a new name is still taken for clean")
	}
	if next.Version <= labelled.Version {
		t.Error("version did not grow")
	}
}

func TestLabelsReachPartitions(t *testing.T) {
	s := load(t, connect(t, `
create table p (id int, v text) partition by range (id);
create table p1 partition of p for values from (0) to (10) partition by range (id);
create table p11 partition of p1 for values from (0) to (5);
create table p2 partition of p for values from (10) to (20);`), nil)
	s = s.WithLabels(map[query.Ref]catalog.Label{
		{Schema: "public", Table: "p11", Column: "v"}: {PII: true, Type: "email", Where: "whole"},
		{Schema: "public", Table: "p2", Column: "v"}:  {Clean: true},
	})
	for _, table := range []string{"p", "p1", "p11", "p2"} {
		if l, _ := s.Label(query.Ref{Schema: "public", Table: table, Column: "v"}); !l.PII || l.Clean {
			t.Errorf("%s.v: %+v", table, l)
		}
	}
}

func TestChanged(t *testing.T) {
	conn := connect(t, shop+"insert into public.people select g, 'x' from generate_series(1, 100) g")
	r := &catalog.Reader{Conn: conn}
	last, err := r.Read(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		sql     string
		changes bool
	}{
		{"create table a (x int)", true},
		{"alter table a add y text", true},
		{"alter table a rename y to z", true},
		{"alter table a drop z", true},
		{"create or replace view shop.adults as select id, full_name::text::shop.worker as contact from shop.people", true},
		{"create function f() returns int language sql as 'select 1'", true},
		{"create or replace function f() returns int language sql as 'select 2'", true},
		{"comment on column a.x is 'y'", true},
		{"alter domain shop.mail drop constraint mail_check", false}, // it called no function
		{"create domain shop.d as int", true},
		{"alter table a rename to b", true},
		{"drop table b", true},
		{"insert into public.people values (1, 'x')", false},
		{"analyze public.people", false},
		{"create temp table gone (x int)", false},
		{"drop table gone", false},
		{"create index on public.people (id)", false},
		{"grant select on public.people to public", false},
		{"create type mood as enum ('calm')", true},
	} {
		run(t, conn, tt.sql)
		next, err := r.Read(t.Context(), last)
		if err != nil {
			t.Fatal(err)
		}
		if got := next != last; got != tt.changes {
			t.Errorf("%s: changed %v", tt.sql, got)
		}
		last = next
	}
}

func TestDatabaseIsKnownWhateverRoleAsks(t *testing.T) {
	conn := connect(t, "create role reader login; set role reader")
	a := load(t, conn, nil)
	run(t, conn, "reset role")
	if b := load(t, conn, nil); a.Identity == "" || a.Identity != b.Identity {
		t.Errorf("%q and %q", a.Identity, b.Identity)
	}
	run(t, conn, "revoke execute on function pg_control_system() from public; set role reader")
	if c := load(t, conn, nil); c.Identity != "" {
		t.Errorf("%q, though it may not be asked", c.Identity)
	}
}

func TestSample(t *testing.T) {
	conn := connect(t, `
create table analysed (mail text, n bigint, ok bool);
insert into analysed select 'user' || g || '@example.org', g, true from generate_series(1, 300) g;
analyze analysed;
create table fresh ("odd ""name" text, wide text);
insert into fresh select 'v' || g, repeat('x', 5000) from generate_series(1, 50) g;
create table locked (v text); insert into locked values ('never read');
create table zzz (v text); insert into zzz values ('after the locked one');
create table flags (f text); insert into flags select (array['on', 'off'])[1 + g % 2] from generate_series(1, 300) g;
analyze flags; insert into flags values ('later');
create role nobody;
`)
	holder, err := pgx.ConnectConfig(t.Context(), conn.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close(context.Background())
	run(t, holder, "begin; lock table locked in access exclusive mode")

	s := load(t, conn, nil)
	start := time.Now()
	got, err := catalog.Sample(t.Context(), conn, s, catalog.Budget{})
	if err == nil || !strings.Contains(err.Error(), "public.locked") {
		t.Errorf("the locked table is not reported: %v", err)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("waited %v for a lock", d)
	}
	ref := func(table, column string) query.Ref { return query.Ref{Schema: "public", Table: table, Column: column} }
	if v := got[ref("analysed", "mail")]; len(v) < 50 || !strings.HasSuffix(v[0], "@example.org") {
		t.Errorf("statistics not used: %d values", len(v))
	}
	if v := got[ref("analysed", "ok")]; v != nil {
		t.Errorf("read a column that can hold nothing personal: %v", v)
	}
	if v := got[ref("fresh", `odd "name`)]; len(v) != 50 {
		t.Errorf("odd name: %d values", len(v))
	}
	if v := got[ref("fresh", "wide")]; len(v) != 50 || len(v[0]) != 2000 {
		t.Errorf("wide: %d values", len(v))
	}
	if v := got[ref("zzz", "v")]; len(v) != 1 {
		t.Errorf("reading stopped at the locked table: %v", v)
	}
	if v := got[ref("flags", "f")]; len(v) != 20 || v[0] == v[1] || v[0] != v[2] { // two values, as often as it takes
		t.Errorf("a table was read of which the statistics have all values: %v", v)
	}
	for range 5 { // which table is read is left to chance
		few, err := catalog.Sample(t.Context(), conn, s, catalog.Budget{Tables: 1, Rows: 5, Values: 3})
		if err != nil && !strings.Contains(err.Error(), "public.locked") {
			t.Error(err)
		}
		if f, z := len(few[ref("fresh", "wide")]), len(few[ref("zzz", "v")]); f > 3 || f > 0 && z > 0 || err == nil && f+z == 0 {
			t.Errorf("budget not kept: %d and %d values, %v", f, z, err)
		}
	}
}

func TestTenThousandTables(t *testing.T) {
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, "do $$ begin for i in 1..100 loop execute format('create table t_%d_%%s (id bigint, a text, b text, c numeric, d date, e timestamptz)', i); end loop; end $$;", i)
	}
	conn := connect(t, "set synchronous_commit = off")
	for _, sql := range strings.SplitAfter(b.String(), "$$;") {
		if sql != "" {
			run(t, conn, sql)
		}
	}
	start := time.Now()
	s := load(t, conn, nil)
	if d := time.Since(start); d > 15*time.Second {
		t.Errorf("loading took %v", d)
	} else {
		t.Logf("loaded in %v", d)
	}
	if _, ok := s.Column("public", "t_99_100", "e"); !ok {
		t.Error("the last table is missing")
	}
}
