package cmd

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/internal/howlong"
	"github.com/sluicehq/sluice/runbook"
)

// resumeAtGateway goes on with a run that a hook began, as whoever is logged in. Its state
// is the gateway's, and so is the work: what is here only looks on.
func (a *app) resumeAtGateway(ctx context.Context, gw *client.Gateway, id string, in api.HookResume, o runFlags) error {
	path := strings.Replace(api.HookRunPath, "{id}", url.PathEscape(id), 1)
	var run api.HookRun
	if err := gw.Call(ctx, http.MethodPost, path, in, &run); err != nil {
		return err
	}
	a.progress("the gateway goes on with run %s of the runbook %s, as you", run.Run, run.Runbook)
	told, asked, until := map[string]string{}, "", time.Time{}
	for {
		for i, s := range run.Steps {
			if told[s.Name] != s.Status+fmt.Sprint(s.Turns, s.Undone) {
				told[s.Name] = s.Status + fmt.Sprint(s.Turns, s.Undone)
				a.progress("%s", a.hookStep(i, len(run.Steps), s))
			}
		}
		if !run.Ended.IsZero() {
			return a.hookEnded(&run, o)
		}
		if run.Waiting != asked {
			if asked, until = run.Waiting, a.now().Add(o.wait); asked != "" {
				a.progress("waiting for approval %s", asked)
			}
		}
		if asked != "" && a.now().After(until) {
			return tell(exitNotApproved, "it still waits, and the gateway goes on when people agree; see: sluice audit query --run "+run.Run, "not approved within %s (run %s)", howlong.Text(o.wait), run.Run)
		}
		if pause(ctx, askEvery) != nil {
			return tell(exitError, "see what becomes of it: sluice audit query --run "+run.Run, "you look on no longer; the gateway goes on with run %s", run.Run)
		}
		if err := gw.Call(ctx, http.MethodGet, path, nil, &run); err != nil {
			return err
		}
	}
}

// hookStep is how a step stands, in a line.
func (a *app) hookStep(i, of int, s api.HookStep) string {
	mark, text := a.paint(dim, "-"), s.Status
	switch {
	case s.Undone:
		mark, text = a.paint(yellow, "↺"), "taken back"
	case s.Status == runbook.StepIsDone:
		mark, text = a.paint(green, "✓"), counted(int(s.Rows), "row")
	case s.Status == runbook.StepIsFailed:
		mark = a.paint(red, "✗")
	}
	return fmt.Sprintf("%s [%d/%d] %s  %s", mark, i+1, of, s.Name, text)
}

// hookEnded prints how a run of a hook ended, and makes the command's error of it.
func (a *app) hookEnded(run *api.HookRun, o runFlags) error {
	if o.format.name == "json" {
		if err := o.format.print(a.out, table{value: run}); err != nil {
			return err
		}
	}
	s := &runbook.State{Run: run.Run, Status: runbook.Status(run.Status)}
	r := &runner{a: a, tell: a.progress}
	if run.Failure == nil {
		return r.ending(s, nil)
	}
	return r.ending(s, &runbook.Failure{Cause: runbook.Cause(run.Failure.Cause), Step: run.Failure.Step, Sentence: run.Failure.Sentence, Hint: run.Failure.Hint})
}

// hookRuns are the runs of hooks that broke, as the gateway tells whoever may go on with
// them.
func (a *app) hookRuns(ctx context.Context, addr string, f format) error {
	list := []api.HookRun{}
	if err := a.call(ctx, addr, http.MethodGet, api.HookRunsPath, nil, &list); err != nil {
		return err
	}
	t := table{head: []string{"run", "hook", "runbook", "status", "began", "next"}, value: list}
	for _, r := range list {
		t.rows = append(t.rows, []string{r.Run, r.Hook, r.Runbook, r.Status, r.Began.Local().Format(time.DateTime), "sluice runbook resume " + r.Run})
	}
	return f.print(a.out, t)
}

// notHere says that a run is neither kept here nor one of the gateway's, if that is it.
func notHere(id string, err error) error {
	if said, ok := api.AsError(err); ok && said.Code == api.CodeUsage {
		return tell(exitUsage, "run: sluice runbook runs, or with --hooks", "there is no run %q on this machine, and no run of a hook that you can go on with", short(id, 40))
	}
	return err
}
