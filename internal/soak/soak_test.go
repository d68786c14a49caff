// Package soak runs the whole product for a while: real clients, tunnels, a gateway
// and PostgreSQL, with many workers that do honest work and disturb only themselves:
// they cancel, vanish, are killed from either side, are held and refused. Each worker
// knows what every answer must be. At the end nothing may be left over, and the
// record must tell of everything once.
//
//	go test ./internal/soak                       a minute, as part of all tests
//	go test ./internal/soak -for 30m -timeout 0   what `make soak` runs
package soak

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluicehq/sluice/internal/pgtest"
)

var (
	duration = flag.Duration("for", time.Minute, "how long the workers work")
	seed     = flag.Uint64("seed", 0, "of what the workers choose to do; 0 takes one from the clock")
	crew     = flag.Int("workers", 10, "how many work at once")
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestSoak(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	dsn := pgtest.Database(t)
	pgtest.Exec(t, dsn, schema)
	t.Setenv("TMPDIR", t.TempDir()) // PostgreSQL has its own by now
	before := takeStock()
	ignore := goleak.IgnoreCurrent()
	h := open(t, dsn)
	began := time.Now()
	workers := h.work(t)
	worked := time.Since(began)
	h.quiet(t)
	quiet := time.Since(began)
	h.close(t)
	t.Logf("work ended after %s, the last session after %s, the gateway after %s", worked, quiet, time.Since(began))
	if t.Failed() {
		return // what is left over then says nothing
	}
	if err := goleak.Find(ignore); err != nil {
		t.Errorf("goroutines are left: %v", err)
	}
	before.compare(t, takeStock())
	h.nobodyUpstream(t)
	leftFiles(t)
	h.checkRecord(t, workers)
}

// work runs the crew for the time, and fails the test with what each did last.
func (h *house) work(t *testing.T) []*worker {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	until := time.Now().Add(*duration)
	stood := standstill(ctx)
	workers := make([]*worker, *crew)
	errs := make([]error, *crew)
	var group sync.WaitGroup
	for i := range workers {
		w := &worker{n: i, house: h, door: h.doors[i%len(h.doors)], rng: rand.New(rand.NewPCG(*seed, uint64(i))), model: map[int]string{}, done: map[string]int{}}
		workers[i] = w
		group.Go(func() {
			if errs[i] = w.run(ctx, until); errs[i] != nil {
				stop() // the rest would only bury what went wrong
			}
		})
	}
	group.Wait()
	if !slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
		h.report(t, workers)
		return workers
	}
	var b strings.Builder
	for i, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			fmt.Fprintf(&b, "worker %d: %v\n", i, err)
		}
	}
	for _, w := range workers {
		fmt.Fprintf(&b, "worker %d did:\n  %s\n", w.n, strings.Join(w.journal, "\n  "))
	}
	stop()
	t.Errorf("seed %d, %d workers, the machine stood still for %s at most:\n%s", *seed, *crew, <-stood, &b)
	return workers
}

// allDone is a time in which chance leaves out nothing, on a slow machine either.
const allDone = 5 * time.Minute

// report says how much was done: a soak that did little proves little.
func (h *house) report(t *testing.T, workers []*worker) {
	t.Helper()
	total, done := 0, map[string]int{}
	for _, w := range workers {
		for name, n := range w.done {
			total += n
			done[name] += n
		}
	}
	for _, name := range names() {
		if done[name] == 0 && *duration >= allDone {
			t.Errorf("nobody ever did %q", name)
		}
	}
	if total < *crew {
		t.Errorf("%d workers did %d things in %s", *crew, total, *duration)
	}
	t.Logf("seed %d: %d things done in %s: %v", *seed, total, *duration, done)
}

// stock is what a process holds.
type stock struct {
	goroutines, files int
	heap              uint64
}

func takeStock() stock {
	runtime.GC()
	runtime.GC() // the first run's finalizers let go of more
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return stock{goroutines: runtime.NumGoroutine(), files: descriptors(), heap: m.HeapAlloc}
}

// descriptors counts open files, where the system tells.
func descriptors() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(list)
}

// maxHeapLeft is what the process may hold more than before: compiled policies and
// caches of the libraries.
const maxHeapLeft = 32 << 20

func (s stock) compare(t *testing.T, now stock) {
	t.Helper()
	if now.goroutines > s.goroutines {
		t.Errorf("%d goroutines, %d before", now.goroutines, s.goroutines)
	}
	if now.files > s.files {
		t.Errorf("%d open files, %d before", now.files, s.files)
	}
	if now.heap > s.heap+maxHeapLeft {
		t.Errorf("%d MiB of heap, %d before", now.heap>>20, s.heap>>20)
	}
	t.Logf("left: %d goroutines (%d before), %d files (%d), %d KiB of heap (%d)", now.goroutines, s.goroutines, now.files, s.files, now.heap>>10, s.heap>>10)
}

// standstill gives, when ctx has ended, the longest time in which nothing at all ran
// here: what then failed for want of patience says nothing.
func standstill(ctx context.Context) <-chan time.Duration {
	told := make(chan time.Duration, 1) // one result, whether or not anyone reads it
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		longest, last := time.Duration(0), time.Now()
		for {
			select {
			case <-tick.C:
				longest, last = max(longest, time.Since(last)), time.Now()
			case <-ctx.Done():
				told <- max(longest, time.Since(last))
				return
			}
		}
	}()
	return told
}

// leftFiles fails the test for each temporary file that nobody removed.
func leftFiles(t *testing.T) {
	t.Helper()
	list, err := os.ReadDir(os.Getenv("TMPDIR"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		t.Errorf("the temporary file %s is left", f.Name())
	}
}
