package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Reviewed is a difference that somebody looked at and would defend.
type Reviewed struct {
	Test   string // as Difference.Name
	Reason string // one sentence
	Diff   string // what differs, exactly; compulsory where lines of output are compared
	Line   int    // in the list
}

// covers says whether this entry is about d and about nothing more than d.
func (r Reviewed) covers(d Difference) bool {
	return r.Test == d.Name && strings.TrimRight(r.Diff, "\n") == strings.TrimRight(d.Detail, "\n")
}

// ReadReviewed reads a list: a sequence of entries with test, reason and diff. An
// entry without a reason, one that stands twice and an unknown key are errors, so
// that the list cannot grow by accident.
func ReadReviewed(r io.Reader) ([]Reviewed, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var entries []entry
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&entries); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the reviewed list: %w", err)
	}
	lines, err := entryLines(data)
	if err != nil {
		return nil, err
	}
	seen := map[string]int{}
	var list []Reviewed
	for i, e := range entries {
		line := lines[i]
		if e.Test == "" || strings.TrimSpace(e.Reason) == "" || strings.TrimSpace(e.Diff) == "" {
			return nil, fmt.Errorf("line %d of the reviewed list: an entry needs test, reason and diff", line)
		}
		key := e.Test + "\x00" + strings.TrimRight(e.Diff, "\n")
		if first, twice := seen[key]; twice {
			return nil, fmt.Errorf("line %d of the reviewed list says what line %d says", line, first)
		}
		seen[key] = line
		list = append(list, Reviewed{Test: e.Test, Reason: e.Reason, Diff: e.Diff, Line: line})
	}
	return list, nil
}

type entry struct {
	Test   string `yaml:"test"`
	Reason string `yaml:"reason"`
	Diff   string `yaml:"diff"`
}

// entryLines is the line of each entry, for complaints.
func entryLines(data []byte) ([]int, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("read the reviewed list: %w", err)
	}
	var lines []int
	if len(doc.Content) > 0 {
		for _, n := range doc.Content[0].Content {
			lines = append(lines, n.Line)
		}
	}
	return lines, nil
}
