package client

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/internal/pace"
	"github.com/sluicehq/sluice/tunnel"
)

// Limits of a local port.
const (
	maxLocal       = 16384                // connections at once: some 20 kB each here, and more than a gateway gives one caller
	maxRefused     = 64                   // beyond those, at once, that are told so; more are just closed
	idleBuffer     = 1 << 10              // what each direction of an idle connection keeps
	copyBuffer     = 64 << 10             // one read of bulk data
	smallReads     = 16                   // after so many in a row that idleBuffer would have done for, bulk is over
	acceptPause    = 5 * time.Millisecond // after an error of accept, then doubling
	acceptLongest  = time.Second
	startupTimeout = 10 * time.Second // for a client that is to be told why it cannot connect
	maxStartup     = 10 << 10         // PostgreSQL's own limit
)

// buffers hold the room for bulk, shared by all copies: most connections are idle
// most of the time.
var buffers = sync.Pool{New: func() any { b := make([]byte, copyBuffer); return &b }}

// Forward joins each connection to ln with a stream from open. It closes ln, and
// returns nil when ctx has ended and all connections have. A client whose stream
// cannot be opened is told why in its own protocol.
func Forward(ctx context.Context, ln net.Listener, open func(context.Context) (net.Conn, error), log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return forwardMost(ctx, ln, open, log, maxLocal)
}

func forwardMost(ctx context.Context, ln net.Listener, open func(context.Context) (net.Conn, error), log *slog.Logger, most int) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer ln.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// On the derived context, so that it is seen to have ended when ln is closed.
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	free, refused := make(chan struct{}, most), make(chan struct{}, maxRefused)
	for {
		local, err := accept(ctx, ln, log)
		if local == nil {
			return err
		}
		serve, room := open, free
		select {
		case room <- struct{}{}:
		default:
			serve, room = tooMany, refused
			select {
			case room <- struct{}{}:
			default:
				local.Close()
				continue
			}
		}
		wg.Go(func() {
			defer func() { <-room }()
			defer local.Close()
			forwardOne(ctx, local, serve, log)
		})
	}
}

// errCrowded is for who comes when maxLocal are there.
var errCrowded = &api.Error{
	Sentence: "too many connections to this port",
	Hint:     "close connections that are no longer used", Code: api.CodeError,
}

func tooMany(context.Context) (net.Conn, error) { return nil, errCrowded }

// accept waits out an error that may pass, such as no file descriptors left, because
// ending would close the port for every program that uses it; it says so once. It
// gives nil and nil when ctx has ended.
func accept(ctx context.Context, ln net.Listener, log *slog.Logger) (net.Conn, error) {
	wait := acceptPause
	for told := false; ; told = true {
		local, err := ln.Accept()
		switch {
		case err == nil:
			return local, nil
		case ctx.Err() != nil:
			return nil, nil //nolint:nilnil // the end that was asked for
		case errors.Is(err, net.ErrClosed):
			return nil, fmt.Errorf("accept on %s: %w", ln.Addr(), err)
		case !told:
			log.Warn("no local connection can be taken for now; waiting", "error", err, "hint", "close connections, or raise the limit of open files (ulimit -n)")
		}
		select {
		case <-ctx.Done():
			return nil, nil //nolint:nilnil // as above
		case <-time.After(wait):
		}
		wait = min(2*wait, acceptLongest)
	}
}

func forwardOne(ctx context.Context, local net.Conn, open func(context.Context) (net.Conn, error), log *slog.Logger) {
	stop := context.AfterFunc(ctx, func() { local.Close() })
	defer stop()
	remote, err := open(ctx)
	if err != nil {
		log.Debug("no stream for a local connection", "error", err) // its program is told
		if ctx.Err() == nil {
			tellWhy(local, err)
		}
		return
	}
	defer remote.Close()
	stopRemote := context.AfterFunc(ctx, func() { remote.Close() })
	defer stopRemote()
	join(local, remote)
}

// join copies both ways until both directions have ended. The end of one is
// passed on as such; an error in one ends the other.
func join(a, b net.Conn) {
	var wg sync.WaitGroup
	var there, back atomic.Int64
	wg.Go(func() { pump(a, b, &there, &back) })
	pump(b, a, &back, &there)
	wg.Wait()
}

// pump copies one way, and counts what it passes on; other is the count of the other way.
func pump(dst, src net.Conn, count, other *atomic.Int64) {
	var r room
	var p pace.Stream
	defer r.release()
	for {
		buf := r.buffer()
		n, err := src.Read(buf)
		if n > 0 {
			if _, werr := dst.Write(buf[:n]); werr != nil {
				break
			}
		}
		r.adapt(n)
		count.Add(1)
		p.Got(n, other.Load())
		if errors.Is(err, io.EOF) {
			if tunnel.CloseWrite(dst) != nil {
				break
			}
			return
		}
		if err != nil {
			break
		}
	}
	src.Close()
	dst.Close()
}

// room is what one direction reads into: little, until a read fills it. One
// goroutine uses it.
type room struct {
	small []byte
	large *[]byte // from buffers; nil while small does
	short int     // reads in a row that small would have done for
}

func (r *room) buffer() []byte {
	if r.large != nil {
		return *r.large
	}
	if r.small == nil {
		r.small = make([]byte, idleBuffer)
	}
	return r.small
}

// adapt chooses for the next read after one of n bytes: a full one means that more
// is on the way.
func (r *room) adapt(n int) {
	if n >= idleBuffer {
		r.short = 0
		if r.large == nil {
			r.large = buffers.Get().(*[]byte)
		}
		return
	}
	if r.short++; r.short > smallReads {
		r.release()
	}
}

func (r *room) release() {
	if r.large != nil {
		buffers.Put(r.large)
		r.large = nil
	}
}

// The codes that stand where a startup message has its version.
const (
	sslRequest    = 80877103
	gssRequest    = 80877104
	cancelRequest = 80877102
)

// tellWhy answers a PostgreSQL client's startup with an error, so that psql
// prints a sentence instead of "server closed the connection unexpectedly".
func tellWhy(local net.Conn, err error) {
	late := time.AfterFunc(startupTimeout, func() { local.Close() })
	defer late.Stop()
	for range 3 { // GSS and SSL requests may each come first
		code, rerr := readStartup(local)
		if rerr != nil {
			return
		}
		switch code {
		case sslRequest, gssRequest:
			if _, werr := local.Write([]byte{'N'}); werr != nil {
				return
			}
		case cancelRequest:
			return // its sender reads no answer
		default:
			if _, werr := local.Write(errorResponse(err)); werr == nil {
				tunnel.CloseWrite(local)
				io.CopyN(io.Discard, local, maxStartup) // or the kernel's reset could overtake the message
			}
			return
		}
	}
}

func readStartup(r io.Reader) (code uint32, err error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, err
	}
	n := binary.BigEndian.Uint32(head[:4])
	if n < 8 || n > maxStartup {
		return 0, fmt.Errorf("a startup message of %d bytes", n)
	}
	if _, err := io.CopyN(io.Discard, r, int64(n-8)); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(head[4:]), nil
}

// errorResponse encodes a fatal ErrorResponse (PostgreSQL protocol, section
// "Message Formats"). SQLSTATE 28000 is a login that is not valid, 53300 too many
// connections, 08006 a connection that failed.
func errorResponse(err error) []byte {
	text, hint, state := err.Error(), "", "08006"
	if e, ok := api.AsError(err); ok {
		text, hint = e.Sentence, e.Hint
		if e.Code == api.CodeNotLoggedIn || e.Code == api.CodeRefused {
			state = "28000"
		}
		if e == errCrowded {
			state = "53300"
		}
	}
	msg := []byte{'E', 0, 0, 0, 0}
	field := func(kind byte, text string) {
		msg = append(msg, kind)
		for _, b := range []byte(text) {
			if b != 0 {
				msg = append(msg, b)
			}
		}
		msg = append(msg, 0)
	}
	field('S', "FATAL")
	field('V', "FATAL")
	field('C', state)
	field('M', text)
	if hint != "" {
		field('H', hint)
	}
	msg = append(msg, 0)
	binary.BigEndian.PutUint32(msg[1:5], uint32(len(msg)-1))
	return msg
}
