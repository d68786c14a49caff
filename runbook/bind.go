package runbook

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicehq/sluice/internal/sheet"
	"github.com/sluicehq/sluice/query"
)

// The runner's own statements. Nothing else but a runbook's steps is sent in its run.
const (
	Begin    = "begin"
	Commit   = "commit"
	Rollback = "rollback"
	// TransactionID gives the number of the transaction, if it has written anything.
	TransactionID = "select pg_catalog.txid_current_if_assigned()"
	// TransactionEnd says what became of a transaction of which the end was not heard.
	TransactionEnd = "select pg_catalog.txid_status($1)"
)

// Bound is a runbook with values for its parameters, each of which was allowed.
type Bound struct {
	Book   *Runbook
	Values map[string]*string // nil is NULL
	list   []Statement
}

// Statement is one that a run may send.
type Statement struct {
	Step   string    `json:"step"`
	SQL    string    `json:"sql"`              // with $1 and so on
	Params []*string `json:"params,omitempty"` // as text; nil is NULL
	Most   int       `json:"most"`             // how often it may run
	Skip   bool      `json:"skip,omitempty"`   // a condition may leave it out
	Undo   bool      `json:"undo,omitempty"`   // it takes its step back
	When   string    `json:"when,omitempty"`
	Expect string    `json:"expect,omitempty"`
	While  string    `json:"while,omitempty"`
	Note   string    `json:"note,omitempty"`
}

// ParameterError is everything that is wrong with given values.
type ParameterError struct{ Problems []string }

// Error is all of them, a line each.
func (e *ParameterError) Error() string {
	if len(e.Problems) == 1 {
		return e.Problems[0]
	}
	return fmt.Sprintf("%d parameters are wrong\n  %s", len(e.Problems), strings.Join(e.Problems, "\n  "))
}

// Bind takes values for the parameters: text, or what JSON has for numbers, truth
// values and null. An error is a *ParameterError. No value becomes part of a text.
func (b *Runbook) Bind(given map[string]any) (*Bound, error) {
	out := &Bound{Book: b, Values: map[string]*string{}}
	e := &ParameterError{}
	say := func(format string, args ...any) { e.Problems = append(e.Problems, fmt.Sprintf(format, args...)) }
	names := make([]string, len(b.Parameters))
	for i := range b.Parameters {
		names[i] = b.Parameters[i].Name
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(names, name) {
			hint := "; it has none"
			if len(names) > 0 {
				hint = sheet.DidYouMean(brief(name), names)
			}
			say("there is no parameter %q%s", brief(name), hint)
		}
	}
	for i := range b.Parameters {
		p := &b.Parameters[i]
		raw, ok := given[p.Name]
		if !ok && p.Default != nil {
			raw, ok = *p.Default, true
		}
		if !ok || raw == nil {
			if !p.Optional {
				say("the parameter %s is missing%s", p.Name, p.hint())
			}
			out.Values[p.Name] = nil
			continue
		}
		v, known := asText(raw)
		if !known {
			say("%s must be a text, a number or true or false", p.Name)
			continue
		}
		if why := p.check(v); why != "" {
			say("%s %s", p.Name, why)
		}
		out.Values[p.Name] = &v
	}
	if len(e.Problems) > 0 {
		return nil, e
	}
	return out, out.fill()
}

func (p *Parameter) hint() string {
	if p.Description == "" {
		return ""
	}
	return ": " + p.Description
}

func asText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case int:
		return strconv.Itoa(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case json.Number:
		return v.String(), true
	}
	return "", false
}

// Statements are all that a run may send beside its frame, in the order in which it
// may: the steps, then what takes them back, the last first.
func (b *Bound) Statements() []Statement { return slices.Clone(b.list) }

func (b *Bound) fill() error {
	var undo []Statement
	for i := range b.Book.Steps {
		s := &b.Book.Steps[i]
		st := Statement{Step: s.Name, Most: 1, Skip: s.when != nil, When: s.When, Expect: s.Expect, Note: s.Note}
		if s.Repeat != nil {
			st.Most, st.While = s.Repeat.Most, s.Repeat.While
		}
		var problem string
		if st.SQL, st.Params, problem = b.put(s.SQL); problem != "" {
			return &ParameterError{[]string{"step " + s.Name + ": " + problem}}
		}
		b.list = append(b.list, st)
		if s.Undo != "" {
			back := Statement{Step: s.Name, Most: 1, Skip: true, Undo: true}
			if back.SQL, back.Params, problem = b.put(s.Undo); problem != "" {
				return &ParameterError{[]string{"undo of step " + s.Name + ": " + problem}}
			}
			undo = append(undo, back)
		}
	}
	slices.Reverse(undo)
	b.list = append(b.list, undo...)
	return nil
}

// put makes a statement with $1 of one with names. What it makes is read again: it must
// be one statement with as many parameters as it had places for values.
func (b *Bound) put(sql string) (string, []*string, string) {
	return fill(sql, func(p query.Place) (*string, bool) {
		v, ok := b.Values[p.Name]
		return v, ok
	})
}

// fill puts $1 where sql names values, and quoted identifiers where it names those.
func fill(sql string, value func(query.Place) (*string, bool)) (out string, params []*string, problem string) {
	var text strings.Builder
	numbers := map[string]int{}
	at, values := 0, 0
	for _, p := range placesOf(sql) {
		v, ok := value(p)
		if !ok {
			return "", nil, fmt.Sprintf("there is no parameter %q", p.Name)
		}
		text.WriteString(sql[at:p.At])
		if p.At > 0 && !strings.ContainsRune(" \t\r\n(,", rune(sql[p.At-1])) {
			text.WriteByte(' ') // so that what stands before it stays a token of its own
		}
		at = p.End
		if p.Quoted {
			if v == nil {
				return "", nil, fmt.Sprintf("the name %s has no value", p.Name)
			}
			text.WriteString(quoted(*v))
		} else {
			values++
			if numbers[p.Name] == 0 {
				params = append(params, v)
				numbers[p.Name] = len(params)
			}
			text.WriteString("$" + strconv.Itoa(numbers[p.Name]))
		}
		if at < len(sql) && !strings.ContainsRune(" \t\r\n),;:", rune(sql[at])) {
			text.WriteByte(' ')
		}
	}
	text.WriteString(sql[at:])
	out = text.String()
	places, numbered, ok := query.Places(out)
	if !ok || len(places) > 0 || len(numbered) != values {
		return "", nil, "it cannot be read with its parameters in place"
	}
	return out, params, ""
}

// quoted is an identifier, with its schema if it has one.
func quoted(name string) string {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		parts[i] = `"` + strings.ReplaceAll(p, `"`, `""`) + `"`
	}
	return strings.Join(parts, ".")
}

func placesOf(sql string) []query.Place {
	list, _, _ := query.Places(sql)
	return list
}
