package gateway_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Somebody past the gateway gives a table with personal data the name of a clean one. The
// catalogue that is known still has the old names; the server says by its number which
// table it is.
func TestTablesThatSwapNamesPastTheGateway(t *testing.T) {
	const swap = `begin; alter table notes rename to old_notes; alter table people_of_ours rename to notes; alter table notes rename column c1 to note; commit`
	for name, mode := range driftModes {
		t.Run(name, func(t *testing.T) {
			th := start(t, "dev", drift, nil)
			conn := connect(t, th.as(person("ada")))
			const sql = "select note from notes where id > 0"
			if n, rows := leaks(conn, mode, sql, "user"); n != 0 || rows != 300 {
				t.Fatalf("%d of %d before anything changed", n, rows)
			}
			other := connect(t, th.as(person("bob"))) // who has described nothing yet
			pgtestExec(t, th, swap)
			for _, c := range []*pgx.Conn{other, conn} {
				for _, q := range []string{sql, "select note, id from notes", "select upper(note), note from notes", "select n.note from notes n join (values (1), (2)) v(x) on v.x = n.id"} {
					if n, rows := leaks(c, mode, q, "user"); n != 0 {
						t.Errorf("%s: %d of %d rows", q, n, rows)
					}
				}
			}
		})
	}
}

// COPY describes nothing, so the catalogue is looked at before it.
func TestCopyOfATableThatTookAnothersNamePastTheGateway(t *testing.T) {
	th := start(t, "dev", drift, nil)
	conn := connect(t, th.as(person("ada")))
	copied := func(sql string) string {
		var b strings.Builder
		if _, err := conn.PgConn().CopyTo(t.Context(), &b, sql); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if out := copied("copy notes to stdout"); strings.Count(out, "\n") != 300 {
		t.Fatalf("before: %.100q", out)
	}
	pgtestExec(t, th, "begin; alter table notes rename to old_notes; alter table people_of_ours rename to notes; alter table notes rename column c1 to note; commit")
	later := time.Now().Add(200 * time.Millisecond)
	eventually(t, "that moment is over", func() bool { return time.Now().After(later) })
	for _, sql := range []string{"copy notes to stdout", "copy notes (note) to stdout csv", "copy (select upper(note) from notes) to stdout"} {
		if out := copied(sql); strings.Contains(strings.ToLower(out), "user7@") {
			t.Errorf("%s: %.100q", sql, out)
		}
	}
}

// A new table under an old name is of no known number.
func TestTableThatTakesAnothersNamePastTheGateway(t *testing.T) {
	th := start(t, "dev", drift, nil)
	conn := connect(t, th.as(person("ada")))
	if n, rows := leaks(conn, pgx.QueryExecModeSimpleProtocol, "select note from notes", "user"); n != 0 || rows != 300 {
		t.Fatalf("%d of %d before anything changed", n, rows)
	}
	pgtestExec(t, th, "begin; drop table notes; create table notes as select id, c1 as note from people_of_ours; commit")
	if n, rows := leaks(conn, pgx.QueryExecModeSimpleProtocol, "select note from notes", "user"); n != 0 {
		t.Errorf("%d of %d rows", n, rows)
	}
}

// What a session makes for itself has a number that the catalogue does not know either.
func TestOwnTablesAreNotStrange(t *testing.T) {
	th := start(t, "dev", drift, nil)
	conn := connect(t, th.as(person("ada")))
	for _, sql := range []string{"create temp table mine as select n, n * 2 as m from generate_series(1, 5) n", "begin; create table ours as select n from generate_series(1, 5) n"} {
		if _, err := run(conn, sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, mode := range driftModes {
		for _, sql := range []string{"select m from mine order by n", "select n * 1 + 0, n from ours order by n", "select relname from pg_class where relname = 'notes'"} {
			rows, err := conn.Query(context.Background(), sql, mode)
			if err != nil {
				t.Fatal(err)
			}
			if !rows.Next() || len(rows.RawValues()[0]) == 0 {
				t.Errorf("%s: nothing is shown, %v", sql, rows.Err())
			}
			rows.Close()
		}
	}
}
