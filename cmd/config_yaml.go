package cmd

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	sheets "github.com/sluicehq/sluice/internal/sheet"
)

// sheet reads a file in YAML. What is wrong with it is an error of usage.
type sheet struct{ sheets.Sheet }

// read fills the struct that into points to.
func (s *sheet) read(data []byte, into any) { s.Read(data, into) }

// sayAt notes what is wrong with the value at a path, or with what would hold it.
func (s *sheet) sayAt(path, format string, args ...any) { s.SayAt(path, format, args...) }

// err is all that is wrong with a file, in the order of its lines.
func (s *sheet) err(file string) error {
	if len(s.Problems) == 0 {
		return nil
	}
	var lines []string
	for _, p := range s.Sorted() {
		lines = append(lines, fmt.Sprintf("%s:%d: %s", file, p.Line, p.Text))
	}
	sentence := lines[0]
	if len(lines) > 1 {
		sentence = fmt.Sprintf("%s has %d mistakes\n  %s", file, len(lines), strings.Join(lines, "\n  "))
	}
	return tell(exitUsage, "mend the file and try again; the README has an example", "%s", sentence)
}

// ReadSheet reads where a password is. A mistake here must not come to mean that
// there is none, and what looks like the password itself is not repeated.
func (sec *secret) ReadSheet(s *sheets.Sheet, n *yaml.Node, path, _ string) {
	if n.Kind != yaml.MappingNode {
		s.Say(n.Line, "a password is not written here; say where it is: {env: NAME}, {file: PATH} or {exec: [COMMAND]}")
		return
	}
	before := len(s.Problems)
	s.Mapping(n, reflect.ValueOf(sec).Elem(), path, "password")
	if len(s.Problems) > before {
		return
	}
	switch {
	case len(n.Content) != 2:
		s.Say(n.Line, "a password has one source: env, file or exec")
	case sec.Env == "" && sec.File == "" && (len(sec.Exec) == 0 || sec.Exec[0] == ""):
		s.Say(n.Line, "the source of the password is empty")
	}
}

// ReadSheet reads a number of bytes.
func (z *size) ReadSheet(s *sheets.Sheet, n *yaml.Node, _, what string) {
	given, fits := readSize(n.Value)
	if n.Kind != yaml.ScalarNode || !fits {
		s.Say(n.Line, "%s must be a size such as 512MiB or 2GiB%s", what, sheets.Not(n))
	}
	*z = given
}
