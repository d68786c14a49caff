package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/audit"
)

// No record, no run: once the record is gone, the next statement of a session that
// is open does not reach the database, and its client hears why it ends.
func TestNothingRunsWithoutARecord(t *testing.T) {
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec} {
		t.Run(mode.String(), func(t *testing.T) {
			th := start(t, "dev", shop, nil)
			conn := connect(t, th.as(person("ada")))
			const sql = "insert into cities values (1001, 'x')"
			if _, err := conn.Prepare(context.Background(), "ready", sql); err != nil {
				t.Fatal(err)
			}
			th.broken = true
			if err := th.log.Close(); err != nil {
				t.Fatal(err)
			}
			_, err := conn.Exec(context.Background(), sql, mode)
			if pg := wantCode(t, err, "58030"); pg.Severity != "FATAL" || pg.Hint == "" {
				t.Errorf("it ended with %+v", pg)
			}
			eventually(t, "the session ended", func() bool { return len(th.Sessions(person("ada"))) == 0 })
			if n := count(t, th, "select count(*) from cities"); n != 300 {
				t.Errorf("%d cities: it ran unrecorded", n)
			}
			_, err = pgx.Connect(context.Background(), th.as(person("ada")))
			wantCode(t, err, "58030")
			if err := th.stop(); err == nil {
				t.Error("the gateway ended as if all were well")
			}
		})
	}
}

// The same of a statement that waits: approval does not help without a record.
func TestApprovedStatementDoesNotRunWithoutARecord(t *testing.T) {
	th := start(t, "prod", shop, nil)
	conn := connect(t, th.as(person("ada")))
	done := background(conn, "alter table cities add column unseen int")
	ask := th.held(t, 1)[0]
	th.broken = true
	if err := th.log.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := th.Answer(approver, ask.ID, th.yes(ask.ID)); err == nil {
		t.Error("a vote was counted that is not in the record")
	}
	wantCode(t, await(t, done), "58030")
	if columnExists(t, th, "unseen") {
		t.Error("it ran unrecorded")
	}
}

func TestParametersAreRecordedReadable(t *testing.T) {
	th := start(t, "dev", shop, nil)
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	for _, tt := range []struct {
		name, sql string
		args      []any
		want      []string
	}{
		{"numbers", "select $1::int, $2::bigint, $3::float8", []any{42, int64(-7), 1.5}, []string{"42", "-7", "1.5"}},
		{"text", "select $1::text, $2::text", []any{"grüße", ""}, []string{"grüße", ""}},
		{"null", "select $1::int", []any{nil}, []string{"NULL"}},
		{"boolean", "select $1::bool", []any{true}, []string{"t"}},
		{"uuid", "select $1::uuid", []any{[16]byte{0xde, 0xad, 0xbe, 0xef, 15: 1}}, []string{"deadbeef-0000-0000-0000-000000000001"}},
		{"time", "select $1::timestamptz", []any{at}, []string{"2026-05-04T03:02:01Z"}},
		{"bytes", "select $1::bytea", []any{[]byte{0, 255}}, []string{`\x00ff`}},
		{"array", "select $1::int[]", []any{[]int32{1, 2}}, []string{"{1,2}"}},
		{"json", "select $1::jsonb", []any{`{"a": 1}`}, []string{`{"a": 1}`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// cached statements send most types in binary, the text is below
			conn := connect(t, th.as(person("ada")))
			if _, err := conn.Exec(context.Background(), tt.sql, tt.args...); err != nil {
				t.Fatal(err)
			}
			decided := th.events(audit.Decided)
			if diff := cmp.Diff(tt.want, decided[len(decided)-1].Params); diff != "" {
				t.Errorf("binary: (-want +got)\n%s", diff)
			}
		})
	}
	conn := connect(t, th.as(person("ada")))
	res := conn.PgConn().ExecParams(context.Background(), "select $1::int, $2::text, $3::int", [][]byte{[]byte("42"), []byte("grüße"), nil}, nil, nil, nil).Read()
	if res.Err != nil {
		t.Fatal(res.Err)
	}
	decided := th.events(audit.Decided)
	if diff := cmp.Diff([]string{"42", "grüße", "NULL"}, decided[len(decided)-1].Params); diff != "" {
		t.Errorf("text: (-want +got)\n%s", diff)
	}
}

// However a password is set, it is in no file of the record.
func TestPasswordsAreNotInTheRecord(t *testing.T) {
	th := start(t, "dev", "", nil)
	role := fmt.Sprintf("r%d", time.Now().UnixNano())
	t.Cleanup(func() { pgtestExec(t, th, "drop role if exists "+role) })
	for i, form := range []string{
		"create role ROLE login password 'SECRET'",
		"ALTER USER ROLE PASSWORD 'SECRET'",
		"alter user ROLE with /* x */ encrypted password $$SECRET$$",
		"alter role ROLE password $x$SECRET$x$",
		"alter role ROLE password E'SECRET\\''",
		"alter role ROLE password U&'SECRET'",
		"select 1; alter role ROLE password 'SECRET'; select 2",
		"alter role nobody_of_this_name password 'SECRET'",
		"alter role ROLE passwd 'SECRET'",
		"alter role ROLE password SECRET",
		"/* soon */ alter role ROLE passwd 'SECRET'",
		"alter role ROLE password 'SECRET",
		"do $$ begin execute 'alter role ROLE password ''SECRET'''; end $$",
	} {
		t.Run(form, func(t *testing.T) {
			secret := fmt.Sprintf("hunter%dhunter", i)
			sql := strings.NewReplacer("ROLE", role, "SECRET", secret).Replace(form)
			conn := connect(t, th.as(person("ada")))
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = conn.PgConn().Exec(ctx, sql).ReadAll() // some are held or wrong: that is recorded too
			}()
			eventually(t, "it ended, or waits", func() bool {
				select {
				case <-done:
					return true
				default:
				}
				for _, a := range th.Asks(approver) {
					if _, err := th.Answer(approver, a.ID, th.yes(a.ID)); err != nil {
						t.Error(err)
					}
				}
				return false
			})
			if file := th.recorded(t, secret); file != "" {
				t.Errorf("it is in %s", file)
			}
		})
	}
	if th.recorded(t, "ada@example.com") == "" {
		t.Error("the search finds nothing at all")
	}
}

// recorded names a file of the record that holds text, or of what lies beside it.
func (th *through) recorded(t *testing.T, text string) (found string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Dir(th.record), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(text)) {
			found = path
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// finished is the ending of the last decision about sql.
func (th *through) finished(t *testing.T, sql string) audit.Event {
	t.Helper()
	var of string
	for _, ev := range th.events(audit.Decided) {
		if ev.SQL == sql {
			of = ev.ID
		}
	}
	for _, ev := range th.events(audit.Finished) {
		if ev.Of == of {
			return ev
		}
	}
	t.Fatalf("no ending of %q", sql)
	return audit.Event{}
}

func TestRowsAndMaskedValuesAreCounted(t *testing.T) {
	th := start(t, "dev", shop, nil)
	conn := connect(t, th.as(person("ada")))
	for _, tt := range []struct {
		sql          string
		rows, masked int64
	}{
		{"select id, email from people where id <= 30", 30, 30},
		{"select email, email from people where id <= 30", 30, 60},
		{"select name from cities where id <= 30", 30, 0},
		{"select email from people where id < 0", 0, 0},
		{"insert into cities select i, 'x' from generate_series(1001, 1007) i", 7, 0},
		{"update cities set name = 'y' where id > 1000", 7, 0},
		{"update people set age = 1 where id <= 3 returning email", 3, 3},
		{"delete from cities where id > 1000", 7, 0},
		{"copy (select email from people) to stdout", 500, 500},
	} {
		t.Run(tt.sql, func(t *testing.T) {
			if _, err := conn.PgConn().Exec(context.Background(), tt.sql).ReadAll(); err != nil {
				t.Fatal(err)
			}
			ev := th.finished(t, tt.sql)
			if ev.Outcome != "ok" || ev.Rows != tt.rows || ev.Masked != tt.masked {
				t.Errorf("%s, %d rows, %d masked; want ok, %d, %d", ev.Outcome, ev.Rows, ev.Masked, tt.rows, tt.masked)
			}
		})
	}
}

func TestEveryStatementOfABatchIsRecorded(t *testing.T) {
	th := start(t, "dev", shop, nil)
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			conn := connect(t, th.as(person("ada"))+"&default_query_exec_mode="+mode)
			before := len(th.events(audit.Decided))
			b := &pgx.Batch{}
			var want []string
			for i := range 20 {
				sql := fmt.Sprintf("select count(*) + %d from cities", i)
				b.Queue(sql)
				want = append(want, sql)
			}
			if err := conn.SendBatch(context.Background(), b).Close(); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, ev := range th.events(audit.Decided)[before:] {
				got = append(got, ev.SQL)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			for _, sql := range want {
				if ends := th.endings(sql); len(ends) == 0 || slices.ContainsFunc(ends, func(s string) bool { return s != "ok" }) {
					t.Errorf("%q ended %q", sql, ends)
				}
			}
		})
	}
	th.balanced()
}

// Texts that differ in constants share their analysis, never their text: each is
// recorded as it was sent, and secrets are looked for in each.
func TestAlikeStatementsAreRecordedEachAsSent(t *testing.T) {
	th := start(t, "dev", shop, nil)
	conn := connect(t, th.as(person("ada")))
	texts := []string{
		"select name from cities where name = 'one'", "select name from cities where name = 'two'",
		"select name from cities where name = 'dblink password=three'",
	}
	for _, sql := range texts {
		if _, err := conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, ev := range th.events(audit.Decided) {
		got = append(got, ev.SQL)
	}
	texts[2] = "select name from cities where name = '•••'"
	if diff := cmp.Diff(texts, got[max(0, len(got)-len(texts)):]); diff != "" {
		t.Errorf("-sent +recorded:\n%s", diff)
	}
}
