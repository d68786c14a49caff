package tunnel

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

// flood serves streams that never stop, and echoes those for orders.
func flood(ctx context.Context, st *Stream) {
	if st.Header.Connection == "orders" {
		echo(ctx, st)
		return
	}
	if st.Accept() != nil {
		return
	}
	chunk := make([]byte, 64<<10)
	for {
		if _, err := st.Write(chunk); err != nil {
			return
		}
	}
}

func flooded(t *testing.T, s *Session) *streamConn {
	t.Helper()
	c, err := s.Open(t.Context(), Header{Kind: Postgres, Connection: "flood"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*streamConn)
}

// sizes gives what a stream pins, what the peer may still send, and the window.
func (b *inbox) sizes() (unread, granted, window int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.unread, b.granted, b.window
}

// Many readers that keep up until their windows are as large as they get, and then
// stop: what they pin is bounded, and a busy stream beside them goes on.
func TestStalledReadersPinBoundedMemory(t *testing.T) {
	const readers = 40
	w := newWorld(t)
	s := dial(t, serve(t, Config{TLS: w.server}, flood), w.client)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var stalled []*streamConn
	for range readers {
		c := flooded(t, s)
		if _, err := io.CopyN(io.Discard, c, 3*largestWindow); err != nil {
			t.Fatal(err)
		}
		stalled = append(stalled, c)
	}
	busy := open(t, s)
	for range 100 {
		roundTrip(t, busy, "still here")
	}
	pinned := 0
	for _, c := range stalled { // until the gateway has sent all it may
		for {
			unread, granted, window := c.box.sizes()
			if unread+granted > window {
				t.Fatalf("%d unread and %d granted are more than the window of %d", unread, granted, window)
			}
			if granted == 0 {
				pinned += unread
				break
			}
			roundTrip(t, busy, "still here")
		}
	}
	if most := readers*firstWindow + sessionWindows; pinned > most {
		t.Errorf("%d bytes are pinned, more than %d", pinned, most)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if held := int64(after.HeapAlloc) - int64(before.HeapAlloc); held > 2*int64(pinned) {
		t.Errorf("%d bytes of memory for %d that are unread", held, pinned)
	}
	for range 100 {
		roundTrip(t, busy, "still here")
	}
	for _, c := range stalled {
		c.Close()
	}
	if left := s.conn.budget.left.Load(); left != sessionWindows {
		t.Errorf("%d bytes of the budget are left when nobody needs it, want %d", left, sessionWindows)
	}
}

func TestWindowGrowsForWhoKeepsUp(t *testing.T) {
	w := newWorld(t)
	s := dial(t, serve(t, Config{TLS: w.server}, flood), w.client)
	c := flooded(t, s)
	if _, _, window := c.box.sizes(); window != firstWindow {
		t.Errorf("it begins with %d", window)
	}
	if _, err := io.CopyN(io.Discard, c, 2*largestWindow); err != nil {
		t.Fatal(err)
	}
	if _, _, window := c.box.sizes(); window != largestWindow {
		t.Errorf("after %d bytes it is %d", 2*largestWindow, window)
	}
}

// Who has proved nothing gets no more than the first window.
func TestAnonymousWindowsDoNotGrow(t *testing.T) {
	w := newWorld(t)
	got := make(chan int, 1)
	addr := serve(t, Config{TLS: w.server}, func(_ context.Context, st *Stream) {
		if st.Accept() != nil {
			return
		}
		io.CopyN(io.Discard, st, 2*largestWindow)
		_, _, window := st.Conn.(*streamConn).box.sizes()
		got <- window
	})
	c := open(t, dial(t, addr, w.nobody))
	if _, err := c.Write(make([]byte, 2*largestWindow)); err != nil {
		t.Fatal(err)
	}
	if window := <-got; window != firstWindow {
		t.Errorf("the window is %d", window)
	}
}

// alone is an inbox of an intake that is connected to nothing.
func alone(b *budget) *inbox { return newInbox(&intake{budget: b}, 1) }

// consume is a peer that sends all it may and a reader that reads it.
func consume(b *inbox) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.granted
	b.granted, b.unread = 0, b.unread+n
	b.refill(n)
}

func TestWindowsAreShared(t *testing.T) {
	all := newBudget(2*largestWindow, nil)
	budget := newBudget(largestWindow-firstWindow, all)
	a, b := alone(budget), alone(budget)
	for range 10 {
		consume(a)
	}
	if a.window != largestWindow || budget.left.Load() != 0 {
		t.Fatalf("the first has %d of %d", a.window, largestWindow)
	}
	consume(b)
	if b.window != firstWindow {
		t.Fatalf("the second has %d although nothing is left", b.window)
	}
	consume(a)
	if a.window != largestWindow/2 {
		t.Errorf("the first keeps %d", a.window)
	}
	consume(b)
	if b.window != 2*firstWindow {
		t.Errorf("the second still has %d", b.window)
	}
	a.close()
	b.close()
	if budget.left.Load() != largestWindow-firstWindow || all.left.Load() != 2*largestWindow {
		t.Errorf("%d and %d are left", budget.left.Load(), all.left.Load())
	}
}

// A budget of all sessions binds although the session's own has room.
func TestGatewayHasOneBudget(t *testing.T) {
	all := newBudget(firstWindow, nil)
	a, b := alone(newBudget(sessionWindows, all)), alone(newBudget(sessionWindows, all))
	consume(a)
	consume(b)
	if a.window != 2*firstWindow || b.window != firstWindow {
		t.Errorf("windows %d and %d", a.window, b.window)
	}
	a.close()
	consume(b)
	if b.window != 2*firstWindow {
		t.Errorf("what the first gave back was not taken: %d", b.window)
	}
}

// A peer that sends single bytes must not pin a chunk with each.
func TestSingleBytesShareAChunk(t *testing.T) {
	b := alone(nil)
	for i := range 2 * chunkSize {
		if err := b.expect(1); err != nil {
			t.Fatal(err)
		}
		c := newChunk()
		c.buf[0], c.z = byte(i), 1
		b.put(c)
	}
	n := 0
	for c := b.first; c != nil; c = c.next {
		n++
	}
	if n != 2 {
		t.Errorf("%d chunks for two chunks' worth", n)
	}
	got := make([]byte, 3*chunkSize)
	m, err := b.Read(got)
	if err != nil || m != 2*chunkSize {
		t.Fatal(m, err)
	}
	for i, c := range got[:m] {
		if c != byte(i) {
			t.Fatalf("byte %d is %d", i, c)
		}
	}
}

func TestReadDeadline(t *testing.T) {
	w := newWorld(t)
	c := open(t, dial(t, serve(t, Config{TLS: w.server}, echo), w.client))
	var buf [4]byte
	late := func(when time.Time, set func(time.Time) error) {
		t.Helper()
		if err := set(when); err != nil {
			t.Fatal(err)
		}
		var ne net.Error
		if _, err := c.Read(buf[:]); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("got %v", err)
		}
	}
	late(time.Now().Add(10*time.Millisecond), c.SetReadDeadline)
	late(time.Unix(1, 0), c.SetReadDeadline)
	late(time.Now().Add(10*time.Millisecond), c.SetDeadline)
	c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	c.SetReadDeadline(time.Now().Add(time.Hour)) // in place of the first
	c.SetWriteDeadline(time.Time{})
	roundTrip(t, c, "goes on")
	c.SetDeadline(time.Time{})
	roundTrip(t, c, "goes on")
	ended := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		ended <- err
	}()
	c.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a read when it is closed: %v", err)
	}
	if err := c.SetReadDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// A session that is cut in the middle of an answer must not look like its end.
func TestCutIsNoEnd(t *testing.T) {
	w := newWorld(t)
	sent := make(chan struct{})
	stay := make(chan struct{})
	addr := serve(t, Config{TLS: w.server}, func(_ context.Context, st *Stream) {
		if st.Accept() != nil {
			return
		}
		io.WriteString(st, "half")
		close(sent)
		<-stay
	})
	defer close(stay)
	s := dial(t, addr, w.client)
	c := open(t, s)
	<-sent
	var got [4]byte
	if _, err := io.ReadFull(c, got[:2]); err != nil {
		t.Fatal(err)
	}
	s.conn.under.Conn.Close()
	<-s.Closed()
	if _, err := io.ReadFull(c, got[2:]); err != nil || string(got[:]) != "half" {
		t.Errorf("what had arrived: %q, %v", got, err)
	}
	if _, err := c.Read(got[:]); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("then %v", err)
	}
}

func TestGatewayMayNotOpenStreams(t *testing.T) {
	w := newWorld(t)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", serverTLS(w.server))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		c.Write([]byte{0, muxWindow, 0, muxSYN, 0, 0, 0, 2, 0, 0, 0, 0})
		io.Copy(io.Discard, c)
		c.Close()
	})
	s := dial(t, ln.Addr().String(), w.client)
	select {
	case <-s.Closed():
	case <-time.After(10 * time.Second):
		t.Error("the session goes on")
	}
	wg.Wait()
}

func muxFrame(kind byte, flags uint16, id, length uint32, body string) []byte {
	head := []byte{0, kind, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(head[2:], flags)
	binary.BigEndian.PutUint32(head[4:], id)
	binary.BigEndian.PutUint32(head[8:], length)
	return append(head, body...)
}

// Whatever a peer sends, no more is kept than it sent and was allowed, and yamux is
// shown whole frames without data.
func FuzzIntake(f *testing.F) {
	f.Add(append(muxFrame(muxWindow, muxSYN, 1, 0, ""), muxFrame(muxData, muxFIN, 1, 5, "hello")...))
	f.Add(append(muxFrame(muxData, muxSYN, 1, 5, "hello"), muxFrame(muxWindow, muxRST, 1, 0, "")...))
	f.Add(muxFrame(muxData, 0, 9, 0xffffffff, "unknown stream"))
	f.Add(append(muxFrame(muxData, muxSYN, 1, firstWindow+1, ""), make([]byte, firstWindow)...))
	f.Add(muxFrame(2, muxSYN, 0, 7, ""))
	f.Add([]byte{7, 0, 0})
	f.Fuzz(func(t *testing.T, raw []byte) {
		i := &intake{in: bufio.NewReader(bytes.NewReader(raw)), boxes: map[uint32]*inbox{}}
		shown, err := io.ReadAll(i)
		if err == nil && len(shown)%muxHeader != 0 {
			t.Errorf("%d bytes are no whole frames", len(shown))
		}
		for ; len(shown) >= muxHeader; shown = shown[muxHeader:] {
			if shown[0] == 0 && shown[1] <= muxWindow && binary.BigEndian.Uint32(shown[8:]) != 0 {
				t.Error("yamux waits for data that it will not get, or thinks that it may send")
			}
		}
		kept := 0
		for _, b := range i.boxes {
			for c := b.first; c != nil; c = c.next {
				kept += c.z - c.a
			}
			if b.unread > firstWindow || b.granted < 0 {
				t.Errorf("%d unread, %d granted", b.unread, b.granted)
			}
		}
		if kept > len(raw) {
			t.Errorf("%d bytes kept of %d", kept, len(raw))
		}
	})
}

func TestMoreThanAllowedEndsTheSession(t *testing.T) {
	for announced, want := range map[uint32]bool{firstWindow: true, firstWindow + 1: false, 0xffffffff: false} {
		raw := append(muxFrame(muxWindow, muxSYN, 1, 0, ""), muxFrame(muxData, 0, 1, announced, "")...)
		raw = append(raw, make([]byte, firstWindow)...)
		i := &intake{in: bufio.NewReader(bytes.NewReader(raw)), boxes: map[uint32]*inbox{}}
		if _, err := io.ReadAll(i); (err == nil) != want {
			t.Errorf("%d bytes: %v", announced, err)
		}
	}
}
