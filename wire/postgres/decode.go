package postgres

import (
	"bytes"
	"encoding/binary"

	"github.com/sluicehq/sluice/wire"
)

// body reads the fields of one message. After the first field that does not fit,
// bad is set and every further field is zero: callers check once at the end.
type body struct {
	b   []byte
	bad bool
}

func (d *body) bytes(n int) []byte {
	if d.bad || n < 0 || n > len(d.b) {
		d.bad = true
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *body) byte() byte {
	if v := d.bytes(1); v != nil {
		return v[0]
	}
	return 0
}

func (d *body) int16() int {
	if v := d.bytes(2); v != nil {
		return int(int16(binary.BigEndian.Uint16(v)))
	}
	return 0
}

func (d *body) uint32() uint32 {
	if v := d.bytes(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

// text reads a string that ends with NUL.
func (d *body) text() string {
	if d.bad {
		return ""
	}
	i := bytes.IndexByte(d.b, 0)
	if i < 0 {
		d.bad = true
		return ""
	}
	s := string(d.b[:i])
	d.b = d.b[i+1:]
	return s
}

// value reads a length and as many bytes; a length of -1 is NULL.
func (d *body) value() []byte {
	n := int32(d.uint32())
	if n == -1 {
		return nil
	}
	return d.bytes(int(n))
}

// count reads a number of things that need at least size bytes each, so that a
// false count cannot make us take memory.
func (d *body) count(size int) int {
	n := int(uint16(d.int16())) // unsigned: a statement may have 65,535 parameters
	if n*size > len(d.b) {
		d.bad = true
		return 0
	}
	return n
}

// end reports whether the message was read exactly to its end.
func (d *body) end() bool { return !d.bad && len(d.b) == 0 }

func decodeQuery(b []byte) (sql string, err error) {
	d := body{b: b}
	sql = d.text()
	if !d.end() {
		return "", violation("malformed Query message")
	}
	return sql, nil
}

func decodeParse(b []byte) (*wire.Prepared, error) {
	d := body{b: b}
	p := &wire.Prepared{Name: d.text(), SQL: d.text()}
	for n := d.count(4); n > 0; n-- {
		p.Types = append(p.Types, d.uint32())
	}
	if !d.end() {
		return nil, violation("malformed Parse message")
	}
	return p, nil
}

// binding is a decoded Bind message.
type binding struct {
	portal, statement string
	params            []wire.Param
	formats           []bool // of results: none is all text, one is for all
}

func decodeBind(b []byte) (*binding, error) {
	d := body{b: b}
	v := &binding{portal: d.text(), statement: d.text()}
	formats := decodeFormats(&d)
	n := d.count(4)
	for i := 0; i < n && !d.bad; i++ {
		v.params = append(v.params, wire.Param{Value: bytes.Clone(d.value()), Binary: formatOf(formats, i)})
	}
	v.formats = decodeFormats(&d)
	if !d.end() {
		return nil, violation("malformed Bind message")
	}
	return v, nil
}

// decodeCall reads the body of FunctionCall.
func decodeCall(b []byte) (function uint32, params []wire.Param, err error) {
	d := body{b: b}
	function = d.uint32()
	formats := decodeFormats(&d)
	n := d.count(4)
	for i := 0; i < n && !d.bad; i++ {
		params = append(params, wire.Param{Value: bytes.Clone(d.value()), Binary: formatOf(formats, i)})
	}
	d.int16() // format of the result
	if !d.end() {
		return 0, nil, violation("malformed FunctionCall message")
	}
	return function, params, nil
}

// decodeReturned reads the body of FunctionCallResponse; nil is NULL.
func decodeReturned(b []byte) ([]byte, error) {
	d := body{b: b}
	value := d.value()
	if !d.end() {
		return nil, violation("malformed FunctionCallResponse from the server")
	}
	return value, nil
}

func decodeFormats(d *body) []bool {
	n := d.count(2)
	if n == 0 {
		return nil
	}
	formats := make([]bool, n)
	for i := range formats {
		formats[i] = d.int16() == 1
	}
	return formats
}

// formatOf applies the rule of the Bind message: no code means text, a single
// code is for all.
func formatOf(formats []bool, i int) bool {
	switch {
	case len(formats) == 1:
		return formats[0]
	case i < len(formats):
		return formats[i]
	}
	return false
}

// decodeTarget reads the body of Describe and Close.
func decodeTarget(b []byte) (target byte, name string, err error) {
	d := body{b: b}
	target, name = d.byte(), d.text()
	if !d.end() || target != 'S' && target != 'P' {
		return 0, "", violation("malformed Describe or Close message")
	}
	return target, name, nil
}

func decodeExecute(b []byte) (portal string, err error) {
	d := body{b: b}
	portal = d.text()
	d.uint32() // row limit: the server's business
	if !d.end() {
		return "", violation("malformed Execute message")
	}
	return portal, nil
}

// decodeColumns reads a RowDescription.
func decodeColumns(b []byte) ([]wire.Column, error) {
	d := body{b: b}
	n := d.count(19)
	columns := make([]wire.Column, 0, n)
	for ; n > 0; n-- {
		c := wire.Column{Name: d.text(), TableOID: d.uint32(), Attr: int16(d.int16()), TypeOID: d.uint32()}
		d.bytes(6) // type size and modifier
		c.Binary = d.int16() == 1
		columns = append(columns, c)
	}
	if !d.end() {
		return nil, violation("malformed RowDescription from the server")
	}
	return columns, nil
}

// decodeTypes reads a ParameterDescription. A statement that was parsed with more
// parameters than its 16-bit count can say, which can never be bound, has them all
// the same: the length tells.
func decodeTypes(b []byte) (types []uint32, err error) {
	d := body{b: b}
	said, n := d.int16(), len(d.b)/4
	if uint16(said) != uint16(n) {
		return nil, violation("malformed ParameterDescription from the server")
	}
	for ; n > 0; n-- {
		types = append(types, d.uint32())
	}
	if !d.end() {
		return nil, violation("malformed ParameterDescription from the server")
	}
	return types, nil
}

// decodeRow reads a DataRow into row, which it reuses.
func decodeRow(row [][]byte, b []byte) ([][]byte, error) {
	row = row[:0]
	if len(b) < 2 {
		return nil, violation("malformed DataRow from the server")
	}
	n := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	for ; n > 0; n-- {
		if len(b) < 4 {
			return nil, violation("malformed DataRow from the server")
		}
		size := int(int32(binary.BigEndian.Uint32(b)))
		b = b[4:]
		if size == -1 {
			row = append(row, nil)
			continue
		}
		if size < 0 || size > len(b) {
			return nil, violation("malformed DataRow from the server")
		}
		row = append(row, b[:size:size])
		b = b[size:]
	}
	if len(b) != 0 {
		return nil, violation("malformed DataRow from the server")
	}
	return row, nil
}

// decodeFields reads an ErrorResponse or NoticeResponse. A field that comes twice
// keeps its first value, as in libpq; a missing SQLSTATE becomes XX000.
func decodeFields(b []byte) (map[byte]string, error) {
	d := body{b: b}
	fields := map[byte]string{}
	for {
		code := d.byte()
		if d.bad {
			return nil, violation("malformed error or notice from the server")
		}
		if code == 0 {
			break
		}
		if v := d.text(); !d.bad {
			if _, twice := fields[code]; !twice {
				fields[code] = v
			}
		}
	}
	if !d.end() {
		return nil, violation("malformed error or notice from the server")
	}
	if fields['C'] == "" {
		fields['C'] = "XX000"
	}
	return fields, nil
}

func decodePair(b []byte) (name, value string, err error) {
	d := body{b: b}
	name, value = d.text(), d.text()
	if !d.end() {
		return "", "", violation("malformed ParameterStatus from the server")
	}
	return name, value, nil
}

func decodeNotification(b []byte) (pid uint32, channel, payload string, err error) {
	d := body{b: b}
	pid, channel, payload = d.uint32(), d.text(), d.text()
	if !d.end() {
		return 0, "", "", violation("malformed NotificationResponse from the server")
	}
	return pid, channel, payload, nil
}

// tagRows is the number a command tag ends with: "INSERT 0 5", "UPDATE 3", "COPY 7".
func tagRows(tag string) int64 {
	i := len(tag)
	var n, unit int64 = 0, 1
	for i > 0 && tag[i-1] >= '0' && tag[i-1] <= '9' && len(tag)-i < 18 {
		i--
		n += int64(tag[i]-'0') * unit
		unit *= 10
	}
	if i == len(tag) || i == 0 || tag[i-1] != ' ' {
		return 0
	}
	return n
}
