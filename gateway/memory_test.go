package gateway_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/gateway"
)

// Twelve callers each begin to send 60 MiB of parameters and stop half way: only
// what there is memory for is taken in, the others wait outside, and whoever sends
// small statements notices nothing.
func TestLargeParametersCannotTakeTheGatewaysMemory(t *testing.T) {
	th := start(t, "dev", "", nil, func(c *gateway.Config) { c.Memory = 8 << 20 }) // which is one message at a time
	honest := th.as(person("ada"))
	work(t, honest)
	piece := make([]byte, 32<<20)
	before := heap()
	var sent atomic.Int64
	const callers = 12
	ended := make(chan struct{}, callers)
	for i := range callers {
		dsn, err := url.Parse(th.as(person(fmt.Sprintf("eve%d", i))))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", dsn.Host)
		if err != nil {
			t.Fatal(err)
		}
		hello(t, conn)
		go func() {
			defer func() { ended <- struct{}{} }()
			if _, err := conn.Write(binary.BigEndian.AppendUint32([]byte{'B'}, 60<<20)); err != nil {
				return
			}
			if _, err := conn.Write(piece); err == nil {
				sent.Add(1)
			}
		}()
		t.Cleanup(func() {
			conn.Close()
			<-ended
		})
	}
	eventually(t, "one is let in", func() bool { return sent.Load() == 1 })
	work(t, honest)
	work(t, honest)
	if n := sent.Load(); n != 1 {
		t.Errorf("%d have sent 32 MiB, want one at a time", n)
	}
	// One message, its buffer twice while it grows.
	const most = 128 << 20
	if used := heap() - min(before, heap()); used > most {
		t.Errorf("%d MiB taken, the bound is %d", used>>20, most>>20)
	} else {
		t.Logf("%d MiB taken", used>>20)
	}
}

// hello logs a client in that speaks for itself.
func hello(t *testing.T, conn net.Conn) {
	t.Helper()
	body := "\x00\x03\x00\x00user\x00me\x00database\x00orders\x00\x00"
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(4+len(body))), body...)); err != nil {
		t.Fatal(err)
	}
	var answer []byte
	b := make([]byte, 4096)
	for !strings.HasSuffix(string(answer), "Z\x00\x00\x00\x05I") {
		n, err := conn.Read(b)
		if err != nil {
			t.Fatalf("log in: %v after %q", err, answer)
		}
		answer = append(answer, b[:n]...)
	}
}

// A session that names ever more large statements is refused, with an error it
// survives; others are not, and what it gives up it can use again.
func TestNameHoarderIsRefusedAndOthersAreNot(t *testing.T) {
	th := start(t, "dev", "", nil, func(c *gateway.Config) { c.Memory = 32 << 20 })
	eve := connect(t, th.as(person("eve")))
	text := "select 1 as " + strings.Repeat("n", 60) + " /* " + strings.Repeat("x", 1<<20) + " */"
	named, err := 0, error(nil)
	for ; err == nil && named < 100; named++ {
		_, err = eve.PgConn().Prepare(t.Context(), fmt.Sprintf("p%d", named), text, nil)
	}
	if pg := wantCode(t, err, "53200"); pg.Hint == "" || named > 6 {
		t.Errorf("%d MiB named, then %v", named, pg)
	}
	work(t, th.as(person("ada")))
	if err := eve.PgConn().Deallocate(t.Context(), "p0"); err != nil {
		t.Fatal(err)
	}
	if _, err := eve.PgConn().Prepare(t.Context(), "again", text, nil); err != nil {
		t.Errorf("after one was closed: %v", err)
	}
}

// Large values pass in both directions though there is memory for one at a time, and
// leave nothing taken.
func TestLargeValuesTakeTurns(t *testing.T) {
	th := start(t, "dev", "create table docs (id int, owner_email text, doc text)", nil, func(c *gateway.Config) { c.Memory = 2 << 20 })
	const sessions, size = 6, 3 << 20
	dsns := make([]string, sessions)
	for i := range dsns {
		dsns[i] = th.as(person(fmt.Sprintf("p%d", i%3)))
	}
	errs := make(chan error, sessions)
	for i, dsn := range dsns {
		go func() { errs <- largeValue(t, dsn, i, size) }()
	}
	for range sessions {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	eventually(t, "all sessions have ended", func() bool { return len(th.Sessions(person("a", "admin"))) == 0 })
	eventually(t, "all is given back", func() bool { return th.MemoryUsed() == 0 })
}

func largeValue(t *testing.T, dsn string, i, size int) error {
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		return err
	}
	defer conn.Close(t.Context())
	for range 3 {
		want := strings.Repeat(string(rune('a'+i)), size)
		if _, err := conn.Exec(t.Context(), "insert into docs values ($1, $2, $3)", i, "someone@example.com", want); err != nil {
			return fmt.Errorf("session %d, in: %w", i, err)
		}
		var email, doc string
		if err := conn.QueryRow(t.Context(), "select owner_email, doc from docs where id = $1", i).Scan(&email, &doc); err != nil {
			return fmt.Errorf("session %d, out: %w", i, err)
		}
		if doc != want || email == "someone@example.com" {
			return errors.New("the answer is another: " + email)
		}
	}
	return nil
}
