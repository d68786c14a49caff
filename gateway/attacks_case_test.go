package gateway_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// attack is one case of testdata/attacks: README.md there says what each field means.
type attack struct {
	family, name string
	place        string // file:line
	as, env      string
	given        []string // what is there already, and no copy of the world can have
	before       []string // sent first, by whoever attacks
	run          []attackText
	verdict      string // "deny rule", "hold rule", "masked"
	proof        string // a query
	becomes      string // what it answers after the attack
	shows, code  string // other proofs: text that comes out, or the SQLSTATE it ends with
	alone        bool   // needs a database of its own, since it cannot be rolled back
	after        string // undoes on the server what its database does not take along
	needs        string // an extension that newer servers no longer have
}

// attackText is one message to the server.
type attackText struct {
	sql      string
	extended bool
	params   []string
}

// family is a file of cases.
type family struct {
	name, setup string
	cases       []*attack
}

// attacks reads all families.
func attacks(t *testing.T) (list []family) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "attacks", "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parseFamily(strings.TrimSuffix(filepath.Base(path), ".txt"), string(text))
		if err != nil {
			t.Fatalf("%s:%v", path, err)
		}
		list = append(list, f)
	}
	return list
}

// parseFamily reads a file: fields that hold for all its cases, then the cases.
func parseFamily(name, text string) (family, error) {
	f := family{name: name}
	usual := attack{family: name, as: "person", env: "prod"}
	current := &usual
	seen := map[string]bool{}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		at, line := i+1, lines[i]
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if title, ok := strings.CutPrefix(line, "== "); ok {
			if seen[title] {
				return f, fmt.Errorf("%d: a second case %q", at, title)
			}
			seen[title] = true
			c := usual
			c.name, c.place = title, fmt.Sprintf("%s.txt:%d", name, at)
			f.cases, current = append(f.cases, &c), &c
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			return f, fmt.Errorf("%d: a field is written key: value", at)
		}
		value = strings.TrimPrefix(value, " ")
		for i+1 < len(lines) && strings.HasPrefix(lines[i+1], "\t") {
			i++
			value += "\n" + lines[i][1:]
		}
		if key == "setup" && current == &usual {
			f.setup += value + ";\n"
			continue
		}
		if err := current.set(key, value); err != nil {
			return f, fmt.Errorf("%d: %w", at, err)
		}
	}
	for _, c := range f.cases {
		if err := c.check(); err != nil {
			return f, fmt.Errorf(" case %q: %w", c.name, err)
		}
	}
	return f, nil
}

func (c *attack) set(key, value string) error {
	switch key {
	case "as":
		c.as = value
	case "env":
		c.env = value
	case "before":
		c.before = append(c.before[:len(c.before):len(c.before)], repeated(value))
	case "given":
		c.given = append(c.given[:len(c.given):len(c.given)], value)
	case "run":
		c.run = append(c.run, attackText{sql: repeated(value)})
	case "quoted":
		text, err := strconv.Unquote(value)
		if err != nil {
			return fmt.Errorf("%s: %w", value, err)
		}
		c.run = append(c.run, attackText{sql: repeated(text)})
	case "bind":
		if len(c.run) == 0 {
			return fmt.Errorf("bind stands after the run it belongs to")
		}
		m := &c.run[len(c.run)-1]
		m.extended = true
		if value != "" {
			m.params = strings.Split(value, " | ")
		}
	case "verdict":
		c.verdict = value
	case "proof":
		query, answer, ok := strings.Cut(value, " => ")
		if !ok {
			return fmt.Errorf("a proof is written query => answer afterwards")
		}
		c.proof, c.becomes = query, answer
	case "shows":
		c.shows = value
	case "error":
		c.code, c.proof = value, "" // what fails changes nothing
	case "alone":
		c.alone = value == "yes"
	case "after":
		c.after = value
	case "needs":
		c.needs = value
	default:
		return fmt.Errorf("no field is called %q", key)
	}
	return nil
}

// check reports what a case lacks to say anything.
func (c *attack) check() error {
	effect, _, _ := strings.Cut(c.verdict, " ")
	switch {
	case len(c.run) == 0:
		return fmt.Errorf("nothing is run")
	case effect != "deny" && effect != "hold" && c.verdict != "masked":
		return fmt.Errorf("the verdict is %q", c.verdict)
	case c.verdict == "masked" && c.shows == "":
		return fmt.Errorf("what is masked must show directly")
	case c.proof == "" && c.shows == "" && c.code == "":
		return fmt.Errorf("nothing proves it")
	}
	return nil
}

var times = regexp.MustCompile(`<<(\d+):([^>]*)>>`)

// repeated writes out <<1000:text>>.
func repeated(sql string) string {
	return times.ReplaceAllStringFunc(sql, func(s string) string {
		m := times.FindStringSubmatch(s)
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return s
		}
		return strings.Repeat(m[2], n)
	})
}
