package policy

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// field is one key of a mapping and its value.
type field struct {
	key   string
	value *yaml.Node
}

// fields reads a mapping whose keys are known. Unknown and repeated keys are
// problems and left out.
func (l *loader) fields(n *yaml.Node, what string, known ...string) []field {
	if n.Kind != yaml.MappingNode {
		l.problem(n.Line, "%s must have the keys %s", what, listed(known))
		return nil
	}
	var list []field
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case !slices.Contains(known, key.Value):
			l.problem(key.Line, "unknown key %q%s", key.Value, didYouMean(key.Value, known))
		case slices.ContainsFunc(list, func(f field) bool { return f.key == key.Value }):
			l.problem(key.Line, "the key %q is there twice", key.Value)
		case value.Kind == yaml.AliasNode || value.Anchor != "":
			l.problem(value.Line, "anchors and aliases are not allowed: a rule says what it does where it stands")
		default:
			list = append(list, field{key.Value, value})
		}
	}
	return list
}

func didYouMean(word string, known []string) string {
	if near := nearest(word, known); near != "" {
		return fmt.Sprintf(", did you mean %q?", near)
	}
	return "; known are " + listed(known)
}

// text is a non-empty string.
func (l *loader) text(f field) (string, bool) {
	if f.value.Kind != yaml.ScalarNode || f.value.ShortTag() == "!!null" || f.value.Value == "" {
		l.problem(f.value.Line, "%s must be a text", f.key)
		return "", false
	}
	return f.value.Value, true
}

func (l *loader) boolean(f field) bool {
	var b bool
	if f.value.ShortTag() != "!!bool" || f.value.Decode(&b) != nil {
		l.problem(f.value.Line, "%s must be true or false", f.key)
	}
	return b
}

// words is a list of non-empty texts, at least one.
func (l *loader) words(f field, what string) []string {
	if f.value.Kind != yaml.SequenceNode {
		l.problem(f.value.Line, "%s must be a list: [%s]", f.key, f.value.Value)
		return nil
	}
	var list []string
	for _, n := range f.value.Content {
		if word, ok := l.text(field{f.key, n}); ok {
			list = append(list, word)
		}
	}
	if len(f.value.Content) == 0 {
		l.problem(f.value.Line, "%s is empty; name at least one %s", f.key, what)
	}
	return list
}
