package audit

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"
)

// waiting is a log that writes nothing unless it is told to.
func waiting(t testing.TB) Config {
	cfg := testConfig(t)
	cfg.syncDelay = time.Hour
	return cfg
}

func later(t testing.TB, l *Log, n int) {
	t.Helper()
	if err := l.Later(numbered(n)); err != nil {
		t.Fatal(err)
	}
}

// What may come later keeps its place, and is with the operating system when what
// comes after it is.
func TestLaterIsWrittenWithTheNext(t *testing.T) {
	cfg := waiting(t)
	l := openLog(t, cfg)
	later(t, l, 0)
	if n := l.Size(); n != 0 {
		t.Fatalf("%d events were written before one that somebody waits for", n)
	}
	appendN(t, l, 1, 2)
	if n := l.Size(); n != 2 {
		t.Fatalf("%d events are written, not 2", n)
	}
	later(t, l, 2)
	closeLog(t, l)
	mustVerify(t, cfg.Dir, "", 3)
	res, err := Query(context.Background(), cfg.Dir, Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for i, ev := range res.Events {
		if ev.SQL != numbered(2-i).SQL {
			t.Errorf("place %d has %q", 2-i, ev.SQL)
		}
	}
}

// With nothing after it, it is on disk in the time that all have.
func TestLaterIsOnDiskByItself(t *testing.T) {
	l := openLog(t, testConfig(t))
	defer closeLog(t, l)
	later(t, l, 0)
	tooLong := time.After(10 * time.Second)
	for synced := uint64(0); synced == 0; runtime.Gosched() {
		select {
		case <-tooLong:
			t.Fatal("it is not on disk")
		default:
		}
		l.mu.Lock()
		synced = l.synced
		l.mu.Unlock()
	}
}

func TestLaterIsSeenByWhoAsks(t *testing.T) {
	l := openLog(t, waiting(t))
	defer closeLog(t, l)
	later(t, l, 0)
	if res, err := l.Query(context.Background(), Filter{}); err != nil || len(res.Events) != 1 {
		t.Errorf("%d events, %v", len(res.Events), err)
	}
}

func TestLaterIsAtOnceWhereDurabilityIsStrict(t *testing.T) {
	cfg := waiting(t)
	cfg.Durability = Strict
	l := openLog(t, cfg)
	defer closeLog(t, l)
	later(t, l, 0)
	if n := l.Size(); n != 1 {
		t.Error("it waits for the next event")
	}
}

// What waits does not grow without end.
func TestLaterIsBounded(t *testing.T) {
	l := openLog(t, waiting(t))
	defer closeLog(t, l)
	for n := range 2 * maxGathered / 100 {
		later(t, l, n)
		l.mu.Lock()
		waits := len(l.gather.buf)
		l.mu.Unlock()
		if waits >= maxGathered {
			t.Fatalf("%d bytes wait", waits)
		}
	}
	if l.Size() == 0 {
		t.Error("nothing was written")
	}
}

// When it turns out that the disk does not take what came later, nothing more is
// accepted: a session whose ending was lost runs nothing else.
func TestLaterOnAFullDiskEndsTheRecord(t *testing.T) {
	cfg := waiting(t)
	disk := newFaultDisk(0, errors.New("no space left on device"))
	cfg.disk = disk
	l := openLog(t, cfg)
	later(t, l, 0)
	disk.mu.Lock()
	disk.breakAt = disk.calls + 1
	disk.mu.Unlock()
	if _, err := l.Append(numbered(1)); err == nil {
		t.Error("an event is accepted that was not written")
	}
	if err := l.Later(numbered(2)); err == nil {
		t.Error("after that, another one is accepted")
	}
	select {
	case <-l.Failed():
	default:
		t.Error("nobody is told")
	}
	if err := l.Close(); err == nil {
		t.Error("it closed as if all were well")
	}
}
