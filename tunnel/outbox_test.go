package tunnel

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"testing"
	"time"
)

// No more is sent than the peer has allowed.
func TestOutboxGivesWhatIsAllowed(t *testing.T) {
	var o outbox
	o.init()
	for _, step := range []struct{ ask, get int }{{firstWindow - 4, firstWindow - 4}, {10, 4}} {
		if n, err := o.take(step.ask); n != step.get || err != nil {
			t.Fatalf("%d of %d, %v", n, step.ask, err)
		}
	}
	got := make(chan int, 1)
	go func() {
		n, _ := o.take(10)
		got <- n
	}()
	o.allow(0)
	o.allow(6)
	if n := <-got; n != 6 {
		t.Errorf("%d of 6", n)
	}
}

// silent accepts a stream and reads nothing of it until its session ends.
func silent(ctx context.Context, st *Stream) {
	if st.Accept() == nil {
		<-ctx.Done()
	}
}

// fill writes until the peer's window is used up and a write waits; the error it ends
// with comes on the channel.
func fill(t *testing.T, c net.Conn) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := c.Write(make([]byte, 64<<10)); err != nil {
				ended <- err
				return
			}
		}
	}()
	out := &c.(*streamConn).box.out
	for left := int64(-1); left != 0; runtime.Gosched() {
		out.mu.Lock()
		left = out.left
		out.mu.Unlock()
	}
	return ended
}

// A write that waits for a peer who does not read ends with its deadline, with the
// close of its stream, and with its session.
func TestBlockedWriteEnds(t *testing.T) {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server}, silent)
	for _, end := range []struct {
		name string
		do   func(*Session, net.Conn) error
		want error
	}{
		{"deadline", func(_ *Session, c net.Conn) error { return c.SetWriteDeadline(time.Now().Add(time.Millisecond)) }, os.ErrDeadlineExceeded},
		{"close", func(_ *Session, c net.Conn) error { return c.Close() }, net.ErrClosed},
		{"close write", func(_ *Session, c net.Conn) error { return CloseWrite(c) }, net.ErrClosed},
		{"session", func(s *Session, _ net.Conn) error { return s.Close() }, errLost},
	} {
		t.Run(end.name, func(t *testing.T) {
			s := dial(t, addr, w.client)
			c := open(t, s)
			ended := fill(t, c)
			if err := end.do(s, c); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; !errors.Is(err, end.want) {
				t.Errorf("it ended with %v, not %v", err, end.want)
			}
			if _, err := c.Write([]byte("more")); err == nil {
				t.Error("after a failed write another one is taken")
			}
		})
	}
}
