package query

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// A program that loads data writes thousands of rows into one INSERT. Parsed whole,
// eight megabytes of them take seconds and most of a gigabyte; and they say nothing
// that one row of each form does not. So of a text over MaxSQL that is one INSERT with
// rows of constants, a short text is analysed in its place: in it, each form of row
// stands once, with empty literals. The values of constants that are inserted have no
// part in any analysis, as for shapes. What is not surely such a text stays too long.

const (
	// MaxBulk is the longest such text: what the gateway takes in at all.
	MaxBulk = 8 << 20
	// maxEdge is how much may stand before and after the rows.
	maxEdge = 64 << 10
	// maxForms bounds the forms of rows, and maxForm the length of each.
	maxForms = 64
	maxForm  = 16 << 10
)

// bulkHead is INSERT INTO, a name, perhaps columns, VALUES: without anything in it that
// has a value.
var bulkHead = regexp.MustCompile(`(?i)^\s*insert\s+into\s+` + bulkName + `(?:\s*\.\s*` + bulkName + `)*(?:\s+as\s+` + bulkName + `)?` +
	`\s*(?:\(\s*` + bulkName + `(?:\s*,\s*` + bulkName + `)*\s*\))?\s*(?:overriding\s+(?:system|user)\s+value\s*)?\bvalues\s*\(`)

const bulkName = `(?:[a-z_][a-z0-9_$]*|"[^"]+")`

// bulkTypes are what a constant in a row may be cast to: types whose names mean one
// thing, and whose values name nothing in the database.
var bulkTypes = map[string]bool{
	"bigint": true, "bool": true, "boolean": true, "bytea": true, "char": true, "cidr": true, "date": true, "decimal": true,
	"float4": true, "float8": true, "inet": true, "int": true, "int2": true, "int4": true, "int8": true, "integer": true,
	"interval": true, "json": true, "jsonb": true, "numeric": true, "real": true, "smallint": true, "text": true, "time": true,
	"timestamp": true, "timestamptz": true, "timetz": true, "uuid": true, "varchar": true,
}

// bulkWords may stand where a constant may.
var bulkWords = map[string]bool{
	"null": true, "true": true, "false": true, "default": true, "current_timestamp": true, "current_date": true, "now()": true,
}

// analyzeBulk is Analyze of a text over MaxSQL.
func analyzeBulk(sql string, s Schema) []Statement {
	short, ok := bulk(sql)
	if !ok {
		return []Statement{unparsable(sql, refuse(sql))}
	}
	list := Analyze(short, s)
	if len(list) != 1 || list[0].Kind != Insert {
		return []Statement{unparsable(sql, refuse(sql))}
	}
	st := &list[0]
	// What follows the statement is the same in both texts.
	after := len(short) - strings.Index(short, st.SQL) - len(st.SQL)
	st.SQL = strings.TrimSpace(sql[:len(sql)-after])
	return list
}

// bulk gives the short text for that of an INSERT with rows of constants.
func bulk(sql string) (short string, ok bool) {
	if len(sql) > MaxBulk || !utf8.ValidString(sql) || strings.IndexByte(sql, 0) >= 0 {
		return "", false
	}
	head := bulkHead.FindString(sql[:min(len(sql), maxEdge)])
	if head == "" {
		return "", false
	}
	b := bulker{sql: sql, i: len(head) - 1, seen: map[string]bool{}}
	b.out.WriteString(head[:b.i])
	for more := true; more; {
		if more, ok = b.row(); !ok {
			return "", false
		}
	}
	tail := sql[b.i:]
	if len(tail) > maxEdge {
		return "", false
	}
	return b.out.String() + tail, true
}

// bulker reads the rows of one INSERT.
type bulker struct {
	sql  string
	i    int
	form []byte          // of the row at hand: the row with other constants
	seen map[string]bool // forms that are in out
	out  strings.Builder
}

// row reads a row and what stands between it and the next, if there is one.
func (b *bulker) row() (more, ok bool) {
	b.form = b.form[:0]
	if !b.take('(') {
		return false, false
	}
	for {
		if !b.value() || len(b.form) > maxForm {
			return false, false
		}
		if b.take(',') {
			continue
		}
		if !b.take(')') {
			return false, false
		}
		break
	}
	if !b.seen[string(b.form)] {
		if len(b.seen) == maxForms {
			return false, false
		}
		if len(b.seen) > 0 {
			b.out.WriteString(", ")
		}
		b.seen[string(b.form)] = true
		b.out.Write(b.form)
	}
	if b.at() != ',' {
		return false, true
	}
	b.i++
	return true, true
}

// value reads one value of a row.
func (b *bulker) value() bool {
	b.space()
	switch c := b.at(); {
	case c == '\'':
		b.literal(false)
	case (c == 'e' || c == 'E') && strings.HasPrefix(b.sql[b.i+1:], "'"):
		b.i++
		b.form = append(b.form, 'E')
		b.literal(true)
	case isIdentStart(c):
		if !b.word() {
			return false
		}
	case digit(c), c == '-' || c == '+':
		if !b.number() {
			return false
		}
	default:
		return false
	}
	for b.space(); strings.HasPrefix(b.sql[b.i:], "::"); b.space() {
		b.i += 2
		name := b.name()
		if !bulkTypes[name] {
			return false
		}
		b.form = append(append(b.form, "::"...), name...)
		if strings.HasPrefix(b.sql[b.i:], "[]") {
			b.i += 2
			b.form = append(b.form, "[]"...)
		}
	}
	return true
}

func (b *bulker) literal(escapes bool) {
	p := prescan{s: b.sql, i: b.i}
	p.quoted('\'', escapes)
	b.i = p.i
	b.form = append(b.form, "''"...)
}

// number reads a number; those that the grammar tells apart differ in form.
func (b *bulker) number() bool {
	if c := b.at(); c == '-' || c == '+' {
		b.form = append(b.form, c)
		b.i++
	}
	n := b.digits()
	if n == 0 {
		return false
	}
	form := "1"
	if n > maxDigits {
		form = "12345678901"
	}
	if b.at() == '.' {
		b.i++
		if b.digits() == 0 {
			return false
		}
		form = "1.5"
	}
	if c := b.at(); c == 'e' || c == 'E' {
		b.i++
		if c := b.at(); c == '-' || c == '+' {
			b.i++
		}
		if b.digits() == 0 {
			return false
		}
		form = "1.5"
	}
	b.form = append(b.form, form...)
	return !isIdentStart(b.at()) && b.at() != '.' // 0x1F and 1.2.3 are for the grammar
}

func (b *bulker) digits() int {
	from := b.i
	for digit(b.at()) {
		b.i++
	}
	return b.i - from
}

// word reads what may stand for a value without being a constant.
func (b *bulker) word() bool {
	name := b.name()
	if strings.HasPrefix(b.sql[b.i:], "()") {
		b.i += 2
		name += "()"
	}
	b.form = append(b.form, name...)
	return bulkWords[name]
}

// name reads a plain name, in lower case; one that is longer than any of ours is cut.
func (b *bulker) name() string {
	b.space()
	from := b.i
	for isIdentStart(b.at()) || digit(b.at()) || b.at() == '$' {
		b.i++
	}
	return strings.ToLower(b.sql[from:min(b.i, from+32)])
}

// take passes c, and white space around it.
func (b *bulker) take(c byte) bool {
	b.space()
	if b.at() != c {
		return false
	}
	b.i++
	b.space()
	b.form = append(b.form, c)
	return true
}

func (b *bulker) space() {
	for isSpace(b.at()) {
		b.i++
	}
}

func (b *bulker) at() byte {
	if b.i >= len(b.sql) {
		return 0
	}
	return b.sql[b.i]
}
