package cmd

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

// sheet reads a YAML file into structs by their yaml tags, key by key, so that
// every mistake is said in words and with its line. A sheet has one document,
// each key once and known, and neither anchors nor merge keys nor tags: what
// stands there is what counts.
type sheet struct {
	lines    map[string]int      // by path, such as connections[0].name
	order    map[string][]string // keys of each mapping, in their order
	literal  map[string]int      // by path, the line on which a text of several lines begins
	problems []problem
}

type problem struct {
	line int
	text string
}

// say notes what is wrong at a line.
func (s *sheet) say(line int, format string, args ...any) {
	s.problems = append(s.problems, problem{line, fmt.Sprintf(format, args...)})
}

// sayAt notes what is wrong with the value at a path, or with what would hold it.
func (s *sheet) sayAt(path, format string, args ...any) {
	for s.lines[path] == 0 && path != "" {
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	s.say(max(s.lines[path], 1), format, args...)
}

// err is all that is wrong with a file, in the order of its lines.
func (s *sheet) err(file string) error {
	if len(s.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(s.problems, func(a, b problem) int { return a.line - b.line })
	lines := make([]string, len(s.problems))
	for i, p := range s.problems {
		lines[i] = fmt.Sprintf("%s:%d: %s", file, p.line, p.text)
	}
	sentence := lines[0]
	if len(lines) > 1 {
		sentence = fmt.Sprintf("%s has %d mistakes\n  %s", file, len(lines), strings.Join(lines, "\n  "))
	}
	return tell(exitUsage, "mend the file and try again; the README has an example", "%s", sentence)
}

// read fills the struct that into points to.
func (s *sheet) read(data []byte, into any) {
	s.lines, s.order, s.literal = map[string]int{}, map[string][]string{}, map[string]int{}
	if !s.text(data) {
		return
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF) && len(bytes.TrimSpace(data)) == 0:
		s.say(1, "the file is empty")
		return
	case errors.Is(err, io.EOF):
		s.say(1, "the file has nothing but comments")
		return
	case err != nil:
		s.syntax(data, err)
		return
	}
	root := doc.Content[0]
	if root.ShortTag() == "!!null" {
		s.say(1, "the file has no keys")
		return
	}
	s.value(root, reflect.ValueOf(into).Elem(), "", "the file")
	switch err := dec.Decode(&more); {
	case errors.Is(err, io.EOF):
	case err != nil:
		s.syntax(data, err)
	default:
		s.say(more.Content[0].Line, "a second document begins before this line; a file has one, so take out the ---")
	}
}

// text checks what a YAML reader would only refuse without saying where.
func (s *sheet) text(data []byte) bool {
	for i, line := range bytes.Split(data, []byte("\n")) {
		if !utf8.Valid(line) {
			s.say(i+1, "this is not UTF-8 text")
			return false
		}
		if at := bytes.IndexFunc(line, func(r rune) bool { return r < 0x20 && r != '\t' && r != '\r' || r == 0x7f }); at >= 0 {
			s.say(i+1, "a control character (%#02x) does not belong in this file", line[at])
			return false
		}
	}
	return true
}

// syntax notes what the YAML reader says, with its line mended: it counts from 0
// where it misses something, and gives none for a name without an anchor. A tab it
// only calls a character that cannot start a token.
func (s *sheet) syntax(data []byte, err error) {
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
			s.say(i+1, "the line is indented with a tab; YAML takes spaces only")
			return
		case alias != "" && strings.Contains(body, "*"+alias):
			s.say(i+1, "anchors and aliases are not allowed: write it out")
			return
		}
	}
	s.say(line, "this is not YAML: %s", text)
}

// value reads one node into v. What names it in a sentence.
func (s *sheet) value(n *yaml.Node, v reflect.Value, path, what string) {
	s.lines[path] = n.Line
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		s.say(n.Line, "anchors and aliases are not allowed: write %s out", what)
		return
	case n.Style&yaml.TaggedStyle != 0:
		s.say(n.Line, "%s has the tag %s; write the value alone", what, n.Tag)
		return
	case n.ShortTag() == "!!null":
		s.say(n.Line, "%s has no value; give it one, or leave the key out", what)
		return
	}
	if sec, ok := v.Addr().Interface().(*secret); ok {
		s.secret(n, sec, path)
		return
	}
	if d, ok := v.Addr().Interface().(*duration); ok {
		given, err := readDuration(n.Value)
		if n.Kind != yaml.ScalarNode || err != nil || given <= 0 {
			s.say(n.Line, "%s must be a time such as 30s, 15m or 8h%s", what, not(n))
		}
		*d = duration(given)
		return
	}
	if bytes, ok := v.Addr().Interface().(*size); ok {
		given, fits := readSize(n.Value)
		if n.Kind != yaml.ScalarNode || !fits {
			s.say(n.Line, "%s must be a size such as 512MiB or 2GiB%s", what, not(n))
		}
		*bytes = given
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		s.mapping(n, v, path, what)
	case reflect.Map:
		s.names(n, v, path, what)
	case reflect.Slice:
		s.list(n, v, path, what)
	case reflect.Bool:
		if n.ShortTag() != "!!bool" || n.Decode(v.Addr().Interface()) != nil {
			s.say(n.Line, "%s must be true or false%s", what, not(n))
		}
	case reflect.Int:
		i, err := strconv.Atoi(n.Value)
		if n.Kind != yaml.ScalarNode || err != nil {
			s.say(n.Line, "%s must be a whole number%s", what, not(n))
		}
		v.SetInt(int64(i))
	default: // string, the only one left
		if n.Kind != yaml.ScalarNode {
			s.say(n.Line, "%s must be one text%s", what, not(n))
		}
		v.SetString(n.Value)
		if n.Style&yaml.LiteralStyle != 0 {
			s.literal[path] = n.Line + 1
		}
	}
}

// readDuration reads a time such as 30s, 8h or 90d.
func readDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	return time.ParseDuration(text)
}

// not says what stands there instead.
func not(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return ", not keys with values"
	case yaml.SequenceNode:
		return ", not a list"
	}
	return fmt.Sprintf(", not %q", short(n.Value, 40))
}

func (s *sheet) list(n *yaml.Node, v reflect.Value, path, what string) {
	if n.Kind != yaml.SequenceNode {
		s.say(n.Line, "%s must be a list%s", what, not(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, entry := range n.Content {
		s.value(entry, v.Index(i), fmt.Sprintf("%s[%d]", path, i), fmt.Sprintf("entry %d of %s", i+1, what))
	}
}

// mapping reads keys into the fields that are tagged with them.
func (s *sheet) mapping(n *yaml.Node, v reflect.Value, path, what string) {
	known := keysOf(v.Type())
	if n.Kind != yaml.MappingNode {
		s.say(n.Line, "%s must have keys such as %s%s", what, listed(known[:min(3, len(known))]), not(n))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := slices.Index(known, key.Value)
		switch {
		case key.Value == "<<" || key.Anchor != "" || key.Kind == yaml.AliasNode:
			s.say(key.Line, "anchors and aliases are not allowed: write the keys out")
		case key.Kind != yaml.ScalarNode:
			s.say(key.Line, "a key must be a word")
		case at < 0:
			s.say(key.Line, "unknown key %q%s", short(key.Value, 40), didYouMean(key.Value, known))
		case seen[key.Value]:
			s.say(key.Line, "the key %q is there twice", key.Value)
		default:
			seen[key.Value] = true
			s.order[path] = append(s.order[path], key.Value)
			s.value(value, v.Field(at), strings.TrimPrefix(path+"."+key.Value, "."), key.Value)
			s.lines[strings.TrimPrefix(path+"."+key.Value, ".")] = key.Line
		}
	}
}

// names reads a mapping whose keys are names that the file gives.
func (s *sheet) names(n *yaml.Node, v reflect.Value, path, what string) {
	if n.Kind != yaml.MappingNode {
		s.say(n.Line, "%s must have names with values%s", what, not(n))
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := path + "." + key.Value
		switch {
		case key.Kind != yaml.ScalarNode || key.Value == "" || key.Value == "<<" || key.Anchor != "":
			s.say(key.Line, "a name must be a word")
		case v.MapIndex(reflect.ValueOf(key.Value)).IsValid():
			s.say(key.Line, "the name %q is there twice", short(key.Value, 40))
		default:
			one := reflect.New(v.Type().Elem()).Elem()
			s.value(value, one, at, key.Value)
			s.lines[at] = key.Line
			s.order[path] = append(s.order[path], key.Value)
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

// secret reads where a password is. A mistake here must not come to mean that
// there is none, and what looks like the password itself is not repeated.
func (s *sheet) secret(n *yaml.Node, sec *secret, path string) {
	if n.Kind != yaml.MappingNode {
		s.say(n.Line, "a password is not written here; say where it is: {env: NAME}, {file: PATH} or {exec: [COMMAND]}")
		return
	}
	before := len(s.problems)
	s.mapping(n, reflect.ValueOf(sec).Elem(), path, "password")
	if len(s.problems) > before {
		return
	}
	switch {
	case len(n.Content) != 2:
		s.say(n.Line, "a password has one source: env, file or exec")
	case sec.Env == "" && sec.File == "" && (len(sec.Exec) == 0 || sec.Exec[0] == ""):
		s.say(n.Line, "the source of the password is empty")
	}
}
