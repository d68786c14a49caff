package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sluicehq/sluice/wire/postgres"
)

// leave sends on what the client sent before it went, as it would have been without
// us.
func (s *session) leave(err error) error {
	if errors.Is(err, postgres.ErrOnward) {
		return err
	}
	s.left = true
	if errors.Is(err, io.EOF) {
		return s.server.Flush()
	}
	return err
}

// part ends the way up: it tells the client what it did wrong, if that is why. If it
// is the database that takes no more, what it had to say before it went is still on
// its way down, so the client is not cut off at once; gone is closed when down has
// ended.
func (s *session) part(err error, gone <-chan struct{}) error {
	var wrong *postgres.Violation
	switch {
	case errors.As(err, &wrong):
		s.client.Part(wrong.Say())
	case err == nil || s.left || errors.Is(err, errRecord):
	default:
		late := time.NewTimer(lastWordTime)
		defer late.Stop()
		select {
		case <-gone:
		case <-late.C:
		}
	}
	return err
}

// lost says goodbye when the database has gone, or breaks a limit or the protocol.
func (s *session) lost(ctx context.Context, err error) error {
	if ferr := s.client.Flush(); ferr != nil {
		return ferr
	}
	var wrong *postgres.Violation
	switch {
	case errors.As(err, &wrong):
		say := wrong.Say()
		if wrong.Hint == "" {
			say.Hint = "the database, or something between it and the gateway, does not keep to the protocol: tell whoever runs the gateway"
		}
		s.client.Fatal(say)
	case context.Cause(ctx) == nil:
		// Nobody here has closed it.
		if !s.parted {
			s.client.Fatal(postgres.Say{Code: "08006", Message: errLost.Error(), Hint: "connect again; whether a statement under way has run is not known"})
		}
		err = fmt.Errorf("%w: %w", errLost, err)
	}
	return err
}

// withheld ends a session whose answer may not be shown.
func (s *session) withheld(err error) error {
	if errors.Is(err, errUnreadable) {
		s.client.Fatal(postgres.Say{Code: "0A000", Message: errUnreadable.Error(), Hint: "use SELECT in place of COPY"})
	}
	return err
}

// fatal reports whether an error is the last word of the server. Those before 9.6
// send no V.
func fatal(fields map[byte]string) bool {
	severity := fields['V']
	if severity == "" {
		severity = fields['S']
	}
	return severity == "FATAL" || severity == "PANIC"
}
