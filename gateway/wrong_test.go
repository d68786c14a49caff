package gateway_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
)

// What a person mistypes is the database's error at once, as without a gateway: nobody
// is asked about a statement that could not run.
func TestMistypedStatementIsNotPutBeforePeople(t *testing.T) {
	th := start(t, "prod", shop+"create function twice(int) returns int language sql as 'select $1 * 2';", nil)
	conn := connect(t, th.as(person("ada")))
	for sql, code := range map[string]string{
		"selec 1": "42601", "select 1 from": "42601", "select nofn(1)": "42883", "select 1; selec 2": "42601", "select twice('x'::text, 1)": "42883",
		"call nothing()": "42883", "select \"unfinished": "42601", "select 1 +": "42601", "delete from": "42601",
	} {
		pg := wantCode(t, second(run(conn, sql)), code)
		if pg.Severity != "ERROR" || pg.Position == 0 && code == "42601" || strings.Contains(pg.Message, "refused") {
			t.Errorf("%s: %+v", sql, pg)
		}
		if out, err := run(conn, "select 1"); err != nil || out != "1\n" {
			t.Errorf("after %s: %q, %v", sql, out, err)
		}
		if got := th.endings(sql); len(got) != 1 || got[0] != "error" {
			t.Errorf("%s ended in the record as %q", sql, got)
		}
	}
	if asks := th.events(audit.Asked); len(asks) != 0 {
		t.Errorf("people were asked: %v", asks)
	}
	th.balanced()
}

func second(_ string, err error) error { return err }

// In a transaction it fails it, and leaves prepared statements and their order alone.
func TestMistypedStatementInATransaction(t *testing.T) {
	th := start(t, "prod", shop, nil)
	f := raw(t, th.as(person("ada")))
	say(t, f, 'Z', &pgproto3.Parse{Query: "select 7"}, &pgproto3.Sync{})
	for _, step := range []struct{ sql, first, last string }{
		{"begin", "CBEGIN", "ZT"}, {"selec 1", "E42601", "ZE"}, {"select nofn(1)", "E25P02", "ZE"}, {"select 1", "E25P02", "ZE"}, {"rollback", "CROLLBACK", "ZI"}, {"select 2", "D2", "ZI"},
	} {
		if out := say(t, f, 'Z', query(step.sql)...); !has(out, step.first) && !strings.HasPrefix(step.first, "C") || out[len(out)-1] != step.last {
			t.Errorf("%s: %q", step.sql, out)
		}
	}
	out := say(t, f, 'Z', append(append(query("selec 1"), query("select 3")...), query("selec 4")...)...)
	if len(out) != 2 || out[0] != "E42601" {
		t.Errorf("a pipeline began with %q", out)
	}
	if out := say(t, f, 'Z'); !has(out, "D3") {
		t.Errorf("and went on with %q", out)
	}
	if out := say(t, f, 'Z'); !has(out, "E42601") {
		t.Errorf("and ended with %q", out)
	}
	th.balanced()
}

// Attack: have the database run what is only to be parsed. Neither the first nor a
// later statement of a held message has run while it waits.
func TestCheckedStatementDoesNotRun(t *testing.T) {
	th := start(t, "prod", shop+"create sequence seen;", nil)
	for _, sql := range []string{
		"do $$ begin execute format('select nextval(%L)', 'seen'); end $$", "alter table cities add column unseen int; select nextval('seen')",
		"select nextval('seen'); alter table cities add column unseen int",
	} {
		conn := connect(t, th.as(person("ada")))
		done := background(conn, sql)
		for len(th.Asks(approver)) == 0 {
			select {
			case err := <-done:
				t.Fatalf("%s: %v", sql, err)
			default:
				runtime.Gosched()
			}
		}
		ask := th.Asks(approver)[0]
		if n := count(t, th, "select count(*) from pg_sequences where sequencename = 'seen' and last_value is not null"); n != 0 || columnExists(t, th, "unseen") {
			t.Errorf("%s has run while it waits", sql)
		}
		if n := count(t, th, "select count(*) from pg_stat_activity where state <> 'idle' and application_name like '%ada%'"); n != 0 {
			t.Errorf("%s holds a transaction open while it waits", sql)
		}
		if _, err := th.Answer(approver, ask.ID, api.AskDecision{}); err != nil {
			t.Fatal(err)
		}
		wantCode(t, await(t, done), "42501")
	}
	th.balanced()
}
