package gateway_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/policy"
)

func bot(writes bool) identity.Identity {
	who := person("bot")
	who.Subject, who.Email, who.Kind, who.Owner, who.Writes = "agent:bot:ada", "", identity.Agent, "ada", writes
	return who
}

// Attack: an agent that was talked into it changes something, by every way there is to
// say it, where a policy file allows everything and leaves the built-in rules out.
func TestAgentWithoutLeaveToWriteChangesNothing(t *testing.T) {
	rules, err := policy.Load("open.yaml", []byte("builtin: false\nrules:\n  - {name: all, when: 'true', effect: allow, reason: all}\n"))
	if err != nil {
		t.Fatal(err)
	}
	th := start(t, "prod", shop+`
create sequence numbers;
create function gone() returns int language plpgsql as $$ begin delete from cities; return 1; end $$;
create view busy as select gone() as n;
create procedure tidy() language sql as 'delete from cities';`, rules)
	reads := []string{
		"select name from cities where id = 1", "show search_path", "explain delete from cities", "begin; select 1; rollback",
		"with c as (select id from cities) select count(*) from c", "declare c cursor for select 1; begin; declare d cursor for select id from cities; fetch d; rollback",
		"copy (select id from cities where id < 3) to stdout", "prepare p as select 1; execute p; deallocate p", "set statement_timeout = '5s'",
	}
	writes := []string{
		"insert into cities (id) values (9999)", "update cities set name = name where id = 1", "delete from cities where id = 1",
		"with gone as (delete from cities where id = 1 returning id) select * from gone", "explain analyze delete from cities where id = 1",
		"explain (analyze, costs off) with x as (update cities set name = 'x' where id = 1 returning 1) select * from x",
		"select name from cities where id = 1 for update", "select gone()", "select * from busy", "explain analyze select gone()", "do $$ begin delete from cities; end $$", "call tidy()",
		"create table t (id int)", "create temp table t as select 1", "select 1 as n into t", "drop table cities", "truncate cities", "alter table cities add x int",
		"select nextval('numbers')", "select pg_catalog.setval('numbers', 7)", "select pg_notify('a', 'b')", "notify a", "listen a", "lock table cities",
		"vacuum cities", "analyze cities", "reindex table cities", "comment on table cities is 'x'",
		"grant select on cities to public", "prepare w as delete from cities; execute w", "copy cities from stdin", "select lo_create(0)",
		"select pg_advisory_lock(1)", "select pg_terminate_backend(1)", "merge into cities c using (select 1 as id) s on c.id = s.id when matched then delete",
		"declare c cursor for delete from cities", "copy (delete from cities returning id) to stdout", "refresh materialized view m",
	}
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec} {
		conn := connect(t, th.as(bot(false)))
		for _, sql := range writes {
			_, err := conn.Exec(t.Context(), sql, mode)
			if mode == pgx.QueryExecModeExec && strings.Contains(sql, ";") && strings.HasPrefix(sql, "prepare") {
				continue // the protocol takes one statement at a time
			}
			if err == nil || !strings.Contains(err.Error(), "refused by policy") {
				t.Errorf("%s: %s: %v", mode, sql, err)
			}
		}
	}
	conn := connect(t, th.as(bot(false)))
	for _, sql := range reads {
		if _, err := run(conn, sql); err != nil && strings.Contains(err.Error(), "refused") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if n := count(t, th, "select count(*) from cities"); n != 300 {
		t.Errorf("%d cities are left", n)
	}
	if _, err := run(connect(t, th.as(bot(true))), "update cities set name = name where id = 1"); err != nil {
		t.Errorf("with leave to write: %v", err)
	}
}

// A refusal of the leash is one of Sluice itself, and is told as such beforehand.
func TestLeaveToWriteIsWhatTheTokenSays(t *testing.T) {
	gu := guard(t)
	ada := gu.login(person("ada", "dev"))
	for _, writes := range []bool{false, true} {
		made, code := call[api.TokenMade](t, ada, "POST", api.TokensPath, api.TokenRequest{Kind: "agent", Name: "claude", Writes: writes})
		if code != 0 || made.Token.Writes != writes {
			t.Fatalf("made %+v, code %d", made.Token, code)
		}
		_, _, agent := gu.exchanged(api.TypeSecret, made.Secret)
		var who api.WhoAmI
		if _, no := asked(t, agent, "GET", api.WhoAmIPath, nil, &who); no.Code != 0 || who.Writes != writes || who.Kind != "agent" {
			t.Errorf("the agent is %+v, %+v", who, no)
		}
		var list []struct{ Effect, Rule string }
		if _, no := asked(t, agent, "POST", api.ExplainPath, api.ExplainRequest{Connection: "orders", SQL: "update cities set name = name where id = 1"}, &list); no.Code != 0 || len(list) != 1 {
			t.Fatalf("explain: %+v, %+v", list, no)
		}
		if allowed := list[0].Effect == "allow"; allowed != writes || !writes && list[0].Rule != "agent-reads-only" {
			t.Errorf("leave %v: %+v", writes, list[0])
		}
	}
	if _, code := call[api.TokenMade](t, ada, "POST", api.TokensPath, api.TokenRequest{Kind: "job", Name: "ci", Connections: []string{"orders"}, Writes: true}); code != api.CodeUsage {
		t.Errorf("a job with leave to write: code %d", code)
	}
}

// Who asks to be told hears which columns of a result were hidden, and how many values,
// whether they ask by SET or when they connect; nobody else hears anything.
func TestHiddenColumnsAreToldToWhoAsks(t *testing.T) {
	tu := serve(t, "dev", shop)
	gw := tu.login(person("ada"))
	for _, ask := range []string{"", "set", "startup"} {
		var told []string
		cfg, err := pgconn.ParseConfig("postgres://me@127.0.0.1/orders?sslmode=disable")
		if err != nil {
			t.Fatal(err)
		}
		cfg.DialFunc = dialer(gw)
		cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { told = append(told, n.Message+": "+n.Detail) }
		if ask == "startup" {
			cfg.RuntimeParams["sluice.masks"] = "tell"
		}
		conn, err := pgconn.ConnectConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if ask == "set" {
			if err := conn.Exec(t.Context(), "set sluice.masks = 'tell'").Close(); err != nil {
				t.Fatal(err)
			}
		}
		for _, sql := range []string{"select id, email as contact from people order by id limit 3", "select id from people limit 3"} {
			if r := conn.ExecParams(t.Context(), sql, nil, nil, nil, nil).Read(); r.Err != nil || len(r.Rows) != 3 {
				t.Fatalf("%s: %d rows, %v", sql, len(r.Rows), r.Err)
			}
		}
		conn.Close(t.Context())
		want := "values hidden: 3: email contact"
		if ask == "" {
			want = ""
		}
		if got := strings.Join(told, "; "); got != want {
			t.Errorf("asked by %q: told %q, want %q", ask, got, want)
		}
	}
}

func dialer(gw *client.Gateway) pgconn.DialFunc {
	return func(ctx context.Context, _, _ string) (net.Conn, error) { return gw.Stream(ctx, "orders", "") }
}

// Attack: change something in a session that was opened to read, or open it up again.
func TestSessionOpenedToReadStaysSo(t *testing.T) {
	tu := serve(t, "dev", shop+"create function gone() returns int language plpgsql as $$ begin delete from cities; return 1; end $$;")
	cfg, err := pgconn.ParseConfig("postgres://me@127.0.0.1/orders?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	cfg.DialFunc = dialer(tu.login(person("ada")))
	cfg.RuntimeParams["sluice.reads"] = "only"
	conn, err := pgconn.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, sql := range []string{"set sluice.reads = 'all'", "reset sluice.reads", "set session characteristics as transaction read write"} {
		if _, err := conn.Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	for _, sql := range []string{"delete from cities where id = 1", "select gone()", "select lo_create(0)", "create table t (id int)", "discard all; delete from cities where id = 1"} {
		if _, err := conn.Exec(t.Context(), sql).ReadAll(); err == nil || !strings.Contains(err.Error(), "refused by policy") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if _, err := conn.Exec(t.Context(), "select name from cities where id = 1").ReadAll(); err != nil {
		t.Error(err)
	}
}
