package index

import (
	"encoding/binary"
	"errors"
)

// The columns of a statement or other event in the index. What is a name or a text
// stands there as a number; see dictionary.go.
const (
	colSeq = iota
	colTime
	colKind
	colActor
	colSession
	colShape
	colEffect
	colRule
	colOutcome
	colRows
	colBytes
	colMasked
	colEnding
	columns
)

// columnNames are the columns in the table event.
var columnNames = [columns]string{"seq", "time", "kind", "actor", "session", "shape", "effect", "rule", "outcome", "rows", "bytes", "masked", "ending"}

// blockEntries is how many entries of the record one block stands for: enough that
// what is looked up per block counts for nothing, few enough to be made anew when a
// statement of it ends late.
const blockEntries = 4096

// page is some events, column by column: questions look at few columns of many events.
type page struct {
	n    int
	cols [columns][]int64
	raw  [columns][]byte // not yet unpacked
}

// reset empties p and keeps its memory.
func (p *page) reset() {
	p.n = 0
	for i := range p.cols {
		p.cols[i], p.raw[i] = p.cols[i][:0], nil
	}
}

// add appends one event.
func (p *page) add(values *[columns]int64) {
	for i, v := range values {
		p.cols[i] = append(p.cols[i], v)
	}
	p.n++
}

// col is one column, unpacked at its first use.
func (p *page) col(i int) []int64 {
	if p.raw[i] != nil {
		p.cols[i] = unpackColumn(p.cols[i][:0], p.raw[i], p.n)
		p.raw[i] = nil
	}
	return p.cols[i]
}

// A packed column is the smallest value (8 bytes), how many bytes each takes above it
// (0, 1, 2, 4 or 8), and these.
const columnHead = 9

// pack puts p into few bytes: the number of events, then each column.
func (p *page) pack() []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(p.n))
	for i := range p.cols {
		b = packColumn(b, p.col(i))
	}
	return b
}

func packColumn(b []byte, values []int64) []byte {
	var least, most int64
	for i, v := range values {
		if i == 0 {
			least, most = v, v
		}
		least, most = min(least, v), max(most, v)
	}
	span := uint64(most) - uint64(least)
	width := 8
	switch {
	case span == 0:
		width = 0
	case span < 1<<8:
		width = 1
	case span < 1<<16:
		width = 2
	case span < 1<<32:
		width = 4
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(least))
	b = append(b, byte(width))
	for _, v := range values {
		d := uint64(v) - uint64(least)
		switch width {
		case 1:
			b = append(b, byte(d))
		case 2:
			b = binary.LittleEndian.AppendUint16(b, uint16(d))
		case 4:
			b = binary.LittleEndian.AppendUint32(b, uint32(d))
		case 8:
			b = binary.LittleEndian.AppendUint64(b, d)
		}
	}
	return b
}

var errBlock = errors.New("a block of the index is damaged")

// unpack makes p what was packed into b, which it keeps. Columns are unpacked when
// they are used.
func (p *page) unpack(b []byte) error {
	p.reset()
	if len(b) < 4 {
		return errBlock
	}
	n := binary.LittleEndian.Uint32(b)
	if n > blockEntries {
		return errBlock
	}
	p.n, b = int(n), b[4:]
	for i := range p.raw {
		if len(b) < columnHead {
			return errBlock
		}
		width := int(b[8])
		if width > 8 || width&(width-1) != 0 || len(b) < columnHead+width*p.n {
			return errBlock
		}
		p.raw[i], b = b[:columnHead+width*p.n:columnHead+width*p.n], b[columnHead+width*p.n:]
	}
	if len(b) != 0 {
		return errBlock
	}
	return nil
}

// unpackColumn appends the n values of a column whose length unpack has checked.
func unpackColumn(dst []int64, b []byte, n int) []int64 {
	least, width := binary.LittleEndian.Uint64(b), b[8]
	b = b[columnHead:]
	switch width {
	case 1:
		for _, d := range b[:n] {
			dst = append(dst, int64(least+uint64(d)))
		}
	case 2:
		for i := range n {
			dst = append(dst, int64(least+uint64(binary.LittleEndian.Uint16(b[2*i:]))))
		}
	case 4:
		for i := range n {
			dst = append(dst, int64(least+uint64(binary.LittleEndian.Uint32(b[4*i:]))))
		}
	case 8:
		for i := range n {
			dst = append(dst, int64(least+binary.LittleEndian.Uint64(b[8*i:])))
		}
	default:
		for range n {
			dst = append(dst, int64(least))
		}
	}
	return dst
}
