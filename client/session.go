package client

import (
	"context"
	"net"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/internal/pgstream"
)

// SessionConfig is how a database session over a stream of the tunnel is opened. A
// context that ends cancels its statement. Nothing of the environment that libpq's
// clients obey leads elsewhere.
func (g *Gateway) SessionConfig(connection, database, application string) (*pgconn.Config, error) {
	return pgstream.Config(database, application, func(ctx context.Context) (net.Conn, error) { return g.Stream(ctx, connection, "") })
}
