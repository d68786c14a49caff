//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// sample is one run of one workload against one target.
type sample struct {
	Rate    float64 // per second: transactions, or MB
	Cost    float64 // CPU of the processes in between: µs a transaction, or ms for 100 MB; of idle, KiB
	Count   float64 // transactions, or MB
	Foreign float64 // share of the machine that work of others took
	P50     float64 `json:",omitempty"` // latency in µs, with one client
	P99     float64 `json:",omitempty"`
}

// workload is something that clients do.
type workload struct {
	name  string
	quick bool // also with -quick
	run   func(context.Context, *world, *target) (sample, error)
}

func workloads(o options) []workload {
	// First, while the processes are fresh: what they took for earlier work would be
	// used again, and hide what a connection takes.
	list := []workload{{"idle", false, idle(o.idle)}}
	for _, mode := range []string{"simple", "extended", "prepared"} {
		for _, clients := range []int{1, 8, 32} {
			list = append(list, workload{fmt.Sprintf("%s-c%d", mode, clients), clients == 8 && mode != "extended" || clients == 1 && mode == "prepared",
				pgbench(o.secs, clients, "-S", "-M", mode)})
		}
	}
	return append(list,
		workload{"tpcb-c8", false, pgbench(o.secs, 8, "-M", "prepared")},
		workload{"churn-c4", true, pgbench(o.secs, 4, "-S", "-C")},
		workload{"select-1M", true, near(bulkSelect("select id, a, b, c from wide"))},
		workload{"select-far", false, far(bulkSelect("select id, a, b, c from wide"))},
		workload{"masked", true, near(bulkSelect("select id, email, b from personal"))},
		workload{"copy-out", true, copyOut},
		workload{"copy-in", false, copyIn})
}

// moved makes a sample of bytes that took some time.
func moved(ctx context.Context, mb float64, took time.Duration, before meter, pids []int) sample {
	used, foreign := settled(ctx, pids).since(before)
	return sample{Rate: mb / took.Seconds(), Cost: float64(used.Milliseconds()) / mb * 100, Count: mb, Foreign: foreign}
}

const megabyte = 1e6

// bulkSelect reads a result to its end and keeps nothing of it.
func bulkSelect(sql string) func(context.Context, endpoint) (sample, error) {
	return func(ctx context.Context, to endpoint) (s sample, err error) {
		conn, err := pgconn.Connect(ctx, to.dsn())
		if err != nil {
			return s, err
		}
		defer func() { err = errors.Join(err, conn.Close(ctx)) }()
		before, began, size := read(to.pids), time.Now(), 0
		rows := conn.ExecParams(ctx, sql, nil, nil, nil, nil)
		for rows.NextRow() {
			for _, v := range rows.Values() {
				size += len(v) + 4
			}
			size += 7
		}
		if _, err := rows.Close(); err != nil {
			return s, err
		}
		return moved(ctx, float64(size)/megabyte, time.Since(began), before, to.pids), nil
	}
}

// near does it where all of the target is on one machine.
func near(do func(context.Context, endpoint) (sample, error)) func(context.Context, *world, *target) (sample, error) {
	return func(ctx context.Context, _ *world, t *target) (sample, error) { return do(ctx, t.near) }
}

// far does it with 20 ms there and back between the client and the target's server.
func far(do func(context.Context, endpoint) (sample, error)) func(context.Context, *world, *target) (sample, error) {
	return func(ctx context.Context, _ *world, t *target) (sample, error) {
		to, err := t.distant(ctx)
		if err != nil {
			return sample{}, err
		}
		return do(ctx, to)
	}
}

// counter counts what is written to it.
type counter int

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

func copyOut(ctx context.Context, _ *world, t *target) (s sample, err error) {
	conn, err := pgconn.Connect(ctx, t.near.dsn())
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	var size counter
	before, began := read(t.near.pids), time.Now()
	if _, err := conn.CopyTo(ctx, &size, "copy wide to stdout"); err != nil {
		return s, err
	}
	return moved(ctx, float64(size)/megabyte, time.Since(began), before, t.near.pids), nil
}

// copiedRows of copyIn make some 40 MB.
const copiedRows = 400_000

func copyIn(ctx context.Context, w *world, t *target) (s sample, err error) {
	conn, err := pgconn.Connect(ctx, t.near.dsn())
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	line := "4711\t" + strings.Repeat("some text ", 8) + "\t42\t2026-01-01 00:00:00\n"
	data := strings.Repeat(line, copiedRows)
	before, began := read(t.near.pids), time.Now()
	if _, err := conn.CopyFrom(ctx, strings.NewReader(data), "copy taken from stdin"); err != nil {
		return s, err
	}
	s = moved(ctx, float64(len(data))/megabyte, time.Since(began), before, t.near.pids)
	direct, err := pgx.Connect(ctx, w.targets[0].near.dsn())
	if err != nil {
		return s, err
	}
	_, err = direct.Exec(ctx, "truncate taken")
	return s, errors.Join(err, direct.Close(ctx))
}

// warm is how many connections are there before one is weighed: what a process takes
// for the first of them, like the catalogue of the database, is not the price of one.
const warm = 50

// idle weighs connections that have run one statement and wait.
func idle(n int) func(context.Context, *world, *target) (sample, error) {
	return func(ctx context.Context, _ *world, t *target) (s sample, err error) {
		if len(t.near.pids) == 0 {
			return sample{Rate: math.NaN()}, nil
		}
		var conns []io.Closer
		defer func() {
			for _, c := range conns {
				err = errors.Join(err, c.Close())
			}
		}()
		open := func(n int) (int64, error) {
			for range n {
				conn, err := pgconn.Connect(ctx, t.near.dsn())
				if err != nil {
					return 0, err
				}
				conns = append(conns, closer{ctx, conn})
				if _, err := conn.Exec(ctx, "select 1").ReadAll(); err != nil {
					return 0, err
				}
			}
			return pss(t.near.pids)
		}
		before, err := open(warm)
		if err != nil {
			return s, err
		}
		after, err := open(n)
		return sample{Rate: math.NaN(), Cost: float64(after-before) / float64(n), Count: float64(n)}, err
	}
}

type closer struct {
	ctx  context.Context
	conn *pgconn.PgConn
}

func (c closer) Close() error { return c.conn.Close(c.ctx) }
