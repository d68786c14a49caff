package postgres

import (
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// How long memory is waited for, and how long a message may take over coming or
// leaving while others wait for what it holds. Nobody waits for a slow one that
// keeps this pace, and as long as nobody waits, none is hurried.
const (
	memoryWait  = 2 * time.Minute
	memoryGrace = 10 * time.Second
	memoryPace  = 1 << 20 // bytes a second
)

// Memory is what all sessions together may keep of what is large: messages that must
// be read whole, and the texts and parameters behind names. Small statements take
// none of it, so that they go on whoever has spent it. One caller gets no more than
// half. What it grants is granted whole and first come, first served: nobody waits for
// more while holding a part, so two cannot wait for each other.
type Memory struct {
	size, each int64
	wait       time.Duration // memoryWait
	grace      time.Duration // memoryGrace

	mu    sync.Mutex // guards what follows, and all shares' fields
	used  int64
	users map[string]int64 // by caller
	kept  map[string]int64 // of that, behind names
	queue []*claim         // who waits, oldest first
	brief map[*claim]bool  // what is on its way, and is to be let go soon
}

// NewMemory makes a budget of so many bytes.
func NewMemory(size int64) *Memory {
	return &Memory{size: size, each: size / 2, wait: memoryWait, grace: memoryGrace, users: map[string]int64{}, kept: map[string]int64{}, brief: map[*claim]bool{}}
}

// Used is what is granted now.
func (m *Memory) Used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// Share is what one session has of a Memory. A nil Share bounds nothing.
type Share struct {
	m       *Memory
	who     string
	held    int64
	kept    int64         // of that, behind names
	stopped chan struct{} // closed when nothing more is waited for
	over    bool          // everything was given back
}

// Share makes the share of a session of who. Close gives all of it back.
func (m *Memory) Share(who string) *Share {
	return &Share{m: m, who: who, stopped: make(chan struct{})}
}

// claim is one grant, or who waits for it.
type claim struct {
	share *Share
	n     int64
	ready chan struct{} // closed when granted
	due   time.Time     // when it must give way to those who wait
	evict func()        // makes it
}

// take waits until n bytes are granted.
func (s *Share) take(n int) error {
	if s == nil {
		return nil
	}
	c := &claim{share: s, n: int64(n), ready: make(chan struct{})}
	if s.m.enqueue(c) {
		return nil
	}
	late := time.NewTimer(s.m.wait)
	defer late.Stop()
	for {
		look := time.NewTimer(s.m.hurry(c))
		select {
		case <-c.ready:
			look.Stop()
			return nil
		case <-look.C:
			continue
		case <-s.stopped:
		case <-late.C:
		}
		look.Stop()
		break
	}
	if s.m.withdraw(c) {
		return nil // granted at the last moment
	}
	select {
	case <-s.stopped:
		return net.ErrClosed
	default:
		return noMemory()
	}
}

// enqueue grants c at once, or has it wait.
func (m *Memory) enqueue(c *claim) (granted bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queue = append(m.queue, c)
	m.admit()
	return !slices.Contains(m.queue, c)
}

func noMemory() error {
	return &Violation{What: "the gateway has no memory left for a message of this size", Code: "53200",
		Hint: "others send or read large values just now: try again in a moment, load bulk data with COPY, or send less at a time"}
}

// hurry makes those give way to c that are late, and says when to look again. Who has
// spent its own half hurries itself only.
func (m *Memory) hurry(c *claim) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, next := time.Now(), m.wait
	for h := range m.brief {
		if m.own(c.share, c.n) && h.share.who != c.share.who {
			continue
		}
		if left := h.due.Sub(now); left > 0 {
			next = min(next, left)
			continue
		}
		delete(m.brief, h) // once
		h.evict()
	}
	return next
}

// withdraw takes a claim out of the queue; true says that it was granted before.
func (m *Memory) withdraw(c *claim) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.Index(m.queue, c)
	if i < 0 {
		return true
	}
	m.queue = slices.Delete(m.queue, i, i+1)
	m.admit() // it may have stood before smaller ones
	return false
}

// admit grants what there is room for, in order. Who waits for others of the same
// caller holds up nobody else. m.mu is held.
func (m *Memory) admit() {
	var left []*claim
	full := false
	for _, c := range m.queue {
		if full || !m.fits(c.share, c.n) {
			full = full || !m.own(c.share, c.n)
			left = append(left, c)
			continue
		}
		m.grant(c.share, c.n)
		close(c.ready)
	}
	m.queue = left
}

// fits reports whether n more may be granted. What is too large for any share is
// granted to who has nothing: it is bounded by the limit of a message. m.mu is held.
func (m *Memory) fits(s *Share, n int64) bool {
	return !m.own(s, n) && (m.used+n <= m.size || m.used == 0)
}

// own reports whether n more would be too much for its caller. m.mu is held.
func (m *Memory) own(s *Share, n int64) bool {
	used := m.users[s.who]
	return used > 0 && used+n > m.each
}

func (m *Memory) grant(s *Share, n int64) {
	m.used += n
	m.users[s.who] += n
	s.held += n
}

// keep takes n bytes for what may stay as long as the session, lent of which it has
// already. It never waits. A caller may keep a quarter of what a caller may have, so that
// there is room for what is on its way.
func (s *Share) keep(n, lent int) bool {
	if s == nil {
		return true
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	kept, more := s.m.kept[s.who], int64(n-lent)
	if s.over || kept > 0 && kept+int64(n) > s.m.each/4 || more > 0 && !s.m.fits(s, more) {
		return false
	}
	s.m.grant(s, max(0, more))
	s.m.kept[s.who] += int64(n)
	s.kept += int64(n)
	return true
}

// unkeep gives back n bytes that were kept.
func (s *Share) unkeep(n int) {
	if s == nil || n == 0 {
		return
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.forget(s, min(int64(n), s.kept))
	s.m.back(s, int64(n))
}

// forget takes n off what is kept. m.mu is held.
func (m *Memory) forget(s *Share, n int64) {
	s.kept -= n
	if m.kept[s.who] -= n; m.kept[s.who] <= 0 {
		delete(m.kept, s.who)
	}
}

// give gives back n bytes.
func (s *Share) give(n int) {
	if s == nil || n == 0 {
		return
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.back(s, int64(n))
}

// back is give with m.mu held.
func (m *Memory) back(s *Share, n int64) {
	n = min(n, s.held) // all was given back when the session ended
	m.used -= n
	s.held -= n
	if m.users[s.who] -= n; m.users[s.who] <= 0 {
		delete(m.users, s.who)
	}
	m.admit()
}

// hasten says that n bytes are held for something on its way: evict is called, once,
// if it takes too long while others wait. done ends that; after it evict is not
// called any more.
func (s *Share) hasten(n int, evict func()) (done func()) {
	if s == nil {
		return func() {}
	}
	c := &claim{share: s, due: time.Now().Add(s.m.grace + time.Duration(n)*time.Second/memoryPace), evict: evict}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.brief[c] = true
	return func() {
		s.m.mu.Lock()
		defer s.m.mu.Unlock()
		delete(s.m.brief, c)
	}
}

// stop ends a wait for memory: the session is over.
func (s *Share) stop() {
	if s == nil {
		return
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	select {
	case <-s.stopped:
	default:
		close(s.stopped)
	}
}

// Close gives everything back.
func (s *Share) Close() {
	s.stop()
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.over = true
	maps.DeleteFunc(s.m.brief, func(c *claim, _ bool) bool { return c.share == s })
	s.m.forget(s, s.kept)
	s.m.back(s, s.held)
}
