package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/api"
)

func (w *worker) wrongPassword(ctx context.Context) error {
	cfg, err := pgx.ParseConfig(w.door.dsn)
	if err != nil {
		return err
	}
	cfg.Password = "not this one"
	_, err = pgx.ConnectConfig(ctx, cfg)
	return code(err, "28P01")
}

// halfLogin says a little and leaves.
func (w *worker) halfLogin(ctx context.Context) error {
	cfg, err := pgx.ParseConfig(w.door.dsn)
	if err != nil {
		return err
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", cfg.Port))
	if err != nil {
		return err
	}
	said := []byte("\x00\x00\x00\x20\x00\x03\x00\x00user\x00")
	_, err = c.Write(said[:w.rng.IntN(len(said)+1)])
	return errors.Join(err, c.Close())
}

// victim is a session of this worker that is to come to harm.
func (w *worker) victim(ctx context.Context) (*pgx.Conn, uint32, error) {
	conn, err := w.connect(ctx)
	if err != nil {
		return nil, 0, err
	}
	pid, err := backend(ctx, conn)
	return conn, pid, err
}

// cut closes a client's socket without a word.
func cut(conn *pgx.Conn) error { return conn.PgConn().Conn().Close() }

// background runs sql and gives its error when it has ended.
func background(ctx context.Context, conn *pgx.Conn, sql string, args ...any) <-chan error {
	done := make(chan error, 1) // one result
	go func() { _, err := conn.Exec(ctx, sql, args...); done <- err }()
	return done
}

func (w *worker) cancel(ctx context.Context) error {
	pid, err := backend(ctx, w.conn)
	if err != nil {
		return err
	}
	done := background(ctx, w.conn, "select pg_sleep(600)", w.mode())
	if err := w.running(ctx, pid, "pg_sleep(600)"); err != nil {
		return err
	}
	if err := w.conn.PgConn().CancelRequest(ctx); err != nil {
		return err
	}
	return errors.Join(code(<-done, "57014"), w.check(ctx))
}

// wrongKey cancels nothing.
func (w *worker) wrongKey(ctx context.Context) error {
	h, err := pgconn.Connect(ctx, w.door.dsn)
	if err != nil {
		return err
	}
	hijacked, err := h.Hijack()
	if err != nil {
		return err
	}
	hijacked.SecretKey[0]++
	again, err := pgconn.Construct(hijacked)
	if err != nil {
		return err
	}
	return errors.Join(again.CancelRequest(ctx), again.Close(ctx), w.check(ctx))
}

// ask is the ask whose statement has mark in it.
func (w *worker) ask(ctx context.Context, mark string) (found api.Ask, err error) {
	err = until(ctx, func() (bool, error) {
		asks, err := w.house.asks(ctx)
		for _, a := range asks {
			if strings.Contains(a.SQL+strings.Join(a.Params, " "), mark) {
				found = a
				return true, err
			}
		}
		return false, err
	})
	return found, err
}

func (w *worker) answer(ctx context.Context, a api.Ask, grant bool) error {
	path := strings.Replace(api.AskPath, "{id}", a.ID, 1)
	return w.house.boss.Call(ctx, http.MethodPost, path, api.AskDecision{Grant: grant, Reason: "soak", Seal: a.Seal}, nil)
}

// asked counts the rows that a held statement made, and takes them away.
func (w *worker) asked(ctx context.Context, mark string, want int64) error {
	tag, err := w.direct.Exec(ctx, "delete from asked where word = $1", mark)
	if err == nil && tag.RowsAffected() != want {
		err = fmt.Errorf("the held statement ran %d times, want %d", tag.RowsAffected(), want)
	}
	return err
}

func (w *worker) held(ctx context.Context, grant bool) (string, error) {
	mark := w.mark()
	done := background(ctx, w.conn, "insert into public.asked values ($1, $2)", w.mode(), w.n, mark)
	a, err := w.ask(ctx, mark)
	if err != nil {
		return mark, err
	}
	if err := w.answer(ctx, a, grant); err != nil {
		return mark, err
	}
	return mark, <-done
}

func (w *worker) approved(ctx context.Context) error {
	mark, err := w.held(ctx, true)
	return errors.Join(err, w.asked(ctx, mark, 1))
}

func (w *worker) denied(ctx context.Context) error {
	mark, err := w.held(ctx, false)
	return errors.Join(code(err, "42501"), w.asked(ctx, mark, 0))
}

// unanswered waits in a transaction until nobody has answered.
func (w *worker) unanswered(ctx context.Context) error {
	tx, err := w.conn.Begin(ctx)
	if err != nil {
		return err
	}
	mark := w.mark()
	_, err = tx.Exec(ctx, "insert into public.asked values ($1, $2)", w.mode(), w.n, mark)
	return errors.Join(code(err, "42501"), tx.Rollback(ctx), w.asked(ctx, mark, 0))
}

// withdrawn is Ctrl-C while a statement waits.
func (w *worker) withdrawn(ctx context.Context) error {
	mark := w.mark()
	done := background(ctx, w.conn, "insert into public.asked values ($1, $2)", w.mode(), w.n, mark)
	if _, err := w.ask(ctx, mark); err != nil {
		return err
	}
	if err := w.conn.PgConn().CancelRequest(ctx); err != nil {
		return err
	}
	return errors.Join(code(<-done, "57014"), w.asked(ctx, mark, 0))
}

func (w *worker) leftHeld(ctx context.Context) error {
	conn, pid, err := w.victim(ctx)
	if err != nil {
		return err
	}
	mark := w.mark()
	done := background(ctx, conn, "insert into public.asked values ($1, $2)", w.mode(), w.n, mark)
	if _, err := w.ask(ctx, mark); err != nil {
		return err
	}
	err = cut(conn)
	<-done
	return errors.Join(err, w.gone(ctx, pid), w.asked(ctx, mark, 0))
}

// vanishReading goes while rows come.
func (w *worker) vanishReading(ctx context.Context) error {
	conn, pid, err := w.victim(ctx)
	if err != nil {
		return err
	}
	rows, err := conn.Query(ctx, "select repeat('x', 1000) from generate_series(1, 300000)")
	if err != nil {
		return err
	}
	if !rows.Next() {
		return fmt.Errorf("no row: %w", orNone(rows.Err()))
	}
	err = cut(conn)
	rows.Close()
	return errors.Join(err, w.gone(ctx, pid))
}

// vanishInTransaction leaves nothing of what was not committed.
func (w *worker) vanishInTransaction(ctx context.Context) error {
	conn, pid, err := w.victim(ctx)
	if err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "begin"); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "insert into facts values ($1, -1, 'never')", w.n); err != nil {
		return err
	}
	return errors.Join(cut(conn), w.gone(ctx, pid), w.check(ctx))
}

// vanishCopying goes in the middle of COPY data.
func (w *worker) vanishCopying(ctx context.Context) error {
	conn, pid, err := w.victim(ctx)
	if err != nil {
		return err
	}
	r, pipe := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := conn.PgConn().CopyFrom(ctx, r, "copy bulk from stdin")
		r.CloseWithError(io.ErrClosedPipe)
		done <- err
	}()
	for range 100 {
		if _, err := fmt.Fprintf(pipe, "%d\t1\t%s\n", -1-w.n, strings.Repeat("x", 1000)); err != nil {
			return err
		}
	}
	err = cut(conn)
	pipe.Close()
	if <-done == nil {
		return errors.New("a COPY was confirmed on a closed connection")
	}
	if err := errors.Join(err, w.gone(ctx, pid)); err != nil {
		return err
	}
	var n int
	if err := w.direct.QueryRow(ctx, "select count(*) from bulk where worker = $1", -1-w.n).Scan(&n); err != nil || n != 0 {
		return fmt.Errorf("%d rows of a COPY that nobody ended: %w", n, orNone(err))
	}
	return nil
}

// backendKilled ends the database's side of a session.
func (w *worker) backendKilled(ctx context.Context) error {
	conn, pid, err := w.victim(ctx)
	if err != nil {
		return err
	}
	done := make(<-chan error)
	busy := w.rng.IntN(2) == 0
	if busy {
		done = background(ctx, conn, "select pg_sleep(600)")
		if err := w.running(ctx, pid, "pg_sleep(600)"); err != nil {
			return err
		}
	}
	if _, err := w.direct.Exec(ctx, "select pg_terminate_backend($1::int)", pid); err != nil {
		return err
	}
	if !busy {
		if err := w.gone(ctx, pid); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, "select 1")
		return endedBy(err)
	}
	return errors.Join(code(<-done, "57P01"), w.gone(ctx, pid))
}

// endedBy fails unless a session was ended from the other side, in words or without.
func endedBy(err error) error {
	var pg *pgconn.PgError
	if err == nil || errors.As(err, &pg) && pg.Code != "57P01" {
		return fmt.Errorf("a session that was ended answered: %w", orNone(err))
	}
	return nil
}

// sessionKilled has an administrator end a session.
func (w *worker) sessionKilled(ctx context.Context) error {
	conn, pid, err := w.victim(ctx)
	if err != nil {
		return err
	}
	done := background(ctx, conn, "select pg_sleep(600)")
	if err := w.running(ctx, pid, "pg_sleep(600)"); err != nil {
		return err
	}
	sessions, err := w.house.sessions(ctx)
	if err != nil {
		return err
	}
	for _, s := range sessions {
		if s.Client != w.name() {
			continue
		}
		if err := w.house.boss.Call(ctx, http.MethodPost, strings.Replace(api.KillPath, "{id}", s.ID, 1), nil, nil); err != nil {
			return err
		}
		return errors.Join(code(<-done, "57P01"), w.gone(ctx, pid))
	}
	return fmt.Errorf("no session %q in %v", w.name(), sessions)
}

// tunnelLost closes a laptop in the middle of a result.
func (w *worker) tunnelLost(ctx context.Context) error {
	d, err := w.house.door(fmt.Sprintf("guest%d", w.n))
	if err != nil {
		return err
	}
	conn, err := w.connectAt(ctx, d)
	if err != nil {
		return errors.Join(err, d.stop())
	}
	pid, err := backend(ctx, conn)
	if err != nil {
		return errors.Join(err, d.stop())
	}
	rows, err := conn.Query(ctx, "select repeat('x', 1000) from generate_series(1, 300000)")
	if err != nil {
		return errors.Join(err, d.stop())
	}
	rows.Next()
	err = d.gw.Close()
	for rows.Next() { // what had come through already
	}
	if rows.Err() == nil {
		err = errors.Join(err, errors.New("a result ended well though its tunnel was lost"))
	}
	_ = conn.Close(ctx) // it is broken
	return errors.Join(err, d.stop(), w.gone(ctx, pid))
}
