package cmd

import (
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
)

func (a *app) maskCommand() *cobra.Command {
	c := &cobra.Command{Use: "mask", Short: "what is personal data", Args: noSuch, RunE: group}
	c.AddCommand(a.maskScanCommand())
	return c
}

func (a *app) maskScanCommand() *cobra.Command {
	var o own
	var f format
	var addr string
	c := &cobra.Command{
		Use: "scan NAME|--dsn URL", Short: "what is personal data in a database, and why", Args: nameOrDSN(&o),
		Example:           "  sluice mask scan orders\n  sluice mask scan --dsn \"$DSN\" -o json",
		ValidArgsFunction: a.names(&addr),
		RunE: func(c *cobra.Command, args []string) error {
			var found map[string]gateway.Scanned
			var err error
			if o.dsn == "" {
				err = a.call(c.Context(), addr, http.MethodPost, api.ScanPath, api.ScanRequest{Connection: args[0]}, &found)
			} else {
				err = a.withOwn(c.Context(), o, func(g *gateway.Gateway) (err error) {
					found, err = g.Scan(c.Context(), identity.Identity{}, ownName) // a database of one's own is open to anyone
					return err
				})
			}
			if err != nil {
				return err
			}
			t := table{head: []string{"column", "pii", "type", "where", "evidence"}, value: found}
			for _, name := range slices.Sorted(maps.Keys(found)) {
				s := found[name]
				t.rows = append(t.rows, []string{name, strconv.FormatBool(s.PII), s.Type, s.Where, s.Evidence})
			}
			return f.print(a.out, t)
		},
	}
	o.flags(c)
	a.addGateway(c, &addr)
	addFormat(c, &f, "table", "json", "csv")
	return c
}
