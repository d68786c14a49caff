package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/lineage"
)

func (a *app) lineageProveCommand(addr, dir *string) *cobra.Command {
	var in api.LineageProve
	var at, to string
	var down bool
	c := &cobra.Command{
		Use: "prove TARGET|EDGE", Short: "make a file that proves where something came from to anybody who has the public key", Args: oneArg,
		Long: `Write one file with where TARGET came from, or where it went with --down, and for each
way the entries of the record that it rests on, with proofs that they are in the record.
EDGE is one way, by its id in -o json: e-…. sluice audit verify FILE checks the file
offline: it folds the entries anew and compares. That there were no other ways, only
the whole record can show.`,
		Example: "  sluice lineage prove model:churn@v3 --file churn.json\n  sluice audit verify churn.json --key log.vkey",
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if in.At, err = readTime("at", at, a.now()); err != nil {
				return err
			}
			in.Up = !down
			if strings.HasPrefix(args[0], "e-") {
				in.Edge = args[0]
			} else {
				in.Target = args[0]
			}
			p, err := a.proveLineage(c.Context(), *addr, *dir, in)
			if err != nil {
				return err
			}
			data, err := json.MarshalIndent(p, "", "  ")
			if err != nil {
				return err
			}
			data = append(data, '\n')
			if to != "" {
				return os.WriteFile(to, data, 0o600) // it has statements in it
			}
			_, err = a.out.Write(data)
			return err
		},
	}
	c.Flags().BoolVar(&down, "down", false, "where it went, not where it came from")
	c.Flags().IntVar(&in.Depth, "depth", 0, "steps at most; 0 is all")
	c.Flags().StringVar(&at, "at", "", "the graph as it was, as with sluice lineage up")
	c.Flags().BoolVar(&in.Steers, "steers", false, "with columns that only decided which rows")
	c.Flags().StringVar(&to, "file", "", "write to this file, not to the output")
	return c
}

func (a *app) proveLineage(ctx context.Context, addr, dir string, in api.LineageProve) (p *lineage.Proof, err error) {
	if dir == "" {
		err = a.call(ctx, addr, http.MethodPost, api.LineageProvePath, in, &p)
		return p, err
	}
	err = a.offlineLineage(ctx, dir, func(g *lineage.Graph) error {
		p, err = gateway.AskProof(ctx, dir, g, in)
		return err
	})
	return p, err
}

// verifyLineage checks a proof of lineage.
func (a *app) verifyLineage(f format, path, text, key string) error {
	c, err := lineage.Check([]byte(text), key)
	if err != nil {
		return tell(exitError, "do not believe it, and ask for the whole record", "%s proves nothing: %s", path, reason(err))
	}
	if f.name == "json" {
		return f.print(a.out, table{value: c})
	}
	fmt.Fprintf(a.out, "ok: %d ways follow from %d entries, among the %d that %s signed, root %s\n", len(c.Answer.Edges), c.Entries, c.Size, clean(c.Origin), c.Root)
	if c.Claimed > 0 {
		fmt.Fprintf(a.out, "of %d ways is proven only that somebody claimed them\n", c.Claimed)
	}
	_, err = fmt.Fprint(a.out, c.Answer.Tree(a.paintLineage, clean, a.now().Location()))
	return err
}
