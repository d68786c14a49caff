package cmd

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/lineage"
)

// moving are statements that put data from some tables into another, with what must be
// there before. The target is @.
var moving = []struct{ before, sql string }{
	{"", `create table @ as select a.x as c1, a.y + b.v as c2, count(a.z) as c3 from a join b on a.id = b.id group by 1, 2`},
	{"", `create table @ as with c as (select x from a union all select v from b) select max(x) as c1, (select count(*) from b where v > 30) as c2 from c`},
	{"", `select a.id as c1, coalesce(z, y::text) as c2, case when x > 20 then v else 0 end as c3 into @ from a, b where a.id = b.id`},
	{`create table @ (c1 int, c2 text)`, `insert into @ select y, upper(z) from a where x > 15`},
	{`create table @ (c1 int primary key, c2 int); insert into @ select id, 0 from a`, `update @ set c2 = b.v * 2 from b where b.id = @.c1`},
	{`create table @ (c1 int primary key, c2 int); insert into @ values (1, 1)`, `insert into @ select id, x from a on conflict (c1) do update set c2 = excluded.c2 + @.c2`},
	{`create table @ (c1 int, c2 int); insert into @ values (1, 1)`, `merge into @ using b on @.c1 = b.id when matched then update set c2 = b.v when not matched then insert values (b.id, -b.v)`},
	{"", `create materialized view @ as select row_number() over (order by x) as c1, sum(y) over (partition by z) as c2 from a`},
	{`create function f(int) returns int language sql immutable as 'select $1 * 3'`, `create table @ as select f(x) as c1, (select a2.y from a a2 where a2.id = a.id) as c2 from a`},
	{`create view w as select x + y as xy, z from a`, `create table @ as select xy as c1, z as c2 from w`},
	{`create table @ (c1 int, c2 text)`, `with gone as (delete from b where v > 20 returning id, v) insert into @ select v, 'x' from gone`},
}

const truthSQL = `
create table a (id int primary key, x int, y int, z text); create table b (id int primary key, v int);
insert into a select i, i * 10, i * 100, 'z' || i from generate_series(1, 5) i;
insert into b select i, i * 11 from generate_series(1, 4) i;`

// Lineage is held against the database: each column of each source is changed, the
// statement runs again, and where the target differs the graph must say so. What the
// graph calls a copy must differ.
func TestLineageIsWhatTheDatabaseDoes(t *testing.T) {
	w := newTownIn(t, "dev", func(*houseConfig) {}, nil, func(*pgconn.Config) {})
	db, err := pgx.Connect(t.Context(), w.dsn)
	must(t, err)
	defer db.Close(t.Context())
	_, err = db.Exec(t.Context(), truthSQL)
	must(t, err)
	bob := identity.Identity{Subject: "bob", Kind: identity.Person, Groups: []string{"boss"}, Expires: time.Now().Add(time.Hour)}
	for i, m := range moving {
		target := fmt.Sprint("t", i)
		m.before, m.sql = strings.ReplaceAll(m.before, "@", target), strings.ReplaceAll(m.sql, "@", target)
		_, err = db.Exec(t.Context(), m.before)
		must(t, err)
		truth := influences(t, db, target, m.sql)
		if code, _, errs := w.run(w.boss, "", "exec", "orders", "-c", m.sql); code != exitOK {
			t.Fatalf("%s: %s", m.sql, errs)
		}
		a, err := w.house.gateway.Lineage(t.Context(), bob, lineage.Question{Target: "public." + target, Up: true, Depth: 1, Steers: true})
		if err != nil {
			_, out, _ := w.run(w.boss, "", "audit", "query", "--entries", "-o", "jsonl", "--limit", "6")
			t.Fatalf("%s: %v\n%s", m.sql, err, out)
		}
		said := map[string]string{}
		for _, e := range a.Edges {
			from, into := a.Nodes[e.From], a.Nodes[e.Into]
			key := strings.TrimPrefix(from.Name, "public.") + "." + from.Column + " " + into.Column
			if said[key] == "" || e.How != "steers" {
				said[key] = e.How
			}
		}
		for key, differs := range truth {
			source, _, _ := strings.Cut(key, " ")
			how := said[key]
			if how == "" {
				how = said[source+" "] // of the table as a whole
			}
			if differs && how == "" {
				t.Errorf("%s\n%s differs, and the graph does not know: %v", m.sql, key, said)
			}
			if !differs && how == "direct" {
				t.Errorf("%s\n%s is a copy by the graph, and does not differ", m.sql, key)
			}
		}
		_, err = db.Exec(t.Context(), `drop view if exists w cascade; drop function if exists f(int) cascade; truncate a, b; `+truthSQL[strings.Index(truthSQL, "insert"):])
		must(t, err)
	}
}

// influences says which columns of a target differ when a column of a source does, by "source
// column, target column".
func influences(t *testing.T, db *pgx.Conn, target, sql string) map[string]bool {
	t.Helper()
	result := func(change string) map[string]string {
		tx, err := db.Begin(t.Context())
		must(t, err)
		defer func() { must(t, tx.Rollback(t.Context())) }()
		_, err = tx.Exec(t.Context(), change)
		must(t, err)
		_, err = tx.Exec(t.Context(), sql)
		must(t, err)
		out := map[string]string{}
		for _, c := range []string{"c1", "c2", "c3"} {
			var has bool
			must(t, tx.QueryRow(t.Context(), "select exists (select from pg_attribute where attrelid = $1::regclass and attname = $2)", target, c).Scan(&has))
			if !has {
				continue
			}
			var v string
			must(t, tx.QueryRow(t.Context(), "select coalesce(string_agg(coalesce("+c+"::text, '~'), ',' order by "+c+"::text), '') from "+target).Scan(&v))
			out[c] = v
		}
		return out
	}
	was := result("select 1")
	out := map[string]bool{}
	for source, change := range map[string]string{
		"a.x": "update a set x = 55 - x", "a.y": "update a set y = y * 7 + 1", "a.z": "update a set z = case id when 2 then null when 3 then 'z1' else z || '!' end", "b.v": "update b set v = v * 3 + 5",
	} {
		for c, v := range result(change) {
			out[source+" "+c] = v != was[c]
		}
	}
	return out
}
