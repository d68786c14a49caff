package cmd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/internal/howlong"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/tui"
)

func (a *app) approvalsCommand() *cobra.Command {
	var addr, dir string
	var s screenOptions
	c := &cobra.Command{
		Use: "approvals", Short: "see and answer the statements that wait for people", Args: noSuch,
		Long: `Open the screen: what waits and what is known of it, requests made ahead of time, who
is connected and what they run, the record, the policy, and runbooks to run, if there
are any here. ? shows the keys.

With --plain it prints a line as something happens and reads commands such as
"show k7m2p", "approve k7m2p" and "replay s-k2fj4x7qmzpd", for screen readers and
terminals that only print; help lists them.`,
		Example: "  sluice approvals\n  sluice approvals --plain\n  sluice approvals ls",
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case !slices.Contains([]string{"", tui.NotifyOSC9, tui.NotifyOSC777}, s.notify):
				return usageError{fmt.Errorf("--notify is %s or %s", tui.NotifyOSC9, tui.NotifyOSC777)}
			case !s.plain && !a.terminal:
				return tell(exitUsage, "use sluice approvals ls, approve or deny, or --plain", "the approvals screen needs a terminal")
			}
			quiet := func(string, string) {} // the screen is not ours; it ends with the login
			return a.withToken(c.Context(), addr, "", quiet, func(gw *client.Gateway) (err error) {
				if s.books, err = a.screenBooks(c.Context(), gw, dir); err != nil {
					return err
				}
				return a.openScreen(c.Context(), gw, s)
			})
		},
	}
	c.Flags().BoolVar(&s.plain, "plain", false, "lines instead of a screen: for screen readers, and where only printing works")
	c.Flags().StringVar(&s.notify, "notify", "", "have the terminal show what arrives on the desktop: osc9 (iTerm2, Windows Terminal, kitty) or osc777 (foot, ghostty, urxvt)")
	c.Flags().BoolVar(&s.silent, "no-bell", false, "do not ring the bell when something arrives")
	c.Flags().BoolVar(&s.noMouse, "no-mouse", false, "leave the mouse to the terminal, so that it marks text")
	c.Flags().StringVar(&dir, "runbooks", "", "directory with runbooks to run; without it $"+envRunbooks+", else runbooks, if it is there")
	a.addGateway(c, &addr)
	var f format
	ls := &cobra.Command{
		Use: "ls", Short: "list what waits", Args: noArgs, Example: "  sluice approvals ls -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			var list []api.Ask
			if err := a.call(c.Context(), addr, http.MethodGet, api.AsksPath, nil, &list); err != nil {
				return err
			}
			return f.print(a.out, a.asksTable(list))
		},
	}
	addFormat(ls, &f, "table", "json", "csv")
	c.AddCommand(ls, a.showCommand(&addr), a.watchCommand(&addr))
	for _, how := range waysToAnswer {
		c.AddCommand(a.answerCommand(&addr, how))
	}
	return c
}

// screenOptions are how the screen is to be.
type screenOptions struct {
	plain, silent, noMouse bool
	notify, note           string
	books                  tui.Books // nil if there are none
}

func (a *app) openScreen(ctx context.Context, gw *client.Gateway, s screenOptions) error {
	me := api.WhoAmI{Subject: gw.Identity.Subject, Issuer: gw.Identity.Issuer, Kind: string(gw.Identity.Kind), Name: gw.Identity.Name()}
	if s.plain {
		return tui.Plain(ctx, gw, a.in, a.out, tui.PlainOptions{Me: me, Now: a.now, Silent: s.silent, Describe: func(k api.Ask, p *api.Preview) string {
			return a.plainAsk(shownAsk{Ask: k, Preview: p})
		}})
	}
	return tui.Run(ctx, gw, a.in, a.out, tui.Options{Me: me, Note: s.note, Builtin: policy.BuiltinYAML(), Notify: s.notify, Silent: s.silent, NoMouse: s.noMouse, Books: s.books})
}

// statementWidth is how much of a statement a list shows.
const statementWidth = 60

func (a *app) asksTable(list []api.Ask) table {
	t := table{head: []string{"id", "who", "connection", "statement", "rule", "approvers", "left", "yours"}, value: list}
	for _, k := range list {
		yours := "no"
		if k.MayAnswer {
			yours = "yes"
		}
		left := howlong.Text(max(k.Deadline.Sub(a.now()), 0).Round(time.Second))
		t.rows = append(t.rows, []string{k.ID, nameOf(k.Who), k.Connection, short(k.SQL, statementWidth), k.Rule, needsOf(k), left, yours})
	}
	return t
}

// needsOf says who must agree: "2 of dba, 1 of security".
func needsOf(k api.Ask) string {
	var parts []string
	for _, n := range k.Needs {
		parts = append(parts, fmt.Sprintf("%d of %s", n.Count, strings.Join(n.Groups, " or ")))
	}
	return strings.Join(parts, ", ")
}

// answer is one way to vote on an ask.
type answer struct {
	verb, does, done string
	grant, glass     bool
}

var waysToAnswer = []answer{
	{verb: "approve", does: "approve a statement that waits", done: "approved", grant: true},
	{verb: "deny", does: "deny a statement that waits", done: "denied"},
	{verb: "break-glass", does: "release your own statement in an emergency, in everybody's sight", done: "broke the glass for", grant: true, glass: true},
}

func (a *app) answerCommand(addr *string, how answer) *cobra.Command {
	var reason, seal string
	c := &cobra.Command{
		Use: how.verb + " ID", Short: how.does, Args: oneArg,
		Example: "  sluice approvals " + how.verb + " k7m2p --reason 'ticket 1234'",
		RunE: func(c *cobra.Command, args []string) error {
			if how.glass && strings.TrimSpace(reason) == "" {
				return usageError{errors.New("breaking the glass needs a --reason")}
			}
			return a.with(c.Context(), *addr, func(gw *client.Gateway) error {
				in := api.AskDecision{Grant: how.grant, Reason: reason, Seal: seal, BreakGlass: how.glass}
				if in.Seal == "" && in.Grant {
					k, err := askNamed(c.Context(), gw, args[0])
					if err != nil {
						return err
					}
					a.showSQL(k) // what is answered is on the screen
					in.Seal = k.Seal
				}
				var k api.Ask
				if err := gw.Call(c.Context(), http.MethodPost, askPath(url.PathEscape(args[0])), in, &k); err != nil {
					return err
				}
				_, err := fmt.Fprintf(a.err, "You %s %s of %s on %s: %s\n", how.done, clean(k.ID), clean(nameOf(k.Who)), clean(k.Connection), short(k.SQL, statementWidth))
				return err
			})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "a few words for whoever asked, and for the record")
	c.Flags().StringVar(&seal, "seal", "", "seal of the ask you looked at, from ls -o json: with another it is refused; without it the ask is shown first")
	return c
}

// askNamed is the ask with an id, if it still waits.
func askNamed(ctx context.Context, gw *client.Gateway, id string) (api.Ask, error) {
	var list []api.Ask
	if err := gw.Call(ctx, http.MethodGet, api.AsksPath, nil, &list); err != nil {
		return api.Ask{}, err
	}
	for _, k := range list {
		if k.ID == id {
			return k, nil
		}
	}
	return api.Ask{}, tell(exitError, "run: sluice approvals ls", "no statement waits under the id %q", id)
}

// showSQL prints the whole statement of an ask.
func (a *app) showSQL(k api.Ask) {
	var b strings.Builder
	statementText(&b, k)
	fmt.Fprint(a.err, b.String())
}

func askPath(id string) string { return strings.Replace(api.AskPath, "{id}", id, 1) }

// nameOf is what people call a caller.
func nameOf(w api.WhoAmI) string {
	switch {
	case w.Name != "":
		return w.Name
	case w.Email != "":
		return w.Email
	}
	return w.Subject
}
