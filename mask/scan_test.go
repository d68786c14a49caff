package mask_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/mask"
)

const textOID = 25

func TestScanText(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"ada@example.org", "email:ada@example.org"},
		{"write to <ada.lovelace+x@mail.example.co.uk>, please", "email:ada.lovelace+x@mail.example.co.uk"},
		{"https://x.test/?email=ada%40example.org&a=1", "email:ada%40example.org"},
		{"two: a@b.de, c@d.fr", "email:a@b.de email:c@d.fr"},
		{"postgres://bob:hunter2@db.example.com/x", "secret:bob:hunter2@db.example.com"},
		{"4111 1111 1111 1111", "card:4111 1111 1111 1111"},
		{"paid with 5500-0000-0000-0004 today", "card:5500-0000-0000-0004"},
		{"378282246310005", "card:378282246310005"},
		{"DE89 3704 0044 0532 0130 00", "iban:DE89 3704 0044 0532 0130 00"},
		{"to GB82WEST12345698765432.", "iban:GB82WEST12345698765432"},
		{"ssn 123-45-6789", "ssn:123-45-6789"},
		{"call +49 30 901820 now", "phone:+49 30 901820"},
		{"+1 (415) 555-0132", "phone:+1 (415) 555-0132"},
		{"(415) 555-0132", "phone:(415) 555-0132"},
		{"0171 2345678", "phone:0171 2345678"},
		{"from 203.0.113.77", "ip:203.0.113.77"},
		{"2001:db8:85a3::8a2e:370:7334", "ip:2001:db8:85a3::8a2e:370:7334"},
		{"00:1b:44:11:3a:b7", "mac:00:1b:44:11:3a:b7"},
		{"529.982.247-25", "national_id:529.982.247-25"},
		{"key=sk_live_4eC39HqLyjWDarjtT1zdp7dc", "secret:sk_live_4eC39HqLyjWDarjtT1zdp7dc"},
		{"AKIAIOSFODNN7EXAMPLE1", "secret:AKIAIOSFODNN7EXAMPLE1"},
		{"$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW", "secret:$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW"},
		{"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N", "jwt:eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"},
		{"Maria Schmidt", "person:Maria Schmidt"},
		{"DOB: 1961-08-19.", "dob:1961-08-19"},
		{"geboren am 02.01.1985 in Ulm", "dob:02.01.1985"},
		{"call 0135 267617.", "phone:0135 267617"},
		{"Tel. 030/901820", "phone:030/901820"},
		{"glpat-iedXknIBXN2tYatpNcVs", "secret:glpat-iedXknIBXN2tYatpNcVs"},
		{"pbkdf2_sha256$600000$Rudjt1K6SGSILUezFlIDOf$1qvFfdVWXiCQMlkDskghi8sAkYHB=", "secret:pbkdf2_sha256$600000$Rudjt1K6SGSILUezFlIDOf$1qvFfdVWXiCQMlkDskghi8sAkYHB="},
		{"José García López", "person:José García López"},

		{"", ""},
		{"logo@2x.png", ""},
		{"me @ home", ""},
		{"4111 1111 1111 1112", ""},                      // Luhn
		{"0.4111111111111111", ""},                       // a fraction
		{"1700000000000", ""},                            // milliseconds
		{"DE88370400440532013000", ""},                   // remainder
		{"000-12-3456", ""},                              // never issued
		{"2024-01-05 10:00:00.123456+00", ""},            // a time
		{"05/01/2024 10:00", ""},                         //
		{"01-05-2024 10:00", ""},                         //
		{"550e8400-e29b-41d4-a716-446655440000", ""},     // a uuid
		{"version 1.2.3.4", ""},                          // a version
		{"127.0.0.1", ""},                                // no one
		{"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b", ""}, // a hash
		{"due on 1961-08-19", ""},
		{"sk-learning-is-fun-for-all", ""},
		{"npm_config_registry_url", ""},
		{"pending", ""},
		{"New York", ""},
		{"Order Shipped", ""},
	} {
		var got []string
		for _, s := range mask.Scan(nil, []byte(tt.in), textOID, false) {
			got = append(got, string(s.Type)+":"+tt.in[s.Start:s.End])
		}
		if g := strings.Join(got, " "); g != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, g, tt.want)
		}
	}
}

func TestScanDoesNotAllocateWhenClean(t *testing.T) {
	v := []byte("shipped to warehouse 12, 3 items")
	room := make([]mask.Span, 0, 4)
	if n := testing.AllocsPerRun(100, func() { mask.Scan(room, v, textOID, false) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestNameType(t *testing.T) {
	for name, want := range map[string]string{
		"email": "email!", "EmailAddress": "email!", "customer_email": "email!", "e_mail": "email!", "contactEmail": "email!",
		"email_sent": "", "email_verified": "", "email_count": "", "phone_model": "", "email_template_id": "", "last_login_at": "",
		"first_name": "person!", "nachname": "person!", "prénom": "person!", "apellidos": "person!", "cognome": "person!", "achternaam": "person!",
		"name": "person", "city": "address", "product_name": "", "file_name": "", "born_on": "dob!", "mac_adress": "mac!", "email_on": "", "mac_adresse": "mac!", "data_de_nascimento": "dob!",
		"geburtsdatum": "dob!", "dob": "dob!", "date_of_birth": "dob!", "fecha_nacimiento": "dob!", "birth_year": "",
		"tel": "phone!", "telefonnummer": "phone!", "celular": "phone!", "mobile_phone": "phone!",
		"iban": "iban!", "credit_card_number": "card!", "pan": "card!", "cc_number": "card!",
		"ssn": "ssn!", "national_id": "national_id!", "codice_fiscale": "national_id!", "bsn": "national_id!", "cpf": "national_id!",
		"password_hash": "secret!", "api_key": "secret!", "mot_de_passe": "secret!", "wachtwoord": "secret!",
		"salary": "salary!", "gehalt": "salary!", "diagnosis": "health!", "religion": "belief!", "straße": "address!",
		"ip_address": "ip!", "ship_date": "", "id": "", "status": "", "created_at": "", "quantity": "", "companies": "",
	} {
		got, strong := mask.NameType(name)
		g := string(got)
		if strong {
			g += "!"
		}
		if g != want {
			t.Errorf("%s: got %q, want %q", name, g, want)
		}
	}
}

// TestDoorValueMadeToTakeLong: a value can be written by anyone, and reading it must
// not take time that grows with the square of its length.
func TestDoorValueMadeToTakeLong(t *testing.T) {
	for _, piece := range []string{"%40", "@", "a@", "a@b.c", "://", "eyJ/", "sk-/", "$2b$", "$1$ ", "+", "(", "+4", "1.", "1-", "1 ", ":", "a:", "::1 ",
		"DE89", "DE89 ", "-", "-----BEGIN ", "a@b.de 4111111111111111 ", "Ada ", "{", "[", "{\"a\":", "\"", "\\"} {
		v := []byte(strings.Repeat(piece, (256<<10)/len(piece)))
		start := time.Now()
		mask.Scan(nil, v, textOID, false)
		apply(mask.Column{State: mask.Unknown, TypeOID: 3802}, v)
		if d := time.Since(start); d > 8*time.Second { // linear: 50 ms, or 1 s under the race detector; quadratic: a minute
			t.Errorf("%q repeated: %v", piece, d)
		}
	}
}
