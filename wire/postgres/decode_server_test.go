package postgres

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/wire"
)

// unitColumn is one field of a RowDescription.
func unitColumn(b []byte, c wire.Column) []byte {
	b = append(append(b, c.Name...), 0)
	b = binary.BigEndian.AppendUint32(b, c.TableOID)
	b = binary.BigEndian.AppendUint16(b, uint16(c.Attr))
	b = binary.BigEndian.AppendUint32(b, c.TypeOID)
	b = append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	if c.Binary {
		return append(b, 0, 1)
	}
	return append(b, 0, 0)
}

func unitColumns(columns ...wire.Column) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(columns)))
	for _, c := range columns {
		b = unitColumn(b, c)
	}
	return b
}

func TestDecodeTarget(t *testing.T) {
	for _, tt := range []struct {
		in     string
		target byte
		name   string // target 0: malformed
	}{
		{"Ss\x00", 'S', "s"}, {"P\x00", 'P', ""},
		{in: ""}, {in: "S"}, {in: "Ss"}, {in: "Xs\x00"}, {in: "\x00s\x00"}, {in: "Ss\x00\x00"}, {in: "Ss\x00t\x00"},
	} {
		target, name, err := decodeTarget([]byte(tt.in))
		if target != tt.target || name != tt.name || (err == nil) != (tt.target != 0) {
			t.Errorf("%q: got %q, %q, %v", tt.in, target, name, err)
		}
	}
}

func TestDecodeExecute(t *testing.T) {
	for _, tt := range []struct {
		in, portal string
		good       bool
	}{
		{"p\x00\x00\x00\x00\x00", "p", true},
		{"\x00\xff\xff\xff\xff", "", true}, // a negative limit means none
		{"", "", false},
		{"p\x00", "", false},
		{"p\x00\x00\x00\x00", "", false},
		{"p\x00\x00\x00\x00\x00\x00", "", false},
		{"\x00\x00\x00\x00", "", false},
	} {
		portal, err := decodeExecute([]byte(tt.in))
		if portal != tt.portal || (err == nil) != tt.good {
			t.Errorf("%q: got %q, %v", tt.in, portal, err)
		}
	}
}

func TestDecodeColumns(t *testing.T) {
	want := []wire.Column{
		{Name: "email", TableOID: 16384, Attr: 3, TypeOID: 25},
		{Name: "", TypeOID: 0xffffffff, Attr: -1, Binary: true},
	}
	b := unitColumns(want...)
	got, err := decodeColumns(b)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if got, err := decodeColumns([]byte{0, 0}); err != nil || len(got) != 0 {
		t.Errorf("no columns: got %v, %v", got, err)
	}
	for n := range b {
		_, err := decodeColumns(b[:n])
		if err == nil {
			t.Errorf("the first %d of %d bytes were taken for a whole message", n, len(b))
		}
	}
	for name, in := range map[string][]byte{
		"fewer columns counted than come": append([]byte{0, 1}, b[2:]...),
		"more columns counted than come":  append([]byte{0, 3}, b[2:]...),
		"false count":                     append([]byte{0xff, 0xff}, b[2:]...),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decodeColumns(in)
			unitViolation(t, err)
		})
	}
}

func TestDecodeTypes(t *testing.T) {
	got, err := decodeTypes([]byte{0, 2, 0, 0, 0, 23, 0, 0, 0, 25})
	if diff := cmp.Diff([]uint32{23, 25}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	for _, in := range []string{"", "\x00", "\x00\x01", "\x00\x01\x00\x00\x00", "\xff\xff\x00\x00\x00\x01", "\x00\x00\x00"} {
		_, err := decodeTypes([]byte(in))
		unitViolation(t, err)
	}
}

// What appendRow writes decodeRow reads, so a masked row says what was meant.
func TestRowRoundTrip(t *testing.T) {
	for _, row := range [][][]byte{
		{},
		{nil},
		{{}},
		{[]byte("a"), nil, {}, []byte("\x00\xff\xff\xff\xff")},
	} {
		b := appendRow(nil, row)
		kind, total, err := head(b)
		if err != nil || kind != 'D' || total != len(b) {
			t.Fatalf("header %q %d, %v; want D %d", kind, total, err, len(b))
		}
		got, err := decodeRow(make([][]byte, 3), b[header:])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(row, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestDecodeRowMalformed(t *testing.T) {
	whole := appendRow(nil, [][]byte{[]byte("abc"), nil})[header:]
	for n := range whole {
		if _, err := decodeRow(nil, whole[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were taken for a whole row", n, len(whole))
		}
	}
	for name, in := range map[string]string{
		"length below NULL": "\x00\x01\xff\xff\xff\xfe",
		"smallest length":   "\x00\x01\x80\x00\x00\x00",
		"largest length":    "\x00\x01\x7f\xff\xff\xffabc",
		"false count":       "\xff\xff\x00\x00\x00\x00",
		"hidden value":      "\x00\x01\x00\x00\x00\x01a\x00\x00\x00\x01b",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decodeRow(nil, []byte(in))
			unitViolation(t, err)
		})
	}
}

func TestDecodeFields(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want map[byte]string // nil: malformed
	}{
		{"SERROR\x00C42P01\x00Mno\x00\x00", map[byte]string{'S': "ERROR", 'C': "42P01", 'M': "no"}},
		{"Mno\x00\x00", map[byte]string{'C': "XX000", 'M': "no"}},
		{"C\x00\x00", map[byte]string{'C': "XX000"}},
		{"Mfirst\x00Msecond\x00\x00", map[byte]string{'C': "XX000", 'M': "first"}},
		{"", nil}, {"M", nil}, {"Mno", nil}, {"Mno\x00", nil}, {"Mno\x00\x00\x00", nil}, {"\x00M", nil},
	} {
		got, err := decodeFields([]byte(tt.in))
		if tt.want == nil {
			unitViolation(t, err)
			continue
		}
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%q: %v %s", tt.in, err, diff)
		}
	}
}

// What Reword writes says what the fields say.
func TestFieldsRoundTrip(t *testing.T) {
	want := map[byte]string{'S': "ERROR", 'V': "ERROR", 'C': "23505", 'M': "m", 'D': "d", 'H': "h", 't': "t", 'n': ""}
	for _, failed := range []bool{true, false} {
		r := &wire.Reply{Failed: failed, Fields: want}
		Reword(r)
		kind, total, err := head(r.Frame)
		if wantKind := map[bool]byte{true: 'E', false: 'N'}[failed]; err != nil || kind != wantKind || total != len(r.Frame) {
			t.Errorf("header %q %d, %v; want %q %d", kind, total, err, wantKind, len(r.Frame))
		}
		got, err := decodeFields(r.Frame[header:])
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
	}
}

func TestNotificationAndSettingRoundTrip(t *testing.T) {
	r := &wire.Reply{Rows: 0xfffffffe, Name: "channel", Value: "hidden"}
	Renotify(r)
	pid, channel, payload, err := decodeNotification(r.Frame[header:])
	if err != nil || pid != 0xfffffffe || channel != "channel" || payload != "hidden" {
		t.Errorf("notification: %d %q %q %v", pid, channel, payload, err)
	}
	if kind, total, err := head(r.Frame); err != nil || kind != 'A' || total != len(r.Frame) {
		t.Errorf("notification header: %q %d %v", kind, total, err)
	}
	Resetting(r)
	name, value, err := decodePair(r.Frame[header:])
	if err != nil || name != "channel" || value != "hidden" {
		t.Errorf("setting: %q %q %v", name, value, err)
	}
	if kind, total, err := head(r.Frame); err != nil || kind != 'S' || total != len(r.Frame) {
		t.Errorf("setting header: %q %d %v", kind, total, err)
	}
	for _, in := range []string{"", "a", "a\x00", "a\x00b", "a\x00b\x00c"} {
		_, _, err := decodePair([]byte(in))
		unitViolation(t, err)
		_, _, _, err = decodeNotification([]byte("\x00\x00\x00\x01" + in))
		unitViolation(t, err)
	}
}

func TestTagRows(t *testing.T) {
	for tag, want := range map[string]int64{
		"": 0, "SELECT 5": 5, "INSERT 0 5": 5, "UPDATE 3": 3, "COPY 7": 7, "SELECT 0": 0,
		"CREATE TABLE": 0, "7": 0, "X7": 0, "SELECT ": 0, "SELECT -1": 0, "BEGIN": 0,
		"SELECT 999999999999999999": 999999999999999999, "SELECT 99999999999999999999999": 0,
	} {
		if got := tagRows(tag); got != want {
			t.Errorf("tagRows(%q) = %d, want %d", tag, got, want)
		}
	}
}
