package cmd

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit/report"
)

func (a *app) auditReportCommand(addr, dir *string) *cobra.Command {
	var in api.AuditReport
	var since, until, to, key string
	var f format
	c := &cobra.Command{
		Use: "report --for " + strings.Join(report.Names(), "|"), Short: "make the page that an auditor asks for", Args: noArgs,
		Long: `Make one HTML page, which prints as PDF on A4: who had access and who used it,
privileged changes with who approved them, access to personal data by person, column
and purpose, refused attempts, and whether the record verifies, with the signed
checkpoint that the page was made from. Nothing in it comes from elsewhere.

A gateway makes it for its auditors, and records that. With --record a copy is read
without a gateway. --quick does not read each entry to verify it.`,
		Example: "  sluice audit report --for soc2 --since 90d --file soc2.html\n  sluice audit report --for gdpr --since 2026-01-01 --until 2026-04-01 --record /copy/of/record --key log.vkey > gdpr.html",
		RunE: func(c *cobra.Command, _ []string) error {
			if !slices.Contains(report.Names(), in.For) {
				return usageError{fmt.Errorf("--for is %q%s", short(in.For, 40), didYouMean(in.For, report.Names()))}
			}
			var err error
			if in.Since, err = readTime("since", since, a.now()); err != nil {
				return err
			}
			if in.Until, err = readTime("until", until, a.now()); err != nil {
				return err
			}
			if in.Until.IsZero() {
				in.Until = a.now()
			}
			if !in.Since.Before(in.Until) {
				return usageError{fmt.Errorf("--since must be before --until")}
			}
			if key != "" && *dir == "" {
				return usageError{fmt.Errorf("--key goes with --record")}
			}
			r, err := a.makeReport(c.Context(), *addr, *dir, key, in)
			if err != nil {
				return err
			}
			return a.printReport(f, to, r)
		},
	}
	c.Flags().StringVar(&in.For, "for", "", strings.Join(report.Names(), ", "))
	c.Flags().StringVar(&since, "since", "90d", "a time ago such as 24h or 90d, a day, or a time as RFC 3339")
	c.Flags().StringVar(&until, "until", "", "as --since; now if not given")
	c.Flags().StringVar(&to, "file", "", "write to this file, not to the output")
	c.Flags().StringVar(&key, "key", "", "with --record: the public key that must have signed, or a file with it")
	c.Flags().BoolVar(&in.Quick, "quick", false, "check what was signed, without reading each entry")
	addFormat(c, &f, "html", "json")
	return c
}

func (a *app) makeReport(ctx context.Context, addr, dir, key string, in api.AuditReport) (r *report.Report, err error) {
	if dir == "" {
		err = a.call(ctx, addr, http.MethodPost, api.AuditReportPath, in, &r)
		return r, err
	}
	if text, err := readFile(key, maxProof); key != "" && err == nil {
		key = strings.TrimSpace(text)
	}
	x, err := a.offlineIndex(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer x.Close()
	return report.Make(ctx, report.Config{For: in.For, Since: in.Since, Until: in.Until, Made: a.now(), Record: dir, Index: x, Key: key, Quick: in.Quick})
}

func (a *app) printReport(f format, to string, r *report.Report) error {
	out := a.out
	if to != "" {
		file, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // it has statements in it
		if err != nil {
			return tell(exitError, "choose another file with --file", "the report cannot be written: %s", reason(err))
		}
		defer file.Close()
		out = file
	}
	if f.name == "json" {
		return f.print(out, table{value: r})
	}
	if err := r.HTML(out); err != nil {
		return err
	}
	if to != "" {
		fmt.Fprintf(a.err, "%s: entries 0 to %d, %s to %s\n", to, max(r.Entries, 1)-1, r.Since.UTC().Format("2006-01-02"), r.Until.UTC().Format("2006-01-02"))
	}
	if !r.Verified.OK() {
		return tell(exitError, "see the last section of the page", "the record does not verify: %d problems", len(r.Verified.Problems)+r.Verified.LeftOut)
	}
	return nil
}
