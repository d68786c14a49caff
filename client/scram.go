package client

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// scramIterations is PostgreSQL's default. The password is 128 random bits, so
// that stretching it adds nothing; clients expect the usual number.
const scramIterations = 4096

// NewPassword makes the password of a local port, and the verifier that the
// gateway checks it with: the password itself never leaves the machine.
func NewPassword() (password, verifier string) {
	salt := make([]byte, 16)
	rand.Read(salt) // ends the program rather than fail
	password = rand.Text()
	return password, scramVerifier(password, salt, scramIterations)
}

// scramVerifier gives the text PostgreSQL keeps in rolpassword (RFC 5803). An
// ASCII password needs no SASLprep.
func scramVerifier(password string, salt []byte, iterations int) string {
	salted := stretch(password, salt, iterations)
	stored := sha256.Sum256(keyed(salted, "Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b64(salt), b64(stored[:]), b64(keyed(salted, "Server Key")))
}

// stretch is Hi of RFC 5802 section 2.2: PBKDF2 with one block, which is all that
// a 32-byte key needs, and unlike the general form cannot fail.
func stretch(password string, salt []byte, iterations int) []byte {
	u := keyed([]byte(password), string(salt)+"\x00\x00\x00\x01")
	sum := append([]byte(nil), u...)
	for range iterations - 1 {
		u = keyed([]byte(password), string(u))
		for i := range sum {
			sum[i] ^= u[i]
		}
	}
	return sum
}

func keyed(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
