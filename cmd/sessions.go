package cmd

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
)

// group is a command that only has others below it.
func group(c *cobra.Command, _ []string) error {
	var names []string
	for _, sub := range c.Commands() {
		names = append(names, sub.Name())
	}
	return usageError{fmt.Errorf("%s needs one of %s", c.CommandPath(), strings.Join(names, ", "))}
}

// noSuch refuses what is no command of a group.
func noSuch(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageError{errors.New("there is no command " + strconv.Quote(c.CommandPath()+" "+args[0]))}
}

func (a *app) sessionsCommand() *cobra.Command {
	var addr string
	c := &cobra.Command{Use: "sessions", Short: "who is connected to what", Args: noSuch, RunE: group}
	a.addGateway(c, &addr)
	var f format
	ls := &cobra.Command{
		Use: "ls", Short: "list the open sessions that you may see", Args: noArgs, Example: "  sluice sessions ls -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			var list []api.Session
			if err := a.call(c.Context(), addr, http.MethodGet, api.SessionsPath, nil, &list); err != nil {
				return err
			}
			t := table{head: []string{"id", "who", "connection", "program", "state", "statements", "since", "from"}, value: list}
			for _, s := range list {
				t.rows = append(t.rows, []string{s.ID, nameOf(s.Who), s.Connection, s.Client, s.State, strconv.FormatInt(s.Statements, 10), s.Since.Local().Format(time.DateTime), s.From})
			}
			return f.print(a.out, t)
		},
	}
	addFormat(ls, &f, "table", "json", "csv")
	kill := &cobra.Command{
		Use: "kill ID", Short: "end a session at once", Args: oneArg, Example: "  sluice sessions kill 7c1f",
		RunE: func(c *cobra.Command, args []string) error {
			var s api.Session
			path := strings.Replace(api.KillPath, "{id}", url.PathEscape(args[0]), 1)
			if err := a.call(c.Context(), addr, http.MethodPost, path, nil, &s); err != nil {
				return err
			}
			_, err := fmt.Fprintf(a.err, "Session %s of %s on %s was ended.\n", clean(s.ID), clean(nameOf(s.Who)), clean(s.Connection))
			return err
		},
	}
	c.AddCommand(ls, kill)
	return c
}
