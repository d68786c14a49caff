package cmd

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
)

// painter colours text, or does not.
type painter func(code, text string) string

// Colours of explanations.
const (
	bold, dim          = "1", "2"
	red, green, yellow = "31", "32", "33"
	violet             = "35"
)

// branch is one line of an explanation with what belongs to it.
type branch struct {
	name, text string
	below      []branch
}

// printTree says for people what explain says for programs: what would be done with
// the statement, and under it why, and what it would read, write and give.
func printTree(w io.Writer, e gateway.Explained, paint painter) error {
	var b strings.Builder
	color := map[policy.Effect]string{policy.Allow: green, policy.Hold: yellow, policy.Deny: red}[e.Effect]
	fmt.Fprintf(&b, "%s  %s\n", paint(bold+";"+color, e.Effect.String()), paint(bold, string(e.Kind)))
	grow(&b, "", explained(e, paint), paint)
	_, err := io.WriteString(w, b.String())
	return err
}

func explained(e gateway.Explained, paint painter) []branch {
	rule := branch{name: "rule", text: clean(e.Rule), below: []branch{{text: clean(e.Reason)}}}
	if len(e.Approvers) > 0 {
		rule.below = append(rule.below, branch{name: "approved by", text: list(e.Approvers)})
	}
	if e.MaxRows > 0 {
		rule.below = append(rule.below, branch{name: "at most", text: fmt.Sprintf("%d rows; if it changes more it is undone", e.MaxRows)})
	}
	out := []branch{rule}
	if len(e.Signs) > 0 {
		signs := branch{name: "signs"}
		for _, s := range e.Signs {
			signs.below = append(signs.below, branch{name: string(s), text: meaning(s)})
		}
		out = append(out, signs)
	}
	for _, refs := range []branch{{"reads", list(e.Reads), nil}, {"writes", list(e.Writes), nil}} {
		if refs.text != "" {
			out = append(out, refs)
		}
	}
	if len(e.Columns) > 0 {
		name := "gives"
		if e.Target != nil {
			name = "columns"
		}
		out = append(out, branch{name: name, below: columns(e, paint)})
	}
	if len(e.Indirect) > 0 {
		out = append(out, branch{name: "steered by", text: list(e.Indirect)})
	}
	return out
}

// columns are those of the result, or the ones that are written, with what of them
// would be hidden. The masks stand in the order of the columns.
func columns(e gateway.Explained, paint painter) (out []branch) {
	masks := e.Masks
	for _, c := range e.Columns {
		x := branch{name: clean(c.Name), text: "of unknown origin"}
		switch {
		case c.Known && len(c.Sources) == 0:
			x.text = "from no column"
		case c.Known && c.How == query.Direct:
			x.text = list(c.Sources)
		case c.Known:
			x.text = "derived from " + list(c.Sources)
		}
		if len(masks) > 0 && masks[0].Column == c.Name {
			x.text += "  " + paint(violet, masked(masks[0].Label))
			masks = masks[1:]
		}
		out = append(out, x)
	}
	for _, m := range masks { // of columns that are not known by name
		out = append(out, branch{name: clean(m.Column), text: paint(violet, masked(m.Label))})
	}
	return out
}

func masked(label string) string {
	if label == "unknown" {
		return "each value is looked at"
	}
	return "masked: " + clean(label)
}

// list is sorted names on one line.
func list(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = clean(n)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// grow draws branches; the names of one level are as wide as the widest.
func grow(b *strings.Builder, indent string, list []branch, paint painter) {
	width := 0
	for _, x := range list {
		width = max(width, ansi.StringWidth(x.name))
	}
	for i, x := range list {
		arm, gap := "├─ ", "│  "
		if i == len(list)-1 {
			arm, gap = "└─ ", "   "
		}
		line := x.text
		if x.name != "" {
			line = x.name + strings.Repeat(" ", width-ansi.StringWidth(x.name)+2) + x.text
		}
		fmt.Fprintf(b, "%s%s\n", paint(dim, indent+arm), strings.TrimRight(line, " "))
		grow(b, indent+gap, x.below, paint)
	}
}

// meaning says what a sign is.
func meaning(s query.Sign) string { return meanings[s] }

var meanings = map[query.Sign]string{
	query.NoWhere:        "changes every row: there is no WHERE, or it is always true",
	query.Destructive:    "what it removes cannot be brought back by another statement",
	query.Program:        "runs a program on the server of the database",
	query.ServerFile:     "reads or writes files on the server of the database",
	query.DynamicSQL:     "runs SQL that does not stand in its text",
	query.Privilege:      "changes who may do what",
	query.SessionState:   "changes what later statements of the session mean",
	query.UnknownRoutine: "calls a function of which it is not known what it does",
	query.Unparsable:     "is not SQL that can be understood",
	query.SystemCatalog:  "writes by hand what PostgreSQL keeps of itself",
	query.ServerCode:     "makes code that runs in the database later",
}
