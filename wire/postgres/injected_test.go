package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Attack (CVE-2021-23222 and its kin): somebody on the way to the database adds plain
// bytes to its answer that TLS begins. They are taken for a part of the handshake, which
// fails, and never for the database's words.
func TestPlaintextInjectedBeforeTLS(t *testing.T) {
	const ready = "R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I" // AuthenticationOk, ReadyForQuery
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			heard <- ""
			return
		}
		defer conn.Close()
		if _, err := io.ReadFull(conn, make([]byte, 8)); err != nil { // SSLRequest
			heard <- ""
			return
		}
		io.WriteString(conn, "S"+ready)
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		b, _ := io.ReadAll(io.LimitReader(conn, 1<<16))
		heard <- string(b)
	}()
	cfg, err := pgconn.ParseConfig("postgres://sluice:hunter2hunter2@" + ln.Addr().String() + "/shop?sslmode=require")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err = Dial(ctx, cfg, newClient(nil, nil))
	ln.Close()
	var login *Login
	if !errors.As(err, &login) {
		t.Errorf("got %v", err)
	}
	if said := <-heard; strings.Contains(said, "hunter2") || strings.Contains(said, "shop") {
		t.Errorf("the database was told %q outside of TLS", said)
	}
}

// Attack: bytes behind a client's request for TLS, sent before it was answered, are taken
// for what came inside of TLS. There is no TLS on a local port, and a client that begins
// one all the same is ended; what is plain is read as plain.
func TestPlaintextBehindTheRequestForTLS(t *testing.T) {
	sent := append(unitPacket(codeSSL, ""), unitStartup(0, "user", "ada", "database", "orders")...)
	answer, st, err := unitAccept(t, "", sent)
	if err != nil || len(answer) == 0 || answer[0] != 'N' || st.User != "ada" {
		t.Errorf("plain behind the request: %q, %+v, %v", answer, st, err)
	}
	twice := append(append(unitPacket(codeSSL, ""), unitPacket(codeSSL, "")...), unitStartup(0, "user", "ada")...)
	if _, _, err := unitAccept(t, "", twice); err == nil {
		t.Error("a second request for TLS was answered")
	}
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		defer far.Close()
		_, _, _ = Accept(context.Background(), far, "") // what the client makes of it is what counts
	}()
	if err := tls.Client(near, &tls.Config{ServerName: "db"}).Handshake(); err == nil { // direct, as sslnegotiation=direct has it
		t.Error("there is TLS where there is none")
	}
}
