package tunnel

import (
	"net"
	"sync"
)

// bufferSize is what moves beneath TLS in one system call when there is that much:
// several full TLS records (16 KiB).
const bufferSize = 128 << 10

// buffers are shared by all sessions: most are idle most of the time, and hold none.
var buffers = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}

// buffered is the TCP connection beneath TLS. During the handshake it passes
// everything through, so that a flood of silent connections takes no memory.
type buffered struct {
	net.Conn
	grown bool // set between the handshake and the first use

	r    *[]byte // owned by the reader: what was read ahead; nil when idle
	a, z int     // owned by the reader: what of r is still to be given
	much bool    // owned by the reader: the last read took all there was room for

	mu sync.Mutex // TLS writes from its reader too (alerts, key updates)
	w  *[]byte    // under mu: records gathered; nil while nobody gathers
}

// Read reads ahead only while a transfer is under way: TLS has room of its own for
// what is small, and an idle session holds no buffer.
func (b *buffered) Read(p []byte) (int, error) {
	if b.a < b.z {
		n := copy(p, (*b.r)[b.a:b.z])
		b.a += n
		return n, nil
	}
	if !b.grown || !b.much || len(p) >= bufferSize {
		b.release()
		n, err := b.Conn.Read(p)
		b.much = n == len(p)
		return n, err
	}
	if b.r == nil {
		b.r = buffers.Get().(*[]byte)
		*b.r = (*b.r)[:cap(*b.r)]
	}
	n, err := b.Conn.Read(*b.r)
	b.a, b.z = 0, n
	b.much = n > len(p)
	n = copy(p, (*b.r)[:n])
	b.a = n
	if b.a == b.z {
		b.release()
	}
	return n, err
}

func (b *buffered) release() {
	if b.r != nil {
		buffers.Put(b.r)
		b.r = nil
	}
}

func (b *buffered) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.w == nil {
		return b.Conn.Write(p)
	}
	*b.w = append(*b.w, p...)
	if len(*b.w) < bufferSize {
		return len(p), nil
	}
	_, err := b.Conn.Write(*b.w)
	*b.w = (*b.w)[:0]
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// gather keeps records back until flush.
func (b *buffered) gather() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.w = buffers.Get().(*[]byte)
	*b.w = (*b.w)[:0]
}

func (b *buffered) flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var err error
	if len(*b.w) > 0 {
		_, err = b.Conn.Write(*b.w)
	}
	buffers.Put(b.w)
	b.w = nil
	return err
}
