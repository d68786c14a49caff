package gateway_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sluicehq/sluice/gateway"
)

// What one session notifies reaches another, of another person, at the times at
// which PostgreSQL gives it: after the commit of the one, and outside a transaction
// of the other. It is scanned on its way.
func TestNotifyBetweenSessions(t *testing.T) {
	th := start(t, "dev", shop, nil)
	hears, says := connect(t, th.as(person("ada"))), connect(t, th.as(person("bob")))
	for _, sql := range []string{"listen news", "begin"} {
		if _, err := run(hears, sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, sql := range []string{"begin", "notify news, 'ask ada7@example.com'", "notify news, 'taken back'", "rollback",
		"notify news, 'ask ada8@example.com'", "notify news, 'order 17 is ready'"} {
		if _, err := run(says, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	if _, err := run(hears, "select 1"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := run(hears, "commit"); err != nil {
		t.Fatal(err)
	}
	first, err := hears.WaitForNotification(ctx)
	if err != nil || strings.Contains(first.Payload, "ada8@") || !strings.HasPrefix(first.Payload, "ask ") {
		t.Errorf("first %+v, %v", first, err)
	}
	second, err := hears.WaitForNotification(ctx)
	if err != nil || second.Payload != "order 17 is ready" || second.PID != says.PgConn().PID() {
		t.Errorf("second %+v, %v", second, err)
	}
}

// A portal that is fetched in portions is masked in each, in text and in binary,
// with other statements in between.
func TestPortalInPortionsIsMaskedInEach(t *testing.T) {
	th := start(t, "dev", shop, nil)
	f := raw(t, th.as(person("ada")))
	for _, format := range []int16{0, 1} {
		out := say(t, f, 'Z', &pgproto3.Query{String: "begin"})
		out = append(out, say(t, f, 'Z',
			&pgproto3.Parse{Query: "select name || '/' || id::text, email from people where id < 8 order by id"},
			&pgproto3.Bind{DestinationPortal: "p", ResultFormatCodes: []int16{0, format}}, &pgproto3.Execute{Portal: "p", MaxRows: 2}, &pgproto3.Sync{})...)
		for range 4 {
			out = append(out, say(t, f, 'Z', &pgproto3.Parse{Query: "select 1"}, &pgproto3.Bind{}, &pgproto3.Execute{},
				&pgproto3.Execute{Portal: "p", MaxRows: 2}, &pgproto3.Sync{})...)
		}
		out = append(out, say(t, f, 'Z', &pgproto3.Query{String: "rollback"})...)
		rows, ones := 0, 0
		for _, m := range out {
			switch {
			case m == "D1":
				ones++
			case m[0] == 'D':
				rows++
			case m[0] == 'E':
				t.Errorf("format %d: %s", format, m)
			}
		}
		if text := strings.Join(out, " "); rows != 7 || ones != 4 || strings.Contains(text, "@example.com") {
			t.Errorf("format %d: %d rows, %d others: %q", format, rows, ones, out)
		}
	}
	th.balanced()
}

// inUse is how much of the heap is in use after a collection, in bytes.
func inUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A row set passes through and is never gathered: neither many masked rows, nor one
// field larger than all the memory that the gateway may use.
func TestRowSetsAreNotGathered(t *testing.T) {
	const allowed = 24 << 20
	th := start(t, "dev", shop+"create table signups (id int, email text); insert into signups select g, 'user' || g || '@example.com' from generate_series(1, 400000) g;",
		nil, func(c *gateway.Config) { c.Memory = 16 << 20 })
	t.Run("many masked rows", func(t *testing.T) {
		conn := connect(t, th.as(person("ada")))
		before, most, n := inUse(), uint64(0), 0
		rows, err := conn.Query(context.Background(), "select id, email from signups", pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Fatal(err)
		}
		var id int
		var email string
		if _, err := pgx.ForEachRow(rows, []any{&id, &email}, func() error {
			if strings.HasPrefix(email, "user") {
				t.Fatalf("row %d is shown: %s", n, email)
			}
			if n++; n%100_000 == 0 {
				most = max(most, inUse())
			}
			return nil
		}); err != nil || n != 400_000 {
			t.Fatalf("%d rows, %v", n, err)
		}
		if most > before+allowed {
			t.Errorf("the heap grew from %d to %d", before, most)
		}
	})
	t.Run("one large clean field", func(t *testing.T) {
		const size = 100 << 20
		conn, ended := th.dial(t, "ada")
		defer within(t, ended, "the session")
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
			t.Fatal(err)
		}
		login(t, conn)
		before := inUse()
		b, err := (&pgproto3.Query{String: "select repeat('x', 104857600)"}).Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
		most, seen := uint64(0), 0
		for kind := byte(0); kind != 'Z'; {
			head := make([]byte, 5)
			if _, err := io.ReadFull(conn, head); err != nil {
				t.Fatal(err)
			}
			kind = head[0]
			rest := int64(binary.BigEndian.Uint32(head[1:])) - 4
			if kind == 'D' {
				seen = int(rest)
				half, err := io.CopyN(io.Discard, conn, rest/2)
				if err != nil {
					t.Fatal(err)
				}
				most, rest = inUse(), rest-half
			}
			if _, err := io.CopyN(io.Discard, conn, rest); err != nil {
				t.Fatal(err)
			}
		}
		if seen != size+6 {
			t.Errorf("a row of %d bytes", seen)
		}
		if most > before+allowed {
			t.Errorf("the heap grew from %d to %d", before, most)
		}
	})
}

// login begins a session and reads until it may ask.
func login(t *testing.T, conn net.Conn) {
	t.Helper()
	b, err := (&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersionNumber, Parameters: map[string]string{"user": "me", "database": "orders"}}).Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
	for {
		msg, err := message(conn, 1)
		if err != nil {
			t.Fatal(err)
		}
		if msg[0] == 'Z' {
			return
		}
	}
}
