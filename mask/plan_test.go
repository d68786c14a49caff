package mask_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/mask"
)

func be32(n int32) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
func be64(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func TestMethods(t *testing.T) {
	const day = 24 * 60 * 60 * 1_000_000
	null := []byte(nil)
	for _, tt := range []struct {
		name string
		col  mask.Column
		in   []byte
		want []byte
	}{
		{"email", mask.Column{Type: mask.Email, TypeOID: 25}, []byte("jane.roe@acme.com"), []byte("j•••@masked.invalid")},
		{"email, binary", mask.Column{Type: mask.Email, TypeOID: 25, Binary: true}, []byte("jane.roe@acme.com"), []byte("j•••@masked.invalid")},
		{"no email in an email column", mask.Column{Type: mask.Email, TypeOID: 1043}, []byte("ask jane"), []byte("•••")},
		{"phone", mask.Column{Type: mask.Phone, TypeOID: 25}, []byte("+49 30 901820"), []byte("+49 •••• 20")},
		{"phone without country", mask.Column{Type: mask.Phone, TypeOID: 25}, []byte("(415) 555-0132"), []byte("•••• 32")},
		{"card", mask.Column{Type: mask.Card, TypeOID: 25}, []byte("4111-1111-1111-1234"), []byte("•••• •••• •••• 1234")},
		{"iban", mask.Column{Type: mask.IBAN, TypeOID: 25}, []byte("DE89370400440532013000"), []byte("DE•• •••• 00")},
		{"person", mask.Column{Type: mask.Person, TypeOID: 25}, []byte("Ada Lovelace"), []byte("•••")},
		{"ip", mask.Column{Type: mask.IP, TypeOID: 25}, []byte("203.0.113.77"), []byte("203.0.113.•••")},
		{"secret", mask.Column{Type: mask.Secret, TypeOID: 25}, []byte("hunter2"), []byte("[masked:secret]")},
		{"empty text", mask.Column{Type: mask.Person, TypeOID: 25}, []byte(""), []byte("•••")},
		{"int4", mask.Column{Type: mask.Salary, TypeOID: 23}, []byte("52000"), []byte("0")},
		{"int4, binary", mask.Column{Type: mask.Salary, TypeOID: 23, Binary: true}, be32(52000), be32(0)},
		{"int8, binary", mask.Column{Type: mask.Card, TypeOID: 20, Binary: true}, be64(4111111111111111), be64(0)},
		{"numeric, binary", mask.Column{Type: mask.Salary, TypeOID: 1700, Binary: true}, []byte{0, 1, 0, 1, 0, 0, 0, 0, 0, 5}, make([]byte, 8)},
		{"float8", mask.Column{Type: mask.Salary, TypeOID: 701}, []byte("1.5"), []byte("0")},
		{"bool", mask.Column{Type: mask.Health, TypeOID: 16}, []byte("t"), null},
		{"date of birth", mask.Column{Type: mask.BirthDate, TypeOID: 1082}, []byte("1984-07-19"), []byte("1984-01-01")},
		{"date of birth, binary", mask.Column{Type: mask.BirthDate, TypeOID: 1082, Binary: true}, be32(-5644), be32(-5844)},
		{"leap day, binary", mask.Column{Type: mask.BirthDate, TypeOID: 1082, Binary: true}, be32(59), be32(0)},
		{"other date", mask.Column{Type: mask.Health, TypeOID: 1082}, []byte("2024-03-17"), []byte("2024-03-01")},
		{"other date, binary", mask.Column{Type: mask.Health, TypeOID: 1082, Binary: true}, be32(8842), be32(8826)},
		{"date in another style", mask.Column{Type: mask.BirthDate, TypeOID: 1082}, []byte("19.07.1984"), []byte("1900-01-01")},
		{"date infinity, binary", mask.Column{Type: mask.BirthDate, TypeOID: 1082, Binary: true}, be32(math.MaxInt32), be32(-36524)},
		{"timestamp", mask.Column{Type: mask.BirthDate, TypeOID: 1114}, []byte("1984-07-19 10:11:12"), []byte("1984-01-01 00:00:00")},
		{"timestamptz, binary", mask.Column{Type: mask.BirthDate, TypeOID: 1184, Binary: true}, be64(-1), be64(-365 * day)},
		{"uuid", mask.Column{TypeOID: 2950}, []byte("550e8400-e29b-41d4-a716-446655440000"), []byte("00000000-0000-0000-0000-000000000000")},
		{"uuid, binary", mask.Column{TypeOID: 2950, Binary: true}, make([]byte, 16), make([]byte, 16)},
		{"inet", mask.Column{Type: mask.IP, TypeOID: 869}, []byte("203.0.113.77"), []byte("0.0.0.0")},
		{"inet, binary", mask.Column{Type: mask.IP, TypeOID: 869, Binary: true}, []byte{2, 32, 0, 4, 203, 0, 113, 77}, []byte{2, 32, 0, 4, 0, 0, 0, 0}},
		{"json", mask.Column{TypeOID: 114}, []byte(`{"a":1}`), []byte(`{"masked":true}`)},
		{"jsonb, binary", mask.Column{TypeOID: 3802, Binary: true}, []byte("\x01{}"), []byte("\x01" + `{"masked":true}`)},
		{"bytea", mask.Column{TypeOID: 17}, []byte(`\x41`), []byte(`\x`)},
		{"bytea, binary", mask.Column{TypeOID: 17, Binary: true}, []byte("A"), []byte{}},
		{"array", mask.Column{TypeOID: 1009}, []byte(`{a,b}`), null},
		{"composite of the user", mask.Column{TypeOID: 16999}, []byte(`(a,b)`), null},
		{"unknown type, binary", mask.Column{TypeOID: 16999, Binary: true}, []byte{1, 2}, null},
		{"NULL stays", mask.Column{Type: mask.Email, TypeOID: 25}, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.col.State = mask.PII
			row := [][]byte{tt.in}
			n := mask.NewPlan([]mask.Column{tt.col}).Apply(row)
			if d := cmp.Diff(tt.want, row[0]); d != "" {
				t.Errorf("%s (text %q)", d, row[0])
			}
			if (n == 1) != (tt.in != nil) {
				t.Errorf("masked %d", n)
			}
		})
	}
}

func TestMaskedTextIsRecognised(t *testing.T) {
	for _, typ := range []mask.Type{mask.Email, mask.Person, mask.Phone, mask.Card, mask.IBAN, mask.SSN, mask.IP, mask.BirthDate,
		mask.Address, mask.Salary, mask.Secret, mask.Username, mask.Opaque, "something new"} {
		for _, v := range []string{"jane@acme.com", "+49 30 901820", "4111111111111111", "DE89370400440532013000", "203.0.113.77", "1984-07-19", "x", ""} {
			for _, oid := range []uint32{25, 114, 3802, 142} {
				row := [][]byte{[]byte(v)}
				mask.NewPlan([]mask.Column{{State: mask.PII, Type: typ, TypeOID: oid}}).Apply(row)
				if !mask.ContainsMask(string(row[0])) {
					t.Errorf("%s of %q as type %d: %q is not known again", typ, v, oid, row[0])
				}
			}
		}
	}
	for _, s := range []string{"", "jane@acme.com", "the masked man", "masked_at", "•", "0", "{}"} {
		if mask.ContainsMask(s) {
			t.Errorf("%q is taken for a mask", s)
		}
	}
}

func TestCleanPlan(t *testing.T) {
	p := mask.NewPlan([]mask.Column{{State: mask.Clean, TypeOID: 25}})
	row := [][]byte{[]byte("a@b.de")}
	if !p.Clean() || p.Apply(row) != 0 || string(row[0]) != "a@b.de" {
		t.Error("a clean column was touched")
	}
	if mask.NewPlan([]mask.Column{{State: mask.Clean}, {State: mask.Unknown}}).Clean() {
		t.Error("a plan with an unknown column is taken for clean")
	}
}

func TestUnknownValues(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
		oid            uint32
	}{
		{"prose", "mail jane@acme.com or call +49 30 901820!", "mail j•••@masked.invalid or call +49 •••• 20!", 25},
		{"nothing", "all good", "all good", 25},
		{"json leaf", `{"a": "jane@acme.com", "n": 12}`, `{"a": "j•••@masked.invalid", "n": 12}`, 3802},
		{"json key names it", `{"first_name":"Zxqv","tags":["a"],"age":3}`, `{"first_name":"•••","tags":["a"],"age":3}`, 3802},
		{"json below a key", `{"salary":{"base":52000,"n":[1]}}`, `{"salary":{"base":0,"n":[0]}}`, 114},
		{"json with escapes", `{"a":"x jane\u0040acme.com"}`, `{"a":"[masked]"}`, 114},
		{"json key is personal", `{"jane@acme.com":1}`, `{"j•••@masked.invalid":1}`, 114},
		{"json card as a number", `{"a":4111111111111111}`, `{"a":0}`, 114},
		{"json in text", `{"email":"nobody here"}`, `{"email":"•••"}`, 25},
		{"clean json", `{"a":[1,2.5e3,true,null,"x"],"b":{}}`, `{"a":[1,2.5e3,true,null,"x"],"b":{}}`, 3802},
		{"broken json", `{"a":`, `{"masked":true}`, 114},
		{"array", `{a,jane@acme.com}`, `{a,j•••@masked.invalid}`, 1009},
		{"card as number", "4111111111111111", "0", 20},
		{"number", "4111111111111112", "4111111111111112", 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			row := [][]byte{[]byte(tt.in)}
			mask.NewPlan([]mask.Column{{State: mask.Unknown, TypeOID: tt.oid}}).Apply(row)
			if string(row[0]) != tt.want {
				t.Errorf("got  %s\nwant %s", row[0], tt.want)
			}
			if tt.oid == 3802 && !json.Valid(row[0]) {
				t.Errorf("not valid JSON: %s", row[0])
			}
		})
	}
}

func TestResolve(t *testing.T) {
	pii := mask.SourceLabel{PII: true, Type: mask.Email, Direct: true, Where: "whole"}
	inText := mask.SourceLabel{PII: true, Type: mask.Email, Direct: true, Where: "embedded"}
	derived := mask.SourceLabel{PII: true, Type: mask.Email}
	clean := mask.SourceLabel{Clean: true, Direct: true}
	unknown := mask.SourceLabel{Direct: true}
	for _, tt := range []struct {
		name    string
		sources []mask.SourceLabel
		known   bool
		oid     uint32
		binary  bool
		column  string
		want    mask.State
	}{
		{"direct", []mask.SourceLabel{pii}, true, 25, false, "x", mask.PII},
		{"embedded is read", []mask.SourceLabel{inText}, true, 25, false, "x", mask.Unknown},
		{"embedded in bytes that cannot be read", []mask.SourceLabel{inText}, true, 16999, true, "x", mask.PII},
		{"derived", []mask.SourceLabel{derived}, true, 25, false, "x", mask.Hide},
		{"two", []mask.SourceLabel{pii, pii}, true, 25, false, "x", mask.Hide},
		{"with a clean one", []mask.SourceLabel{clean, pii}, true, 25, false, "x", mask.Hide},
		{"length of it", []mask.SourceLabel{derived}, true, 23, false, "x", mask.Hide},
		{"direct, but there may be more", []mask.SourceLabel{pii}, false, 25, false, "x", mask.Hide},
		{"clean", []mask.SourceLabel{clean, clean}, true, 25, false, "email", mask.Clean},
		{"count(*)", nil, true, 20, false, "count", mask.Clean},
		{"unknown content", []mask.SourceLabel{clean, unknown}, true, 25, false, "x", mask.Unknown},
		{"unknown content, integer", []mask.SourceLabel{unknown}, true, 20, false, "x", mask.Unknown},
		{"unknown content, time", []mask.SourceLabel{unknown}, true, 1184, false, "x", mask.Clean},
		{"unknown content, date", []mask.SourceLabel{unknown}, true, 1082, false, "x", mask.Hide},
		{"unknown content, address", []mask.SourceLabel{unknown}, true, 869, false, "x", mask.Hide},
		{"unknown origin, text", nil, false, 25, false, "x", mask.Unknown},
		{"unknown origin, text called email", nil, false, 25, false, "email", mask.PII},
		{"unknown origin, integer", nil, false, 23, false, "x", mask.Hide},
		{"unknown origin, integer called count", nil, false, 20, false, "count", mask.Hide},
		{"unknown origin, bool", nil, false, 16, false, "x", mask.Hide},
		{"unknown origin, time", nil, false, 1184, false, "x", mask.Hide},
		{"unknown origin, clean so far", []mask.SourceLabel{clean}, false, 23, false, "x", mask.Hide},
		{"unknown origin, type of the user in binary", nil, false, 16999, true, "x", mask.Hide},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := mask.Resolve(tt.sources, tt.known, tt.oid, tt.binary, tt.column)
			if got.State != tt.want {
				t.Errorf("state %d, want %d", got.State, tt.want)
			}
			if got.State == mask.PII && got.Type != mask.Email {
				t.Errorf("type %q", got.Type)
			}
		})
	}
}

// arrayOf makes the binary form of a one-dimensional array.
func arrayOf(elem int32, values ...string) []byte {
	b := bytes.Join([][]byte{be32(1), be32(0), be32(elem), be32(int32(len(values))), be32(1)}, nil)
	for _, v := range values {
		b = append(append(b, be32(int32(len(v)))...), v...)
	}
	return b
}

func recordOf(oid int32, values ...string) []byte {
	b := be32(int32(len(values)))
	for _, v := range values {
		b = append(append(append(b, be32(oid)...), be32(int32(len(v)))...), v...)
	}
	return b
}

func apply(c mask.Column, v []byte) []byte {
	row := [][]byte{v}
	mask.NewPlan([]mask.Column{c}).Apply(row)
	return row[0]
}

func TestEgress(t *testing.T) {
	unique := map[byte]string{'S': "ERROR", 'V': "ERROR", 'C': "23505", 'M': `duplicate key value violates unique constraint "people_email_key"`,
		'D': "Key (email)=(jane@acme.com) already exists.", 's': "public", 't': "people", 'n': "people_email_key", 'F': "nbtinsert.c", 'L': "673", 'R': "_bt_check_unique"}
	got, changed := mask.Egress(unique, true, nil)
	want := map[byte]string{'S': "ERROR", 'V': "ERROR", 'C': "23505", 'M': "duplicate key value violates unique constraint",
		's': "public", 't': "people", 'n': "people_email_key", 'F': "nbtinsert.c", 'L': "673", 'R': "_bt_check_unique"}
	if d := cmp.Diff(want, got); d != "" || !changed {
		t.Error(d, changed)
	}
	got, changed = mask.Egress(unique, false, nil)
	if got['D'] != "Key (email)=(j•••@masked.invalid) already exists." || !changed || got['M'] != unique['M'] {
		t.Errorf("scanned: %q", got)
	}
	plain := map[byte]string{'S': "ERROR", 'C': "42P01", 'M': `relation "x" does not exist`, 'P': "15"}
	got, changed = mask.Egress(plain, false, nil)
	if d := cmp.Diff(plain, got); d != "" || changed {
		t.Error("a message about clean data was changed", d)
	}
	if got, _ := mask.Egress(map[byte]string{'C': "", 'M': "secret words"}, true, nil); got['M'] == "secret words" || got['M'] == "" {
		t.Errorf("without a code: %q", got)
	}
}
