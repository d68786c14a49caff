package sheet

import (
	"fmt"
	"strings"
)

// Nearest is the word that key was probably meant to be.
func Nearest(key string, words []string) string {
	best, at := "", 3 // more than two slips are another word
	for _, w := range words {
		if d := distance(key, w); d < at && d < len(w) {
			best, at = w, d
		}
	}
	return best
}

// distance counts the letters to change, add or leave out (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		prev := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			prev, row[j] = row[j], min(row[j]+1, row[j-1]+1, prev+cost)
		}
	}
	return row[len(b)]
}

// DidYouMean ends a sentence about a word that is none of those known: with the
// Nearest, or with all.
func DidYouMean(word string, known []string) string {
	if near := Nearest(word, known); near != "" {
		return fmt.Sprintf(", did you mean %q?", near)
	}
	return "; known are " + Listed(known)
}

// Listed is "a, b or c".
func Listed(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// short cuts a text, which is quoted where it is shown, to at most n characters.
func short(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
