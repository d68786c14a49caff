package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/runbook"
)

func (a *app) runbookCommand() *cobra.Command {
	var s shelf
	c := &cobra.Command{
		Use: "runbook", Short: "statements that were reviewed once, run by name", Args: noSuch, RunE: group,
		Long: `Runbooks are files with parameters and steps, in a directory or a git repository.
Values are bound, never written into a statement; each statement goes through the
gateway as yourself, is judged, held and recorded as ever, and the record says which
step of which file it was. docs/runbooks.md lists what a file may have.`,
	}
	a.addShelf(c, &s)
	c.AddCommand(a.runbookListCommand(&s), a.runbookShowCommand(&s), a.runbookLintCommand(&s), a.runbookPlanCommand(&s), a.runbookRunCommand(&s),
		a.runbookResumeCommand(), a.runbookRunsCommand(), a.runbookTestCommand(&s))
	return c
}

// titles completes the first argument with the names of runbooks.
func (a *app) titles(s *shelf) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(c.Context(), completionTime)
		defer cancel()
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		list, err := a.shelfOf(*s).names(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}

// listedRunbook is one in what ls prints with -o json.
type listedRunbook struct {
	Name       string          `json:"name"`
	Title      string          `json:"title"`
	Connection string          `json:"connection"`
	Hash       string          `json:"hash"`
	Parameters json.RawMessage `json:"parameters"` // JSON Schema
	Problem    string          `json:"problem,omitempty"`
}

func (a *app) runbookListCommand(s *shelf) *cobra.Command {
	var f format
	c := &cobra.Command{
		Use: "ls", Short: "list the runbooks", Args: noArgs, Example: "  sluice runbook ls\n  sluice runbook ls --dir ops/runbooks --ref main -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			sh := a.shelfOf(*s)
			names, err := sh.names(c.Context())
			if err != nil {
				return err
			}
			list := []listedRunbook{}
			t := table{head: []string{"name", "connection", "parameters", "title"}}
			for _, name := range names {
				b, _, err := sh.open(c.Context(), name)
				if err != nil {
					list = append(list, listedRunbook{Name: name, Parameters: json.RawMessage("null"), Problem: err.Error()})
					t.rows = append(t.rows, []string{name, "-", "-", "it has mistakes: sluice runbook lint " + name})
					continue
				}
				list = append(list, listedRunbook{b.Name, b.Title, b.Connection, b.Hash, b.Schema(), ""})
				t.rows = append(t.rows, []string{b.Name, b.Connection, parameterNames(b), b.Title})
			}
			t.value = list
			return f.print(a.out, t)
		},
	}
	addFormat(c, &f, "table", "json", "csv")
	return c
}

// parameterNames has in brackets what may be left out.
func parameterNames(b *runbook.Runbook) string {
	var words []string
	for _, p := range b.Parameters {
		w := p.Name
		if p.Optional || p.Default != nil {
			w = "[" + w + "]"
		}
		words = append(words, w)
	}
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, " ")
}

func (a *app) runbookShowCommand(s *shelf) *cobra.Command {
	var f format
	c := &cobra.Command{
		Use: "show NAME", Short: "what a runbook is for, what it asks and what it does", Args: oneArg, Example: "  sluice runbook show cancel-query",
		ValidArgsFunction: a.titles(s),
		RunE: func(c *cobra.Command, args []string) error {
			b, v, err := a.shelfOf(*s).open(c.Context(), args[0])
			if err != nil {
				return err
			}
			if f.name == "json" {
				return f.print(a.out, table{value: struct {
					listedRunbook
					Purpose string `json:"purpose"`
					Commit  string `json:"commit,omitempty"`
					Text    string `json:"text"`
				}{listedRunbook{b.Name, b.Title, b.Connection, b.Hash, b.Schema(), ""}, b.Purpose, v.Commit, v.Text}})
			}
			return a.printRunbook(b, v)
		},
	}
	addFormat(c, &f, "text", "json")
	return c
}

func (a *app) printRunbook(b *runbook.Runbook, v volume) error {
	var out strings.Builder
	fmt.Fprintf(&out, "%s  %s\n\n", a.paintOut(bold, clean(b.Name)), clean(b.Title))
	for line := range strings.Lines(b.Purpose) {
		fmt.Fprintf(&out, "  %s\n", clean(strings.TrimSpace(line)))
	}
	fmt.Fprintf(&out, "\n  connection   %s\n  transaction  %s\n  file         %s %s\n", clean(b.Connection), transactionWords(b), clean(v.File), b.Hash[:19])
	if v.Commit != "" {
		fmt.Fprintf(&out, "  commit       %s\n", shortCommit(v.Commit))
	}
	if len(b.Who.Groups)+len(b.Who.Kinds) > 0 {
		fmt.Fprintf(&out, "  for          %s\n", clean(strings.Join(append(append([]string{}, b.Who.Groups...), b.Who.Kinds...), ", ")))
	}
	if b.Approvals.Ahead {
		who := "those whom the policy asks"
		if len(b.Approvals.Groups) > 0 {
			who = fmt.Sprintf("%d of %s", b.Approvals.Count, listed(b.Approvals.Groups))
		}
		fmt.Fprintf(&out, "  approved     ahead of time, by %s\n", clean(who))
	}
	if len(b.Parameters) > 0 {
		fmt.Fprintf(&out, "\n%s\n", a.paintOut(bold, "parameters"))
		for _, p := range b.Parameters {
			fmt.Fprintf(&out, "  %-14s %s\n", p.Name, clean(p.Words()))
		}
	}
	fmt.Fprintf(&out, "\n%s\n", a.paintOut(bold, "steps"))
	for i, st := range b.Steps {
		fmt.Fprintf(&out, "  %d. %s  %s\n", i+1, a.paintOut(bold, st.Name), clean(st.Note))
		for _, x := range []struct{ word, text string }{{"if", st.When}, {"", st.SQL}, {"expects", st.Expect}, {"undo", st.Undo}} {
			for line := range strings.Lines(x.text) {
				fmt.Fprintf(&out, "     %s\n", strings.TrimRight(a.paintOut(dim, x.word)+" "+cleanLine(line), " "))
			}
		}
		if st.Repeat != nil {
			fmt.Fprintf(&out, "     %s %s, at most %d times\n", a.paintOut(dim, "again while"), clean(st.Repeat.While), st.Repeat.Most)
		}
	}
	_, err := fmt.Fprint(a.out, out.String())
	return err
}

// cleanLine is one line of code, whose indentation says something.
func cleanLine(line string) string {
	return strings.TrimRight(cleanLines(strings.TrimRight(line, "\r\n")), " ")
}

func transactionWords(b *runbook.Runbook) string {
	if b.Transaction == runbook.One {
		return "one: all of it, or nothing"
	}
	return "each step by itself"
}

// lintedRunbook is what lint prints of one file with -o json.
type lintedRunbook struct {
	File     string            `json:"file"`
	OK       bool              `json:"ok"`
	Problems []runbook.Problem `json:"problems"`
	Advice   []runbook.Problem `json:"advice"`
}

func (a *app) runbookLintCommand(s *shelf) *cobra.Command {
	var f format
	var strict bool
	c := &cobra.Command{
		Use: "lint [NAME…]", Short: "find what is wrong with runbooks, without a database", Example: "  sluice runbook lint\n  sluice runbook lint cancel-query --strict",
		Long: `Find what is wrong with runbooks: keys, types, statements, conditions, names that are
declared nowhere. Advice is about what would run but may not be meant; --strict makes
it count as a mistake.`,
		ValidArgsFunction: a.titles(s),
		RunE: func(c *cobra.Command, args []string) error {
			return a.runbookLint(c.Context(), a.shelfOf(*s), args, strict, f)
		},
	}
	c.Flags().BoolVar(&strict, "strict", false, "advice counts as a mistake")
	addFormat(c, &f, "text", "json")
	return c
}

func (a *app) runbookLint(ctx context.Context, sh shelf, names []string, strict bool, f format) error {
	if len(names) == 0 {
		var err error
		if names, err = sh.names(ctx); err != nil {
			return err
		}
		if len(names) == 0 {
			return tell(exitUsage, "a runbook is a file NAME.yaml; docs/runbooks.md says what it has", "there is no runbook in %s", sh.dir)
		}
	}
	bad, out := 0, []lintedRunbook{}
	for _, name := range names {
		v, err := sh.take(ctx, name)
		if err != nil {
			return err
		}
		one := lintedRunbook{File: v.File, OK: true, Problems: []runbook.Problem{}, Advice: []runbook.Problem{}}
		b, err := runbook.Load(v.File, []byte(v.Text))
		var wrong *runbook.LoadError
		switch {
		case errors.As(err, &wrong):
			one.OK, one.Problems = false, wrong.Problems
		case err != nil:
			return err
		default:
			one.Advice = append(one.Advice, b.Advice()...)
			one.OK = !strict || len(one.Advice) == 0
		}
		if !one.OK {
			bad++
		}
		out = append(out, one)
	}
	if f.name == "json" {
		if err := f.print(a.out, table{value: out}); err != nil {
			return err
		}
	} else {
		a.printLinted(out)
	}
	if bad > 0 {
		return tell(exitError, "mend them and lint again", "%d of %d %s not as a runbook must be", bad, len(out), map[bool]string{true: "file is", false: "files are"}[len(out) == 1])
	}
	return nil
}

func (a *app) printLinted(out []lintedRunbook) {
	for _, one := range out {
		for _, p := range one.Problems {
			fmt.Fprintf(a.out, "%s:%d: %s %s\n", clean(one.File), p.Line, a.paintOut(red, "mistake:"), clean(p.Text))
		}
		for _, p := range one.Advice {
			fmt.Fprintf(a.out, "%s:%d: %s %s\n", clean(one.File), p.Line, a.paintOut(yellow, "advice:"), clean(p.Text))
		}
		if one.OK && len(one.Advice) == 0 {
			fmt.Fprintf(a.out, "%s: %s\n", clean(one.File), a.paintOut(green, "ok"))
		}
	}
}

func (a *app) runbookRunsCommand() *cobra.Command {
	var f format
	var hooks bool
	var addr string
	c := &cobra.Command{
		Use: "runs", Short: "list the runs from this machine, and which can be gone on with", Args: noArgs, Example: "  sluice runbook runs\n  sluice runbook runs --hooks",
		RunE: func(c *cobra.Command, _ []string) error {
			if hooks {
				return a.hookRuns(c.Context(), addr, f)
			}
			list, err := a.store().Runs().List()
			if err != nil {
				return err
			}
			type shown struct {
				Run       string         `json:"run"`
				Runbook   string         `json:"runbook"`
				Hash      string         `json:"hash"`
				Status    runbook.Status `json:"status"`
				Resumable bool           `json:"resumable"`
				Began     time.Time      `json:"began"`
			}
			out := []shown{}
			t := table{head: []string{"run", "runbook", "status", "began", "next"}}
			for _, r := range list {
				next := "-"
				if r.Resumable() {
					next = "sluice runbook resume " + r.Run
				}
				out = append(out, shown{r.Run, r.Runbook, r.Hash, r.Status, r.Resumable(), r.Began})
				t.rows = append(t.rows, []string{r.Run, r.Runbook, string(r.Status), r.Began.Local().Format(time.DateTime), next})
			}
			t.value = out
			return f.print(a.out, t)
		},
	}
	c.Flags().BoolVar(&hooks, "hooks", false, "those that webhooks began and that broke, at the gateway, which you may go on with")
	c.Flags().StringVar(&addr, "gateway", "", "with --hooks: the gateway to ask; without it the one last logged in to")
	addFormat(c, &f, "table", "json", "csv")
	return c
}
