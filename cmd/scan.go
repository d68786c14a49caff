package cmd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/mask"
)

func (a *app) maskCommand() *cobra.Command {
	c := &cobra.Command{Use: "mask", Short: "what is personal data", Args: noSuch, RunE: group}
	c.AddCommand(a.maskScanCommand(), a.maskSetCommand())
	return c
}

func (a *app) maskScanCommand() *cobra.Command {
	var o own
	var f format
	var addr string
	var personal bool
	c := &cobra.Command{
		Use: "scan NAME|--dsn URL", Short: "what is personal data in a database, and why", Args: nameOrDSN(&o),
		Long: `What every column of a database holds: personal data and of which type; clean,
so that its values pass unread; or unknown, so that each value is read before it
passes. What is wrong can be put right for good with sluice mask set.`,
		Example:           "  sluice mask scan orders\n  sluice mask scan orders --personal\n  sluice mask scan --dsn \"$DSN\" -o json",
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
			if personal {
				maps.DeleteFunc(found, func(_ string, s gateway.Scanned) bool { return !s.PII })
			}
			return f.print(a.out, scanTable(found))
		},
	}
	o.flags(c)
	labelsFlag(c, &o)
	c.Flags().BoolVar(&personal, "personal", false, "only the columns that hold personal data")
	a.addGateway(c, &addr)
	addFormat(c, &f, "table", "json", "csv")
	return c
}

func labelsFlag(c *cobra.Command, o *own) {
	c.Flags().StringVar(&o.labels, "labels", "", "with --dsn: file of what sluice mask set said of the columns")
}

func scanTable(found map[string]gateway.Scanned) table {
	t := table{head: []string{"column", "pii", "type", "where", "state", "sure", "evidence"}, value: found}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		s := found[name]
		sure := ""
		if s.Confidence > 0 {
			sure = strconv.FormatFloat(s.Confidence, 'f', 2, 64)
		}
		t.rows = append(t.rows, []string{name, strconv.FormatBool(s.PII), s.Type, s.Where, s.State, sure, s.Evidence})
	}
	return t
}

func (a *app) maskSetCommand() *cobra.Command {
	var o own
	var addr string
	var in api.LabelRequest
	c := &cobra.Command{
		Use: "set NAME.SCHEMA.TABLE.COLUMN --as TYPE|none|auto --reason WHY", Short: "say once what a column holds", Args: oneArg,
		Long: `Says for good what a column holds, whatever is found in it: a type of personal
data such as email, none for nothing personal, or auto to take back what was said.
Only administrators of the gateway may; it is recorded, and stays through restarts
and renames. sluice mask scan shows it.`,
		Example: "  sluice mask set orders.public.customers.email --as email --reason 'always was'\n" +
			"  sluice mask set --dsn \"$DSN\" --labels labels.json public.parts.code --as none --reason 'numbers of parts'",
		RunE: func(c *cobra.Command, args []string) error {
			in.Column = args[0]
			var s gateway.Scanned
			var err error
			switch {
			case in.As == "":
				return usageError{errors.New("--as is missing: a type of personal data, none or auto")}
			case o.dsn == "":
				in.Connection, in.Column, _ = strings.Cut(args[0], ".")
				err = a.call(c.Context(), addr, http.MethodPost, api.LabelPath, in, &s)
			case o.labels == "":
				return usageError{errors.New("--labels is missing: the file to keep it in")}
			default:
				s, err = a.setOwn(c.Context(), o, in)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.err, "%s is %s from now on: %s.\n", clean(in.Column), clean(stateOf(s)), clean(s.Evidence))
			if s.Note != "" {
				a.notice(clean(s.Note), "see: sluice doctor --config FILE, at the gateway")
			}
			return err
		},
	}
	o.flags(c)
	labelsFlag(c, &o)
	c.Flags().StringVar(&in.As, "as", "", "type of personal data, none or auto")
	c.Flags().StringVar(&in.Reason, "reason", "", "why; kept with it")
	_ = c.RegisterFlagCompletionFunc("as", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) { // the flag was just made
		words := []string{"none", "auto"}
		for _, t := range mask.Types() {
			words = append(words, string(t))
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	})
	a.addGateway(c, &addr)
	return c
}

// setOwn keeps a label for a database of one's own in a file.
func (a *app) setOwn(ctx context.Context, o own, in api.LabelRequest) (s gateway.Scanned, err error) {
	in.Connection = ownName
	who := identity.Identity{Subject: "me", Kind: identity.Person, Groups: []string{ownGroup}, Method: "own", Expires: a.now().Add(devTTL)}
	if u, err := user.Current(); err == nil {
		who.Subject = u.Username
	}
	err = a.withOwn(ctx, o, func(g *gateway.Gateway) (err error) {
		s, err = g.Label(ctx, who, in)
		return err
	})
	return s, err
}

func stateOf(s gateway.Scanned) string {
	if s.PII {
		return "personal (" + s.Type + ")"
	}
	return s.State
}
