package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
)

const shop = people + `
create table cities (id int primary key, name text);
insert into cities select i, 'Town ' || i from generate_series(1, 300) i;
create view contacts as select id, email as reach from people;
create unique index on people (email);
analyze cities;`

// secret is in every address of the sample people.
const secret = "@example.com"

// run sends sql as one simple query and returns all that came back, as text.
func run(conn *pgx.Conn, sql string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	results, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	var b strings.Builder
	for _, r := range results {
		for _, row := range r.Rows {
			b.Write(bytes.Join(row, []byte("|")))
			b.WriteByte('\n')
		}
	}
	return b.String(), err
}

func TestReadIsMaskedInEveryQueryMode(t *testing.T) {
	th := start(t, "dev", shop, nil)
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			conn := connect(t, th.as(person("ada")))
			for range 3 { // the second finds the statement prepared
				var id int
				var email, city string
				err := conn.QueryRow(context.Background(), "select p.id, email, c.name from people p join cities c using (id) where p.id = $1", mode, 7).Scan(&id, &email, &city)
				if err != nil {
					t.Fatal(err)
				}
				if id != 7 || strings.Contains(email, "ada7") || city != "Town 7" {
					t.Errorf("got %d %q %q", id, email, city)
				}
			}
		})
	}
}

// Each statement tries to get an address of people past the mask. Whatever comes
// back, rows, errors or data, must not have it.
func TestNoDoorLeadsAroundTheMask(t *testing.T) {
	th := start(t, "dev", shop, nil)
	for name, attack := range map[string][]string{
		"alias":                       {"select email as name from people"},
		"cte":                         {"with x as (select email e from people) select e from x"},
		"subquery":                    {"select (select email from people where id = 1)"},
		"union with a clean arm":      {"select name from cities union all select email from people"},
		"view":                        {"select reach from contacts"},
		"whole row":                   {"select p from people p"},
		"row_to_json":                 {"select row_to_json(p) from people p"},
		"returning":                   {"update people set age = 1 where id = 1 returning email"},
		"cursor":                      {"begin; declare c cursor for select email from people; fetch 5 from c; commit"},
		"cursor in messages":          {"begin", "declare c cursor for select email from people", "fetch 5 from c", "commit"},
		"prepare and execute":         {"prepare p as select email from people", "execute p"},
		"error of a cast":             {"select email::int from people"},
		"detail of a unique key":      {"insert into people select 1000, 'x', email, 1, 'y' from people where id = 1"},
		"temporary table":             {"create temp table cities as select id, email as name from people", "select name from cities"},
		"temporary table, renamed":    {"create temp table tmp as select id, email as name from people", "alter table tmp rename to cities", "select name from cities"},
		"temporary table, one query":  {"create temp table cities as select id, email as name from people; select name from cities"},
		"select into":                 {"select id, email as name into temp cities from people", "select name from cities"},
		"renamed in a transaction":    {"begin", "alter table cities rename to towns", "alter table people rename to cities", "alter table cities rename column name to real_name", "alter table cities rename column email to name", "select name from public.cities", "rollback"},
		"savepoint does not settle":   {"begin", "alter table cities rename to towns", "alter table people rename to cities", "alter table cities rename column name to real_name", "alter table cities rename column email to name", "savepoint s", "release s", "select name from public.cities", "rollback"},
		"search_path":                 {"create schema other; create table other.cities as select id, email as name from people", "set search_path = other, public", "select name from cities"},
		"search_path by a function":   {"create schema other; create table other.cities as select id, email as name from people", "select set_config('search_path', 'other, public', false)", "select name from cities"},
		"copy of a table, as a query": {"set search_path = public", "select string_agg(email, ',') from people"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := connect(t, th.as(person("ada")))
			for _, sql := range attack {
				out, err := run(conn, sql)
				if err != nil {
					out += err.Error()
					var pg *pgconn.PgError
					if errors.As(err, &pg) {
						out += pg.Detail + pg.Hint + pg.Where
					}
				}
				for _, line := range strings.Split(out, "\n") {
					if strings.Contains(line, "ada") && strings.Contains(line, secret) {
						t.Fatalf("%s: %.200s", sql, line)
					}
				}
			}
			if _, err := run(conn, "rollback; drop schema if exists other cascade"); err == nil {
				t.Error("DROP passed")
			}
		})
		pgtestExec(t, th, "drop schema if exists other cascade")
	}
}

func TestCopyIsMasked(t *testing.T) {
	th := start(t, "dev", shop, nil)
	for _, sql := range []string{
		"copy people to stdout", "copy (select email from people) to stdout", "copy people to stdout csv header",
		"copy people to stdout (format binary)", "copy people (email, id) to stdout with (format csv, delimiter ';', quote '''')",
		"copy (select * from contacts) to stdout",
	} {
		t.Run(sql, func(t *testing.T) {
			conn := connect(t, th.as(person("ada")))
			var out bytes.Buffer
			tag, err := conn.PgConn().CopyTo(context.Background(), &out, sql)
			if err != nil || tag.RowsAffected() != 500 {
				t.Fatalf("%v, %v", tag, err)
			}
			if bytes.Contains(out.Bytes(), []byte("ada7@")) {
				t.Errorf("%.100q", out.Bytes())
			}
		})
	}
}

// A refusal must leave the database as it was, in whatever way it is asked.
func TestRefusedDoesNotRun(t *testing.T) {
	th := start(t, "staging", shop, nil)
	for name, attack := range map[string]string{
		"no where":                     "delete from cities",
		"split by comments":            "DROP/**/TABLE/* x */cities",
		"drop":                         "DROP/* */TABLE -- x\n cities",
		"truncate":                     "truncate cities",
		"second of two":                "insert into cities values (1001, 'x'); delete from cities",
		"explain analyze":              "explain analyze delete from cities",
		"cte that changes":             "with d as (delete from cities returning 1) select count(*) from d",
		"prepare and execute":          "prepare d as delete from cities; execute d",
		"role":                         "set role postgres; insert into cities values (1002, 'x')",
		"session authorization":        "set session authorization postgres; insert into cities values (1002, 'x')",
		"strings that mean other text": "set standard_conforming_strings = off; insert into cities values (1002, 'x')",
		"other encoding":               "set client_encoding = 'SJIS'; insert into cities values (1002, 'x')",
		"copy to a program":            "copy cities to program 'cat'; insert into cities values (1002, 'x')",
		"unknown cursor":               "fetch all from nothing; insert into cities values (1002, 'x')",
		"unknown prepared statement":   "execute nothing; insert into cities values (1002, 'x')",
	} {
		t.Run(name, func(t *testing.T) {
			conn := connect(t, th.as(person("ada")))
			if _, err := run(conn, attack); err == nil {
				t.Error("it was not refused")
			}
			if got := count(t, th, "select count(*) from cities"); got != 300 {
				t.Errorf("%d cities are left", got)
			}
			if _, err := run(conn, "begin; insert into cities values (1003, 'x')"); err != nil {
				t.Fatal(err)
			}
			if _, err := run(conn, attack); err == nil {
				t.Error("it was not refused in a transaction")
			}
			if _, err := run(conn, "commit"); err != nil {
				t.Fatal(err)
			}
			if got := count(t, th, "select count(*) from cities"); got != 300 {
				t.Errorf("%d cities after COMMIT", got)
			}
		})
	}
}

// In a pipeline, what came before a refused statement is undone with it, and what
// comes after is not held or run.
func TestRefusedInAPipeline(t *testing.T) {
	th := start(t, "dev", shop, nil)
	conn := connect(t, th.as(person("ada")))
	for _, mode := range []string{"cache_statement", "exec"} {
		if mode == "exec" {
			conn = connect(t, th.as(person("ada"))+"&default_query_exec_mode=exec")
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		b := &pgx.Batch{} // pgx keeps what it prepared in the batch
		b.Queue("insert into cities values ($1, $2)", 1001, "x")
		b.Queue("delete from cities")
		b.Queue("insert into cities values (1002, 'y')")
		err := conn.SendBatch(ctx, b).Close()
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "42501" {
			t.Errorf("%s: %v", mode, err)
		}
		if got := count(t, th, "select count(*) from cities"); got != 300 {
			t.Errorf("%s: %d cities", mode, got)
		}
	}
	th.balanced()
}

// A refused statement is one entry, though Bind and Execute of it were sent along. What
// is run by a name that was never given is one of its own, if nothing before it failed.
func TestRefusedOnceIsRecordedOnce(t *testing.T) {
	th := start(t, "dev", shop, nil)
	conn := connect(t, th.as(person("ada"))).PgConn()
	if err := conn.ExecParams(t.Context(), "delete from cities", nil, nil, nil, nil).Read().Err; err == nil {
		t.Error("it was not refused")
	}
	if err := conn.ExecPrepared(t.Context(), "never given", nil, nil, nil).Read().Err; err == nil {
		t.Error("a name that was never given ran")
	}
	if err := conn.ExecParams(t.Context(), "select 1", nil, nil, nil, nil).Read().Err; err != nil {
		t.Errorf("afterwards: %v", err)
	}
	var denied []string
	for _, ev := range th.events(audit.Decided) {
		if ev.Effect == "deny" {
			denied = append(denied, ev.SQL+" by "+ev.Rule)
		}
	}
	want := []string{"delete from cities by no-change-of-every-row", "(unknown name) by names-are-known"}
	if d := cmp.Diff(want, denied); d != "" {
		t.Errorf("refused (-want +recorded):\n%s", d)
	}
	th.balanced()
}

// balanced checks that every decision has exactly one ending, and the record's tree.
func (th *through) balanced() {
	th.t.Helper()
	ends := map[string]int{}
	for _, ev := range th.events(audit.Finished) {
		ends[ev.Of]++
	}
	for _, ev := range th.events(audit.Decided) {
		if ends[ev.ID] != 1 {
			th.t.Errorf("%s %q has %d endings", ev.Effect, ev.SQL, ends[ev.ID])
		}
	}
}

func TestHeldStatementIsApprovedOnce(t *testing.T) {
	th := start(t, "prod", shop, nil)
	for name, want := range map[string]string{"approve": "", "deny": "42501", "cancel": "57014", "kill": "57P01"} {
		t.Run(name, func(t *testing.T) {
			notices := make(chan string, 10)
			cfg, err := pgx.ParseConfig(th.as(person("ada")))
			if err != nil {
				t.Fatal(err)
			}
			cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { notices <- n.Message }
			ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
			defer stop()
			conn, err := pgx.ConnectConfig(ctx, cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(ctx)
			done := make(chan error, 1)
			go func() { _, err := run(conn, "alter table cities add column c_"+name+" int"); done <- err }()
			if msg := <-notices; !strings.Contains(msg, "waiting for approval") {
				t.Fatal(msg)
			}
			ask := th.Asks(person("bob", "dba"))[0]
			if _, err := th.Answer(person("ada", "dba"), ask.ID, th.yes(ask.ID)); err == nil {
				t.Error("an own ask was answered")
			}
			switch name {
			case "approve", "deny":
				if _, err := th.Answer(person("bob", "dba"), ask.ID, api.AskDecision{Grant: name == "approve", Seal: ask.Seal}); err != nil {
					t.Error(err)
				}
			case "cancel":
				if err := conn.PgConn().CancelRequest(ctx); err != nil {
					t.Error(err)
				}
			case "kill":
				if _, err := th.Kill(person("eve"), ask.Session); err == nil {
					t.Error("a stranger ended a session")
				}
				if _, err := th.Kill(person("root", "admin"), ask.Session); err != nil {
					t.Error(err)
				}
			}
			err = <-done
			var pg *pgconn.PgError
			if want == "" && err != nil || want != "" && (!errors.As(err, &pg) || pg.Code != want) {
				t.Errorf("got %v, want %q", err, want)
			}
			ran := count(t, th, "select count(*) from pg_attribute where attname = 'c_"+name+"'")
			if ran != 0 != (want == "") {
				t.Errorf("it ran %d times", ran)
			}
			if open := th.Asks(person("bob", "dba")); want != "57P01" && len(open) != 0 {
				t.Errorf("still waiting: %v", open)
			}
		})
	}
}

func count(t *testing.T, th *through, sql string) (n int) {
	t.Helper()
	if err := connect(t, th.direct).QueryRow(context.Background(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func pgtestExec(t *testing.T, th *through, sql string) {
	t.Helper()
	if _, err := connect(t, th.direct).Exec(context.Background(), sql); err != nil {
		t.Fatal(err)
	}
}
