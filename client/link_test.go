package client

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgproto3/v2"
	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/tunnel"
)

// port opens a local port to orders through g.
func (g *gatewayWorld) port(gw *Gateway) string {
	return forward(g.t, func(ctx context.Context) (net.Conn, error) { return gw.Stream(ctx, "orders", "") })
}

// greeted connects to a local port and reads the gateway's greeting.
func greeted(t *testing.T, addr string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || line != "hello ada@example.com\n" {
		t.Errorf("%q, %v", line, err)
	}
}

// fatal connects to a local port as a PostgreSQL client and reads the error.
func fatal(t *testing.T, addr string) (e pgproto3.ErrorResponse) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write(startup(protocol3, "user\x00ada\x00\x00"))
	c.(*net.TCPConn).CloseWrite()
	all, err := io.ReadAll(c)
	if err != nil || len(all) < 5 || all[0] != 'E' {
		t.Fatalf("%q, %v", all, err)
	}
	if err := e.Decode(all[5:]); err != nil {
		t.Fatal(err)
	}
	return e
}

func opened(t *testing.T, gw *gatewayWorld, s *Store) *Gateway {
	t.Helper()
	gw.login(s)
	g, err := Open(t.Context(), s, gw.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

// lost waits until g has noticed that its gateway is gone.
func lost(t *testing.T, g *Gateway) {
	t.Helper()
	sess, a, _ := g.link.current()
	if a != nil {
		return
	}
	select {
	case <-sess.Closed():
	case <-time.After(10 * time.Second):
		t.Fatal("the loss was not noticed")
	}
}

func TestProgramWaitsWhileTheGatewayRestarts(t *testing.T) {
	gw := newGateway(t)
	g := opened(t, gw, gw.store())
	addr := gw.port(g)
	greeted(t, addr)
	gw.stop()
	lost(t, g)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() { greeted(t, addr) })
	}
	if err := g.Call(t.Context(), http.MethodGet, api.WhoAmIPath, nil, nil); err == nil {
		t.Error("a call without a gateway succeeded")
	}
	gw.start(gw.addr)
	wg.Wait()
}

func TestProgramIsToldWhenTheGatewayStaysAway(t *testing.T) {
	gw := newGateway(t)
	g := opened(t, gw, gw.store())
	g.patience = 300 * time.Millisecond
	addr := gw.port(g)
	gw.stop()
	lost(t, g)
	e := fatal(t, addr)
	if e.Severity != "FATAL" || e.Code != "08006" || !strings.Contains(e.Message, "cannot reach the gateway at "+gw.addr) || !strings.Contains(e.Hint, "that the gateway runs") {
		t.Errorf("%+v", e)
	}
}

// A gateway that takes connections and says nothing must not hold a program longer.
func TestProgramIsToldWhenTheGatewayHangs(t *testing.T) {
	gw := newGateway(t)
	g := opened(t, gw, gw.store())
	g.patience = 200 * time.Millisecond
	addr := gw.port(g)
	gw.stop()
	ln, err := net.Listen("tcp", gw.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	lost(t, g)
	if e := fatal(t, addr); e.Code != "08006" || !strings.Contains(e.Message, "does not answer") || e.Hint == "" {
		t.Errorf("%+v", e)
	}
}

// However many programs wait, the gateway is dialled once, and each waits no longer
// than it wants to.
func TestWaitersShareOneDial(t *testing.T) {
	var dials atomic.Int32
	begun, proceed := make(chan struct{}, 10), make(chan struct{})
	no := errors.New("no")
	l := &link{now: time.Now, dial: func(context.Context, bool) (*tunnel.Session, time.Time, error) {
		dials.Add(1)
		begun <- struct{}{}
		<-proceed
		return nil, time.Time{}, no
	}}
	_, first, _ := l.current()
	<-begun
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.session(impatient); !errors.Is(err, context.Canceled) {
		t.Errorf("who does not want to wait got %v", err)
	}
	for range 50 {
		if _, a, _ := l.current(); a != first {
			t.Fatal("a second dial while one is under way")
		}
	}
	close(proceed)
	<-first.done
	if !errors.Is(first.err, no) || dials.Load() != 1 {
		t.Errorf("%d dials, %v", dials.Load(), first.err)
	}
	if _, next, _ := l.current(); next == first {
		t.Error("a failed dial is not tried again")
	}
	l.close()
	if _, err := l.session(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}

func TestPausesGrowAndEnd(t *testing.T) {
	var got []time.Duration
	for wait := time.Duration(0); len(got) < 9; {
		wait = longer(wait)
		got = append(got, wait/time.Millisecond)
	}
	if d := cmp.Diff([]time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000}, got); d != "" {
		t.Error(d)
	}
}

// A gateway that lets in and hangs up at once is not stormed.
func TestSessionsThatDoNotLastAreAFailure(t *testing.T) {
	gw := newGateway(t)
	g := opened(t, gw, gw.store())
	for _, want := range []time.Duration{firstBackoff, 2 * firstBackoff} {
		sess, err := g.link.session(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sess.Close()
		g.link.lose(sess)
		if g.link.wait != want {
			t.Errorf("pause %v, want %v", g.link.wait, want)
		}
	}
	sess, err := g.link.session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g.link.now = func() time.Time { return time.Now().Add(lastBackoff) }
	g.link.lose(sess)
	if g.link.wait != 0 {
		t.Errorf("pause %v after a session that lasted", g.link.wait)
	}
}

// A person is told each thing once, however often it is tried.
func TestOutagesAreToldOnce(t *testing.T) {
	gw := newGateway(t)
	s := gw.store()
	var ahead atomic.Int64
	s.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	g := opened(t, gw, s)
	g.patience = 3 * time.Second
	addr := gw.port(g)
	told := make(chan string, 100) // more than there can be
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { g.Hold(ctx, func(sentence, hint string) { told <- sentence + "|" + hint }) })
	expect := func(want ...string) {
		t.Helper()
		select {
		case got := <-told:
			for _, w := range want {
				if !strings.Contains(got, w) {
					t.Errorf("told %q, want …%s…", got, w)
				}
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("not told: %s", want)
		}
	}
	gw.stop()
	expect("the gateway at "+gw.addr+" went away|", "local ports stay open")
	if e := fatal(t, addr); e.Code != "08006" {
		t.Errorf("%+v", e)
	}
	gw.start(gw.addr)
	expect("the gateway at " + gw.addr + " is back|")
	greeted(t, addr)
	gw.stop()
	expect("went away")
	ahead.Store(int64(2 * time.Hour))
	expect("login expired|run: sluice login " + gw.addr)
	for range 3 {
		if e := fatal(t, addr); e.Code != "28000" || e.Message != "login expired" || e.Hint != "run: sluice login "+gw.addr {
			t.Errorf("%+v", e)
		}
	}
	ahead.Store(0) // as a new login does
	gw.start(gw.addr)
	greeted(t, addr)
	cancel()
	wg.Wait()
	for len(told) > 0 {
		if got := <-told; !strings.Contains(got, "is back") {
			t.Errorf("told also: %s", got)
		}
	}
}

// A login that ends while the tunnel stands is not used for new streams, and a new
// one is, without a restart.
func TestNewLoginIsUsedWithoutARestart(t *testing.T) {
	gw := newGateway(t)
	s := gw.store()
	var ahead atomic.Int64
	s.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	g := opened(t, gw, s)
	old, err := g.link.session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ahead.Store(int64(2 * time.Hour))
	_, err = g.Stream(t.Context(), "orders", "")
	wantError(t, err, api.CodeNotLoggedIn, "login expired", "sluice login")
	gw.ttl = 4 * time.Hour
	gw.login(s)
	c, err := g.Stream(t.Context(), "orders", "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if now, err := g.link.session(t.Context()); err != nil || now == old {
		t.Errorf("the old session is used (%v)", err)
	}
}
