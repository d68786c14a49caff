package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/internal/durable"
)

// maxShared bounds a file of the person's that we write an entry into.
const maxShared = 4 << 20

// Marked is an entry of ours in a text file that is the person's: between two lines of
// comment, so that it is found again, and nothing else in the file is ever touched.
type Marked struct {
	Path  string // the file; made if it is not there
	Name  string // of the entry
	Text  string // its lines, each with its end
	First bool   // at the beginning of the file, where the first match counts
}

func (m Marked) begin() string { return "# sluice: begin " + m.Name + ", written by sluice connect\n" }
func (m Marked) end() string   { return "# sluice: end " + m.Name + "\n" }
func (m Marked) block() string { return m.begin() + m.Text + m.end() }

// Write puts the entry into the file, in place of an earlier one of the same name. It
// has a password in it, so a file that others can read is refused. clash, if not nil,
// looks at the rest of the file.
func (m Marked) Write(ctx context.Context, s *Store, clash func(rest string) error) error {
	return s.edit(ctx, m.Path, func(text string, mode fs.FileMode) (string, error) {
		if runtime.GOOS != "windows" && mode.Perm()&0o077 != 0 {
			return "", &api.Error{
				Sentence: fmt.Sprintf("others on this machine can read %s (mode %04o), so no password is written there", m.Path, mode.Perm()),
				Hint:     "run: chmod 600 " + m.Path,
				Code:     api.CodeUsage,
			}
		}
		rest, err := m.without(text)
		if err != nil {
			return "", err
		}
		if clash != nil {
			if err := clash(rest); err != nil {
				return "", err
			}
		}
		if m.First {
			return m.block() + rest, nil
		}
		if rest != "" && !strings.HasSuffix(rest, "\n") {
			rest += "\n"
		}
		return rest + m.block(), nil
	})
}

// Remove takes the entry out, if it is still the one that was written: another connect
// may have put its own there since.
func (m Marked) Remove(ctx context.Context, s *Store) error {
	return s.edit(ctx, m.Path, func(text string, _ fs.FileMode) (string, error) {
		return strings.Replace(text, m.block(), "", 1), nil
	})
}

// without is text with no entry of this name.
func (m Marked) without(text string) (string, error) {
	for {
		from := strings.Index(text, m.begin())
		if from < 0 {
			return text, nil
		}
		length := strings.Index(text[from:], m.end())
		if length < 0 {
			return "", &api.Error{
				Sentence: fmt.Sprintf("%s has the beginning of an entry of ours, %q, but not its end", m.Path, strings.TrimSpace(m.begin())),
				Hint:     "take it out by hand",
				Code:     api.CodeError,
			}
		}
		text = text[:from] + text[from+length+len(m.end()):]
	}
}

// edit changes a file as a whole, one process of ours at a time. A file that is not there
// is empty, and is made for its owner only; what is a link stays one.
func (s *Store) edit(ctx context.Context, path string, change func(text string, mode fs.FileMode) (string, error)) error {
	unlock, err := s.lock(ctx, path)
	if err != nil {
		return err
	}
	defer unlock()
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	mode := fs.FileMode(0o600)
	before, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := durable.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("make the directory of %s: %w", path, err)
		}
	case err != nil:
		return fmt.Errorf("read %s: %w", path, err)
	case len(before) > maxShared:
		return fmt.Errorf("%s is longer than %d bytes", path, maxShared)
	default:
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		mode = info.Mode().Perm()
	}
	after, err := change(string(before), mode)
	if err != nil || bytes.Equal(before, []byte(after)) {
		return err
	}
	if err := durable.WriteFile(path, []byte(after), mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Local is where programs find an open port.
type Local struct {
	Host, User, Password, Database string
	Port                           int
}

// Service is the entry of a port in a service file of PostgreSQL's clients, for
// psql service=NAME.
func Service(path, name string, l Local) (Marked, error) {
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") != "" {
		return Marked{}, &api.Error{Sentence: fmt.Sprintf("%.60q is no name for a service", name), Hint: "take letters, digits, dots, dashes and underscores", Code: api.CodeUsage}
	}
	text := fmt.Sprintf("[%s]\nhost=%s\nport=%d\nuser=%s\ndbname=%s\nsslmode=disable\n", name, l.Host, l.Port, l.User, l.Database)
	if l.Password != "" {
		text += "password=" + l.Password + "\n"
	}
	if strings.ContainsAny(l.Host+l.User+l.Database, "\r\n") {
		return Marked{}, errors.New("a name with a line end does not fit into a service file")
	}
	return Marked{Path: path, Name: name, Text: text}, nil
}

// ServiceClash refuses a name that the person has given to a service of their own.
func ServiceClash(path, name string) func(rest string) error {
	return func(rest string) error {
		for line := range strings.Lines(rest) {
			if strings.TrimSpace(line) == "["+name+"]" {
				return &api.Error{Sentence: fmt.Sprintf("%s has a service %q that is not ours", path, name), Hint: "take another name", Code: api.CodeUsage}
			}
		}
		return nil
	}
}

// Passfile is the entry of a port in a password file, for programs whose own profile
// holds none. It stands first, before what matches every host.
func Passfile(path, name string, l Local) Marked {
	escape := strings.NewReplacer(`\`, `\\`, `:`, `\:`)
	text := fmt.Sprintf("%s:%d:*:%s:%s\n", escape.Replace(l.Host), l.Port, escape.Replace(l.User), escape.Replace(l.Password))
	return Marked{Path: path, Name: name, Text: text, First: true}
}
