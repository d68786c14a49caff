package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/query"
)

type explainFlags struct {
	own
	sql, file string
	as        string
	groups    []string
	kind      string
	addr      string
	format    format
}

func (a *app) explainCommand() *cobra.Command {
	var o explainFlags
	c := &cobra.Command{
		Use: "explain NAME|--dsn URL", Short: "what a statement would do, and what would be done with it, without running it", Args: nameOrDSN(&o.own),
		Long: `What Sluice understands of a statement and what it would do with it, without
running it. The statements come from -c, from -f, or from standard input. With
-o json there is one object per statement, one a line.

A connection of a gateway is looked at as yourself. With --dsn no gateway is needed:
--as, --groups and --kind say who asks, --env and --policy what applies.`,
		Example:           "  sluice explain orders -c 'delete from customers'\n  sluice explain --dsn \"$DSN\" --as ci --kind job --env prod -o json -f migration.sql",
		ValidArgsFunction: a.names(&o.addr),
		RunE:              func(c *cobra.Command, args []string) error { return a.explain(c, args, &o) },
	}
	f := c.Flags()
	o.flags(c)
	f.StringVarP(&o.sql, "command", "c", "", "the statements")
	f.StringVarP(&o.file, "file", "f", "", "file with the statements; - is standard input")
	f.StringVar(&o.as, "as", "dev", "with --dsn: who asks")
	f.StringSliceVar(&o.groups, "groups", nil, "with --dsn: their groups")
	f.StringVar(&o.kind, "kind", "person", "with --dsn: person, job or agent")
	f.StringVar(&o.env, "env", "", "with --dsn: what rules see as connection.env")
	f.StringVar(&o.policy, "policy", "", "with --dsn: policy file; without one the built-in policy applies")
	a.addGateway(c, &o.addr)
	addFormat(c, &o.format, "text", "json")
	return c
}

func (a *app) explain(c *cobra.Command, args []string, o *explainFlags) error {
	if o.dsn == "" {
		for _, name := range []string{"as", "groups", "kind", "env", "policy"} {
			if c.Flags().Changed(name) {
				return usageError{fmt.Errorf("--%s goes with --dsn; at a gateway you are who you logged in as", name)}
			}
		}
	}
	if c.Flags().Changed("command") && c.Flags().Changed("file") {
		return usageError{errors.New("give -c or -f, not both")}
	}
	sql := o.sql
	if !c.Flags().Changed("command") {
		if o.file == "" && a.typing() {
			return usageError{fmt.Errorf("there is nothing to explain: give -c, -f or standard input")}
		}
		if o.file == "" {
			o.file = "-"
		}
		var err error
		if sql, err = a.readSQL(o.file); err != nil {
			return err
		}
	}
	list, err := a.explained(c.Context(), args, o, sql)
	if err != nil {
		return err
	}
	all := make([]gateway.Explained, len(list))
	for i, raw := range list {
		if err := json.Unmarshal(raw, &all[i]); err != nil {
			return fmt.Errorf("read the explanation: %w", err)
		}
	}
	if len(all) == 0 || len(all) == 1 && all[0].Kind == query.Empty {
		return tell(exitUsage, "give -c, -f or standard input", "there is no statement in the text")
	}
	for i, raw := range list {
		if o.format.name == "json" {
			if _, err := fmt.Fprintf(a.out, "%s\n", raw); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		if err := printTree(a.out, all[i], a.paintOut); err != nil {
			return err
		}
	}
	if o.format.name == "json" || len(all) == 1 {
		return nil
	}
	return printTogether(a.out, all, a.paintOut)
}

func (a *app) explained(ctx context.Context, args []string, o *explainFlags, sql string) (list api.ExplainResult, err error) {
	if o.dsn == "" {
		err := a.call(ctx, o.addr, http.MethodPost, api.ExplainPath, api.ExplainRequest{Connection: args[0], SQL: sql}, &list)
		return list, err
	}
	who, err := asCaller(o.as, o.groups, o.kind, a.now())
	if err != nil {
		return nil, err
	}
	err = a.withOwn(ctx, o.own, func(g *gateway.Gateway) error {
		found, err := g.Explain(ctx, who, ownName, sql)
		if err != nil {
			return err
		}
		for _, e := range found {
			raw, err := json.Marshal(e)
			if err != nil {
				return err
			}
			list = append(list, raw)
		}
		return nil
	})
	return list, err
}
