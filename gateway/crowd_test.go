package gateway_test

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/internal/pgcluster"
	"github.com/sluicehq/sluice/internal/pgtest"
	"github.com/sluicehq/sluice/policy"
)

// crowd is how many sessions there are at once; make soak asks for 2,000.
var crowd = flag.Int("crowd", 200, "sessions at once in TestCrowd")

const (
	// mostPerSession bounds heap and stacks of an open session that has run statements
	// and waits. Six of its readers and writers keep 4 KiB each (the gateway's both
	// sides, both directions of the laptop's end, the driver of the test); stacks of
	// eight goroutines, which ran deep once, are most of the rest. All ends are in this
	// process.
	mostPerSession = 256 << 10
	// goroutinesPerSession are up, down and the stream's handler here, a pair at the
	// laptop's end, and one in reserve.
	goroutinesPerSession = 6
)

// roomy is a database with room for so many sessions.
func roomy(t *testing.T, sessions int, setup string) (dsn string) {
	t.Helper()
	cluster, err := pgcluster.Start(t.Context(), pgcluster.Config{Settings: map[string]string{"max_connections": strconv.Itoa(sessions + 50)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	dsn = cluster.DSN("postgres")
	pgtest.Exec(t, dsn, setup)
	return dsn
}

// crowded is a gateway in front of one.
func crowded(t *testing.T, sessions int, env, setup string, rules *policy.Rules) *tunnelled {
	t.Helper()
	dsn := roomy(t, sessions, setup)
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, func(change func(*gateway.Config)) *through {
		return startOn(t, dsn, gateway.Connection{Name: "orders", Env: env, Database: cfg}, rules, change)
	})
}

// Many sessions at once, every second one in a transaction with a statement behind
// it, take bounded memory and goroutines each, all answer, hold up nobody else, and
// leave nothing.
func TestCrowd(t *testing.T) {
	tu := crowded(t, *crowd, "dev", "create table counted (i int)", nil)
	people := []string{"ada", "ben", "cy", "dot"}
	dsns := make([]string, len(people))
	for i, name := range people {
		dsns[i] = tu.local(t, name)
		work(t, dsns[i])
	}
	eventually(t, "the first sessions ended", func() bool { return len(tu.Sessions(person("boss", "admin"))) == 0 })
	before, tasks := taken(), runtime.NumGoroutine()
	conns := gather(t, dsns)
	now, ran := taken(), runtime.NumGoroutine()
	if n := len(tu.Sessions(person("boss", "admin"))); n != *crowd {
		t.Errorf("%d sessions, want %d", n, *crowd)
	}
	each := int(now-min(before, now)) / *crowd
	if each > mostPerSession {
		t.Errorf("%d KiB a session, the bound is %d", each>>10, mostPerSession>>10)
	}
	if most := tasks + *crowd*goroutinesPerSession; ran > most {
		t.Errorf("%d goroutines, the bound is %d", ran, most)
	}
	t.Logf("%d sessions, half in a transaction: %d KiB of heap and stacks and %.1f goroutines each, in driver, client, tunnel and gateway",
		*crowd, each>>10, float64(ran-tasks)/float64(*crowd))
	work(t, dsns[0])
	tu.sees(t, *crowd/2, "select count(*) from pg_stat_activity where state = 'idle in transaction'")
	inParallel(t, conns, func(ctx context.Context, i int, conn *pgx.Conn) error {
		if i%2 == 0 {
			if _, err := conn.Exec(ctx, "commit"); err != nil {
				return err
			}
		}
		return conn.Close(ctx)
	})
	clear(conns)
	eventually(t, "every session ended", func() bool { return len(tu.Sessions(person("boss", "admin"))) == 0 })
	eventually(t, "every goroutine ended", func() bool { return runtime.NumGoroutine() <= tasks })
	tu.sees(t, *crowd/2, "select count(*) from counted")
	// What the database's watcher, caches and pools keep.
	const left = 16 << 20
	if after := taken(); after > before+left {
		t.Errorf("%d KiB are left", (after-before)>>10)
	}
}

// gather opens the crowd and has each session work.
func gather(t *testing.T, dsns []string) []*pgx.Conn {
	t.Helper()
	conns := make([]*pgx.Conn, *crowd)
	inParallel(t, conns, func(ctx context.Context, i int, _ *pgx.Conn) error {
		conn, err := pgx.Connect(ctx, dsns[i%len(dsns)])
		if err != nil {
			return err
		}
		conns[i] = conn
		if i%2 == 0 {
			if _, err := conn.Exec(ctx, "begin"); err != nil {
				return err
			}
			if _, err := conn.Exec(ctx, "insert into counted values ($1)", i); err != nil {
				return err
			}
		}
		var got int
		if err := conn.QueryRow(ctx, "select $1::int", i).Scan(&got); err != nil {
			return err
		}
		if got != i {
			return fmt.Errorf("%d for %d", got, i)
		}
		return nil
	})
	return conns
}

// inParallel does something with each session, sixteen at a time.
func inParallel(t *testing.T, conns []*pgx.Conn, do func(ctx context.Context, i int, conn *pgx.Conn) error) {
	t.Helper()
	next := make(chan int)
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for i := range next {
				ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
				if err := do(ctx, i, conns[i]); err != nil {
					t.Errorf("session %d: %v", i, err)
				}
				cancel()
			}
		})
	}
	for i := range conns {
		next <- i
	}
	close(next)
	group.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// taken is heap and stacks in use after collection, twice: the first shrinks stacks.
func taken() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
