package mask_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/sluicehq/sluice/mask"
)

var pseudonymKey = bytes.Repeat([]byte("key of test "), 4)

// pseudonymOf is what the plan for one column makes of a value.
func pseudonymOf(key []byte, purpose string, typ mask.Type, oid uint32, bin bool, v []byte) []byte {
	p := mask.NewPlan([]mask.Column{{State: mask.PII, Type: typ, TypeOID: oid, Binary: bin, Pseudonyms: mask.NewPseudonyms(key, map[mask.Type]string{typ: purpose})}})
	row := [][]byte{bytes.Clone(v)}
	p.Apply(row)
	return bytes.Clone(row[0])
}

// Each pseudonym is of the form of its type, is the same for the same value in text and
// in binary, and is not the mask.
func TestPseudonymsKeepTheirType(t *testing.T) {
	types := pgtype.NewMap()
	for _, tt := range []struct {
		typ   mask.Type
		oid   uint32
		value string
		form  string
	}{
		{mask.Email, pgtype.TextOID, "jane.roe@acme.com", `^u-[a-z2-7]{12}@masked\.invalid$`},
		{mask.Person, pgtype.VarcharOID, "Jane Roe", `^Person [a-z2-7]{12}$`},
		{mask.Phone, pgtype.TextOID, "+49 30 901820", `^\+999 \d{12}$`},
		{mask.Card, pgtype.TextOID, "4111111111111111", `^0000 \d{4} \d{4} \d{4}$`},
		{mask.IBAN, pgtype.TextOID, "DE89370400440532013000", `^XX\d{22}$`},
		{mask.SSN, pgtype.TextOID, "219-09-9999", `^\[ssn:[a-z2-7]{12}\]$`},
		{mask.IP, pgtype.TextOID, "203.0.113.9", `^fd[0-9a-f:]+$`},
		{mask.MAC, pgtype.TextOID, "00:1b:63:84:45:e6", `^.[26ae](:[0-9a-f]{2}){5}$`},
		{mask.Card, pgtype.Int8OID, "4111111111111111", `^\d+$`},
		{mask.NationalID, pgtype.Int4OID, "123456789", `^\d+$`},
		{mask.NationalID, pgtype.Int4OID, "-12", `^-\d+$`},
		{mask.Account, pgtype.NumericOID, "4111111111111111", `^\d+$`},
		{mask.Account, pgtype.NumericOID, "40000", `^\d+$`},
		{mask.Device, pgtype.UUIDOID, "6ba7b810-9dad-11d1-80b4-00c04fd430c8", `^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`},
		{mask.IP, pgtype.InetOID, "203.0.113.9/32", `^fd[0-9a-f:]+(/128)?$`},
		{mask.IP, pgtype.CIDROID, "203.0.113.0/24", `^fd[0-9a-f:]+/128$`},
		{mask.MAC, pgtype.MacaddrOID, "00:1b:63:84:45:e6", `^.[26ae](:[0-9a-f]{2}){5}$`},
		{mask.Device, pgtype.ByteaOID, `\x0102`, `^\\x[0-9a-f]{32}$`},
	} {
		t.Run(fmt.Sprint(tt.typ, tt.oid, tt.value), func(t *testing.T) {
			text := pseudonymOf(pseudonymKey, "p", tt.typ, tt.oid, false, []byte(tt.value))
			if !regexp.MustCompile(tt.form).Match(text) || string(text) == tt.value {
				t.Errorf("%s becomes %s", tt.value, text)
			}
			codec, _ := types.TypeForOID(tt.oid)
			v, err := codec.Codec.DecodeValue(types, tt.oid, pgtype.TextFormatCode, []byte(tt.value))
			if err != nil {
				t.Fatal(err)
			}
			raw, err := types.Encode(tt.oid, pgtype.BinaryFormatCode, v, nil)
			if err != nil {
				t.Fatal(err)
			}
			bin := pseudonymOf(pseudonymKey, "p", tt.typ, tt.oid, true, raw)
			w, err := codec.Codec.DecodeValue(types, tt.oid, pgtype.BinaryFormatCode, bin)
			if err != nil {
				t.Fatalf("%x is not of its type: %v", bin, err)
			}
			same, err := codec.Codec.DecodeValue(types, tt.oid, pgtype.TextFormatCode, text)
			if err != nil || fmt.Sprint(w) != fmt.Sprint(same) {
				t.Errorf("in binary it is %v, in text %v, %v", w, same, err)
			}
			for name, other := range map[string][]byte{
				"key":     pseudonymOf(bytes.Repeat([]byte("another key "), 4), "p", tt.typ, tt.oid, false, []byte(tt.value)),
				"purpose": pseudonymOf(pseudonymKey, "q", tt.typ, tt.oid, false, []byte(tt.value)),
			} {
				if bytes.Equal(other, text) {
					t.Errorf("with another %s it is the same", name)
				}
			}
		})
	}
}

// A join outside must not bring together what differs: whole numbers are permuted.
func TestNumbersOfPseudonymsAreAllDifferent(t *testing.T) {
	seen := map[uint32]bool{}
	const n = 200_000 // at random, five of so many would meet another
	p := mask.NewPlan([]mask.Column{{State: mask.PII, Type: mask.NationalID, TypeOID: pgtype.Int4OID, Binary: true,
		Pseudonyms: mask.NewPseudonyms(pseudonymKey, map[mask.Type]string{mask.NationalID: "p"})}})
	for i := range uint32(n) {
		row := [][]byte{binary.BigEndian.AppendUint32(nil, 100_000_000+i)}
		p.Apply(row)
		x := binary.BigEndian.Uint32(row[0])
		if seen[x] || x>>31 != 0 {
			t.Fatalf("%d of %d: %d", i, n, x)
		}
		seen[x] = true
	}
}

// The same number is the same in every type that can hold it.
func TestPseudonymsOfNumbersAgreeAcrossTypes(t *testing.T) {
	for _, v := range []string{"0", "7", "40000", "123456789", "2147483647"} {
		var first string
		for _, oid := range []uint32{pgtype.Int4OID, pgtype.Int8OID, pgtype.NumericOID} {
			got := string(pseudonymOf(pseudonymKey, "p", mask.NationalID, oid, false, []byte(v)))
			if first == "" {
				first = got
			}
			if got != first {
				t.Errorf("%s is %s and %s", v, first, got)
			}
		}
	}
}

// Where there is no pseudonym the mask stays.
func TestWithoutAPseudonymItIsMasked(t *testing.T) {
	for _, tt := range []struct {
		key  []byte
		typ  mask.Type
		oid  uint32
		v    string
		want string
	}{
		{nil, mask.Email, pgtype.TextOID, "jane.roe@acme.com", "j•••@masked.invalid"},
		{pseudonymKey[:8], mask.Email, pgtype.TextOID, "jane.roe@acme.com", "j•••@masked.invalid"},
		{pseudonymKey, mask.Salary, pgtype.Int4OID, "70000", "0"},
		{pseudonymKey, mask.BirthDate, pgtype.DateOID, "1984-05-06", "1984-01-01"},
		{pseudonymKey, mask.NationalID, pgtype.Int2OID, "12", "0"},
		{pseudonymKey, mask.Account, pgtype.NumericOID, "12.5", "0"},
		{pseudonymKey, mask.Account, pgtype.NumericOID, "NaN", "0"},
		{pseudonymKey, mask.Secret, pgtype.TextOID, "sk_live_x", "[masked:secret]"},
	} {
		if got := string(pseudonymOf(tt.key, "p", tt.typ, tt.oid, false, []byte(tt.v))); got != tt.want {
			t.Errorf("%s of %s: %s, want %s", tt.v, tt.typ, got, tt.want)
		}
	}
}

// In documents and prose, too, and what is written back is refused.
func TestPseudonymsInsideOfOtherValues(t *testing.T) {
	names := mask.NewPseudonyms(pseudonymKey, map[mask.Type]string{mask.Email: "p", mask.Phone: "p", mask.Card: "p", mask.IBAN: "p", mask.Person: "p", mask.SSN: "p"})
	whole := string(pseudonymOf(pseudonymKey, "p", mask.Email, pgtype.TextOID, false, []byte("jane.roe@acme.com")))
	for oid, v := range map[uint32]string{pgtype.TextOID: "ask jane.roe@acme.com for it", pgtype.JSONBOID: `{"a": "jane.roe@acme.com", "email": "jane.roe@acme.com"}`} {
		p := mask.NewPlan([]mask.Column{{State: mask.Unknown, TypeOID: oid, Pseudonyms: names}})
		row := [][]byte{[]byte(v)}
		p.Apply(row)
		if got := string(row[0]); got != strings.ReplaceAll(v, "jane.roe@acme.com", whole) {
			t.Errorf("%s becomes %s", v, got)
		}
	}
	for typ, v := range map[mask.Type]string{mask.Email: "a@b.de", mask.Phone: "+49 30 901820", mask.Card: "4111111111111111", mask.IBAN: "DE89370400440532013000", mask.Person: "Jane Roe", mask.SSN: "219-09-9999"} {
		got := string(pseudonymOf(pseudonymKey, "p", typ, pgtype.TextOID, false, []byte(v)))
		if !mask.IsMask(got) || !mask.ContainsMask(got) && !mask.MayHoldPseudonym("update x set y = '"+got+"'") {
			t.Errorf("%s can be written back", got)
		}
	}
	if _, err := netip.ParseAddr(string(pseudonymOf(pseudonymKey, "p", mask.IP, pgtype.TextOID, false, []byte("203.0.113.9")))); err != nil {
		t.Error(err)
	}
}
