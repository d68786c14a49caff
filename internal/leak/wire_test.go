package leak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// way is how a statement is sent and its answer asked for.
type way int

// The ways. In portions every Execute asks for one row; the copies put a query that
// only reads into COPY … TO STDOUT.
const (
	simple way = iota
	extended
	binary
	portions
	copyText
	copyCSV
	copyBinary
)

var ways = []way{simple, extended, binary, portions, copyText, copyCSV, copyBinary}

func (w way) String() string {
	return [...]string{"simple", "extended", "binary", "portions", "copy", "copy csv", "copy binary"}[w]
}

// patience is the longest that an answer may take.
const patience = 2 * time.Minute

// client speaks the protocol and keeps every byte that comes after its login.
type client struct {
	conn net.Conn
	f    *pgproto3.Frontend
	got  *stream
}

// tap keeps what is read from a connection.
type tap struct {
	net.Conn

	mu    sync.Mutex // pgconn reads in the background when a write takes long
	heard []byte
}

func (t *tap) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.heard = append(t.heard, b[:n]...)
	return n, err
}

// dial logs in.
func dial(dsn string) (*client, error) {
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	t := &tap{}
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		t.Conn = conn
		return t, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	h, err := conn.Hijack()
	if err != nil {
		return nil, err
	}
	c := &client{conn: h.Conn, f: h.Frontend, got: &stream{tap: t}}
	c.got.reset() // the login
	return c, nil
}

func (c *client) close() { c.conn.Close() }

// answer sends messages and reads to the end of the answer. COPY FROM STDIN is sent data.
func (c *client) answer(data []byte, messages ...pgproto3.FrontendMessage) (failed string, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	for _, m := range messages {
		c.f.Send(m)
	}
	if err := c.f.Flush(); err != nil {
		return "", err
	}
	for {
		m, err := c.f.Receive()
		if err != nil {
			return failed, err
		}
		switch m := m.(type) {
		case *pgproto3.ErrorResponse:
			if failed == "" {
				failed = m.Code + " " + m.Message
			}
		case *pgproto3.CopyInResponse:
			c.f.Send(&pgproto3.CopyData{Data: data})
			c.f.Send(&pgproto3.CopyDone{})
			if err := c.f.Flush(); err != nil {
				return failed, err
			}
		case *pgproto3.ReadyForQuery:
			return failed, nil
		}
	}
}

// run sends one text in one way. failed is the error that the server, or the gateway,
// answered with.
func (c *client) run(w way, m message) (failed string, err error) {
	sql := m.sql
	switch w {
	case copyText:
		sql = "copy (" + sql + ") to stdout"
	case copyCSV:
		sql = "copy (" + sql + ") to stdout with (format csv, header)"
	case copyBinary:
		sql = "copy (" + sql + ") to stdout with (format binary)"
	}
	if w == simple || w >= copyText {
		return c.answer(m.data, &pgproto3.Query{String: sql})
	}
	format := int16(0)
	if w == binary {
		format = 1
	}
	params := make([][]byte, len(m.params))
	for i, p := range m.params {
		params[i] = []byte(p)
	}
	begin := []pgproto3.FrontendMessage{
		&pgproto3.Parse{Query: sql},
		&pgproto3.Bind{Parameters: params, ResultFormatCodes: []int16{format}},
		&pgproto3.Describe{ObjectType: 'P'},
	}
	if w != portions {
		return c.answer(m.data, append(begin, &pgproto3.Execute{}, &pgproto3.Sync{})...)
	}
	for range 12 { // more rows than most results here have; the last takes the rest
		begin = append(begin, &pgproto3.Execute{MaxRows: 1})
	}
	return c.answer(m.data, append(begin, &pgproto3.Execute{}, &pgproto3.Sync{})...)
}

// ended reports whether err says that the other side ended the session.
func ended(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op) && !op.Timeout()
}

func quoted(b []byte) string {
	const most = 300
	if len(b) > most {
		b = b[:most]
	}
	return fmt.Sprintf("%q", b)
}
