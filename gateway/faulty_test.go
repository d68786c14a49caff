package gateway_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/internal/pgtest"
)

// fault is how and when the connection between the gateway and the database fails.
type fault struct {
	up    bool   // messages to the database are counted, else those from it
	login bool   // from the first of the connection on, else from the end of the login
	after int    // so many pass
	how   string // "close", "reset", "half", "torn": in the middle of the next message; "" never

	now   chan struct{}                      // it is closed when this is
	edit  func(kind byte, msg []byte) []byte // changes what the database sends, after the login
	fired atomic.Bool
}

// faulty stands between the gateway and a database, and fails as it is told: the
// connection whose application_name holds a name gets the fault of that name.
type faulty struct {
	net.Listener
	to     string
	mu     sync.Mutex // guards faults
	faults map[string]*fault
	conns  sync.WaitGroup
}

// between starts a gateway with a faulty line to its database.
func between(t *testing.T, env, setup string, change ...func(*gateway.Config)) (*through, *faulty) {
	t.Helper()
	dsn := pgtest.Database(t)
	pgtest.Exec(t, dsn, setup)
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &faulty{Listener: ln, to: fmt.Sprintf("%s:%d", cfg.Host, cfg.Port), faults: map[string]*fault{}}
	f.conns.Go(f.serve)
	t.Cleanup(func() { // after the gateway has ended
		ln.Close()
		f.conns.Wait()
	})
	cfg.Port = uint16(ln.Addr().(*net.TCPAddr).Port)
	return startOn(t, dsn, gateway.Connection{Name: "orders", Env: env, Database: cfg}, nil, change...), f
}

func (f *faulty) plan(name string, how *fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[name] = how
}

func (f *faulty) planned(startup []byte) *fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, how := range f.faults {
		if bytes.Contains(startup, []byte(name)) {
			return how
		}
	}
	return &fault{}
}

func (f *faulty) serve() {
	for {
		near, err := f.Accept()
		if err != nil {
			return
		}
		f.conns.Go(func() {
			defer near.Close()
			far, err := net.Dial("tcp", f.to)
			if err != nil {
				return
			}
			defer far.Close()
			f.carry(near.(*net.TCPConn), far.(*net.TCPConn))
		})
	}
}

// line is one connection through it.
type line struct {
	*fault
	near, far *net.TCPConn // of the gateway, of the database
	in        atomic.Bool  // the login has ended
}

func (f *faulty) carry(near, far *net.TCPConn) {
	first, err := message(near, 0)
	if err != nil {
		return
	}
	l := &line{fault: f.planned(first), near: near, far: far}
	l.in.Store(l.login)
	if _, err := far.Write(first); err != nil {
		return
	}
	var both sync.WaitGroup
	if l.now != nil {
		over := make(chan struct{})
		defer close(over)
		f.conns.Go(func() {
			select {
			case <-l.now:
				near.Close()
				far.Close()
			case <-over:
			}
		})
	}
	both.Go(l.down)
	both.Go(l.upwards)
	both.Wait()
}

// message reads one message whose length follows head bytes: one of type, none at
// the beginning of a connection.
func message(r io.Reader, head int) ([]byte, error) {
	b := make([]byte, head+4)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(b[head:])
	if n < 4 || n > 1<<20 {
		return nil, fmt.Errorf("a length of %d", n)
	}
	b = append(b, make([]byte, n-4)...)
	_, err := io.ReadFull(r, b[head+4:])
	return b, err
}

func (l *line) down() {
	defer l.near.CloseWrite()
	n := 0
	for {
		if !l.up && l.in.Load() && n == l.after && l.fail("close", "reset", "half") {
			return
		}
		msg, err := message(l.far, 1)
		if err != nil {
			return
		}
		in := l.in.Load()
		if in && !l.up && n == l.after && l.how == "torn" {
			_, _ = l.near.Write(msg[:len(msg)/2+1]) // it may be gone, as everywhere here
			l.fail("torn")
			return
		}
		if in && l.edit != nil {
			msg = l.edit(msg[0], msg)
		}
		if _, err := l.near.Write(msg); err != nil {
			return
		}
		if in {
			n++
		}
		if msg[0] == 'Z' {
			l.in.Store(true)
		}
	}
}

func (l *line) upwards() {
	defer l.far.CloseWrite()
	n := 0
	for {
		if l.in.Load() {
			n++
			if l.up && n == l.after && l.fail("close", "reset", "half") {
				return
			}
		}
		msg, err := message(l.near, 1)
		if err != nil {
			return
		}
		if _, err := l.far.Write(msg); err != nil {
			return
		}
	}
}

// fail lets the connection fail now, if it is to fail in one of these ways.
func (l *line) fail(ways ...string) bool {
	for _, way := range ways {
		if way == l.how {
			l.fired.Store(true)
			switch way {
			case "half": // the database says nothing any more, and still listens
				l.near.CloseWrite()
				return !l.up
			case "reset":
				l.near.SetLinger(0)
			}
			l.near.Close()
			l.far.Close()
			return true
		}
	}
	return false
}
