// Package differ holds what package query says of a statement against what a real
// server then does: statements are made from a grammar, analysed, run and undone.
// What changed must have been foretold; so must every column whose values reach a
// result. It has tests only, because it needs query, catalog and a server at once.
package differ

import (
	"os"
	"testing"

	"github.com/sluicehq/sluice/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// typ is a type of the grammar: it makes few type errors, and few are enough.
type typ byte

const (
	integer typ = 'i'
	text    typ = 't'
	boolean typ = 'b'
)

// column is a column that generated statements may name.
type column struct {
	name string
	typ  typ
}

// table is a relation that generated statements may name.
type table struct {
	name string
	cols []column
}

// tables are the relations of the world. The columns of a name have one type each, so
// that USING and NATURAL joins are accepted.
var tables = []table{
	{"users", []column{{"id", integer}, {"name", text}, {"email", text}, {"age", integer}, {"note", text}}},
	{"orders", []column{{"id", integer}, {"user_id", integer}, {"total", integer}, {"note", text}}},
	{"lines", []column{{"order_id", integer}, {"n", integer}, {"what", text}}},
	{"scratch", []column{{"a", integer}, {"b", text}, {"c", text}}},
	{"plain", []column{{"x", integer}, {"y", text}}},
	{"tree", []column{{"id", integer}, {"parent", integer}, {"label", text}}},
	{"parted", []column{{"k", integer}, {"v", text}}},
	{"parted_low", []column{{"k", integer}, {"v", text}}},
	{"base", []column{{"k", integer}, {"v", text}}},
	{"kid", []column{{"k", integer}, {"v", text}, {"extra", text}}},
	{"made", []column{{"a", integer}, {"twice", integer}, {"word", text}}},
	{`"Odd name"`, []column{{"id", integer}, {`"Select"`, text}}},
	{"other.users", []column{{"id", integer}, {"name", text}}},
	{"contacts", []column{{"id", integer}, {"who", text}, {"mail", text}}},
	{"joined", []column{{"name", text}, {"total", integer}}},
	{"over_contacts", []column{{"m", text}, {"n", integer}}},
	{"counted", []column{{"name", text}, {"n", integer}}},
}

// shape is what both worlds share: relations without consequences.
const shape = `
create schema other;
create table users (id int primary key, name text, email text, age int, note text);
create table orders (id int primary key, user_id int, total int, note text);
create table lines (order_id int, n int, what text);
create table scratch (a int, b text, c text);
create table plain (x int, y text);
create table tree (id int primary key, parent int, label text);
create table parted (k int, v text) partition by range (k);
create table parted_low partition of parted for values from (minvalue) to (50);
create table parted_high partition of parted for values from (50) to (maxvalue) partition by list (v);
create table parted_high_a partition of parted_high for values in ('a');
create table parted_high_rest partition of parted_high default;
create table base (k int, v text);
create table kid (extra text) inherits (base);
create table "Odd name" (id int, "Select" text);
create table other.users (id int, name text);
insert into users values (1, 'ada', 'ada@x', 30, 'n1'), (2, 'bob', 'bob@y', 40, 'n2'), (3, 'cyd', 'cyd@z', 50, null), (4, 'dee', null, 12, 'bob');
insert into orders values (1, 1, 10, 'first'), (2, 1, 20, 'second'), (3, 2, 30, 'ada'), (4, null, 5, 'x');
insert into lines values (1, 1, 'pen'), (1, 2, 'ink'), (2, 1, 'cup'), (3, 7, 'bob');
insert into scratch values (1, '2', '3'), (4, '5', 'ada'), (2, 'x', null);
insert into plain values (1, 'ada'), (2, 'y2'), (40, 'y3');
insert into tree values (1, null, 'root'), (2, 1, 'leaf'), (3, 2, 'deep');
insert into parted values (1, 'a'), (7, 'b'), (60, 'a'), (70, 'z');
insert into base values (1, 'base'), (2, 'bob');
insert into kid values (3, 'kid', 'e1'), (4, 'y2', 'e2');
insert into "Odd name" values (1, 'odd'), (2, 'ada');
insert into other.users values (1, 'other'), (9, 'ada');
`

// views are over the tables of both worlds.
const views = `
create view contacts as select u.id, u.name as who, lower(u.email) as mail from users u where u.age > 11;
create view joined as select u.name, o.total from users u join orders o on o.user_id = u.id;
create view over_contacts as select mail as m, length(who) as n from contacts;
create view counted as select name, count(*)::int as n from users left join lines on lines.order_id = users.id group by name;
`

// still is the world for questions about where values come from: no value of it
// changes but the ones that are changed.
const still = shape + `
create table made (a int, twice int, word text);
insert into made values (1, 2, 'w'), (5, 10, 'ada');
` + views + `
create function f_up(text) returns text immutable language sql as 'select upper($1)';
create function f_mail(int) returns text stable language sql as 'select email from users where id = $1';
create function f_name(int) returns text stable language plpgsql as 'begin return (select name from users where id = $1); end';
create function fs_users() returns setof users stable language sql as 'select * from users';
create function fs_pairs(int) returns table (p int, q text) stable language sql as 'select total, note from orders where id >= $1';
create function fs_loop() returns setof text stable language plpgsql as
	'declare r record; begin for r in select name, note from users order by id loop return next r.note; end loop; end';
`

// busy is the world for questions about what changes: everything in it that runs
// when something else does.
const busy = shape + `
create table log (what text, who text);
create table copied (id int, name text);
create table made (a int, twice int generated always as (a * 2) stored, word text default 'w', n serial, i int generated by default as identity);
insert into made (a) values (1), (5);
` + views + `
alter table orders add foreign key (user_id) references users on delete cascade on update cascade;
alter table lines add foreign key (order_id) references orders on delete set null on update cascade;
alter table tree add foreign key (parent) references tree on delete cascade;
create unique index on scratch (a);
create sequence counter;
create domain small as int check (value < 1000);
create type mood as enum ('calm', 'busy');
create type pair as (p int, q text);
create materialized view kept as select name, age from users;

create function noisy(int) returns int language plpgsql as 'begin insert into log values (''noisy'', $1::text); return $1; end';
create function quiet(int) returns int immutable language plpgsql as 'begin return (select noisy($1)); end';
create function f_read(int) returns text stable language sql as 'select email from users where id = $1';
create function f_wipe() returns int language sql as 'delete from scratch; select 1';
create function f_set(int) returns int language plpgsql as 'begin update plain set y = ''set'' where x = $1; return $1; end';
create function f_caught() returns int language plpgsql as
	'begin begin delete from plain; perform 1/0; exception when division_by_zero then insert into plain values (0, ''c''); end; return 1; end';
create function f_dyn(text) returns int language plpgsql as 'begin execute $1; return 1; end';
create function f_nested(int) returns int language plpgsql as 'declare n int := noisy($1); begin return n + f_set(n); end';
create function f_default(a int default noisy(3)) returns int language sql as 'select a';
create function f_ddl() returns int language plpgsql as 'begin create table fresh (a int); return 1; end';
create function f_seq() returns bigint language sql as 'select nextval(''counter'')';
create function f_config() returns text language sql as 'select set_config(''work_mem'', ''1MB'', false)';
create function fs_wipe() returns setof plain language sql as 'delete from plain returning *';
create function fs_users() returns setof users stable language sql as 'select * from users';
create function fs_noise() returns table (p int, q text) language plpgsql as 'begin p := noisy(1); q := ''x''; return next; end';
create function fs_atomic() returns int begin atomic; delete from plain; select 1; end;
create procedure p_wipe() language sql as 'delete from scratch';
create procedure p_set(n int, inout m int) language plpgsql as 'begin update plain set x = n; m := 1; end';
create procedure p_dyn(s text) language plpgsql as 'begin execute s; end';
create operator <+> (function = noisy, rightarg = int);
create function noisy_add(int, int) returns int language sql as 'insert into log values (''op'', ''x''); select $1 + $2';
create operator +#+ (function = noisy_add, leftarg = int, rightarg = int);
create aggregate noisy_sum (int) (sfunc = noisy_add, stype = int, initcond = '0');
create function pair_int(pair) returns int language sql as 'insert into log values (''cast'', ''x''); select $1.p';
create cast (pair as int) with function pair_int(pair) as implicit;
create domain loud as int check (quiet(value) = value);
create function noisy_of(plain) returns text language sql as 'insert into log values (''field'', ''x''); select $1.y';
create view noisy_view as select noisy(x) as n from plain;
create view loud_view as select x::loud as n from plain;

create function t_log() returns trigger language plpgsql as 'begin insert into log values (tg_op, tg_table_name); return null; end';
create function t_low() returns trigger language plpgsql as 'begin new.name := lower(new.name); return new; end';
create function t_instead() returns trigger language plpgsql as 'begin update scratch set b = ''i''; return null; end';
create table watched (id int, name text);
insert into watched values (1, 'a'), (2, 'b');
create trigger low before insert or update on watched for each row execute function t_low();
create trigger after_any after insert or update or delete or truncate on watched for each statement execute function t_log();
create view through as select a, b, y from scratch join plain on x = a;
create trigger instead instead of insert or update or delete on through for each row execute function t_instead();
create table ruled (id int, name text);
insert into ruled values (1, 'r');
create rule also as on insert to ruled do also insert into copied values (new.id, new.name);
create rule gone as on delete to ruled do instead delete from copied;
create rule twice as on update to ruled do also (update copied set name = new.name; insert into log values ('rule', new.name));
create view by_rule as select id, name from copied;
create rule ins as on insert to by_rule do instead insert into log values ('by_rule', new.name);
create rule upd as on update to by_rule do instead nothing;
create table defaults (id int default noisy(4), name text, n small);
create table checked (id int check (quiet(id) > 0), name text);
create table louder (id loud, name text);
create index on defaults (quiet(id));
`

// more are relations of the busy world only.
var more = []table{
	{"log", []column{{"what", text}, {"who", text}}},
	{"copied", []column{{"id", integer}, {"name", text}}},
	{"watched", []column{{"id", integer}, {"name", text}}},
	{"through", []column{{"a", integer}, {"b", text}, {"y", text}}},
	{"ruled", []column{{"id", integer}, {"name", text}}},
	{"by_rule", []column{{"id", integer}, {"name", text}}},
	{"defaults", []column{{"id", integer}, {"name", text}}},
	{"checked", []column{{"id", integer}, {"name", text}}},
	{"louder", []column{{"id", integer}, {"name", text}}},
	{"kept", []column{{"name", text}, {"age", integer}}},
}

// call is a function of a world that expressions may call.
type call struct {
	sql string // %i and %t stand for an argument
	typ typ
}

var stillCalls = []call{{"f_up(%t)", text}, {"f_mail(%i)", text}, {"f_name(%i)", text}}

var busyCalls = []call{
	{"noisy(%i)", integer}, {"quiet(%i)", integer}, {"f_read(%i)", text}, {"f_wipe()", integer}, {"f_set(%i)", integer},
	{"f_caught()", integer}, {"f_dyn('delete from plain')", integer}, {"f_nested(%i)", integer}, {"f_default()", integer},
	{"f_default(%i)", integer}, {"f_ddl()", integer}, {"f_seq()::int", integer}, {"f_config()", text}, {"fs_atomic()", integer},
	{"(<+> %i)", integer}, {"(%i +#+ %i)", integer}, {"(row(%i, %t)::pair)::int", integer}, {"abs(row(%i, 'q')::pair)", integer},
	{"cast(%i as loud)", integer}, {"(%i)::loud", integer}, {"(select noisy_sum(x) from plain)", integer},
	{"(select p.noisy_of from plain p limit 1)", text}, {"(select noisy_of(p) from plain p limit 1)", text},
	{"(select (p).noisy_of from plain p limit 1)", text}, {"(select max(n) from noisy_view)", integer}, {"(select max(n)::int from loud_view)", integer},
	{"(select max(x) from fs_wipe())", integer}, {"(select max(p) from fs_noise())", integer}, {"nextval('counter')::int", integer},
	{"setval('counter', %i)::int", integer}, {"set_config('work_mem', '2MB', true)", text}, {"lo_create(0)::int", integer},
	{"lo_from_bytea(0, 'x')::int", integer}, {"pg_try_advisory_lock(1)::int", integer}, {"pg_notify('c', %t)::text", text},
	{"query_to_xml('delete from plain', true, true, '')::text", text}, {"(select count(*)::int from pg_locks)", integer},
	{"txid_current()::int", integer}, {"pg_catalog.set_config('search_path', 'other', false)", text},
	{"jsonb_populate_record(null::plain, '{}')::text", text}, {"(jsonb_populate_record(null::louder, '{\"id\": 1}')).id::int", integer},
	{"('(1,x)'::louder).id::int", integer}, {"(array[1]::loud[])[1]::int", integer},
	{"currval('counter')::int", integer}, {"pg_sequence_last_value('counter')::int", integer}, {"setseed(0.5)::text", text},
}
