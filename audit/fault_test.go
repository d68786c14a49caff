package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// errPower is what the disk says once the power is gone.
var (
	errPower = errors.New("the power is gone")
	errDead  = fmt.Errorf("too late: %w", errPower)
)

// faultDisk is a disk that breaks at its breakAt-th call. It remembers what has
// been fsynced, so that a test can take the rest away as a power cut does.
type faultDisk struct {
	breakAt int   // 0: never
	err     error // errPower: everything fails from there on; else only that one call

	before map[string]int64 // what was on disk of files that another process left

	mu    sync.Mutex
	calls int
	dead  bool
	files map[string]*faultFile
}

func newFaultDisk(breakAt int, err error) *faultDisk {
	return &faultDisk{breakAt: breakAt, err: err, files: map[string]*faultFile{}}
}

// call counts a call, and gives the error it has to fail with.
func (d *faultDisk) call() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return errDead
	}
	d.calls++
	if d.calls != d.breakAt {
		return nil
	}
	d.dead = errors.Is(d.err, errPower)
	return d.err
}

func (d *faultDisk) broke() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.breakAt > 0 && d.calls >= d.breakAt
}

func (d *faultDisk) mkdir(path string) error {
	if err := d.call(); err != nil {
		return err
	}
	return os.MkdirAll(path, dirMode)
}

func (d *faultDisk) remove(path string) error {
	if err := d.call(); err != nil {
		return err
	}
	return os.Remove(path)
}

// writeFile breaks by leaving half of the new file beside the old one.
func (d *faultDisk) writeFile(path string, data []byte) error {
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".1.tmp")
	if err := d.call(); errors.Is(err, errDead) {
		return err
	} else if err != nil {
		return errors.Join(err, os.WriteFile(tmp, data[:len(data)/2], fileMode))
	}
	if err := os.WriteFile(tmp, data, fileMode); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func (d *faultDisk) openAppend(path string) (appendFile, error) {
	if err := d.call(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	ff := &faultFile{File: f, disk: d, size: size, synced: size}
	if synced, ok := d.before[path]; ok {
		ff.synced = synced
	}
	d.files[path] = ff
	return ff, nil
}

type faultFile struct {
	*os.File
	disk         *faultDisk
	size, synced int64 // under disk.mu
}

// Write breaks in the middle.
func (f *faultFile) Write(p []byte) (int, error) {
	fault := f.disk.call()
	if errors.Is(fault, errDead) {
		return 0, fault
	}
	if fault != nil {
		p = p[:len(p)/2]
	}
	n, err := f.File.Write(p)
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.size += int64(n)
	return n, errors.Join(fault, err)
}

func (f *faultFile) Sync() error {
	f.disk.mu.Lock()
	size := f.size // what is written while the fsync runs is not promised
	f.disk.mu.Unlock()
	if err := f.disk.call(); err != nil {
		return err
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.synced = size
	return nil
}

func (f *faultFile) Truncate(n int64) error {
	if err := f.disk.call(); err != nil {
		return err
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.size, f.synced = n, min(n, f.synced)
	return f.File.Truncate(n)
}

// aftermath is what the disk keeps of what was never fsynced.
type aftermath struct {
	name string
	do   func(path string, synced, size int64) error
}

var aftermaths = []aftermath{
	{"process dies", func(string, int64, int64) error { return nil }},
	{"power cut, nothing unsynced kept", func(p string, synced, _ int64) error { return os.Truncate(p, synced) }},
	{"power cut, half kept", func(p string, synced, size int64) error { return os.Truncate(p, synced+(size-synced)/2) }},
	{"power cut, length kept without content", func(p string, synced, size int64) error {
		return errors.Join(os.Truncate(p, synced), os.Truncate(p, size))
	}},
}

// settle brings the files into the state after the break.
func (d *faultDisk) settle(t *testing.T, a aftermath) {
	t.Helper()
	for path, f := range d.files {
		if f.size > f.synced {
			if err := a.do(path, f.synced, f.size); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// acked is what the log promised during a run.
type acked struct {
	first    int // number of the first event of this run
	appended int // events for which Append returned
	durable  int // events for which Durable returned
}

// work runs a log through everything it does, until it ends or breaks.
func work(cfg Config, first, events int) (acked, error) {
	a := acked{first: first, appended: first, durable: first}
	l, err := Open(cfg)
	if err != nil {
		return a, err
	}
	var firstErr error
	note := func(err error) {
		if firstErr == nil {
			firstErr = err
		}
	}
	for n := first; n < first+events; n++ {
		tk, err := l.Append(numbered(n))
		if err != nil {
			note(err)
			continue // whatever comes after must be refused: checked below
		}
		if firstErr != nil {
			return a, fmt.Errorf("event %d was accepted after %w", n, firstErr)
		}
		a.appended = n + 1
		if n%3 == 1 { // not the last of a segment, whose end has to be on disk without being asked for
			if err := tk.Durable(context.Background()); err != nil {
				note(err)
				continue
			}
			a.durable = n + 1
		}
		if n%7 == 6 {
			if err := l.sealNow(n%2 == 0); err != nil {
				l.fail(err) // as sealLoop does
				note(err)
			}
		}
	}
	if err := l.Close(); err != nil {
		note(err)
	} else {
		a.durable = a.appended
	}
	if firstErr != nil {
		select {
		case <-l.Failed():
		default:
			if l.Err() == nil && a.appended < first+events {
				return a, fmt.Errorf("failed with %w, but Failed is open", firstErr)
			}
		}
	}
	return a, firstErr
}

// checkRecovered opens the log again on a good disk and checks that it kept its
// promises, verifies, and goes on.
func checkRecovered(t *testing.T, cfg Config, promised int) {
	t.Helper()
	cfg.disk = newFaultDisk(0, nil)
	l, err := Open(cfg)
	if err != nil {
		t.Fatalf("open after the crash: %v", err)
	}
	n := int(l.Size())
	if n < promised {
		t.Fatalf("%d events are left, %d were promised", n, promised)
	}
	appendN(t, l, n, n+3)
	closeLog(t, l)
	mustVerify(t, cfg.Dir, l.VerifierKey(), n+3)
	checkNumbers(t, cfg.Dir, n+3)
}

// checkNumbers reads the newest events back: each must stand in its place.
func checkNumbers(t *testing.T, dir string, n int) {
	t.Helper()
	r, err := Query(context.Background(), dir, Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if want := min(n, defaultLimit); len(r.Events) != want {
		t.Errorf("read %d events, want %d", len(r.Events), want)
	}
	for i, ev := range r.Events {
		if want := numbered(n - 1 - i).SQL; ev.SQL != want {
			t.Fatalf("entry %d is %q, want %q", n-1-i, ev.SQL, want)
		}
	}
}

func faultConfig(t *testing.T) Config {
	cfg := testConfig(t)
	cfg.sealEvery = time.Hour // the test seals itself, to do it at the same place each time
	return cfg
}

// TestCrashAtEveryDiskCall breaks a run at each of its disk calls in turn.
func TestCrashAtEveryDiskCall(t *testing.T) {
	for _, after := range aftermaths {
		t.Run(after.name, func(t *testing.T) {
			runs := 0
			for at := 1; ; at++ {
				cfg := faultConfig(t)
				d := newFaultDisk(at, errPower)
				cfg.disk = d
				a, err := work(cfg, 0, 24)
				if !d.broke() {
					if err != nil {
						t.Fatal(err)
					}
					break
				}
				d.settle(t, after)
				promised := a.durable
				if after.name == aftermaths[0].name {
					promised = a.appended
				}
				checkRecovered(t, cfg, promised)
				if t.Failed() {
					t.Fatalf("broken at call %d of the disk", at)
				}
				runs++
			}
			if runs < 60 {
				t.Errorf("only %d crash points: the run does not do what it should", runs)
			}
		})
	}
}

// TestDiskErrorAtEveryCall lets one call fail, as a full disk does, and all
// others work: nothing may be accepted afterwards, and nothing promised be lost.
func TestDiskErrorAtEveryCall(t *testing.T) {
	for _, fault := range []error{syscall.ENOSPC, syscall.EIO} {
		for at := 1; ; at++ {
			cfg := faultConfig(t)
			d := newFaultDisk(at, fault)
			cfg.disk = d
			a, err := work(cfg, 0, 24)
			if !d.broke() {
				break
			}
			if err != nil && !errors.Is(err, fault) {
				t.Fatalf("call %d: the error hides its cause: %v", at, err)
			}
			checkRecovered(t, cfg, a.appended)
			if t.Failed() {
				t.Fatalf("%v at call %d of the disk", fault, at)
			}
		}
	}
}

// TestCrashAtEverySegmentBoundaryCall does the same where one segment ends and
// the next begins.
func TestCrashAtEverySegmentBoundaryCall(t *testing.T) {
	const before = segmentEntries - 5
	full := faultConfig(t)
	full.disk = newFaultDisk(0, nil)
	l := openLog(t, full)
	appendN(t, l, 0, before)
	closeLog(t, l)

	for at := 1; ; at++ {
		cfg := faultConfig(t)
		copyLog(t, full, cfg)
		d := newFaultDisk(at, errPower)
		cfg.disk = d
		a, err := work(cfg, before, 12)
		if !d.broke() {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		after := aftermaths[at%len(aftermaths)]
		d.settle(t, after)
		checkRecovered(t, cfg, a.durable)
		if t.Failed() {
			t.Fatalf("broken at call %d of the disk, %s", at, after.name)
		}
		// 9 MB each: the test would need a gigabyte.
		if err := os.RemoveAll(cfg.Dir); err != nil {
			t.Fatal(err)
		}
	}
}

// copyLog copies a closed log, its key included.
func copyLog(t testing.TB, from, to Config) {
	t.Helper()
	key, err := os.ReadFile(filepath.Clean(from.Dir) + ".key")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Clean(to.Dir)+".key", key, fileMode); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to.Dir, os.DirFS(from.Dir)); err != nil {
		t.Fatal(err)
	}
}

// TestPowerCutAfterRestart: a process dies and leaves entries with the operating
// system, the next one signs for them, then the power goes. What was signed must
// be there, although nobody wrote after the restart.
func TestPowerCutAfterRestart(t *testing.T) {
	cfg := faultConfig(t)
	first := newFaultDisk(0, nil)
	cfg.disk = first
	l := openLog(t, cfg)
	l.smu.Lock() // no fsync
	appendN(t, l, 0, 5)
	first.mu.Lock()
	first.dead = true
	first.mu.Unlock()
	l.smu.Unlock()
	if err := l.Close(); !errors.Is(err, errPower) {
		t.Fatalf("Close: %v", err)
	}
	second := newFaultDisk(0, nil)
	second.before = map[string]int64{segmentOf(cfg): first.files[segmentOf(cfg)].synced}
	cfg.disk = second
	l = openLog(t, cfg)
	second.mu.Lock()
	second.dead = true
	second.mu.Unlock()
	if err := l.Close(); err != nil {
		t.Fatal(err) // there is nothing to write
	}
	second.settle(t, aftermaths[1])
	checkRecovered(t, cfg, 5)
}

// TestDiskFullStopsTheRecord is the same seen from a caller.
func TestDiskFullStopsTheRecord(t *testing.T) {
	cfg := faultConfig(t)
	d := newFaultDisk(0, nil)
	cfg.disk = d
	l := openLog(t, cfg)
	appendN(t, l, 0, 5)
	d.mu.Lock()
	d.breakAt, d.err = d.calls+1, syscall.ENOSPC
	d.mu.Unlock()
	_, err := l.Append(numbered(5))
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Append on a full disk: %v", err)
	}
	<-l.Failed()
	if _, err := l.Append(numbered(5)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Append after the disk was full: %v", err)
	}
	if err := l.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Close after the disk was full: %v", err)
	}
	checkRecovered(t, cfg, 5)
}

// TestFailedFsyncIsNeverRetried: the next fsync would succeed and lie.
func TestFailedFsyncIsNeverRetried(t *testing.T) {
	cfg := faultConfig(t)
	d := newFaultDisk(0, nil)
	cfg.disk = d
	l := openLog(t, cfg)
	tk, err := l.Append(numbered(0))
	if err != nil {
		t.Fatal(err)
	}
	if err := tk.Durable(context.Background()); err != nil {
		t.Fatal(err)
	}
	late, err := func() (Ticket, error) {
		l.smu.Lock() // no fsync in between
		defer l.smu.Unlock()
		late, err := l.Append(numbered(1))
		d.mu.Lock()
		defer d.mu.Unlock()
		d.breakAt, d.err = d.calls+1, syscall.EIO
		return late, err
	}()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := late.Durable(context.Background()); !errors.Is(err, syscall.EIO) {
			t.Errorf("Durable after a failed fsync: %v", err)
		}
	}
	if err := tk.Durable(context.Background()); err != nil {
		t.Errorf("what was on disk before is no longer: %v", err)
	}
	if err := l.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("Close: %v", err)
	}
}

func TestDurableEndsWithItsContext(t *testing.T) {
	cfg := faultConfig(t)
	l := openLog(t, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	l.smu.Lock()
	tk, err := l.Append(numbered(0))
	if err != nil {
		t.Fatal(err)
	}
	if err := tk.Durable(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Durable: %v", err)
	}
	l.smu.Unlock()
	closeLog(t, l)
	if err := (Ticket{}).Durable(context.Background()); err == nil {
		t.Error("a ticket of no event is durable")
	}
}
