package cmd

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/audit/export"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/internal/durable"
)

// openExports makes what hands the record of a house on.
func (a *app) openExports(ctx context.Context, h *house, list []exportConfig) error {
	if len(list) == 0 {
		return nil
	}
	if err := durable.MkdirAll(filepath.Join(h.dir, "exports"), 0o700); err != nil {
		return err
	}
	for _, e := range list {
		x, err := e.exporter(ctx, h.dir, a.env, a.out, h.log)
		if err != nil {
			return err
		}
		h.exports = append(h.exports, x)
	}
	return nil
}

func (a *app) auditExportCommand(addr, dir *string) *cobra.Command {
	var cfg export.Config
	var since, until string
	var follow bool
	c := &cobra.Command{
		Use: "export", Short: "hand the record on in OCSF, CEF, OpenTelemetry's form or as it stands", Args: noArgs,
		Long: `Hand on the entries of the record that lie under a signed checkpoint, the oldest first:
to the output, a file, a web address or syslog. A gateway gives them to its auditors, and
records that they asked; with --record they are read from a directory. With --cursor it
goes on where it left off the last time, and with --follow it goes on until it is stopped;
an entry is sent until it was taken. A gateway does the same by itself: see exports in
docs/record.md.`,
		Example: "  sluice audit export --format ocsf --since 24h > yesterday.jsonl\n" +
			"  sluice audit export --to syslog+tls://logs.example.com:6514 --format cef --cursor siem.json --follow\n" +
			"  sluice audit export --record /var/lib/sluice/record --format ocsf --since 24h",
		RunE: func(c *cobra.Command, _ []string) error {
			if *dir != "" {
				if err := audit.Check(*dir); err != nil {
					return tell(exitError, "give the directory that has log.vkey and entries in it", "there is no record in %s: %s", *dir, reason(err))
				}
			}
			if err := export.Check(cfg.To, cfg.Format); err != nil {
				return usageError{err}
			}
			from, err := readTime("since", since, a.now())
			if err != nil {
				return err
			}
			to, err := readTime("until", until, a.now())
			if err != nil {
				return err
			}
			cfg.Record, cfg.Name, cfg.Out, cfg.Version = *dir, "export", a.out, buildVersion()
			cfg.Ask = export.Request{Since: from, Until: to, Follow: follow, Format: cfg.Format}
			if *dir != "" {
				return a.export(c.Context(), cfg, follow)
			}
			return a.with(c.Context(), *addr, func(gw *client.Gateway) error {
				cfg.Open = func(ctx context.Context, in export.Request) (io.ReadCloser, error) {
					return gw.Read(ctx, http.MethodPost, api.AuditExportPath, in)
				}
				return a.export(c.Context(), cfg, follow)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&cfg.To, "to", "stdout", "stdout, file:PATH, https://…, syslog+tls://HOST:PORT, syslog+tcp://…, syslog+udp://… or syslog+unix://PATH")
	f.StringVar(&cfg.Format, "format", "json", "json, ocsf, cef or otlp")
	f.StringVar(&cfg.Cursor, "cursor", "", "file that says how far it got")
	f.StringVar(&since, "since", "", "a time ago such as 24h or 30d, a day, or a time as RFC 3339")
	f.StringVar(&until, "until", "", "as --since")
	f.BoolVar(&follow, "follow", false, "go on with what the record gets, until it is stopped")
	// The only error is a flag that does not exist, and it was just made.
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(slices.Clone(export.Formats), cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (a *app) export(ctx context.Context, cfg export.Config, follow bool) error {
	x, err := export.New(cfg)
	if err != nil {
		return err
	}
	defer x.Close()
	if follow {
		return a.followRecord(ctx, x)
	}
	const tries = 5
	for try := 1; ; try++ {
		err = x.CatchUp(ctx)
		if _, refused := api.AsError(err); err == nil || refused || ctx.Err() != nil || try == tries {
			break
		}
		fmt.Fprintf(a.err, "it is tried again: %s\n", reason(err))
		select {
		case <-ctx.Done():
		case <-time.After(time.Second << try):
		}
	}
	if _, refused := api.AsError(err); refused {
		return err
	}
	if err != nil && ctx.Err() == nil {
		return tell(exitError, "check that it listens there; with --cursor it goes on where it stopped", "the record was not handed on whole, %d entries were: %s", x.Stats().Delivered, reason(err))
	}
	return err
}

// Waits of followRecord: for what comes, and after a failure, doubled each time.
const (
	followEvery   = time.Second
	longestFollow = 2 * time.Minute
)

// followRecord hands the record on until ctx is done, or until the gateway says that it
// gives nothing to this caller.
func (a *app) followRecord(ctx context.Context, x *export.Exporter) error {
	for wait := followEvery; ; {
		err := x.CatchUp(ctx)
		_, refused := api.AsError(err)
		next := followEvery
		switch {
		case ctx.Err() != nil:
			return nil
		case refused:
			return err
		case err != nil:
			if wait == followEvery {
				fmt.Fprintf(a.err, "it is tried again until it is taken: %s\n", reason(err))
			}
			next, wait = wait, min(2*wait, longestFollow)
		default:
			wait = followEvery
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(next):
		}
	}
}
