package mask

import "slices"

// Span is a part of a value that holds personal data.
type Span struct {
	Type       Type
	Start, End int
}

// Scan appends to dst the personal parts of one value, in order and apart from
// each other. For types whose parts cannot be pointed at (numbers, addresses,
// arrays and records in binary) a hit spans the whole value; a binary value of a
// type that it does not know is a hit. It allocates only when it finds something.
func Scan(dst []Span, b []byte, oid uint32, binary bool) []Span {
	switch kindOf(oid) {
	case kindText, kindJSON, kindXML:
		return scanText(dst, b)
	case kindJSONB:
		if binary && len(b) > 0 {
			n := len(dst)
			dst = scanText(dst, b[1:])
			for i := n; i < len(dst); i++ {
				dst[i].Start++
				dst[i].End++
			}
			return dst
		}
		return scanText(dst, b)
	case kindInt2, kindInt4, kindInt8, kindNumeric:
		return scanNumber(dst, b, oid, binary)
	case kindInet, kindCIDR:
		return append(dst, Span{IP, 0, len(b)})
	case kindMAC, kindMAC8:
		return append(dst, Span{MAC, 0, len(b)})
	case kindBytes:
		return scanBytes(dst, b, binary)
	case kindTextArray, kindJSONArray, kindNumberArray:
		if binary {
			return scanBinaryArray(dst, b)
		}
		return scanText(dst, b)
	case kindRecord:
		if binary {
			return scanBinaryRecord(dst, b)
		}
		return scanText(dst, b)
	case kindOther:
		if alwaysClean(oid) {
			return dst
		}
		if binary {
			return append(dst, Span{Opaque, 0, len(b)})
		}
		return scanText(dst, b)
	}
	return dst // the rest says nothing by itself
}

// ScanText hides the personal parts of a string and says how many there were.
func ScanText(s string) (string, int) {
	spans := scanText(nil, []byte(s))
	if len(spans) == 0 {
		return s, 0
	}
	return string(appendRedacted(nil, []byte(s), spans, nil)), len(spans)
}

// Byte classes of the gate: a detector runs only if the bytes it needs are there.
const (
	clsDigit = 1 << iota
	clsAt
	clsColon
	clsDash
	clsPercent
	clsDollar
	clsWord // letters, digits and what tokens of secrets are made of
	clsUpper
)

var classTable = makeClassTable()

func makeClassTable() (t [256]uint8) {
	for c := '0'; c <= '9'; c++ {
		t[c] = clsDigit | clsWord
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c] = clsWord
	}
	for c := 'A'; c <= 'Z'; c++ {
		t[c] = clsWord | clsUpper
	}
	t['@'], t[':'], t['%'] = clsAt, clsColon, clsPercent
	t['-'], t['_'], t['.'] = clsDash|clsWord, clsWord, clsWord
	t['$'], t['/'], t['+'], t['='] = clsDollar|clsWord, clsWord, clsWord, clsWord
	return t
}

// Shortest values worth a detector: fewer digits are no phone, card or address,
// and shorter tokens are no secret.
const (
	minDigits = 4
	minToken  = 16
)

func scanText(dst []Span, b []byte) []Span {
	var seen uint8
	var digits, colons, dashes, run, longest int
	for _, c := range b {
		k := classTable[c]
		seen |= k
		if k&clsWord != 0 {
			run++
		} else {
			if run > longest {
				longest = run
			}
			run = 0
			if k == clsColon {
				colons++
			}
			continue
		}
		digits += int(k & clsDigit)
		if k&clsDash != 0 {
			dashes++
		}
	}
	longest = max(longest, run)
	n := len(dst)
	if seen&(clsAt|clsPercent) != 0 {
		dst = scanEmails(dst, b)
	}
	if digits >= minDigits {
		dst = scanDigits(dst, b)
	}
	if colons >= 2 || dashes >= 5 {
		dst = scanHexGroups(dst, b)
	}
	if longest >= minToken || seen&clsDollar != 0 {
		dst = scanSecrets(dst, b)
	}
	if digits >= 2 && seen&clsUpper != 0 && len(b) >= 15 {
		dst = scanIBANs(dst, b)
	}
	if len(dst) > n+1 {
		dst = tidy(dst, n)
	}
	if len(dst) == n && digits == 0 && seen&clsUpper != 0 && isFullName(b) {
		dst = append(dst, Span{Person, 0, len(b)})
	}
	return dst
}

// tidy puts the spans from n on in order and joins those that overlap; the longest
// of them gives the type.
func tidy(dst []Span, n int) []Span {
	s := dst[n:]
	slices.SortStableFunc(s, func(a, b Span) int { return a.Start - b.Start })
	out := s[:1]
	for _, x := range s[1:] {
		last := &out[len(out)-1]
		if x.Start >= last.End {
			out = append(out, x)
			continue
		}
		if x.End-x.Start > last.End-last.Start {
			last.Type = x.Type
		}
		last.End = max(last.End, x.End)
	}
	return dst[:n+len(out)]
}

// scanDigits tries, at the start of every run of digits, what may begin there.
func scanDigits(dst []Span, b []byte) []Span {
	for i := 0; i < len(b); {
		c := b[i]
		if !isDigit(c) && c != '+' && c != '(' {
			i++
			continue
		}
		if i > 0 && isDigit(c) && isAlnum(b[i-1]) {
			i++
			continue
		}
		if end, t := matchDigits(b, i); end > 0 {
			dst = append(dst, Span{t, i, end})
			i = end
			continue
		}
		i++
		if isDigit(c) {
			for i < len(b) && isDigit(b[i]) {
				i++
			}
		}
	}
	return dst
}

func matchDigits(b []byte, i int) (end int, t Type) {
	if isDigit(b[i]) {
		if end, ok := matchSSN(b, i); ok {
			return end, SSN
		}
		if end, ok := matchCard(b, i); ok {
			return end, Card
		}
		if end, ok := matchIPv4(b, i); ok && evidentIPv4(b[i:end]) {
			return end, IP
		}
		if end, ok := matchCPF(b, i); ok {
			return end, NationalID
		}
		if end, ok := matchBirth(b, i); ok {
			return end, BirthDate
		}
	}
	if end, ok := matchPhone(b, i); ok {
		return end, Phone
	}
	return 0, ""
}

// scanNumber reads integers and numerics as their decimal digits.
func scanNumber(dst []Span, b []byte, oid uint32, binary bool) []Span {
	var room [64]byte
	digits := b
	if binary {
		var ok bool
		if digits, ok = decimalDigits(room[:0], b, oid); !ok {
			return append(dst, Span{Opaque, 0, len(b)})
		}
	}
	if end, ok := matchCard(digits, 0); ok && end == len(digits) {
		return append(dst, Span{Card, 0, len(b)})
	}
	return dst
}
