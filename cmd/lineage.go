package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/lineage"
	"github.com/sluicehq/sluice/lineage/store"
)

func (a *app) lineageCommand() *cobra.Command {
	var addr, dir string
	c := &cobra.Command{
		Use: "lineage", Short: "where data came from and where it went, by the record", Args: noSuch, RunE: group,
		Long: `Where data came from, and where it went: columns, tables, files, runs of jobs and
models, with who moved it and who approved. All of it is folded from the record, so
it is what ran, not what somebody wrote down; what rests on somebody's word alone is
marked as claimed.`,
	}
	a.addGateway(c, &addr)
	c.PersistentFlags().StringVar(&dir, "record", "", "read the record in this directory instead of asking a gateway")
	c.AddCommand(
		a.lineageAskCommand(&addr, &dir, "up", true, "where something came from", "  sluice lineage up model:churn@v3\n  sluice lineage up features.spend --depth 2 --at 2026-10-01\n  sluice lineage up model:churn@v3 -o html > churn.html"),
		a.lineageAskCommand(&addr, &dir, "down", false, "where something went", "  sluice lineage down customers.email --models\n  sluice lineage down orders:public.customers --since 30d -o mermaid"),
		a.lineageProveCommand(&addr, &dir), a.lineageImportCommand(&addr),
	)
	return c
}

func (a *app) lineageAskCommand(addr, dir *string, use string, up bool, short, example string) *cobra.Command {
	q := lineage.Question{Up: up}
	var at, since string
	var f format
	c := &cobra.Command{
		Use: use + " TARGET", Short: short, Args: oneArg, Example: example,
		Long: `TARGET is a table or a column (with schema and connection where they are needed:
orders:public.customers.email), a model (model:churn@v3), a run (run:ID), a file or
URI that a run was given, or a person, job or agent by name.

The answer is of the past: what came into a table after a run had read it is no source
of what the run made. --at shows the graph as it was at a time. Columns that only
decide which rows are chosen are left out unless --steers is given. A gateway answers its auditors about
everyone, and others about what they moved themselves; it records the question.`,
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if q.At, err = readTime("at", at, a.now()); err != nil {
				return err
			}
			if q.Since, err = readTime("since", since, a.now()); err != nil {
				return err
			}
			if q.Depth < 0 {
				return usageError{errors.New("--depth cannot be negative")}
			}
			q.Target = args[0]
			answer, err := a.askLineage(c.Context(), *addr, *dir, q)
			if err != nil {
				return err
			}
			return a.printLineage(f, answer)
		},
	}
	s := c.Flags()
	s.IntVar(&q.Depth, "depth", 0, "steps at most; 0 is all")
	s.StringVar(&at, "at", "", "the graph as it was: a time ago such as 24h or 30d, a day, or a time as RFC 3339")
	s.StringVar(&since, "since", "", "only what moved since then; as --at")
	s.BoolVar(&q.Steers, "steers", false, "with columns that only decided which rows")
	if !up {
		s.BoolVar(&q.Models, "models", false, "only ways that lead to models")
	}
	addFormat(c, &f, "tree", "json", "dot", "mermaid", "html")
	return c
}

// askLineage asks the gateway, or reads the record in dir.
func (a *app) askLineage(ctx context.Context, addr, dir string, q lineage.Question) (answer *lineage.Answer, err error) {
	if dir == "" {
		err = a.call(ctx, addr, http.MethodPost, api.LineagePath, q, &answer)
		return answer, err
	}
	err = a.offlineLineage(ctx, dir, func(g *lineage.Graph) error {
		answer, err = g.Ask(q)
		return gateway.LineageError(err)
	})
	return answer, err
}

// offlineLineage reads the lineage of a record without a gateway, up to its end.
func (a *app) offlineLineage(ctx context.Context, dir string, do func(*lineage.Graph) error) error {
	if err := audit.Check(dir); err != nil {
		return tell(exitError, "give the directory that has log.vkey and entries in it", "there is no record in %s: %s", dir, reason(err))
	}
	s := store.New(store.Config{Record: dir})
	late := time.AfterFunc(2*time.Second, func() { fmt.Fprintln(a.err, "reading the record, half a minute for each million statements …") })
	defer late.Stop()
	if err := s.CatchUp(ctx); err != nil {
		return tell(exitError, "check it: sluice audit verify --record "+dir, "%s", reason(err))
	}
	err := s.With(ctx, func(g *lineage.Graph, _ string) error { return do(g) })
	if cerr := s.Close(); cerr != nil { // a directory that cannot be written is no hindrance
		a.notice("the lineage could not be kept for the next time: "+reason(cerr), "")
	}
	return err
}

// paintLineage colours what a tree shows.
func (a *app) paintLineage(role, text string) string {
	codes := map[string]string{"name": "1", "label": "33", "dim": "2", "warn": "35"}
	return a.paintOut(codes[role], text)
}

func (a *app) printLineage(f format, answer *lineage.Answer) error {
	if answer.Note != "" {
		fmt.Fprintln(a.err, clean(answer.Note))
	}
	if answer.More {
		fmt.Fprintln(a.err, "There is more: narrow it with --depth, --since or a column.")
	}
	var err error
	switch f.name {
	case "json":
		return f.print(a.out, table{value: answer})
	case "dot":
		_, err = io.WriteString(a.out, answer.DOT())
	case "mermaid":
		_, err = io.WriteString(a.out, answer.Mermaid())
	case "html":
		err = answer.HTML(a.out)
	default:
		_, err = io.WriteString(a.out, answer.Tree(a.paintLineage, clean, a.now().Location()))
	}
	return err
}
