//go:build unix

package export

import (
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicehq/sluice/audit/town"
)

var handedOn = flag.Int("entries", 2000, "how many entries BenchmarkHandOn hands on in an operation")

// BenchmarkHandOn hands a town's record on, from its files to where it is to go, with a
// cursor. An operation is the whole record. What a core could do is counted by the CPU
// time of the process, receiver included, since the clock also says what else the machine
// had to do; the clock is there too, for what waits.
func BenchmarkHandOn(b *testing.B) {
	dir := town.Build(b, b.TempDir(), *handedOn)
	for _, c := range []struct{ name, to, format string }{
		{"json", "stdout", "json"}, {"ocsf", "stdout", "ocsf"}, {"cef", "stdout", "cef"}, {"json-file", "file", "json"},
		{"otlp-web", "web", "otlp"}, {"json-syslog", "syslog", "json"}, {"cef-syslog", "syslog", "cef"},
	} {
		b.Run(c.name, func(b *testing.B) {
			var out counter
			cfg := Config{Record: dir, To: c.to, Format: c.format, Out: &out}
			switch c.to {
			case "file":
				cfg.To = "file:" + filepath.Join(b.TempDir(), "out")
			case "web":
				cfg.To = takesAll(b, &out)
			case "syslog":
				cfg.To = listensToAll(b, &out)
			}
			b.ReportAllocs()
			clock, before := time.Duration(0), cpuTime(b)
			for b.Loop() {
				cfg.Cursor = filepath.Join(b.TempDir(), "cursor")
				x, err := New(cfg)
				if err != nil {
					b.Fatal(err)
				}
				from := time.Now()
				if err := x.CatchUp(b.Context()); err != nil {
					b.Fatal(err)
				}
				clock += time.Since(from)
				if s := x.Stats(); s.Delivered != uint64(*handedOn) {
					b.Fatalf("%+v", s)
				}
				x.Close()
			}
			all, cpu := float64(b.N)*float64(*handedOn), (cpuTime(b) - before).Seconds()
			b.ReportMetric(all/cpu, "events/s/core")
			b.ReportMetric(all/clock.Seconds(), "events/s")
			if n := out.n.Load(); n > 0 {
				b.ReportMetric(float64(n)/1e6/cpu, "MB/s/core")
				b.ReportMetric(float64(n)/all, "B/event")
			}
		})
	}
}

// counter takes all and counts it.
type counter struct{ n atomic.Int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

func takesAll(b *testing.B, out io.Writer) string {
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(out, r.Body) // the benchmark counts what was delivered
	}))
	b.Cleanup(s.Close)
	return s.URL
}

func listensToAll(b *testing.B, out io.Writer) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(out, conn)
			_ = conn.Close()
		}
	}()
	b.Cleanup(func() { _ = ln.Close(); <-done })
	return "syslog+tcp://" + ln.Addr().String()
}

// cpuTime is what this process has used of the processors.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
