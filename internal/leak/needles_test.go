package leak

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// gram and digitGram are how many letters, or digits, of a secret in a row count as a
// leak of it; of shorter numbers all digits do.
const (
	gram      = 6
	digitGram = 9
)

// needles are the parts of all secrets of a world, to be found in any form that
// somebody could undo by hand.
type needles struct {
	parts map[string]string // to the secret
	sizes map[int]bool      // of parts
}

func (n *needles) add(part, secret string) {
	n.parts[part] = secret
	n.sizes[len(part)] = true
}

func newNeedles(secrets []string) *needles {
	n := &needles{parts: map[string]string{}, sizes: map[int]bool{}}
	for _, s := range secrets {
		flat := flatten(s)
		for _, text := range []string{flat, backwards(flat), rot13(flat)} {
			if digits(flat) && len(text) < digitGram {
				n.add(text, s)
			}
			for i := 0; i+gram <= len(text); i++ {
				if part := text[i : i+gram]; !digits(part) {
					n.add(part, s)
				}
				if i+digitGram <= len(text) && digits(text[i:i+digitGram]) {
					n.add(text[i:i+digitGram], s)
				}
			}
		}
	}
	return n
}

func digits(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

// flatten is the letters and digits of a text, small.
func flatten(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'A' && c <= 'Z':
			b.WriteByte(c | 0x20)
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			b.WriteByte(c)
		}
	}
	return b.String()
}

func backwards(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

func rot13(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return 'a' + (r-'a'+13)%26
		}
		return r
	}, s)
}

// find is a secret of which a part is in one of the texts, in plain or in a form that
// is easily undone: backwards, rot13, apart, hexadecimal, base64, numbers of characters,
// bits, octal escapes, and one of these within another. "" if there is none.
func (n *needles) find(texts []string) (secret, as string) {
	return n.within(texts, 2)
}

func (n *needles) within(texts []string, depth int) (secret, as string) {
	for _, text := range texts {
		flat := flatten(text)
		for size := range n.sizes {
			for i := 0; i+size <= len(flat); i++ {
				if s, ok := n.parts[flat[i:i+size]]; ok {
					return s, flat[max(0, i-10):min(len(flat), i+size+10)]
				}
			}
		}
		if depth == 0 {
			continue
		}
		if s, as := n.within(decoded(text), depth-1); s != "" {
			return s, as
		}
	}
	return "", ""
}

var (
	hexRun    = regexp.MustCompile(`[0-9a-fA-F]{10,}`)
	base64Run = regexp.MustCompile(`[A-Za-z0-9+/_-]{8,}`)
	bitRun    = regexp.MustCompile(`[01]{40,}`)
	number    = regexp.MustCompile(`\d+`)
	octal     = regexp.MustCompile(`\\+([0-3][0-7]{2})`)
	apartHex  = regexp.MustCompile(`(?i)(?:[^0-9a-f]?[0-9a-f]{2}[^0-9a-f]+){6,}`)
)

// decoded are the readings of a text as another form.
func decoded(text string) (out []string) {
	for _, run := range hexRun.FindAllString(text, -1) {
		for _, from := range []int{0, 1} {
			s := run[from:]
			if b, err := hex.DecodeString(s[:len(s)/2*2]); err == nil {
				out = append(out, string(b))
			}
		}
	}
	joined := strings.ReplaceAll(text, "\n", "")
	for _, run := range base64Run.FindAllString(joined, -1) {
		run = strings.NewReplacer("-", "+", "_", "/").Replace(run)
		for from := range 4 {
			s := run[min(from, len(run)):]
			if b, err := base64.RawStdEncoding.DecodeString(s[:len(s)/4*4]); err == nil {
				out = append(out, string(b))
			}
		}
	}
	for _, run := range bitRun.FindAllString(text, -1) {
		var b []byte
		for i := 0; i+8 <= len(run); i += 8 {
			if c, err := strconv.ParseUint(run[i:i+8], 2, 8); err == nil {
				b = append(b, byte(c))
			}
		}
		out = append(out, string(b))
	}
	for _, run := range apartHex.FindAllString(text, -1) {
		if b, err := hex.DecodeString(onlyHex(run)); err == nil {
			out = append(out, string(b))
		}
	}
	var codes, shifted []byte
	for _, s := range number.FindAllString(text, -1) {
		if c, err := strconv.Atoi(s); err == nil && c > 31 && c < 127 {
			codes = append(codes, byte(c))
		} else if err == nil && c > 1031 && c < 1127 { // a common way to keep the width
			shifted = append(shifted, byte(c-1000))
		}
	}
	if octal.MatchString(text) {
		out = append(out, octal.ReplaceAllStringFunc(text, func(s string) string {
			c, _ := strconv.ParseUint(strings.TrimLeft(s, `\`), 8, 8)
			return string([]byte{byte(c)})
		}))
	}
	return append(out, string(codes), string(shifted))
}

func onlyHex(s string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'f' {
			b.WriteRune(r)
		}
	}
	t := b.String()
	return t[:len(t)/2*2]
}

// The reader finds what somebody would find who looks for the secret, and nothing in
// what has none of it.
func TestNeedlesAreFoundInEveryForm(t *testing.T) {
	const mail = "zelqubd.wyrbthorn@vexfoldia.test"
	n := newNeedles([]string{mail, "8675309", "+49 30 551 7473"})
	var codes, bits, oct strings.Builder
	for _, c := range []byte(mail) {
		fmt.Fprintf(&codes, "%d, ", c)
		fmt.Fprintf(&bits, "%08b", c)
		fmt.Fprintf(&oct, `\%03o`, c)
	}
	for name, text := range map[string]string{
		"plain": mail, "upper": strings.ToUpper(mail), "a part": "xx wyrbth", "backwards": backwards(mail), "apart": strings.Join(strings.Split(mail, ""), "\n"),
		"hex": hex.EncodeToString([]byte(mail)), "bytea": `\x` + hex.EncodeToString([]byte(mail)), "base64": base64.StdEncoding.EncodeToString([]byte(mail)),
		"base64 from the middle": base64.StdEncoding.EncodeToString([]byte("xx" + mail)), "hex of base64": hex.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte(mail)))),
		"codes": codes.String(), "bits": bits.String(), "octal": oct.String(), "rot13": rot13(mail), "a number": "it is 8,675,309.00", "digits": "0049305517473",
	} {
		if s, _ := n.find([]string{text}); s == "" {
			t.Errorf("%s: nothing found in %q", name, text)
		}
	}
	for _, text := range []string{"z•••@masked.invalid", "+49 •••• 73", "Town 17", "0", "the quick brown fox jumps", "2026-11-30 01:34:30.123456+00", hex.EncodeToString([]byte("nothing in here at all"))} {
		if s, as := n.find([]string{text}); s != "" {
			t.Errorf("%q is taken for %q by %q", text, s, as)
		}
	}
}
