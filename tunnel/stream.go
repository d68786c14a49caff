package tunnel

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

// Stream is one accepted stream, with what its opener said it is for and who the
// peer of its session is.
type Stream struct {
	net.Conn                     // after Accept: raw bytes both ways; it has CloseWrite
	Header   Header              // what the opener asked for
	TLS      tls.ConnectionState // of the session

	answered bool // owned by the handler's goroutine
}

// Accept tells the opener that its stream is served. Call it once, before the
// first read or write.
func (st *Stream) Accept() error { return st.answer(answer{OK: true}) }

// Reject tells the opener, in one sentence and a hint, why its stream is not
// served. The handler returns after it.
func (st *Stream) Reject(sentence, hint string) error {
	const room = 4 << 10 // each, so that both fit the frame however JSON escapes them
	return st.answer(answer{Error: cut(sentence, room/6), Hint: cut(hint, room/6)})
}

func (st *Stream) answer(a answer) error {
	if st.answered {
		return errors.New("a stream is answered once")
	}
	st.answered = true
	return writeFrame(st.Conn, a)
}

// CloseWrite ends this side's bytes; the peer reads them to their end and may go
// on writing for halfCloseLife.
func (st *Stream) CloseWrite() error { return CloseWrite(st.Conn) }

// CloseWrite ends the write side of conn if it has such a thing, else closes it.
func CloseWrite(conn net.Conn) error {
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return conn.Close()
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// streamConn gives a yamux stream the manners of a TCP connection: Close ends both
// directions, CloseWrite one, and after a failed write nothing more is written,
// because what was reported as failed may still be sent. Its data passes yamux by, in
// both directions: yamux opens and closes streams.
type streamConn struct {
	*yamux.Stream
	in     *intake
	box    *inbox // what it reads, and what it may write
	closed atomic.Bool

	writing sync.Mutex // one Write at a time
}

// maxChunk bounds a frame, so that a small answer does not wait behind a large one.
const maxChunk = 64 << 10

func newStreamConn(st *yamux.Stream, in *intake) *streamConn {
	return &streamConn{Stream: st, in: in, box: in.take(st.StreamID())}
}

func (c *streamConn) Read(p []byte) (int, error) { return c.box.Read(p) }

func (c *streamConn) SetReadDeadline(t time.Time) error { return c.box.SetReadDeadline(t) }

func (c *streamConn) SetWriteDeadline(t time.Time) error { return c.box.out.SetWriteDeadline(t) }

func (c *streamConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *streamConn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	total := 0
	for len(p) > 0 {
		n, err := c.box.out.take(min(len(p), maxChunk))
		if err == nil {
			err = c.in.data(c.StreamID(), p[:n])
		}
		if err != nil {
			c.box.out.end(net.ErrClosed)
			return total, err
		}
		total += n
		p = p[n:]
	}
	return total, nil
}

func (c *streamConn) CloseWrite() error {
	c.box.out.end(net.ErrClosed) // before the end is sent: nothing may follow it
	return c.Stream.Close()
}

func (c *streamConn) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	c.box.out.end(net.ErrClosed)
	c.in.forget(c.box)
	return c.Stream.Close()
}
