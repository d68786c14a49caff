package mask

import "bytes"

// Names in prose have no form. What tells them is what stands before, a title or words
// like "name is", and lists: one word of a list is too often a word, a given name before
// a word of the long list is a name mostly. Names that no list has, and whose sentence
// says nothing, come through; so does what is written small, and what is a place too.

// Longest runs of capitalised words that are looked at, and shortest prose.
const (
	maxNameRun  = 4
	minProse    = 12
	maxNameSpan = 60
)

var (
	// titled stand before nothing but a name.
	titled = set(`mr mrs ms miss mister dr prof herr herrn frau fraulein mme mlle madame monsieur sig signor signora dott sr sra senor senora
		srta dona don pan pani hr fru mevr mevrouw dhr meneer rouva herra bay bayan`)
	// speaking stand before names often: the name must be in a list besides.
	speaking = set(`is named called call contact signed dear hello hi ask regards greetings patient customer client user employee colleague
		manager driver doctor nurse tenant owner applicant student teacher guest member from by with for to of and met spoke told asks name
		heisst kunde kundin patientin von mit an und liebe lieber grusse nome cliente paciente paziente klient klientka pacient asiakas
		naam klant kund nimi jmeno meno nazwisko`)
	// notNames begin sentences, and are in the long list all the same.
	notNames = set(`the this that these those she her his him our your their please thank thanks order orders call see will may june april august
		monday friday sunday summer art rose grant mark bill sue hope faith joy grace amber ruby jade crystal page price young long rich wise
		king bishop north south east west park hill wood woods lake stone field green brown black white gray may the we you they it if in on at as
		also and but or so no not yes all any some new old one two`)
)

// scanNames appends to dst the names of persons in prose. It is for values that are read
// one by one; columns are judged without it.
func scanNames(dst []Span, b []byte) []Span {
	if len(b) < minProse || bytes.IndexByte(b, ' ') < 0 {
		return dst
	}
	before := -1 // start of the word before the run; -1 if none or cut off by a full stop
	for i := 0; i < len(b); {
		if !wordStart(b, i) {
			i++
			continue
		}
		end := wordEnd(b, i)
		if !isUpper(b[i]) && b[i] < 0x80 {
			before, i = i, end
			continue
		}
		words, stop := nameRun(b, i)
		if n := names(b, before, words); n > 0 {
			first, last := words[0], words[n-1]
			if last[1]-first[0] <= maxNameSpan {
				dst = append(dst, Span{Person, first[0], last[1]})
			}
		}
		before = words[len(words)-1][0]
		i = stop
	}
	return dst
}

func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }

func nameByte(c byte) bool { return isLetter(c) || c >= 0x80 || c == '-' || c == '\'' }

func wordStart(b []byte, i int) bool {
	return (isLetter(b[i]) || b[i] >= 0x80) && (i == 0 || !nameByte(b[i-1]) && !isDigit(b[i-1]) && b[i-1] != '@' && b[i-1] != '/' && b[i-1] != '_')
}

func wordEnd(b []byte, i int) int {
	for i < len(b) && nameByte(b[i]) {
		i++
	}
	return i
}

// nameRun are the capitalised words from i on that only a space, or the full stop of an
// initial or a title, keeps apart; particles may stand between them.
func nameRun(b []byte, i int) (words [][2]int, stop int) {
	for {
		end := wordEnd(b, i)
		words = append(words, [2]int{i, end})
		stop = end
		next := end
		if next < len(b) && b[next] == '.' && (end-i == 1 || is(titled, b[i:end])) {
			next++
		}
		if next+1 < len(b) && b[next] == ',' && b[next+1] == ' ' && len(words) < 3 { // Miller, Thomas
			next++
		}
		if next >= len(b) || b[next] != ' ' || next+1 >= len(b) || len(words) == maxNameRun {
			return words, stop
		}
		next++
		if e := wordEnd(b, next); e > next && e < len(b)-1 && b[e] == ' ' && particle(b[next:e]) {
			next = e + 1
		}
		if !isUpper(b[next]) && b[next] < 0xc3 {
			return words, stop
		}
		i = next
	}
}

// names is how many words of the run are a name, after titles at its beginning are cut
// off; 0 if it is none.
func names(b []byte, before int, words [][2]int) int {
	var context []byte
	if before >= 0 {
		context = b[before:wordEnd(b, before)]
	}
	if len(words) == 1 { // as most sentences begin
		if is(titled, context) && !is(notNames, b[words[0][0]:words[0][1]]) {
			return 1
		}
		return 0
	}
	run := words
	for len(run) > 0 && (is(titled, b[run[0][0]:run[0][1]]) || len(run) > 1 && is(notNames, b[run[0][0]:run[0][1]])) {
		context = b[run[0][0]:run[0][1]]
		run = run[1:]
	}
	if len(run) > 1 && bytes.IndexByte(b[run[0][0]:run[len(run)-1][1]], ',') > 0 {
		return turned(b, context, words, run)
	}
	if len(run) == 0 || namesCompany(string(b[run[0][0]:run[len(run)-1][1]])) || isPlace(string(b[run[0][0]:run[len(run)-1][1]])) {
		return 0
	}
	var listed, given int
	for k, w := range run {
		word := foldWord(string(b[w[0]:w[1]]))
		if notNames[word] {
			continue
		}
		if _, ok := dictionary()[word]; ok || familyNames[word] {
			listed++
		}
		if k == 0 && givenNames[word] {
			given++
		}
	}
	copy(words, run)
	switch {
	case is(titled, context):
		return len(run)
	case len(run) < 2:
		return 0
	case is(speaking, context) && listed > 0 && !holdsPlace(b, run), given > 0 && listed == len(run) && !holdsPlace(b, run):
		return len(run)
	}
	return 0
}

// holdsPlace reports whether two words of a run that follow each other, or the last one,
// are the name of a place.
func holdsPlace(b []byte, run [][2]int) bool {
	for k := 1; k < len(run); k++ {
		if isPlace(string(b[run[k-1][0]:run[k][1]])) {
			return true
		}
	}
	last := run[len(run)-1]
	return isPlace(string(b[last[0]:last[1]]))
}

// turned is names of a run with a comma: the family before it, the given names after it,
// where what stands before it says that it is a name. Otherwise it is a list of things,
// and only what stands before the comma is looked at.
func turned(b, context []byte, words, run [][2]int) int {
	cut := 1
	for cut < len(run) && bytes.IndexByte(b[run[cut-1][1]:run[cut][0]], ',') < 0 {
		cut++
	}
	listed, places := 0, 0
	for _, w := range run {
		word := string(b[w[0]:w[1]])
		if _, ok := dictionary()[foldWord(word)]; ok && !is(notNames, b[w[0]:w[1]]) {
			listed++
		}
		if isPlace(word) {
			places++
		}
	}
	if (is(titled, context) || is(speaking, context) && listed > 0) && places < len(run) && cut <= 2 && len(run) <= 4 {
		copy(words, run)
		return len(run)
	}
	return names(b, -1, run[:cut])
}

// is reports whether a word is in a list, as the lists have it.
func is(list map[string]bool, b []byte) bool {
	var room [maxNameWord]byte
	if len(b) > len(room) {
		return false
	}
	for i, c := range b {
		if c >= 0x80 || c == '\'' || c == '.' {
			return list[foldWord(string(b))]
		}
		if isUpper(c) {
			c |= 0x20
		}
		room[i] = c
	}
	return list[string(room[:len(b)])]
}
