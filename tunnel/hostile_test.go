package tunnel

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// rawDial opens a TCP connection that the test closes.
func rawDial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// endsWithin waits until the gateway has closed c.
func endsWithin(t *testing.T, c net.Conn, limit time.Duration) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(limit))
	_, err := io.Copy(io.Discard, c)
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		t.Errorf("the gateway still holds the connection after %v", limit)
	}
}

// Whatever arrives on the port, it is closed, and a good session goes on.
func TestGarbageOnThePort(t *testing.T) {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server, Handshake: 300 * time.Millisecond}, echo)
	good := open(t, dial(t, addr, w.client))
	noise := make([]byte, 64<<10)
	rand.Read(noise)
	longRecord := append([]byte{22, 3, 1, 0xff, 0xff}, noise...)
	tests := map[string][]byte{
		"HTTP":                []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"HTTP/2 preface":      []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		"SSH":                 []byte("SSH-2.0-OpenSSH_9.9\r\n"),
		"PostgreSQL startup":  {0, 0, 0, 8, 4, 210, 22, 47},
		"random bytes":        noise,
		"TLS record too long": longRecord,
		"TLS record cut":      {22, 3, 1, 0, 200, 1, 0},
		"half of a handshake": clientHello(t, w.client),
		"a hello, then noise": append(clientHello(t, w.client), noise...),
		"nothing":             {},
		"one byte":            {22},
	}
	for name, bytes := range tests {
		t.Run(name, func(t *testing.T) {
			c := rawDial(t, addr)
			c.Write(bytes) // the gateway may hang up in the middle
			endsWithin(t, c, 10*time.Second)
			roundTrip(t, good, "alive")
		})
	}
}

// clientHello is what a client that means it says first, and a gateway answers.
func clientHello(t *testing.T, tc *tls.Config) []byte {
	t.Helper()
	here, there := net.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() { _ = tls.Client(here, clientTLS(tc, "127.0.0.1:1")).HandshakeContext(t.Context()) }) // ends with the pipe
	b := make([]byte, 16<<10)
	n, err := there.Read(b)
	there.Close()
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// One byte now and then must not keep a handshake alive.
func TestSlowlorisIsCutOff(t *testing.T) {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server, Handshake: 200 * time.Millisecond}, echo)
	good := open(t, dial(t, addr, w.client))
	c := rawDial(t, addr)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	give := time.After(10 * time.Second)
	hello := clientHello(t, w.client)
	for i := 0; ; i++ {
		select {
		case <-tick.C:
		case <-give:
			t.Fatal("a handshake of one byte at a time was never cut off")
		}
		roundTrip(t, good, "alive")
		if _, err := c.Write(hello[i%len(hello) : i%len(hello)+1]); err != nil {
			return
		}
	}
}

func TestPlainTLSIsClosed(t *testing.T) {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server}, echo)
	good := open(t, dial(t, addr, w.client))
	tests := map[string]func(*tls.Config){
		"no ALPN":      func(*tls.Config) {},
		"ALPN of HTTP": func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} },
		"TLS 1.2":      func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12; c.NextProtos = []string{ALPN} },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			tc := w.client.Clone()
			tc.ServerName = "127.0.0.1"
			change(tc)
			raw := rawDial(t, addr)
			c := tls.Client(raw, tc)
			if err := c.HandshakeContext(t.Context()); err == nil {
				endsWithin(t, c, 10*time.Second)
			}
			endsWithin(t, raw, 10*time.Second)
			roundTrip(t, good, "alive")
		})
	}
}

func TestCertificateOfAnotherAuthorityIsRefused(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	addr := serve(t, Config{TLS: w.server}, func(context.Context, *Stream) {
		t.Error("a stream of a stranger was served")
	})
	tc := w.nobody.Clone()
	// GetClientCertificate sends it although the gateway's list does not name its authority.
	tc.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &other.client.Certificates[0], nil }
	s, err := Dial(t.Context(), addr, tc, Config{})
	if err == nil {
		defer s.Close()
		_, err = s.Open(t.Context(), Header{Kind: Postgres})
	}
	if !errors.Is(err, ErrCertificateRefused) {
		t.Errorf("got %v", err)
	}
}

// A gateway configured without an authority must not fall back to the public ones.
func TestNoAuthorityMeansNoClients(t *testing.T) {
	w := newWorld(t)
	server := w.server.Clone()
	server.ClientCAs = nil
	if got := serverTLS(server).ClientCAs; got == nil || !got.Equal(serverTLS(server).ClientCAs) {
		t.Error("no pool")
	}
	addr := serve(t, Config{TLS: server}, echo)
	s, err := Dial(t.Context(), addr, w.client, Config{})
	if err == nil {
		defer s.Close()
		_, err = s.Open(t.Context(), Header{Kind: Postgres})
	}
	if err == nil {
		t.Error("a certificate was accepted that nobody vouches for")
	}
}

func TestThousandHalfOpenConnections(t *testing.T) {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server}, echo)
	good := open(t, dial(t, addr, w.client))
	for range 1000 {
		rawDial(t, addr)
	}
	for range 20 {
		roundTrip(t, good, "alive")
	}
	start := time.Now()
	roundTrip(t, open(t, dial(t, addr, w.client)), "and new ones come in")
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("a new session took %v", took)
	}
}

// With more silent connections than may shake hands at once, the silent ones go.
func TestFloodDrivesOutItself(t *testing.T) {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server, Handshakes: 8, Handshake: time.Hour}, echo)
	var silent []net.Conn
	for range 40 {
		silent = append(silent, rawDial(t, addr))
	}
	roundTrip(t, open(t, dial(t, addr, w.client)), "let in")
	for _, c := range silent[:20] {
		endsWithin(t, c, 10*time.Second)
	}
}

func TestSessionsAreCapped(t *testing.T) {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server, Sessions: 1}, echo)
	first := dial(t, addr, w.client)
	c := open(t, first)
	second := dial(t, addr, w.client)
	if _, err := second.Open(t.Context(), Header{Kind: Postgres}); err == nil {
		t.Error("a second session was served")
	}
	roundTrip(t, c, "alive")
	if s, err := Dial(t.Context(), addr, w.nobody, Config{}); err != nil {
		t.Errorf("a login finds no room: %v", err)
	} else {
		s.Close()
	}
}

func TestAnonymousGetFewStreams(t *testing.T) {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server}, echo)
	s := dial(t, addr, w.nobody)
	for range anonymousStreams {
		open(t, s)
	}
	_, err := s.Open(t.Context(), Header{Kind: API})
	var r *Rejection
	if !errors.As(err, &r) || !strings.Contains(r.Sentence, "too many streams") {
		t.Errorf("got %v", err)
	}
}

func TestStreamsAreCappedAndComeBack(t *testing.T) {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server, Streams: 2}, echo)
	s := dial(t, addr, w.client)
	a := open(t, s)
	open(t, s)
	var r *Rejection
	if _, err := s.Open(t.Context(), Header{Kind: API}); !errors.As(err, &r) {
		t.Errorf("got %v", err)
	}
	roundTrip(t, a, "the others go on")
	CloseWrite(a)
	if _, err := io.ReadAll(a); err != nil {
		t.Fatal(err)
	}
	a.Close()
	for { // the gateway frees the place a moment after we read the end
		c, err := s.Open(t.Context(), Header{Kind: API})
		if err == nil {
			c.Close()
			return
		}
		if !errors.As(err, &r) {
			t.Fatal(err)
		}
	}
}

// A peer that opens streams and never closes the refused ones loses its session.
func TestStreamHoarderLosesItsSession(t *testing.T) {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server, Streams: 4}, echo)
	good := open(t, dial(t, addr, w.client))
	s := dial(t, addr, w.client)
	for range 40 {
		if _, err := s.mux.OpenStream(); err != nil {
			break
		}
	}
	select {
	case <-s.Closed():
	case <-time.After(10 * time.Second):
		t.Error("it goes on")
	}
	roundTrip(t, good, "alive")
}

func TestFirstFrameDeadline(t *testing.T) {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server, FirstFrame: 50 * time.Millisecond}, echo)
	good := open(t, dial(t, addr, w.client))
	s := dial(t, addr, w.client)
	ys, err := s.mux.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	st := newStreamConn(ys, s.conn)
	defer st.Close()
	st.Write([]byte{0, 0, 0, 10, '{'})
	st.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := st.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("got %d bytes, %v, want the end", n, err)
	}
	roundTrip(t, good, "alive")
}

func frame(body string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// A bad header ends its stream alone: neither one beside it in the same session nor
// another session notices.
func TestBadHeadersAreExplained(t *testing.T) {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server}, func(ctx context.Context, st *Stream) {
		if st.Header.Kind != Postgres {
			t.Errorf("served: %+v", st.Header)
		}
		echo(ctx, st)
	})
	s := dial(t, addr, w.client)
	beside, elsewhere := open(t, s), open(t, dial(t, addr, w.client))
	tests := map[string]struct {
		bytes []byte
		want  string
	}{
		"empty frame":      {[]byte{0, 0, 0, 0}, "allowed"},
		"frame too long":   {[]byte{0, 0, 0x40, 1}, "allowed"},
		"4 GiB frame":      {[]byte{0xff, 0xff, 0xff, 0xff}, "allowed"},
		"not JSON":         {frame("hello"), "JSON"},
		"JSON of no shape": {frame("[]"), "JSON"},
		"version 2":        {frame(`{"v":2,"kind":"api"}`), "version 2"},
		"no version":       {frame(`{"kind":"api"}`), "version 0"},
		"no kind":          {frame(`{"v":1}`), "no kind"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			ys, err := s.mux.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			st := newStreamConn(ys, s.conn)
			defer st.Close()
			if _, err := st.Write(tt.bytes); err != nil {
				t.Fatal(err)
			}
			st.SetReadDeadline(time.Now().Add(10 * time.Second))
			body, err := readFrame(st)
			if err != nil || !strings.Contains(string(body), tt.want) || !strings.Contains(string(body), "hint") {
				t.Errorf("%s, %v", body, err)
			}
			roundTrip(t, beside, "alive")
			roundTrip(t, elsewhere, "alive")
		})
	}
}

// Garbage inside TLS ends that session alone.
func TestGarbageInsideTLS(t *testing.T) {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server}, echo)
	good := open(t, dial(t, addr, w.client))
	noise := make([]byte, 4096)
	rand.Read(noise)
	noise[0] = 7 // no version of the multiplexer
	tests := map[string][]byte{
		"noise":                     noise,
		"data for a stream unknown": {0, 0, 0, 0, 0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff},
		"unknown frame type":        {0, 9, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0},
		"window overrun":            append([]byte{0, 0, 0, 1, 0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff}, noise...),
		"more than the window":      append([]byte{0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 4, 0, 1}, noise...),
		"same stream twice":         bytes.Repeat([]byte{0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0}, 2),
	}
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			c := tls.Client(rawDial(t, addr), clientTLS(w.client, addr))
			defer c.Close()
			if _, err := c.Write(body); err != nil {
				t.Fatal(err)
			}
			c.CloseWrite()
			endsWithin(t, c, 10*time.Second)
			roundTrip(t, good, "alive")
		})
	}
}

// What the gateway's side of a client must survive.
func TestClientRefusesABadAnswer(t *testing.T) {
	w := newWorld(t)
	for name, body := range map[string][]byte{
		"neither yes nor no": frame(`{}`),
		"not JSON":           frame(`yes`),
		"too long":           {0xff, 0xff, 0xff, 0xff},
		"cut":                {0, 0, 0, 9, '{'},
		"nothing":            nil,
	} {
		t.Run(name, func(t *testing.T) {
			addr := serve(t, Config{TLS: w.server}, func(_ context.Context, st *Stream) {
				st.answered = true
				st.Conn.Write(body)
			})
			if c, err := dial(t, addr, w.client).Open(t.Context(), Header{Kind: API}); err == nil {
				c.Close()
				t.Error("opened")
			}
		})
	}
}

func TestNotAGateway(t *testing.T) {
	w := newWorld(t)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: w.server.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		io.Copy(io.Discard, c)
		c.Close()
	})
	if s, err := Dial(t.Context(), ln.Addr().String(), w.client, Config{}); err == nil {
		s.Close()
		t.Error("a web server was taken for a gateway")
	}
	wg.Wait()
}

// recorder keeps what joined would encrypt.
type recorder struct {
	net.Conn
	writes int
}

func (r *recorder) Write(p []byte) (int, error) {
	r.writes++
	return r.Conn.Write(p)
}

// Header and body leave in one TCP write, and so do frames that gathered.
func TestFramesAreJoined(t *testing.T) {
	w := newWorld(t)
	c1, c2 := net.Pipe()
	rec := &recorder{Conn: c1}
	peer := tls.Server(c2, serverTLS(w.server))
	under := &buffered{Conn: rec}
	conn := tls.Client(under, clientTLS(w.client, "127.0.0.1:1"))
	got := make(chan int64, 1)
	go func() {
		n, _ := io.CopyN(io.Discard, peer, 20*24+muxHeader)
		got <- n
		io.Copy(io.Discard, peer)
	}()
	if err := conn.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	j := join(conn, under)
	before := rec.writes
	body := []byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 12} // looks like a header
	for range 10 {
		if err := j.data(1, body); err != nil {
			t.Fatal(err)
		}
	}
	if got := rec.writes - before; got != 10 {
		t.Errorf("10 frames took %d writes", got)
	}
	before = rec.writes
	j.mu.Lock()
	j.flushing = true // as if somebody were in the system call
	j.mu.Unlock()
	for range 10 {
		if err := j.data(1, body); err != nil {
			t.Fatal(err)
		}
	}
	j.mu.Lock()
	j.flushing = false
	j.mu.Unlock()
	if err := j.flush(); err != nil {
		t.Fatal(err)
	}
	if got := rec.writes - before; got != 1 {
		t.Errorf("10 frames that gathered took %d writes", got)
	}
	j.later(muxFrame(muxWindow, 0, 1, 12, "")) // nobody waits for it
	if n := <-got; n != 20*24+muxHeader {
		t.Errorf("%d bytes arrived", n)
	}
	j.Close()
	c1.Close()
	c2.Close()
}

// A write that the window cuts short reaches the peer up to the cut: a reader that
// waits for all of that before it reads on would else wait for ever.
func TestWriteCutShortByTheWindowArrives(t *testing.T) {
	w := newWorld(t)
	s := dial(t, serve(t, Config{TLS: w.server}, echo), w.client)
	for _, first := range []int{1, 100, 64<<10 - 1, 64<<10 + 1} {
		c := open(t, s)
		done := make(chan error, 1)
		total := 9 << 20 // more than both windows
		go func() {
			if _, err := c.Write(make([]byte, first)); err != nil {
				done <- err
				return
			}
			_, err := c.Write(make([]byte, total-first))
			done <- err
		}()
		if _, err := io.CopyN(io.Discard, c, int64(total)); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzReadHeader(f *testing.F) {
	f.Add(frame(`{"v":1,"kind":"postgres","connection":"orders"}`))
	f.Add(frame(`{"v":1,"kind":"api","new":{"a":[1,2]}}`))
	f.Add(frame(`{}`))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, '{'})
	f.Add([]byte{0, 0})
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, err := readHeader(bytes.NewReader(raw))
		if err != nil {
			if h != (Header{}) {
				t.Errorf("an error and a header: %+v", h)
			}
			return
		}
		if h.Version != Version || h.Kind == "" {
			t.Errorf("accepted %+v", h)
		}
		var again bytes.Buffer
		if err := writeFrame(&again, h); err == nil {
			if back, err := readHeader(&again); err != nil || back != h {
				t.Errorf("%+v came back as %+v, %v", h, back, err)
			}
		}
	})
}
