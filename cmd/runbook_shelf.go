package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/runbook"
)

// shelf is where runbooks stand: a directory, or a revision of a git repository.
type shelf struct {
	dir string
	ref string // revision, of which dir is a directory; "" for the files as they are
}

// volume is the file of one runbook.
type volume struct {
	File   string // as it is named in what is said of it
	Text   string
	Commit string // that has the file just so; with -changed if the file is not as in it; "" outside of git
}

const (
	envRunbooks = "SLUICE_RUNBOOKS"
	gitTime     = 20 * time.Second // a large repository on a slow disk
)

func (a *app) addShelf(c *cobra.Command, s *shelf) {
	c.PersistentFlags().StringVar(&s.dir, "dir", "", "directory with runbooks; without it $"+envRunbooks+", else runbooks")
	c.PersistentFlags().StringVar(&s.ref, "ref", "", "revision of the git repository that the directory is in, instead of the files as they are")
}

func (a *app) shelfOf(s shelf) shelf {
	if s.dir == "" {
		s.dir = a.env(envRunbooks)
	}
	if s.dir == "" {
		s.dir = "runbooks"
	}
	return s
}

// shelfHere is the shelf in dir or where the environment says; there is false if nothing
// is, and nothing was spoken of.
func (a *app) shelfHere(ctx context.Context, dir string) (sh shelf, there bool, err error) {
	sh = a.shelfOf(shelf{dir: dir})
	names, err := sh.names(ctx)
	spoken := dir != "" || a.env(envRunbooks) != ""
	switch {
	case spoken && err != nil:
		return sh, false, tell(exitUsage, "say where they are with --runbooks, or in $"+envRunbooks, "the runbooks cannot be listed: %s", clean(sh.dir))
	case !spoken && (err != nil || len(names) == 0):
		return sh, false, nil //nolint:nilerr // most directories have none
	}
	return sh, true, nil
}

// isRunbook reports whether a file of that name is one; NAME_test.yaml has the cases of
// NAME.yaml.
func isRunbook(name string) bool {
	return strings.HasSuffix(name, ".yaml") && !strings.HasSuffix(name, "_test.yaml") && !strings.HasPrefix(name, ".")
}

// names lists the runbooks, in the order of their names.
func (s shelf) names(ctx context.Context) (list []string, err error) {
	var files []string
	if s.ref == "" {
		entries, err := os.ReadDir(s.dir)
		if err != nil {
			return nil, tell(exitUsage, "say where they are with --dir, or in $"+envRunbooks, "the runbooks cannot be listed: %s: %s", s.dir, reason(err))
		}
		for _, e := range entries {
			if !e.IsDir() {
				files = append(files, e.Name())
			}
		}
	} else {
		out, err := s.git(ctx, "ls-tree", "--name-only", "-z", s.ref+":./")
		if err != nil {
			return nil, err
		}
		files = strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
	}
	for _, f := range files {
		if isRunbook(f) {
			list = append(list, runbook.NameOf(f))
		}
	}
	slices.Sort(list)
	return list, nil
}

// take is the file of a runbook, by its name, or by a path that ends in .yaml.
func (s shelf) take(ctx context.Context, name string) (volume, error) {
	file := filepath.Join(s.dir, name+".yaml")
	if strings.HasSuffix(name, ".yaml") {
		if s.ref != "" {
			return volume{}, tell(exitUsage, "give its name alone, and --dir", "a path does not go with --ref")
		}
		file = name
		s.dir = filepath.Dir(name)
	} else if strings.ContainsAny(name, `/\`) || name == "" {
		return volume{}, s.missing(ctx, name)
	}
	if s.ref != "" {
		out, err := s.git(ctx, "show", s.ref+":./"+name+".yaml")
		if err != nil {
			if list, lerr := s.names(ctx); lerr == nil && !slices.Contains(list, name) {
				return volume{}, s.missing(ctx, name)
			}
			return volume{}, err
		}
		commit, err := s.git(ctx, "rev-parse", "--verify", "--end-of-options", s.ref+"^{commit}")
		if err != nil {
			return volume{}, err
		}
		return volume{File: path.Join(filepath.ToSlash(s.dir), name+".yaml"), Text: string(out), Commit: strings.TrimSpace(string(commit))}, nil
	}
	text, err := readFile(file, runbook.MaxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return volume{}, s.missing(ctx, name)
	case err != nil:
		return volume{}, tell(exitUsage, "check the path", "the runbook %s cannot be read: %s", file, reason(err))
	}
	return volume{File: file, Text: text, Commit: s.commit(ctx, file)}, nil
}

func (s shelf) missing(ctx context.Context, name string) error {
	hint := "run: sluice runbook ls"
	if list, err := s.names(ctx); err == nil {
		if near := nearest(name, list); near != "" {
			hint = fmt.Sprintf("did you mean %q? run: sluice runbook ls", near)
		}
	}
	return tell(exitUsage, hint, "there is no runbook %q in %s", short(name, 60), s.dir)
}

// commit is the one that is checked out, if the file is in a repository.
func (s shelf) commit(ctx context.Context, file string) string {
	head, err := s.git(ctx, "rev-parse", "--verify", "HEAD^{commit}")
	if err != nil {
		return ""
	}
	commit := strings.TrimSpace(string(head))
	changed, err := s.git(ctx, "status", "--porcelain", "--ignored", "--", filepath.Base(file))
	if err != nil || len(bytes.TrimSpace(changed)) > 0 {
		commit += "-changed"
	}
	return commit
}

// git asks a repository. Nothing in it is run: hooks and filters belong to whoever
// wrote it.
func (s shelf) git(ctx context.Context, args ...string) ([]byte, error) {
	if strings.HasPrefix(s.ref, "-") {
		return nil, tell(exitUsage, "name a branch, a tag or a commit", "%q is no revision", short(s.ref, 60))
	}
	ctx, cancel := context.WithTimeout(ctx, gitTime)
	defer cancel()
	c := exec.CommandContext(ctx, "git", append([]string{"-C", s.dir, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"}, args...)...)
	var out, said bytes.Buffer
	c.Stdout, c.Stderr = &out, &said
	err := c.Run()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, tell(exitError, "install git, or leave --ref out", "git is not on this machine")
	case err != nil:
		line, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
		return nil, tell(exitUsage, "check --dir and --ref", "git cannot give %s: %s", s.ref, short(strings.TrimPrefix(line, "fatal: "), 200))
	}
	return out.Bytes(), nil
}

// open reads a runbook.
func (s shelf) open(ctx context.Context, name string) (*runbook.Runbook, volume, error) {
	v, err := s.take(ctx, name)
	if err != nil {
		return nil, v, err
	}
	b, err := runbook.Load(v.File, []byte(v.Text))
	if err != nil {
		return nil, v, tell(exitUsage, "mend the file; docs/runbooks.md says what it may have", "%s", err)
	}
	return b, v, nil
}
