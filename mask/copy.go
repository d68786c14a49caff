package mask

import (
	"bytes"
	"errors"
	"fmt"
)

// CopyKind is the format of COPY data.
type CopyKind int

// The formats of COPY.
const (
	CopyText CopyKind = iota
	CopyCSV
	CopyBinary
)

// CopyFormat is what the options of a COPY statement say. Zero bytes mean
// PostgreSQL's defaults for the kind; Null is taken as it is if NullSet.
type CopyFormat struct {
	Kind      CopyKind
	Delimiter byte // tab in text, comma in CSV
	Null      string
	NullSet   bool // otherwise \N in text and the empty string in CSV
	Quote     byte // CSV only; double quote
	Escape    byte // CSV only; the same as Quote
	Header    bool // the first line holds column names
}

// maxRowBytes bounds what is kept of a row until its end has come. A longer row is
// refused: it could not be masked without holding all of it.
const maxRowBytes = 64 << 20

// ErrCopy says that COPY data could not be read as its format promises, so that it
// must not be passed on.
var ErrCopy = errors.New("copy data does not have the expected form")

// Copy masks a stream of COPY data that leaves the server. How the stream is cut
// into messages does not matter. It belongs to one stream.
type Copy struct {
	plan   *Plan
	format CopyFormat
	store  []byte // what of the stream is still held
	rest   []byte // its end, a row whose end has not come
	before [][]byte
	row    [][]byte
	raw    [][]byte // the fields of row as they came
	room   []byte   // unescaped fields of the current row
	masked int64
	err    error // sticky: after an error nothing passes any more

	see func(raw []byte, row [][]byte) // is shown each row as it came; nil for nobody

	header  bool // still to come
	scanned int  // bytes of rest in which no end of row was found
	quoted  bool // CSV: rest[:scanned] ends inside quotes
	done    bool // binary: the trailer has come
}

// NewCopy masks a COPY of these columns. Their Binary fields are set by the format.
func NewCopy(cols []Column, format CopyFormat) *Copy {
	cols = append([]Column(nil), cols...)
	for i := range cols {
		cols[i].Binary = format.Kind == CopyBinary
	}
	if format.Delimiter == 0 {
		format.Delimiter = '\t'
		if format.Kind == CopyCSV {
			format.Delimiter = ','
		}
	}
	if !format.NullSet && format.Null == "" && format.Kind == CopyText {
		format.Null = `\N`
	}
	if format.Quote == 0 {
		format.Quote = '"'
	}
	if format.Escape == 0 {
		format.Escape = format.Quote
	}
	return &Copy{plan: NewPlan(cols), format: format, header: format.Header || format.Kind == CopyBinary}
}

// Masked is how many values were replaced so far.
func (c *Copy) Masked() int64 { return c.masked }

// Write takes the next part of the stream and appends the rows that it completes,
// masked, to dst. After an error the stream must be ended: dst then holds only rows
// that were masked before.
func (c *Copy) Write(dst, data []byte) ([]byte, error) {
	if c.err != nil {
		return dst, c.err
	}
	c.store = append(c.store[:0], c.rest...)
	c.store = append(c.store, data...)
	c.rest = c.store
	for {
		n, err := c.next()
		if err != nil {
			return dst, c.fail(err)
		}
		if n == 0 {
			break
		}
		if dst, err = c.pass(dst, c.rest[:n]); err != nil {
			return dst, c.fail(err)
		}
		c.rest = c.rest[n:]
		c.scanned, c.quoted = 0, false
	}
	if len(c.rest) > maxRowBytes {
		return dst, c.fail(fmt.Errorf("%w: a row is longer than %d bytes", ErrCopy, maxRowBytes))
	}
	return dst, nil
}

// Close says whether the stream ended where a row did. What was left is not passed.
func (c *Copy) Close() error {
	if c.err != nil {
		return c.err
	}
	if len(c.rest) > 0 || (c.format.Kind == CopyBinary && !c.done) {
		return c.fail(fmt.Errorf("%w: it ends before its end", ErrCopy))
	}
	return nil
}

func (c *Copy) fail(err error) error {
	c.err, c.rest = err, nil
	return err
}

// next is the length of the row at the start of rest, 0 if its end has not come.
func (c *Copy) next() (int, error) {
	switch c.format.Kind {
	case CopyBinary:
		return c.nextBinary()
	case CopyCSV:
		return c.nextCSV(), nil
	}
	if i := bytes.IndexByte(c.rest[c.scanned:], '\n'); i >= 0 {
		return c.scanned + i + 1, nil // a newline inside a value is written \n
	}
	c.scanned = len(c.rest)
	return 0, nil
}

// nextCSV looks for a newline outside quotes. A quote that is escaped by doubling
// it closes and opens again, which comes to the same; one escaped by another
// character must be stepped over, and if the character is the last byte, waited for.
func (c *Copy) nextCSV() int {
	f := &c.format
	for i := c.scanned; i < len(c.rest); i++ {
		b := c.rest[i]
		switch {
		case c.quoted && b == f.Escape && f.Escape != f.Quote:
			if i+1 == len(c.rest) {
				c.scanned = i
				return 0
			}
			if n := c.rest[i+1]; n == f.Quote || n == f.Escape {
				i++
			}
		case b == f.Quote:
			c.quoted = !c.quoted
		case b == '\n' && !c.quoted:
			return i + 1
		}
	}
	c.scanned = len(c.rest)
	return 0
}

func (c *Copy) pass(dst, row []byte) ([]byte, error) {
	if c.format.Kind == CopyBinary {
		return c.passBinary(dst, row)
	}
	line := bytes.TrimSuffix(row, []byte{'\n'})
	ending := row[len(line):]
	if c.format.Kind == CopyCSV && bytes.HasSuffix(line, []byte{'\r'}) {
		line, ending = line[:len(line)-1], row[len(line)-1:]
	}
	c.row, c.raw, c.room = c.row[:0], c.raw[:0], c.room[:0]
	if c.format.Kind == CopyCSV {
		c.splitCSV(line)
	} else {
		c.splitText(line)
	}
	if c.see != nil && string(line) == `\.` { // the end, in the old way
		return append(dst, row...), nil
	}
	want := len(c.plan.cols)
	if want == 0 && len(line) == 0 { // COPY of a table without columns
		return append(dst, row...), nil
	}
	if len(c.row) != want {
		return dst, fmt.Errorf("%w: a row of %d fields where %d were announced", ErrCopy, len(c.row), want)
	}
	if c.header {
		c.header = false
		return c.passHeader(dst, row), nil
	}
	if c.see != nil {
		c.see(row, c.row)
	}
	if c.plan.Clean() {
		return append(dst, row...), nil
	}
	c.before = append(c.before[:0], c.row...)
	n := c.plan.Apply(c.row)
	c.masked += int64(n)
	if n == 0 {
		return append(dst, row...), nil
	}
	for i, v := range c.row {
		if i > 0 {
			dst = append(dst, c.format.Delimiter)
		}
		if same(v, c.before[i]) {
			dst = append(dst, c.raw[i]...)
			continue
		}
		dst = c.appendField(dst, v)
	}
	return append(dst, ending...), nil
}

// passHeader lets names through, but for those that are values.
func (c *Copy) passHeader(dst, row []byte) []byte {
	s, hits := ScanText(string(row))
	if hits > 0 {
		c.masked += int64(hits)
		return append(dst, s...)
	}
	return append(dst, row...)
}

// same tells whether Apply left a field alone.
func same(a, b []byte) bool {
	if (a == nil) != (b == nil) || len(a) != len(b) {
		return false
	}
	return len(a) == 0 || &a[0] == &b[0]
}

func (c *Copy) appendField(dst, v []byte) []byte {
	switch {
	case v == nil:
		return append(dst, c.format.Null...)
	case c.format.Kind == CopyCSV:
		return c.appendCSV(dst, v)
	}
	return c.appendText(dst, v)
}
