// Package agentconf puts one server of the Model Context Protocol into the configuration
// of an agent's client, and takes it out again. It guarantees that nothing else in the
// file changes, comments and spacing included, and that a file which it does not
// understand stays as it is.
package agentconf

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Entry is how a client starts a server.
type Entry struct {
	Type    string            `json:"type,omitempty" toml:"type,omitempty"` // "stdio" where the client wants it said
	Command string            `json:"command" toml:"command"`
	Args    []string          `json:"args" toml:"args"`
	Env     map[string]string `json:"env,omitempty" toml:"env,omitempty"`
}

// Ours reports whether an entry starts sluice mcp, whatever the program is called.
func (e Entry) Ours() bool { return len(e.Args) > 0 && e.Args[0] == "mcp" && e.Command != "" }

// format is one way to write a configuration.
type format interface {
	// put gives the text with the entry under key and name, or without it if e is nil.
	// A text that is empty but for space is one without settings.
	put(text []byte, key, name string, e *Entry) ([]byte, error)
	// read gives all that the text says, and the entry if there is one.
	read(text []byte, key, name string) (all map[string]any, e *Entry, err error)
}

var (
	// ErrTaken says that the name belongs to a server that is not Sluice's.
	ErrTaken = errors.New("there is another server of this name")
	// ErrAbsent says that there is nothing to take out.
	ErrAbsent = errors.New("there is no such server")
)

var bom = []byte("\xef\xbb\xbf")

// Add gives the text of a configuration with the entry in it. One that is ours is
// replaced; of another ErrTaken tells.
func (c Client) Add(text []byte, name string, e Entry) ([]byte, error) {
	if c.typed {
		e.Type = "stdio"
	}
	return c.change(text, name, &e)
}

// Remove gives the text without the entry. ErrAbsent says that there is none, ErrTaken
// that it is not ours.
func (c Client) Remove(text []byte, name string) ([]byte, error) { return c.change(text, name, nil) }

// change makes the new text, and then reads both to see that nothing but the entry is
// different: a file that means more to its owner than to us is not written on trust.
func (c Client) change(text []byte, name string, e *Entry) ([]byte, error) {
	text, marked := bytes.CutPrefix(text, bom)
	before, have, err := c.format.read(text, c.key, name)
	switch {
	case err != nil:
		return nil, err
	case have != nil && !have.Ours():
		return nil, ErrTaken
	case have == nil && e == nil:
		return nil, ErrAbsent
	}
	clean := text
	if have != nil {
		if clean, err = c.format.put(text, c.key, name, nil); err != nil {
			return nil, err
		}
	}
	out := clean
	if e != nil {
		if out, err = c.format.put(clean, c.key, name, e); err != nil {
			return nil, err
		}
	}
	after, now, err := c.format.read(out, c.key, name)
	if err != nil {
		return nil, fmt.Errorf("the changed file would not be readable: %w", err)
	}
	without(before, c.key, name)
	without(after, c.key, name)
	if !reflect.DeepEqual(before, after) || (now == nil) != (e == nil) {
		return nil, errors.New("the file is written in a way in which more than the entry would change")
	}
	if marked {
		out = append(bytes.Clone(bom), out...)
	}
	return out, nil
}

// without takes the entry out of what a text says, and its place if that is empty then.
func without(all map[string]any, key, name string) {
	servers, ok := all[key].(map[string]any)
	if !ok {
		return
	}
	if delete(servers, name); len(servers) == 0 {
		delete(all, key)
	}
}

// Diff shows the lines that differ between two texts that differ in one place. Lines
// around them are not shown: they may hold the secrets of other servers.
func Diff(before, after []byte) string {
	a, b := strings.Split(string(before), "\n"), strings.Split(string(after), "\n")
	first := 0
	for first < len(a) && first < len(b) && a[first] == b[first] {
		first++
	}
	last := 0
	for last < len(a)-first && last < len(b)-first && a[len(a)-1-last] == b[len(b)-1-last] {
		last++
	}
	var out strings.Builder
	if first == len(a)-last && first == len(b)-last {
		return ""
	}
	fmt.Fprintf(&out, "@@ line %d @@\n", first+1)
	for _, line := range a[first : len(a)-last] {
		fmt.Fprintf(&out, "-%s\n", line)
	}
	for _, line := range b[first : len(b)-last] {
		fmt.Fprintf(&out, "+%s\n", line)
	}
	return out.String()
}
