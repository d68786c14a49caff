package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/wire"
)

// relayTime bounds every wait of these tests: what takes longer hangs.
const relayTime = 10 * time.Second

// relayEnd is how one statement ended, as whoever decides is told of it.
type relayEnd struct {
	SQL                      string
	Tag                      string
	Rows                     int64
	Failed, Refused, Skipped bool
}

// relay joins clients to a database in the way the gateway does, without policy:
// look and gate are set on all that runs, and refuse names what must not run.
type relay struct {
	look, gate bool
	refuse     func(*wire.Request) *Say
	odd        bool // the client of this test breaks the protocol

	t    testing.TB
	db   *pgconn.Config
	dsn  string
	keys Keys

	mu      sync.Mutex
	ends    []relayEnd
	changed chan struct{} // closed and replaced when ends grows
	faults  []error       // why sessions ended, other than by goodbye
}

// relayTo starts r in front of a database; r.dsn is the way through it.
func relayTo(t testing.TB, dsn string, r *relay) *relay {
	t.Helper()
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.t, r.db, r.changed = t, cfg, make(chan struct{})
	r.dsn = fmt.Sprintf("postgres://me@%s/%s?sslmode=disable", ln.Addr(), cfg.Database)
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			group.Go(func() { r.session(ctx, conn) })
		}
	})
	t.Cleanup(func() {
		cancel()
		ln.Close()
		relayWithin(t, "end of the relay's sessions", group.Wait)
		for _, err := range r.faults {
			if v := (*Violation)(nil); errors.As(err, &v) && !r.odd {
				t.Errorf("relay: %v", err)
			}
		}
	})
	return r
}

// relayWithin fails the test if f does not return in time.
func relayWithin(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(relayTime):
		t.Fatalf("%s: still waiting after %v", what, relayTime)
	}
}

func (r *relay) fault(err error) {
	if err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, err)
}

func (r *relay) session(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	client, st, err := Accept(ctx, conn, "")
	if err != nil {
		r.fault(err)
		return
	}
	if st.Cancel != nil {
		if !r.keys.Cancel(*st.Cancel, "") {
			r.fault(errors.New("cancel request for no session"))
		}
		return
	}
	server, err := Dial(ctx, r.db.Copy(), client)
	if err != nil {
		r.fault(err)
		return
	}
	defer server.Close()
	key, release, err := r.keys.Issue(server.PID(), "", func() { r.fault(server.Cancel(ctx)) })
	if err != nil {
		r.fault(err)
		return
	}
	defer release()
	if err := client.Ready(server.Settings, key); err != nil {
		r.fault(err)
		return
	}
	stop := context.AfterFunc(ctx, func() { server.Close(); client.Close() })
	defer stop()
	r.join(client, server)
}

// join carries both ways until one of them ends.
func (r *relay) join(client *Client, server *Server) {
	var both sync.WaitGroup
	end := func() {
		_ = server.Close()
		_ = client.Close()
	}
	both.Go(func() {
		defer end()
		r.fault(r.up(client, server))
	})
	both.Go(func() {
		defer end()
		r.fault(r.down(client, server))
	})
	both.Wait()
}

func (r *relay) up(client *Client, server *Server) error {
	for {
		if !client.Complete() {
			if err := server.Flush(); err != nil {
				return err
			}
		}
		req, err := client.Read()
		if err != nil {
			var v *Violation
			if errors.As(err, &v) {
				client.Fatal(v.Say())
			}
			return err
		}
		if err := r.carry(server, req); err != nil {
			return err
		}
	}
}

func (r *relay) carry(server *Server, req *wire.Request) error {
	var err error
	skipped := false
	switch {
	case req.Action != wire.Pass && r.refuse != nil && r.refuse(req) != nil:
		skipped, err = server.Refuse(req, *r.refuse(req))
	case req.Action == wire.Prepare:
		req.Prepared.Look = r.look
		skipped, err = server.Send(req)
	default:
		if req.Action == wire.Run {
			req.Look, req.Gate = r.look, r.gate
		}
		skipped, err = server.Send(req)
	}
	if skipped && req.Action == wire.Run {
		r.ended(&wire.Reply{Of: req, Failed: true, Skipped: true})
	}
	return err
}

func (r *relay) down(client *Client, server *Server) error {
	var columns []wire.Column
	var of *wire.Request
	for {
		reply, err := server.Receive()
		if err != nil {
			return errors.Join(err, client.Flush())
		}
		switch reply.Kind {
		case wire.Columns:
			columns, of = append([]wire.Column{}, reply.Columns...), reply.Of
		case wire.Row:
			if of != reply.Of || len(columns) != len(reply.Row) {
				r.t.Errorf("a row of %d values in an answer with %d columns told (%s)", len(reply.Row), len(columns), reply.Of.SQL)
			}
		case wire.Begin:
			if err := client.Flush(); err != nil {
				return err
			}
		case wire.Done:
			r.ended(reply)
		}
		if reply.Frame != nil || reply.Kind == wire.Row || reply.Kind == wire.CopyRow {
			if err := client.Write(reply); err != nil {
				return err
			}
		}
		if !server.Buffered() {
			if err := client.Flush(); err != nil {
				return err
			}
		}
	}
}

func (r *relay) ended(reply *wire.Reply) {
	e := relayEnd{Tag: reply.Tag, Rows: reply.Rows, Failed: reply.Failed, Refused: reply.Refused, Skipped: reply.Skipped}
	if reply.Of != nil {
		e.SQL = reply.Of.SQL
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ends = append(r.ends, e)
	close(r.changed)
	r.changed = make(chan struct{})
}

// waitEnd waits until a statement with this text has ended, and tells how.
func (r *relay) waitEnd(sql string) relayEnd {
	r.t.Helper()
	late := time.After(relayTime)
	for {
		r.mu.Lock()
		changed, ends := r.changed, r.ends
		r.mu.Unlock()
		for i := len(ends) - 1; i >= 0; i-- {
			if ends[i].SQL == sql {
				return ends[i]
			}
		}
		select {
		case <-changed:
		case <-late:
			r.t.Fatalf("%q has not ended; what has: %+v", sql, ends)
		}
	}
}

// relayContext bounds a test's waiting.
func relayContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), relayTime)
	t.Cleanup(cancel)
	return ctx
}

func relayConnect(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(relayContext(t), dsn)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), relayTime)
		defer cancel()
		_ = conn.Close(ctx) // some tests end it themselves
	})
	return conn
}

// relayKinds runs a test on relays that look at nothing, at everything, and that
// are also told before an answer begins.
func relayKinds(t *testing.T, dsn string, test func(t *testing.T, r *relay)) {
	t.Helper()
	for _, kind := range []struct {
		name       string
		look, gate bool
	}{{"pass", false, false}, {"look", true, false}, {"gate", false, true}, {"look and gate", true, true}} {
		t.Run(kind.name, func(t *testing.T) {
			test(t, relayTo(t, dsn, &relay{look: kind.look, gate: kind.gate}))
		})
	}
}
