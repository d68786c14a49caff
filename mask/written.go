package mask

import (
	"bytes"
	"regexp"
	"strings"
)

// shapes are the masks of text, each as a whole value. They are matched against values
// that were written, and only those in which one of the marks is.
var shapes = regexp.MustCompile(`^\s*(\[masked\]|[0-9A-Za-z]?•••@masked\.invalid|(\+\d{1,3} )?•••• ?\d{0,2}|•••• •••• •••• ?\d{0,4}|[A-Z]{2}•• •••• ?\d{0,2}|\d{1,3}\.\d{1,3}\.\d{1,3}\.•••|\d{4}-•••|•••|<masked/>|\{"masked": ?true\})\s*$`)

// IsMask reports whether a value is one that this package made, or holds one that it
// leaves in longer text and that nobody else writes.
func IsMask(v string) bool {
	return ContainsMask(v) && (shapes.MatchString(v) || HoldsMask([]byte(v)))
}

// HoldsMask reports whether text holds the mask of an address, a card or a secret, or
// one with the name of a type. Others are too short to be told from what people write.
func HoldsMask(b []byte) bool {
	if bytes.Contains(b, []byte(dots+mailDomain)) || bytes.Contains(b, []byte("•••• •••• •••• ")) {
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

// masks are the types that a mask may name.
var masks = func() map[Type]bool {
	m := map[Type]bool{Opaque: true, Statement: true, Statistics: true}
	for _, t := range Types() {
		m[t] = true
	}
	return m
}()
