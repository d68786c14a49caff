package mask

import (
	"bytes"
	"regexp"
	"strings"
)

// shapes are the masks of text, each as a whole value. They are matched against values
// that were written, and only those in which one of the marks is.
var shapes = regexp.MustCompile(`^\s*(\[masked\]|[0-9A-Za-z]?•••@masked\.invalid|(\+\d{1,3} )?•••• ?\d{0,2}|•••• •••• •••• ?\d{0,4}|[A-Z]{2}•• •••• ?\d{0,2}|\d{1,3}\.\d{1,3}\.\d{1,3}\.•••|\d{4}-•••|•••|<masked/>|\{"masked": ?true\}|u-[a-z2-7]{12}@masked\.invalid|Person [a-z2-7]{12}|\+999 \d{12}|0000 \d{4} \d{4} \d{4}|XX\d{22}|\[[a-z_]+:[a-z2-7]{12}\])\s*$`)

// IsMask reports whether a value is one that this package made, or holds one that it
// leaves in longer text and that nobody else writes.
func IsMask(v string) bool {
	return (ContainsMask(v) || mayBePseudonym(v)) && (shapes.MatchString(v) || HoldsMask([]byte(v)))
}

// MayHoldPseudonym reports whether a text may have a pseudonym in it: one that has none of
// their marks has not.
func MayHoldPseudonym(s string) bool { return mayHoldPseudonym([]byte(s)) }

func mayHoldPseudonym(b []byte) bool {
	for _, mark := range pseudonymMarks {
		if bytes.Contains(b, mark) {
			return true
		}
	}
	return false
}

var pseudonymMarks = [][]byte{[]byte("Person "), []byte("+999 "), []byte("0000 "), []byte("XX"), []byte("[")}

// mayBePseudonym is what all pseudonyms of text pass, and few other values.
func mayBePseudonym(v string) bool {
	if v = strings.TrimSpace(v); v == "" {
		return false
	}
	return strings.HasPrefix(v, "Person ") || strings.HasPrefix(v, "+999 ") || strings.HasPrefix(v, "0000 ") || strings.HasPrefix(v, "XX") || v[0] == '['
}

// HoldsMask reports whether text holds the mask of an address, a card or a secret, or
// one with the name of a type. Others are too short to be told from what people write.
func HoldsMask(b []byte) bool {
	if bytes.Contains(b, []byte(dots+mailDomain)) || bytes.Contains(b, []byte(mailDomain)) && pseudonymMail.Match(b) || bytes.Contains(b, []byte("•••• •••• •••• ")) {
		return true
	}
	for at := bytes.Index(b, []byte("[masked:")); at >= 0; {
		rest := b[at+len("[masked:"):]
		name, _, ok := strings.Cut(string(rest[:min(len(rest), 24)]), "]")
		if ok && masks[Type(name)] {
			return true
		}
		next := bytes.Index(rest, []byte("[masked:"))
		if next < 0 {
			break
		}
		at += len("[masked:") + next
	}
	return false
}

// pseudonymMail is the pseudonym of an address.
var pseudonymMail = regexp.MustCompile(`\bu-[a-z2-7]{12}@masked\.invalid`)

// masks are the types that a mask may name.
var masks = func() map[Type]bool {
	m := map[Type]bool{Opaque: true, Statement: true, Statistics: true}
	for _, t := range Types() {
		m[t] = true
	}
	return m
}()
