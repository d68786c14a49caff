package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/howlong"
	"github.com/sluicehq/sluice/tunnel"
)

// patience is how long a program on this machine waits for a gateway that is away:
// longer than one restarts for, shorter than what people take for hanging.
const patience = 20 * time.Second

// maxLine bounds one line of a watched stream: a full list of asks, each with
// its statement.
const maxLine = api.MaxReply

// Gateway is a logged-in handle. Its session is dialled when it is needed and
// again after it was lost, with the credentials that the store holds then. Safe
// for use by several goroutines.
type Gateway struct {
	Address  string
	Identity identity.Identity // as of Open

	load     func(context.Context) (*Credentials, error) // what to show now
	now      func() time.Time
	renews   bool   // load gives new credentials by itself
	store    *Store // of a person's credentials; nil for a job
	http     *http.Client
	link     *link
	patience time.Duration
}

// Open loads the credentials for addr (the latest if it is empty) and dials.
func Open(ctx context.Context, store *Store, addr string) (*Gateway, error) {
	c, err := store.Load(addr)
	if err != nil {
		return nil, err
	}
	g := &Gateway{Address: c.Gateway, Identity: c.Identity, now: store.Now, store: store}
	g.load = func(context.Context) (*Credentials, error) { return store.Load(c.Gateway) }
	if _, err := g.begin(ctx); err != nil {
		return nil, err
	}
	g.renewIfDue(ctx, c)
	return g, nil
}

// begin dials for the first time.
func (g *Gateway) begin(ctx context.Context) (*Gateway, error) {
	g.patience = patience
	g.link = &link{dial: g.dial, now: g.now}
	g.http = streamClient(func(ctx context.Context) (net.Conn, error) {
		return g.open(ctx, tunnel.Header{Kind: tunnel.API})
	})
	if _, err := g.link.session(ctx); err != nil {
		g.link.close()
		return nil, err
	}
	return g, nil
}

// Close ends the session and everything in it.
func (g *Gateway) Close() error {
	g.http.CloseIdleConnections()
	return g.link.close()
}

// Hold keeps a session until ctx ends, and tells a person, once each, that the
// gateway went away, why it cannot be had again, and that it is back.
func (g *Gateway) Hold(ctx context.Context, tell func(sentence, hint string)) {
	away, hint := "the gateway at "+g.Address+" went away", "nothing to do: local ports stay open, and it is dialled until it is back"
	told := "" // the last that was told; empty while all is well
	say := func(sentence, hint string) {
		if sentence != told && ctx.Err() == nil {
			tell(sentence, hint)
		}
		told = sentence
	}
	for ctx.Err() == nil {
		sess, err := g.link.session(ctx)
		e, known := api.AsError(err)
		switch {
		case errors.Is(err, net.ErrClosed):
			return // by Close
		case err == nil:
			if told != "" {
				tell("the gateway at "+g.Address+" is back", "")
				told = ""
			}
			expires, cancel := context.WithTimeout(ctx, g.link.expiry().Sub(g.now()))
			select {
			case <-sess.Closed():
				say(away, hint)
			case <-expires.Done():
			}
			cancel()
		case !lasts(err): // session itself pauses between dials
			say(away, hint) // it may have gone before it was looked at
		case known:
			say(e.Sentence, e.Hint)
			_ = rest(ctx, lastBackoff)
		default:
			say(err.Error(), "")
			_ = rest(ctx, lastBackoff)
		}
	}
}

// dial opens a session and says when its login expires. A session that follows
// another is tried out, because a gateway that refuses our certificate says so only
// after the handshake.
func (g *Gateway) dial(ctx context.Context, again bool) (*tunnel.Session, time.Time, error) {
	c, err := g.load(ctx)
	if e, ok := api.AsError(err); ok && e.Code == api.CodeError {
		return nil, time.Time{}, err // of a job's exchange, which may do better in a moment
	}
	if err != nil {
		return nil, time.Time{}, lasting{err}
	}
	if !c.Identity.Valid(g.now()) {
		return nil, time.Time{}, lasting{loginExpired(g.Address)}
	}
	pair, err := c.keyPair()
	if err != nil {
		return nil, time.Time{}, lasting{err}
	}
	tc := c.Trust.config(g.Address, g.now)
	tc.Certificates = []tls.Certificate{pair}
	sess, err := tunnel.Dial(ctx, g.Address, tc, tunnel.Config{})
	if err == nil && again {
		g.http.CloseIdleConnections() // they were streams of the lost session
		if err = sess.Ping(ctx); err != nil {
			sess.Close()
		}
	}
	var wrong *wrongCertificate
	switch {
	case err == nil:
		return sess, g.until(c.Identity.Expires), nil
	case errors.As(err, &wrong), errors.Is(err, tunnel.ErrCertificateRefused):
		return nil, time.Time{}, lasting{dialError(g.Address, err)}
	}
	return nil, time.Time{}, dialError(g.Address, err)
}

// until is how long a session is good for new streams. One whose certificate is renewed
// without a person is left a little before its end, so that no stream begins in its
// last moment.
func (g *Gateway) until(expires time.Time) time.Time {
	if !g.renews {
		return expires
	}
	return expires.Add(-min(renewBefore, expires.Sub(g.now())/4))
}

// open opens a stream, on a new session if the present one turns out dead.
func (g *Gateway) open(ctx context.Context, h tunnel.Header) (net.Conn, error) {
	for try := 0; ; try++ {
		sess, err := g.link.session(ctx)
		if err != nil {
			return nil, err
		}
		conn, err := sess.Open(ctx, h)
		if err == nil {
			return conn, nil
		}
		var no *tunnel.Rejection
		switch {
		case errors.As(err, &no):
			return nil, lasting{&api.Error{Sentence: no.Sentence, Hint: no.Hint, Code: api.CodeError}}
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		g.link.lose(sess) // the streams that others have in it may still say goodbye
		switch {
		case errors.Is(err, tunnel.ErrCertificateRefused):
			return nil, lasting{dialError(g.Address, err)}
		case try > 0:
			return nil, dialError(g.Address, err)
		}
	}
}

// openPatiently waits for a gateway that is away, and then says why it is.
func (g *Gateway) openPatiently(ctx context.Context, h tunnel.Header) (net.Conn, error) {
	waiting, cancel := context.WithTimeout(ctx, g.patience)
	defer cancel()
	for {
		conn, err := g.open(waiting, h)
		switch {
		case err == nil || lasts(err):
			return conn, err
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case waiting.Err() == nil:
			continue // the link pauses between dials
		}
		if why := g.link.trouble(); why != nil {
			return nil, why
		}
		return nil, dialError(g.Address, fmt.Errorf("it does not answer within %s", howlong.Text(g.patience)))
	}
}

// Stream opens the PostgreSQL stream of a connection. verifier is what the
// gateway checks the local client's password with; empty for no password. While the
// gateway is away it waits, but not for long.
func (g *Gateway) Stream(ctx context.Context, connection, verifier string) (net.Conn, error) {
	return g.StreamOf(ctx, connection, verifier, "")
}

// StreamOf is Stream for a session that is part of a run, which the caller has begun; ""
// for none.
func (g *Gateway) StreamOf(ctx context.Context, connection, verifier, run string) (net.Conn, error) {
	return g.openPatiently(ctx, tunnel.Header{Kind: tunnel.Postgres, Connection: connection, Verifier: verifier, Run: run})
}

// Call sends in as JSON (nil for no body) and reads the answer into out (nil to
// drop it). A refusal is an *api.Error.
func (g *Gateway) Call(ctx context.Context, method, path string, in, out any) error {
	g.leaveOld()
	return call(ctx, g.http, method, path, in, out)
}

// leaveOld lets go of the control streams of a session that is of no more use for new
// ones: who asks often would otherwise go on in one whose certificate has expired.
func (g *Gateway) leaveOld() {
	if !g.now().Before(g.link.expiry()) {
		g.http.CloseIdleConnections()
	}
}

// Watch calls line with each line that path sends, until ctx ends, line returns
// an error or the gateway ends the answer. A clean end is nil. line must not
// keep its argument.
func (g *Gateway) Watch(ctx context.Context, path string, line func([]byte) error) error {
	g.leaveOld()
	resp, err := send(ctx, g.http, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	sc := bufio.NewScanner(resp.Body)
	sc.Buffer(make([]byte, 0, 64<<10), maxLine)
	for sc.Scan() {
		if len(sc.Bytes()) == 0 {
			continue // sent to keep the stream alive
		}
		if err := line(sc.Bytes()); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("watch %s: %w", path, err)
	}
	return nil
}

// Read sends in as Call does, and gives the answer to be read as it comes. Whoever gets it
// closes it.
func (g *Gateway) Read(ctx context.Context, method, path string, in any) (io.ReadCloser, error) {
	g.leaveOld()
	resp, err := send(ctx, g.http, method, path, in)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// streamClient speaks HTTP over streams that open gives.
func streamClient(open func(context.Context) (net.Conn, error)) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return open(ctx) },
			MaxIdleConnsPerHost: 3,                // a TUI asks, watches all, and watches one session
			IdleConnTimeout:     30 * time.Second, // shorter than a laptop's sleep
			DisableCompression:  true,             // the tunnel is not the place to save bytes
		},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("a gateway does not redirect")
		},
	}
}

func call(ctx context.Context, c *http.Client, method, path string, in, out any) error {
	resp, err := send(ctx, c, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, api.MaxReply+1))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", path, err)
	}
	if len(body) > api.MaxReply {
		return fmt.Errorf("the answer of %s is longer than %d bytes", path, api.MaxReply)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("read the answer of %s: %w", path, err)
	}
	return nil
}

// send gives an answer that is 2xx, or an error. The caller closes its body.
func send(ctx context.Context, c *http.Client, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode the request to %s: %w", path, err)
		}
		body = bytes.NewReader(raw)
	}
	// The host is a name for HTTP's sake; the stream goes where the session goes.
	req, err := http.NewRequestWithContext(ctx, method, "http://gateway"+path, body)
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", path, err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.Do(req)
	if err != nil {
		if e, ok := api.AsError(err); ok {
			return nil, e // without the words of net/http around it
		}
		return nil, fmt.Errorf("call the gateway: %w", err)
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, refusal(resp)
}

// refusal reads the gateway's own words, or makes some.
func refusal(resp *http.Response) error {
	const maxError = 64 << 10
	var e api.Error
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxError))
	if err == nil && json.Unmarshal(raw, &e) == nil && e.Sentence != "" {
		if e.Code == 0 {
			e.Code = api.CodeError
		}
		return &e
	}
	return &api.Error{
		Sentence: "the gateway answered " + strings.ToLower(resp.Status),
		Hint:     "client and gateway may be of different versions; compare with: sluice version",
		Code:     api.CodeError,
	}
}
