package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
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

	"github.com/sluicehq/sluice/internal/pgcluster"
	"github.com/sluicehq/sluice/internal/pgtest"
)

const loginPassword = "hunter2hunter2"

// loginTo tries to open a connection as the gateway does.
func loginTo(t *testing.T, host, user, database string, options url.Values) error {
	t.Helper()
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, loginPassword), Host: host, Path: "/" + database, RawQuery: options.Encode()}
	cfg, err := pgconn.ParseConfig(u.String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := Dial(ctx, cfg, newClient(nil, nil))
	if err != nil {
		return err
	}
	return s.Close()
}

// loginFails checks what a person is told of a login that failed: one sentence and
// a hint, with nothing of the password; and that the log gets the cause.
func loginFails(t *testing.T, err error, code, want string) {
	t.Helper()
	var login *Login
	if !errors.As(err, &login) {
		t.Fatalf("got %v, want a refused login", err)
	}
	say := login.Say
	if say.Code != code || !strings.Contains(say.Message, want) || say.Hint == "" {
		t.Errorf("told %+v, want %s with %q", say, code, want)
	}
	if strings.ToLower(say.Message[:1]) != say.Message[:1] || strings.ContainsAny(say.Message, "\n") || strings.HasSuffix(say.Message, ".") {
		t.Errorf("%q is not one sentence in our form", say.Message)
	}
	if text := say.Message + say.Hint; strings.Contains(text, "127.0.0.1") || strings.Contains(text, loginPassword) {
		t.Errorf("it tells %q", text)
	}
	if login.Cause == nil || strings.Contains(login.Cause.Error(), loginPassword) {
		t.Errorf("the log is given %v", login.Cause)
	}
}

// loginCluster is a server with a user for each way to prove who one is.
func loginCluster(t *testing.T, known *pgtest.Authority) *pgcluster.Cluster {
	t.Helper()
	cert, key := known.Issue(t, nil)
	c, err := pgcluster.Start(t.Context(), pgcluster.Config{
		Cert: cert, Key: key, CA: known.PEM, Settings: map[string]string{"max_connections": "20"},
		HBA: []string{
			"host all by_md5 127.0.0.1/32 md5", "host all by_password 127.0.0.1/32 password", "host all by_trust 127.0.0.1/32 trust",
			"hostssl all by_cert 127.0.0.1/32 cert", "host all by_cert 127.0.0.1/32 reject",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	sql := "set password_encryption = 'scram-sha-256'; create role by_scram login password 'PW'; create role by_password login password 'PW'; create role by_trust login; create role by_cert login; set password_encryption = 'md5'; create role by_md5 login password 'PW'"
	pgtest.Exec(t, c.DSN("postgres"), strings.ReplaceAll(sql, "PW", loginPassword))
	return c
}

func loginFile(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Every way in which PostgreSQL asks who the gateway is, with TLS and without.
func TestLoginToDatabaseByEveryMethod(t *testing.T) {
	known := pgtest.NewAuthority(t)
	c := loginCluster(t, known)
	root := loginFile(t, "root.pem", known.PEM)
	cert, key := known.Issue(t, func(leaf *x509.Certificate) { leaf.Subject.CommonName = "by_cert"; leaf.IPAddresses = nil })
	host := net.JoinHostPort(c.Host, fmt.Sprint(c.Port))
	plain := url.Values{"sslmode": {"disable"}}
	secure := func(more ...string) url.Values {
		v := url.Values{"sslmode": {"verify-full"}, "sslrootcert": {root}}
		for i := 0; i+1 < len(more); i += 2 {
			v.Set(more[i], more[i+1])
		}
		return v
	}
	proven := secure("sslcert", loginFile(t, "client.pem", cert), "sslkey", loginFile(t, "client.key", key))
	for _, tt := range []struct {
		name, user string
		options    url.Values
		code, want string // of the refusal; "" is let in
	}{
		{"scram", "by_scram", plain, "", ""},
		{"scram over tls", "by_scram", secure(), "", ""},
		{"scram bound to the channel", "by_scram", secure("channel_binding", "require"), "", ""},
		{"scram not bound to the channel", "by_scram", secure("channel_binding", "disable"), "", ""},
		{"md5", "by_md5", plain, "", ""},
		{"md5 over tls", "by_md5", secure(), "", ""},
		{"password over tls", "by_password", secure(), "", ""},
		{"password in the clear", "by_password", plain, "08001", "without encryption"},
		{"trust", "by_trust", plain, "", ""},
		{"trust over tls", "by_trust", secure(), "", ""},
		{"certificate", "by_cert", proven, "", ""},
		{"no certificate", "by_cert", secure(), "28000", "refused the gateway's own login"},
		{"certificate without tls", "by_cert", plain, "28000", "refused the gateway's own login"},
		{"unknown user", "nobody", secure(), "28P01", "refused the gateway's own login"},
		{"verify-ca", "by_scram", secure("sslmode", "verify-ca"), "", ""},
		{"tls if there is any", "by_scram", url.Values{"sslmode": {"prefer"}}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := loginTo(t, host, tt.user, "postgres", tt.options)
			if tt.code != "" {
				loginFails(t, err, tt.code, tt.want)
			} else if err != nil {
				t.Error(err, errors.Unwrap(err))
			}
		})
	}
	stranger := loginFile(t, "stranger.pem", pgtest.NewAuthority(t).PEM)
	for _, tt := range []struct{ name, host, database, mode, root, code, want string }{
		{"another host name", "localhost", "postgres", "verify-full", root, "08001", "of another host name"},
		{"another host name is not looked at", "localhost", "postgres", "verify-ca", root, "", ""},
		{"another authority", c.Host, "postgres", "verify-full", stranger, "08001", "of another authority"},
		{"another authority, name not looked at", c.Host, "postgres", "verify-ca", stranger, "08001", "of another authority"},
		{"no such database", c.Host, "nothing", "verify-full", root, "3D000", `"nothing" behind this connection does not exist`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := loginTo(t, net.JoinHostPort(tt.host, fmt.Sprint(c.Port)), "by_scram", tt.database, url.Values{"sslmode": {tt.mode}, "sslrootcert": {tt.root}})
			if tt.code != "" {
				loginFails(t, err, tt.code, tt.want)
			} else if err != nil {
				t.Error(err, errors.Unwrap(err))
			}
		})
	}
	t.Run("encrypted", func(t *testing.T) {
		conn, err := pgx.Connect(t.Context(), "postgres://by_scram:"+loginPassword+"@"+host+"/postgres?"+secure().Encode())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		var on bool
		if err := conn.QueryRow(t.Context(), "select ssl from pg_stat_ssl where pid = pg_backend_pid()").Scan(&on); err != nil || !on {
			t.Errorf("ssl %v, %v", on, err)
		}
	})
}

// loginShown serves TLS handshakes with a certificate, as a database would begin.
func loginShown(t *testing.T, known *pgtest.Authority, change func(*x509.Certificate)) (host string) {
	t.Helper()
	cert, key := known.Issue(t, change)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if _, err := io.ReadFull(conn, make([]byte, 8)); err == nil {
				_, _ = conn.Write([]byte{'S'})                                                       // the client may be gone
				_ = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{pair}}).Handshake() // fails: that is the test
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-ended
	})
	return ln.Addr().String()
}

// What is wrong before the database is asked anything is told apart.
func TestLoginToDatabaseThatCannotBegin(t *testing.T) {
	known := pgtest.NewAuthority(t)
	root := loginFile(t, "root.pem", known.PEM)
	full := url.Values{"sslmode": {"verify-full"}, "sslrootcert": {root}}
	expired := loginShown(t, known, func(leaf *x509.Certificate) { leaf.NotAfter = leaf.NotBefore.Add(time.Minute) })
	early := loginShown(t, known, func(leaf *x509.Certificate) { leaf.NotBefore = leaf.NotAfter.Add(-time.Minute) })
	client := loginShown(t, known, func(leaf *x509.Certificate) { leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	without := pgtest.Cluster(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	go func() { // until it is closed
		for {
			conn, err := silent.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(conn, make([]byte, 8)) // what was asked does not matter
			conn.Close()
		}
	}()
	for _, tt := range []struct{ name, host, want string }{
		{"expired certificate", expired, "has expired"},
		{"certificate of tomorrow", early, "not valid yet"},
		{"certificate of a client", client, "could not be verified"},
		{"server without tls", net.JoinHostPort(without.Host, fmt.Sprint(without.Port)), "does not speak TLS"},
		{"unknown host", "no-such-host.invalid:5432", "is not known"},
		{"no database", silent.Addr().String(), "closed the connection before the login was done"},
		{"nobody listens", closed.Addr().String(), "cannot be reached"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			loginFails(t, loginTo(t, tt.host, "postgres", "postgres", full), "08001", tt.want)
		})
	}
	t.Run("wrong password", func(t *testing.T) {
		err := loginTo(t, net.JoinHostPort(without.Host, fmt.Sprint(without.Port)), "postgres", "postgres", url.Values{"sslmode": {"disable"}})
		loginFails(t, err, "28P01", "refused the gateway's own login")
	})
}
