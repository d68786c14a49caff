package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"
)

// Tail reads the end of a record once for several followers. It promises:
//
//   - Each follower is at a place of its own, and gets what it would get by reading alone:
//     what another has just read and decoded comes from memory, all else is read for it.
//     One that fails, is far behind or begins anew holds up none of the others.
//   - They wait for each other only while a chunk is read that both are about to need.
//   - What is kept is bounded, and goes as soon as all followers have had it.
//
// It is safe for concurrent use, and owns no goroutine.
type Tail struct {
	dir string

	mu        sync.Mutex
	chunks    []*chunk // one after the other
	spare     []*chunk // whose memory is used again
	followers []*Follower
}

// Follower is one of those who follow a record by a Tail. It is for one goroutine at a
// time.
type Follower struct {
	tail *Tail
	at   uint64 // entries before it are not needed again; guarded by tail.mu
}

// Entry is an entry of the record with what it says. Neither may be changed; a text of it
// that is kept keeps all of its line.
type Entry struct {
	Place Place
	Line  string // without its line break
	Event Event
}

// chunk is some entries that follow each other.
type chunk struct {
	entries []Entry
	next    Place // after the last
	bytes   int   // about what it takes
	users   int   // followers who are at it; guarded by mu of the Tail
	kept    bool  // it is one of Tail.chunks; as users
}

const (
	// chunkEntries and chunkBytes bound what is read at a time, while the others wait.
	chunkEntries = 512
	chunkBytes   = 1 << 20
	// tailBytes bounds what is kept for followers that are behind.
	tailBytes = 16 << 20
	// entryBytes is about what an entry takes beside its line.
	entryBytes = 1 << 10
	// maxSpare is how many chunks are kept for their memory.
	maxSpare = 4
)

// NewTail is of the record in dir.
func NewTail(dir string) *Tail { return &Tail{dir: dir} }

// Follow makes a follower.
func (t *Tail) Follow() *Follower {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := &Follower{tail: t}
	t.followers = append(t.followers, f)
	return f
}

// Forward gives entries as the function Forward does, decoded.
func (f *Follower) Forward(ctx context.Context, from Place, give func(*Entry) error) (Place, error) {
	for {
		c, err := f.tail.chunk(ctx, from)
		if err != nil || c == nil {
			return from, err
		}
		for i := int(from.Seq - c.entries[0].Place.Seq); i < len(c.entries) && err == nil; i++ {
			if err = give(&c.entries[i]); err != nil {
				break
			}
			from = c.next
			if i+1 < len(c.entries) {
				from = c.entries[i+1].Place
			}
		}
		f.passed(c, from.Seq)
		if err != nil {
			return from, err
		}
	}
}

// passed lets go of a chunk, and of what no follower needs any more.
func (f *Follower) passed(c *chunk, seq uint64) {
	t := f.tail
	t.mu.Lock()
	defer t.mu.Unlock()
	c.users--
	t.reuse(c)
	f.at = seq
	least := slices.MinFunc(t.followers, func(a, b *Follower) int { return cmp.Compare(a.at, b.at) }).at
	n := 0
	for n < len(t.chunks) && t.chunks[n].next.Seq <= least {
		n++
	}
	t.drop(n)
}

// drop forgets the oldest chunks. It needs mu.
func (t *Tail) drop(n int) {
	for _, c := range t.chunks[:n] {
		c.kept = false
		t.reuse(c)
	}
	t.chunks = slices.Delete(t.chunks, 0, n)
}

// reuse takes the memory of a chunk that nobody has any more. It needs mu.
func (t *Tail) reuse(c *chunk) {
	if c.users == 0 && !c.kept && len(t.spare) < maxSpare {
		clear(c.entries) // so that it keeps no lines
		t.spare = append(t.spare, &chunk{entries: c.entries[:0]})
	}
}

// room is a chunk to read into. It needs mu.
func (t *Tail) room() *chunk {
	n := len(t.spare)
	if n == 0 {
		return &chunk{}
	}
	c := t.spare[n-1]
	t.spare = t.spare[:n-1]
	return c
}

// chunk gives the chunk with the entry at a place, nil if the record ends there. Whoever
// gets one lets go of it with passed.
func (t *Tail) chunk(ctx context.Context, from Place) (*chunk, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if from.Seq%segmentEntries == 0 {
		from.Offset = 0 // where a segment ended, the next begins
	}
	i := sort.Search(len(t.chunks), func(i int) bool { return t.chunks[i].next.Seq > from.Seq })
	if i < len(t.chunks) {
		c := t.chunks[i]
		if first := c.entries[0].Place.Seq; first <= from.Seq && c.entries[from.Seq-first].Place == from {
			c.users++
			return c, nil
		}
	}
	c := t.room()
	elsewhere := len(t.chunks) > 0 && t.chunks[len(t.chunks)-1].next.Seq != from.Seq
	if elsewhere { // for this follower alone, and nobody waits for it
		t.mu.Unlock()
	}
	err := c.read(ctx, t.dir, from)
	if elsewhere {
		t.mu.Lock()
	}
	if len(c.entries) == 0 {
		t.reuse(c)
		return nil, err
	}
	c.users, c.kept = 1, !elsewhere
	if elsewhere {
		return c, nil
	}
	t.chunks = append(t.chunks, c)
	total, n := 0, len(t.chunks)
	for n > 0 && (total == 0 || total+t.chunks[n-1].bytes <= tailBytes) {
		n--
		total += t.chunks[n].bytes
	}
	t.drop(n)
	return c, nil
}

var errChunk = errors.New("the chunk is full")

// read reads and decodes the entries from a place on. What goes wrong at one ends the chunk
// before it.
func (c *chunk) read(ctx context.Context, dir string, from Place) (err error) {
	c.next, err = Forward(ctx, dir, from, func(at Place, line []byte) error {
		n := len(c.entries)
		if n == chunkEntries || c.bytes >= chunkBytes {
			return errChunk
		}
		if n == cap(c.entries) {
			c.entries = slices.Grow(c.entries, max(n, 16))
		}
		e := &c.entries[:n+1][n]
		e.Place, e.Line = at, string(line)
		if err := decodeText(e.Line, &e.Event); err != nil {
			return fmt.Errorf("entry %d: %w", at.Seq, err)
		}
		c.entries = c.entries[:n+1]
		c.bytes += len(line) + entryBytes
		return nil
	})
	return err
}
