package gateway_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/internal/pgcluster"
	"github.com/sluicehq/sluice/internal/pgtest"
)

func write(t *testing.T, dir, name string, data []byte, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// A gateway that must know its database's certificate speaks to no other.
func TestDatabaseCertificateIsVerified(t *testing.T) {
	known := pgtest.NewAuthority(t)
	cert, key := known.Issue(t, nil)
	c, err := pgcluster.Start(context.Background(), pgcluster.Config{Cert: cert, Key: key, Settings: map[string]string{"max_connections": "20"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	dir := t.TempDir()
	right, wrong := write(t, dir, "right.pem", known.PEM, 0o600), write(t, dir, "wrong.pem", pgtest.NewAuthority(t).PEM, 0o600)
	for name, tt := range map[string]struct {
		root, host string
		good       bool
	}{
		"right authority":   {right, "127.0.0.1", true},
		"another authority": {wrong, "127.0.0.1", false},
		"another host name": {right, "localhost", false},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := url.Parse(c.DSN("postgres"))
			if err != nil {
				t.Fatal(err)
			}
			u.Host = net.JoinHostPort(tt.host, u.Port())
			u.RawQuery = url.Values{"sslmode": {"verify-full"}, "sslrootcert": {tt.root}}.Encode()
			cfg, err := pgconn.ParseConfig(u.String())
			if err != nil {
				t.Fatal(err)
			}
			th := startOn(t, c.DSN("postgres"), gateway.Connection{Name: "orders", Env: "dev", Database: cfg}, nil)
			conn, err := pgx.Connect(context.Background(), th.as(person("ada")))
			if tt.good {
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close(context.Background())
				out, err := run(conn, "select ssl from pg_stat_ssl where pid = pg_backend_pid()")
				if err != nil || out != "t\n" {
					t.Errorf("encrypted: %q, %v", out, err)
				}
				return
			}
			var pg *pgconn.PgError
			if !errors.As(err, &pg) || pg.Severity != "FATAL" || pg.Code != "08001" || !strings.Contains(pg.Message, "certificate") || !strings.Contains(pg.Hint, "sslrootcert") {
				t.Errorf("got %v, %+v", err, pg)
			}
		})
	}
}

// A database that fails harms only the sessions that want it.
func TestFailingDatabaseHarmsNoOtherSession(t *testing.T) {
	dsn := pgtest.Database(t)
	pgtest.Exec(t, dsn, shop)
	all := []string{gateway.Everyone}
	config := func(spoil func(*pgconn.Config)) *pgconn.Config {
		cfg, err := pgconn.ParseConfig(dsn)
		if err != nil {
			t.Fatal(err)
		}
		spoil(cfg)
		return cfg
	}
	th := startOn(t, dsn, gateway.Connection{Name: "orders", Env: "dev", Database: config(func(*pgconn.Config) {})}, nil, func(cfg *gateway.Config) {
		cfg.Connections = append(cfg.Connections,
			gateway.Connection{Name: "down", Env: "dev", Groups: all, Database: config(func(c *pgconn.Config) { c.Port = freePort(t) })},
			gateway.Connection{Name: "password", Env: "dev", Groups: all, Database: config(func(c *pgconn.Config) { c.Password = "not this one" })},
			gateway.Connection{Name: "missing", Env: "dev", Groups: all, Database: config(func(c *pgconn.Config) { c.Database = "nothing" })})
	})
	conn := connect(t, th.as(person("ada")))
	if _, err := run(conn, "begin; update cities set name = 'x' where id = 1"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"down", "password", "missing"} {
		for range 3 { // a failure must not be remembered as one of the whole gateway
			err := th.refusedAt(name)
			var pg *pgconn.PgError
			if !errors.As(err, &pg) || pg.Severity != "FATAL" {
				t.Errorf("%s: %v", name, err)
			}
			if out, err := run(conn, "select count(*) from cities where name = 'x'"); err != nil || out != "1\n" {
				t.Fatalf("beside %s: %q, %v", name, out, err)
			}
		}
	}
	if _, err := run(conn, "commit"); err != nil {
		t.Fatal(err)
	}
	var refused int
	for _, ev := range th.events(audit.Connected) {
		if ev.Outcome == "refused" && ev.Connection != "orders" && ev.ErrorCode != "" {
			refused++
		}
	}
	if refused != 9 {
		t.Errorf("%d refusals in the record", refused)
	}
}

// refusedAt opens one session at a connection that should not open, and returns what
// the client is told.
func (th *through) refusedAt(connection string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	here, there := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		th.Session(ctx, there, gateway.Caller{Who: person("ada"), Connection: connection, From: "a pipe"})
	}()
	cfg, err := pgconn.ParseConfig("postgres://me@127.0.0.1/" + connection + "?sslmode=disable")
	if err != nil {
		return err
	}
	cfg.User = cfg.Database // any name will do
	cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) { return here, nil }
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err == nil {
		err = errors.Join(errors.New("it opened"), conn.Close(ctx))
	}
	here.Close()
	<-done
	return err
}

// What is not PostgreSQL is closed, soon and without harm.
func TestGarbageOnTheSessionPortIsClosed(t *testing.T) {
	th := start(t, "dev", shop, nil)
	port := th.as(person("ada"))
	conn := connect(t, port)
	u, err := url.Parse(port)
	if err != nil {
		t.Fatal(err)
	}
	hello := clientHello(t)
	for name, data := range map[string][]byte{
		"garbage": []byte("\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6"), "http": []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "tls": hello, "zeros": make([]byte, 64),
		"length of nothing": {0, 0, 0, 4}, "startup that is too long": {0, 0xff, 0xff, 0xff, 0, 3, 0, 0}, "startup without its end": []byte("\x00\x00\x00\x0d\x00\x03\x00\x00user\x00"),
		"ssh": []byte("SSH-2.0-OpenSSH_9.6\r\n"), "protocol 2": {0, 0, 0, 8, 0, 2, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := net.Dial("tcp", u.Host)
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			if err := raw.SetDeadline(time.Now().Add(9 * time.Second)); err != nil { // shorter than the time a login may take
				t.Fatal(err)
			}
			if _, err := raw.Write(data); err != nil {
				t.Fatal(err)
			}
			if len(data) < 8 {
				if err := raw.(*net.TCPConn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			answer, err := io.ReadAll(io.LimitReader(raw, 4096))
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				t.Error("it is still open")
			}
			alert := name == "tls" && len(answer) == 7 && answer[0] == 0x15
			if len(answer) > 0 && answer[0] != 'E' && !alert {
				t.Errorf("it was answered with %q", answer)
			}
			if out, err := run(conn, "select count(*) from cities"); err != nil || out != "300\n" {
				t.Errorf("the session beside it: %q, %v", out, err)
			}
		})
	}
}

// clientHello is what a TLS client says first.
func clientHello(t *testing.T) []byte {
	t.Helper()
	here, there := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Client(here, &tls.Config{ServerName: "example.com"}).Handshake() // ends with the pipe
	}()
	b := make([]byte, 4096)
	n, err := there.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	there.Close()
	<-done
	return b[:n]
}
