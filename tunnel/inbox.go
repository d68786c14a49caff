package tunnel

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// The memory that readers who stop can pin: each stream's first window, and on top of
// that what the budgets let windows grow by.
const (
	firstWindow    = 256 << 10 // yamux's own, which cannot be less
	largestWindow  = 4 << 20   // at 20 ms round trip 4 MiB still carry 50 MB/s
	sessionWindows = 64 << 20  // 17 streams of one session at their largest at the same time
	serverWindows  = 1 << 30   // of all sessions of a gateway
)

// chunkSize is a TLS record's worth.
const chunkSize = 16 << 10

// errReset is what a reader gets when its stream was reset.
var errReset = errors.New("the stream was reset")

// chunk is a piece of what has arrived.
type chunk struct {
	next *chunk
	a, z int // buf[a:z] is unread
	buf  [chunkSize]byte
}

// chunks are shared: an idle stream holds none.
var chunks = sync.Pool{New: func() any { return new(chunk) }}

func newChunk() *chunk {
	c := chunks.Get().(*chunk)
	c.next, c.a, c.z = nil, 0, 0
	return c
}

// budget is what windows may grow by in all. A nil budget has nothing.
type budget struct {
	left   atomic.Int64
	short  atomic.Bool // somebody could not grow; cleared by who shrinks for that
	parent *budget     // nil, or another that must have room too
}

func newBudget(size int64, parent *budget) *budget {
	b := &budget{parent: parent}
	b.left.Store(size)
	return b
}

func (b *budget) take(n int) bool {
	if b == nil {
		return false
	}
	if b.left.Add(-int64(n)) < 0 || b.parent != nil && !b.parent.take(n) {
		b.left.Add(int64(n))
		b.short.Store(true)
		return false
	}
	return true
}

func (b *budget) give(n int) {
	for ; b != nil; b = b.parent {
		b.left.Add(int64(n))
	}
}

// scarce reports once that somebody could not grow.
func (b *budget) scarce() bool {
	for ; b != nil; b = b.parent {
		if b.short.Load() && b.short.Swap(false) {
			return true
		}
	}
	return false
}

// inbox holds what has arrived in a stream and was not read yet. granted and unread
// together are never more than window.
type inbox struct {
	in *intake
	id uint32

	mu          sync.Mutex
	more        sync.Cond // on mu: data, an end, or the deadline
	first, last *chunk    // under mu
	unread      int       // under mu: bytes in them
	granted     int       // under mu: bytes that the peer may still send
	window      int       // under mu
	fin         bool      // under mu: the peer has sent its last byte
	closed      bool      // under mu: nobody reads
	err         error     // under mu: why nothing more comes, after what is unread
	alarm                 // under mu

	out outbox // of the same stream
}

func newInbox(in *intake, id uint32) *inbox {
	b := &inbox{in: in, id: id, granted: firstWindow, window: firstWindow}
	b.more.L = &b.mu
	b.out.init()
	return b
}

// expect takes n bytes that the peer has announced from what it was allowed.
func (b *inbox) expect(n int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > int64(b.granted) {
		return overrun(b.id, n, b.granted)
	}
	b.granted -= int(n)
	b.unread += int(n) // although it is still on its way: it has its place
	return nil
}

// put appends what has arrived; what fits into the last chunk goes there, or a peer
// that sends single bytes would pin a chunk with each.
func (b *inbox) put(c *chunk) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := c.z
	switch {
	case b.closed || b.err != nil || n == 0:
		chunks.Put(c)
		return
	case b.last != nil && chunkSize-b.last.z >= n:
		b.last.z += copy(b.last.buf[b.last.z:], c.buf[:n])
		chunks.Put(c)
	case b.last != nil:
		b.last.next, b.last = c, c
	default:
		b.first, b.last = c, c
	}
	b.more.Broadcast()
}

func (b *inbox) Read(p []byte) (int, error) {
	b.mu.Lock()
	for b.first == nil && !b.late && !b.closed && !b.fin && b.err == nil && len(p) > 0 {
		b.more.Wait()
	}
	n, err := b.read(p)
	grant := b.refill(n)
	b.mu.Unlock()
	if grant > 0 {
		b.in.allow(b.id, uint32(grant))
	}
	return n, err
}

// read takes what there is. Called under mu.
func (b *inbox) read(p []byte) (n int, err error) {
	switch {
	case b.closed:
		return 0, net.ErrClosed
	case b.late:
		return 0, os.ErrDeadlineExceeded
	case b.first == nil && b.fin:
		return 0, io.EOF
	case b.first == nil && b.err != nil:
		return 0, b.err
	}
	for n < len(p) && b.first != nil {
		c := b.first
		m := copy(p[n:], c.buf[c.a:c.z])
		n += m
		if c.a += m; c.a == c.z {
			if b.first = c.next; b.first == nil {
				b.last = nil
			}
			chunks.Put(c)
		}
	}
	return n, nil
}

// refill counts n bytes as read and gives how many more the peer may send. A reader
// who keeps up gets a larger window, while there is budget; one who has a large one
// gives half of it to those who could not grow. Called under mu.
func (b *inbox) refill(n int) (grant int) {
	b.unread -= n
	if n == 0 || b.fin || b.err != nil || b.granted+b.unread > b.window/2 {
		return 0
	}
	switch {
	case b.window > firstWindow && b.in.budget.scarce():
		b.window /= 2
		b.in.budget.give(b.window)
	case b.window < largestWindow && b.in.budget.take(b.window):
		b.window *= 2
	}
	grant = b.window - b.unread - b.granted
	if grant < b.window/2 {
		return 0
	}
	b.granted += grant
	return grant
}

// finish notes the peer's last byte, and reports whether the box can go.
func (b *inbox) finish() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fin = true
	b.more.Broadcast()
	return b.closed
}

// fail notes that nothing more will come.
func (b *inbox) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	b.more.Broadcast()
	if err == io.EOF { // of what comes; nothing goes any more
		err = errLost
	}
	b.out.end(err)
}

// close drops what was not read, and reports whether the box can go.
func (b *inbox) close() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for b.first != nil {
		c := b.first
		b.first = c.next
		chunks.Put(c)
	}
	b.last = nil
	b.alarm.stop()
	b.more.Broadcast()
	b.in.budget.give(b.window - firstWindow) // not before: until now it may have been full
	b.window = firstWindow
	return b.fin || b.err != nil
}

// SetReadDeadline is that of net.Conn.
func (b *inbox) SetReadDeadline(t time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return net.ErrClosed
	}
	b.alarm.set(&b.more, t)
	return nil
}
