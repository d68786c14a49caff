package client

import (
	"bytes"
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgproto3/v2"
	"github.com/sluicehq/sluice/api"
)

// forward starts a local port that ends with the test.
func forward(t *testing.T, open func(context.Context) (net.Conn, error)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Forward(ctx, ln, open, nil) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

func startup(code uint32, rest string) []byte {
	msg := binary.BigEndian.AppendUint32(nil, uint32(8+len(rest)))
	return append(binary.BigEndian.AppendUint32(msg, code), rest...)
}

const protocol3 = 3 << 16

func TestPsqlIsToldWhyItCannotConnect(t *testing.T) {
	addr := forward(t, func(context.Context) (net.Conn, error) {
		return nil, &api.Error{Sentence: "login expired", Hint: "run: sluice login gw:8443", Code: api.CodeNotLoggedIn}
	})
	params := "user\x00ada\x00\x00"
	tests := map[string][][]byte{
		"plain":       {startup(protocol3, params)},
		"SSL first":   {startup(sslRequest, ""), startup(protocol3, params)},
		"GSS and SSL": {startup(gssRequest, ""), startup(sslRequest, ""), startup(protocol3, params)},
	}
	for name, msgs := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for i, m := range msgs {
				if _, err := c.Write(m); err != nil {
					t.Fatal(err)
				}
				if i < len(msgs)-1 {
					var no [1]byte
					if _, err := io.ReadFull(c, no[:]); err != nil || no[0] != 'N' {
						t.Fatalf("%q, %v", no, err)
					}
				}
			}
			var got [5]byte
			if _, err := io.ReadFull(c, got[:]); err != nil || got[0] != 'E' {
				t.Fatalf("%q, %v", got, err)
			}
			body := make([]byte, binary.BigEndian.Uint32(got[1:])-4)
			if _, err := io.ReadFull(c, body); err != nil {
				t.Fatal(err)
			}
			var e pgproto3.ErrorResponse
			if err := e.Decode(body); err != nil {
				t.Fatal(err)
			}
			if e.Severity != "FATAL" || e.Code != "28000" || e.Message != "login expired" || e.Hint != "run: sluice login gw:8443" {
				t.Errorf("%+v", e)
			}
			c.(*net.TCPConn).CloseWrite()
			if rest, err := io.ReadAll(c); err != nil || len(rest) != 0 {
				t.Errorf("after the error: %q, %v", rest, err)
			}
		})
	}
}

func TestErrorTextCannotForgeFields(t *testing.T) {
	msg := errorResponse(errors.New("bad\x00C00000\x00Mfine"))
	if n := bytes.Count(msg, []byte{0, 'C'}); n != 1 {
		t.Errorf("%d code fields in %q", n, msg)
	}
}

// Whatever a local program sends when there is no tunnel, its connection ends.
func TestGarbageOnTheLocalPort(t *testing.T) {
	addr := forward(t, func(context.Context) (net.Conn, error) { return nil, errors.New("no tunnel") })
	for name, body := range map[string][]byte{
		"cancel request":  startup(cancelRequest, "12345678"),
		"HTTP":            []byte("GET / HTTP/1.1\r\n\r\n"),
		"length 0":        make([]byte, 8),
		"length 4 GiB":    {0xff, 0xff, 0xff, 0xff, 0, 3, 0, 0},
		"endless SSL":     bytes.Repeat(startup(sslRequest, ""), 100),
		"cut":             {0, 0, 0, 20, 0, 3},
		"nothing at all":  nil,
		"length too long": startup(protocol3, strings.Repeat("x", maxStartup)),
	} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c.Write(body)
		c.(*net.TCPConn).CloseWrite()
		got, _ := io.ReadAll(c) // ends, by close or reset
		if bytes.Contains(got, []byte{'R'}) {
			t.Errorf("%s: answered with %q", name, got)
		}
		c.Close()
	}
}

// Several connections share a port, and bulk arrives whole.
func TestManyConnectionsOnOnePort(t *testing.T) {
	addr := forward(t, func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			io.Copy(far, far)
			far.Close()
		}()
		return near, nil
	})
	want := sha256.Sum256(make([]byte, 1<<20))
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			wg.Go(func() { c.Write(make([]byte, 1<<20)) })
			got := make([]byte, 1<<20)
			if _, err := io.ReadFull(c, got); err != nil || sha256.Sum256(got) != want {
				t.Errorf("bulk: %v", err)
			}
		})
	}
	wg.Wait()
}

// A server that dies in mid-answer ends the local connection.
func TestRemoteFailureEndsLocal(t *testing.T) {
	near, far := net.Pipe()
	addr := forward(t, func(context.Context) (net.Conn, error) { return near, nil })
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	far.Write([]byte("half an ans"))
	near.Close() // as a lost session does
	if got, _ := io.ReadAll(c); string(got) != "half an ans" {
		t.Errorf("got %q", got)
	}
	far.Close()
}

func TestVerifierIsWhatPostgreSQLKeeps(t *testing.T) {
	password, verifier := NewPassword()
	if len(password) < 26 {
		t.Errorf("password %q is short", password)
	}
	if p2, v2 := NewPassword(); p2 == password || v2 == verifier {
		t.Error("two passwords are the same")
	}
	if !strings.HasPrefix(verifier, "SCRAM-SHA-256$4096:") || strings.Contains(verifier, password) {
		t.Errorf("verifier %q", verifier)
	}
	// The library's PBKDF2, and the worked example of RFC 7677 section 3.
	salt := []byte("0123456789abcdef")
	want, err := pbkdf2.Key(sha256.New, password, salt, 4096, 32)
	if err != nil {
		t.Fatal(err)
	}
	if got := stretch(password, salt, 4096); !bytes.Equal(got, want) {
		t.Error("stretch differs from crypto/pbkdf2")
	}
	raw := []byte{0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81} // W22ZaJ0SNY7soEsUEjb6gQ==
	if got := scramVerifier("pencil", raw, 4096); got != "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=" {
		t.Errorf("got %s", got)
	}
}

// crowded is a port whose Accept finds no file descriptors so many times.
type crowded struct {
	net.Listener
	left atomic.Int32
}

func (c *crowded) Accept() (net.Conn, error) {
	if c.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return c.Listener.Accept()
}

// No file descriptors left: the port stays open, and says so once.
func TestPortOutlivesATimeWithoutDescriptors(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := &crowded{Listener: inner}
	ln.left.Store(4)
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Forward(ctx, ln, func(context.Context) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				io.Copy(far, far)
				far.Close()
			}()
			return near, nil
		}, slog.New(slog.NewTextHandler(&log, nil)))
	}()
	c, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "ping")
	var got [4]byte
	if _, err := io.ReadFull(c, got[:]); err != nil || string(got[:]) != "ping" {
		t.Errorf("after the time without: %q, %v", got, err)
	}
	c.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "too many open files"); n != 1 || !strings.Contains(log.String(), "ulimit") {
		t.Errorf("said %d times:\n%s", n, &log)
	}
}
