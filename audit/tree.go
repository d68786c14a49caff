package audit

import (
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	// tileHeight is the height of the tiles of C2SP tlog-tiles.
	tileHeight = 8
	// tileWidth is how many hashes a full tile has.
	tileWidth = 1 << tileHeight
	// segmentEntries is how many entries a full segment file holds. It is the
	// number under one full tile of level 1, so that a segment is exactly one
	// hash at level 2, and can be compressed or removed without touching the
	// rest of the tree.
	segmentEntries = tileWidth * tileWidth
)

// tree is the right edge of the Merkle tree (RFC 6962), which is all that
// appending needs: for each level of tiles, the hashes of the tile that is not
// yet full. It has one owner at a time and is not safe for concurrent use.
type tree struct {
	size   int64
	levels [][]tlog.Hash // levels[l] has less than tileWidth hashes
}

// fullTile is called by push for each tile that became full.
type fullTile func(t tlog.Tile, hashes []tlog.Hash)

// push adds a leaf.
func (t *tree) push(leaf tlog.Hash, full fullTile) {
	h := leaf
	for level := 0; ; level++ {
		if level == len(t.levels) {
			t.levels = append(t.levels, make([]tlog.Hash, 0, tileWidth))
		}
		t.levels[level] = append(t.levels[level], h)
		if len(t.levels[level]) < tileWidth {
			break
		}
		done := t.levels[level]
		if full != nil {
			full(tlog.Tile{H: tileHeight, L: level, N: t.size >> (tileHeight * (level + 1)), W: tileWidth}, done)
		}
		h = perfectRoot(done)
		t.levels[level] = done[:0]
	}
	t.size++
}

// root is the hash of the whole tree. Each level's rest falls apart into
// perfect subtrees, from the largest to the smallest; joined from the right
// they are the root.
func (t *tree) root() tlog.Hash {
	var parts []tlog.Hash
	for level := len(t.levels) - 1; level >= 0; level-- {
		rest := t.levels[level]
		for width := tileWidth / 2; width > 0; width /= 2 {
			if len(rest) >= width {
				parts = append(parts, perfectRoot(rest[:width]))
				rest = rest[width:]
			}
		}
	}
	if len(parts) == 0 {
		h, _ := tlog.TreeHash(0, nil) // the empty tree asks for no hash, so nothing can go wrong
		return h
	}
	h := parts[len(parts)-1]
	for i := len(parts) - 2; i >= 0; i-- {
		h = tlog.NodeHash(parts[i], h)
	}
	return h
}

// partial calls f for each tile of the right edge that has some hashes.
func (t *tree) partial(f func(t tlog.Tile, hashes []tlog.Hash)) {
	for level, hashes := range t.levels {
		if len(hashes) > 0 {
			n := t.size >> (tileHeight * (level + 1))
			f(tlog.Tile{H: tileHeight, L: level, N: n, W: len(hashes)}, hashes)
		}
	}
}

// perfectRoot joins 1, 2, 4 … hashes into one.
func perfectRoot(hashes []tlog.Hash) tlog.Hash {
	var buf [tileWidth / 2]tlog.Hash
	if len(hashes) == 1 {
		return hashes[0]
	}
	n := len(hashes) / 2
	for i := range n {
		buf[i] = tlog.NodeHash(hashes[2*i], hashes[2*i+1])
	}
	for ; n > 1; n /= 2 {
		for i := range n / 2 {
			buf[i] = tlog.NodeHash(buf[2*i], buf[2*i+1])
		}
	}
	return buf[0]
}

// tilePath is the path of a tile below the directory of the log, as C2SP
// tlog-tiles has it: without the height, which is always 8 there.
func tilePath(t tlog.Tile) string {
	return "tile/" + strings.TrimPrefix(t.Path(), "tile/8/")
}

// parseTilePath is the inverse of tilePath.
func parseTilePath(path string) (tlog.Tile, error) {
	return tlog.ParseTilePath("tile/8/" + strings.TrimPrefix(path, "tile/"))
}

// tileEnd is how many entries the log has at least if t exists.
func tileEnd(t tlog.Tile) int64 {
	return (t.N<<tileHeight + int64(t.W)) << (tileHeight * t.L)
}

// joinHashes is the content of a tile.
func joinHashes(hashes []tlog.Hash) []byte {
	b := make([]byte, 0, len(hashes)*tlog.HashSize)
	for i := range hashes {
		b = append(b, hashes[i][:]...)
	}
	return b
}

// splitHashes reads the content of a tile of the given width.
func splitHashes(b []byte, width int) ([]tlog.Hash, bool) {
	if len(b) != width*tlog.HashSize {
		return nil, false
	}
	hashes := make([]tlog.Hash, width)
	for i := range hashes {
		copy(hashes[i][:], b[i*tlog.HashSize:])
	}
	return hashes, true
}
