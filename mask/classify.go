package mask

import (
	"fmt"
	"strings"
)

// ColumnInfo is what there is to judge a column by.
type ColumnInfo struct {
	Schema, Table, Column string
	Type                  string   // as format_type prints it
	TypeOID               uint32   // base type; 0 if not known
	Comment               string   //
	Samples               []string // values as text, NULLs left out
	Rows                  float64  // how many rows the table has, as far as known
	Siblings              []string // the other columns of the table
}

// Finding is the judgement on a column: PII, Clean, or neither, that is unknown.
type Finding struct {
	PII        bool
	Type       Type
	Where      string // "whole", "embedded" or "json"; "" if not PII
	Evidence   string // one line for people
	Clean      bool
	Named      bool // the name alone says so: what the column refers to may know better
	Confidence float64
}

// With fewer values than this content alone does not show that a column is clean.
const enoughSamples = 20

// Shares of the values that a detector must accept before they give the column its
// type. A Luhn sum is right by chance for one number in ten, other forms almost never.
const (
	wholeShare  = 0.6
	plusShare   = 0.3 // of telephone numbers in international form
	schemeShare = 0.8 // of national numbers, where the name does not speak of any
	chanceCard  = 0.25
	freeText    = 40 // mean length from which a text with spaces is prose
	rowNumber   = 6  // mean length below which numbers are not those that a state or a bank gives
)

// Names of persons: how many different values it takes, the share of them that must
// be written as names are, and the share of their words that must be in the
// dictionary. Of names of companies and goods one word in five is; of names of
// persons, of every second culture, nine in ten.
const (
	fewNames         = 7
	personShape      = 0.8
	personWordsShare = 0.35
	thingWordsShare  = 0.5 // in a table about something else
	peopleShare      = 0.1 // of values with a known word: enough in a table about people, and elsewhere for doubt
)

// Classify judges a column by its type, then its name, then its content.
func Classify(in ColumnInfo) Finding {
	class := classOf(in)
	if class == classClean {
		return Finding{Clean: true, Confidence: 0.95, Evidence: "a " + in.Type + " holds nothing personal by itself"}
	}
	c := judge{in: in, class: class}
	c.name()
	c.content()
	return c.finding()
}

// class is the type gate: which signals count for a column.
type class int

const (
	classClean class = iota
	classText
	classJSON
	classInteger
	classDate
	classNetwork
	classBytes
	classPoint
	classOpaque // arrays of numbers, composites, ranges, types of extensions
)

func classOf(in ColumnInfo) class {
	switch kindOf(in.TypeOID) {
	case kindText, kindXML, kindTextArray:
		return classText
	case kindJSON, kindJSONB, kindJSONArray:
		return classJSON
	case kindInt4, kindInt8, kindNumeric, kindNumberArray:
		return classInteger
	case kindDate:
		return classDate
	case kindInet, kindCIDR, kindMAC, kindMAC8:
		return classNetwork
	case kindBytes:
		return classBytes
	}
	if in.TypeOID == 600 {
		return classPoint
	}
	if in.TypeOID != 0 && alwaysClean(in.TypeOID) {
		return moneyClass(in)
	}
	switch base, _, _ := strings.Cut(in.Type, "("); base {
	case "text", "character varying", "character", "citext", "name", "xml", "text[]", "character varying[]":
		return classText
	case "json", "jsonb":
		return classJSON
	case "integer", "bigint", "numeric":
		return classInteger
	case "date":
		return classDate
	case "geometry", "geography":
		return classPoint
	case "boolean", "smallint", "real", "double precision", "uuid":
		return classClean
	}
	return classOpaque
}

// moneyClass lets a salary or a position be found in a column of a type that says
// nothing by itself.
func moneyClass(in ColumnInfo) class {
	t, strong := NameType(in.Column)
	if !strong {
		return classClean
	}
	switch k := kindOf(in.TypeOID); {
	case t == Salary && (k == kindMoney || k == kindFloat4 || k == kindFloat8),
		t == Location && (k == kindFloat4 || k == kindFloat8),
		t == BirthDate && (k == kindTimestamp || k == kindTimestampTZ),
		(t == Device || t == Secret) && k == kindUUID:
		return classInteger
	}
	return classClean
}

// judge collects the signals about one column.
type judge struct {
	in    ColumnInfo
	class class

	nameType   Type
	nameStrong bool
	people     bool // the table is about people
	things     bool // the table is about something else

	counts
}

func (c *judge) name() {
	c.nameType, c.nameStrong = NameType(c.in.Column)
	if c.nameType == "" && c.in.Comment != "" {
		if t, strong := commentType(c.in.Comment); strong {
			c.nameType = t
		}
	}
	c.people = tableIs(peopleTables, c.in.Table) || c.personalSiblings()
	c.things = !tableIs(peopleTables, c.in.Table) && tableIs(thingTables, c.in.Table)
	if !c.fits() {
		c.nameType, c.nameStrong = "", false
	}
}

// commentType reads a comment as a list of words, each of which may be a name.
func commentType(comment string) (Type, bool) {
	if len(comment) > 80 {
		return "", false
	}
	return tokensType(tokens(comment))
}

func (c *judge) personalSiblings() bool {
	for _, s := range c.in.Siblings {
		if t, strong := NameType(s); strong && (t == Email || t == BirthDate || t == SSN || t == NationalID) {
			return true
		}
	}
	return false
}

// fits says whether data of the type that the name suggests can be in the column.
func (c *judge) fits() bool {
	switch c.class {
	case classDate:
		return c.nameType == BirthDate || c.nameType == Health
	case classNetwork:
		return c.nameType != Secret
	case classPoint:
		return c.nameType == Location || c.nameType == Address
	case classInteger:
		switch c.nameType {
		case Phone, Card, Account, SSN, NationalID, TaxID, Licence, Passport, Device, Salary, Health, Location, BirthDate:
			return true
		case Address, Secret: // postcodes, PINs
			return c.nameStrong
		}
		return false
	}
	return c.nameType != ""
}

// finding weighs the signals: forms that nothing else has, then what the name says
// if the content does not deny it, then shapes, then parts of longer values.
func (c *judge) finding() Finding {
	if f, ok := c.byForm(certain); ok {
		return f
	}
	if f, ok := c.byScheme(); ok {
		return f
	}
	named := c.nameStrong && !c.contradicted()
	if !named || c.nameType == Person {
		if f, ok := c.byForm(likely); ok {
			return f
		}
	}
	if named {
		return c.named(0.9, "the name says %s")
	}
	if f, ok := c.byShape(); ok {
		return f
	}
	if c.nameType != "" && c.people && !c.contradicted() {
		return c.named(0.7, "the name suggests %s and the table is about people")
	}
	if f, ok := c.byParts(); ok {
		return f
	}
	return c.rest()
}

func (c *judge) found(t Type, where string, confidence float64, evidence string) Finding {
	return Finding{PII: true, Type: t, Where: where, Confidence: confidence, Evidence: evidence}
}

func (c *judge) named(confidence float64, evidence string) Finding {
	f := c.found(c.nameType, "whole", confidence, fmt.Sprintf(evidence, c.nameType))
	f.Named = true
	return f
}

// contradicted says whether enough content cannot be what the name says: words where
// numbers must be, or one value for everyone.
func (c *judge) contradicted() bool {
	if c.nameType == Secret && !c.nameStrong { // "key" and "code" are mostly of something else
		return c.n == 0 || ratio(c.random, c.n) < wholeShare
	}
	if c.nameType == Person && !c.nameStrong && c.n >= fewNames && (c.shaped*2 < len(c.bare) || ratio(c.placed, c.shaped) >= 0.4) {
		return true
	}
	if c.n < enoughSamples {
		return false
	}
	switch c.nameType {
	case Email, IBAN:
		return c.whole[c.nameType]+c.embedded[c.nameType] == 0
	case Person:
		if !c.nameStrong { // a weak "name" must look like one
			return c.shaped*2 < len(c.bare) || c.things
		}
		return c.coded*2 > c.n
	case Phone, Card, Account, SSN, NationalID, TaxID, Passport, Licence, Plate:
		if toks := tokens(c.in.Column); c.class == classInteger && c.length < rowNumber*c.n && len(toks) > 0 && toks[len(toks)-1] == "id" {
			return true // numbers of rows: patient_id
		}
		return c.digits*2 < c.n
	case BirthDate:
		return c.class == classText && c.digits*2 < c.n
	case Secret:
		return len(c.distinct) <= 3 && c.length/c.n < 12
	case IP, MAC:
		return c.whole[c.nameType] == 0 && c.class == classText
	}
	return false
}

// rest are columns in which nothing was found. Prose and JSON are never clean: the
// next row may hold anything. Nor is a text column of which too little was read.
func (c *judge) rest() Finding {
	switch {
	case c.class == classDate:
		return Finding{Clean: true, Confidence: 0.8, Evidence: "a date that its name does not tie to a birth"}
	case c.class == classNetwork:
		if k := kindOf(c.in.TypeOID); k == kindMAC || k == kindMAC8 {
			return c.found(MAC, "whole", 0.8, "the address of a device tells whose it is")
		}
		return c.found(IP, "whole", 0.8, "a network address tells where someone is")
	case c.class == classInteger && kindOf(c.in.TypeOID) == kindInt4:
		return Finding{Clean: true, Confidence: 0.9, Evidence: "too small for a card or account number, and the name says nothing"}
	case c.n < enoughSamples:
		return Finding{Evidence: fmt.Sprintf("only %d values to judge by", c.n)}
	case c.class == classInteger:
		return Finding{Clean: true, Confidence: 0.9, Evidence: fmt.Sprintf("nothing personal in %d values", c.n)}
	case c.class == classText && !c.prose() && c.hits() == 0 && !c.maybeNames():
		return Finding{Clean: true, Confidence: 0.85, Evidence: fmt.Sprintf("nothing personal in %d values", c.n)}
	}
	return Finding{Evidence: fmt.Sprintf("nothing certain in %d values, but there may be in the next", c.n)}
}

func (c *judge) prose() bool {
	return c.n > 0 && c.length/c.n > freeText && c.spaced*2 > c.n
}
