package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// ProveAll makes the proofs of entries by their numbers, in order, each once, all under one
// checkpoint.
func ProveAll(ctx context.Context, dir string, seqs []uint64) (proofs []*Proof, err error) {
	keys, err := storedKeys(dir)
	if err != nil {
		return nil, err
	}
	seqs = slices.Clone(seqs)
	slices.Sort(seqs)
	seqs = slices.Compact(seqs)
	lines, err := entryLines(ctx, dir, seqs)
	if err != nil {
		return nil, fmt.Errorf("prove %d entries: %w", len(seqs), err)
	}
	const tries = 20 // as Prove
	for range tries {
		proofs, err = proveLines(dir, keys, seqs, lines)
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return proofs, err
}

// entryLines reads entries, each segment once.
func entryLines(ctx context.Context, dir string, seqs []uint64) (lines [][]byte, err error) {
	for len(lines) < len(seqs) {
		from := seqs[len(lines)] / segmentEntries * segmentEntries
		before := len(lines)
		_, err := Forward(ctx, dir, Place{Seq: from}, func(at Place, line []byte) error {
			if at.Seq == seqs[len(lines)] {
				lines = append(lines, append([]byte(nil), line...))
				if len(lines) == len(seqs) || seqs[len(lines)]/segmentEntries*segmentEntries != from {
					return errStop
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			return nil, err
		}
		if len(lines) == before {
			return nil, errNoEntry
		}
	}
	return lines, nil
}

var errStop = errors.New("enough")

func proveLines(dir string, keys keyring, seqs []uint64, lines [][]byte) ([]*Proof, error) {
	msg, err := os.ReadFile(filepath.Join(dir, checkpointName))
	if err != nil {
		return nil, fmt.Errorf("prove %d entries: %w", len(seqs), err)
	}
	c, err := keys.open(msg)
	if err != nil {
		return nil, fmt.Errorf("prove %d entries: %w", len(seqs), err)
	}
	hashes := tlog.TileHashReader(tlog.Tree{N: c.Size, Hash: c.Root}, tileFiles(dir))
	out := make([]*Proof, 0, len(seqs))
	for i, seq := range seqs {
		if int64(seq) >= c.Size {
			return nil, fmt.Errorf("prove entry %d: %w", seq, ErrNotSealed)
		}
		p := &Proof{Format: ProofFormat, Entry: string(lines[i]), Index: seq, Checkpoint: string(msg), Keys: keys.texts()}
		if p.Inclusion, err = tlog.ProveRecord(c.Size, int64(seq), hashes); err != nil {
			return nil, fmt.Errorf("prove entry %d: %w", seq, err)
		}
		if _, err = p.check(keys); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}
