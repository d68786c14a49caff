package cmd

import (
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

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
	fmt.Fprintf(&b, "%s  %s  %s\n", paint(bold+";"+color, e.Effect.String()), paint(bold, string(e.Kind)), paint(dim, short(e.SQL, statementWidth)))
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
	if e.Problem != "" {
		out = append(out, misunderstood(e))
	}
	if len(e.Signs) > 0 {
		signs := branch{name: "signs"}
		for _, s := range e.Signs {
			signs.below = append(signs.below, branch{name: string(s), text: meaning(s)})
		}
		out = append(out, signs)
	}
	for _, refs := range []branch{{"reads", list(e.Reads), nil}, {"writes", list(itself(e)), nil}, {"calls", list(e.Functions), nil}} {
		if refs.text != "" {
			out = append(out, refs)
		}
	}
	if len(e.Consequences) > 0 {
		out = append(out, branch{name: "sets off", below: consequences(e.Consequences)})
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

// printTogether says what becomes of several statements that are sent as one message.
func printTogether(w io.Writer, all []gateway.Explained, paint painter) error {
	strictest := policy.Allow
	for _, e := range all {
		strictest = min(strictest, e.Effect)
	}
	what, color := "each is allowed", green
	switch strictest {
	case policy.Deny:
		what, color = "all are refused, because one of them is", red
	case policy.Hold:
		what, color = "all wait until what is held is approved", yellow
	}
	_, err := fmt.Fprintf(w, "\n%s  sent as one message, %s\n", paint(bold+";"+color, strictest.String()), what)
	return err
}

// position is where the word begins that could not be made sense of, in characters from 1.
var position = regexp.MustCompile(` at position (\d+)`)

// misunderstood says what was not understood, and shows the line with a mark under it.
func misunderstood(e gateway.Explained) branch {
	b := branch{name: "problem", text: clean(e.Problem)}
	m := position.FindStringSubmatch(e.Problem)
	if m == nil || !utf8.ValidString(e.SQL) {
		return b
	}
	at, err := strconv.Atoi(m[1])
	if err != nil || at < 1 || at > utf8.RuneCountInString(e.SQL) {
		return b
	}
	start := 0
	for ; at > 1; at-- {
		_, size := utf8.DecodeRuneInString(e.SQL[start:])
		start += size
	}
	line := strings.LastIndexByte(e.SQL[:start], '\n') + 1
	text, _, _ := strings.Cut(e.SQL[line:], "\n")
	before := strings.ToValidUTF8(e.SQL[line:start], "")
	b.text = fmt.Sprintf("%s, line %d, column %d", clean(position.ReplaceAllString(e.Problem, "")), strings.Count(e.SQL[:start], "\n")+1, utf8.RuneCountInString(before)+1)
	if at := ansi.StringWidth(clean(before)); at < statementWidth {
		b.below = []branch{{text: short(text, statementWidth)}, {text: strings.Repeat(" ", at) + "^"}}
	}
	return b
}

// itself are the relations that the statement writes by what it says; the others stand
// with their reasons among what it sets off.
func itself(e gateway.Explained) []string {
	return slices.DeleteFunc(slices.Clone(e.Writes), func(name string) bool {
		return slices.ContainsFunc(e.Consequences, func(c query.ExplainedConsequence) bool {
			return c.Relation == name && c.Kind != query.Select && (e.Target == nil || *e.Target != name)
		})
	})
}

// consequences names each relation once for each reason; of many with the same reason,
// as partitions are, their number.
func consequences(list []query.ExplainedConsequence) (out []branch) {
	const most = 5
	count := map[string]int{}
	for _, c := range list {
		text := clean(c.Why)
		if count[text]++; count[text] <= most {
			out = append(out, branch{name: string(c.Kind) + " " + clean(c.Relation), text: text})
		}
	}
	for _, text := range slices.Sorted(maps.Keys(count)) {
		if n := count[text]; n > most {
			out = append(out, branch{name: fmt.Sprintf("and %d more", n-most), text: text})
		}
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
	query.TableLock:      "keeps others out of a table while it runs or until its transaction ends",
	query.RowLock:        "keeps others from changing the rows that it reads until its transaction ends",
	query.AdvisoryLock:   "takes a lock whose meaning only programs know",
	query.LongRunning:    "may run for long",
	query.ServerCode:     "makes code that runs in the database later",
}
