package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// errCleartext is why a login fails when the database asks for the password itself
// on a connection that others can read.
var errCleartext = errors.New("the database asks for the password without encryption")

// password is the method by which a server asks for the password as it is
// (AuthenticationCleartextPassword).
const password = "password"

// Guarded is cfg so that the password itself is only ever given over TLS or a local
// socket, whatever the server on the other side asks for. Every connection that the
// gateway opens with a password of its own must be made with it.
func Guarded(cfg *pgconn.Config) *pgconn.Config {
	cfg = cfg.Copy()
	asked, before := cfg.RequireAuth, cfg.AfterNetConnect
	// Per connection, because with sslmode=prefer one try has TLS and the next has not.
	cfg.AfterNetConnect = func(ctx context.Context, c *pgconn.Config, conn net.Conn) (net.Conn, error) {
		allowed, err := asked, error(nil)
		if readable(conn) {
			allowed, err = withoutPassword(asked)
		}
		c.RequireAuth = allowed
		if err != nil || before == nil {
			return conn, err
		}
		return before(ctx, c, conn)
	}
	return cfg
}

// readable reports whether others may read what is sent on conn.
func readable(conn net.Conn) bool {
	switch conn.(type) {
	case *tls.Conn, *net.UnixConn:
		return false
	}
	return true
}

// withoutPassword takes the cleartext method out of a require_auth list.
func withoutPassword(list string) (string, error) {
	if list == "" {
		return "!" + password, nil
	}
	methods := strings.Split(list, ",")
	if strings.HasPrefix(strings.TrimSpace(methods[0]), "!") {
		for _, m := range methods {
			if strings.TrimSpace(m) == "!"+password {
				return list, nil
			}
		}
		return list + ",!" + password, nil
	}
	var kept []string
	for _, m := range methods {
		if strings.TrimSpace(m) != password {
			kept = append(kept, m)
		}
	}
	if len(kept) == 0 {
		return "", errCleartext
	}
	return strings.Join(kept, ","), nil
}

// asksCleartext reports whether a login failed for want of a method that Guarded
// took away. pgconn says so in words only.
func asksCleartext(err error) bool {
	return errors.Is(err, errCleartext) || strings.Contains(err.Error(), "server requested password authentication")
}
