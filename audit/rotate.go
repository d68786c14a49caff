package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// nextSuffix is of the file with a key that is about to take over, beside that of the key
// in use.
const nextSuffix = ".next"

// Rotation is what was done when a key was replaced.
type Rotation struct {
	Old   string // public keys in the note format
	New   string
	Entry uint64 // that says so
	Size  uint64 // entries under the last checkpoint of the old key
}

// turn asks sealLoop to have another key sign.
type turn struct {
	key   key
	entry uint64
	done  chan error // of size 1
}

// Rotate has a new key sign from now on. That is recorded as ev, of which Kind and Key are
// set and Detail is added to, and put under a last checkpoint of the old key; then both keys sign a note of it,
// and the old one is removed from its file. Checkpoints and proofs from before stay good.
//
// The order is what makes every point of a crash recoverable: the new key is on disk before
// anything speaks of it, the note before the old key goes. At the next start the note
// decides which of the two it is.
func (l *Log) Rotate(ctx context.Context, ev Event) (Rotation, error) {
	l.turning.Lock()
	defer l.turning.Unlock()
	old, _ := l.signing()
	next, err := newKey(l.cfg.Origin)
	if err != nil {
		return Rotation{}, err
	}
	if err := l.cfg.disk.writeFile(l.cfg.KeyFile+nextSuffix, []byte(next.secret+"\n")); err != nil {
		return Rotation{}, fmt.Errorf("replace the record's signing key: %w", err)
	}
	ev.Kind, ev.Key = Rotated, next.public
	ev.Detail = strings.TrimSuffix("another key signs the record: "+short(next.public)+"; "+ev.Detail, "; ")
	ticket, err := l.Append(ev)
	if err != nil {
		return Rotation{}, err
	}
	if err := ticket.Durable(ctx); err != nil {
		return Rotation{}, err
	}
	t := turn{key: next, entry: ticket.Seq, done: make(chan error, 1)} // sealLoop never waits for us
	select {
	case l.turns <- t:
		err = <-t.done
	case <-l.stop:
		err = ErrClosed
	case <-l.failed:
		err = l.Err()
	}
	if err != nil {
		return Rotation{}, fmt.Errorf("replace the record's signing key: %w", err)
	}
	_, keys := l.signing()
	return Rotation{Old: old.public, New: next.public, Entry: ticket.Seq, Size: uint64(keys.replaced[len(keys.replaced)-1].Size)}, nil
}

// signing gives the key that signs, and all that ever did.
func (l *Log) signing() (key, keyring) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.key, l.keys
}

// turn does what Rotate asks for. It runs in sealLoop, which owns what is sealed.
func (l *Log) turn(t turn) error {
	s := &l.seal
	if err := l.sealNow(true); err != nil {
		return err
	}
	if uint64(s.last.Size) <= t.entry {
		return fmt.Errorf("entry %d is under no checkpoint", t.entry)
	}
	r := replacement{Origin: l.cfg.Origin, Entry: t.entry, Size: s.last.Size, Root: s.last.Root, Old: l.key.public, New: t.key.public}
	msg, err := note.Sign(&note.Note{Text: r.text()}, l.key.signer, t.key.signer)
	if err != nil {
		return err
	}
	keys := l.keys.clone()
	if err := keys.follow(msg); err != nil {
		return err
	}
	if err := l.cfg.disk.writeFile(filepath.Join(l.cfg.Dir, keysName), keys.file()); err != nil {
		return err
	}
	if err := l.cfg.disk.writeFile(l.cfg.KeyFile, []byte(t.key.secret+"\n")); err != nil {
		return err
	}
	l.mu.Lock()
	l.key, l.keys = t.key, keys
	l.mu.Unlock()
	if err := l.writeCheckpoint(s.last); err != nil {
		return err
	}
	// A leftover is the key in use, and goes at the next start, so it is no error if this
	// fails.
	_ = l.cfg.disk.remove(l.cfg.KeyFile + nextSuffix)
	l.cfg.Log.Info("another key signs the record", "key", keys.title(keys.newest()), "entry", t.entry)
	return nil
}

// settleTurn finishes, or forgets, what a crash left of a rotation: the note of it decides.
func (l *Log) settleTurn() error {
	path := l.cfg.KeyFile + nextSuffix
	secret, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the record's next signing key: %w", err)
	}
	if next, err := parseKey(strings.TrimSpace(string(secret))); err == nil && next.public == l.keys.public[l.keys.newest()] && next.public != l.key.public {
		if err := l.cfg.disk.writeFile(l.cfg.KeyFile, []byte(next.secret+"\n")); err != nil {
			return fmt.Errorf("replace the record's signing key: %w", err)
		}
		l.key = next
		l.cfg.Log.Warn("another key signs the record, as was begun before", "key", l.keys.title(l.keys.newest()))
	}
	if err := l.cfg.disk.remove(path); err != nil {
		return fmt.Errorf("remove a signing key that is not used: %w", err)
	}
	return nil
}

// file is what keysName has.
func (k keyring) file() []byte {
	var b bytes.Buffer
	for _, msg := range k.notes {
		b.Write(msg)
		b.WriteByte('\n')
	}
	return b.Bytes()
}
