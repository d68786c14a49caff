package index

import (
	"bytes"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func somePage(n int) *page {
	p := &page{}
	for i := range n {
		p.add(&[columns]int64{int64(i), math.MaxInt64 - int64(i), int64(i % 7), int64(i * 1000), -1, 0, 1, int64(i) << 40, math.MinInt64 * int64(i%2), int64(i), 5, 6, -int64(i)})
	}
	return p
}

func TestPackedColumnsComeBack(t *testing.T) {
	for _, n := range []int{0, 1, 2, 300, blockEntries} {
		p, got := somePage(n), &page{}
		if err := got.unpack(p.pack()); err != nil {
			t.Fatal(err)
		}
		for i := range columns {
			if len(p.col(i)) != n || !cmp.Equal(p.col(i), got.col(i)) && n > 0 {
				t.Errorf("%d events: column %d differs", n, i)
			}
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(somePage(3).pack())
	f.Add(somePage(0).pack())
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &page{}
		if p.unpack(b) != nil {
			return
		}
		for i := range columns {
			if len(p.col(i)) != p.n {
				t.Fatalf("column %d has %d values of %d", i, len(p.col(i)), p.n)
			}
		}
		again := &page{}
		if err := again.unpack(p.pack()); err != nil || !bytes.Equal(p.pack(), again.pack()) {
			t.Fatalf("packed again it is another: %v", err)
		}
	})
}
