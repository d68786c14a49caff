package tunnel

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehq/sluice/identity"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a gateway's certificate and a client's.
type world struct {
	server *tls.Config
	client *tls.Config // with a certificate
	nobody *tls.Config // without
}

func newWorld(t testing.TB) world {
	t.Helper()
	now := func() time.Time { return time.Now() }
	cert, _, err := identity.ServerCertificate(t.TempDir(), now(), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	a, err := identity.LoadOrCreateAuthority(t.TempDir(), now)
	if err != nil {
		t.Fatal(err)
	}
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	der, err := a.Issue(identity.Identity{Subject: "ada", Kind: identity.Person}, key.Public(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(cert.Certificate[1])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	return world{
		server: &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: a.Pool()},
		client: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		nobody: &tls.Config{RootCAs: roots},
	}
}

// serve starts a gateway that ends, and is checked to end, with the test.
func serve(t testing.TB, cfg Config, handle func(context.Context, *Stream)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, ln, cfg, handle) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Serve did not end")
		}
	})
	return ln.Addr().String()
}

func echo(_ context.Context, st *Stream) {
	if st.Accept() != nil {
		return
	}
	io.Copy(st, st.Conn)
}

func dial(t testing.TB, addr string, tc *tls.Config) *Session {
	t.Helper()
	s, err := Dial(t.Context(), addr, tc, Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func open(t testing.TB, s *Session) net.Conn {
	t.Helper()
	c, err := s.Open(t.Context(), Header{Kind: Postgres, Connection: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func roundTrip(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	if string(got) != text {
		t.Fatalf("got %q, want %q", got, text)
	}
}

func TestStreamCarriesHeaderAndBytes(t *testing.T) {
	w := newWorld(t)
	got := make(chan Header, 1)
	addr := serve(t, Config{TLS: w.server}, func(ctx context.Context, st *Stream) {
		got <- st.Header
		if n := len(st.TLS.PeerCertificates); n != 1 {
			t.Errorf("%d client certificates", n)
		}
		echo(ctx, st)
	})
	s := dial(t, addr, w.client)
	c, err := s.Open(t.Context(), Header{Kind: Postgres, Connection: "orders", Verifier: "v", Application: "psql"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	roundTrip(t, c, "hello")
	if h := <-got; h != (Header{Version: 1, Kind: Postgres, Connection: "orders", Verifier: "v", Application: "psql"}) {
		t.Errorf("header %+v", h)
	}
}

// Bodies of every small length, those that look like a multiplexer header among
// them, arrive whole and in order.
func TestBodiesThatLookLikeHeaders(t *testing.T) {
	w := newWorld(t)
	s := dial(t, serve(t, Config{TLS: w.server}, echo), w.client)
	c := open(t, s)
	roundTrip(t, c, "\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x09")
	roundTrip(t, c, "Q\x00\x00\x00\x0bBEGIN;\x00") // 12 bytes with 0 second: it hung a stateless joiner
	for n := 1; n < 64; n++ {
		roundTrip(t, c, strings.Repeat("\x00", n))
	}
	big := make([]byte, 3<<20)
	rand.Read(big)
	go c.Write(big)
	got := make([]byte, len(big))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, big) {
		t.Fatalf("3 MiB came back different: %v", err)
	}
}

func TestManyStreamsAtOnce(t *testing.T) {
	w := newWorld(t)
	s := dial(t, serve(t, Config{TLS: w.server}, echo), w.client)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			c, err := s.Open(t.Context(), Header{Kind: Postgres})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for range 20 {
				if _, err := io.WriteString(c, "ping"); err != nil {
					t.Error(err)
					return
				}
				var b [4]byte
				if _, err := io.ReadFull(c, b[:]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// A reader that stops does not stop its neighbours.
func TestUnreadStreamDoesNotBlockOthers(t *testing.T) {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server}, func(ctx context.Context, st *Stream) {
		if st.Header.Connection != "flood" {
			echo(ctx, st)
			return
		}
		if st.Accept() != nil {
			return
		}
		chunk := make([]byte, 64<<10)
		for {
			if _, err := st.Write(chunk); err != nil {
				return
			}
		}
	})
	s := dial(t, addr, w.client)
	flood, err := s.Open(t.Context(), Header{Kind: Postgres, Connection: "flood"})
	if err != nil {
		t.Fatal(err)
	}
	defer flood.Close()
	c := open(t, s)
	for range 50 {
		roundTrip(t, c, "still here")
	}
}

func TestHalfClose(t *testing.T) {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server}, func(_ context.Context, st *Stream) {
		if st.Accept() != nil {
			return
		}
		all, err := io.ReadAll(st.Conn)
		if err != nil {
			t.Error(err)
		}
		st.Write(append([]byte("got "), all...))
	})
	c := open(t, dial(t, addr, w.client))
	io.WriteString(c, "everything")
	if err := CloseWrite(c); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || string(got) != "got everything" {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestCloseEndsABlockedRead(t *testing.T) {
	w := newWorld(t)
	c := open(t, dial(t, serve(t, Config{TLS: w.server}, echo), w.client))
	ended := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		ended <- err
	}()
	c.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after Close: %v", err)
	}
}

func TestRejectionReachesTheClient(t *testing.T) {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server}, func(_ context.Context, st *Stream) {
		st.Reject("there is no connection \"orders\"", "run: sluice ls")
	})
	_, err := dial(t, addr, w.client).Open(t.Context(), Header{Kind: Postgres, Connection: "orders"})
	var r *Rejection
	if !errors.As(err, &r) || r.Sentence != `there is no connection "orders"` || r.Hint != "run: sluice ls" {
		t.Errorf("got %v", err)
	}
}

func TestHugeRejectionStillFits(t *testing.T) {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server}, func(_ context.Context, st *Stream) {
		st.Reject(strings.Repeat("\x01", 1<<20), strings.Repeat("<", 1<<20))
	})
	_, err := dial(t, addr, w.client).Open(t.Context(), Header{Kind: API})
	var r *Rejection
	if !errors.As(err, &r) || r.Sentence == "" {
		t.Errorf("got %v", err)
	}
}

func TestHandlerThatForgetsToAnswerRefuses(t *testing.T) {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server}, func(context.Context, *Stream) {})
	_, err := dial(t, addr, w.client).Open(t.Context(), Header{Kind: API})
	var r *Rejection
	if !errors.As(err, &r) {
		t.Errorf("got %v", err)
	}
}

func TestPanicEndsOneStreamOnly(t *testing.T) {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server}, func(ctx context.Context, st *Stream) {
		if st.Header.Kind == API {
			panic("a bug")
		}
		echo(ctx, st)
	})
	s := dial(t, addr, w.client)
	c := open(t, s)
	if _, err := s.Open(t.Context(), Header{Kind: API}); err == nil {
		t.Error("a stream whose handler panicked was opened")
	}
	roundTrip(t, c, "alive")
}

func TestSessionEndCancelsHandlers(t *testing.T) {
	w := newWorld(t)
	cancelled := make(chan struct{})
	addr := serve(t, Config{TLS: w.server}, func(ctx context.Context, st *Stream) {
		st.Accept()
		<-ctx.Done()
		close(cancelled)
	})
	s := dial(t, addr, w.client)
	open(t, s)
	s.Close()
	select {
	case <-cancelled:
	case <-time.After(10 * time.Second):
		t.Fatal("the handler was not told that its session ended")
	}
	<-s.Closed()
}

// When the gateway stops, handlers can still say goodbye.
func TestShutdownLetsHandlersSayGoodbye(t *testing.T) {
	w := newWorld(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, ln, Config{TLS: w.server}, func(ctx context.Context, st *Stream) {
			st.Accept()
			<-ctx.Done()
			io.WriteString(st, "goodbye")
		})
	}()
	c := open(t, dial(t, ln.Addr().String(), w.client))
	cancel()
	if got, err := io.ReadAll(c); err != nil || string(got) != "goodbye" {
		t.Errorf("%q, %v", got, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server, Grace: time.Millisecond}, func(ctx context.Context, _ *Stream) { <-ctx.Done() })
	s := dial(t, addr, w.client)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Open(ctx, Header{Kind: API}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestServeWithoutTLSRefuses(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := Serve(t.Context(), ln, Config{}, echo); err == nil {
		t.Error("a tunnel without TLS was served")
	}
}
