package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// maxCheckpointBytes bounds a signed checkpoint: five short lines, and room for
// signatures of witnesses.
const maxCheckpointBytes = 16 << 10

// checkpoint says: the log named Origin had Size entries, and this root. Signed,
// it is what makes changing any of them visible.
type checkpoint struct {
	Origin string
	Size   int64
	Root   tlog.Hash
}

// text is the body that is signed, as C2SP tlog-checkpoint has it.
func (c checkpoint) text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, c.Root)
}

func (c checkpoint) sign(s note.Signer) ([]byte, error) {
	msg, err := note.Sign(&note.Note{Text: c.text()}, s)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint at %d: %w", c.Size, err)
	}
	return msg, nil
}

// openCheckpoint checks the signature of a signed checkpoint and reads it. A
// note that the known key did not sign is refused, whoever else signed it.
func openCheckpoint(msg []byte, v note.Verifier) (checkpoint, error) {
	if len(msg) > maxCheckpointBytes {
		return checkpoint{}, fmt.Errorf("checkpoint of %d bytes: longer than any", len(msg))
	}
	text, err := openNote(msg, v)
	if errors.Is(err, errUnsigned) {
		return checkpoint{}, fmt.Errorf("checkpoint is %w %s", err, v.Name())
	}
	if err != nil {
		return checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	return parseCheckpoint(text)
}

// parseCheckpoint reads the signed body. Extension lines after the third are
// allowed by the format; this log writes none, so here they are an error.
func parseCheckpoint(text string) (checkpoint, error) {
	origin, rest, ok1 := strings.Cut(text, "\n")
	size, rest, ok2 := strings.Cut(rest, "\n")
	root, rest, ok3 := strings.Cut(rest, "\n")
	if !ok1 || !ok2 || !ok3 || origin == "" || rest != "" {
		return checkpoint{}, errors.New("checkpoint is not three lines: origin, size and root")
	}
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != size {
		return checkpoint{}, fmt.Errorf("checkpoint has no valid size: %q", size)
	}
	h, err := tlog.ParseHash(root)
	if err != nil || h.String() != root {
		return checkpoint{}, fmt.Errorf("checkpoint has no valid root: %q", root)
	}
	return checkpoint{Origin: origin, Size: n, Root: h}, nil
}

// splitHistory takes the signed checkpoints of the file of all kept ones apart:
// each is followed by an empty line. It gives each with its offset, and how
// many bytes at the end are not a whole one.
func splitHistory(data []byte) (notes [][]byte, offsets []int64, torn int) {
	pos := 0
	for pos < len(data) {
		// The first empty line ends the signed text, the second the note.
		text := bytes.Index(data[pos:], []byte("\n\n"))
		if text < 0 {
			break
		}
		sigs := bytes.Index(data[pos+text+2:], []byte("\n\n"))
		if sigs < 0 {
			break
		}
		end := pos + text + 2 + sigs + 1
		notes = append(notes, data[pos:end])
		offsets = append(offsets, int64(pos))
		pos = end + 1
	}
	return notes, offsets, len(data) - pos
}

// key is the identity of the log.
type key struct {
	secret string // the note's signer key, as in the key file
	public string // the note's verifier key, as in log.vkey
	signer note.Signer
	known  note.Verifier
}

// newKey makes a key for a log.
func newKey(origin string) (key, error) {
	secret, _, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return key{}, fmt.Errorf("make signing key: %w", err)
	}
	return parseKey(secret)
}

// parseKey reads a signer key and works out its public half.
func parseKey(secret string) (key, error) {
	// PRIVATE+KEY+<name>+<hash>+<base64 of algorithm and seed>
	parts := strings.SplitN(secret, "+", 5)
	if len(parts) != 5 {
		return key{}, errors.New("not a note signer key")
	}
	seed, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return key{}, errors.New("not an Ed25519 note signer key")
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		return key{}, fmt.Errorf("signer key: %w", err)
	}
	pub, ok := ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey)
	if !ok {
		return key{}, errors.New("not an Ed25519 note signer key")
	}
	public, err := note.NewEd25519VerifierKey(signer.Name(), pub)
	if err != nil {
		return key{}, fmt.Errorf("verifier key: %w", err)
	}
	known, err := note.NewVerifier(public)
	if err != nil {
		return key{}, fmt.Errorf("verifier key: %w", err)
	}
	return key{secret: secret, public: public, signer: signer, known: known}, nil
}

// idPrefix makes event IDs unique among logs: each has its own first key.
func idPrefix(first note.Verifier) string { return fmt.Sprintf("%08x-", first.KeyHash()) }
