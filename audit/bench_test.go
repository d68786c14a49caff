package audit

import (
	"context"
	"testing"
	"time"
)

// typical is an event as most are: about 600 bytes.
func typical() Event {
	return Event{
		Time: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), Kind: Decided, Session: "5f0c9d1e7a",
		Who: "ada@example.com", Subject: "auth0|5f7c8ec7c33c6c004bbafe82", CallerKind: "person", Groups: []string{"support", "staff"},
		From: "10.1.2.3:51234", Connection: "orders", Role: "sluice_ro", Client: "psql",
		SQL:    "select o.id, o.total, c.email from orders o join customers c on c.id = o.customer_id where o.id = $1",
		Params: []string{"812634"}, Fingerprint: "a0f3c2d14be58890", Statement: "select",
		Reads:  []string{"public.orders.id", "public.orders.total", "public.orders.customer_id", "public.customers.email", "public.customers.id"},
		Effect: "allow", Rule: "default",
	}
}

func BenchmarkEncode(b *testing.B) {
	ev := typical()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = appendBounded(buf[:0], ev); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(buf)))
}

func benchmarkAppend(b *testing.B, parallel int, durable bool) {
	l := openLog(b, testConfig(b))
	ev := typical()
	one := func() {
		tk, err := l.Append(ev)
		if err == nil && durable {
			err = tk.Durable(context.Background())
		}
		if err != nil {
			b.Error(err)
		}
	}
	b.ReportAllocs()
	if parallel == 1 {
		for b.Loop() {
			one()
		}
	} else {
		b.SetParallelism(parallel)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				one()
			}
		})
	}
	b.StopTimer()
	closeLog(b, l)
}

// The number of goroutines is that of b.SetParallelism times GOMAXPROCS.
func BenchmarkAppend(b *testing.B)             { benchmarkAppend(b, 1, false) }
func BenchmarkAppendParallel(b *testing.B)     { benchmarkAppend(b, 4, false) }
func BenchmarkAppendDurable(b *testing.B)      { benchmarkAppend(b, 1, true) }
func BenchmarkAppendDurableMany(b *testing.B)  { benchmarkAppend(b, 4, true) }
func BenchmarkAppendDurableCrowd(b *testing.B) { benchmarkAppend(b, 64, true) }

// nowhere is a disk that takes all and keeps nothing of the entries.
type nowhere struct{ realDisk }

func (nowhere) openAppend(path string) (appendFile, error) {
	file, err := realDisk{}.openAppend(path)
	return nothing{file}, err
}

type nothing struct{ appendFile }

func (nothing) Write(p []byte) (int, error) { return len(p), nil }
func (nothing) Sync() error                 { return nil }

// BenchmarkStatement is what the record adds to a statement, its decision and its
// ending: all of it, and without what the operating system and the disk take. No
// build can be without a record, so its share is measured here.
func BenchmarkStatement(b *testing.B) {
	for _, way := range []struct {
		name string
		disk disk
	}{{"disk", realDisk{}}, {"nowhere", nowhere{}}} {
		for _, durability := range []string{Balanced, Strict} {
			b.Run("to="+way.name+"/durability="+durability, func(b *testing.B) {
				cfg := testConfig(b)
				cfg.disk, cfg.Durability = way.disk, durability
				l := openLog(b, cfg)
				decided, finished := typical(), typical()
				finished.Kind, finished.SQL, finished.Reads, finished.Of = Finished, "", nil, "an id of some length"
				b.ReportAllocs()
				for b.Loop() {
					t, err := l.Append(decided)
					if err == nil && durability == Strict {
						err = t.Durable(context.Background())
					}
					if err == nil {
						err = l.Later(finished)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				closeLog(b, l)
			})
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	const n = 100_000
	cfg := testConfig(b)
	cfg.disk = newFaultDisk(0, nil)
	l := openLog(b, cfg)
	for range n {
		if _, err := l.Append(typical()); err != nil {
			b.Fatal(err)
		}
	}
	closeLog(b, l)
	for b.Loop() {
		mustVerify(b, cfg.Dir, "", n)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/event")
}

func BenchmarkOpen(b *testing.B) {
	cfg := testConfig(b)
	cfg.disk = newFaultDisk(0, nil)
	l := openLog(b, cfg)
	appendN(b, l, 0, segmentEntries-1) // the worst: one short of a new segment
	closeLog(b, l)
	for b.Loop() {
		closeLog(b, openLog(b, cfg))
	}
}
