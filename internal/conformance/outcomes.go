package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Outcome of one test on one side. The zero value is a test that did not run.
type Outcome int

// The outcomes.
const (
	Absent Outcome = iota
	Failed
	Skipped
	Passed
)

func (o Outcome) String() string {
	return [...]string{"does not run", "fails", "is skipped", "passes"}[o]
}

// Outcomes is what the tests of one side did: "pgconn/TestConnExec/sub" and so on.
type Outcomes map[string]Outcome

func (o Outcomes) counts() Counts {
	var c Counts
	for _, outcome := range o {
		switch outcome {
		case Passed:
			c.Passed++
		case Failed:
			c.Failed++
		case Skipped:
			c.Skipped++
		case Absent:
		}
	}
	return c
}

// Compare lists what the two sides do not have in common. A test differs by itself
// or because a part of it does: then only the part is listed.
func Compare(direct, through Outcomes) []Difference {
	details := map[string]string{}
	for name := range union(direct, through) {
		if direct[name] != through[name] {
			details[name] = fmt.Sprintf("%s directly, %s through Sluice", direct[name], through[name])
		}
	}
	var out []Difference
	for _, name := range slices.Sorted(maps.Keys(details)) {
		if !partDiffers(details, name) {
			out = append(out, Difference{Name: name, Detail: details[name]})
		}
	}
	return out
}

func partDiffers(details map[string]string, name string) bool {
	for other, detail := range details {
		if strings.HasPrefix(other, name+"/") && detail == details[name] {
			return true
		}
	}
	return false
}

func union(a, b Outcomes) Outcomes {
	all := maps.Clone(a)
	if all == nil {
		all = Outcomes{}
	}
	maps.Copy(all, b)
	return all
}

// scratch is a test's own directory in the name of a part of it: it is another in
// each run.
var scratch = regexp.MustCompile(`[^' =]*/Test[A-Za-z]+[0-9]+/[0-9]{3}/`)

// event is a line of go test -json.
type event struct {
	Action string
	Test   string
	Output string
}

// readEvents turns the lines of go test -json into outcomes, each name under prefix.
// A test that began and has no end failed: it hung, or took the process with it.
// output gets what the tests printed.
func readEvents(r io.Reader, prefix string, output io.Writer) (Outcomes, error) {
	out := Outcomes{}
	for dec := json.NewDecoder(r); ; {
		var e event
		if err := dec.Decode(&e); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return out, fmt.Errorf("read what go test says: %w", err)
		}
		if e.Action == "output" {
			if _, err := io.WriteString(output, e.Output); err != nil {
				return out, err
			}
		}
		if e.Test == "" {
			continue
		}
		switch name := prefix + scratch.ReplaceAllString(e.Test, "TMP/"); e.Action {
		case "run", "fail":
			out[name] = Failed
		case "pass":
			out[name] = Passed
		case "skip":
			out[name] = Skipped
		}
	}
}

// top is the test that a subtest belongs to, without the package's prefix.
func top(name, prefix string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(name, prefix), "/")
	return first
}
