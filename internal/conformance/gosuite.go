package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	// packageTime bounds one run of a package's tests; the longest takes a minute on
	// two idle cores. What hangs is ended, counted as failed, and the rest is run.
	packageTime = "8m"
	// attempts a failing test gets on its own before it counts as failing: some tests
	// of others depend on how busy the machine is.
	attempts = 3
)

// GoSuite is a Go module whose tests need a database.
type GoSuite struct {
	Module   string
	Version  string   // "" takes the one that our go.mod asks for
	Packages []string // folders inside the module
	// Env tells the tests where their database is.
	Env func(Side) []string
}

// Run downloads the module, builds its tests and runs them on both sides. What they
// print goes to files in dir.
func (s GoSuite) Run(ctx context.Context, w *World, dir string) (*Result, error) {
	src, version, err := s.source(ctx, dir)
	if err != nil {
		return nil, err
	}
	direct, through := Outcomes{}, Outcomes{}
	for _, folder := range s.Packages {
		p := &pack{suite: s, prefix: strings.TrimPrefix(folder+"/", "./"), dir: filepath.Join(src, folder), binary: filepath.Join(dir, strings.ReplaceAll(path.Join("root", folder), "/", "_")+".test")}
		if p.tests, err = p.build(ctx); err != nil {
			return nil, err
		}
		d, t, err := p.both(ctx, w, dir)
		if err != nil {
			return nil, err
		}
		maps.Copy(direct, d)
		maps.Copy(through, t)
	}
	return &Result{
		Direct: direct.counts(), Through: through.counts(), Differences: Compare(direct, through),
		Notes: []string{s.Module + " " + version},
	}, nil
}

// source is a copy of the module that its tests may write to.
func (s GoSuite) source(ctx context.Context, dir string) (src, version string, err error) {
	module := s.Module
	if s.Version != "" {
		module += "@" + s.Version
	}
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
	out, err := cmd.Output()
	var got struct{ Version, Dir, Error string }
	if jsonErr := json.Unmarshal(out, &got); jsonErr != nil || got.Error != "" || got.Dir == "" {
		return "", "", fmt.Errorf("download %s: %w: %s%s", module, errors.Join(err, jsonErr), got.Error, told(err))
	}
	src = filepath.Join(dir, "src")
	if err := os.CopyFS(src, os.DirFS(got.Dir)); err != nil {
		return "", "", fmt.Errorf("copy %s: %w", module, err)
	}
	return src, got.Version, nil
}

func told(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(bytes.TrimSpace(exit.Stderr))
	}
	return ""
}

// pack is one package of tests.
type pack struct {
	suite  GoSuite
	prefix string // of the names of its tests
	dir    string
	binary string
	tests  []string // its tests without their parts
}

// build compiles the tests and lists them.
func (p *pack) build(ctx context.Context) ([]string, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", p.binary, ".")
	cmd.Dir, cmd.Env = p.dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the tests of %s/%s: %w: %s", p.suite.Module, path.Clean(p.prefix), err, out)
	}
	list := exec.CommandContext(ctx, p.binary, "-test.list", ".")
	list.Dir = p.dir
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list the tests of %s/%s: %w: %s", p.suite.Module, path.Clean(p.prefix), err, told(err))
	}
	var tests []string
	for name := range strings.Lines(string(out)) {
		if name = strings.TrimSpace(name); strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Example") {
			tests = append(tests, name)
		}
	}
	if len(tests) == 0 {
		return nil, fmt.Errorf("%s/%s has no tests: the list of packages is wrong", p.suite.Module, path.Clean(p.prefix))
	}
	return tests, nil
}

// both runs the package on both sides, and what is not the same once more alone.
func (p *pack) both(ctx context.Context, w *World, dir string) (direct, through Outcomes, err error) {
	got := map[string]Outcomes{}
	sides := []Side{w.Direct, w.Through}
	for _, side := range sides {
		log, err := os.Create(filepath.Join(dir, filepath.Base(p.binary)+"."+side.Name+".log"))
		if err != nil {
			return nil, nil, err
		}
		defer log.Close()
		if got[side.Name], err = p.all(ctx, side, log); err != nil {
			return nil, nil, err
		}
	}
	direct, through = got[w.Direct.Name], got[w.Through.Name]
	for _, side := range sides {
		log, err := os.Create(filepath.Join(dir, filepath.Base(p.binary)+"."+side.Name+".alone.log"))
		if err != nil {
			return nil, nil, err
		}
		defer log.Close()
		for _, test := range differing(direct, through, p.prefix) {
			if err := p.again(ctx, side, test, got[side.Name], log); err != nil {
				return nil, nil, err
			}
		}
	}
	return direct, through, nil
}

// differing lists the tests, without their parts, that are not the same.
func differing(direct, through Outcomes, prefix string) []string {
	var tests []string
	for _, d := range Compare(direct, through) {
		if t := top(d.Name, prefix); !slices.Contains(tests, t) {
			tests = append(tests, t)
		}
	}
	return tests
}

// all runs every test. A process that dies takes only the test that killed it along:
// those it did not come to are run in another.
func (p *pack) all(ctx context.Context, side Side, log io.Writer) (Outcomes, error) {
	out := Outcomes{}
	var done []string
	for len(done) < len(p.tests) {
		args := []string{"-test.run", "^(Test|Example)"}
		if len(done) > 0 {
			args = append(args, "-test.skip", exactly(done...))
		}
		got, err := p.run(ctx, side, log, args...)
		if err != nil {
			return nil, err
		}
		maps.Copy(out, got)
		before := len(done)
		for _, test := range p.tests {
			if out[p.prefix+test] != Absent && !slices.Contains(done, test) {
				done = append(done, test)
			}
		}
		if len(done) == before {
			break // what is left does not run here, and shows as such
		}
	}
	return out, nil
}

// again gives a test that did not pass more attempts, alone; out is corrected if one
// of them passes.
func (p *pack) again(ctx context.Context, side Side, test string, out Outcomes, log io.Writer) error {
	for range attempts - 1 {
		if !unhappy(out, p.prefix+test) {
			return nil
		}
		got, err := p.run(ctx, side, log, "-test.run", exactly(test))
		if err != nil {
			return err
		}
		if got[p.prefix+test] == Passed {
			maps.DeleteFunc(out, func(name string, _ Outcome) bool { return within(name, p.prefix+test) })
			maps.Copy(out, got)
		}
	}
	return nil
}

func unhappy(out Outcomes, test string) bool {
	for name, outcome := range out {
		if within(name, test) && outcome == Failed {
			return true
		}
	}
	return out[test] == Absent
}

func within(name, test string) bool { return name == test || strings.HasPrefix(name, test+"/") }

func exactly(tests ...string) string {
	quoted := make([]string, len(tests))
	for i, t := range tests {
		quoted[i] = regexp.QuoteMeta(t)
	}
	return "^(" + strings.Join(quoted, "|") + ")$"
}

// run is one process of the package's tests.
func (p *pack) run(ctx context.Context, side Side, log io.Writer, args ...string) (Outcomes, error) {
	args = append([]string{"tool", "test2json", "-t", p.binary, "-test.v=test2json", "-test.timeout", packageTime}, args...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = p.dir, append(withoutPG(os.Environ()), p.suite.Env(side)...)
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("run tests: %w", err)
	}
	out, err := readEvents(stdout, p.prefix, log)
	if waitErr := cmd.Wait(); err == nil && ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), waitErr)
	}
	return out, err // that tests fail is no error here: their outcomes say so
}

// withoutPG is an environment in which nothing of the caller's leads elsewhere.
func withoutPG(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		return strings.HasPrefix(v, "PG") || strings.HasPrefix(v, "LC_") || strings.HasPrefix(v, "LANG")
	})
}
