package catalog

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/internal/pgcluster"
	"github.com/sluicehq/sluice/internal/pgtest"
)

// watched is a database with a reader that has read everything, and a session to change
// it.
type watched struct {
	t    *testing.T
	dsn  string
	conn *pgx.Conn
	r    *Reader
	last *Snapshot
}

func watch(t *testing.T, setup string) *watched {
	t.Helper()
	return watchAt(t, pgtest.Database(t), setup)
}

func watchAt(t *testing.T, dsn, setup string) *watched {
	t.Helper()
	w := &watched{t: t, dsn: dsn}
	w.conn = w.session()
	w.run(w.conn, setup)
	w.r = &Reader{Conn: w.session()}
	w.last = exact(t, w.r, nil, "the first reading")
	return w
}

func (w *watched) session() *pgx.Conn {
	w.t.Helper()
	conn, err := pgx.Connect(w.t.Context(), w.dsn)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func (w *watched) run(conn *pgx.Conn, sql string) {
	w.t.Helper()
	if _, err := conn.Exec(w.t.Context(), sql); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// changes runs statements after each of which what is read is what there is, and is
// read without reading everything.
func (w *watched) changes(conn *pgx.Conn, statements ...string) {
	w.t.Helper()
	for _, sql := range statements {
		w.run(conn, sql)
		w.reads(sql)
	}
}

func (w *watched) reads(after string) {
	w.t.Helper()
	whole := w.r.whole
	w.last = exact(w.t, w.r, w.last, after)
	if w.r.whole != whole {
		w.t.Errorf("%s: everything was read", after)
	}
}

func (w *watched) has(table string) bool { return len(w.last.Lookup("public", table)) > 0 }

// Attack: change a table in a transaction that begins before others and ends after them,
// so that what it writes has an older number than what was read since; in a
// subtransaction too.
func TestChangeInATransactionThatWasOpen(t *testing.T) {
	w := watch(t, "create table a (id int, email text); create table b (id int, x text)")
	old := w.session()
	w.run(old, "begin; alter table a rename email to status; savepoint s; create table late (id int); drop table b")
	for i := range 3 { // younger ones, which end before it
		w.changes(w.conn, fmt.Sprintf("create table young%d (id int)", i))
	}
	if w.has("late") || !w.has("b") {
		t.Fatal("what is not committed is seen")
	}
	w.run(w.conn, "create operator ### (leftarg = int, rightarg = int, function = int4pl)") // after which everything is read, once
	w.last = exact(t, w.r, w.last, "a new operator")
	w.changes(w.conn, "create table youngest (id int)")
	w.changes(old, "commit")
	if _, ok := w.last.Column("public", "a", "status"); !ok || !w.has("late") || w.has("b") {
		t.Error("what an older transaction did is not seen")
	}
	w.changes(w.conn, "create table after_it (id int)")
}

// Attack: the same with a transaction that somebody prepared, which no session has.
func TestChangeInAPreparedTransaction(t *testing.T) {
	c, err := pgcluster.Start(t.Context(), pgcluster.Config{Settings: map[string]string{"max_prepared_transactions": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop() //nolint:errcheck // it goes with its directory
	w := watchAt(t, c.DSN("postgres"), "create table a (id int, email text)")
	w.run(w.conn, "begin; alter table a add phone text; prepare transaction 'later'")
	w.changes(w.conn, "create table young (id int)", "commit prepared 'later'")
	if _, ok := w.last.Column("public", "a", "phone"); !ok {
		t.Error("what a prepared transaction did is not seen")
	}
}

// DDL that is undone leaves nothing behind, and what follows is seen.
func TestChangeThatIsUndone(t *testing.T) {
	w := watch(t, "create table a (id int, email text)")
	before := w.last
	for _, sql := range []string{
		"begin; alter table a rename to b; create view v as select * from b; rollback",
		"begin; savepoint s; drop table a; rollback to s; commit",
		"begin; create type mood as enum ('calm'); create function f(mood) returns int language sql as 'select 1'; rollback",
	} {
		w.changes(w.conn, sql)
		if w.last != before {
			t.Errorf("%s: another snapshot", sql)
		}
	}
	w.changes(w.conn, "begin; alter table a add undone int; savepoint s; alter table a add gone int; rollback to s; alter table a add kept int; commit")
	for column, want := range map[string]bool{"undone": true, "gone": false, "kept": true} {
		if _, ok := w.last.Column("public", "a", column); ok != want {
			t.Errorf("%s: %v", column, ok)
		}
	}
}

// Attack: drop something and make as many elsewhere, so that there are as many as
// before; what is dropped leaves no row behind that says so.
func TestWhatIsGoneIsNotHiddenByWhatIsNew(t *testing.T) {
	w := watch(t, `create function may(int) returns bool language sql immutable as 'select true';
create table a (id int primary key, n int constraint positive check (may(n))); create table b (id int primary key, n int);
alter table b add constraint fk foreign key (n) references a;
create function fired() returns trigger language plpgsql as 'begin return new; end';
create trigger tr before insert on a for each row execute function fired();
create rule r as on delete to a do instead nothing; create policy p on a using (may(n)); alter table a enable row level security; alter table b enable row level security;
create index i on a (n) where may(n); comment on column a.n is 'x'; create table under () inherits (a); create table other () inherits (b)`)
	for _, sql := range []string{
		"begin; alter table b drop constraint fk; alter table b add constraint fk2 foreign key (id) references a; commit",
		"begin; alter table a drop constraint positive; alter table b add constraint positive check (may(n)) not valid; commit",
		"begin; drop trigger tr on a; create trigger tr before insert on b for each row execute function fired(); commit",
		"begin; drop rule r on a; create rule r as on delete to b do instead nothing; commit",
		"begin; drop policy p on a; create policy p on b using (may(n)); commit",
		"begin; comment on column a.n is null; comment on column b.n is 'x'; commit",
		"begin; alter table under no inherit a; alter table under add constraint positive check (may(n)); alter table under inherit b; commit",
		"begin; drop function may(int) cascade; create function may(text) returns bool language sql as 'select true'; commit",
		"begin; drop table other; create table other (id int, n int); commit",
	} {
		before := w.last
		w.changes(w.conn, sql)
		if w.last == before {
			t.Errorf("%s: nothing is said to have changed", sql)
		}
	}
	w.changes(w.conn, "drop trigger tr on b", "drop rule r on b",
		"alter table b drop constraint fk2", "alter table under no inherit b", "drop function fired()", "drop table a cascade")
}

// Attack: rename what a view or a function says, so that no row of its own is written.
func TestTextsFollowWhatTheySay(t *testing.T) {
	w := watch(t, `create table a (id int primary key, email text); create table child (a_id int references a); create type mood as enum ('calm', 'busy'); create schema s; create table s.inner (x int);
create function twice(n int) returns int language sql immutable as 'select n * 2';
create view v as select id, email, twice(id) as t, 'calm'::mood as m from a;
create view w as select * from v; create view names as select '{a}'::regclass[] as r;
create function given(m mood default 'calm', n int default twice(2)) returns a language sql begin atomic select a from a; end;
create view r as select (given()).*; create view s as select x from s.inner;
create rule noted as on update to s.inner do also insert into a values (twice(1))`)
	w.changes(w.conn, "alter table a rename id to number", "alter table a rename email to status", "alter function twice(int) rename to double", "alter type mood rename value 'calm' to 'serene'",
		"alter type mood rename to temper", "alter table a rename to b", "alter table b add more int", "alter table s.inner rename x to y", "alter table b set schema s", "alter type temper set schema s")
	whole := w.r.whole
	w.run(w.conn, "alter schema s rename to z")
	if w.last = exact(t, w.r, w.last, "another name of a schema"); w.r.whole != whole+1 {
		t.Error("a schema got another name, and not everything was read")
	}
}

// Doubt reads everything: after an error, at another server's process, where texts are
// printed otherwise, where the server's own things changed, and where too many
// transactions went by.
func TestDoubtReadsEverything(t *testing.T) {
	w := watch(t, `create table a (id int); create view v as select date '2026-01-02' as d;
create collation c from "C"; create view u as select 'x'::text collate c as x`)
	for what, doubt := range map[string]func(){
		"an error": func() {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := w.r.Read(ctx, w.last); err == nil {
				t.Error("read though it was cancelled")
			}
			w.r.Conn = w.session() // pgx closes one that was cancelled
		},
		"an error halfway": func() {
			w.run(w.conn, "create or replace view v as select date '2026-01-03' as d")
			w.run(w.conn, "begin; lock table v in access exclusive mode")
			w.run(w.r.Conn, "set lock_timeout = '50ms'")
			if _, err := w.r.Read(t.Context(), w.last); err == nil {
				t.Error("a view was printed that is locked")
			}
			w.run(w.conn, "rollback")
		},
		"another process":         func() { w.r.Conn = w.session() },
		"another way of printing": func() { w.run(w.r.Conn, "set DateStyle = 'German'") },
		"a right to a function of the server": func() {
			w.run(w.conn, "revoke execute on function pg_catalog.pg_sleep(float8) from public")
		},
		"a new operator":              func() { w.run(w.conn, "create operator ### (leftarg = int, rightarg = int, function = int4pl)") },
		"another name of a collation": func() { w.run(w.conn, "alter collation c rename to d") },
		"many transactions":           func() { w.r.at.oldest -= maxAge },
		"rows that do not come out":   func() { w.r.tallies["policy"][owner{relation: 1}] = 1 },
	} {
		whole := w.r.whole
		doubt()
		w.last = exact(t, w.r, w.last, what)
		if w.r.whole <= whole {
			t.Errorf("%s: not everything was read", what)
		}
	}
}

// Numbers of transactions in rows come round.
func TestTransactionsComeRound(t *testing.T) {
	at := moment{oldest: 1<<32 + 5, next: 1<<32 + 9, server: "x"}
	if at.xid() != "5" {
		t.Errorf("the number in rows is %s", at.xid())
	}
	for _, tt := range []struct {
		old  moment
		want bool
	}{
		{moment{1<<32 - 3, 1<<32 - 1, "x"}, true},
		{at, true},
		{moment{1<<32 + 5, 1<<32 + 9, "y"}, false},
		{moment{1<<32 + 6, 1<<32 + 9, "x"}, false}, // time does not go back
		{moment{1<<32 + 9 - maxAge, 1<<32 + 9 - maxAge, "x"}, false},
		{moment{1<<32 + 10 - maxAge, 1<<32 + 10 - maxAge, "x"}, true},
	} {
		if at.within(tt.old) != tt.want {
			t.Errorf("%+v: %v", tt.old, !tt.want)
		}
	}
}

// A constant that is printed by a name may be printed by another without notice.
func TestSettledTexts(t *testing.T) {
	enums := map[string]bool{"public.mood": true, `public."A mood"`: true}
	for text, want := range map[string]bool{
		"SELECT 1 AS x":                          true,
		"SELECT 'a'::text, '{a,b}'::text[]":      true,
		"'2026-01-01'::timestamp with time zone": true,
		"'it''s'::character varying(10)":         true,
		"'calm'::public.mood":                    true,
		`'{calm}'::public."A mood"[]`:            true,
		"'{public.a}'::regclass[]":               false,
		"'public.a'::regclass":                   false,
		"'(public.a)'::public.pair":              false,
		`'x'::public."it's"`:                     false,
		"E'\\\\'::regprocedure":                  false,
	} {
		if settled(text, enums) != want {
			t.Errorf("%s: %v", text, !want)
		}
	}
}
