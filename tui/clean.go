package tui

import (
	"strings"
	"unicode"
)

// Stand-ins for characters that are not shown as they are.
const (
	pictures = 0x2400 // U+2400 and on are pictures of the C0 controls
	deleted  = 0x2421 // picture of DEL
	unshown  = unicode.ReplacementChar
	tabWidth = 4
)

// clean makes text from elsewhere safe to show, lines kept. Each control, each mark
// that turns the direction of writing, each invisible character becomes a visible
// stand-in. Nothing is dropped: an escape sequence taken out as a whole could take
// a part of the statement with it that the database would run.
func clean(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteByte('\n')
		case r == '\r':
			// Alone it ends a line for the database, and a comment with it.
			b.WriteRune(pictures + r)
			b.WriteByte('\n')
		case r == '\t':
			b.WriteString(strings.Repeat(" ", tabWidth))
		case r < ' ':
			b.WriteRune(pictures + r)
		case r == 0x7f:
			b.WriteRune(deleted)
		case !unicode.IsPrint(r):
			b.WriteRune(unshown)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// line is clean for a place that has one line: line ends are shown as a picture.
func line(s string) string {
	return strings.ReplaceAll(clean(s), "\n", string(rune(pictures+'\n')))
}

// Visible is a text with everything in it to be seen, in lines: what would move the
// cursor, hide or turn the direction of writing has a picture in its place, so that
// nothing that a person decides on is left out.
func Visible(text string) string { return clean(text) }
