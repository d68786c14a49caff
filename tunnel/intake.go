package tunnel

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// What of yamux's frames the intake must know, beside joined's.
const (
	muxWindow = 1 // the type that raises a window
	muxSYN    = 1 // flags
	muxFIN    = 4
	muxRST    = 8
)

// errBody would be a fault of ours: streams send their data themselves.
var errBody = errors.New("the multiplexer sent more than a header")

// errLost is what a client's reader, and a writer, gets when the session ended before
// the stream did.
var errLost = errors.New("the tunnel was lost")

// intake stands between TLS and yamux and keeps the data of streams to itself: yamux
// gives every stream of a session the same window and cannot take it back, so that
// the memory that readers who stop can pin would be streams times the largest. Here a
// window grows while its reader keeps up, out of a budget. What a stream may send is
// kept beside it. yamux sees the frames that open and end streams, without data.
type intake struct {
	*joined
	client bool
	budget *budget

	in   *bufio.Reader   // owned by yamux's receiver
	head [muxHeader]byte // as above
	left []byte          // as above: what of head yamux has not taken yet

	mu    sync.Mutex
	boxes map[uint32]*inbox // under mu, by stream
	ended bool              // under mu
}

func newIntake(conn *joined, client bool, b *budget) *intake {
	return &intake{joined: conn, client: client, budget: b, in: bufio.NewReader(conn), boxes: map[uint32]*inbox{}}
}

// Read gives yamux the next frame that is for it, without data.
func (i *intake) Read(p []byte) (int, error) {
	if len(i.left) == 0 {
		if err := i.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, i.left)
	i.left = i.left[n:]
	return n, nil
}

// next reads frames up to one that yamux must see.
func (i *intake) next() error {
	for {
		if _, err := io.ReadFull(i.in, i.head[:]); err != nil {
			return err
		}
		i.left = i.head[:]
		kind, flags := i.head[1], binary.BigEndian.Uint16(i.head[2:])
		if i.head[0] != 0 || kind != muxData && kind != muxWindow {
			return nil
		}
		id := binary.BigEndian.Uint32(i.head[4:])
		if flags&muxSYN != 0 {
			if i.client {
				return errors.New("the gateway opened a stream")
			}
			i.open(id)
		}
		n, b := binary.BigEndian.Uint32(i.head[8:]), i.box(id)
		clear(i.head[8:])
		switch {
		case kind == muxData:
			if err := i.body(b, int64(n)); err != nil {
				return err
			}
		case b != nil:
			b.out.allow(n)
		}
		switch {
		case flags&muxRST != 0:
			i.reset(id)
		case flags&muxFIN != 0:
			i.finish(id)
		}
		if flags != 0 {
			return nil
		}
	}
}

// body moves n bytes of data into b, piece by piece as they come, so that no memory
// is taken for what is only announced.
func (i *intake) body(b *inbox, n int64) error {
	if b == nil { // reset a moment ago
		_, err := io.CopyN(io.Discard, i.in, n)
		return err
	}
	if err := b.expect(n); err != nil {
		return err
	}
	for n > 0 {
		c := newChunk()
		m, err := i.in.Read(c.buf[:min(n, chunkSize)])
		c.z = m
		b.put(c)
		if n -= int64(m); err != nil && n > 0 {
			return err
		}
	}
	return nil
}

// Write passes on what yamux sends, and notes streams that it opens and resets.
func (i *intake) Write(p []byte) (int, error) {
	if len(p) != muxHeader {
		return 0, errBody
	}
	if p[1] == muxWindow {
		id, flags := binary.BigEndian.Uint32(p[4:]), binary.BigEndian.Uint16(p[2:])
		switch {
		case flags&muxRST != 0:
			i.reset(id)
		case flags&muxSYN != 0:
			i.open(id) // before an answer to it can arrive
		}
	}
	return i.joined.Write(p)
}

// lost is how a stream ends that its session did not outlive. A gateway treats a
// client that vanished like one that left, as a database does.
func (i *intake) lost() error {
	if i.client {
		return errLost
	}
	return io.EOF
}

// Close ends the session: who reads gets what has arrived first.
func (i *intake) Close() error {
	i.mu.Lock()
	i.ended = true
	for id, b := range i.boxes {
		b.fail(i.lost())
		delete(i.boxes, id)
	}
	i.mu.Unlock()
	return i.joined.Close()
}

func (i *intake) open(id uint32) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.boxes[id] == nil && !i.ended {
		i.boxes[id] = newInbox(i, id)
	}
}

// box gives that of a stream, or nil if it has ended.
func (i *intake) box(id uint32) *inbox {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.boxes[id]
}

// take gives the box of a stream to whoever will read it.
func (i *intake) take(id uint32) *inbox {
	if b := i.box(id); b != nil {
		return b
	}
	b := newInbox(i, id) // it ended before anyone looked
	b.fail(i.lost())
	return b
}

func (i *intake) reset(id uint32) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if b := i.boxes[id]; b != nil {
		b.fail(errReset)
		delete(i.boxes, id)
	}
}

// finish notes that the peer has sent its last byte.
func (i *intake) finish(id uint32) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if b := i.boxes[id]; b != nil && b.finish() {
		delete(i.boxes, id)
	}
}

// forget drops a box that nobody reads any more, once the peer sends no more either;
// before that its data must still be known for what it is.
func (i *intake) forget(b *inbox) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if b.close() && i.boxes[b.id] == b {
		delete(i.boxes, b.id)
	}
}

// allow lets the peer send n more bytes in a stream.
func (i *intake) allow(id, n uint32) {
	frame := [muxHeader]byte{1: muxWindow}
	binary.BigEndian.PutUint32(frame[4:], id)
	binary.BigEndian.PutUint32(frame[8:], n)
	i.joined.later(frame[:])
}

// overrun is a peer that sends more than it was allowed.
func overrun(id uint32, n int64, granted int) error {
	return fmt.Errorf("stream %d: %d bytes were sent, %d allowed", id, n, granted)
}
