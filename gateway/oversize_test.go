package gateway_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sluicehq/sluice/audit"
)

// A statement of 20 MiB is refused in every protocol mode with a hint, before any of it
// runs; the session goes on, the one beside it notices nothing, and the record has its
// beginning and proves the rest.
func TestOversizeStatementDoesNotRun(t *testing.T) {
	th := start(t, "dev", shop, nil)
	port := th.as(person("ada"))
	beside := connect(t, port)
	if _, err := run(beside, "begin; update cities set name = 'beside' where id = 1"); err != nil {
		t.Fatal(err)
	}
	long := "insert into cities values (1001, 'x') /* " + strings.Repeat("ü", 10<<20) + " */"
	conn := connect(t, port)
	exec := func(mode pgx.QueryExecMode) func() error {
		return func() error { _, err := conn.Exec(context.Background(), long, mode); return err }
	}
	for name, send := range map[string]func() error{
		"query": exec(pgx.QueryExecModeSimpleProtocol), "parse": exec(pgx.QueryExecModeDescribeExec), "parse and run": exec(pgx.QueryExecModeExec),
		"named": func() error { _, err := conn.Prepare(context.Background(), "big", long); return err },
	} {
		t.Run(name, func(t *testing.T) {
			err := send()
			var pg *pgconn.PgError
			if !errors.As(err, &pg) || pg.Severity != "ERROR" || pg.Code != "54000" || !strings.Contains(pg.Message, "larger than the limit of 8388608") || !strings.Contains(pg.Hint, "COPY") {
				t.Errorf("got %.200v", err)
			}
			if out, err := run(conn, "select count(*) from cities"); err != nil || out != "300\n" {
				t.Errorf("the session after it: %q, %v", out, err)
			}
			if out, err := run(beside, "select count(*) from cities where name = 'beside'"); err != nil || out != "1\n" {
				t.Errorf("the session beside it: %q, %v", out, err)
			}
		})
	}
	sum, recorded := sha256.Sum256([]byte(long)), 0
	for _, ev := range th.events(audit.Decided) {
		if ev.Rule == "size-has-a-limit" && ev.Effect == "deny" && strings.HasPrefix(long, strings.TrimSuffix(ev.SQL, "…")) && len(ev.SQL) > 1000 &&
			ev.SQLHash == hex.EncodeToString(sum[:]) && slices.Equal(ev.Cut, []string{"sql"}) && strings.Contains(ev.Reason, "bytes") {
			recorded++
		}
	}
	if recorded != 4 {
		t.Errorf("%d of 4 in the record", recorded)
	}
	th.balanced()
}

// The transaction and the pipeline around what is too large end as after any error.
func TestOversizeFailsWhatIsAroundIt(t *testing.T) {
	th := start(t, "dev", shop, nil)
	long := "insert into cities values (1002, 'x') /* " + strings.Repeat("x", 9<<20) + " */"
	f := raw(t, th.as(person("ada")))
	insert := []pgproto3.FrontendMessage{&pgproto3.Parse{Query: "insert into cities values (1001, 'x')"}, &pgproto3.Bind{}, &pgproto3.Execute{}}
	pipeline := slices.Concat(insert, []pgproto3.FrontendMessage{&pgproto3.Parse{Query: long}, &pgproto3.Bind{}, &pgproto3.Execute{}}, insert, []pgproto3.FrontendMessage{&pgproto3.Sync{}})
	if out := say(t, f, 'Z', pipeline...); !has(out, "E54000") || out[len(out)-1] != "ZI" {
		t.Errorf("a pipeline: %q", out)
	}
	for _, step := range []struct{ sql, last string }{{"begin", "ZT"}, {"insert into cities values (1001, 'x')", "ZT"}, {long, "ZE"}, {"select 1", "ZE"}, {"commit", "ZI"}} {
		if out := say(t, f, 'Z', &pgproto3.Query{String: step.sql}); out[len(out)-1] != step.last {
			t.Errorf("%.40s: %q", step.sql, out)
		}
	}
	if n := count(t, th, "select count(*) from cities"); n != 300 {
		t.Errorf("%d cities", n)
	}
	th.balanced()
}

// Parameters of more than 64 MiB are refused alike, and the record says of which
// statement they were.
func TestOversizeParametersDoNotRun(t *testing.T) {
	th := start(t, "dev", shop, nil)
	conn := connect(t, th.as(person("ada")))
	const sql = "insert into cities values (1001, $1)"
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeCacheStatement} {
		_, err := conn.Exec(context.Background(), sql, mode, strings.Repeat("x", 65<<20))
		if pg := wantCode(t, err, "54000"); pg.Severity != "ERROR" || !strings.Contains(pg.Message, "parameters") || !strings.Contains(pg.Hint, "COPY") {
			t.Errorf("%s: %+v", mode, pg)
		}
		if out, err := run(conn, "select count(*) from cities"); err != nil || out != "300\n" {
			t.Errorf("the session after it: %q, %v", out, err)
		}
	}
	recorded := 0
	for _, ev := range th.events(audit.Decided) {
		if ev.Rule == "size-has-a-limit" && ev.SQL == sql && ev.Effect == "deny" && slices.Equal(ev.Writes, []string{"public.cities"}) {
			recorded++
		}
	}
	if recorded != 2 {
		t.Errorf("%d of 2 in the record", recorded)
	}
	th.balanced()
}

// Attack: hide a password behind so much text that it is not read. Nothing of such a
// text is kept, nor a hash that would confirm a guess.
func TestOversizeTextKeepsNoPassword(t *testing.T) {
	th := start(t, "dev", shop, nil)
	conn := connect(t, th.as(person("ada")))
	_, err := run(conn, "create role eve password 'hunter2' /* "+strings.Repeat("x", 9<<20)+" */")
	wantCode(t, err, "54000")
	for _, ev := range th.events(audit.Decided) {
		if strings.Contains(ev.SQL, "hunter2") || ev.SQLHash != "" {
			t.Errorf("kept: %.100q, hash %q", ev.SQL, ev.SQLHash)
		}
	}
	th.balanced()
}
