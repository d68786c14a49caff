// Package pgtest gives tests real PostgreSQL databases. One private cluster is
// started per test process, on first use, and removed when the process ends; each
// test gets a fresh database of its own.
package pgtest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/internal/pgcluster"
)

var (
	mu      sync.Mutex // guards cluster
	cluster *pgcluster.Cluster
	serial  atomic.Int64
)

// Main runs the tests of a package and then stops its cluster. Every package that
// uses pgtest calls it from TestMain: func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }.
func Main(m *testing.M) int {
	code := m.Run()
	mu.Lock()
	defer mu.Unlock()
	if cluster != nil {
		if err := cluster.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop postgresql:", err)
			return 1
		}
	}
	return code
}

// Cluster is the server that this process's tests share.
func Cluster(t testing.TB) *pgcluster.Cluster {
	t.Helper()
	mu.Lock()
	defer mu.Unlock()
	if cluster == nil {
		c, err := pgcluster.Start(context.Background(), pgcluster.Config{})
		if err != nil {
			t.Fatalf("start postgresql: %v", err)
		}
		cluster = c
	}
	return cluster
}

// Database makes an empty database and returns its connection string as the
// superuser. It is dropped when the test ends, connections to it cut.
func Database(t testing.TB) string {
	t.Helper()
	c := Cluster(t)
	name := fmt.Sprintf("t%d_%s", serial.Add(1), strings.ToLower(strings.Map(alnum, t.Name())))
	if len(name) > 60 {
		name = name[:60]
	}
	admin(t, c, fmt.Sprintf("create database %q", name))
	t.Cleanup(func() { admin(t, c, fmt.Sprintf("drop database if exists %q with (force)", name)) })
	return c.DSN(name)
}

// Exec runs SQL, several statements if need be, on a database directly.
func Exec(t testing.TB, dsn, sql string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
		t.Fatalf("run %.200s: %v", sql, err)
	}
}

func admin(t testing.TB, c *pgcluster.Cluster, sql string) {
	t.Helper()
	Exec(t, c.DSN("postgres"), sql)
}

func alnum(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
		return r
	}
	return '_'
}
