package mask_test

import (
	"testing"

	"github.com/sluicehq/sluice/internal/specimen"
)

// BenchmarkClassify judges a catalogue; ns/op divided by its columns is what one costs.
func BenchmarkClassify(b *testing.B) {
	for _, v := range variants[:3] {
		columns := v.narrow(specimen.Tuning.Catalogue(1))
		b.Run(v.name, func(b *testing.B) {
			for b.Loop() {
				for _, c := range columns {
					classify(c)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N)*1000/float64(len(columns)), "ms/1000columns")
		})
	}
}
