package specimen

import (
	"fmt"
	"math/big"
	"strconv"
)

// ids are numbers that states give people. The check digits are computed here from
// the rules that each state publishes, apart from how anyone checks them.
var ids = []kind{
	{name: "us_ssn", types: []string{"ssn"}, oid: oidText, like: "-", make: (*maker).ssn},
	{name: "gb_nino", types: national, oid: oidText, like: "natid", make: func(m *maker) string {
		return pick(m, []string{"AB", "CE", "HJ", "PR", "WK", "YZ", "SL", "JT"}) + m.digits(6) + pick(m, []string{"A", "B", "C", "D"})
	}},
	{name: "gb_nhs", types: national, oid: oidText, like: "-", make: func(m *maker) string { return grouped3(m.mod11("", 9, []int{10, 9, 8, 7, 6, 5, 4, 3, 2})) }},
	{name: "de_steuer", types: []string{"tax_id", "national_id"}, oid: oidText, like: "-", make: (*maker).steuerID},
	{name: "fr_nir", types: national, oid: oidText, like: "-", make: (*maker).nir},
	{name: "es_dni", types: national, oid: oidText, like: "natid", make: (*maker).dni},
	{name: "it_cf", types: append(national, "tax_id"), oid: oidText, like: "natid", make: (*maker).codiceFiscale},
	{name: "pt_nif", types: append(national, "tax_id"), oid: oidText, like: "natid", make: func(m *maker) string {
		return m.mod11(pick(m, []string{"1", "2"}), 8, []int{9, 8, 7, 6, 5, 4, 3, 2})
	}},
	{name: "nl_bsn", types: national, oid: oidText, like: "natid", make: (*maker).bsn},
	{name: "be_rrn", types: national, oid: oidText, like: "-", make: (*maker).rijksregister},
	{name: "pl_pesel", types: national, oid: oidText, like: "natid", make: (*maker).pesel},
	{name: "se_pnr", types: national, oid: oidText, like: "natid", make: func(m *maker) string {
		d := m.birthDay().Format("060102")
		n := m.digits(3)
		return d + "-" + n + luhn(d+n)
	}},
	{name: "fi_hetu", types: national, oid: oidText, like: "natid", make: (*maker).hetu},
	{name: "dk_cpr", types: national, oid: oidText, like: "natid", make: func(m *maker) string { return m.birthDay().Format("020106") + "-" + m.digits(4) }},
	{name: "no_fnr", types: national, oid: oidText, like: "-", make: (*maker).fodselsnummer},
	{name: "br_cpf", types: append(national, "tax_id"), oid: oidText, like: "natid", make: (*maker).cpf},
	{name: "in_aadhaar", types: national, oid: oidText, like: "-", make: (*maker).aadhaar},
	{name: "cn_resident", types: national, oid: oidText, like: "-", make: (*maker).chinaID},
	{name: "kr_rrn", types: national, oid: oidText, like: "-", make: func(m *maker) string {
		return m.birthDay().Format("060102") + "-" + pick(m, []string{"1", "2"}) + m.digits(6)
	}},
	{name: "tr_tckn", types: national, oid: oidText, like: "natid", make: (*maker).tckn},
	{name: "za_id", types: national, oid: oidText, like: "-", make: func(m *maker) string {
		s := m.birthDay().Format("060102") + m.digits(4) + "08"
		return s + luhn(s)
	}},
	{name: "ca_sin", types: append(national, "tax_id"), oid: oidText, like: "-", make: func(m *maker) string {
		s := fmt.Sprint(1+m.r.IntN(7)) + m.digits(7)
		return grouped(s+luhn(s), 3, "-")
	}},
	{name: "mx_curp", types: national, oid: oidText, like: "-", make: (*maker).curp},
	{name: "ro_cnp", types: national, oid: oidText, like: "natid", make: (*maker).cnp},
	{name: "cz_rc", types: national, oid: oidText, like: "natid", make: (*maker).rodneCislo},
}

var national = []string{"national_id"}

func (m *maker) ssn() string {
	return fmt.Sprintf("%03d-%02d-%04d", 1+m.r.IntN(660), 1+m.r.IntN(99), 1+m.r.IntN(9999))
}

func grouped3(s string) string { return s[:3] + " " + s[3:6] + " " + s[6:] }

// mod11 completes prefix and random digits by 11 minus the weighted sum.
func (m *maker) mod11(prefix string, n int, weights []int) string {
	for {
		s := prefix + m.digits(n-len(prefix))
		sum := 0
		for i, w := range weights {
			sum += int(s[i]-'0') * w
		}
		if c := (11 - sum%11) % 11; c < 10 {
			return s + fmt.Sprint(c)
		}
	}
}

func (m *maker) steuerID() string {
	p := m.r.Perm(10)
	d := append(p[:9:9], p[m.r.IntN(9)])
	m.r.Shuffle(9, func(i, j int) { d[i+1], d[j+1] = d[j+1], d[i+1] })
	if d[0] == 0 {
		d[0], d[1] = d[1], d[0]
	}
	if d[0] == 0 {
		return m.steuerID()
	}
	product, s := 10, ""
	for _, x := range d {
		s += fmt.Sprint(x)
		sum := (x + product) % 10
		if sum == 0 {
			sum = 10
		}
		product = sum * 2 % 11
	}
	return s + fmt.Sprint((11-product)%10)
}

func (m *maker) nir() string {
	b := m.birthDay()
	s := pick(m, []string{"1", "2"}) + b.Format("0601") + fmt.Sprintf("%02d", 1+m.r.IntN(95)) + m.digits(6)
	if s[5:7] == "20" {
		return m.nir()
	}
	n, _ := strconv.ParseInt(s, 10, 64) // thirteen digits
	return s + fmt.Sprintf("%02d", 97-n%97)
}

func (m *maker) dni() string {
	n := m.r.IntN(99_999_999)
	return fmt.Sprintf("%08d%c", n, "TRWAGMYFPDXBNJZSQVHLCKE"[n%23])
}

func (m *maker) codiceFiscale() string {
	const odd = "BAKPLCQDREVOSFTGUHMINJWZYX"
	b := m.birthDay()
	s := m.upper(6) + b.Format("06") + string("ABCDEHLMPRST"[b.Month()-1]) + fmt.Sprintf("%02d", b.Day()+40*m.r.IntN(2)) + m.upper(1) + m.digits(3)
	sum := 0
	for i, c := range s {
		v := int(c - 'A')
		if c <= '9' {
			v = int(c - '0')
		}
		if i%2 == 0 {
			for j, x := range odd {
				if int(x-'A') == v {
					v = j
					break
				}
			}
		}
		sum += v
	}
	return s + string(rune('A'+sum%26))
}

func (m *maker) bsn() string {
	for {
		s := fmt.Sprint(1+m.r.IntN(8)) + m.digits(7)
		sum := 0
		for i := range 8 {
			sum += int(s[i]-'0') * (9 - i)
		}
		if sum%11 < 10 {
			return s + fmt.Sprint(sum%11)
		}
	}
}

func (m *maker) rijksregister() string {
	b := m.birthDay()
	s := b.Format("060102") + fmt.Sprintf("%03d", 1+m.r.IntN(997))
	n, _ := strconv.ParseInt(s, 10, 64) // nine digits, as below with one more
	if b.Year() >= 2000 {
		n += 2_000_000_000
	}
	return s[:2] + "." + s[2:4] + "." + s[4:6] + "-" + s[6:] + "." + fmt.Sprintf("%02d", 97-n%97)
}

func (m *maker) pesel() string {
	b := m.birthDay()
	month := int(b.Month())
	if b.Year() >= 2000 {
		month += 20
	}
	s := b.Format("06") + fmt.Sprintf("%02d%02d", month, b.Day()) + m.digits(4)
	sum := 0
	for i, w := range []int{1, 3, 7, 9, 1, 3, 7, 9, 1, 3} {
		sum += int(s[i]-'0') * w
	}
	return s + fmt.Sprint((10-sum%10)%10)
}

func (m *maker) hetu() string {
	b := m.birthDay()
	sign := "-"
	if b.Year() >= 2000 {
		sign = "A"
	}
	n := fmt.Sprintf("%03d", 2+m.r.IntN(898))
	v, _ := strconv.Atoi(b.Format("020106") + n) // nine digits
	return b.Format("020106") + sign + n + string("0123456789ABCDEFHJKLMNPRSTUVWXY"[v%31])
}

func (m *maker) fodselsnummer() string {
	for {
		s := m.birthDay().Format("020106") + m.digits(3)
		c1 := weighted(s, []int{3, 7, 6, 1, 8, 9, 4, 5, 2})
		if c1 == 10 {
			continue
		}
		s += fmt.Sprint(c1)
		if c2 := weighted(s, []int{5, 4, 3, 2, 7, 6, 5, 4, 3, 2}); c2 < 10 {
			return s + fmt.Sprint(c2)
		}
	}
}

func weighted(s string, weights []int) int {
	sum := 0
	for i, w := range weights {
		sum += int(s[i]-'0') * w
	}
	return (11 - sum%11) % 11
}

func (m *maker) cpf() string {
	s := m.digits(9)
	for n := 9; n < 11; n++ {
		sum := 0
		for i := range n {
			sum += int(s[i]-'0') * (n + 1 - i)
		}
		s += fmt.Sprint(sum * 10 % 11 % 10)
	}
	return s[:3] + "." + s[3:6] + "." + s[6:9] + "-" + s[9:]
}

// aadhaar has the check digit of Verhoeff's scheme, over the dihedral group of order ten.
func (m *maker) aadhaar() string {
	s := fmt.Sprint(2+m.r.IntN(8)) + m.digits(10)
	mul := func(a, b int) int {
		switch {
		case a < 5 && b < 5:
			return (a + b) % 5
		case a < 5:
			return 5 + (a+b-5)%5
		case b < 5:
			return 5 + (a-5-b+5)%5
		}
		return (a - b + 5) % 5
	}
	perm := func(times, d int) int {
		for range times {
			d = []int{1, 5, 7, 6, 2, 8, 3, 0, 9, 4}[d]
		}
		return d
	}
	c := 0
	for i := range s {
		c = mul(c, perm((i+1)%8, int(s[len(s)-1-i]-'0')))
	}
	for d := range 10 {
		if mul(c, d) == 0 {
			return grouped(s+fmt.Sprint(d), 4, " ")
		}
	}
	return ""
}

func (m *maker) chinaID() string {
	s := pick(m, []string{"110101", "310104", "440305", "510107", "330106"}) + m.birthDay().Format("20060102") + m.digits(3)
	sum := 0
	for i, w := range []int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2} {
		sum += int(s[i]-'0') * w
	}
	return s + string("10X98765432"[sum%11])
}

func (m *maker) tckn() string {
	s := fmt.Sprint(1+m.r.IntN(9)) + m.digits(8)
	odd, even, all := 0, 0, 0
	for i := range s {
		d := int(s[i] - '0')
		all += d
		if i%2 == 0 {
			odd += d
		} else {
			even += d
		}
	}
	c := ((odd*7-even)%10 + 10) % 10
	return s + fmt.Sprint(c) + fmt.Sprint((all+c)%10)
}

func (m *maker) curp() string {
	return m.upper(1) + pick(m, []string{"A", "E", "I", "O"}) + m.upper(2) + m.birthDay().Format("060102") + pick(m, []string{"H", "M"}) +
		pick(m, []string{"DF", "JC", "NL", "PL", "VZ"}) + pick(m, []string{"BCD", "FGH", "LMN", "RST"}) + m.digits(2)
}

func (m *maker) cnp() string {
	b := m.birthDay()
	sex := 1 + m.r.IntN(2)
	if b.Year() >= 2000 {
		sex += 4
	}
	s := fmt.Sprint(sex) + b.Format("060102") + fmt.Sprintf("%02d", 1+m.r.IntN(46)) + fmt.Sprintf("%03d", 1+m.r.IntN(998))
	sum := 0
	for i, w := range []int{2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9} {
		sum += int(s[i]-'0') * w
	}
	return s + fmt.Sprint(sum%11%10)
}

func (m *maker) rodneCislo() string {
	for {
		b := m.birthDay()
		s := b.Format("06") + fmt.Sprintf("%02d%02d", int(b.Month())+50*m.r.IntN(2), b.Day()) + m.digits(4)
		n, _ := new(big.Int).SetString(s, 10)
		if b.Year() >= 1954 && new(big.Int).Mod(n, big.NewInt(11)).Sign() == 0 {
			return s[:6] + "/" + s[6:]
		}
	}
}
