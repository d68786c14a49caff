package cmd

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/internal/pgtest"
)

const brokenHookBook = `title: Another address
purpose: For tests.
connection: orders
transaction: each
parameters:
  id: {type: integer}
  name: {type: text}
steps:
  - {name: age, sql: 'update people set age = age + 1 where id = :id', expect: rows == 1}
  - {name: rename, sql: 'update people set email = :name where id = :id and exists (select from people where id = 7777)', expect: rows == 1}
`

// A run that a webhook began and that broke is listed to who may go on with it, and resume
// goes on with it as with a run of theirs.
func TestResumeOfARunOfAHook(t *testing.T) {
	books := t.TempDir()
	must(t, os.WriteFile(filepath.Join(books, "rename.yaml"), []byte(brokenHookBook), 0o600))
	w, post := hookTown(t, books)
	_, began := post("/v1/hooks/tidy", `{"parameters": {"name": "Hooked"}}`)
	run := hookEnds(t, post, began).Run
	code, out, errs := w.run(w.home, "", "runbook", "runs", "--hooks")
	if code != exitOK || !strings.Contains(out, run) || !strings.Contains(out, "sluice runbook resume "+run) {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	code, _, errs = w.run(w.home, "", "runbook", "resume", run)
	if code != exitError || !strings.Contains(errs, "step rename: expected rows == 1, but rows is 0; the steps that are done stand (run "+run+")") ||
		!strings.Contains(errs, "hint: go on with: sluice runbook resume "+run) || !strings.Contains(errs, "[1/2] age  1 row") {
		t.Errorf("%d %s", code, errs)
	}
	pgtest.Exec(t, w.dsn, "insert into people (id) values (7777)")
	code, out, errs = w.run(w.home, "", "runbook", "resume", run, "--reason", "ticket 9", "-o", "json")
	var got api.HookRun
	if err := json.Unmarshal([]byte(out), &got); code != exitOK || err != nil || got.Status != "done" || got.Run != run {
		t.Errorf("%d %v %s%s", code, err, out, errs)
	}
	if !strings.Contains(errs, "✓ [2/2] rename  1 row\n") || !strings.Contains(errs, "run "+run+": done") {
		t.Errorf("it tells %s", errs)
	}
	code, out, errs = w.run(w.boss, "", "audit", "query", "--kind", "ran", "-o", "json")
	if code != exitOK || strings.Count(out, `"who": "ada`) != 6 || !strings.Contains(out, "to go on with a run of hook:tidy") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if status, _ := post("/v1/hooks/tidy", `{"resume": "`+run+`"}`); status != http.StatusConflict {
		t.Errorf("what is done goes on: %d", status)
	}
	for _, id := range []string{run, "rb-nothing", "../x"} {
		code, _, errs = w.run(w.home, "", "runbook", "resume", id)
		if code != exitUsage || !strings.Contains(errs, "no run of a hook that you can go on with\nhint: run: sluice runbook runs, or with --hooks") {
			t.Errorf("%s: %d %s", id, code, errs)
		}
	}
}
