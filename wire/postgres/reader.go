package postgres

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Limits of what either side may send. A message is never given memory before its
// length was checked against the limit of its kind.
const (
	readBuffer     = 64 << 10  // one read call of bulk; large enough that it costs few of them
	someBuffer     = 4 << 10   // one read call of answers of some rows
	idleBuffer     = 1 << 10   // one read call of a point query: what an idle connection keeps
	maxStartup     = 10_000    // PostgreSQL's MAX_STARTUP_PACKET_LENGTH
	maxAuth        = 64 << 10  // PostgreSQL's PG_MAX_AUTH_TOKEN_LENGTH is 65535
	MaxStatement   = 8 << 20   // Query and Parse: more is no statement but a bulk load, for which there is COPY
	maxBind        = 64 << 20  // Bind is kept whole to be judged and recorded; the largest real documents fit
	maxSmall       = 64 << 10  // messages that carry names only
	maxControl     = 16 << 20  // server messages that are read whole: errors, notices, row descriptions
	maxRow         = 64 << 20  // a row that must be masked is read whole
	maxServerFrame = 1<<30 + 8 // PostgreSQL's own limit for one message (MaxAllocSize)
)

// header is the length of a message's type byte and length word.
const header = 5

// Violation is an error that the other side made against the protocol; the
// session must end.
type Violation struct {
	What string
	Code string // SQLSTATE
	Hint string
}

func (v *Violation) Error() string { return "protocol violation: " + v.What }

// Say is what the client should be told before the session ends.
func (v *Violation) Say() Say {
	hint := v.Hint
	if hint == "" {
		hint = "this is a fault of a program, not of what you typed: try another version of it, or another driver"
	}
	return Say{Code: v.Code, Message: v.What, Hint: hint}
}

func violation(format string, args ...any) error {
	return &Violation{What: fmt.Sprintf(format, args...), Code: "08P01"}
}

// tooLarge is a violation of a limit.
func tooLarge(hint, format string, args ...any) error {
	return &Violation{What: fmt.Sprintf(format, args...), Code: "54000", Hint: hint}
}

// reader finds messages in a byte stream by their headers. One goroutine uses it.
// Slices of buf it hands out are valid until the next fill.
type reader struct {
	src        io.Reader
	buf        []byte
	start, end int // buf[start:end] was read and not consumed
	small      int // reads in a row that the next smaller buffer would have done for

	share   *Share // what messages over readBuffer are taken from; nil bounds nothing
	copies  int    // how often such a message is in memory until it is dealt with
	claimed int    // what is taken from share
	hurry   func() // ends a read of such a message that takes too long
	done    func() // set while one is on its way: it is
}

func newReader(src io.Reader) *reader { return &reader{src: src, buf: make([]byte, idleBuffer)} }

// rest is what was read and not consumed.
func (r *reader) rest() []byte { return r.buf[r.start:r.end] }

// fill reads until at least need bytes are there. Memory grows with what arrives,
// not with what a header promises. What is large must wait its turn.
func (r *reader) fill(need int) error {
	if need > readBuffer && r.end-r.start < need && r.share != nil {
		if err := r.claim(need); err != nil {
			return err
		}
	}
	for r.end-r.start < need {
		if err := r.more(need); err != nil {
			return err
		}
	}
	return nil
}

// claim takes what a message of need bytes will need, before any of it is read.
func (r *reader) claim(need int) error {
	r.release()
	if err := r.share.take(r.copies * need); err != nil {
		return err
	}
	r.claimed = r.copies * need
	r.done = r.share.hasten(need, r.hurry)
	return nil
}

// arrived says that the message on its way was read, or has left.
func (r *reader) arrived() {
	if r.done != nil {
		r.done()
		r.done = nil
	}
}

// release gives the claim back.
func (r *reader) release() {
	r.arrived()
	r.share.give(r.claimed)
	r.claimed = 0
}

// dealt gives back what the last message took, if it was large. Nothing may refer to
// it any more.
func (r *reader) dealt() {
	rest := r.rest()
	if r.claimed == 0 || len(rest) > readBuffer {
		return // what is there still is the message
	}
	r.shrink()
	r.release()
}

// shrink goes on with as little memory as what is there takes.
func (r *reader) shrink() {
	rest := r.rest()
	buf := make([]byte, max(idleBuffer, len(rest)))
	r.start, r.end = 0, copy(buf, rest)
	r.buf = buf
}

// more makes one read call.
func (r *reader) more(need int) error {
	if r.start > 0 {
		copy(r.buf, r.buf[r.start:r.end])
		r.end -= r.start
		r.start = 0
	}
	switch {
	case r.end == len(r.buf):
		bigger := make([]byte, min(2*len(r.buf), max(need, len(r.buf)+1)))
		copy(bigger, r.buf[:r.end])
		r.buf = bigger
	case r.end == 0 && len(r.buf) > idleBuffer && (len(r.buf) > 4*readBuffer || r.small > smallReads):
		// Large messages, or bulk, are over: give the memory back.
		r.buf, r.small = make([]byte, smaller(len(r.buf))), 0
	}
	n, err := r.src.Read(r.buf[r.end:])
	r.end += n
	r.adapt(n)
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	if err == io.EOF && r.end > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// smaller is the size to go back to from a buffer that is larger than needed.
func smaller(size int) int {
	if size > someBuffer {
		return someBuffer
	}
	return idleBuffer
}

// smallReads is after how many of them in a row bulk is taken to be over.
const smallReads = 16

// adapt makes room for the next read after one of n bytes: more of it if it was
// filled, as more is on the way.
func (r *reader) adapt(n int) {
	r.small++
	if n > smaller(len(r.buf)) {
		r.small = 0
	}
	if r.end == len(r.buf) && len(r.buf) < readBuffer {
		size := someBuffer
		if len(r.buf) >= someBuffer {
			size = readBuffer
		}
		bigger := make([]byte, size)
		copy(bigger, r.buf[:r.end])
		r.buf, r.small = bigger, 0
	}
}

// peek gives kind and whole length (type byte included) of the message at the
// start, once its header is there.
func (r *reader) peek() (kind byte, total int, err error) {
	if err := r.fill(header); err != nil {
		return 0, 0, err
	}
	return head(r.rest())
}

func head(b []byte) (kind byte, total int, err error) {
	n := binary.BigEndian.Uint32(b[1:header])
	if n < 4 || n > maxServerFrame {
		return 0, 0, violation("message %q announces a length of %d bytes", b[0], n)
	}
	return b[0], int(n) + 1, nil
}

// take consumes n bytes that are there.
func (r *reader) take(n int) []byte {
	b := r.buf[r.start : r.start+n]
	r.start += n
	return b
}

// discard consumes n bytes, of which most are still to come.
func (r *reader) discard(n int) error {
	for n > 0 {
		if len(r.rest()) == 0 {
			if err := r.fill(1); err != nil {
				return err
			}
		}
		n -= len(r.take(min(n, len(r.rest()))))
	}
	return nil
}

// complete reports whether a whole message waits in memory, so that reading it
// needs no system call.
func (r *reader) complete() bool {
	if r.end-r.start < header {
		return false
	}
	_, total, err := head(r.rest())
	return err != nil || r.end-r.start >= total
}
