package cmd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/runbook"
)

// The runbooks that come along are as they should be, and do what their cases say.
func TestRunbooksThatComeAlong(t *testing.T) {
	r := newRig(t)
	dir := filepath.Join("..", "runbooks")
	if code, out, errs := r.run(r.home, "", "runbook", "lint", "--strict", "--dir", dir); code != 0 || strings.Count(out, ": ok") < 5 {
		t.Errorf("lint: %d\n%s%s", code, out, errs)
	}
	code, out, errs := r.run(r.home, "", "runbook", "test", "-v", "--dir", dir, "--dsn", r.dsn)
	if code != 0 || strings.Contains(errs, "no cases") {
		t.Errorf("test: %d\n%s%s", code, out, errs)
	}
	var left int
	conn, err := pgx.Connect(t.Context(), r.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), "select count(*) from pg_database where datname like 'sluice_runbook_%'").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d scratch databases are left, %v", left, err)
	}
}

// A case that does not hold is said with what differs.
func TestRunbookTestSaysWhatDiffers(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	files := map[string]string{
		"ages.yaml": ages(false),
		"ages_test.yaml": "schema: create table people (id int, age int)\ntests:\n- name: nobody is there\n  params: {by: 1}\n  expect: {rows: {first: 1}, check: ['select count(*) = 1 from people']}\n" +
			"- name: all are\n  setup: insert into people values (1, 1), (2, 2), (3, 3)\n  params: {by: 1}\n  expect: {rows: {first: 1}, check: ['select sum(age) = 9 from people']}\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, out, errs := r.run(r.home, "", "runbook", "test", "--dir", dir, "--dsn", r.dsn)
	for _, want := range []string{"FAIL", "ages_test.yaml:3: nobody is there", "it is unchanged, not done; step first: expected rows == 1, but rows is 0", "step first has 0 rows, not 1", "select count(*) = 1 from people: it is not true"} {
		if !strings.Contains(out, want) {
			t.Errorf("not said: %s", want)
		}
	}
	if code != exitError || !strings.Contains(errs, "1 of 2 cases failed") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	files["ages_test.yaml"] = "tests:\n- name: x\n  expect: {status: fine, rows: {frist: 1}}\n"
	if err := os.WriteFile(filepath.Join(dir, "ages_test.yaml"), []byte(files["ages_test.yaml"]), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := r.run(r.home, "", "runbook", "test", "ages", "--dir", dir, "--dsn", r.dsn); code != exitUsage || !strings.Contains(errs, `there is no step "frist"`) || !strings.Contains(errs, `status is "fine"`) {
		t.Errorf("%d %s", code, errs)
	}
}

// The stuck query of somebody else ends, and nothing of who is idle.
func TestStuckQueryIsCancelledByItsRunbook(t *testing.T) {
	r := newRig(t)
	stuck, err := pgx.Connect(t.Context(), r.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close(t.Context())
	pid := strconv.Itoa(int(stuck.PgConn().PID()))
	text, err := os.ReadFile(filepath.Join("..", "runbooks", "cancel-query.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	cancel := func() (*runbook.State, error) {
		run := r.runner(string(text), map[string]any{"pid": pid, "longer_than": "1"})
		return run.run(t.Context(), nil, runbook.Options{})
	}
	if s, err := cancel(); err == nil || s.Status != runbook.Unchanged || !strings.Contains(err.Error(), "step look: expected") {
		t.Errorf("of who is idle: %s, %v", s.Status, err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := stuck.Exec(t.Context(), "select pg_sleep(60)")
		ended <- err
	}()
	watch, err := pgx.Connect(t.Context(), r.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close(t.Context())
	for long := false; !long; {
		if err := watch.QueryRow(t.Context(), "select count(*) = 1 from pg_stat_activity where pid = $1 and state = 'active' and query_start < clock_timestamp() - interval '2 seconds'", pid).Scan(&long); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() {
		_, err := cancel()
		done <- err
	}()
	r.answer(&api.AskDecision{Grant: true}) // to signal another session is held in production
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "57014") {
		t.Errorf("it ended with %v", err)
	}
}

// From a repository, a revision gives the file as it was then, and its commit is known;
// a file that has changed since says so.
func TestRunbookOfARevision(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "ages.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	git := func(args ...string) string {
		c := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"}, args...)...)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	write(ages(false))
	git("init", "-q")
	git("add", ".")
	git("commit", "-qm", "first")
	first := git("rev-parse", "HEAD")
	s := shelf{dir: dir}
	if _, v, err := s.open(t.Context(), "ages"); err != nil || v.Commit != first {
		t.Errorf("%q, %v", v.Commit, err)
	}
	write(ages(true))
	if _, v, err := s.open(t.Context(), "ages"); err != nil || v.Commit != first+"-changed" {
		t.Errorf("%q, %v", v.Commit, err)
	}
	s.ref = "HEAD"
	if b, v, err := s.open(t.Context(), "ages"); err != nil || v.Commit != first || b.Transaction != runbook.One {
		t.Errorf("%q, %v", v.Commit, err)
	}
	if names, err := s.names(t.Context()); err != nil || len(names) != 1 || names[0] != "ages" {
		t.Errorf("%q, %v", names, err)
	}
	for _, bad := range []string{"--output=x", "nothing", "HEAD^{/x"} {
		s.ref = bad
		if _, _, err := s.open(t.Context(), "ages"); err == nil {
			t.Errorf("%s is a revision", bad)
		}
	}
	s.ref = ""
	for _, bad := range []string{"../ages", "", "nothing"} {
		if _, _, err := s.open(t.Context(), bad); err == nil {
			t.Errorf("%q is a runbook", bad)
		}
	}
	if code, _, errs := r.run(r.home, "", "runbook", "run", "ages", "--dir", dir, "--ref", "HEAD", "-p", "by=5"); code != 0 {
		t.Error(errs)
	}
	if _, out, _ := r.run(r.boss, "", "audit", "query", "--kind", "ran", "-o", "json"); !strings.Contains(out, "commit "+first+", as the caller says") {
		t.Error(out)
	}
}
