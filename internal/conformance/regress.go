package conformance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Regress is PostgreSQL's own regression SQL: what its psql prints is compared byte
// for byte. It is not the database that is tested, so what needs the test library of
// a build from source fails on both sides, and compares.
type Regress struct {
	Source string // src/test/regress of PostgreSQL's source, of the server's major version
}

// RegressSetup has the settings that pg_regress gives its database.
func RegressSetup() []string {
	return []string{`alter database regression set lc_messages to 'C'; alter database regression set lc_monetary to 'C';
		alter database regression set lc_numeric to 'C'; alter database regression set lc_time to 'C';
		alter database regression set bytea_output to 'hex'; alter database regression set timezone_abbreviations to 'Default'`}
}

// Run runs the tests of the schedule one after another, as later ones need what
// earlier ones made. What psql printed goes to files in dir.
func (g Regress) Run(ctx context.Context, w *World, dir string) (*Result, error) {
	tests, err := g.tests()
	if err != nil {
		return nil, err
	}
	// The servers read files there, as another user if we are root.
	own := Regress{Source: filepath.Join(dir, "regress")}
	if err := os.CopyFS(own.Source, os.DirFS(g.Source)); err != nil {
		return nil, fmt.Errorf("copy the regression tests: %w", err)
	}
	r := &Result{}
	for _, test := range tests {
		direct, err := own.psql(ctx, w.Direct, test, dir)
		if err != nil {
			return nil, err
		}
		through, err := own.psql(ctx, w.Through, test, dir)
		if err != nil {
			return nil, err
		}
		r.Direct.Passed++
		differs, err := diff(ctx, direct, through)
		if err != nil {
			return nil, err
		}
		if differs == "" {
			r.Through.Passed++
			continue
		}
		r.Through.Failed++
		r.Notes = append(r.Notes, test+":\n"+indent(start(differs)))
		sum := sha256.Sum256([]byte(differs))
		r.Differences = append(r.Differences, Difference{Name: test, Detail: fmt.Sprintf("%d lines, sha256 %x", strings.Count(differs, "\n"), sum[:8])})
	}
	return r, nil
}

// tests are those of the schedule, in order.
func (g Regress) tests() ([]string, error) {
	text, err := os.ReadFile(filepath.Join(g.Source, "parallel_schedule"))
	if err != nil {
		return nil, fmt.Errorf("find the regression tests: %w", err)
	}
	var tests []string
	for line := range strings.Lines(string(text)) {
		if names, ok := strings.CutPrefix(line, "test:"); ok {
			tests = append(tests, strings.Fields(names)...)
		}
	}
	if len(tests) == 0 {
		return nil, fmt.Errorf("%s names no test", g.Source)
	}
	return tests, nil
}

// psql runs one file and gives the file with what it printed.
func (g Regress) psql(ctx context.Context, side Side, test, dir string) (string, error) {
	in, err := os.Open(filepath.Join(g.Source, "sql", test+".sql"))
	if err != nil {
		return "", err
	}
	defer in.Close()
	name := filepath.Join(dir, test+"."+side.Name+".out")
	out, err := os.Create(name)
	if err != nil {
		return "", err
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, "psql", "-X", "-a", "-q", "-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, out
	cmd.Dir = dir
	cmd.Env = append(withoutPG(os.Environ()),
		"PGHOST="+side.Host, "PGPORT="+strconv.Itoa(side.Port), "PGUSER="+side.User, "PGPASSWORD="+side.Password, "PGDATABASE="+side.Database,
		"PGTZ=PST8PDT", "PGDATESTYLE=Postgres, MDY", "PGAPPNAME=pg_regress/"+test, "PGSSLMODE=disable", "LANG=C", "LC_ALL=C",
		"PG_ABS_SRCDIR="+g.Source, "PG_ABS_BUILDDIR="+dir, "PG_LIBDIR="+dir, "PG_DLSUFFIX=.so", "PGTARGETDIR=")
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		return "", fmt.Errorf("run psql on %s: %w", test, err)
	}
	return name, nil
}

// start is the beginning of a text.
func start(text string) string {
	lines := strings.SplitAfterN(text, "\n", shownLines+1)
	return strings.Join(lines[:min(len(lines), shownLines)], "")
}

// shownLines of each difference are said in the summary; the files have the rest.
const shownLines = 30

// unstable is what is never the same on two servers.
var unstable = regexp.MustCompile(`pid [0-9]+|pid=[0-9]+|port [0-9]+`)

// diff is what two files do not have in common: lines with - and +, without their
// surroundings.
func diff(ctx context.Context, direct, through string) (string, error) {
	for _, name := range []string{direct, through} {
		text, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(name, unstable.ReplaceAll(text, []byte("N")), 0o600); err != nil {
			return "", err
		}
	}
	out, err := exec.CommandContext(ctx, "diff", "-a", "-U0", direct, through).Output()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		return "", fmt.Errorf("compare %s with %s: %w", direct, through, err)
	}
	var lines bytes.Buffer
	for line := range bytes.Lines(out) {
		if !bytes.HasPrefix(line, []byte("@@")) && !bytes.HasPrefix(line, []byte("---")) && !bytes.HasPrefix(line, []byte("+++")) {
			lines.Write(line)
		}
	}
	return lines.String(), nil
}
