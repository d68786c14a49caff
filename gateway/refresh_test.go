package gateway_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
)

// While the catalogue cannot be read, what needs nothing of it is answered, and what
// does waits.
func TestNobodyWaitsForARefreshHeDoesNotNeed(t *testing.T) {
	th := start(t, "dev", shop, nil)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	idle, maker, reader := connect(t, th.as(person("ada"))), connect(t, th.as(person("ada"))), connect(t, th.as(person("ada")))
	if _, err := run(idle, "select name from cities where id = 1"); err != nil {
		t.Fatal(err)
	}
	blocker := connect(t, th.direct)
	if _, err := blocker.Exec(ctx, "begin; lock table pg_catalog.pg_description in access exclusive mode"); err != nil {
		t.Fatal(err)
	}
	if _, err := run(maker, "create table made (id int)"); err != nil {
		t.Fatal(err)
	}
	waits := background(reader, "select count(*) from made")
	watcher := connect(t, th.direct)
	eventually(t, "the gateway waits to read the catalogue", func() bool {
		var n int
		err := watcher.QueryRow(ctx, "select count(*) from pg_stat_activity where application_name = 'sluice catalogue' and wait_event_type = 'Lock'").Scan(&n)
		return err == nil && n > 0
	})
	for _, sql := range []string{"begin", "select 1", "SELECT 'x';", "show server_version", "set application_name = 'x'", "savepoint s", "commit", ";", "listen x"} {
		for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec} {
			if _, err := idle.Exec(ctx, sql, mode); err != nil {
				t.Errorf("%s: %v", sql, err)
			}
		}
	}
	select {
	case err := <-waits:
		t.Errorf("a table that is not known yet was read: %v", err)
	default:
	}
	if _, err := blocker.Exec(ctx, "rollback"); err != nil {
		t.Fatal(err)
	}
	if err := await(t, waits); err != nil {
		t.Error(err)
	}
}

func machine(name string) identity.Identity {
	who := person(name)
	who.Kind = identity.Job
	return who
}

// DDL in a DO block, by which Sequelize makes its types, leaves names in doubt only
// until it is committed and the catalogue is read again; that in a block whose SQL is
// computed, for as long as the session.
func TestDoubtOfABlockEndsWithTheCatalogue(t *testing.T) {
	th := start(t, "dev", shop+`; create function twice(n int) returns int language plpgsql as $$ begin return n + n; end $$`, nil)
	conn := connect(t, th.as(machine("ci")))
	calls := func() error { _, err := run(conn, "select twice(2)"); return err }
	for _, sql := range []string{
		`DO 'BEGIN CREATE TYPE "public"."enum_mood" AS ENUM(''calm'', ''busy''); EXCEPTION WHEN duplicate_object THEN null; END';`,
		"begin; do $$ begin create table block_made (id int); end $$; commit",
	} {
		if _, err := run(conn, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if err := calls(); err != nil {
			t.Errorf("after %s: %v", sql, err)
		}
	}
	if _, err := run(conn, "begin; do $$ begin create table block_open (id int); end $$"); err != nil {
		t.Fatal(err)
	}
	if err := calls(); err == nil {
		t.Error("a function was called while DDL of the block was not committed")
	}
	if _, err := run(conn, "rollback"); err != nil {
		t.Fatal(err)
	}
	if err := calls(); err != nil {
		t.Errorf("after the rollback: %v", err)
	}
}

// CREATE EXTENSION IF NOT EXISTS of one that is there, which programs send at each start,
// needs no second look.
func TestExtensionThatIsThere(t *testing.T) {
	th := start(t, "prod", shop, nil)
	conn := connect(t, th.as(machine("ci")))
	if _, err := run(conn, "create extension if not exists plpgsql"); err != nil {
		t.Error(err)
	}
}

// A text that could mean something else under a newer catalogue waits for it.
func TestWhatNeedsTheCatalogue(t *testing.T) {
	for sql, none := range map[string]bool{
		"begin": true, "select 1": true, "select 1; commit": true, "rollback to savepoint x": true, "set search_path = a": true, "": true,
		"select lower('X')": false, "select 1 + 1": false, "select 'x' || 'y'": false, "select 1 from cities": false, "select x": false,
		"begin; delete from cities": false, "do ''": false, "execute p": false, "fetch c": false, "selec": false, "call p()": false,
		"select '1'::money2": false, "table cities": false, "values (1)": false, "create table x (i int)": false, "explain select 1": false,
	} {
		if got := gateway.NeedsNone(sql); got != none {
			t.Errorf("%q: %v", sql, got)
		}
	}
}
