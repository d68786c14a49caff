package runbook

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sluicehq/sluice/internal/sheet"
)

// Type is what a parameter's values are.
type Type string

// The types of parameters. A value is bound as text, and the server reads it as what
// its place in the statement is; this only says what is let through to it.
const (
	Text      Type = "text"
	Integer   Type = "integer" // 64 bits
	Number    Type = "number"  // decimal, as it is written
	Boolean   Type = "boolean"
	Date      Type = "date"      // 2026-01-31
	Timestamp Type = "timestamp" // RFC 3339
	UUID      Type = "uuid"
	Name      Type = "name" // of a table or column: one of Choices, put in with quotes
)

var typeWords = []string{string(Text), string(Integer), string(Number), string(Boolean), string(Date), string(Timestamp), string(UUID), string(Name)}

// Parameter is one thing that whoever runs it has to say.
type Parameter struct {
	Name        string
	Type        Type
	Description string
	Choices     []string // what it may be; required of a Name
	Default     *string  // nil if it has none
	Optional    bool     // without a value it is NULL
	Min, Max    string   // of Integer, Number, Date and Timestamp; "" is none
	Pattern     string   // that all of a Text must match (RE2)
	MaxLength   int      // characters of a Text
	Example     string

	pattern *regexp.Regexp
}

// parameters reads what the file says of its parameters, in its order.
func (l *loader) parameters() {
	for _, name := range l.Order["parameters"] {
		at, f := "parameters."+name, l.file.Parameters[name]
		p := Parameter{
			Name: name, Type: Type(f.Type), Description: strings.TrimSpace(f.Description), Choices: f.Choices, Optional: f.Optional,
			Min: f.Min, Max: f.Max, Pattern: f.Pattern, MaxLength: f.MaxLength, Example: f.Example,
		}
		if !word.MatchString(name) {
			l.SayAt(at, "the name of a parameter is %q, must be a word in lower case such as customer_id", name)
		}
		if !l.given(at + ".type") {
			l.SayAt(at, "the parameter %q has no type; known are %s", name, sheet.Listed(typeWords))
			continue
		}
		if !l.oneOf(at+".type", f.Type, typeWords...) {
			continue
		}
		if l.constraints(at, &p) && l.given(at+".default") {
			if why := p.check(f.Default); why != "" {
				l.SayAt(at+".default", "the default %s", why)
			}
			p.Default = &f.Default
		}
		l.book.Parameters = append(l.book.Parameters, p)
	}
}

// constraints checks what narrows a parameter. ok is false if values cannot be judged.
func (l *loader) constraints(at string, p *Parameter) (ok bool) {
	before := len(l.Problems)
	ordered := slices.Contains([]Type{Integer, Number, Date, Timestamp}, p.Type)
	for key, value := range map[string]string{"min": p.Min, "max": p.Max} {
		switch {
		case !l.given(at + "." + key):
		case !ordered:
			l.SayAt(at+"."+key, "%s is for integer, number, date and timestamp, not for %s", key, p.Type)
		case p.form(value) != "":
			l.SayAt(at+"."+key, "%s %s", key, p.form(value))
		}
	}
	if l.given(at+".pattern") || l.given(at+".max_length") {
		if p.Type != Text {
			l.SayAt(at, "pattern and max_length are for text, not for %s", p.Type)
		}
		if l.given(at+".max_length") && (p.MaxLength < 1 || p.MaxLength > MaxValue) {
			l.SayAt(at+".max_length", "max_length is %d, must be 1 to %d", p.MaxLength, MaxValue)
		}
	}
	if p.MaxLength == 0 {
		p.MaxLength = DefaultText
	}
	if p.Pattern != "" {
		var err error
		if p.pattern, err = regexp.Compile(`\A(?:` + p.Pattern + `)\z`); err != nil {
			l.SayAt(at+".pattern", "pattern cannot be read: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
	}
	if len(l.Problems) > before {
		return false
	}
	switch {
	case p.Type == Name && len(p.Choices) == 0:
		l.SayAt(at, "a name must have choices: identifiers are never free text")
	case l.given(at+".choices") && len(p.Choices) == 0:
		l.SayAt(at+".choices", "choices is empty, so nothing could be given")
	case p.Type == Name && p.Optional:
		l.SayAt(at+".optional", "a name cannot be left out")
	case p.Optional && l.given(at+".default"):
		l.SayAt(at+".optional", "what has a default is optional as it is; leave one of them out")
	}
	for i, c := range p.Choices {
		path := fmt.Sprintf("%s.choices[%d]", at, i)
		if slices.Contains(p.Choices[:i], c) {
			l.SayAt(path, "the choice %q is there twice", c)
		}
		if p.Type == Name {
			if !identifier.MatchString(c) {
				l.SayAt(path, "the choice %q is no name of a table or column: write orders or public.orders, as it is stored", c)
			}
		} else if why := p.check(c); why != "" {
			l.SayAt(path, "the choice %s", why)
		}
	}
	return len(l.Problems) == before
}

// identifier is a name as it is stored, with its schema or without. Choices are
// written by who writes the runbook, so what would need care is not needed.
var identifier = regexp.MustCompile(`^[\pL_][\pL\pN_$ -]{0,62}(\.[\pL_][\pL\pN_$ -]{0,62})?$`)

var (
	integerForm = regexp.MustCompile(`^[+-]?[0-9]{1,19}$`)
	numberForm  = regexp.MustCompile(`^[+-]?([0-9]{1,200}(\.[0-9]{0,200})?|\.[0-9]{1,200})$`)
	uuidForm    = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
)

// form says what is wrong with the form of a value; "" is nothing. It never repeats
// more than the beginning of what it was given.
func (p *Parameter) form(v string) string {
	if len(v) > MaxValue {
		return fmt.Sprintf("is longer than %d KiB", MaxValue>>10)
	}
	if !utf8.ValidString(v) {
		return "is not UTF-8 text"
	}
	bad := func(what string) string { return fmt.Sprintf("must be %s, not %q", what, brief(v)) }
	switch p.Type {
	case Integer:
		if _, err := strconv.ParseInt(v, 10, 64); err != nil || !integerForm.MatchString(v) {
			return bad("a whole number of 64 bits")
		}
	case Number:
		if !numberForm.MatchString(v) {
			return bad("a number such as 12.50")
		}
	case Boolean:
		if v != "true" && v != "false" {
			return bad("true or false")
		}
	case Date:
		if _, err := time.Parse(time.DateOnly, v); err != nil {
			return bad("a date such as 2026-01-31")
		}
	case Timestamp:
		if _, err := time.Parse(time.RFC3339Nano, v); err != nil {
			return bad("a time such as 2026-01-31T09:30:00Z")
		}
	case UUID:
		if !uuidForm.MatchString(v) {
			return bad("a UUID")
		}
	default:
		return textForm(v)
	}
	return ""
}

// textForm lets through what a person sees as it is. What a database cannot keep, and
// what would make an approver read something else than is run, is refused.
func textForm(v string) string {
	for _, r := range v {
		switch {
		case r == 0:
			return "holds a NUL character, which PostgreSQL has no text with"
		case r == '\n' || r == '\t':
		case unicode.Is(unicode.Cc, r):
			return fmt.Sprintf("holds the control character %U", r)
		case unicode.Is(unicode.Bidi_Control, r):
			return fmt.Sprintf("holds %U, which turns the direction of what follows", r)
		}
	}
	return ""
}

func brief(v string) string {
	if r := []rune(v); len(r) > 40 {
		return string(r[:39]) + "…"
	}
	return v
}

// Check says why a value, as it is typed, is not one that the parameter allows; "" is that
// it is.
func (p *Parameter) Check(v string) string { return p.check(v) }

// Words say what a parameter may be, in a line for people.
func (p *Parameter) Words() string {
	parts := []string{string(p.Type)}
	if len(p.Choices) > 0 {
		parts = append(parts, "one of "+strings.Join(p.Choices, ", "))
	}
	for _, x := range []struct{ word, value string }{{"at least", p.Min}, {"at most", p.Max}} {
		if x.value != "" {
			parts = append(parts, x.word+" "+x.value)
		}
	}
	if p.Default != nil {
		parts = append(parts, "default "+*p.Default)
	}
	if p.Optional {
		parts = append(parts, "may be left out")
	}
	text := strings.Join(parts, ", ")
	if p.Description != "" {
		text += "; " + p.Description
	}
	return text
}

// check says why a value is not one that the parameter allows; "" is that it is.
func (p *Parameter) check(v string) string {
	if why := p.form(v); why != "" {
		return why
	}
	switch {
	case len(p.Choices) > 0 && !slices.Contains(p.Choices, v):
		return fmt.Sprintf("must be %s, not %q", sheet.Listed(p.Choices), brief(v))
	case p.Type == Text && utf8.RuneCountInString(v) > p.MaxLength:
		return fmt.Sprintf("has %d characters, the most is %d", utf8.RuneCountInString(v), p.MaxLength)
	case p.pattern != nil && !p.pattern.MatchString(v):
		return fmt.Sprintf("must match %s, which %q does not", p.Pattern, brief(v))
	case p.Min != "" && p.compare(v, p.Min) < 0:
		return fmt.Sprintf("must be at least %s, not %s", p.Min, brief(v))
	case p.Max != "" && p.compare(v, p.Max) > 0:
		return fmt.Sprintf("must be at most %s, not %s", p.Max, brief(v))
	}
	return ""
}

// compare orders two values of good form.
func (p *Parameter) compare(a, b string) int {
	switch p.Type {
	case Integer, Number:
		x, okX := new(big.Rat).SetString(a)
		y, okY := new(big.Rat).SetString(b)
		if okX && okY {
			return x.Cmp(y)
		}
	case Timestamp:
		x, errX := time.Parse(time.RFC3339Nano, a)
		y, errY := time.Parse(time.RFC3339Nano, b)
		if errX == nil && errY == nil {
			return x.Compare(y)
		}
	}
	return strings.Compare(a, b)
}

// Schema is the JSON Schema (draft 2020-12) of an object with the parameters: what a
// program or a model has to send.
func (b *Runbook) Schema() json.RawMessage {
	type property map[string]any
	properties, required := map[string]property{}, []string{}
	for _, p := range b.Parameters {
		s := property{"type": "string"}
		switch p.Type {
		case Integer, Number, Boolean:
			s["type"] = string(p.Type)
		case Date, UUID:
			s["format"] = string(p.Type)
		case Timestamp:
			s["format"] = "date-time"
		case Text:
			s["maxLength"] = p.MaxLength
			if p.Pattern != "" {
				s["pattern"] = "^(?:" + p.Pattern + ")$"
			}
		}
		for key, v := range map[string]string{"minimum": p.Min, "maximum": p.Max} {
			if bound, ok := p.typed(v).(json.Number); ok {
				s[key] = bound
			}
		}
		for _, c := range p.Choices {
			list, _ := s["enum"].([]any)
			s["enum"] = append(list, p.typed(c))
		}
		if p.Description != "" {
			s["description"] = p.Description
		}
		if p.Example != "" {
			s["examples"] = []any{p.typed(p.Example)}
		}
		if p.Default != nil {
			s["default"] = p.typed(*p.Default)
		} else if !p.Optional {
			required = append(required, p.Name)
		}
		properties[p.Name] = s
	}
	out, err := json.Marshal(map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false})
	if err != nil {
		return json.RawMessage(`false`) // nothing fits
	}
	return out
}

// typed is a value of good form as JSON has it. A number that JSON writes otherwise
// stays text, which Bind takes too.
func (p *Parameter) typed(v string) any {
	switch p.Type {
	case Integer, Number:
		if json.Valid([]byte(v)) {
			return json.Number(v)
		}
	case Boolean:
		return v == "true"
	}
	return v
}
