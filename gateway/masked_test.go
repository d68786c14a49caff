package gateway_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/policy"
)

// What came back masked, and is sent back, would destroy what it hides.
func TestMasksAreNotWrittenBack(t *testing.T) {
	for name, rules := range map[string]*policy.Rules{"masked": nil, "who sees all": lenient(t, ", unmask: [all]")} {
		th := start(t, "dev", laundry, rules)
		conn := connect(t, th.as(person("ada")))
		shown := []string{"a•••@masked.invalid", "[masked]", "[masked:secret]", "•••", "+49 •••• 12", "•••• •••• •••• 1234", "wrote to a•••@masked.invalid today"}
		if rules == nil {
			var email string
			if err := conn.QueryRow(context.Background(), "select email from people where id = 1").Scan(&email); err != nil {
				t.Fatal(err)
			}
			shown = append(shown, email)
		}
		for _, m := range shown {
			for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec} {
				_, err := conn.Exec(context.Background(), "update people set city = 'x', email = $1 where id = 1", mode, m)
				var pg *pgconn.PgError
				if !errors.As(err, &pg) || pg.Detail != "rule: no-masks-written" || !strings.Contains(pg.Message, "public.people.email") {
					t.Errorf("%s, %s: %q: %v", name, mode, m, err)
				}
			}
			for _, sql := range []string{"insert into people (id, email) values (9001, '" + m + "')", "prepare p as insert into plain (id, word) values ($1, '" + m + "')", "with w as (update plain set word = '" + m + "' where id = 1 returning 1) select 1"} {
				if rule := refusedBy(t, conn, sql); rule != "no-masks-written" {
					t.Errorf("%s: %s: refused by %q", name, sql, rule)
				}
			}
			for _, how := range []string{"", " (format csv)"} {
				_, err := conn.PgConn().CopyFrom(context.Background(), strings.NewReader("9002"+map[string]string{"": "\t", " (format csv)": ","}[how]+m+"\n"), "copy plain (id, word) from stdin"+how)
				if err == nil || !strings.Contains(err.Error(), "public.plain.word") {
					t.Errorf("%s: copy%s of %q: %v", name, how, m, err)
				}
			}
		}
		if got := count(t, th, "select count(*) from people where email not like '%@example.com'"); got != 0 {
			t.Errorf("%d addresses were destroyed", got)
		}
		if got := count(t, th, "select count(*) from plain where word like '%@masked%'"); got != 0 {
			t.Errorf("%d masks were copied in", got)
		}
	}
}

func TestWordsThatAreNoMasksAreWritten(t *testing.T) {
	th := start(t, "dev", laundry, nil)
	conn := connect(t, th.as(person("ada")))
	for _, m := range []string{
		"the form shows [masked] where a value is hidden", "masked", "[masked] and more", "[masked:whatever]", "see • one • two", "password: ••••••••", "1••• stars", "{\"masked\": false}", "@masked", "0", "1900-01-01",
	} {
		for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement} {
			if _, err := conn.Exec(context.Background(), "insert into plain (id, word) values (9000, $1)", mode, m); err != nil {
				t.Errorf("%s: %q: %v", mode, m, err)
			}
		}
		if _, err := conn.PgConn().CopyFrom(context.Background(), strings.NewReader("9003\t"+strings.ReplaceAll(m, "\\", "\\\\")+"\n"), "copy plain (id, word) from stdin"); err != nil {
			t.Errorf("copy of %q: %v", m, err)
		}
	}
	if out, err := run(conn, "select count(*) from people where email = 'a•••@masked.invalid'"); err != nil || out != "0\n" {
		t.Errorf("a read is no write: %q, %v", out, err)
	}
}
