package specimen

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
)

// Literal is a piece of personal data and the text or document that it stands in.
type Literal struct {
	Type  string // as in Column.Types, the first of them
	Kind  string // what made it
	Value string
	Text  string
	JSON  bool
}

// spoken is how people write what comes next, so that a reader knows what it is.
var spoken = map[string][]string{
	"dob":     {"born on %s", "DOB: %s", "date of birth %s", "geboren am %s", "née le %s", "fecha de nacimiento: %s", "birthday %s"},
	"person":  {"my name is %s", "spoke with Mrs %s today", "Herr %s called", "please ask %s", "contact: %s", "signed, %s"},
	"address": {"deliver to %s", "she lives at %s", "neue Adresse: %s", "moved to %s"},
}

// Literals makes n pieces of each kind whose form can be known inside other text, in
// prose and in documents by turns.
func (s Set) Literals(seed uint64, n int) []Literal {
	m := &maker{set: s, r: rand.New(rand.NewPCG(seed, 22))}
	var out []Literal
	for _, k := range personal {
		if k.byName || k.place != "" || k.oid != oidText && k.oid != oidDate || k.name == "given" || k.name == "family" || k.name == "geo" {
			continue
		}
		if k.types[0] == "national_id" || k.types[0] == "tax_id" {
			continue // digits without a form of their own: what a column is made of tells, a single value does not
		}
		for i := range n {
			out = append(out, m.literal(k, i%3 == 2))
		}
	}
	return out
}

func (m *maker) literal(k kind, document bool) Literal {
	l := Literal{Type: k.types[0], Kind: k.name, Value: k.make(m), JSON: document}
	if !document {
		said := l.Value
		if ways := spoken[l.Type]; ways != nil {
			said = fmt.Sprintf(pick(m, ways), l.Value)
		}
		l.Text = m.sentence() + pick(m, []string{" ", ", ", ": ", " - ", "\n"}) + said + pick(m, []string{"", ".", ", " + pick(m, m.set.prose), "; thanks", "\n"})
		return l
	}
	key := pick(m, m.set.honest(k.name))
	body, err := json.Marshal(map[string]any{"n": m.r.IntN(900), "data": map[string]any{key: l.Value, "ok": true}, "list": []string{m.lower(4)}})
	if err != nil {
		return l // strings and numbers do not fail
	}
	l.Text = string(body)
	return l
}
