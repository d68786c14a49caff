package cmd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluicehq/sluice/audit"
)

// runFacts are what is recorded of a run beside its data.
func (a *app) runFacts(ctx context.Context, o jobFlags) (facts []string) {
	if o.nominal != "" {
		facts = append(facts, "nominal="+o.nominal)
	}
	facts = append(facts, gitFacts(ctx)...)
	for _, p := range o.params {
		facts = append(facts, "param."+cutTo(p, 900))
	}
	return facts
}

// commitTime bounds asking git, which may be slow in a large repository.
const commitTime = 5 * time.Second

// gitFacts say which commit the directory is at, if it is in a git repository.
func gitFacts(ctx context.Context) (facts []string) {
	ctx, cancel := context.WithTimeout(ctx, commitTime)
	defer cancel()
	git := func(args ...string) (string, error) {
		c := exec.CommandContext(ctx, "git", args...)
		c.Env = append(os.Environ(), "GIT_OPTIONAL_LOCKS=0")
		out, err := c.Output()
		return strings.TrimSpace(string(out)), err
	}
	commit, err := git("rev-parse", "--verify", "HEAD")
	if err != nil {
		return nil
	}
	facts = append(facts, "git.commit="+commit)
	if changed, err := git("status", "--porcelain", "--untracked-files=no"); err == nil && changed != "" {
		facts = append(facts, "git.changed=true")
	}
	if repo, err := git("config", "--get", "remote.origin.url"); err == nil && repo != "" {
		facts = append(facts, "git.repo="+cutTo(withoutPassword(repo), 900))
	}
	if branch, err := git("rev-parse", "--abbrev-ref", "HEAD"); err == nil && branch != "HEAD" {
		facts = append(facts, "git.branch="+cutTo(branch, 900))
	}
	return facts
}

// withoutPassword takes who logs in out of a URL.
func withoutPassword(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return text
	}
	u.User = nil
	return u.String()
}

// secretFlag are arguments whose value is not for the record.
var secretFlag = regexp.MustCompile(`(?i)(passw|secret|token|credential|api[-_]?key|access[-_]?key|private[-_]?key)`)

// commandLine is the command for the record, without what looks like a secret.
func commandLine(command []string) string {
	out := make([]string, len(command))
	hide := false
	for i, arg := range command {
		name, value, assigned := strings.Cut(arg, "=")
		switch {
		case hide && !strings.HasPrefix(arg, "-"):
			arg = "•••"
		case assigned && value != "" && secretFlag.MatchString(name):
			arg = name + "=•••"
		case strings.Contains(arg, "://"):
			arg = withoutPassword(arg)
		}
		hide = i > 0 && !assigned && strings.HasPrefix(command[i], "-") && secretFlag.MatchString(command[i])
		out[i] = arg
	}
	return cutTo(strings.ToValidUTF8(strings.Join(out, " "), "?"), 900)
}

// cutTo cuts text to n bytes, at the end of a character.
func cutTo(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// inputArtifacts names and hashes what a run is given.
func inputArtifacts(inputs []string) (out []string, err error) {
	for _, in := range inputs {
		if in == "" || strings.Contains(in, " ") && strings.Contains(in, "://") {
			return nil, usageError{fmt.Errorf("--input is %q, must be a URI, a file or NAME=FILE", in)}
		}
		if strings.Contains(in, "://") {
			out = append(out, audit.Artifact{Name: withoutPassword(in)}.String())
			continue
		}
		name, path, named := strings.Cut(in, "=")
		if !named {
			path = in
			if abs, err := filepath.Abs(in); err == nil {
				path = abs
			}
			name = (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String()
		}
		if strings.HasPrefix(in, "model:") && !named {
			out = append(out, audit.Artifact{Name: in}.String())
			continue
		}
		hash, err := hashPath(path)
		if err != nil {
			return nil, tell(exitUsage, "give a URI, or a file or directory that is there", "the input %s cannot be read: %s", in, reason(err))
		}
		out = append(out, audit.Artifact{Name: name, Hash: hash, Path: path}.String())
	}
	return out, nil
}

// maxTreeFiles bounds the files of a directory that is hashed.
const maxTreeFiles = 100_000

// hashPath is the SHA-256 of a file, "sha256:…"; of a directory that of a list of its
// files, each with its hash, "sha256-tree:…", which does not depend on dates or owners.
func hashPath(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		sum, err := hashFile(path)
		return "sha256:" + sum, err
	}
	list, n := sha256.New(), 0
	err = filepath.WalkDir(path, func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if n++; n > maxTreeFiles {
			return fmt.Errorf("the directory has more than %d files", maxTreeFiles)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		rel, err := filepath.Rel(path, at)
		if err != nil {
			return err
		}
		sum, err := hashFile(at)
		if err == nil {
			fmt.Fprintf(list, "%s  %q\n", sum, filepath.ToSlash(rel))
		}
		return err
	})
	return "sha256-tree:" + hex.EncodeToString(list.Sum(nil)), err
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", errors.Join(err, errors.New("it is no ordinary file"))
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
