package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sluicehq/sluice/internal/durable"
)

// Witness is what somebody keeps of the checkpoints of a log where its operator cannot
// change it unseen.
type Witness struct {
	Name string // for the report
	Kept []byte // signed checkpoints, each followed by an empty line, the oldest first
}

// maxWitnessBytes bounds what a witness keeps: a checkpoint a minute for eight years.
const maxWitnessBytes = 1 << 30

// addWitnesses puts the checkpoints of witnesses among those that the tree must meet.
// What the log lost they still promise.
func (v *verifier) addWitnesses(witnesses []Witness) {
	for _, w := range witnesses {
		notes, offsets, torn := splitHistory(w.Kept)
		if torn > 0 { // one alone need not be followed by an empty line
			if more, _, rest := splitHistory(append(slices.Clone(w.Kept), '\n')); rest == 0 && len(more) == len(notes)+1 {
				notes, torn = more, 0
				offsets = append(offsets, int64(len(w.Kept)-len(more[len(more)-1])))
			}
		}
		if len(notes) == 0 {
			v.problem(0, w.Name, 0, "the witness keeps no checkpoint")
		}
		for i, msg := range notes {
			v.report.Checkpoints++
			c, err := v.keys.open(msg)
			if err == nil && c.Origin != v.keys.name() {
				err = fmt.Errorf("checkpoint is of the log %q", c.Origin)
			}
			if err != nil {
				v.problem(0, w.Name, offsets[i], "what the witness keeps: %v", err)
				continue
			}
			v.marks = append(v.marks, mark{checkpoint: c, file: w.Name, offset: offsets[i]})
			v.report.Witnessed = max(v.report.Witnessed, uint64(c.Size))
		}
	}
	v.sortMarks()
}

func (v *verifier) sortMarks() {
	slices.SortStableFunc(v.marks, func(a, b mark) int { return int(a.Size - b.Size) })
}

// WitnessFile keeps checkpoints of the log in dir in a file, which should be where the
// operator of the log cannot write by himself: on another disk or another machine.
type WitnessFile struct{ Path string }

// errRolledBack says that a witness saw what the log no longer has.
var errRolledBack = errors.New("the record is not a continuation of what a witness saw: it was rolled back, cut off or rewritten")

// Rolled says whether err means that a log is no longer what a witness saw.
func Rolled(err error) bool { return errors.Is(err, errRolledBack) }

// Keep appends the newest checkpoint of the log in dir, unless the file has it already.
// It first checks that the log continues what is there, and keeps nothing else.
func (w WitnessFile) Keep(dir string) error {
	kept, err := os.ReadFile(w.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keep a checkpoint at the witness: %w", err)
	}
	msg, now, err := Newest(dir)
	if err != nil {
		return err
	}
	notes, _, torn := splitHistory(kept)
	if len(notes) > 0 {
		same, err := continues(dir, notes[len(notes)-1], now)
		if err != nil || same {
			return err
		}
	}
	file, err := durable.OpenAppend(w.Path, fileMode)
	if err != nil {
		return fmt.Errorf("keep a checkpoint at the witness: %w", err)
	}
	if torn > 0 { // a crash ended the last one
		err = file.Truncate(int64(len(kept) - torn))
	}
	if err == nil {
		_, err = file.Write(append(msg, '\n'))
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("keep a checkpoint at the witness: %w", err)
	}
	return nil
}

// Continues says why the log in dir does not continue what a witness keeps; nil if it does.
func Continues(dir string, w Witness) error {
	notes, _, _ := splitHistory(w.Kept)
	if len(notes) == 0 {
		return nil
	}
	_, now, err := Newest(dir)
	if err != nil {
		return err
	}
	_, err = continues(dir, notes[len(notes)-1], now)
	return err
}

// Newest gives the newest checkpoint of the log in dir, signed, and how many entries it
// covers.
func Newest(dir string) (msg []byte, size int64, err error) {
	keys, err := storedKeys(dir)
	if err != nil {
		return nil, 0, err
	}
	if msg, err = os.ReadFile(filepath.Join(dir, checkpointName)); err != nil {
		return nil, 0, fmt.Errorf("read the record: %w", err)
	}
	c, err := keys.open(msg)
	return msg, c.Size, err
}

// continues says whether the log in dir still has what an older checkpoint covers, and
// whether it is the newest.
func continues(dir string, old []byte, size int64) (same bool, err error) {
	keys, err := storedKeys(dir)
	if err != nil {
		return false, err
	}
	before, err := keys.open(old)
	if err != nil {
		return false, fmt.Errorf("what the witness keeps: %w", err)
	}
	if before.Size > size {
		return false, fmt.Errorf("%w: it saw %d entries, there are %d", errRolledBack, before.Size, size)
	}
	msg, err := os.ReadFile(filepath.Join(dir, checkpointName))
	if err != nil {
		return false, fmt.Errorf("read the record: %w", err)
	}
	now, err := keys.open(msg)
	if err != nil || before.Size == 0 {
		return false, err
	}
	if before.Size == now.Size {
		if before.Root != now.Root {
			return false, fmt.Errorf("%w: two roots over %d entries", errRolledBack, now.Size)
		}
		return true, nil
	}
	hashes := tlog.TileHashReader(tlog.Tree{N: now.Size, Hash: now.Root}, tileFiles(dir))
	proof, err := tlog.ProveTree(now.Size, before.Size, hashes)
	if err != nil {
		return false, fmt.Errorf("compare the record with what a witness saw: %w", err)
	}
	if tlog.CheckTree(proof, now.Size, now.Root, before.Size, before.Root) != nil {
		return false, fmt.Errorf("%w: the first %d entries are others", errRolledBack, before.Size)
	}
	return false, nil
}

// ReadWitness reads what a witness keeps in a file.
func ReadWitness(path string) (Witness, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxWitnessBytes {
		err = errors.New("it is longer than any")
	}
	if err != nil {
		return Witness{}, fmt.Errorf("read the witness: %w", err)
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		return Witness{}, fmt.Errorf("read the witness: %w", err)
	}
	return Witness{Name: path, Kept: kept}, nil
}
