package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// PseudonymMark begins every pseudonym.
const PseudonymMark = "ps_"

// pseudonymBytes are enough that no two values meet, and short enough to read past.
const pseudonymBytes = 16

// Pseudonym is what stands in the record for a value that tells of a person: the same for
// the same value, and nothing to whoever has not got the key. Upper and lower case, white
// space around it and the percent signs of a pattern make no difference, so that who looked
// for somebody is found however they wrote it. It is one word of letters and digits, which
// can be searched for: PseudonymMark, and in base32 the first 16 bytes of
// HMAC-SHA-256(key, "sluice literal" ‖ 0x00 ‖ value).
func Pseudonym(key []byte, value string) string {
	value = strings.ToLower(strings.TrimSpace(strings.Trim(strings.TrimSpace(value), "%")))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("sluice literal\x00"))
	mac.Write([]byte(value))
	sum := mac.Sum(nil)
	return PseudonymMark + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:pseudonymBytes]))
}
