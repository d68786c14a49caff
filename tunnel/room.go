package tunnel

import (
	"container/list"
	"net"
	"sync"
)

// room holds connections that have proved nothing yet. When it is full the
// oldest is closed to make room: an honest peer is through in milliseconds, so
// that a flood of silent ones drives out itself and not the honest.
type room struct {
	size int
	mu   sync.Mutex
	in   *list.List // of net.Conn, oldest first; under mu
}

func newRoom(size int) *room { return &room{size: size, in: list.New()} }

// enter adds conn, and gives the function that takes it out again.
func (r *room) enter(conn net.Conn) (leave func()) {
	r.mu.Lock()
	var oldest net.Conn
	if r.in.Len() >= r.size {
		oldest, _ = r.in.Remove(r.in.Front()).(net.Conn)
	}
	e := r.in.PushBack(conn)
	r.mu.Unlock()
	if oldest != nil {
		oldest.Close()
	}
	return func() {
		r.mu.Lock()
		r.in.Remove(e) // nothing happens if it was driven out
		r.mu.Unlock()
	}
}
