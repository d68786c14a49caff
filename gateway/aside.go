package gateway

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"github.com/sluicehq/sluice/wire/postgres"
)

// aside is the gateway's own connection for what approvers want to know: apart from
// that of the catalogue, which sessions wait for. One question at a time, so that many
// who wait never become many connections. The zero value is ready.
type aside struct {
	turn chan struct{} // holds one token while a question is asked; made by New
	conn *pgx.Conn     // owned by who has the turn
}

// cancelTime is how long the database has to act on a cancel request of ours.
const cancelTime = 2 * time.Second

// ask has do use the connection. The connection is closed if do or ctx ended in a way
// that leaves its state in doubt.
func (a *aside) ask(ctx context.Context, d *database, do func(*pgx.Conn) error) error {
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-a.turn }()
	if a.conn == nil || a.conn.IsClosed() {
		conn, err := openAside(ctx, d)
		if err != nil {
			return err
		}
		a.conn = conn
	}
	err := do(a.conn)
	if a.conn.IsClosed() || a.conn.PgConn().TxStatus() != 'I' || a.conn.PgConn().IsBusy() {
		a.close()
	}
	return err
}

func openAside(ctx context.Context, d *database) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig("")
	if err != nil {
		return nil, err
	}
	cfg.Config = *postgres.Guarded(d.Database)
	cfg.RuntimeParams["application_name"] = "sluice approvals"
	cfg.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: cancelTime}
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, postgres.Explain(d.Database, err)
	}
	return conn, nil
}

// close is for who has the turn.
func (a *aside) close() {
	if a.conn == nil {
		return
	}
	ctx, done := context.WithTimeout(context.Background(), cancelTime)
	defer done()
	_ = a.conn.Close(ctx) // it may be broken; what matters is that it is not used again
	a.conn = nil
}

// end closes the connection when the gateway stops.
func (a *aside) end() {
	a.turn <- struct{}{}
	a.close()
	<-a.turn
}

// beginBounded begins a transaction with these limits, read-only unless writes is set.
func beginBounded(statement, lock time.Duration, writes bool) []string {
	begin := "begin read only"
	if writes {
		begin = "begin read write"
	}
	return []string{
		begin, fmt.Sprintf("set local statement_timeout = %d", statement.Milliseconds()), fmt.Sprintf("set local lock_timeout = %d", lock.Milliseconds()),
		"set local idle_in_transaction_session_timeout = 10000",
	}
}

// bounded runs do in a transaction that is always rolled back, with these limits.
// Read-only unless writes is set.
func bounded(ctx context.Context, conn *pgx.Conn, statement, lock time.Duration, writes bool, do func() error) (err error) {
	defer func() {
		if rerr := undo(ctx, conn); err == nil {
			err = rerr
		}
	}()
	if _, err := conn.Exec(ctx, strings.Join(beginBounded(statement, lock, writes), "; "), pgx.QueryExecModeSimpleProtocol); err != nil {
		return err
	}
	return do()
}

// undo rolls back, or closes the connection, which undoes all as well.
func undo(ctx context.Context, conn *pgx.Conn) error {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
	defer done()
	if conn.IsClosed() {
		return nil
	}
	_, err := conn.Exec(ctx, "rollback", pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		_ = conn.Close(ctx) // which undoes it as well
	}
	return err
}
