package approval

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"

	"github.com/sluicehq/sluice/identity"
)

// bindVersion starts every binding, so that a later change of what is hashed can
// never produce a value that an older gateway would accept.
const bindVersion = "sluice approval 1"

// Bind is the hash that an answer is bound to: the text, the parameters, the
// caller, the session and the connection. Every part is preceded by its length and
// every list by its count, so that no two different asks share a binding by moving
// characters from one part to the next.
func Bind(sql string, params []string, who identity.Identity, session, connection string) string {
	h := sha256.New()
	part(h, bindVersion)
	part(h, sql)
	count(h, len(params))
	for _, p := range params {
		part(h, p)
	}
	part(h, who.Issuer)
	part(h, who.Subject)
	part(h, string(who.Kind))
	part(h, who.Owner)
	part(h, session)
	part(h, connection)
	return hex.EncodeToString(h.Sum(nil))
}

func part(h hash.Hash, s string) {
	count(h, len(s))
	h.Write([]byte(s))
}

func count(h hash.Hash, n int) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	h.Write(b[:])
}

// sealVersion starts every seal, as bindVersion does every binding.
const sealVersion = "sluice ask 1"

// seal is what a vote must repeat to count: it belongs to one ask, and to no other of
// the same statement. The nonce also keeps those who see it from trying what a text
// that they are not shown, such as a password, may be.
func seal(nonce, id, binding string) string {
	h := sha256.New()
	part(h, sealVersion)
	part(h, nonce)
	part(h, id)
	part(h, binding)
	return hex.EncodeToString(h.Sum(nil))
}
