package gateway_test

import (
	"context"
	"testing"
)

// BenchmarkSession compares statements through the gateway with the same ones
// directly: the ratio of the two is what a caller pays.
func BenchmarkSession(b *testing.B) {
	th := start(b, "dev", shop, nil)
	for _, bench := range []struct{ name, sql string }{
		{"select1", "select 1"},
		{"1k_rows", "select i, 'a text' from generate_series(1, 1000) i"},
		{"masked", "select id, email from people"},
		{"bulk", "select repeat('x', 100) from generate_series(1, 100000)"},
	} {
		for _, way := range []struct{ name, dsn string }{{"direct", th.direct}, {"through", th.as(person("ada"))}} {
			b.Run(bench.name+"/"+way.name, func(b *testing.B) {
				conn := connect(b, way.dsn)
				for b.Loop() {
					rows, err := conn.Query(context.Background(), bench.sql)
					if err != nil {
						b.Fatal(err)
					}
					for rows.Next() {
					}
					if err := rows.Err(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
