// Package durable puts bytes on disk so that they are still there after the
// power is cut: when a function here returns nil, both the content and the name
// that leads to it have been given to the disk, not only to the operating
// system. A reader never sees half of a file that WriteFile wrote.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile replaces the file at path by one that holds data, or leaves what
// was there. The order matters:
//
//  1. the bytes go to a new file in the same directory, because a rename is
//     atomic only inside one file system;
//  2. that file is fsynced before it gets its name: several file systems write
//     the rename ahead of the content, and a crash then shows an empty file;
//  3. the rename replaces the old file in one step;
//  4. the directory is fsynced, because the name lives in the directory and not
//     in the file: without this the old file may be back after a crash.
//
// A crash can leave a file whose name starts with a dot and ends in ".tmp"
// beside path. It was never acknowledged and may be removed.
func WriteFile(path string, data []byte, perm fs.FileMode) (err error) {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	f, err := os.CreateTemp(dir, "."+base+".*.tmp")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()           // already closed on the later steps
			_ = os.Remove(f.Name()) // best effort: the error that counts is err
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	// CreateTemp makes 0600; the wanted mode may be wider, and never passes
	// through a moment in which it is wider than wanted.
	if err = f.Chmod(perm); err != nil {
		return err
	}
	if _, err = f.Write(data); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(dir)
}

// OpenAppend opens a file to append to, making it if it is not there. A file
// that was made here is fsynced into its directory before it is returned:
// otherwise a later fsync of the file would keep bytes that no name leads to.
func OpenAppend(path string, perm fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, perm)
	if errors.Is(err, fs.ErrExist) {
		return os.OpenFile(path, os.O_WRONLY|os.O_APPEND, perm)
	}
	if err != nil {
		return nil, err
	}
	if err := SyncDir(filepath.Dir(path)); err != nil {
		_ = f.Close() // nothing was written to it
		return nil, err
	}
	return f, nil
}

// MkdirAll makes a directory and its missing parents, and fsyncs each new name
// into its parent.
func MkdirAll(path string, perm fs.FileMode) error {
	if st, err := os.Stat(path); err == nil {
		if !st.IsDir() {
			return fmt.Errorf("make directory %s: a file is in the way", path)
		}
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := MkdirAll(parent, perm); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make directory: %w", err)
	}
	return SyncDir(parent)
}
