package tunnel

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// The first bytes of a yamux frame, as its specification has them.
const (
	muxHeader = 12 // version, type, flags (2), stream (4), length (4)
	muxData   = 0  // the one type with a body, of length bytes
)

const (
	// gatherMost is how many bytes may wait to be written; then yamux's sender waits.
	gatherMost = 256 << 10
	// flushRounds bounds how long one stream's writer writes for the others.
	flushRounds = 4
	// lastFlush bounds what Close still writes to a peer that does not read.
	lastFlush = time.Second
)

// joined is what yamux writes to. yamux writes a frame's header and its body
// apart, from one goroutine, which costs a TLS record and a system call each.
// joined gathers whole frames instead, and whoever wrote a stream's bytes flushes
// them: the first writes, and what the others gather while it is in the system call
// goes out in its next one. So many streams share a write, and a lone one has no
// goroutine between it and the socket. Frames that no writer stands behind (window
// updates, pings, the part of a write that the window had room for) are flushed by
// flusher. It counts which of header and body is due, because a body can look like
// a header.
type joined struct {
	tls   *tls.Conn
	under *buffered

	head [muxHeader]byte // owned by yamux's sender: the header held until its body comes
	due  int             // as above: bytes of the body still to come
	lone bool            // as above: nobody stands behind the frame

	active atomic.Int32 // streams in their Write

	mu       sync.Mutex
	changed  sync.Cond              // on mu: buf was taken, or the flushing ended
	buf      *[]byte                // under mu: frames to write; nil if none
	flushing bool                   // under mu: somebody writes, and goes on until buf is nil
	closing  bool                   // under mu
	err      error                  // under mu: why nothing can be written any more
	writers  map[uint32]*streamConn // under mu, by stream

	deadline time.Time // owned by whoever is flushing: the last that was set

	wake    chan struct{} // 1: there is something to flush
	done    chan struct{} // closed by Close
	flusher sync.WaitGroup

	// refused is set when the peer refused our certificate: yamux keeps only that
	// the session ended, and a person must know why.
	refused atomic.Bool
}

// join starts the flusher, which Close ends.
func join(t *tls.Conn, under *buffered) *joined {
	under.grown = true
	j := &joined{tls: t, under: under, writers: map[uint32]*streamConn{}, wake: make(chan struct{}, 1), done: make(chan struct{})}
	j.changed.L = &j.mu
	j.flusher.Go(func() {
		for {
			select {
			case <-j.wake:
				_ = j.flush() // kept in err, and the connection is closed
			case <-j.done:
				return
			}
		}
	})
	return j
}

func (j *joined) Write(p []byte) (int, error) {
	n, err := j.take(p)
	if err == nil && j.due == 0 && !j.lone && j.active.Load() == 1 {
		err = j.flush() // no other writer: its frame need not wait until it is back
	}
	return n, err
}

// take appends what yamux writes.
func (j *joined) take(p []byte) (int, error) {
	if j.due == 0 && len(p) == muxHeader && p[1] == muxData {
		if n := binary.BigEndian.Uint32(p[8:muxHeader]); n > 0 {
			copy(j.head[:], p)
			j.due = int(n)
			return len(p), nil
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.buf != nil && len(*j.buf) >= gatherMost && j.err == nil {
		j.changed.Wait() // who stands behind what has gathered will flush it
	}
	if j.err != nil {
		return 0, j.err
	}
	if j.buf == nil {
		j.buf = buffers.Get().(*[]byte)
		*j.buf = (*j.buf)[:0]
	}
	switch {
	case j.due == 0:
		j.lone = true
	case j.head[0] == 0 && j.head[1] == muxData && j.due == int(binary.BigEndian.Uint32(j.head[8:])):
		w := j.writers[binary.BigEndian.Uint32(j.head[4:])]
		j.lone = w == nil || w.want != j.due // guarded by mu
		*j.buf = append(*j.buf, j.head[:]...)
	}
	*j.buf = append(*j.buf, p...)
	j.due -= min(j.due, len(p))
	if j.lone {
		j.ring()
	}
	return len(p), nil
}

func (j *joined) ring() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// expect notes that the writer of a stream stands behind its next frame if that has
// n bytes: it will flush. A frame of another length is one that the window cut
// short, and its writer waits for the peer before it comes back.
func (j *joined) expect(c *streamConn, n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c.want = n
}

func (j *joined) enter(c *streamConn) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.writers[c.StreamID()] = c
}

func (j *joined) leave(c *streamConn) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.writers[c.StreamID()] == c {
		delete(j.writers, c.StreamID())
	}
}

// flush writes what has gathered, unless somebody is at it already.
func (j *joined) flush() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.flushing {
		return j.err
	}
	j.flushing = true
	for round := 0; j.buf != nil && j.err == nil; round++ {
		if round == flushRounds {
			j.ring()
			break
		}
		out := j.buf
		j.buf = nil
		closing := j.closing
		j.changed.Broadcast()
		j.mu.Unlock()
		err := j.send(*out, closing)
		if cap(*out) <= 2*gatherMost {
			buffers.Put(out)
		}
		j.mu.Lock()
		if err != nil && j.err == nil {
			j.err = err
			j.under.Conn.Close() // ends yamux's reader, and with it the session
		}
	}
	j.flushing = false
	j.changed.Broadcast()
	return j.err
}

// send encrypts out and writes its records together. A peer that does not read ends
// the session within writeTimeout; the deadline is moved at most once a second.
func (j *joined) send(out []byte, closing bool) error {
	if now := time.Now(); !closing && j.deadline.Before(now.Add(writeTimeout)) {
		j.deadline = now.Add(writeTimeout + time.Second)
		if err := j.under.Conn.SetWriteDeadline(j.deadline); err != nil {
			return err
		}
	}
	j.under.gather()
	_, err := j.tls.Write(out)
	return errors.Join(err, j.under.flush())
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

// Close writes what is still to be written, if the peer takes it soon, and ends the
// flusher.
func (j *joined) Close() error {
	j.mu.Lock()
	if j.closing {
		j.mu.Unlock()
		j.flusher.Wait()
		return net.ErrClosed
	}
	j.closing = true
	derr := j.under.Conn.SetWriteDeadline(time.Now().Add(lastFlush))
	for j.flushing {
		j.changed.Wait()
	}
	j.mu.Unlock()
	for range flushRounds { // what yamux adds meanwhile ends with it
		if derr != nil || j.flush() != nil {
			break
		}
	}
	j.mu.Lock()
	if j.err == nil {
		j.err = net.ErrClosed
	}
	j.changed.Broadcast()
	j.mu.Unlock()
	err := j.tls.Close()
	close(j.done)
	j.flusher.Wait()
	return err
}

func (j *joined) LocalAddr() net.Addr  { return j.tls.LocalAddr() }
func (j *joined) RemoteAddr() net.Addr { return j.tls.RemoteAddr() }
