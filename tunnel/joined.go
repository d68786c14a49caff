package tunnel

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// bufferSize is what a session keeps beneath TLS in each direction: several full
// TLS records (16 KiB) move in one system call. Taken only after the handshake,
// so that a flood of silent connections takes none.
const bufferSize = 128 << 10

// buffered is the TCP connection beneath TLS. Before grow it passes everything
// through.
type buffered struct {
	net.Conn
	r  *bufio.Reader // owned by the reader; set by grow before there is one
	mu sync.Mutex    // TLS writes from its reader too (alerts, key updates)
	w  *bufio.Writer // under mu
	// hold is set, under mu, while the owner gathers records and will flush.
	hold bool
}

// grow takes the buffers. Call it between the handshake and the first use.
func (b *buffered) grow() {
	b.r = bufio.NewReaderSize(b.Conn, bufferSize)
	b.w = bufio.NewWriterSize(b.Conn, bufferSize)
}

func (b *buffered) Read(p []byte) (int, error) {
	if b.r == nil {
		return b.Conn.Read(p)
	}
	return b.r.Read(p)
}

func (b *buffered) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.w == nil {
		return b.Conn.Write(p)
	}
	n, err := b.w.Write(p)
	if err == nil && !b.hold {
		err = b.w.Flush()
	}
	return n, err
}

func (b *buffered) gather(on bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hold = on
	if on {
		return nil
	}
	return b.w.Flush()
}

// The first bytes of a yamux frame, as its specification has them.
const (
	muxHeader = 12 // version, type, flags (2), stream (4), length (4)
	muxData   = 0  // the one type with a body, of length bytes
)

// joined is what yamux writes to. yamux writes a frame's header and its body
// apart, which costs a TLS record and a system call each: joined holds the
// header back until its body comes. It counts which of the two is due, because a
// body can look like a header. yamux writes from one goroutine.
type joined struct {
	tls   *tls.Conn
	under *buffered
	buf   []byte // the header held, then the frame
	due   int    // bytes of the body still to come

	// refused is set when the peer refused our certificate: yamux keeps only that
	// the session ended, and a person must know why.
	refused atomic.Bool
}

func (j *joined) Write(p []byte) (int, error) {
	if j.due == 0 && len(p) == muxHeader && p[1] == muxData {
		if n := binary.BigEndian.Uint32(p[8:muxHeader]); n > 0 {
			j.buf = append(j.buf[:0], p...)
			j.due = int(n)
			return len(p), nil
		}
	}
	out := p
	if j.due > 0 {
		j.due -= min(j.due, len(p))
		if len(j.buf) > 0 {
			j.buf = append(j.buf, p...)
			out = j.buf
		}
	}
	err := j.send(out)
	if cap(j.buf) > bufferSize {
		j.buf = nil // a rare large frame does not keep its memory
	}
	j.buf = j.buf[:0]
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// send encrypts out and flushes its records together.
func (j *joined) send(out []byte) error {
	if err := j.under.gather(true); err != nil {
		return err
	}
	_, err := j.tls.Write(out)
	if ferr := j.under.gather(false); err == nil {
		err = ferr
	}
	return err
}

func (j *joined) Read(p []byte) (int, error) {
	n, err := j.tls.Read(p)
	if err != nil && refusesCertificate(err) {
		j.refused.Store(true)
	}
	return n, err
}

// refusesCertificate reports whether err is the peer's word that it does not
// take our certificate (RFC 8446 section 6.2: bad, unsupported, revoked,
// expired, unknown, of an unknown authority). crypto/tls gives alerts as errors
// of a private type; their texts are those of the public one.
func refusesCertificate(err error) bool {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return false
	}
	for _, a := range []tls.AlertError{42, 43, 44, 45, 46, 48} {
		if op.Err.Error() == a.Error() {
			return true
		}
	}
	return false
}

func (j *joined) Close() error         { return j.tls.Close() }
func (j *joined) LocalAddr() net.Addr  { return j.tls.LocalAddr() }
func (j *joined) RemoteAddr() net.Addr { return j.tls.RemoteAddr() }
