package agentconf

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// tomlFormat is TOML, of which the tables of the entry are written and taken out as
// lines: no printer keeps what people wrote around them.
type tomlFormat struct{}

func (tomlFormat) read(text []byte, key, name string) (map[string]any, *Entry, error) {
	all := map[string]any{}
	if err := toml.Unmarshal(text, &all); err != nil {
		return nil, nil, fmt.Errorf("it is not TOML: %s", strings.TrimPrefix(err.Error(), "toml: "))
	}
	servers, ok := all[key].(map[string]any)
	if all[key] != nil && !ok {
		return nil, nil, fmt.Errorf("%q in it is not a table", key)
	}
	have, ok := servers[name]
	if !ok {
		return all, nil, nil
	}
	return all, entryOf(have), nil
}

// header is a line that begins a table. A key that is quoted otherwise than we do is not
// found, and then the check after the change refuses it.
var header = regexp.MustCompile(`^\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(#.*)?$`)

// bare is a key that needs no quotes.
var bare = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func (tomlFormat) put(text []byte, key, name string, e *Entry) ([]byte, error) {
	if !bare.MatchString(name) {
		return nil, errors.New("the name may have letters, digits, - and _ only")
	}
	table := key + "." + name
	if e == nil {
		return cutTables(text, table), nil
	}
	body, err := toml.Marshal(Entry{Type: e.Type, Command: e.Command, Args: e.Args})
	if err != nil {
		return nil, err
	}
	block := "[" + table + "]\n" + string(body)
	if len(e.Env) > 0 {
		env, err := toml.Marshal(e.Env)
		if err != nil {
			return nil, err
		}
		block += "\n[" + table + ".env]\n" + string(env)
	}
	out := bytes.Clone(text)
	if len(bytes.TrimSpace(out)) > 0 {
		out = append(bytes.TrimRight(out, "\r\n"), "\n\n"...)
	}
	if bytes.Contains(text, []byte("\r\n")) {
		out = append(bytes.TrimRight(out, "\r\n"), "\r\n\r\n"...)
		block = strings.ReplaceAll(block, "\n", "\r\n")
	}
	return append(out, block...), nil
}

// cutTables takes out a table and those below it, each up to the next header.
func cutTables(text []byte, table string) []byte {
	var out, pending [][]byte // pending: blank lines and comments, which may belong to what comes
	inside := false
	for _, line := range bytes.SplitAfter(text, []byte("\n")) {
		bare := bytes.TrimSpace(line)
		if m := header.FindSubmatch(bytes.TrimRight(line, "\r\n")); m != nil {
			name := strings.ReplaceAll(string(m[1]), " ", "")
			inside = name == table || strings.HasPrefix(name, table+".")
		}
		switch {
		case !inside:
			out, pending = append(append(out, pending...), line), nil
		case len(bare) == 0 || bare[0] == '#':
			pending = append(pending, line)
		default:
			pending = nil
		}
	}
	out = append(out, pending...)
	cut := bytes.TrimRight(bytes.Join(out, nil), "\r\n")
	switch {
	case len(cut) == 0:
		return nil
	case bytes.Contains(text, []byte("\r\n")):
		return append(cut, "\r\n"...)
	}
	return append(cut, '\n')
}
