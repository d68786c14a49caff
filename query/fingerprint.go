package query

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Fingerprint is equal for texts that differ in constants, parameters, spacing,
// letter case, comments and the length of lists of constants only. It is for
// statistics and for people, never a key to a decision: statements with equal
// fingerprints may do different things. It is "" for a text that is refused.
func Fingerprint(sql string) (fp string) {
	if refuse(sql) != "" {
		return ""
	}
	defer func() {
		if v := recover(); v != nil {
			fp = ""
		}
	}()
	tokens, ok := lex(sql)
	if !ok {
		return ""
	}
	for len(tokens) > 0 && tokens[len(tokens)-1].kind == ';' {
		tokens = tokens[:len(tokens)-1]
	}
	return digest(tokens)
}

// digest hashes the normal form of a statement's tokens. 128 bits are enough
// for statistics and short enough for a table of them.
func digest(tokens []token) string {
	sum := sha256.Sum256([]byte(normal(tokens)))
	return hex.EncodeToString(sum[:16])
}

// normal writes the tokens with a list of constants, or of rows of constants, as one.
func normal(tokens []token) string {
	words := make([]string, 0, len(tokens))
	for _, t := range tokens {
		n := len(words)
		switch {
		case t.word == "?" && n >= 2 && words[n-1] == "," && words[n-2] == "?":
			words = words[:n-1]
			continue
		case t.word == ")" && n >= 6 && words[n-1] == "?" && words[n-2] == "(" && words[n-3] == "," &&
			words[n-4] == ")" && words[n-5] == "?" && words[n-6] == "(":
			words = words[:n-3]
			continue
		}
		words = append(words, t.word)
	}
	return strings.Join(words, " ")
}
