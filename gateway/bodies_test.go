package gateway_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const routines = `create table customers (id int primary key, name text, email text, active bool);
insert into customers values (1, 'Ada Lovelace', 'ada@lovelace.org', true), (2, 'Bob Marley', 'bob@marley.org', false);
create table visits (id int primary key, n int); insert into visits values (1, 0);
create function cleanup() returns int language plpgsql as $$ declare n int; begin
  delete from customers where not active; get diagnostics n = row_count; return n; end $$;
create function wipe() returns void language sql as 'delete from customers';
create function vanish() returns int language plpgsql as $$ begin truncate customers; return 1; end $$;
create function full_name(p_id int) returns text language sql stable as 'select name || '' <'' || email || ''>'' from customers where id = p_id';
create function tells() returns void language plpgsql as $$ begin raise notice 'found %', (select email from customers where id = 1); end $$;
create function fails() returns void language plpgsql as $$ begin raise exception 'found %', (select email from customers where id = 1); end $$;
create procedure tidy() language sql as 'delete from customers where id = 2';`

const noDeletes = `builtin: false
rules:
  - {name: customers-stay, when: '"delete" in statement.kinds && "public.customers" in statement.tables', effect: deny, reason: customers are closed but never deleted}
  - {name: few, when: 'statement.writes', effect: allow, max_rows: 5}
  - {name: rest, when: 'true', effect: allow, unmask: [all]}
`

// Attack: delete in the body of a function what may not be deleted, by any way to call it.
func TestDeleteInsideAFunctionIsRefused(t *testing.T) {
	ctx := context.Background()
	th := start(t, "dev", routines, rules(t, noDeletes))
	conn := connect(t, th.as(person("ada")))
	for _, sql := range []string{
		"select cleanup()", "select * from cleanup()", "call tidy()", "do 'begin perform cleanup(); end'",
		"insert into visits select 2, cleanup()", "update visits set n = cleanup()", "select 1 where cleanup() > 0", "create table x as select cleanup()",
		"explain analyze select cleanup()",
	} {
		for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec} {
			_, err := conn.Exec(ctx, sql, mode)
			if e := wantCode(t, err, "42501"); !strings.Contains(e.Message, "never deleted") {
				t.Errorf("%s: told %+v", sql, e)
			}
		}
	}
	// Attack: truncate inside of a write whose rows are counted.
	_, err := conn.Exec(ctx, "update visits set n = vanish()")
	wantCode(t, err, "42501")
	if n := count(t, th, "select count(*) from customers"); n != 2 {
		t.Errorf("%d customers are left", n)
	}
	if _, err := conn.Exec(ctx, "update visits set n = length(full_name(1)) where id = 1"); err != nil {
		t.Errorf("a function that only reads is in the way: %v", err)
	}
}

// A function that only reads is not held in production, and what it makes of
// personal data is not shown; one that changes every row is refused.
func TestReadingFunctionPasses(t *testing.T) {
	ctx := context.Background()
	th := start(t, "prod", routines, nil)
	conn := connect(t, th.as(person("ada")))
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec, pgx.QueryExecModeCacheStatement} {
		var name string
		if err := conn.QueryRow(ctx, "select full_name(1)", mode).Scan(&name); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(name, "ada@lovelace.org") || name == "" {
			t.Errorf("shown %q", name)
		}
	}
	_, err := conn.Exec(ctx, "select wipe()")
	if e := wantCode(t, err, "42501"); !strings.Contains(e.Message, "every row") {
		t.Errorf("told %+v", e)
	}
	_, err = conn.Exec(ctx, "select vanish()")
	wantCode(t, err, "42501")
	if n := count(t, th, "select count(*) from customers"); n != 2 {
		t.Errorf("%d customers are left", n)
	}
}

// What a function that is not held says in notices and errors is as personal as rows.
func TestWhatAFunctionSaysIsScanned(t *testing.T) {
	th := start(t, "prod", routines, nil)
	cfg, err := pgx.ParseConfig(th.as(person("ada")))
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { said = append(said, n.Message) }
	ctx := context.Background()
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, sql := range []string{"select tells()", "do 'begin perform tells(); end'", "do $$ begin raise notice 'found %', (select email from customers where id = 1); end $$"} {
		said = nil
		if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if len(said) != 1 || said[0] == "" || strings.Contains(said[0], "ada@lovelace.org") {
			t.Errorf("%s says %q", sql, said)
		}
	}
	_, err = conn.Exec(ctx, "select fails()", pgx.QueryExecModeSimpleProtocol)
	if e := wantCode(t, err, "P0001"); e.Message == "" || strings.Contains(e.Message, "ada@lovelace.org") {
		t.Errorf("the error says %q", e.Message)
	}
}
