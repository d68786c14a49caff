package mask

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"net/netip"
	"strconv"
	"strings"
)

// MinPseudonymKey is how many bytes a key must have at least.
const MinPseudonymKey = 32

// Pseudonyms puts made-up values in the place of personal ones: the same for the same
// value, wherever it stands and in text as in binary, so that what is exported can still
// be joined, grouped and counted. They follow from a key and a purpose: values of one
// purpose cannot be joined with those of another. Who has the key can try values; who has
// not sees which are equal, and how often each comes. They belong to one stream of rows
// and are not safe for use by several goroutines.
type Pseudonyms struct {
	key      []byte
	purposes map[Type]string
	makers   map[Type]*pseudonym
}

// NewPseudonyms makes them for the types that purposes names.
func NewPseudonyms(key []byte, purposes map[Type]string) *Pseudonyms {
	return &Pseudonyms{key: key, purposes: purposes, makers: map[Type]*pseudonym{}}
}

// Pseudonymous are the types that can have a pseudonym, in order: those of which there
// are so many values that the frequency of one tells little. A birth date or a salary
// could be told by how often it comes, and what is secret is of no use to anybody.
func Pseudonymous() []Type {
	return []Type{Account, Card, Device, Email, IBAN, IP, Licence, MAC, NationalID, Passport, Person, Phone, Plate, SSN, TaxID, Username}
}

// pseudonym makes those of one type.
type pseudonym struct {
	keyed hash.Hash    // begun anew for each value
	block cipher.Block // for whole numbers
	room  [sha256.Size]byte
}

// of is nil if the type has none here.
func (p *Pseudonyms) of(t Type) *pseudonym {
	if p == nil {
		return nil
	}
	if m := p.makers[t]; m != nil {
		return m
	}
	purpose, ok := p.purposes[t]
	if !ok || len(p.key) < MinPseudonymKey || !contains(Pseudonymous(), t) {
		return nil
	}
	derive := func(use string) []byte {
		h := hmac.New(sha256.New, p.key)
		for _, part := range []string{"sluice pseudonym", use, purpose, string(t)} {
			h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
			h.Write([]byte(part))
		}
		return h.Sum(nil)
	}
	m := &pseudonym{keyed: hmac.New(sha256.New, derive("text"))}
	m.block, _ = aes.NewCipher(derive("number")) // of 32 bytes it takes any
	p.makers[t] = m
	return m
}

// append appends the pseudonym of v to dst. ok is false if values of its PostgreSQL type
// have none, or v cannot be read: then it is masked.
func (p *Pseudonyms) append(dst []byte, t Type, v []byte, oid uint32, bin bool) (out []byte, ok bool) {
	m := p.of(t)
	if m == nil {
		return dst, false
	}
	switch k := kindOf(oid); k {
	case kindText:
		return m.text(dst, t, v), true
	case kindInt4, kindInt8, kindNumeric:
		return m.number(dst, v, k, bin)
	case kindUUID:
		return m.uuid(dst, v, bin)
	case kindInet, kindCIDR:
		return m.inet(dst, v, k, bin)
	case kindMAC, kindMAC8:
		return m.mac(dst, v, k, bin)
	case kindBytes:
		return m.bytes(dst, v, bin)
	}
	return dst, false
}

// appendText appends the pseudonym of a text, or of a part of one; its mask if it has none.
func (p *Pseudonyms) appendText(dst []byte, t Type, v []byte) []byte {
	if m := p.of(t); m != nil {
		return m.text(dst, t, v)
	}
	return appendMaskedText(dst, t, v)
}

func (m *pseudonym) sum(v []byte) [sha256.Size]byte {
	m.keyed.Reset()
	m.keyed.Write(v)
	m.keyed.Sum(m.room[:0])
	return m.room
}

var letters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// appendWord appends twelve letters and digits: 60 bits, so that two of a billion values
// share one with a chance of a third at most.
func appendWord(dst []byte, sum [sha256.Size]byte) []byte {
	var room [13]byte
	letters.Encode(room[:], sum[:8])
	return append(dst, room[:12]...)
}

// decimals are the last n decimal digits of a sum.
func decimals(sum [sha256.Size]byte, n int) string {
	s := strconv.FormatUint(binary.BigEndian.Uint64(sum[:])|1<<63, 10) // at least 19 digits
	s += strconv.FormatUint(binary.BigEndian.Uint64(sum[8:])|1<<63, 10)
	return s[len(s)-n:]
}

// text is a pseudonym that looks like its type, in a range that nobody else has: a mail
// domain without mail (RFC 2606), a calling code and a country that are not given out, a
// card number of no scheme, an address of a private network.
func (m *pseudonym) text(dst []byte, t Type, v []byte) []byte {
	sum := m.sum(v)
	switch t {
	case Email:
		return append(appendWord(append(dst, "u-"...), sum), mailDomain...)
	case Person:
		return appendWord(append(dst, "Person "...), sum)
	case Phone:
		return append(append(dst, "+999 "...), decimals(sum, 12)...)
	case Card:
		s := "0000" + decimals(sum, 11)
		s += string('0' + luhnDigit(s))
		return append(dst, s[:4]+" "+s[4:8]+" "+s[8:12]+" "+s[12:]...)
	case IBAN:
		s := decimals(sum, 20)
		return append(append(append(dst, "XX"...), ibanCheck(s)...), s...)
	case IP:
		return private(sum).AppendTo(dst)
	case MAC:
		return appendMAC(dst, sum[:6])
	}
	dst = append(append(dst, '['), t...)
	return append(appendWord(append(dst, ':'), sum), ']')
}

// luhnDigit is what makes the sum of a number right.
func luhnDigit(s string) byte {
	sum := 0
	for i := range len(s) {
		d := int(s[len(s)-1-i] - '0')
		if i%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return byte((10 - sum%10) % 10)
}

// ibanCheck are the check digits of the country XX, which are 33 33.
func ibanCheck(bban string) string {
	rest := 0
	for _, c := range []byte(bban + "333300") {
		rest = (rest*10 + int(c-'0')) % 97
	}
	n := 98 - rest
	return string([]byte{byte('0' + n/10), byte('0' + n%10)})
}

// private is an address of fd00::/8 (RFC 4193).
func private(sum [sha256.Size]byte) netip.Addr {
	var a [16]byte
	copy(a[:], sum[:])
	a[0] = 0xfd
	return netip.AddrFrom16(a)
}

// appendMAC writes an address that no maker gave out: locally administered, of one device.
func appendMAC(dst, b []byte) []byte {
	const digits = "0123456789abcdef"
	for i, c := range b {
		if i == 0 {
			c = local(c)
		} else {
			dst = append(dst, ':')
		}
		dst = append(dst, digits[c>>4], digits[c&15])
	}
	return dst
}

func local(c byte) byte { return c&^3 | 2 }

// number keeps whole numbers whole, and two that differ different: below 2^31 they are
// permuted among themselves, so that integer, bigint and numeric agree, and the rest up
// to 2^63 among themselves.
func (m *pseudonym) number(dst, v []byte, k kind, bin bool) ([]byte, bool) {
	n, ok := wholeNumber(v, k, bin)
	if !ok {
		return dst, false
	}
	negative := n < 0
	if negative {
		n = -(n + 1)
	}
	if n = m.permuted(n); negative {
		n = -n - 1
	}
	switch {
	case !bin:
		return strconv.AppendInt(dst, n, 10), true
	case k == kindInt4:
		return binary.BigEndian.AppendUint32(dst, uint32(int32(n))), true
	case k == kindInt8:
		return binary.BigEndian.AppendUint64(dst, uint64(n)), true
	}
	return appendNumeric(dst, n), true
}

// wholeNumber reads one; false for fractions and what is longer than 63 bits.
func wholeNumber(v []byte, k kind, bin bool) (int64, bool) {
	switch {
	case !bin:
		n, err := strconv.ParseInt(string(v), 10, 64)
		return n, err == nil
	case k == kindInt4 && len(v) == 4:
		return int64(int32(binary.BigEndian.Uint32(v))), true
	case k == kindInt8 && len(v) == 8:
		return int64(binary.BigEndian.Uint64(v)), true
	case k != kindNumeric || len(v) < 8 || binary.BigEndian.Uint16(v[6:]) != 0: // it has a fraction
		return 0, false
	}
	var room [64]byte
	digits, ok := numericDigits(room[:0], v)
	if !ok || len(digits) > 20 {
		return 0, false
	}
	text := string(digits)
	if text == "" {
		text = "0"
	}
	switch binary.BigEndian.Uint16(v[4:]) {
	case 0x4000:
		text = "-" + text
	case 0:
	default: // not a number, or endless
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

// appendNumeric writes words of four decimal digits (numeric_send).
func appendNumeric(dst []byte, n int64) []byte {
	sign := uint16(0)
	u := uint64(n)
	if n < 0 {
		sign, u = 0x4000, uint64(-(n+1))+1
	}
	var words [5]uint16
	at := len(words)
	for ; u > 0; u /= 10_000 {
		at--
		words[at] = uint16(u % 10_000)
	}
	list := words[at:]
	weight := len(list) - 1
	for len(list) > 0 && list[len(list)-1] == 0 {
		list = list[:len(list)-1]
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(list)))
	dst = binary.BigEndian.AppendUint16(dst, uint16(max(weight, 0)))
	dst = binary.BigEndian.AppendUint16(dst, sign)
	dst = binary.BigEndian.AppendUint16(dst, 0)
	for _, w := range list {
		dst = binary.BigEndian.AppendUint16(dst, w)
	}
	return dst
}

// permuted stays below 2^31 if n is: what falls outside is permuted again.
func (m *pseudonym) permuted(n int64) int64 {
	const small = 1 << 31
	x := uint64(n)
	if x < small {
		for x = m.feistel(x, 16); x >= small; x = m.feistel(x, 16) {
		}
		return int64(x)
	}
	for x = m.feistel(x, 32); x < small || x>>63 != 0; x = m.feistel(x, 32) {
	}
	return int64(x)
}

// feistelRounds is what NIST asks of FF1 (SP 800-38G), whose shape this has.
const feistelRounds = 10

// feistel is a permutation of the numbers of two halves of so many bits.
func (m *pseudonym) feistel(x uint64, bits uint) uint64 {
	mask := uint64(1)<<bits - 1
	left, right := x>>bits, x&mask
	var in, out [aes.BlockSize]byte
	for round := range feistelRounds {
		in[0], in[1] = byte(bits), byte(round)
		binary.BigEndian.PutUint64(in[8:], right)
		m.block.Encrypt(out[:], in[:])
		left, right = right, left^binary.BigEndian.Uint64(out[:])&mask
	}
	return left<<bits | right
}

// uuid gives version 8, which RFC 9562 leaves to whoever makes one.
func (m *pseudonym) uuid(dst, v []byte, bin bool) ([]byte, bool) {
	raw := v
	if !bin {
		raw = make([]byte, 0, 16)
		var err error
		if raw, err = hex.AppendDecode(raw, []byte(strings.ReplaceAll(string(v), "-", ""))); err != nil {
			return dst, false
		}
	}
	if len(raw) != 16 {
		return dst, false
	}
	sum := m.sum(raw)
	u := sum[:16]
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	if bin {
		return append(dst, u...), true
	}
	for i, part := range [][]byte{u[:4], u[4:6], u[6:8], u[8:10], u[10:]} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, part)
	}
	return dst, true
}

// inet reads PostgreSQL's forms: family, bits, is_cidr, length and address in binary.
func (m *pseudonym) inet(dst, v []byte, k kind, bin bool) ([]byte, bool) {
	var addr netip.Addr
	bits := -1
	if bin {
		if len(v) < 4 || len(v) != 4+int(v[3]) {
			return dst, false
		}
		var ok bool
		if addr, ok = netip.AddrFromSlice(v[4:]); !ok {
			return dst, false
		}
		bits = int(v[1])
	} else {
		text, width, cut := strings.Cut(string(v), "/")
		var err error
		if addr, err = netip.ParseAddr(text); err != nil {
			return dst, false
		}
		bits = addr.BitLen()
		if cut {
			if bits, err = strconv.Atoi(width); err != nil {
				return dst, false
			}
		}
	}
	in := addr.AsSlice()
	if bits != addr.BitLen() {
		in = append(in, byte(bits))
	}
	a := private(m.sum(in))
	raw := a.As16()
	switch {
	case bin && k == kindCIDR:
		return append(append(dst, 3, 128, 1, 16), raw[:]...), true
	case bin:
		return append(append(dst, 3, 128, 0, 16), raw[:]...), true
	case k == kindCIDR:
		return append(a.AppendTo(dst), "/128"...), true
	}
	return a.AppendTo(dst), true
}

func (m *pseudonym) mac(dst, v []byte, k kind, bin bool) ([]byte, bool) {
	size := 6
	if k == kindMAC8 {
		size = 8
	}
	raw := v
	if !bin {
		var err error
		if raw, err = hex.AppendDecode(nil, []byte(strings.ReplaceAll(string(v), ":", ""))); err != nil {
			return dst, false
		}
	}
	if len(raw) != size {
		return dst, false
	}
	sum := m.sum(raw)
	if !bin {
		return appendMAC(dst, sum[:size]), true
	}
	sum[0] = local(sum[0])
	return append(dst, sum[:size]...), true
}

func (m *pseudonym) bytes(dst, v []byte, bin bool) ([]byte, bool) {
	raw := v
	if !bin {
		if len(v) < 2 || v[0] != '\\' || v[1] != 'x' {
			return dst, false // bytea_output = escape
		}
		var err error
		if raw, err = hex.AppendDecode(nil, v[2:]); err != nil {
			return dst, false
		}
	}
	sum := m.sum(raw)
	if bin {
		return append(dst, sum[:16]...), true
	}
	return hex.AppendEncode(append(dst, `\x`...), sum[:16]), true
}
