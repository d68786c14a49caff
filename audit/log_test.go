package audit

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// testConfig is a log in a directory of its own, with a clock that stands still.
func testConfig(t testing.TB) Config {
	t.Helper()
	return Config{
		Dir:    filepath.Join(t.TempDir(), "record"),
		Origin: "sluice/test",
		Now:    func() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 8000, time.UTC) },
		Log:    slog.New(slog.DiscardHandler),
	}
}

func openLog(t testing.TB, cfg Config) *Log {
	t.Helper()
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func closeLog(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// numbered is the event that stands for number n in tests.
func numbered(n int) Event {
	return Event{
		Kind: Decided, Who: fmt.Sprintf("user%d@example.com", n%3), Connection: "orders", Session: fmt.Sprint("s", n/10),
		SQL: fmt.Sprintf("select email from users where id = %d", n), Params: []string{"NULL", fmt.Sprint(n)},
		Reads: []string{"public.users.email", "public.users.id"}, Effect: "allow", Rule: "default",
	}
}

func appendN(t testing.TB, l *Log, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		tk, err := l.Append(numbered(n))
		if err != nil {
			t.Fatal(err)
		}
		if tk.Seq != uint64(n) {
			t.Fatalf("event %d got Seq %d", n, tk.Seq)
		}
	}
}

// mustVerify fails the test unless the log is whole and has n entries.
func mustVerify(t testing.TB, dir, key string, n int) Report {
	t.Helper()
	r, err := Verify(context.Background(), dir, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Problems {
		t.Errorf("problem: %v", p)
	}
	if r.Entries != uint64(n) {
		t.Errorf("verified %d entries, want %d", r.Entries, n)
	}
	return r
}

func TestAppendQueryVerify(t *testing.T) {
	cfg := testConfig(t)
	l := openLog(t, cfg)
	ctx := context.Background()
	tk, err := l.Append(numbered(0))
	if err != nil {
		t.Fatal(err)
	}
	if err := tk.Durable(ctx); err != nil {
		t.Fatal(err)
	}
	appendN(t, l, 1, 10)
	r, err := l.Query(ctx, Filter{Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	want := numbered(9)
	want.Seq, want.ID, want.Time = 9, strings.TrimSuffix(tk.ID, "0")+"9", cfg.Now()
	if len(r.Events) != 2 || r.Next != 8 {
		t.Fatalf("got %d events, next %d", len(r.Events), r.Next)
	}
	if d := cmp.Diff(want, r.Events[0]); d != "" {
		t.Errorf("newest event (-want +got):\n%s", d)
	}
	mustVerify(t, cfg.Dir, l.VerifierKey(), 10) // while it is open
	key := l.VerifierKey()
	closeLog(t, l)
	rep := mustVerify(t, cfg.Dir, "", 10)
	if !rep.SelfSigned || rep.Sealed != 10 || rep.Origin != "sluice/test" {
		t.Errorf("report: %+v", rep)
	}

	l = openLog(t, cfg)
	if l.VerifierKey() != key {
		t.Error("the key changed")
	}
	appendN(t, l, 10, 700)
	closeLog(t, l)
	if rep := mustVerify(t, cfg.Dir, key, 700); rep.SelfSigned || rep.Sealed != 700 {
		t.Errorf("report: %+v", rep)
	}
	if _, err := l.Append(numbered(0)); err == nil {
		t.Error("appended to a closed log")
	}
}

func TestConcurrentAppends(t *testing.T) {
	cfg := testConfig(t)
	l := openLog(t, cfg)
	const writers, each = 16, 100
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				ev := numbered(i)
				ev.Session = fmt.Sprint("w", w)
				tk, err := l.Append(ev)
				if err != nil {
					t.Error(err)
					return
				}
				if i%10 == 0 {
					if err := tk.Durable(context.Background()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	closeLog(t, l)
	mustVerify(t, cfg.Dir, "", writers*each)
	for w := range writers {
		r, err := Query(context.Background(), cfg.Dir, Filter{Session: fmt.Sprint("w", w)})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Events) != each {
			t.Errorf("writer %d: %d events", w, len(r.Events))
		}
		for i, ev := range r.Events { // newest first: each writer's own order is kept
			if want := numbered(each - 1 - i).SQL; ev.SQL != want {
				t.Fatalf("writer %d: event %d is %q, want %q", w, i, ev.SQL, want)
			}
		}
	}
}

func TestSecondOpenerIsTurnedAway(t *testing.T) {
	cfg := testConfig(t)
	l := openLog(t, cfg)
	if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "already open") {
		t.Errorf("second Open: %v", err)
	}
	closeLog(t, l)
	closeLog(t, openLog(t, cfg))
}
