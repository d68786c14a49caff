package gateway_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/gateway"
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
