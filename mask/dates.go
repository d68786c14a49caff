package mask

import (
	"bytes"
	"fmt"
	"slices"
)

// dates counts what a column of days is like: those on which people were born lie
// far apart, and on all days of the year.
type dates struct {
	n      int
	years  []int
	firsts int // on the first of January, as years are written that pass for days
	days   [32]bool
}

func (d *dates) add(v []byte) {
	year, month, day, ok := civil(v)
	if !ok {
		return
	}
	d.n++
	d.years = append(d.years, year)
	if month == 1 && day == 1 {
		d.firsts++
	}
	d.days[day] = true
}

// civil reads 2006-01-02, 02.01.2006 and 02/01/2006, whichever of day and month
// comes first in the last.
func civil(v []byte) (year, month, day int, ok bool) {
	if len(v) != 10 {
		return 0, 0, 0, false
	}
	switch {
	case fits(v, "9999-99-99"):
		year, month, day = two(v)*100+two(v[2:]), two(v[5:]), two(v[8:])
	case fits(v, "99.99.9999"), fits(v, "99/99/9999"), fits(v, "99-99-9999"):
		year, month, day = two(v[6:])*100+two(v[8:]), two(v[3:]), two(v)
		if month > 12 {
			month, day = day, month
		}
	}
	return year, month, day, year > 0 && month >= 1 && month <= 12 && day >= 1 && day <= 31
}

// span is the first year but the earliest twentieth, and the last but the latest.
func (d *dates) span() (from, to int) {
	if d.n == 0 {
		return 0, 0
	}
	s := slices.Sorted(slices.Values(d.years))
	return s[len(s)/20], s[len(s)-1-len(s)/20]
}

// Years between the earliest and the latest births, a twentieth at each end left out:
// in any table, and in one about people, where less is needed.
const (
	birthSpan       = 30
	birthSpanPeople = 18
	fewDates        = 12 // days to judge by, at least
)

// byBirth finds days of birth: in no other column are days that far apart, of the
// last hundred and ten years, and not bound to the first of a month or a year.
func (c *judge) byBirth() (Finding, bool) {
	d := &c.dates
	if d.n < fewDates || ratio(d.n, c.n) < 0.9 || ratio(d.firsts, d.n) > 0.2 || otherDay(c.in.Column) {
		return Finding{}, false
	}
	days := 0
	for _, seen := range d.days {
		if seen {
			days++
		}
	}
	from, to := d.span()
	need := birthSpan
	if c.people {
		need = birthSpanPeople
	}
	if days < min(10, d.n/2) || from < 1900 || to-from < need || to > 2100 {
		return Finding{}, false
	}
	return c.found(BirthDate, "whole", 0.75, fmt.Sprintf("%d days between %d and %d, as births lie", d.n, from, to)), true
}

// otherDay says whether a name ties a day to something else than a birth.
func otherDay(column string) bool {
	for _, t := range tokens(column) {
		if otherDays[t] {
			return true
		}
	}
	return false
}

var otherDays = set(`hire hired start started end ended ship shipped order ordered due valid created updated issued issue expiry expires expire
	founded published publish release released delivered delivery paid payment invoice invoiced modified opened closed joined left
	registered signed purchased built installed effective filing event period termination contract deadline begin finish
	recorded acquired established visit visited changed deleted cancelled scheduled available warranty
	eintritt austritt beginn ende lieferdatum bestelldatum rechnungsdatum gueltig embauche livraison commande facture debut fin
	entrega pedido factura inicio contratacion consegna ordine fattura inizio fine`)

// birthWords stand in front of a day on which someone was born, in many languages and
// often cut short.
var birthWords = [][]byte{
	[]byte("born"), []byte("birth"), []byte("dob"), []byte("d.o.b"), []byte("geb"), []byte("n\u00e9 "), []byte("n\u00e9e "), []byte("naiss"), []byte("nacid"), []byte("nacim"),
	[]byte("nascid"), []byte("nascim"), []byte("nascita"), []byte("nato "), []byte("nata "), []byte("urodz"), []byte("ur."), []byte("f\u00f6dd"), []byte("f\u00f8dt"), []byte("f\u00f8ds"),
	[]byte("f\u00f6delse"), []byte("syntym"), []byte("naroz"), []byte("narod"), []byte("do\u011fum"), []byte("sz\u00fclet"), []byte("n\u0103scut"), []byte("na\u0219ter"), []byte("\u0440\u043e\u0434\u0438\u043b"), []byte("rojen"),
}

// birthWordBytes is how far from a day its word may stand.
const birthWordBytes = 32

// matchBirth finds a day that the words in front of it tie to a birth.
func matchBirth(b []byte, i int) (int, bool) {
	const n = 10
	if i+n > len(b) || !ended(b, i+n) {
		return 0, false
	}
	if _, _, _, ok := civil(b[i : i+n]); !ok {
		return 0, false
	}
	inWord := false
	for at := max(0, i-birthWordBytes); at < i; at++ {
		c := b[at]
		letter := isLetter(c) || c >= 0x80
		if letter && !inWord {
			if isLetter(c) {
				c |= 0x20
			}
			for _, w := range birthWordsBy[c] {
				if at+len(w) <= i && bytes.EqualFold(b[at:at+len(w)], w) {
					return i + n, true
				}
			}
		}
		inWord = letter
	}
	return 0, false
}

// birthWordsBy are the words by their first byte.
var birthWordsBy = func() (by [256][][]byte) {
	for _, w := range birthWords {
		by[w[0]] = append(by[w[0]], w)
	}
	return by
}()
