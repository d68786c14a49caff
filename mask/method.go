package mask

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// Marks that every masked text carries, so that ContainsMask knows one again.
const (
	dots       = "•••"
	hiddenText = "[masked]"
	mailDomain = "@masked.invalid" // reserved by RFC 2606: no mail ever goes there
	hiddenJSON = `{"masked":true}`
	hiddenXML  = "<masked/>"
)

// ContainsMask reports whether s holds a value that this package made. A write
// that contains one would put the mask in the place of the real value.
func ContainsMask(s string) bool {
	if strings.Contains(s, dots) || strings.Contains(s, mailDomain) || strings.Contains(s, hiddenXML) {
		return true
	}
	if strings.Contains(s, "[masked]") || strings.Contains(s, "[masked:") {
		return true
	}
	return strings.Contains(s, hiddenJSON) || strings.Contains(s, `{"masked": true}`)
}

// appendMasked appends the mask of v to dst. ok is false if only NULL will do.
// With whole set nothing of v is kept.
func appendMasked(dst []byte, t Type, v []byte, oid uint32, bin, whole bool) (out []byte, ok bool) {
	switch k := kindOf(oid); k {
	case kindText:
		if whole {
			return append(dst, hiddenText...), true
		}
		return appendMaskedText(dst, t, v), true
	case kindJSON:
		return append(dst, hiddenJSON...), true
	case kindJSONB:
		if bin {
			dst = append(dst, 1)
		}
		return append(dst, hiddenJSON...), true
	case kindXML:
		return append(dst, hiddenXML...), true
	case kindBytes:
		if bin {
			return dst, true
		}
		return append(dst, `\x`...), true
	case kindDate, kindTimestamp, kindTimestampTZ:
		return appendMaskedTime(dst, t, v, k, bin, whole), true
	default:
		return appendZero(dst, k, bin)
	}
}

// appendZero appends the value that says nothing in a type of fixed shape.
func appendZero(dst []byte, k kind, bin bool) ([]byte, bool) {
	text, size := "", 0
	switch k {
	case kindInt2:
		text, size = "0", 2
	case kindInt4, kindFloat4, kindOID:
		text, size = "0", 4
	case kindInt8, kindFloat8, kindNumeric, kindMoney: // numeric: no digits, weight, sign and scale 0
		text, size = "0", 8
	case kindTime:
		text, size = "00:00:00", 8
	case kindTimeTZ:
		text, size = "00:00:00+00", 12
	case kindInterval:
		text, size = "00:00:00", 16
	case kindUUID:
		text, size = "00000000-0000-0000-0000-000000000000", 16
	case kindMAC:
		text, size = "00:00:00:00:00:00", 6
	case kindMAC8:
		text, size = "00:00:00:00:00:00:00:00", 8
	case kindInet, kindCIDR:
		return appendZeroInet(dst, k, bin), true
	default: // bool, arrays, composites, ranges, enums and what is not known
		return dst, false
	}
	if !bin {
		return append(dst, text...), true
	}
	for range size {
		dst = append(dst, 0)
	}
	return dst, true
}

// appendZeroInet uses PostgreSQL's wire form: family 2, bits, is_cidr, length, address.
func appendZeroInet(dst []byte, k kind, bin bool) []byte {
	switch {
	case bin && k == kindCIDR:
		return append(dst, 2, 32, 1, 4, 0, 0, 0, 0)
	case bin:
		return append(dst, 2, 32, 0, 4, 0, 0, 0, 0)
	case k == kindCIDR:
		return append(dst, "0.0.0.0/32"...)
	}
	return append(dst, "0.0.0.0"...)
}

// appendMaskedText keeps the shape that people need to recognise a value, and not
// so much that it identifies anyone: no mail domain, no initials, no more than the
// four digits of a card that card schemes allow to show.
func appendMaskedText(dst []byte, t Type, v []byte) []byte {
	switch t {
	case Email:
		if bytes.IndexByte(v, '@') < 1 {
			return append(dst, dots...)
		}
		if c := v[0]; isAlnum(c) {
			dst = append(dst, c)
		}
		return append(append(dst, dots...), mailDomain...)
	case Phone:
		return appendMaskedPhone(dst, v)
	case Card:
		if countDigits(v) < 12 {
			return append(dst, dots...)
		}
		return appendLastDigits(append(dst, "•••• •••• •••• "...), v, 4)
	case IBAN:
		if len(v) < 15 || !isLetter(v[0]) || !isLetter(v[1]) {
			return append(dst, dots...)
		}
		dst = append(dst, v[0], v[1])
		return appendLastDigits(append(dst, "•• •••• "...), v, 2)
	case IP:
		return appendMaskedIP(dst, v)
	case BirthDate:
		if len(v) >= 10 && isDate(v[:10]) {
			dst = append(dst, v[:4]...)
			return append(dst, "-•••"...)
		}
		return append(dst, dots...)
	case Person, Username, Location:
		return append(dst, dots...)
	case "":
		return append(dst, hiddenText...)
	}
	dst = append(dst, "[masked:"...)
	dst = append(dst, t...)
	return append(dst, ']')
}

func appendMaskedPhone(dst, v []byte) []byte {
	if countDigits(v) < 7 {
		return append(dst, dots...)
	}
	if v[0] == '+' {
		if n := callingCode(v[1:]); n > 0 {
			dst = append(append(dst, v[:1+n]...), ' ')
		}
	}
	return appendLastDigits(append(dst, "•••• "...), v, 2)
}

// appendMaskedIP keeps the /24 network of an IPv4 address.
func appendMaskedIP(dst, v []byte) []byte {
	if end, ok := matchIPv4(v, 0); ok && end == len(v) {
		dst = append(dst, v[:bytes.LastIndexByte(v, '.')+1]...)
	}
	return append(dst, dots...)
}

func appendLastDigits(dst, v []byte, n int) []byte {
	at := len(v)
	for left := n; at > 0 && left > 0; {
		at--
		if isDigit(v[at]) {
			left--
		}
	}
	for _, c := range v[at:] {
		if isDigit(c) {
			dst = append(dst, c)
		}
	}
	return dst
}

// Days and microseconds are counted from 2000-01-01, PostgreSQL's epoch.
const (
	dayMicros     = 24 * 60 * 60 * 1_000_000
	hiddenDay     = -36524    // 1900-01-01
	furthestDay   = 1_000_000 // beyond it, infinity included, the date is hidden whole
	epochCivilDay = 10957     // days from 1970-01-01 to 2000-01-01
)

// appendMaskedTime keeps the year of a date of birth and year and month of others.
func appendMaskedTime(dst []byte, t Type, v []byte, k kind, bin, whole bool) []byte {
	if !bin {
		return appendMaskedTimeText(dst, t, v, k, whole)
	}
	day := int64(hiddenDay)
	if d, ok := binaryDay(v, k); ok && !whole && d > -furthestDay && d < furthestDay {
		day = firstDay(d, t == BirthDate)
	}
	if k == kindDate {
		return binary.BigEndian.AppendUint32(dst, uint32(int32(day)))
	}
	return binary.BigEndian.AppendUint64(dst, uint64(day*dayMicros))
}

func binaryDay(v []byte, k kind) (int64, bool) {
	switch {
	case k == kindDate && len(v) == 4:
		return int64(int32(binary.BigEndian.Uint32(v))), true
	case k != kindDate && len(v) == 8:
		us := int64(binary.BigEndian.Uint64(v))
		d := us / dayMicros
		if us%dayMicros < 0 {
			d--
		}
		return d, true
	}
	return 0, false
}

func appendMaskedTimeText(dst []byte, t Type, v []byte, k kind, whole bool) []byte {
	switch {
	case whole || len(v) < 10 || !isDate(v[:10]) || bytes.HasSuffix(v, []byte("BC")):
		dst = append(dst, "1900-01-01"...) // also what other date styles become
	case t == BirthDate:
		dst = append(append(dst, v[:4]...), "-01-01"...)
	default:
		dst = append(append(dst, v[:7]...), "-01"...)
	}
	switch k {
	case kindTimestamp:
		dst = append(dst, " 00:00:00"...)
	case kindTimestampTZ:
		dst = append(dst, " 00:00:00+00"...)
	}
	return dst
}

// firstDay is the first day of the month, or of the year, in which day lies. The
// civil calendar is computed by eras of 400 years that begin on 1 March.
func firstDay(day int64, ofYear bool) int64 {
	z := day + epochCivilDay + 719468
	era := z / 146097
	if z < 0 {
		era = (z - 146096) / 146097
	}
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	if !ofYear {
		return day - (doy - (153*mp+2)/5)
	}
	year := yoe + era*400
	if mp >= 10 {
		year++
	}
	y := year - 1 // 1 January belongs to the era year before
	e := y / 400
	if y < 0 {
		e = (y - 399) / 400
	}
	yo := y - e*400
	first := e*146097 + yo*365 + yo/4 - yo/100 + 306
	return first - 719468 - epochCivilDay
}
