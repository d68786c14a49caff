package tunnel

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Whoever points a browser or curl at the port learns what it is.
func TestHTTPOnThePortIsAnswered(t *testing.T) {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server}, echo)
	good := open(t, dial(t, addr, w.client))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodPatch} {
		// A body, and headers longer than TLS reads at first: the answer must not be
		// lost to a reset because of them.
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+"/", strings.NewReader(strings.Repeat("x", 20_000)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Long", strings.Repeat("y", 4000))
		res, err := client.Do(req)
		if err != nil {
			t.Errorf("%s: %v", method, err)
			continue
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: status %d, %v", method, res.StatusCode, err)
		}
		if want := plainSentence + "\nhint: use: sluice connect\n"; method != http.MethodHead && string(body) != want {
			t.Errorf("%s: %q", method, body)
		}
		roundTrip(t, good, "alive")
	}
}

func TestPostgresClientOnThePortIsTold(t *testing.T) {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server}, echo)
	good := open(t, dial(t, addr, w.client))
	for _, mode := range []string{"disable", "prefer", "allow"} {
		_, err := pgconn.Connect(t.Context(), fmt.Sprintf("postgres://ada@%s/orders?sslmode=%s", addr, mode))
		var pg *pgconn.PgError
		if !errors.As(err, &pg) {
			t.Errorf("%s: %v", mode, err)
			continue
		}
		if pg.Severity != "FATAL" || pg.Code != "08P01" || pg.Message != plainSentence || pg.Hint != "use: sluice connect" {
			t.Errorf("%s: %+v", mode, pg)
		}
		roundTrip(t, good, "alive")
	}
	if _, err := pgconn.Connect(t.Context(), fmt.Sprintf("postgres://ada@%s/orders?sslmode=require", addr)); err == nil || !strings.Contains(err.Error(), "refused TLS") {
		t.Errorf("require: %v", err)
	}
}

// What is said takes no more time than a handshake may, and is said once.
func TestWrongProtocolsAreCutOff(t *testing.T) {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server, Handshake: 200 * time.Millisecond}, echo)
	good := open(t, dial(t, addr, w.client))
	ssl, gss := []byte{0, 0, 0, 8, 4, 210, 22, 47}, []byte{0, 0, 0, 8, 4, 210, 22, 48}
	fatal := string(postgresError())
	tests := map[string]struct {
		send []byte
		want string
	}{
		"request for TLS, then silence":  {ssl, "N"},
		"requests without an end":        {bytes.Repeat(ssl, 50), "NN"},
		"both requests, then a login":    {append(append(append([]byte{}, ssl...), gss...), 0, 0, 0, 40, 0, 3, 0, 0), "NN" + fatal},
		"a request, then a login":        {append(append([]byte{}, gss...), 0, 0, 0, 40, 0, 3, 0, 0), "N" + fatal},
		"a login that is never finished": {[]byte{0, 0, 0, 40, 0, 3}, fatal},
		"a login of 2 GiB":               {[]byte{0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0}, ""},
		"a login of length 0":            {[]byte{0, 0, 0, 0, 0, 3, 0, 0}, ""},
		"a cancel request":               {[]byte{0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 2}, ""},
		"a word":                         {[]byte("HELLO THERE\r\n"), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := rawDial(t, addr)
			// What TLS reads with the first request is gone: a client waits for the
			// answer before it goes on.
			first := min(8, len(tt.send))
			c.Write(tt.send[:first])
			var got []byte
			for rest := tt.send[first:]; ; {
				c.SetReadDeadline(time.Now().Add(10 * time.Second))
				b := make([]byte, 1024)
				n, err := c.Read(b)
				got = append(got, b[:n]...)
				var late net.Error
				if errors.As(err, &late) && late.Timeout() {
					t.Fatal("the gateway still holds the connection")
				}
				if err != nil {
					break
				}
				n = min(8, len(rest))
				c.Write(rest[:n])
				rest = rest[n:]
			}
			if string(got) != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			roundTrip(t, good, "alive")
		})
	}
}

// Those who say nothing, or a byte now and then, fill the room for handshakes;
// somebody else logs in all the same, long before any of them is cut off.
func TestLoginWhileTheRoomForHandshakesIsFull(t *testing.T) {
	w := newWorld(t)
	addr := serve(t, Config{TLS: w.server, Handshake: time.Hour, Handshakes: 8}, echo)
	halfOpen := []byte{22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}
	held := make([]net.Conn, 24)
	for i := range held {
		held[i] = rawDial(t, addr)
		held[i].Write(halfOpen[:i%len(halfOpen)])
	}
	roundTrip(t, open(t, dial(t, addr, w.client)), "alive")
	// The first have been driven out, which bounds what they take.
	for _, c := range held[:len(held)-8] {
		endsWithin(t, c, 10*time.Second)
	}
}
