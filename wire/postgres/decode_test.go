package postgres

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/wire"
)

// unitParseBody is the body of a Parse message with count parameter types announced.
func unitParseBody(name, sql string, count uint16, types ...uint32) []byte {
	b := []byte(name + "\x00" + sql + "\x00")
	b = binary.BigEndian.AppendUint16(b, count)
	for _, t := range types {
		b = binary.BigEndian.AppendUint32(b, t)
	}
	return b
}

// unitBindBody is the body of a Bind message; a nil parameter is NULL.
func unitBindBody(portal, statement string, formats []uint16, params [][]byte, results []uint16) []byte {
	b := []byte(portal + "\x00" + statement + "\x00")
	b = unitFormats(b, formats)
	b = binary.BigEndian.AppendUint16(b, uint16(len(params)))
	for _, p := range params {
		if p == nil {
			b = append(b, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(p))), p...)
	}
	return unitFormats(b, results)
}

func unitFormats(b []byte, codes []uint16) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(codes)))
	for _, c := range codes {
		b = binary.BigEndian.AppendUint16(b, c)
	}
	return b
}

// unitViolation fails the test unless err is a protocol violation, as malformed
// input must end the session and not only one statement.
func unitViolation(t *testing.T, err error) {
	t.Helper()
	var v *Violation
	if !errors.As(err, &v) {
		t.Fatalf("got error %v, want a *Violation", err)
	}
	if v.Code != "08P01" {
		t.Errorf("got code %s, want 08P01", v.Code)
	}
}

func TestDecodeQuery(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
		bad            bool
	}{
		{name: "statement", in: "select 1\x00", want: "select 1"},
		{name: "empty", in: "\x00", want: ""},
		{name: "no end", in: "select 1", bad: true},
		{name: "nothing", in: "", bad: true},
		{name: "second statement hidden behind the end", in: "select 1\x00drop table t\x00", bad: true},
		{name: "one byte behind the end", in: "select 1\x00\x00", bad: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decodeQuery([]byte(tt.in))
			if tt.bad {
				unitViolation(t, err)
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestDecodeParse(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []byte
		want *wire.Prepared // nil: malformed
	}{
		{"named", unitParseBody("s", "select $1", 1, 23), &wire.Prepared{Name: "s", SQL: "select $1", Types: []uint32{23}}},
		{"unnamed without types", unitParseBody("", "select 1", 0), &wire.Prepared{SQL: "select 1"}},
		{"largest type", unitParseBody("", "", 1, 0xffffffff), &wire.Prepared{Types: []uint32{0xffffffff}}},
		{"nothing", nil, nil},
		{"no statement", []byte("s\x00"), nil},
		{"no count", []byte("s\x00select 1\x00"), nil},
		{"half a count", []byte("s\x00select 1\x00\x00"), nil},
		{"count larger than what follows", unitParseBody("s", "q", 2, 23), nil},
		{"negative count", unitParseBody("s", "q", 0xffff), nil},
		{"more types than counted", unitParseBody("s", "q", 1, 23, 25), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decodeParse(tt.in)
			if tt.want == nil {
				unitViolation(t, err)
				return
			}
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("%v %s", err, diff)
			}
		})
	}
}

// A statement may have 65,535 parameters: the count is unsigned, although the
// protocol's text calls it Int16.
func TestDecodeParseTakesMostParameters(t *testing.T) {
	got, err := decodeParse(unitParseBody("", "q", 65535, make([]uint32, 65535)...))
	if err != nil || len(got.Types) != 65535 {
		t.Errorf("got %v", err)
	}
}

func TestDecodeBind(t *testing.T) {
	many := make([][]byte, 65535)
	got, err := decodeBind(unitBindBody("", "", nil, many, nil))
	if err != nil || len(got.params) != 65535 {
		t.Errorf("65535 parameters: %v", err)
	}
	for _, tt := range []struct {
		name   string
		in     []byte
		params []wire.Param
		result []bool
	}{
		{"no parameters", unitBindBody("p", "s", nil, nil, nil), nil, nil},
		{"text by default", unitBindBody("p", "s", nil, [][]byte{[]byte("a")}, nil), []wire.Param{{Value: []byte("a")}}, nil},
		{"one format for all", unitBindBody("p", "s", []uint16{1}, [][]byte{{1}, {2}}, []uint16{1}),
			[]wire.Param{{Value: []byte{1}, Binary: true}, {Value: []byte{2}, Binary: true}}, []bool{true}},
		{"a format each", unitBindBody("p", "s", []uint16{0, 1}, [][]byte{{1}, {2}}, []uint16{1, 0}),
			[]wire.Param{{Value: []byte{1}}, {Value: []byte{2}, Binary: true}}, []bool{true, false}},
		{"NULL is not empty", unitBindBody("p", "s", nil, [][]byte{nil, {}}, nil), []wire.Param{{}, {Value: []byte{}}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decodeBind(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if got.portal != "p" || got.statement != "s" {
				t.Errorf("got names %q and %q", got.portal, got.statement)
			}
			if diff := cmp.Diff(tt.params, got.params); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.result, got.formats); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeBindMalformed(t *testing.T) {
	whole := unitBindBody("p", "s", []uint16{1}, [][]byte{[]byte("abc"), nil}, []uint16{0})
	for n := range whole {
		if _, err := decodeBind(whole[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were taken for a whole message", n, len(whole))
		}
	}
	length := func(n uint32) []byte { // one parameter of three bytes that says it has n
		b := append([]byte("\x00\x00"), 0, 0, 0, 1)
		b = binary.BigEndian.AppendUint32(b, n)
		return append(b, "abc\x00\x00"...)
	}
	for _, tt := range []struct {
		name string
		in   []byte
	}{
		{"length below NULL", length(0xfffffffe)},
		{"smallest length", length(0x80000000)},
		{"largest length", length(0x7fffffff)},
		{"length over the end", length(6)},
		{"NULL with bytes", length(0xffffffff)},
		{"false count of formats", []byte("\x00\x00\xff\xff")},
		{"false count of parameters", []byte("\x00\x00\x00\x00\xff\xff")},
		{"one byte behind the end", append(whole[:len(whole):len(whole)], 0)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := decodeBind(tt.in)
			unitViolation(t, err)
		})
	}
	if _, err := decodeBind(length(3)); err != nil {
		t.Errorf("the true length: %v", err)
	}
}

// Parameters are kept while the buffer they came in is used again.
func TestDecodeBindKeepsItsOwnCopy(t *testing.T) {
	b := unitBindBody("", "", nil, [][]byte{[]byte("harmless")}, nil)
	got, err := decodeBind(b)
	if err != nil {
		t.Fatal(err)
	}
	copy(b, strings.Repeat("x", len(b)))
	if v := string(got.params[0].Value); v != "harmless" {
		t.Errorf("a later message changed a parameter to %q", v)
	}
}

// The formats of more than one code belong to their columns; what has none is text.
func TestFormatOf(t *testing.T) {
	for _, tt := range []struct {
		formats []bool
		i       int
		want    bool
	}{
		{nil, 0, false}, {[]bool{true}, 0, true}, {[]bool{true}, 9, true},
		{[]bool{false, true}, 1, true}, {[]bool{false, true}, 0, false}, {[]bool{true, true}, 2, false},
	} {
		if got := formatOf(tt.formats, tt.i); got != tt.want {
			t.Errorf("formatOf(%v, %d) = %v", tt.formats, tt.i, got)
		}
	}
}
