package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicehq/sluice/wire"
)

// flushSize is how much answer is gathered before it is written although more is
// at hand: a good size for one write call and one TLS record run.
const flushSize = 64 << 10

// leftTime bounds each write to a client that has ended its side: most have gone, and
// must not keep a statement and its locks. One that still reads gets all of its answer.
const leftTime = 2 * time.Second

// frame is what the adapter knows of a request's bytes.
type frame struct {
	kind     byte
	raw      []byte // aliases the client's read buffer
	portal   string
	target   byte // Describe, Close: 'S' or 'P'
	name     string
	binding  *binding
	prepared *prepared // Bind, Describe, Close: what the name means
	at       *portal   // Execute, Describe, Close
	head     int       // of COPY data: bytes before it that are none of it
}

// Client is the side a person's program talks to. Read is used by one goroutine,
// Write and Flush by another; Notice by any.
type Client struct {
	conn   net.Conn
	in     *reader
	ledger *ledger
	seq    uint64
	copy   int          // bytes of a CopyData message still to come
	flush  func() error // writes out what was sent to the server; set by Server, as is
	nudge  func() error // which has the server answer it besides
	left   atomic.Bool  // Read has seen the end
	speaks bool         // while it logs in: it has shown that it speaks this protocol
	told   bool         // and has been told why it may not
	frame  *frame       // last one returned: its bytes are good until the next Read
	late   atomic.Bool  // a large message was interrupted, to make room

	mu      sync.Mutex // guards what follows
	out     []byte     // gathered answer
	open    bool       // out, or what was written last, ends in the middle of a message
	notices []byte     // wait for the end of that message
	last    error      // first write error: nothing is written after it
	parted  bool       // the last word has been said: what still comes is dropped
}

func newClient(conn net.Conn, in *reader) *Client {
	return &Client{conn: conn, in: in, ledger: newLedger()}
}

// ErrOnward says that Read ended because the database takes no more: the client is
// still there.
var ErrOnward = errors.New("send on to the database")

// Read returns the client's next request. It blocks until one is there. After
// io.EOF the client is gone or has said goodbye, and what it sent before has been
// answered as far as it ever will be. CopyData is returned in pieces as it comes;
// every other message whole.
func (c *Client) Read() (*wire.Request, error) {
	req, err := c.read()
	if err == nil || c.flush == nil || errors.Is(err, ErrOnward) {
		return req, err
	}
	// A tunnel does not tell that nobody reads any more, as a socket does.
	c.left.Store(true)
	_ = c.conn.SetWriteDeadline(time.Now().Add(leftTime)) // an error means that it is closed already
	// What was sent before the end runs, as it would without us, and is answered
	// before the client hears what was wrong with the rest.
	var wrong *Violation
	if ferr := c.flush(); ferr == nil && (errors.Is(err, io.EOF) || errors.As(err, &wrong)) {
		c.ledger.drain()
	}
	return nil, err
}

func (c *Client) read() (*wire.Request, error) {
	if c.frame != nil {
		c.frame.raw, c.frame = nil, nil // whoever waits for the answer must not keep it
	}
	c.in.dealt()
	c.ledger.rebalance()
	if c.copy > 0 {
		return c.readCopy(0)
	}
	kind, total, err := c.in.peek()
	if err != nil {
		return nil, err
	}
	if kind == 'd' {
		c.copy = total
		return c.readCopy(headBytes)
	}
	if total-1 > limitOf(kind) {
		c.seq++
		req, err := c.oversized(kind, total)
		if err != nil {
			return nil, err
		}
		req.Seq = c.seq
		return req, nil
	}
	if err := c.in.fill(total); err != nil {
		return nil, c.noRoom(err, total)
	}
	c.in.arrived()
	if c.late.Swap(false) {
		resume(c.conn) // it was complete before it could be interrupted
	}
	if usesNames(kind) {
		if err := c.settle(); err != nil {
			return nil, err
		}
	}
	c.seq++
	req, err := c.request(kind, c.in.take(total))
	if req != nil {
		c.frame, _ = req.Frame.(*frame)
	}
	return req, err
}

// settle waits until it is known what names mean.
func (c *Client) settle() error {
	if !c.ledger.unsettled() {
		return nil
	}
	// The answer that settles them may still wait for bytes we hold.
	if err := c.nudge(); err != nil {
		return fmt.Errorf("%w: %w", ErrOnward, err)
	}
	c.ledger.settle()
	return nil
}

// Within has large messages of the session, both ways, and what its names hold, taken
// from s. It is called before the first Read.
func (c *Client) Within(s *Share) {
	c.ledger.share = s
	// Beside the message there are its parameters, which outlive it in the ledger.
	c.in.share, c.in.copies = s, 2
	c.in.hurry = func() {
		c.late.Store(true)
		interrupt(c.conn)
	}
}

// noRoom says why a large message was not read.
func (c *Client) noRoom(err error, total int) error {
	var timeout net.Error
	var wrong *Violation
	switch {
	case c.late.Load() && errors.As(err, &timeout) && timeout.Timeout():
		return &Violation{What: "a message came too slowly while others waited for the memory it takes", Code: "53200",
			Hint: "load bulk data with COPY, or send less at a time"}
	case errors.As(err, &wrong):
		// As with what is too large.
		if derr := c.in.discard(total); derr != nil {
			return derr
		}
	}
	return err
}

func oversize(kind byte, size, limit int) error {
	if kind == 'F' {
		return tooLarge("send less at a time", "parameters of %d bytes are larger than the limit of %d", size, limit)
	}
	return violation("message %q of %d bytes is larger than the limit of %d", kind, size, limit)
}

// limitOf is the largest length word accepted of a client message.
func limitOf(kind byte) int {
	switch kind {
	case 'Q', 'P':
		return MaxStatement
	case 'B', 'F':
		return maxBind
	}
	return maxSmall
}

func usesNames(kind byte) bool {
	switch kind {
	case 'Q', 'P', 'B', 'E', 'D', 'C':
		return true
	}
	return false
}

// headBytes are the type of a message and its length.
const headBytes = 5

// readCopy gives what has come of a message of COPY data, whose head is among it at its
// beginning.
func (c *Client) readCopy(head int) (*wire.Request, error) {
	if len(c.in.rest()) == 0 {
		if err := c.in.fill(1); err != nil {
			return nil, err
		}
	}
	n := min(c.copy, len(c.in.rest()))
	c.copy -= n
	return &wire.Request{Seq: c.seq, Frame: &frame{kind: 'd', raw: c.in.take(n), head: head}}, nil
}

func (c *Client) request(kind byte, raw []byte) (*wire.Request, error) {
	f := &frame{kind: kind, raw: raw}
	req := &wire.Request{Seq: c.seq, Frame: f}
	msg := raw[header:]
	var err error
	switch kind {
	case 'Q':
		req.Action = wire.Run
		req.SQL, err = decodeQuery(msg)
	case 'P':
		req.Action = wire.Prepare
		req.Prepared, err = decodeParse(msg)
		if err == nil {
			req.SQL = req.Prepared.SQL
			c.in.lend(c.ledger)
		}
	case 'B':
		err = c.bind(f, msg)
	case 'E':
		err = c.execute(req, f, msg)
	case 'D', 'C':
		err = c.describe(f, msg)
	case 'F':
		req.Action = wire.Call
		req.Function, req.Params, err = decodeCall(msg)
	case 'X':
		return nil, io.EOF
	case 'S', 'H', 'c', 'f':
	default:
		return nil, violation("unexpected message %q", kind)
	}
	return req, err
}

func (c *Client) bind(f *frame, msg []byte) error {
	b, err := decodeBind(msg)
	if err != nil {
		return err
	}
	f.binding = b
	f.portal = b.portal
	f.prepared = c.ledger.statement(b.statement)
	f.at = &portal{prepared: f.prepared, params: b.params, formats: b.formats}
	c.in.lend(c.ledger)
	if f.prepared != nil {
		for i := range b.params {
			b.params[i].TypeOID = c.ledger.typeOf(f.prepared, i)
		}
	}
	return nil
}

// execute finds what a portal runs. If the name is unknown here Prepared stays
// nil, and whoever decides must think the worst.
func (c *Client) execute(req *wire.Request, f *frame, msg []byte) error {
	name, err := decodeExecute(msg)
	if err != nil {
		return err
	}
	req.Action = wire.Run
	f.portal = name
	f.at, req.Again = c.ledger.portal(name)
	if f.at == nil || f.at.prepared == nil {
		req.Unnamed, req.Void = true, c.ledger.void()
		return nil
	}
	req.Params = f.at.params
	req.Prepared, req.SQL = f.at.prepared.Prepared, f.at.prepared.SQL
	return nil
}

func (c *Client) describe(f *frame, msg []byte) error {
	var err error
	f.target, f.name, err = decodeTarget(msg)
	if err != nil {
		return err
	}
	if f.target == 'S' {
		f.prepared = c.ledger.statement(f.name)
		return nil
	}
	f.at, _ = c.ledger.portal(f.name)
	return nil
}

// Complete reports whether Read would return without waiting for the network.
func (c *Client) Complete() bool {
	if c.copy > 0 {
		return len(c.in.rest()) > 0
	}
	return c.in.complete()
}

// Write hands a reply back. It gathers what is small; Flush sends it.
func (c *Client) Write(r *wire.Reply) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last != nil || c.parted {
		return c.last
	}
	switch {
	case r.Kind == wire.Row:
		c.out = appendRow(forBulk(c.out), r.Row)
	case r.Kind == wire.CopyRow:
		c.out = appendCopyData(forBulk(c.out), r.Data)
	case len(r.Frame) >= flushSize/2:
		c.send()
		c.write(r.Frame)
		c.open = r.Open
		return c.last
	default:
		c.out = append(c.out, r.Frame...)
	}
	c.open = r.Kind == wire.Raw && r.Open
	if len(c.out) >= flushSize {
		c.send()
	}
	return c.last
}

// Flush writes out what was gathered.
func (c *Client) Flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.send()
	return c.last
}

// send writes out; c.mu is held.
func (c *Client) send() {
	if !c.open && len(c.notices) > 0 {
		c.out = append(c.out, c.notices...)
		c.notices = c.notices[:0]
	}
	c.write(c.out)
	c.out = reuse(c.out)
}

// reuse empties an output buffer. One that was grown for bulk, and last held little,
// is let go: most connections are idle most of the time.
func reuse(out []byte) []byte {
	switch {
	case cap(out) > 4*flushSize:
		return nil
	case cap(out) > 2*someBuffer && len(out) < someBuffer:
		if cap(out) >= flushSize {
			out = out[:0]
			bulk.Put(&out)
		}
		return nil
	}
	return out[:0]
}

// bulk are output buffers that were let go: a result comes in large and small pieces, and
// to grow one for each would keep the collector busy.
var bulk = sync.Pool{New: func() any {
	b := make([]byte, 0, flushSize+2*someBuffer)
	return &b
}}

// forBulk is out, or a buffer to begin with.
func forBulk(out []byte) []byte {
	if out == nil {
		return *bulk.Get().(*[]byte)
	}
	return out
}

func (c *Client) write(b []byte) {
	if len(b) > 0 && c.last == nil {
		if c.left.Load() {
			_ = c.conn.SetWriteDeadline(time.Now().Add(leftTime)) // as in Read
		}
		_, c.last = c.conn.Write(b)
	}
}

// Gone waits while req is held until the client has closed its end, or done is
// closed; it returns true if the client went. What the client sends meanwhile is
// kept for Read, up to maxHeld bytes; a client that sends more just waits, unread.
// The goroutine of Read calls it.
func (c *Client) Gone(req *wire.Request, done <-chan struct{}) bool {
	f := req.Frame.(*frame)
	f.raw = bytes.Clone(f.raw)    // reading on moves what the buffer holds
	stopped := make(chan bool, 1) // one result, whether or not anyone still waits
	go func() { stopped <- c.watch() }()
	select {
	case gone := <-stopped:
		if gone {
			return true
		}
		<-done // the buffer is full: we cannot see more
		return false
	case <-done:
		interrupt(c.conn)
		<-stopped
		resume(c.conn)
		return false
	}
}

// maxHeld bounds what is taken in behind a held statement.
const maxHeld = 256 << 10

func (c *Client) watch() (gone bool) {
	for c.in.end-c.in.start < maxHeld {
		if err := c.in.more(maxHeld); err != nil {
			var timeout net.Error
			return !errors.As(err, &timeout) || !timeout.Timeout()
		}
	}
	return false
}

// Close ends the connection; a Read or Write under way returns.
func (c *Client) Close() error {
	c.ledger.close()
	c.ledger.share.stop()
	return c.conn.Close()
}

func appendHead(dst []byte, kind byte, length int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, kind), uint32(length))
}

func appendRow(dst []byte, row [][]byte) []byte {
	size := 6
	for _, v := range row {
		size += 4 + len(v)
	}
	dst = appendHead(dst, 'D', size)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(row)))
	for _, v := range row {
		if v == nil {
			dst = append(dst, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(v)))
		dst = append(dst, v...)
	}
	return dst
}

func appendCopyData(dst, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	return append(appendHead(dst, 'd', 4+len(data)), data...)
}
