package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// listTiles finds all tiles, so that none can lie there unchecked.
func (v *verifier) listTiles() error {
	v.extra = map[[2]int64][]string{}
	root := filepath.Join(v.dir, tileDir)
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a writer at work removes partial tiles
		}
		if err != nil || e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			return err
		}
		rel, err := filepath.Rel(v.dir, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		t, err := parseTilePath(rel)
		if err != nil || t.L < 0 {
			v.problem(v.last.Size, rel, 0, "not a file of the record")
			return nil
		}
		v.listed[rel] = true
		if t.W < tileWidth {
			k := [2]int64{int64(t.L), t.N}
			v.extra[k] = append(v.extra[k], rel)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("verify the record: %w", err)
	}
	return nil
}

// readTile reads a stored tile. One that a checkpoint needs and that is not
// there, or has the wrong length, is a problem; it gives nil then.
func (v *verifier) readTile(t tlog.Tile) []tlog.Hash {
	path := tilePath(t)
	needed := tileEnd(t) <= v.last.Size
	b, ok := v.partial[path]
	var err error
	if !ok {
		b, err = os.ReadFile(filepath.Join(v.dir, filepath.FromSlash(path)))
	}
	delete(v.listed, path)
	first := t.N << (tileHeight * (t.L + 1))
	if err != nil {
		if needed || !errors.Is(err, fs.ErrNotExist) {
			v.problem(first, path, 0, "the stored hashes of entry %d and after are missing", first)
		}
		return nil
	}
	hashes, ok := splitHashes(b, t.W)
	if !ok {
		v.problem(first, path, int64(min(len(b), t.W*tlog.HashSize)), "the stored hashes of entry %d and after are %d bytes instead of %d", first, len(b), t.W*tlog.HashSize)
		return nil
	}
	return hashes
}

// leafTile is the tile that has, or should have, the leaves being read.
func (v *verifier) leafTile() tlog.Tile {
	t := tlog.Tile{H: tileHeight, N: v.now.first >> tileHeight, W: tileWidth}
	if edge := v.last.Size - v.now.first; edge > 0 && edge < tileWidth {
		t.W = int(edge)
	}
	return t
}

// beginTile loads the stored leaf hashes of the tile that begins with entry
// first.
func (v *verifier) beginTile(first int64, file string) {
	t := &v.now
	t.first, t.n, t.file, t.stored = first, 0, file, nil
	tile := v.leafTile()
	if tileEnd(tile) <= v.last.Size || v.listed[tilePath(tile)] {
		t.stored = v.readTile(tile)
	}
}

// isStored says whether leaf is what the tiles have for entry seq.
func (v *verifier) isStored(seq int64, leaf tlog.Hash) bool {
	first := seq &^ (tileWidth - 1)
	stored := v.now.stored
	if first != v.now.first {
		t := tlog.Tile{H: tileHeight, N: first >> tileHeight, W: int(min(tileWidth, v.last.Size-first))}
		b, ok := v.partial[tilePath(t)]
		if !ok {
			var err error
			if b, err = os.ReadFile(filepath.Join(v.dir, filepath.FromSlash(tilePath(t)))); err != nil {
				return false // said when the tile's turn comes
			}
		}
		if stored, ok = splitHashes(b, t.W); !ok {
			return false
		}
	}
	i := int(seq - first)
	return i < len(stored) && stored[i] == leaf
}

// vouched says whether the tree above the current leaf tile confirms leaves:
// the tile above for a full one, what was signed for the last one.
func (v *verifier) vouched(leaves []tlog.Hash) bool {
	if len(leaves) == tileWidth && v.now.first+tileWidth <= v.last.Size {
		n := v.now.first >> tileHeight
		above := tlog.Tile{H: tileHeight, L: 1, N: n >> tileHeight, W: tileWidth}
		if have := v.last.Size>>tileHeight - above.N<<tileHeight; have < tileWidth {
			above.W = int(have)
		}
		b, ok := v.partial[tilePath(above)]
		if !ok {
			var err error
			if b, err = os.ReadFile(filepath.Join(v.dir, filepath.FromSlash(tilePath(above)))); err != nil {
				return false // said when the tile's turn comes
			}
		}
		hashes, ok := splitHashes(b, above.W)
		return ok && hashes[n%tileWidth] == perfectRoot(leaves)
	}
	edge := v.last.Size - v.now.first
	if v.unknown || edge <= 0 || edge > int64(len(leaves)) {
		return false
	}
	with := tree{size: v.tree.size}
	for _, hashes := range v.tree.levels {
		with.levels = append(with.levels, slices.Clone(hashes))
	}
	for _, leaf := range leaves[:edge] {
		with.push(leaf, nil)
	}
	return with.root() == v.last.Root
}

// fullTile compares a tile above the leaves with what the entries make of it.
func (v *verifier) fullTile(t tlog.Tile, hashes []tlog.Hash) {
	sealed := t.L > 0 && tileEnd(t) <= v.last.Size // closeTile looks at the leaves
	if sealed || v.listed[tilePath(t)] {
		v.compare(t, v.readTile(t), hashes)
	}
	if t.L > 0 {
		v.looseTiles(t.L, t.N, hashes)
	}
}

// edgeTile does the same with the partial tiles of the last checkpoint.
func (v *verifier) edgeTile(t tlog.Tile, hashes []tlog.Hash) {
	if t.L > 0 {
		v.compare(t, v.readTile(t), hashes)
	}
}

// looseTiles compares the partial tiles that are prefixes of a tile: a crash
// may leave them, and a writer at work may remove them.
func (v *verifier) looseTiles(level int, n int64, hashes []tlog.Hash) {
	k := [2]int64{int64(level), n}
	for _, path := range v.extra[k] {
		t, err := parseTilePath(path)
		if err != nil || !v.listed[path] || t.W > len(hashes) {
			continue
		}
		delete(v.listed, path)
		b, err := os.ReadFile(filepath.Join(v.dir, filepath.FromSlash(path)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		stored, ok := splitHashes(b, t.W)
		if err != nil || !ok {
			v.problem(t.N<<(tileHeight*(t.L+1)), path, 0, "a tile that cannot be read or has the wrong length")
			continue
		}
		v.compare(t, stored, hashes)
	}
}

// compare names the first stored hash that is not the one of the entries.
func (v *verifier) compare(t tlog.Tile, stored, hashes []tlog.Hash) {
	if v.unknown {
		return // the missing entries were named
	}
	for i := range min(len(stored), len(hashes)) {
		if stored[i] != hashes[i] {
			span := int64(1) << (tileHeight * t.L)
			first := (t.N<<tileHeight + int64(i)) * span
			v.problem(first, tilePath(t), int64(i)*tlog.HashSize, "the stored hash over entry %d to entry %d is not that of the entries", first, first+span-1)
			return
		}
	}
}
