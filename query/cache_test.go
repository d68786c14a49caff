package query

import (
	"strconv"
	"strings"
	"sync"
	"testing"
)

func TestCacheSharesAndSeparates(t *testing.T) {
	c := NewCache(Config{})
	s := people()
	a := c.Analyze("SELECT email FROM users", s, 1)
	b := c.Analyze("SELECT email FROM users", s, 1)
	if &a[0] != &b[0] {
		t.Error("the second answer is not the first")
	}
	if d := c.Analyze("SELECT email FROM users", newSchema(nil), 2); &a[0] == &d[0] || d[0].Output[0].Known {
		t.Error("a changed catalogue is answered from before")
	}
	// Equal fingerprints must never share an entry.
	bounded := c.Analyze("DELETE FROM users WHERE id = 1", s, 1)
	free := c.Analyze("DELETE FROM users WHERE 1 = 1", s, 1)
	if bounded[0].Has(NoWhere) || !free[0].Has(NoWhere) {
		t.Error("statements are confused")
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := NewCache(Config{Entries: 64, Bytes: 1 << 20})
	for i := range 1000 {
		c.Analyze("SELECT "+strconv.Itoa(i), nil, 1)
	}
	if n := c.Len(); n > 64 || n == 0 {
		t.Errorf("%d entries of 64", n)
	}
	small := NewCache(Config{Bytes: 64 << 10})
	for i := range 1000 {
		small.Analyze("SELECT "+strconv.Itoa(i), nil, 1)
	}
	var held int64
	for i := range small.shards {
		held += small.shards[i].bytes
	}
	if held > 64<<10 || held == 0 {
		t.Errorf("%d bytes held of %d", held, 64<<10)
	}
	before := c.Len()
	long := "SELECT '" + strings.Repeat("x", maxCached) + "'"
	if st := c.Analyze(long, nil, 1); st[0].Kind != Select || c.Len() != before {
		t.Error("a long text is kept")
	}
}

func TestCacheKeepsTheLatestUsed(t *testing.T) {
	c := NewCache(Config{Entries: cacheShards * 4})
	hot := c.Analyze("SELECT 'hot'", nil, 1)
	for i := range 5000 {
		c.Analyze("SELECT "+strconv.Itoa(i), nil, 1)
		if again := c.Analyze("SELECT 'hot'", nil, 1); &again[0] != &hot[0] {
			t.Fatal("what is used all the time was thrown out")
		}
	}
}

func TestCacheConcurrent(t *testing.T) {
	c := NewCache(Config{Entries: 32})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 500 {
				n := (i + g) % 50
				if st := c.Analyze("SELECT "+strconv.Itoa(n), nil, 1); st[0].SQL != "SELECT "+strconv.Itoa(n) {
					t.Errorf("%d answers %q", n, st[0].SQL)
				}
			}
		})
	}
	wg.Wait()
}

const benchSQL = `SELECT u.name, u.email, o.total FROM users u JOIN orders o ON u.id = o.user_id WHERE o.note = $1 ORDER BY o.total DESC LIMIT 10`

func BenchmarkCacheHit(b *testing.B) {
	c, s := NewCache(Config{}), people()
	c.Analyze(benchSQL, s, 1)
	b.ReportAllocs()
	for b.Loop() {
		c.Analyze(benchSQL, s, 1)
	}
}

// BenchmarkCacheShape is a text that was never seen, of a shape that was.
func BenchmarkCacheShape(b *testing.B) {
	c, s := NewCache(Config{}), people()
	texts := make([]string, 1024)
	for i := range texts {
		texts[i] = "SELECT email FROM users WHERE id = " + strconv.Itoa(i) + ";"
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.Analyze(texts[i%len(texts)], s, 1)
	}
}

func BenchmarkAnalyze(b *testing.B) {
	s := people()
	b.ReportAllocs()
	for b.Loop() {
		Analyze(benchSQL, s)
	}
}

func BenchmarkAnalyzeSelect1(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Analyze("SELECT 1", nil)
	}
}
