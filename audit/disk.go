package audit

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sluicehq/sluice/internal/durable"
)

// disk is what the log does to the disk. It is an interface so that tests can
// cut the power, or fill the disk, between any two of its calls. Reading is not
// part of it.
type disk interface {
	mkdir(path string) error                    // made, with its parents, and its name on disk
	openAppend(path string) (appendFile, error) // made if missing, and its name on disk
	writeFile(path string, data []byte) error   // replaced in one step, content and name on disk
	remove(path string) error                   // may come back after a power cut
}

// appendFile is a file that only grows, except for a torn end after a crash.
type appendFile interface {
	Write(p []byte) (int, error)
	Sync() error
	Stat() (fs.FileInfo, error)
	Truncate(size int64) error
	Close() error
}

// realDisk is the disk.
type realDisk struct{}

// The record is for the gateway alone: it holds statements and parameters.
const (
	dirMode  fs.FileMode = 0o700
	fileMode fs.FileMode = 0o600
)

func (realDisk) mkdir(path string) error { return durable.MkdirAll(path, dirMode) }

func (realDisk) openAppend(path string) (appendFile, error) {
	return durable.OpenAppend(path, fileMode)
}

func (realDisk) writeFile(path string, data []byte) error {
	return durable.WriteFile(path, data, fileMode)
}

func (realDisk) remove(path string) error { return os.Remove(path) }

// Names below the directory of the log; see format.md.
const (
	entriesDir     = "entries"
	tileDir        = "tile"
	checkpointName = "checkpoint"
	historyName    = "checkpoints"
	vkeyName       = "log.vkey"
	lockName       = "lock"
	segmentSuffix  = ".jsonl"
)

// segmentPath names the segment by the Seq of its first entry, with as many
// digits as the largest has, so that names sort like entries.
func segmentPath(dir string, base uint64) string {
	return filepath.Join(dir, segmentName(base))
}

// segmentName is segmentPath below the directory of the log.
func segmentName(base uint64) string {
	return filepath.Join(entriesDir, fmt.Sprintf("%020d%s", base, segmentSuffix))
}
