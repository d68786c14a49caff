package catalog_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/query"
)

const bodiesSQL = `
create table customers (id int primary key, name text, email text, active bool, updated_at timestamptz);
create table audit_log (at timestamptz, what text, who text);
create schema other; create table other.customers (id int, secret text);
create function cleanup() returns void language sql as 'delete from customers where not active';
create function cleanup_all() returns int language plpgsql as $$ declare n int; begin
  delete from customers; get diagnostics n = row_count; return n; end $$;
create function nested() returns void language plpgsql as $$ begin perform cleanup_all(); end $$;
create function loops(n int) returns int language plpgsql as $$ begin if n > 0 then return loops(n - 1); end if; return pong(n); end $$;
create function pong(n int) returns int language plpgsql as $$ begin truncate audit_log; return loops(n); end $$;
create function drops() returns void language plpgsql as $$ begin if true then drop table audit_log; end if; exception when others then null; end $$;
create function dynamic(t text) returns void language plpgsql as $$ begin execute format('delete from %I', t); end $$;
create function loop_dynamic(t text) returns void language plpgsql as $$ declare r record; begin for r in execute 'select ' || t loop null; end loop; end $$;
create function constant_dynamic() returns void language plpgsql as $$ begin execute 'truncate ' || 'customers'; end $$;
create function quoted() returns void language plpgsql as $a$ begin execute $b$ delete from customers where id = 1 $b$; /* ' */ -- ; '
  perform 'x;''y'; end $a$;
create function grants() returns void language plpgsql as $$ begin grant all on customers to public; end $$;
create function becomes() returns void language plpgsql as $$ begin set local role postgres; end $$;
create function sets() returns void language plpgsql as $$ begin perform set_config('role', 'postgres', true); end $$;
create function moves_path() returns void language plpgsql as $$ begin set search_path = other; delete from customers where id = 1; end $$;
create function over(a int) returns int language sql immutable as 'select $1';
create function over(a text) returns int language plpgsql as $$ begin delete from customers where name = a; return 1; end $$;
create function pinned() returns void language sql set search_path = other, pg_temp as 'delete from customers where id = 1';
create function other.shadow() returns void language sql as 'truncate public.customers';
create function hidden_by_name(id int) returns void language sql as 'delete from customers where id = id';
create function all_of(everyone bool) returns void language plpgsql as $$ begin delete from customers where everyone; end $$;
create function variables_win(id int) returns void language plpgsql as $$ #variable_conflict use_variable
  begin delete from customers where customers.id = customers.id or id = 1; end $$;
create function defaulted(a int default 1, variadic b int[] default '{}') returns void language sql as 'delete from customers where id = a';
create function atomic(n int) returns void begin atomic delete from customers where id = n; select 1; end;
create function returning_one(n int) returns int return (select c.id from customers c where c.id = n);
create function makes_code() returns void language plpgsql as $$ begin create function evil() returns int language sql as 'select 1'; end $$;
create function in_declare() returns void language plpgsql as $$ declare x int := cleanup_all(); begin null; end $$;
create function in_cursor() returns void language plpgsql as $$ declare c cursor (k int) for update customers set name = 'x' where id = k returning id; begin open c(1); end $$;
create function in_raise() returns void language plpgsql as $$ begin raise notice 'n %', cleanup_all() using hint = 'x'; end $$;
create function in_case(k int) returns int language plpgsql as $$ begin case k when 1, 2 then return cleanup_all(); else return 0; end case; end $$;
create function in_while() returns void language plpgsql as $$ begin <<l>> while cleanup_all() > 0 loop exit l when cleanup_all() = 0; end loop l; end $$;
create function in_subscript() returns void language plpgsql as $$ declare a int[]; begin a[cleanup_all()] := 1; end $$;
create function in_using() returns void language plpgsql as $$ begin execute 'select $1' using cleanup_all(); end $$;
create function in_bound() returns void language plpgsql as $$ begin for i in reverse 10..cleanup_all() by 2 loop null; end loop; end $$;
create function in_foreach() returns void language plpgsql as $$ declare v int; begin foreach v in array array[cleanup_all()] loop null; end loop; end $$;
create function in_query() returns setof int language plpgsql as $$ begin return query delete from customers returning id; end $$;
create function in_into() returns int language plpgsql as $$ declare v int; begin delete from customers where id = 1 returning id into strict v; return v; end $$;
create function by_default(a int default cleanup_all()) returns int language sql immutable as 'select a';
create function attr(c customers) returns int language plpgsql as $$ begin delete from customers where id = c.id; return 1; end $$;
create function equals(a customers, b int) returns bool language plpgsql as $$ begin delete from customers where id = b; return true; end $$;
create operator === (leftarg = customers, rightarg = int, function = equals);
create function step(s int, x int) returns int language plpgsql as $$ begin delete from audit_log where what = 'x'; return s; end $$;
create aggregate tally(int) (sfunc = step, stype = int, initcond = '0');
create aggregate largest(int) (sfunc = int4larger, stype = int);
create view compares as select c.id from customers c where c operator(public.===) 1;
create view looks as select c.id, public.cleanup_all() as n from customers c;
create view plain as select lower(name) as name from customers;
create procedure tidy(n int) language plpgsql as $$ begin delete from audit_log where what = 'x'; end $$;
create procedure commits() language plpgsql as $$ begin commit; end $$;
create function touch() returns trigger language plpgsql as $$ begin new.updated_at := now(); return new; end $$;
create function audited() returns trigger language plpgsql as $$ begin insert into audit_log values (now(), tg_op, new.name); return new; end $$;
create function slugify(t text) returns text language plpgsql immutable as $$ declare s text; begin
  s := lower(trim(t)); s := regexp_replace(s, '[^a-z0-9]+', '-', 'g'); return trim(both '-' from s); end $$;
create function full_name(p_id int) returns text language sql stable as 'select name || '' <'' || email || ''>'' from customers where id = p_id';
create function get_customer(p_id int) returns customers language plpgsql as $$ declare c customers%rowtype; begin
  select * into c from customers where id = p_id; if not found then raise exception 'no customer %', p_id using errcode = 'no_data_found'; end if; return c; end $$;
create function upsert(p_id int, p_name text) returns void language plpgsql as $$ begin
  insert into customers (id, name) values (p_id, p_name) on conflict (id) do update set name = excluded.name; end $$;`

// What hides in a body is seen from the call of it.
func TestBodies(t *testing.T) {
	conn := connect(t, bodiesSQL+"insert into customers values (1, 'x', 'y', false); insert into audit_log values (now(), 'x', 'y'); insert into other.customers values (1, 's');")
	s := load(t, conn, nil).InPath([]string{"public"})
	const customers, audit = "public.customers", "public.audit_log"
	deleting := 0
	for sql, want := range map[string]struct {
		signs   string
		targets string
		writes  bool
	}{
		"select cleanup()":                 {"", customers, true},
		"select cleanup_all()":             {"no_where", customers, true},
		"select nested()":                  {"no_where", customers, true},
		"select loops(1)":                  {"destructive", audit, true},
		"select drops()":                   {"destructive", audit, true},
		"select dynamic('x')":              {"dynamic_sql", "", true},
		"select loop_dynamic('x')":         {"dynamic_sql", "", true},
		"select constant_dynamic()":        {"destructive", customers, true},
		"select quoted()":                  {"", customers, true},
		"select grants()":                  {"privilege", customers, true},
		"select becomes()":                 {"session_state unknown_routine", "", true},
		"select sets()":                    {"session_state unknown_routine", "", true},
		"select moves_path()":              {"session_state unknown_routine", customers, true},
		"select over('x')":                 {"", customers, true},
		"select pinned()":                  {"", "other.customers", true},
		"select shadow()":                  {"unknown_routine", "", false},
		"select other.shadow()":            {"destructive", customers, true},
		"select hidden_by_name(1)":         {"no_where", customers, true},
		"select all_of(true)":              {"no_where", customers, true},
		"select variables_win(1)":          {"no_where", customers, true},
		"select defaulted()":               {"", customers, true},
		"select defaulted(1, 2, 3)":        {"", customers, true},
		"select cleanup(1)":                {"unknown_routine", "", false},
		"select atomic(1)":                 {"", customers, true},
		"select returning_one(1)":          {"", "", false},
		"select makes_code()":              {"server_code unknown_routine", "", true},
		"select in_declare()":              {"no_where", customers, true},
		"select in_cursor()":               {"", customers, true},
		"select in_raise()":                {"no_where", customers, true},
		"select in_case(1)":                {"no_where", customers, true},
		"select in_while()":                {"no_where", customers, true},
		"select in_subscript()":            {"no_where", customers, true},
		"select in_using()":                {"no_where", customers, true},
		"select in_bound()":                {"no_where", customers, true},
		"select in_foreach()":              {"no_where", customers, true},
		"select * from in_query()":         {"no_where", customers, true},
		"select in_into()":                 {"", customers, true},
		"explain select cleanup()":         {"", "", false},
		"explain analyze select cleanup()": {"", customers, true},
		"select by_default()":              {"no_where", customers, true},
		"select c.attr from customers c":   {"no_where", customers, true},
		"select (c).attr from customers c": {"no_where", customers, true},
		"select (row(1, 'x', 'y', true, null)::customers).attr": {"", customers, true},
		"select id from looks":            {"no_where", customers, true},
		"select * from plain":             {"", "", false},
		"select c === 1 from customers c": {"no_where", customers, true},
		"select c.id from customers c order by c operator(public.===) 1": {"no_where", customers, true},
		"select id from compares":               {"", customers, true},
		"select tally(id) from customers":       {"no_where", audit, true},
		"select largest(id) from customers":     {"", "", false},
		"call tidy(1)":                          {"", audit, true},
		"call commits()":                        {"unknown_routine", "", true},
		"do 'begin perform cleanup_all(); end'": {"no_where", customers, true},
		"do language plperl 'x'":                {"dynamic_sql unknown_routine", "", true},
		"select touch()":                        {"", "", false},
		"select audited()":                      {"", audit, true},
		"select slugify('x')":                   {"", "", false},
		"select full_name(1)":                   {"", "", false},
		"select * from get_customer(1)":         {"", "", false},
		"select upsert(1, 'x')":                 {"", customers, true},
		"update audit_log set what = 'x' where what = slugify('y')": {"", audit, true},
	} {
		st := query.Analyze(sql, s)[0]
		var signs, targets []string
		for _, x := range st.Signs {
			signs = append(signs, string(x))
		}
		for _, r := range st.Targets {
			if r.Table != "evil" {
				targets = append(targets, r.String())
			}
		}
		if strings.Join(signs, " ") != want.signs || strings.Join(targets, " ") != want.targets || st.Writes != want.writes {
			t.Errorf("%s: signs %v, targets %v, writes %v, want %+v (%s)", sql, signs, targets, st.Writes, want, st.Problem)
		}
		changed := changedBy(t, conn, sql)
		deleting += len(changed)
		for _, rel := range changed {
			if !slices.Contains(targets, rel) && !st.Has(query.UnknownRoutine) && !st.Has(query.DynamicSQL) {
				t.Errorf("%s: changed %s, which is not in %v", sql, rel, targets)
			}
		}
	}
	if deleting < 25 {
		t.Errorf("only %d statements changed rows on the server: the test shows little", deleting)
	}
}

// changedBy runs sql on the server, undoes it, and says which tables had rows changed.
// What the server refuses changes none.
func changedBy(t *testing.T, conn *pgx.Conn, sql string) (rels []string) {
	t.Helper()
	ctx := t.Context()
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(ctx) //nolint:errcheck // the connection ends with the test
	if _, err := tx.Exec(ctx, "set local search_path = public"); err != nil {
		t.Fatal(err)
	}
	before := counters(t, tx)
	if _, err := tx.Exec(ctx, sql); err != nil {
		return nil
	}
	for rel, n := range counters(t, tx) {
		if n != before[rel] {
			rels = append(rels, rel)
		}
	}
	return rels
}

// counters are the changes of rows that this session has made to each table.
func counters(t *testing.T, tx pgx.Tx) map[string]int64 {
	t.Helper()
	rows, err := tx.Query(t.Context(), "select schemaname || '.' || relname, n_tup_ins + n_tup_upd + n_tup_del from pg_stat_xact_user_tables")
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]int64{}
	var rel string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&rel, &n}, func() error { list[rel] = n; return nil }); err != nil {
		t.Fatal(err)
	}
	return list
}

// What a body reads is read by its caller, and reaches its result.
func TestBodyReads(t *testing.T) {
	s := load(t, connect(t, bodiesSQL), nil).InPath([]string{"public"})
	st := query.Analyze("select full_name(1)", s)[0]
	var reads []string
	for _, r := range st.Reads {
		reads = append(reads, r.String())
	}
	if d := cmp.Diff([]string{"public.customers.email", "public.customers.id", "public.customers.name"}, reads); d != "" {
		t.Error(d)
	}
	if len(st.Output) != 1 || sourcesOf(st.Output[0]) != "customers.email customers.name" {
		t.Errorf("the result of a routine that reads a table is %+v", st.Output)
	}
	st = query.Analyze("select constant_dynamic(), drops()", s)[0]
	if !slices.Equal(st.Inside, []query.Kind{query.Drop, query.Truncate}) {
		t.Errorf("inside are %v", st.Inside)
	}
}

// sourcesOf are the sources of a column, "?" if they are not known, and "as it is" before
// them if one of them is said to come through as it is.
func sourcesOf(c query.Column) string {
	if !c.Known {
		return "?"
	}
	var list []string
	for _, s := range c.Sources {
		list = append(list, s.Ref.Table+"."+s.Ref.Column)
		if s.How != query.Derived {
			list = append([]string{"as it is:"}, list...)
		}
	}
	return strings.Join(list, " ")
}

// A result is known if nothing but the arguments can be in it, or if it is that of one
// SELECT.
func TestBodyResults(t *testing.T) {
	s := load(t, connect(t, bodiesSQL+`
create function slug2(t text) returns text language sql as 'select slugify(upper(t))';
create function even(n int) returns bool language plpgsql as $$ begin if n = 0 then return true; end if; return odd(n - 1); end $$;
create function odd(n int) returns bool language plpgsql as $$ begin if n = 0 then return false; end if; return even(n - 1); end $$;
create function by_table(t text) returns text language sql as 'select max(email) from customers';
create function by_exists(t text) returns bool language sql as 'select exists (select 1 from customers)';
create function by_nested(t text) returns text language plpgsql as $$ declare x text := by_table(t); begin return x; end $$;
create function by_setting(t text) returns text language plpgsql as $$ begin return current_setting('app.x'); end $$;
create function by_cursor(c refcursor) returns text language plpgsql as $$ declare x text; begin fetch c into x; return x; end $$;
create function by_loop(c refcursor) returns text language plpgsql as $$ declare r record; begin fetch next from c into r; return r.email; end $$;
create function by_text(t text) returns text language plpgsql as $$ declare x text; begin execute t into x; return x; end $$;
create function by_constant(t text) returns text language plpgsql as $$ declare x text; begin execute 'select email from customers' into x; return x; end $$;
create function by_assignment(t text) returns text language plpgsql as $$ declare x text; begin x := max(email) from customers; return x; end $$;
create function by_overload(t text) returns text language sql as 'select $1';
create function by_overload(t int) returns text language sql as 'select max(email) from customers';
create function by_absent(t text, e text default by_table('x')) returns text language sql as 'select e';
create function by_xml(t text) returns text language sql as $$ select query_to_xml(t, true, true, '')::text $$;
create function picked(n int, note text) returns text language sql as 'select case when n > 0 then note end';
create function atomic_text(n int) returns text begin atomic select email from customers where id = n; end;
create function returned(t text) returns text return t || by_table(t);
create function doubted(name text) returns text language sql as 'select name from customers limit 1';
create function endless(t text) returns text language sql as 'select endless(t)';
create function hidden_write(t text) returns text language sql as 'with w as (update customers set email = t where id = 1 returning email) select email from w';
create function rows_of(lowest int) returns table (n int, e text) language sql as 'select id, email from customers where id >= lowest';
create function whole(lowest int) returns setof customers language sql as 'select * from customers where id >= lowest';
create function record_of() returns setof record language sql as 'select id, email from customers';
create function plain_harmless(t text) returns text language sql immutable as 'select upper(t)';
`), nil).InPath([]string{"public"})
	for call, want := range map[string]string{
		"slugify(name)": "customers.name", "slug2(name)": "customers.name", "even(id)": "customers.id", "plain_harmless(name)": "customers.name",
		"slugify(plain_harmless(name))": "customers.name", "by_table(name)": "customers.email", "by_exists(name)": "", "full_name(id)": "customers.email customers.name",
		"upper(by_table(name)) || name": "customers.email customers.name", "picked(note => name, n => id)": "customers.name", "picked(id, name)": "customers.name",
		"atomic_text(id)": "customers.email", "returned(name)": "customers.email customers.name", "by_table((select email from customers limit 1))": "customers.email",
		"by_nested(name)": "?", "by_setting(name)": "?", "by_cursor('c')": "?", "by_loop('c')": "?", "by_text(name)": "?", "by_constant(name)": "?",
		"by_assignment(name)": "?", "by_overload(name)": "?", "by_absent(name)": "?", "by_absent(name, email)": "customers.email", "by_xml(name)": "?",
		"loops(id)": "?", "nothing(name)": "?", "doubted(name)": "?", "endless(name)": "customers.name", "hidden_write(name)": "?",
	} {
		if st := query.Analyze("select "+call+" from customers", s)[0]; sourcesOf(st.Output[0]) != want {
			t.Errorf("%s: %+v, want %q (%s)", call, st.Output[0], want, st.Problem)
		}
	}
	for sql, want := range map[string]string{
		"select * from rows_of(1)": "n: customers.id, e: customers.email", "select r.e from rows_of(1) r": "e: customers.email",
		"select * from whole(1)": "id: customers.id, name: customers.name, email: customers.email, active: customers.active, updated_at: customers.updated_at", "select x.a from rows_of(1) x(b, a)": "a: customers.email",
		"select * from record_of() as x(a int, b text)": "a: customers.id, b: customers.email",
	} {
		var got []string
		for _, c := range query.Analyze(sql, s)[0].Output {
			got = append(got, c.Name+": "+sourcesOf(c))
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
}

// A body that is replaced makes another snapshot.
func TestBodyReplaced(t *testing.T) {
	conn := connect(t, bodiesSQL)
	before := load(t, conn, nil)
	if _, err := conn.Exec(t.Context(), "create or replace function slugify(t text) returns text language plpgsql immutable as $$ begin delete from customers; return t; end $$"); err != nil {
		t.Fatal(err)
	}
	after := load(t, conn, before)
	if after == before {
		t.Fatal("the snapshot is the same")
	}
	if st := query.Analyze("select slugify('x')", after)[0]; !st.Has(query.NoWhere) {
		t.Errorf("signs %v", st.Signs)
	}
}
