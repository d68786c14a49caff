// Package pgstream opens sessions of PostgreSQL's protocol over streams that are there
// already, such as those of a tunnel, where nothing is left to be encrypted or proven.
package pgstream

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
)

// cancelTime is how long a cancelled statement has to say how it ended.
const cancelTime = 5 * time.Second

// Config is how such a session is opened. A context that ends cancels its statement, over
// a stream of its own. Nothing of the environment that libpq's clients obey leads
// elsewhere.
func Config(database, application string, stream func(context.Context) (net.Conn, error)) (*pgconn.Config, error) {
	cfg, err := pgconn.ParseConfig("host=127.0.0.1 port=5432 user=sluice password=none dbname=none sslmode=disable")
	if err != nil {
		return nil, fmt.Errorf("the settings of the session cannot be made, look at the PG… variables in your environment: %w", err)
	}
	cfg.Database, cfg.Password, cfg.Fallbacks, cfg.ValidateConnect = database, "", nil, nil
	cfg.RuntimeParams = map[string]string{"application_name": application}
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return stream(ctx) }
	cfg.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: cancelTime}
	}
	return cfg, nil
}
