package gateway_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
)

const migration = "update people set name = 'a' where id = 1;\ninsert into visits (person, what) values (1, 'moved');\nselect name from people where id = 1"

// request asks ahead of time and has it approved.
func (th *through) request(t *testing.T, who identity.Identity, in api.NewRequest) string {
	t.Helper()
	in.Connection, in.Reason = "orders", "release 42"
	r, err := th.Request(t.Context(), who, in)
	if err != nil {
		t.Fatal(err)
	}
	th.approve(t, r.ID)
	return r.ID
}

func names(t *testing.T, th *through, name string) int {
	t.Helper()
	return count(t, th, "select count(*) from people where name = '"+name+"'")
}

// What was approved is that very script, for its author, once.
func TestApprovedScriptRunsOnce(t *testing.T) {
	th := start(t, "prod", village, heldBy(t, "{groups: [dba]}"))
	ada := person("ada")
	id := th.request(t, ada, api.NewRequest{SQL: migration})
	for name, try := range map[string]func(*pgx.Conn) error{
		"another text": func(c *pgx.Conn) error { return second(run(c, migration+" ")) },
		"a part of it, later": func(c *pgx.Conn) error {
			return second(run(c, "insert into visits (person, what) values (1, 'moved')"))
		},
		"something else":         func(c *pgx.Conn) error { return second(run(c, "select 1")) },
		"the same with a prefix": func(c *pgx.Conn) error { return second(run(c, "set search_path = evil; "+migration)) },
	} {
		conn := connect(t, th.as(ada))
		if err := second(run(conn, "set sluice.request = '"+id+"'")); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		wantCode(t, try(conn), "42501")
	}
	for name, try := range map[string]func() error{
		"somebody else": func() error { return second(run(connect(t, th.as(person("eve"))), "set sluice.request = '"+id+"'")) },
		"after another path": func() error {
			c := connect(t, th.as(ada))
			run(c, "set search_path = pg_temp, public")
			return second(run(c, "set sluice.request = '"+id+"'"))
		},
		"with a path from the start": func() error {
			return second(run(connect(t, th.as(ada)+"&search_path=pg_temp"), "set sluice.request = '"+id+"'"))
		},
		"after a temporary table": func() error {
			c := connect(t, th.as(ada))
			run(c, "select 1")
			return second(run(c, "set sluice.request = '"+id+"'"))
		},
		"an id that there is not": func() error { return second(run(connect(t, th.as(ada)), "set sluice.request = 'r-zzzzz'")) },
	} {
		if err := try(); err == nil {
			t.Errorf("%s takes it", name)
		}
	}
	if names(t, th, "a") != 0 {
		t.Fatal("it ran already")
	}
	conn := connect(t, th.as(ada))
	if _, err := run(conn, "set sluice.reason = 'now'; set sluice.request = '"+id+"'"); err != nil {
		t.Fatal(err)
	}
	if out, err := run(conn, migration); err != nil || out != "a\n" || names(t, th, "a") != 1 {
		t.Fatalf("%q, %v", out, err)
	}
	wantCode(t, second(run(conn, migration)), "42501")
	wantCode(t, second(run(connect(t, th.as(ada)), "set sluice.request = '"+id+"'")), "42501")
	var got []string
	for _, ev := range th.events(audit.Decided) {
		if ev.SQL == "update people set name = 'a' where id = 1" && ev.Effect == "allow" {
			got = append(got, ev.Reason)
		}
	}
	if len(got) != 1 || got[0] != "as "+id+", approved by bob@example.com, then run" && got[0] != "as "+id+", approved by bob@example.com" {
		t.Errorf("recorded as %q", got)
	}
	if len(th.Asks(approver)) != 0 {
		t.Error("somebody is still asked")
	}
	th.balanced()
}

// In one message the script is one transaction; one by one, each by itself and in order.
func TestApprovedScriptIsOneTransaction(t *testing.T) {
	th := start(t, "prod", village, heldBy(t, "{groups: [dba]}"))
	ada := person("ada")
	broken := "update people set name = 'half' where id = 1; update people set name = (1/(id-2))::text where id = 2"
	for _, apart := range []bool{false, true} {
		id := th.request(t, ada, api.NewRequest{SQL: broken})
		conn := connect(t, th.as(ada))
		if _, err := run(conn, "set sluice.request = '"+id+"'"); err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(broken, "; ")
		if !apart {
			wantCode(t, second(run(conn, broken)), "22012")
			if names(t, th, "half") != 0 {
				t.Error("half of it stayed")
			}
			continue
		}
		wantCode(t, second(run(conn, parts[1])), "42501") // not first
		if _, err := run(conn, parts[0]); err != nil {
			t.Fatal(err)
		}
		wantCode(t, second(run(conn, parts[0])), "42501") // not twice
		wantCode(t, second(run(conn, broken)), "42501")   // nor whole behind its part
		wantCode(t, second(run(conn, parts[1])), "22012")
		if names(t, th, "half") != 1 {
			t.Error("what was sent by itself did not stay")
		}
	}
}

// A script whose tables mean something else by the time it runs does not run.
func TestApprovedScriptWhoseMeaningMoved(t *testing.T) {
	th := start(t, "prod", village+"create view shown as select id, name from people;", heldBy(t, "{groups: [dba]}"))
	ada := person("ada")
	id := th.request(t, ada, api.NewRequest{SQL: "update people set name = s.name from shown s where s.id = people.id and people.id = 1"})
	pgtestExec(t, th, "create or replace view shown as select id, email as name from people")
	conn := connect(t, th.as(ada))
	if _, err := run(conn, "set sluice.request = '"+id+"'"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the gateway knows the new view", func() bool {
		return strings.Contains(explained(t, th, ada, "select name from shown"), "email")
	})
	if pg := wantCode(t, second(run(conn, "update people set name = s.name from shown s where s.id = people.id and people.id = 1")), "42501"); !strings.Contains(pg.Message, "has changed since") {
		t.Error(pg.Message)
	}
}

// explained are the columns that a statement reads.
func explained(t *testing.T, th *through, who identity.Identity, sql string) string {
	t.Helper()
	run(connect(t, th.as(who)), "select * from no_such_table") // has the gateway look at the catalogue
	out, err := th.Explain(t.Context(), who, "orders", sql)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out[0].Reads, " ")
}

// What is not for asking is said when it is asked.
func TestRequestsThatMakeNoSense(t *testing.T) {
	th := start(t, "prod", village, nil)
	for name, tt := range map[string]struct {
		in   api.NewRequest
		want string
	}{
		"no reason":             {api.NewRequest{SQL: "alter table people add x int"}, ""},
		"nothing to approve":    {api.NewRequest{SQL: "select 1", Reason: "r"}, "nobody needs to approve"},
		"refused anyway":        {api.NewRequest{SQL: "drop table people", Reason: "r"}, "refused by policy"},
		"empty":                 {api.NewRequest{SQL: " -- nothing", Reason: "r"}, "no statement"},
		"a password":            {api.NewRequest{SQL: "alter role postgres password 'hunter2'", Reason: "r"}, "password"},
		"a window of no rule":   {api.NewRequest{Seconds: 60, Reason: "r"}, "no rule lets a window"},
		"a window for ever":     {api.NewRequest{Seconds: 1 << 40, Reason: "r"}, ""},
		"neither":               {api.NewRequest{Reason: "r"}, ""},
		"both":                  {api.NewRequest{Seconds: 60, SQL: "alter table people add x int", Reason: "r"}, ""},
		"time that runs behind": {api.NewRequest{Seconds: -60, Reason: "r"}, ""},
	} {
		tt.in.Connection = "orders"
		r, err := th.Request(t.Context(), person("ada"), tt.in)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// Attack: connect while the window is open and go on when it has ended. What it let in
// is cut, in the middle of a statement, within a second; who did not use it stays.
func TestWindowEndsItsSessions(t *testing.T) {
	for name, end := range map[string]func(*through, string) error{
		"its time":   func(*through, string) error { return nil },
		"its author": func(th *through, id string) error { _, err := th.EndRequest(person("ada"), id); return err },
		"an approver": func(th *through, id string) error {
			_, err := th.Answer(approver, id, api.AskDecision{Reason: "over"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			th := start(t, "prod", village, heldBy(t, "{groups: [dba]}"))
			ada := person("ada")
			seconds := int64(60)
			if name == "its time" {
				seconds = 3
			}
			idle, user, other := connect(t, th.as(ada)), connect(t, th.as(ada)), connect(t, th.as(person("eve")))
			r, err := th.Request(t.Context(), ada, api.NewRequest{Connection: "orders", Seconds: seconds, Reason: "incident"})
			if err != nil {
				t.Fatal(err)
			}
			waits := background(user, move2)
			th.held(t, 2) // it is not open before it was granted
			if err := user.PgConn().CancelRequest(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantCode(t, await(t, waits), "57014")
			th.approve(t, r.ID)
			if _, err := run(user, move2); err != nil {
				t.Fatal(err)
			}
			not := background(other, move2)
			th.deny(t, th.held(t, 1)[0].ID)
			wantCode(t, await(t, not), "42501")
			long := background(user, "select pg_sleep(60)")
			if err := end(th, r.ID); err != nil {
				t.Fatal(err)
			}
			if pg := wantCode(t, await(t, long), "57P01"); !strings.Contains(pg.Message, r.ID) {
				t.Error(pg.Message)
			}
			again := background(idle, move2)
			th.deny(t, th.held(t, 1)[0].ID)
			wantCode(t, await(t, again), "42501")
		})
	}
}

const move2 = "update people set name = 'w' where id = 3"

// Requests outlive the gateway; what was used stays used.
func TestRequestsOutliveTheGateway(t *testing.T) {
	dir := t.TempDir()
	state := func(c *gateway.Config) { c.StateDir = dir }
	th := start(t, "prod", village, heldBy(t, "{groups: [dba]}"), state)
	ada := person("ada")
	used := th.request(t, ada, api.NewRequest{SQL: move2})
	kept := th.request(t, ada, api.NewRequest{SQL: move2 + " and true"})
	open := th.request(t, ada, api.NewRequest{Seconds: 600})
	conn := connect(t, th.as(ada))
	for _, sql := range []string{"set sluice.request = '" + used + "'", move2} {
		if _, err := run(conn, sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := th.stop(); err != nil {
		t.Fatal(err)
	}
	th.again(t, state)
	wantCode(t, second(run(connect(t, th.as(ada)), "set sluice.request = '"+used+"'")), "42501")
	conn = connect(t, th.as(ada))
	for _, sql := range []string{"set sluice.request = '" + kept + "'", move2 + " and true"} {
		if _, err := run(conn, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	if _, err := run(connect(t, th.as(ada)), move2); err != nil {
		t.Errorf("the window %s is closed: %v", open, err)
	}
	if list := th.Requests(ada); len(list) != 3 || list[0].State != "used" || time.Until(list[2].Until) <= 0 {
		t.Errorf("%+v", list)
	}
	if list := th.Requests(person("eve")); len(list) != 0 {
		t.Errorf("somebody else sees %+v", list)
	}
}
