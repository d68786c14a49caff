package cmd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/policy"
)

// policyTested is what policy test prints with -o json.
type policyTested struct {
	OK     bool         `json:"ok"`
	Failed int          `json:"failed"`
	Cases  []caseResult `json:"cases"`
}

// caseResult is what came of one case.
type caseResult struct {
	File      string     `json:"file"`
	Line      int        `json:"line"`
	Name      string     `json:"name"`
	Statement string     `json:"statement"`
	OK        bool       `json:"ok"`
	Got       caseGot    `json:"got"`
	Diff      []caseDiff `json:"diff"` // what is not as expected
}

type caseGot struct {
	Effect    string   `json:"effect"`
	Rule      string   `json:"rule"`
	Reason    string   `json:"reason"`
	Masks     []string `json:"masks"`
	Unmask    []string `json:"unmask"`
	Approvers []string `json:"approvers"`
	MaxRows   int64    `json:"max_rows"`
}

type caseDiff struct {
	Field string `json:"field"`
	Line  int    `json:"line"`
	Want  string `json:"want"`
	Got   string `json:"got"`
}

func (a *app) policyTestCommand() *cobra.Command {
	var o own
	var path string
	var verbose bool
	var f format
	c := &cobra.Command{
		Use: "test FILE", Short: "try a policy on cases that say what must come of a statement", Args: oneArg,
		Long: `Try a policy on cases. Those of policy.yaml stand in policy_test.yaml beside it, or in
the file given with --cases:

  schema:                        # tables that the statements name; none without it
    customers: {id: bigint, email: text, note: text}
  labels: {customers.note: none} # kinds of personal data, where names do not tell
  defaults:                      # of every case that does not say otherwise
    who: {email: ada@example.com, groups: [dev], kind: person}
    connection: {name: orders, env: prod}
    time: 2026-06-03T12:00:00Z
  tests:
    - name: nobody drops a table
      statement: drop table customers
      expect: {effect: deny, rule: no-drop}
    - statement: select id, email from customers
      who: {groups: [support]}
      expect: {effect: allow, masks: [], unmask: [email]}

Of what is expected (effect, rule, reason, masks, unmask, approvers, max_rows) only what
is written counts; of a reason a part is enough. Without --dsn nothing is known but the
declared tables and PostgreSQL's own harmless functions. Nothing runs.`,
		Example: "  sluice policy test policy.yaml\n  sluice policy test policy.yaml --cases cases.yaml --dsn \"$DSN\" -o json",
		RunE: func(c *cobra.Command, args []string) error {
			if path == "" {
				path = casesBeside(args[0])
			}
			return a.policyTest(c.Context(), args[0], path, o, verbose, f)
		},
	}
	o.flags(c)
	c.Flags().StringVar(&path, "cases", "", "file with the cases; without it NAME_test.yaml beside NAME.yaml")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "name the cases that hold too")
	addFormat(c, &f, "text", "json")
	return c
}

// casesBeside is where the cases of a policy are.
func casesBeside(path string) string {
	ext := filepath.Ext(path)
	return strings.TrimSuffix(path, ext) + "_test" + ext
}

func (a *app) policyTest(ctx context.Context, policyPath, casesPath string, o own, verbose bool, f format) error {
	file, err := policyFileOf(policyPath)
	if err != nil {
		return err
	}
	rules, err := policy.Load(file.Source, []byte(file.Text))
	if policyPath == builtIn {
		rules, err = policy.Builtin(), nil
	}
	if err != nil {
		return err
	}
	data, err := os.ReadFile(casesPath)
	if err != nil {
		return tell(exitUsage, "write them there, or give their file with --cases; sluice policy test --help shows the form", "the cases cannot be read: %v", err)
	}
	var stage *gateway.Stage
	if o.dsn != "" {
		if stage, err = a.stageOf(ctx, o); err != nil {
			return err
		}
	}
	c, err := readCases(casesPath, data, rules, stage)
	if err != nil {
		return err
	}
	out := policyTested{OK: true, Cases: []caseResult{}}
	for i := range c.Tests {
		r := c.try(&c.Tests[i])
		r.File = casesPath
		if !r.OK {
			out.OK = false
			out.Failed++
		}
		out.Cases = append(out.Cases, r)
	}
	return a.printTested(f, out, verbose)
}

func (a *app) stageOf(ctx context.Context, o own) (stage *gateway.Stage, err error) {
	err = a.withOwn(ctx, o, func(g *gateway.Gateway) (err error) {
		stage, err = g.Stage(ctx, ownName)
		return err
	})
	return stage, err
}

// try rehearses one case and compares.
func (c *cases) try(t *policyCase) caseResult {
	whole, each := c.stage.Rehearse(c.given(t), t.Statement)
	got := caseGot{
		Effect: whole.Effect.String(), Rule: whole.Rule, Reason: whole.Reason, MaxRows: whole.MaxRows,
		Masks: []string{}, Unmask: append([]string{}, whole.Unmask...), Approvers: []string{},
	}
	if whole.Effect == policy.Hold {
		for _, q := range whole.Approvers.Parts() {
			got.Approvers = append(got.Approvers, q.Groups...)
		}
	}
	if whole.Effect != policy.Deny {
		for _, e := range each {
			for _, m := range e.Masks {
				got.Masks = append(got.Masks, m.Column)
			}
		}
	}
	r := caseResult{Line: c.Lines[t.at], Name: t.Name, Statement: t.Statement, Got: got, Diff: []caseDiff{}}
	compare := func(field, want, have string, same bool) {
		path := t.at + ".expect." + field
		if c.Lines[path] != 0 && !same {
			r.Diff = append(r.Diff, caseDiff{field, c.Lines[path], want, have})
		}
	}
	e := t.Expect
	compare("effect", e.Effect, got.Effect, e.Effect == got.Effect)
	compare("rule", e.Rule, got.Rule, e.Rule == got.Rule)
	compare("reason", e.Reason, got.Reason, strings.Contains(got.Reason, e.Reason))
	compare("masks", wordsOf(e.Masks), wordsOf(got.Masks), sameWords(e.Masks, got.Masks))
	compare("unmask", wordsOf(e.Unmask), wordsOf(got.Unmask), sameWords(e.Unmask, got.Unmask))
	compare("approvers", wordsOf(e.Approvers), wordsOf(got.Approvers), sameWords(e.Approvers, got.Approvers))
	compare("max_rows", strconv.Itoa(e.MaxRows), strconv.FormatInt(got.MaxRows, 10), int64(e.MaxRows) == got.MaxRows)
	r.OK = len(r.Diff) == 0
	return r
}

func wordsOf(list []string) string { return "[" + strings.Join(sorted(list), ", ") + "]" }

func sameWords(a, b []string) bool { return slices.Equal(sorted(a), sorted(b)) }

func sorted(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

// printTested says of each case that fails where it stands, and in what it differs.
func (a *app) printTested(f format, out policyTested, verbose bool) error {
	if f.name == "json" {
		if err := f.print(a.out, table{value: out}); err != nil {
			return err
		}
	} else {
		for _, r := range out.Cases {
			a.printCase(r, verbose)
		}
		if out.OK {
			fmt.Fprintf(a.out, "%s: %d %s\n", a.paintOut(green, "ok"), len(out.Cases), plural(len(out.Cases), "case"))
		}
	}
	if out.OK {
		return nil
	}
	return tell(exitError, "mend the policy, or what the cases expect", "%d of %d %s failed", out.Failed, len(out.Cases), plural(len(out.Cases), "case"))
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

func (a *app) printCase(r caseResult, verbose bool) {
	title := r.Name
	if title == "" {
		title = short(r.Statement, statementWidth)
	}
	if r.OK {
		if verbose {
			fmt.Fprintf(a.out, "%s  %s:%d: %s\n", a.paintOut(green, "ok  "), r.File, r.Line, clean(title))
		}
		return
	}
	fmt.Fprintf(a.out, "%s  %s:%d: %s\n", a.paintOut(bold+";"+red, "FAIL"), r.File, r.Line, clean(title))
	fmt.Fprintf(a.out, "      statement: %s\n", short(strings.TrimSpace(r.Statement), 200))
	for _, d := range r.Diff {
		fmt.Fprintf(a.out, "      %s (line %d)\n        %s\n        %s\n", d.Field, d.Line, a.paintOut(red, "- want "+clean(d.Want)), a.paintOut(green, "+ got  "+clean(d.Got)))
	}
	fmt.Fprintf(a.out, "      decided by %s: %s\n", clean(r.Got.Rule), clean(r.Got.Reason))
}
