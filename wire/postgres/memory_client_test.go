package postgres

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/wire"
)

// reading is a client within a share, and what comes of its next Read.
func reading(t *testing.T, m *Memory, who string) (person net.Conn, c *Client, next func() <-chan error) {
	t.Helper()
	person, near := net.Pipe()
	c = newClient(near, newReader(near))
	c.Within(m.Share(who))
	t.Cleanup(func() { person.Close(); c.Close() })
	return person, c, func() <-chan error {
		done := make(chan error, 1)
		go func() { _, err := c.read(); done <- err }()
		return done
	}
}

// holding waits until so much is granted.
func holding(t *testing.T, m *Memory, n int64) {
	t.Helper()
	for {
		if m.Used() == n {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("%d used, want %d", m.Used(), n)
		default:
		}
	}
}

// A length word of 60 MiB and then a byte a second: the memory is lent, but not kept
// from those who wait.
func TestSlowLorisCannotKeepMemory(t *testing.T) {
	m := NewMemory(4)
	m.grace = -2 * memoryGrace * 60 // it is late at once
	person, c, next := reading(t, m, "eve")
	done := next()
	if _, err := person.Write(append(binary.BigEndian.AppendUint32([]byte{'B'}, 60<<20), 'x')); err != nil {
		t.Fatal(err)
	}
	holding(t, m, 2*(60<<20+1))
	if len(c.in.buf) > readBuffer {
		t.Errorf("a promise took a buffer of %d", len(c.in.buf))
	}
	honest := m.Share("ada")
	honestly := taking(honest, 3)
	var v *Violation
	if err := within(t, "the slow one", done); !errors.As(err, &v) || v.Code != "53200" {
		t.Errorf("the slow one got %v", err)
	}
	c.ledger.share.Close()
	if err := within(t, "the honest one", honestly); err != nil {
		t.Error(err)
	}
}

// What an honest large message took is there again with the next Read, but for what
// its portal keeps, and that goes with the portal.
func TestLargeMessageGivesItsMemoryBack(t *testing.T) {
	m := NewMemory(1 << 30)
	person, c, next := reading(t, m, "ada")
	body := "p\x00\x00\x00\x00\x00\x01\x00\x10\x00\x00" + strings.Repeat("x", 1<<20) + "\x00\x00"
	msg := unitFrame('B', body)
	go person.Write(append(msg, unitFrame('H', "")...))
	if err := within(t, "Bind", next()); err != nil {
		t.Fatal(err)
	}
	if got, want := m.Used(), int64(2*len(msg)); got != want {
		t.Errorf("%d used, want %d", got, want)
	}
	x := &exchange{kind: 'B', name: "p", portal: &portal{params: []wire.Param{{Value: make([]byte, 1<<20)}}}}
	if _, err := c.ledger.enter(x); err != nil {
		t.Fatal(err)
	}
	if err := within(t, "Flush", next()); err != nil {
		t.Fatal(err)
	}
	if got, want := m.Used(), int64(len(msg)); got > want || got < 1<<19 {
		t.Errorf("%d used, want what the portal keeps, %d at most", got, want)
	}
	if len(c.in.buf) > readBuffer {
		t.Errorf("the buffer is still %d", len(c.in.buf))
	}
	c.ledger.ready(&exchange{group: 1}, 'I')
	go person.Write(unitFrame('H', ""))
	if err := within(t, "Flush", next()); err != nil {
		t.Fatal(err)
	}
	if got := m.Used(); got != 0 {
		t.Errorf("%d used, want none", got)
	}
}

// Portals that are bound and never run cannot pile up parameters.
func TestPortalHoarderIsRefused(t *testing.T) {
	m := NewMemory(32 << 20)
	l := newLedger()
	l.share = m.Share("eve")
	bound := 0
	for ; bound < 1000; bound++ {
		x := &exchange{kind: 'B', name: strings.Repeat("p", bound+1), portal: &portal{params: []wire.Param{{Value: make([]byte, 1<<20)}}}}
		if _, err := l.enter(x); err != nil {
			if !errors.Is(err, errMemory) {
				t.Error(err)
			}
			break
		}
	}
	if bound < 3 || bound > 4 || m.Used() > 4<<20 {
		t.Errorf("%d MiB of parameters in %d portals, %d taken", bound, bound, m.Used())
	}
	l.ready(&exchange{group: 1}, 'I')
	l.rebalance()
	if l.kept != 0 || m.Used() != 0 {
		t.Errorf("%d kept, %d used after the portals have gone", l.kept, m.Used())
	}
}

// What is replaced before it was answered is bounded too: the next must wait.
func TestPipelineOfLargeBindsWaitsForAnswers(t *testing.T) {
	l := newLedger()
	for range 3 {
		if got := l.turn('B'); got != now {
			t.Fatal("it waits")
		}
		if _, err := l.enter(&exchange{kind: 'B', portal: &portal{}, size: 100 << 10}); err != nil {
			t.Fatal(err)
		}
	}
	if got := l.turn('B'); got != later {
		t.Error("300 KiB are open, and more may come")
	}
	if got := l.turn('S'); got != now {
		t.Error("what is small must pass")
	}
	l.pop()
	if got := l.turn('B'); got != now {
		t.Error("one was answered, and still it waits")
	}
	l.fail(&exchange{kind: 'B', portal: &portal{}})
	if l.open != 0 {
		t.Errorf("%d open, want none", l.open)
	}
}

// A session that ends while it waits for memory stops waiting.
func TestSessionEndsWhileItWaitsForMemory(t *testing.T) {
	m := NewMemory(100)
	if !m.Share("ada").keep(100, 0) {
		t.Fatal("not granted")
	}
	person, c, next := reading(t, m, "eve")
	done := next()
	if _, err := person.Write(binary.BigEndian.AppendUint32([]byte{'Q'}, 1<<20)); err != nil {
		t.Fatal(err)
	}
	waiting(t, m, 1)
	c.Close()
	if err := within(t, "the session", done); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
	if m.Used() != 100 {
		t.Errorf("%d used, want 100", m.Used())
	}
}
