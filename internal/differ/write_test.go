package differ

import (
	"fmt"
	"slices"
	"strings"
)

// goals are relations that a generated INSERT, UPDATE, DELETE or MERGE is aimed at.
func (m *maker) goal() table {
	for {
		r := m.tables[m.IntN(len(m.tables))]
		if m.goals != nil && !slices.Contains(m.goals, r.name) {
			continue
		}
		if r.name == "joined" || r.name == "counted" || r.name == "over_contacts" || r.name == "kept" {
			if !m.chance(5) { // refused by the server
				continue
			}
		}
		return r
	}
}

// change is one statement that changes rows. With returning, it may give columns.
func (m *maker) change(depth int, returning bool) (string, []column) {
	goal := m.goal()
	var sql string
	switch m.IntN(10) {
	case 0, 1, 2:
		sql = m.insert(goal, depth)
	case 3, 4, 5:
		sql = m.update(goal, depth)
	case 6, 7:
		sql = m.remove(goal, depth)
	case 8:
		if returning {
			return m.change(depth, true) // has no RETURNING before version 17
		}
		return m.merge(goal, depth), nil
	default:
		sql = m.insert(goal, depth)
	}
	if !returning || m.chance(30) {
		return sql, nil
	}
	goal.name = "g"
	sc := &scope{rels: []table{goal}}
	var list []string
	var cols []column
	for i, t := range m.types() {
		cols = append(cols, column{fmt.Sprintf("o%d", i+1), t})
		list = append(list, m.expr(sc, t, 1)+" as "+cols[i].name)
	}
	return sql + " returning " + strings.Join(list, ", "), cols
}

// some columns of a relation, at least one, in order.
func (m *maker) some(cols []column) []column {
	var out []column
	for _, c := range cols {
		if c.name != "twice" && m.chance(60) {
			out = append(out, c)
		}
	}
	if out == nil {
		return cols[:1]
	}
	return out
}

func typesOf(cols []column) (want []typ) {
	for _, c := range cols {
		want = append(want, c.typ)
	}
	return want
}

func list(cols []column) string {
	var names []string
	for _, c := range cols {
		names = append(names, c.name)
	}
	return strings.Join(names, ", ")
}

func (m *maker) insert(goal table, depth int) string {
	cols := m.some(goal.cols)
	head := "insert into " + goal.name + " as g (" + list(cols) + ")"
	if goal.name == "contacts" {
		cols = goal.cols[:2]
		head = "insert into contacts as g (id, who)"
	}
	none := &scope{}
	var sql string
	switch m.IntN(6) {
	case 0:
		if m.loud && m.chance(50) {
			return "insert into " + goal.name + " as g default values"
		}
		fallthrough
	case 1, 2:
		var rows []string
		for range 1 + m.IntN(2) {
			var values []string
			for _, c := range cols {
				if c.typ == integer && m.loud && m.chance(50) {
					values = append(values, fmt.Sprint(m.IntN(3000)+100)) // new keys
					continue
				}
				values = append(values, m.expr(none, c.typ, depth))
			}
			rows = append(rows, "("+strings.Join(values, ", ")+")")
		}
		sql = head + " values " + strings.Join(rows, ", ")
	default:
		from, _ := m.query(nil, typesOf(cols), depth)
		sql = head + " " + from
	}
	if m.chance(25) {
		sql += m.conflict(goal)
	}
	return sql
}

func (m *maker) conflict(goal table) string {
	if m.chance(30) {
		return " on conflict do nothing"
	}
	key := goal.cols[0].name
	excluded := table{"excluded", goal.cols}
	old := goal
	old.name = "g"
	sc := &scope{rels: []table{excluded, old}}
	c := m.some(goal.cols[1:])
	return fmt.Sprintf(" on conflict (%s) do update set %s = %s", key, c[0].name, m.expr(sc, c[0].typ, 1)) + m.one("", " where "+m.expr(sc, boolean, 1))
}

func (m *maker) sets(sc *scope, cols []column, depth int) string {
	if len(cols) > 1 && m.chance(25) {
		if m.chance(50) {
			sql, _ := m.plain(sc, typesOf(cols), depth-1)
			return "(" + list(cols) + ") = (" + sql + " limit 1)"
		}
		var values []string
		for _, c := range cols {
			values = append(values, m.expr(sc, c.typ, depth))
		}
		return "(" + list(cols) + ") = row(" + strings.Join(values, ", ") + ")"
	}
	var parts []string
	for _, c := range cols {
		parts = append(parts, c.name+" = "+m.expr(sc, c.typ, depth))
	}
	return strings.Join(parts, ", ")
}

func (m *maker) update(goal table, depth int) string {
	as := table{"g", goal.cols}
	sc := &scope{rels: []table{as}}
	from := ""
	if m.chance(35) {
		sql, inner := m.from(nil, depth-1)
		from = " from " + sql
		sc.rels = append(sc.rels, inner.rels...)
	}
	cols := m.some(goal.cols)
	if len(cols) > 1 && m.chance(70) { // keys clash
		cols = cols[len(cols)-1:]
	}
	return m.head(depth) + "update " + m.one("", "", "only ") + goal.name + " as g set " + m.sets(sc, cols, depth) + from + m.where(sc, depth)
}

func (m *maker) where(sc *scope, depth int) string {
	if m.chance(30) {
		return ""
	}
	return " where " + m.expr(sc, boolean, depth)
}

func (m *maker) remove(goal table, depth int) string {
	sc := &scope{rels: []table{{"g", goal.cols}}}
	using := ""
	if m.chance(35) {
		sql, inner := m.from(nil, depth-1)
		using = " using " + sql
		sc.rels = append(sc.rels, inner.rels...)
	}
	return m.head(depth) + "delete from " + m.one("", "", "only ") + goal.name + " as g" + using + m.where(sc, depth)
}

// head is a WITH of its own, whose names are not used further.
func (m *maker) head(depth int) string {
	if !m.chance(15) || len(m.ctes) > 0 {
		return ""
	}
	with, before := m.with(nil, depth)
	m.ctes = m.ctes[:before]
	return with
}

func (m *maker) merge(goal table, depth int) string {
	as := table{"g", goal.cols}
	sql, cols := m.query(nil, nil, depth-1)
	source := table{"s", cols}
	both := &scope{rels: []table{as, source}}
	when := ""
	if m.chance(70) {
		c := m.some(goal.cols)[:1]
		when += " when matched" + m.one("", " and "+m.expr(both, boolean, 1)) + " then " + m.one("delete", "do nothing", "update set "+m.sets(both, c, 1), "update set "+m.sets(both, c, 1))
	}
	if when == "" || m.chance(60) {
		ins := m.some(goal.cols)
		only := &scope{rels: []table{source}}
		var values []string
		for _, c := range ins {
			values = append(values, m.expr(only, c.typ, 1))
		}
		when += " when not matched then " + m.one("do nothing", "insert default values", "insert ("+list(ins)+") values ("+strings.Join(values, ", ")+")", "insert ("+list(ins)+") values ("+strings.Join(values, ", ")+")")
	}
	return "merge into " + m.one("", "", "only ") + goal.name + " as g using (" + sql + ") as s on " + m.expr(both, boolean, 1) + when
}

// statement is one message: mostly one statement, of any kind.
func (m *maker) statement() string {
	depth := m.depth()
	switch n := m.IntN(100); {
	case n < 30:
		sql, _ := m.change(depth, true)
		return sql
	case n < 35:
		sql, _ := m.change(depth, false)
		return sql
	case n < 52:
		sql, _ := m.query(nil, nil, depth)
		return sql
	case n < 57:
		return m.hull()
	case n < 60:
		return m.statement() + "; " + m.statement()
	case n < 68:
		return m.call2()
	}
	return m.define()
}

// hull is a statement in another.
func (m *maker) hull() string {
	depth := m.depth()
	q, _ := m.query(nil, nil, depth)
	c, _ := m.change(depth, true)
	return m.one(
		"explain analyze "+c, "explain (analyze, verbose) "+q, "explain "+c, "explain (analyze off) "+c, "explain verbose "+q, "explain (analyze false, analyze true) "+c,
		"prepare p as "+c+"; execute p", "prepare p as "+q+"; execute p; deallocate p", "prepare p as "+c,
		"declare cur cursor for "+q+"; fetch all cur", "declare cur cursor with hold for "+q, "declare cur cursor for "+q+"; close cur",
		"copy ("+q+") to stdout", "copy ("+c+") to stdout", "create table fresh as "+q, "select * into fresh from ("+q+") s", "create temp table fresh as "+q,
		"create materialized view fresh as "+q, "create table fresh as "+q+" with no data", "explain analyze create table fresh as "+q, "create view fresh as "+q,
		"create table fresh as table users", "prepare p as "+q+"; create table fresh as execute p", "prepare p as "+c+"; explain analyze execute p",
		"do $d$ begin "+c+"; end $d$", "do $d$ declare r record; begin for r in "+q+" loop null; end loop; end $d$", "do $d$ begin perform * from ("+q+") s; end $d$",
		"do $d$ begin if exists ("+q+") then "+c+"; end if; exception when others then delete from plain; end $d$",
	)
}

func (m *maker) call2() string {
	none := &scope{}
	e := func(t typ) string { return m.expr(none, t, 1) }
	f := busyCalls[m.IntN(len(busyCalls))].sql
	return m.fill(m.one(
		"call p_wipe()", "call p_set(%i, 1)", "call p_dyn('delete from plain')", "select "+f, "select * from "+strings.TrimSuffix(f, "::int")+" s", "table noisy_view", "select * from loud_view",
		"select 1 where "+f+" is not null", "select x from plain order by "+f, "select x from plain limit coalesce(abs(length(("+f+")::text)), 1)", "values ("+f+")",
		"select count(*) from plain group by "+f, "select x from plain where x in (select "+f+")", "explain select "+f, "explain select "+f+" from plain",
		"select case when true then 1 else "+f+" is null::int end", "select (array["+f+"])[1]", "select x::loud from plain", "select max(x) filter (where "+f+" is not null) from plain",
		"insert into defaults default values", "insert into defaults (name) values (%t)", "update checked set name = %t", "insert into checked values (%i, %t)", "insert into louder values (%i, %t)",
		"select * from users for update", "select * from users for share", "select pg_advisory_lock(7)", "select pg_advisory_xact_lock(7)", "select nextval('counter')",
		"select setval('counter', 99)", "select currval(pg_get_serial_sequence('made', 'n'))", "select * from counter", "table users", "select set_config('search_path', 'other', false)",
		"select p from plain p order by noisy_of(p)", "select p.noisy_of from plain p", "select row(1, 'x')::pair::int", "select sum(row(x, y)::pair) from plain", "select row(x, y)::pair + 1 from plain",
		"select abs(row(1, 'x')::pair)", "select 1 + (row(1, 'x')::pair)", "select loud '5'", "select cast(%i as loud)", "select null::loud is null", "select json_populate_record(null::louder, '{\"id\":1}')",
		"select * from json_to_recordset('[{\"id\":1}]') as x(id loud)", "select * from jsonb_to_record('{\"id\":1}') as x(id loud)", "select * from xmltable('/a' passing '<a><b>1</b></a>'::xml columns b loud)",
		"select '{1}'::loud[]", "select quiet(x) from plain", "select x, noisy_sum(x) over () from plain", "select x from plain where x +#+ 1 > 0", "select x from plain where x operator(public.+#+) 1 > 0", "select <+> x from plain",
		"select distinct on (quiet(x)) x from plain", "select * from plain tablesample bernoulli (noisy(100))", "select * from fs_wipe()", "select (fs_wipe()).x", "select * from rows from (fs_wipe(), fs_noise()) r",
		"select * from plain, lateral noisy(x)", "select x from plain union select noisy(3)", "select x, rank() over (order by noisy(x)) from plain", "select overlay('a' placing f_config() from 1)",
		"select lo_create(0)", "select lo_unlink(lo_create(0))", "select lo_put(1, 0, 'x')", "select pg_notify('a', 'b')", "select txid_current()", "select pg_export_snapshot()",
		"select pg_stat_reset()", "select dblink_exec('x', 'y')", "select f_dyn('create table fresh (a int)')", "select * from pg_cursors", "select ts_rewrite('a', 'delete from plain')",
		"select p.f_any from plain p", "select array_agg(noisy(x)) from plain", "select percentile_cont(0.5) within group (order by noisy(x)) from plain", "select coalesce(null, noisy(1))", "select greatest(1, noisy(1))",
		"select nullif(noisy(1), 2)", "select noisy(1) between 1 and 2", "select noisy(1) is distinct from 1", "select exists (select noisy(1))", "select 1 = any (array[noisy(1)])", "select string_agg(y, f_config()) from plain",
		"select xmlelement(name a, noisy(1))", "select extract(day from date '2020-01-01' + noisy(1))", "select current_setting(f_config())", "select format('%%s', noisy(1))", "select concat_ws(',', noisy(1))",
		"select p_wipe()", "select f_default(a => noisy(1))", "select f_default(a := 2)", "select public.f_wipe()", "select \"f_wipe\"()", "select U&\"f\\005fwipe\"()", "SELECT F_WIPE()", "select/**/f_wipe/**/()", "select f_wipe\n()",
		"update users set age = noisy(age)", "delete from users where noisy(id) = 1", "insert into log select noisy(1), 'x'", "insert into users (id, name) values (900 + noisy(1), f_config())", "refresh materialized view kept",
	), e)
}

// define is a statement about the schema, the session, or privileges.
func (m *maker) define() string {
	r := m.tables[m.IntN(len(m.tables))]
	c := r.cols[m.IntN(len(r.cols))]
	q, _ := m.query(nil, nil, 1)
	w, _ := m.change(1, false)
	t := r.name
	return m.fillNames(m.one(
		"create table fresh (a int primary key, b text)", "create table if not exists %r (a int)", "create temp table %r (a int)", "create unlogged table fresh (like %r including all)", "create table fresh () inherits (base)",
		"create table fresh partition of parted_high for values in ('q')", "create table fresh (a int references users on delete cascade)", "create table other.fresh as select 1 as one", "create table fresh (a int generated always as identity)",
		"alter table %r add column fresh int", "alter table %r drop column %c", "alter table %r drop column %c cascade", "alter table %r rename to fresh", "alter table %r rename column %c to fresh", "alter table %r alter column %c set default null",
		"alter table %r alter column %c type text using 'x'", "alter table %r alter column %c set not null", "alter table %r add check (true)", "alter table %r add unique (%c)", "alter table only %r add primary key (%c)",
		"alter table %r set schema other", "alter table %r owner to current_user", "alter table %r enable row level security", "alter table %r disable trigger all", "alter table %r alter column %c set statistics 10", "alter table %r set (fillfactor = 50)",
		"alter table kid no inherit base", "alter table parted detach partition parted_low", "alter table parted attach partition plain for values from (1) to (2)", "alter table base rename column v to w", "alter table base add column z int", "alter table %r replica identity full",
		"alter table %r set unlogged", "alter table %r alter column %c add generated always as identity", "alter table %r add constraint k foreign key (%c) references users", "alter table orders drop constraint orders_user_id_fkey", "alter index users_pkey rename to k",
		"alter view contacts rename to fresh", "alter view contacts set (security_barrier)", "alter view contacts alter column who set default 'x'", "alter materialized view kept rename to fresh", "alter sequence counter restart with 5", "alter sequence counter increment by 2", "alter sequence counter owned by plain.x",
		"drop table %r", "drop table %r cascade", "drop table if exists %r, plain cascade", "drop view %r", "drop view contacts cascade", "drop materialized view kept", "drop sequence counter", "drop index users_pkey", "drop index defaults_quiet_idx", "drop schema other cascade", "drop schema public cascade",
		"drop function noisy cascade", "drop function f_read(int)", "drop type pair cascade", "drop domain small cascade", "drop trigger low on watched", "drop rule also on ruled", "drop owned by current_user", "drop procedure p_wipe", "drop aggregate noisy_sum (int)", "drop operator +#+ (int, int)", "drop cast (pair as int)",
		"create index on %r (%c)", "create unique index fresh on %r (%c)", "create index on %r (coalesce(%c, null))", "create index on plain (quiet(x))", "reindex table %r", "reindex index users_pkey", "cluster users using users_pkey", "analyze %r", "analyze", "analyze %r (%c)", "vacuum %r",
		"create view fresh as select * from %r", "create or replace view contacts as select id, name as who, email as mail from users", "create recursive view fresh (n) as select 1 union select n + 1 from fresh where n < 3", "create temp view fresh as select 1 as x",
		"create sequence fresh", "create temp sequence fresh", "create schema fresh", "create schema fresh create table t (a int) create view v as select 1 as x", "create type fresh as (a int)", "create type fresh as enum ('a')", "create domain fresh as int default noisy(1)", "alter type mood add value 'sad'", "alter type mood rename value 'calm' to 'c'", "alter type pair add attribute z int cascade",
		"create function fresh() returns int language sql as 'select 1'", "create or replace function f_read(int) returns text language sql as 'delete from users; select null::text'", "alter function noisy(int) rename to fresh", "alter function noisy(int) immutable", "create procedure fresh() language sql as 'delete from users'", "create aggregate fresh (int) (sfunc = int4pl, stype = int)",
		"create trigger fresh after insert on %r for each row execute function t_log()", "create rule fresh as on insert to plain do also (delete from users; delete from orders)", "create rule fresh as on delete to %r do instead nothing", "alter trigger low on watched rename to fresh", "create event trigger fresh on ddl_command_end execute function t_log()",
		"create policy fresh on %r using (true)", "create extension if not exists plpgsql", "create cast (text as pair) without function", "create operator === (function = noisy, rightarg = int)", "create collation fresh (locale = 'C')", "create statistics fresh on id, name from users", "create text search configuration fresh (copy = simple)",
		"create publication fresh for table users", "create foreign data wrapper fresh", "create server fresh foreign data wrapper nope", "create access method fresh type index handler bthandler", "create language fresh handler plpgsql_call_handler", "create conversion fresh for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8", "create transform for int language sql (from sql with function int4in(internal))",
		"grant select on %r to public", "grant all on all tables in schema public to public", "revoke all on %r from public", "grant execute on function noisy(int) to public", "grant usage on schema other to public", "grant update (%c) on %r to public", "grant all on sequence counter to public", "alter default privileges grant select on tables to public", "create role fresh_role", "alter role current_user set work_mem = '1MB'", "alter role current_user nologin", "reassign owned by current_user to current_user",
		"grant pg_monitor to current_user", "alter database postgres set work_mem = '1MB'", "comment on table %r is 'x'", "comment on column %r.%c is 'x'", "comment on function noisy(int) is 'x'", "comment on database postgres is 'x'", "security label on table users is 'x'", "import foreign schema a from server b into c",
		"truncate %r", "truncate %r cascade", "truncate only base", "truncate users, orders, lines", "truncate made restart identity", "truncate users restart identity cascade", "lock table %r", "lock table %r in access share mode", "lock %r, plain in exclusive mode",
		"set work_mem = '3MB'", "set local work_mem = '3MB'", "set search_path = other", "set session characteristics as transaction read only", "set role none", "set transaction read only", "set time zone 'UTC'", "reset all", "reset work_mem", "set constraints all deferred", "set session authorization default", "set local role none", "set names 'UTF8'", "set xml option document", "set seed to 0.3", "set my.own = 'x'", "set datestyle to german, dmy",
		"show work_mem", "show all", "listen chan", "unlisten *", "notify chan, 'x'", "savepoint s", "savepoint s; delete from plain; rollback to s", "savepoint s; delete from plain; release s", "prepare p as delete from plain", "deallocate all", "discard plans", "discard sequences", "discard temp", "declare cur scroll cursor with hold for select 1", "close all", "move 1 in nothing", "load 'plpgsql'", "checkpoint",
		"set search_path = other; delete from users", "create temp table users (id int, name text); delete from users", "create temp table fresh on commit drop as select * from %r", "alter system set work_mem = '1MB'", "do 'begin perform f_wipe(); end'", "do $x$ begin execute 'delete from plain'; end $x$", "do $x$ declare c cursor for select noisy(x) from plain; r record; begin for r in c loop end loop; end $x$",
		"do $x$ begin call p_wipe(); end $x$", "do $x$ begin create table fresh (a int); insert into fresh values (1); end $x$", "do $x$ declare n int := noisy(1); begin end $x$", "do $x$ declare n loud; begin n := 3; end $x$", "do $x$ declare n louder%rowtype; begin n.id := 3; end $x$", "do $x$ declare n plain.x%type := f_wipe(); begin end $x$", "do $x$ begin raise notice '%', noisy(1); end $x$", "do $x$ begin assert noisy(1) = 1; end $x$",
		"do $x$ begin return; delete from plain; end $x$", "do $x$ declare a int[]; begin a[noisy(1)] := 2; end $x$", "do $x$ begin for i in 1..noisy(2) loop end loop; end $x$", "do $x$ begin case noisy(1) when 1 then null; else null; end case; end $x$", "do $x$ begin while noisy(1) > 1 loop end loop; end $x$", "do $x$ declare n int; begin select noisy(1) into n; end $x$", "do $x$ declare c refcursor; begin open c for delete from plain returning x; end $x$",
		"do $x$ declare c refcursor; begin open c for select f_wipe(); fetch c; end $x$", "do $x$ begin lock table users; end $x$", "do $x$ begin set local work_mem = '1MB'; end $x$", "do $x$ begin perform set_config('work_mem', '1MB', false); end $x$", "do $x$ declare n int; begin delete from plain returning x into n; end $x$", "do $x$ begin perform nextval('counter'); end $x$", "do $x$ begin truncate plain; end $x$", "do $x$ begin raise exception '%', noisy(1); exception when others then null; end $x$",
		"select x as fresh into temp fresh2 from plain", "select 1 as a into table other.fresh", "with s as (select 1 as a) select a into fresh from s", "with d as (delete from plain returning *) select * from d where false", "with d as (delete from plain) select 1", "with a as (with b as (delete from plain returning x) select 1) select 1", "select (with d as (select f_wipe()) select * from d)", "with d as materialized (select noisy(1)) select 1",
		"with r as (insert into ruled values (8, 'x') returning id) select 1", "insert into by_rule values (9, 'z')", "update by_rule set name = 'x'", "delete from by_rule", "insert into through values (1, 'b', 'y')", "update through set b = 'x'", "delete from through", "insert into contacts (id, who) values (77, 'w')", "update contacts set who = 'w'", "delete from contacts", "delete from over_contacts", "delete from parted", "update parted set k = 60 where k = 7", "insert into parted values (55, 'a')", "delete from base", "delete from only base", "update base set v = 'x'", "delete from users where id = 1", "update users set id = id + 100",
		q, w, "copy %r to stdout", "copy (select * from %r) to stdout with csv", "copy %r (%c) to stdout",
	), t, c.name)
}

func (m *maker) fillNames(form, relation, column string) string {
	return strings.NewReplacer("%rowtype", "%rowtype", "%r", relation, "%c", column).Replace(form)
}
