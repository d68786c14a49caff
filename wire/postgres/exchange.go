package postgres

import (
	"net"
	"sync"
	"sync/atomic"

	"github.com/sluicehq/sluice/wire"
)

// maxOpen bounds requests sent and not answered. It is far above the server's own
// output buffer in answers (8 KiB hold about 1,600), so waiting for room always ends.
const maxOpen = 100_000

// maxOpenBytes bounds, past one message, what is kept of them meanwhile.
const maxOpenBytes = 256 << 10

// exchange is a message sent to the server whose answer is owed.
type exchange struct {
	kind     byte // of the message; 'i' is our own Describe, 'b' a Query of our own
	req      *wire.Request
	refusal  *Say      // why it was replaced by one that must fail
	group    uint64    // which ReadyForQuery it comes before
	prepared *prepared // Parse, our Describe of a statement, Describe, Close
	old      *prepared // Parse: what the name meant before
	portal   *portal   // Bind, Execute, Close
	before   *portal   // Bind: what the name meant before
	name     string    // Bind, Close
	target   byte      // Close
	renames  bool      // may change what names mean
	copies   bool      // may read COPY data
	size     int       // what is kept of it until it is answered
	bound    *bound    // how many rows it may change, if that is limited

	// Guarded by the ledger's mutex.
	reads, ends int          // times the server began to read COPY data for it, and the client ended such data
	taken       atomic.Int64 // bytes of COPY data from the client; counted while it is sent

	// Owned by the goroutine of Receive.
	begun     bool          // the first byte of the answer was seen
	described bool          // Query: rows may come; Execute with Look: its Columns were told
	copyOut   bool          // COPY data may come
	runs      *exchange     // our Describe of a portal: the Execute it is for
	columns   []wire.Column // Execute: what that Describe brought
	index     int           // statements of a Query that have ended
	rows      int64
	bytes     int64 // of rows and COPY data to the client
}

// ledger is all that the two goroutines of a session share: which answers are owed,
// in order, and what the server's names mean (names.go). Both are under one mutex,
// because an error changes both at once: what the server skips has no answer and
// gives no name a meaning.
//
// After an error in the extended protocol the server discards all up to the next
// Sync. What lies between is taken out with fail or, if the client sends it later,
// never entered (skipping).
type ledger struct {
	mu       sync.Mutex // guards what follows
	changed  sync.Cond
	closed   bool
	list     []*exchange
	skipping bool
	copying  *exchange // the last exchange that may read COPY data, while it is open
	renaming int       // exchanges that may change what names mean, and are not yet dealt with
	open     int       // size of all in list
	names
	memory
}

func newLedger() *ledger {
	l := &ledger{names: newNames()}
	l.changed.L = &l.mu
	return l
}

// turn says whether a message may be sent now.
type turn int

const (
	now   turn = iota
	later      // when something was answered
	over       // never: the server would pass over it (Sync during COPY data)
	never      // it is an error
	ended      // the session is over
)

// turn decides on a message other than Flush and COPY data. While the server reads
// COPY data it passes over Sync, and takes anything else for a mistake (protocol
// section "COPY Operations"). So as long as it is not known whether it reads, a
// message must wait: how many ReadyForQuery are owed would depend on the moment.
func (l *ledger) turn(kind byte) turn {
	x := l.copying
	switch {
	case l.closed:
		return ended
	case x == nil || x.kind == 'E' && x.ends > 0: // an Execute reads once: whatever came of it is over
	case x.reads > x.ends && kind == 'S':
		return over
	case x.reads > x.ends:
		return never
	default:
		return later
	}
	if len(l.list) >= maxOpen || l.open > maxOpenBytes && (kind == 'P' || kind == 'B' || kind == 'Q') {
		return later
	}
	return now
}

// await waits until a message may be sent, or must not be. nudge makes the server
// answer what it has; it is called once, before waiting.
func (l *ledger) await(kind byte, nudge func() error) (pass bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	nudged := false
	for {
		switch l.turn(kind) {
		case now:
			return true, nil
		case over:
			return false, nil
		case never:
			return false, violation("message %q while the server reads COPY data", kind)
		case ended:
			return false, net.ErrClosed
		}
		if nudged {
			l.changed.Wait()
			continue
		}
		l.mu.Unlock()
		err := nudge()
		l.mu.Lock()
		if err != nil {
			return false, err
		}
		nudged = true
	}
}

// enter notes a message that is about to be sent, and what it does to names. owed
// is false if the server will discard it. After an error nothing was noted.
func (l *ledger) enter(x *exchange) (owed bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.skipping && x.kind != 'S' {
		return false, nil
	}
	switch {
	case x.refusal != nil:
		l.refused = l.group // a Query ends its group below
	case x.kind == 'P':
		err = l.prepare(x)
	case x.kind == 'B':
		err = l.bind(x)
	case x.kind == 'C':
		l.closing(x)
	case x.kind == 'i' && x.prepared != nil:
		x.prepared.asked = l.group
	}
	if err != nil {
		return true, err
	}
	l.skipping = false
	l.list = append(l.list, x)
	l.open += x.size
	x.group = l.group
	l.partial = !syncs(x.kind)
	if !l.partial {
		l.group++
	}
	if x.copies {
		l.copying = x
	}
	if x.renames {
		l.renaming++
	}
	return true, nil
}

// copied counts COPY data from the client; ends says that it is the end of it.
// Data that nothing can read is the leftover of a COPY that failed.
func (l *ledger) copied(n int, ends bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.copying == nil {
		return
	}
	l.copying.taken.Add(int64(n))
	if ends {
		l.copying.ends++
	}
}

// reading notes that the server reads COPY data for x; false means that it must
// not, because x names no such statement.
func (l *ledger) reading(x *exchange) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !x.copies || x.kind == 'E' && x.reads > 0 {
		return false
	}
	x.reads++
	l.changed.Broadcast()
	return true
}

// head is the exchange the next answer belongs to; nil if nothing is owed.
func (l *ledger) head() *exchange {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) == 0 {
		return nil
	}
	return l.list[0]
}

// pop ends the first exchange.
func (l *ledger) pop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop()
	l.changed.Broadcast()
}

func (l *ledger) drop() {
	if len(l.list) == 0 {
		return
	}
	if l.copying == l.list[0] {
		l.copying = nil
	}
	l.open -= l.list[0].size
	l.list[0] = nil
	l.list = l.list[1:]
}

// uncopy notes that x has failed and reads no more COPY data.
func (l *ledger) uncopy(x *exchange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.copying == x {
		l.copying = nil
	}
	l.changed.Broadcast()
}

// fail ends the first exchange, x, by an error in the extended protocol, and with
// it all that the server discards: what lies before the next Sync. Names get back
// the meaning they had, the newest change undone first.
func (l *ledger) fail(x *exchange) (skipped []*exchange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop()
	n := 0
	for n < len(l.list) && l.list[n].kind != 'S' {
		n++
	}
	skipped, l.list = l.list[:n:n], l.list[n:]
	l.skipping = len(l.list) == 0
	for i := len(skipped) - 1; i >= 0; i-- {
		y := skipped[i]
		l.open -= y.size
		l.unname(y, true)
		if l.copying == y {
			l.copying = nil
		}
		if y.renames {
			l.renaming--
		}
	}
	l.unname(x, false)
	l.changed.Broadcast()
	return skipped
}

// dealt notes that whoever decides has dealt with the end of n exchanges that may
// have changed what names mean.
func (l *ledger) dealt(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renaming -= n
	l.changed.Broadcast()
}

// quiet reports whether all that was sent has been answered, up to ReadyForQuery.
func (l *ledger) quiet() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.list) == 0 && !l.skipping && !l.partial
}

// drain waits until every ReadyForQuery that is owed has come, so that a client
// that leaves right after its last statement does not take the answer from the
// record. It does not wait for what will never be answered: a group without Sync,
// or COPY data that nobody ends.
func (l *ledger) drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.closed && l.owes() {
		l.changed.Wait()
	}
}

func (l *ledger) owes() bool {
	if x := l.copying; x != nil && x.reads > x.ends {
		return false
	}
	for i := len(l.list) - 1; i >= 0; i-- {
		if syncs(l.list[i].kind) {
			return true
		}
	}
	return false
}

// close wakes whoever waits, for good.
func (l *ledger) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.changed.Broadcast()
}
