package mask_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/mask"
)

// values makes n values by a pattern with the number in it.
func values(n int, f func(i int) string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = f(i)
	}
	return out
}

func numbered(format string) []string {
	return values(50, func(i int) string { return fmt.Sprintf(format, i+10) })
}

func oneOf(list string) []string {
	words := strings.Split(list, "|")
	return values(60, func(i int) string { return words[i%len(words)] })
}

// luhn completes a number with its check digit.
func luhn(s string) string {
	sum := 0
	for i := range s {
		d := int(s[len(s)-1-i] - '0')
		if i%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return s + fmt.Sprint((10-sum%10)%10)
}

func cards(format string) []string {
	return values(50, func(i int) string { return luhn(fmt.Sprintf(format, i*7919)) })
}

const people = "Maria Schmidt|Jan Kowalski|Emily Clark|José García|Wei Zhang|Fatima Khan|Olga Ivanova|Tom Baker|Lars Nielsen|" +
	"Giulia Rossi|Hana Novak|Amit Sharma|Peter Xlm|Anna Grf|Yuki Tanaka|Sofia Lopes|Ali Yilmaz|Noah Cohen|Kate Byrne|Zyx Qwv"

func TestClassify(t *testing.T) {
	prose := "The customer called about the order and wants it sent elsewhere"
	for _, tt := range []struct {
		name   string
		table  string
		column string
		oid    uint32
		values []string
		want   string // type:where, "clean" or "unknown"
	}{
		// names alone, no content
		{"honest", "users", "email", 25, nil, "email:whole"},
		{"german", "kunden", "geburtsdatum", 1082, nil, "dob:whole"},
		{"french", "clients", "prénom", 25, nil, "person:whole"},
		{"spanish", "clientes", "telefono", 25, nil, "phone:whole"},
		{"italian", "utenti", "codice_fiscale", 25, nil, "national_id:whole"},
		{"portuguese", "pessoas", "senha", 25, nil, "secret:whole"},
		{"dutch", "klanten", "achternaam", 25, nil, "person:whole"},
		{"weak name, people", "customers", "name", 25, nil, "person:whole"},
		{"weak name, things", "products", "name", 25, nil, "unknown"},
		{"salary", "staff", "salary", 1700, nil, "salary:whole"},
		{"salary in float8", "staff", "base_salary", 701, nil, "salary:whole"},
		{"card in int8", "t", "card_number", 20, nil, "card:whole"},
		{"password hash", "t", "password_hash", 25, nil, "secret:whole"},
		{"head noun", "t", "email_sent", 16, nil, "clean"},
		{"time", "t", "created_at", 1184, nil, "clean"},
		{"date", "t", "ship_date", 1082, nil, "clean"},
		{"inet", "t", "addr", 869, nil, "address:whole"},
		{"inet without a name", "t", "x", 869, nil, "ip:whole"},
		{"text never read", "t", "c1", 25, nil, "unknown"},
		{"short for number", "t", "insurance_no", 25, nil, "national_id:whole"},

		// names and content
		{"made-up people who are numbered", "t", "full_name", 25, numbered("Maria Gonzalez 1%d"), "person:whole"},
		{"the same under another name", "t", "c1", 25, values(50, func(i int) string {
			return strings.Split(people, "|")[i%20] + fmt.Sprintf(" %d", 100+i)
		}), "person:whole"},
		{"things that are numbered", "t", "c1", 25, numbered("Town 1%d"), "clean"},
		{"logins, not names", "t", "full_name", 25, numbered("svc-1%d-batch"), "clean"},
		{"row numbers of patients", "visits", "patient_id", 23, numbered("1%d"), "clean"},
		{"short numbers of accounts", "t", "account_number", 23, numbered("1%d"), "account:whole"},
		{"numbers of patients that a hospital gives", "visits", "patient_id", 20, numbered("7200481%d"), "national_id:whole"},
		{"int4", "t", "quantity", 23, nil, "clean"},
		{"type of the user", "t", "c1", 16999, nil, "unknown"},

		// content alone
		{"email", "t", "c1", 25, numbered("user%d@acme.com"), "email:whole"},
		{"phone", "t", "c1", 25, numbered("+49 30 9018%d"), "phone:whole"},
		{"card text", "t", "c1", 25, cards("41111111%07d"), "card:whole"},
		{"card number", "t", "c1", 20, cards("55111111%07d"), "card:whole"},
		{"ids of 16 digits", "t", "c1", 20, numbered("41111111111111%d"), "clean"},
		{"ssn", "t", "c1", 25, numbered("212-%d-4321"), "ssn:whole"},
		{"ip", "t", "c1", 25, numbered("203.0.113.%d"), "ip:whole"},
		{"persons", "t", "c1", 25, oneOf(people), "person:whole"},
		{"names that the lists hardly know", "t", "c1", 25, values(40, func(i int) string {
			if i%10 == 0 {
				return fmt.Sprintf("Maria Qwx%c", 'a'+i/2)
			}
			return fmt.Sprintf("Zelimkhan Bzx%c%c", 'a'+i/2, 'a'+i%7)
		}), "unknown"},
		{"the same in a table of people", "patients", "c1", 25, values(40, func(i int) string {
			if i%8 == 0 {
				return fmt.Sprintf("Maria Qwx%c", 'a'+i/2)
			}
			return fmt.Sprintf("Zelimkhan Bzx%c%c", 'a'+i/2, 'a'+i%7)
		}), "person:whole"},
		{"one stray number", "t", "c1", 25, append(oneOf("paid|open|shipped|back"), "+49 30 901820"), "unknown"},
		{"streets", "t", "c1", 25, numbered("%d Elm Street"), "address:whole"},
		{"german streets", "t", "c1", 25, numbered("Hauptstraße %d"), "address:whole"},

		// misleading names
		{"email called color", "t", "color", 25, numbered("user%d@acme.com"), "email:whole"},
		{"phone called sku", "products", "sku", 25, numbered("+49 30 9018%d"), "phone:whole"},
		{"statuses called email", "t", "email", 25, oneOf("sent|bounced|queued|opened"), "clean"},
		{"models called phone", "t", "phone", 25, oneOf("Pixel|Galaxy|Moto|Nokia"), "clean"},
		{"cities called location", "users", "location", 25, oneOf("Berlin|Paris|Rome|Oslo"), "address:whole"},

		// embedded
		{"prose with addresses", "t", "note", 25, values(60, func(i int) string {
			if i%10 == 0 {
				return prose + fmt.Sprintf(", reach her at user%d@acme.com", i)
			}
			return prose + fmt.Sprint(i)
		}), "email:embedded"},
		{"prose with nothing", "t", "note", 25, values(60, func(i int) string { return prose }), "unknown"},
		{"one key in a log", "t", "line", 25, append(numbered("request %d took long"), "used sk_live_4eC39HqLyjWDarjtT1zdp7dc"), "secret:embedded"},
		{"json", "t", "doc", 3802, numbered(`{"who":"user%d@acme.com"}`), "email:json"},
		{"json by key", "t", "doc", 3802, numbered(`{"first_name":"X%d"}`), "person:json"},
		{"json with nothing", "t", "doc", 3802, numbered(`{"n":%d}`), "unknown"},
		{"json in text", "t", "doc", 25, numbered(`{"who":"user%d@acme.com"}`), "email:json"},

		// clean content
		{"statuses", "t", "status", 25, oneOf("paid|open|shipped"), "clean"},
		{"skus", "products", "sku", 25, numbered("AB-%d-XL"), "clean"},
		{"uuids in text", "t", "ref", 25, numbered("550e8400-e29b-41d4-a716-4466554400%d"), "clean"},
		{"hashes", "t", "etag", 25, numbered("9f86d081884c7d659a2feaa0c55ad015a3bf4f%d"), "clean"},
		{"versions", "t", "version", 25, numbered("1.2.3.%d"), "clean"},
		{"times in text", "t", "at", 25, numbered("2024-01-05 10:11:%d"), "clean"},
		{"products", "products", "title", 25, oneOf("Steel Bottle|Rain Coat|Desk Lamp|Yoga Mat"), "clean"},
		{"companies", "companies", "name", 25, oneOf("Baker Street Ltd|Smith & Sons|Clark Inc|Meyer GmbH"), "clean"},
		{"countries", "t", "country", 25, oneOf("Germany|France|Spain|Italy"), "clean"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := mask.Classify(mask.ColumnInfo{Schema: "public", Table: tt.table, Column: tt.column, TypeOID: tt.oid, Samples: tt.values})
			got := "unknown"
			switch {
			case f.PII:
				got = string(f.Type) + ":" + f.Where
			case f.Clean:
				got = "clean"
			}
			if got != tt.want {
				t.Errorf("got %s (%s), want %s", got, f.Evidence, tt.want)
			}
			if f.Evidence == "" {
				t.Error("no evidence")
			}
		})
	}
}

// A column without a letter in its name is judged by its comment.
func TestColumnWithoutALetter(t *testing.T) {
	f := mask.Classify(mask.ColumnInfo{Table: "customers", Column: "1", Type: "integer", TypeOID: 23, Comment: "account number", Samples: numbered("1%d")})
	if !f.PII || f.Type != mask.Account {
		t.Errorf("%+v", f)
	}
}
