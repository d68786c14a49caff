package mask

import (
	"bytes"
	"fmt"
)

// content runs the detectors over the values and counts what they say.
func (c *judge) content() {
	c.whole, c.embedded, c.distinct = map[Type]int{}, map[Type]int{}, map[string]bool{}
	p := Plan{}
	for _, v := range c.in.Samples {
		if v == "" {
			continue
		}
		c.n++
		c.length += len(v)
		c.distinct[v] = true
		c.read(&p, bytes.TrimSpace([]byte(v)))
	}
}

func (c *judge) read(p *Plan, v []byte) {
	switch c.class {
	case classInteger:
		if end, ok := matchCard(v, 0); ok && end == len(v) {
			c.whole[Card]++
		}
		return
	case classJSON:
		c.readJSON(p, v)
		return
	case classDate, classNetwork, classPoint:
		return
	}
	if looksJSON(v) {
		c.readJSON(p, v)
		return
	}
	if bytes.IndexByte(v, ' ') > 0 {
		c.spaced++
	}
	for _, s := range scanText(nil, v) {
		if s.Start <= 1 && s.End >= len(v)-1 {
			c.whole[s.Type]++
		} else {
			c.embedded[s.Type]++
		}
	}
	if len(v) == 10 && isDate(v) && c.nameType == BirthDate {
		c.whole[BirthDate]++
	}
	if words, given, family, ok := nameShape(v); ok && words <= 4 && !namesCompany(string(v)) {
		c.shaped++
		if given+family > 0 {
			c.listed++
		}
	}
	if houseAndStreet(v) {
		c.streets++
	}
}

// readJSON counts a document once for each type that its leaves or keys hold.
func (c *judge) readJSON(p *Plan, v []byte) {
	_, changed, valid := p.redactJSON(nil, v)
	if !valid || !changed {
		return
	}
	seen := map[Type]bool{}
	for _, s := range scanText(nil, v) {
		seen[s.Type] = true
	}
	if len(seen) == 0 {
		for _, t := range p.keys {
			if t != "" && !seen[t] {
				seen[t] = true
				break
			}
		}
	}
	for t := range seen {
		c.embedded[t]++
	}
	c.documents++
}

// houseAndStreet knows "12 Elm Street" and "Hauptstraße 12a".
func houseAndStreet(v []byte) bool {
	if len(v) < 8 || len(v) > 120 {
		return false
	}
	if isDigit(v[0]) {
		i := 0
		for i < len(v) && isAlnum(v[i]) && i < 6 {
			i++
		}
		if i < len(v) && v[i] == ' ' && streetWord(v[i:]) {
			return true
		}
		return false
	}
	digits := bytes.IndexAny(v, "0123456789")
	return digits > 4 && (v[digits-1] == ' ' || v[digits-2] == ',') && streetWord(v[:digits])
}

// streetSuffixes end or begin the names of streets.
var streetSuffixes = [][]byte{
	[]byte("street"), []byte(" st"), []byte("road"), []byte(" rd"), []byte("avenue"), []byte(" ave"), []byte(" lane"), []byte("drive"),
	[]byte("boulevard"), []byte("court"), []byte("square"), []byte("terrace"), []byte("strasse"), []byte("straße"), []byte("str."),
	[]byte("weg "), []byte("platz"), []byte("allee"), []byte("gasse"), []byte("rue "), []byte("chemin"), []byte("calle "),
	[]byte("avenida"), []byte("plaza"), []byte("via "), []byte("viale"), []byte("piazza"), []byte("corso"), []byte("rua "),
	[]byte("straat"), []byte("laan "), []byte("plein"), []byte("ulica"), []byte("ul. "), []byte("gatan"), []byte("vägen"), []byte(" way"),
	[]byte("place"), []byte("highway"), []byte(" close"), []byte("crescent"),
}

func streetWord(v []byte) bool {
	low := bytes.ToLower(v)
	for _, s := range streetSuffixes {
		if bytes.Contains(low, s) {
			return true
		}
	}
	return false
}

// byContent names the type of a column whose values are, for the most part, of one
// form.
func (c *judge) byContent() (Finding, bool) {
	if c.n == 0 {
		return Finding{}, false
	}
	best, hits := Type(""), 0
	for _, t := range []Type{Email, Card, IBAN, SSN, JWT, Secret, NationalID, Phone, IP, MAC} {
		if c.whole[t] > hits {
			best, hits = t, c.whole[t]
		}
	}
	share := float64(hits) / float64(c.n)
	need := wholeShare
	if best == Phone {
		need = plusShare
	}
	if hits > 0 && share >= need && (hits >= 2 || c.nameType == best) {
		confidence := min(0.99, 0.6+0.4*share*min(1, float64(c.n)/enoughSamples))
		return c.found(best, "whole", confidence, fmt.Sprintf("%d of %d values are of the form of %s", hits, c.n, best)), true
	}
	if float64(c.streets) >= 0.5*float64(c.n) && c.streets >= 2 && !c.prose() {
		return c.found(Address, "whole", 0.8, fmt.Sprintf("%d of %d values are a street and a number", c.streets, c.n)), true
	}
	return c.byNames()
}

// byNames finds names of persons by shape and by the lists of names: neither is
// enough alone.
func (c *judge) byNames() (Finding, bool) {
	n := float64(c.n)
	if c.class != classText || c.n < 5 || c.things || cancelled(c.in.Column) || float64(len(c.distinct)) < 0.3*n {
		return Finding{}, false
	}
	need := personHits
	if c.people {
		need = peopleHits
	}
	if float64(c.shaped) < personShape*n || float64(c.listed) < need*n {
		return Finding{}, false
	}
	return c.found(Person, "whole", 0.75, fmt.Sprintf("%d of %d values are shaped like names, %d have a common name", c.shaped, c.n, c.listed)), true
}

func cancelled(column string) bool {
	toks := tokens(column)
	return len(toks) > 0 && cancels[toks[len(toks)-1]] && len(toks) > 1
}

// maybeNames says whether the values look like names that the lists do not know well
// enough to say so.
func (c *judge) maybeNames() bool {
	n := float64(c.n)
	return !c.things && c.listed > 0 && float64(c.shaped) >= personShape*n && c.spaced*2 > c.n && float64(len(c.distinct)) >= 0.3*n
}

// hits is how many detectors fired, however little that showed.
func (c *judge) hits() (n int) {
	for _, k := range c.whole {
		n += k
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
	confidence := min(0.95, 0.6+float64(hits)/float64(c.n))
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
		// By chance one number in seventy is of a scheme and has the right sum.
		return c.spaced > 0 && hits >= 2 || float64(hits) > 0.1*float64(c.n)
	}
	return hits >= 2 && float64(hits) > 0.02*float64(c.n)
}
