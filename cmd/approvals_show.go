package cmd

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/internal/howlong"
	"github.com/sluicehq/sluice/tui"
)

// shownAsk is an ask with its preview, as -o json prints it.
type shownAsk struct {
	api.Ask
	Preview *api.Preview `json:"preview,omitempty"`
}

func (a *app) showCommand(addr *string) *cobra.Command {
	var preview bool
	var f format
	c := &cobra.Command{
		Use: "show ID", Short: "all that is known of a statement that waits", Args: oneArg,
		Long: `Show who asks, why, the whole statement, what it would touch and how many rows, locks
in its way, and what came before.

With --preview a write is tried in a transaction that is always undone: how many rows
it changes, and some of them before and after, masked for your eyes. It holds its locks
for two seconds at most, and is refused where undoing would not undo everything.`,
		Example: "  sluice approvals show k7m2p --preview",
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			return a.with(ctx, *addr, func(gw *client.Gateway) error {
				k, err := lookAt(ctx, gw, args[0])
				if err != nil {
					return err
				}
				out := shownAsk{Ask: k}
				if preview {
					out.Preview = &api.Preview{}
					path := strings.Replace(api.PreviewPath, "{id}", url.PathEscape(k.ID), 1)
					if err := gw.Call(ctx, http.MethodPost, path, nil, out.Preview); err != nil {
						return err
					}
				}
				if f.name == "json" {
					return f.print(a.out, table{value: out})
				}
				_, err = fmt.Fprint(a.out, a.plainAsk(out))
				return err
			})
		},
	}
	c.Flags().BoolVar(&preview, "preview", false, "try it, undo it, and show what it would change")
	addFormat(c, &f, "text", "json")
	return c
}

// lookAt is the ask with an id, looked into first if it was not yet.
func lookAt(ctx context.Context, gw *client.Gateway, id string) (k api.Ask, err error) {
	if gw.Call(ctx, http.MethodGet, askPath(url.PathEscape(id)), nil, &k) == nil && k.ID == id {
		return k, nil
	}
	return askNamed(ctx, gw, id) // which an older gateway can do too, and says what is wrong
}

// plainAsk is an ask as lines of text that a screen reader reads in order.
func (a *app) plainAsk(k shownAsk) string {
	var b strings.Builder
	say := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "%-11s %s\n", label, clean(fmt.Sprintf(format, args...)))
	}
	list := func(label string, items []string) {
		for _, item := range items {
			say(label, "%s", item)
			label = ""
		}
	}
	say("Ask", "%s, %s left", k.ID, howlong.Text(max(k.Deadline.Sub(a.now()), 0).Round(time.Second)))
	say("Who", "%s (%s) on %s", nameOf(k.Who), k.Who.Kind, k.Connection)
	ev := k.Evidence
	if ev == nil {
		ev = &api.Evidence{}
	}
	if ev.From != "" {
		say("From", "%s", strings.Trim(ev.From+" with "+ev.Client, " "))
	}
	if ev.Why != "" {
		say("Why", "%s", ev.Why)
	}
	say("Rule", "%s: %s", k.Rule, k.Reason)
	say("Needs", "%s", progressOf(k.Ask))
	if k.BreakGlass {
		say("", "you may release it yourself in an emergency: sluice approvals break-glass %s --reason …", k.ID)
	}
	b.WriteString("\n")
	statementText(&b, k.Ask)
	b.WriteString("\n")
	list("Signs", ev.Signs)
	list("Changes", ev.Writes)
	list("Reads", ev.Reads)
	list("Hides", ev.Masked)
	list("Reveals", ev.Clear)
	if ev.Rows != nil {
		say("Estimate", "%s", estimate(ev))
	}
	list("Locks", ev.Locks)
	list("Before", ev.History)
	list("Note", ev.Notes)
	if !ev.Done && ev.From != "" {
		say("Note", "the database is still being asked")
	}
	if k.Preview != nil {
		previewText(&b, k.Preview)
	}
	return b.String()
}

// estimate is what the planner expects: "about 120 of 1,000 rows of public.people (12%)".
func estimate(ev *api.Evidence) string {
	switch {
	case ev.Table == "":
		return "about " + counted(int(*ev.Rows), "row")
	case ev.Whole <= 0:
		return fmt.Sprintf("about %s of %s, which was never counted", counted(int(*ev.Rows), "row"), ev.Table)
	}
	return fmt.Sprintf("about %d of %d rows of %s (%.3g%%)", *ev.Rows, ev.Whole, ev.Table, min(100, 100*float64(*ev.Rows)/float64(ev.Whole)))
}

// progressOf says who must agree and who has: "0 of 1 of dba, from 12:05:00 also of leads".
func progressOf(k api.Ask) string {
	var parts []string
	for _, n := range k.Needs {
		text := fmt.Sprintf("%d of %d from %s", n.Have, n.Count, strings.Join(n.Groups, " or "))
		if len(n.Later) > 0 {
			text += fmt.Sprintf(" (from %s on also %s)", n.From.Local().Format(time.TimeOnly), strings.Join(n.Later, " or "))
		}
		parts = append(parts, text)
	}
	for _, v := range k.Votes {
		parts = append(parts, v.Who+" agreed")
	}
	return strings.Join(parts, ", ")
}

// statementText writes the whole statement and its parameters, with nothing left out
// that a terminal would swallow: who approves it must have seen it.
func statementText(b *strings.Builder, k api.Ask) {
	for l := range strings.Lines(tui.Visible(k.SQL)) {
		b.WriteString("  " + strings.TrimRight(l, "\n") + "\n")
	}
	for i, p := range k.Params {
		fmt.Fprintf(b, "  $%d = %s\n", i+1, oneLine(p))
	}
}

// oneLine is a text with all of it to be seen on one line.
func oneLine(s string) string { return strings.ReplaceAll(tui.Visible(s), "\n", "␊") }

func previewText(b *strings.Builder, p *api.Preview) {
	b.WriteString("\n")
	if p.Error != "" {
		fmt.Fprintf(b, "Preview     it would fail: %s\n", clean(p.Error))
		return
	}
	fmt.Fprintf(b, "Preview     it changes %d rows; tried and undone\n", p.Rows)
	for _, n := range p.Notes {
		fmt.Fprintf(b, "            %s\n", clean(n))
	}
	for _, s := range []struct {
		name string
		rows *api.PreviewRows
	}{{"before", p.Before}, {"after", p.After}} {
		if s.rows == nil {
			continue
		}
		for i, r := range s.rows.Rows {
			fmt.Fprintf(b, "  %-7s %d ", s.name, i+1)
			for j, c := range r {
				text := "NULL"
				if c != nil {
					text = *c
				}
				fmt.Fprintf(b, " %s=%s", clean(s.rows.Columns[j]), oneLine(text))
			}
			b.WriteString("\n")
		}
	}
}
