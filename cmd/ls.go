package cmd

import (
	"net/http"
	"strconv"

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
				t := table{head: []string{"NAME", "ENV", "DATABASE", "KIND", "RULES"}, value: list}
				for _, conn := range list {
					t.rows = append(t.rows, []string{conn.Name, conn.Env, conn.Database, conn.Kind, strconv.Itoa(len(conn.Rules))})
				}
				return f.print(a.out, t)
			})
		},
	}
	a.addGateway(c, &addr)
	addFormat(c, &f, "table", "json", "csv")
	return c
}
