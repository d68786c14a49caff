package pace

import (
	"testing"
	"time"
)

// piece is n bytes that come after a time.
type piece struct {
	n     int
	after time.Duration
}

func TestOnlyBulkWaits(t *testing.T) {
	for name, test := range map[string]struct {
		every piece
		turns int64 // added for each
		waits bool
	}{
		"a long result in the pieces of a database":     {every: piece{n: 8 << 10, after: 40 * time.Microsecond}, waits: true},
		"a long result in large pieces":                 {every: piece{n: 64 << 10, after: 40 * time.Microsecond}},
		"questions and answers of 8 KiB without a stop": {every: piece{n: 8 << 10, after: 40 * time.Microsecond}, turns: 1},
		"small answers to a pipeline":                   {every: piece{n: 200, after: 10 * time.Microsecond}},
		"a piece now and then":                          {every: piece{n: 8 << 10, after: 20 * time.Millisecond}},
	} {
		var s Stream
		now, turn, waited := time.Now(), int64(0), 0
		for range 200 {
			now = now.Add(test.every.after)
			turn += test.turns
			if s.bulk(test.every.n, turn, now) {
				waited++
			}
		}
		if test.waits != (waited > 0) {
			t.Errorf("%s: waited %d times", name, waited)
		}
	}
}

func TestWhatFollowsBulkDoesNotWait(t *testing.T) {
	var s Stream
	now := time.Now()
	for range 100 {
		s.bulk(8<<10, 1, now)
	}
	if s.bulk(6<<10, 2, now) {
		t.Error("the answer to the next question waited")
	}
	for range 100 {
		s.bulk(8<<10, 2, now)
	}
	if s.bulk(100, 2, now) {
		t.Error("the end of the stream waited")
	}
}
