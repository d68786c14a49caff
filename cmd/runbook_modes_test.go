package cmd

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/internal/pgtest"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/runbook"
)

// What each way to fail leaves in the database, shown on a real one behind a real
// gateway and its tunnel.

const agesBook = `title: Make people older
purpose: For tests.
connection: orders
parameters:
  by: {type: integer, min: 1, max: 10}
TRANSACTION
steps:
  - {name: first, sql: 'update people set age = age + :by where id = 1', expect: rows == 1UNDO1}
  - {name: second, sql: 'update people set age = age + :by where id = 2', expect: rows == 1UNDO2}
  - {name: third, sql: 'update people set age = age + :by where id = 3', expect: rows == 1}
`

// ages makes that runbook, in one transaction or each step by itself with its undo.
func ages(each bool) string {
	r := strings.NewReplacer("TRANSACTION\n", "", "UNDO1", "", "UNDO2", "")
	if each {
		r = strings.NewReplacer("TRANSACTION", "transaction: each",
			"UNDO1", ", undo: 'update people set age = age - :by where id = 1'", "UNDO2", ", undo: 'update people set age = age - :by where id = 2'")
	}
	return r.Replace(agesBook)
}

// rig is a town whose runs can be broken.
type rig struct {
	*town
	a  *app
	gw *client.Gateway
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{town: newTown(t)}
	r.a = &app{in: strings.NewReader(""), out: new(bytes.Buffer), err: new(bytes.Buffer), now: time.Now, env: func(name string) string {
		return map[string]string{"SLUICE_HOME": r.home}[name]
	}}
	var err error
	if r.gw, err = client.Open(t.Context(), r.a.store(), ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.gw.Close() })
	return r
}

// restart ends the gateway and starts another at its address, over its data.
func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	h, err := (&app{now: time.Now}).openHouse(r.t.Context(), houseConfig{
		dir: r.dir, hosts: []string{"127.0.0.1"}, connections: r.conns, log: new(bytes.Buffer),
		base: gateway.Config{Admins: []string{"boss"}, Auditors: []string{"boss"}},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	ln, err := net.Listen("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- h.serve(ctx, ln) }()
	r.house = h
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			r.t.Error(err)
		}
	})
	r.t.Cleanup(r.stop)
}

// holdWrites has every UPDATE wait for the group dba.
func (r *rig) holdWrites() {
	r.t.Helper()
	const text = "rules:\n- {name: writes, when: statement.writes, effect: hold, approvers: {groups: [dba]}}\n"
	rules, err := policy.Load("p.yaml", []byte(text))
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.house.gateway.SetPolicy(gateway.Policy{Rules: rules, Source: "p.yaml", Text: text}, "test"); err != nil {
		r.t.Fatal(err)
	}
}

// runner is one run of a text.
func (r *rig) runner(text string, values map[string]any) *runner {
	r.t.Helper()
	b, err := runbook.Load("ages.yaml", []byte(text))
	if err != nil {
		r.t.Fatal(err)
	}
	bound, err := b.Bind(values)
	if err != nil {
		r.t.Fatal(err)
	}
	return &runner{a: r.a, gw: r.gw, o: runFlags{reason: "test", wait: 20 * time.Second}, book: b, file: volume{File: "ages.yaml", Text: text, Commit: "c0ffee"},
		id: runbook.NewRunID(), bound: bound, tell: r.a.progress}
}

// resume goes on with a run, as sluice runbook resume does.
func (r *rig) resume(old *runner, o runbook.Options) (*runbook.State, error) {
	r.t.Helper()
	kept, err := r.a.store().Runs().Load(old.id)
	if err != nil {
		r.t.Fatal(err)
	}
	again := *old
	again.goes = "on"
	return again.run(r.t.Context(), kept, o)
}

// ages are those of the first three people, past the gateway.
func (r *rig) ages() string {
	r.t.Helper()
	conn, err := pgx.Connect(r.t.Context(), r.dsn)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close(r.t.Context())
	var s string
	if err := conn.QueryRow(r.t.Context(), "select string_agg(age::text, ' ' order by id) from people where id <= 3").Scan(&s); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// ends compares how a run ended, and what is in the database.
func (r *rig) ends(s *runbook.State, err error, status runbook.Status, cause runbook.Cause, ages string) {
	r.t.Helper()
	var f *runbook.Failure
	switch {
	case s == nil:
		r.t.Fatalf("no state: %v", err)
	case s.Status != status:
		r.t.Fatalf("it is %s, not %s: %v", s.Status, status, err)
	case cause == "" && err != nil, cause != "" && (!errors.As(err, &f) || f.Cause != cause):
		r.t.Fatalf("%+v, want %s", err, cause)
	}
	if got := r.ages(); got != ages {
		r.t.Fatalf("the database has %s, not %s, after %v", got, ages, err)
	}
	if kept, err := r.a.store().Runs().Load(s.Run); err != nil || kept.Status != status {
		r.t.Errorf("kept as %+v, %v", kept, err)
	}
}

// at breaks something when a step has ended.
func at(step string, what runbook.What, do func()) func(runbook.Event) {
	var once sync.Once
	return func(e runbook.Event) {
		if e.Step == step && e.What == what {
			once.Do(do)
		}
	}
}

// killSessions ends what a run has open, on the server's side.
func (r *rig) killSessions() {
	pgtest.Exec(r.t, r.dsn, "select pg_terminate_backend(pid) from pg_stat_activity where application_name like '%sluice runbook%' and pid <> pg_backend_pid()")
}

var byFive = map[string]any{"by": "5"}

const asTheyWere, allOlder = "21 22 23", "26 27 28"

func TestRunbookThatEndsWell(t *testing.T) {
	r := newRig(t)
	s, err := r.runner(ages(false), byFive).run(t.Context(), nil, runbook.Options{})
	r.ends(s, err, runbook.Done, "", allOlder)
	s, err = r.runner(ages(true), map[string]any{"by": float64(1)}).run(t.Context(), nil, runbook.Options{})
	r.ends(s, err, runbook.Done, "", "27 28 29")
}

// A bad parameter reaches neither the gateway nor the database.
func TestRunbookWithABadParameterDoesNothing(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ages.yaml"), []byte(ages(false)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, given := range [][]string{
		{}, {"-p", "by="}, {"-p", "by=0"}, {"-p", "by=11"}, {"-p", "by=1.5"}, {"-p", "by=1; drop table people"}, {"-p", "by=1", "-p", "bye=2"},
		{"-p", "by"}, {"-p", "by=1", "-p", "by=2"}, {"-p", "by=٣"}, {"-p", "by=" + strings.Repeat("9", 100_000)}, {"-p", "by=1\x00"},
	} {
		code, out, errs := r.run(r.home, "", append([]string{"runbook", "run", "ages", "--dir", dir, "--reason", "x"}, given...)...)
		if code != exitUsage || out != "" || !strings.Contains(errs, "hint:") {
			t.Errorf("%.60q: %d %s %.300s", given, code, out, errs)
		}
	}
	if got := r.ages(); got != asTheyWere {
		t.Error(got)
	}
	// Nor does one that is sent past our own checks: the gateway reads the file itself.
	bad := r.runner(ages(false), byFive)
	eleven := "11"
	bad.bound.Values["by"] = &eleven
	s, err := bad.run(t.Context(), nil, runbook.Options{})
	r.ends(s, err, runbook.Unchanged, runbook.Refused, asTheyWere)
}

// What is expected and does not hold undoes all, or is undone with what came before it.
func TestRunbookWhoseExpectationFails(t *testing.T) {
	for _, each := range []bool{false, true} {
		r := newRig(t)
		pgtest.Exec(t, r.dsn, "delete from people where id = 3; insert into people values (300, 'x', 23)")
		pgtest.Exec(t, r.dsn, "create rule none as on update to people where old.id = 300 do instead nothing")
		text := strings.Replace(ages(each), "where id = 3", "where id = 3000", 1)
		s, err := r.runner(text, byFive).run(t.Context(), nil, runbook.Options{})
		want := runbook.Unchanged
		if each {
			want = runbook.Undone
		}
		r.ends(s, err, want, runbook.Unexpected, "21 22")
		if !strings.Contains(err.Error(), "step third: expected rows == 1, but rows is 0") {
			t.Error(err)
		}
		if _, err := r.resume(&runner{id: s.Run, a: r.a, gw: r.gw, book: mustLoad(t, text), bound: mustBind(t, text), tell: r.a.progress}, runbook.Options{}); err == nil {
			t.Error("it goes on after it was undone")
		}
	}
}

func mustLoad(t *testing.T, text string) *runbook.Runbook {
	t.Helper()
	b, err := runbook.Load("ages.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustBind(t *testing.T, text string) *runbook.Bound {
	t.Helper()
	b, err := mustLoad(t, text).Bind(byFive)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// More rows than the runbook allows are undone.
func TestRunbookThatWouldChangeTooMany(t *testing.T) {
	r := newRig(t)
	text := strings.Replace(ages(false), "TRANSACTION\n", "", 1)
	text = strings.Replace(text, "steps:", "limits: {rows: 2}\nsteps:", 1)
	text = strings.Replace(text, "where id = 3', expect: rows == 1", "where id <= 3'", 1)
	s, err := r.runner(text, byFive).run(t.Context(), nil, runbook.Options{})
	r.ends(s, err, runbook.Unchanged, runbook.TooMany, asTheyWere)
}

// A session that is lost between steps takes its transaction with it; where each step
// stands by itself, those that are done stand, and the run goes on from them.
func TestRunbookWhoseSessionIsLostBetweenSteps(t *testing.T) {
	r := newRig(t)
	one := r.runner(ages(false), byFive)
	s, err := one.run(t.Context(), nil, runbook.Options{Tell: at("second", runbook.StepDone, r.killSessions)})
	r.ends(s, err, runbook.Unchanged, runbook.Lost, asTheyWere)

	each := r.runner(ages(true), byFive)
	s, err = each.run(t.Context(), nil, runbook.Options{Tell: at("second", runbook.StepDone, r.killSessions)})
	r.ends(s, err, runbook.Broken, runbook.Lost, "26 27 23")
	s, err = r.resume(each, runbook.Options{})
	r.ends(s, err, runbook.Done, "", allOlder)
	if _, err := r.resume(each, runbook.Options{}); err == nil {
		t.Error("what is done is run again")
	}

	back := r.runner(ages(true), byFive)
	s, err = back.run(t.Context(), nil, runbook.Options{Tell: at("second", runbook.StepDone, r.killSessions)})
	r.ends(s, err, runbook.Broken, runbook.Lost, "31 32 28")
	s, err = r.resume(back, runbook.Options{Undo: true})
	r.ends(s, err, runbook.Undone, "", allOlder)
}

// A gateway that is restarted between steps, or while a statement waits for people, is
// a session that is lost.
func TestRunbookThroughARestartOfTheGateway(t *testing.T) {
	r := newRig(t)
	s, err := r.runner(ages(false), byFive).run(t.Context(), nil, runbook.Options{Tell: at("second", runbook.StepDone, r.restart)})
	r.ends(s, err, runbook.Unchanged, runbook.Lost, asTheyWere)

	each := r.runner(ages(true), byFive)
	s, err = each.run(t.Context(), nil, runbook.Options{Tell: at("first", runbook.StepDone, r.restart)})
	r.ends(s, err, runbook.Broken, runbook.Lost, "26 22 23")
	s, err = r.resume(each, runbook.Options{})
	r.ends(s, err, runbook.Done, "", allOlder)

	r.holdWrites()
	held := r.runner(ages(false), byFive)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s, err = held.run(t.Context(), nil, runbook.Options{})
	}()
	r.answer(nil)
	r.restart()
	<-ended
	r.ends(s, err, runbook.Unchanged, runbook.Lost, allOlder)
}

// answer waits for the next ask, and votes on it as who may; nil only waits.
func (r *rig) answer(d *api.AskDecision) {
	r.t.Helper()
	boss, err := client.Open(r.t.Context(), client.NewStore(r.boss, time.Now), "")
	if err != nil {
		r.t.Fatal(err)
	}
	defer boss.Close()
	for {
		var asks []api.Ask
		if err := boss.Call(r.t.Context(), http.MethodGet, api.AsksPath, nil, &asks); err != nil {
			r.t.Fatal(err)
		}
		if len(asks) == 0 {
			if err := pause(r.t.Context(), 10*time.Millisecond); err != nil {
				r.t.Fatal(err)
			}
			continue
		}
		if d == nil {
			return
		}
		vote := *d
		vote.Seal = asks[0].Seal
		if err := boss.Call(r.t.Context(), http.MethodPost, askPath(asks[0].ID), vote, nil); err != nil {
			r.t.Fatal(err)
		}
		return
	}
}

// A statement that people deny, or that nobody answers, fails its run.
func TestRunbookWhoseApprovalIsDenied(t *testing.T) {
	r := newRig(t)
	r.holdWrites()
	yes, no := &api.AskDecision{Grant: true}, &api.AskDecision{Reason: "not today"}
	for _, tt := range []struct {
		each   bool
		votes  []*api.AskDecision
		status runbook.Status
		cause  runbook.Cause
		want   string
	}{
		{false, []*api.AskDecision{yes, no}, runbook.Unchanged, runbook.Denied, asTheyWere},
		{true, []*api.AskDecision{yes, no, yes}, runbook.Undone, runbook.Denied, asTheyWere}, // its undo waits too
		{true, []*api.AskDecision{yes, no, no}, runbook.Stuck, runbook.Denied, "26 22 23"},
	} {
		run := r.runner(ages(tt.each), byFive)
		ended := make(chan struct{})
		var s *runbook.State
		var err error
		go func() {
			defer close(ended)
			s, err = run.run(t.Context(), nil, runbook.Options{})
		}()
		for _, v := range tt.votes {
			r.answer(v)
		}
		<-ended
		r.ends(s, err, tt.status, tt.cause, tt.want)
		if !strings.Contains(err.Error(), "not today") {
			t.Error(err)
		}
	}
	late := r.runner(ages(false), byFive)
	late.o.wait = 50 * time.Millisecond
	s, err := late.run(t.Context(), nil, runbook.Options{})
	r.ends(s, err, runbook.Unchanged, runbook.Denied, "26 22 23")
}

// Approved ahead of time it runs without being asked about again; denied it does not
// begin.
func TestRunbookApprovedAheadOfTime(t *testing.T) {
	r := newRig(t)
	r.holdWrites()
	for _, tt := range []struct {
		vote   api.AskDecision
		status runbook.Status
		cause  runbook.Cause
		want   string
	}{
		{api.AskDecision{Reason: "not today"}, runbook.Unchanged, runbook.Denied, asTheyWere},
		{api.AskDecision{Grant: true}, runbook.Done, "", allOlder},
	} {
		run := r.runner(ages(false), byFive)
		run.o.ahead = true
		ended := make(chan struct{})
		var s *runbook.State
		var err error
		go func() {
			defer close(ended)
			s, err = run.run(t.Context(), nil, runbook.Options{})
		}()
		r.answer(&tt.vote)
		<-ended
		r.ends(s, err, tt.status, tt.cause, tt.want)
	}
}

// lossy loses a session while a transaction ends: before the server hears of it, or
// after, so that only the answer is lost.
type lossy struct {
	runbook.Conn
	heard bool
}

func (c *lossy) Do(ctx context.Context, sql string, params []*string, most int) (*runbook.Result, error) {
	if sql != runbook.Commit {
		return c.Conn.Do(ctx, sql, params, most)
	}
	if c.heard {
		if _, err := c.Conn.Do(ctx, sql, params, most); err != nil {
			return nil, err
		}
	}
	c.Close()
	return nil, errors.New("the cable was cut")
}

// Whether a transaction was committed whose end nobody heard is asked of the server.
func TestRunbookWhoseSessionIsLostWhileItCommits(t *testing.T) {
	r := newRig(t)
	for _, tt := range []struct {
		each, heard bool
		status      runbook.Status
		cause       runbook.Cause
		want        string
	}{
		{false, false, runbook.Unchanged, runbook.Lost, "21 22 23"},
		{false, true, runbook.Done, "", "26 27 28"},
		{true, true, runbook.Done, "", "31 32 33"}, // it goes on by itself
		{true, false, runbook.Broken, runbook.Lost, "31 32 33"},
	} {
		run := r.runner(ages(tt.each), byFive)
		open := func(ctx context.Context, settling bool) (runbook.Conn, error) {
			conn, err := run.open(ctx, settling)
			if err != nil {
				return nil, err
			}
			return &lossy{conn, tt.heard}, nil
		}
		s, err := run.run(t.Context(), nil, runbook.Options{Open: open})
		r.ends(s, err, tt.status, tt.cause, tt.want)
	}
}

// While it cannot be asked, the run says that it is in doubt; later it is found out.
func TestRunbookInDoubtIsSettledLater(t *testing.T) {
	r := newRig(t)
	for _, each := range []bool{false, true} {
		run := r.runner(ages(each), byFive)
		open := func(ctx context.Context, settling bool) (runbook.Conn, error) {
			if settling {
				return nil, errors.New("the gateway is away")
			}
			conn, err := run.open(ctx, settling)
			return &lossy{conn, true}, err
		}
		before := r.ages()
		s, err := run.run(t.Context(), nil, runbook.Options{Open: open})
		if s.Status != runbook.Doubtful || err == nil || r.ages() == before {
			t.Fatalf("%s, %v", s.Status, err)
		}
		s, err = r.resume(run, runbook.Options{})
		want := allOlder
		if each {
			want = "31 32 33"
		}
		r.ends(s, err, runbook.Done, "", want)
	}
}

// A run that was killed goes on where it was; two programs do not go on with one run.
func TestRunbookThatWasKilled(t *testing.T) {
	r := newRig(t)
	run := r.runner(ages(true), byFive)
	var kept client.KeptRun
	_, _ = run.run(t.Context(), nil, runbook.Options{Tell: at("second", runbook.StepBegan, func() {
		now, err := r.a.store().Runs().Load(run.id)
		if err != nil {
			t.Error(err)
			return
		}
		kept = *now
		if _, err := r.resume(run, runbook.Options{}); err == nil || !strings.Contains(err.Error(), "another program") {
			t.Errorf("two at once: %v", err)
		}
		r.killSessions()
	})})
	kept.Status = runbook.Running // as it stood when the process was killed
	if err := r.a.store().Runs().Save(&kept); err != nil {
		t.Fatal(err)
	}
	s, err := r.resume(run, runbook.Options{})
	r.ends(s, err, runbook.Done, "", allOlder)
}

// Ctrl-C, or the end of its time, while a statement runs: what was open is undone.
func TestRunbookThatIsInterrupted(t *testing.T) {
	r := newRig(t)
	for _, tt := range []struct {
		each   bool
		status runbook.Status
		want   string
	}{{false, runbook.Unchanged, asTheyWere}, {true, runbook.Broken, "26 27 23"}} {
		text := strings.Replace(ages(tt.each), "set age = age + :by where id = 3", "set age = age + :by from (select pg_sleep(3)) as s where id = 3", 1)
		ctx, cancel := context.WithCancel(t.Context())
		s, err := r.runner(text, byFive).run(ctx, nil, runbook.Options{Tell: at("third", runbook.StepBegan, cancel)})
		r.ends(s, err, tt.status, runbook.Interrupted, tt.want)
		cancel()
	}
	late := strings.Replace(ages(false), "steps:", "limits: {time: 1s}\nsteps:", 1)
	late = strings.Replace(late, "set age = age + :by where id = 3", "set age = age + :by from (select pg_sleep(3)) as s where id = 3", 1)
	s, err := r.runner(late, byFive).run(t.Context(), nil, runbook.Options{})
	r.ends(s, err, runbook.Unchanged, runbook.Interrupted, "26 27 23")
}
