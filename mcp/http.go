package mcp

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// Bounds of what is served over HTTP.
const (
	maxBody     = 2 << 20          // of one message: a statement and its values
	maxHeader   = 16 << 10         //
	headerTime  = 10 * time.Second // for a request's header to come
	idleSession = time.Hour        // a client that says nothing so long is gone
	idleConn    = 2 * time.Minute
	endTime     = 2 * time.Second // for answers under way when all ends
)

// MinSecret is how long a secret is at least: 128 random bits in base32.
const MinSecret = 26

// Loopback reports why an address to listen on is refused; nil for one on this machine
// alone. Who reaches the port acts as the agent.
func Loopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
		return fmt.Errorf("%q is not a loopback address such as 127.0.0.1 or [::1]", host)
	}
	return nil
}

// ServeHTTP serves streamable HTTP at /mcp on ln, which must be on loopback, until ctx
// ends. Every request must show secret as a bearer token, name the address of ln as its
// host, and come from no web page: a page elsewhere that has a name point at this machine
// (DNS rebinding, CVE-2026-9739) has another host, and any page has an origin.
func (s *Server) ServeHTTP(ctx context.Context, ln net.Listener, secret string) error {
	if err := Loopback(ln.Addr().String()); err != nil {
		return err
	}
	if len(secret) < MinSecret {
		return fmt.Errorf("the secret is shorter than %d characters", MinSecret)
	}
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		return err
	}
	stream := sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return s.tools }, &sdk.StreamableHTTPOptions{
		Logger: s.cfg.Log, SessionTimeout: idleSession, MaxRequestBodyBytes: maxBody,
	})
	mux := http.NewServeMux()
	mux.Handle("/mcp", only(port, secret, stream))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: headerTime, MaxHeaderBytes: maxHeader, IdleTimeout: idleConn}
	ended := make(chan error, 1) // one result, read below
	stop := context.AfterFunc(ctx, func() {
		last, cancel := context.WithTimeout(context.Background(), endTime)
		defer cancel()
		if err := server.Shutdown(last); err != nil {
			err = server.Close() // streams that stay open for messages of ours
			ended <- err
			return
		}
		ended <- nil
	})
	defer stop()
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}

// only lets through who knows the secret and talks to this port by its own name.
func only(port, secret string, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(secret))
	hosts := []string{"127.0.0.1:" + port, "localhost:" + port, "[::1]:" + port}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !slices.Contains(hosts, strings.ToLower(r.Host)):
			http.Error(w, "this server is reached as "+hosts[0]+" only", http.StatusForbidden)
		case len(r.Header.Values("Origin")) > 0 || r.Header.Get("Sec-Fetch-Site") != "":
			http.Error(w, "this server takes no requests from web pages", http.StatusForbidden)
		case !bears(r, want):
			w.Header().Set("WWW-Authenticate", `Bearer realm="sluice mcp"`)
			http.Error(w, "the secret is missing or wrong: send Authorization: Bearer and what sluice mcp printed", http.StatusUnauthorized)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func bears(r *http.Request, want [sha256.Size]byte) bool {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return false
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	got := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return ok && strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}
