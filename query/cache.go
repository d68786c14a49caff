package query

import (
	"container/list"
	"hash/maphash"
	"strings"
	"sync"
)

// Defaults and limits of a Cache.
const (
	// cacheShards keeps two connections seldom waiting for the same lock.
	cacheShards = 16
	// DefaultEntries holds the statements of a busy application many times over.
	DefaultEntries = 16384
	// DefaultBytes bounds the memory of a cache filled with long statements.
	DefaultBytes = 64 << 20
	// maxCached is the longest text kept: longer ones are bulk loads, seldom repeated.
	maxCached = 32 << 10
	// bigText is parsed one at a time, so that many long statements at once
	// cannot take all memory.
	bigText = 64 << 10
)

// Cache remembers what Analyze found. It serves one database: the version of
// its catalogue is part of the key. It is safe for concurrent use.
type Cache struct {
	seed   maphash.Seed
	shards [cacheShards]shard
	big    sync.Mutex // held while a text over bigText is analysed
}

// Config bounds a Cache; zero fields take the defaults.
type Config struct {
	Entries int   // statements texts kept at most
	Bytes   int64 // memory taken at most, estimated
}

// cacheKey holds the whole text: a digest without a secret could be made to
// collide, and a harmless text would then carry a harmful one through.
type cacheKey struct {
	version uint64
	shape   bool // sql is the shape of many texts
	sql     string
}

type cached struct {
	key        cacheKey
	statements []Statement
	size       int64
}

type shard struct {
	mu      sync.Mutex
	entries map[cacheKey]*list.Element // under mu
	recent  *list.List                 // under mu; front is the latest used
	bytes   int64                      // under mu
	maxN    int
	maxSize int64
}

// NewCache makes an empty cache.
func NewCache(cfg Config) *Cache {
	if cfg.Entries <= 0 {
		cfg.Entries = DefaultEntries
	}
	if cfg.Bytes <= 0 {
		cfg.Bytes = DefaultBytes
	}
	c := &Cache{seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i] = shard{
			entries: map[cacheKey]*list.Element{},
			recent:  list.New(),
			maxN:    max(cfg.Entries/cacheShards, 1),
			maxSize: max(cfg.Bytes/cacheShards, 1),
		}
	}
	return c
}

// Analyze is query.Analyze, remembered. The version must change whenever s
// would answer differently. The result is shared and must not be changed.
func (c *Cache) Analyze(sql string, s Schema, version uint64) []Statement {
	if len(sql) > maxCached {
		if len(sql) > bigText {
			c.big.Lock()
			defer c.big.Unlock()
		}
		return Analyze(sql, s)
	}
	sh := shapers.Get().(*shaper)
	defer shapers.Put(sh)
	form, constants, plain := sh.shape(sql)
	if plain && constants > 0 {
		if list, ok := c.alike(form, constants, sql, s, version); ok {
			return list
		}
	}
	return c.remember(cacheKey{version: version, sql: sql}, func() []Statement { return Analyze(sql, s) })
}

// remember answers from the cache, or with what find finds.
func (c *Cache) remember(key cacheKey, find func() []Statement) []Statement {
	sh := &c.shards[maphash.String(c.seed, key.sql)%cacheShards]
	if statements, ok := sh.get(key); ok {
		return statements
	}
	statements := find()
	sh.put(key, statements)
	return statements
}

// alike answers with what was found of another text of the same shape. ok is false
// if their constants matter.
func (c *Cache) alike(form []byte, constants int, sql string, s Schema, version uint64) (list []Statement, ok bool) {
	if list, ok = c.shards[maphash.Bytes(c.seed, form)%cacheShards].shaped(version, form); !ok {
		key := cacheKey{version, true, string(form)}
		list = c.remember(key, func() []Statement {
			found, free := analyzeFree(sql, s)
			if free != constants {
				return nil // kept as well: it spares the next one the question
			}
			return found
		})
	}
	if len(list) != 1 {
		return nil, false
	}
	text := strings.TrimSpace(strings.TrimRight(sql, "; \n\t\r"))
	if text == list[0].SQL {
		return list, true
	}
	st := list[0]
	st.SQL, st.Like = text, &list[0]
	return []Statement{st}, true
}

// Len is the number of texts kept.
func (c *Cache) Len() int {
	n := 0
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.Lock()
		n += len(sh.entries)
		sh.mu.Unlock()
	}
	return n
}

func (sh *shard) get(key cacheKey) ([]Statement, bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e, ok := sh.entries[key]
	if !ok {
		return nil, false
	}
	sh.recent.MoveToFront(e)
	return e.Value.(*cached).statements, true
}

// shaped is get of a shape, of which it makes no copy.
func (sh *shard) shaped(version uint64, form []byte) ([]Statement, bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e, ok := sh.entries[cacheKey{version, true, string(form)}]
	if !ok {
		return nil, false
	}
	sh.recent.MoveToFront(e)
	return e.Value.(*cached).statements, true
}

func (sh *shard) put(key cacheKey, statements []Statement) {
	size := int64(len(key.sql)) + sizeOf(statements)
	if size > sh.maxSize {
		return
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if _, ok := sh.entries[key]; ok {
		return
	}
	sh.entries[key] = sh.recent.PushFront(&cached{key, statements, size})
	sh.bytes += size
	for len(sh.entries) > sh.maxN || sh.bytes > sh.maxSize {
		oldest := sh.recent.Back()
		old := oldest.Value.(*cached)
		sh.recent.Remove(oldest)
		delete(sh.entries, old.key)
		sh.bytes -= old.size
	}
}

// sizeOf estimates the memory of statements; names are shared with the
// catalogue, so that only headers count.
func sizeOf(statements []Statement) int64 {
	const header, ref, column, perEntry = 448, 48, 72, 160
	n := int64(perEntry)
	for i := range statements {
		st := &statements[i]
		n += header + int64(len(st.SQL)) + int64(len(st.Fingerprint))
		n += ref * int64(len(st.Reads)+len(st.Relations)+len(st.Targets)+len(st.Indirect)+len(st.Functions)+len(st.Signs))
		n += 2 * ref * int64(len(st.Consequences)+len(st.Roles))
		for _, cols := range [][]Column{st.Output, st.Returning} {
			for j := range cols {
				n += column + ref*2*int64(len(cols[j].Sources))
			}
		}
		if st.Inner != nil {
			n += sizeOf([]Statement{*st.Inner})
		}
	}
	return n
}
