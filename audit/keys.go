package audit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// keysName has a signed note for each key that was replaced, the oldest first, each
// followed by an empty line.
const keysName = "keys"

// maxKeys bounds how often a key is replaced: once a week for a hundred years.
const maxKeys = 5200

// replacement says that a key signs in place of another: the last checkpoint of the old
// one is over Size entries, of which entry Entry says so too. Both have signed it.
type replacement struct {
	Origin string
	Entry  uint64
	Size   int64
	Root   tlog.Hash // over the first Size entries
	Old    string    // public keys in the note format
	New    string
}

func (r replacement) text() string {
	return fmt.Sprintf("%s\nkey %d %d\n%s\n%s\n%s\n", r.Origin, r.Entry, r.Size, r.Root, r.Old, r.New)
}

var errReplacement = errors.New("the note of a key that was replaced is not one")

// parseReplacement reads the signed body.
func parseReplacement(text string) (r replacement, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 6 || lines[5] != "" {
		return r, errReplacement
	}
	numbers, ok := strings.CutPrefix(lines[1], "key ")
	entry, size, _ := strings.Cut(numbers, " ")
	r = replacement{Origin: lines[0], Old: lines[3], New: lines[4]}
	var err1, err2, err3 error
	r.Entry, err1 = strconv.ParseUint(entry, 10, 63)
	r.Size, err2 = strconv.ParseInt(size, 10, 64)
	r.Root, err3 = tlog.ParseHash(lines[2])
	if !ok || errors.Join(err1, err2, err3) != nil || r.text() != text || int64(r.Entry) >= r.Size {
		return r, errReplacement
	}
	return r, nil
}

// keyring are the keys that sign one log, one after the other.
type keyring struct {
	keys     []note.Verifier
	public   []string      // the same in the note format
	replaced []replacement // of each key but the last
	notes    [][]byte      // of replaced, signed
}

// onlyKey is the keyring of a log whose key was never replaced.
func onlyKey(public string) (keyring, error) {
	v, err := note.NewVerifier(public)
	if err != nil {
		return keyring{}, fmt.Errorf("public key %q: %w", public, err)
	}
	return keyring{keys: []note.Verifier{v}, public: []string{public}}, nil
}

// name is the origin of the log.
func (k keyring) name() string { return k.keys[0].Name() }

// newest signs now.
func (k keyring) newest() int { return len(k.keys) - 1 }

// find gives which key a public key is, -1 if it is none.
func (k keyring) find(public string) int {
	for i, p := range k.public {
		if p == public {
			return i
		}
	}
	return -1
}

// title is a key in words: name and number.
func (k keyring) title(i int) string {
	return fmt.Sprintf("%s+%08x", k.keys[i].Name(), k.keys[i].KeyHash())
}

// span says over how many entries key i signs: at the size at which it was replaced the
// old key and the new one have both signed.
func (k keyring) span(i int) (from, to int64) {
	from, to = 0, math.MaxInt64
	if i > 0 {
		from = k.replaced[i-1].Size
	}
	if i < len(k.replaced) {
		to = k.replaced[i].Size
	}
	return from, to
}

// follow adds the key that a signed note says took over. The note counts only if the
// key before has signed it, and the new one too, so that whoever has either of them can
// find the other.
func (k *keyring) follow(msg []byte) error {
	if len(msg) > maxCheckpointBytes {
		return fmt.Errorf("a note of %d bytes: longer than any", len(msg))
	}
	if len(k.keys) >= maxKeys {
		return fmt.Errorf("more than %d keys", maxKeys)
	}
	text, _, _ := strings.Cut(string(msg), "\n\n")
	r, err := parseReplacement(text + "\n")
	if err != nil {
		return err
	}
	next, err := note.NewVerifier(r.New)
	if err != nil {
		return fmt.Errorf("public key %q: %w", r.New, err)
	}
	old := k.keys[k.newest()]
	from, _ := k.span(k.newest())
	switch {
	case r.Old != k.public[k.newest()]:
		return fmt.Errorf("the note is of a key other than %s", k.title(k.newest()))
	case r.Origin != k.name() || next.Name() != k.name():
		return fmt.Errorf("the new key is of the log %q, not of %q", next.Name(), k.name())
	case k.find(r.New) >= 0:
		return errors.New("the new key was used before")
	case r.Size < from:
		return errors.New("it replaces a key before that key signed anything")
	}
	for _, v := range []note.Verifier{old, next} {
		if _, err := openNote(msg, v); err != nil {
			return fmt.Errorf("the key %s+%08x has not signed the note in which %s takes over: %w", v.Name(), v.KeyHash(), short(r.New), err)
		}
	}
	k.keys, k.public = append(k.keys, next), append(k.public, r.New)
	k.replaced, k.notes = append(k.replaced, r), append(k.notes, msg)
	return nil
}

// short is a public key without its long part.
func short(public string) string {
	parts := strings.SplitN(public, "+", 3)
	return strings.Join(parts[:min(2, len(parts))], "+")
}

// open checks the signature of a signed checkpoint and reads it. Only the key that signed
// over as many entries counts: one that was replaced, and stolen, signs nothing after that.
func (k keyring) open(msg []byte) (checkpoint, error) {
	var first error
	for i := k.newest(); i >= 0; i-- {
		c, err := openCheckpoint(msg, k.keys[i])
		if err == nil {
			if from, to := k.span(i); c.Size < from || c.Size > to {
				err = fmt.Errorf("checkpoint over %d entries is signed by %s, which signs from %d to %d only", c.Size, k.title(i), from, to)
			}
		}
		if err == nil {
			return c, nil
		}
		if first == nil || !errors.Is(err, errUnsigned) {
			first = err
		}
	}
	return checkpoint{}, first
}

// signedByAny opens a note that any of the keys has signed. It is for what an entry under
// a checkpoint vouches for as well.
func (k keyring) signedByAny(msg []byte) (text string, err error) {
	for i := k.newest(); i >= 0; i-- {
		if text, err = openNote(msg, k.keys[i]); err == nil {
			return text, nil
		}
	}
	return "", err
}

var errUnsigned = errors.New("not signed by")

// openNote gives the text of a note that v has signed, whoever else signed it.
func openNote(msg []byte, v note.Verifier) (string, error) {
	n, err := note.Open(msg, note.VerifierList(v))
	if err != nil {
		var unknown *note.UnverifiedNoteError
		if errors.As(err, &unknown) {
			return "", errUnsigned
		}
		return "", err
	}
	// The note's own reader passes over the unused bits at the end of base64. No
	// changed byte should pass here, even one that changes nothing.
	for _, sig := range append(n.Sigs, n.UnverifiedSigs...) {
		if _, err := base64.StdEncoding.Strict().DecodeString(sig.Base64); err != nil {
			return "", fmt.Errorf("signature of %s: %w", sig.Name, err)
		}
	}
	return n.Text, nil
}

// storedKeys reads the keys of the log in dir: the first, and those that took over.
func storedKeys(dir string) (keyring, error) {
	public, err := PublicKey(dir)
	if err != nil {
		return keyring{}, err
	}
	k, err := onlyKey(public)
	if err != nil {
		return k, fmt.Errorf("read the record: its public key: %w", err)
	}
	data, err := os.ReadFile(filepath.Join(dir, keysName))
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return k, fmt.Errorf("read the record: %w", err)
	}
	return k, k.followAll(data)
}

// followAll takes the notes of the file with all of them.
func (k *keyring) followAll(data []byte) error {
	notes, _, torn := splitHistory(data)
	for _, msg := range notes {
		if err := k.follow(msg); err != nil {
			return fmt.Errorf("read the record: %s: %w", keysName, err)
		}
	}
	if torn > 0 {
		return fmt.Errorf("read the record: %s: %w", keysName, errReplacement)
	}
	return nil
}

// ringOf makes the keys of a proof: the one that is given, and those that notes in the
// proof lead to from there, forwards and backwards. Each note is signed by both of its keys.
func ringOf(given string, notes []string) (keyring, error) {
	if len(notes) == 0 {
		return onlyKey(given)
	}
	text, _, _ := strings.Cut(notes[0], "\n\n")
	r, err := parseReplacement(text + "\n")
	if err != nil {
		return keyring{}, err
	}
	k, err := onlyKey(r.Old)
	if err != nil {
		return k, err
	}
	for _, msg := range notes {
		if err := k.follow([]byte(msg)); err != nil {
			return k, err
		}
	}
	if k.find(given) < 0 {
		return k, fmt.Errorf("the key given is none of the %d that have signed the record", len(k.keys))
	}
	return k, nil
}

// clone is a copy that can be added to.
func (k keyring) clone() keyring {
	return keyring{slices.Clone(k.keys), slices.Clone(k.public), slices.Clone(k.replaced), slices.Clone(k.notes)}
}

// texts are the notes as a proof has them.
func (k keyring) texts() (out []string) {
	for _, msg := range k.notes {
		out = append(out, string(msg))
	}
	return out
}
