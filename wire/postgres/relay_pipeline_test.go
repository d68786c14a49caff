package postgres

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgproto3/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/internal/pgtest"
	"github.com/sluicehq/sluice/wire"
)

func TestRelayPipelineOfManyStatements(t *testing.T) {
	dsn := pgtest.Database(t)
	relayKinds(t, dsn, func(t *testing.T, r *relay) {
		conn := relayConnect(t, r.dsn).PgConn()
		p := conn.StartPipeline(relayContext(t))
		const groups, each = 40, 25
		for g := range groups {
			for i := range each {
				sql := fmt.Sprintf("select %d, $1::text", g)
				if g%4 == 1 && i == 10 {
					sql = "select 1/0, $1::text"
				}
				p.SendQueryParams(sql, [][]byte{fmt.Append(nil, i)}, nil, nil, nil)
			}
			if err := p.Sync(); err != nil {
				t.Fatal(err)
			}
		}
		for g := range groups {
			relayGroup(t, p, g, each)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if res := conn.ExecParams(relayContext(t), "select 'after'", nil, nil, nil, nil).Read(); res.Err != nil || string(res.Rows[0][0]) != "after" {
			t.Errorf("after the pipeline: %v", res.Err)
		}
	})
}

// relayGroup reads the answers of one group: all of them, or an error at the tenth
// and then nothing up to Sync.
func relayGroup(t *testing.T, p *pgconn.Pipeline, g, each int) {
	t.Helper()
	for i := range each {
		res, err := p.GetResults()
		reader, ok := res.(*pgconn.ResultReader)
		if g%4 == 1 && i == 10 {
			if err == nil && ok {
				err = reader.Read().Err
			}
			if relayCode(err) != "22012" {
				t.Fatalf("group %d: statement %d: %v, want division by zero", g, i, err)
			}
			break
		}
		if err != nil || !ok {
			t.Fatalf("group %d: statement %d: %T %v", g, i, res, err)
		}
		all := reader.Read()
		if all.Err != nil || len(all.Rows) != 1 || string(all.Rows[0][0]) != fmt.Sprint(g) || string(all.Rows[0][1]) != fmt.Sprint(i) {
			t.Fatalf("group %d: statement %d: %q %v", g, i, all.Rows, all.Err)
		}
	}
	res, err := p.GetResults()
	if _, ok := res.(*pgconn.PipelineSync); err != nil || !ok {
		t.Fatalf("group %d: %T %v, want the answer to Sync", g, res, err)
	}
}

// With Flush alone answers come, and no ReadyForQuery.
func TestRelayFlushWithoutSync(t *testing.T) {
	relayBoth(t, "select 1", func(t *testing.T, f *relayFrames) {
		for i := range 10 {
			value := fmt.Sprint(i)
			f.send(append(relayRun("select '"+value+"'::text"), relayFlush)...)
			f.expect(append(relayRan, "row "+value, "SELECT 1")...)
		}
		f.send(append(relayRun("select 1/g from generate_series(0, 1) g"), relayFlush)...)
		f.expect("ParseComplete", "BindComplete", "error 22012")
		// Skipped, all of it, also the Query.
		f.send(append(relayRun("select 'skipped'::text"), relayFlush, &pgproto3.Query{String: "select 'skipped too'::text"})...)
		f.send(relaySync)
		f.expect("ready I")
		f.send(append(relayRun("select 'after'::text"), relaySync)...)
		f.expectRow("after")
	})
}

func TestRelayPortalsInParts(t *testing.T) {
	relayBoth(t, "select 1", func(t *testing.T, f *relayFrames) {
		f.send(&pgproto3.Parse{Name: "s", Query: "select g::text from generate_series(1, 5) g"}, &pgproto3.Bind{DestinationPortal: "p", PreparedStatement: "s"},
			&pgproto3.Execute{Portal: "p", MaxRows: 2}, relayFlush)
		f.expect(append(relayRan, "row 1", "row 2", "PortalSuspended")...)
		// Another portal between the parts.
		f.send(&pgproto3.Bind{DestinationPortal: "q", PreparedStatement: "s"}, &pgproto3.Execute{Portal: "q", MaxRows: 1},
			&pgproto3.Execute{Portal: "p", MaxRows: 2}, relayFlush)
		f.expect("BindComplete", "row 1", "PortalSuspended", "row 3", "row 4", "PortalSuspended")
		f.send(&pgproto3.Execute{Portal: "p"}, &pgproto3.Close{ObjectType: 'P', Name: "p"}, &pgproto3.Describe{ObjectType: 'P', Name: "q"}, relaySync)
		f.expect("row 5", "SELECT 1", "CloseComplete", "RowDescription", "ready I")
		f.send(&pgproto3.Execute{Portal: "q"}, relaySync) // gone with the transaction
		f.expect("error 34000", "ready I")
		f.send(append(relayRun("select 'after'::text"), relaySync)...)
		f.expectRow("after")
	})
}

// FETCH says nothing of its columns before the cursor is there; its rows still come.
func TestRelayFetchPreparedBeforeItsCursor(t *testing.T) {
	relayBoth(t, "select 1", func(t *testing.T, f *relayFrames) {
		f.send(append(append(relayRun("begin"), relayRun("declare k cursor for select g::text from generate_series(1, 3) g")...), relayRun("fetch 2 from k")...)...)
		f.send(append(relayRun("commit"), relaySync)...)
		f.expect(append(relayRan, "BEGIN")...)
		f.expect(append(relayRan, "DECLARE CURSOR")...)
		f.expect(append(relayRan, "row 1", "row 2", "FETCH 2")...)
		f.expect(append(relayRan, "COMMIT", "ready I")...)
	})
}

// FETCH and EXECUTE were parsed when their names meant nothing or something else:
// what the statement was described as then is not what its portal brings.
func TestRelayFetchParsedBeforeItsCursor(t *testing.T) {
	relayBoth(t, "select 1", func(t *testing.T, f *relayFrames) {
		f.send(&pgproto3.Parse{Name: "f", Query: "fetch 2 from k"}, relaySync)
		f.expect("ParseComplete", "ready I")
		f.send(append(append(relayRun("begin"), relayRun("declare k cursor for select g::text, 'x' from generate_series(1, 9) g")...), relaySync)...)
		f.expect(append(relayRan, "BEGIN")...)
		f.expect(append(relayRan, "DECLARE CURSOR", "ready T")...)
		for i := 1; i < 7; i += 2 {
			f.send(&pgproto3.Bind{PreparedStatement: "f"}, &pgproto3.Execute{}, relaySync)
			f.expect("BindComplete", fmt.Sprintf("row %d|x", i), fmt.Sprintf("row %d|x", i+1), "FETCH 2", "ready T")
		}
		f.send(append(append(relayRun("close k"), relayRun("declare k cursor for select 'other'")...), relaySync)...)
		f.expect(append(relayRan, "CLOSE CURSOR")...)
		f.expect(append(relayRan, "DECLARE CURSOR", "ready T")...)
		f.send(&pgproto3.Bind{PreparedStatement: "f"}, &pgproto3.Execute{}, relaySync)
		f.expect("BindComplete", "row other", "FETCH 1", "ready T")
	})
}

func TestRelayExecuteOfAnotherStatementByTheSameName(t *testing.T) {
	relayBoth(t, "select 1", func(t *testing.T, f *relayFrames) {
		f.send(append(relayRun("prepare q as select 'one'"), relaySync)...)
		f.expect(append(relayRan, "PREPARE", "ready I")...)
		f.send(&pgproto3.Parse{Name: "e", Query: "execute q"}, &pgproto3.Bind{PreparedStatement: "e"}, &pgproto3.Execute{}, relaySync)
		f.expect(append(relayRan, "row one", "SELECT 1", "ready I")...)
		f.send(append(append(relayRun("deallocate q"), relayRun("prepare q as select 'two', 'three'")...), relaySync)...)
		f.expect(append(relayRan, "DEALLOCATE")...)
		f.expect(append(relayRan, "PREPARE", "ready I")...)
		f.send(&pgproto3.Bind{PreparedStatement: "e"}, &pgproto3.Execute{}, relaySync)
		f.expect("BindComplete", "row two|three", "SELECT 1", "ready I")
	})
}

// A statement prepared while its table had one column is run when it has two.
func TestRelayStatementWhoseColumnsChange(t *testing.T) {
	relayBoth(t, "select 1", func(t *testing.T, f *relayFrames) {
		f.send(&pgproto3.Query{String: "drop table if exists w; create table w as select 1 as a"})
		for m := ""; m != "ready I"; {
			msg, err := f.Receive()
			if err != nil {
				t.Fatal(err)
			}
			m = relayTell(msg)
		}
		f.send(&pgproto3.Parse{Name: "s", Query: "select * from w"}, &pgproto3.Bind{PreparedStatement: "s"}, &pgproto3.Execute{}, relaySync)
		f.expect(append(relayRan, "row 1", "SELECT 1", "ready I")...)
		f.send(&pgproto3.Query{String: "alter table w add b int default 2"})
		f.expect("ALTER TABLE", "ready I")
		f.send(&pgproto3.Bind{PreparedStatement: "s"}, &pgproto3.Execute{}, relaySync)
		f.expect("error 0A000", "ready I") // cached plan must not change result type
		f.send(&pgproto3.Close{ObjectType: 'S', Name: "s"}, &pgproto3.Parse{Name: "s", Query: "select * from w"}, &pgproto3.Bind{PreparedStatement: "s"}, &pgproto3.Execute{}, relaySync)
		f.expect("CloseComplete", "ParseComplete", "BindComplete", "row 1|2", "SELECT 1", "ready I")
	})
}

const relayForbidden = "forbidden"

func relayRefusing(action wire.Action) func(*wire.Request) *Say {
	return func(req *wire.Request) *Say {
		if req.Action == action && holds(req.SQL, relayForbidden) {
			return &Say{Severity: "ERROR", Code: "42501", Message: "refused by policy", Hint: "ask"}
		}
		return nil
	}
}

// A refusal fails as any error of the server does: in the place of its statement,
// with the transaction, and with the inserts before it.
func TestRelayRefusalUndoesItsTransaction(t *testing.T) {
	dsn := pgtest.Database(t)
	pgtest.Exec(t, dsn, "create table n (id int)")
	for _, action := range []wire.Action{wire.Prepare, wire.Run} {
		for _, mode := range relayModes {
			t.Run(fmt.Sprintf("%d %v", action, mode), func(t *testing.T) {
				r := relayTo(t, dsn, &relay{refuse: relayRefusing(action), look: true, gate: true})
				if action == wire.Prepare && mode == pgx.QueryExecModeSimpleProtocol {
					r.refuse = relayRefusing(wire.Run) // there is no Parse
				}
				conn := relayConnect(t, r.dsn)
				ctx := relayContext(t)
				tx, err := conn.Begin(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := tx.Exec(ctx, "insert into n values ($1)", mode, 1); err != nil {
					t.Fatal(err)
				}
				var e *pgconn.PgError
				_, err = tx.Exec(ctx, "insert into n values ($1) -- forbidden", mode, 2)
				if relayCode(err) != "42501" {
					t.Fatalf("refused: %v", err)
				}
				if !errors.As(err, &e) || e.Message != "refused by policy" || e.Hint != "ask" {
					t.Errorf("refused with %+v", e)
				}
				if _, err := tx.Exec(ctx, "select $1::int4", mode, 1); relayCode(err) != "25P02" {
					t.Errorf("after the refusal: %v, want an aborted transaction", err)
				}
				if err := tx.Commit(ctx); err == nil {
					t.Error("commit of an aborted transaction gave no error")
				}
				var n int
				if err := conn.QueryRow(ctx, "select count(*) from n", mode).Scan(&n); err != nil || n != 0 {
					t.Errorf("%d rows are there, %v", n, err)
				}
			})
		}
	}
}

// In a pipeline a refusal skips what follows up to Sync, and undoes what came before.
func TestRelayRefusalInAPipeline(t *testing.T) {
	dsn := pgtest.Database(t)
	pgtest.Exec(t, dsn, "create table n (id int)")
	for _, action := range []wire.Action{wire.Prepare, wire.Run} {
		for _, look := range []bool{false, true} {
			t.Run(fmt.Sprint(action, look), func(t *testing.T) {
				r := relayTo(t, dsn, &relay{refuse: relayRefusing(action), look: look})
				f := relayDial(t, r.dsn)
				msgs := append(relayRun("insert into n values (1)"), relayRun("insert into n values (2) -- forbidden")...)
				msgs = append(append(msgs, relayRun("insert into n values (3)")...), relaySync)
				f.send(append(append(msgs, relayRun("select count(*)::text from n")...), relaySync)...)
				f.expect(append(relayRan, "INSERT 0 1")...)
				if action == wire.Run {
					f.expect(relayRan...)
				}
				f.expect("error 42501", "ready I")
				f.expectRow("0")
				if e := r.waitEnd("insert into n values (3)"); !e.Skipped {
					t.Errorf("what followed ended as %+v, want skipped", e)
				}
			})
		}
	}
}

// One Query of several statements is one: refused, none of it runs.
func TestRelayRefusalOfAQuery(t *testing.T) {
	dsn := pgtest.Database(t)
	pgtest.Exec(t, dsn, "create table n (id int)")
	r := relayTo(t, dsn, &relay{refuse: relayRefusing(wire.Run)})
	f := relayDial(t, r.dsn)
	f.send(&pgproto3.Query{String: "insert into n values (1)"}, &pgproto3.Query{String: "insert into n values (2); select 'forbidden'"},
		&pgproto3.Query{String: "select count(*)::text from n"})
	f.expect("INSERT 0 1", "ready I", "error 42501", "ready I", "RowDescription", "row 1", "SELECT 1", "ready I")
}

// The key a client was given cancels its own statement, and no other's.
func TestRelayCancel(t *testing.T) {
	dsn := pgtest.Database(t)
	relayKinds(t, dsn, func(t *testing.T, r *relay) {
		conn, other := relayConnect(t, r.dsn), relayConnect(t, r.dsn)
		watcher := relayConnect(t, dsn)
		const sql = "select pg_sleep(60)"
		result := make(chan error, 1)
		go func() {
			_, err := conn.Exec(context.Background(), sql)
			result <- err
		}()
		relaySleeping(t, watcher, 1)
		if err := other.PgConn().CancelRequest(relayContext(t)); err != nil {
			t.Fatal(err)
		}
		relaySleeping(t, watcher, 1)
		if err := conn.PgConn().CancelRequest(relayContext(t)); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-result:
			if relayCode(err) != "57014" {
				t.Fatalf("cancelled: %v", err)
			}
		case <-time.After(relayTime):
			t.Fatal("not cancelled")
		}
		relaySelects(t, r, conn, "after the cancel")
		relaySelects(t, r, other, "of the other")
	})
}

// relaySleeping waits until n sessions of this database sleep.
func relaySleeping(t *testing.T, conn *pgx.Conn, n int) {
	t.Helper()
	ctx := relayContext(t)
	for {
		var found int
		err := conn.QueryRow(ctx, "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'").Scan(&found)
		if err != nil {
			t.Fatalf("wait for %d sleeping sessions: %v", n, err)
		}
		if found == n {
			return
		}
	}
}
