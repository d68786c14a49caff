package gateway_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// COPY in PostgreSQL's binary form goes both ways: what came out is taken in again, byte
// for byte, and what is no such data is the database's error.
func TestCopyInBinaryBothWays(t *testing.T) {
	th := start(t, "dev", shop+"create table copied (id int, name text);", nil)
	conn := connect(t, th.as(person("ada")))
	var out, again bytes.Buffer
	if _, err := conn.PgConn().CopyTo(context.Background(), &out, "copy cities to stdout (format binary)"); err != nil {
		t.Fatal(err)
	}
	tag, err := conn.PgConn().CopyFrom(context.Background(), bytes.NewReader(out.Bytes()), "copy copied from stdin (format binary)")
	if err != nil || tag.RowsAffected() != 300 {
		t.Fatalf("%s, %v", tag, err)
	}
	if _, err := conn.PgConn().CopyTo(context.Background(), &again, "copy copied to stdout (format binary)"); err != nil || !bytes.Equal(out.Bytes(), again.Bytes()) {
		t.Errorf("%d bytes came out, then %d, %v", out.Len(), again.Len(), err)
	}
	n, err := conn.CopyFrom(context.Background(), pgx.Identifier{"copied"}, []string{"id", "name"}, pgx.CopyFromRows([][]any{{int32(1001), "Köln"}, {int32(1002), nil}}))
	if err != nil || n != 2 {
		t.Errorf("the driver's own: %d, %v", n, err)
	}
	_, err = conn.PgConn().CopyFrom(context.Background(), strings.NewReader("no such data"), "copy copied from stdin (format binary)")
	wantCode(t, err, "22P04")
	if n := count(t, th, "select count(*) from copied"); n != 302 {
		t.Errorf("%d rows", n)
	}
	th.balanced()
}

// A query of nothing is answered as one, and asks nothing of anybody.
func TestEmptyQueries(t *testing.T) {
	th := start(t, "prod", shop, nil)
	f := raw(t, th.as(person("ada")))
	for _, sql := range []string{"", " ", ";", ";;", "/* only a comment */", "-- only a comment", "\n"} {
		if out := say(t, f, 'Z', query(sql)...); len(out) != 2 || out[0] != "I" || out[1] != "ZI" {
			t.Errorf("query %q: %q", sql, out)
		}
		if strings.Count(sql, ";") < 2 {
			if out := say(t, f, 'Z', append(extended(sql), &pgproto3.Sync{})...); !has(out, "I") || out[len(out)-1] != "ZI" {
				t.Errorf("extended %q: %q", sql, out)
			}
		}
	}
	if out := say(t, f, 'Z', query("; select 1;;")...); !has(out, "D1") {
		t.Errorf("one among nothing: %q", out)
	}
	th.balanced()
}

// A client that would speak 3.2 is answered with 3.0 and goes on in that; one that
// insists says so itself.
func TestClientOfANewerProtocol(t *testing.T) {
	th := start(t, "dev", shop, nil)
	port := th.as(person("ada"))
	for _, version := range []string{"max_protocol_version=3.2", "max_protocol_version=latest"} {
		conn, err := pgx.Connect(t.Context(), port+"&"+version)
		if err != nil {
			t.Fatalf("%s: %v", version, err)
		}
		if out, err := run(conn, "select count(*) from cities"); err != nil || out != "300\n" {
			t.Errorf("%s: %q, %v", version, out, err)
		}
		conn.Close(t.Context())
	}
	if conn, err := pgconn.Connect(t.Context(), port+"&min_protocol_version=3.2&max_protocol_version=3.2"); err == nil {
		conn.Close(t.Context())
		t.Error("3.2 was spoken")
	} else if !strings.Contains(err.Error(), "protocol") {
		t.Errorf("3.2 alone: %v", err)
	}
	th.balanced()
}
