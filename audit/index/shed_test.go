package index

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/audit/town"
)

// What was removed from the record is in no answer, and no longer in the index's file; an
// index that had not read it yet goes on behind it.
func TestTheIndexShedsWhatWasRemoved(t *testing.T) {
	const segment, n = 65536, 65536 + 5000
	record := town.Build(t, t.TempDir(), n)
	x := open(t, Config{Record: record})
	if err := x.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, err := audit.Open(audit.Config{Dir: record, Origin: "sluice/town", Now: func() time.Time { return time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, pack := range []time.Duration{time.Hour, 0} {
		keep := time.Duration(0)
		if pack == 0 {
			keep = time.Hour
		}
		if _, err := l.Tidy(t.Context(), audit.Tidying{Pack: pack, Keep: keep, Needed: segment + 1}); err != nil {
			t.Fatal(err)
		}
		late := open(t, Config{Record: record, Path: t.TempDir() + "/late"})
		w := town.New(n)
		for range n {
			w.Event(func(int) string { return "" })
		}
		all := questions(w)
		for _, name := range []string{"everything", "who", "column", "a value", "rows", "personal", "since", "until"} {
			f := all[name]
			f.Limit = 40
			got, err := x.List(t.Context(), f)
			if err != nil || got.Scanned != "" {
				t.Fatalf("%s: %v, the record was read: %q", name, err, got.Scanned)
			}
			f.Whole = true
			want, err := audit.Query(t.Context(), record, f)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want.Events, got.Events); d != "" {
				t.Errorf("%s (-record +index):\n%.2000s", name, d)
			}
		}
		for _, one := range []*Index{x, late} {
			got, err := one.Count(t.Context(), audit.Filter{}, Count{By: []string{"effect"}})
			if err != nil || got.Scanned != "" {
				t.Fatal(err, got.Scanned)
			}
			want, err := CountRecord(t.Context(), record, audit.Filter{}, Count{By: []string{"effect"}})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want.Groups, got.Groups); d != "" {
				t.Errorf("counts (-record +index):\n%s", d)
			}
		}
	}
	for _, table := range []string{"event WHERE seq", "place WHERE id*32", "block WHERE id*4096", "word WHERE (rowid>>36)*64"} {
		var left int
		if err := x.db.QueryRow("SELECT count(*) FROM "+table+" < ?", segment).Scan(&left); err != nil || left != 0 {
			t.Errorf("%s: %d are left, %v", table, left, err)
		}
	}
}
