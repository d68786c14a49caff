package postgres

import (
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

func within(t *testing.T, what string, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: it waits for ever", what)
		return nil
	}
}

func taking(s *Share, n int) <-chan error {
	done := make(chan error, 1)
	go func() { done <- s.take(n) }()
	return done
}

// waiting waits until n claims are in the queue.
func waiting(t *testing.T, m *Memory, n int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		m.mu.Lock()
		got := len(m.queue)
		m.mu.Unlock()
		if got == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d wait, want %d", got, n)
		}
	}
}

func TestMemoryIsGrantedInOrder(t *testing.T) {
	m := NewMemory(100)
	a, b, c := m.Share("a"), m.Share("b"), m.Share("c")
	if !a.keep(50, 0) || !b.keep(40, 0) {
		t.Fatal("not granted")
	}
	large := taking(c, 50)
	waiting(t, m, 1)
	d := m.Share("d")
	small := taking(d, 10) // there is room, but not before its turn
	waiting(t, m, 2)
	a.unkeep(50)
	if err := within(t, "large", large); err != nil {
		t.Error(err)
	}
	if err := within(t, "small", small); err != nil {
		t.Error(err)
	}
	if got := m.Used(); got != 100 {
		t.Errorf("%d used, want 100", got)
	}
	for _, s := range []*Share{a, b, c, d} {
		s.Close()
	}
	if m.Used() != 0 || len(m.users) != 0 {
		t.Errorf("%d left, %v", m.Used(), m.users)
	}
}

// One caller, with however many sessions, leaves half to the others, and those of
// its sessions that wait hold up nobody.
func TestMemoryHoarderLeavesHalf(t *testing.T) {
	m := NewMemory(100)
	var hoard []<-chan error
	for range 10 {
		hoard = append(hoard, taking(m.Share("eve"), 25))
	}
	waiting(t, m, 8)
	if got := m.Used(); got != 50 {
		t.Fatalf("%d used, want 50", got)
	}
	honest := m.Share("ada")
	if err := within(t, "the honest", taking(honest, 50)); err != nil {
		t.Error(err)
	}
	if honest.keep(1, 0) {
		t.Error("more than there is")
	}
	m.mu.Lock()
	queue := slices.Clone(m.queue) // those that are stopped leave it
	m.mu.Unlock()
	for _, c := range queue {
		c.share.stop()
	}
	ended := 0
	for _, done := range hoard {
		select {
		case err := <-done:
			if errors.Is(err, net.ErrClosed) {
				ended++
			}
		case <-time.After(20 * time.Second):
			t.Fatal("a session that ended still waits")
		}
	}
	if ended != 8 {
		t.Errorf("%d ended, want 8", ended)
	}
}

func TestMemoryWaitIsBounded(t *testing.T) {
	m := NewMemory(100)
	m.wait = 10 * time.Millisecond
	if !m.Share("a").keep(50, 0) || !m.Share("b").keep(50, 0) {
		t.Fatal("not granted")
	}
	var v *Violation
	if err := m.Share("c").take(1); !errors.As(err, &v) || v.Code != "53200" || v.Hint == "" {
		t.Errorf("got %v", err)
	}
	if len(m.queue) != 0 {
		t.Error("it still stands in the queue")
	}
}

// A message that comes a byte a second keeps its memory while nobody wants it, and
// not longer.
func TestMemorySlowOneGivesWay(t *testing.T) {
	m := NewMemory(100)
	m.grace = 0
	slow, fast := m.Share("eve"), m.Share("ben")
	if !slow.keep(50, 0) || !fast.keep(50, 0) {
		t.Fatal("not granted")
	}
	slow.hasten(0, func() { go slow.unkeep(50) }) // as a session that is interrupted does
	kept := fast.hasten(1<<30, func() { t.Error("one in good time was interrupted") })
	defer kept()
	if err := within(t, "who waits", taking(m.Share("ada"), 50)); err != nil {
		t.Error(err)
	}
}

// Who has spent the own half makes nobody else give way.
func TestMemoryHoarderHastensNobody(t *testing.T) {
	m := NewMemory(100)
	m.grace, m.wait = 0, 10*time.Millisecond
	slow, eve := m.Share("ada"), m.Share("eve")
	if !slow.keep(30, 0) || !eve.keep(50, 0) {
		t.Fatal("not granted")
	}
	slow.hasten(0, func() { t.Error("somebody else was interrupted") })
	var v *Violation
	if err := eve.take(10); !errors.As(err, &v) {
		t.Errorf("got %v", err)
	}
}

// What is larger than the share of a caller passes alone.
func TestMemoryLargerThanAllPassesAlone(t *testing.T) {
	m := NewMemory(10)
	a, b := m.Share("a"), m.Share("b")
	if !a.keep(1000, 0) || b.keep(1, 0) {
		t.Fatal("one, and one only")
	}
	next := taking(b, 1000)
	waiting(t, m, 1)
	a.Close()
	if err := within(t, "the next", next); err != nil {
		t.Error(err)
	}
}

func TestMemoryUnderManyHands(t *testing.T) {
	m := NewMemory(1000)
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			s := m.Share(string(rune('a' + i%3)))
			defer s.Close()
			for n := range 200 {
				if err := s.take(100 + n); err != nil {
					t.Error(err)
					return
				}
				s.give(100 + n)
			}
		})
	}
	group.Wait()
	if m.Used() != 0 || len(m.users) != 0 || len(m.queue) != 0 {
		t.Errorf("left: %d, %v, %d waiting", m.Used(), m.users, len(m.queue))
	}
}
