package agentconf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/sluicehq/sluice/internal/durable"
)

// maxFile is more than any client's settings take.
const maxFile = 32 << 20

// File is a configuration as it was read.
type File struct {
	Path string // where the text is: a link is followed, so that it stays one
	Text []byte // nil if there is no file yet

	mode fs.FileMode
}

// Open reads a configuration; one that is not there is empty.
func Open(path string) (*File, error) {
	f := &File{Path: path, mode: 0o600}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		f.Path = real
	}
	info, err := os.Stat(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s is no file of settings", f.Path)
	}
	f.mode = info.Mode().Perm()
	f.Text, err = readAll(f.Path)
	return f, err
}

func readAll(path string) ([]byte, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return io.ReadAll(io.LimitReader(in, maxFile))
}

// unused is path, or path with a number if there is such a file.
func unused(path string) string {
	for n, free := 2, path; ; n++ {
		if _, err := os.Lstat(free); errors.Is(err, fs.ErrNotExist) || n > maxBackups {
			return free
		}
		free = fmt.Sprintf("%s-%d", path, n)
	}
}

// maxBackups are made in one second at most; the last is overwritten then.
const maxBackups = 100

// Replace keeps what was there in a file beside it, and puts text in its place in one
// step. It refuses if somebody has changed the file since it was read.
func (f *File) Replace(text []byte, now time.Time) (backup string, err error) {
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
		return "", err
	}
	if f.Text != nil {
		backup = unused(f.Path + ".before-" + now.UTC().Format("20060102-150405"))
		if err := durable.WriteFile(backup, f.Text, f.mode); err != nil {
			return "", err
		}
	}
	have, err := readAll(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil && !bytes.Equal(have, f.Text) {
		err = fmt.Errorf("%s was changed meanwhile", f.Path)
	}
	if err != nil {
		return "", err
	}
	return backup, durable.WriteFile(f.Path, text, f.mode)
}
