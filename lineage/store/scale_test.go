//go:build unix

package store

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicehq/sluice/lineage"
)

var (
	scaleStatements = flag.Int("statements", 5_000, "how many statements TestScale folds")
	scaleDir        = flag.String("scale-dir", "", "where it makes its record, or finds the one that it made; default a temporary directory")
)

// TestScale folds the record of -statements statements, asks what people ask, and prints
// how long it took. `make lineage-scale` runs it over a million; as a plain test it shows
// over a few that each question has an answer.
func TestScale(t *testing.T) {
	dir := *scaleDir
	if dir == "" {
		dir = t.TempDir()
	}
	record := filepath.Join(dir, "record")
	if _, err := os.Stat(record + ".key"); err != nil {
		build(t, dir, *scaleStatements)
	}
	s := New(Config{Record: record, Path: filepath.Join(t.TempDir(), "graph")})
	from, before := time.Now(), cpuTime(t)
	if err := s.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	folded, used := time.Since(from), cpuTime(t)-before
	var mem runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&mem)
	out := &strings.Builder{}
	fmt.Fprintf(out, "%d statements, %d processors: folded in %v (%v of CPU, %.1f µs a statement); heap %d MiB; ", *scaleStatements, runtime.NumCPU(), folded.Round(time.Millisecond), used.Round(time.Millisecond), float64(used.Microseconds())/float64(*scaleStatements), mem.HeapAlloc>>20)
	from = time.Now()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(out, "saved in %v, %d MiB; ", time.Since(from).Round(time.Millisecond), info.Size()>>20)
	s = New(Config{Record: record, Path: s.cfg.Path})
	from = time.Now()
	if err := s.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(out, "loaded in %v\n\n| question | ways | p50 ms | worst ms | CPU ms |\n|---|--:|--:|--:|--:|\n", time.Since(from).Round(time.Millisecond))
	for _, q := range []lineage.Question{
		{Target: "model:m7@0", Up: true},
		{Target: "model:m1@0", Up: true, Depth: 2},
		{Target: "model:m1@0", Up: true, Steers: true},
		{Target: "db0:orders_0.email"},
		{Target: "db0:orders_0.email", Models: true},
		{Target: "db0:public.orders_0"},
		{Target: "db0:public.orders_0", Up: true},
		{Target: "db0:customers_1.total", Up: true, At: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)},
		{Target: "person000@example.com", Up: true},
	} {
		var times []time.Duration
		ways, cpu := 0, cpuTime(t)
		for range 5 {
			from := time.Now()
			a, err := s.Ask(t.Context(), q)
			times = append(times, time.Since(from))
			if err != nil {
				t.Fatalf("%+v: %v", q, err)
			}
			ways = len(a.Edges)
		}
		slices.Sort(times)
		name := "down "
		if q.Up {
			name = "up "
		}
		name += q.Target
		for _, f := range []struct {
			on   bool
			text string
		}{{q.Depth > 0, " --depth"}, {q.Steers, " --steers"}, {q.Models, " --models"}, {!q.At.IsZero(), " --at"}} {
			if f.on {
				name += f.text
			}
		}
		fmt.Fprintf(out, "| %s | %d | %.1f | %.1f | %.1f |\n", name, ways, ms(times[2]), ms(times[4]), ms((cpuTime(t)-cpu)/5))
		if ways == 0 && q.Up && q.At.IsZero() {
			t.Errorf("%s: nothing found", name)
		}
	}
	t.Log(out.String())
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// cpuTime is what this process has used of the processors: on a machine that others use
// too it says more than the clock.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
