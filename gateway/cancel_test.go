package gateway_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/audit"
)

// sleeping waits until the database itself runs that many pg_sleep calls.
func (th *through) sleeping(t *testing.T, n int) {
	t.Helper()
	eventually(t, "the database sleeps", func() bool {
		return count(t, th, "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and state = 'active' and query like '%pg_sleep%'") == n
	})
}

func TestCancelEndsAStatementAtOnce(t *testing.T) {
	th := start(t, "dev", "", nil)
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec} {
		t.Run(mode.String(), func(t *testing.T) {
			conn := connect(t, th.as(person("ada")))
			done := make(chan error, 1)
			go func() { _, err := conn.Exec(context.Background(), "select pg_sleep(30)", mode); done <- err }()
			th.sleeping(t, 1)
			begun := time.Now()
			if err := conn.PgConn().CancelRequest(context.Background()); err != nil {
				t.Fatal(err)
			}
			wantCode(t, await(t, done), "57014")
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
			th.sleeping(t, 0)
			if out, err := run(conn, "select 1"); err != nil || out != "1\n" {
				t.Errorf("the session does not go on: %q, %v", out, err)
			}
		})
	}
	for _, end := range th.endings("select pg_sleep(30)") {
		if end != "cancelled" {
			t.Errorf("recorded as %q", end)
		}
	}
	th.balanced()
}

// A key cancels the session it was given to, and no other.
func TestCancelReachesOnlyItsOwnSession(t *testing.T) {
	th := start(t, "dev", "", nil)
	dsn := th.as(person("ada"))
	a, b := connect(t, dsn), connect(t, dsn)
	doneA, doneB := background(a, "select pg_sleep(30)"), background(b, "select pg_sleep(30), 2")
	th.sleeping(t, 2)
	if err := a.PgConn().CancelRequest(context.Background()); err != nil {
		t.Fatal(err)
	}
	wantCode(t, await(t, doneA), "57014")
	th.sleeping(t, 1)
	if err := b.PgConn().CancelRequest(context.Background()); err != nil {
		t.Fatal(err)
	}
	wantCode(t, await(t, doneB), "57014")
}

// Guesses cancel nothing, and each is in the record.
func TestCancelWithAWrongKeyIsRecorded(t *testing.T) {
	th := start(t, "dev", "", nil)
	dsn := th.as(person("ada"))
	conn := connect(t, dsn)
	pid, secret := conn.PgConn().PID(), binary.BigEndian.Uint32(conn.PgConn().SecretKey())
	done := background(conn, "select pg_sleep(30)")
	th.sleeping(t, 1)
	for i, attack := range []struct {
		name        string
		pid, secret uint32
	}{
		{"wrong secret", pid, secret + 1},
		{"secret of zeros", pid, 0},
		{"wrong process", pid + 1, secret},
		{"nothing", 0, 0},
	} {
		t.Run(attack.name, func(t *testing.T) {
			cancelWith(t, conn.PgConn().Conn().RemoteAddr().String(), attack.pid, attack.secret)
			// The gateway closes a cancel request only when it is done with it.
			events := th.events(audit.Admin)
			if len(events) != i+1 {
				t.Fatalf("%d events, want %d", len(events), i+1)
			}
			if ev := events[i]; ev.Outcome != "refused" || ev.Subject != "ada" || ev.Connection != "orders" || ev.From == "" {
				t.Errorf("recorded as %+v", ev)
			}
			th.sleeping(t, 1)
		})
	}
	cancelWith(t, conn.PgConn().Conn().RemoteAddr().String(), pid, secret)
	wantCode(t, await(t, done), "57014")
	if n := len(th.events(audit.Admin)); n != 4 {
		t.Errorf("%d events after the right key", n)
	}
}

// cancelWith sends a cancel request by hand and waits until it was dealt with.
func cancelWith(t *testing.T, addr string, pid, secret uint32) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	msg := binary.BigEndian.AppendUint32(nil, 16)
	for _, n := range []uint32{80877102, pid, secret} {
		msg = binary.BigEndian.AppendUint32(msg, n)
	}
	if _, err := conn.Write(msg); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); err != nil || len(answer) != 0 {
		t.Fatalf("a cancel request was answered with %q, %v", answer, err)
	}
}

// The number that a client is told is the process's, for pg_terminate_backend and for
// people who compare; the secret is not the database's: with that one it could cancel
// past the gate.
func TestCancelKeyIsNotTheDatabases(t *testing.T) {
	th := start(t, "dev", "", nil)
	conn := connect(t, th.as(person("ada")))
	pid, secret := conn.PgConn().PID(), binary.BigEndian.Uint32(conn.PgConn().SecretKey())
	if out, err := run(conn, "select pg_backend_pid()"); err != nil || out != fmt.Sprintln(pid) {
		t.Errorf("the client was told process %d, the database says %s, %v", pid, out, err)
	}
	done := background(conn, "select pg_sleep(30)")
	th.sleeping(t, 1)
	direct, err := pgx.ParseConfig(th.direct)
	if err != nil {
		t.Fatal(err)
	}
	cancelWith(t, net.JoinHostPort(direct.Host, fmt.Sprint(direct.Port)), pid, secret)
	th.sleeping(t, 1)
	if err := conn.PgConn().CancelRequest(context.Background()); err != nil {
		t.Fatal(err)
	}
	wantCode(t, await(t, done), "57014")
}

// Attack: another caller has got hold of a key.
func TestCancelWithAStolenKeyIsRecorded(t *testing.T) {
	th := start(t, "dev", "", nil)
	conn := connect(t, th.as(person("ada")))
	done := background(conn, "select pg_sleep(30)")
	th.sleeping(t, 1)
	mallory, err := pgx.ParseConfig(th.as(person("mallory")))
	if err != nil {
		t.Fatal(err)
	}
	cancelWith(t, net.JoinHostPort(mallory.Host, fmt.Sprint(mallory.Port)), conn.PgConn().PID(), binary.BigEndian.Uint32(conn.PgConn().SecretKey()))
	th.sleeping(t, 1)
	if events := th.events(audit.Admin); len(events) != 1 || events[0].Subject != "mallory" || events[0].Outcome != "refused" {
		t.Errorf("recorded as %+v", events)
	}
	if err := conn.PgConn().CancelRequest(context.Background()); err != nil {
		t.Fatal(err)
	}
	wantCode(t, await(t, done), "57014")
}
