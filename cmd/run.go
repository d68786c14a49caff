package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/client"
)

// runVar is the variable that tells programs, and sluice itself, of which run they are a
// part.
const runVar = "SLUICE_RUN_ID"

type jobFlags struct {
	addr        string
	tokenFile   string
	job         string
	parent      string
	nominal     string
	connections []string
	inputs      []string
	outputs     []string
	params      []string
}

func (a *app) runJobCommand() *cobra.Command {
	var o jobFlags
	c := &cobra.Command{
		Use: "run --job NAME [-- COMMAND…]", Short: "run a program as a run of a job, with its data and models on the record",
		Long: `Run a program as one run of a job. What it reads and writes through --connection is
tied to the run in the record; outputs and local inputs are hashed; exit status, git
commit and parameters are recorded. The exit status is the program's.

--output NAME=FILE names what the program makes, such as model:churn@v3=model.bin; it is
recorded if the program ends with 0. --input takes a URI, a file or directory, or
NAME=FILE. With --connection PG… and DATABASE_URL lead there, as with sluice connect; of
further ones the URL is in SLUICE_URL_NAME.

A run that is started inside of another is part of it, as are sluice connect and
sluice exec there: ` + runVar + ` says so. Parents in OPENLINEAGE_CONTEXT,
OPENLINEAGE_PARENT_ID, AIRFLOW_CTX_*, DBT_CLOUD_* and DAGSTER_PIPES_CONTEXT are taken
up, and programs that speak OpenLineage are told of this run.`,
		Example: "  sluice run --job train-churn --connection features --output model:churn@v3=model.bin -- python train.py",
		Args: func(c *cobra.Command, args []string) error {
			if d := c.ArgsLenAtDash(); d > 0 || d < 0 && len(args) > 0 {
				return usageError{errors.New("the command comes after --")}
			}
			return o.check(args)
		},
		RunE: func(c *cobra.Command, args []string) error { return a.runJob(c.Context(), args, o) },
	}
	f := c.Flags()
	f.StringVar(&o.job, "job", "", "name of the job")
	f.StringArrayVar(&o.connections, "connection", nil, "a connection that the program uses; may be given again")
	f.StringArrayVar(&o.inputs, "input", nil, "URI, file, directory or NAME=FILE that it reads; may be given again")
	f.StringArrayVar(&o.outputs, "output", nil, "NAME=FILE that it makes; may be given again")
	f.StringArrayVar(&o.params, "param", nil, "NAME=VALUE to record; may be given again")
	f.StringVar(&o.parent, "parent", "", "run that this is part of: its id, or namespace/job/id")
	f.StringVar(&o.nominal, "nominal-time", "", "time that the run is for, as RFC 3339")
	// The only error is a flag that does not exist, and it was just made.
	_ = c.RegisterFlagCompletionFunc("connection", a.names(&o.addr))
	a.addGateway(c, &o.addr)
	addTokenFile(c, &o.tokenFile)
	return c
}

func (o *jobFlags) check(command []string) error {
	if o.job == "" {
		return usageError{errors.New("--job is missing: the name of the job that this is a run of")}
	}
	if len(command) == 0 {
		return usageError{errors.New("the command after -- is missing")}
	}
	for _, s := range o.outputs {
		if name, file, ok := strings.Cut(s, "="); !ok || name == "" || file == "" || strings.ContainsAny(name, " \t\n") {
			return usageError{fmt.Errorf("--output is %q, must be NAME=FILE", s)}
		}
	}
	for _, s := range o.params {
		if name, _, ok := strings.Cut(s, "="); !ok || name == "" {
			return usageError{fmt.Errorf("--param is %q, must be NAME=VALUE", s)}
		}
	}
	if o.nominal != "" {
		if _, err := time.Parse(time.RFC3339, o.nominal); err != nil {
			return usageError{fmt.Errorf("--nominal-time is %q; write 2026-01-31T15:04:05Z", o.nominal)}
		}
	}
	return nil
}

func (a *app) runJob(ctx context.Context, command []string, o jobFlags) error {
	inputs, err := inputArtifacts(o.inputs)
	if err != nil {
		return err
	}
	parent, root, nominal := a.parentRun(o.parent)
	if o.nominal == "" {
		o.nominal = nominal
	}
	start := api.JobRunStart{Beats: true, Job: o.job, Parent: parent, Command: commandLine(command), Inputs: inputs, Facts: a.runFacts(ctx, o)}
	ctx, stop := untilTerminated(ctx)
	defer stop()
	return a.withToken(ctx, o.addr, o.tokenFile, a.notice, func(gw *client.Gateway) error {
		return a.oneRun(ctx, gw, command, o, start, root)
	})
}

// oneRun runs the program, and tells the gateway before and after.
func (a *app) oneRun(ctx context.Context, gw *client.Gateway, command []string, o jobFlags, start api.JobRunStart, root string) error {
	var run api.JobRunStarted
	if err := gw.Call(ctx, http.MethodPost, api.RunsPath, start, &run); err != nil {
		return err
	}
	var info api.Info
	if err := gw.Call(ctx, http.MethodGet, api.InfoPath, nil, &info); err != nil {
		return err
	}
	env := append(slices.DeleteFunc(os.Environ(), ofRun), runEnvironment(info.GatewayID, o.job, run.ID, start.Parent, root)...)
	var ports []localPort
	for i, name := range o.connections {
		p, err := a.openPort(ctx, gw, name, connectFlags{addr: o.addr, run: run.ID}, true)
		if err != nil {
			return errors.Join(err, a.endRun(ctx, gw, run.ID, api.JobRunEnd{Outcome: "error", Error: "the connection " + name + " could not be opened"}))
		}
		defer p.close()
		ports = append(ports, p)
		if i == 0 {
			env = append(slices.DeleteFunc(env, elsewhere), p.environment()...)
		}
		env = append(env, "SLUICE_URL_"+variable(name)+"="+p.URL)
	}
	var beating sync.WaitGroup
	defer beating.Wait()
	fctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1) // one result, read below
	go func() { ended <- a.forward(fctx, gw, ports) }()
	beating.Go(func() { beat(fctx, gw, run) })
	began := a.now()
	err := a.runWith(ctx, command, env)
	end, missing := runEnd(err, o.outputs, a.now().Sub(began))
	err = errors.Join(err, missing)
	told := a.endRun(ctx, gw, run.ID, end)
	cancel()
	ferr := <-ended
	a.sayRun(o.job, run.ID, end)
	if err == nil {
		err = errors.Join(told, ferr)
	} else if told != nil {
		a.report(told, nil) // beside the program's own status
	}
	return err
}

// beat says to the gateway that the run goes on, until ctx is done. What does not arrive is
// made up for by the next; a run that counted as lost is under way again by it.
func beat(ctx context.Context, gw *client.Gateway, run api.JobRunStarted) {
	if run.BeatMS <= 0 {
		return // a gateway of before
	}
	every := time.Duration(run.BeatMS) * time.Millisecond
	path := strings.ReplaceAll(api.RunBeatPath, "{id}", run.ID)
	for pause(ctx, every) == nil {
		one, cancel := context.WithTimeout(ctx, max(every, 5*time.Second))
		err := gw.Call(one, http.MethodPost, path, nil, nil)
		cancel()
		if said, ok := api.AsError(err); ok && said.Code == api.CodeRefused {
			return // it is over
		}
	}
}

// endTime bounds telling the gateway that a run ended: it may be away for a moment.
const endTime = 30 * time.Second

func (a *app) endRun(ctx context.Context, gw *client.Gateway, id string, end api.JobRunEnd) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	path := strings.ReplaceAll(api.RunEndPath, "{id}", id)
	for {
		err := gw.Call(ctx, http.MethodPost, path, end, nil)
		if _, said := api.AsError(err); err == nil || said {
			return err
		}
		select {
		case <-ctx.Done():
			return tell(exitError, "the record will have it as lost; what it read and wrote is there", "the gateway could not be told how run %s ended: %s", id, reason(err))
		case <-time.After(time.Second):
		}
	}
}

// runEnd is what is told of the end, with the hashes of what was made. Of a program that
// failed nothing counts as made: its files may be those of an earlier run.
func runEnd(err error, outputs []string, took time.Duration) (end api.JobRunEnd, missing error) {
	end = api.JobRunEnd{Outcome: "ok", Facts: []string{"duration_ms=" + fmt.Sprint(took.Milliseconds())}}
	code := 0
	var status exitStatus
	switch {
	case errors.As(err, &status):
		code = status.code
	case err != nil:
		end.Outcome, end.Error = "error", cutTo(err.Error(), 900)
		return end, nil
	}
	end.Facts = append(end.Facts, fmt.Sprintf("exit=%d", code))
	if code != 0 {
		end.Outcome, end.Error = "error", fmt.Sprintf("the command ended with status %d", code)
		return end, nil
	}
	for _, o := range outputs {
		name, path, _ := strings.Cut(o, "=")
		hash, err := hashPath(path)
		if err != nil {
			end.Outcome, end.Error, end.Outputs = "error", cutTo("the output "+name+" cannot be read: "+reason(err), 900), nil
			return end, tell(exitError, "give the file that the program makes with --output NAME=FILE", "the output %s cannot be read: %s", name, reason(err))
		}
		end.Outputs = append(end.Outputs, audit.Artifact{Name: name, Hash: hash, Path: path}.String())
	}
	return end, nil
}

func (a *app) sayRun(job, id string, end api.JobRunEnd) {
	fmt.Fprintf(a.err, "run %s of %s: %s\n", id, clean(job), end.Outcome)
	for _, o := range end.Outputs {
		made := audit.ParseArtifact(o)
		fmt.Fprintf(a.err, "made %s %s\n", clean(made.Name), made.Hash)
	}
}

// ofRun finds the variables that speak of a run around this one.
func ofRun(setting string) bool {
	name, _, _ := strings.Cut(setting, "=")
	return slices.Contains([]string{runVar, "SLUICE_RUN_JOB", "OPENLINEAGE_PARENT_ID", "OPENLINEAGE_ROOT_PARENT_ID", "OPENLINEAGE_CONTEXT"}, name)
}

// lineageRun is a run in the form that OPENLINEAGE_CONTEXT has.
type lineageRun struct {
	Run struct {
		RunID string `json:"runId"`
	} `json:"run"`
	Job struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	} `json:"job"`
	Root *lineageRun `json:"root,omitempty"`
}

func newLineageRun(namespace, job, id string) lineageRun {
	var r lineageRun
	r.Run.RunID, r.Job.Namespace, r.Job.Name = id, namespace, job
	return r
}

// runEnvironment tells the program, and those who speak OpenLineage in it, of the run, and
// of the one that all of it began with: the parent's root, the parent, or the run itself.
func runEnvironment(namespace, job, id, parent, began string) []string {
	me := newLineageRun(namespace, job, id)
	root := me
	for _, text := range []string{began, parent} {
		if n, j, i, ok := readRunName(text); ok {
			root = newLineageRun(n, j, i)
			break
		}
	}
	me.Root = &root
	data, _ := json.Marshal(map[string]lineageRun{"parent": me}) // plain text
	slash := strings.NewReplacer("/", ".").Replace
	return []string{
		runVar + "=" + id, "SLUICE_RUN_JOB=" + job, "OPENLINEAGE_CONTEXT=" + string(data),
		"OPENLINEAGE_PARENT_ID=" + slash(namespace) + "/" + slash(job) + "/" + id,
		"OPENLINEAGE_ROOT_PARENT_ID=" + slash(root.Job.Namespace) + "/" + slash(root.Job.Name) + "/" + slash(root.Run.RunID),
	}
}

// variable is a name as part of the name of an environment variable.
func variable(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(name))
}
