package cmd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/internal/howlong"
	"github.com/sluicehq/sluice/runbook"
)

func (o *runFlags) values(c *cobra.Command) {
	c.Flags().StringArrayVarP(&o.params, "param", "p", nil, "value of a parameter, as NAME=VALUE; may be given several times")
	c.Flags().StringVar(&o.paramFile, "params", "", "file with the values as a JSON object; - is standard input")
}

func (o *runFlags) running(a *app, c *cobra.Command) {
	c.Flags().StringVar(&o.reason, "reason", "", "why, for approvers and the record")
	c.Flags().DurationVar(&o.wait, "wait", 10*time.Minute, "how long to wait for approval of what is held")
	c.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask at the terminal before it runs")
	c.Flags().StringVar(&o.addr, "gateway", "", "the gateway to ask; without it the one last logged in to")
	addTokenFile(c, &o.tokenFile)
	addFormat(c, &o.format, "text", "json")
}

func (a *app) runbookRunCommand(s *shelf) *cobra.Command {
	var o runFlags
	c := &cobra.Command{
		Use: "run NAME [-p NAME=VALUE…]", Short: "run a runbook, as yourself", Args: oneArg,
		Long: `Run a runbook. The plan is shown first, and on a terminal you are asked whether to go
on; each step is told as it ends. What the steps return goes to standard output.

In one transaction, whatever fails leaves the database as it was. Where each step
stands by itself, a failed step is undone, and those before it by their undo; after a
lost session or Ctrl-C the run can be gone on with: sluice runbook resume RUN.

Exit code 3 means refused by policy, 4 not approved in time.`,
		Example:           "  sluice runbook run cancel-query -p pid=4711 --reason 'blocks the import'\n  sluice runbook run erase-customer -p customer=42 --reason 'ticket 7' -o json --yes",
		ValidArgsFunction: a.titles(s),
		RunE: func(c *cobra.Command, args []string) error {
			if o.wait <= 0 {
				return usageError{errors.New("--wait must be longer than nothing")}
			}
			b, v, err := a.shelfOf(*s).open(c.Context(), args[0])
			if err != nil {
				return err
			}
			bound, err := a.bind(b, o)
			if err != nil {
				return err
			}
			return a.withToken(c.Context(), o.addr, o.tokenFile, a.notice, func(gw *client.Gateway) error {
				r := &runner{a: a, gw: gw, o: o, book: b, file: v, id: runbook.NewRunID(), bound: bound, tell: a.progress}
				if err := r.announce(c.Context()); err != nil {
					return err
				}
				return r.show(c.Context(), nil, runbook.Options{})
			})
		},
	}
	o.values(c)
	o.running(a, c)
	c.Flags().BoolVar(&o.ahead, "ahead", false, "ask for approval of the whole run before it begins")
	c.Flags().StringVar(&o.request, "request", "", "run what was approved ahead of time under this id")
	return c
}

func (a *app) runbookResumeCommand() *cobra.Command {
	var o runFlags
	var undo bool
	var take string
	c := &cobra.Command{
		Use: "resume RUN", Short: "go on with a run that broke, or take back what it did", Args: oneArg,
		Long: `Go on with a run that broke. It is the runbook as it was when the run began, with the
same values. What became of a transaction whose end was not heard is asked of the
server; if it no longer knows, look at the database and say it with --take.

A run that a webhook began is the gateway's: if you may run its runbook, the gateway
goes on with it as you, and this command shows how. sluice runbook runs --hooks lists
those.`,
		Example: "  sluice runbook runs\n  sluice runbook resume rb-k3x9q2\n  sluice runbook resume rb-k3x9q2 --undo",
		RunE: func(c *cobra.Command, args []string) error {
			if take != "" && take != string(runbook.TakenDone) && take != string(runbook.TakenNotDone) {
				return usageError{fmt.Errorf("--take is %q, must be done or not-done", short(take, 40))}
			}
			kept, err := a.store().Runs().Load(args[0])
			if errors.Is(err, client.ErrNoRun) {
				return a.withToken(c.Context(), o.addr, o.tokenFile, a.notice, func(gw *client.Gateway) error {
					return notHere(args[0], a.resumeAtGateway(c.Context(), gw, args[0], api.HookResume{Undo: undo, Take: take, Reason: o.reason}, o))
				})
			}
			if err != nil {
				return tell(exitUsage, "run: sluice runbook runs", "%v", err)
			}
			b, err := runbook.Load(kept.File, []byte(kept.Text))
			if err != nil {
				return tell(exitError, "this sluice reads runbooks otherwise than the one that began the run", "%s", err)
			}
			values := map[string]any{}
			for name, v := range kept.Values {
				values[name] = nil
				if v != nil {
					values[name] = *v
				}
			}
			bound, err := b.Bind(values)
			if err != nil {
				return badValues(err)
			}
			if o.addr == "" {
				o.addr = kept.Gateway
			}
			if o.reason == "" {
				o.reason = kept.Reason
			}
			return a.withToken(c.Context(), o.addr, o.tokenFile, a.notice, func(gw *client.Gateway) error {
				r := &runner{a: a, gw: gw, o: o, book: b, file: volume{kept.File, kept.Text, kept.Commit}, id: kept.Run, goes: "on", bound: bound, tell: a.progress}
				if undo {
					r.goes = "back"
				}
				return r.show(c.Context(), kept, runbook.Options{Undo: undo, Take: runbook.Taken(take)})
			})
		},
	}
	o.running(a, c)
	c.Flags().BoolVar(&undo, "undo", false, "take back what the run did, the last step first")
	c.Flags().StringVar(&take, "take", "", "of a transaction in doubt: done or not-done, as you found it in the database")
	return c
}

// progress tells people what happens, beside the results.
func (a *app) progress(format string, args ...any) {
	fmt.Fprintf(a.err, "%s\n", cleanLines(fmt.Sprintf(format, args...)))
}

// bind takes the values that were given, and asks a person at a terminal for the rest.
func (a *app) bind(b *runbook.Runbook, o runFlags) (*runbook.Bound, error) {
	values, err := a.givenValues(o)
	if err != nil {
		return nil, err
	}
	if a.terminal && a.typing() && o.paramFile != "-" {
		in := bufio.NewReader(a.in)
		for _, p := range b.Parameters {
			if _, given := values[p.Name]; given || p.Optional || p.Default != nil {
				continue
			}
			fmt.Fprintf(a.err, "%s (%s): ", p.Name, clean(p.Words()))
			line, err := in.ReadString('\n')
			if err != nil && line == "" {
				return nil, tell(exitUsage, "give it with --param", "the parameter %s is missing", p.Name)
			}
			values[p.Name] = strings.TrimRight(line, "\r\n")
		}
		a.in = io.MultiReader(in, a.in) // what was read ahead
	}
	bound, err := b.Bind(values)
	if err != nil {
		return nil, tell(exitUsage, "sluice runbook show "+b.Name+" says what it takes", "%s", cleanLines(err.Error()))
	}
	return bound, nil
}

// jsonObject reads one object, numbers as they are written.
func jsonObject(text string) (map[string]any, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	out := map[string]any{}
	if err := dec.Decode(&out); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the object")
	}
	return out, nil
}

// announce shows the plan, and has a person at a terminal agree.
func (r *runner) announce(ctx context.Context) error {
	list, err := r.explained(ctx)
	if err != nil {
		return err
	}
	if err := r.a.printPlan(r.a.err, r.a.paint, r.bound, r.file, list, true); err != nil {
		return err
	}
	if no := firstDenied(list); no != nil {
		return tell(exitRefused, "see why: sluice runbook plan "+r.book.Name, "step %s would be refused by policy: %s (rule: %s)", no.Runs.Step, clean(no.Reason), clean(no.Rule))
	}
	if r.o.yes || !r.a.terminal {
		return nil
	}
	fmt.Fprintf(r.a.err, "Run it? [y/N] ")
	line, err := bufio.NewReader(r.a.in).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); err != nil || answer != "y" && answer != "yes" {
		return tell(exitError, "nothing ran", "you did not say yes")
	}
	return nil
}

// ranRunbook is what run and resume print with -o json.
type ranRunbook struct {
	*runbook.State
	Results []ranStep `json:"results"`
}

// ranStep is what a step returned, in its last turn.
type ranStep struct {
	Step    string          `json:"step"`
	Columns []string        `json:"columns"`
	Rows    json.RawMessage `json:"rows"`
}

// show runs and prints: progress as it happens, results when the run has ended well.
func (r *runner) show(ctx context.Context, from *client.KeptRun, o runbook.Options) error {
	results := map[string]*runbook.Result{}
	o.Tell = func(e runbook.Event) {
		if e.Result != nil && len(e.Result.Columns) > 0 {
			results[e.Step] = e.Result
		}
		r.tellEvent(e)
	}
	state, err := r.run(ctx, from, o)
	if state == nil {
		return err
	}
	out := ranRunbook{State: state, Results: []ranStep{}}
	for _, s := range state.Steps {
		res := results[s.Name]
		if res == nil || s.Status != runbook.StepIsDone {
			continue
		}
		t := resultRows(res)
		if r.o.format.name == "text" {
			fmt.Fprintf(r.a.out, "%s\n", r.a.paintOut(bold, s.Name))
			if err := t.print(r.a.out); err != nil {
				return err
			}
			continue
		}
		var rows bytes.Buffer
		enc := json.NewEncoder(&rows)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(t.value); err != nil {
			return err
		}
		out.Results = append(out.Results, ranStep{s.Name, t.head, rows.Bytes()})
	}
	if r.o.format.name == "json" {
		if perr := r.o.format.print(r.a.out, table{value: out}); perr != nil {
			return perr
		}
	}
	return r.ending(state, err)
}

// resultRows puts a result into the form that exec prints.
func resultRows(res *runbook.Result) table {
	p := &pgconn.Result{}
	for _, c := range res.Columns {
		p.FieldDescriptions = append(p.FieldDescriptions, pgconn.FieldDescription{Name: c.Name, DataTypeOID: c.OID})
	}
	for _, row := range res.Rows {
		out := make([][]byte, len(row))
		for i, v := range row {
			if v != nil {
				out[i] = []byte(*v)
			}
		}
		p.Rows = append(p.Rows, out)
	}
	return rowsTable(p, "table")
}

func (r *runner) tellEvent(e runbook.Event) {
	if line := r.a.eventLine(e); line != "" {
		r.tell("%s", line)
	}
}

// eventLine is what a person is told of an event; "" is nothing.
func (a *app) eventLine(e runbook.Event) string {
	at := fmt.Sprintf("[%d/%d] %s", e.Index, e.Of, e.Step)
	if e.Turn > 1 {
		at += fmt.Sprintf(", turn %d", e.Turn)
	}
	switch e.What {
	case runbook.StepDone:
		took := ""
		if e.Took >= time.Second {
			took = ", " + howlong.About(e.Took)
		}
		return fmt.Sprintf("%s %s  %s%s", a.paint(green, "✓"), at, e.Result.Tag, took)
	case runbook.StepSkipped:
		return fmt.Sprintf("%s %s  skipped, since this is false: %s", a.paint(dim, "-"), at, e.Text)
	case runbook.Undoing:
		return fmt.Sprintf("%s taking back %s", a.paint(yellow, "↺"), e.Step)
	case runbook.Settling:
		return fmt.Sprintf("%s asking the server what became of transaction %s", a.paint(yellow, "?"), e.Text)
	}
	return ""
}

// statusWords say for people what a status means for the database.
var statusWords = map[runbook.Status]string{
	runbook.Done:      "done",
	runbook.Unchanged: "nothing was changed",
	runbook.Undone:    "what was done was taken back",
	runbook.Stopped:   "the steps that are done stand",
	runbook.Broken:    "the steps that are done stand, and the run can be gone on with",
	runbook.Stuck:     "not all of what was done is taken back",
	runbook.Doubtful:  "what became of the last transaction is not known",
}

// ending makes the command's error of how a run ended.
func (r *runner) ending(s *runbook.State, err error) error {
	if err == nil {
		r.tell("run %s: %s", s.Run, statusWords[s.Status])
		return nil
	}
	var f *runbook.Failure
	if !errors.As(err, &f) {
		return err
	}
	hint := f.Hint
	if s.Resumable() {
		if hint != "" {
			hint += "; "
		}
		hint += "go on with: sluice runbook resume " + s.Run
	}
	if hint == "" {
		hint = "the record has it: sluice audit query --run " + s.Run
	}
	code := exitError
	switch e, ok := api.AsError(err); {
	case ok && e.Code != 0:
		code = e.Code
	case f.Cause == runbook.Refused:
		code = exitRefused
	case f.Cause == runbook.Denied:
		code = exitNotApproved
	}
	return tell(code, clean(hint), "%s; %s (run %s)", cleanLines(f.Error()), statusWords[s.Status], s.Run)
}
