package gateway_test

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/gateway"
)

// staff has salaries, which no look at the values would find, and names.
const staff = shop + `
create table staff (id int primary key, person_name text, salary int);
insert into staff select i, 'Grace Hopper', 70000 + i from generate_series(1, 50) i;
analyze staff;`

const laundry = staff + plain

// plain is where they might go.
const plain = `
create table plain (id int, word text, n int, ns int[], doc jsonb);
insert into plain select i, 'word ' || i, i, array[i], '{}' from generate_series(1, 50) i;
create table folded (id int, word text, n int);
create view window_on as select id, word as w, n from plain;
create function copy_in(x int) returns void language plpgsql as $$ declare v int; begin select salary into v from staff where id = x; insert into plain (id, n) values (1000 + x, v); end $$;
create table parted (id int, n int) partition by range (id);
create table parted_1 partition of parted for values from (0) to (1000);
analyze plain;`

// washed says whether a salary or a name of the laundry is in an output.
func washed(out string) bool {
	return strings.Contains(out, "7000") || strings.Contains(out, "7001") || strings.Contains(out, "7005") || strings.Contains(out, "Hopper")
}

// Each writes personal data elsewhere, and then reads it there in another session.
func TestNoLaundryWashesALabelOff(t *testing.T) {
	setup, n := staff, 0
	for range laundries {
		n++
		setup += named.ReplaceAllString(plain, fmt.Sprintf("${0}_%d", n))
	}
	th, n := start(t, "dev", setup, nil), 0
	for name, attack := range laundries {
		n++
		t.Run(name, func(t *testing.T) {
			writer, reader := connect(t, th.as(person("ada"))), connect(t, th.as(person("bob")))
			ran := 0 // reads
			for _, sql := range attack {
				sql = named.ReplaceAllString(sql, fmt.Sprintf("${0}_%d", n))
				modes := []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol}
				conns := []*pgx.Conn{writer}
				if strings.HasPrefix(sql, "select") {
					modes, conns = append(modes, pgx.QueryExecModeCacheDescribe), append(conns, reader)
				}
				for _, conn := range conns {
					for _, mode := range modes {
						out, err := text(conn, sql, mode)
						if washed(out) {
							t.Errorf("%s: %.100q", sql, out)
						}
						if err == nil && strings.HasPrefix(sql, "select") {
							ran++
						}
					}
				}
			}
			if ran < 2 {
				t.Errorf("only %d reads ran", ran)
			}
		})
	}
}

// named are what each case has of its own.
var named = regexp.MustCompile(`\b(plain|folded|window_on|copy_in|parted(_1)?|z|y)\b`)

var laundries = map[string][]string{
	"create table as":            {"create table z as select id, salary as n from staff", "select n from z", "select * from z"},
	"create table as, renamed":   {"create table z as select id, salary as n from staff", "alter table z rename column n to m", "alter table z rename to y", "select m from y"},
	"another schema":             {"create schema other", "create table z as select id, salary as n from staff", "alter table z set schema other", "select n from other.z"},
	"select into":                {"select id, person_name as w into z from staff", "select w from z"},
	"insert select":              {"insert into plain (id, n) select id, salary from staff", "select n from plain where id < 3", "select max(n) from plain"},
	"insert into an array":       {"insert into plain (id, ns) select id, array[salary] from staff", "select ns from plain where id < 3"},
	"insert json":                {"insert into plain (id, doc) select id, to_jsonb(s) from staff s", "select doc from plain where id < 3"},
	"update from":                {"update plain set n = s.salary, word = s.person_name from staff s where s.id = plain.id", "select word, n from plain where id < 3"},
	"update of a sub-select":     {"update plain set n = (select salary from staff s where s.id = plain.id) where id < 9", "select n from plain where id < 3"},
	"merge":                      {"merge into plain p using staff s on p.id = s.id when matched then update set n = s.salary when not matched then insert (id, word) values (s.id, s.person_name)", "select n, word from plain where id < 3"},
	"on conflict":                {"create unique index on folded (id)", "insert into folded (id, n) select id, salary from staff on conflict (id) do update set n = excluded.n", "select n from folded where id < 3"},
	"with":                       {"with w as (insert into plain (id, n) select id, salary from staff returning 1) select count(*) from w", "select n from plain where id < 3"},
	"through a view":             {"insert into window_on (id, w) select id, person_name from staff", "select word from plain where id < 3", "select w from window_on where id < 3"},
	"computed":                   {"insert into plain (id, n) select id, salary + 0 from staff", "select n from plain where id < 3"},
	"twice":                      {"insert into plain (id, n) select id, salary from staff", "insert into folded (id, n) select id, n from plain", "select n from folded where id < 3"},
	"a function":                 {"select copy_in(1)", "select n from plain where id > 1000"},
	"a block":                    {"do $$ declare v int; begin select salary into v from staff where id = 1; insert into plain (id, n) values (1001, v); end $$", "select n from plain where id > 1000"},
	"a loop":                     {"do $$ declare r record; begin for r in select * from staff loop insert into plain (id, n) values (1000 + r.id, r.salary); end loop; end $$", "select n from plain where id > 1000"},
	"a materialised view":        {"create materialized view z as select id, salary as n from staff", "select n from z"},
	"a view of a copy":           {"create table z as select id, salary as n from staff", "create view y as select id, n + 0 as m from z", "select m from y"},
	"a partition":                {"insert into parted_1 select id, salary from staff", "select n from parted", "select n from parted_1"},
	"the whole of a partition":   {"insert into parted select id, salary from staff", "select n from parted_1"},
	"in a block":                 {"begin; create table z as select id, salary as n from staff; commit", "select n from z"},
	"in messages of a block":     {"begin", "create table z (id int, n int)", "insert into z select id, salary from staff", "select n from z", "commit", "select n from z"},
	"prepared":                   {"prepare p as insert into plain (id, n) select id, salary from staff; execute p", "select n from plain where id < 3"},
	"generated column":           {"create table z (id int, salary int, n int generated always as (salary + 0) stored)", "insert into z select id, salary from staff", "select n from z"},
	"inherits":                   {"create table z (id int, n int)", "create table y () inherits (z)", "insert into y select id, salary from staff", "select n from z"},
	"temporary, then permanent":  {"create temp table tmp as select id, salary as n from staff; insert into plain (id, n) select id, n from tmp", "select n from plain where id < 3"},
	"temporary in two messages":  {"create temp table tmp (id int, n int)", "insert into tmp select id, salary from staff", "select n from tmp", "insert into plain (id, n) select id, n from tmp", "select n from plain where id < 3"},
	"column added":               {"alter table plain add column extra int", "update plain set extra = s.salary from staff s where s.id = plain.id", "select extra from plain where id < 3"},
	"made if it is not there":    {"create table if not exists z (id int, n int); insert into z select id, salary from staff", "select n from z", "select n + 0 from z"},
	"the same in messages":       {"begin", "create table if not exists z (id int, n int)", "create index on z (id)", "insert into z select id, salary from staff", "commit", "select n from z", "select n from z"},
	"as if it were not there":    {"create table if not exists plain (id int, n int); insert into plain (id, n) select id + 100, salary from staff", "select n from plain where id > 100", "select n + 0 from plain where id > 100"},
	"a column if not there":      {"alter table plain add column if not exists n int; update plain set n = s.salary from staff s where s.id = plain.id", "select n from plain where id < 3", "select n + 0 from plain where id < 3"},
	"made again, and renamed":    {"create table z (id int, n int)", "select 1 from z", "begin; drop table z; create table z as select id, salary as n from staff; commit", "alter table z rename to y", "select n from y", "select n + 0 from y"},
	"copied from a cursor table": {"explain analyze insert into plain (id, n) select id, salary from staff", "select n from plain where id < 3"},
}

// text is the rows of a statement, each value as text; in binary where pgx asks for it.
func text(conn *pgx.Conn, sql string, mode pgx.QueryExecMode) (string, error) {
	if mode == pgx.QueryExecModeSimpleProtocol {
		return run(conn, sql)
	}
	rows, err := conn.Query(context.Background(), sql, mode)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var b strings.Builder
	for rows.Next() {
		vs, err := rows.Values()
		if err != nil {
			return b.String(), err
		}
		for _, v := range vs {
			b.WriteString(strings.Trim(strings.ReplaceAll(sprint(v), "\n", " "), " ") + "|")
		}
	}
	return b.String(), rows.Err()
}

// A label that was copied outlives the gateway, and says where it came from.
func TestCopiedLabelsLast(t *testing.T) {
	labels := filepath.Join(t.TempDir(), "labels.json")
	keep := func(c *gateway.Config) { c.Labels = labels }
	th := start(t, "dev", laundry, nil, keep)
	if _, err := run(connect(t, th.as(person("ada"))), "create table z as select id, salary as n from staff; insert into plain (id, n) select id, n from z"); err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, ev := range th.events(audit.Admin) {
		told = append(told, ev.Detail)
	}
	if all := strings.Join(told, "\n"); !strings.Contains(all, "public.z.n is salary: copied from public.staff.salary by ada") || !strings.Contains(all, "public.plain.n is salary") {
		t.Errorf("the record says %s", all)
	}
	again := startOn(t, th.direct, connection(t, th.direct), nil, keep)
	for _, sql := range []string{"select n from z where id < 3", "select n from plain where id < 3"} {
		if out, err := run(connect(t, again.as(person("bob"))), sql); err != nil || washed(out) {
			t.Errorf("%s: %q, %v", sql, out, err)
		}
	}
	scan, err := again.Scan(context.Background(), person("bob"), "orders")
	if err != nil || !strings.Contains(scan["public.z.n"].Evidence, "public.staff.salary by ada") || scan["public.z.n"].Overruled {
		t.Errorf("%+v, %v", scan["public.z.n"], err)
	}
}

// Ordinary writes bring no labels.
func TestOrdinaryWritesLeaveColumnsClean(t *testing.T) {
	th := start(t, "dev", laundry, nil)
	conn := connect(t, th.as(person("ada")))
	for _, sql := range []string{
		"insert into plain (id, word, n) select id, name, id * 2 from cities", "update plain set n = n + 1 where id = 7", "insert into plain (id, n) values (9000, 5)",
		"update plain p set n = c.id from cities c, staff s where s.id = 3 and c.id = s.id and p.id = 8", "update staff set person_name = upper(person_name) where id = 1",
	} {
		if _, err := run(conn, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	for _, ev := range th.events(audit.Admin) {
		if strings.HasPrefix(ev.Detail, "label:") {
			t.Error(ev.Detail)
		}
	}
}

func sprint(v any) string { return fmt.Sprint(v) }

func connection(t *testing.T, dsn string) gateway.Connection {
	t.Helper()
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return gateway.Connection{Name: "orders", Env: "dev", Database: cfg}
}

// COPY brings values from anywhere: its table is judged again when it is done.
func TestCopiedInIsJudged(t *testing.T) {
	th := start(t, "dev", laundry, nil)
	conn := connect(t, th.as(person("ada")))
	if out, err := run(conn, "select word from plain where id = 7"); err != nil || out != "word 7\n" {
		t.Fatalf("%q, %v", out, err)
	}
	var data strings.Builder
	for i := range 200 {
		fmt.Fprintf(&data, "%d\tAda%d@example.org\n", 2000+i, i)
	}
	if _, err := conn.PgConn().CopyFrom(context.Background(), strings.NewReader(data.String()), "copy plain (id, word) from stdin"); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		scan, err := th.Scan(context.Background(), person("ada"), "orders")
		if err != nil {
			t.Fatal(err)
		}
		if scan["public.plain.word"].State != "clean" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the column is still called clean")
		}
		runtime.Gosched()
	}
}
