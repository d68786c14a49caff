package gateway_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/runbook"
)

const renameBook = `title: Rename somebody
purpose: Gives one person another name.
connection: orders
parameters:
  id: {type: integer}
  name: {type: text}
who: {groups: [support], kinds: [person, job]}
APPROVALS
steps:
  - {name: find, sql: 'select id from people where id = :id', expect: rows == 1}
  - {name: rename, sql: 'update people set name = :name where id = :id', expect: rows == 1}
  - {name: tell, when: rows_wanted, sql: "insert into visits (person, what) values (:id, 'renamed')"}
`

// bookOf is that runbook, with or without asking ahead of time.
func bookOf(approvals string) string {
	text := strings.Replace(renameBook, "APPROVALS\n", approvals, 1)
	return strings.Replace(text, "when: rows_wanted", "when: steps.rename.rows == 1", 1)
}

func newRun(id, text string) api.NewRun {
	one, name := "1", "Ada'; drop table people --"
	return api.NewRun{Run: id, Connection: "orders", File: "rename.yaml", Text: text, Commit: "c0ffee", Reason: "ticket 7", Values: map[string]*string{"id": &one, "name": &name}}
}

// send runs one statement with parameters, as a run does.
func send(conn *pgx.Conn, sql string, params ...string) error {
	values := make([][]byte, len(params))
	for i, p := range params {
		values[i] = []byte(p)
	}
	return conn.PgConn().ExecParams(context.Background(), sql, values, nil, nil, nil).Read().Err
}

// steps are the statements of a run of that runbook.
func steps(t *testing.T, in api.NewRun) []runbook.Statement {
	t.Helper()
	b, err := runbook.Load(in.File, []byte(in.Text))
	if err != nil {
		t.Fatal(err)
	}
	bound, err := b.Bind(map[string]any{"id": *in.Values["id"], "name": *in.Values["name"]})
	if err != nil {
		t.Fatal(err)
	}
	return bound.Statements()
}

func sendStep(conn *pgx.Conn, st runbook.Statement) error {
	var params []string
	for _, p := range st.Params {
		params = append(params, *p)
	}
	return send(conn, st.SQL, params...)
}

// The session of a run runs the steps of its runbook with their values, and nothing
// else; the record says which step of which file each statement was.
func TestSessionOfARunRunsNothingElse(t *testing.T) {
	th := start(t, "dev", village, nil)
	ada := person("ada", "support")
	in := newRun("run-1", bookOf(""))
	began, err := th.BeginRun(t.Context(), ada, in)
	if err != nil || began.Request != nil {
		t.Fatalf("%+v, %v", began, err)
	}
	list := steps(t, in)
	conn := connect(t, th.as(ada))
	if err := send(conn, "set sluice.runbook = 'run-1'"); err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]func() error{
		"another statement":        func() error { return send(conn, "select 1") },
		"a step with other values": func() error { return send(conn, list[1].SQL, "Eve", "1") },
		"a step spelt otherwise":   func() error { return send(conn, list[1].SQL+" ", *list[1].Params[0], "1") },
		"two at once":              func() error { return second(run(conn, "select 1; "+runbook.Commit)) },
		"another run":              func() error { return send(conn, "set sluice.runbook = 'run-2'") },
		"a prepared one":           func() error { return send(conn, "prepare p as select 1") },
	} {
		if err := try(); err == nil {
			t.Errorf("%s runs", name)
		} else {
			wantCode(t, err, "42501")
		}
	}
	for _, sql := range []string{runbook.Begin, "", runbook.TransactionID, runbook.Commit} {
		if err := send(conn, sql); err != nil {
			t.Errorf("%q: %v", sql, err)
		}
	}
	for _, st := range list {
		if err := sendStep(conn, st); err != nil {
			t.Errorf("%s: %v", st.Step, err)
		}
	}
	if names(t, th, "Ada''; drop table people --") != 1 {
		t.Error("the value was not bound")
	}
	if _, err := th.EndRun(ada, "run-1", api.RunEnd{Status: "done", Detail: "3 steps"}); err != nil {
		t.Fatal(err)
	}
	var seen []string
	ended := map[string]string{}
	for _, ev := range th.events(audit.Finished) {
		ended[ev.Of] = ev.Outcome
	}
	for _, ev := range th.events(audit.Decided) {
		if ev.RunbookStep != "" && ended[ev.ID] == "ok" {
			seen = append(seen, ev.Runbook+" "+ev.RunbookRun+" "+ev.RunbookStep)
		}
	}
	if strings.Join(seen, ", ") != "rename run-1 find, rename run-1 rename, rename run-1 tell" {
		t.Errorf("recorded: %s", seen)
	}
	ran := th.events(audit.Ran)
	if len(ran) != 2 || ran[0].Outcome != "began" || ran[1].Outcome != "done" || ran[0].RunbookHash != began.Hash ||
		!strings.Contains(ran[0].Detail, "commit c0ffee, as the caller says") || ran[0].Reason != "ticket 7" || len(ran[0].Params) != 2 {
		t.Errorf("recorded: %+v", ran)
	}
	th.balanced()
}

// A run is its owner's, of whom the runbook lets, on the connection that it names, with
// values that it allows; and a session takes it before anything else was sent.
func TestRunIsForWhomItsRunbookLets(t *testing.T) {
	th := start(t, "dev", village, nil)
	ada := person("ada", "support")
	agent := identity.Identity{Subject: "bot", Owner: "ada", Kind: identity.Agent, Groups: []string{"support"}, Method: "test", Expires: ada.Expires}
	bad := newRun("run-9", bookOf(""))
	seven := "seven"
	bad.Values = map[string]*string{"id": &seven}
	for name, try := range map[string]struct {
		who  identity.Identity
		in   api.NewRun
		want string
	}{
		"nobody of the group":   {person("eve", "sales"), newRun("run-9", bookOf("")), "for members of support"},
		"an agent":              {agent, newRun("run-9", bookOf("")), "not for agents"},
		"another connection":    {ada, newRun("run-9", strings.Replace(bookOf(""), "connection: orders", "connection: pay", 1)), "for the connection pay"},
		"a bad parameter":       {ada, bad, `id must be a whole number`},
		"a file that is wrong":  {ada, newRun("run-9", "title: x"), "purpose is missing"},
		"an id that is a trick": {ada, newRun("run'; select 1", bookOf("")), "the id of a run"},
	} {
		if _, err := th.BeginRun(t.Context(), try.who, try.in); err == nil || !strings.Contains(err.Error(), try.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := th.BeginRun(t.Context(), ada, newRun("run-1", bookOf(""))); err != nil {
		t.Fatal(err)
	}
	for name, conn := range map[string]*pgx.Conn{
		"somebody else's":    connect(t, th.as(person("eve", "support"))),
		"with another path":  connect(t, th.as(ada)+"&search_path=pg_temp"),
		"after another text": connect(t, th.as(ada)),
	} {
		if name == "after another text" {
			run(conn, "create temp table people (id int, name text)")
		}
		if err := send(conn, "set sluice.runbook = 'run-1'"); err == nil {
			t.Errorf("a session %s takes it", name)
		}
	}
	if _, err := th.EndRun(person("eve", "support"), "run-1", api.RunEnd{Status: "done"}); err == nil {
		t.Error("somebody else ends it")
	}
	if _, err := th.EndRun(ada, "run-1", api.RunEnd{Status: "fine"}); err == nil {
		t.Error("it ends as nothing does")
	}
}

// What was approved ahead of time is the whole run: its file, its values, its order, and
// one session of it.
func TestRunApprovedAheadOfTime(t *testing.T) {
	th := start(t, "prod", village, heldBy(t, "{groups: [dba]}"))
	ada := person("ada", "support")
	in := newRun("run-1", bookOf("approvals: {ahead: true}\n"))
	begin := func(change func(*api.NewRun)) (api.Run, error) {
		try := in
		change(&try)
		return th.BeginRun(t.Context(), ada, try)
	}
	if _, err := begin(func(in *api.NewRun) { in.Reason = "" }); err == nil || !strings.Contains(err.Error(), "needs a reason") {
		t.Errorf("without a reason: %v", err)
	}
	asked, err := begin(func(*api.NewRun) {})
	if err != nil || asked.Request == nil {
		t.Fatalf("%+v, %v", asked, err)
	}
	id := asked.Request.ID
	for _, want := range []string{"-- runbook rename: Rename somebody", asked.Hash, `-- $1 = "Ada'; drop table people --"`, "-- expects rows == 1", "-- step 3: tell, if steps.rename.rows == 1"} {
		if !strings.Contains(asked.Request.SQL, want) {
			t.Errorf("approvers are not shown %s in\n%s", want, asked.Request.SQL)
		}
	}
	if _, err := begin(func(in *api.NewRun) { in.Request = id }); err == nil || !strings.Contains(err.Error(), "waiting") && !strings.Contains(err.Error(), "waits") {
		t.Errorf("before it is approved: %v", err)
	}
	th.approve(t, id)
	eve := "Eve"
	for name, change := range map[string]func(*api.NewRun){
		"other values":  func(in *api.NewRun) { in.Values = map[string]*string{"id": in.Values["id"], "name": &eve} },
		"another file":  func(in *api.NewRun) { in.Text += "# changed\n" },
		"another state": func(in *api.NewRun) { in.Commit = "f00d" },
	} {
		if _, err := begin(func(in *api.NewRun) { in.Request = id; change(in) }); err == nil || !strings.Contains(err.Error(), "something else") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Not as a script, which would run all of its text.
	wantCode(t, send(connect(t, th.as(ada)), "set sluice.request = '"+id+"'"), "42501")

	if _, err := begin(func(in *api.NewRun) { in.Request = id }); err != nil {
		t.Fatal(err)
	}
	list := steps(t, in)
	take := func() *pgx.Conn {
		conn := connect(t, th.as(ada))
		if err := send(conn, "set sluice.runbook = 'run-1'"); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	conn, other := take(), take()
	wantCode(t, sendStep(conn, list[1]), "42501") // past the step that checks
	for _, st := range list[:2] {
		if err := sendStep(conn, st); err != nil {
			t.Fatalf("%s: %v", st.Step, err)
		}
	}
	wantCode(t, sendStep(conn, list[1]), "42501") // not twice
	wantCode(t, sendStep(conn, list[0]), "42501") // nor back
	wantCode(t, sendStep(other, list[2]), "42501")
	if err := sendStep(conn, list[2]); err != nil {
		t.Fatal(err)
	}
	if len(th.Asks(approver)) != 0 || names(t, th, "Ada''; drop table people --") != 1 {
		t.Error("it did not run by its approval")
	}
	if _, err := begin(func(in *api.NewRun) { in.Request = id }); err == nil {
		t.Error("it begins twice")
	}
	th.balanced()
}

// A runbook may want people to agree where the policy wants nobody; denied, it does not
// begin.
func TestRunbookThatWantsPeopleByItself(t *testing.T) {
	th := start(t, "dev", village, nil)
	ada := person("ada", "support")
	in := newRun("run-1", bookOf("approvals: {ahead: true, groups: [dba], count: 1}\n"))
	asked, err := th.BeginRun(t.Context(), ada, in)
	if err != nil || asked.Request == nil {
		t.Fatalf("%+v, %v", asked, err)
	}
	if _, err := th.Answer(ada, asked.Request.ID, th.yes(asked.Request.ID)); err == nil {
		t.Error("ada approves her own run")
	}
	if _, err := th.Answer(approver, asked.Request.ID, api.AskDecision{Reason: "not today"}); err != nil {
		t.Fatal(err)
	}
	in.Request = asked.Request.ID
	if _, err := th.BeginRun(t.Context(), ada, in); err == nil || !strings.Contains(err.Error(), "not today") {
		t.Errorf("it begins: %v", err)
	}
	wantCode(t, send(connect(t, th.as(ada)), "set sluice.runbook = 'run-1'"), "42501")
	if names(t, th, "n1") != 1 {
		t.Error("it ran")
	}
}

// What a step would do is compared with what it would have done when it was approved.
func TestRunWhoseMeaningMovedSinceItsApproval(t *testing.T) {
	th := start(t, "prod", village, heldBy(t, "{groups: [dba]}"))
	ada := person("ada", "support")
	in := newRun("run-1", bookOf("approvals: {ahead: true}\n"))
	asked, err := th.BeginRun(t.Context(), ada, in)
	if err != nil || asked.Request == nil {
		t.Fatalf("%+v, %v", asked, err)
	}
	th.approve(t, asked.Request.ID)
	in.Request = asked.Request.ID
	if _, err := th.BeginRun(t.Context(), ada, in); err != nil {
		t.Fatal(err)
	}
	pgtestExec(t, th, `create function also() returns trigger language plpgsql as $$ begin delete from visits; return new; end $$;
		create trigger also after update on people for each row execute function also()`)
	conn := connect(t, th.as(ada))
	if err := send(conn, "set sluice.runbook = 'run-1'"); err != nil {
		t.Fatal(err)
	}
	list := steps(t, in)
	if err := sendStep(conn, list[0]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the catalogue is read again", func() bool {
		list, err := th.Explain(t.Context(), ada, "orders", list[1].SQL)
		return err == nil && len(list[0].Consequences) > 0
	})
	if err := sendStep(conn, list[1]); err == nil || !strings.Contains(err.Error(), "has changed since") {
		t.Errorf("it runs: %v", err)
	}
}

// What a run is given may tell of people: the record keeps pseudonyms, approvers see it.
func TestValuesOfARunAreNotInTheRecord(t *testing.T) {
	th := start(t, "prod", village, heldBy(t, "{groups: [dba]}"), func(cfg *gateway.Config) {
		cfg.Literals = gateway.Literals{Mode: gateway.PseudonymiseLiterals, Key: []byte("k")}
	})
	ada := person("ada", "support")
	in := newRun("run-1", bookOf("approvals: {ahead: true}\n"))
	asked, err := th.BeginRun(t.Context(), ada, in)
	if err != nil || asked.Request == nil || !strings.Contains(asked.Request.SQL, "Ada'; drop") {
		t.Fatalf("%+v, %v", asked, err)
	}
	th.approve(t, asked.Request.ID)
	in.Request = asked.Request.ID
	if _, err := th.BeginRun(t.Context(), ada, in); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []audit.Kind{audit.Asked, audit.Ran} {
		for _, ev := range th.events(kind) {
			if all := strings.Join(append(ev.Params, ev.SQL, ev.Detail, ev.Reason), " "); strings.Contains(all, "Ada'") || kind == audit.Ran && !strings.Contains(all, "name=") {
				t.Errorf("%s has %s", kind, all)
			}
		}
	}
}
