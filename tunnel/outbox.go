package tunnel

import (
	"os"
	"sync"
	"time"
)

// outbox is what may still be sent in a stream: the peer's window. What yamux knows of
// it stays as it began, because data passes yamux by.
type outbox struct {
	mu    sync.Mutex
	more  sync.Cond // on mu: the window grew, an end, or the deadline
	left  int64     // under mu: bytes that may be sent
	err   error     // under mu: why nothing can be sent any more
	alarm           // under mu
}

func (o *outbox) init() {
	o.more.L = &o.mu
	o.left = firstWindow
}

// take waits until something may be sent, and takes up to n bytes of that.
func (o *outbox) take(n int) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.left == 0 && o.err == nil && !o.late {
		o.more.Wait()
	}
	switch {
	case o.err != nil:
		return 0, o.err
	case o.late:
		return 0, os.ErrDeadlineExceeded
	}
	n = int(min(int64(n), o.left))
	o.left -= int64(n)
	return n, nil
}

// allow notes that the peer takes n bytes more. A peer may allow what it likes: it is
// its own memory.
func (o *outbox) allow(n uint32) {
	if n == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.left += int64(n)
	o.more.Broadcast()
}

// end has every take fail with err, unless they already do.
func (o *outbox) end(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
	o.alarm.stop()
	o.more.Broadcast()
}

// SetWriteDeadline is that of net.Conn.
func (o *outbox) SetWriteDeadline(t time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return o.err
	}
	o.alarm.set(&o.more, t)
	return nil
}
