package cmd

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Bounds of the listener for signed messages. Each is read whole before it is looked at,
// so who is slow, or comes with many, waits for a place and loses it soon.
const (
	maxHookConns = 256 // at once
	hookReadTime = 10 * time.Second
	hookIdleTime = 15 * time.Second // of a connection between two messages
)

// openHooks listens for signed messages, if there are hooks.
func (h *house) openHooks(addr string) (err error) {
	if addr != "" {
		h.messages, err = listen(addr, "choose another port with triggers.listen:")
	}
	return err
}

// serveHooks answers on ln until ctx is done. The certificate is that of the gateway;
// nothing is served without TLS.
func serveHooks(ctx context.Context, ln net.Listener, handler http.Handler, base *tls.Config, log *slog.Logger) {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: hookReadTime, ReadTimeout: hookReadTime, WriteTimeout: hookReadTime, IdleTimeout: hookIdleTime, MaxHeaderBytes: 8 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
		TLSConfig:   &tls.Config{Certificates: base.Certificates, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}},
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelDebug), // who cannot speak TLS is no news
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.ServeTLS(&atMostConns{Listener: ln, room: make(chan struct{}, maxHookConns)}, "", ""); err != nil && !errors.Is(err, http.ErrServerClosed) {
		log.Error("messages to hooks are no longer served", "error", err)
	}
}

// atMostConns lets only so many connections be open; others wait to be accepted.
type atMostConns struct {
	net.Listener
	room chan struct{} // holds a token for each that is open
}

// Accept waits for a place, then for a connection.
func (l *atMostConns) Accept() (net.Conn, error) {
	l.room <- struct{}{}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.room
		return nil, err
	}
	leave := sync.OnceFunc(func() { <-l.room })
	return &placed{conn, leave}, nil
}

// placed gives its place back when it is closed.
type placed struct {
	net.Conn
	leave func()
}

// Close may be called by several goroutines.
func (p *placed) Close() error {
	defer p.leave()
	return p.Conn.Close()
}
