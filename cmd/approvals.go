package cmd

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/tui"
)

func (a *app) approvalsCommand() *cobra.Command {
	var addr string
	c := &cobra.Command{
		Use: "approvals", Short: "see and answer the statements that wait for people", Args: noSuch,
		Example: "  sluice approvals\n  sluice approvals ls",
		RunE: func(c *cobra.Command, _ []string) error {
			if !a.terminal {
				return tell(exitUsage, "use sluice approvals ls, approve or deny", "the approvals screen needs a terminal")
			}
			quiet := func(string, string) {} // the screen is not ours; it ends with the login
			return a.withToken(c.Context(), addr, "", quiet, func(gw *client.Gateway) error {
				return tui.Run(c.Context(), board{gw}, a.in, a.out, tui.Options{})
			})
		},
	}
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
	c.AddCommand(ls, a.answerCommand(&addr, "approve", true), a.answerCommand(&addr, "deny", false))
	return c
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
		left := max(k.Deadline.Sub(a.now()), 0).Round(time.Second).String()
		needs := fmt.Sprintf("%d of %s", k.Needed, strings.Join(k.Groups, ", "))
		t.rows = append(t.rows, []string{k.ID, nameOf(k.Who), k.Connection, short(k.SQL, statementWidth), k.Rule, needs, left, yours})
	}
	return t
}

func (a *app) answerCommand(addr *string, verb string, grant bool) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: verb + " ID", Short: verb + " a statement that waits", Args: oneArg,
		Example: "  sluice approvals " + verb + " k7m2p --reason 'ticket 1234'",
		RunE: func(c *cobra.Command, args []string) error {
			var k api.Ask
			if err := a.call(c.Context(), *addr, http.MethodPost, askPath(url.PathEscape(args[0])), api.AskDecision{Grant: grant, Reason: reason}, &k); err != nil {
				return err
			}
			done := map[bool]string{true: "approved", false: "denied"}[grant]
			_, err := fmt.Fprintf(a.err, "You %s %s of %s on %s: %s\n", done, clean(k.ID), clean(nameOf(k.Who)), clean(k.Connection), short(k.SQL, statementWidth))
			return err
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "a few words for whoever asked, and for the record")
	return c
}
