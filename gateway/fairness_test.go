package gateway_test

import (
	"context"
	"net"
	"runtime"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/client"
)

// By itself the database would go on with a statement whose session was ended.
func TestKilledSessionStopsItsStatement(t *testing.T) {
	th := start(t, "dev", "", nil)
	conn := connect(t, th.as(person("ada")))
	done := background(conn, "select pg_sleep(600)")
	th.sleeping(t, 1)
	if _, err := th.Kill(person("ada"), th.Sessions(person("ada"))[0].ID); err != nil {
		t.Fatal(err)
	}
	wantCode(t, await(t, done), "57P01")
	th.sees(t, 0, "select count(*) from pg_stat_activity where datname = current_database() and query like '%pg_sleep(600)%' and pid <> pg_backend_pid()")
	th.balanced()
}

// sees waits until a count, taken past the gateway, is n.
func (th *through) sees(t *testing.T, n int, sql string) {
	t.Helper()
	conn := connect(t, th.direct)
	eventually(t, sql, func() bool {
		var got int
		if err := conn.QueryRow(t.Context(), sql).Scan(&got); err != nil {
			t.Fatal(err)
		}
		return got == n
	})
}

// heap is what is in use after collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// work is what an honest session must get done whatever the others do.
func work(t *testing.T, dsn string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatalf("an honest client: %v", err)
	}
	defer conn.Close(ctx)
	for want := range 200 {
		var got int
		if err := conn.QueryRow(ctx, "select $1::int", want).Scan(&got); err != nil || got != want {
			t.Fatalf("an honest session: %d for %d, %v", got, want, err)
		}
	}
}

// local joins a local port to streams of one tunnel, as sluice connect does.
func (tu *tunnelled) local(t *testing.T, name string) string {
	t.Helper()
	gw := tu.login(person(name))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- client.Forward(ctx, ln, func(ctx context.Context) (net.Conn, error) { return gw.Stream(ctx, "orders", "") }, nil)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "postgres://me@" + ln.Addr().String() + "/orders?sslmode=disable"
}

// Readers that ask for 300 MB each and stop hold up neither the other streams of
// their own tunnel nor anybody else, and what they do not read stays in the database.
func TestReaderThatStopsHoldsUpNobody(t *testing.T) {
	tu := serve(t, "dev", "")
	dsn := tu.local(t, "ada")
	work(t, dsn) // what is made once is made
	before := heap()
	const readers = 8
	for range readers {
		conn := connect(t, dsn)
		rows, err := conn.Query(t.Context(), "select repeat('x', 1000) from generate_series(1, 300000)")
		if err != nil {
			t.Fatal(err)
		}
		if !rows.Next() {
			t.Fatal(rows.Err())
		}
		t.Cleanup(func() { conn.PgConn().Conn().Close() })
	}
	// Each backend waits to write: it is held back, its answer is in nobody's memory.
	tu.sees(t, readers, "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'ClientWrite'")
	work(t, dsn)
	work(t, tu.local(t, "ben"))
	// The tunnel's window (4 MiB) may lie at the laptop's end, which is this process
	// too, and growing doubles it; the rest is buffers.
	const most = 10 << 20
	if used := heap() - min(before, heap()); used > readers*most {
		t.Errorf("%d KiB for each reader that stopped, the bound is %d", used/readers>>10, most>>10)
	} else {
		t.Logf("%d KiB for each reader that stopped", used/readers>>10)
	}
}

// Connections that stop anywhere in their login hold up nobody: a thousand that say
// nothing at all, and streams that end in the middle of each step.
func TestSilentClientsHoldUpNobody(t *testing.T) {
	tu := serve(t, "dev", "")
	for range 1000 {
		c, err := net.Dial("tcp", tu.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	gw := tu.login(person("eve"))
	for i, said := range []string{"", "\x00", "\x00\x00\x00\x20\x00\x03\x00\x00user\x00", "\x00\x00\x00\x08\x04\xd2\x16\x2f"} {
		for range 25 {
			c, err := gw.Stream(t.Context(), "orders", "")
			if err != nil {
				t.Fatalf("stream %d: %v", i, err)
			}
			t.Cleanup(func() { c.Close() })
			if _, err := c.Write([]byte(said)); err != nil {
				t.Fatal(err)
			}
		}
	}
	work(t, tu.local(t, "eve")) // other streams of the same person
	work(t, tu.local(t, "ada"))
}

// A client that vanishes in the middle of a result lets go of its backend, and so of
// its locks, at once, although its tunnel stays.
func TestReaderThatVanishesLetsGoOfItsBackend(t *testing.T) {
	tu := serve(t, "dev", "")
	conn := connect(t, tu.local(t, "ada"))
	rows, err := conn.Query(t.Context(), "select repeat('x', 1000) from generate_series(1, 300000)")
	if err != nil {
		t.Fatal(err)
	}
	if !rows.Next() {
		t.Fatal(rows.Err())
	}
	if err := conn.PgConn().Conn().Close(); err != nil {
		t.Fatal(err)
	}
	tu.sees(t, 0, "select count(*) from pg_stat_activity where datname = current_database() and query like '%300000%' and pid <> pg_backend_pid()")
	tu.balanced()
}
