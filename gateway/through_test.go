package gateway_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/audit/index"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/pgtest"
	"github.com/sluicehq/sluice/policy"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// people who use the gateway in these tests.
func person(name string, groups ...string) identity.Identity {
	return identity.Identity{Subject: name, Email: name + "@example.com", Groups: groups, Kind: identity.Person, Method: "test", Expires: time.Now().Add(time.Hour)}
}

// through is a gateway in front of a fresh database.
type through struct {
	*gateway.Gateway
	direct string // connection string past the gateway
	record string // directory of the record
	log    *audit.Log
	stop   func() error // ends the gateway, and says how it ended
	broken bool         // the test closed the record, so the gateway cannot end well
	t      testing.TB
	cfg    gateway.Config
}

// start runs a gateway with connection "orders" marked env. setup is run on the
// database first.
func start(t testing.TB, env, setup string, rules *policy.Rules, change ...func(*gateway.Config)) *through {
	t.Helper()
	dsn := pgtest.Database(t)
	if setup != "" {
		pgtest.Exec(t, dsn, setup)
	}
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, dsn, gateway.Connection{Name: "orders", Env: env, Database: cfg}, rules, change...)
}

func startOn(t testing.TB, dsn string, conn gateway.Connection, rules *policy.Rules, change ...func(*gateway.Config)) *through {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "record")
	log, err := audit.Open(audit.Config{Dir: dir, Origin: "sluice/test", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if rules == nil {
		rules = policy.Builtin()
	}
	if conn.Groups == nil {
		conn.Groups = []string{gateway.Everyone}
	}
	cfg := gateway.Config{
		ID: "test", Connections: []gateway.Connection{conn}, Rules: rules, PolicySource: "test",
		Record: log, RecordDir: dir, Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Admins: []string{"admin"}, Auditors: []string{"audit"}, HoldTransaction: 20 * time.Second,
	}
	for _, c := range change {
		c(&cfg)
	}
	if cfg.Index == nil {
		cfg.Index = index.New(index.Config{Record: dir, Flush: log.Flush})
	}
	g, err := gateway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	th := &through{Gateway: g, direct: dsn, record: dir, log: log, t: t, cfg: cfg}
	th.run(t)
	t.Cleanup(func() {
		if err := th.stop(); err != nil && !th.broken {
			t.Errorf("gateway: %v", err)
		}
		if err := cfg.Index.Close(); err != nil {
			t.Errorf("close the index: %v", err)
		}
		if err := log.Close(); err != nil && !th.broken {
			t.Errorf("close the record: %v", err)
		}
	})
	return th
}

// as opens a port that serves who, and returns its connection string.
func (th *through) as(who identity.Identity) string { return th.asUntil(context.Background(), who) }

// to is as for another connection than orders.
func (th *through) to(connection string, who identity.Identity) string {
	return th.port(context.Background(), connection, who)
}

// asUntil is as whose sessions the gateway ends when parent is done.
func (th *through) asUntil(parent context.Context, who identity.Identity) string {
	return th.port(parent, "orders", who)
}

func (th *through) port(parent context.Context, connection string, who identity.Identity) string {
	th.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		th.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(parent)
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				th.Session(ctx, conn, gateway.Caller{Who: who, Connection: connection, From: conn.RemoteAddr().String()})
			})
		}
	})
	th.t.Cleanup(func() {
		cancel()
		ln.Close()
		group.Wait()
	})
	return fmt.Sprintf("postgres://me@%s/%s?sslmode=disable", ln.Addr(), connection)
}

func connect(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// events are the entries of the record, oldest first.
func (th *through) events(kind audit.Kind) []audit.Event {
	th.t.Helper()
	res, err := th.log.Query(context.Background(), audit.Filter{Kind: kind, Limit: 1000})
	if err != nil {
		th.t.Fatal(err)
	}
	for i, j := 0, len(res.Events)-1; i < j; i, j = i+1, j-1 {
		res.Events[i], res.Events[j] = res.Events[j], res.Events[i]
	}
	return res.Events
}

// again starts another gateway over the same record and database, after the first was
// stopped, in its place.
func (th *through) again(t *testing.T, change ...func(*gateway.Config)) {
	t.Helper()
	cfg := th.cfg
	for _, c := range change {
		c(&cfg)
	}
	g, err := gateway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	th.Gateway = g
	th.run(t)
}

// run has the gateway watch until the test stops it.
func (th *through) run(t testing.TB) {
	ctx, cancel := context.WithCancel(context.Background())
	done, up := make(chan error, 1), make(chan struct{})
	go func() {
		done <- th.Watch(ctx, func(ctx context.Context) error { close(up); <-ctx.Done(); return nil })
	}()
	select {
	case <-up:
	case err := <-done:
		t.Fatalf("the gateway does not start: %v", err)
	}
	th.stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(time.Minute):
			return fmt.Errorf("it does not stop:\n%s", goroutinesOfTheGateway())
		}
	})
}

// goroutinesOfTheGateway are the stacks that have to do with it, for a test that hangs.
func goroutinesOfTheGateway() string {
	all := make([]byte, 16<<20)
	var ours []string
	for g := range strings.SplitSeq(string(all[:runtime.Stack(all, true)]), "\n\n") {
		if strings.Contains(g, "sluice/gateway.") {
			ours = append(ours, g)
		}
	}
	return strings.Join(ours, "\n\n")
}
