package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Explain turns a failed login into a sentence with a hint, without the password
// or the address that pgconn's own text has. That is the cause, for the log.
func Explain(cfg *pgconn.Config, err error) error {
	var server *pgconn.PgError
	var say *Login
	if errors.As(err, &server) {
		say = answered(cfg, server)
	} else {
		say = unanswered(err)
	}
	say.Cause = err
	return say
}

// answered is what the database itself gave as its reason.
func answered(cfg *pgconn.Config, server *pgconn.PgError) *Login {
	switch server.Code {
	case "28P01", "28000":
		return unopened(server.Code, "ask whoever runs the gateway to check the user and password of this connection",
			"the database refused the gateway's own login")
	case "3D000":
		return unopened(server.Code, "ask whoever runs the gateway to check the database name of this connection",
			"the database \""+cfg.Database+"\" behind this connection does not exist")
	case "53300":
		return unopened(server.Code, "try again when other sessions have ended", "the database has no free connections")
	}
	return unopened(server.Code, "this is the database's own answer to the gateway's login", server.Message)
}

// unanswered is why it did not come to that.
func unanswered(err error) *Login {
	if asksCleartext(err) {
		return unopened("08001", "use TLS to the database (sslmode=verify-full), or let it ask by SCRAM-SHA-256", errCleartext.Error())
	}
	if say := uncertified(err); say != nil {
		return say
	}
	var name *net.DNSError
	var network *net.OpError
	switch {
	case strings.Contains(err.Error(), "server refused TLS connection"): // pgconn has no value for it
		return unopened("08001", "ask whoever runs the database to turn on ssl, and leave sslmode as it is: without it anyone on the way can read along",
			"the database does not speak TLS, which this connection asks for")
	case errors.As(err, &name) && name.IsNotFound:
		return unopened("08001", "check the host of this connection in the gateway's configuration", "the host name of the database behind this connection is not known")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return unopened("08001", "check host and port of this connection in the gateway's configuration, and the database's own log", "the database closed the connection before the login was done")
	case errors.As(err, &name), errors.As(err, &network), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return unopened("08001", "check that it is running and that the gateway may reach it", "the database behind this connection cannot be reached")
	}
	return unopened("08001", "the gateway's log has the details", "the connection to the database failed")
}

// uncertified is what is wrong with the database's certificate; nil if that is not it.
func uncertified(err error) *Login {
	const where = " in the gateway's configuration"
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var other *tls.CertificateVerificationError
	switch {
	case errors.As(err, &name):
		return unopened("08001", "check the host of this connection"+where+", and sslrootcert: someone else may be answering", "the database's certificate is of another host name")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return unopened("08001", "ask whoever runs the database to renew it; sslrootcert need not change for that", "the database's certificate has expired, or is not valid yet")
	case errors.As(err, &authority):
		return unopened("08001", "check sslrootcert of this connection"+where+": someone else may be answering", "the database's certificate is of another authority")
	case errors.As(err, &invalid), errors.As(err, &other):
		return unopened("08001", "check sslrootcert and the host name of this connection"+where, "the database's certificate could not be verified")
	}
	return nil
}

func unopened(code, hint, message string) *Login {
	return &Login{Say: Say{Code: code, Message: message, Hint: hint}}
}
