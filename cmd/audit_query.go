package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/audit/index"
	"github.com/sluicehq/sluice/gateway"
)

// eventKinds are the kinds of event that --kind tells from kinds of statement.
var eventKinds = []audit.Kind{
	audit.Decided, audit.Finished, audit.Connected, audit.Closed, audit.LoggedIn, audit.Asked, audit.Voted, audit.Answered,
	audit.Questioned, audit.Admin, audit.Ran, audit.Started, audit.Stopped, audit.Rights, audit.Removed, audit.Rotated,
	audit.RunBegan, audit.RunEnded, audit.Claimed,
}

func (a *app) auditQueryCommand(addr, dir *string) *cobra.Command {
	var q api.AuditQuery
	var since, until, kind, literals string
	var entries bool
	var f format
	c := &cobra.Command{
		Use: "query", Short: "ask the record: who did what, when, to which table or column", Args: noArgs,
		Long: `Find statements and other events of the record, the newest first, or count them
with --by. A statement is one line, with how it ended; --entries shows its entries as
they stand in the record. All conditions must hold.

--text finds part of a statement, whatever its values, and whole words (or their
beginnings) of values, errors and reasons; --scan reads the record itself, slower,
and finds any part of any of them.

A gateway answers its auditors about everyone, and others about themselves; it
records the question. With --record a copy is asked, without a gateway; its index is
kept in a file beside it.`,
		Example: "  sluice audit query --since 30d --column customers.ssn\n  sluice audit query --since 30d --column customers.ssn --by who\n  sluice audit query --about ada@example.com --by who\n" +
			"  sluice audit query --effect deny --group support --by rule,who -o csv\n  sluice audit query --rows-over 10000 --masked --since 2026-01-01\n  sluice audit query --run train-churn --since 7d",
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if q.Since, err = readTime("since", since, a.now()); err != nil {
				return err
			}
			if q.Until, err = readTime("until", until, a.now()); err != nil {
				return err
			}
			if q.Limit < 0 || q.RowsOver < 0 {
				return usageError{errors.New("--limit and --rows-over cannot be negative")}
			}
			if slices.Contains(eventKinds, audit.Kind(kind)) {
				q.Kind = audit.Kind(kind)
			} else {
				q.Statement = kind
			}
			q.Whole = !entries && q.Kind != audit.Finished
			if *dir != "" {
				if q, err = aboutOffline(q, *dir, literals); err != nil {
					return err
				}
			} else if literals != "" {
				return usageError{errors.New("--literals-key goes with --record")}
			}
			if len(q.By) > 0 {
				if err := (index.Count{By: q.By, Order: q.Order, Limit: q.Limit}).Check(); err != nil {
					return usageError{err}
				}
			} else if q.Order != "" {
				return usageError{errors.New("--order goes with --by")}
			}
			return a.auditQuery(c.Context(), *addr, *dir, f, q)
		},
	}
	s := c.Flags()
	s.StringVar(&since, "since", "", "a time ago such as 24h or 30d, a day, or a time as RFC 3339")
	s.StringVar(&until, "until", "", "as --since")
	s.StringVar(&kind, "kind", "", "kind of statement (select, update, …) or of event (login, connected, asked, voted, ran, admin, …)")
	s.StringVar(&literals, "literals-key", "", "with --record and --about: the file with the key of pseudonyms; default literals.key beside the record")
	s.BoolVar(&entries, "entries", false, "each entry by itself, as it stands in the record")
	auditConditions(s, &q)
	addFormat(c, &f, "table", "json", "csv", "jsonl")
	return c
}

// auditConditions are the flags that choose and count.
func auditConditions(s *pflag.FlagSet, q *api.AuditQuery) {
	s.StringVar(&q.Who, "who", "", "name, subject or owner")
	s.StringVar(&q.Group, "group", "", "group of the caller")
	s.StringVar(&q.Connection, "connection", "", "name of a connection")
	s.StringVar(&q.Session, "session", "", "id of a session")
	s.StringVar(&q.Effect, "effect", "", "allow, hold or deny")
	s.StringVar(&q.Outcome, "outcome", "", "ok, error, refused, cancelled, …")
	s.StringVar(&q.Rule, "rule", "", "rule that decided")
	s.StringVar(&q.Approver, "approver", "", "who approved it")
	s.StringVar(&q.Table, "table", "", "relation read or written, such as orders or public.orders")
	s.StringVar(&q.Column, "column", "", "column read or written, such as ssn or customers.ssn")
	s.StringVar(&q.Touches, "touches", "", "either of them")
	s.StringVar(&q.Text, "text", "", "part of the statement; a word of a value, the error or the reason")
	s.StringVar(&q.About, "about", "", "a value that a statement looked for or wrote, of which the record has a pseudonym: an address, a number, …")
	s.StringVar(&q.Fingerprint, "fingerprint", "", "of the statement: the same for all that differ in values only")
	s.Int64Var(&q.RowsOver, "rows-over", 0, "only what returned or changed more rows than this")
	s.BoolVar(&q.Masked, "masked", false, "only what had values hidden")
	s.StringVar(&q.Personal, "personal", "", "column of personal data, as --column, or what it holds, such as email; * for any")
	s.StringVar(&q.Purpose, "purpose", "", "what the caller said it is for, with SET sluice.reason")
	s.StringVar(&q.Run, "run", "", "run of a job or runbook, by its id; by the name of a job or runbook, all of its runs")
	s.IntVar(&q.Limit, "limit", 0, "lines at most; 0 is 100")
	s.StringSliceVar(&q.By, "by", nil, "count instead, by one or two of "+strings.Join(index.Dimensions, ", "))
	s.StringVar(&q.Order, "order", "", "with --by: "+strings.Join(index.Orders, ", ")+"; what has most comes first")
	s.BoolVar(&q.Scan, "scan", false, "read the record itself, not its index")
}

func (a *app) auditQuery(ctx context.Context, addr, dir string, f format, q api.AuditQuery) error {
	res, err := a.queryRecord(ctx, addr, dir, q)
	if err != nil {
		return err
	}
	if res.Note != "" {
		fmt.Fprintln(a.err, clean(res.Note))
	}
	if res.Next > 0 || res.More > 0 {
		fmt.Fprintf(a.err, "There is more: raise --limit, or narrow with --since and --until.\n")
	}
	if len(q.By) > 0 {
		return f.print(a.out, groupsTable(q.By, res.Groups))
	}
	return f.print(a.out, eventsTable(res.Events))
}

// queryRecord asks the gateway, or reads dir.
func (a *app) queryRecord(ctx context.Context, addr, dir string, q api.AuditQuery) (res api.AuditResult, err error) {
	if dir == "" {
		err = a.call(ctx, addr, http.MethodPost, api.AuditQueryPath, q, &res)
		return res, err
	}
	if q.Scan {
		return gateway.Inquire(ctx, dir, nil, q)
	}
	x, err := a.offlineIndex(ctx, dir)
	if err != nil {
		return res, err
	}
	defer x.Close()
	return gateway.Inquire(ctx, dir, x, q)
}

// hasRecord says that a directory has no record.
func hasRecord(dir string) error {
	if err := audit.Check(dir); err != nil {
		return tell(exitError, "give the directory that has log.vkey and entries in it", "there is no record in %s: %s", dir, reason(err))
	}
	return nil
}

// offlineIndex opens the index of a record that is read without a gateway, up to its
// end. If that cannot be, answers come from the record.
func (a *app) offlineIndex(ctx context.Context, dir string) (*index.Index, error) {
	if err := hasRecord(dir); err != nil {
		return nil, err
	}
	x := index.New(index.Config{Record: dir})
	late := time.AfterFunc(2*time.Second, func() { fmt.Fprintln(a.err, "indexing the record, half a minute for each million entries …") })
	defer late.Stop()
	if err := x.CatchUp(ctx); err != nil && ctx.Err() != nil {
		return nil, errors.Join(err, x.Close())
	}
	return x, nil // what else is wrong is said by the answer
}

func groupsTable(by []string, groups []api.AuditGroup) table {
	if groups == nil {
		groups = []api.AuditGroup{}
	}
	t := table{head: append(slices.Clone(by), "count", "rows", "bytes", "masked", "first", "last"), value: groups}
	for _, g := range groups {
		row := slices.Clone(g.Values)
		for i, v := range row {
			if v == "" {
				row[i] = "-"
			}
		}
		for _, n := range []int64{g.Count, g.Rows, g.Bytes, g.Masked} {
			row = append(row, strconv.FormatInt(n, 10))
		}
		t.rows = append(t.rows, append(row, g.First.Local().Format(time.DateTime), g.Last.Local().Format(time.DateTime)))
	}
	return t
}

func eventsTable(events []audit.Event) table {
	if events == nil {
		events = []audit.Event{}
	}
	t := table{head: []string{"time", "id", "kind", "who", "connection", "result", "rule", "rows", "masked", "statement"}, value: events}
	for _, e := range events {
		result, rows, masked, text := e.Outcome, "", "", e.SQL
		if result == "" {
			result = e.Effect
		}
		if e.Outcome != "" && (e.Kind == audit.Finished || e.Kind == audit.Decided) {
			rows, masked = strconv.FormatInt(e.Rows, 10), strconv.FormatInt(e.Masked, 10)
		}
		if text == "" {
			text = cmp.Or(e.Detail, e.Error) // what was refused has the reason only
		}
		if text == "" && e.Job != "" { // a run
			text = strings.TrimSpace(e.Job + " " + e.Command)
		}
		t.rows = append(t.rows, []string{e.Time.Local().Format(time.DateTime), e.ID, string(e.Kind), e.Who, e.Connection, result, e.Rule, rows, masked, short(text, statementWidth)})
	}
	return t
}
