package mask_test

import (
	"fmt"
	"testing"

	"github.com/sluicehq/sluice/mask"
)

func BenchmarkScan(b *testing.B) {
	for name, v := range map[string]string{
		"words32":  "shipped from the warehouse today",
		"digits32": "order 12345 of 2024-01-05, qty 3",
		"email":    "ask jane.roe@acme.com for a copy",
		"prose300": "The customer asked whether the order of last week could be sent to another place, because nobody is at home before six in the evening. We told them that the carrier offers a pickup point two streets away, open until nine, and that changing it costs nothing until the parcel leaves our warehouse tonight.",
	} {
		b.Run(name, func(b *testing.B) {
			room := make([]mask.Span, 0, 8)
			v := []byte(v)
			b.SetBytes(int64(len(v)))
			b.ReportAllocs()
			for b.Loop() {
				mask.Scan(room, v, textOID, false)
			}
		})
	}
}

func BenchmarkApply(b *testing.B) {
	cols := make([]mask.Column, 10)
	row := make([][]byte, 10)
	for i := range cols {
		cols[i] = mask.Column{State: mask.Clean, TypeOID: 25}
		row[i] = []byte(fmt.Sprintf("a clean value of column %d, as is", i))
	}
	cols[2] = mask.Column{State: mask.PII, Type: mask.Email, TypeOID: 25}
	cols[7] = mask.Column{State: mask.PII, Type: mask.Phone, TypeOID: 25}
	row[2], row[7] = []byte("jane.roe@acme.com"), []byte("+49 30 901820")
	p := mask.NewPlan(cols)
	in := make([][]byte, 10)
	b.ReportAllocs()
	for b.Loop() {
		copy(in, row)
		p.Apply(in)
	}
}

func BenchmarkCopy(b *testing.B) {
	line := []byte("1\tjane.roe@acme.com\tshipped from the warehouse today\n")
	c := mask.NewCopy(copyColumns, mask.CopyFormat{})
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	var out []byte
	for b.Loop() {
		out, _ = c.Write(out[:0], line)
	}
}
