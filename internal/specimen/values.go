package specimen

import (
	"fmt"
	"strings"
	"time"
)

// culture is a way of naming people.
type culture struct {
	given, family []string
	familyFirst   bool
	joined        bool // no space between, as in Chinese writing
}

func (m *maker) pair() (given, family string) {
	c := pick(m, m.set.cultures)
	return pick(m, c.given), pick(m, c.family)
}

func (m *maker) person() string {
	c := pick(m, m.set.cultures)
	g, f := pick(m, c.given), pick(m, c.family)
	switch {
	case c.joined:
		return f + g
	case c.familyFirst:
		return f + " " + g
	case m.r.IntN(6) == 0:
		return g + " " + pick(m, c.given) + " " + f
	}
	return g + " " + f
}

func (m *maker) email() string {
	local := m.lower(3+m.r.IntN(7)) + pick(m, []string{"", ".", "_", "+"}) + m.lower(2+m.r.IntN(5))
	if m.r.IntN(3) == 0 {
		local += m.digits(2)
	}
	return local + "@" + pick(m, m.set.domains)
}

func (m *maker) letters(n int, from byte) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = from + byte(m.r.IntN(26))
	}
	return string(b)
}

func (m *maker) lower(n int) string { return m.letters(n, 'a') }
func (m *maker) upper(n int) string { return m.letters(n, 'A') }

func (m *maker) digits(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = '0' + byte(m.r.IntN(10))
	}
	return string(b)
}

func (m *maker) hex(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdef"[m.r.IntN(16)]
	}
	return string(b)
}

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

func (m *maker) token(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphanumeric[m.r.IntN(len(alphanumeric))]
	}
	return string(b)
}

func (m *maker) uuid() string {
	h := m.hex(32)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}

func grouped(s string, n int, sep string) string {
	var b strings.Builder
	for i := 0; i < len(s); i += n {
		if i > 0 {
			b.WriteString(sep)
		}
		b.WriteString(s[i:min(i+n, len(s))])
	}
	return b.String()
}

func (m *maker) phone() string {
	code := pick(m, []string{"1", "44", "49", "33", "34", "39", "31", "46", "48", "55", "91", "81", "351", "353", "420", "380", "27", "61", "90"})
	n := m.digits(9)
	if m.r.IntN(3) == 0 {
		return "+" + code + "9" + n
	}
	return "+" + code + " 2" + n[:2] + " " + n[2:5] + " " + n[5:]
}

func (m *maker) phoneNational() string {
	n := m.digits(8)
	switch m.r.IntN(4) {
	case 0:
		return "(" + fmt.Sprint(201+m.r.IntN(700)) + ") 2" + n[:2] + "-" + n[2:6]
	case 1:
		return "01" + n[:2] + " " + n[2:8]
	case 2:
		return "0" + fmt.Sprint(20+m.r.IntN(70)) + "/" + n
	}
	return fmt.Sprintf("06 %s %s %s %s", n[:2], n[2:4], n[4:6], n[6:8])
}

func (m *maker) address() string {
	shape := pick(m, m.set.streets)
	word := pick(m, m.set.places)
	if strings.HasPrefix(shape, "%d") {
		return fmt.Sprintf(shape, 1+m.r.IntN(180), word)
	}
	return fmt.Sprintf(shape, word, 1+m.r.IntN(180))
}

func (m *maker) birthDay() time.Time {
	return time.Date(1938+m.r.IntN(68), 1, 1+m.r.IntN(365), 0, 0, 0, 0, time.UTC)
}

func (m *maker) birth() string { return m.birthDay().Format("2006-01-02") }

func (m *maker) birthText() string {
	return m.birthDay().Format(pick(m, []string{"2006-01-02", "2006-01-02", "02.01.2006", "02/01/2006"}))
}

func (m *maker) card() string {
	s := pick(m, []string{"4", "4", "51", "52", "53", "54", "55", "34", "37", "6011", "2221", "3530"})
	n := 15
	if s[0] == '3' && s != "3530" {
		n = 14
	}
	s += m.digits(n - len(s))
	return s + luhn(s)
}

// luhn is the check digit after s.
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
	return fmt.Sprint((10 - sum%10) % 10)
}

func (m *maker) iban() string {
	shape := pick(m, []struct {
		country string
		bank    int
		digits  int
	}{{"DE", 0, 18}, {"GB", 4, 14}, {"NL", 4, 10}, {"ES", 0, 20}, {"AT", 0, 16}, {"PL", 0, 24}, {"SE", 0, 20}, {"PT", 0, 21}, {"NO", 0, 11}, {"FI", 0, 14}})
	body := m.upper(shape.bank) + m.digits(shape.digits)
	rest := 0
	for _, c := range body + shape.country + "00" {
		if c >= 'A' {
			rest = (rest*100 + int(c-'A') + 10) % 97
		} else {
			rest = (rest*10 + int(c-'0')) % 97
		}
	}
	return fmt.Sprintf("%s%02d%s", shape.country, 98-rest, body)
}

func (m *maker) ip() string {
	return fmt.Sprintf("%d.%d.%d.%d", pick(m, []int{5, 31, 62, 81, 93, 109, 151, 178, 203, 217}), m.r.IntN(256), m.r.IntN(256), 1+m.r.IntN(254))
}

func (m *maker) ip6() string {
	h := m.hex(16)
	return "2a02:" + h[:4] + ":" + h[4:8] + "::" + h[8:12] + ":" + h[12:16]
}

func (m *maker) mac() string {
	return grouped(fmt.Sprintf("%02x", m.r.IntN(64)*4)+m.hex(10), 2, ":")
}

func (m *maker) degree(limit int) string {
	return fmt.Sprintf("%.6f", (m.r.Float64()*2-1)*float64(limit-2))
}
