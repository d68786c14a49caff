package postgres

import (
	"sync"
	"sync/atomic"

	"github.com/sluicehq/sluice/wire"
)

// maxOpen bounds requests sent and not answered. It is far above the server's own
// output buffer in answers (8 KiB hold about 1,600), so waiting for room always ends.
const maxOpen = 100_000

// exchange is a message sent to the server whose answer is owed.
type exchange struct {
	kind     byte // of the message; 'i' is our own Describe, '.' the end of COPY data
	req      *wire.Request
	refusal  *Say      // why it was replaced by one that must fail
	group    uint64    // of Sync and Query
	prepared *prepared // Parse, our Describe, Close
	old      *prepared // Parse: what the name meant before
	portal   *portal   // Bind, Execute, Close
	name     string    // Bind, Close
	target   byte      // Close
	begun    bool      // the first byte of the answer was seen
	shown    bool      // Execute with Look: its Columns were told
	copyIn   bool      // the server reads COPY data for it
	copied   bool      // the client has ended that data
	index    int       // statements of a Query that have ended
	rows     int64
	bytes    int64        // of rows and COPY data to the client
	taken    atomic.Int64 // of COPY data from the client; counted while it is sent
}

// queue holds open exchanges in order. up pushes, down pops.
//
// After an error in the extended protocol the server discards all up to the next
// Sync, so nothing is owed for what lies between: it is taken out with skip, or,
// if the client sends it later, never put in (skipping).
type queue struct {
	mu       sync.Mutex
	room     sync.Cond
	list     []*exchange
	skipping bool
	closed   bool
}

func newQueue() *queue {
	q := &queue{}
	q.room.L = &q.mu
	return q
}

// push adds an exchange; it returns false if the server will discard the message.
// It waits while the queue is full; wait is called once before, without the lock.
func (q *queue) push(x *exchange, wait func() error) (owed bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) >= maxOpen {
		q.mu.Unlock()
		err := wait()
		q.mu.Lock()
		if err != nil {
			return false, err
		}
		for len(q.list) >= maxOpen && !q.closed {
			q.room.Wait()
		}
	}
	switch {
	case x.kind == 'S' && q.ignoresSync():
		return true, nil
	case x.kind == '.':
		q.endCopy()
		return true, nil
	case q.skipping && x.kind != 'S':
		return false, nil
	}
	q.skipping = false
	q.list = append(q.list, x)
	return true, nil
}

// ignoresSync tells that the server is reading COPY data, when it passes over Sync
// (protocol section "COPY Operations").
func (q *queue) ignoresSync() bool {
	return len(q.list) > 0 && q.list[0].copyIn && !q.list[0].copied
}

// endCopy notes that the client has ended its COPY data: for the exchange that
// reads it now, or for the last one, which may yet begin to.
func (q *queue) endCopy() {
	if q.ignoresSync() {
		q.list[0].copied = true
		return
	}
	q.list = append(q.list, &exchange{kind: '.'})
}

// head is the exchange the next answer belongs to; nil if nothing is owed.
func (q *queue) head() *exchange {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dropMarks()
	if len(q.list) == 0 {
		return nil
	}
	return q.list[0]
}

func (q *queue) dropMarks() {
	for len(q.list) > 0 && q.list[0].kind == '.' {
		q.list = q.list[1:]
	}
}

// pop ends the first exchange.
func (q *queue) pop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dropMarks()
	if len(q.list) > 0 {
		q.list[0] = nil
		q.list = q.list[1:]
	}
	q.room.Broadcast()
}

// skip takes out what the server discards after an error: all before the next Sync.
func (q *queue) skip() (skipped []*exchange) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for n < len(q.list) && q.list[n].kind != 'S' {
		if q.list[n].kind != '.' {
			skipped = append(skipped, q.list[n])
		}
		n++
	}
	q.list = q.list[n:]
	q.skipping = len(q.list) == 0
	q.room.Broadcast()
	return skipped
}

// beginCopy notes that the server reads COPY data for the first exchange: the Syncs
// sent before the end of that data are passed over.
func (q *queue) beginCopy() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) == 0 {
		return
	}
	x := q.list[0]
	x.copyIn = true
	kept := q.list[:1:1]
	for i, y := range q.list[1:] {
		if y.kind == '.' {
			x.copied = true
			kept = append(kept, q.list[i+2:]...)
			break
		}
		if y.kind != 'S' {
			kept = append(kept, y)
		}
	}
	q.list = kept
}

// wake lets whoever waits for room go on; nothing will be answered any more.
func (q *queue) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.room.Broadcast()
}

// close wakes whoever waits for room and returns what is still open.
func (q *queue) close() []*exchange {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.room.Broadcast()
	open := q.list
	q.list = nil
	return open
}
