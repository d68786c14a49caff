//go:build unix

package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/audit/index"
)

// pgbench writes the record of eight sessions that send one prepared statement, as
// pgbench -S does.
type pgbench struct {
	b    testing.TB
	log  *audit.Log
	sent int
	ids  [8]string // of what each session sent last
}

func newPgbench(b testing.TB, dir string) *pgbench {
	b.Helper()
	l, err := audit.Open(audit.Config{Dir: dir, Origin: "sluice/bench"})
	if err != nil {
		b.Fatal(err)
	}
	return &pgbench{b: b, log: l}
}

// send records statements, and how the one before them in their session ended.
func (w *pgbench) send(n int) {
	w.b.Helper()
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for ; n > 0; n-- {
		s := w.sent % len(w.ids)
		who := audit.Event{
			Time: at.Add(time.Duration(w.sent) * 50 * time.Microsecond), Session: fmt.Sprintf("5f0c9d1e%02x", s), Who: "ada@example.com", Subject: "auth0|5f7c8ec7c33c6c004bbafe82",
			CallerKind: "person", Groups: []string{"staff", "support"}, From: "10.1.2.3:51234", Connection: "bench", Role: "sluice_rw", Client: "pgbench",
		}
		if w.ids[s] != "" {
			end := who
			end.Kind, end.Of, end.Statement, end.Outcome, end.Rows, end.Bytes, end.DurationUS = audit.Finished, w.ids[s], "select", "ok", 1, 12, int64(100+w.sent%97)
			if err := w.log.Later(end); err != nil {
				w.b.Fatal(err)
			}
		}
		ev := who
		ev.Kind, ev.SQL, ev.Params = audit.Decided, "SELECT abalance FROM pgbench_accounts WHERE aid = $1;", []string{fmt.Sprint(w.sent * 7919 % 100_000)}
		ev.Fingerprint, ev.Statement, ev.Effect, ev.Rule = "a0f3c2d14be58890", "select", "allow", "default"
		ev.Reads = []string{"public.pgbench_accounts.abalance", "public.pgbench_accounts.aid"}
		ev.Flows = []string{"- steers public.pgbench_accounts.aid"}
		t, err := w.log.Append(ev)
		if err != nil {
			w.b.Fatal(err)
		}
		w.ids[s] = t.ID
		w.sent++
	}
}

// growing is a record that is written by the turn, by nobody who takes time from those
// who follow it.
type growing struct {
	dir   string
	lines [][]byte // still to come
	next  int      // entry
}

func newGrowing(b *testing.B, statements int) *growing {
	b.Helper()
	whole := filepath.Join(b.TempDir(), "whole")
	w := newPgbench(b, whole)
	w.send(statements)
	if err := w.log.Close(); err != nil {
		b.Fatal(err)
	}
	g := &growing{dir: filepath.Join(b.TempDir(), "record")}
	err := os.MkdirAll(filepath.Join(g.dir, "entries"), 0o700)
	key, err2 := os.ReadFile(filepath.Join(whole, "log.vkey"))
	if err := errors.Join(err, err2, os.WriteFile(filepath.Join(g.dir, "log.vkey"), key, 0o600)); err != nil {
		b.Fatal(err)
	}
	if _, err := audit.Forward(b.Context(), whole, audit.Place{}, func(_ audit.Place, line []byte) error {
		g.lines = append(g.lines, append(bytes.Clone(line), '\n'))
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	return g
}

// grow writes entries, and says whether there are more.
func (g *growing) grow(b *testing.B, n int) bool {
	b.Helper()
	for ; n > 0 && len(g.lines) > 0; n-- {
		const segment = 1 << 16
		f, err := os.OpenFile(filepath.Join(g.dir, "entries", fmt.Sprintf("%020d.jsonl", g.next/segment*segment)), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			b.Fatal(err)
		}
		some := min(n, len(g.lines), segment-g.next%segment)
		_, err = f.Write(bytes.Join(g.lines[:some], nil))
		if err := errors.Join(err, f.Close()); err != nil {
			b.Fatal(err)
		}
		g.lines, g.next, n = g.lines[some:], g.next+some, n-some+1
	}
	return len(g.lines) > 0
}

// BenchmarkFollow takes in a record of point queries, two entries each, while it grows, as
// the index and the lineage of a busy gateway do: each by itself, both apart, and both by
// one Tail. An operation is a statement; CPU-ns/entry is what the process used.
func BenchmarkFollow(b *testing.B) {
	const turn = 5000 // entries between two looks
	for _, c := range []struct {
		name           string
		index, lineage bool
		tail           bool
	}{{"index", true, false, false}, {"lineage", false, true, false}, {"apart", true, true, false}, {"shared", true, true, true}} {
		b.Run(c.name, func(b *testing.B) {
			b.StopTimer()
			g := newGrowing(b, b.N)
			var tail *audit.Tail
			if c.tail {
				tail = audit.NewTail(g.dir)
			}
			x, s := index.New(index.Config{Record: g.dir, Tail: tail}), New(Config{Record: g.dir, Tail: tail})
			runtime.GC()
			var used time.Duration
			for more := true; more; {
				more = g.grow(b, turn)
				before := cpuTime(b)
				b.StartTimer()
				if c.index {
					if err := x.CatchUp(context.Background()); err != nil {
						b.Fatal(err)
					}
				}
				if c.lineage {
					if err := s.CatchUp(context.Background()); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				used += cpuTime(b) - before
			}
			b.ReportMetric(float64(used)/float64(g.next), "CPU-ns/entry")
			if err := errors.Join(s.Close(), x.Close()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
