package mask

func isDigit(c byte) bool  { return c-'0' < 10 }
func isLetter(c byte) bool { return (c|0x20)-'a' < 26 }
func isAlnum(c byte) bool  { return isDigit(c) || isLetter(c) }
func isHex(c byte) bool    { return isDigit(c) || (c|0x20)-'a' < 6 }

func countDigits(b []byte) (n int) {
	for _, c := range b {
		if isDigit(c) {
			n++
		}
	}
	return n
}

// ended reports that what stopped before i is not the beginning of a longer word.
func ended(b []byte, i int) bool { return i >= len(b) || !isAlnum(b[i]) }

func isDate(b []byte) bool {
	return len(b) == 10 && b[4] == '-' && b[7] == '-' && countDigits(b) == 8
}

// How far a detector looks back from an @: the local part of an address has at most
// 64 bytes (RFC 5321), three times that in percent codes; a URL's user and password
// more. Without bounds a long value could be made to take quadratic time.
const (
	maxLocal    = 192
	maxUserInfo = 512
)

// scanEmails looks around each @, which may be written %40 in an address of the web.
func scanEmails(dst []Span, b []byte) []Span {
	last := 0
	for i := 0; i < len(b); i++ {
		width := 1
		if b[i] == '%' && i+2 < len(b) && b[i+1] == '4' && b[i+2] == '0' {
			width = 3
		} else if b[i] != '@' {
			continue
		}
		start := i
		for start > last && i-start < maxLocal && isLocal(b[start-1]) {
			start--
		}
		for start < i && (b[start] == '.' || b[start] == '\'') {
			start++
		}
		end := domainEnd(b, i+width)
		if start == i || end == 0 {
			continue
		}
		t := Email
		if s := userInfo(b, start); s < start && s >= last { // scheme://user:password@host
			start, t = s, Secret
		}
		dst = append(dst, Span{t, start, end})
		last, i = end, end-1
	}
	return dst
}

func isLocal(c byte) bool {
	switch c {
	case '.', '_', '%', '+', '-', '\'', '!', '#', '&', '*', '~':
		return true
	}
	return isAlnum(c) || c >= 0x80
}

// userInfo finds the start of user:password in front of the @ of a URL, or returns start.
func userInfo(b []byte, start int) int {
	for i := start; i > 2 && start-i < maxUserInfo && b[i-1] != ' ' && b[i-1] != '@'; i-- {
		if b[i-1] == '/' {
			if b[i-2] == '/' && b[i-3] == ':' {
				return i
			}
			break // an address in a path or query is none of the host's
		}
	}
	return start
}

// domainEnd is the end of the host name at i, or 0 if there is none that mail could
// go to. Names of picture files (logo@2x.png) are none.
func domainEnd(b []byte, i int) int {
	start, end, dot := i, i, -1
	for end < len(b) && (isAlnum(b[end]) || b[end] == '-' || b[end] == '.' || b[end] >= 0x80) {
		if b[end] == '.' {
			if end == start || b[end-1] == '.' || end+1 >= len(b) || !(isAlnum(b[end+1]) || b[end+1] >= 0x80) {
				break
			}
			dot = end
		}
		end++
	}
	for end > start && b[end-1] == '-' {
		end--
	}
	if dot < 0 || end-dot < 3 {
		return 0
	}
	tld := b[dot+1 : end]
	switch string(tld) {
	case "png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "PNG", "JPG":
		return 0
	}
	if len(tld) > 4 && string(tld[:4]) == "xn--" {
		return end
	}
	for _, c := range tld {
		if !isLetter(c) && c < 0x80 {
			return 0
		}
	}
	return end
}

// matchSSN finds ddd-dd-dddd, with dashes or single spaces, of a number that can
// have been issued; numbers of taxpayers without one (9xx) count too.
func matchSSN(b []byte, i int) (int, bool) {
	const n = 11
	if i+n > len(b) || !ended(b, i+n) || (i > 0 && b[i-1] == '-') {
		return 0, false
	}
	s := b[i : i+n]
	if s[3] != s[6] || (s[3] != '-' && s[3] != ' ') || countDigits(s) != 9 {
		return 0, false
	}
	if i+n+1 < len(b) && b[i+n] == '-' && isDigit(b[i+n+1]) {
		return 0, false
	}
	return i + n, validSSN(s[0:3], s[4:6], s[7:11])
}

func validSSN(area, group, serial []byte) bool {
	if string(area) == "000" || string(area) == "666" || string(group) == "00" || string(serial) == "0000" {
		return false
	}
	return area[0] != '9' || group[0] >= '5'
}

// matchCard finds 13 to 19 digits, plain or in groups with one kind of separator,
// that begin as a card scheme's numbers do and whose Luhn sum is right.
func matchCard(b []byte, i int) (int, bool) {
	if i >= 2 && b[i-1] == '.' && isDigit(b[i-2]) { // the fraction of a number
		return 0, false
	}
	var d [19]byte
	var sep byte
	n, at := 0, i
	end, found := 0, false
	for at < len(b) {
		c := b[at]
		if !isDigit(c) {
			if (c != ' ' && c != '-') || (sep != 0 && c != sep) || at+1 >= len(b) || !isDigit(b[at+1]) {
				break
			}
			sep = c
			at++
			continue
		}
		if n == len(d) {
			return end, found && sep != 0
		}
		d[n] = c - '0'
		n++
		at++
		if n >= 13 && ended(b, at) && cardScheme(d[:n]) && luhn(d[:n]) {
			end, found = at, true
		}
	}
	return end, found
}

func luhn(d []byte) bool {
	sum := 0
	for i, x := range d {
		v := int(x)
		if (len(d)-i)%2 == 0 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return sum%10 == 0
}

// cardScheme knows the ranges and lengths that ISO/IEC 7812 gave to the schemes.
func cardScheme(d []byte) bool {
	n := len(d)
	p2 := int(d[0])*10 + int(d[1])
	p4 := p2*100 + int(d[2])*10 + int(d[3])
	switch {
	case d[0] == 4:
		return n == 13 || n == 16 || n == 19
	case p2 >= 51 && p2 <= 55, p4 >= 2221 && p4 <= 2720:
		return n == 16
	case p2 == 34, p2 == 37:
		return n == 15
	case p2 == 36, p2 == 38, p2 == 39, p4 >= 3000 && p4 <= 3059, p4 == 3095:
		return n >= 14
	case p4 >= 3528 && p4 <= 3589, p4 == 6011, p2 == 65, p4 >= 6440 && p4 <= 6499, p2 == 62, p2 == 81:
		return n >= 16
	}
	switch p4 {
	case 5018, 5020, 5038, 5893, 6304, 6759, 6761, 6762, 6763:
		return true
	}
	return false
}

// matchCPF finds Brazil's ddd.ddd.ddd-dd with its two check digits.
func matchCPF(b []byte, i int) (int, bool) {
	const n = 14
	if i+n > len(b) || !ended(b, i+n) || b[i+3] != '.' || b[i+7] != '.' || b[i+11] != '-' {
		return 0, false
	}
	var d [11]int
	k := 0
	for _, c := range b[i : i+n] {
		if isDigit(c) && k < 11 {
			d[k] = int(c - '0')
			k++
		}
	}
	if k != 11 {
		return 0, false
	}
	for _, m := range [2]int{9, 10} {
		sum := 0
		for j := range m {
			sum += d[j] * (m + 1 - j)
		}
		if sum*10%11%10 != d[m] {
			return 0, false
		}
	}
	return i + n, true
}

// scanIBANs looks for two letters and two digits at the start of a word.
func scanIBANs(dst []Span, b []byte) []Span {
	for i := 0; i+15 <= len(b); i++ {
		if !isLetter(b[i]) || !isLetter(b[i+1]) || !isDigit(b[i+2]) || !isDigit(b[i+3]) || (i > 0 && isAlnum(b[i-1])) {
			continue
		}
		if end := ibanEnd(b, i); end > 0 {
			dst = append(dst, Span{IBAN, i, end})
			i = end - 1
		}
	}
	return dst
}

// ibanEnd checks the country's length and the remainder by 97 (ISO 13616).
func ibanEnd(b []byte, i int) int {
	want := ibanLength(b[i]&^0x20, b[i+1]&^0x20)
	if want == 0 {
		return 0
	}
	var s [34]byte
	n, at := 0, i
	for at < len(b) && n < want {
		c := b[at]
		if c == ' ' && n > 3 && b[at-1] != ' ' {
			at++
			continue
		}
		if !isAlnum(c) {
			return 0
		}
		if isLetter(c) {
			c &^= 0x20
		}
		s[n] = c
		n++
		at++
	}
	if n < want || !ended(b, at) {
		return 0
	}
	rest := 0
	for k := range n {
		c := s[(k+4)%n]
		if isDigit(c) {
			rest = (rest*10 + int(c-'0')) % 97
		} else {
			rest = (rest*100 + int(c-'A') + 10) % 97
		}
	}
	if rest != 1 {
		return 0
	}
	return at
}

// ibanLengths holds country code and length, four bytes each.
const ibanLengths = "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18FK18FO18FR27" +
	"GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20" +
	"MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20YE30"

func ibanLength(a, b byte) int {
	for i := 0; i < len(ibanLengths); i += 4 {
		if ibanLengths[i] == a && ibanLengths[i+1] == b {
			return int(ibanLengths[i+2]-'0')*10 + int(ibanLengths[i+3]-'0')
		}
	}
	return 0
}
