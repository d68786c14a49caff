// Package sheet reads a YAML file into structs by their yaml tags, key by key, so that
// every mistake is said in words and with its line. A sheet has one document,
// each key once and known, and neither anchors nor merge keys nor tags: what
// stands there is what counts.
package sheet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Sheet is one file that was read, and what is wrong with it. The zero value is good.
type Sheet struct {
	Lines    map[string]int      // by path, such as connections[0].name
	Order    map[string][]string // keys of each mapping, in their order
	Literal  map[string]int      // by path, the line on which a text of several lines begins
	Problems []Problem
}

// Problem is one mistake. Lines count from 1.
type Problem struct {
	Line int
	Text string
}

// Value is a type that reads its own form. What it finds wrong it says.
type Value interface {
	ReadSheet(s *Sheet, n *yaml.Node, path, what string)
}

// Duration is a time such as 15m, more than none.
type Duration time.Duration

// ReadSheet reads a time such as 30s, 8h or 90d.
func (d *Duration) ReadSheet(s *Sheet, n *yaml.Node, _, what string) {
	given, err := readDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || given <= 0 {
		s.Say(n.Line, "%s must be a time such as 30s, 15m or 8h%s", what, Not(n))
	}
	*d = Duration(given)
}

func readDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	return time.ParseDuration(text)
}

// Say notes what is wrong at a line.
func (s *Sheet) Say(line int, format string, args ...any) {
	s.Problems = append(s.Problems, Problem{line, fmt.Sprintf(format, args...)})
}

// SayAt notes what is wrong with the value at a path, or with what would hold it.
func (s *Sheet) SayAt(path, format string, args ...any) {
	for s.Lines[path] == 0 && path != "" {
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	s.Say(max(s.Lines[path], 1), format, args...)
}

// SayInside notes what is wrong at a line, counted from 1, of the text at a path.
func (s *Sheet) SayInside(path string, line int, format string, args ...any) {
	if begins, ok := s.Literal[path]; ok {
		s.Say(begins+line-1, format, args...)
		return
	}
	s.SayAt(path, format, args...)
}

// Sorted are the mistakes in the order of their lines.
func (s *Sheet) Sorted() []Problem {
	slices.SortStableFunc(s.Problems, func(a, b Problem) int { return a.Line - b.Line })
	return s.Problems
}

// Read fills the struct that into points to.
func (s *Sheet) Read(data []byte, into any) {
	s.Lines, s.Order, s.Literal = map[string]int{}, map[string][]string{}, map[string]int{}
	if !s.text(data) {
		return
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF) && len(bytes.TrimSpace(data)) == 0:
		s.Say(1, "the file is empty")
		return
	case errors.Is(err, io.EOF):
		s.Say(1, "the file has nothing but comments")
		return
	case err != nil:
		s.syntax(data, err)
		return
	}
	root := doc.Content[0]
	if root.ShortTag() == "!!null" {
		s.Say(1, "the file has no keys")
		return
	}
	s.value(root, reflect.ValueOf(into).Elem(), "", "the file")
	switch err := dec.Decode(&more); {
	case errors.Is(err, io.EOF):
	case err != nil:
		s.syntax(data, err)
	default:
		s.Say(more.Content[0].Line, "a second document begins before this line; a file has one, so take out the ---")
	}
}

// text checks what a YAML reader would only refuse without saying where.
func (s *Sheet) text(data []byte) bool {
	for i, line := range bytes.Split(data, []byte("\n")) {
		if !utf8.Valid(line) {
			s.Say(i+1, "this is not UTF-8 text")
			return false
		}
		if at := bytes.IndexFunc(line, func(r rune) bool { return r < 0x20 && r != '\t' && r != '\r' || r == 0x7f }); at >= 0 {
			s.Say(i+1, "a control character (%#02x) does not belong in this file", line[at])
			return false
		}
	}
	return true
}

// syntax notes what the YAML reader says, with its line mended: it counts from 0
// where it misses something, and gives none for a name without an anchor. A tab it
// only calls a character that cannot start a token.
func (s *Sheet) syntax(data []byte, err error) {
	text, line := strings.TrimPrefix(err.Error(), "yaml: "), 1
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		number, what, _ := strings.Cut(rest, ": ")
		if n, err := strconv.Atoi(number); err == nil {
			text, line = what, n
		}
	}
	if strings.HasPrefix(text, "did not find expected") {
		line++
	}
	alias := ""
	if rest, ok := strings.CutPrefix(text, "unknown anchor '"); ok {
		alias, _, _ = strings.Cut(rest, "'")
	}
	for i, l := range strings.Split(string(data), "\n") {
		body := strings.TrimLeft(l, " \t")
		switch {
		case strings.Contains(l[:len(l)-len(body)], "\t"):
			s.Say(i+1, "the line is indented with a tab; YAML takes spaces only")
			return
		case alias != "" && strings.Contains(body, "*"+alias):
			s.Say(i+1, "anchors and aliases are not allowed: write it out")
			return
		}
	}
	s.Say(min(line, bytes.Count(data, []byte("\n"))+1), "this is not YAML: %s", text)
}

// value reads one node into v. What names it in a sentence.
func (s *Sheet) value(n *yaml.Node, v reflect.Value, path, what string) {
	s.Lines[path] = n.Line
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		s.Say(n.Line, "anchors and aliases are not allowed: write %s out", what)
		return
	case n.Style&yaml.TaggedStyle != 0:
		s.Say(n.Line, "%s has the tag %s; write the value alone", what, n.Tag)
		return
	case n.ShortTag() == "!!null":
		s.Say(n.Line, "%s has no value; give it one, or leave the key out", what)
		return
	}
	if own, ok := v.Addr().Interface().(Value); ok {
		own.ReadSheet(s, n, path, what)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		s.Mapping(n, v, path, what)
	case reflect.Map:
		s.names(n, v, path, what)
	case reflect.Slice:
		s.list(n, v, path, what)
	case reflect.Bool:
		if n.ShortTag() != "!!bool" || n.Decode(v.Addr().Interface()) != nil {
			s.Say(n.Line, "%s must be true or false%s", what, Not(n))
		}
	case reflect.Int:
		i, err := strconv.Atoi(n.Value)
		if n.Kind != yaml.ScalarNode || err != nil {
			s.Say(n.Line, "%s must be a whole number%s", what, Not(n))
		}
		v.SetInt(int64(i))
	default: // string, the only one left
		if n.Kind != yaml.ScalarNode {
			s.Say(n.Line, "%s must be one text%s", what, Not(n))
		}
		v.SetString(n.Value)
		if n.Style&yaml.LiteralStyle != 0 {
			s.Literal[path] = n.Line + 1
		}
	}
}

// Not says what stands there instead.
func Not(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return ", not keys with values"
	case yaml.SequenceNode:
		return ", not a list"
	}
	return fmt.Sprintf(", not %q", short(n.Value, 40))
}

func (s *Sheet) list(n *yaml.Node, v reflect.Value, path, what string) {
	if n.Kind != yaml.SequenceNode {
		s.Say(n.Line, "%s must be a list%s", what, Not(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, entry := range n.Content {
		s.value(entry, v.Index(i), fmt.Sprintf("%s[%d]", path, i), fmt.Sprintf("entry %d of %s", i+1, what))
	}
}

// Mapping reads keys into the fields that are tagged with them.
func (s *Sheet) Mapping(n *yaml.Node, v reflect.Value, path, what string) {
	known := keysOf(v.Type())
	if n.Kind != yaml.MappingNode {
		s.Say(n.Line, "%s must have keys such as %s%s", what, Listed(known[:min(3, len(known))]), Not(n))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := slices.Index(known, key.Value)
		switch {
		case key.Value == "<<" || key.Anchor != "" || key.Kind == yaml.AliasNode:
			s.Say(key.Line, "anchors and aliases are not allowed: write the keys out")
		case key.Kind != yaml.ScalarNode:
			s.Say(key.Line, "a key must be a word")
		case at < 0:
			s.Say(key.Line, "unknown key %q%s", short(key.Value, 40), DidYouMean(key.Value, known))
		case seen[key.Value]:
			s.Say(key.Line, "the key %q is there twice", key.Value)
		default:
			seen[key.Value] = true
			s.Order[path] = append(s.Order[path], key.Value)
			s.value(value, v.Field(at), strings.TrimPrefix(path+"."+key.Value, "."), key.Value)
			s.Lines[strings.TrimPrefix(path+"."+key.Value, ".")] = key.Line
		}
	}
}

// names reads a mapping whose keys are names that the file gives.
func (s *Sheet) names(n *yaml.Node, v reflect.Value, path, what string) {
	if n.Kind != yaml.MappingNode {
		s.Say(n.Line, "%s must have names with values%s", what, Not(n))
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := path + "." + key.Value
		switch {
		case key.Kind != yaml.ScalarNode || key.Value == "" || key.Value == "<<" || key.Anchor != "":
			s.Say(key.Line, "a name must be a word")
		case v.MapIndex(reflect.ValueOf(key.Value)).IsValid():
			s.Say(key.Line, "the name %q is there twice", short(key.Value, 40))
		default:
			one := reflect.New(v.Type().Elem()).Elem()
			s.value(value, one, at, key.Value)
			s.Lines[at] = key.Line
			s.Order[path] = append(s.Order[path], key.Value)
			v.SetMapIndex(reflect.ValueOf(key.Value), one)
		}
	}
}

// keysOf lists the keys of a struct, in the order of its fields.
func keysOf(t reflect.Type) []string {
	keys := make([]string, t.NumField())
	for i := range keys {
		keys[i] = t.Field(i).Tag.Get("yaml")
	}
	return keys
}
