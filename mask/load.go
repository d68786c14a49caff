package mask

import "bytes"

// What is kept of the data of a COPY to judge columns by: enough to tell what one holds.
const (
	loadSamples = 300
	loadBytes   = 2048 // of a value
	loadEvery   = 64   // after the first loadSamples rows, one in so many
)

// Load reads COPY data on its way to a database, and changes nothing. It belongs to one
// stream.
type Load struct {
	copy    *Copy
	out     []byte
	rows    int
	samples [][]string
	masked  bool
	lost    bool
}

// NewLoad reads data of so many columns.
func NewLoad(columns int, format CopyFormat) *Load {
	cols := make([]Column, columns)
	for i := range cols {
		cols[i].State = Clean
	}
	l := &Load{copy: NewCopy(cols, format), samples: make([][]string, columns)}
	l.copy.see = l.row
	return l
}

// Read takes the next part of the stream. Data that is not of the form that was promised
// is read no further: the database will not take it either.
func (l *Load) Read(data []byte) {
	if l.lost {
		return
	}
	var err error
	l.out, err = l.copy.Write(l.out[:0], data)
	l.lost = err != nil
}

// Masked reports whether a value of those read is a mask.
func (l *Load) Masked() bool { return l.masked }

// Samples are values of column i, NULLs left out: the first of all, and some of those
// after them.
func (l *Load) Samples(i int) []string { return l.samples[i] }

func (l *Load) row(raw []byte, row [][]byte) {
	if !l.masked && (bytes.Contains(raw, []byte(dots)) || bytes.Contains(raw, []byte("masked")) || mayHoldPseudonym(raw)) {
		for _, v := range row {
			l.masked = l.masked || v != nil && IsMask(string(v))
		}
	}
	l.rows++
	at := l.rows - 1
	if at >= loadSamples {
		if at%loadEvery != 0 {
			return
		}
		at = at / loadEvery % loadSamples
	}
	for i, v := range row {
		switch {
		case v == nil:
		case len(l.samples[i]) < loadSamples:
			l.samples[i] = append(l.samples[i], string(v[:min(len(v), loadBytes)]))
		default:
			l.samples[i][at] = string(v[:min(len(v), loadBytes)])
		}
	}
}
