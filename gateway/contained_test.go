package gateway_test

import (
	"bytes"
	"errors"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/gateway"
)

// Attack: end everyone's sessions by a statement that the gateway stumbles over. A
// fault ends the session that met it, with a word to its client and in the record.
func TestFaultOfTheGatewayEndsOneSession(t *testing.T) {
	var armed atomic.Bool
	th := start(t, "dev", shop, nil, func(cfg *gateway.Config) {
		cfg.Now = func() time.Time {
			if armed.Load() && bytes.Contains(debug.Stack(), []byte("(*session).judge")) && armed.CompareAndSwap(true, false) {
				panic("stumbled")
			}
			return time.Now()
		}
	})
	ctx := t.Context()
	open := func(name string) *pgx.Conn {
		conn, err := pgx.Connect(ctx, th.as(person(name)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(ctx) })
		return conn
	}
	other, victim := open("bob"), open("ada")
	armed.Store(true)
	_, err := victim.Exec(ctx, "select 1")
	var told *pgconn.PgError
	if !errors.As(err, &told) || told.Code != "XX000" || told.Hint == "" {
		t.Errorf("it was told %v", err)
	}
	var one int
	if err := other.QueryRow(ctx, "select 1").Scan(&one); err != nil {
		t.Errorf("another session met it too: %v", err)
	}
	if why := th.detail("ada"); why != "a fault of the gateway" {
		t.Errorf("the record says %q", why)
	}
}
