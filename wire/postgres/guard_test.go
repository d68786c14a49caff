package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// A server that asks for the password itself on plain TCP, as one that has taken the
// database's place would, is told nothing.
func TestServerThatAsksForThePasswordInTheClearGetsNone(t *testing.T) {
	for _, mode := range []string{"disable", "prefer", "allow"} {
		t.Run(mode, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			heard := make(chan string, 1)
			go func() { heard <- askInTheClear(ln) }()
			cfg, err := pgconn.ParseConfig("postgres://sluice:hunter2hunter2@" + ln.Addr().String() + "/shop?sslmode=" + mode)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			_, err = Dial(ctx, cfg, newClient(nil, nil))
			ln.Close()
			var login *Login
			if !errors.As(err, &login) || login.Say.Hint == "" || !strings.Contains(login.Say.Message, "without encryption") {
				t.Errorf("got %v", err)
			}
			if said := <-heard; strings.Contains(said, "hunter2") || !strings.Contains(said, "sluice") {
				t.Errorf("the server heard %q", said)
			}
		})
	}
}

// askInTheClear serves logins until ln is closed: no TLS, then
// AuthenticationCleartextPassword. It returns all it was sent.
func askInTheClear(ln net.Listener) string {
	var heard strings.Builder
	for {
		conn, err := ln.Accept()
		if err != nil {
			return heard.String()
		}
		b := make([]byte, 1024)
		n, _ := conn.Read(b)
		if n == 8 { // SSLRequest
			io.WriteString(conn, "N")
			n, _ = conn.Read(b)
		}
		heard.Write(b[:n])
		io.WriteString(conn, "R\x00\x00\x00\x08\x00\x00\x00\x03")
		rest, _ := io.ReadAll(conn)
		heard.Write(rest)
		conn.Close()
	}
}

func TestWithoutPassword(t *testing.T) {
	for list, want := range map[string]string{
		"": "!password", "!none": "!none,!password", "!md5, !password": "!md5, !password",
		"scram-sha-256,password": "scram-sha-256", "password,md5": "md5", "scram-sha-256": "scram-sha-256",
	} {
		if got, err := withoutPassword(list); err != nil || got != want {
			t.Errorf("%q: got %q, %v", list, got, err)
		}
	}
	if _, err := withoutPassword("password"); err == nil {
		t.Error("nothing is left to log in by, and no error")
	}
}
