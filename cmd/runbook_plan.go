package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/runbook"
)

// planned is one statement of a plan, as plan prints it with -o json: what the runbook
// says of it, and what explain says.
type planned struct {
	Runs runbook.Statement `json:"runs"`
	gateway.Explained
}

func (a *app) runbookPlanCommand(s *shelf) *cobra.Command {
	var o runFlags
	c := &cobra.Command{
		Use: "plan NAME [-p NAME=VALUE…]", Short: "what a run would do, and what would be done with it, without running it", Args: oneArg,
		Long: `Show what a run would do: each statement with its values, and what explain says of it to
you: what it reads and writes, what would be masked, held or refused, and by which rule.
Nothing runs. Exit code 3 means that a step would be refused.`,
		Example:           "  sluice runbook plan erase-customer -p customer=42",
		ValidArgsFunction: a.titles(s),
		RunE: func(c *cobra.Command, args []string) error {
			b, v, err := a.shelfOf(*s).open(c.Context(), args[0])
			if err != nil {
				return err
			}
			bound, err := a.bind(b, o)
			if err != nil {
				return err
			}
			return a.withToken(c.Context(), o.addr, o.tokenFile, a.notice, func(gw *client.Gateway) error {
				r := &runner{a: a, gw: gw, o: o, book: b, file: v, bound: bound, tell: a.progress}
				list, err := r.explained(c.Context())
				if err != nil {
					return err
				}
				if o.format.name == "json" {
					err = o.format.print(a.out, table{value: list})
				} else {
					err = a.printPlan(a.out, a.paintOut, bound, v, list, false)
				}
				if no := firstDenied(list); err == nil && no != nil {
					err = tell(exitRefused, "ask whoever keeps the policy", "step %s would be refused by policy: %s (rule: %s)", no.Runs.Step, clean(no.Reason), clean(no.Rule))
				}
				return err
			})
		},
	}
	o.values(c)
	c.Flags().StringVar(&o.addr, "gateway", "", "the gateway to ask; without it the one last logged in to")
	addTokenFile(c, &o.tokenFile)
	addFormat(c, &o.format, "text", "json")
	return c
}

// explained asks the gateway about each statement, as if it came first in a session.
func (r *runner) explained(ctx context.Context) ([]planned, error) {
	if _, err := connectionNamed(ctx, r.gw, r.book.Connection); err != nil {
		return nil, err
	}
	out := []planned{}
	for _, st := range r.bound.Statements() {
		var list api.ExplainResult
		if err := r.gw.Call(ctx, http.MethodPost, api.ExplainPath, api.ExplainRequest{Connection: r.book.Connection, SQL: st.SQL}, &list); err != nil {
			return nil, err
		}
		if len(list) != 1 {
			return nil, errors.New("the gateway reads another number of statements than one in step " + st.Step)
		}
		p := planned{Runs: st}
		if err := json.Unmarshal(list[0], &p.Explained); err != nil {
			return nil, fmt.Errorf("read the explanation: %w", err)
		}
		out = append(out, p)
	}
	return out, nil
}

func firstDenied(list []planned) *planned {
	for i := range list {
		if list[i].Effect == policy.Deny {
			return &list[i]
		}
	}
	return nil
}

// printPlan shows for people what a run would do; brief is what a person needs before
// it runs.
func (a *app) printPlan(w io.Writer, paint painter, b *runbook.Bound, v volume, list []planned, brief bool) error {
	fmt.Fprintf(w, "%s  %s\n", paint(bold, b.Book.Name), clean(b.Book.Title))
	fmt.Fprintf(w, "on %s, %s; %s %s\n", clean(b.Book.Connection), transactionWords(b.Book), b.Book.Hash[:19], shortCommit(v.Commit))
	for i, p := range list {
		color := map[policy.Effect]string{policy.Allow: green, policy.Hold: yellow, policy.Deny: red}[p.Effect]
		title := strconv.Itoa(i+1) + ". " + p.Runs.Step
		if p.Runs.Undo {
			title = "undo of " + p.Runs.Step + ", if a later step fails"
		}
		fmt.Fprintf(w, "%s%s  %s  %s\n", map[bool]string{false: "\n", true: ""}[brief], paint(bold, title), paint(color, effectWords(p)), paint(dim, clean(p.Runs.Note)))
		if p.Runs.When != "" {
			fmt.Fprintf(w, "   if %s\n", clean(p.Runs.When))
		}
		for line := range strings.Lines(strings.TrimSpace(p.Runs.SQL)) {
			fmt.Fprintf(w, "   %s\n", cleanLine(line))
		}
		if len(p.Runs.Params) > 0 {
			fmt.Fprintf(w, "   %s\n", paint(dim, paramWords(p.Runs.Params)))
		}
		if p.Runs.Expect != "" {
			fmt.Fprintf(w, "   expects %s\n", clean(p.Runs.Expect))
		}
		if p.Runs.While != "" {
			fmt.Fprintf(w, "   again while %s, at most %d times\n", clean(p.Runs.While), p.Runs.Most)
		}
		if brief {
			continue
		}
		var tree strings.Builder
		grow(&tree, "   ", explained(p.Explained, paint), paint)
		if _, err := fmt.Fprint(w, tree.String()); err != nil {
			return err
		}
	}
	if hold := slices.ContainsFunc(list, func(p planned) bool { return p.Effect == policy.Hold }); hold && b.Book.Transaction == runbook.One && !b.Book.Approvals.Ahead {
		fmt.Fprintf(w, "While a step waits, those before it keep their locks, so people get little time; --ahead asks before anything runs.\n")
	}
	_, err := fmt.Fprintln(w)
	return err
}

// shortCommit is as much of a commit as people read.
func shortCommit(commit string) string {
	sum, changed, _ := strings.Cut(clean(commit), "-")
	if commit = sum[:min(len(sum), 12)]; changed != "" {
		commit += ", and the file has changed since"
	}
	return commit
}

func effectWords(p planned) string {
	if p.Effect == policy.Hold {
		return "waits for " + clean(strings.Join(p.Approvers, " and "))
	}
	return map[policy.Effect]string{policy.Allow: "runs", policy.Deny: "refused"}[p.Effect]
}

// paramWords has values quoted, so that what they hold cannot pass for anything else.
func paramWords(params []*string) string {
	var words []string
	for i, p := range params {
		v := "NULL"
		if p != nil {
			v = short(strconv.Quote(*p), 200)
		}
		words = append(words, fmt.Sprintf("$%d = %s", i+1, v))
	}
	return strings.Join(words, ", ")
}
