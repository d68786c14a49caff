//go:build !windows

package durable

import (
	"fmt"
	"os"
)

// SyncDir fsyncs a directory: the names in it, and what they point to, survive
// a power cut from here on.
func SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory %s: %w", path, err)
	}
	return nil
}
