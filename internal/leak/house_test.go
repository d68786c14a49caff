// Package leak tries to get personal data past a gateway: with a corpus of attacks
// (testdata/attacks), each shown to tell it when it is run directly, and with statements
// made from a grammar. What leaves the gateway is read as somebody would read it who
// wants to know (needles_test.go). The package is tests only.
package leak

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/pgtest"
	"github.com/sluicehq/sluice/policy"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// house is a database with a gateway before it.
type house struct {
	*gateway.Gateway
	t      *testing.T
	direct string // connection string past the gateway
	log    *audit.Log

	ctx   context.Context
	group sync.WaitGroup
}

// newHouse makes a database with setup, and a gateway under the built-in rules.
func newHouse(t *testing.T, setup ...string) *house {
	t.Helper()
	h := &house{t: t, direct: pgtest.Database(t)}
	for _, sql := range setup {
		if sql != "" {
			pgtest.Exec(t, h.direct, sql)
		}
	}
	db, err := pgconn.ParseConfig(h.direct)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "record")
	if h.log, err = audit.Open(audit.Config{Dir: dir, Origin: "sluice/leak", Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	h.Gateway, err = gateway.New(gateway.Config{
		ID: "leak", Connections: []gateway.Connection{{Name: "shop", Env: "dev", Database: db, Groups: []string{gateway.Everyone}}},
		Rules: policy.Builtin(), PolicySource: "test", Record: h.log, RecordDir: dir, Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Admins: []string{"admin"}, Hold: time.Millisecond, HoldTransaction: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.ctx = ctx
	up, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- h.Watch(ctx, func(ctx context.Context) error { close(up); <-ctx.Done(); return nil })
	}()
	select {
	case <-up:
	case err := <-done:
		t.Fatalf("the gateway does not start: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		h.group.Wait()
		if err := <-done; err != nil {
			t.Errorf("gateway: %v", err)
		}
		if err := h.log.Close(); err != nil {
			t.Errorf("close the record: %v", err)
		}
	})
	return h
}

// as logs in through the gateway. Everyone is met for the first time, so that nobody's
// searches are counted against another's.
func (h *house) as(kind identity.Kind, name string) (*client, error) {
	who := identity.Identity{Subject: name, Email: name + "@sluice.test", Kind: kind, Method: "test", Expires: time.Now().Add(time.Hour)}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	h.group.Go(func() {
		conn, err := ln.Accept()
		if err == nil {
			h.Session(h.ctx, conn, gateway.Caller{Who: who, Connection: "shop", From: "test"})
		}
	})
	return dial(fmt.Sprintf("postgres://me@%s/shop?sslmode=disable", ln.Addr()))
}
