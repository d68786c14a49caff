package mask

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"
)

// Bounds for values in PostgreSQL's binary form. What exceeds them is not decoded,
// and what is not decoded counts as personal.
const (
	maxArrayDims    = 6  // PostgreSQL's MAXDIM
	maxNumericWords = 12 // 48 decimal digits: longer numbers are no identifiers
	maxNesting      = 8  // of records and arrays in each other
)

// decimalDigits writes the whole part of a binary number. ok is false if b is not
// such a number.
func decimalDigits(dst, b []byte, oid uint32) (out []byte, ok bool) {
	switch k := kindOf(oid); {
	case k == kindInt2 && len(b) == 2:
		return strconv.AppendInt(dst, int64(int16(binary.BigEndian.Uint16(b))), 10), true
	case k == kindInt4 && len(b) == 4:
		return strconv.AppendInt(dst, int64(int32(binary.BigEndian.Uint32(b))), 10), true
	case k == kindInt8 && len(b) == 8:
		return strconv.AppendInt(dst, int64(binary.BigEndian.Uint64(b)), 10), true
	case k == kindNumeric:
		return numericDigits(dst, b)
	}
	return dst, false
}

// numericDigits reads words of four decimal digits, the first worth 10000^weight.
func numericDigits(dst, b []byte) (out []byte, ok bool) {
	if len(b) < 8 {
		return dst, false
	}
	words := int(binary.BigEndian.Uint16(b))
	weight := int(int16(binary.BigEndian.Uint16(b[2:])))
	if len(b) != 8+2*words {
		return dst, false
	}
	if weight < 0 || weight >= maxNumericWords {
		return dst, true
	}
	for i := 0; i <= weight; i++ {
		w := 0
		if i < words {
			w = int(binary.BigEndian.Uint16(b[8+2*i:]))
		}
		if w > 9999 {
			return dst, false
		}
		if i == 0 {
			dst = strconv.AppendInt(dst, int64(w), 10)
			continue
		}
		dst = append(dst, byte('0'+w/1000), byte('0'+w/100%10), byte('0'+w/10%10), byte('0'+w%10))
	}
	return dst, true
}

// scanBinaryArray reads dimensions, element type and elements (array_send). A hit
// in any element is a hit for the whole.
func scanBinaryArray(dst []Span, b []byte) []Span {
	if t := arrayHit(b, 0); t != "" {
		return append(dst, Span{t, 0, len(b)})
	}
	return dst
}

func scanBinaryRecord(dst []Span, b []byte) []Span {
	if t := recordHit(b, 0); t != "" {
		return append(dst, Span{t, 0, len(b)})
	}
	return dst
}

func arrayHit(b []byte, depth int) Type {
	if len(b) < 12 || depth >= maxNesting {
		return Opaque
	}
	dims := binary.BigEndian.Uint32(b)
	elem := binary.BigEndian.Uint32(b[8:])
	if dims > maxArrayDims || len(b) < 12+8*int(dims) {
		return Opaque
	}
	for at := 12 + 8*int(dims); at < len(b); {
		v, next := lengthPrefixed(b, at)
		if next < 0 {
			return Opaque
		}
		if t := elementHit(v, elem, depth); t != "" {
			return t
		}
		at = next
	}
	return ""
}

// recordHit reads the number of fields, then type and value of each (record_send).
func recordHit(b []byte, depth int) Type {
	if len(b) < 4 || depth >= maxNesting {
		return Opaque
	}
	at := 4
	for range binary.BigEndian.Uint32(b) {
		if len(b)-at < 8 {
			return Opaque
		}
		oid := binary.BigEndian.Uint32(b[at:])
		v, next := lengthPrefixed(b, at+4)
		if next < 0 {
			return Opaque
		}
		if t := elementHit(v, oid, depth); t != "" {
			return t
		}
		at = next
	}
	if at != len(b) {
		return Opaque
	}
	return ""
}

func elementHit(v []byte, oid uint32, depth int) Type {
	if v == nil {
		return ""
	}
	switch kindOf(oid) {
	case kindRecord:
		return recordHit(v, depth+1)
	case kindTextArray, kindJSONArray, kindNumberArray:
		return arrayHit(v, depth+1)
	case kindDate: // in a record nothing says whether it is a date of birth
		return ""
	}
	var room [4]Span
	if hits := Scan(room[:0], v, oid, true); len(hits) > 0 {
		return hits[0].Type
	}
	return ""
}

// lengthPrefixed cuts out a value behind its length; length -1 is NULL. next is -1
// if the bytes do not fit.
func lengthPrefixed(b []byte, at int) (v []byte, next int) {
	if len(b)-at < 4 {
		return nil, -1
	}
	n := int32(binary.BigEndian.Uint32(b[at:]))
	at += 4
	switch {
	case n == -1:
		return nil, at
	case n < 0 || int(n) > len(b)-at:
		return nil, -1
	}
	return b[at : at+int(n) : at+int(n)], at + int(n)
}

// scanBytes reads bytea as text, its hexadecimal form undone.
func scanBytes(dst []Span, b []byte, bin bool) []Span {
	raw := b
	if !bin && len(b) > 2 && b[0] == '\\' && b[1] == 'x' {
		raw = make([]byte, hex.DecodedLen(len(b)-2))
		if _, err := hex.Decode(raw, b[2:]); err != nil {
			return append(dst, Span{Opaque, 0, len(b)})
		}
	}
	var room [4]Span
	if hits := scanText(room[:0], raw); len(hits) > 0 {
		return append(dst, Span{hits[0].Type, 0, len(b)})
	}
	return dst
}
