// Package pace makes a long stream of small pieces one of fewer large ones.
//
// Who reads a stream faster than it comes gets it in the pieces that the other side wrote:
// of a database, 8 KiB. Each then costs a read, a write and a wake-up all the way down.
// Waiting a moment once a lot has come lets the kernel gather what follows, at the price
// of that moment at the end of a long stream.
package pace

import "time"

const (
	// bulk is what must have come, and nothing gone the other way, before anything waits.
	bulk = 256 << 10
	// least is a piece that may be part of a long stream, and full one that needs no
	// gathering.
	least, full = 4 << 10, 32 << 10
	// moment is how long is waited; a timer takes up to a millisecond longer.
	moment = 300 * time.Microsecond
	// gap is a time without data after which it is not the same stream any more.
	gap = 10 * time.Millisecond
)

// Stream is one direction of a connection. One goroutine uses it; the zero value is ready.
type Stream struct {
	run  int       // bytes that came without a gap or a turn
	turn int64     // of the other direction, then
	last time.Time // when
}

// Got notes a piece of n bytes that was read and passed on, and waits if it is one of a
// long row of small ones. Turn is a number that changes when anything goes the other way:
// question and answer never wait. Call it when nobody waits for what was gathered.
func (s *Stream) Got(n int, turn int64) {
	if s.bulk(n, turn, time.Now()) {
		time.Sleep(moment)
	}
}

func (s *Stream) bulk(n int, turn int64, now time.Time) bool {
	if n < least || turn != s.turn || now.Sub(s.last) > gap {
		s.run, s.turn = 0, turn
	}
	s.last = now
	s.run += n
	return s.run > bulk && n >= least && n < full
}
