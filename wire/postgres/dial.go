package postgres

import (
	"context"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
)

// Dial logs in to a database and returns the server side of a session for client.
// TLS, SCRAM and failover are pgconn's work. An error that a person should read is
// a *Login.
func Dial(ctx context.Context, cfg *pgconn.Config, client *Client) (*Server, error) {
	pc, err := pgconn.ConnectConfig(ctx, Guarded(cfg))
	if err != nil {
		return nil, Explain(cfg, err)
	}
	if err := pc.SyncConn(ctx); err != nil {
		return nil, Explain(cfg, fmt.Errorf("settle the connection to %s: %w", cfg.Host, err))
	}
	h, err := pc.Hijack()
	if err != nil {
		return nil, fmt.Errorf("take over the connection to %s: %w", cfg.Host, err)
	}
	h.Frontend = nil // its buffers: this connection is ours now
	return newServer(h.Conn, h.ParameterStatuses, canceller{h}, client), nil
}

func newServer(conn net.Conn, settings map[string]string, cancel canceller, client *Client) *Server {
	s := &Server{
		Settings: settings, conn: conn, in: newReader(conn), client: client,
		ledger: client.ledger, cancel: cancel,
	}
	client.nudge, client.flush = s.nudge, s.Flush
	s.tx.Store('I')
	return s
}
