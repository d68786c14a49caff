package gateway

import (
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/approval"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/durable"
	"github.com/sluicehq/sluice/internal/pgstream"
	"github.com/sluicehq/sluice/runbook"
	"github.com/sluicehq/sluice/runbook/steps"
	"github.com/sluicehq/sluice/wire/postgres"
)

const (
	hookDir     = "hooks"            // of the state directory
	hookRunFile = ".run.json"        // ends the name of a run's file there
	maxHookRuns = 1000               // that are known; of older ones the record knows
	keepHookRun = 7 * 24 * time.Hour // after its end
	settleRoom  = 5 * time.Minute    // that a run's identity outlives its time: to ask what became of a transaction
	grantEvery  = 500 * time.Millisecond
)

// hookRun is a run that a hook began.
type hookRun struct {
	t    *triggers
	hook *inbound

	mu      sync.Mutex // guards what follows
	kept    keptHookRun
	waiting string             // id of the approval that it waits for
	as      *identity.Identity // the person who goes on with it; nil is the hook
	take    runbook.Taken      // what they found out
}

// keptHookRun is what the next gateway needs to go on with a run, or to say how it ended.
// Run, Hook, Message, Runbook and Hash never change. The file and the values are there
// while it is under way, and after it broke, for whoever goes on with it.
type keptHookRun struct {
	Run     string `json:"run"`
	Hook    string `json:"hook"`
	Message string `json:"message"` // id of the one that began it
	From    string `json:"from"`
	Runbook string `json:"runbook"`
	Hash    string `json:"hash"`
	BookFile
	Reason  string             `json:"reason"`
	Values  map[string]*string `json:"values,omitempty"`
	Began   time.Time          `json:"began"`
	Ended   time.Time          `json:"ended,omitzero"`
	Request string             `json:"request,omitempty"` // what people were asked ahead of time
	State   *runbook.State     `json:"state,omitempty"`
	Resumed time.Time          `json:"resumed,omitzero"` // when it was gone on with last
	By      *resumedBy         `json:"by,omitempty"`     // by whom, if not by the hook
	Undo    bool               `json:"undo,omitempty"`   // what it did is taken back
}

func (t *triggers) dir() string {
	if t.g.cfg.StateDir == "" {
		return "" // nothing outlives the gateway
	}
	return filepath.Join(t.g.cfg.StateDir, hookDir)
}

func (t *triggers) file(name, what string) durable.JSON {
	f := durable.JSON{What: what}
	if dir := t.dir(); dir != "" {
		f.Path = filepath.Join(dir, name)
	}
	return f
}

func (t *triggers) usedFile() durable.JSON { return t.file("used.json", "the ids of messages") }

// open reads what an earlier gateway left: runs that go on, and the messages that must not
// be taken again.
func (t *triggers) open() error {
	dir := t.dir()
	if dir == "" {
		return nil
	}
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if _, err := t.usedFile().Read(&t.used); err != nil {
		return err
	}
	if t.used == nil {
		t.used = map[string]time.Time{}
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasSuffix(name.Name(), hookRunFile) {
			continue
		}
		k := &hookRun{t: t}
		if _, err := t.file(name.Name(), "a run of a hook").Read(&k.kept); err != nil {
			return err // it may be under way on the server
		}
		if k.hook = t.list[k.kept.Hook]; k.hook == nil {
			k.hook = &inbound{Trigger: Trigger{Name: k.kept.Hook}} // taken out of the configuration: it does not go on
		}
		t.runs[k.kept.Run] = k
		if k.kept.Ended.IsZero() {
			t.old = append(t.old, k)
		}
	}
	return nil
}

// enter takes a place among the hook's runs.
func (t *triggers) enter(k *hookRun) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k.hook.running >= runsAtOnce {
		return false
	}
	k.hook.running++
	t.runs[k.kept.Run] = k
	return true
}

// drop takes back a run that never began.
func (t *triggers) drop(k *hookRun) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k.hook.running--
	t.remove(k)
}

// remove forgets a run; the lock is held.
func (t *triggers) remove(k *hookRun) {
	delete(t.runs, k.kept.Run)
	if f := t.file(k.kept.Run+hookRunFile, ""); f.Path != "" {
		_ = os.Remove(f.Path) // one that stays is read, and removed, again
	}
}

// serve runs what hooks begin, and goes on with what an earlier gateway left, until ctx is
// done and all of it has stopped.
func (t *triggers) serve(ctx context.Context) {
	var group sync.WaitGroup
	t.mu.Lock()
	for _, k := range t.old { // not what has begun meanwhile, which comes by work
		k.hook.running++
		group.Go(func() { k.run(ctx) })
	}
	t.old = nil
	t.mu.Unlock()
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case k := <-t.work:
			group.Go(func() { k.run(ctx) })
		case <-tick.C:
			t.noteLeft()
			t.tidy()
		case <-ctx.Done():
		}
	}
	group.Wait()
	t.noteLeft()
}

// tidy forgets runs that ended long ago, and the oldest of too many.
func (t *triggers) tidy() {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := slices.SortedFunc(maps.Values(t.runs), func(a, b *hookRun) int { return b.kept.Began.Compare(a.kept.Began) })
	now := t.g.cfg.Now()
	for i, k := range list {
		ended := k.ended()
		if !ended.IsZero() && (i >= maxHookRuns || now.Sub(ended) > keepHookRun) {
			t.remove(k)
		}
	}
}

func (k *hookRun) ended() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kept.Ended
}

// run runs it as the hook, from where it stands. When the gateway stops, what is not done
// is left for the next one.
func (k *hookRun) run(ctx context.Context) {
	defer func() {
		k.t.mu.Lock()
		defer k.t.mu.Unlock()
		k.hook.running--
	}()
	bound, err := k.bound()
	if err == nil && k.kept.By == nil && k.hook.Key == nil {
		err = errors.New("the hook is no longer in the configuration")
	}
	if err != nil {
		k.end(nil, &runbook.Failure{Cause: runbook.Refused, Sentence: err.Error()})
		return
	}
	if k.kept.By != nil && k.as == nil {
		k.end(nil, &runbook.Failure{Cause: runbook.Interrupted, Sentence: "the gateway ended while " + k.kept.By.Name + " went on with it"})
		return
	}
	since := k.kept.Began
	if !k.kept.Resumed.IsZero() {
		since = k.kept.Resumed
	}
	until := since.Add(bound.Book.Limits.Time)
	r := &hookRunner{hookRun: k, bound: bound, who: k.hook.who(until.Add(settleRoom))}
	if k.as != nil {
		r.who = *k.as
	}
	r.serve = func(far net.Conn) { // sessions outlive the time of the run, to be asked what became of it
		r.sessions.Go(func() {
			k.t.g.Session(ctx, far, Caller{Who: r.who, Connection: bound.Book.Connection, From: k.kept.From})
		})
	}
	o := runbook.Options{Open: r.open, Now: k.t.g.cfg.Now, Wait: waitFor, Save: k.save, Undo: k.kept.Undo, Take: k.take}
	if k.kept.State != nil && k.kept.State.Resumable() {
		o.From, r.goes = k.kept.State, "on"
	}
	if k.kept.Undo {
		r.goes = "back"
	}
	within, cancel := context.WithTimeout(ctx, max(until.Sub(k.t.g.cfg.Now()), 0)) // over, it only finds out what is in doubt
	defer cancel()
	state, err := runbook.Run(within, bound, o)
	r.sessions.Wait()
	if ctx.Err() != nil && k.as == nil && stopsWithUs(state, err) { // a person would have to be there
		k.t.g.cfg.Log.Info("a run of a hook is left for the next gateway", "hook", k.hook.Name, "run", k.kept.Run)
		return
	}
	k.end(state, err)
	r.withdraw()
}

// stopsWithUs reports whether a run has not come to an end of its own.
func stopsWithUs(s *runbook.State, err error) bool {
	var f *runbook.Failure
	return errors.As(err, &f) && (s.Status == runbook.Doubtful || f.Cause == runbook.Lost || f.Cause == runbook.Interrupted)
}

func (k *hookRun) bound() (*runbook.Bound, error) {
	k.mu.Lock()
	in := api.NewRun{File: k.kept.File, Text: k.kept.Text, Values: k.kept.Values}
	k.mu.Unlock()
	return boundOf(in)
}

// save keeps how far the run is.
func (k *hookRun) save(s *runbook.State) error {
	k.mu.Lock()
	s.Run, s.Commit = k.kept.Run, k.kept.Commit
	copied := *s
	copied.Steps = slices.Clone(s.Steps)
	k.kept.State = &copied
	k.mu.Unlock()
	return k.keep()
}

func (k *hookRun) keep() error {
	k.mu.Lock()
	kept := k.kept
	k.mu.Unlock()
	return k.t.file(kept.Run+hookRunFile, "a run of a hook").Write(kept)
}

// end records how it ended. Values and texts are needed no longer, but to go on with what
// broke.
func (k *hookRun) end(s *runbook.State, err error) {
	k.mu.Lock()
	if s == nil {
		s = &runbook.State{Run: k.kept.Run, Status: runbook.Unchanged}
		if old := k.kept.State; old != nil {
			s = old
			if s.Status == runbook.Running {
				s.Status = runbook.Broken
			}
		}
		var f *runbook.Failure
		if errors.As(err, &f) {
			s.Failure = f
		}
	}
	shown := *s
	shown.Steps = slices.Clone(s.Steps)
	k.kept.State, k.kept.Ended, k.waiting, k.take = &shown, k.t.g.cfg.Now().UTC(), "", ""
	if !s.Resumable() {
		shown.Values, k.kept.Values, k.kept.Text = nil, nil, ""
		for i := range shown.Steps {
			shown.Steps[i].Columns, shown.Steps[i].First = nil, nil
		}
	}
	k.mu.Unlock()
	ev := k.event(string(s.Status))
	ev.Detail = cutText(s.Summary(), 4096)
	k.t.g.log(k.t.g.note(ev))
	if err := k.keep(); err != nil {
		k.t.g.cfg.Log.Error("keep how a run ended", "run", k.kept.Run, "error", err)
	}
}

// event is an entry about the run.
func (k *hookRun) event(outcome string) audit.Event {
	by := k.kept.By
	if by == nil {
		by = byOf(k.hook.who(time.Time{}))
	}
	return audit.Event{
		Kind: audit.Ran, Who: by.Name, Subject: by.Subject, CallerKind: by.Kind, Owner: by.Owner, Groups: by.Groups, Connection: k.hook.Connection,
		Outcome: outcome, Runbook: k.kept.Runbook, RunbookHash: k.kept.Hash, RunbookRun: k.kept.Run,
	}
}

// shown is the run as its caller is told of it.
func (k *hookRun) shown() api.HookRun {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := api.HookRun{Run: k.kept.Run, Runbook: k.kept.Runbook, Hash: k.kept.Hash, Status: string(runbook.Running), Began: k.kept.Began, Ended: k.kept.Ended}
	s := k.kept.State
	if s != nil {
		for i := range s.Steps {
			st := &s.Steps[i]
			out.Steps = append(out.Steps, api.HookStep{Name: st.Name, Status: st.Status, Turns: st.Turns, Rows: st.Rows, Undone: st.Undone})
		}
	}
	switch {
	case out.Ended.IsZero() && k.waiting != "":
		out.Status, out.Waiting = "waiting", k.waiting
	case !out.Ended.IsZero() && s != nil:
		out.Status, out.GoesOn = string(s.Status), k.goesOn()
		if f := s.Failure; f != nil {
			out.Failure = &api.HookFailure{Cause: string(f.Cause), Step: f.Step, Sentence: f.Sentence, Hint: f.Hint}
		}
	}
	if by := k.kept.By; by != nil {
		out.By = by.Name
	}
	return out
}

func (k *hookRun) waits(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waiting = id
}

// hookRunner is a run while this gateway runs it. It is of one goroutine.
type hookRunner struct {
	*hookRun
	bound    *runbook.Bound
	who      identity.Identity
	goes     string         // as api.NewRun has it
	serve    func(net.Conn) // begins a session over it
	sessions sync.WaitGroup
}

// open begins the run, or goes on with it, and opens a session that takes it.
func (r *hookRunner) open(ctx context.Context, settling bool) (runbook.Conn, error) {
	k := &r.kept
	in := api.NewRun{Run: k.Run, Connection: r.bound.Book.Connection, File: k.File, Text: k.Text, Commit: k.Commit, Values: k.Values, Reason: k.Reason, Goes: r.goes}
	if settling {
		in.Goes = "settle"
	} else if err := r.asked(ctx); err != nil { // by an earlier gateway
		return nil, err
	}
	if !settling {
		in.Request = k.Request
	}
	began, err := r.t.g.BeginRun(ctx, r.who, in)
	if err == nil && began.Request != nil {
		r.mu.Lock()
		k.Request = began.Request.ID
		r.mu.Unlock()
		if err := r.keep(); err != nil {
			return nil, &runbook.Failure{Cause: runbook.Unkept, Sentence: err.Error(), Err: err}
		}
		if err := r.asked(ctx); err != nil {
			return nil, err
		}
		in.Request = k.Request
		_, err = r.t.g.BeginRun(ctx, r.who, in)
	}
	if err != nil {
		return nil, hookFailure(err)
	}
	if !settling {
		r.goes = "on" // if the session is lost
	}
	return r.session(ctx)
}

// asked waits until people have granted what was asked for. What was used by a session
// that was lost is asked for anew.
func (r *hookRunner) asked(ctx context.Context) error {
	defer r.waits("")
	for r.kept.Request != "" {
		q, _ := r.t.g.book.Get(r.kept.Request)
		switch q.State {
		case approval.Granted:
			return nil
		case approval.Waiting:
		case approval.Denied, approval.Expired, approval.Cancelled:
			return &runbook.Failure{Cause: runbook.Denied, Sentence: "not approved: " + q.Why, Hint: "talk to the approvers, then call the hook again"}
		default:
			r.mu.Lock()
			r.kept.Request = ""
			r.mu.Unlock()
			continue
		}
		r.waits(q.ID)
		if err := waitFor(ctx, grantEvery); err != nil {
			return err
		}
	}
	return nil
}

// withdraw takes back what was asked for a run that has ended.
func (r *hookRunner) withdraw() {
	q, ok := r.t.g.book.Get(r.kept.Request)
	if !ok || q.State != approval.Waiting && q.State != approval.Granted {
		return
	}
	if _, err := r.t.g.EndRequest(r.who, q.ID); err != nil {
		r.t.g.cfg.Log.Warn("take back what was asked for a run", "request", q.ID, "error", err)
	}
}

// hookConn is a session of a run, which says when it waits for people.
type hookConn struct {
	steps.Session
	r *hookRunner
}

func (c *hookConn) Do(ctx context.Context, sql string, params []*string, most int) (*runbook.Result, error) {
	defer c.r.waits("")
	return c.Session.Do(ctx, sql, params, most)
}

// session opens one through the gateway's own way in, as for a caller from elsewhere, and
// has it take the run.
func (r *hookRunner) session(ctx context.Context) (runbook.Conn, error) {
	stream := func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		r.serve(far)
		return near, nil
	}
	cfg, err := pgstream.Config(r.bound.Book.Connection, "sluice hook "+r.hook.Name, stream)
	if err != nil {
		return nil, err
	}
	maps.Copy(cfg.RuntimeParams, steps.Limits(r.bound.Book.Limits))
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if rest, ok := strings.CutPrefix(n.Message, "waiting for approval "); ok && n.Routine == postgres.Mark {
			id, _, _ := strings.Cut(rest, " ")
			r.waits(id)
		}
	}
	db, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, new(steps.Session).Failure(err)
	}
	c := &hookConn{steps.Session{DB: db}, r}
	for _, say := range []struct{ name, value string }{{"reason", r.kept.Reason}, {"runbook", r.kept.Run}} {
		if err := steps.Tell(ctx, db, say.name, say.value); err != nil {
			c.Close()
			return nil, c.Failure(err)
		}
	}
	return c, nil
}

// hookFailure says what an answer of the gateway's means to a run.
func hookFailure(err error) *runbook.Failure {
	f := &runbook.Failure{Cause: runbook.Lost, Sentence: err.Error(), Err: err}
	if said, ok := api.AsError(err); ok {
		f.Hint = said.Hint
		switch said.Code {
		case api.CodeRefused, api.CodeUsage, api.CodeNotLoggedIn:
			f.Cause = runbook.Refused
		case api.CodeNotApproved:
			f.Cause = runbook.Denied
		}
	}
	return f
}

// waitFor is a pause; an error if the context ends first.
func waitFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
