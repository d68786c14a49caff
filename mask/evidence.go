package mask

import (
	"bytes"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// counts are what the detectors said of the values of a column.
type counts struct {
	n        int // values read
	length   int
	spaced   int // values with a space
	digits   int // values with three digits or more
	coded    int // values with a digit that is no number behind a word, as in Ada Lovelace 12
	distinct map[string]bool
	bare     map[string]bool // the same without numbers behind words: Town 1 and Town 2 are one

	whole     map[Type]int
	embedded  map[Type]int
	documents int // JSON with personal leaves
	broken    int // values that look like documents and are none
	random    int // values that nobody would type: long, of letters of both cases and digits

	schemes schemeCount
	yy      [64]uint64 // by scheme, the last digits of years below 64, one bit each
	places  int        // pairs of degrees
	streets int        // a street and a number
	dates   dates

	shaped  int // distinct values that are written as names of persons
	words   int // in these
	listed  int // of these words, those the dictionary knows
	known   int // of these values, those with a word that it knows
	placed  int // of these values, those that are names of places
	company int // distinct values that end as names of companies do
}

// content runs the detectors over the values and counts what they say.
func (c *judge) content() {
	c.whole, c.embedded = map[Type]int{}, map[Type]int{}
	c.distinct, c.bare = map[string]bool{}, map[string]bool{}
	p := Plan{}
	for _, v := range c.in.Samples {
		v = strings.TrimSpace(v)
		if v == "" || len(v) < 12 && nothing[strings.ToLower(v)] {
			continue
		}
		c.n++
		c.length += len(v)
		c.distinct[v] = true
		c.read(&p, []byte(v))
		if name := string(unnumbered([]byte(v))); c.class == classText && !c.bare[name] {
			c.bare[name] = true
			c.readName(name)
		}
	}
}

// nothing are ways of writing that there is no value.
var nothing = set("- -- ? . n/a na n.a. nil null none unknown undefined nan tbd unbekannt inconnu desconocido sconosciuto")

func (c *judge) read(p *Plan, v []byte) {
	if countDigits(v) >= 3 {
		c.digits++
	}
	if countDigits(unnumbered(v)) > 0 {
		c.coded++
	}
	switch c.class {
	case classInteger:
		if end, ok := matchCard(v, 0); ok && end == len(v) {
			c.whole[Card]++
		}
		c.number(v)
		return
	case classDate:
		c.dates.add(v)
		return
	case classPoint:
		if degrees(bytes.Trim(v, "()")) {
			c.places++
		}
		return
	case classNetwork:
		return
	}
	if looksJSON(v) && c.readJSON(p, v) {
		return
	}
	if bytes.IndexByte(v, ' ') > 0 {
		c.spaced++
	}
	for _, s := range scanText(nil, v) {
		if s.Start <= 1 && s.End >= len(v)-1 && c.class == classText && v[0] != '{' {
			c.whole[s.Type]++
		} else {
			c.embedded[s.Type]++
		}
	}
	if random(v) {
		c.random++
	}
	c.number(v)
	c.dates.add(v)
	if degrees(v) {
		c.places++
	}
	if houseAndStreet(v) {
		c.streets++
	}
}

// number asks which states number people in this way.
func (c *judge) number(v []byte) {
	found := nationalSchemes(v)
	c.schemes.add(found)
	for f := found; f != 0; f &= f - 1 {
		i := bits.TrailingZeros64(f)
		if at, ok := weakSchemes[schemes[i].name]; ok {
			c.yy[i] |= 1 << (two(v[at:]) & 63)
		}
	}
}

// weakSchemes have no check digit. A reference that begins with the day it was made
// looks the same, so the years must be those of people of all ages; the number is
// where in the value the year stands.
var weakSchemes = map[string]int{"Denmark's CPR number": 4, "Korea's register number": 0, "Mexico's CURP": 4}

// Years that the births of people in one column differ by, at least.
const birthYears = 15

// scheme is the numbering that most values are of.
func (c *judge) scheme() (name string, n int) {
	for i := range schemes {
		if _, weak := weakSchemes[schemes[i].name]; weak && bits.OnesCount64(c.yy[i]) < min(birthYears, c.n/2) {
			continue
		}
		if c.schemes[i] > n {
			name, n = schemes[i].name, c.schemes[i]
		}
	}
	return name, n
}

func (c *judge) readName(v string) {
	words, listed, ok := personWords(v)
	if !ok {
		return
	}
	if namesCompany(v) {
		c.company++
		return
	}
	c.shaped++
	c.words += words
	c.listed += listed
	if listed > 0 {
		c.known++
	}
	if isPlace(v) {
		c.placed++
	}
}

// unnumbered is v without a number that stands behind its words, as made-up people and
// those who share a name have it.
func unnumbered(v []byte) []byte {
	end := len(v)
	for end > 0 && isDigit(v[end-1]) {
		end--
	}
	if short := bytes.TrimRight(v[:end], " "); end < len(v) && len(short) < end && len(short) > 0 {
		return short
	}
	return v
}

// readJSON counts a document once for each type that its leaves or keys hold. It is
// false if v is no document.
func (c *judge) readJSON(p *Plan, v []byte) bool {
	_, changed, valid := p.redactJSON(nil, v)
	if !valid {
		c.broken++
		return false
	}
	if !changed {
		return true
	}
	seen := map[Type]bool{}
	for _, s := range scanText(nil, v) {
		seen[s.Type] = true
	}
	for _, t := range p.keys.of(v) {
		seen[t] = true
	}
	for t := range seen {
		c.embedded[t]++
	}
	c.documents++
	return true
}

// of are the types of the personal keys that stand in a document.
func (k keyCache) of(doc []byte) (out []Type) {
	for key, t := range k {
		if t != "" && bytes.Contains(doc, []byte(`"`+key+`"`)) {
			out = append(out, t)
		}
	}
	return out
}

// random says whether v looks drawn by lot, as keys are: not a number, a hash in
// hexadecimal, a path or words.
func random(v []byte) bool {
	if len(v) < minToken || len(v) > 512 {
		return false
	}
	digits, upper, lower, hex := 0, 0, 0, true
	for _, c := range v {
		switch {
		case isDigit(c):
			digits++
		case c >= 'A' && c <= 'Z':
			upper++
		case c >= 'a' && c <= 'z':
			lower++
		case c != '+' && c != '/' && c != '=' && c != '_' && c != '-':
			return false
		}
		hex = hex && (isHex(c) || c == '-')
	}
	return digits >= 2 && upper >= 2 && lower >= 2 && !hex
}

// degrees says whether v is a latitude and a longitude with the decimals that make
// them the place of a house.
func degrees(v []byte) bool {
	a, b, ok := bytes.Cut(v, []byte{','})
	if !ok || len(v) > 48 {
		return false
	}
	lat, lok := degree(bytes.TrimSpace(a), 90)
	lon, rok := degree(bytes.TrimSpace(b), 180)
	return lok && rok && (lat != 0 || lon != 0)
}

func degree(v []byte, limit float64) (float64, bool) {
	dot := bytes.IndexByte(v, '.')
	if dot < 1 || len(v)-dot-1 < 3 {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(v), 64)
	return f, err == nil && f >= -limit && f <= limit
}

// certain are the forms that a check sum, an issuer's prefix or a shape like no other
// confirms: they outweigh any name. likely ones are also the form of other things,
// so a name that says otherwise outweighs them.
var (
	certain = []Type{Email, Card, IBAN, SSN, JWT, Secret, MAC}
	likely  = []Type{Phone, IP}
)

// byForm names the type of a column whose values are, for the most part, of one form.
func (c *judge) byForm(types []Type) (Finding, bool) {
	best, hits := Type(""), 0
	for _, t := range types {
		if c.whole[t] > hits {
			best, hits = t, c.whole[t]
		}
	}
	share := ratio(hits, c.n)
	need := wholeShare
	if best == Phone {
		need = plusShare
	}
	if hits == 0 || share < need || hits < 2 && c.nameType != best {
		return Finding{}, false
	}
	if best == Card && c.chanceCards() {
		return Finding{}, false
	}
	return c.found(best, "whole", c.sure(share), fmt.Sprintf("%d of %d values are of the form of %s", hits, c.n, best)), true
}

// sure grows with the share of values that fit and with how many there are.
func (c *judge) sure(share float64) float64 {
	return min(0.99, 0.6+0.4*share*min(1, float64(c.n)/enoughSamples))
}

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// chanceCards says whether no more values are cards than of any numbers that begin
// like cards: one in ten has the right sum.
func (c *judge) chanceCards() bool {
	if c.n < enoughSamples {
		return ratio(c.whole[Card], c.n) < 2*chanceCard
	}
	return ratio(c.whole[Card], c.n) < chanceCard
}

// byScheme finds the numbers by which states know people.
func (c *judge) byScheme() (Finding, bool) {
	name, n := c.scheme()
	share := ratio(n, c.n)
	if n < 3 || share < wholeShare || share < schemeShare && c.nameType != NationalID {
		return Finding{}, false
	}
	t := NationalID
	if officialID(c.nameType) && c.nameStrong {
		t = c.nameType
	}
	return c.found(t, "whole", c.sure(share), fmt.Sprintf("%d of %d values are numbers of %s", n, c.n, name)), true
}

// officialID says which names a national number may go by.
func officialID(t Type) bool {
	switch t {
	case NationalID, SSN, TaxID, Passport, Licence, Health:
		return true
	}
	return false
}

// byShape finds what has no form of its own but, over a column, a shape: places,
// streets, births, names of persons.
func (c *judge) byShape() (Finding, bool) {
	switch {
	case c.n == 0 || c.prose():
		return Finding{}, false
	case c.places >= 2 && ratio(c.places, c.n) >= wholeShare:
		return c.found(Location, "whole", 0.8, fmt.Sprintf("%d of %d values are a latitude and a longitude", c.places, c.n)), true
	case c.streets >= 2 && ratio(c.streets, c.n) >= 0.5:
		return c.found(Address, "whole", 0.8, fmt.Sprintf("%d of %d values are a street and a number", c.streets, c.n)), true
	}
	if f, ok := c.byBirth(); ok {
		return f, true
	}
	return c.byNames()
}

// byNames finds names of persons by shape and by the dictionary: neither is enough
// alone.
func (c *judge) byNames() (Finding, bool) {
	distinct := len(c.bare)
	if c.class != classText || distinct < fewNames || !c.likeNames() {
		return Finding{}, false
	}
	share := ratio(c.listed, c.words)
	switch {
	case c.things || cancelled(c.in.Column) || ofThings(c.in.Column) || c.nameType == Address:
		if share < thingWordsShare {
			return Finding{}, false
		}
	case c.people && ratio(c.known, distinct) >= peopleShare:
	case share < personWordsShare:
		return Finding{}, false
	}
	return c.found(Person, "whole", min(0.95, 0.6+share/2), fmt.Sprintf("%d of %d values are shaped like names, and %d of their %d words are names", c.shaped, distinct, c.listed, c.words)), true
}

func cancelled(column string) bool {
	toks := tokens(column)
	return len(toks) > 0 && cancels[toks[len(toks)-1]] && len(toks) > 1
}

// maybeNames says whether the values look like names that the dictionary does not
// know well enough to say so.
func (c *judge) maybeNames() bool {
	distinct := len(c.bare)
	return !c.things && distinct >= fewNames && c.likeNames() && ratio(c.known, distinct) >= peopleShare
}

// likeNames says whether the values are written as names of persons are, and are not
// for the most part those of companies or places. One family in ten is called as a
// place is.
func (c *judge) likeNames() bool {
	distinct := len(c.bare)
	return ratio(c.shaped, distinct) >= personShape && ratio(c.company, distinct) <= 0.2 && ratio(c.placed, c.shaped) < 0.4
}

// ofThings says whether a name speaks of something that has a name and is nobody.
func ofThings(column string) bool {
	for _, t := range tokens(column) {
		if nameOfThings[t] {
			return true
		}
	}
	return false
}

// hits is how many detectors fired, however little that showed.
func (c *judge) hits() (n int) {
	for t, k := range c.whole {
		if t != Card || !c.chanceCards() {
			n += k
		}
	}
	for _, k := range c.embedded {
		n += k
	}
	return n
}

// byParts finds personal data inside longer values.
func (c *judge) byParts() (Finding, bool) {
	best, hits := Type(""), 0
	for _, t := range []Type{Email, Card, IBAN, SSN, Secret, JWT, Phone, NationalID, IP, MAC, Person, Address} {
		if n := c.embedded[t] + c.whole[t]; n > hits && c.evident(t, n) {
			best, hits = t, n
		}
	}
	where := "embedded"
	if c.class == classJSON || c.documents*2 > c.n {
		where = "json"
		if hits == 0 {
			for t, n := range c.embedded {
				if n > hits || n == hits && t < best {
					best, hits = t, n
				}
			}
		}
	}
	if hits == 0 {
		return Finding{}, false
	}
	confidence := min(0.95, 0.6+ratio(hits, c.n))
	return c.found(best, where, confidence, fmt.Sprintf("%s inside %d of %d values", best, hits, c.n)), true
}

// evident says how many hits inside values are no accident. A form that a check sum
// or an issuer's prefix confirms needs one or two; others a share.
func (c *judge) evident(t Type, hits int) bool {
	switch t {
	case Secret, JWT:
		return hits >= 1
	case Email, IBAN, SSN, MAC:
		return hits >= 2 || c.n < enoughSamples
	case Card:
		// By chance one number in seventy is of a scheme and has the right sum, and one
		// in ten of those that begin like a card.
		return !c.chanceCards() || c.embedded[Card] >= 2
	case Person: // whole values that the short lists know: a few streets and goods do too
		return ratio(hits, c.n) > 0.3
	}
	return hits >= 2 && float64(hits) > 0.02*float64(c.n)
}
