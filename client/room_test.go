package client

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

func TestRoomGrowsForBulkAndIsGivenBack(t *testing.T) {
	var r room
	if n := len(r.buffer()); n != idleBuffer {
		t.Fatalf("an idle connection keeps %d bytes, want %d", n, idleBuffer)
	}
	r.adapt(idleBuffer - 1)
	if r.large != nil {
		t.Error("a read that fitted took the large buffer")
	}
	r.adapt(idleBuffer)
	if n := len(r.buffer()); n != copyBuffer {
		t.Fatalf("bulk is read into %d bytes, want %d", n, copyBuffer)
	}
	for i := range smallReads {
		if r.adapt(1); r.large == nil {
			t.Fatalf("given back after %d short reads, which bulk has too", i+1)
		}
	}
	if r.adapt(1); r.large != nil {
		t.Error("the large buffer was kept by a connection that needs it no more")
	}
	if n := len(r.buffer()); n != idleBuffer {
		t.Errorf("afterwards it keeps %d bytes, want %d", n, idleBuffer)
	}
}

// Bytes stay whole and in order while the buffers change under them.
func TestPumpKeepsBytesAcrossBuffers(t *testing.T) {
	from, src := net.Pipe()
	dst, to := net.Pipe()
	var want []byte
	for i := range 200 {
		size := 1 + i
		if i%50 < 10 {
			size = copyBuffer + i
		}
		want = append(want, bytes.Repeat([]byte{byte(i)}, size)...)
	}
	var wg sync.WaitGroup
	wg.Go(func() { pump(dst, src, new(atomic.Int64), new(atomic.Int64)) })
	wg.Go(func() {
		rest := want
		for i := range 200 {
			size := 1 + i
			if i%50 < 10 {
				size = copyBuffer + i
			}
			if _, err := from.Write(rest[:size]); err != nil {
				t.Errorf("write %d: %v", i, err)
			}
			rest = rest[size:]
		}
		from.Close()
	})
	got := make([]byte, len(want))
	if _, err := io.ReadFull(to, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("what arrived differs (%v)", err)
	}
	to.Close()
	wg.Wait()
}
