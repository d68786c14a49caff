package mask_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/mask"
)

// Each test is named after a way around the mask that it closes.

func gone(t *testing.T, out []byte, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		if bytes.Contains(out, []byte(s)) {
			t.Errorf("%q leaves in %q", s, out)
		}
	}
}

func TestDoorSSNUnderMisleadingColumnName(t *testing.T) {
	var values []string
	for i := range 40 {
		values = append(values, fmt.Sprintf("%03d-%02d-%04d", 100+i, 10+i, 1000+i))
	}
	f := mask.Classify(mask.ColumnInfo{Table: "settings", Column: "color_code", Type: "text", TypeOID: 25, Samples: values})
	if !f.PII || f.Type != mask.SSN || f.Where != "whole" {
		t.Errorf("%+v", f)
	}
}

func TestDoorEmailInJSON(t *testing.T) {
	v := `{"meta":{"k":["x",{"c":"jane@acme.com"}]}}`
	for _, bin := range []bool{false, true} {
		in := v
		if bin {
			in = "\x01" + v
		}
		gone(t, apply(mask.Column{State: mask.Unknown, TypeOID: 3802, Binary: bin}, []byte(in)), "jane@", "acme")
	}
	var docs []string
	for i := range 30 {
		docs = append(docs, fmt.Sprintf(`{"k":{"c":"user%d@acme.com"}}`, i))
	}
	f := mask.Classify(mask.ColumnInfo{Table: "events", Column: "payload", Type: "jsonb", TypeOID: 3802, Samples: docs})
	if !f.PII || f.Type != mask.Email || f.Where != "json" {
		t.Errorf("%+v", f)
	}
}

func TestDoorEmailInBinaryFormat(t *testing.T) {
	for _, state := range []mask.State{mask.PII, mask.Unknown, mask.Hide} {
		for _, oid := range []uint32{25, 1043, 1042, 19} {
			out := apply(mask.Column{State: state, Type: mask.Email, TypeOID: oid, Binary: true}, []byte("jane@acme.com"))
			gone(t, out, "jane@", "acme")
			if len(out) == 0 {
				t.Errorf("state %d type %d: nothing left", state, oid)
			}
		}
	}
}

func TestDoorEmailInBinaryArray(t *testing.T) {
	// The length of the element before is a byte that reads as a letter or as an @.
	for _, v := range []string{"jane@acme.com", strings.Repeat("x", 50) + " jane@acme.com"} {
		if out := apply(mask.Column{State: mask.Unknown, TypeOID: 1009, Binary: true}, arrayOf(25, "a", v)); out != nil {
			t.Errorf("leaves: %q", out)
		}
	}
	clean := arrayOf(25, "a", "b")
	if out := apply(mask.Column{State: mask.Unknown, TypeOID: 1009, Binary: true}, clean); !bytes.Equal(out, clean) {
		t.Errorf("clean array became %q", out)
	}
}

func TestDoorEmailInBinaryRecord(t *testing.T) {
	if out := apply(mask.Column{State: mask.Unknown, TypeOID: 2249, Binary: true}, recordOf(25, "a", "jane@acme.com")); out != nil {
		t.Errorf("leaves: %q", out)
	}
	nested := recordOf(2249, string(recordOf(25, "123-45-6789")))
	if out := apply(mask.Column{State: mask.Unknown, TypeOID: 2249, Binary: true}, nested); out != nil {
		t.Errorf("leaves nested: %q", out)
	}
	if out := apply(mask.Column{State: mask.Unknown, TypeOID: 2249, Binary: true}, recordOf(16999, "whatever")); out != nil {
		t.Errorf("a field of unknown type leaves: %q", out)
	}
}

func TestDoorEmailAsBytea(t *testing.T) {
	gone(t, apply(mask.Column{State: mask.Unknown, TypeOID: 17}, []byte(`\x6a616e654061636d652e636f6d`)), "6a616e65")
	gone(t, apply(mask.Column{State: mask.Unknown, TypeOID: 17, Binary: true}, []byte("jane@acme.com")), "jane")
}

func TestDoorCardAsBinaryNumber(t *testing.T) {
	card := be64(4111111111111111)
	if out := apply(mask.Column{State: mask.Unknown, TypeOID: 20, Binary: true}, card); !bytes.Equal(out, be64(0)) {
		t.Errorf("int8 leaves: %x", out)
	}
	// 4111 1111 1111 1111 as words of numeric
	n := []byte{0, 4, 0, 3, 0, 0, 0, 0, 0x10, 0x0f, 0x04, 0x57, 0x04, 0x57, 0x04, 0x57}
	if out := apply(mask.Column{State: mask.Unknown, TypeOID: 1700, Binary: true}, n); !bytes.Equal(out, make([]byte, 8)) {
		t.Errorf("numeric leaves: %x", out)
	}
}

func TestDoorUnknownOriginIsHidden(t *testing.T) {
	for _, oid := range []uint32{16, 20, 21, 23, 700, 701, 1700, 1082, 1114, 1184, 869, 2950, 600, 3904} {
		c := mask.Resolve(nil, false, oid, false, "count")
		if c.State != mask.Hide {
			t.Errorf("type %d: state %d", oid, c.State)
		}
	}
	gone(t, apply(mask.Resolve(nil, false, 25, false, "x"), []byte("jane@acme.com")), "jane@")
	if out := apply(mask.Resolve(nil, false, 16999, true, "x"), []byte("jane@acme.com")); out != nil {
		t.Errorf("leaves: %q", out)
	}
}

func TestDoorZeroColumnHides(t *testing.T) {
	gone(t, apply(mask.Column{TypeOID: 25}, []byte("jane")), "jane")
	if out := apply(mask.Column{}, []byte("jane")); out != nil {
		t.Errorf("leaves: %q", out)
	}
}

func TestDoorMoreValuesThanColumns(t *testing.T) {
	row := [][]byte{[]byte("a"), []byte("jane@acme.com")}
	mask.NewPlan([]mask.Column{{State: mask.Clean, TypeOID: 25}}).Apply(row)
	if row[1] != nil {
		t.Errorf("leaves: %q", row[1])
	}
}

func TestDoorDerivedValueNamedCount(t *testing.T) {
	c := mask.Resolve([]mask.SourceLabel{{PII: true, Type: mask.Salary}}, true, 23, false, "count")
	gone(t, apply(c, []byte("52000")), "52")
}

func TestDoorErrorQuotesValue(t *testing.T) {
	for _, code := range []string{"22P02", "22007", "23505", "42704", "P0001", "XX000", "ZZZZZ", ""} {
		got, _ := mask.Egress(map[byte]string{'C': code, 'S': "ERROR", 'M': `invalid input syntax for type integer: "Zxqv Plmk"`,
			'D': "Failing row contains (Zxqv).", 'H': "Zxqv", 'W': "Zxqv", 'q': "select 'Zxqv'", '?': "Zxqv"}, true, nil)
		gone(t, []byte(fmt.Sprint(got)+got['M']+got['D']+got['H']), "Zxqv")
		for k, v := range got {
			if strings.Contains(v, "Zxqv") {
				t.Errorf("%s: field %c leaves %q", code, k, v)
			}
		}
	}
}

func TestDoorRaiseForgesConstraintName(t *testing.T) {
	got, _ := mask.Egress(map[byte]string{'C': "23505", 'M': "x", 'n': "Zxqv", 't': "Zxqv", 'R': "exec_stmt_raise"}, true, nil)
	if got['n'] != "" || got['t'] != "" {
		t.Errorf("leaves %q", got)
	}
}

func TestDoorColumnNameMadeOfValue(t *testing.T) {
	gone(t, []byte(mask.EgressName("jane@acme.com")), "jane@")
	if got := mask.EgressName("total_2024"); got != "total_2024" {
		t.Errorf("%q", got)
	}
}

func TestDoorNamesUnderMeaninglessColumnName(t *testing.T) {
	values := strings.Split("Maria Schmidt,Jan Kowalski,Emily Clark,José García,Wei Zhang,Fatima Khan,Olga Ivanova,Tom Baker,"+
		"Lars Nielsen,Giulia Rossi,Hana Novak,Amit Sharma,Zyx Qwv,Peter Xlm,Anna Grf,Yuki Tanaka,Sofia Lopes,Ali Yilmaz,Noah Cohen,Kate Byrne", ",")
	f := mask.Classify(mask.ColumnInfo{Table: "t7", Column: "c3", Type: "text", TypeOID: 25, Samples: values})
	if !f.PII || f.Type != mask.Person {
		t.Errorf("%+v", f)
	}
}

// Five characters of a value fit into the SQLSTATE of a RAISE, and any number into the
// place of an error in a text that somebody makes longer.
func TestDoorSQLSTATEIsMadeOfAValue(t *testing.T) {
	for code, want := range map[string]string{"WYRBB": "P0001", "22012": "22012", "ABC01": "ABC01", "": "P0001"} {
		got, _ := mask.Egress(map[byte]string{'C': code, 'M': "x", 'p': "122"}, true, nil, "do $$ begin raise sqlstate 'ABC01'; end $$")
		if got['C'] != want || got['p'] != "" {
			t.Errorf("%q leaves as %q, at %q", code, got['C'], got['p'])
		}
	}
	if got, _ := mask.Egress(map[byte]string{'C': "APP42", 'M': "x"}, true, func(s string) bool { return s == "APP42" }); got['C'] != "APP42" {
		t.Errorf("the code that a function has in its source leaves as %q", got['C'])
	}
	if got, _ := mask.Egress(map[byte]string{'C': "APP42", 'M': "x"}, false, nil); got['C'] != "APP42" {
		t.Errorf("without personal data a code leaves as %q", got['C'])
	}
}
