package postgres

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/wire"
)

// unitSeeds adds good bodies, and each cut short and with its counts and lengths
// made false.
func unitSeeds(f *testing.F, bodies ...[]byte) {
	f.Add([]byte(nil))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	for _, b := range bodies {
		f.Add(b)
		f.Add(b[:len(b)/2])
		f.Add(append(b[:len(b):len(b)], 0))
		f.Add(bytes.ReplaceAll(b, []byte{0, 1}, []byte{0xff, 0xff}))
		f.Add(bytes.ReplaceAll(b, []byte{0, 0}, []byte{0x80, 0}))
	}
}

func FuzzDecodeQuery(f *testing.F) {
	unitSeeds(f, []byte("select 1\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		sql, err := decodeQuery(b)
		if err == nil && sql+"\x00" != string(b) {
			t.Errorf("%q was read as %q", b, sql)
		}
	})
}

func FuzzDecodeParse(f *testing.F) {
	unitSeeds(f, unitParseBody("s", "select $1", 1, 23), unitParseBody("", "", 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodeParse(b)
		if err != nil {
			return
		}
		if again := unitParseBody(p.Name, p.SQL, uint16(len(p.Types)), p.Types...); !bytes.Equal(again, b) {
			t.Errorf("%q was read as %+v", b, p)
		}
	})
}

func FuzzDecodeBind(f *testing.F) {
	unitSeeds(f, unitBindBody("p", "s", []uint16{1}, [][]byte{[]byte("abc"), nil}, []uint16{0, 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decodeBind(b)
		if err == nil && len(v.params)*4 > len(b) {
			t.Errorf("%d parameters of %d bytes", len(v.params), len(b))
		}
	})
}

func FuzzDecodeCall(f *testing.F) {
	unitSeeds(f, []byte("\x00\x00\x03\xba\x00\x01\x00\x01\x00\x02\x00\x00\x00\x04\x00\x00\x00\x07\xff\xff\xff\xff\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, params, err := decodeCall(b)
		if err == nil && len(params)*4 > len(b) {
			t.Errorf("%d arguments of %d bytes", len(params), len(b))
		}
	})
}

func FuzzDecodeReturned(f *testing.F) {
	unitSeeds(f, []byte("\x00\x00\x00\x02ab"), []byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		value, err := decodeReturned(b)
		if err == nil && len(value)+4 != len(b) {
			t.Errorf("%q was read as %q", b, value)
		}
	})
}

func FuzzDecodeTarget(f *testing.F) {
	unitSeeds(f, []byte("Ss\x00"), []byte("P\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		target, name, err := decodeTarget(b)
		if err == nil && string(target)+name+"\x00" != string(b) {
			t.Errorf("%q was read as %q %q", b, target, name)
		}
	})
}

func FuzzDecodeExecute(f *testing.F) {
	unitSeeds(f, []byte("p\x00\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		portal, err := decodeExecute(b)
		if err == nil && len(portal)+5 != len(b) {
			t.Errorf("%q was read as %q", b, portal)
		}
	})
}

func FuzzDecodeColumns(f *testing.F) {
	unitSeeds(f, unitColumns(wire.Column{Name: "a", TypeOID: 25, TableOID: 1, Attr: 1}), unitColumns())
	f.Fuzz(func(t *testing.T, b []byte) {
		columns, err := decodeColumns(b)
		if err == nil && len(columns)*19 > len(b) {
			t.Errorf("%d columns of %d bytes", len(columns), len(b))
		}
	})
}

func FuzzDecodeTypes(f *testing.F) {
	unitSeeds(f, []byte{0, 1, 0, 0, 0, 23})
	f.Fuzz(func(t *testing.T, b []byte) {
		types, err := decodeTypes(b)
		if err == nil && len(types)*4+2 != len(b) {
			t.Errorf("%d types of %d bytes", len(types), len(b))
		}
	})
}

func FuzzDecodeRow(f *testing.F) {
	unitSeeds(f, appendRow(nil, [][]byte{[]byte("abc"), nil, {}})[header:])
	f.Fuzz(func(t *testing.T, b []byte) {
		row, err := decodeRow(nil, b)
		if err != nil {
			return
		}
		if again := appendRow(nil, row)[header:]; !bytes.Equal(again, b) {
			t.Errorf("%q was read as %q", b, row)
		}
	})
}

func FuzzDecodeFields(f *testing.F) {
	unitSeeds(f, []byte("SERROR\x00C42P01\x00Mno\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		fields, err := decodeFields(b)
		if err != nil {
			return
		}
		known := map[byte]string{}
		for code, v := range fields {
			if bytes.IndexByte([]byte("SVCMDHPpqWstcdnFLR"), code) >= 0 {
				known[code] = v
			}
		}
		again, err := decodeFields(encodeFields(fields, 'E')[header:])
		if diff := cmp.Diff(known, again); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
	})
}

func FuzzDecodePair(f *testing.F) {
	unitSeeds(f, []byte("TimeZone\x00UTC\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		name, value, err := decodePair(b)
		if err == nil && name+"\x00"+value+"\x00" != string(b) {
			t.Errorf("%q was read as %q %q", b, name, value)
		}
	})
}

func FuzzDecodeNotification(f *testing.F) {
	unitSeeds(f, []byte("\x00\x00\x00\x01channel\x00payload\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, channel, payload, err := decodeNotification(b)
		if err == nil && string(b[4:]) != channel+"\x00"+payload+"\x00" {
			t.Errorf("%q was read as %q %q", b, channel, payload)
		}
	})
}
