package client

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/tunnel"
)

// pipes is a local port without descriptors: a machine may not have ten thousand.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	close sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) dial() net.Conn {
	near, far := net.Pipe()
	p.conns <- far
	return near
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.close.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// ping goes to the gateway and back.
func ping(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := io.WriteString(c, "ping"); err != nil {
		t.Error(err)
		return
	}
	var got [4]byte
	if _, err := io.ReadFull(c, got[:]); err != nil || string(got[:]) != "ping" {
		t.Errorf("%q, %v", got, err)
	}
}

// thrifty echoes with little room, as a gateway's idle session has.
func thrifty(st *tunnel.Stream) {
	if st.Accept() != nil {
		return
	}
	buf := make([]byte, 64)
	for {
		n, err := st.Read(buf)
		if err != nil {
			return
		}
		if _, err := st.Write(buf[:n]); err != nil {
			return
		}
	}
}

// forwarded serves ln through a tunnel to a gateway that allows so many streams.
func forwarded(t *testing.T, ln net.Listener, limit int) *Gateway {
	t.Helper()
	gw := newGateway(t)
	gw.stop()
	gw.postgres, gw.limit = thrifty, limit
	gw.start(gw.addr)
	g := opened(t, gw, gw.store())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- Forward(ctx, ln, func(ctx context.Context) (net.Conn, error) { return g.Stream(ctx, "orders", "") }, nil)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return g
}

// Ten thousand local connections that do nothing, through one tunnel, neither stop
// a busy one beside them nor take much memory.
func TestTenThousandIdleConnectionsBesideABusyOne(t *testing.T) {
	const idle, openers, most = 10000, 20, 60 << 10
	ln := newPipes()
	forwarded(t, ln, idle+100)
	busy := ln.dial()
	defer busy.Close()
	ping(t, busy)
	before := inUse()
	opened := make(chan net.Conn, idle)
	var group sync.WaitGroup
	for range openers {
		group.Go(func() {
			for range idle / openers {
				c := ln.dial()
				ping(t, c)
				opened <- c
			}
		})
	}
	for len(opened) < idle && !t.Failed() { // while they come
		ping(t, busy)
	}
	group.Wait()
	each := (inUse() - before) / idle
	t.Logf("%d bytes for each idle connection, both ends together", each)
	if each > most {
		t.Errorf("%d bytes for each idle connection, more than %d", each, most)
	}
	for range 1000 {
		ping(t, busy)
	}
	close(opened)
	for c := range opened {
		if len(opened)%100 == 0 { // they are idle, not dead
			ping(t, c)
		}
		c.Close()
	}
}

// inUse is what is alive, stacks among it.
func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // pools let go at the second
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// A reader that stops, and one that sends a byte and then nothing, leave the others
// alone, whatever waits for them.
func TestStalledLocalProgramSlowsNobody(t *testing.T) {
	ln := newPipes()
	gw := newGateway(t)
	gw.stop()
	gw.postgres = func(st *tunnel.Stream) {
		if st.Header.Connection == "orders" {
			thrifty(st)
			return
		}
		if st.Accept() != nil {
			return
		}
		for chunk := make([]byte, 64<<10); ; {
			if _, err := st.Write(chunk); err != nil {
				return
			}
		}
	}
	gw.start(gw.addr)
	g := opened(t, gw, gw.store())
	flood := newPipes()
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for name, ln := range map[string]net.Listener{"orders": ln, "flood": flood} {
		group.Go(func() {
			if err := Forward(ctx, ln, func(ctx context.Context) (net.Conn, error) { return g.Stream(ctx, name, "") }, nil); err != nil {
				t.Error(err)
			}
		})
	}
	defer group.Wait()
	defer cancel()
	for range 20 {
		c := flood.dial() // a program that asked for much and reads a byte of it
		defer c.Close()
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	slow := ln.dial() // a program that has said half a word
	defer slow.Close()
	io.WriteString(slow, "p")
	busy := ln.dial()
	defer busy.Close()
	for range 500 {
		ping(t, busy)
	}
}

// More connections than there is room for are told so, and room comes back.
func TestTooManyLocalConnectionsAreTold(t *testing.T) {
	gw := newGateway(t)
	gw.stop()
	gw.postgres, gw.limit = thrifty, 2
	gw.start(gw.addr)
	g := opened(t, gw, gw.store())
	addr := gw.port(g)
	for range 2 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ping(t, c)
	}
	if e := fatal(t, addr); e.Message != "too many streams at once: 2 are open" || e.Hint != "close some connections first" {
		t.Errorf("%+v", e)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- forwardMost(ctx, ln, func(context.Context) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				io.Copy(far, far)
				far.Close()
			}()
			return near, nil
		}, slog.New(slog.DiscardHandler), 1)
	}()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ping(t, c)
	if e := fatal(t, ln.Addr().String()); e.Code != "53300" || e.Message != "too many connections to this port" || e.Hint == "" {
		t.Errorf("%+v", e)
	}
	ping(t, c)
	c.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// No descriptors left for the dial: the hint is not about the network.
func TestNoDescriptorsForTheDial(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE} {
		err := dialError("gw:8443", &net.OpError{Op: "dial", Err: errno})
		wantError(t, err, api.CodeError, "no file descriptors", "ulimit -n")
	}
	wantError(t, dialError("gw:8443", &net.OpError{Op: "dial", Err: errors.New("no route")}), api.CodeError, "no route", "network")
}
