package mask

import (
	"bytes"
	"compress/gzip"
	_ "embed" // the names
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// packedNames are 38,198 given and family names of 74 locales, packedPlaces 21,000
// towns, countries and their parts, from the lists of @faker-js/faker 10.6.0 (MIT, see
// THIRD_PARTY.md): lower case, accents taken off, one a line. scripts/names.mjs makes
// them. They are for columns, where a share counts; for single values they know too
// many words.
var (
	//go:embed names.txt.gz
	packedNames []byte
	//go:embed places.txt.gz
	packedPlaces []byte
)

// The lists are unpacked when the first column is judged.
var (
	dictionary = sync.OnceValue(func() map[string]struct{} { return unpack(packedNames, 40_000) })
	gazetteer  = sync.OnceValue(func() map[string]struct{} { return unpack(packedPlaces, 22_000) })
)

func unpack(packed []byte, room int) map[string]struct{} {
	lines := make(map[string]struct{}, room)
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return lines // TestDictionaryIsWhole shows that this does not happen
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return lines
	}
	for line := range strings.Lines(string(text)) {
		lines[strings.TrimSuffix(line, "\n")] = struct{}{}
	}
	return lines
}

// isPlace says whether a value is nothing but the name of a town, a country or a part
// of one, or of a month or day.
func isPlace(v string) bool {
	if len(v) > 60 {
		return false
	}
	f := foldWord(v)
	_, ok := gazetteer()[f]
	return ok || calendar[f]
}

// calendar are words that are also given names, in columns that hold all of them.
var calendar = set(`january february march april may june july august september october november december spring summer autumn winter
	monday tuesday wednesday thursday friday saturday sunday januar februar marz mai juni juli oktober dezember janvier fevrier mars avril juin
	juillet aout septembre octobre novembre decembre enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre`)

// personWords says whether a value is written as the name of a person is, in any
// script: one to five words of letters that begin with a capital where there are
// capitals. listed is how many of its words the dictionary knows.
func personWords(v string) (words, listed int, ok bool) {
	if len(v) < 2 || len(v) > 80 {
		return 0, 0, false
	}
	names := dictionary()
	for _, w := range strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == ',' || r == '・' || r == '　' }) {
		w = strings.TrimSuffix(w, ".")
		if particle([]byte(w)) || titles[strings.ToLower(w)] {
			continue
		}
		if !capitalised(w) {
			return 0, 0, false
		}
		if words++; words > 5 {
			return 0, 0, false
		}
		if listedWord(names, w) {
			listed++
		}
	}
	return words, listed, words > 0
}

var titles = set("mr mrs ms miss dr prof herr frau sig dott mme mlle sr sra dna ing mgr bc jr ii iii")

// capitalised allows what stands within names: hyphens, apostrophes, marks.
func capitalised(w string) bool {
	first, lower, letters := true, false, 0
	for _, r := range w {
		switch {
		case unicode.IsLetter(r):
			letters++
			if first && unicode.IsLower(r) {
				return false
			}
			lower = lower || unicode.IsLower(r)
			first = false
		case unicode.IsMark(r) || r == '-' || r == '\'' || r == '’' || r == 'ʻ' || r == '·' || r == '.':
		default:
			return false
		}
	}
	// A word all in capitals is an abbreviation if it is short.
	return letters > 1 && (lower || letters > 3 || first0(w) >= 0x2e80) || letters == 1 && len(w) <= 3
}

func first0(w string) rune {
	r, _ := utf8.DecodeRuneInString(w)
	return r
}

func listedWord(names map[string]struct{}, w string) bool {
	if r := first0(w); r >= 0x2e80 {
		return listedEastern(names, w)
	}
	for part := range strings.SplitSeq(w, "-") {
		f := foldWord(part)
		if len(f) < 2 {
			continue
		}
		if _, ok := names[f]; ok || givenNames[f] || familyNames[f] {
			return true
		}
	}
	return false
}

// listedEastern looks at how a name without spaces begins: with a family name of one
// to three signs, and one to three more.
func listedEastern(names map[string]struct{}, w string) bool {
	runes := []rune(w)
	if len(runes) > 7 {
		return false
	}
	for n := min(3, len(runes)); n > 0; n-- {
		if _, ok := names[string(runes[:n])]; ok && len(runes)-n <= 4 {
			return true
		}
	}
	return false
}

// foldWord is a word in lower case without accents and apostrophes.
func foldWord(w string) string {
	plainASCII := true
	for i := range len(w) {
		if w[i] >= 0x80 {
			plainASCII = false
			break
		}
	}
	if plainASCII {
		return strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(w), "'", ""), ".", "")
	}
	var b strings.Builder
	for _, r := range strings.ToLower(w) {
		switch {
		case r == '’' || r == '\'' || r == 'ʻ' || r == '.' || r == 'ـ':
			continue
		case unicode.Is(unicode.Hangul, r):
			b.WriteRune(r)
			continue
		}
		if s, ok := ligatures[r]; ok {
			b.WriteString(s)
			continue
		}
		for _, d := range norm.NFD.String(string(r)) {
			if !unicode.IsMark(d) {
				b.WriteRune(d)
			}
		}
	}
	return b.String()
}

var ligatures = map[rune]string{'ß': "ss", 'æ': "ae", 'œ': "oe", 'þ': "th", 'ø': "o", 'ł': "l", 'đ': "d", 'ð': "d", 'ı': "i", 'ə': "e"}
