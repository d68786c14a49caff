package export

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/audit"
)

// certificate is one for 127.0.0.1, good until a time, and who vouches for it.
func certificate(t *testing.T, until time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "logs"}, NotBefore: until.Add(-48 * time.Hour), NotAfter: until,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// secure is a receiver over TLS, which takes lengths as RFC 5425 has them, on an address.
func secure(t *testing.T, addr string, cfg *tls.Config, hangs int) *receiver {
	t.Helper()
	ln, err := tls.Listen("tcp", addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{t: t, ln: ln, hangs: hangs}
	done := make(chan struct{})
	go func() { defer close(done); r.serve() }()
	t.Cleanup(func() { _ = ln.Close() })
	return r
}

func (r *receiver) taken() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.lines...)
}

// bodies are the texts of messages, which must have a header of RFC 5424.
func bodies(t *testing.T, lines []string) []byte {
	t.Helper()
	var out strings.Builder
	for _, line := range lines {
		head, body, ok := strings.Cut(line, "\ufeff")
		if !ok || !strings.HasPrefix(head, "<1") || !strings.Contains(head, ">1 2") || !strings.Contains(head, " sluice ") {
			t.Fatalf("%q is not a message of RFC 5424", line)
		}
		out.WriteString(body + "\n")
	}
	return []byte(out.String())
}

// Over TLS each message stands behind its length in bytes, whatever is in it, and what a
// receiver that hangs up did not read comes again.
func TestSyslogOverTLS(t *testing.T) {
	b := newBook(t)
	b.many(300)
	b.add(audit.Event{Kind: audit.Decided, Who: "jürgen", SQL: "select 'é\n12 <110>1 '", Effect: "deny"}, audit.Event{Kind: audit.Admin, Detail: strings.Repeat("日本", 4000)})
	b.many(298)
	cert, roots := certificate(t, time.Now().Add(time.Hour))
	for _, format := range []string{"json", "ocsf", "cef"} {
		r := secure(t, "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}}, 2)
		x := b.exporter(Config{To: "syslog+tls://" + r.ln.Addr().String(), Format: format, Roots: roots})
		x.sink.(*syslog).closed = 300 * time.Millisecond // a busy machine hangs up late
		wait(t, func() bool { return x.CatchUp(t.Context()) == nil })
		wait(t, func() bool { return len(r.taken()) >= 600+80 })
		text := bodies(t, r.taken())
		if !strings.Contains(string(text), "jürgen") || !strings.Contains(string(text), "日本日本") {
			t.Errorf("%s: what is not ASCII did not come as it is", format)
		}
		if format != "json" {
			continue
		}
		if again := covers(t, seqs(t, text), 600); again != 80 || x.Stats().Delivered != 600 {
			t.Errorf("%d came twice, %d counted", again, x.Stats().Delivered)
		}
	}
}

// Somebody in between who cannot show a certificate for the name gets nothing, not a byte
// of an entry, and nothing counts as taken: it comes once the right one is there.
func TestSyslogIsGivenToNobodyElse(t *testing.T) {
	b := newBook(t)
	b.many(50)
	good, roots := certificate(t, time.Now().Add(time.Hour))
	old, oldRoots := certificate(t, time.Now().Add(-time.Minute))
	for _, c := range []struct {
		name   string
		server *tls.Config
		roots  *x509.CertPool
		host   string
		says   string
	}{
		{"an unknown authority", &tls.Config{Certificates: []tls.Certificate{good}}, nil, "127.0.0.1", "certificate"},
		{"another's authority", &tls.Config{Certificates: []tls.Certificate{good}}, oldRoots, "127.0.0.1", "certificate"},
		{"another name", &tls.Config{Certificates: []tls.Certificate{good}}, roots, "localhost", "localhost"},
		{"an expired certificate", &tls.Config{Certificates: []tls.Certificate{old}}, oldRoots, "127.0.0.1", "expired"},
		{"an old protocol", &tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, roots, "127.0.0.1", "protocol version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := secure(t, "127.0.0.1:0", c.server, 0)
			_, port, err := net.SplitHostPort(r.ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			at := filepath.Join(t.TempDir(), "cursor.json")
			x := b.exporter(Config{To: "syslog+tls://" + net.JoinHostPort(c.host, port), Roots: c.roots, Cursor: at})
			if err := x.CatchUp(t.Context()); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("CatchUp: %v, want %q", err, c.says)
			}
			if _, err := os.Stat(at); err == nil || x.Stats().Delivered > 0 || len(r.taken()) > 0 {
				t.Fatalf("%d counted, %d taken", x.Stats().Delivered, len(r.taken()))
			}
			right := secure(t, "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{good}}, 0)
			x = b.exporter(Config{To: "syslog+tls://" + right.ln.Addr().String(), Roots: roots, Cursor: at})
			if err := x.CatchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			wait(t, func() bool { return len(right.taken()) == 50 })
			covers(t, seqs(t, bodies(t, right.taken())), 50)
		})
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0") // somebody who does not speak TLS
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	first := make(chan string, 1) // what came
	go func() {
		conn, err := plain.Accept()
		if err != nil {
			return
		}
		data := make([]byte, 1<<16)
		n, _ := conn.Read(data)
		first <- string(data[:n])
		_ = conn.Close()
	}()
	if err := b.exporter(Config{To: "syslog+tls://" + plain.Addr().String(), Roots: roots}).CatchUp(t.Context()); err == nil {
		t.Error("it was taken by somebody who does not speak TLS")
	}
	if got := <-first; strings.Contains(got, "select") {
		t.Errorf("it came in clear: %q", got)
	}
}

// A receiver that goes away and comes back gets what it missed, in order, from an exporter
// that runs on.
func TestSyslogReceiverThatComesBack(t *testing.T) {
	b := newBook(t)
	b.many(100)
	cert, roots := certificate(t, time.Now().Add(time.Hour))
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}}
	r := secure(t, "127.0.0.1:0", cfg, 1) // hangs up after 40
	addr := r.ln.Addr().String()
	x := b.exporter(Config{To: "syslog+tls://" + addr, Roots: roots})
	x.sink.(*syslog).closed = 300 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); x.Run(ctx) }()
	wait(t, func() bool { return x.Stats().Delivered == 100 && len(r.taken()) == 140 })
	_ = r.ln.Close()
	r.hangUp()
	b.many(100)
	wait(t, func() bool { return !x.Stats().Failing.IsZero() })
	if n := x.Stats().Delivered; n != 100 {
		t.Errorf("%d counted while nobody was there", n)
	}
	back := secure(t, addr, cfg, 0)
	wait(t, func() bool { return x.Stats().Delivered == 200 && x.Stats().Failing.IsZero() })
	wait(t, func() bool { return len(back.taken()) == 100 })
	cancel()
	<-done
	all := append(r.taken()[40:], back.taken()...)
	if again := covers(t, seqs(t, bodies(t, all)), 200); again != 0 {
		t.Errorf("%d came twice", again)
	}
}
