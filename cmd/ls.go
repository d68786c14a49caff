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

// printRules says what applies: the same rules mostly apply to several connections,
// so each is said once.
func (a *app) printRules(list []api.Connection) error {
	var rules []string
	for _, conn := range list {
		for _, r := range conn.Rules {
			if !slices.Contains(rules, r) {
				rules = append(rules, r)
			}
		}
	}
	if len(rules) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(a.out, "\nWhat applies to you there:"); err != nil {
		return err
	}
	for _, r := range rules {
		if _, err := fmt.Fprintln(a.out, "  "+clean(r)); err != nil {
			return err
		}
	}
	return nil
}
