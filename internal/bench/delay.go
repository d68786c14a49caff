//go:build unix

package main

import (
	"context"
	"net"
	"sync"
	"time"
)

const (
	// oneWay is the delay of each direction on the way to a distant database: half of
	// the 20 ms between two cities of a country.
	oneWay = 10 * time.Millisecond
	// wireBytes may be under way in one direction of a connection. It is more than any
	// of the targets' own windows, so that these are what limits them.
	wireBytes = 64 << 20
	// pieceBytes are read at once.
	pieceBytes = 64 << 10
)

// distance stands where a long line would be: it listens, and passes on what it
// reads oneWay later, in both directions. The kernels at both ends do not know of
// it: it shows the windows of what runs inside the connection, not TCP's.
type distance struct {
	ln    net.Listener
	to    string
	ctx   context.Context // of all its connections; ended by close
	stop  context.CancelFunc
	lines sync.WaitGroup
}

func newDistance(to string) (*distance, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &distance{ln: ln, to: to}
	d.ctx, d.stop = context.WithCancel(context.Background())
	d.lines.Go(d.accept)
	return d, nil
}

func (d *distance) port() int { return d.ln.Addr().(*net.TCPAddr).Port }

// close ends every connection and waits for what carried them.
func (d *distance) close() error {
	d.stop()
	err := d.ln.Close()
	d.lines.Wait()
	return err
}

func (d *distance) accept() {
	for {
		near, err := d.ln.Accept()
		if err != nil {
			return
		}
		d.lines.Go(func() { d.carry(near.(*net.TCPConn)) })
	}
}

func (d *distance) carry(near *net.TCPConn) {
	defer near.Close()
	out, err := net.Dial("tcp", d.to)
	if err != nil {
		return
	}
	far := out.(*net.TCPConn)
	defer far.Close()
	defer context.AfterFunc(d.ctx, func() { near.Close(); far.Close() })()
	var both sync.WaitGroup
	both.Go(func() { later(far, near) })
	both.Go(func() { later(near, far) })
	both.Wait()
}

// piece is what was read at one time.
type piece struct {
	due time.Time
	b   []byte
}

// later copies from src to dst with the delay, then its end.
func later(dst, src *net.TCPConn) {
	wire := make(chan piece, wireBytes/pieceBytes)
	var reading sync.WaitGroup
	defer reading.Wait()
	reading.Go(func() {
		defer close(wire)
		for {
			b := make([]byte, pieceBytes)
			n, err := src.Read(b)
			if n > 0 {
				wire <- piece{time.Now().Add(oneWay), b[:n]}
			}
			if err != nil {
				return
			}
		}
	})
	var err error
	for p := range wire { // to the end, so that the reader ends too
		if err != nil {
			continue
		}
		if wait := time.Until(p.due); wait > 0 {
			<-time.After(wait)
		}
		if _, err = dst.Write(p.b); err != nil {
			src.Close()
		}
	}
	if err == nil && dst.CloseWrite() != nil {
		dst.Close()
	}
}
