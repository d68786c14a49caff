package gateway_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/internal/pgtest"
)

// What is wrong with the database behind a connection is told to the client, with
// a hint and without the gateway's password.
func TestDatabaseThatCannotBeUsed(t *testing.T) {
	dsn := pgtest.Database(t)
	for name, tt := range map[string]struct {
		spoil func(*pgconn.Config)
		code  string
	}{
		"down":           {func(c *pgconn.Config) { c.Port = freePort(t) }, "08001"},
		"wrong password": {func(c *pgconn.Config) { c.Password = "not this one" }, "28P01"},
		"no database":    {func(c *pgconn.Config) { c.Database = "nothing" }, "3D000"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := pgconn.ParseConfig(dsn)
			if err != nil {
				t.Fatal(err)
			}
			tt.spoil(cfg)
			th := startOn(t, dsn, gateway.Connection{Name: "orders", Env: "dev", Database: cfg}, nil)
			_, err = pgx.Connect(context.Background(), th.as(person("ada")))
			var pg *pgconn.PgError
			if !errors.As(err, &pg) || pg.Code != tt.code || pg.Severity != "FATAL" || pg.Hint == "" {
				t.Fatalf("got %v, %+v", err, pg)
			}
		})
	}
}

func freePort(t *testing.T) uint16 {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return uint16(ln.Addr().(*net.TCPAddr).Port)
}

// An expired login ends a session, and says so.
func TestExpiredLoginEndsTheSession(t *testing.T) {
	th := start(t, "dev", "", nil)
	who := person("ada")
	who.Expires = time.Now().Add(300 * time.Millisecond)
	conn := connect(t, th.as(who))
	_, err := run(conn, "select pg_sleep(30)")
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "57P01" {
		t.Fatalf("got %v", err)
	}
}

// A client that sends for answers and never reads them can still be cut off.
func TestSessionThatDoesNotReadCanBeKilled(t *testing.T) {
	th := start(t, "dev", "", nil)
	conn := connect(t, th.as(person("ada")))
	ended := make(chan error, 1)
	raw := conn.PgConn().Conn()
	if _, err := raw.Write([]byte("Q\x00\x00\x00\x40select repeat('x', 1000) from generate_series(1, 1000000)  \x00")); err != nil {
		t.Fatal(err)
	}
	for th.Sessions(person("ada"))[0].State != "active" { // until its statement runs
		select {
		case <-t.Context().Done():
			t.Fatal("the test ended first")
		default:
		}
	}
	id := th.Sessions(person("ada"))[0].ID
	if _, err := th.Kill(person("ada"), id); err != nil {
		t.Fatal(err)
	}
	go func() {
		deadline := time.Now().Add(10 * time.Second)
		for len(th.Sessions(person("ada"))) > 0 {
			if time.Now().After(deadline) {
				ended <- errors.New("the session is still there")
				return
			}
		}
		ended <- nil
	}()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
