package leak

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/identity"
)

// message is one text of an attack.
type message struct {
	sql    string
	params []string
	bound  bool   // it has parameters
	data   []byte // for COPY FROM STDIN
}

// attack is one case of testdata/attacks: README.md there says what each field means.
type attack struct {
	family, name, place string
	given, undo         []string
	messages            []message
	shows               []string
	only                []string // ways
	by                  []string // kinds of caller
	tells               []string // kinds of caller that are told something, on purpose
	oracle              bool     // it shows no value, and yet what comes depends on them
}

var callers = []identity.Kind{identity.Person, identity.Job}

// readAttacks reads all families.
func readAttacks(t *testing.T) (list []*attack) {
	t.Helper()
	paths, err := filepath.Glob("testdata/attacks/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		cases, err := parseAttacks(strings.TrimSuffix(filepath.Base(path), ".txt"), string(text))
		if err != nil {
			t.Fatalf("%s:%v", path, err)
		}
		list = append(list, cases...)
	}
	return list
}

// parseAttacks reads one file. Fields before the first case hold for all that follow.
func parseAttacks(family, text string) (list []*attack, err error) {
	usual := attack{family: family}
	current := &usual
	var body []string
	end := func(how string) error {
		m := message{sql: strings.TrimSpace(strings.Join(body, "\n"))}
		body = nil
		if m.sql == "" {
			return nil
		}
		switch {
		case strings.HasPrefix(how, "<"):
			var data string
			if err := json.Unmarshal([]byte(how[1:]), &data); err != nil {
				return err
			}
			for _, r := range data { // each stands for a byte
				m.data = append(m.data, byte(r))
			}
		case how != "":
			m.bound = true
			if err := json.Unmarshal([]byte(how), &m.params); err != nil {
				return err
			}
		}
		current.messages = append(current.messages, m)
		return nil
	}
	names := map[string]bool{}
	for i, line := range strings.Split(text, "\n") {
		title, begins := strings.CutPrefix(line, "== ")
		key, value, _ := strings.Cut(line, ": ")
		switch {
		case begins:
			if err := end(""); err != nil {
				return nil, fmt.Errorf("%d: %w", i+1, err)
			}
			if names[title] {
				return nil, fmt.Errorf("%d: a second case %q", i+1, title)
			}
			names[title] = true
			c := usual
			c.name, c.place = title, fmt.Sprintf("%s.txt:%d", family, i+1)
			current, list = &c, append(list, &c)
		case line == ";;" || strings.HasPrefix(line, ";; "):
			if err := end(strings.TrimSpace(line[2:])); err != nil {
				return nil, fmt.Errorf("%d: %w", i+1, err)
			}
		case len(body) == 0 && current.set(key, value):
		case current == &usual: // prose
		default:
			body = append(body, line)
		}
	}
	if err := end(""); err != nil {
		return nil, err
	}
	for _, c := range list {
		if len(c.messages) == 0 {
			return nil, fmt.Errorf(" %s: nothing is sent", c.name)
		}
	}
	return list, nil
}

func (c *attack) set(key, value string) bool {
	switch key {
	case "given":
		c.given = append(slices.Clip(c.given), value)
	case "undo":
		c.undo = append(slices.Clip(c.undo), value)
	case "shows":
		c.shows = append(slices.Clip(c.shows), value)
	case "only":
		c.only = strings.Split(value, ", ")
	case "by":
		c.by = strings.Split(value, ", ")
	case "tells":
		who, why, _ := strings.Cut(value, ": ")
		if why == "" {
			return false // nothing is told without a reason
		}
		c.tells = strings.Split(who, " and ")
	case "oracle":
		c.oracle = value == "yes"
	default:
		return false
	}
	return true
}

var (
	reads   = regexp.MustCompile(`(?is)^\s*(select|with|values|table)\b`)
	changes = regexp.MustCompile(`(?i)\b(insert|update|delete|merge|into)\b|;`)
)

// ways are those in which an attack can be sent.
func (c *attack) ways() (out []way) {
	for _, w := range ways {
		last := c.messages[len(c.messages)-1]
		switch {
		case len(c.only) > 0 && !slices.Contains(c.only, w.String()):
			continue
		case w >= copyText && (!reads.MatchString(last.sql) || changes.MatchString(last.sql) || last.bound || c.oracle):
			continue
		case w == simple && slices.ContainsFunc(c.messages, func(m message) bool { return m.bound }):
			continue
		case w != simple && w < copyText && slices.ContainsFunc(c.messages, func(m message) bool { return strings.Contains(strings.TrimSuffix(m.sql, ";"), "; ") || m.data != nil }):
			continue
		case len(c.messages) > 1 && (w == extended || w == portions || w == copyText || w == copyCSV) && len(c.only) == 0:
			continue // what came before matters more than the form
		case w == portions && (c.oracle || !reads.MatchString(last.sql)):
			continue
		}
		out = append(out, w)
	}
	return out
}

func (c *attack) kinds() (out []identity.Kind) {
	for _, k := range callers {
		if len(c.by) == 0 || slices.Contains(c.by, string(k)) {
			out = append(out, k)
		}
	}
	return out
}

// named is the text with what this run has of its own in the place of {n}.
func named(sql string, number int) string {
	return strings.ReplaceAll(places.Replace(sql), "{n}", fmt.Sprint(number))
}

// places are those of the server: {data}, {host} and the like. newRuns sets it.
var places = strings.NewReplacer()

// send sends an attack in one way. What failed is no reason to stop: what comes
// afterwards may still tell.
func (c *attack) send(conn *client, w way, number int) (failed []string, err error) {
	for i, m := range c.messages {
		as := w
		if as >= copyText && i < len(c.messages)-1 {
			as = simple
		}
		m.sql = named(m.sql, number)
		no, err := conn.run(as, m)
		if no != "" {
			failed = append(failed, no)
		}
		if err != nil {
			return failed, err
		}
	}
	return failed, nil
}
