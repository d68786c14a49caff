package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// machine is a made-up machine for the ensure scripts: a PATH with the few
// programs they need, package managers that only note how they were called, and
// a root for the places they look at.
type machine struct {
	bin, root, calls string
}

func newMachine(t *testing.T, managers ...string) machine {
	t.Helper()
	dir := t.TempDir()
	m := machine{bin: filepath.Join(dir, "bin"), root: filepath.Join(dir, "root"), calls: filepath.Join(dir, "calls")}
	for _, d := range []string{m.bin, m.root} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, tool := range []string{"sh", "dirname", "readlink", "tr", "sed", "env", "mkdir", "cp", "chmod"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(m.bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	program(t, filepath.Join(m.bin, "id"), "echo 1000")
	// sudo runs the managers, and nothing that would touch this machine.
	program(t, filepath.Join(m.bin, "sudo"), `shift; case "$1" in sh) exit 0 ;; esac; exec "$@"`)
	for _, name := range managers {
		program(t, filepath.Join(m.bin, name), `echo "`+name+` $*" >>"$CALLS"
case "$*" in *install*|*add*|*-S*)
	mkdir -p "$SLUICE_TEST_ROOT/usr/lib/postgresql/16/bin"
	for p in initdb postgres psql; do cp "$0" "$SLUICE_TEST_ROOT/usr/lib/postgresql/16/bin/$p"; done ;;
esac`)
	}
	return m
}

func program(t *testing.T, path, body string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func (m machine) run(t *testing.T, script string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(m.bin, "sh"), script)
	cmd.Env = []string{"PATH=" + m.bin, "SLUICE_TEST_ROOT=" + m.root, "CALLS=" + m.calls}
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return strings.TrimSpace(out.String()), errs.String(), err
}

func (m machine) called(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(m.calls)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b)
}

func TestPostgresIsFoundWhereSystemsKeepIt(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"debian, newest first", "/usr/lib/postgresql/17/bin"},
		{"red hat's own repository", "/usr/pgsql-16/bin"},
		{"homebrew on arm", "/opt/homebrew/opt/postgresql@17/bin"},
		{"homebrew on intel", "/usr/local/opt/postgresql@14/bin"},
		{"postgres.app", "/Applications/Postgres.app/Contents/Versions/16/bin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t, "apt-get")
			dirs := []string{c.want}
			if strings.HasPrefix(c.want, "/usr/lib/") {
				dirs = append(dirs, "/usr/lib/postgresql/9.6/bin", "/usr/lib/postgresql/15/bin")
			}
			for _, dir := range dirs {
				for _, p := range []string{"initdb", "postgres", "psql"} {
					program(t, filepath.Join(m.root, dir, p), "")
				}
			}
			got, stderr, err := m.run(t, "scripts/ensure-postgres.sh")
			if err != nil || got != filepath.Join(m.root, c.want) {
				t.Errorf("got %q, %v, want %s\n%s", got, err, c.want, stderr)
			}
			if calls := m.called(t); calls != "" {
				t.Errorf("installed although it was there: %s", calls)
			}
		})
	}
}

func TestPostgresOnPathIsTakenFromWhereItsLinkPoints(t *testing.T) {
	m := newMachine(t)
	home := filepath.Join(m.root, "srv/pg/bin")
	for _, p := range []string{"initdb", "postgres", "psql"} {
		program(t, filepath.Join(home, p), "")
	}
	if err := os.Symlink(filepath.Join(home, "initdb"), filepath.Join(m.bin, "initdb")); err != nil {
		t.Fatal(err)
	}
	if got, stderr, err := m.run(t, "scripts/ensure-postgres.sh"); err != nil || got != home {
		t.Errorf("got %q, %v, want %s\n%s", got, err, home, stderr)
	}
}

func TestPostgresIsInstalledByWhateverManagerThereIs(t *testing.T) {
	for manager, want := range map[string]string{
		"apt-get": "apt-get install -y",
		"dnf":     "dnf install -y",
		"apk":     "apk add --no-cache",
		"pacman":  "pacman -S --noconfirm",
		"brew":    "brew install postgresql@",
	} {
		t.Run(manager, func(t *testing.T) {
			m := newMachine(t, manager)
			got, stderr, err := m.run(t, "scripts/ensure-postgres.sh")
			if err != nil || !strings.HasSuffix(got, "/usr/lib/postgresql/16/bin") {
				t.Errorf("got %q, %v\n%s", got, err, stderr)
			}
			if calls := m.called(t); !strings.Contains(calls, want) {
				t.Errorf("calls %q, want %q", calls, want)
			}
		})
	}
}

func TestNoPackageManagerIsAnErrorWithAHint(t *testing.T) {
	for _, script := range []string{"scripts/ensure-postgres.sh", "scripts/ensure-compiler.sh"} {
		m := newMachine(t)
		_, stderr, err := m.run(t, script)
		if err == nil || !strings.Contains(stderr, "hint:") {
			t.Errorf("%s: %v, want an error with a hint: %s", script, err, stderr)
		}
	}
}
