package cmd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/internal/howlong"
	"github.com/sluicehq/sluice/query"
)

func (a *app) requestCommand() *cobra.Command {
	var addr, file, reason string
	var window time.Duration
	c := &cobra.Command{
		Use: "request NAME -f FILE|--for TIME --reason WHY", Short: "ask for approval ahead of time, of a script or of a window of time", Args: oneArg,
		Long: `Ask ahead of time. With -f the approvers see the script, and what they approve is that
very script, to be run once, by you: sluice exec NAME --request ID.

With --for they open a window: for so long, what rules with "window: true" hold on this
connection runs for you without being asked about. Each statement is recorded as ever.
When the window ends, so do the sessions that used it.`,
		Example:           "  sluice request orders -f migration.sql --reason 'release 42'\n  sluice request orders --for 1h --reason 'incident 7'",
		ValidArgsFunction: a.names(&addr),
		RunE: func(c *cobra.Command, args []string) error {
			in := api.NewRequest{Connection: args[0], Reason: reason, Seconds: int64(window / time.Second)}
			switch {
			case (file == "") == (window == 0):
				return usageError{errors.New("ask for a script with -f, or for a window with --for")}
			case window < 0 || window > 0 && in.Seconds == 0:
				return usageError{errors.New("--for must be a second at least")}
			case strings.TrimSpace(reason) == "":
				return usageError{errors.New("a request needs a --reason")}
			}
			if file != "" {
				text, err := a.readSQL(file)
				if err != nil {
					return err
				}
				if err := plainSQL(text); err != nil {
					return err
				}
				in.SQL = text
			}
			var r api.Request
			if err := a.call(c.Context(), addr, http.MethodPost, api.RequestsPath, in, &r); err != nil {
				return err
			}
			fmt.Fprintln(a.out, r.ID)
			next := "it opens when it is approved"
			if in.SQL != "" {
				next = fmt.Sprintf("when it is approved: sluice exec %s --request %s", clean(args[0]), r.ID)
			}
			_, err := fmt.Fprintf(a.err, "Asked as %s; needs %s. %s\n", r.ID, needsOf(r.Ask), next)
			return err
		},
	}
	c.Flags().StringVarP(&file, "file", "f", "", "the script; - is standard input")
	c.Flags().DurationVar(&window, "for", 0, "how long the window is open, from its approval on")
	c.Flags().StringVar(&reason, "reason", "", "why, for approvers and the record")
	a.addGateway(c, &addr)
	c.AddCommand(a.requestList(&addr), a.requestEnd(&addr))
	return c
}

func (a *app) requestList(addr *string) *cobra.Command {
	var f format
	c := &cobra.Command{
		Use: "ls", Short: "list your requests, and those that you may answer", Args: noArgs, Example: "  sluice request ls -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			var list []api.Request
			if err := a.call(c.Context(), *addr, http.MethodGet, api.RequestsPath, nil, &list); err != nil {
				return err
			}
			t := table{head: []string{"id", "who", "connection", "what", "state", "until", "why"}, value: list}
			for _, r := range list {
				what, until := short(r.SQL, statementWidth), ""
				if r.Seconds > 0 {
					what = "window of " + howlong.Text(time.Duration(r.Seconds)*time.Second)
				}
				if !r.Until.IsZero() {
					until = r.Until.Local().Format(time.DateTime)
				}
				t.rows = append(t.rows, []string{r.ID, nameOf(r.Who), r.Connection, what, r.State, until, r.Why})
			}
			return f.print(a.out, t)
		},
	}
	addFormat(c, &f, "table", "json", "csv")
	return c
}

func (a *app) requestEnd(addr *string) *cobra.Command {
	return &cobra.Command{
		Use: "end ID", Short: "take your request back; a window ends at once", Args: oneArg, Example: "  sluice request end r-k7m2p",
		RunE: func(c *cobra.Command, args []string) error {
			var r api.Request
			path := strings.Replace(api.RequestEndPath, "{id}", url.PathEscape(args[0]), 1)
			if err := a.call(c.Context(), *addr, http.MethodPost, path, nil, &r); err != nil {
				return err
			}
			_, err := fmt.Fprintf(a.err, "Request %s is %s.\n", clean(r.ID), clean(r.State))
			return err
		},
	}
}

// execRequest runs a script that was approved ahead of time.
func (a *app) execRequest(c *cobra.Command, name string, o execFlags) error {
	if len(o.sql) > 0 {
		return usageError{errors.New("--request runs the script that was approved; leave -c out")}
	}
	ctx := c.Context()
	return a.with(ctx, o.addr, func(gw *client.Gateway) error {
		r, err := requestNamed(ctx, gw, o.request)
		if err != nil {
			return err
		}
		if o.file != "" {
			text, err := a.readSQL(o.file)
			if err != nil {
				return err
			}
			if text != r.SQL {
				return tell(exitRefused, "ask for this file with sluice request, or leave -f out", "%s is not the script that was approved as %s", o.file, o.request)
			}
		}
		texts := []string{r.SQL}
		if o.apart {
			texts = nil
		}
		for _, st := range query.Analyze(r.SQL, nil) {
			switch {
			case st.Kind == query.Empty:
			case o.apart:
				texts = append(texts, st.SQL)
			case st.Kind == query.Transaction:
				return tell(exitUsage, "run it with --no-transaction", "the script has transactions of its own, so it cannot run in one")
			}
		}
		return a.execTexts(ctx, gw, name, o, texts)
	})
}

// requestNamed is a request that may be run.
func requestNamed(ctx context.Context, gw *client.Gateway, id string) (api.Request, error) {
	var list []api.Request
	if err := gw.Call(ctx, http.MethodGet, api.RequestsPath, nil, &list); err != nil {
		return api.Request{}, err
	}
	for _, r := range list {
		switch {
		case r.ID != id:
		case r.Seconds > 0:
			return r, tell(exitUsage, "connect as ever: what it lets run, runs", "%s is a window, not a script", id)
		case r.State == api.AskWaiting:
			return r, tell(exitNotApproved, "ask those who may approve it: "+needsOf(r.Ask), "%s still waits for approval", id)
		default:
			return r, nil
		}
	}
	return api.Request{}, tell(exitError, "run: sluice request ls", "there is no request %q of yours", id)
}
