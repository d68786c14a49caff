package gateway_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// same runs statements through a session and then directly, and wants the same of both.
func same(t *testing.T, th *through, statements ...string) {
	t.Helper()
	var want []string
	direct := connect(t, th.direct)
	for _, sql := range statements {
		out, err := run(direct, sql)
		if err != nil {
			t.Fatalf("%s, directly: %v", sql, err)
		}
		want = append(want, out)
	}
	conn := connect(t, th.as(person("ada")))
	for i, sql := range statements {
		got, err := run(conn, sql)
		if err != nil {
			t.Errorf("%s: %v", sql, err)
		}
		if got != want[i] {
			t.Errorf("%s:\n%q, directly\n%q", sql, got, want[i])
		}
	}
}

func TestTemporaryTablesAreRead(t *testing.T) {
	th := start(t, "dev", shop, nil)
	for name, list := range map[string][]string{
		"declared":           {"create temp table t (id serial, n int, at timestamp, tags text[], w numeric)", "insert into t (n, at, tags, w) values (7, '2026-01-02 03:04:05', '{a,b}', 1.5) returning id, at", "select * from t", "select t.n, array[n] from t"},
		"in a block":         {"begin", "create temp table t (id int, ns int[]) on commit drop", "insert into t values (1, '{1,2}') returning *", "commit", "begin", "create temp table t (id int, ns int[]) on commit drop", "insert into t values (1, '{1,2}') returning *", "commit"},
		"as of clean":        {"create temp table t as select id, name, now() > '2020-01-01' as late, id * 2 as twice from cities where id < 4", "select * from t order by id", "select sum(twice) from t"},
		"select into":        {"select id, name into temp t from cities where id < 4", "select * from t order by id"},
		"like":               {"create temp table t (like cities)", "insert into t select * from cities where id < 4", "select * from t order by id"},
		"named pg_temp":      {"create table pg_temp.t (id int)", "insert into t values (5)", "select * from pg_temp.t", "select id from t"},
		"prepared":           {"create temp table t (id int)", "prepare p as insert into t values ($1) returning id", "execute p(7)"},
		"one message":        {"create temp table t (id int, at date); insert into t values (5, '2026-01-01')", "select * from t"},
		"after a rollback":   {"begin", "create temp table cities (id text)", "rollback", "select * from cities where id < 4 order by id"},
		"if not exists":      {"create temp table if not exists t (id int)", "create temp table if not exists t (id int)", "insert into t values (4)", "select id from t"},
		"in a function body": {"create temp table t (id int)", "insert into t values (1)", "select count(*), max(id) from t"},
	} {
		t.Run(name, func(t *testing.T) { same(t, th, list...) })
	}
}

// A migration runs in one transaction, and ORMs read back what they insert there.
func TestTablesOfAnOpenTransactionAreRead(t *testing.T) {
	th := start(t, "dev", shop, nil)
	same(t, th,
		"begin", "create table invoices (id serial primary key, city int references cities, total numeric, made timestamptz)",
		"create index on invoices (city)", "comment on table invoices is 'bills'", "alter table invoices add constraint positive check (total > 0)",
		"insert into invoices (city, total, made) values (3, 12.5, '2026-01-01Z') returning id", "select i.id, i.total, i.made, c.name from invoices i join cities c on c.id = i.city",
		"select name from public.cities where id = 7", "rollback")
	conn := connect(t, th.as(person("ada")))
	if _, err := run(conn, "create table receipts (id serial, at timestamp, lines int[], due date)"); err != nil {
		t.Fatal(err)
	}
	var id int
	if err := conn.QueryRow(context.Background(), "insert into receipts (at, lines, due) values (now(), '{1,2}', '2026-05-06') returning id").Scan(&id); err != nil || id != 1 {
		t.Errorf("id %d, %v", id, err)
	}
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeSimpleProtocol} {
		var lines []int
		var due time.Time
		if err := conn.QueryRow(context.Background(), "select lines, due from receipts", mode).Scan(&lines, &due); err != nil || len(lines) != 2 || due.Year() != 2026 {
			t.Errorf("%s: %v, %v, %v", mode, lines, due, err)
		}
	}
}
