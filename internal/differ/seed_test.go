package differ

import (
	"context"
	"flag"
	"fmt"
	"iter"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/catalog"
	"github.com/sluicehq/sluice/internal/pgtest"
	"github.com/sluicehq/sluice/query"
)

// fuzzFor makes more statements than a test run does.
var fuzzFor = flag.Duration("fuzzfor", 0, "make statements for so long, from a new seed each time")

// fixedSeed is the same every day; the seed of the day finds what it does not.
const fixedSeed = 20151

// repeated reports whether one statement is to be made again: DIFFER=seed/number.
func repeated() bool { return os.Getenv("DIFFER") != "" }

func debugging() bool { return os.Getenv("DIFFER_DEBUG") != "" }

// world is a database to run statements in, and what is known of it.
type world struct {
	t      *testing.T
	conn   *pgconn.PgConn
	schema query.Schema
}

func newWorld(t *testing.T, sql string) *world {
	t.Helper()
	dsn := pgtest.Database(t)
	pgtest.Exec(t, dsn, sql)
	ctx := context.Background()
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(ctx) })
	s, err := catalog.Load(ctx, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, conn: c.PgConn(), schema: s.InPath([]string{"public"})}
	w.run("set statement_timeout = '150ms'; set client_min_messages = 'error'; set lc_messages = 'C'; set search_path = public; set lock_timeout = '2s'")
	return w
}

// run is for what must not fail.
func (w *world) run(sql string) {
	w.t.Helper()
	if _, err := w.conn.Exec(context.Background(), sql).ReadAll(); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// seeds gives a seed and the number of a statement: half of count from the fixed seed and
// half from the day's; one if it is to be repeated; as many as fit if time is given.
func (w *world) seeds(t *testing.T, count uint64) iter.Seq2[uint64, uint64] {
	return func(yield func(uint64, uint64) bool) {
		var seed, n uint64
		if text := os.Getenv("DIFFER"); text != "" {
			if _, err := fmt.Sscanf(text, "%d/%d", &seed, &n); err != nil {
				t.Fatalf("DIFFER must be seed/number: %v", err)
			}
			yield(seed, n)
			return
		}
		if *fuzzFor > 0 {
			seed = uint64(time.Now().UnixNano())
			for start := time.Now(); time.Since(start) < *fuzzFor; n++ {
				if !yield(seed, n) {
					return
				}
			}
			return
		}
		for n = range count / 2 {
			if !yield(fixedSeed, n) || !yield(uint64(time.Now().Unix()/86400), n) {
				return
			}
		}
	}
}
