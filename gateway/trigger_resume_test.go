package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/pgtest"
)

// brokenBook stops at its second step until there is somebody with the id 7777.
const brokenBook = `title: Rename somebody
purpose: Notes a visit, and gives one person another name.
connection: orders
transaction: each
WHO
parameters:
  id: {type: integer, min: 1}
  name: {type: text, max_length: 40}
steps:
  - {name: visit, sql: "insert into visits (person, what) values (:id, 'renamed')", expect: rows == 1UNDO}
  - {name: rename, sql: 'update people set name = :name where id = :id and exists (select from people where id = 7777)', expect: rows == 1}
`

// brokenHook is a gateway whose hook has begun a run that stopped: its first step stands.
func brokenHook(t *testing.T, who, undo string, change ...func(*gateway.Config)) (*hookWorld, api.HookRun) {
	t.Helper()
	text := strings.NewReplacer("WHO", who, "UNDO", undo).Replace(brokenBook)
	w := hookedBook(t, "dev", "", nil, append([]func(*gateway.Config){func(c *gateway.Config) {
		c.Book = func(context.Context, string) (gateway.BookFile, error) {
			return gateway.BookFile{File: "rename.yaml", Text: text, Commit: "c0ffee"}, nil
		}
	}}, change...)...)
	a := w.call(goodCall)
	r := w.ends(a.run.Run)
	if r.Status != "stopped" || !r.GoesOn || w.visits() != 1 {
		t.Fatalf("%+v %+v, %d visits", r, r.Failure, w.visits())
	}
	return w, r
}

// visits is how often the first step was done.
func (w *hookWorld) visits() int {
	w.t.Helper()
	return w.count("select count(*) from visits where what = 'renamed'")
}

func (w *hookWorld) renamed() int {
	w.t.Helper()
	return w.count("select count(*) from people where name like 'Ada%'")
}

func (w *hookWorld) count(sql string) (n int) {
	w.t.Helper()
	conn := connect(w.t, w.direct)
	if err := conn.QueryRow(w.t.Context(), sql).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// mend lets the second step do what it is to do.
func (w *hookWorld) mend() {
	pgtest.Exec(w.t, w.direct, "insert into people (id, name) values (7777, 'x')")
}

// settles waits until a run that goes on has ended.
func (w *hookWorld) settles(run string) (r api.HookRun) {
	w.t.Helper()
	eventually(w.t, "the run has ended", func() bool {
		<-time.After(200 * time.Millisecond) // the hook may be asked so often
		r = w.status(run).run
		return !r.Ended.IsZero()
	})
	return r
}

// A run that stopped goes on when its hook says so: what is done is not done again.
func TestHookGoesOnWithItsRun(t *testing.T) {
	w, r := brokenHook(t, "", "")
	resume := fmt.Sprintf(`{"resume": %q}`, r.Run)
	if a := w.call(resume); a.status != http.StatusAccepted || a.run.Run != r.Run || a.run.Hash != r.Hash {
		t.Fatalf("%d %s", a.status, a.text)
	}
	if r = w.settles(r.Run); r.Status != "stopped" || !r.GoesOn || r.By != "" { // nothing has changed
		t.Fatalf("%+v", r)
	}
	w.mend()
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w.again(t) // and by the next gateway as well
	w.listen()
	if a := w.call(resume); a.status != http.StatusAccepted {
		t.Fatalf("%d %s", a.status, a.text)
	}
	r = w.settles(r.Run)
	if r.Status != "done" || r.GoesOn || w.visits() != 1 || w.renamed() != 1 {
		t.Errorf("%+v %+v, %d visits, %d renamed", r, r.Failure, w.visits(), w.renamed())
	}
	want := []string{"called", "began", "stopped", "called", "began", "stopped", "called", "began", "done"}
	if got := w.outcomes(); !slices.Equal(got, want) {
		t.Errorf("recorded as %q", got)
	}
	if a := w.call(resume); a.status != http.StatusConflict || !strings.Contains(a.err.Sentence, "is done, there is nothing to go on with") {
		t.Errorf("%d %s", a.status, a.text)
	}
}

// What a run did is taken back instead, if its hook says that.
func TestHookTakesItsRunBack(t *testing.T) {
	undo := `, undo: "delete from visits where person = :id and what = 'renamed' and 1 = 1 / (select count(*) from people where id = 7777)"`
	w := hookedBook(t, "dev", "", nil, func(c *gateway.Config) {
		text := strings.NewReplacer("WHO", "", "UNDO", undo).Replace(brokenBook)
		c.Book = func(context.Context, string) (gateway.BookFile, error) {
			return gateway.BookFile{File: "rename.yaml", Text: text}, nil
		}
	})
	r := w.ends(w.call(goodCall).run.Run)
	if r.Status != "stuck" || !r.GoesOn || w.visits() != 1 {
		t.Fatalf("%+v %+v", r, r.Failure)
	}
	w.mend()
	if a := w.call(fmt.Sprintf(`{"resume": %q}`, r.Run)); a.status != http.StatusConflict || !strings.Contains(a.err.Hint, "undo") {
		t.Errorf("%d %s", a.status, a.text)
	}
	if a := w.call(fmt.Sprintf(`{"resume": %q, "undo": true}`, r.Run)); a.status != http.StatusAccepted {
		t.Fatalf("%d %s", a.status, a.text)
	}
	if r = w.settles(r.Run); r.Status != "undone" || w.visits() != 0 || w.renamed() != 0 {
		t.Errorf("%+v %+v, %d visits", r, r.Failure, w.visits())
	}
}

// A person who may run the runbook goes on with the run as themselves, and that is who the
// record names.
func TestPersonGoesOnWithARunOfAHook(t *testing.T) {
	w, r := brokenHook(t, "", "")
	ada := person("ada", "support")
	if _, err := w.ResumeHookRun(t.Context(), ada, "", r.Run, api.HookResume{}); err != nil {
		t.Fatal(err)
	}
	if r = w.settles(r.Run); r.Status != "stopped" || r.By != "a person" || strings.Contains(r.Failure.Sentence, "rows") {
		t.Errorf("the hook is told %+v %+v", r, r.Failure)
	}
	w.mend()
	list := w.HookRuns(ada)
	if len(list) != 1 || list[0].Run != r.Run || list[0].Hook != "tidy" || list[0].Failure != nil || list[0].Steps != nil {
		t.Fatalf("%+v", list)
	}
	if _, err := w.HookRun(person("boss", "support"), r.Run); err == nil {
		t.Error("others see what she was told")
	}
	if _, err := w.ResumeHookRun(t.Context(), ada, "10.0.0.7:1", r.Run, api.HookResume{Reason: "ticket 8"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the run has ended", func() bool {
		r, _ = w.HookRun(ada, r.Run)
		return !r.Ended.IsZero()
	})
	if r.Status != "done" || r.By != "ada@example.com" || w.visits() != 1 || w.renamed() != 1 {
		t.Errorf("%+v %+v, %d visits", r, r.Failure, w.visits())
	}
	evs := w.events(audit.Ran)[6:]
	for _, ev := range evs {
		if ev.Who != "ada@example.com" || ev.CallerKind != "person" || ev.RunbookRun != r.Run || ev.RunbookHash != r.Hash {
			t.Errorf("%+v", ev)
		}
	}
	if len(evs) != 3 || evs[0].Detail != "to go on with a run of hook:tidy" || evs[0].From != "10.0.0.7:1" || evs[0].Reason != "ticket 8" || evs[2].Outcome != "done" {
		t.Errorf("%+v", evs)
	}
	for _, ev := range w.events(audit.Decided) {
		if ev.RunbookStep == "rename" && ev.Effect == "allow" && strings.HasPrefix(ev.SQL, "update") && ev.Purpose == "ticket 8" && ev.Who != "ada@example.com" {
			t.Errorf("%+v", ev)
		}
	}
	if list := w.HookRuns(ada); len(list) != 0 {
		t.Errorf("%+v", list)
	}
}

// Attack: go on with a run of a hook without the right to run its runbook, or as a program,
// or with the run of another hook; or find out by it which runs there are.
func TestNobodyElseGoesOnWithARunOfAHook(t *testing.T) {
	w, r := brokenHook(t, "who: {groups: [support]}", "", func(c *gateway.Config) {
		other := c.Triggers[0]
		other.Name, other.Key = "other", []byte("another key, with bytes enough..")
		c.Triggers = append(c.Triggers, other)
	})
	w.mend()
	agent, job := person("ada", "support"), person("ci", "support")
	agent.Kind, agent.Owner, job.Kind = identity.Agent, "ada", identity.Job
	want := ""
	for _, who := range []identity.Identity{person("eve", "dba"), person("root", "admin"), agent, job} {
		_, err := w.ResumeHookRun(t.Context(), who, "", r.Run, api.HookResume{})
		_, none := w.ResumeHookRun(t.Context(), who, "", "rb-"+r.Run[3:10]+"x", api.HookResume{})
		if err == nil || none == nil {
			t.Fatalf("%s: %v, %v", who.Subject, err, none)
		}
		if want = strings.ReplaceAll(none.Error(), r.Run[3:10]+"x", r.Run[3:]); err.Error() != want {
			t.Errorf("%s is told %q, and of none %q", who.Subject, err, none)
		}
		if list := w.HookRuns(who); len(list) != 0 {
			t.Errorf("%s sees %+v", who.Subject, list)
		}
	}
	w.n++
	body := fmt.Sprintf(`{"resume": %q}`, r.Run)
	stranger := *w
	stranger.key = []byte("another key, with bytes enough..")
	if a := w.post("/v1/hooks/other", body, stranger.sign("msg_other", body)); a.status != http.StatusNotFound {
		t.Errorf("another hook: %d %s", a.status, a.text)
	}
	for bad, status := range map[string]int{
		`{"undo": true}`: http.StatusBadRequest, `{"resume": "rb-x", "runbook": "rename"}`: http.StatusBadRequest, `{"resume": "rb-x"}`: http.StatusNotFound,
		fmt.Sprintf(`{"resume": %q, "parameters": {"name": "Eve"}}`, r.Run): http.StatusBadRequest,
	} {
		if a := w.call(bad); a.status != status {
			t.Errorf("%s: %d %s", bad, a.status, a.text)
		}
	}
	if w.renamed() != 0 || w.visits() != 1 {
		t.Error("something ran")
	}
}

// Attack: go on with one run many times at once, so that a step is done twice.
func TestARunOfAHookGoesOnOnce(t *testing.T) {
	w, r := brokenHook(t, "", "")
	w.mend()
	var all sync.WaitGroup
	var mu sync.Mutex
	went, go1 := 0, make(chan struct{})
	for i := range 24 {
		all.Go(func() {
			ok := false
			<-go1
			if i%6 == 0 {
				body := fmt.Sprintf(`{"resume": %q}`, r.Run)
				ok = w.post("/v1/hooks/tidy", body, w.sign(fmt.Sprint("again_", i), body)).status == http.StatusAccepted
			} else {
				_, err := w.ResumeHookRun(t.Context(), person("ada", "support"), "", r.Run, api.HookResume{})
				ok = err == nil
			}
			mu.Lock()
			defer mu.Unlock()
			if ok {
				went++
			}
		})
	}
	close(go1)
	all.Wait()
	if r = w.settles(r.Run); went != 1 || r.Status != "done" || w.visits() != 1 || howMany(w.outcomes(), "began") != 2 {
		t.Errorf("it went on %d times: %+v, %d visits", went, r, w.visits())
	}
}

// Attack: go on by a hook with what its configuration no longer lets it do. A person may.
func TestHookGoesOnOnlyAsItMayToday(t *testing.T) {
	w, r := brokenHook(t, "", "")
	w.mend()
	for name, change := range map[string]func(*gateway.Trigger){
		"another fixed value": func(h *gateway.Trigger) { h.Fixed = map[string]string{"id": "2"} },
		"a value not given":   func(h *gateway.Trigger) { h.Allow, h.Fixed = nil, map[string]string{"id": "1", "name": "x"} },
		"another runbook":     func(h *gateway.Trigger) { h.Runbooks = []string{"other"} },
	} {
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
		w.again(t, func(c *gateway.Config) {
			c.Triggers = slices.Clone(c.Triggers)
			change(&c.Triggers[0])
		})
		w.listen()
		if a := w.call(fmt.Sprintf(`{"resume": %q}`, r.Run)); a.status != http.StatusForbidden {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
	if w.renamed() != 0 {
		t.Fatal("it ran")
	}
	if _, err := w.ResumeHookRun(t.Context(), person("ada", "support"), "", r.Run, api.HookResume{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is done", func() bool { return w.renamed() == 1 })
}

// Attack, or an accident: the gateway stops while a person goes on with a run that waits
// for people. The next one does not act for somebody who is not there, and the run can be
// gone on with.
func TestNoGatewayGoesOnAsAPerson(t *testing.T) {
	w, r := brokenHook(t, "", "")
	w.mend()
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	quiet := w.cfg.Rules
	w.again(t, func(c *gateway.Config) {
		c.Rules, c.Connections = heldBy(t, "{groups: [dba]}"), slices.Clone(c.Connections)
		c.Connections[0].Env = "prod"
	})
	w.listen()
	ada := person("ada", "support")
	if _, err := w.ResumeHookRun(t.Context(), ada, "", r.Run, api.HookResume{}); err != nil {
		t.Fatal(err)
	}
	if ask := w.held(t, 1)[0]; ask.Who.Name != "ada@example.com" {
		t.Errorf("%+v", ask)
	}
	file := filepath.Join(w.dir, "hooks", r.Run+".run.json")
	killed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	if last, err := os.ReadFile(file); err != nil || !strings.Contains(string(last), `"ended"`) || strings.Contains(string(killed), `"ended"`) {
		t.Errorf("stopped in order it leaves %s, %v", last, err)
	}
	if err := os.WriteFile(file, killed, 0o600); err != nil { // as if it had been killed
		t.Fatal(err)
	}
	w.again(t, func(c *gateway.Config) { c.Rules = quiet })
	w.listen()
	eventually(t, "the run is over", func() bool { return len(w.HookRuns(ada)) == 1 })
	if list := w.HookRuns(ada); len(list) != 1 || list[0].Status != "broken" || list[0].By != "ada@example.com" || w.renamed() != 0 {
		t.Fatalf("%+v, %d renamed", list, w.renamed())
	}
	if a := w.call(fmt.Sprintf(`{"resume": %q}`, r.Run)); a.status != http.StatusAccepted {
		t.Fatalf("%d %s", a.status, a.text)
	}
	if r = w.settles(r.Run); r.Status != "done" || r.By != "" || w.visits() != 1 || w.renamed() != 1 {
		t.Errorf("%+v, %d visits", r, w.visits())
	}
}
