// Package specimen makes up database catalogues of which the truth is known: for
// every column, whether it holds personal data, of which type and where. It is what
// the finding of personal data is measured with, and knows nothing of how it is done.
//
// There are two sets. Tuning is what rules and thresholds may be fitted to. Judging is
// what figures are published on: other schemas, other languages, names of people of
// other cultures that were written down for it, other words in prose and JSON. No
// rule may be made by looking at the values of Judging; a miss found there is
// answered by a better method, and the sets stay as they are.
package specimen

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Naming says what a column's name is worth.
type Naming string

// The ways a column can be named.
const (
	Honest      Naming = "honest"      // says in English what it holds
	Foreign     Naming = "foreign"     // says so in another language
	Misleading  Naming = "misleading"  // says something else
	Strange     Naming = "strange"     // says so in a language that nobody made a list of words for
	Meaningless Naming = "meaningless" // says nothing
)

// Column is one made-up column.
type Column struct {
	Schema, Table, Name string
	Siblings            []string // names of the other columns of its table
	Type                string   // as format_type prints it
	OID                 uint32
	Values              []string

	Naming   Naming
	Language string   // of its name
	PII      bool     // the truth
	Types    []string // with PII: any of these is right
	Where    string   // with PII: whole, embedded or json
	ByName   bool     // only its name can tell: salaries, diagnoses, numbers without a check
	Kind     string   // what made its values, to report by
}

// Set is a way of making catalogues.
type Set struct {
	name      string
	languages []string // of foreign names
	strange   []string // languages for which no list of words was made: what then?
	cultures  []culture
	schemas   []schema
	prose     []string
	keys      [][2]string // of JSON: of a person's document, and of a harmless one
	domains   []string
	streets   []string // with %s for a word and %d for a number
	places    []string
	honest    func(k string) []string
}

// schema is a part of a database, with tables about people and about things.
type schema struct {
	name           string
	people, things []string
}

// Rows is how many values of each column are made.
const Rows = 500

// Catalogue makes the columns of a set. The same seed makes the same columns.
func (s Set) Catalogue(seed uint64) []Column {
	m := &maker{set: s, r: rand.New(rand.NewPCG(seed, 20))}
	var out []Column
	for _, k := range personal {
		out = append(out, m.columns(k)...)
	}
	for _, k := range harmless {
		out = append(out, m.harmless(k)...)
	}
	return siblings(out)
}

// maker holds what one catalogue is made with.
type maker struct {
	set Set
	r   *rand.Rand
	n   int // columns made, so that names without meaning differ
}

func pick[T any](m *maker, list []T) T { return list[m.r.IntN(len(list))] }

// columns makes one kind of personal data under every kind of name.
func (m *maker) columns(k kind) []Column {
	var out []Column
	for _, name := range m.set.honest(k.name) {
		out = append(out, m.column(k, Honest, "en", name))
	}
	for _, lang := range m.languages(k) {
		if name := words[lang][k.word()]; name != "" {
			out = append(out, m.column(k, Foreign, lang, name))
		}
	}
	for _, lang := range m.set.strange {
		if k.like != "" {
			break
		}
		if name := words[lang][k.word()]; name != "" {
			out = append(out, m.column(k, Strange, lang, name))
		}
	}
	if k.byName {
		return out
	}
	out = append(out,
		m.column(k, Misleading, "en", pick(m, misleading)),
		m.column(k, Meaningless, "", m.nothing()))
	if k.name == "person" { // one culture at a time, as most databases have
		all := m.set.cultures
		for i := range all {
			m.set.cultures = all[i : i+1]
			out = append(out, m.column(k, Meaningless, "", m.nothing()))
		}
		m.set.cultures = all
	}
	return out
}

// languages are all, or three for kinds that go by one name.
func (m *maker) languages(k kind) []string {
	if k.like != "natid" && k.like != "notes" {
		return m.set.languages
	}
	var out []string
	for _, i := range m.r.Perm(len(m.set.languages))[:3] {
		out = append(out, m.set.languages[i])
	}
	return out
}

// value makes one value of a column. As in life, some say in one way or another that
// there is none.
func (m *maker) value(k kind) string {
	if k.oid == oidText && m.r.IntN(16) == 0 {
		return pick(m, []string{"", "-", "n/a", "unknown", "?"})
	}
	return k.make(m)
}

var misleading = strings.Fields("color sku category notes_code weight_class shelf batch_label variant grade lot_ref material slot")

func (m *maker) nothing() string {
	return fmt.Sprintf(pick(m, []string{"c%d", "field_%d", "col%d", "x%d", "attr_%d", "f%d"}), m.n+1)
}

func (m *maker) column(k kind, naming Naming, lang, name string) Column {
	s := pick(m, m.set.schemas)
	tables := s.people
	if naming == Misleading || naming == Meaningless {
		tables = s.things
	}
	c := Column{
		Schema: s.name, Table: pick(m, tables), Name: name, Type: k.typ(), OID: k.oid, Naming: naming, Language: lang,
		PII: true, Types: k.types, Where: k.where(), ByName: k.byName, Kind: k.name,
	}
	if naming == Meaningless {
		c.Table = fmt.Sprintf("t%d", m.n%40)
	}
	m.n++
	c.Values = make([]string, Rows)
	for i := range c.Values {
		c.Values[i] = m.value(k)
	}
	return c
}

// harmless makes one kind of data that is nobody's: under each of its names, in a few
// tables, and without a name.
func (m *maker) harmless(k kind) []Column {
	var out []Column
	for range 3 {
		for i, name := range append(slices.Clone(k.names), m.nothing()) {
			s := pick(m, m.set.schemas)
			c := Column{Schema: s.name, Table: pick(m, s.things), Name: name, Type: k.typ(), OID: k.oid, Naming: Honest, Language: "en", Kind: k.name}
			switch {
			case i == len(k.names):
				c.Naming, c.Table = Meaningless, fmt.Sprintf("t%d", m.n%40)
			case !k.things && m.r.IntN(2) == 0:
				c.Table = pick(m, s.people)
			}
			m.n++
			c.Values = make([]string, Rows)
			for j := range c.Values {
				c.Values[j] = m.value(k)
			}
			out = append(out, c)
		}
	}
	return out
}

// siblings tells each column which others its table has.
func siblings(columns []Column) []Column {
	tables := map[string][]string{}
	for _, c := range columns {
		tables[c.Schema+"."+c.Table] = append(tables[c.Schema+"."+c.Table], c.Name)
	}
	for i, c := range columns {
		for _, other := range tables[c.Schema+"."+c.Table] {
			if other != c.Name {
				columns[i].Siblings = append(columns[i].Siblings, other)
			}
		}
	}
	return columns
}

// Sampled keeps n values of each column.
func Sampled(columns []Column, n int) []Column {
	out := slices.Clone(columns)
	for i := range out {
		out[i].Values = out[i].Values[:min(n, len(out[i].Values))]
	}
	return out
}

// Statistics keeps what ANALYZE would: values that occur often, bounds of a
// histogram of the others, none over a kilobyte, and none of a type without an order.
func Statistics(columns []Column) []Column {
	const buckets, widest = 100, 1024
	out := slices.Clone(columns)
	for i, c := range out {
		if c.OID == 114 || c.OID == 142 || c.OID == 600 {
			out[i].Values = nil
			continue
		}
		count := map[string]int{}
		for _, v := range c.Values {
			if len(v) <= widest {
				count[v]++
			}
		}
		var common, rest []string
		for v, n := range count {
			if n > 1 && len(count) < len(c.Values)/2 {
				common = append(common, v)
			} else {
				rest = append(rest, v)
			}
		}
		slices.Sort(common)
		slices.Sort(rest)
		var bounds []string
		for b := range min(buckets+1, len(rest)) {
			bounds = append(bounds, rest[b*(len(rest)-1)/max(1, min(buckets, len(rest)-1))])
		}
		out[i].Values = append(common[:min(buckets, len(common))], bounds...)
	}
	return out
}

// Anonymous takes every name away: what is left to judge by is type and content.
func Anonymous(columns []Column) []Column {
	out := slices.Clone(columns)
	for i := range out {
		out[i].Schema, out[i].Table, out[i].Name, out[i].Siblings = "public", "t", fmt.Sprintf("c%d", i), nil
	}
	return out
}
