package mask_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/mask"
)

var fuzzOIDs = []uint32{25, 1043, 114, 3802, 142, 17, 16, 20, 21, 23, 700, 701, 1700, 790, 26, 1082, 1114, 1184, 1083, 1266, 1186,
	2950, 869, 650, 829, 774, 1009, 199, 3807, 1016, 1231, 2249, 16999, 0, 28, 600}

func fuzzSeeds(f *testing.F) {
	for _, s := range []string{"", "a@b.de", "%40", "4111 1111 1111 1111", "+49 30 901820", "DE89 3704 0044 0532 0130 00", "::1", "{}", `{"a":[1,"\u0040"]}`,
		"(((((", "+", "$2b$12$", "1.2.3.4", "eyJ..", "-----BEGIN RSA PRIVATE KEY-----", `\x41`, `\xzz`, "\xff@\xff.\xff\xff", "Ünal Öztürk",
		"\x00\x03\x00\x03\x00\x00\x00\x00", "\x01{\"a\":1}"} {
		for i := range fuzzOIDs {
			f.Add([]byte(s), uint8(i), i%2 == 0)
		}
	}
	f.Add(arrayOf(25, "a", "b@c.de"), uint8(26), true)
	f.Add(recordOf(2249, string(recordOf(20, "12345678"))), uint8(31), true)
}

// FuzzScan: spans lie inside the value, in order, and apart.
func FuzzScan(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, v []byte, i uint8, bin bool) {
		at := 0
		for _, s := range mask.Scan(nil, v, fuzzOIDs[int(i)%len(fuzzOIDs)], bin) {
			if s.Type == "" || s.Start < at || s.End < s.Start || s.End > len(v) {
				t.Fatalf("span %+v in %d bytes, after %d", s, len(v), at)
			}
			at = s.End
		}
	})
}

// FuzzApply: whatever the bytes, hidden values do not depend on them, and what is
// read stays JSON if it was.
func FuzzApply(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, v []byte, i uint8, bin bool) {
		if v == nil {
			v = []byte{}
		}
		oid := fuzzOIDs[int(i)%len(fuzzOIDs)]
		in := bytes.Clone(v)
		hidden := apply(mask.Column{State: mask.Hide, TypeOID: oid, Binary: bin}, v)
		if again := apply(mask.Column{State: mask.Hide, TypeOID: oid, Binary: bin}, []byte("something else")); !bytes.Equal(hidden, again) {
			t.Fatalf("a hidden value shows what it was: %q", hidden)
		}
		for _, typ := range []mask.Type{mask.Email, mask.Phone, mask.Card, mask.IBAN, mask.IP, mask.BirthDate, mask.Person} {
			apply(mask.Column{State: mask.PII, Type: typ, TypeOID: oid, Binary: bin}, v)
		}
		out := apply(mask.Column{State: mask.Unknown, TypeOID: oid, Binary: bin}, v)
		if oid == 3802 && !bin && json.Valid(v) && !json.Valid(out) {
			t.Fatalf("%q became %q", v, out)
		}
		if !bytes.Equal(v, in) {
			t.Fatal("the value itself was changed")
		}
	})
}

// FuzzCopy: how the stream is cut changes nothing.
func FuzzCopy(f *testing.F) {
	f.Add([]byte("1\tjane@acme.com\tok\n2\t\\N\t\\N\n"), uint8(0), uint16(3))
	f.Add([]byte("1,\"jane@acme.com\",\"a \"\"b\"\",\nbob@acme.com\"\n"), uint8(1), uint16(5))
	f.Add([]byte("1,'a\\'','b\\\\'\n"), uint8(2), uint16(1))
	f.Add(binaryCopy([][]byte{be32(1), []byte("jane@acme.com"), nil}), uint8(3), uint16(4))
	f.Add([]byte("1\t\\"), uint8(0), uint16(1))
	formats := []mask.CopyFormat{{}, {Kind: mask.CopyCSV}, {Kind: mask.CopyCSV, Quote: '\'', Escape: '\\', Header: true}, {Kind: mask.CopyBinary}}
	f.Fuzz(func(t *testing.T, data []byte, format uint8, n uint16) {
		fm := formats[int(format)%len(formats)]
		whole, err1 := copyAll(mask.NewCopy(copyColumns, fm), data, len(data)+1)
		cut, err2 := copyAll(mask.NewCopy(copyColumns, fm), data, int(n)+1)
		if !bytes.Equal(whole, cut) || (err1 == nil) != (err2 == nil) {
			t.Fatalf("whole %q %v\ncut   %q %v", whole, err1, cut, err2)
		}
	})
}

// FuzzClassify: never panics, and never calls a column both personal and clean.
func FuzzClassify(f *testing.F) {
	f.Add("email", "users", "a@b.de|c@d.fr", uint8(0))
	f.Add("größe_MÄR", "Ünï", "Ada Lovelace|x|{\"a\":1}", uint8(2))
	f.Fuzz(func(t *testing.T, column, table, values string, i uint8) {
		got := mask.Classify(mask.ColumnInfo{Column: column, Table: table, TypeOID: fuzzOIDs[int(i)%len(fuzzOIDs)], Type: "text", Samples: strings.Split(values, "|")})
		if got.PII && (got.Clean || got.Type == "" || got.Where == "") || got.Evidence == "" {
			t.Fatalf("%+v", got)
		}
	})
}

func FuzzEgress(f *testing.F) {
	f.Add("22P02", "invalid input syntax: \"a@b.de\"", "_bt_check_unique")
	f.Fuzz(func(t *testing.T, code, message, routine string) {
		out, _ := mask.Egress(map[byte]string{'C': code, 'M': message, 'R': routine, 'D': message}, true, nil)
		if _, ok := out['D']; ok || out['M'] == "" || (len(message) > 100 && strings.Contains(out['M'], message)) {
			t.Fatalf("%q", out)
		}
	})
}
