// Package tunnel carries many authenticated streams over one TLS connection
// between a client and a gateway, as plain net.Conn. spec.md is its protocol.
//
// It guarantees that a stream belongs to a connection whose TLS 1.3 handshake
// succeeded and named this protocol; that one peer's silence, garbage or flood
// neither stops the others nor takes more memory than its caps allow; and that
// Serve returns only when everything it started has ended.
//
// Goroutines: Serve owns one accept loop, one goroutine per connection (its
// handshake, then its streams) and one per stream; yamux runs three per session
// and ends them with it. Dial owns those of its session.
package tunnel

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

// ALPN names the protocol in the TLS handshake.
const ALPN = "sluice/1"

// Version is the version of the header a stream begins with.
const Version = 1

// What Serve allows when Config leaves a limit at 0.
const (
	DefaultSessions   = 4096             // clients with a certificate; each idle one takes some 50 kB
	DefaultAnonymous  = 256              // clients without: each is in the middle of a login
	DefaultStreams    = 2560             // per session: more than a gateway serves one caller, so that its sentence is heard
	DefaultHandshakes = 2048             // in progress; the oldest is closed to make room
	DefaultHandshake  = 10 * time.Second // from accept to a complete handshake
	DefaultFirstFrame = 10 * time.Second // from a stream's start to its whole header
	DefaultGrace      = 3 * time.Second  // for streams to say goodbye when Serve ends
)

// What a client without a certificate gets: enough for a login.
const (
	anonymousStreams = 8
	anonymousLife    = 2 * time.Minute // a login dials again for its second call
)

// Config sets the limits of either end. The zero value is usable, but Serve
// needs TLS.
type Config struct {
	TLS        *tls.Config   // server side: certificate and ClientCAs; versions, ALPN and client authentication are set by Serve
	Sessions   int           // most sessions with a certificate at once
	Anonymous  int           // most sessions without
	Streams    int           // most streams of one session at once
	Handshakes int           // most handshakes at once
	Handshake  time.Duration // time for one
	FirstFrame time.Duration // time for a stream's header
	Grace      time.Duration // time for streams to end when Serve does
	Log        *slog.Logger  // nil for none

	// Admit, if there is one, is told on the server side of each session with a
	// certificate. end closes the session at once, and may be called at any time. leave
	// is called when the session is over. One that is not known is served like a client
	// without a certificate: long enough to be told why.
	Admit func(state tls.ConnectionState, end func()) (leave func(), known bool)
}

func (c Config) withDefaults() Config {
	c.Sessions = or(c.Sessions, DefaultSessions)
	c.Anonymous = or(c.Anonymous, DefaultAnonymous)
	c.Streams = or(c.Streams, DefaultStreams)
	c.Handshakes = or(c.Handshakes, DefaultHandshakes)
	c.Handshake = or(c.Handshake, DefaultHandshake)
	c.FirstFrame = or(c.FirstFrame, DefaultFirstFrame)
	c.Grace = or(c.Grace, DefaultGrace)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func or[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// Serve accepts sessions from ln and calls handle, in a goroutine of its own,
// for each stream whose header arrived. handle must call Accept or Reject before
// it reads or writes; when it returns, the stream is closed. Its context ends
// with the session, and when ctx does. Serve closes ln, and returns nil after
// ctx has ended and everything it started has.
func Serve(ctx context.Context, ln net.Listener, cfg Config, handle func(ctx context.Context, st *Stream)) error {
	if cfg.TLS == nil {
		ln.Close()
		return errors.New("serve the tunnel: no TLS configuration")
	}
	cfg = cfg.withDefaults()
	s := &server{
		cfg:        cfg,
		tls:        serverTLS(cfg.TLS),
		handle:     handle,
		handshakes: newRoom(cfg.Handshakes),
		anonymous:  newRoom(cfg.Anonymous),
		sessions:   make(chan struct{}, cfg.Sessions),
		windows:    newBudget(serverWindows, nil),
	}
	defer s.wg.Wait()
	defer ln.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// On the derived context, so that accept sees it ended when ln is closed.
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	return s.accept(ctx, ln)
}

// serverTLS is base with everything that the protocol fixes.
func serverTLS(base *tls.Config) *tls.Config {
	c := base.Clone()
	c.MinVersion = tls.VersionTLS13
	c.NextProtos = []string{ALPN}
	c.ClientAuth = tls.VerifyClientCertIfGiven
	if c.ClientCAs == nil {
		c.ClientCAs = x509.NewCertPool() // nil would mean every public authority
	}
	// A resumed session would skip the check of the client's certificate.
	c.SessionTicketsDisabled = true
	// One full record costs one encryption; the tunnel is not a web page.
	c.DynamicRecordSizingDisabled = true
	return c
}

type server struct {
	cfg        Config
	tls        *tls.Config
	handle     func(context.Context, *Stream)
	wg         sync.WaitGroup
	handshakes *room
	anonymous  *room
	sessions   chan struct{} // one token per session with a certificate
	windows    *budget       // of all sessions
}

// accept does nothing that could wait for a peer. A temporary error (no file descriptors left)
// is waited out, because ending would cut off everybody.
func (s *server) accept(ctx context.Context, ln net.Listener) error {
	const first, longest = 5 * time.Millisecond, time.Second
	wait := first
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			wait = first
			leave := s.handshakes.enter(conn) // here, so that the oldest is the first to have come
			s.wg.Go(func() { s.serveConn(ctx, conn, leave) })
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept: %w", err)
		default:
			s.cfg.Log.Warn("accept", "error", err, "retry_in", wait)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(wait):
			}
			wait = min(2*wait, longest)
		}
	}
}

// serveConn takes one TCP connection from its handshake to its end, and calls
// shaken when the handshake is over.
func (s *server) serveConn(ctx context.Context, raw net.Conn, shaken func()) {
	defer raw.Close()
	conn, err := s.shake(ctx, raw)
	shaken()
	if err != nil {
		// Scanners and broken clients: worth a line only to whoever looks for it.
		s.cfg.Log.Debug("handshake", "from", raw.RemoteAddr().String(), "error", err)
		return
	}
	defer conn.Close()
	state := conn.tls.ConnectionState()
	limits := sessionLimits{streams: s.cfg.Streams, windows: newBudget(sessionWindows, s.windows)}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	known := len(state.PeerCertificates) > 0
	if known && s.cfg.Admit != nil {
		var leave func()
		leave, known = s.cfg.Admit(state, func() { raw.Close() })
		defer leave()
	}
	if !known {
		leave := s.anonymous.enter(raw)
		defer leave()
		ctx, cancel = context.WithTimeout(ctx, anonymousLife)
		defer cancel()
		limits = sessionLimits{streams: anonymousStreams}
	} else {
		select {
		case s.sessions <- struct{}{}:
			defer func() { <-s.sessions }()
		default:
			s.cfg.Log.Warn("session refused: too many", "from", raw.RemoteAddr().String(), "limit", s.cfg.Sessions)
			return
		}
	}
	s.serveSession(ctx, conn, state, limits)
}

// shake runs the TLS handshake within its time and checks what it agreed on.
func (s *server) shake(ctx context.Context, raw net.Conn) (*joined, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Handshake)
	defer cancel()
	under := &buffered{Conn: raw}
	t := tls.Server(under, s.tls)
	if err := t.HandshakeContext(ctx); err != nil {
		if bad := (*tls.CertificateVerificationError)(nil); errors.As(err, &bad) {
			linger(ctx, raw)
		}
		if other := (tls.RecordHeaderError{}); errors.As(err, &other) && other.Conn != nil {
			plain(ctx, raw, other.RecordHeader)
		}
		return nil, err
	}
	if p := t.ConnectionState().NegotiatedProtocol; p != ALPN {
		return nil, fmt.Errorf("the client speaks %q, not %q", p, ALPN)
	}
	return join(t, under), nil
}

// linger lets the alert that refuses a certificate arrive: closing while the
// peer's first bytes are unread would reset the connection and lose it.
func linger(ctx context.Context, raw net.Conn) {
	const most = 64 << 10 // what an honest client has sent by then
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	if CloseWrite(raw) == nil {
		io.CopyN(io.Discard, raw, most)
	}
}

type sessionLimits struct {
	streams int
	windows *budget // nil: windows stay as they begin
}

// serveSession accepts the streams of one session until it ends.
func (s *server) serveSession(ctx context.Context, conn *joined, state tls.ConnectionState, lim sessionLimits) {
	in := newIntake(conn, false, lim.windows)
	mux, err := yamux.Server(in, muxConfig(s.cfg.Log))
	if err != nil {
		s.cfg.Log.Error("start a session", "error", err)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer mux.Close()
	defer cancel()
	free := make(chan struct{}, lim.streams)
	for {
		ys, err := mux.AcceptStreamWithContext(ctx)
		if err != nil {
			break
		}
		// A refused stream stays in the multiplexer until its peer closes it too. A
		// peer that never does loses the session instead of taking our memory.
		if mux.NumStreams() > 2*lim.streams {
			s.cfg.Log.Warn("session closed: too many streams", "from", conn.RemoteAddr().String(), "limit", lim.streams)
			return
		}
		st := &Stream{Conn: newStreamConn(ys, in), TLS: state}
		select {
		case free <- struct{}{}:
			wg.Go(func() {
				defer func() { <-free }()
				s.serveStream(ctx, st)
			})
		default:
			st.Reject(fmt.Sprintf("too many streams at once: %d are open", lim.streams), "close some connections first")
			st.Close()
		}
	}
	s.drain(cancel, mux, &wg)
}

// drain gives the streams of a session that ends by our will some time to say
// goodbye. If the peer went away there is nobody to say it to.
func (s *server) drain(cancel context.CancelFunc, mux *yamux.Session, wg *sync.WaitGroup) {
	cancel()
	if mux.IsClosed() {
		return
	}
	timer := time.AfterFunc(s.cfg.Grace, func() { mux.Close() })
	defer timer.Stop()
	if err := mux.GoAway(); err != nil {
		return
	}
	wg.Wait()
}

// serveStream reads the header of one stream and hands it on. A panic in handle
// ends this stream alone.
func (s *server) serveStream(ctx context.Context, st *Stream) {
	defer st.Close()
	defer func() {
		if p := recover(); p != nil {
			s.cfg.Log.Error("a stream's handler panicked", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	late := time.AfterFunc(s.cfg.FirstFrame, func() { st.Close() })
	h, err := readHeader(st.Conn)
	if !late.Stop() {
		s.cfg.Log.Debug("stream header: too late", "from", st.RemoteAddr().String())
		return
	}
	if err != nil {
		s.cfg.Log.Debug("stream header", "from", st.RemoteAddr().String(), "error", err)
		var bad *badHeader
		if errors.As(err, &bad) {
			st.Reject(bad.sentence, bad.hint)
		}
		return
	}
	st.Header = h
	s.handle(ctx, st)
	if !st.answered {
		st.Reject("the gateway does not serve this", "")
	}
}
