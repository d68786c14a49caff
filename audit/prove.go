package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// ProofFormat names the format of a Proof; format.md has it.
const ProofFormat = "sluice-proof/1"

// maxProofBytes bounds a proof that is read: an entry, two checkpoints, and hashes.
const maxProofBytes = 4 * maxEventBytes

// Proof shows to whoever has the public key that an entry is in the log under a signed
// checkpoint, and that this continues an older one. It is all that is needed for it.
type Proof struct {
	Format     string      `json:"format"`
	Entry      string      `json:"entry"`     // as it stands in the log, without its line break
	Index      uint64      `json:"index"`     // its place
	Inclusion  []tlog.Hash `json:"inclusion"` // RFC 6962, section 2.1.1
	Checkpoint string      `json:"checkpoint"`
	Since      *ProofSince `json:"since,omitempty"`
	Keys       []string    `json:"keys,omitempty"` // signed notes of the keys that were replaced, the oldest first
}

// ProofSince is an older checkpoint, and the proof that the log has only grown since.
type ProofSince struct {
	Checkpoint  string      `json:"checkpoint"`
	Consistency []tlog.Hash `json:"consistency"` // RFC 6962, section 2.1.2
}

// ErrNotSealed says that no checkpoint covers the entry yet.
var ErrNotSealed = errors.New("no checkpoint covers the entry yet")

// Prove makes the proof of the entry with an ID, from the files of the log in dir, and
// if since is a checkpoint, that the log has only grown since then.
func Prove(ctx context.Context, dir, id string, since []byte) (*Proof, error) {
	keys, err := storedKeys(dir)
	if err != nil {
		return nil, err
	}
	seq, err := strconv.ParseUint(id[strings.LastIndexByte(id, '-')+1:], 10, 63)
	if err != nil {
		return nil, fmt.Errorf("prove entry %q: %w", id, fs.ErrNotExist)
	}
	const tries = 20 // each lost one means that a second has passed for the writer
	for range tries {
		var p *Proof
		if p, err = prove(ctx, dir, keys, id, seq, since); !errors.Is(err, fs.ErrNotExist) || p != nil {
			return p, err
		}
	}
	return nil, err
}

func prove(ctx context.Context, dir string, keys keyring, id string, seq uint64, since []byte) (*Proof, error) {
	msg, err := os.ReadFile(filepath.Join(dir, checkpointName))
	if err != nil {
		return nil, fmt.Errorf("prove entry %s: %w", id, err)
	}
	c, err := keys.open(msg)
	if err != nil {
		return nil, fmt.Errorf("prove entry %s: %w", id, err)
	}
	line, err := entryLine(ctx, dir, seq)
	if err != nil {
		return nil, fmt.Errorf("prove entry %s: %w", id, err)
	}
	if ev, err := decodeLine(line); err != nil || ev.ID != id {
		return nil, fmt.Errorf("prove entry %s: it is not in the record: %w", id, errNoEntry)
	}
	if int64(seq) >= c.Size {
		return nil, fmt.Errorf("prove entry %s: %w", id, ErrNotSealed)
	}
	// The reader checks every tile that it gives against the root.
	hashes := tlog.TileHashReader(tlog.Tree{N: c.Size, Hash: c.Root}, tileFiles(dir))
	p := &Proof{Format: ProofFormat, Entry: string(line), Index: seq, Checkpoint: string(msg), Keys: keys.texts()}
	if p.Inclusion, err = tlog.ProveRecord(c.Size, int64(seq), hashes); err != nil {
		return nil, fmt.Errorf("prove entry %s: %w", id, err)
	}
	if since != nil {
		old, err := keys.open(since)
		if err != nil {
			return nil, fmt.Errorf("prove that the record has only grown: the older one: %w", err)
		}
		p.Since = &ProofSince{Checkpoint: string(since)}
		if old.Size > c.Size {
			return nil, fmt.Errorf("the older checkpoint covers %d entries, the record only %d: %w", old.Size, c.Size, errShrunk)
		}
		if old.Size > 0 {
			if p.Since.Consistency, err = tlog.ProveTree(c.Size, old.Size, hashes); err != nil {
				return nil, fmt.Errorf("prove that the record has only grown: %w", err)
			}
		}
	}
	_, err = p.check(keys)
	return p, err
}

var (
	errNoEntry = errors.New("no entry has this ID")
	errShrunk  = errors.New("an older state was put back, or the end was removed")
)

// entryLine finds an entry in its segment.
func entryLine(ctx context.Context, dir string, seq uint64) ([]byte, error) {
	var found []byte
	stop := errors.New("found")
	_, err := Forward(ctx, dir, Place{Seq: seq / segmentEntries * segmentEntries}, func(at Place, line []byte) error {
		if at.Seq < seq {
			return nil
		}
		found = append([]byte(nil), line...)
		return stop
	})
	if found == nil && err == nil {
		err = errNoEntry
	}
	if errors.Is(err, stop) {
		err = nil
	}
	return found, err
}

// tileFiles reads tiles below a directory.
type tileFiles string

// Height is that of all tiles.
func (tileFiles) Height() int { return tileHeight }

// SaveTiles is told which tiles were right.
func (tileFiles) SaveTiles([]tlog.Tile, [][]byte) {}

// ReadTiles reads tiles. Of one that has become full since, the beginning is given.
func (d tileFiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		b, err := os.ReadFile(filepath.Join(string(d), filepath.FromSlash(tilePath(t))))
		if errors.Is(err, fs.ErrNotExist) && t.W < tileWidth {
			whole := t
			whole.W = tileWidth
			b, err = os.ReadFile(filepath.Join(string(d), filepath.FromSlash(tilePath(whole))))
			b = b[:min(len(b), t.W*tlog.HashSize)]
		}
		if err != nil {
			return nil, fmt.Errorf("read a tile: %w", err)
		}
		out[i] = b
	}
	return out, nil
}

// Proven is what a proof shows.
type Proven struct {
	Event  Event
	Origin string
	Size   uint64 // entries under the checkpoint
	Root   string
	Since  uint64 // entries under the older checkpoint, if Grown
	Grown  bool   // the log has only grown since then
}

// VerifyProof checks a proof, as Prove made it, with the public key alone. A nil error
// means that the entry was in the log that the key signs.
func VerifyProof(data []byte, key string) (Proven, error) {
	if len(data) > maxProofBytes {
		return Proven{}, fmt.Errorf("a proof of %d bytes: longer than any", len(data))
	}
	var p Proof
	if err := json.Unmarshal(data, &p); err != nil {
		return Proven{}, fmt.Errorf("not a proof: %w", err)
	}
	keys, err := ringOf(strings.TrimSpace(key), p.Keys)
	if err != nil {
		return Proven{}, err
	}
	return p.check(keys)
}

func (p *Proof) check(keys keyring) (Proven, error) {
	if p.Format != ProofFormat {
		return Proven{}, fmt.Errorf("not a proof: its format is %q, not %q", p.Format, ProofFormat)
	}
	c, err := keys.open([]byte(p.Checkpoint))
	if err != nil {
		return Proven{}, err
	}
	if c.Origin != keys.name() {
		return Proven{}, fmt.Errorf("the checkpoint is of the log %q, not of %q", c.Origin, keys.name())
	}
	if p.Index >= uint64(c.Size) {
		return Proven{}, fmt.Errorf("entry %d is not among the %d of the checkpoint", p.Index, c.Size)
	}
	if err := tlog.CheckRecord(p.Inclusion, c.Size, c.Root, int64(p.Index), tlog.RecordHash([]byte(p.Entry))); err != nil {
		return Proven{}, fmt.Errorf("entry %d is not the one that was signed", p.Index)
	}
	out := Proven{Origin: c.Origin, Size: uint64(c.Size), Root: c.Root.String()}
	if out.Event, err = decodeLine([]byte(p.Entry)); err != nil {
		return Proven{}, err
	}
	if out.Event.Seq != p.Index {
		return Proven{}, fmt.Errorf("the entry is number %d, not %d", out.Event.Seq, p.Index)
	}
	if p.Since == nil {
		return out, nil
	}
	old, err := keys.open([]byte(p.Since.Checkpoint))
	if err != nil {
		return Proven{}, fmt.Errorf("the older one: %w", err)
	}
	if old.Origin != c.Origin {
		return Proven{}, fmt.Errorf("the older checkpoint is of the log %q, not of %q", old.Origin, c.Origin)
	}
	if old.Size > c.Size || old.Size > 0 && tlog.CheckTree(p.Since.Consistency, c.Size, c.Root, old.Size, old.Root) != nil {
		return Proven{}, fmt.Errorf("the first %d entries are not those of the older checkpoint: history was rewritten", old.Size)
	}
	out.Since, out.Grown = uint64(old.Size), true
	return out, nil
}
