package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// nearest is the word that key was probably meant to be.
func nearest(key string, words []string) string {
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

// didYouMean ends a sentence about a word that is none of those known: with the
// nearest, or with all.
func didYouMean(word string, known []string) string {
	if near := nearest(word, known); near != "" {
		return fmt.Sprintf(", did you mean %q?", near)
	}
	return "; known are " + listed(known)
}

// listed is "a, b or c".
func listed(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// reason is why the system said no, without the call that it said it to: a person
// knows what they asked for, and our sentence says it.
func reason(err error) string {
	var number syscall.Errno
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &number):
		return number.Error()
	case errors.As(err, &path):
		return path.Err.Error()
	case errors.As(err, &link):
		return link.Err.Error()
	}
	return err.Error()
}
