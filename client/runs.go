package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/durable"
	"github.com/sluicehq/sluice/runbook"
)

// keepRuns is how long a run that has ended is kept; one that can be gone on with stays.
const keepRuns = 30 * 24 * time.Hour

// Runs are the runs of runbooks from this machine, a file each that only its owner can
// read. What Save has kept is on disk when it returns.
type Runs struct {
	dir string
	now func() time.Time
}

// KeptRun is a run with the file that it is of: what it goes on with is what it began
// with, whatever became of the file.
type KeptRun struct {
	runbook.State
	File    string    `json:"file"`
	Text    string    `json:"text"`
	Gateway string    `json:"gateway"`
	Reason  string    `json:"reason,omitempty"`
	Began   time.Time `json:"began"`
	Saved   time.Time `json:"saved"`
}

// Why a run cannot be had.
var (
	ErrNoRun   = errors.New("there is no such run on this machine")
	ErrRunning = errors.New("another program goes on with this run")
)

// Runs are kept beside the credentials.
func (s *Store) Runs() *Runs { return &Runs{filepath.Join(s.Dir, "runs"), s.Now} }

var runForm = regexp.MustCompile(`^[a-z0-9-]{4,40}$`)

func (r *Runs) path(id string) (string, error) {
	if !runForm.MatchString(id) {
		return "", fmt.Errorf("%w: %q", ErrNoRun, id)
	}
	return filepath.Join(r.dir, id+".json"), nil
}

// Hold takes a run for this process. The system gives it back when the process ends.
func (r *Runs) Hold(id string) (release func(), err error) {
	path, err := r.path(id)
	if err != nil {
		return nil, err
	}
	if err := durable.MkdirAll(r.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of runs: %w", err)
	}
	f, err := os.OpenFile(strings.TrimSuffix(path, ".json")+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("take the run: %w", err)
	}
	taken, err := lockFile(f)
	if err == nil && taken {
		err = ErrRunning
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// Save keeps a run.
func (r *Runs) Save(run *KeptRun) error {
	path, err := r.path(run.Run)
	if err != nil {
		return err
	}
	if err := durable.MkdirAll(r.dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of runs: %w", err)
	}
	run.Saved = r.now().UTC()
	data, err := json.MarshalIndent(run, "", " ")
	if err != nil {
		return fmt.Errorf("keep the run: %w", err)
	}
	return durable.WriteFile(path, append(data, '\n'), 0o600)
}

// Load is a run that was kept.
func (r *Runs) Load(id string) (*KeptRun, error) {
	path, err := r.path(id)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %q", ErrNoRun, id)
	}
	if err != nil {
		return nil, fmt.Errorf("read the run: %w", err)
	}
	run := &KeptRun{}
	if err := json.Unmarshal(data, run); err != nil || run.Run != id {
		return nil, fmt.Errorf("the run in %s cannot be read", path)
	}
	return run, nil
}

// List is every run that is kept, the newest first. Those that ended long ago go.
func (r *Runs) List() (list []*KeptRun, err error) {
	files, err := filepath.Glob(filepath.Join(r.dir, "*.json"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		run, err := r.Load(strings.TrimSuffix(filepath.Base(file), ".json"))
		if err != nil {
			continue // of another version, or half written by hand
		}
		if !run.Resumable() && r.now().Sub(run.Saved) > keepRuns {
			_ = os.Remove(file) // it is only a convenience by now; the record has it
			_ = os.Remove(strings.TrimSuffix(file, ".json") + ".lock")
			continue
		}
		list = append(list, run)
	}
	slices.SortFunc(list, func(a, b *KeptRun) int { return b.Began.Compare(a.Began) })
	return list, nil
}
