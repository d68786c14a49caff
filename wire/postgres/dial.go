package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"

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
		return nil, fmt.Errorf("settle the connection to %s: %w", cfg.Host, err)
	}
	h, err := pc.Hijack()
	if err != nil {
		return nil, fmt.Errorf("take over the connection to %s: %w", cfg.Host, err)
	}
	// A PgConn of its own for cancel requests, which go by a connection of their own.
	again, err := pgconn.Construct(h)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare cancelling at %s: %w", cfg.Host, err), h.Conn.Close())
	}
	return newServer(h.Conn, h.ParameterStatuses, canceller{again}, client), nil
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

// Explain turns a failed login into a sentence with a hint, without the password
// or the address that pgconn's own text has.
func Explain(cfg *pgconn.Config, err error) error {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		switch server.Code {
		case "28P01", "28000":
			return refuseLogin(server.Code, "ask whoever runs the gateway to check the user and password of this connection",
				"the database refused the gateway's own login")
		case "3D000":
			return refuseLogin(server.Code, "ask whoever runs the gateway to check the database name of this connection",
				"the database %q behind this connection does not exist", cfg.Database)
		case "53300":
			return refuseLogin(server.Code, "try again when other sessions have ended", "the database has no free connections")
		}
		return refuseLogin(server.Code, "this is the database's own answer to the gateway's login", "%s", server.Message)
	}
	if asksCleartext(err) {
		return refuseLogin("08001", "use TLS to the database (sslmode=verify-full), or let it ask by SCRAM-SHA-256", "%s", errCleartext.Error())
	}
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return refuseLogin("08001", "check sslrootcert and the host name of this connection in the gateway's configuration",
			"the database's certificate could not be verified")
	}
	var network *net.OpError
	if errors.As(err, &network) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return refuseLogin("08001", "check that it is running and that the gateway may reach it", "the database behind this connection cannot be reached")
	}
	return refuseLogin("08001", "the gateway's log has the details", "the connection to the database failed")
}
