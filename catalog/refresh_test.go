package catalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/internal/pgtest"
	"github.com/sluicehq/sluice/query"
)

// ddl are kinds of changes, with what stands for names: {t} a table, {v} a view, {m} a
// materialized view, {c} a column, {e} an enum, {d} a domain, {k} a composite type, {f}
// a function, {s} a schema, {p} a partitioned table, {n} a number. Names are few, so that
// many of them meet, and many a statement fails.
var ddl = map[string][]string{
	"create table":      {"create table {s}.{t} (id int primary key, a text, b int default 1)", "create table {s}.{t} (id serial primary key, {c} {d}, x {e}, y {k}[])", "create table {s}.{t} as select {n} as id, 'x'::text as a"},
	"create temp table": {"create temp table {t} (id int, x {e})", "drop table pg_temp.{t}"},
	"generated column":  {"alter table {s}.{t} add column g int generated always as (b + 1) stored", "alter table {s}.{t} alter g drop expression", "alter table {s}.{t} drop g"},
	"like":              {"create table {s}.{t} (like {s}.{t} including all)"},
	"drop table":        {"drop table {s}.{t}", "drop table {s}.{t} cascade"},
	"rename table":      {"alter table {s}.{t} rename to {t}"},
	"move table":        {"alter table {s}.{t} set schema {s}"},
	"add column":        {"alter table {s}.{t} add column {c} text", "alter table {s}.{t} add column {c} int not null default {n}", "alter table {s}.{t} add column {c} {s}.{t}", "alter table {s}.{t} add {c} {d}, add {c} {e}[]"},
	"drop column":       {"alter table {s}.{t} drop column {c}", "alter table {s}.{t} drop column {c} cascade"},
	"rename column":     {"alter table {s}.{t} rename column {c} to {c}"},
	"type of column":    {"alter table {s}.{t} alter column {c} type varchar({n})", "alter table {s}.{t} alter b type bigint"},
	"default":           {"alter table {s}.{t} alter {c} set default '{n}'", "alter table {s}.{t} alter {c} drop default", "alter table {s}.{t} alter b set default {s}.{f}({n})"},
	"not null":          {"alter table {s}.{t} alter {c} set not null", "alter table {s}.{t} alter {c} drop not null"},
	"create view": {"create view {s}.{v} as select * from {s}.{t}", "create view {s}.{v} as select x.id, x.a, y.b from {s}.{t} x join {s}.{t} y using (id)", "create view {s}.{v} as select id, 'calm'::{e} as mood, {s}.{f}(id) as f from {s}.{t}",
		"create view {s}.{v} as select v from {s}.{v} v", "create view {s}.{v} as select t, '{pg_class}'::regclass[] as r from {s}.{t} t", "create view {s}.{v} as select (r).* from (select {s}.{f}t(1) as r) x", "create view {s}.{v} as select '{{s}.{t}}'::regclass[] as r, '{s}.{t}'::regclass as o"},
	"replace view":      {"create or replace view {s}.{v} as select * from {s}.{t}", "create or replace view {s}.{v} as select id, a, b from {s}.{t} where id > {n}"},
	"rename view":       {"alter view {s}.{v} rename to {v}", "alter view {s}.{v} rename column a to {c}"},
	"drop view":         {"drop view {s}.{v}", "drop view {s}.{v} cascade"},
	"materialized view": {"create materialized view {s}.{m} as select count(*) as n, max(a) as a from {s}.{t}", "refresh materialized view {s}.{m}", "drop materialized view {s}.{m}", "alter materialized view {s}.{m} rename to {m}"},
	"create enum":       {"create type {e} as enum ('calm', 'busy')"},
	"alter enum":        {"alter type {e} add value 'w{n}'", "alter type {e} rename value 'calm' to 'serene'", "alter type {e} rename value 'serene' to 'calm'", "alter type {e} rename to {e0}", "alter type {e} set schema {s}"},
	"create domain":     {"create domain {d} as text", "create domain {d} as int check (value > {n})", "create domain {d} as {d}", "create domain {d} as int check (value > {s}.{f}({n}))", "create domain {d} as int default pg_backend_pid()"},
	"alter domain":      {"alter domain {d} add check (length(value::text) < {n})", "alter domain {d} drop constraint {d0}_check", "alter domain {d} set default null", "alter domain {d} rename to {d0}"},
	"composite type":    {"create type {k} as (u int, w text)", "alter type {k} add attribute z{n} int cascade", "alter type {k} drop attribute w cascade", "alter type {k} rename attribute u to u{n} cascade", "alter type {k} rename to {k0}"},
	"drop type":         {"drop type {e} cascade", "drop domain {d} cascade", "drop type {k} cascade", "drop type {e}"},
	"create function":   {"create function {s}.{f}(n int) returns int language plpgsql as 'begin return n + {n}; end'", "create function {s}.{f}(n int, m int default {n}, e {e} default 'calm') returns int language sql immutable as 'select n + m'", "create function {s}.{f}t(n int) returns {s}.{t} language sql as 'select null::{s}.{t}'", "create function {s}.{f}(n int) returns int language sql begin atomic select n + count(*)::int from {s}.{t}; end", "create function {s}.{f}(x {k}) returns {k} language sql as 'select x'"},
	"replace function":  {"create or replace function {s}.{f}(n int) returns int language plpgsql as 'begin return {n}; end'", "alter function {s}.{f}(int) volatile", "alter function {s}.{f}(int) set search_path = {s}", "alter function {s}.{f}(int) security definer"},
	"rename function":   {"alter function {s}.{f}(int) rename to {f}", "alter function {s}.{f}(int) set schema {s}"},
	"drop function":     {"drop function {s}.{f}(int)", "drop function {s}.{f}(int) cascade"},
	"procedure":         {"create procedure {s}.proc{n}(inout x int) language sql as 'select 1'", "drop procedure {s}.proc{n}(int)"},
	"aggregate":         {"create aggregate {s}.agg{n}(int) (sfunc = int4pl, stype = int)", "create aggregate {s}.agg{n}(int) (sfunc = int4pl, stype = int, initcond = '{n}')", "drop aggregate {s}.agg{n}(int)"},
	"trigger":           {"create trigger tr{n} before update of {c}, b on {s}.{t} for each row execute function public.fired()", "create trigger tr{n} after insert on {s}.{t} for each row when (new.b > pg_backend_pid()) execute function public.fired()", "alter trigger tr{n} on {s}.{t} rename to tr{n}", "drop trigger tr{n} on {s}.{t}", "alter table {s}.{t} disable trigger user", "alter table {s}.{t} enable trigger user"},
	"rule":              {"create rule r{n} as on delete to {s}.{t} do instead update {s}.{t} set a = 'gone'", "create or replace rule r{n} as on update to {s}.{t} do also notify changed", "alter rule r{n} on {s}.{t} rename to r{n}", "drop rule r{n} on {s}.{t}"},
	"policy":            {"create policy p{n} on {s}.{t} using (b = {s}.{f}({n}))", "alter policy p{n} on {s}.{t} rename to p{n}", "alter policy p{n} on {s}.{t} using (pg_backend_pid() > b)", "drop policy p{n} on {s}.{t}", "alter table {s}.{t} enable row level security", "alter table {s}.{t} disable row level security"},
	"index":             {"create index i{n} on {s}.{t} (b)", "create index i{n} on {s}.{t} (lower(a))", "create unique index j{n} on {s}.{t} ({s}.{f}(b)) where b > {n}", "alter index {s}.i{n} rename to i{n}", "alter index {s}.j{n} rename to j{n}", "drop index {s}.i{n}", "drop index {s}.j{n}"},
	"foreign key":       {"create table public.selfish (id int primary key, b int references public.selfish)", "drop table public.selfish", "create table {s}.child{n} (b int references {s}.{t})", "alter table {s}.child{n} drop constraint child{n}_b_fkey", "alter table {s}.child{n} rename b to c", "drop table {s}.child{n}", "alter table {s}.{t} add constraint fk{n} foreign key (b) references {s}.{t} on delete cascade", "alter table {s}.{t} add constraint fk{n} foreign key (b) references {s}.{t} not valid", "alter table {s}.{t} validate constraint fk{n}", "alter table {s}.{t} drop constraint fk{n}", "alter table {s}.{t} rename constraint fk{n} to fk{n}"},
	"check":             {"alter table {s}.{t} add constraint ck{n} check (b <> {n})", "alter table {s}.{t} add constraint ck{n} check (b <> {s}.{f}({n})) not valid", "alter table {s}.{t} drop constraint ck{n}", "alter table {s}.{t} rename constraint ck{n} to ck{n}"},
	"unique":            {"alter table {s}.{t} add constraint un{n} unique (b)", "alter table {s}.{t} drop constraint un{n}", "alter table {s}.{t} drop constraint {t0}_pkey cascade"},
	"sequence":          {"create sequence {s}.q{n}", "alter sequence {s}.q{n} owned by {s}.{t}.id", "alter sequence {s}.q{n} rename to q{n}", "drop sequence {s}.q{n} cascade"},
	"identity":          {"alter table {s}.{t} add column ident int generated always as identity", "alter table {s}.{t} alter ident drop identity"},
	"schema":            {"create schema extra{n}", "drop schema extra{n} cascade", "alter schema extra{n} rename to extra{n}", "alter schema s1 rename to s2", "alter schema s2 rename to s1", "create table extra{n}.{t} (id int, e {e})"},
	"partition":         {"create table {s}.{p} (id int, a text, at int) partition by range (at)", "create table {s}.{p}_{n} partition of {s}.{p} for values from ({n}) to ({n}9)", "alter table {s}.{p} detach partition {s}.{p}_{n}", "alter table {s}.{p} attach partition {s}.{p}_{n} for values from ({n}) to ({n}9)", "alter table {s}.{p} add column {c} text", "drop table {s}.{p}"},
	"inheritance":       {"create table {s}.{t} (own int) inherits ({s}.{t})", "alter table {s}.{t} inherit {s}.{t}", "alter table {s}.{t} no inherit {s}.{t}", "create table {s}.bare{n} ()", "create table {s}.under{n} () inherits ({s}.bare{n})", "alter table {s}.under{n} no inherit {s}.bare{n}", "drop table {s}.bare{n} cascade", "drop table {s}.under{n}"},
	"comment":           {"comment on column {s}.{t}.{c} is 'note {n}'", "comment on column {s}.{t}.a is null", "comment on table {s}.{t} is 'x{n}'"},
	"grant":             {"grant select on {s}.{t} to public", "revoke all on {s}.{t} from public", "grant usage on schema {s} to public", "grant execute on function {s}.{f}(int) to public"},
	"role":              {"alter role current_user set statement_timeout = '{n}min'", "alter role current_user reset statement_timeout", "alter role current_user set search_path = public, s1", "alter role current_user reset search_path"},
	"owner":             {"alter table {s}.{t} owner to keeper", "alter view {s}.{v} owner to keeper", "alter type {e} owner to keeper"},
	"storage":           {"alter table {s}.{t} set (fillfactor = 7{n})", "truncate {s}.{t} cascade", "cluster {s}.{t} using {t0}_pkey", "vacuum full {s}.{t}", "reindex table {s}.{t}"},
	"statistics":        {"analyze {s}.{t}", "vacuum {s}.{t}", "insert into {s}.{t} (id, a) select g, 'x' from generate_series({n}00, {n}99) g", "vacuum analyze"},
	"operator":          {"create operator {s}.<<< (leftarg = int, rightarg = int, function = int4pl)", "drop operator {s}.<<< (int, int)", "create operator {s}.## (leftarg = int, function = {s}.{f})", "create operator {s}.### (rightarg = int, function = {s}.{f})", "drop operator {s}.### (none, int)"},
	"cast":              {"create cast ({k} as text) with inout as assignment", "create cast (int as {k}) with function public.to_k(int) as implicit", "drop cast (int as {k})", "drop cast ({k} as text)"},
	"range type":        {"create type span{n} as range (subtype = int)", "drop type span{n} cascade", "create type s1.span{n} as range (subtype = {d})"},
	"extension":         {"create extension citext", "drop extension citext cascade", "create extension pg_trgm", "drop extension pg_trgm cascade", "alter extension citext add function {s}.{f}(int)", "alter extension citext drop function {s}.{f}(int)", "alter table {s}.{t} add column {c} citext"},
	"event trigger":     {"create event trigger ev{n} on ddl_command_end when tag in ('ALTER FUNCTION') execute function public.noticed()", "drop event trigger ev{n}", "alter event trigger ev{n} disable"},
	"collation":         {"create collation {s}.co{n} from \"C\"", "drop collation {s}.co{n} cascade"},
	"server's own":      {"revoke execute on function pg_catalog.pg_sleep(double precision) from public", "grant execute on function pg_catalog.pg_sleep(double precision) to public"},
	"several at once":   {"alter table {s}.{t} add column {c} text, drop column {c}", "create table {s}.{t} (id int primary key, b int); create index i{n} on {s}.{t} (b); comment on column {s}.{t}.b is 'b'", "do 'begin create table {s}.{t} (id int); alter table {s}.{t} add a text, add b int; end'"},
}

const ground = `create schema s1; create role keeper_%[1]s;
create function public.fired() returns trigger language plpgsql as 'begin return new; end';
create function public.noticed() returns event_trigger language plpgsql as 'begin end';
create type e1 as enum ('calm', 'busy'); create domain d1 as text; create type k1 as (u int, w text);
create function public.to_k(n int) returns k1 language sql as 'select row(n, null)::k1';
create table public.t1 (id int primary key, a text, b int); create table s1.t2 (id int primary key, a text, b int);
create function public.f1(n int) returns int language plpgsql immutable as 'begin return n; end';
create view public.v1 as select * from public.t1;`

// followedByAll are the kinds after which everything is read; there are fewer of them.
var followedByAll = []string{"schema", "server's own", "operator", "extension", "collation", "range type", "storage"}

// maker makes statements of the kinds above.
type maker struct {
	rnd  *rand.Rand
	role string
	did  map[string]int // how often a kind came to pass
}

func (m *maker) statement(template string) string {
	pick := func(prefix string, n int) string { return prefix + strconv.Itoa(1+m.rnd.IntN(n)) }
	named := map[string]string{}
	var b strings.Builder
	for rest := template; rest != ""; {
		before, after, ok := strings.Cut(rest, "{")
		b.WriteString(before)
		if !ok {
			break
		}
		name, tail, closed := strings.Cut(after, "}")
		word, known := map[string]string{
			"t": pick("t", 4), "v": pick("v", 4), "m": pick("m", 2), "c": []string{"a", "b", "c", "d"}[m.rnd.IntN(4)], "e": pick("e", 2), "d": pick("d", 3),
			"k": pick("k", 2), "f": pick("f", 4), "s": []string{"public", "public", "s1"}[m.rnd.IntN(3)], "p": pick("p", 2), "n": pick("", 3),
		}[name]
		switch {
		case closed && known:
			named[name] = word
			b.WriteString(word)
			rest = tail
		case closed && strings.HasSuffix(name, "0") && named[name[:1]] != "":
			b.WriteString(named[name[:1]]) // the same name again
			rest = tail
		default:
			b.WriteString("{")
			rest = after
		}
	}
	return strings.ReplaceAll(b.String(), "keeper", m.role)
}

// any makes one of some kind, most often of one that seldom came to pass.
func (m *maker) any(kinds []string) (kind, sql string) {
	kind = kinds[m.rnd.IntN(len(kinds))]
	for range 3 {
		if other := kinds[m.rnd.IntN(len(kinds))]; m.did[other] < m.did[kind] {
			kind = other
		}
	}
	if rare := m.did[kind] > 1 && m.rnd.IntN(4) > 0; rare && slices.Contains(followedByAll, kind) {
		return m.any(kinds)
	}
	return kind, m.statement(ddl[kind][m.rnd.IntN(len(ddl[kind]))])
}

// defaultSteps is how many changes are compared; SLUICE_REFRESH=SEED,STEPS has others.
const defaultSteps = 120

// exact compares what a reader made of changes with what reading everything gives.
func exact(t *testing.T, r *Reader, last *Snapshot, after string) *Snapshot {
	t.Helper()
	ctx := t.Context()
	next, err := r.Read(ctx, last)
	whole := &Reader{Conn: r.Conn}
	want, err2 := whole.Read(ctx, last)
	if err = errors.Join(err, err2); err != nil && strings.Contains(err.Error(), "lock timeout") {
		return last // a view whose lock somebody holds cannot be printed, now
	} else if err != nil {
		t.Fatalf("%s: %v", after, err)
	}
	if diff := difference(r.rows, whole.rows); diff != "" {
		t.Fatalf("%s: rows differ: %s", after, diff)
	}
	if next != last || want != last {
		if next == last { // only what sessions keep for themselves may have come and gone
			if diff := unlike(withoutTemporary(next), withoutTemporary(want)); diff != "" {
				t.Fatalf("%s: nothing is said to have changed, but %s", after, diff)
			}
		} else if diff := unlike(next, want); diff != "" {
			t.Fatalf("%s: %s", after, diff)
		}
	}
	return next
}

// unlike says in which field two snapshots differ.
func unlike(a, b *Snapshot) string {
	x, y := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range x.NumField() {
		if p, q := forced(x.Field(i)), forced(y.Field(i)); !reflect.DeepEqual(p, q) {
			return fmt.Sprintf("%s is %.2000s and not %.2000s", x.Type().Field(i).Name, fmt.Sprint(p), fmt.Sprint(q))
		}
	}
	return ""
}

// withoutTemporary is a snapshot without what only one session sees, and without the
// counts of rows.
func withoutTemporary(s *Snapshot) *Snapshot {
	x := *s
	x.relations, x.ordered, x.byOID, x.sum, x.Version = nil, nil, nil, 0, 0
	for _, e := range s.ordered {
		if !isTemporary(e.rel.Schema) {
			y := *e
			y.rows, y.rel.Rows = 0, 0
			x.ordered = append(x.ordered, &y)
		}
	}
	x.attached, x.dependents = map[query.Ref]*query.Attached{}, map[object][]query.Ref{}
	for ref, a := range s.attached {
		if !isTemporary(ref.Schema) {
			x.attached[ref] = a
		}
	}
	for o, refs := range s.dependents {
		if kept := slices.DeleteFunc(slices.Clone(refs), func(r query.Ref) bool { return isTemporary(r.Schema) }); len(kept) > 0 {
			x.dependents[o] = kept
		}
	}
	return &x
}

func difference(a, b *rows) string {
	x, y := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range x.NumField() {
		name := x.Type().Field(i).Name
		if name == "made" || name == "enums" { // what snapshots are made of is compared by them
			continue
		}
		if x.Field(i).Kind() != reflect.Map {
			if fmt.Sprint(x.Field(i)) != fmt.Sprint(y.Field(i)) {
				return fmt.Sprintf("%s: %v and %v", name, x.Field(i), y.Field(i))
			}
			continue
		}
		if reflect.DeepEqual(forced(x.Field(i)), forced(y.Field(i))) {
			continue
		}
		for _, k := range append(x.Field(i).MapKeys(), y.Field(i).MapKeys()...) {
			p, q := x.Field(i).MapIndex(k), y.Field(i).MapIndex(k)
			if !p.IsValid() || !q.IsValid() || fmt.Sprintf("%#v", p) != fmt.Sprintf("%#v", q) {
				return fmt.Sprintf("%s of %v: %#v and %#v", name, k, p, q)
			}
		}
		return name
	}
	return ""
}

// forced is the value of a field that is not exported.
func forced(v reflect.Value) any {
	return reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem().Interface()
}

// trial is a database that two sessions change, and a reader of it.
type trial struct {
	t     *testing.T
	m     *maker
	kinds []string
	a, b  *pgx.Conn
	r     *Reader
	last  *Snapshot
	open  bool     // b has a transaction
	log   []string // what came to pass in this step

	undone, beside, changed, none int
}

func newTrial(t *testing.T, seed uint64) *trial {
	t.Helper()
	dsn := pgtest.Database(t)
	connect := func() *pgx.Conn {
		conn, err := pgx.Connect(t.Context(), dsn)
		if err == nil {
			_, err = conn.Exec(t.Context(), "set lock_timeout = '100ms'; set client_min_messages = error")
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(context.Background()) })
		return conn
	}
	role := "keeper_" + strconv.FormatUint(seed, 10)
	x := &trial{t: t, m: &maker{rnd: rand.New(rand.NewPCG(seed, 7)), did: map[string]int{}, role: role}, kinds: slices.Sorted(maps.Keys(ddl)), a: connect(), b: connect()}
	if _, err := x.a.Exec(t.Context(), fmt.Sprintf(ground, strconv.FormatUint(seed, 10))); err != nil {
		t.Fatal(err)
	}
	tell := func(list ...string) {
		for _, sql := range list {
			if _, err := x.a.Exec(context.Background(), sql); err != nil {
				t.Errorf("%s: %v", sql, err)
			}
		}
	}
	tell("alter system set autovacuum = off", "select pg_reload_conf()") // ANALYZE between two readings would tell them apart
	t.Cleanup(func() {
		tell("alter system reset autovacuum", "select pg_reload_conf()", "drop owned by "+role+" cascade", "drop role "+role, "alter role current_user reset all")
	})
	x.r = &Reader{Conn: connect()}
	x.last = exact(t, x.r, nil, "the first reading")
	return x
}

// try runs a statement of some kind, and reports whether it came to pass.
func (x *trial) try(conn *pgx.Conn, kind, sql string) bool {
	if _, err := conn.Exec(x.t.Context(), sql); err != nil {
		return false
	}
	x.m.did[kind]++
	x.log = append(x.log, sql)
	return true
}

// do runs what goes with transactions, where it does not matter whether it fails.
func (x *trial) do(conn *pgx.Conn, sql string) {
	_, _ = conn.Exec(x.t.Context(), sql)
}

// within is one statement that fails alone in a transaction.
func (x *trial) within(conn *pgx.Conn) {
	x.do(conn, "savepoint s")
	if kind, sql := x.m.any(x.kinds); !x.try(conn, kind, sql) {
		x.do(conn, "rollback to savepoint s")
	}
}

// step changes something and compares.
func (x *trial) step(i int) {
	x.log = nil
	switch x.m.rnd.IntN(8) {
	case 0: // several, all or nothing
		x.do(x.a, "begin")
		for range 1 + x.m.rnd.IntN(4) {
			x.within(x.a)
		}
		if x.m.rnd.IntN(2) == 0 {
			x.undone++
			x.last = exact(x.t, x.r, x.last, fmt.Sprintf("step %d, open: %v", i, x.log))
			x.do(x.a, "rollback")
		} else {
			x.do(x.a, "commit")
		}
	case 1, 2: // another session, whose transaction stays open for some steps
		if !x.open {
			x.do(x.b, "begin")
			x.open = true
		}
		x.beside++
		x.within(x.b)
	case 3:
		if x.open {
			x.do(x.b, []string{"commit", "commit", "rollback"}[x.m.rnd.IntN(3)])
			x.open = false
		}
	}
	for range 8 { // most fail, since names are few
		if kind, sql := x.m.any(x.kinds); x.try(x.a, kind, sql) && x.m.rnd.IntN(2) == 0 {
			break
		}
	}
	was := x.last
	if x.last = exact(x.t, x.r, x.last, fmt.Sprintf("step %d: %s", i, strings.Join(x.log, "; "))); was == x.last {
		x.none++
	} else {
		x.changed++
	}
}

// rest brings about the kinds that have not come to pass.
func (x *trial) rest() {
	x.do(x.b, "rollback")
	for _, kind := range x.kinds {
		for tries := 0; x.m.did[kind] == 0 && tries < 100; tries++ {
			if sql := x.m.statement(ddl[kind][x.m.rnd.IntN(len(ddl[kind]))]); x.try(x.a, kind, sql) {
				x.last = exact(x.t, x.r, x.last, sql)
			}
		}
		if x.m.did[kind] == 0 {
			x.t.Errorf("%s: never came to pass", kind)
		}
	}
}

// After any change, in any order, by several sessions at once, undone or not, what is
// read anew and what is kept are together what reading everything gives.
func TestRefreshIsExact(t *testing.T) {
	seed, steps := uint64(1), defaultSteps
	if text := os.Getenv("SLUICE_REFRESH"); text != "" {
		if _, err := fmt.Sscanf(text, "%d,%d", &seed, &steps); err != nil {
			t.Fatal(err)
		}
	}
	x := newTrial(t, seed)
	for i := range steps {
		x.step(i)
	}
	x.rest()
	t.Logf("%d kinds, %d readings with a change and %d without, %d of them whole; %d undone, %d beside", len(x.m.did), x.changed, x.none, x.r.whole, x.undone, x.beside)
	if x.r.whole > steps*2/3 { // else little is tested
		t.Errorf("everything was read %d times", x.r.whole)
	}
}
