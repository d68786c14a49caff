package gateway_test

import (
	"errors"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sluicehq/sluice/internal/pgtest"
)

// ending reads what a client is told until the connection ends.
func ending(t *testing.T, f *pgproto3.Frontend) *pgproto3.ErrorResponse {
	t.Helper()
	var last *pgproto3.ErrorResponse
	for {
		m, err := f.Receive()
		if err != nil {
			if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
				t.Errorf("it ended with %v", err)
			}
			return last
		}
		if e, ok := m.(*pgproto3.ErrorResponse); ok {
			e := *e
			last = &e
		}
	}
}

// What is no message of a session is told to the client, behind a large one too.
func TestProtocolViolationIsTold(t *testing.T) {
	th := start(t, "dev", shop, nil)
	f := raw(t, th.as(person("ada")))
	f.Send(&pgproto3.Bind{Parameters: make([][]byte, 65535)})
	f.Send(&pgproto3.SASLResponse{Data: []byte("no message of a session")})
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	if e := ending(t, f); e == nil || e.Severity != "FATAL" || e.Code != "08P01" || e.Hint == "" {
		t.Errorf("told %+v", e)
	}
	th.balanced()
}

// A database that ends the session is heard in its own words.
func TestDatabaseThatEndsTheSessionIsHeard(t *testing.T) {
	th := start(t, "dev", shop, nil)
	f := raw(t, th.as(person("ada")))
	pgtest.Exec(t, th.direct, "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and application_name <> 'sluice catalogue'")
	if e := ending(t, f); e == nil || e.Severity != "FATAL" || e.Code != "57P01" {
		t.Errorf("told %+v", e)
	}
	th.balanced()
}
