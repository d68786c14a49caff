package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
)

// unitVerifier is what PostgreSQL would store for a password (RFC 5803).
func unitVerifier(t *testing.T, password string) string {
	t.Helper()
	salt := []byte("sixteen bytes...")
	salted, err := pbkdf2.Key(sha256.New, password, salt, 4096, 32)
	if err != nil {
		t.Fatal(err)
	}
	mac := func(text string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(mac("Client Key"))
	text := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$4096:%s$%s:%s", text(salt), text(stored[:]), text(mac("Server Key")))
}

// unitLogin has pgconn log in to Accept and Ready, and returns what each said.
func unitLogin(t *testing.T, verifier, dsn string) (settings map[string]string, pid uint32, clientErr, acceptErr error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	served := make(chan error, 2) // pgconn connects again where TLS was refused
	serve := func(conn net.Conn) {
		defer conn.Close()
		c, _, err := Accept(t.Context(), conn, verifier)
		if err == nil {
			err = c.Ready(map[string]string{"server_version": "17.5", "TimeZone": "UTC"}, Key{PID: 77, Secret: 88})
		}
		served <- err
		_, _ = io.Copy(io.Discard, conn) // until the client leaves
	}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	port := ln.Addr().(*net.TCPAddr).Port
	conn, clientErr := pgconn.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%d user=ada %s", port, dsn))
	acceptErr = <-served
	if clientErr == nil && acceptErr != nil {
		acceptErr = <-served // the first connection was the one that asked for TLS
	}
	if clientErr != nil {
		return nil, 0, clientErr, acceptErr
	}
	settings = map[string]string{"server_version": conn.ParameterStatus("server_version"), "TimeZone": conn.ParameterStatus("TimeZone")}
	pid = conn.PID()
	if err := conn.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
	return settings, pid, nil, acceptErr
}

func TestLogin(t *testing.T) {
	for _, dsn := range []string{
		"password=secret sslmode=disable",
		"password=secret sslmode=prefer", // asks for TLS first, and hears no
	} {
		settings, pid, err, acceptErr := unitLogin(t, unitVerifier(t, "secret"), dsn)
		if err != nil || acceptErr != nil {
			t.Fatalf("%s: client %v, gateway %v", dsn, err, acceptErr)
		}
		if diff := cmp.Diff(map[string]string{"server_version": "17.5", "TimeZone": "UTC"}, settings); diff != "" || pid != 77 {
			t.Errorf("%s: pid %d %s", dsn, pid, diff)
		}
	}
}

func TestLoginWrongPassword(t *testing.T) {
	for _, password := range []string{"wrong", "secre", "secret1", "Secret"} {
		_, _, err, acceptErr := unitLogin(t, unitVerifier(t, "secret"), "sslmode=disable password="+password)
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != "28P01" || refused.Hint == "" {
			t.Errorf("%q: the client was told %v", password, err)
		}
		var login *Login
		if !errors.As(acceptErr, &login) || login.Say.Code != "28P01" {
			t.Errorf("%q: the gateway got %v", password, acceptErr)
		}
	}
}

// A verifier that cannot be read lets nobody in: it must not be taken for "none".
func TestLoginMalformedVerifier(t *testing.T) {
	good := unitVerifier(t, "secret")
	for _, verifier := range []string{
		" ", "md5d41d8cd98f00b204e9800998ecf8427e", "SCRAM-SHA-256$", "secret",
		strings.Replace(good, "4096", "0", 1),
		strings.Replace(good, "4096", "-1", 1),
		strings.Replace(good, "4096", "99999999999", 1),
		strings.Replace(good, "4096", "", 1),
		strings.Replace(good, "SHA-256", "SHA-1", 1),
		good[:len(good)-4],
		good[:strings.LastIndex(good, ":")],
		"SCRAM-SHA-256$4096:$" + good[strings.LastIndex(good, "$")+1:],
		"SCRAM-SHA-256$4096:c2FsdA==$:",
	} {
		answer, _, err := unitAccept(t, verifier, unitStartup(0, "user", "ada"))
		if !errors.Is(err, errVerifier) {
			t.Errorf("%q: got %v", verifier, err)
		}
		if len(answer) > 0 {
			t.Errorf("%q: the client was told %q", verifier, answer)
		}
	}
	if _, err := parseVerifier(good); err != nil {
		t.Errorf("a good one: %v", err)
	}
}

func TestAuthenticationAttacks(t *testing.T) {
	initial := func(mechanism, first string) []byte {
		body := mechanism + "\x00" + string(appendHead(nil, 0, len(first))[1:]) + first
		return unitFrame('p', body)
	}
	nonce := "r=abcdefghijklmnopqrstuvwx"
	for _, tt := range []struct {
		name string
		sent []byte
		code string // "": the connection just ends
	}{
		{"second startup message", unitStartup(0, "user", "postgres"), ""},
		{"cancel request", unitPacket(codeCancel, "\x00\x00\x00\x07\x00\x00\x00\x01"), ""},
		{"statement before the password", unitFrame('Q', "select 1\x00"), ""},
		{"Sync before the password", unitFrame('S', ""), ""},
		{"goodbye", unitFrame('X', ""), ""},
		{"oversized password", appendHead(nil, 'p', maxAuth), ""},
		{"negative length", []byte{'p', 0xff, 0xff, 0xff, 0xff}, ""},
		{"length of nothing", []byte{'p', 0, 0, 0, 0}, ""},
		{"plain password", unitFrame('p', "secret\x00"), "28P01"},
		{"nothing", unitFrame('p', ""), "28P01"},
		{"another mechanism", initial("SCRAM-SHA-1", "n,,n=,"+nonce), "28P01"},
		{"channel binding that was not offered", initial("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,"+nonce), "28P01"},
		{"channel binding under the plain name", initial("SCRAM-SHA-256", "p=tls-unique,,n=,"+nonce), "28P01"},
		{"no first message", unitFrame('p', "SCRAM-SHA-256\x00\xff\xff\xff\xff"), "28P01"},
		{"empty first message", initial("SCRAM-SHA-256", ""), "28P01"},
		{"no nonce", initial("SCRAM-SHA-256", "n,,n="), "28P01"},
		{"false length of the first message", unitFrame('p', "SCRAM-SHA-256\x00\x7f\xff\xff\xff"+"n,,n=,"+nonce), "28P01"},
		{"final message first", initial("SCRAM-SHA-256", "c=biws,"+nonce+",p=AAAA"), "28P01"},
		{"statement in the middle", append(initial("SCRAM-SHA-256", "n,,n=,"+nonce), unitFrame('Q', "select 1\x00")...), ""},
		{"no proof", append(initial("SCRAM-SHA-256", "n,,n=,"+nonce), unitFrame('p', "")...), "28P01"},
		{"proof to a nonce of one's own", append(initial("SCRAM-SHA-256", "n,,n=,"+nonce),
			unitFrame('p', "c=biws,"+nonce+",p="+strings.Repeat("A", 43)+"=")...), "28P01"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sent := append(unitStartup(0, "user", "ada"), tt.sent...)
			answer, _, err := unitAccept(t, unitVerifier(t, "secret"), sent)
			if err == nil {
				t.Fatal("the client is in")
			}
			answer = unitAfterAuth(t, answer)
			if tt.code != "" {
				unitRefused(t, answer, err, tt.code)
				return
			}
			unitViolation(t, err)
			unitFatal(t, answer, "08P01")
		})
	}
}

// unitAfterAuth skips requests for authentication; that it succeeded or is over
// must not be among them.
func unitAfterAuth(t *testing.T, b []byte) []byte {
	t.Helper()
	for len(b) > 0 && b[0] == 'R' {
		_, total, err := head(b)
		if err != nil || total > len(b) || total < header+4 {
			t.Fatalf("the client was told %q", b)
		}
		if code := b[header+3]; code != 10 && code != 11 { // AuthenticationSASL, …SASLContinue
			t.Fatalf("authentication message %d went to a client without the password", code)
		}
		b = b[total:]
	}
	return b
}

// A client that has the time and sends a byte now and then holds its place for ten
// seconds and no longer.
func TestAcceptSlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		done := make(chan struct{})
		go func() {
			defer close(done)
			tick := time.NewTicker(3 * time.Second)
			defer tick.Stop()
			for _, b := range unitStartup(0, "user", "ada") {
				<-tick.C
				if _, err := far.Write([]byte{b}); err != nil {
					return
				}
			}
		}()
		began := time.Now()
		_, _, err := Accept(t.Context(), near, "")
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != startupTime {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		far.Close()
		<-done
	})
}

// A client that does not read the question for its password is no reason to wait.
func TestAcceptClientThatDoesNotRead(t *testing.T) {
	verifier := unitVerifier(t, "secret")
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		go func() { _, _ = far.Write(unitStartup(0, "user", "ada")) }()
		_, _, err := Accept(t.Context(), near, verifier)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// After the login the ten seconds no longer count.
func TestAcceptLiftsTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		go func() { _, _ = far.Write(unitStartup(0, "user", "ada")) }()
		c, _, err := Accept(t.Context(), near, "")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			<-time.After(2 * startupTime)
			_, _ = far.Write(unitFrame('S', ""))
		}()
		if _, err := c.Read(); err != nil {
			t.Errorf("a client that thinks for a while: %v", err)
		}
		far.Close()
	})
}

func TestAcceptEndsWithItsContext(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	go func() {
		_, _, err := Accept(ctx, near, "")
		got <- err
	}()
	if _, err := far.Write(unitStartup(0, "user", "ada")[:9]); err != nil { // returns when it was read
		t.Fatal(err)
	}
	cancel()
	if err := <-got; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
