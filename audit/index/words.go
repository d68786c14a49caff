package index

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sluicehq/sluice/audit"
)

// wordEntries is how many entries share one set of words: who looks for a value reads
// as many in the record for each hit.
const wordEntries = 64

// maxWord is where a word is cut: nobody types more, and hashes need not be kept whole.
const maxWord = 40

// eachWord gives the words of a text in lower case: runs of letters, digits
// and underscores.
func eachWord(text string, give func(string)) {
	for start := -1; ; {
		i := 0
		for i < len(text) {
			r, n := utf8.DecodeRuneInString(text[i:])
			if letter := r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r); letter && start < 0 {
				start = i
			} else if !letter && start >= 0 {
				break
			}
			i += n
		}
		if start < 0 {
			return
		}
		word := text[start:i]
		for len(word) > maxWord {
			_, n := utf8.DecodeLastRuneInString(word[:maxWord])
			word = word[:maxWord-n]
		}
		give(strings.ToLower(word))
		text, start = text[i:], -1
	}
}

// wording is the words of some entries, each once.
type wording struct {
	texts map[string]bool // that were looked at: most come again and again
	words map[string]bool
	text  strings.Builder // of words
}

// note takes the words of an event for those who search.
func (b *batch) note(about uint64, ev *audit.Event) {
	w := b.words[about/wordEntries]
	if w == nil {
		w = &wording{texts: map[string]bool{}, words: map[string]bool{}}
		b.words[about/wordEntries] = w
	}
	eachText(ev, func(text string) {
		if w.texts[text] {
			return
		}
		w.texts[text] = true
		eachWord(text, func(word string) {
			if !w.words[word] {
				w.words[word] = true
				w.text.WriteString(word)
				w.text.WriteByte(' ')
			}
		})
	})
}

// eachText gives the texts of an event in which people search.
func eachText(ev *audit.Event, give func(string)) {
	for _, s := range [...]string{ev.SQL, ev.Error, ev.Reason, ev.Detail, ev.Runbook, ev.RunbookRun} {
		if s != "" {
			give(s)
		}
	}
	for _, s := range ev.Params {
		give(s)
	}
}

// bare is a statement without its values: strings and numbers become a question mark,
// so that what one caller looked for is not told of all.
func bare(sql string) string {
	var b strings.Builder
	b.Grow(len(sql))
	for i := 0; i < len(sql); {
		switch c := sql[i]; {
		case c == '\'':
			end := i + 1
			for end < len(sql) && (sql[end] != '\'' || end+1 < len(sql) && sql[end+1] == '\'') {
				if sql[end] == '\'' || sql[end] == '\\' {
					end++
				}
				end++
			}
			b.WriteByte('?')
			i = min(end+1, len(sql))
		case c >= '0' && c <= '9' && (i == 0 || !nameByte(sql[i-1])):
			end := i
			for end < len(sql) && (nameByte(sql[end]) || sql[end] == '.') {
				end++
			}
			b.WriteByte('?')
			i = end
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String()
}

func nameByte(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
