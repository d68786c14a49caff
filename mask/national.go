package mask

import (
	"bytes"
	"math/bits"
)

// scheme is how one state numbers people, or one office its files on them. form is
// the shape of the whole value: 9 stands for a digit, A for a letter, * for either,
// and every other byte for itself. Forms without separators match values with
// separators taken out. Most numbers carry check digits; where they do not, a date
// in them must be one.
type scheme struct {
	name  string
	forms []string
	check func(s []byte) bool // of the letters and digits alone, letters upper case
}

// A column is of a scheme when most values pass, which for a sum of one digit one
// value in ten does by chance. So the order does not matter, but for the words in
// the evidence.
var schemes = []scheme{
	{"Spain's DNI", []string{"99999999A", "99999999-A"}, checkDNI},
	{"Spain's NIE", []string{"A9999999A", "A-9999999-A"}, checkNIE},
	{"Italy's codice fiscale", []string{"AAAAAA99A99A999A"}, checkCodiceFiscale},
	{"Mexico's CURP", []string{"AAAA999999AAAAAA*9"}, func(s []byte) bool { return (s[10] == 'H' || s[10] == 'M') && dayOfBirth(s[4:10], "ymd", 0) }},
	{"Britain's National Insurance number", []string{"AA999999A", "AA 99 99 99 A"}, checkNINO},
	{"Britain's NHS number", []string{"9999999999", "999 999 9999", "999-999-9999"}, func(s []byte) bool { return sumTo(s, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1) }},
	{"Germany's tax number", []string{"99999999999", "99 999 999 999"}, checkSteuerID},
	{"France's social security number", []string{"999999999999999", "9 99 99 99 999 999 99"}, checkNIR},
	{"Portugal's NIF", []string{"999999999", "999 999 999"}, func(s []byte) bool { return checkEleven(s, 9, 8, 7, 6, 5, 4, 3, 2) }},
	{"the Dutch BSN", []string{"999999999"}, func(s []byte) bool { return checkBSN(s) }},
	{"Belgium's register number", []string{"99999999999", "99.99.99-999.99"}, checkBelgium},
	{"Poland's PESEL", []string{"99999999999"}, checkPESEL},
	{"Sweden's personnummer", []string{"999999-9999", "999999+9999", "9999999999", "99999999-9999", "999999999999"}, checkPersonnummer},
	{"Finland's personal code", []string{"999999-999*", "999999+999*", "999999A999*"}, checkHetu},
	{"Denmark's CPR number", []string{"999999-9999"}, func(s []byte) bool { return dayOfBirth(s, "dmy", 0) }},
	{"Norway's birth number", []string{"99999999999", "999999 99999"}, checkNorway},
	{"Brazil's CPF", []string{"999.999.999-99", "99999999999"}, checkCPFDigits},
	{"India's Aadhaar", []string{"999999999999", "9999 9999 9999", "9999-9999-9999"}, func(s []byte) bool { return s[0] >= '2' && verhoeff(s) }},
	{"India's PAN", []string{"AAAAA9999A"}, func(s []byte) bool { return bytes.IndexByte([]byte("PCHFATBLJG"), s[3]) >= 0 }},
	{"China's resident number", []string{"99999999999999999*"}, checkChina},
	{"Korea's register number", []string{"999999-9999999"}, func(s []byte) bool { return dayOfBirth(s, "ymd", 0) && s[6] >= '1' && s[6] <= '8' }},
	{"Turkey's identity number", []string{"99999999999"}, checkTurkey},
	{"South Africa's identity number", []string{"9999999999999", "999999 9999 999"}, func(s []byte) bool { return dayOfBirth(s, "ymd", 0) && luhnText(s) && s[10] <= '1' }},
	{"Canada's SIN", []string{"999-999-999", "999 999 999", "999999999"}, func(s []byte) bool { return s[0] != '0' && s[0] != '8' && luhnText(s) }},
	{"Australia's TFN", []string{"999 999 999", "999999999"}, func(s []byte) bool { return sumTo(s, 11, 1, 4, 3, 7, 5, 8, 6, 9, 10) }},
	{"Romania's CNP", []string{"9999999999999"}, checkCNP},
	{"the Czech birth number", []string{"999999/9999", "9999999999"}, checkRodneCislo},
	{"Switzerland's AHV number", []string{"756.9999.9999.99", "7569999999999"}, func(s []byte) bool { return checkEAN(s) }},
	{"Bulgaria's EGN", []string{"9999999999"}, checkEGN},
	{"Chile's RUT", []string{"99.999.999-*", "99999999-*", "9.999.999-*", "9999999-*"}, checkRUT},
	{"Argentina's CUIL", []string{"99-99999999-9"}, func(s []byte) bool { return checkEleven(s, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2) }},
	{"Israel's identity number", []string{"999999999"}, luhnText},
	{"Singapore's NRIC", []string{"A9999999A"}, checkNRIC},
	{"Hong Kong's identity card", []string{"A999999(*)"}, checkHKID},
}

// nationalSchemes says, one bit each, which schemes a whole value fits.
func nationalSchemes(v []byte) uint64 {
	if len(v) < 8 || len(v) > 24 {
		return 0
	}
	var found uint64
	for i := range schemes {
		for _, form := range schemes[i].forms {
			if !fits(v, form) {
				continue
			}
			var room [24]byte
			if schemes[i].check(essence(room[:0], v)) {
				found |= 1 << i
			}
			break
		}
	}
	return found
}

// schemeCount counts values by scheme.
type schemeCount [64]int

func (c *schemeCount) add(found uint64) {
	for found != 0 {
		c[bits.TrailingZeros64(found)]++
		found &= found - 1
	}
}

func (c *schemeCount) best() (name string, n int) {
	for i := range schemes {
		if c[i] > n {
			name, n = schemes[i].name, c[i]
		}
	}
	return name, n
}

func fits(v []byte, form string) bool {
	if len(v) != len(form) {
		return false
	}
	for i, c := range v {
		switch f := form[i]; f {
		case '9':
			if !isDigit(c) {
				return false
			}
		case 'A':
			if !isLetter(c) {
				return false
			}
		case '*':
			if !isAlnum(c) {
				return false
			}
		default:
			if c != f {
				return false
			}
		}
	}
	return true
}

// essence is the letters, upper case, and digits of v.
func essence(dst, v []byte) []byte {
	for _, c := range v {
		switch {
		case isDigit(c):
			dst = append(dst, c)
		case isLetter(c):
			dst = append(dst, c&^0x20)
		}
	}
	return dst
}

// number is the value of up to eighteen digits.
func number(s []byte) (n int64) {
	for _, c := range s {
		n = n*10 + int64(c-'0')
	}
	return n
}

func two(s []byte) int { return int(s[0]-'0')*10 + int(s[1]-'0') }

// dayOfBirth reads six digits in the order that layout says; months may be shifted,
// as some states do for women or centuries.
func dayOfBirth(s []byte, layout string, shift int) bool {
	var day, month int
	switch layout {
	case "ymd":
		month, day = two(s[2:]), two(s[4:])
	case "dmy":
		day, month = two(s), two(s[2:])
	}
	if shift > 0 {
		month %= shift
	}
	return month >= 1 && month <= 12 && day >= 1 && day <= 31
}

func weigh(s []byte, weights ...int) (sum int) {
	for i, w := range weights {
		sum += int(s[i]-'0') * w
	}
	return sum
}

// sumTo says whether the weighted sum of all digits is a multiple of mod.
func sumTo(s []byte, mod int, weights ...int) bool { return weigh(s, weights...)%mod == 0 }

// checkEleven says whether the digit after the weighted ones is what is missing to a
// multiple of eleven; ten, which is no digit, counts as nought.
func checkEleven(s []byte, weights ...int) bool {
	return (11-weigh(s, weights...)%11)%11%10 == int(s[len(weights)]-'0')
}

func luhnText(s []byte) bool {
	var d [24]byte
	for i, c := range s {
		d[i] = c - '0'
	}
	return luhn(d[:len(s)])
}

func checkDNI(s []byte) bool { return "TRWAGMYFPDXBNJZSQVHLCKE"[number(s[:8])%23] == s[8] }

func checkNIE(s []byte) bool {
	i := bytes.IndexByte([]byte("XYZ"), s[0])
	return i >= 0 && "TRWAGMYFPDXBNJZSQVHLCKE"[(number(s[1:8])+int64(i)*10_000_000)%23] == s[8]
}

// odd values of codice fiscale by even value, A to Z and 0 to 9 alike.
var codiceOdd = [26]int{1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23}

func checkCodiceFiscale(s []byte) bool {
	sum := 0
	for i, c := range s[:15] {
		v := int(c - 'A')
		if isDigit(c) {
			v = int(c - '0')
		}
		if i%2 == 0 {
			v = codiceOdd[v]
		}
		sum += v
	}
	return byte('A'+sum%26) == s[15]
}

func checkNINO(s []byte) bool {
	if bytes.IndexByte([]byte("DFIQUV"), s[0]) >= 0 || bytes.IndexByte([]byte("DFIQUVO"), s[1]) >= 0 || s[8] > 'D' {
		return false
	}
	switch string(s[:2]) {
	case "BG", "GB", "KN", "NK", "NT", "TN", "ZZ":
		return false
	}
	return true
}

// checkSteuerID wants, of the first ten digits, one twice or three times and so one
// or two missing, then the sum of ISO 7064 over eleven and ten.
func checkSteuerID(s []byte) bool {
	if s[0] == '0' {
		return false
	}
	var count [10]int
	product := 10
	for _, c := range s[:10] {
		count[c-'0']++
		sum := (int(c-'0') + product) % 10
		if sum == 0 {
			sum = 10
		}
		product = sum * 2 % 11
	}
	missing := 0
	for _, n := range count {
		if n > 3 {
			return false
		}
		if n == 0 {
			missing++
		}
	}
	return missing >= 1 && missing <= 2 && (11-product)%10 == int(s[10]-'0')
}

func checkNIR(s []byte) bool {
	return (s[0] == '1' || s[0] == '2') && 97-number(s[:13])%97 == number(s[13:])
}

func checkBSN(s []byte) bool {
	return weigh(s, 9, 8, 7, 6, 5, 4, 3, 2)%11 == int(s[8]-'0')
}

func checkBelgium(s []byte) bool {
	n, check := number(s[:9]), number(s[9:])
	return two(s[2:]) <= 12 && two(s[4:]) <= 31 && (97-n%97 == check || 97-(n+2_000_000_000)%97 == check)
}

func checkPESEL(s []byte) bool {
	return dayOfBirth(s, "ymd", 20) && sumTo(s, 10, 1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)
}

func checkPersonnummer(s []byte) bool {
	if len(s) == 12 {
		s = s[2:]
	}
	day := two(s[4:])
	return two(s[2:]) >= 1 && two(s[2:]) <= 12 && day >= 1 && (day <= 31 || day > 60 && day <= 91) && luhnText(s)
}

func checkHetu(s []byte) bool {
	if len(s) == 11 { // the sign of the century was a letter
		s = append(s[:6:6], s[7:]...)
	}
	return len(s) == 10 && countDigits(s[6:9]) == 3 && dayOfBirth(s, "dmy", 0) && "0123456789ABCDEFHJKLMNPRSTUVWXY"[number(s[:9])%31] == s[9]
}

func checkNorway(s []byte) bool {
	return sumTo(s, 11, 3, 7, 6, 1, 8, 9, 4, 5, 2, 1) && sumTo(s, 11, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)
}

func checkCPFDigits(s []byte) bool {
	end, ok := matchCPF([]byte(string(s[:3])+"."+string(s[3:6])+"."+string(s[6:9])+"-"+string(s[9:])), 0)
	return ok && end == 14
}

// verhoeff checks the sum over the dihedral group of order ten.
func verhoeff(s []byte) bool {
	sum := 0
	for i := range s {
		d := int(s[len(s)-1-i] - '0')
		for range i % 8 {
			d = [10]int{1, 5, 7, 6, 2, 8, 3, 0, 9, 4}[d]
		}
		sum = dihedral(sum, d)
	}
	return sum == 0
}

func dihedral(a, b int) int {
	switch {
	case a < 5 && b < 5:
		return (a + b) % 5
	case a < 5:
		return 5 + (a+b)%5
	case b < 5:
		return 5 + (a-b)%5
	}
	return (a - b + 5) % 5
}

func checkChina(s []byte) bool {
	if countDigits(s[:17]) != 17 || (s[6] != '1' && s[6] != '2') {
		return false
	}
	return "10X98765432"[weigh(s, 7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)%11] == s[17]
}

func checkTurkey(s []byte) bool {
	if s[0] == '0' {
		return false
	}
	odd, even := weigh(s, 1, 0, 1, 0, 1, 0, 1, 0, 1), weigh(s, 0, 1, 0, 1, 0, 1, 0, 1)
	tenth := ((odd*7-even)%10 + 10) % 10
	return tenth == int(s[9]-'0') && (odd+even+tenth)%10 == int(s[10]-'0')
}

func checkCNP(s []byte) bool {
	return s[0] != '0' && dayOfBirth(s[1:], "ymd", 0) && weigh(s, 2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)%11%10 == int(s[12]-'0')
}

func checkRodneCislo(s []byte) bool {
	return dayOfBirth(s, "ymd", 50) && number(s)%11 == 0
}

func checkEAN(s []byte) bool {
	return sumTo(s, 10, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1)
}

func checkEGN(s []byte) bool {
	return dayOfBirth(s, "ymd", 20) && weigh(s, 2, 4, 8, 5, 10, 9, 7, 3, 6)%11%10 == int(s[9]-'0')
}

func checkRUT(s []byte) bool {
	sum, w := 0, 2
	for i := len(s) - 2; i >= 0; i-- {
		sum += int(s[i]-'0') * w
		if w++; w > 7 {
			w = 2
		}
	}
	return "0K987654321"[sum%11] == s[len(s)-1]
}

func checkNRIC(s []byte) bool {
	sum := weigh(s[1:], 2, 7, 6, 5, 4, 3, 2)
	switch s[0] {
	case 'S', 'T':
		return "JZIHGFEDCBA"[(sum+int(s[0]-'S')*4)%11] == s[8]
	case 'F', 'G':
		return "XWUTRQPNMLK"[(sum+int(s[0]-'F')*4)%11] == s[8]
	}
	return false
}

func checkHKID(s []byte) bool {
	sum := 36*9 + (int(s[0]-'A')+10)*8 + weigh(s[1:], 7, 6, 5, 4, 3, 2)
	check := (11 - sum%11) % 11
	return check == 10 && s[7] == 'A' || check < 10 && int(s[7]-'0') == check
}
