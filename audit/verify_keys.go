package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// readKeys finds the keys of the log: the first as it lies there, and those that notes say
// took over. A key that is given must be one of them; if not, only that one counts.
func (v *verifier) readKeys(own, given string, whole bool) (err error) {
	if given != "" && own == "" {
		v.problem(0, vkeyName, 0, "the public key stored with the record is not the one given")
		v.keys, err = onlyKey(given)
		return err
	}
	if v.keys, err = onlyKey(own); err != nil {
		if given == "" {
			return err
		}
		v.problem(0, vkeyName, 0, "the public key stored with the record is none")
		v.keys, err = onlyKey(given)
		return err
	}
	if !whole {
		v.problem(0, vkeyName, 0, "the public key stored with the record is not whole")
	}
	data, err := os.ReadFile(filepath.Join(v.dir, keysName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the keys that took over: %w", err)
	}
	if err := v.keys.followAll(data); err != nil {
		v.problem(0, keysName, 0, "%v", err)
	}
	if given == "" || v.keys.find(given) >= 0 {
		return nil
	}
	if len(v.keys.keys) == 1 {
		v.problem(0, vkeyName, 0, "the public key stored with the record is not the one given")
	} else {
		v.problem(0, vkeyName, 0, "the public key given is none of those that are stored with the record")
	}
	v.keys, err = onlyKey(given)
	return err
}

// addReplaced puts what the notes say of the tree among what it must meet: the key that was
// replaced has signed it, and the new one too.
func (v *verifier) addReplaced() {
	v.spoken = make([]bool, len(v.keys.replaced))
	for _, r := range v.keys.replaced {
		v.marks = append(v.marks, mark{checkpoint: checkpoint{Origin: r.Origin, Size: r.Size, Root: r.Root}, file: keysName})
	}
	v.sortMarks()
}

// saidReplaced takes what an entry says of a key that takes over.
func (v *verifier) saidReplaced(seq int64, line []byte) {
	if len(v.spoken) == 0 || !bytes.Contains(line[:min(len(line), headRoom+64)], []byte(`"kind":"rotated"`)) {
		return
	}
	ev, err := decodeLine(line)
	for i, r := range v.keys.replaced {
		if err == nil && ev.Kind == Rotated && uint64(seq) == r.Entry && ev.Key == r.New {
			v.spoken[i] = true
		}
	}
}

// settleReplaced compares the keys that took over with what the record says of them: a note
// alone is not enough, since nobody who reads the record would see it.
func (v *verifier) settleReplaced() {
	for i, r := range v.keys.replaced {
		if !v.spoken[i] && int64(r.Entry) >= v.gone {
			v.problem(int64(r.Entry), keysName, 0, "entry %d does not say that the key %s takes over: it was replaced behind the record's back", r.Entry, short(r.New))
		}
	}
}
