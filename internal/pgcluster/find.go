package pgcluster

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
)

// ErrNoPostgres is returned when no server binaries are on this machine.
var ErrNoPostgres = errors.New("no postgresql server binaries found on this machine")

// Find returns the directory that holds initdb and postgres: the one on PATH if
// it is there, else the newest of the places where Debian, Homebrew and
// Postgres.app keep theirs. Red Hat's initdb lives in /usr/bin and so on PATH.
func Find() (string, error) {
	if p, err := exec.LookPath("initdb"); err == nil {
		// A link such as /usr/local/bin/initdb has its companions where it points to.
		if real, err := filepath.EvalSymlinks(p); err == nil && complete(filepath.Dir(real)) {
			return filepath.Dir(real), nil
		}
		if complete(filepath.Dir(p)) {
			return filepath.Dir(p), nil
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
		"/opt/homebrew/opt/postgresql/bin",
		"/usr/local/opt/postgresql/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			continue // only a malformed pattern fails, and these are constants
		}
		sort.Sort(sort.Reverse(byVersion(dirs)))
		for _, dir := range dirs {
			if complete(dir) {
				return dir, nil
			}
		}
	}
	return "", ErrNoPostgres
}

func complete(dir string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if runtime.GOOS == "windows" {
			name += ".exe"
		}
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// byVersion orders paths by length, then text, so that 9.6 comes before 15.
type byVersion []string

func (v byVersion) Len() int      { return len(v) }
func (v byVersion) Swap(i, j int) { v[i], v[j] = v[j], v[i] }
func (v byVersion) Less(i, j int) bool {
	a, b := filepath.Base(filepath.Dir(v[i])), filepath.Base(filepath.Dir(v[j]))
	if len(a) != len(b) && !hasDot(a) && !hasDot(b) {
		return len(a) < len(b)
	}
	if hasDot(a) != hasDot(b) {
		return hasDot(a)
	}
	return a < b
}

func hasDot(s string) bool { return filepath.Ext(s) != "" }
