package audit

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// follow takes in all there is, and fails the test unless each entry is the next one.
func follow(t *testing.T, f *Follower, from Place) Place {
	t.Helper()
	next := from.Seq
	at, err := f.Forward(t.Context(), from, func(e *Entry) error {
		if e.Place.Seq != next || e.Event.Seq != next || !strings.HasPrefix(e.Line, fmt.Sprintf(`{"seq":%d,`, next)) {
			return fmt.Errorf("entry %d, %d came where %d belongs", e.Place.Seq, e.Event.Seq, next)
		}
		next++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if at.Seq != next {
		t.Fatalf("it is at %d after entry %d", at.Seq, next-1)
	}
	return at
}

func gathered(t *testing.T, l *Log, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := l.Later(numbered(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
}

// Followers get what Forward gives, over the end of a segment too, and what one has
// decoded the other gets without its being decoded again.
func TestFollowersShareWhatTheyRead(t *testing.T) {
	l := openLog(t, testConfig(t))
	defer closeLog(t, l)
	tail := NewTail(l.cfg.Dir)
	a, b := tail.Follow(), tail.Follow()
	var pa, pb Place
	for _, n := range []int{0, 1, 300, segmentEntries - 10, segmentEntries, segmentEntries + chunkEntries, segmentEntries + 2*chunkEntries + 7} {
		gathered(t, l, int(pa.Seq), n)
		from := pa
		pa = follow(t, a, pa)
		if pa.Seq != uint64(n) {
			t.Fatalf("%d entries of %d", pa.Seq, n)
		}
		if n == 300 {
			first := &tail.chunks[0].entries[0]
			if _, err := b.Forward(t.Context(), from, func(e *Entry) error {
				if e != first {
					t.Error("it was read again")
				}
				return errStop
			}); !errors.Is(err, errStop) {
				t.Fatal(err)
			}
		}
		if pb = follow(t, b, pb); pb != pa {
			t.Fatalf("one is at %+v, the other at %+v", pa, pb)
		}
		if len(tail.chunks) > 0 {
			t.Errorf("%d chunks are kept though both have had them", len(tail.chunks))
		}
	}
}

// A follower that begins anew, or has done nothing for long, gets everything from the
// files; the other goes on meanwhile, and memory is bounded.
func TestAFollowerThatIsBehindHoldsUpNobody(t *testing.T) {
	l := openLog(t, testConfig(t))
	defer closeLog(t, l)
	tail := NewTail(l.cfg.Dir)
	a, b := tail.Follow(), tail.Follow()
	gathered(t, l, 0, 100)
	pa := follow(t, a, Place{})
	follow(t, b, Place{})
	for i := range 400 { // 24 MiB
		ev := numbered(100 + i)
		ev.SQL = strings.Repeat("x", 60<<10)
		if err := l.Later(ev); err != nil {
			t.Fatal(err)
		}
		if i%50 == 49 {
			if err := l.Flush(); err != nil {
				t.Fatal(err)
			}
			pa = follow(t, a, pa)
		}
	}
	kept := 0
	for _, c := range tail.chunks {
		kept += c.bytes
	}
	if pa.Seq != 500 || kept == 0 || kept > tailBytes {
		t.Errorf("%d entries; %d bytes are kept", pa.Seq, kept)
	}
	for _, from := range []Place{{}, pa} { // anew, and at the end
		if at := follow(t, b, from); at != pa {
			t.Errorf("it is at %+v, not %+v", at, pa)
		}
	}
	if len(tail.chunks) > 0 {
		t.Error("something is kept that nobody needs")
	}
}

// An entry that cannot be read stops whoever comes to it, after what is before it; a place
// that is none is an error for whoever asks only.
func TestFollowersStopWhereTheRecordIsDamaged(t *testing.T) {
	cfg := testConfig(t)
	l := openLog(t, cfg)
	gathered(t, l, 0, 50)
	closeLog(t, l)
	path := segmentPath(cfg.Dir, 0)
	writeFile(t, path, []byte(strings.Replace(string(readFile(t, path)), `{"seq":30,"id"`, `{"seq":30,"id}`, 1)))
	tail := NewTail(cfg.Dir)
	for range 2 {
		f := tail.Follow()
		n := 0
		at, err := f.Forward(t.Context(), Place{}, func(*Entry) error { n++; return nil })
		if n != 30 || at.Seq != 30 || err == nil || !strings.Contains(err.Error(), "entry 30") {
			t.Errorf("%d entries, at %+v: %v", n, at, err)
		}
		if _, err := f.Forward(t.Context(), Place{Seq: 7, Offset: 3}, func(*Entry) error { return nil }); err == nil {
			t.Error("an entry was found in the middle of another")
		}
	}
}

// Several follow while it grows, some stop now and then and go on.
func TestFollowersOfARecordThatGrows(t *testing.T) {
	l := openLog(t, testConfig(t))
	defer closeLog(t, l)
	const n = 4000
	tail := NewTail(l.cfg.Dir)
	var all sync.WaitGroup
	for k := range 3 {
		f := tail.Follow()
		all.Go(func() {
			var at Place
			anew := k // times
			for at.Seq < n {
				next := at.Seq
				var err error
				at, err = f.Forward(t.Context(), at, func(e *Entry) error {
					if e.Event.Seq != next || e.Event.SQL == "" {
						t.Errorf("entry %d came where %d belongs", e.Event.Seq, next)
					}
					if next > at.Seq && next%uint64(100+k) == 0 {
						return errStop
					}
					next++
					return nil
				})
				if err != nil && !errors.Is(err, errStop) {
					t.Error(err)
					return
				}
				if errors.Is(err, errStop) && anew > 0 {
					anew--
					at = Place{}
				}
			}
		})
	}
	for i := range n {
		if i%100 == 99 {
			gathered(t, l, i-99, i+1)
		}
	}
	all.Wait()
}
