package specimen

import (
	"fmt"
	"strings"
)

// parts are personal data inside something else: prose, logs, addresses of the web,
// documents, arrays and composites. Not every value has some.
var parts = []kind{
	{name: "prose_email", types: []string{"email"}, oid: oidText, place: "embedded", like: "notes", make: in(2, (*maker).email)},
	{name: "prose_phone", types: []string{"phone"}, oid: oidText, place: "embedded", like: "notes", make: in(3, (*maker).phone)},
	{name: "prose_card", types: []string{"card"}, oid: oidText, place: "embedded", like: "notes", make: in(4, (*maker).card)},
	{name: "prose_iban", types: []string{"iban"}, oid: oidText, place: "embedded", like: "notes", make: in(5, (*maker).iban)},
	{name: "prose_ssn", types: []string{"ssn"}, oid: oidText, place: "embedded", like: "notes", make: in(5, (*maker).ssn)},
	{name: "prose_secret", types: []string{"secret"}, oid: oidText, place: "embedded", like: "notes", make: in(20, func(m *maker) string { return "sk_live_" + m.token(24) })},
	{name: "prose_mixed", types: []string{"email", "phone", "iban"}, oid: oidText, place: "embedded", like: "notes", make: in(3, func(m *maker) string {
		return pick(m, []func(*maker) string{(*maker).email, (*maker).phone, (*maker).iban})(m)
	})},
	{name: "log_ip", types: []string{"ip"}, oid: oidText, place: "embedded", like: "notes", make: func(m *maker) string {
		return fmt.Sprintf("%s - GET /%s/%d %d in %dms", m.ip(), m.lower(5), m.r.IntN(9000), 200+m.r.IntN(4), m.r.IntN(900))
	}},
	{name: "url_email", types: []string{"email"}, oid: oidText, place: "embedded", like: "-", make: func(m *maker) string {
		if m.r.IntN(3) > 0 {
			return fmt.Sprintf("https://%s/%s?page=%d", pick(m, m.set.domains), m.lower(6), m.r.IntN(90))
		}
		return fmt.Sprintf("https://%s/%s?e=%s&v=%d", pick(m, m.set.domains), m.lower(6), strings.Replace(m.email(), "@", "%40", 1), m.r.IntN(9))
	}},
	{name: "agent", types: []string{"email"}, oid: oidText, place: "embedded", like: "-", make: func(m *maker) string {
		s := fmt.Sprintf("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/%d.0.%d.%d", 100+m.r.IntN(40), m.r.IntN(9999), m.r.IntN(200))
		if m.r.IntN(4) == 0 {
			return "crawler/" + fmt.Sprint(m.r.IntN(9)) + ".0 (+mailto:" + m.email() + ")"
		}
		return s
	}},
	{name: "json_email", types: []string{"email"}, oid: oidJSONB, place: "json", like: "-", make: func(m *maker) string {
		return fmt.Sprintf(`{"q":%d,"zz":{"v":["%s",%t]}}`, m.r.IntN(900), m.email(), m.r.IntN(2) == 0)
	}},
	{name: "json_person", types: []string{"person"}, oid: oidJSONB, place: "json", like: "-", make: func(m *maker) string {
		return fmt.Sprintf(`{"%s":"%s","n":%d}`, m.set.keys[0][0], m.person(), m.r.IntN(90))
	}},
	{name: "json_phone", types: []string{"phone"}, oid: oidJSON, place: "json", like: "-", make: func(m *maker) string {
		return fmt.Sprintf(`{"a":[{"%s":"%s"}],"b":null}`, m.set.keys[1][0], m.phone())
	}},
	{name: "json_card", types: []string{"card"}, oid: oidJSONB, place: "json", like: "-", make: func(m *maker) string {
		return fmt.Sprintf(`{"amount":%d,"src":"%s"}`, m.r.IntN(9000), m.card())
	}},
	{name: "json_secret", types: []string{"secret"}, oid: oidJSONB, place: "json", like: "-", make: func(m *maker) string {
		return fmt.Sprintf(`{"url":"https://%s","%s":"%s"}`, pick(m, m.set.domains), m.set.keys[2][0], m.token(18))
	}},
	{name: "json_text", types: []string{"email"}, oid: oidText, place: "json", like: "-", make: func(m *maker) string {
		return fmt.Sprintf(`{"kind":"%s","to":"%s"}`, m.lower(4), m.email())
	}},
	{name: "array_email", types: []string{"email"}, oid: oidTexts, place: "embedded", like: "-", make: func(m *maker) string {
		return "{" + m.email() + "," + m.email() + "}"
	}},
	{name: "array_phone", types: []string{"phone"}, oid: oidTexts, place: "embedded", like: "-", make: func(m *maker) string {
		return `{mobile,"` + m.phone() + `"}`
	}},
	{name: "composite_email", types: []string{"email"}, oid: firstOwn + 7, place: "embedded", like: "-", make: func(m *maker) string {
		return fmt.Sprintf(`(%d,"%s %s",%s)`, m.r.IntN(900), m.lower(5), m.lower(6), m.email())
	}},
	{name: "composite_iban", types: []string{"iban"}, oid: firstOwn + 7, place: "embedded", like: "-", make: func(m *maker) string {
		return fmt.Sprintf(`(%s,%d.50)`, m.iban(), m.r.IntN(900))
	}},
}

// in puts a value into every nth piece of prose.
func in(n int, value func(*maker) string) func(*maker) string {
	return func(m *maker) string {
		s := m.sentence()
		if m.r.IntN(n) == 0 {
			s += pick(m, []string{" ", ": ", " - ", ", "}) + value(m) + pick(m, []string{"", ".", ", thanks", " (new)"})
		}
		return s
	}
}

func (m *maker) sentence() string {
	return pick(m, m.set.prose) + " " + pick(m, m.set.prose)
}
