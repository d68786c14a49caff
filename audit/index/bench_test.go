package index

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/sluicehq/sluice/audit/town"
)

// BenchmarkGrow takes in a record of a town's day; an operation is an entry.
func BenchmarkGrow(b *testing.B) {
	dir := town.Build(b, filepath.Join(b.TempDir(), "record"), b.N)
	x := New(Config{Record: dir})
	b.ReportAllocs()
	b.ResetTimer()
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, err := x.grow(context.Background(), 0); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	if err := x.db.Close(); err != nil {
		b.Fatal(err)
	}
}
