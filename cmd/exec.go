package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/internal/howlong"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/runbook/steps"
)

type execFlags struct {
	addr      string
	tokenFile string
	sql       []string
	file      string
	wait      time.Duration
	reason    string
	format    format

	request string // what was approved ahead of time
	apart   bool   // its statements are sent one by one
}

func (a *app) execCommand() *cobra.Command {
	var o execFlags
	c := &cobra.Command{
		Use: "exec NAME -c SQL|-f FILE", Short: "run statements and print what they give; for scripts and CI", Args: oneArg,
		Long: `Run statements and print what they give. Each -c, and the file, is sent as one
message: its statements run in one transaction unless they begin their own.

Exit code 3 means refused by policy, 4 held and not approved in time.`,
		Example:           "  sluice exec orders -c 'select count(*) from orders'\n  sluice exec orders -f migration.sql --wait 1h --reason 'release 42'",
		ValidArgsFunction: a.names(&o.addr),
		RunE:              func(c *cobra.Command, args []string) error { return a.exec(c, args[0], o) },
	}
	f := c.Flags()
	f.StringArrayVarP(&o.sql, "command", "c", nil, "statements to run; may be given several times")
	f.StringVarP(&o.file, "file", "f", "", "file with statements; - is standard input")
	f.DurationVar(&o.wait, "wait", 10*time.Minute, "how long to wait for approval of what is held")
	f.StringVar(&o.reason, "reason", "", "why, for approvers and the record")
	f.StringVar(&o.request, "request", "", "run the script that was approved ahead of time under this id")
	f.BoolVar(&o.apart, "no-transaction", false, "with --request: send its statements one by one, each in a transaction of its own")
	a.addGateway(c, &o.addr)
	addTokenFile(c, &o.tokenFile)
	addFormat(c, &o.format, "table", "json", "csv")
	return c
}

func (a *app) exec(c *cobra.Command, name string, o execFlags) error {
	if o.request != "" {
		return a.execRequest(c, name, o)
	}
	if o.apart {
		return usageError{errors.New("--no-transaction goes with --request; without it each -c is sent by itself")}
	}
	if len(o.sql) == 0 && o.file == "" {
		return usageError{errors.New("there is nothing to run: give -c or -f")}
	}
	if o.wait <= 0 {
		return usageError{errors.New("--wait must be longer than nothing")}
	}
	texts := o.sql
	if o.file != "" {
		text, err := a.readSQL(o.file)
		if err != nil {
			return err
		}
		texts = append(texts, text)
	}
	for _, text := range texts {
		if err := plainSQL(text); err != nil {
			return err
		}
	}
	ctx := c.Context()
	return a.withToken(ctx, o.addr, o.tokenFile, a.notice, func(gw *client.Gateway) error {
		return a.execTexts(ctx, gw, name, o, texts)
	})
}

// execTexts sends texts one after the other over one session.
func (a *app) execTexts(ctx context.Context, gw *client.Gateway, name string, o execFlags, texts []string) error {
	conn, err := connectionNamed(ctx, gw, name)
	if err != nil {
		return err
	}
	e := &execution{a: a, format: o.format, wait: o.wait}
	db, err := e.open(ctx, gw, name, conn.Database)
	if err != nil {
		return sqlError(err)
	}
	defer db.Close(context.WithoutCancel(ctx)) // says goodbye even after Ctrl-C
	if o.reason != "" {
		if err := tellGateway(ctx, db, "reason", o.reason); err != nil {
			return sqlError(err)
		}
	}
	if o.request != "" {
		if err := tellGateway(ctx, db, "request", o.request); err != nil {
			return sqlError(err)
		}
	}
	for _, text := range texts {
		if err := e.run(ctx, db, text); err != nil {
			return err
		}
	}
	return nil
}

// tellGateway sends a setting that speaks to the gateway, and means nothing to the
// database.
func tellGateway(ctx context.Context, db *pgconn.PgConn, name, value string) error {
	return steps.Tell(ctx, db, name, clean(value))
}

// plainSQL refuses what psql would do itself, and what needs a stream of its own.
func plainSQL(text string) error {
	for _, s := range query.Analyze(text, nil) {
		if s.Kind == query.CopyFrom || s.Kind == query.CopyTo {
			return tell(exitUsage, "use sluice connect NAME -- psql", "exec does not carry COPY data")
		}
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), `\`) {
			return tell(exitUsage, "use sluice connect NAME -- psql", "commands of psql such as %s do not work here", short(strings.TrimSpace(line), 20))
		}
	}
	return nil
}

// execution runs texts one after the other. Notices arrive on the goroutine that
// reads results, which is the caller of run.
type execution struct {
	a       *app
	format  format
	wait    time.Duration
	program string               // what it calls itself; "sluice exec" if empty
	params  map[string]string    // further settings of the session
	hear    func(*pgconn.Notice) // of notices; nil prints them

	mu      sync.Mutex
	cancel  context.CancelFunc // of the text that runs
	timer   *time.Timer        // guarded by mu; runs while a statement is held
	expired bool               // guarded by mu; the wait was over first
}

// open logs in over a stream of the tunnel.
func (e *execution) open(ctx context.Context, gw *client.Gateway, name, database string) (*pgconn.PgConn, error) {
	cfg, err := gw.SessionConfig(name, database, cmp.Or(e.program, "sluice exec"))
	if err != nil {
		return nil, err
	}
	maps.Copy(cfg.RuntimeParams, e.params)
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return gw.StreamOf(ctx, name, "", e.a.env(runVar))
	}
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { e.notice(n) }
	return pgconn.ConnectConfig(ctx, cfg)
}

func (e *execution) notice(n *pgconn.Notice) {
	if e.hear != nil {
		e.hear(n)
	} else {
		e.print(n)
	}
	e.held(n.Code == "01000" && strings.HasPrefix(strings.TrimPrefix(n.Message, "still "), "waiting for approval "))
}

func (e *execution) print(n *pgconn.Notice) {
	fmt.Fprintf(e.a.err, "%s: %s\n", clean(n.Severity), clean(n.Message))
	for _, more := range []string{n.Detail, n.Hint} {
		if more != "" {
			fmt.Fprintf(e.a.err, "  %s\n", clean(more))
		}
	}
}

// held starts the wait, or ends it.
func (e *execution) held(waits bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case !waits && e.timer != nil:
		e.timer.Stop()
		e.timer = nil
	case waits && e.timer == nil && e.cancel != nil:
		cancel := e.cancel
		e.timer = time.AfterFunc(e.wait, func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.expired = true
			cancel()
		})
	}
}

func (e *execution) run(ctx context.Context, db *pgconn.PgConn, text string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e.cancel = cancel
	defer e.held(false)
	results := db.Exec(ctx, text)
	var failed error
	for failed == nil && results.NextResult() {
		e.held(false)
		failed = e.result(results.ResultReader())
	}
	if failed != nil {
		cancel() // what is left is not wanted
	}
	err := results.Close()
	e.mu.Lock()
	expired := e.expired
	e.mu.Unlock()
	switch {
	case expired && err != nil:
		return tell(exitNotApproved, "talk to the approvers, or wait longer with --wait", "not approved within %s; the statement was withdrawn", howlong.Text(e.wait))
	case failed != nil:
		return failed
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return sqlError(err)
}

// result prints one result once it is whole: rows that an error cut short are not
// printed, since nothing on standard output would say that some are missing.
func (e *execution) result(r *pgconn.ResultReader) error {
	res := &pgconn.Result{}
	for _, f := range r.FieldDescriptions() {
		f.Name = strings.Clone(f.Name)
		res.FieldDescriptions = append(res.FieldDescriptions, f)
	}
	for r.NextRow() {
		row := make([][]byte, len(r.Values()))
		for i, v := range r.Values() {
			if v != nil {
				row[i] = append([]byte{}, v...)
			}
		}
		res.Rows = append(res.Rows, row)
	}
	tag, err := r.Close()
	if err != nil {
		return nil //nolint:nilerr // results.Close gives the same error, with the wait considered
	}
	if len(res.FieldDescriptions) == 0 {
		if tag.String() != "" {
			fmt.Fprintln(e.a.err, clean(tag.String()))
		}
		return nil
	}
	return e.format.print(e.a.out, rowsTable(res, e.format.name))
}

// sqlError gives an error of the database its exit code and all it says.
func sqlError(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	sentence := clean(pg.Message)
	switch {
	case pg.Code == "42501" && strings.HasPrefix(pg.Message, "refused by policy"):
		return tell(exitRefused, clean(pg.Hint), "%s (%s)", sentence, clean(pg.Detail))
	case pg.Code == "42501" && strings.HasPrefix(pg.Message, "not approved"):
		return tell(exitNotApproved, clean(pg.Hint), "%s (%s)", sentence, clean(pg.Detail))
	}
	if pg.Detail != "" {
		sentence += "; " + clean(pg.Detail)
	}
	return tell(exitError, clean(pg.Hint), "%s (SQLSTATE %s)", sentence, clean(pg.Code))
}

// begin notes what ends the text that runs from now on.
func (e *execution) begin(cancel context.CancelFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cancel, e.expired = cancel, false
}

func (e *execution) isExpired() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.expired
}
