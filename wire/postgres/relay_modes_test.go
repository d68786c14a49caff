package postgres

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/internal/pgtest"
)

var relayModes = []pgx.QueryExecMode{
	pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
	pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
}

// relayValues is one query over many types, its parameters all given as text or all
// by the driver's choice.
const relayValues = `select $1::int4, $2::text, $3::int4[], $4::numeric, $5::timestamptz, $6::uuid, $7::jsonb, $8::bytea, null::int8, $9::text[]`

var relayArgs = []any{
	7, "häuser 'quoted'", []int32{1, 2, 3}, "12345678901234567890.12345", "2026-03-04 05:06:07+00",
	"6ba7b810-9dad-11d1-80b4-00c04fd430c8", `{"a": [1, null]}`, []byte{0, 1, 255}, []string{"x", "", `y"z`},
}

// relayRaw is all rows of a query as the bytes that came, with their formats.
func relayRaw(ctx context.Context, conn *pgx.Conn, sql string, args ...any) ([][]string, error) {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all [][]string
	for rows.Next() {
		var row []string
		for i, v := range rows.RawValues() {
			f := rows.FieldDescriptions()[i]
			row = append(row, fmt.Sprintf("%s/%d/%d %v %q", f.Name, f.DataTypeOID, f.Format, v == nil, v))
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

func TestRelayGivesWhatTheServerGives(t *testing.T) {
	dsn := pgtest.Database(t)
	relayKinds(t, dsn, func(t *testing.T, r *relay) {
		for _, mode := range relayModes {
			t.Run(mode.String(), func(t *testing.T) {
				ctx := relayContext(t)
				direct, through := relayConnect(t, dsn), relayConnect(t, r.dsn)
				for _, args := range [][]any{relayArgs, {nil, nil, nil, nil, nil, nil, nil, nil, nil}} {
					call := append([]any{mode}, args...)
					for range 2 { // the second time from the driver's cache
						want, err := relayRaw(ctx, direct, relayValues, call...)
						if err != nil {
							t.Fatalf("direct: %v", err)
						}
						got, err := relayRaw(ctx, through, relayValues, call...)
						if err != nil {
							t.Fatalf("relayed: %v", err)
						}
						if diff := cmp.Diff(want, got); diff != "" {
							t.Errorf("(-direct +relayed)\n%s", diff)
						}
					}
				}
			})
		}
	})
}

func TestRelayErrorsLeaveTheSessionUsable(t *testing.T) {
	dsn := pgtest.Database(t)
	relayKinds(t, dsn, func(t *testing.T, r *relay) {
		for _, mode := range relayModes {
			t.Run(mode.String(), func(t *testing.T) {
				ctx := relayContext(t)
				conn := relayConnect(t, r.dsn)
				for _, sql := range []string{"select 1/0", "select nothing", "selec", "select 1/(g-50) from generate_series(1, 100) g"} {
					if _, err := relayRaw(ctx, conn, sql, mode); err == nil {
						t.Errorf("%s: no error", sql)
					}
					got, err := relayRaw(ctx, conn, "select 2::text as a", mode)
					if err != nil || len(got) != 1 {
						t.Fatalf("after %q: %v %v", sql, got, err)
					}
				}
				tx, err := conn.Begin(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := tx.Exec(ctx, "select 1/0", mode); relayCode(err) != "22012" {
					t.Errorf("division by zero: %v", err)
				}
				if _, err := tx.Exec(ctx, "select 1", mode); relayCode(err) != "25P02" {
					t.Errorf("in a failed transaction: %v", err)
				}
				if err := tx.Rollback(ctx); err != nil {
					t.Fatal(err)
				}
				if _, err := relayRaw(ctx, conn, "select 3", mode); err != nil {
					t.Errorf("after the transaction: %v", err)
				}
			})
		}
	})
}

// relayCode is the SQLSTATE of an error; "" if it is none of the server's.
func relayCode(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestRelayLargeResults(t *testing.T) {
	dsn := pgtest.Database(t)
	relayKinds(t, dsn, func(t *testing.T, r *relay) {
		for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeSimpleProtocol} {
			ctx := relayContext(t)
			conn := relayConnect(t, r.dsn)
			const sql = "select g, 'row ' || g from generate_series(1, 100000) g"
			rows, err := conn.Query(ctx, sql, mode)
			if err != nil {
				t.Fatal(err)
			}
			n, sum := 0, 0
			var g int
			var text string
			if _, err := pgx.ForEachRow(rows, []any{&g, &text}, func() error {
				n, sum = n+1, sum+g
				if want := fmt.Sprintf("row %d", g); text != want {
					return fmt.Errorf("text %q, want %q", text, want)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if n != 100000 || sum != 5000050000 {
				t.Errorf("%v: %d rows with sum %d", mode, n, sum)
			}
			if e := r.waitEnd(sql); e.Rows != 100000 || e.Tag != "SELECT 100000" {
				t.Errorf("%v: ended as %+v", mode, e)
			}
		}
	})
}

// One value is far larger than any buffer.
func TestRelayLargeValues(t *testing.T) {
	dsn := pgtest.Database(t)
	relayKinds(t, dsn, func(t *testing.T, r *relay) {
		conn := relayConnect(t, r.dsn)
		for _, size := range []int{0, 1, 65535, 65536, 5 << 20} {
			var text string
			if err := conn.QueryRow(relayContext(t), "select repeat('x', $1)", size).Scan(&text); err != nil || len(text) != size {
				t.Errorf("%d bytes: got %d, %v", size, len(text), err)
			}
			var n int
			if err := conn.QueryRow(relayContext(t), "select length($1::text)", text).Scan(&n); err != nil || n != size {
				t.Errorf("parameter of %d bytes: length %d, %v", size, n, err)
			}
		}
	})
}

func TestRelayBatches(t *testing.T) {
	dsn := pgtest.Database(t)
	relayKinds(t, dsn, func(t *testing.T, r *relay) {
		for _, mode := range relayModes {
			t.Run(mode.String(), func(t *testing.T) {
				ctx := relayContext(t)
				cfg, err := pgx.ParseConfig(r.dsn)
				if err != nil {
					t.Fatal(err)
				}
				cfg.DefaultQueryExecMode = mode
				conn, err := pgx.ConnectConfig(ctx, cfg)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close(ctx)
				for range 3 {
					var b pgx.Batch
					for i := range 50 {
						b.Queue("select $1::int4 * 2, $2::text", i, fmt.Sprint(i))
					}
					res := conn.SendBatch(ctx, &b)
					for i := range 50 {
						var n int
						var s string
						if err := res.QueryRow().Scan(&n, &s); err != nil || n != 2*i || s != fmt.Sprint(i) {
							t.Fatalf("statement %d: %d %q %v", i, n, s, err)
						}
					}
					if err := res.Close(); err != nil {
						t.Fatal(err)
					}
				}
				var b pgx.Batch
				b.Queue("select 1")
				b.Queue("select 1/$1::int4", 0)
				b.Queue("select 3")
				if err := conn.SendBatch(ctx, &b).Close(); relayCode(err) != "22012" {
					t.Errorf("batch with an error: %v", err)
				}
				var n int
				if err := conn.QueryRow(ctx, "select 4").Scan(&n); err != nil || n != 4 {
					t.Errorf("after it: %d %v", n, err)
				}
			})
		}
	})
}
