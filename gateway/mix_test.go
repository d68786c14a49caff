package gateway_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/gateway"
)

// Whatever is run, and however it ends, each decision has one ending and the
// record verifies.
func TestEveryDecisionHasOneEndingWhateverRuns(t *testing.T) {
	th := start(t, "dev", shop, nil, func(c *gateway.Config) { c.Hold, c.HoldTransaction = 20*time.Millisecond, 20*time.Millisecond })
	const seed = 20260504
	random := rand.New(rand.NewPCG(seed, seed))
	statements := []string{
		"select 1", "select email from people where id = 1", "select 1/0", "select nothing from nowhere", "selec",
		"delete from cities", "drop table cities", "select 1; select 2; select 3", "select 1; select 1/0; select 3",
		"select 1; drop table cities; select 3", "begin", "commit", "rollback", "begin; select 1; commit", ";;",
		"insert into cities values (1001, 'x') on conflict do nothing", "prepare p as select 1", "execute p", "deallocate p", "",
	}
	modes := []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol}
	ctx := context.Background()
	for range 3 {
		conn := connect(t, th.as(person("ada")))
		for range 50 {
			sql := statements[random.IntN(len(statements))]
			switch random.IntN(4) {
			case 0:
				b := &pgx.Batch{}
				for range 1 + random.IntN(5) {
					b.Queue(statements[random.IntN(len(statements)-1)]) // pgx takes no empty one
				}
				_ = conn.SendBatch(ctx, b).Close() // that some fail is the point
			case 1:
				_, _ = conn.Exec(ctx, statements[random.IntN(len(statements)-1)], modes[random.IntN(len(modes))])
			default:
				_, _ = run(conn, sql)
			}
			if conn.IsClosed() {
				t.Fatalf("seed %d: %q ended the session", seed, sql)
			}
		}
		_, _ = run(conn, "rollback")
		done := background(conn, "select pg_sleep(30)")
		th.sleeping(t, 1)
		if err := conn.PgConn().CancelRequest(ctx); err != nil {
			t.Fatal(err)
		}
		wantCode(t, await(t, done), "57014")
		if err := conn.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the sessions ended", func() bool { return len(th.Sessions(person("ada"))) == 0 })
	th.balanced()
	seen := map[string]bool{}
	for _, ev := range th.events(audit.Finished) {
		seen[ev.Outcome] = true
	}
	for _, outcome := range []string{"ok", "error", "refused", "skipped", "cancelled"} {
		if !seen[outcome] {
			t.Errorf("the mix never ended %q", outcome)
		}
	}
	report, err := audit.Verify(ctx, th.record, th.log.VerifierKey())
	if err != nil || !report.OK() || report.Entries == 0 {
		t.Errorf("%v, %+v", err, report)
	}
}
