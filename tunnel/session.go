package tunnel

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/hashicorp/yamux"
)

// How the multiplexer is tuned.
const (
	// backlog is how many streams may wait for an answer at once; both ends take it
	// to be the same.
	backlog = 4096
	// keepAlive and writeTimeout together bound how long a dead peer goes unnoticed.
	keepAlive    = 15 * time.Second
	writeTimeout = 10 * time.Second
	openTimeout  = 15 * time.Second
	// halfCloseLife is how long a stream lives on after its first CloseWrite or
	// Close; then it is reset.
	halfCloseLife = time.Minute
)

func muxConfig(log *slog.Logger) *yamux.Config {
	return &yamux.Config{
		AcceptBacklog:          backlog,
		EnableKeepAlive:        true,
		KeepAliveInterval:      keepAlive,
		ConnectionWriteTimeout: writeTimeout,
		MaxStreamWindowSize:    firstWindow, // the intake raises it
		StreamOpenTimeout:      openTimeout,
		StreamCloseTimeout:     halfCloseLife,
		Logger:                 muxLog{log},
	}
}

// muxLog hands yamux's lines to slog. They tell of peers that went away, so
// they are for whoever looks.
type muxLog struct{ log *slog.Logger }

func (l muxLog) Printf(format string, v ...any) {
	l.log.Debug("multiplexer", "text", fmt.Sprintf(format, v...))
}
func (l muxLog) Print(v ...any)   { l.log.Debug("multiplexer", "text", fmt.Sprint(v...)) }
func (l muxLog) Println(v ...any) { l.log.Debug("multiplexer", "text", fmt.Sprint(v...)) }

// Session is the client's end of one TLS connection. Safe for use by several
// goroutines.
type Session struct {
	TLS tls.ConnectionState // of the gateway

	mux  *yamux.Session
	conn *intake
}

// ErrCertificateRefused says that the gateway did not take our certificate: it
// has expired, or another gateway issued it.
var ErrCertificateRefused = errors.New("the gateway refused our certificate")

// Rejection is a stream that the gateway did not serve, in its own words.
type Rejection struct {
	Sentence string
	Hint     string
}

func (r *Rejection) Error() string { return r.Sentence }

// Dial opens a session to the gateway at addr. tc says whom to trust and which
// certificate to show; versions and ALPN are set here. ctx bounds the dial only.
func Dial(ctx context.Context, addr string, tc *tls.Config, cfg Config) (*Session, error) {
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, cfg.Handshake)
	defer cancel()
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err // net says what was attempted
	}
	s, err := start(ctx, raw, clientTLS(tc, addr), cfg)
	if err != nil {
		raw.Close()
		return nil, err
	}
	return s, nil
}

func start(ctx context.Context, raw net.Conn, tc *tls.Config, cfg Config) (*Session, error) {
	under := &buffered{Conn: raw}
	t := tls.Client(under, tc)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("handshake with %s: %w", raw.RemoteAddr(), err)
	}
	state := t.ConnectionState()
	if state.NegotiatedProtocol != ALPN {
		return nil, fmt.Errorf("handshake with %s: it is not a gateway (it does not speak %q)", raw.RemoteAddr(), ALPN)
	}
	conn := newIntake(join(t, under), true, newBudget(sessionWindows, nil))
	mux, err := yamux.Client(conn, muxConfig(cfg.Log))
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("start the multiplexer: %w", err)
	}
	return &Session{TLS: state, mux: mux, conn: conn}, nil
}

func clientTLS(base *tls.Config, addr string) *tls.Config {
	c := &tls.Config{}
	if base != nil {
		c = base.Clone()
	}
	c.MinVersion = tls.VersionTLS13
	c.NextProtos = []string{ALPN}
	c.DynamicRecordSizingDisabled = true
	c.ClientSessionCache = nil
	if c.ServerName == "" {
		if host, _, err := net.SplitHostPort(addr); err == nil {
			c.ServerName = host
		}
	}
	return c
}

// Open asks the gateway for a stream and waits for its answer. A *Rejection
// says that the gateway does not serve it; any other error, that the session is
// of no more use.
func (s *Session) Open(ctx context.Context, h Header) (net.Conn, error) {
	type opened struct {
		st  *yamux.Stream
		err error
	}
	done := make(chan opened, 1) // 1: so that the opener ends though nobody waits
	go func() {
		st, err := s.mux.OpenStream()
		done <- opened{st, err}
	}()
	var o opened
	select {
	case o = <-done:
	case <-ctx.Done():
		go func() { // ends with the session at the latest
			if o := <-done; o.st != nil {
				o.st.Close()
			}
		}()
		return nil, ctx.Err()
	}
	if o.err != nil {
		return nil, s.explain(fmt.Errorf("open a stream: %w", o.err))
	}
	conn := newStreamConn(o.st, s.conn)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	h.Version = Version
	err := ask(conn, h)
	if !stop() {
		return nil, ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, s.explain(err)
	}
	return conn, nil
}

// explain adds why the session ended, if the gateway said so.
func (s *Session) explain(err error) error {
	if s.conn.refused.Load() {
		return fmt.Errorf("%w: %w", ErrCertificateRefused, err)
	}
	return err
}

// ask sends the header and reads the answer.
func ask(conn net.Conn, h Header) error {
	if err := writeFrame(conn, h); err != nil {
		return err
	}
	body, err := readFrame(conn)
	if err != nil {
		return fmt.Errorf("read the gateway's answer: %w", err)
	}
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		return fmt.Errorf("read the gateway's answer: %w", err)
	}
	switch {
	case a.Error != "":
		return &Rejection{Sentence: a.Error, Hint: a.Hint}
	case !a.OK:
		return errors.New("the gateway's answer is neither yes nor no")
	}
	return nil
}

// Ping waits until the gateway has answered: unlike Dial, it notices a refused
// certificate. The session is of no more use after an error, nor if ctx ends.
func (s *Session) Ping(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	if _, err := s.mux.Ping(); err != nil {
		return s.explain(fmt.Errorf("wait for the gateway's answer: %w", err))
	}
	return nil
}

// Streams counts those that have not ended on both sides.
func (s *Session) Streams() int { return s.mux.NumStreams() }

// Closed is closed when the session has ended, by either side.
func (s *Session) Closed() <-chan struct{} { return s.mux.CloseChan() }

// Close ends the session and all its streams.
func (s *Session) Close() error { return s.mux.Close() }
