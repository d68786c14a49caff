package cmd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/internal/pgcluster"
	"github.com/sluicehq/sluice/runbook"
	"github.com/sluicehq/sluice/runbook/steps"
)

// runbookCases are those of one runbook. A sheet reads them.
type runbookCases struct {
	Schema string        `yaml:"schema"` // SQL that makes the tables, for every case
	Tests  []runbookCase `yaml:"tests"`
}

// runbookCase is one run, and what must have become of the database.
type runbookCase struct {
	Name   string            `yaml:"name"`
	Setup  string            `yaml:"setup"`  // SQL, after the schema
	Params map[string]string `yaml:"params"` // what is left out has its default
	Expect runbookExpect     `yaml:"expect"`
}

type runbookExpect struct {
	Status string         `yaml:"status"` // default done; refused for values that are not allowed
	Reason string         `yaml:"reason"` // part of why it failed
	Rows   map[string]int `yaml:"rows"`   // by step
	Check  []string       `yaml:"check"`  // queries that must give one true
}

// triedRunbook is what came of one case.
type triedRunbook struct {
	Runbook string   `json:"runbook"`
	File    string   `json:"file"`
	Line    int      `json:"line"`
	Name    string   `json:"name"`
	OK      bool     `json:"ok"`
	Status  string   `json:"status"`
	Diff    []string `json:"diff"`
}

const caseRefused = "refused" // the status of a case whose values are not allowed

func (a *app) runbookTestCommand(s *shelf) *cobra.Command {
	var dsn string
	var verbose bool
	var f format
	c := &cobra.Command{
		Use: "test [NAME…]", Short: "run runbooks on cases, each in a scratch database",
		Long: `Run runbooks on their cases, which stand in NAME_test.yaml beside NAME.yaml:

  schema: |                      # for every case
    create table orders (id int primary key, status text);
  tests:
    - name: cancels an order
      setup: insert into orders values (1, 'paid')
      params: {order: 1}
      expect:
        rows: {cancel: 1}
        check: ["select status = 'cancelled' from orders where id = 1"]
    - name: leaves an order that was sent
      setup: insert into orders values (1, 'sent')
      params: {order: 1}
      expect: {status: unchanged, reason: expected rows == 1}

Each case has a database of its own, in a PostgreSQL that is started for it or on the
server of --dsn, and removed afterwards. No gateway is asked: sluice runbook plan says
what the policy makes of a runbook.`,
		Example:           "  sluice runbook test\n  sluice runbook test erase-customer -v --dsn \"$DSN\"",
		ValidArgsFunction: a.titles(s),
		RunE: func(c *cobra.Command, args []string) error {
			return a.runbookTest(c.Context(), a.shelfOf(*s), args, dsn, verbose, f)
		},
	}
	c.Flags().StringVar(&dsn, "dsn", "", "connection string of a server that scratch databases may be made on")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "name the cases that hold too")
	addFormat(c, &f, "text", "json")
	return c
}

func (a *app) runbookTest(ctx context.Context, sh shelf, names []string, dsn string, verbose bool, f format) error {
	if sh.ref != "" {
		return usageError{errors.New("test takes the files as they are; leave --ref out")}
	}
	all := len(names) == 0
	if all {
		var err error
		if names, err = sh.names(ctx); err != nil {
			return err
		}
	}
	lab, err := a.openLab(ctx, dsn)
	if err != nil {
		return err
	}
	out := []triedRunbook{}
	for _, name := range names {
		tried, terr := a.tryRunbook(ctx, lab, sh, name, all)
		if terr != nil {
			return errors.Join(terr, lab.close())
		}
		out = append(out, tried...)
	}
	if err := lab.close(); err != nil {
		return err
	}
	return a.printTried(f, out, verbose)
}

// lab is a server on which scratch databases are made.
type lab struct {
	dsn     string
	cluster *pgcluster.Cluster // nil if the server is somebody's
	made    []string           // databases that are still there
}

func (a *app) openLab(ctx context.Context, dsn string) (*lab, error) {
	if dsn != "" {
		if _, err := devConnection(dsn, ownName, ""); err != nil {
			return nil, err
		}
		return &lab{dsn: dsn}, nil
	}
	c, err := pgcluster.Start(ctx, pgcluster.Config{})
	if errors.Is(err, pgcluster.ErrNoPostgres) {
		return nil, tell(exitError, "install the package postgresql, or give the server of one with --dsn", "no PostgreSQL server is installed on this machine")
	}
	if err != nil {
		return nil, err
	}
	return &lab{dsn: c.DSN("postgres"), cluster: c}, nil
}

// database makes one, of what another holds if that is not empty.
func (l *lab) database(ctx context.Context, template string) (name string, err error) {
	name = "sluice_runbook_" + strings.ToLower(rand.Text()[:10])
	sql := "create database " + name
	if template != "" {
		sql += " template " + template
	}
	if err := run(ctx, l.dsn, sql); err != nil {
		return "", fmt.Errorf("make a scratch database: %w", err)
	}
	l.made = append(l.made, name)
	return name, nil
}

func (l *lab) drop(ctx context.Context, name string) error {
	l.made = slices.DeleteFunc(l.made, func(have string) bool { return have == name })
	return run(ctx, l.dsn, "drop database "+name+" with (force)")
}

// close removes what was made.
func (l *lab) close() error {
	if l.cluster != nil {
		return l.cluster.Stop()
	}
	var errs []error
	for _, name := range slices.Clone(l.made) {
		errs = append(errs, l.drop(context.Background(), name))
	}
	return errors.Join(errs...)
}

func (l *lab) config(database string) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(l.dsn)
	if err != nil {
		return nil, err
	}
	cfg.Database = database
	return cfg, nil
}

func (l *lab) connect(ctx context.Context, database string) (*pgx.Conn, error) {
	cfg, err := l.config(database)
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, cfg)
}

// exec runs SQL of a case's author, several statements in a transaction.
func (l *lab) exec(ctx context.Context, database, sql string) error {
	conn, err := l.connect(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.PgConn().Exec(ctx, sql).ReadAll()
	return err
}

// tryRunbook runs all cases of a runbook. One without cases is passed over if it was
// not named.
func (a *app) tryRunbook(ctx context.Context, l *lab, sh shelf, name string, among bool) ([]triedRunbook, error) {
	b, v, err := sh.open(ctx, name)
	if err != nil {
		return nil, err
	}
	path := casesBeside(v.File)
	data, err := readFile(path, maxConfig)
	if errors.Is(err, os.ErrNotExist) && among {
		fmt.Fprintf(a.err, "%s: no cases in %s\n", b.Name, path)
		return nil, nil
	}
	if err != nil {
		return nil, tell(exitUsage, "write them there; sluice runbook test --help shows the form", "the cases of %s cannot be read: %s", b.Name, reason(err))
	}
	cases, s := &runbookCases{}, &sheet{}
	s.read([]byte(data), cases)
	cases.check(s, b)
	if err := s.err(path); err != nil {
		return nil, err
	}
	template, err := l.database(ctx, "")
	if err != nil {
		return nil, err
	}
	if err := l.exec(ctx, template, cases.Schema); err != nil {
		return nil, tell(exitUsage, "mend schema: in "+path, "the schema cannot be made: %v", err)
	}
	var out []triedRunbook
	for i := range cases.Tests {
		t := triedRunbook{Runbook: b.Name, File: path, Line: s.Lines[fmt.Sprintf("tests[%d]", i)], Name: cases.Tests[i].Name, Diff: []string{}}
		if err := a.tryCase(ctx, l, template, b, &cases.Tests[i], &t); err != nil {
			return nil, err
		}
		t.OK = len(t.Diff) == 0
		out = append(out, t)
	}
	return out, l.drop(ctx, template)
}

func (c *runbookCases) check(s *sheet, b *runbook.Runbook) {
	if len(s.Problems) > 0 {
		return
	}
	if len(c.Tests) == 0 {
		s.sayAt("tests", "tests is missing or empty: write at least one case")
	}
	statuses := []string{caseRefused}
	for status := range statusWords {
		statuses = append(statuses, string(status))
	}
	slices.Sort(statuses)
	for i := range c.Tests {
		at, t := fmt.Sprintf("tests[%d]", i), &c.Tests[i]
		if t.Name == "" {
			s.sayAt(at, "the case has no name")
		}
		if t.Expect.Status != "" && !slices.Contains(statuses, t.Expect.Status) {
			s.sayAt(at+".expect.status", "status is %q%s", short(t.Expect.Status, 40), didYouMean(t.Expect.Status, statuses))
		}
		for step := range t.Expect.Rows {
			if !slices.ContainsFunc(b.Steps, func(st runbook.Step) bool { return st.Name == step }) {
				s.sayAt(at+".expect.rows."+step, "there is no step %q", short(step, 40))
			}
		}
	}
}

// tryCase runs one case in a database of its own.
func (a *app) tryCase(ctx context.Context, l *lab, template string, b *runbook.Runbook, c *runbookCase, t *triedRunbook) error {
	name, err := l.database(ctx, template)
	if err != nil {
		return err
	}
	if c.Setup != "" {
		if err := l.exec(ctx, name, c.Setup); err != nil {
			return tell(exitUsage, fmt.Sprintf("mend setup: of the case at %s:%d", t.File, t.Line), "the setup of %q fails: %v", short(c.Name, 60), err)
		}
	}
	values := map[string]any{}
	for param, v := range c.Params {
		values[param] = v
	}
	why, rows := "", map[string]int64{}
	bound, err := b.Bind(values)
	if err != nil {
		t.Status, why = caseRefused, err.Error()
	} else {
		state, err := runbook.Run(ctx, bound, runbook.Options{
			Now: a.now, Wait: pause, Open: func(ctx context.Context, _ bool) (runbook.Conn, error) { return a.labConn(ctx, l, name) },
		})
		if err != nil {
			why = err.Error()
		}
		t.Status = string(state.Status)
		for _, s := range state.Steps {
			rows[s.Name] = s.Rows
		}
	}
	diff := func(format string, args ...any) { t.Diff = append(t.Diff, fmt.Sprintf(format, args...)) }
	want := c.Expect.Status
	if want == "" {
		want = string(runbook.Done)
	}
	if t.Status != want {
		diff("it is %s, not %s; %s", t.Status, want, why)
	}
	if !strings.Contains(why, c.Expect.Reason) {
		diff("it failed because %q, which does not have %q", why, c.Expect.Reason)
	}
	for _, step := range slices.Sorted(maps.Keys(c.Expect.Rows)) {
		if n := int64(c.Expect.Rows[step]); rows[step] != n {
			diff("step %s has %d rows, not %d", step, rows[step], n)
		}
	}
	for _, sql := range c.Expect.Check {
		if err := l.holds(ctx, name, sql); err != nil {
			diff("%s: %v", strings.TrimSpace(sql), err)
		}
	}
	return l.drop(ctx, name)
}

// labConn is a session of a scratch database, without a gateway.
func (a *app) labConn(ctx context.Context, l *lab, name string) (runbook.Conn, error) {
	cfg, err := l.config(name)
	if err != nil {
		return nil, err
	}
	cfg.OnNotice = nil
	db, err := pgconn.ConnectConfig(ctx, &cfg.Config)
	if err != nil {
		return nil, err
	}
	return &stepConn{steps.Session{DB: db}, &execution{a: a}}, nil
}

// holds asks a query that must give true, in one row.
func (l *lab) holds(ctx context.Context, database, sql string) error {
	conn, err := l.connect(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return err
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[*bool])
	switch {
	case err != nil:
		return err
	case len(list) != 1:
		return fmt.Errorf("it gives %d rows, not one", len(list))
	case list[0] == nil || !*list[0]:
		return errors.New("it is not true")
	}
	return nil
}

func (a *app) printTried(f format, out []triedRunbook, verbose bool) error {
	failed := 0
	for _, t := range out {
		if !t.OK {
			failed++
		}
	}
	if f.name == "json" {
		if err := f.print(a.out, table{value: out}); err != nil {
			return err
		}
	} else {
		printTriedText(a.out, a.paintOut, out, verbose)
	}
	if failed > 0 {
		return tell(exitError, "mend the runbook, or what the cases expect", "%d of %d %s failed", failed, len(out), plural(len(out), "case"))
	}
	return nil
}

func printTriedText(w io.Writer, paint painter, out []triedRunbook, verbose bool) {
	ok := true
	for _, t := range out {
		word, color := "ok  ", green
		if !t.OK {
			word, color, ok = "FAIL", bold+";"+red, false
		}
		if !t.OK || verbose {
			fmt.Fprintf(w, "%s  %s:%d: %s\n", paint(color, word), t.File, t.Line, clean(t.Name))
		}
		for _, d := range t.Diff {
			fmt.Fprintf(w, "      %s\n", clean(d))
		}
	}
	if ok {
		fmt.Fprintf(w, "%s: %d %s\n", paint(green, "ok"), len(out), plural(len(out), "case"))
	}
}
