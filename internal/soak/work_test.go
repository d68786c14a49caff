package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// echo asks for what only this question can be answered with.
func (w *worker) echo(ctx context.Context) error {
	mark, text, n := w.mark(), w.word(w.size()), w.rng.Int32()
	var gotMark, gotText string
	var gotN int32
	if err := w.conn.QueryRow(ctx, "select $1::text, $2::text, $3::int", w.mode(), mark, text, n).Scan(&gotMark, &gotText, &gotN); err != nil {
		return err
	}
	if gotMark != mark || gotText != text || gotN != n {
		return fmt.Errorf("%s was answered with %s, %d bytes of text with %d, %d with %d", mark, gotMark, len(text), len(gotText), n, gotN)
	}
	return nil
}

// executor is a connection or a transaction.
type executor interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// change makes one write, and the same in model.
func (w *worker) change(ctx context.Context, on executor, model map[int]string) error {
	key, value := w.rng.IntN(50), w.word(100)
	_, there := model[key]
	var tag pgconn.CommandTag
	var err error
	want := int64(1)
	if w.rng.IntN(3) == 0 {
		tag, err = on.Exec(ctx, "delete from facts where worker = $1 and key = $2", w.mode(), w.n, key)
		delete(model, key)
		if !there {
			want = 0
		}
	} else {
		tag, err = on.Exec(ctx, "insert into facts values ($1, $2, $3) on conflict (worker, key) do update set value = excluded.value", w.mode(), w.n, key, value)
		model[key] = value
	}
	if err == nil && tag.RowsAffected() != want {
		err = fmt.Errorf("%s, want %d rows", tag, want)
	}
	return err
}

func (w *worker) write(ctx context.Context) error { return w.change(ctx, w.conn, w.model) }

// check compares all this worker has written with what it remembers.
func (w *worker) check(ctx context.Context) error {
	rows, err := w.conn.Query(ctx, "select key, value from facts where worker = $1", w.mode(), w.n)
	if err != nil {
		return err
	}
	got := map[int]string{}
	var key int
	var value string
	if _, err := pgx.ForEachRow(rows, []any{&key, &value}, func() error { got[key] = value; return nil }); err != nil {
		return err
	}
	if !maps.Equal(got, w.model) {
		return fmt.Errorf("the rows are %v, want %v", got, w.model)
	}
	return nil
}

func (w *worker) transaction(ctx context.Context) error {
	tx, err := w.conn.Begin(ctx)
	if err != nil {
		return err
	}
	model := maps.Clone(w.model)
	for range 1 + w.rng.IntN(5) {
		if err := w.change(ctx, tx, model); err != nil {
			return err
		}
	}
	if w.rng.IntN(2) == 0 { // a part that fails is undone alone
		part, err := tx.Begin(ctx)
		if err != nil {
			return err
		}
		if err := w.change(ctx, part, maps.Clone(model)); err != nil {
			return err
		}
		_, err = part.Exec(ctx, "select 1/0", w.mode())
		if err := code(err, "22012"); err != nil {
			return err
		}
		if err := part.Rollback(ctx); err != nil {
			return err
		}
	}
	if w.rng.IntN(3) == 0 {
		err = tx.Rollback(ctx)
	} else if err = tx.Commit(ctx); err == nil {
		w.model = model
	}
	return errors.Join(err, w.check(ctx))
}

// pipeline sends questions ahead of answers; in the middle one may fail, and then
// nothing up to Sync may run.
func (w *worker) pipeline(ctx context.Context) error {
	p := w.conn.PgConn().StartPipeline(ctx)
	n, bad := 2+w.rng.IntN(40), -1
	if w.rng.IntN(2) == 0 {
		bad = w.rng.IntN(n)
	}
	var want []string
	for i := range n {
		if i == bad {
			p.SendQueryParams("select 1/$1::int", [][]byte{[]byte("0")}, nil, nil, nil)
			want = append(want, "")
			continue
		}
		text := w.word(w.size())
		want = append(want, text)
		p.SendQueryParams("select $1::text", [][]byte{[]byte(text)}, nil, nil, nil)
	}
	err := p.Sync()
	if err == nil {
		err = answersOf(p, want, bad)
	}
	return errors.Join(err, p.Close())
}

func answersOf(p *pgconn.Pipeline, want []string, bad int) error {
	for i := 0; ; i++ {
		res, err := p.GetResults()
		if err != nil {
			if i != bad {
				return fmt.Errorf("answer %d of %d: %w", i, len(want), err)
			}
			if err := code(err, "22012"); err != nil {
				return err
			}
			i = len(want) - 1 // the rest is skipped
			continue
		}
		switch res := res.(type) {
		case *pgconn.PipelineSync:
			if i < len(want) {
				return fmt.Errorf("%d answers of %d", i, len(want))
			}
			return nil
		case *pgconn.ResultReader:
			r := res.Read()
			if i == bad {
				if err := code(r.Err, "22012"); err != nil {
					return err
				}
				i = len(want) - 1
				continue
			}
			if r.Err != nil || len(r.Rows) != 1 || string(r.Rows[0][0]) != want[i] {
				return fmt.Errorf("answer %d is another's: %w", i, orNone(r.Err))
			}
		}
	}
}

func (w *worker) batch(ctx context.Context) error {
	b := &pgx.Batch{}
	var want, got []string
	for range 1 + w.rng.IntN(20) {
		text := w.word(1000)
		want = append(want, text)
		b.Queue("select $1::text", text).QueryRow(func(row pgx.Row) error {
			var s string
			err := row.Scan(&s)
			got = append(got, s)
			return err
		})
	}
	if err := w.conn.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	if strings.Join(got, "\x00") != strings.Join(want, "\x00") {
		return errors.New("a batch was answered with another's answers")
	}
	return nil
}

func (w *worker) prepared(ctx context.Context) error {
	name := fmt.Sprintf("p%d", w.step)
	if _, err := w.conn.Prepare(ctx, name, "select $1::int + $2::int"); err != nil {
		return err
	}
	for range 1 + w.rng.IntN(20) {
		a, b := w.rng.Int32N(1e9), w.rng.Int32N(1e9)
		var sum int32
		if err := w.conn.QueryRow(ctx, name, a, b).Scan(&sum); err != nil || sum != a+b {
			return fmt.Errorf("%d + %d is %d, %w", a, b, sum, orNone(err))
		}
	}
	return w.conn.Deallocate(ctx, name)
}

func (w *worker) cursor(ctx context.Context) error {
	tx, err := w.conn.Begin(ctx)
	if err != nil {
		return err
	}
	total := w.rng.IntN(100)
	if _, err := tx.Exec(ctx, fmt.Sprintf("declare c cursor for select i from generate_series(1, %d) i", total)); err != nil {
		return err
	}
	next := 1
	for next <= total {
		rows, err := tx.Query(ctx, "fetch 7 from c", pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			return err
		}
		list, err := pgx.CollectRows(rows, pgx.RowTo[int])
		if err != nil || len(list) == 0 {
			return fmt.Errorf("%d rows fetched from row %d: %w", len(list), next, orNone(err))
		}
		for _, i := range list {
			if i != next {
				return fmt.Errorf("fetched row %d, want %d", i, next)
			}
			next++
		}
	}
	return tx.Commit(ctx)
}

// copy takes rows in and out again.
func (w *worker) copy(ctx context.Context) error {
	var in bytes.Buffer
	n := 1 + w.rng.IntN(5000)
	for i := range n {
		fmt.Fprintf(&in, "%d\t%d\t%s\n", w.n, i, strings.Repeat("abc ", w.rng.IntN(20)))
	}
	want := in.String()
	tag, err := w.conn.PgConn().CopyFrom(ctx, &in, "copy bulk from stdin")
	if err != nil || tag.RowsAffected() != int64(n) {
		return fmt.Errorf("%d rows copied in as %s: %w", n, tag, orNone(err))
	}
	var out bytes.Buffer
	if _, err := w.conn.PgConn().CopyTo(ctx, &out, fmt.Sprintf("copy (select * from bulk where worker = %d order by i) to stdout", w.n)); err != nil {
		return err
	}
	if out.String() != want {
		return fmt.Errorf("%d bytes copied in came out as other %d", len(want), out.Len())
	}
	tag, err = w.conn.Exec(ctx, "delete from bulk where worker = $1", w.n)
	if err == nil && tag.RowsAffected() != int64(n) {
		err = fmt.Errorf("%s, want %d", tag, n)
	}
	return err
}

// badCopy breaks a COPY from either end.
func (w *worker) badCopy(ctx context.Context) error {
	_, err := w.conn.PgConn().CopyFrom(ctx, strings.NewReader("1\tnot a number\tx\n"), "copy bulk from stdin")
	if err := code(err, "22P02"); err != nil {
		return err
	}
	var n int
	if err := w.conn.QueryRow(ctx, "select count(*) from bulk where worker = $1", w.n).Scan(&n); err != nil || n != 0 {
		return fmt.Errorf("%d rows of a COPY that failed: %w", n, orNone(err))
	}
	return nil
}

func (w *worker) big(ctx context.Context) error {
	n := 1000 + w.rng.IntN(30_000)
	rows, err := w.conn.Query(ctx, "select i, repeat('x', 100) from generate_series(1, $1::int) i", w.mode(), n)
	if err != nil {
		return err
	}
	next, i, text := 1, 0, ""
	_, err = pgx.ForEachRow(rows, []any{&i, &text}, func() error {
		if i != next || len(text) != 100 {
			return fmt.Errorf("row %d is %d with %d bytes", next, i, len(text))
		}
		next++
		return nil
	})
	if err == nil && next != n+1 {
		err = fmt.Errorf("%d rows of %d", next-1, n)
	}
	return err
}

func (w *worker) notify(ctx context.Context) error {
	channel, text := fmt.Sprintf("c%d", w.n), w.word(100)
	if _, err := w.conn.Exec(ctx, "listen "+channel); err != nil {
		return err
	}
	other, err := w.connect(ctx)
	if err != nil {
		return err
	}
	if _, err := other.Exec(ctx, "select pg_notify($1, $2)", channel, text); err != nil {
		return errors.Join(err, other.Close(ctx))
	}
	got, err := w.conn.WaitForNotification(ctx)
	if err != nil {
		return errors.Join(err, other.Close(ctx))
	}
	if got.Payload != text || got.Channel != channel {
		err = fmt.Errorf("heard %q on %s", got.Payload, got.Channel)
	}
	_, uerr := w.conn.Exec(ctx, "unlisten *")
	return errors.Join(err, uerr, other.Close(ctx))
}

// masked reads what must not be seen.
func (w *worker) masked(ctx context.Context) error {
	id := 1 + w.rng.IntN(500)
	var got int
	var email string
	if err := w.conn.QueryRow(ctx, "select id, email from people where id = $1", w.mode(), id).Scan(&got, &email); err != nil {
		return err
	}
	if got != id || email == "" || strings.Contains(email, "secret") {
		return fmt.Errorf("person %d is %d, %q", id, got, email)
	}
	return nil
}

func (w *worker) errors(ctx context.Context) error {
	for sql, want := range map[string]string{"select nothing from nowhere": "42P01", "select 1; select 1/0; select 2": "22012"} {
		_, err := w.conn.PgConn().Exec(ctx, sql).ReadAll()
		if err := code(err, want); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	// What cannot be understood puts the rest of its session in doubt: one of its own.
	conn, err := w.connect(ctx)
	if err != nil {
		return err
	}
	_, err = conn.PgConn().Exec(ctx, "selec").ReadAll()
	return errors.Join(code(err, "42601"), conn.Close(ctx))
}

func (w *worker) refused(ctx context.Context) error {
	_, err := w.conn.Exec(ctx, "insert into public.kept values ('x')", w.mode())
	if err := code(err, "42501"); err != nil {
		return err
	}
	tx, err := w.conn.Begin(ctx)
	if err != nil {
		return err
	}
	if err := w.change(ctx, tx, maps.Clone(w.model)); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "drop table public.kept", w.mode())
	if err := code(err, "42501"); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "select 1", pgx.QueryExecModeSimpleProtocol)
	return errors.Join(code(err, "25P02"), tx.Rollback(ctx), w.check(ctx))
}

func (w *worker) reconnect(ctx context.Context) error {
	pid, err := backend(ctx, w.conn)
	if err != nil {
		return err
	}
	if err := w.conn.Close(ctx); err != nil {
		return err
	}
	if w.conn, err = w.connect(ctx); err != nil {
		return err
	}
	return w.gone(ctx, pid)
}
