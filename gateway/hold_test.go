package gateway_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/gateway"
)

// Time limits of the tests. None is waited for when all is well.
const (
	patience  = 20 * time.Second
	shortHold = 300 * time.Millisecond
)

// approver may answer what the built-in policy holds.
var approver = person("bob", "dba")

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(patience)
	defer late.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-late.C:
			t.Fatalf("after %s still not: %s", patience, what)
		}
	}
}

// background runs sql and gives its error when it ended.
func background(conn *pgx.Conn, sql string) <-chan error {
	done := make(chan error, 1)
	go func() { _, err := run(conn, sql); done <- err }()
	return done
}

// await is what a statement run in the background ended with.
func await(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(2 * patience):
		t.Fatal("the statement did not end")
		return nil
	}
}

// held waits until n statements wait for people, and returns them.
func (th *through) held(t *testing.T, n int) []api.Ask {
	t.Helper()
	var asks []api.Ask
	eventually(t, "as many statements wait as were sent", func() bool {
		asks = th.Asks(approver)
		return len(asks) == n
	})
	return asks
}

func (th *through) approve(t *testing.T, id string) {
	t.Helper()
	if _, err := th.Answer(approver, id, th.yes(id)); err != nil {
		t.Fatal(err)
	}
}

// yes is the vote of somebody who has looked at an ask.
func (th *through) yes(id string) api.AskDecision {
	for _, a := range th.Asks(auditor) {
		if a.ID == id {
			return api.AskDecision{Grant: true, Seal: a.Seal}
		}
	}
	return api.AskDecision{Grant: true, Seal: "of what waits no more"}
}

// auditor sees every ask.
var auditor = person("aud", "audit")

// wantCode checks the SQLSTATE of an error, and gives the error.
func wantCode(t *testing.T, err error, code string) *pgconn.PgError {
	t.Helper()
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != code {
		t.Fatalf("got %v, want SQLSTATE %s", err, code)
	}
	return pg
}

// columnExists looks past the gateway whether a held ALTER TABLE ran.
func columnExists(t *testing.T, th *through, name string) bool {
	t.Helper()
	return count(t, th, "select count(*) from pg_attribute where attname = '"+name+"'") > 0
}

// endings are the outcomes of the decisions about sql, in order.
func (th *through) endings(sql string) []string {
	th.t.Helper()
	ends := map[string]string{}
	for _, ev := range th.events(audit.Finished) {
		ends[ev.Of] += ev.Outcome
	}
	var out []string
	for _, ev := range th.events(audit.Decided) {
		if ev.SQL == sql {
			out = append(out, ends[ev.ID])
		}
	}
	return out
}

func TestHoldNobodyAnswersRunsNothing(t *testing.T) {
	th := start(t, "prod", shop, nil, func(c *gateway.Config) { c.Hold = shortHold })
	const sql = "alter table cities add column late int"
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec} {
		t.Run(mode.String(), func(t *testing.T) {
			conn := connect(t, th.as(person("ada")))
			_, err := conn.Exec(context.Background(), sql, mode)
			if pg := wantCode(t, err, "42501"); !strings.Contains(pg.Message, "not approved") {
				t.Errorf("it says %q", pg.Message)
			}
			if columnExists(t, th, "late") {
				t.Error("it ran")
			}
			if open := th.Asks(approver); len(open) != 0 {
				t.Errorf("still waiting: %v", open)
			}
			if _, err := run(conn, "select 1"); err != nil {
				t.Errorf("the session does not go on: %v", err)
			}
		})
	}
	for _, end := range th.endings(sql) {
		if end != "refused" {
			t.Errorf("recorded as %q", end)
		}
	}
	th.balanced()
}

func TestHoldOfAClientThatLeavesIsWithdrawn(t *testing.T) {
	th := start(t, "prod", shop, nil)
	const sql = "alter table cities add column gone int"
	conn := connect(t, th.as(person("ada")))
	done := background(conn, sql)
	ask := th.held(t, 1)[0]
	if err := conn.PgConn().Conn().Close(); err != nil {
		t.Fatal(err)
	}
	if err := await(t, done); err == nil {
		t.Error("a closed connection answered")
	}
	th.held(t, 0)
	if _, err := th.Answer(approver, ask.ID, th.yes(ask.ID)); err == nil {
		t.Error("an ask of nobody could be approved")
	}
	eventually(t, "the session ended", func() bool { return len(th.Sessions(person("ada"))) == 0 })
	if columnExists(t, th, "gone") {
		t.Error("it ran")
	}
	if ends := th.endings(sql); len(ends) != 1 || ends[0] != "cancelled" {
		t.Errorf("recorded as %q", ends)
	}
}

// What a client sends behind a held statement waits with it, and then runs in order.
func TestHoldKeepsWhatIsBehindItInOrder(t *testing.T) {
	th := start(t, "prod", "create table log (id serial primary key, what text)", nil)
	statements := []string{
		"insert into log (what) values ('first')", "alter table log add column extra int",
		"insert into log (what, extra) values ('second', 2)", "insert into log (what, extra) values ('third', 3)",
	}
	for name, send := range map[string]func(*pgproto3.Frontend, string){
		"simple": func(f *pgproto3.Frontend, sql string) { f.SendQuery(&pgproto3.Query{String: sql}) },
		"extended": func(f *pgproto3.Frontend, sql string) {
			f.SendParse(&pgproto3.Parse{Query: sql})
			f.SendBind(&pgproto3.Bind{})
			f.SendExecute(&pgproto3.Execute{})
			f.SendSync(&pgproto3.Sync{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			pgtestExec(t, th, "truncate log")
			pgtestExec(t, th, "alter table log drop column if exists extra")
			conn := connect(t, th.as(person("ada")))
			front := conn.PgConn().Frontend()
			for _, sql := range statements {
				send(front, sql)
			}
			if err := front.Flush(); err != nil {
				t.Fatal(err)
			}
			ask := th.held(t, 1)[0]
			eventually(t, "what came before the held statement ran", func() bool { return count(t, th, "select count(*) from log") > 0 })
			if n := count(t, th, "select count(*) from log"); n != 1 {
				t.Errorf("%d rows while it waits", n)
			}
			th.approve(t, ask.ID)
			answers(t, conn, len(statements))
			var got string
			if err := connect(t, th.direct).QueryRow(context.Background(), "select string_agg(what || coalesce(extra, 0), ',' order by id) from log").Scan(&got); err != nil {
				t.Fatal(err)
			}
			if got != "first0,second2,third3" {
				t.Errorf("it ran as %q", got)
			}
		})
	}
	th.balanced()
}

// answers reads until the server was ready n times; an error fails the test.
func answers(t *testing.T, conn *pgx.Conn, n int) {
	t.Helper()
	if err := conn.PgConn().Conn().SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for n > 0 {
		msg, err := conn.PgConn().Frontend().Receive()
		if err != nil {
			t.Fatal(err)
		}
		switch msg := msg.(type) {
		case *pgproto3.ReadyForQuery:
			n--
		case *pgproto3.ErrorResponse:
			t.Errorf("%s %s", msg.Code, msg.Message)
		}
	}
}

func TestHoldInATransactionIsShorter(t *testing.T) {
	th := start(t, "prod", shop, nil, func(c *gateway.Config) { c.Hold, c.HoldTransaction = 10*time.Minute, 30*time.Second })
	for _, tt := range []struct {
		name, before string
		want         time.Duration
	}{
		{"outside", "select 1", 10 * time.Minute},
		{"inside", "begin", 30 * time.Second},
		{"after", "begin; commit", 10 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := connect(t, th.as(person("ada")))
			if _, err := run(conn, tt.before); err != nil {
				t.Fatal(err)
			}
			done := background(conn, "alter table cities add column c int")
			ask := th.held(t, 1)[0]
			if got := ask.Deadline.Sub(ask.Created); got != tt.want {
				t.Errorf("it is held for %s, want %s", got, tt.want)
			}
			if err := conn.PgConn().CancelRequest(context.Background()); err != nil {
				t.Fatal(err)
			}
			wantCode(t, await(t, done), "57014")
		})
	}
}

func TestHoldEndsWithTheGateway(t *testing.T) {
	th := start(t, "prod", shop, nil)
	ctx, shutdown := context.WithCancel(context.Background())
	defer shutdown()
	const sql = "alter table cities add column stopped int"
	conn := connect(t, th.asUntil(ctx, person("ada")))
	done := background(conn, sql)
	th.held(t, 1)
	shutdown()
	if pg := wantCode(t, await(t, done), "57P01"); pg.Severity != "FATAL" {
		t.Errorf("it ended with %s", pg.Severity)
	}
	eventually(t, "the session ended", func() bool { return len(th.Sessions(person("ada"))) == 0 })
	if len(th.Asks(approver)) != 0 || columnExists(t, th, "stopped") {
		t.Error("it still waits, or it ran")
	}
	if ends := th.endings(sql); len(ends) != 1 || ends[0] != "cancelled" {
		t.Errorf("recorded as %q", ends)
	}
	th.balanced()
}

// An approval lets go of the statement it is about, once, and of no other that
// reads the same.
func TestHoldApprovalIsForOneExecution(t *testing.T) {
	th := start(t, "prod", shop+"create sequence runs;", nil)
	// What a DO block does cannot be told from its text, so it is held, and it
	// counts how often it ran.
	const sql = "do $$ begin execute format('select nextval(%L)', 'runs'); end $$"
	ran := func() int { return count(t, th, "select case when is_called then last_value else 0 end from runs") }
	var conns [2]*pgx.Conn
	var done [2]<-chan error
	var asks [2]string
	for i := range conns {
		conns[i] = connect(t, th.as(person("ada")))
		done[i] = background(conns[i], sql)
		for _, a := range th.held(t, i+1) {
			if a.ID != asks[0] {
				asks[i] = a.ID
			}
		}
	}
	th.approve(t, asks[0])
	if err := await(t, done[0]); err != nil {
		t.Fatal(err)
	}
	if open := th.Asks(approver); ran() != 1 || len(open) != 1 || open[0].ID != asks[1] {
		t.Fatalf("it ran %d times, still waiting: %v", ran(), open)
	}
	select {
	case err := <-done[1]:
		t.Fatalf("the other session's ended too: %v", err)
	default:
	}
	if _, err := th.Answer(approver, asks[0], th.yes(asks[0])); err == nil {
		t.Error("an answered ask could be answered again")
	}
	again := background(conns[0], sql) // the same session, the same text: a new ask
	th.held(t, 2)
	if ran() != 1 {
		t.Error("an approval was used twice")
	}
	if _, err := th.Answer(approver, asks[1], api.AskDecision{Reason: "no"}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, await(t, done[1]), "42501")
	th.approve(t, th.held(t, 1)[0].ID)
	if err := await(t, again); err != nil || ran() != 2 {
		t.Errorf("%v, it ran %d times", err, ran())
	}
	th.balanced()
}

func TestApproverDoesNotLearnThePasswordOfAnAccount(t *testing.T) {
	th := start(t, "prod", "", nil)
	conn := connect(t, th.as(person("ada")))
	ctx, withdraw := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = conn.PgConn().Exec(ctx, "alter role postgres password 'hunter2hunter2'").ReadAll() // withdrawn below
	}()
	eventually(t, "it waits", func() bool { return len(th.Asks(approver)) == 1 })
	for _, a := range th.Asks(approver) {
		if strings.Contains(a.SQL, "hunter2") || !strings.Contains(strings.ToLower(a.SQL), "alter role") {
			t.Errorf("the approver sees %q", a.SQL)
		}
	}
	withdraw()
	<-done
}
