package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/jackc/pgproto3/v2"
	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/internal/pgtest"
)

func TestRelayCopyOut(t *testing.T) {
	dsn := pgtest.Database(t)
	relayKinds(t, dsn, func(t *testing.T, r *relay) {
		direct, through := relayConnect(t, dsn), relayConnect(t, r.dsn)
		for _, format := range []string{"text", "csv", "binary"} {
			sql := "copy (select g, 'a \"b\" ' || g, null::text from generate_series(1, 20000) g) to stdout (format " + format + ")"
			var want, got bytes.Buffer
			if _, err := direct.PgConn().CopyTo(relayContext(t), &want, sql); err != nil {
				t.Fatal(err)
			}
			tag, err := through.PgConn().CopyTo(relayContext(t), &got, sql)
			if err != nil || tag.RowsAffected() != 20000 {
				t.Errorf("%s: %v %v", format, tag, err)
			}
			if !bytes.Equal(want.Bytes(), got.Bytes()) {
				t.Errorf("%s: %d bytes direct, %d other bytes relayed", format, want.Len(), got.Len())
			}
			if e := r.waitEnd(sql); e.Rows != 20000 || e.Failed {
				t.Errorf("%s: ended as %+v", format, e)
			}
		}
		// An error after much data.
		sql := "copy (select 1/(g-15000) from generate_series(1, 20000) g) to stdout"
		if _, err := through.PgConn().CopyTo(relayContext(t), io.Discard, sql); relayCode(err) != "22012" {
			t.Errorf("error in the middle: %v", err)
		}
		relaySelects(t, r, through, "after COPY out")
	})
}

// relaySelects checks that statements and their answers still belong together.
func relaySelects(t *testing.T, r *relay, conn *pgx.Conn, what string) {
	t.Helper()
	for i, mode := range relayModes {
		sql := fmt.Sprintf("select '%s %d'::text from generate_series(1, %d)", strings.ReplaceAll(what, "'", ""), i, i+2)
		got, err := relayRaw(relayContext(t), conn, sql, mode)
		if err != nil || len(got) != i+2 {
			t.Fatalf("%s: %d rows, %v", what, len(got), err)
		}
		if e := r.waitEnd(sql); e.Rows != int64(i+2) || e.Failed || e.Skipped {
			t.Errorf("%s: ended as %+v, want %d rows", what, e, i+2)
		}
	}
}

func TestRelayCopyIn(t *testing.T) {
	dsn := pgtest.Database(t)
	pgtest.Exec(t, dsn, "create table c (id int primary key, name text)")
	relayKinds(t, dsn, func(t *testing.T, r *relay) {
		conn := relayConnect(t, r.dsn)
		for i, format := range []string{"text", "csv"} {
			var in strings.Builder
			for g := range 20000 {
				fmt.Fprintf(&in, "%d%cname %d\n", g, "\t,"[i], g)
			}
			sql := "copy c from stdin (format " + format + ")"
			tag, err := conn.PgConn().CopyFrom(relayContext(t), strings.NewReader(in.String()), sql)
			if err != nil || tag.RowsAffected() != 20000 {
				t.Fatalf("%s: %v %v", format, tag, err)
			}
			if e := r.waitEnd(sql); e.Rows != 20000 || e.Failed {
				t.Errorf("%s: ended as %+v", format, e)
			}
			relaySelects(t, r, conn, "after "+format)
			relayExec(t, conn, "truncate c")
		}
		n, err := conn.CopyFrom(relayContext(t), pgx.Identifier{"c"}, []string{"id", "name"}, pgx.CopyFromSlice(5000, func(i int) ([]any, error) {
			return []any{i, fmt.Sprint("name ", i)}, nil
		}))
		if err != nil || n != 5000 {
			t.Errorf("binary: %d %v", n, err)
		}
		var count int
		if err := conn.QueryRow(relayContext(t), "select count(*) from c where name = 'name ' || id").Scan(&count); err != nil || count != 5000 {
			t.Errorf("binary: %d rows there, %v", count, err)
		}
		relayExec(t, conn, "truncate c")
	})
}

func relayExec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(relayContext(t), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// COPY that the server refuses in the middle, and that the client gives up.
func TestRelayCopyInThatFails(t *testing.T) {
	dsn := pgtest.Database(t)
	pgtest.Exec(t, dsn, "create table c (id int primary key, name text)")
	relayKinds(t, dsn, func(t *testing.T, r *relay) {
		conn := relayConnect(t, r.dsn)
		for round := range 5 {
			in := io.MultiReader(strings.NewReader("1\ta\n2\tb\nx\ty\n"), strings.NewReader(strings.Repeat("9999\tmore and more\n", 30000)))
			sql := fmt.Sprintf("copy c from stdin /* %d */", round)
			if _, err := conn.PgConn().CopyFrom(relayContext(t), in, sql); relayCode(err) != "22P02" {
				t.Fatalf("bad row: %v", err)
			}
			if e := r.waitEnd(sql); !e.Failed {
				t.Errorf("ended as %+v", e)
			}
			relaySelects(t, r, conn, fmt.Sprintf("after a bad row %d", round))
			if _, err := conn.PgConn().CopyFrom(relayContext(t), strings.NewReader(""), "copy nowhere from stdin"); relayCode(err) != "42P01" {
				t.Fatalf("no table: %v", err)
			}
			relaySelects(t, r, conn, fmt.Sprintf("after no table %d", round))
			broken := io.MultiReader(strings.NewReader("1\ta\n"), iotest.ErrReader(errors.New("disk on fire")))
			if _, err := conn.PgConn().CopyFrom(relayContext(t), broken, "copy c from stdin"); relayCode(err) != "57014" {
				t.Fatalf("CopyFail: %v", err)
			}
			relaySelects(t, r, conn, fmt.Sprintf("after CopyFail %d", round))
		}
	})
}

// relayFrames speaks single messages, in orders no driver would.
type relayFrames struct {
	t    testing.TB
	conn net.Conn
	*pgproto3.Frontend
}

func relayDial(t testing.TB, dsn string) *relayFrames {
	t.Helper()
	pc := relayConnect(t, dsn).PgConn()
	if err := pc.SyncConn(relayContext(t)); err != nil {
		t.Fatal(err)
	}
	h, err := pc.Hijack()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Conn.Close() })
	if err := h.Conn.SetDeadline(time.Now().Add(relayTime)); err != nil {
		t.Fatal(err)
	}
	return &relayFrames{t: t, conn: h.Conn, Frontend: pgproto3.NewFrontend(pgproto3.NewChunkReader(h.Conn), h.Conn)}
}

// send writes messages with one call.
func (f *relayFrames) send(msgs ...pgproto3.FrontendMessage) {
	f.t.Helper()
	var b []byte
	for _, m := range msgs {
		var err error
		if b, err = m.Encode(b); err != nil {
			f.t.Fatal(err)
		}
	}
	if _, err := f.conn.Write(b); err != nil {
		f.t.Fatal(err)
	}
}

// expect reads as many messages and compares them, as relayTell tells them.
func (f *relayFrames) expect(want ...string) {
	f.t.Helper()
	for i, w := range want {
		m, err := f.Receive()
		if err != nil {
			f.t.Fatalf("message %d, want %s: %v", i, w, err)
		}
		if got := relayTell(m); got != w {
			f.t.Fatalf("message %d is %s, want %s", i, got, w)
		}
	}
}

func relayTell(m pgproto3.BackendMessage) string {
	switch m := m.(type) {
	case *pgproto3.DataRow:
		return "row " + string(bytes.Join(m.Values, []byte("|")))
	case *pgproto3.ErrorResponse:
		return "error " + m.Code
	case *pgproto3.CommandComplete:
		return string(m.CommandTag)
	case *pgproto3.ReadyForQuery:
		return "ready " + string(m.TxStatus)
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", m), "*pgproto3.")
}

func relayRun(sql string) []pgproto3.FrontendMessage {
	return []pgproto3.FrontendMessage{&pgproto3.Parse{Query: sql}, &pgproto3.Bind{}, &pgproto3.Execute{}}
}

var (
	relaySync  = &pgproto3.Sync{}
	relayFlush = &pgproto3.Flush{}
	relayDone  = &pgproto3.CopyDone{}
)

func relayData(text string) *pgproto3.CopyData { return &pgproto3.CopyData{Data: []byte(text)} }

var relayRan = []string{"ParseComplete", "BindComplete"}

func (f *relayFrames) expectRow(value string) {
	f.t.Helper()
	f.expect(append(relayRan, "row "+value, "SELECT 1", "ready I")...)
}

// relayBoth runs a test of raw messages against the database itself, to see that it
// tells the truth, and through each kind of relay.
func relayBoth(t *testing.T, setup string, test func(t *testing.T, f *relayFrames)) {
	dsn := pgtest.Database(t)
	pgtest.Exec(t, dsn, setup)
	t.Run("direct", func(t *testing.T) { test(t, relayDial(t, dsn)) })
	relayKinds(t, dsn, func(t *testing.T, r *relay) { test(t, relayDial(t, r.dsn)) })
}

const relayCopyTable = "create table c (id int, name text)"

// The server passes over a Sync that reaches it while it reads COPY data: one
// ReadyForQuery is owed and not two.
func TestRelayExtendedCopyInWithSyncBeforeItsEnd(t *testing.T) {
	relayBoth(t, relayCopyTable, func(t *testing.T, f *relayFrames) {
		for range 20 {
			f.send(append(relayRun("copy c from stdin"), relaySync)...)
			f.expect(append(relayRan, "CopyInResponse")...)
			f.send(relayData("1\ta\n"), relayData("2\tb\n"), relayDone, relaySync)
			f.expect("COPY 2", "ready I")
			f.send(append(relayRun("select 'after'::text"), relaySync)...)
			f.expectRow("after")
		}
	})
}

// All of it at once: the Sync before the data waits until the server is known to read.
func TestRelayExtendedCopyInSentAtOnce(t *testing.T) {
	relayBoth(t, relayCopyTable, func(t *testing.T, f *relayFrames) {
		for range 20 {
			f.send(append(relayRun("copy c from stdin"), relaySync, relayData("1\ta\n"), relayData("2\tb\n"), relayDone, relaySync,
				&pgproto3.Query{String: "select 'next'::text"})...)
			f.expect(append(relayRan, "CopyInResponse", "COPY 2", "ready I", "RowDescription", "row next", "SELECT 1", "ready I")...)
		}
	})
}

func TestRelayExtendedCopyInWithoutEarlySync(t *testing.T) {
	relayBoth(t, relayCopyTable, func(t *testing.T, f *relayFrames) {
		for range 20 {
			f.send(append(relayRun("copy c from stdin"), relayFlush)...)
			f.expect(append(relayRan, "CopyInResponse")...)
			f.send(relayData("1\ta\n"), relayDone, relaySync)
			f.expect("COPY 1", "ready I")
			f.send(append(relayRun("select 'after'::text"), relaySync)...)
			f.expectRow("after")
		}
	})
}

func TestRelayExtendedCopyInThatFails(t *testing.T) {
	relayBoth(t, relayCopyTable, func(t *testing.T, f *relayFrames) {
		for range 20 {
			f.send(append(relayRun("copy c from stdin"), relaySync)...)
			f.expect(append(relayRan, "CopyInResponse")...)
			f.send(relayData("x\ty\n"), relayData("2\tb\n"), relayDone, relaySync)
			f.expect("error 22P02", "ready I")
			f.send(append(relayRun("copy c from stdin"), relayFlush)...)
			f.expect(append(relayRan, "CopyInResponse")...)
			f.send(relayData("1\ta\n"), &pgproto3.CopyFail{Message: "no more"}, relaySync)
			f.expect("error 57014", "ready I")
			f.send(append(relayRun("copy nowhere from stdin"), relaySync, relayData("1\n"), relayDone, relaySync)...)
			f.expect("ParseComplete", "BindComplete", "error 42P01", "ready I", "ready I")
			f.send(append(relayRun("select 'after'::text"), relaySync)...)
			f.expectRow("after")
		}
	})
}

// COPY between other statements of one pipeline.
func TestRelayCopyInInTheMiddleOfAPipeline(t *testing.T) {
	relayBoth(t, relayCopyTable, func(t *testing.T, f *relayFrames) {
		for range 20 {
			msgs := relayRun("select 'one'::text")
			msgs = append(append(msgs, relayRun("copy c from stdin")...), relayData("1\ta\n"), relayDone)
			msgs = append(append(msgs, relayRun("select 'two'::text")...), relaySync)
			f.send(append(append(msgs, relayRun("select 'three'::text")...), relaySync)...)
			f.expect(append(relayRan, "row one", "SELECT 1")...)
			f.expect(append(relayRan, "CopyInResponse", "COPY 1")...)
			f.expect(append(relayRan, "row two", "SELECT 1", "ready I")...)
			f.expectRow("three")
		}
	})
}

func TestRelayCopyOutInTheMiddleOfAPipeline(t *testing.T) {
	relayBoth(t, "select 1", func(t *testing.T, f *relayFrames) {
		for range 20 {
			msgs := append(relayRun("select 'one'::text"), relayRun("copy (select 5) to stdout")...)
			f.send(append(append(msgs, relayRun("select 'two'::text")...), relaySync)...)
			f.expect(append(relayRan, "row one", "SELECT 1")...)
			f.expect(append(relayRan, "CopyOutResponse", "CopyData", "CopyDone", "COPY 1")...)
			f.expect(append(relayRan, "row two", "SELECT 1", "ready I")...)
		}
	})
}

// One Query may read twice, and run something between and after.
func TestRelaySimpleCopyInSeveralTimes(t *testing.T) {
	relayBoth(t, relayCopyTable, func(t *testing.T, f *relayFrames) {
		for range 20 {
			f.send(&pgproto3.Query{String: "copy c from stdin; select 'between'::text; copy c from stdin; select 'end'::text"},
				relayData("1\ta\n"), relayDone)
			f.expect("CopyInResponse", "COPY 1", "RowDescription", "row between", "SELECT 1", "CopyInResponse")
			f.send(relayData("1\ta\n2\tb\n"), relayDone, &pgproto3.Query{String: "select 'next'::text"})
			f.expect("COPY 2", "RowDescription", "row end", "SELECT 1", "ready I", "RowDescription", "row next", "SELECT 1", "ready I")
		}
	})
}

// A text that speaks of COPY but does not read must hold up nothing for good.
func TestRelayTextThatOnlyMentionsCopy(t *testing.T) {
	relayBoth(t, "select 1", func(t *testing.T, f *relayFrames) {
		msgs := append(relayRun("select 'copy from stdin'::text"), relayRun("select 'two'::text")...)
		f.send(append(msgs, relaySync, &pgproto3.Query{String: "select 'copy stdin'::text"}, &pgproto3.Query{String: "select 'last'::text"})...)
		f.expect(append(relayRan, "row copy from stdin", "SELECT 1", "ParseComplete", "BindComplete", "row two", "SELECT 1", "ready I")...)
		f.expect("RowDescription", "row copy stdin", "SELECT 1", "ready I", "RowDescription", "row last", "SELECT 1", "ready I")
	})
}

// A client that goes in the middle of its data leaves nothing behind.
func TestRelayClientGoneInTheMiddleOfCopyIn(t *testing.T) {
	dsn := pgtest.Database(t)
	pgtest.Exec(t, dsn, relayCopyTable)
	relayKinds(t, dsn, func(t *testing.T, r *relay) {
		f := relayDial(t, r.dsn)
		f.send(&pgproto3.Query{String: "copy c from stdin"}, relayData("1\ta\n"))
		f.expect("CopyInResponse")
		f.conn.Close()
		conn := relayConnect(t, dsn)
		ctx := relayContext(t)
		// The lock is gone once the other session is.
		if err := relayLocked(ctx, conn); err != nil {
			t.Errorf("the table is still in use: %v", err)
		}
	})
}

func relayLocked(ctx context.Context, conn *pgx.Conn) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx)
	if _, err := tx.Exec(ctx, "lock table c in access exclusive mode"); err != nil {
		return err
	}
	var n int
	if err := tx.QueryRow(ctx, "select count(*) from c").Scan(&n); err != nil {
		return err
	}
	if n != 0 {
		return fmt.Errorf("%d rows of an unfinished COPY", n)
	}
	return nil
}
