package cmd

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
)

func (a *app) auditCommand() *cobra.Command {
	var addr, dir string
	c := &cobra.Command{Use: "audit", Short: "ask and verify the record", Args: noSuch, RunE: group}
	a.addGateway(c, &addr)
	c.PersistentFlags().StringVar(&dir, "record", "", "read the record in this directory instead of asking a gateway")
	c.PersistentFlags().StringVar(&dir, "dir", "", "the same as --record")
	c.AddCommand(a.auditQueryCommand(&addr, &dir), a.auditSQLCommand(&addr, &dir), a.auditShowCommand(&addr, &dir), a.auditReplayCommand(&addr, &dir), a.auditVerifyCommand(&addr, &dir), a.auditProveCommand(&addr, &dir), a.auditReportCommand(&addr, &dir), a.auditRotateCommand(&addr, &dir), a.auditExportCommand(&addr, &dir))
	return c
}

// readTime reads a time, a day, or how long ago.
func readTime(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.AddDate(0, 0, -int(n)), nil
		}
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usageError{fmt.Errorf("--%s is %q; write 24h, 30d, 2026-01-31 or 2026-01-31T15:04:05Z", flag, text)}
}

func (a *app) auditShowCommand(addr, dir *string) *cobra.Command {
	var f format
	c := &cobra.Command{
		Use: "show ID", Short: "print one entry whole, and those that belong to it", Args: oneArg, Example: "  sluice audit show ID",
		RunE: func(c *cobra.Command, args []string) error {
			one, err := a.queryRecord(c.Context(), *addr, *dir, api.AuditQuery{ID: args[0]})
			if err != nil {
				return err
			}
			if len(one.Events) == 0 {
				return tell(exitError, "ids stand in the output of sluice audit query", "there is no entry %q in the record, or it is not yours", args[0])
			}
			more, err := a.queryRecord(c.Context(), *addr, *dir, api.AuditQuery{Of: args[0]})
			if err != nil {
				return err
			}
			events := append(one.Events, more.Events...)
			t := eventsTable(events)
			if f.name == "csv" {
				return f.print(a.out, t)
			}
			return (&format{"json"}).print(a.out, t)
		},
	}
	addFormat(c, &f, "json", "csv")
	return c
}

func (a *app) printVerified(f format, v api.VerifyResult) error {
	if f.name == "json" {
		if err := f.print(a.out, table{value: v}); err != nil {
			return err
		}
	} else if v.OK {
		if _, err := fmt.Fprintf(a.out, "ok: %d entries, %d checkpoints, root %s, signed by %s\n", v.Entries, v.Checkpoints, v.Root, v.Signer); err != nil {
			return err
		}
		if v.Removed > 0 {
			fmt.Fprintf(a.out, "the first %d entries were removed, which the record says; their hashes are those that were signed\n", v.Removed)
		}
		if v.Witnessed > 0 {
			fmt.Fprintf(a.out, "the witness saw %d of them, and they are the same\n", v.Witnessed)
		}
		if len(v.Keys) > 1 {
			fmt.Fprintf(a.out, "%d keys have signed, one after the other: %s\n", len(v.Keys), strings.Join(v.Keys, ", "))
		}
		if v.Replaced {
			fmt.Fprintln(a.err, "The key that was given has been replaced since. If it was stolen, whoever has it could have begun a record of their own: give the newest one, which came to you by another way.")
		}
		if v.SelfSigned {
			fmt.Fprintln(a.err, "The key came from the record's own directory: whoever replaced all of it goes unseen. Give --key to be sure.")
		}
	}
	if v.OK {
		return nil
	}
	for _, p := range v.Problems {
		fmt.Fprintf(a.err, "entry %d: %s (%s, byte %d)\n", p.Entry, clean(p.What), clean(p.File), p.Offset)
	}
	return tell(exitError, "keep the directory as it is, and compare it with a copy", "the record does not verify: %d problems", len(v.Problems))
}
