package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// worker is a person at work. All is owned by its goroutine.
type worker struct {
	n       int
	house   *house
	door    *door
	rng     *rand.Rand
	conn    *pgx.Conn // its honest session: nothing may ever happen to it
	direct  *pgx.Conn // past the gateway, to look and to disturb
	model   map[int]string
	step    int
	marks   []string // each in exactly one decision of the record
	journal []string // the last things it did
	done    map[string]int
}

// task is one thing a worker does. An error fails the soak.
type task struct {
	name   string
	weight int
	do     func(*worker, context.Context) error
}

func tasks() []task {
	return []task{
		{"echo", 12, (*worker).echo}, {"write", 12, (*worker).write}, {"check", 6, (*worker).check},
		{"transaction", 6, (*worker).transaction}, {"pipeline", 6, (*worker).pipeline}, {"batch", 4, (*worker).batch},
		{"prepared", 4, (*worker).prepared}, {"cursor", 3, (*worker).cursor},
		{"copy", 3, (*worker).copy}, {"bad copy", 2, (*worker).badCopy}, {"big", 2, (*worker).big},
		{"notify", 2, (*worker).notify}, {"masked", 3, (*worker).masked},
		{"errors", 4, (*worker).errors}, {"refused", 4, (*worker).refused}, {"reconnect", 3, (*worker).reconnect},
		{"wrong password", 1, (*worker).wrongPassword}, {"half a login", 1, (*worker).halfLogin},
		{"cancel", 3, (*worker).cancel}, {"cancel with a wrong key", 1, (*worker).wrongKey},
		{"approved", 2, (*worker).approved}, {"denied", 2, (*worker).denied}, {"nobody answers", 1, (*worker).unanswered},
		{"withdrawn", 1, (*worker).withdrawn}, {"left while held", 1, (*worker).leftHeld},
		{"vanish in a result", 2, (*worker).vanishReading}, {"vanish in a transaction", 2, (*worker).vanishInTransaction}, {"vanish in a copy", 1, (*worker).vanishCopying},
		{"backend killed", 2, (*worker).backendKilled}, {"session killed", 2, (*worker).sessionKilled}, {"tunnel lost", 1, (*worker).tunnelLost},
	}
}

func names() (list []string) {
	for _, t := range tasks() {
		list = append(list, t.name)
	}
	return list
}

// journalLength is how much of what a worker did is told after a failure.
const journalLength = 12

func (w *worker) run(ctx context.Context, until time.Time) (err error) {
	defer func() { err = errors.Join(err, w.leave()) }()
	if err := w.enter(ctx); err != nil {
		return err
	}
	var deck []task
	for _, t := range tasks() {
		for range t.weight {
			deck = append(deck, t)
		}
	}
	for time.Now().Before(until) && ctx.Err() == nil {
		t := deck[w.rng.IntN(len(deck))]
		w.step++
		w.note("%s %s", time.Now().Format("15:04:05.000"), t.name)
		err := func() error {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			return t.do(w, ctx)
		}()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil && w.conn.IsClosed() {
			err = errors.New("the honest session is closed")
		}
		if err != nil {
			return fmt.Errorf("step %d, %s: %w", w.step, t.name, err)
		}
		w.done[t.name]++
	}
	return nil
}

func (w *worker) note(format string, args ...any) {
	w.journal = append(w.journal, fmt.Sprintf(format, args...))
	if len(w.journal) > journalLength {
		w.journal = slices.Delete(w.journal, 0, 1)
	}
}

func (w *worker) enter(ctx context.Context) (err error) {
	if w.direct, err = pgx.Connect(ctx, w.house.dsn); err != nil {
		return err
	}
	w.conn, err = w.connect(ctx)
	return err
}

func (w *worker) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var errs []error
	for _, c := range []*pgx.Conn{w.conn, w.direct} {
		if c != nil {
			errs = append(errs, c.Close(ctx))
		}
	}
	return errors.Join(errs...)
}

// connect opens a session through this worker's door. Its name is unique, so that it
// can be found from the other side.
func (w *worker) connect(ctx context.Context) (*pgx.Conn, error) { return w.connectAt(ctx, w.door) }

func (w *worker) connectAt(ctx context.Context, d *door) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig(d.dsn)
	if err != nil {
		return nil, err
	}
	cfg.RuntimeParams["application_name"] = w.name()
	return pgx.ConnectConfig(ctx, cfg)
}

func (w *worker) name() string { return fmt.Sprintf("soak %d-%d", w.n, w.step) }

// mark is a text that must come up in the record once.
func (w *worker) mark() string {
	m := fmt.Sprintf("mark-%d-%d;", w.n, len(w.marks))
	w.marks = append(w.marks, m)
	return m
}

// word is a random text that looks like nobody's data.
func (w *worker) word(max int) string {
	b := make([]byte, 1+w.rng.IntN(max))
	for i := range b {
		b[i] = "abcdefghij \n'\"\\"[w.rng.IntN(15)]
	}
	return string(b)
}

// size is mostly small and now and then larger than every buffer on the way.
func (w *worker) size() int {
	if w.rng.IntN(10) == 0 {
		return 300_000
	}
	return 200
}

func (w *worker) mode() pgx.QueryExecMode {
	modes := []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	}
	return modes[w.rng.IntN(len(modes))]
}

// code fails unless err is PostgreSQL's with that SQLSTATE.
func code(err error, want ...string) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && slices.Contains(want, pg.Code) {
		return nil
	}
	return fmt.Errorf("ended with %w, want SQLSTATE %s", orNone(err), want)
}

func orNone(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}

// gone waits until a backend has ended.
func (w *worker) gone(ctx context.Context, pid uint32) error {
	err := until(ctx, func() (bool, error) {
		var n int
		err := w.direct.QueryRow(ctx, "select count(*) from pg_stat_activity where pid = $1", pid).Scan(&n)
		return n == 0, err
	})
	if err != nil {
		return fmt.Errorf("backend %d of a session that ended is still there: %w", pid, err)
	}
	return nil
}

// running waits until a backend runs a statement with that in it.
func (w *worker) running(ctx context.Context, pid uint32, text string) error {
	return until(ctx, func() (bool, error) {
		var n int
		err := w.direct.QueryRow(ctx, "select count(*) from pg_stat_activity where pid = $1 and state = 'active' and query like '%' || $2 || '%'", pid, text).Scan(&n)
		return n == 1, err
	})
}

// backend is the process that serves a session.
func backend(ctx context.Context, conn *pgx.Conn) (pid uint32, err error) {
	return pid, conn.QueryRow(ctx, "select pg_backend_pid()").Scan(&pid)
}
