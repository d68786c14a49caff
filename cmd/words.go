package cmd

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	sheets "github.com/sluicehq/sluice/internal/sheet"
)

// nearest is the word that key was probably meant to be.
func nearest(key string, words []string) string { return sheets.Nearest(key, words) }

// didYouMean ends a sentence about a word that is none of those known: with the
// nearest, or with all.
func didYouMean(word string, known []string) string { return sheets.DidYouMean(word, known) }

// listed is "a, b or c".
func listed(words []string) string { return sheets.Listed(words) }

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
