package cmd

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/internal/howlong"
	"github.com/sluicehq/sluice/runbook"
	"github.com/sluicehq/sluice/runbook/steps"
)

// goodbyeTime bounds what is told at the end: of a session to its server, of a run to its gateway.
const goodbyeTime = 5 * time.Second

// stepConn is a session of a run, in which the wait for people is bounded.
type stepConn struct {
	steps.Session
	e *execution
}

// Do runs one statement by the extended protocol.
func (c *stepConn) Do(ctx context.Context, sql string, params []*string, most int) (*runbook.Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.e.begin(cancel)
	defer c.e.held(false)
	res, err := c.Session.Do(ctx, sql, params, most)
	if err != nil {
		return nil, c.expired(err)
	}
	return res, nil
}

// expired is err, or that the wait for people was over first.
func (c *stepConn) expired(err error) error {
	if !c.e.isExpired() {
		return err
	}
	return &runbook.Failure{Cause: runbook.Denied, Sentence: fmt.Sprintf("not approved within %s; the statement was withdrawn", howlong.Text(c.e.wait)), Hint: "talk to the approvers, or wait longer with --wait", Err: err}
}

// runFlags are those of commands that run a runbook.
type runFlags struct {
	addr, tokenFile string
	params          []string
	paramFile       string
	reason          string
	request         string
	ahead, yes      bool
	wait            time.Duration
	statement       time.Duration // that one may run, on the server, whatever the runbook says; 0 is no bound
	format          format
}

// runner runs one runbook as whoever is logged in.
type runner struct {
	a    *app
	gw   *client.Gateway
	o    runFlags
	book *runbook.Runbook
	file volume
	id   string
	goes string // as api.NewRun has it

	bound    *runbook.Bound
	database string
	tell     func(format string, args ...any) // progress, for people

	// A program may listen too. Without notice, notices go to people, on standard error.
	notice func(*pgconn.Notice)
	asked  func(*api.Request) // that is waited for; nil when people have answered
}

// open begins the run at the gateway and opens a session that takes it. If people must
// agree ahead of time it waits for them.
func (r *runner) open(ctx context.Context, settling bool) (runbook.Conn, error) {
	in := api.NewRun{
		Run: r.id, Connection: r.book.Connection, File: r.file.File, Text: r.file.Text, Commit: r.file.Commit, Values: r.bound.Values,
		Reason: r.o.reason, Goes: r.goes, Ahead: r.o.ahead, Request: r.o.request,
	}
	if settling {
		in.Goes, in.Request = "settle", ""
	} else {
		r.o.request = "" // for one session
	}
	var began api.Run
	if err := r.gw.Call(ctx, http.MethodPost, api.RunbookPath, in, &began); err != nil {
		return nil, callFailure(err)
	}
	if began.Hash != r.book.Hash {
		return nil, &runbook.Failure{Cause: runbook.Refused, Sentence: "the gateway read another file than was sent", Hint: "compare the versions on both sides: sluice version"}
	}
	if began.Request != nil {
		if err := r.await(ctx, *began.Request); err != nil {
			return nil, err
		}
		in.Request = began.Request.ID
		if err := r.gw.Call(ctx, http.MethodPost, api.RunbookPath, in, &began); err != nil {
			return nil, callFailure(err)
		}
	}
	return r.session(ctx)
}

// session opens one that takes the run, with the limits of the runbook.
func (r *runner) session(ctx context.Context) (runbook.Conn, error) {
	e := &execution{a: r.a, wait: r.o.wait, program: "sluice runbook " + r.book.Name, params: map[string]string{}, hear: r.notice}
	if r.notice != nil {
		e.params["sluice.masks"] = "tell"
	}
	limits := r.book.Limits
	if most := r.o.statement; most > 0 && (limits.Statement == 0 || most < limits.Statement) {
		limits.Statement = most
	}
	maps.Copy(e.params, steps.Limits(limits))
	db, err := e.open(ctx, r.gw, r.book.Connection, r.database)
	if err != nil {
		f := callFailure(sqlError(err))
		f.Err = err // as it was said, for who tells the words of a database apart
		return nil, f
	}
	conn := &stepConn{steps.Session{DB: db}, e}
	for _, say := range []struct{ name, value string }{{"reason", r.o.reason}, {"runbook", r.id}} {
		if say.value == "" {
			continue
		}
		if err := tellGateway(ctx, db, say.name, say.value); err != nil {
			err := conn.expired(conn.Failure(err))
			conn.Close()
			return nil, err
		}
	}
	return conn, nil
}

// callFailure says what an answer of the gateway's means to a run.
func callFailure(err error) *runbook.Failure {
	sentence, hint, code := explainError(err)
	f := &runbook.Failure{Cause: runbook.Lost, Sentence: sentence, Hint: hint, Err: err}
	switch code {
	case exitRefused, exitUsage, exitNotLoggedIn:
		f.Cause = runbook.Refused
	case exitNotApproved:
		f.Cause = runbook.Denied
	}
	return f
}

// askEvery is how often it is looked whether people have answered.
const askEvery = 500 * time.Millisecond

// await waits until people have granted what was asked for.
func (r *runner) await(ctx context.Context, asked api.Request) error {
	r.tell("waiting for approval %s by %s; another time: --request %s", asked.ID, needsOf(asked.Ask), asked.ID)
	if r.asked != nil {
		r.asked(&asked)
	}
	until := r.a.now().Add(r.o.wait)
	for r.a.now().Before(until) {
		var list []api.Request
		if err := r.gw.Call(ctx, http.MethodGet, api.RequestsPath, nil, &list); err != nil {
			return callFailure(err)
		}
		at := slices.IndexFunc(list, func(x api.Request) bool { return x.ID == asked.ID })
		if r.asked != nil && (at < 0 || list[at].State != api.AskWaiting) {
			r.asked(nil)
		}
		switch {
		case at < 0:
			return &runbook.Failure{Cause: runbook.Denied, Sentence: asked.ID + " is not there any more", Hint: "run: sluice request ls"}
		case list[at].State == "granted":
			r.tell("%s", list[at].Why)
			return nil
		case list[at].State != api.AskWaiting:
			return &runbook.Failure{Cause: runbook.Denied, Sentence: "not approved: " + clean(list[at].Why), Hint: "talk to the approvers, then run it again"}
		}
		if err := pause(ctx, askEvery); err != nil {
			return err
		}
	}
	return &runbook.Failure{Cause: runbook.Denied, Sentence: fmt.Sprintf("not approved within %s", howlong.Text(r.o.wait)),
		Hint: "it still waits; when it is approved: sluice runbook run " + r.book.Name + " --request " + asked.ID + " with the same values"}
}

// pause waits, but not longer than ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// runRunbook runs one for a program, such as the tour, as whoever gw is logged in
// as. It waits for approvals as long as o says, tells each event and, in words, what it
// waits for; the state of the run is kept on this machine.
func (a *app) runRunbook(ctx context.Context, gw *client.Gateway, sh shelf, name string, values map[string]any, o runFlags, tell func(runbook.Event), say func(string, ...any)) (*runbook.State, error) {
	b, v, err := sh.open(ctx, name)
	if err != nil {
		return nil, err
	}
	bound, err := b.Bind(values)
	if err != nil {
		return nil, badValues(err)
	}
	r := &runner{a: a, gw: gw, o: o, book: b, file: v, id: runbook.NewRunID(), bound: bound, tell: say}
	return r.run(ctx, nil, runbook.Options{Tell: tell})
}

// badValues makes an error of usage of what is wrong with given values.
func badValues(err error) error {
	return tell(exitUsage, "sluice runbook show NAME says what it takes", "%s", cleanLines(err.Error()))
}

// run begins or goes on, keeps the state, and tells the gateway how it ended.
func (r *runner) run(ctx context.Context, from *client.KeptRun, o runbook.Options) (*runbook.State, error) {
	conn, err := connectionNamed(ctx, r.gw, r.book.Connection)
	if err != nil {
		return nil, err
	}
	r.database = conn.Database
	runs := r.a.store().Runs()
	release, err := runs.Hold(r.id)
	if err != nil {
		return nil, tell(exitError, "wait until it has ended: sluice runbook runs", "%s: %v", r.id, err)
	}
	defer release()
	kept := &client.KeptRun{File: r.file.File, Text: r.file.Text, Gateway: r.gw.Address, Reason: r.o.reason, Began: r.a.now().UTC()}
	if from != nil {
		kept.Began, o.From = from.Began, &from.State
	}
	if o.Open == nil {
		o.Open = r.open
	}
	o.Now, o.Wait = r.a.now, pause
	o.Save = func(s *runbook.State) error {
		s.Run, s.Commit = r.id, r.file.Commit
		kept.State = *s
		return runs.Save(kept)
	}
	state, err := runbook.Run(ctx, r.bound, o)
	state.Run, state.Commit = r.id, r.file.Commit
	r.ended(state)
	return state, err
}

// ended tells the gateway how the run ended. What it did is on the record already.
func (r *runner) ended(s *runbook.State) {
	ctx, cancel := context.WithTimeout(context.Background(), goodbyeTime)
	defer cancel()
	in := api.RunEnd{Status: string(s.Status), Detail: s.Summary()}
	path := strings.Replace(api.RunbookEndPath, "{id}", r.id, 1)
	if err := r.gw.Call(ctx, http.MethodPost, path, in, nil); err != nil {
		r.tell("the gateway could not be told how it ended: %v", err)
	}
}

// givenValues are the parameters of the command line, and of a file with JSON.
func (a *app) givenValues(o runFlags) (map[string]any, error) {
	values := map[string]any{}
	if o.paramFile != "" {
		text, err := a.readSQL(o.paramFile)
		if err != nil {
			return nil, err
		}
		fromFile, err := jsonObject(text)
		if err != nil {
			return nil, tell(exitUsage, `write it as {"name": "value"}`, "the parameters in %s cannot be read: %v", o.paramFile, err)
		}
		maps.Copy(values, fromFile)
	}
	for _, p := range o.params {
		name, value, ok := strings.Cut(p, "=")
		if !ok {
			return nil, usageError{fmt.Errorf("--param is %q, must be NAME=VALUE", short(p, 60))}
		}
		if _, twice := values[name]; twice && o.paramFile == "" {
			return nil, usageError{fmt.Errorf("the parameter %q is given twice", short(name, 60))}
		}
		values[name] = value
	}
	return values, nil
}
