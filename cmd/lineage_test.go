package cmd

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/lineage"
	"github.com/sluicehq/sluice/lineage/store"
)

const lineagePolicy = `
rules:
  - name: tables-need-a-second-person
    when: 'statement.tag == "CREATE TABLE AS"'
    effect: hold
    approvers: {groups: [dba], count: 1}
    reason: somebody looks at what goes into a table
`

// The scenarios of testdata/lineage: a town where new tables are approved. bob is an
// auditor, dan approves, and ada is neither. approved WHO COMMAND… is a command that is
// held, while WHO approves.
func TestLineageScripts(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "lineage", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			policy := filepath.Join(t.TempDir(), "policy.yaml")
			must(t, os.WriteFile(policy, []byte(lineagePolicy), 0o600))
			sent := filepath.Join(t.TempDir(), "events.jsonl")
			w := newTownIn(t, "dev", func(cfg *houseConfig) {
				cfg.policy = policy
				cfg.openLineage = &store.DeliveryConfig{File: sent, Make: &lineage.OpenLineage{Producer: producer()}}
			}, nil, func(*pgconn.Config) {}, "pay")
			homes := map[string]string{"ada": w.home, "bob": w.boss, "dan": t.TempDir()}
			dan := identity.Identity{Subject: "dan", Email: "dan@example.com", Kind: identity.Person, Method: "test", Groups: []string{"dba"}}
			must(t, w.house.admit(client.NewStore(homes["dan"], time.Now), w.addr, dan, time.Hour))
			cmds := map[string]func(*testscript.TestScript, bool, []string){"keep": keep, "field": field, "expand": expand, "idOf": idOf}
			for who, home := range homes {
				cmds[who] = inWork(as(home, true, new(string)))
			}
			cmds["ends"] = func(ts *testscript.TestScript, neg bool, args []string) { ends(ts, homes[args[1]], args[0], args[2:]) }
			cmds["approved"] = func(ts *testscript.TestScript, neg bool, args []string) {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				done := make(chan error, 1) // one result, read below
				go func() { done <- approveNext(ctx, homes[args[0]]) }()
				cmds[args[1]](ts, neg, args[2:])
				cancel()
				ts.Check(<-done)
			}
			testscript.Run(t, testscript.Params{Files: []string{file}, Cmds: cmds, Setup: func(env *testscript.Env) error {
				env.Setenv("SENT", sent)
				database := w.connected.Database
				env.Setenv("DATABASE", database.Database)
				env.Setenv("AT", net.JoinHostPort(database.Host, strconv.Itoa(int(database.Port))))
				env.Setenv("KEY", w.house.record.VerifierKey())
				env.Setenv("RECORD", filepath.Join(w.dir, "record"))
				return nil
			}})
		})
	}
}

// A run that is under way when its gateway ends can be ended at the next, once, and by
// nobody else.
func TestARunOutlivesItsGateway(t *testing.T) {
	dir := t.TempDir()
	open := func() (*house, func()) {
		h, err := (&app{now: time.Now}).openHouse(t.Context(), houseConfig{dir: dir, log: new(bytes.Buffer)})
		must(t, err)
		return h, func() { must(t, h.close()) }
	}
	ada := identity.Identity{Subject: "ada", Kind: identity.Person, Expires: time.Now().Add(time.Hour)}
	eve, agent := ada, ada
	eve.Subject = "eve"
	agent.Kind, agent.Owner = identity.Agent, "ada"
	h, end := open()
	run, err := h.gateway.BeginJobRun(ada, api.JobRunStart{Job: "train"})
	must(t, err)
	_, err = h.gateway.BeginJobRun(ada, api.JobRunStart{})
	if err == nil {
		t.Error("a run of no job began")
	}
	_, err = h.gateway.BeginJobRun(ada, api.JobRunStart{Job: "x", Inputs: []string{"sluice:orders public.forged"}})
	if err == nil {
		t.Error("an input passes for a table of the gateway's")
	}
	end()
	h, end = open()
	defer end()
	for _, who := range []identity.Identity{eve, agent} {
		if _, err := h.gateway.EndJobRun(t.Context(), who, run.ID, api.JobRunEnd{Outcome: "ok"}); err == nil {
			t.Errorf("%+v ended a run of ada's", who)
		}
	}
	if _, err := h.gateway.EndJobRun(t.Context(), ada, run.ID, api.JobRunEnd{Outcome: "great"}); err == nil {
		t.Error("it ended in a way that there is not")
	}
	_, err = h.gateway.EndJobRun(t.Context(), ada, run.ID, api.JobRunEnd{Outcome: "ok", Outputs: []string{"model:m@1"}})
	must(t, err)
	for _, id := range []string{run.ID, "", "x"} {
		if _, err := h.gateway.EndJobRun(t.Context(), ada, id, api.JobRunEnd{Outcome: "ok"}); err == nil {
			t.Errorf("%q ended twice", id)
		}
	}
}

// inWork runs a command in the directory of the script.
func inWork(do func(*testscript.TestScript, bool, []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		was, err := os.Getwd()
		ts.Check(err)
		ts.Check(os.Chdir(ts.MkAbs(".")))
		defer func() { ts.Check(os.Chdir(was)) }()
		do(ts, neg, args)
	}
}

// ends runs a command whose exit status must be this: ends STATUS WHO COMMAND….
func ends(ts *testscript.TestScript, home, status string, args []string) {
	var out, errs bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &out, err: &errs, now: time.Now, env: func(name string) string {
		if name == "SLUICE_HOME" {
			return home
		}
		return ""
	}}
	if code := a.run(context.Background(), args); strconv.Itoa(code) != status {
		ts.Fatalf("it ended with %d: %s", code, &errs)
	}
}

// approveNext approves what waits, once.
func approveNext(ctx context.Context, home string) error {
	for ctx.Err() == nil {
		var out, errs bytes.Buffer
		a := &app{in: strings.NewReader(""), out: &out, err: &errs, now: time.Now, env: func(name string) string {
			if name == "SLUICE_HOME" {
				return home
			}
			return ""
		}}
		if a.run(ctx, []string{"approvals", "ls", "-o", "csv"}) != 0 {
			continue
		}
		for line := range strings.Lines(out.String()) {
			id, _, _ := strings.Cut(line, ",")
			if id != "id" && a.run(ctx, []string{"approvals", "approve", id}) == 0 {
				return nil
			}
		}
	}
	return ctx.Err()
}

// field puts what a pattern finds in the last output into a variable: field NAME PATTERN,
// which has a group.
func field(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: field NAME PATTERN")
	}
	m := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) != 2 {
		ts.Fatalf("there is no %s in the output", args[1])
	}
	ts.Setenv(args[0], m[1])
}

// expand puts variables into a file, where it has @NAME@.
func expand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: expand FILE")
	}
	text := regexp.MustCompile("@[A-Z]+@").ReplaceAllStringFunc(ts.ReadFile(args[0]), func(name string) string { return ts.Getenv(strings.Trim(name, "@")) })
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// idOf puts what a file has into a variable: idOf NAME FILE.
func idOf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: idOf NAME FILE")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}
