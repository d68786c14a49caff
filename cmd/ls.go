package cmd

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/client"
)

func (a *app) lsCommand() *cobra.Command {
	var f format
	var addr string
	c := &cobra.Command{
		Use: "ls", Short: "connections you may use, and what applies to you there", Args: noArgs,
		Example: "  sluice ls\n  sluice ls -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), addr, func(gw *client.Gateway) error {
				var list []api.Connection
				if err := gw.Call(c.Context(), http.MethodGet, api.ConnectionsPath, nil, &list); err != nil {
					return err
				}
				t := table{head: []string{"NAME", "ENV", "DATABASE", "KIND"}, value: list}
				for _, conn := range list {
					t.rows = append(t.rows, []string{conn.Name, conn.Env, conn.Database, conn.Kind})
				}
				if err := f.print(a.out, t); err != nil || f.name != "table" {
					return err
				}
				return a.printRules(list)
			})
		},
	}
	a.addGateway(c, &addr)
	addFormat(c, &f, "table", "json", "csv")
	return c
}

// printRules says what applies: what applies everywhere once, then what is special to
// each connection.
func (a *app) printRules(list []api.Connection) error {
	if len(list) == 0 {
		a.notice("there is no connection for you here", "ask whoever runs the gateway to put one of your groups (sluice whoami) under groups: of a connection")
		return nil
	}
	shared := slices.Clone(list[0].Rules)
	for _, conn := range list[1:] {
		shared = slices.DeleteFunc(shared, func(r string) bool { return !slices.Contains(conn.Rules, r) })
	}
	if err := a.printList("What applies to you there:", shared); err != nil {
		return err
	}
	for _, conn := range list {
		special := slices.DeleteFunc(slices.Clone(conn.Rules), func(r string) bool { return slices.Contains(shared, r) })
		head := "What applies to you on " + clean(conn.Name) + ":"
		if len(shared) > 0 {
			head = "And on " + clean(conn.Name) + ":"
		}
		if err := a.printList(head, special); err != nil {
			return err
		}
	}
	return nil
}

// printList prints lines under a heading; nothing without lines.
func (a *app) printList(head string, lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(a.out, "\n"+head); err != nil {
		return err
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(a.out, "  "+clean(line)); err != nil {
			return err
		}
	}
	return nil
}
