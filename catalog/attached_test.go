package catalog_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/catalog"
	"github.com/sluicehq/sluice/query"
)

const attachedSQL = `
create table customers (id int primary key, name text, email text, updated_at timestamptz);
create table orders (id int primary key, customer_id int references customers on delete cascade on update cascade, total int, note text);
create table items (id int primary key, order_id int references orders on delete cascade, what text);
create table invoices (id int primary key, customer_id int default 0 references customers on delete set null);
create table visits (id int primary key, customer_id int default 0 references customers on delete set default on update set null);
create table likes (id int primary key, customer_id int references customers);
create table audit_log (at timestamptz, what text, who text);
create table counts (what text primary key, n int);
create table tree (id int primary key, parent int references tree on delete cascade);
create table ring_a (id int primary key, b int);
create table ring_b (id int primary key, a int references ring_a on delete cascade);
alter table ring_a add foreign key (b) references ring_b on delete cascade;

create function touch() returns trigger language plpgsql as $$ begin new.updated_at := now(); return new; end $$;
create trigger touch before update on customers for each row execute function touch();
create function audited() returns trigger language plpgsql as $$ begin
  if tg_op = 'DELETE' then insert into audit_log values (now(), tg_table_name || ' ' || tg_op, old.id::text); return old; end if;
  insert into audit_log select now(), tg_op, row_to_json(new.*)::text; return new; end $$;
create trigger audit_orders after insert or update or delete on orders for each row execute function audited();
create function counted() returns trigger language plpgsql as $$ begin update counts set n = n + 1; return null; end $$;
create trigger count_items after insert or delete on items for each statement execute function counted();
create trigger off after insert on customers for each row execute function counted();
alter table customers disable trigger off;
create table notes (id int, body text, words int, draft text);
create function words_of() returns trigger language plpgsql as $$ begin update counts set n = n + 1 where what = 'words'; return new; end $$;
create trigger of_body after update of body on notes for each row execute function words_of();
create constraint trigger late after delete on notes deferrable initially deferred for each row execute function audited();
create function emptied() returns trigger language plpgsql as $$ begin insert into audit_log values (now(), 'emptied', 'x'); return null; end $$;
create trigger emptied after truncate on notes execute function emptied();

create table opaque (id int);
create function opaque() returns trigger language plpgsql as $$ begin
  execute format('insert into %I values (now(), $1, $2)', 'audit_log') using tg_op, 'x'; return new; end $$;
create trigger opaque after insert on opaque for each row execute function opaque();
create table native (id int, t tsvector, b text);
create trigger tsv before insert on native for each row execute function tsvector_update_trigger(t, 'pg_catalog.simple', b);
create trigger same before update on native for each row execute function suppress_redundant_updates_trigger();

create table letters (id int, body text);
create rule copy as on insert to letters do also insert into audit_log values (now(), 'letter', new.body);
create rule keep as on delete to letters do instead update letters set body = 'gone' where letters.id = old.id;
create rule drop_some as on update to letters where new.body = 'x' do instead (delete from counts where what = new.body; update audit_log set who = old.body);
create table silent (id int);
create rule nothing as on insert to silent do instead nothing;
create view shown as select id, name from customers where id > 0;
create view over_shown as select id, name from shown;
create view guarded as select o.id, c.name from orders o join customers c on c.id = o.customer_id;
create function guard() returns trigger language plpgsql as $$ begin delete from items where order_id = old.id; return old; end $$;
create trigger guard instead of delete on guarded for each row execute function guard();
create view ruled as select id from customers;
create rule ruled as on delete to ruled do instead delete from likes where id = old.id;

create table events (id int, day int, what text) partition by range (day);
create table events_1 partition of events for values from (0) to (10);
create table events_2 partition of events for values from (10) to (20);
create trigger audit_events after insert on events for each row execute function audited();
create trigger own_2 after insert on events_2 for each row execute function words_of();
create table base (id int); create table heir (extra int) inherits (base);
create trigger heir_gone after delete on heir for each row execute function audited();

create function check_it(n int) returns bool language plpgsql as $$ begin update counts set n = n + 1; return true; end $$;
create function next_id() returns int language plpgsql as $$ begin insert into audit_log values (now(), 'next', 'x'); return 1; end $$;
create table checked (id int default next_id(), n int check (check_it(n)));
create domain positive as int check (check_it(value)); create domain small as positive;
create table domained (n small);
create function key_of(t text) returns text language plpgsql immutable as $$ begin delete from counts where what = 'k'; return t; end $$;
create table indexed (t text); create index on indexed (key_of(t));
create table computed (t text, k text generated always as (key_of(t)) stored);
create function may(n int) returns bool language plpgsql as $$ begin insert into audit_log values (now(), 'may', 'x'); return true; end $$;
create table tenants (id int); alter table tenants enable row level security; alter table tenants force row level security;
create policy mine on tenants for select using (may(id));
create policy adding on tenants for insert with check (true);
create table lax (id int); create policy idle on lax using (may(id));
create type money2 as (n int); create function to_money(n int) returns money2 language plpgsql as $$ begin update counts set n = 0; return row(n)::money2; end $$;
create cast (int as money2) with function to_money(int) as assignment;
create table prices (p money2);
create table conditional (id int);
create function takes(n small) returns int immutable language sql as 'select 1';
create type pair as (p int, q int);
create function to_int(p pair) returns int language plpgsql as $$ begin update counts set n = 3; return 1; end $$;
create cast (pair as int) with function to_int(pair) as implicit;
create function pair_of(n int) returns pair immutable language sql as 'select row(n, n)::pair';
create schema far; create table far.away (id int); create type far.mood as enum ('calm'); create table moods (m far.mood, note text);
create view calm as select id from likes where may(id);
create domain counted as int default next_id(); create table by_default (id int, n counted);
create table filed (id int, t text default pg_read_file('PG_VERSION'));
create table checked_file (id int check (length(pg_read_file('PG_VERSION')) > id));
create table saved (id int, o oid default lo_create(0)); create table asleep (id int default pg_stat_get_backend_pid(1));
create trigger only_some after insert on conditional for each row when (check_it(new.id)) execute function touch_nothing();
`

const attachedRows = `
insert into customers values (0, 'none', 'none'), (1, 'Ada', 'ada@example.com'), (2, 'Bob', 'bob@example.com');
insert into counts values ('words', 0), ('k', 0), ('x', 0);
insert into orders values (1, 1, 10), (2, 2, 20); insert into items values (1, 1, 'a');
insert into invoices values (1, 1); insert into visits values (1, 1);
insert into tree values (1, null), (2, 1), (3, 2); insert into ring_a values (1, null); insert into ring_b values (1, 1); update ring_a set b = 1;
insert into notes values (1, 'x', 1, 'y'); insert into letters values (1, 'x');
insert into events values (1, 1, 'a'), (2, 11, 'b'); insert into heir values (1, 2); insert into tenants values (1); insert into native values (1);
insert into likes values (1, 2);`

func attachedDatabase() string {
	fn := "create function touch_nothing() returns trigger language plpgsql as $$ begin return new; end $$;\n"
	return strings.Replace(attachedSQL, "create table conditional", fn+"create table conditional", 1) + attachedRows
}

// What a write sets off is seen from it, and the server does change those tables.
func TestConsequences(t *testing.T) {
	conn := connect(t, attachedDatabase())
	s := load(t, conn, nil).InPath([]string{"public"})
	for sql, want := range map[string]string{
		"update customers set name = 'x' where id = 1":                                                     "",
		"insert into customers values (9, 'x')":                                                            "",
		"delete from customers where id = 1":                                                               "audit_log counts invoices items orders visits",
		"update customers set id = 5 where id = 1":                                                         "audit_log orders visits",
		"update customers set (id, name) = (5, 'x') where id = 1":                                          "audit_log orders visits",
		"insert into customers values (1, 'x') on conflict (id) do update set id = 6":                      "audit_log orders visits",
		"merge into customers c using (values (1)) v(i) on c.id = v.i when matched then update set id = 7": "audit_log orders visits",
		"merge into customers c using (values (1)) v(i) on c.id = v.i when matched then delete":            "audit_log counts invoices items orders visits",
		"with gone as (delete from customers where id = 1 returning id) select * from gone":                "audit_log counts invoices items orders visits",
		"delete from tree where id = 1":                                                                    "tree",
		"delete from ring_a where id = 1":                                                                  "ring_a ring_b",
		"insert into orders values (9, 1, 1)":                                                              "audit_log",
		"insert into items values (9, 1, 'x')":                                                             "counts",
		"update notes set body = 'z' where id = 1":                                                         "counts",
		"update notes set draft = 'z' where id = 1":                                                        "",
		"delete from notes where id = 1":                                                                   "audit_log",
		"truncate notes":                                                                                   "audit_log",
		"insert into native values (2, null, 'b')":                                                         "",
		"insert into letters values (2, 'y')":                                                              "audit_log",
		"delete from letters where id = 1":                                                                 "audit_log counts letters",
		"update letters set body = 'x' where id = 1":                                                       "audit_log counts",
		"insert into silent values (1)":                                                                    "",
		"update shown set name = 'x' where id = 1":                                                         "customers",
		"delete from over_shown where id = 1":                                                              "audit_log counts customers invoices items orders shown visits",
		"delete from guarded where id = 1":                                                                 "counts items",
		"delete from ruled where id = 1":                                                                   "likes",
		"insert into events values (3, 2, 'c')":                                                            "audit_log counts events_1 events_2",
		"insert into events_2 values (3, 12, 'c')":                                                         "audit_log counts events",
		"update events set day = 15 where id = 1":                                                          "audit_log counts events_1 events_2",
		"delete from base where id = 1":                                                                    "audit_log heir",
		"delete from only base where id = 1":                                                               "",
		"insert into base values (3)":                                                                      "",
		"insert into checked (n) values (1)":                                                               "audit_log counts",
		"insert into domained values (1)":                                                                  "counts",
		"insert into indexed values ('x')":                                                                 "counts",
		"insert into computed values ('x')":                                                                "counts",
		"select * from tenants":                                                                            "audit_log",
		"select * from lax":                                                                                "",
		"select 1::money2":                                                                                 "counts",
		"insert into prices values (3)":                                                                    "counts",
		"insert into conditional values (3)":                                                               "counts",
		"truncate customers cascade":                                                                       "invoices items likes orders visits",
		"drop table customers cascade":                                                                     "guarded invoices likes orders over_shown ruled shown visits",
		"select 1::small":                                                                                  "counts", "select small '1'": "counts", "select cast('{1,2}' as small[])": "counts",
		`select * from json_populate_record(null::domained, '{"n":1}')`:            "counts",
		`select * from json_to_record('{"n":1}') as x(n small)`:                    "counts",
		"do $$ declare n small; begin n := 1; end $$":                              "counts",
		"do $$ declare n constant small not null := 1; begin end $$":               "counts",
		"do $$ declare n domained.n%type; begin n := 1; end $$":                    "counts",
		"do $$ declare n public.domained%rowtype; begin n.n := 1; end $$":          "counts",
		"do $$ declare n int; m customers.id%type; r record; begin n := 1; end $$": "",
		"select takes(1)": "counts", "select row(1, 2)::pair + 1": "counts", "select sum(pair_of(1))": "counts",
		"insert into by_default (id) values (1)":                                      "audit_log",
		"insert into saved (id) values (1)":                                           "",
		"alter table base alter id type bigint":                                       "heir",
		"alter table events add extra int":                                            "events_1 events_2",
		"alter table only base add check (id > 0) no inherit":                         "",
		"alter table heir add more int":                                               "",
		"alter table base rename id to ident":                                         "heir",
		"drop schema far cascade":                                                     "away moods",
		"drop type far.mood cascade":                                                  "moods",
		"drop domain positive cascade":                                                "domained",
		"drop function may(int) cascade":                                              "calm lax tenants",
		"drop function takes(small)":                                                  "",
		"drop table events":                                                           "events_1 events_2",
		"explain delete from customers where id = 1":                                  "",
		"explain analyze delete from customers where id = 1":                          "audit_log counts invoices items orders visits",
		"do $$ begin delete from customers where id = 1; end $$":                      "audit_log counts customers invoices items orders visits",
		"do $$ begin perform 1; update customers set name = 'x' where id = 1; end $$": "customers",
	} {
		st := query.Analyze(sql, s)[0]
		var told, targets []string
		for in := &st; in != nil; in = in.Inner {
			for _, c := range in.Consequences {
				if c.Kind != query.Select {
					told = append(told, c.Ref.Table)
				}
			}
			for _, r := range in.Targets {
				targets = append(targets, r.String())
			}
		}
		slices.Sort(told)
		if got := strings.Join(slices.Compact(told), " "); got != want {
			t.Errorf("%s:\n got  %s\n want %s\n %s", sql, got, want, why(&st))
		}
		if st.Kind == query.Unknown || st.Has(query.UnknownRoutine) || st.Has(query.DynamicSQL) {
			t.Errorf("%s: is unknown: %s", sql, st.Problem)
		}
		for _, rel := range changedBy(t, conn, "set constraints all immediate; "+sql) {
			if !slices.Contains(targets, rel) {
				t.Errorf("%s: changed %s, which is not in %v", sql, rel, targets)
			}
		}
	}
}

// Functions of the server that do more than compute are found in defaults and checks,
// where the server writes down no dependency on them.
func TestServerFunctionsInDefaultsAreSeen(t *testing.T) {
	s := load(t, connect(t, attachedDatabase()), nil).InPath([]string{"public"})
	for sql, want := range map[string]query.Sign{
		"insert into filed (id) values (1)":           query.ServerFile,
		"insert into filed values (1, default)":       query.ServerFile,
		"insert into checked_file values (1)":         query.ServerFile,
		"update checked_file set id = 1 where id = 2": query.ServerFile,
		"delete from filed where id = 1":              "",
		"insert into customers values (9, 'x')":       "",
	} {
		st := query.Analyze(sql, s)[0]
		if got := st.Has(query.ServerFile); got != (want != "") {
			t.Errorf("%s: signs %v, want %q", sql, st.Signs, want)
		}
	}
	if st := query.Analyze("insert into saved (id) values (1)", s)[0]; !slices.Contains(st.Functions, "pg_catalog.lo_create") {
		t.Errorf("a large object is made by a default, but the functions are %v", st.Functions)
	}
}

// Only of an extension that is there does CREATE EXTENSION IF NOT EXISTS nothing.
func TestExtensionThatIsThere(t *testing.T) {
	s := load(t, connect(t, ""), nil)
	for sql, want := range map[string]query.Kind{
		"create extension if not exists plpgsql": query.Maintain, `create extension if not exists "plpgsql" with schema pg_catalog`: query.Maintain,
		"create extension plpgsql": query.DDL, "create extension if not exists no_such": query.DDL, `create extension if not exists "PLPGSQL"`: query.DDL,
	} {
		if st := query.Analyze(sql, s)[0]; st.Kind != want || st.Has(query.ServerCode) != (want == query.DDL) || st.Writes != (want == query.DDL) {
			t.Errorf("%s: %s %v, want %s", sql, st.Kind, st.Signs, want)
		}
	}
	if st := query.Analyze("create extension if not exists plpgsql", nil)[0]; st.Kind != query.DDL {
		t.Error("without a catalogue an extension is taken to be there")
	}
}

// A relation is named by its old name and its new one.
func TestRenamesNameBoth(t *testing.T) {
	s := load(t, connect(t, attachedDatabase()), nil).InPath([]string{"public"})
	for sql, want := range map[string]string{
		"alter table likes rename to loves":                      "public.likes public.loves",
		"alter table likes rename customer_id to c":              "public.likes",
		"alter table likes set schema far":                       "far.likes public.likes",
		"alter view calm rename to calmer":                       "public.calm public.calmer",
		"alter schema far rename to near":                        "far.away near.away",
		"grant select on all tables in schema far to public":     "far.away",
		"revoke all on all tables in schema far from public":     "far.away",
		"grant usage on all sequences in schema far to public":   "",
		"grant execute on all functions in schema far to public": "",
	} {
		var got []string
		for _, r := range query.Analyze(sql, s)[0].Targets {
			got = append(got, r.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: targets %v, want %s", sql, got, want)
		}
	}
}

func why(st *query.Statement) string {
	var lines []string
	for ; st != nil; st = st.Inner {
		for _, c := range st.Consequences {
			lines = append(lines, fmt.Sprintf("%s %s: %s", c.Kind, c.Ref, c.Why))
		}
	}
	return strings.Join(lines, "\n ")
}

// Only a trigger of which nobody knows what it does makes a write unknown, and the
// statement says which trigger and why.
func TestOpaqueTriggers(t *testing.T) {
	conn := connect(t, attachedDatabase()+`;
create extension if not exists moddatetime;
create table stamped (id int, at timestamp);
create trigger stamp before update on stamped for each row execute function moddatetime(at);
create table told (id int);
create function tells() returns trigger language plpgsql as $$ begin perform pg_notify('told', new.id::text); perform set_config('app.told', 'x', true); return new; end $$;
create trigger tells after insert on told for each row execute function tells();
create table kills (id int);
create function kills() returns trigger language plpgsql as $$ begin
  perform pg_terminate_backend(new.id); return new; end $$;
create trigger kills after insert on kills for each row execute function kills();
create table far (id int primary key); create table near (id int, far int references far on delete cascade);
create trigger opaque after delete on near for each row execute function opaque();
create table unread (id int);
create function unread() returns trigger language c as 'moddatetime', 'moddatetime';
create trigger unread before update on unread for each row execute function unread();
create table turned (id int);
create function turned() returns trigger language plpgsql as $$ begin set local role nobody; return new; end $$;
create trigger turned after insert on turned for each row execute function turned();`)
	s := load(t, conn, nil).InPath([]string{"public"})
	for sql, want := range map[string]string{
		"update stamped set id = 1":             "", // an extension's, which who rules the server installed
		"insert into told values (1)":           "",
		"insert into opaque values (1)":         "trigger opaque on public.opaque: function public.opaque runs dynamic SQL at line 2",
		"update opaque set id = 1":              "", // it is not for that
		"delete from near where id = 1":         "trigger opaque on public.near: function public.opaque runs dynamic SQL at line 2",
		"delete from far where id = 1":          "trigger opaque on public.near: function public.opaque runs dynamic SQL at line 2",
		"insert into kills values (1)":          "trigger kills on public.kills: in function public.kills: function pg_terminate_backend does more than compute, and what that comes to is not known",
		"update unread set id = 1":              "trigger unread on public.unread: function public.unread is written in c",
		"insert into turned values (1)":         "trigger turned on public.turned: function public.turned changes settings that decide what names mean or who acts",
		"do 'begin delete from far; end'":       "trigger opaque on public.near: function public.opaque runs dynamic SQL at line 2",
		"select * from opaque, far":             "",
		"copy opaque from stdin":                "trigger opaque on public.opaque: function public.opaque runs dynamic SQL at line 2",
		"explain insert into opaque values (1)": "",
	} {
		st := query.Analyze(sql, s)[0]
		doubtful := st.Has(query.UnknownRoutine) || st.Has(query.DynamicSQL)
		if st.Problem != want || doubtful != (want != "") {
			t.Errorf("%s:\n got  %q %v\n want %q", sql, st.Problem, st.Signs, want)
		}
	}
}

// DDL runs event triggers: those for its command only, and not those that are off.
func TestEventTriggers(t *testing.T) {
	conn := connect(t, `create table journal (what text); create table seen (n int);
create function notes() returns event_trigger language plpgsql as $$ declare r record; begin
  for r in select * from pg_event_trigger_ddl_commands() loop insert into journal values (r.command_tag); end loop; end $$;
create function hidden() returns event_trigger language plpgsql as $$ begin
  execute 'insert into ' || 'seen' || ' values (' || txid_current() || ')'; end $$;
create event trigger notes on ddl_command_end when tag in ('CREATE TABLE', 'ALTER TABLE') execute function notes();
create event trigger hidden on sql_drop execute function hidden();
create event trigger off on ddl_command_start execute function hidden(); alter event trigger off disable;`)
	s := load(t, conn, nil).InPath([]string{"public"})
	for sql, want := range map[string]struct{ told, problem string }{
		"create table a (x int)":                         {"insert public.journal: event trigger notes", ""},
		"alter table seen add m int":                     {"insert public.journal: event trigger notes", "event trigger hidden: function public.hidden runs dynamic SQL at line 2"},
		"drop table seen":                                {"", "event trigger hidden: function public.hidden runs dynamic SQL at line 2"},
		"select 1":                                       {"", ""},
		"insert into seen values (1)":                    {"", ""},
		"do 'begin alter table seen rename to saw; end'": {"insert public.journal: event trigger notes", "event trigger hidden: function public.hidden runs dynamic SQL at line 2"},
	} {
		st := query.Analyze(sql, s)[0]
		if got := why(&st); got != want.told || st.Problem != want.problem {
			t.Errorf("%s: sets off %q, %q", sql, got, st.Problem)
		}
	}
	if changed := changedBy(t, conn, "create table a (x int)"); !slices.Contains(changed, "public.journal") {
		t.Errorf("the server changed %v", changed)
	}
}

// What hangs on relations makes another snapshot when it changes.
func TestAttachedChanges(t *testing.T) {
	conn := connect(t, attachedDatabase())
	r := &catalog.Reader{Conn: conn}
	s, err := r.Read(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"alter table customers enable trigger off", "alter table customers disable trigger off",
		"drop rule copy on letters", "alter table likes add foreign key (id) references orders on delete cascade",
		"create policy more on tenants for delete using (may(id))", "alter table checked alter n set default next_id()",
		"create trigger second before update on customers for each row execute function audited()",
		"alter table customers rename to clients", "drop function may cascade", "drop index indexed_key_of_idx",
		"alter domain positive drop constraint positive_check",
	} {
		run(t, conn, sql)
		next, err := r.Read(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if next == s {
			t.Errorf("%s: the snapshot is the same", sql)
		}
		if again := load(t, conn, next); again != next {
			t.Errorf("%s: a snapshot of the same is another", sql)
		}
		s = next
	}
}
