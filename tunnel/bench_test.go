//go:build unix

package tunnel

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"

	"github.com/hashicorp/yamux"
)

// BenchmarkTunnel measures small questions and answers on 1, 8 and 32 streams of
// one session, and bulk on one, beside the same over a TLS connection each. Next
// to ns/op it reports the CPU time of both ends: on a busy machine that is the
// steadier figure.
func BenchmarkTunnel(b *testing.B) {
	for _, way := range []struct {
		name string
		open func(testing.TB) func(testing.TB) net.Conn
	}{{"tunnel", throughTunnel}, {"yamux", throughMux}, {"tls", throughTLS}} {
		for _, n := range []int{1, 8, 32} {
			b.Run(fmt.Sprintf("way=%s/question/streams=%d", way.name, n), func(b *testing.B) {
				benchQuestions(b, way.open(b), n)
			})
		}
		b.Run("way="+way.name+"/bulk", func(b *testing.B) { benchBulk(b, way.open(b)) })
	}
}

// Sizes of a prepared point query and its answer.
const (
	questionSize = 60
	answerSize   = 120
)

// responder answers questions until the stream ends; the byte 'B' asks for bulk.
func responder(c io.ReadWriter) {
	q := make([]byte, questionSize)
	a := make([]byte, answerSize)
	bulk := make([]byte, 64<<10)
	for {
		if _, err := io.ReadFull(c, q); err != nil {
			return
		}
		if q[0] != 'B' {
			if _, err := c.Write(a); err != nil {
				return
			}
			continue
		}
		for range bulkSize / len(bulk) {
			if _, err := c.Write(bulk); err != nil {
				return
			}
		}
	}
}

const bulkSize = 8 << 20

func throughTunnel(t testing.TB) func(testing.TB) net.Conn {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server}, func(_ context.Context, st *Stream) {
		if st.Accept() == nil {
			responder(st)
		}
	})
	s := dial(t, addr, w.client)
	return func(t testing.TB) net.Conn { return open(t, s) }
}

// throughTLS is a connection for each stream.
func throughTLS(t testing.TB) func(testing.TB) net.Conn {
	dial := listenTLS(t, func(c net.Conn) { responder(c) })
	return func(t testing.TB) net.Conn {
		c := dial(t)
		t.Cleanup(func() { c.Close() })
		return c
	}
}

// throughMux is yamux over TLS as it comes, but for the window.
func throughMux(t testing.TB) func(testing.TB) net.Conn {
	config := func() *yamux.Config {
		c := yamux.DefaultConfig()
		c.LogOutput, c.MaxStreamWindowSize = io.Discard, largestWindow
		return c
	}
	dial := listenTLS(t, func(c net.Conn) {
		m, err := yamux.Server(c, config())
		if err != nil {
			return
		}
		defer m.Close()
		var wg sync.WaitGroup
		defer wg.Wait()
		for {
			st, err := m.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { responder(st) })
		}
	})
	m, err := yamux.Client(dial(t), config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return func(t testing.TB) net.Conn {
		c, err := m.Open()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

// listenTLS serves each connection of a TLS listener, and gives how to make one.
func listenTLS(t testing.TB, serve func(net.Conn)) func(testing.TB) net.Conn {
	w := newWorld(t)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", serverTLS(w.server))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { defer c.Close(); serve(c) })
		}
	})
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { ln.Close() })
	addr := ln.Addr().String()
	return func(t testing.TB) net.Conn {
		c, err := tls.Dial("tcp", addr, clientTLS(w.client, addr))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

func benchQuestions(b *testing.B, open func(testing.TB) net.Conn, streams int) {
	conns := make([]net.Conn, streams)
	for i := range conns {
		conns[i] = open(b)
		ask1(b, conns[i], make([]byte, answerSize))
	}
	b.ResetTimer()
	before := cpuNanos(b)
	var wg sync.WaitGroup
	for i, c := range conns {
		n := b.N / streams
		if i < b.N%streams {
			n++
		}
		wg.Go(func() {
			a := make([]byte, answerSize)
			for range n {
				ask1(b, c, a)
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(cpuNanos(b)-before)/float64(b.N), "cpu-ns/op")
}

func ask1(b *testing.B, c net.Conn, answer []byte) {
	var q [questionSize]byte
	if _, err := c.Write(q[:]); err != nil {
		b.Error(err)
		return
	}
	if _, err := io.ReadFull(c, answer); err != nil {
		b.Error(err)
	}
}

func benchBulk(b *testing.B, open func(testing.TB) net.Conn) {
	c := open(b)
	q := make([]byte, questionSize)
	q[0] = 'B'
	buf := make([]byte, 64<<10)
	b.SetBytes(bulkSize)
	b.ResetTimer()
	before := cpuNanos(b)
	for range b.N {
		if _, err := c.Write(q); err != nil {
			b.Fatal(err)
		}
		for left := bulkSize; left > 0; {
			n, err := c.Read(buf[:min(left, len(buf))])
			if err != nil {
				b.Fatal(err)
			}
			left -= n
		}
	}
	b.ReportMetric(float64(cpuNanos(b)-before)/float64(b.N)/(bulkSize>>20), "cpu-ns/MiB")
}

// cpuNanos is the time this process, both ends of the tunnel, has spent on the
// processors.
func cpuNanos(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
