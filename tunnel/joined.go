package tunnel

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"runtime"
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
	// gatherMost is how many bytes may wait to be written; then who has more waits.
	gatherMost = 256 << 10
	// flushRounds bounds how long one stream's writer writes for the others.
	flushRounds = 4
	// lastFlush bounds what Close still writes to a peer that does not read.
	lastFlush = time.Second
)

// joined is where the frames of a session leave. Whoever has something to send
// appends it and flushes: the first writes for all who can run at that moment, and what
// the others append while it is in the system call goes out in its next one. So many streams share a write, and a lone
// one has no goroutine between it and the socket. What nobody can wait for is flushed
// by flusher.
type joined struct {
	tls   *tls.Conn
	under *buffered

	mu       sync.Mutex
	changed  sync.Cond // on mu: buf was taken, or the flushing ended
	buf      *[]byte   // under mu: frames to write; nil if none
	flushing bool      // under mu: somebody writes, and goes on until buf is nil
	latest   uint32    // under mu: whose frame was put last; 0 is the session's own
	closing  bool      // under mu
	err      error     // under mu: why nothing can be written any more

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
	j := &joined{tls: t, under: under, wake: make(chan struct{}, 1), done: make(chan struct{})}
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

// Write sends what yamux writes.
func (j *joined) Write(p []byte) (int, error) {
	if err := j.put(p, nil); err != nil {
		return 0, err
	}
	return len(p), nil
}

// data sends body, which the stream's window has room for, as one frame.
func (j *joined) data(stream uint32, body []byte) error {
	head := [muxHeader]byte{1: muxData}
	binary.BigEndian.PutUint32(head[4:], stream)
	binary.BigEndian.PutUint32(head[8:], uint32(len(body)))
	return j.put(head[:], body)
}

// put appends a frame, once there is room, and sees to it that it leaves.
func (j *joined) put(head, body []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.buf != nil && len(*j.buf) >= gatherMost && j.err == nil {
		j.changed.Wait() // who is flushing makes room
	}
	j.append(head, body)
	if id := binary.BigEndian.Uint32(head[4:]); id != j.latest && !j.flushing {
		j.latest = id
		j.others()
	}
	return j.flushLocked()
}

// others lets those run who can, before what has gathered is written: where several
// streams are at work, some of them have something to send too, and the system call is
// most of what a small frame costs. If nobody can run, it takes no time. Called with
// mu, which it lets go meanwhile.
func (j *joined) others() {
	j.flushing = true
	j.mu.Unlock()
	runtime.Gosched()
	j.mu.Lock()
	j.flushing = false
	j.changed.Broadcast()
}

// append needs mu.
func (j *joined) append(head, body []byte) {
	if j.err != nil {
		return
	}
	if j.buf == nil {
		j.buf = buffers.Get().(*[]byte)
		*j.buf = (*j.buf)[:0]
	}
	*j.buf = append(append(*j.buf, head...), body...)
}

// later appends a frame for the flusher to send.
func (j *joined) later(frame []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.append(frame, nil)
	j.ring()
}

func (j *joined) ring() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// flush writes what has gathered, unless somebody is at it already.
func (j *joined) flush() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.flushLocked()
}

// flushLocked is flush, called with mu.
func (j *joined) flushLocked() error {
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
