package gateway_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/internal/pgtest"
	"github.com/sluicehq/sluice/policy"
)

// fewRows lets writes change five rows.
const fewRows = `builtin: false
rules:
  - {name: few, when: 'statement.writes', effect: allow, max_rows: 5}
  - {name: rest, when: 'true', effect: allow, unmask: [all]}
`

const numbers = `create table numbers (n int primary key, doubled int);
insert into numbers select i, 0 from generate_series(1, 100) i;
create table later (n int references numbers deferrable initially deferred);`

// changed is how many rows have another value than at the beginning.
func changed(t *testing.T, th *through) int {
	t.Helper()
	return count(t, th, "select (select count(*) from numbers where doubled <> 0) + (select abs(count(*) - 100) from numbers)")
}

// A write that changes more rows than it may is undone, whatever it is sent as, and
// the session goes on as after any error.
func TestTooManyRowsAreUndone(t *testing.T) {
	ctx := context.Background()
	th := start(t, "dev", numbers, rules(t, fewRows))
	modes := []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec, pgx.QueryExecModeCacheStatement, pgx.QueryExecModeDescribeExec}
	statements := []string{
		"update numbers set doubled = 2 * n where n %s",
		"delete from numbers where n %s",
		"insert into numbers select n + 1000 from numbers where n %s",
		"update numbers set doubled = 2 * n where n %s returning n, doubled",
		"insert into numbers select n from numbers where n %s on conflict (n) do update set doubled = 7",
		"merge into numbers using (select n from numbers where n %s) few on few.n = numbers.n when matched then update set doubled = 5",
		"with few as (select n from numbers where n %s) update numbers set doubled = 1 from few where few.n = numbers.n",
	}
	for _, mode := range modes {
		for _, sql := range statements {
			t.Run(mode.String()+"/"+sql, func(t *testing.T) {
				conn := connect(t, th.as(person("ada")))
				_, err := conn.Exec(ctx, strings.Replace(sql, "%s", "> 10", 1), mode)
				if e := wantCode(t, err, "42501"); !strings.Contains(e.Message, "changes 90 rows, and no more than 5 rows") || e.Hint == "" {
					t.Errorf("told %+v", e)
				}
				if n := changed(t, th); n != 0 || conn.PgConn().TxStatus() != 'I' {
					t.Errorf("%d rows are changed, status %c", n, conn.PgConn().TxStatus())
				}
				tag, err := conn.Exec(ctx, strings.Replace(sql, "%s", "<= 5", 1), mode)
				if err != nil || tag.RowsAffected() != 5 {
					t.Errorf("five rows: %v, %v", tag, err)
				}
				if n := changed(t, th); n != 5 || conn.PgConn().TxStatus() != 'I' {
					t.Errorf("%d rows are changed, status %c", n, conn.PgConn().TxStatus())
				}
				pgtest.Exec(t, th.direct, "truncate numbers cascade; insert into numbers select i, 0 from generate_series(1, 100) i")
			})
		}
	}
	var refused int
	for _, ev := range th.events(audit.Finished) {
		if ev.Outcome == "refused" && ev.Rows == 90 && ev.ErrorCode == "42501" {
			refused++
		}
	}
	if refused != len(modes)*len(statements) {
		t.Errorf("%d are recorded as refused with their rows", refused)
	}
	th.balanced()
}

// In a transaction it fails the transaction: nothing that went before stays either.
func TestTooManyRowsFailTheTransaction(t *testing.T) {
	ctx := context.Background()
	th := start(t, "dev", numbers, rules(t, fewRows))
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec, pgx.QueryExecModeCacheStatement} {
		t.Run(mode.String(), func(t *testing.T) {
			conn := connect(t, th.as(person("ada")))
			tx, err := conn.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(ctx, "update numbers set doubled = 1 where n <= 5", mode); err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(ctx, "savepoint here", mode); err != nil {
				t.Fatal(err)
			}
			_, err = tx.Exec(ctx, "update numbers set doubled = 1 where n <= 6", mode)
			wantCode(t, err, "42501")
			if s := conn.PgConn().TxStatus(); s != 'E' {
				t.Errorf("status %c", s)
			}
			_, err = tx.Exec(ctx, "select 1", mode)
			wantCode(t, err, "25P02")
			if _, err := tx.Exec(ctx, "rollback to here", mode); err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(ctx, "update numbers set doubled = 1 where n = 6", mode); err != nil {
				t.Fatal(err)
			}
			if err := tx.Commit(ctx); err != nil {
				t.Fatal(err)
			}
			if n := changed(t, th); n != 6 {
				t.Errorf("%d rows are changed", n)
			}
			pgtest.Exec(t, th.direct, "update numbers set doubled = 0")
		})
	}
	th.balanced()
}

// A batch stands or falls as a whole.
func TestTooManyRowsUndoTheBatch(t *testing.T) {
	th := start(t, "dev", numbers, rules(t, fewRows))
	conn := connect(t, th.as(person("ada")))
	b := &pgx.Batch{}
	b.Queue("update numbers set doubled = 1 where n = $1", 1)
	b.Queue("update numbers set doubled = 1 where n > $1", 1)
	b.Queue("update numbers set doubled = 1 where n = $1", 3)
	wantCode(t, conn.SendBatch(context.Background(), b).Close(), "42501")
	if n := changed(t, th); n != 0 {
		t.Errorf("%d rows are changed", n)
	}
	b = &pgx.Batch{}
	for i := range 20 { // each counts for itself
		b.Queue("update numbers set doubled = 1 where n between $1 and $1 + 4", 5*i+1)
	}
	if err := conn.SendBatch(context.Background(), b).Close(); err != nil {
		t.Fatal(err)
	}
	if n := changed(t, th); n != 100 {
		t.Errorf("%d rows are changed", n)
	}
	th.balanced()
}

// Attacks: have many rows changed without the database saying so.
func TestRowsThatAreNotCountedAreNotChanged(t *testing.T) {
	ctx := context.Background()
	setup := numbers + "create function wipe() returns int language sql as 'delete from numbers; select 1'; create view shown as select n from numbers;"
	th := start(t, "dev", setup, rules(t, fewRows))
	for _, sql := range []string{
		"explain analyze update numbers set doubled = 1",
		"with gone as (delete from numbers returning n) select count(*) from gone",
		"with gone as (delete from numbers returning n) insert into later select min(n) from gone",
		"with a as (update numbers set doubled = 1 returning n) update numbers set doubled = 2 where n = 1",
		"truncate numbers cascade",
		"do 'begin delete from numbers; end'",
		"select wipe()",
		"update numbers set doubled = wipe() where n = 1",
		"update numbers set doubled = 1 where n <= 5; update numbers set doubled = 1 where n > 5",
		"begin; update numbers set doubled = 1; commit",
		"update numbers set doubled = 1 where n = 1; select 1",
		"copy (delete from numbers returning n) to stdout",
	} {
		conn := connect(t, th.as(person("ada")))
		if _, err := run(conn, sql); err == nil {
			t.Errorf("%s: it ran", sql)
		} else {
			wantCode(t, err, "42501")
		}
		if n := changed(t, th); n != 0 {
			t.Fatalf("%s: %d rows are changed", sql, n)
		}
	}
	conn := connect(t, th.as(person("ada")))
	if _, err := conn.CopyFrom(ctx, pgx.Identifier{"numbers"}, []string{"n"}, pgx.CopyFromRows([][]any{{200}, {201}, {202}, {203}, {204}, {205}})); err == nil || changed(t, th) != 0 {
		t.Errorf("COPY: %v", err)
	}
	if _, err := run(conn, "prepare all_of_them as update numbers set doubled = 1 where n > $1"); err != nil {
		t.Fatal(err)
	}
	_, err := run(conn, "execute all_of_them (0)")
	wantCode(t, err, "42501")
	th.balanced()
}

// What cannot be committed is an error of the statement, as without the block around
// it, and an error of the statement is its own.
func TestErrorsUnderALimitAreTheDatabases(t *testing.T) {
	th := start(t, "dev", numbers, rules(t, fewRows))
	conn, direct := connect(t, th.as(person("ada"))), connect(t, th.direct)
	for _, sql := range []string{
		"insert into later values (12345)", "insert into numbers values (1)", "update numbers set nothing = 1", "update numbers set n = 1 / 0 where n = 1", "insert into numbers values ('x')",
	} {
		_, got := run(conn, sql)
		_, want := run(direct, sql)
		if got == nil || want == nil || got.Error() != want.Error() || conn.PgConn().TxStatus() != 'I' {
			t.Errorf("%s: %v, directly %v; status %c", sql, got, want, conn.PgConn().TxStatus())
		}
	}
	if out, err := run(conn, "update numbers set doubled = 1 where n = 1 returning n"); err != nil || out != "1\n" {
		t.Errorf("%q, %v", out, err)
	}
	th.balanced()
}

func rules(t testing.TB, text string) *policy.Rules {
	t.Helper()
	r, err := policy.Load("policy.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Attack: fetch the rows of a write in portions and leave after the first, so that the
// database never says how many there were.
func TestWriteInPortionsIsNotCounted(t *testing.T) {
	th := start(t, "dev", numbers, rules(t, fewRows))
	f := raw(t, th.as(person("ada")))
	f.Send(&pgproto3.Parse{Query: "update numbers set doubled = 1 returning n"})
	f.Send(&pgproto3.Bind{})
	f.Send(&pgproto3.Execute{MaxRows: 3})
	f.Send(&pgproto3.Sync{})
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	var code string
	for {
		m, err := f.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := m.(*pgproto3.ErrorResponse); ok {
			code = e.Code
		}
		if _, ok := m.(*pgproto3.ReadyForQuery); ok {
			break
		}
	}
	if n := changed(t, th); code != "0A000" || n != 0 {
		t.Errorf("told %q, %d rows are changed", code, n)
	}
	th.balanced()
}

// Attack: cancel, so that something of our own fails in place of the statement.
func TestCancelUnderALimitLeavesNothingHalf(t *testing.T) {
	th := start(t, "dev", numbers, rules(t, fewRows))
	conn := connect(t, th.as(person("ada")))
	done := background(conn, "update numbers set doubled = 1 where n = 1 and pg_sleep(30) is not null")
	th.sleeping(t, 1)
	if err := conn.PgConn().CancelRequest(context.Background()); err != nil {
		t.Fatal(err)
	}
	wantCode(t, await(t, done), "57014")
	if _, err := run(conn, "update numbers set doubled = 1 where n <= 5"); err != nil || conn.PgConn().TxStatus() != 'I' {
		t.Errorf("afterwards: %v, status %c", err, conn.PgConn().TxStatus())
	}
	if n := changed(t, th); n != 5 {
		t.Errorf("%d rows are changed", n)
	}
	th.balanced()
}

// A write whose rows are counted waits for what was sent before it, which must not in
// turn wait for more to be sent behind it.
func TestLimitedWriteBehindAnotherStatement(t *testing.T) {
	th := start(t, "dev", numbers, rules(t, fewRows))
	f := raw(t, th.as(person("ada")))
	for _, m := range append(append(query("select 1"), query("update numbers set doubled = 1 where n = 1")...), query("select 2")...) {
		f.Send(m)
	}
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"D1", "CUPDATE 1", "D2"} {
		if out := say(t, f, 'Z'); want[0] == 'D' && !has(out, want) || out[len(out)-1] != "ZI" {
			t.Errorf("%s: %q", want, out)
		}
	}
	if n := changed(t, th); n != 1 {
		t.Errorf("%d rows are changed", n)
	}
	th.balanced()
}
