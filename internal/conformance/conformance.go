// Package conformance runs other people's tests twice, straight at PostgreSQL and
// through a whole Sluice (sluice gateway, sluice login, sluice connect), and says
// what differs. It guarantees that nothing is passed over in silence: a suite that
// cannot be had is an error, a difference that is not in the reviewed list is one,
// and so is an entry of the list that no longer differs.
//
// It compares Sluice with the database, not the database with the suite: a test
// that fails both ways in the same manner is no difference.
package conformance

import (
	"fmt"
	"slices"
	"strings"
)

// Difference is one thing that is not the same through Sluice.
type Difference struct {
	Name   string // of the test: "pgconn/TestConnExec/sub", or the SQL file
	Detail string // what differs: two outcomes, or lines of output with - (direct) and + (through)
}

func (d Difference) String() string { return d.Name + "\n" + indent(d.Detail) }

// Result is what one suite gave.
type Result struct {
	Direct, Through Counts
	Differences     []Difference
	Notes           []string // said in the summary; never a fault
}

// Counts of one side.
type Counts struct{ Passed, Failed, Skipped int }

func (c Counts) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", c.Passed, c.Failed, c.Skipped)
}

// Judge compares what differs with what was reviewed, and returns one complaint for
// each difference nobody reviewed and each reviewed one that is gone.
func Judge(found []Difference, reviewed []Reviewed) []string {
	var complaints []string
	used := make([]bool, len(reviewed))
	for _, d := range found {
		i := slices.IndexFunc(reviewed, func(r Reviewed) bool { return r.covers(d) })
		if i < 0 {
			complaints = append(complaints, "differs, and is not in the reviewed list: "+d.String())
			continue
		}
		used[i] = true
	}
	for i, r := range reviewed {
		if !used[i] {
			complaints = append(complaints, fmt.Sprintf("line %d of the reviewed list is stale, it no longer differs like this: %s", r.Line, r.Test))
		}
	}
	return complaints
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ")
}
