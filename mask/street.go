package mask

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// houseAndStreet knows "12 Elm Street", "Hauptstraße 12a", "ul. Długa 7/3": a number
// of a house, and beside it words of which one is, begins or ends as what streets
// are called. What follows, a town and its code, does not matter.
func houseAndStreet(v []byte) bool {
	if len(v) < 6 || len(v) > 160 || countDigits(v) == 0 || bytes.IndexByte(v, '@') >= 0 {
		return false
	}
	house, street, words := false, false, 0
	for _, w := range strings.FieldsFunc(string(v), func(r rune) bool { return r == ' ' || r == ',' || r == '\n' }) {
		if words++; words > 14 {
			return false
		}
		switch {
		case houseNumber(w):
			house = true
		case !street:
			street = streetWord(w)
		}
	}
	return house && street && words >= 2
}

// houseNumber is up to four digits, with a letter or a second part.
func houseNumber(w string) bool {
	n := 0
	for n < len(w) && isDigit(w[n]) {
		n++
	}
	if n == 0 || n > 4 {
		return false
	}
	rest := w[n:]
	return rest == "" || len(rest) <= 5 && (isLetter(rest[0]) && len(rest) == 1 || rest[0] == '/' || rest[0] == '-')
}

// streetWords stand alone in the names of streets; streetEnds end one word of them.
var (
	streetWords = set(`street st road rd avenue ave av lane ln drive dr boulevard blvd court ct square sq terrace way place pl highway hwy close
		crescent parkway pkwy circle cir trail row mews gardens walk
		strasse str platz weg allee gasse ring damm ufer chaussee rue chemin impasse quai cours passage route allee
		calle c/ avenida avda avd plaza paseo camino carrer ronda travesia carretera via viale piazza corso largo vicolo strada
		rua travessa praca estrada alameda straat laan plein gracht kade dreef singel
		ul ulica aleja al aleje plac os osiedle ulice namesti trida nabrezi namestie
		gata vag grand torg gate vei veien vej gade alle plads straede katu tie kuja polku raitti
		utca ut ter korut koz setany strada bulevardul bd aleea calea soseaua
		caddesi cad sokak sok sokagi mahallesi mah bulvari odos leoforos
		ул улица проспект пр пер переулок шоссе площадь бульвар вул вулиця провулок
		tanav puiestee iela gatve trg jalan jl gang duong pho marg nagar phase sector`)
	streetEnds = []string{
		"strasse", "straße", "str.", "weg", "platz", "allee", "gasse", "damm", "ufer", "straat", "laan", "plein", "gracht", "kade", "dreef", "singel",
		"gatan", "vagen", "vägen", "grand", "gränd", "torget", "stigen", "gata", "gate", "gaten", "veien", "vegen", "vej", "vejen", "gade", "alle", "stræde",
		"katu", "tie", "kuja", "polku", "raitti", "street", "road", "utca", "丁目", "路", "街", "로", "길", "号",
	}
)

func streetWord(w string) bool {
	if r, _ := utf8.DecodeRuneInString(w); !unicode.IsLetter(r) {
		return false
	}
	f := foldWord(w)
	if streetWords[f] {
		return true
	}
	low := strings.ToLower(w)
	for _, end := range streetEnds {
		// What stands before it names the street.
		if len(low) >= len(end)+3 && (strings.HasSuffix(low, end) || strings.HasSuffix(f, end)) {
			return true
		}
	}
	return false
}
