package audit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFilters(t *testing.T) {
	cfg := testConfig(t)
	l := openLog(t, cfg)
	day := func(n int) time.Time { return time.Date(2026, 1, 1+n, 12, 0, 0, 0, time.UTC) }
	var ids []string
	for n, ev := range []Event{
		{Kind: LoggedIn, Who: "ada@example.com", Subject: "sub-1"},
		{Kind: Decided, Who: "ada@example.com", Connection: "orders", Session: "s1", SQL: "SELECT ssn FROM Customers", Reads: []string{"public.customers.ssn"}, Effect: "allow"},
		{Kind: Finished, Who: "ada@example.com", Connection: "orders", Session: "s1", Outcome: "ok", Rows: 3},
		{Kind: Decided, Who: "bot", Owner: "ada@example.com", Connection: "crm", Session: "s2", SQL: "delete from customers2", Writes: []string{"public.customers2"}, Effect: "deny", Reason: "No Deletes"},
		{Kind: Decided, Who: "bob@example.com", Connection: "orders", SQL: "select $1", Params: []string{"O'Brien \"x\""}, Effect: "hold"},
	} {
		ev.Time = day(n)
		if n == 2 {
			ev.Of = ids[1]
		}
		tk, err := l.Append(ev)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, tk.ID)
	}
	for _, c := range []struct {
		name string
		f    Filter
		want []uint64
	}{
		{"all", Filter{}, []uint64{4, 3, 2, 1, 0}},
		{"name or owner", Filter{Who: "ada@example.com"}, []uint64{3, 2, 1, 0}},
		{"stable identity", Filter{Who: "sub-1"}, []uint64{0}},
		{"not a part of a name", Filter{Who: "ada"}, nil},
		{"connection", Filter{Connection: "orders"}, []uint64{4, 2, 1}},
		{"session", Filter{Session: "s1"}, []uint64{2, 1}},
		{"kind", Filter{Kind: Decided}, []uint64{4, 3, 1}},
		{"column", Filter{Touches: "customers.ssn"}, []uint64{1}},
		{"relation", Filter{Touches: "public.customers"}, []uint64{1}},
		{"bare relation", Filter{Touches: "customers2"}, []uint64{3}},
		{"not a part of a relation", Filter{Touches: "customer"}, nil},
		{"text in any case", Filter{Text: "CUSTOMERS"}, []uint64{3, 1}},
		{"text in a parameter", Filter{Text: `o'brien "X`}, []uint64{4}},
		{"text in the reason", Filter{Text: "no deletes"}, []uint64{3}},
		{"effect", Filter{Effect: "deny"}, []uint64{3}},
		{"outcome", Filter{Outcome: "ok"}, []uint64{2}},
		{"of", Filter{Of: ids[1]}, []uint64{2}},
		{"id", Filter{ID: ids[3]}, []uint64{3}},
		{"since", Filter{Since: day(3)}, []uint64{4, 3}},
		{"until", Filter{Until: day(1)}, []uint64{0}},
		{"between", Filter{Since: day(1), Until: day(3)}, []uint64{2, 1}},
		{"before", Filter{Before: 2}, []uint64{1, 0}},
		{"two at once", Filter{Kind: Decided, Connection: "orders"}, []uint64{4, 1}},
		{"two that contradict", Filter{Kind: LoggedIn, Connection: "orders"}, nil},
	} {
		r, err := l.Query(context.Background(), c.f)
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for _, ev := range r.Events {
			got = append(got, ev.Seq)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
		c.f.Oldest = true
		if r, err = l.Query(context.Background(), c.f); err != nil {
			t.Fatal(err)
		}
		got = nil
		for _, ev := range r.Events {
			got = append(got, ev.Seq)
		}
		slices.Reverse(got)
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s, the oldest first (-want +got):\n%s", c.name, d)
		}
	}
	if r, err := l.Query(context.Background(), Filter{Oldest: true, From: 99}); err != nil || len(r.Events) > 0 || r.Next != 0 {
		t.Errorf("beyond the end are %v, %v", r, err)
	}
	closeLog(t, l)
}

// A log of which entries are gone is not answered as if it ended there.
func TestOldestFirstOfALogCutShort(t *testing.T) {
	cfg := testConfig(t)
	l := openLog(t, cfg)
	appendN(t, l, 0, 10)
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	path := segmentPath(cfg.Dir, 0)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	half := whole[:bytes.IndexByte(whole[len(whole)/2:], '\n')+len(whole)/2+1]
	if err := os.WriteFile(path, half, 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := l.Query(context.Background(), Filter{Oldest: true}); err == nil {
		t.Errorf("it was answered with %d entries", len(r.Events))
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
}

func TestPagesCoverEachEventOnce(t *testing.T) {
	cfg := testConfig(t)
	cfg.disk = newFaultDisk(0, nil)
	l := openLog(t, cfg)
	const n = segmentEntries + 100 // over two segments
	appendN(t, l, 0, n)
	closeLog(t, l)
	mustVerify(t, cfg.Dir, "", n)
	closeLog(t, openLog(t, cfg)) // recovers over two segments
	from := uint64(0)
	for want := uint64(0); want < n; {
		r, err := Query(context.Background(), cfg.Dir, Filter{Oldest: true, From: from, Limit: 9999})
		if err != nil || len(r.Events) == 0 {
			t.Fatalf("%d events from %d on, %v", len(r.Events), from, err)
		}
		for _, ev := range r.Events {
			if ev.Seq != want {
				t.Fatalf("got entry %d, want %d, the oldest first", ev.Seq, want)
			}
			want++
		}
		if from = r.Next; (from == 0) != (want == n) {
			t.Fatalf("after entry %d of %d comes %d", want-1, n, from)
		}
	}
	next, want := uint64(0), n-1
	for pages := 0; ; pages++ {
		r, err := Query(context.Background(), cfg.Dir, Filter{Before: next, Limit: 9999})
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range r.Events {
			if ev.Seq != uint64(want) {
				t.Fatalf("got entry %d, want %d", ev.Seq, want)
			}
			want--
		}
		if next = r.Next; next == 0 {
			break
		}
	}
	if want != -1 {
		t.Errorf("the pages end before entry %d", want)
	}
}

func TestQueryErrors(t *testing.T) {
	if _, err := Query(context.Background(), filepath.Join(t.TempDir(), "none"), Filter{}); err == nil {
		t.Error("a record that is not there was read")
	}
	cfg := testConfig(t)
	l := openLog(t, cfg)
	appendN(t, l, 0, 3)
	closeLog(t, l)
	if _, err := Query(context.Background(), cfg.Dir, Filter{Limit: -1}); err == nil {
		t.Error("a negative limit was accepted")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Query(ctx, cfg.Dir, Filter{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Verify(ctx, cfg.Dir, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	b := readFile(t, segmentOf(cfg))
	writeFile(t, segmentOf(cfg), bytes.Replace(b, []byte(`{"seq":1`), []byte(`x`), 1))
	if _, err := Query(context.Background(), cfg.Dir, Filter{}); err == nil || !strings.Contains(err.Error(), "audit verify") {
		t.Errorf("a damaged line: %v", err)
	}
}

// TestBackReaderAtEveryLength moves the line breaks over the edge of a chunk.
func TestBackReaderAtEveryLength(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for shift := -2; shift <= 2; shift++ {
		for _, torn := range []string{"", "torn", strings.Repeat("z", backChunk)} {
			long := strings.Repeat("y", backChunk+shift)
			lines := []string{"first", "", long, "b", long, "", ""}
			writeFile(t, path, []byte(strings.Join(lines, "\n")+"\n"+torn))
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			r, err := newBackReader(f)
			if err != nil {
				t.Fatal(err)
			}
			for i := len(lines) - 1; i >= 0; i-- {
				got, err := r.previous()
				if len(lines[i]) > maxEventBytes && errors.Is(err, errLine) {
					break
				}
				if err != nil || string(got) != lines[i] {
					t.Fatalf("shift %d: line %d: %d bytes, want %d, %v", shift, i, len(got), len(lines[i]), err)
				}
				if i == 0 {
					if _, err := r.previous(); !errors.Is(err, io.EOF) {
						t.Errorf("before the first line: %v", err)
					}
				}
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestStrictSyncsByItself(t *testing.T) {
	for _, durability := range []string{Balanced, Strict} {
		cfg := testConfig(t)
		cfg.Durability = durability
		l := openLog(t, cfg)
		if l.Strict() != (durability == Strict) {
			t.Errorf("%s: Strict is %v", durability, l.Strict())
		}
		appendN(t, l, 0, 1)
		for {
			l.mu.Lock()
			synced, round := l.synced, l.round
			l.mu.Unlock()
			if synced == 1 {
				break
			}
			<-round // nobody asked: it comes by itself, or the test times out
		}
		closeLog(t, l)
	}
}

func BenchmarkQueryMiss(b *testing.B) {
	cfg := testConfig(b)
	cfg.disk = newFaultDisk(0, nil)
	l := openLog(b, cfg)
	appendN(b, l, 0, 50_000)
	for b.Loop() {
		if _, err := l.Query(context.Background(), Filter{Who: "nobody"}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/50_000, "ns/event")
	closeLog(b, l)
}

// Scan gives what Query gives, all of it, and ends with the error of whom it gives to.
func TestScanGivesEverythingOnce(t *testing.T) {
	cfg := testConfig(t)
	l := openLog(t, cfg)
	const n = maxLimit + 20
	for i := range n {
		if _, err := l.Append(Event{Kind: Decided, Time: time.Unix(int64(i), 0), Connection: []string{"a", "b"}[i%2]}); err != nil {
			t.Fatal(err)
		}
	}
	want := uint64(n)
	err := Scan(t.Context(), cfg.Dir, Filter{Connection: "b", Limit: 3}, func(ev Event) error {
		if want--; want%2 == 0 {
			want--
		}
		if ev.Seq != want || ev.Connection != "b" {
			t.Fatalf("entry %d of %s, want %d", ev.Seq, ev.Connection, want)
		}
		return nil
	})
	if err != nil || want != 1 {
		t.Errorf("ended at %d with %v", want, err)
	}
	enough, given := errors.New("enough"), 0
	err = Scan(t.Context(), cfg.Dir, Filter{}, func(Event) error {
		if given++; given == 5 {
			return enough
		}
		return nil
	})
	if err != enough || given != 5 {
		t.Errorf("%d given, %v", given, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Scan(ctx, cfg.Dir, Filter{}, func(Event) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
