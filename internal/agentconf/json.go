package agentconf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
)

// jsonFormat is JSON, with the comments and trailing commas that editors allow.
type jsonFormat struct{}

// maxDepth is deeper than any settings are.
const maxDepth = 200

func (jsonFormat) parse(text []byte) (hujson.Value, *hujson.Object, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		text = []byte("{}\n")
	}
	depth, most := 0, 0
	for _, c := range text { // an upper bound: brackets in strings count too
		switch c {
		case '{', '[':
			depth++
			most = max(most, depth)
		case '}', ']':
			depth--
		}
	}
	if most > maxDepth {
		return hujson.Value{}, nil, errors.New("it is nested too deeply")
	}
	v, err := hujson.Parse(bytes.Clone(text))
	if err != nil {
		return v, nil, fmt.Errorf("it is not JSON: %s", strings.TrimPrefix(err.Error(), "hujson: "))
	}
	root, ok := v.Value.(*hujson.Object)
	if !ok {
		return v, nil, errors.New("it is not an object")
	}
	return v, root, nil
}

func (f jsonFormat) read(text []byte, key, name string) (map[string]any, *Entry, error) {
	v, _, err := f.parse(text)
	if err != nil {
		return nil, nil, err
	}
	if err := unique(&v); err != nil {
		return nil, nil, err
	}
	v.Standardize()
	dec := json.NewDecoder(bytes.NewReader(v.Pack()))
	dec.UseNumber()
	all := map[string]any{}
	if err := dec.Decode(&all); err != nil {
		return nil, nil, fmt.Errorf("it is not JSON: %w", err)
	}
	servers, ok := all[key].(map[string]any)
	if all[key] != nil && !ok {
		return nil, nil, fmt.Errorf("%q in it is not an object", key)
	}
	have, ok := servers[name]
	if !ok {
		return all, nil, nil
	}
	return all, entryOf(have), nil
}

// entryOf is what a client has under a name; the zero entry, which is not ours, if that
// is no server as we write one.
func entryOf(v any) *Entry {
	raw, err := json.Marshal(v)
	e := &Entry{}
	if err != nil || json.Unmarshal(raw, e) != nil {
		return &Entry{}
	}
	return e
}

// unique refuses objects with a key twice, of which clients take one or the other.
func unique(v *hujson.Value) error {
	for at := range v.All() {
		o, ok := at.Value.(*hujson.Object)
		if !ok {
			continue
		}
		seen := map[string]bool{}
		for _, m := range o.Members {
			name := m.Name.Value.(hujson.Literal).String()
			if seen[name] {
				return fmt.Errorf("%q stands in it twice", name)
			}
			seen[name] = true
		}
	}
	return nil
}

func (f jsonFormat) put(text []byte, key, name string, e *Entry) ([]byte, error) {
	v, root, err := f.parse(text)
	if err != nil {
		return nil, err
	}
	eol := "\n"
	if bytes.Contains(text, []byte("\r\n")) {
		eol = "\r\n"
	}
	l := layout{eol: eol, step: step(root)}
	servers := member(root, key)
	if e == nil {
		take(servers, name)
		if len(servers.Members) == 0 && servers.AfterExtra.IsStandard() {
			take(root, key)
		}
		return v.Pack(), nil
	}
	if servers == nil {
		servers = &hujson.Object{}
		l.add(root, key, servers, 1)
	}
	l.add(servers, name, l.entry(*e, 2), 2)
	return v.Pack(), nil
}

// member is the object under a key; nil if there is none.
func member(o *hujson.Object, key string) *hujson.Object {
	for _, m := range o.Members {
		if m.Name.Value.(hujson.Literal).String() == key {
			inner, _ := m.Value.Value.(*hujson.Object)
			return inner
		}
	}
	return nil
}

// take removes a member. A comment before it stays, since it may stand at the end of the
// line before; a comma at the end stays if there was one.
func take(o *hujson.Object, key string) {
	i := slices.IndexFunc(o.Members, func(m hujson.ObjectMember) bool { return m.Name.Value.(hujson.Literal).String() == key })
	if i < 0 {
		return
	}
	last := i == len(o.Members)-1
	comma := o.Members[len(o.Members)-1].Value.AfterExtra != nil
	if before := o.Members[i].Name.BeforeExtra; !before.IsStandard() {
		next := &o.AfterExtra
		if !last {
			next = &o.Members[i+1].Name.BeforeExtra
		}
		*next = append(bytes.TrimRight(bytes.Clone(before), " \t\r\n"), []byte(lineAfter(*next))...)
	}
	o.Members = slices.Delete(o.Members, i, i+1)
	switch {
	case len(o.Members) == 0:
		if o.AfterExtra.IsStandard() {
			o.AfterExtra = nil
		}
	case last && !comma:
		o.Members[len(o.Members)-1].Value.AfterExtra = nil
	case last && o.Members[len(o.Members)-1].Value.AfterExtra == nil:
		o.Members[len(o.Members)-1].Value.AfterExtra = hujson.Extra{}
	}
}

// lineAfter is space that may follow a comment: it begins a new line.
func lineAfter(space hujson.Extra) string {
	if bytes.HasPrefix(space, []byte("\n")) || bytes.HasPrefix(space, []byte("\r\n")) {
		return string(space)
	}
	return "\n" + string(space)
}

// layout is how a file is indented.
type layout struct{ eol, step string }

// step is one level of indentation, as the first member that stands on a line of its own
// has it.
func step(root *hujson.Object) string {
	for _, m := range root.Members {
		if i := bytes.LastIndexByte(m.Name.BeforeExtra, '\n'); i >= 0 && len(bytes.TrimLeft(m.Name.BeforeExtra[i+1:], " \t")) == 0 && i+1 < len(m.Name.BeforeExtra) {
			return string(m.Name.BeforeExtra[i+1:])
		}
	}
	return "  "
}

func (l layout) line(depth int) hujson.Extra {
	return hujson.Extra(l.eol + strings.Repeat(l.step, depth))
}

// add puts a member at the end of an object, on a line of its own.
func (l layout) add(o *hujson.Object, key string, v hujson.ValueTrimmed, depth int) {
	m := hujson.ObjectMember{
		Name:  hujson.Value{BeforeExtra: l.line(depth), Value: hujson.String(key)},
		Value: hujson.Value{BeforeExtra: hujson.Extra(" "), Value: v},
	}
	if n := len(o.Members); n > 0 {
		if after := o.Members[n-1].Value.AfterExtra; after != nil {
			// A comma stands there already: what is behind it, a comment perhaps, stays
			// before the new member, which gets a comma of its own.
			m.Value.AfterExtra = hujson.Extra{}
		}
	}
	if behind := bytes.TrimRight(o.AfterExtra, " \t\r\n"); len(behind) > 0 {
		m.Name.BeforeExtra = append(hujson.Extra(bytes.Clone(behind)), l.line(depth)...)
	}
	o.Members, o.AfterExtra = append(o.Members, m), l.line(depth-1)
}

// entry is an entry as text, indented as it stands.
func (l layout) entry(e Entry, depth int) hujson.ValueTrimmed {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent(strings.Repeat(l.step, depth), l.step)
	if err := enc.Encode(e); err != nil {
		return &hujson.Object{} // strings always encode
	}
	v, err := hujson.Parse([]byte(strings.ReplaceAll(strings.TrimSpace(b.String()), "\n", l.eol)))
	if err != nil {
		return &hujson.Object{}
	}
	return v.Value
}
