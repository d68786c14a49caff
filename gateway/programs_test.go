package gateway_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/pgcluster"
)

// program runs one of PostgreSQL's own programs and returns what it prints.
func program(t *testing.T, name string, args ...string) string {
	t.Helper()
	dir, err := pgcluster.Find()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		if path, err = exec.LookPath(name); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
	return string(out)
}

// key is the random word that a dump carries against what its names may hide.
var key = regexp.MustCompile(`(?m)^\\(un)?restrict .*$`)

// A dump of production through Sluice is the one that it is directly, but for what is
// personal.
func TestPgDumpIsTheSame(t *testing.T) {
	th := start(t, "prod", shop, nil)
	job := person("backup")
	job.Kind = identity.Job
	port := th.as(job)
	for _, args := range [][]string{{"-s"}, {"-t", "cities"}, {"-a", "-t", "cities", "--inserts"}, {"-a", "-t", "cities", "--serializable-deferrable"}} {
		want := key.ReplaceAllString(program(t, "pg_dump", append(args, "-d", th.direct)...), "")
		if got := key.ReplaceAllString(program(t, "pg_dump", append(args, "-d", port)...), ""); got != want || len(want) < 500 {
			t.Errorf("%v: %s", args, firstDifference([]byte(got), []byte(want)))
		}
	}
}

// pgbench makes its tables, drops those that are there, and runs.
func TestPgbenchRunsOutsideProduction(t *testing.T) {
	th := start(t, "dev", "", nil)
	port := th.as(person("ada"))
	for range 2 { // the second time there is something to drop
		program(t, "pgbench", "-i", "-q", port)
	}
	for _, mode := range []string{"simple", "extended", "prepared"} {
		program(t, "pgbench", "-c", "2", "-t", "10", "-M", mode, port)
	}
	if n := count(t, th, "select count(*) from pgbench_history"); n != 20 {
		t.Errorf("%d rows of history, want those of the last run", n)
	}
}
