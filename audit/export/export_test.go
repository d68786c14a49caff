package export

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehq/sluice/audit"
)

// book is an open record.
type book struct {
	t   testing.TB
	dir string
	log *audit.Log
}

func newBook(t testing.TB) *book {
	t.Helper()
	b := &book{t: t, dir: filepath.Join(t.TempDir(), "record")}
	var err error
	if b.log, err = audit.Open(audit.Config{Dir: b.dir, Origin: "sluice/test"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.log.Close() })
	return b
}

// add records events and puts them under a checkpoint.
func (b *book) add(events ...audit.Event) {
	b.t.Helper()
	for i, ev := range events {
		ticket, err := b.log.Append(ev)
		if err == nil && i == len(events)-1 {
			err = ticket.Durable(b.t.Context())
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
	if err := b.log.Seal(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *book) many(n int) {
	b.t.Helper()
	var list []audit.Event
	for i := range n {
		list = append(list, audit.Event{Kind: audit.Decided, Who: "ada", SQL: fmt.Sprint("select ", i), Effect: "allow", Statement: "select"})
	}
	b.add(list...)
}

func (b *book) exporter(cfg Config) *Exporter {
	b.t.Helper()
	cfg.Record, cfg.every, cfg.wait = b.dir, 5*time.Millisecond, time.Millisecond
	x, err := New(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(x.Close)
	return x
}

// seqs reads the numbers of entries out of lines of JSON.
func seqs(t testing.TB, text []byte) (out []uint64) {
	t.Helper()
	for _, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		var e struct {
			Seq uint64 `json:"seq"`
		}
		if len(line) == 0 {
			continue
		}
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out = append(out, e.Seq)
	}
	return out
}

// covers says whether all entries below n are there, each for the first time in order.
func covers(t testing.TB, got []uint64, n uint64) (again int) {
	t.Helper()
	next := uint64(0)
	for _, s := range got {
		switch {
		case s == next:
			next++
		case s < next:
			again++
		default:
			t.Fatalf("entry %d came after %d", s, next)
		}
	}
	if next != n {
		t.Fatalf("%d of %d entries came", next, n)
	}
	return again
}

func TestFileGetsEachEntryOnceAcrossRestarts(t *testing.T) {
	b := newBook(t)
	out, cur := filepath.Join(t.TempDir(), "out.jsonl"), filepath.Join(t.TempDir(), "exports", "a.json")
	if err := os.MkdirAll(filepath.Dir(cur), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		b.many(700)
		x := b.exporter(Config{To: "file:" + out, Cursor: cur})
		if err := x.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := x.Stats(); s.Delivered != 700 || s.Behind != 0 {
			t.Errorf("%+v", s)
		}
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if again := covers(t, seqs(t, text), 2100); again != 0 {
		t.Errorf("%d came twice", again)
	}
	// What no checkpoint covers yet is not handed on.
	if _, err := b.log.Append(audit.Event{Kind: audit.Decided, SQL: "select unsealed"}); err != nil {
		t.Fatal(err)
	}
	x := b.exporter(Config{To: "stdout", Out: &bytes.Buffer{}, FromNow: true})
	b.many(3)
	if err := x.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.many(2)
	if err := x.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := x.Stats(); s.Delivered != 2 {
		t.Errorf("from now on: %+v", s)
	}
}

// flaky is a web address that often fails, some times after it has taken a batch.
type flaky struct {
	mu    sync.Mutex
	taken bytes.Buffer
	n     int
	wrong []string
	key   []byte
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	body, err := io.ReadAll(r.Body)
	if err != nil {
		f.wrong = append(f.wrong, err.Error())
	}
	at, sum, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Sluice-Signature"), "t="), ",v1=")
	mac := hmac.New(sha256.New, f.key)
	mac.Write([]byte(at + "."))
	mac.Write(body)
	if hex.EncodeToString(mac.Sum(nil)) != sum || r.Header.Get("Authorization") != "Bearer x" {
		f.wrong = append(f.wrong, "the signature or the authorization is wrong")
	}
	switch {
	case len(body) > 20_000:
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	case f.n%4 == 1:
		w.WriteHeader(http.StatusServiceUnavailable)
	case f.n%4 == 2:
		f.taken.Write(body) // taken, but nobody hears of it
		w.WriteHeader(http.StatusGatewayTimeout)
	default:
		f.taken.Write(body)
	}
}

func TestWebhookThatFailsLosesNothing(t *testing.T) {
	b := newBook(t)
	b.many(900)
	f := &flaky{key: []byte("k")}
	server := httptest.NewServer(f)
	defer server.Close()
	x := b.exporter(Config{To: server.URL, Secret: f.key, Authorization: "Bearer x", Cursor: filepath.Join(t.TempDir(), "c.json")})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); x.Run(ctx) }()
	wait(t, func() bool { s := x.Stats(); return s.Delivered >= 900 && s.Failing.IsZero() })
	cancel()
	<-done
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.wrong) > 0 {
		t.Error(f.wrong)
	}
	if again := covers(t, seqs(t, f.taken.Bytes()), 900); again == 0 || x.Stats().Failures == 0 {
		t.Errorf("nothing failed (%d again): this test tests nothing", again)
	}
}

func wait(t testing.TB, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to be")
		}
		<-time.After(2 * time.Millisecond)
	}
}

// receiver is a syslog server on TCP that hangs up after some messages.
type receiver struct {
	t     testing.TB
	ln    net.Listener
	mu    sync.Mutex
	lines []string
	hangs int
	conns []net.Conn
}

// hangUp ends its connections.
func (r *receiver) hangUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		_ = c.Close() // it may be closed
	}
}

func (r *receiver) serve() {
	for {
		conn, err := r.ln.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		r.conns = append(r.conns, conn)
		left := 1 << 30
		if r.hangs > 0 {
			r.hangs--
			left = 40
		}
		r.mu.Unlock()
		in := bufio.NewReader(conn)
		for ; left > 0; left-- {
			length, err := in.ReadString(' ')
			if err != nil {
				break
			}
			n, err := strconv.Atoi(strings.TrimSpace(length))
			if err != nil {
				r.t.Errorf("the length is %q", length)
				break
			}
			line := make([]byte, n)
			if _, err := io.ReadFull(in, line); err != nil {
				break
			}
			r.mu.Lock()
			r.lines = append(r.lines, string(line))
			r.mu.Unlock()
		}
		_ = conn.Close()
	}
}

func TestSyslogThatHangsUpLosesNothing(t *testing.T) {
	b := newBook(t)
	b.many(600)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	r := &receiver{t: t, ln: ln, hangs: 2}
	go r.serve()
	x := b.exporter(Config{To: "syslog+tcp://" + ln.Addr().String()})
	wait(t, func() bool { return x.CatchUp(t.Context()) == nil })
	wait(t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.lines) >= 600+80
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	var bodies bytes.Buffer
	for _, line := range r.lines {
		head, body, ok := strings.Cut(line, "\ufeff")
		if !ok || !strings.HasPrefix(head, "<110>1 2") || !strings.Contains(head, " sluice ") || !strings.Contains(head, " decided [meta sequenceId=") {
			t.Fatalf("%q is not a message of RFC 5424", line)
		}
		bodies.WriteString(body + "\n")
	}
	if again := covers(t, seqs(t, bodies.Bytes()), 600); again != 80 {
		t.Errorf("%d came twice", again)
	}
}

func TestDatagramsAreCutNotTorn(t *testing.T) {
	b := newBook(t)
	long := strings.Repeat("é", 20_000)
	b.add(audit.Event{Kind: audit.Decided, Who: "ada", SQL: "select '" + long + "'", Params: []string{long}, Effect: "deny"})
	dir, err := os.MkdirTemp("", "s") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for network, addr := range map[string]string{"udp": "127.0.0.1:0", "unixgram": filepath.Join(dir, "log")} {
		for _, format := range []string{"json", "ocsf", "cef"} {
			pc, err := net.ListenPacket(network, addr)
			if err != nil {
				t.Fatal(err)
			}
			to := "syslog+udp://" + pc.LocalAddr().String()
			if network == "unixgram" {
				to = "syslog+unix://" + addr
			}
			if err := b.exporter(Config{To: to, Format: format}).CatchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 1<<16)
			if err := pc.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			n, _, err := pc.ReadFrom(buf)
			if err != nil {
				t.Fatal(err)
			}
			_, body, _ := strings.Cut(string(buf[:n]), "\ufeff")
			if n > maxDatagram || !strings.HasPrefix(string(buf[:n]), "<108>1 ") {
				t.Errorf("%s, %s: %d bytes, %.60q", network, format, n, buf)
			}
			if format != "cef" && !json.Valid([]byte(body)) {
				t.Errorf("%s, %s: %q", network, format, body)
			}
			_ = pc.Close()
			_ = os.Remove(addr)
		}
	}
}

// A record that was put back must not be handed on as if nothing had happened.
func TestACursorAheadOfTheRecordIsSaid(t *testing.T) {
	b := newBook(t)
	b.many(5)
	cur := filepath.Join(t.TempDir(), "c.json")
	key, err := audit.PublicKey(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]cursor{"ahead": {Record: key, Seq: 99}, "of another record": {Record: "other", Seq: 1}} {
		data, _ := json.Marshal(c)
		if err := os.WriteFile(cur, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := b.exporter(Config{To: "stdout", Out: &bytes.Buffer{}, Cursor: cur}).CatchUp(t.Context()); err == nil || !strings.Contains(err.Error(), "to begin again") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestWhereToIsChecked(t *testing.T) {
	for to, want := range map[string]string{
		"stdout": "", "file:/x": "", "https://x/y": "", "syslog+tls://x:6514": "", "syslog+tcp://x": "", "syslog+udp://x": "", "syslog+unix:///dev/log": "",
		"": "neither", "ftp://x": "neither", "file:": "no path", "https://": "no host", "syslog+tls://": "no host", "syslog+unix:": "no path", "syslog://x": "neither",
	} {
		err := Check(to, "json")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", to, err)
		}
	}
	if Check("stdout", "otlp") == nil || Check("syslog+tcp://x", "otlp") == nil || Check("stdout", "xml") == nil {
		t.Error("a format that does not go there is taken")
	}
}
