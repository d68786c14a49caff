package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehq/sluice/audit"
)

// gate gives a record as a gateway does, each time to one who asks.
type gate struct {
	dir   string
	cut   func(asked int) int64 // bytes after which a connection breaks; 0 for never
	still func() error

	mu    sync.Mutex
	asked []Request
}

func (g *gate) open(ctx context.Context, in Request) (io.ReadCloser, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, in)
	n := len(g.asked)
	r, w := io.Pipe()
	still := g.still
	if still == nil {
		still = func() error { return nil }
	}
	stop := context.AfterFunc(ctx, func() { _ = r.CloseWithError(ctx.Err()) })
	go func() {
		defer stop()
		err := Give(ctx, g.dir, in, w, func() error { return nil }, still)
		_ = w.CloseWithError(errors.Join(err, io.EOF))
	}()
	if g.cut != nil && g.cut(n) > 0 {
		return struct {
			io.Reader
			io.Closer
		}{io.LimitReader(r, g.cut(n)), r}, nil
	}
	return r, nil
}

func (b *book) streamed(g *gate, cfg Config) *Exporter {
	b.t.Helper()
	cfg.Open = g.open
	x := b.exporter(cfg)
	return x
}

// In every form a stream gives what the directory gives.
func TestAStreamIsTheRecord(t *testing.T) {
	b := newBook(t)
	old := time.Now().Add(-72 * time.Hour)
	for i := range 300 {
		b.add(audit.Event{Time: old.Add(time.Duration(i) * time.Minute), Kind: audit.Decided, Who: "ada", SQL: fmt.Sprint("select ", i), Effect: "allow", Statement: "select"})
	}
	b.many(1300)
	for _, form := range []string{"json", "ocsf", "cef"} {
		for name, ask := range map[string]Request{"all": {}, "since": {Since: old.Add(200 * time.Minute)}, "until": {Until: old.Add(100 * time.Minute)}, "between": {Since: old.Add(10 * time.Minute), Until: old.Add(20 * time.Minute)}} {
			var want, got bytes.Buffer
			if err := b.exporter(Config{To: "stdout", Out: &want, Format: form, Ask: ask}).CatchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			x := b.streamed(&gate{dir: b.dir}, Config{To: "stdout", Out: &got, Format: form, Ask: ask})
			if err := x.CatchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			if want.Len() == 0 || !bytes.Equal(want.Bytes(), got.Bytes()) {
				t.Errorf("%s, %s: %d bytes, not %d", form, name, got.Len(), want.Len())
			}
		}
	}
}

// A connection that breaks anywhere loses nothing, and what was taken does not come again;
// the cursor is good for the directory too.
func TestAStreamThatBreaksGoesOn(t *testing.T) {
	b := newBook(t)
	b.many(1500)
	at := filepath.Join(t.TempDir(), "cursor.json")
	var got bytes.Buffer
	g := &gate{dir: b.dir, cut: func(asked int) int64 { return int64(asked%9) * int64(7919*asked) }}
	failed := 0
	for range 200 {
		x := b.streamed(g, Config{To: "stdout", Out: &got, Cursor: at})
		err := x.CatchUp(t.Context())
		x.Close()
		if err == nil {
			break
		}
		failed++
	}
	b.many(100)
	if err := b.exporter(Config{To: "stdout", Out: &got, Cursor: at}).CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.streamed(&gate{dir: b.dir}, Config{To: "stdout", Out: &got, Cursor: at}).CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := covers(t, seqs(t, got.Bytes()), 1600); again != 0 || failed < 3 {
		t.Errorf("%d came twice, %d connections broke", again, failed)
	}
	if len(g.asked) > 1 && g.asked[len(g.asked)-1].From == 0 {
		t.Error("it began anew each time")
	}
}

// One that goes on gives what comes, is one question, and ends when it may not have it any
// more.
func TestAStreamGoesOnWhileItMay(t *testing.T) {
	b := newBook(t)
	b.many(10)
	var mu sync.Mutex
	may := error(nil)
	g := &gate{dir: b.dir, still: func() error { mu.Lock(); defer mu.Unlock(); return may }}
	out := &locked{}
	x := b.streamed(g, Config{To: "stdout", Out: out, Ask: Request{Follow: true}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		for {
			if err := x.CatchUp(ctx); err != nil {
				done <- err
				return
			}
		}
	}()
	for n := 10; n <= 40; n += 10 {
		wait(t, func() bool { return bytes.Count(out.bytes(), []byte("\n")) == n })
		if n < 40 {
			b.many(10)
		}
	}
	covers(t, seqs(t, out.bytes()), 40)
	if g.mu.Lock(); len(g.asked) != 1 {
		t.Errorf("it asked %d times", len(g.asked))
	}
	g.mu.Unlock()
	mu.Lock()
	may = errors.New("not yours any more")
	mu.Unlock()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "not yours any more") {
		t.Errorf("it ended with %v", err)
	}
}

// locked is a buffer for two goroutines.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }
func (l *locked) bytes() []byte               { l.mu.Lock(); defer l.mu.Unlock(); return bytes.Clone(l.b.Bytes()) }

// What a gateway that lies sends is not taken for the record.
func TestAStreamThatLies(t *testing.T) {
	b := newBook(t)
	b.many(3)
	var whole bytes.Buffer
	if err := Give(t.Context(), b.dir, Request{}, &whole, func() error { return nil }, nil); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(whole.String(), "\n") // mark, 0, 1, 2, mark
	key, err := audit.PublicKey(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"nothing": "", "no mark": lines[1] + lines[2], "another form": "<html>\n", "no end": lines[0] + lines[1],
		"an entry twice": lines[0] + lines[1] + lines[1] + lines[4], "the order changed": lines[0] + lines[2] + lines[1] + lines[4],
		"no number": lines[0] + `{"seq":x}` + "\n", "a line without an end": lines[0] + `{"seq":0,"id":"` + strings.Repeat("x", 1<<20),
		"no record": `{"next":0,"size":3}` + "\n" + lines[1], "less than was taken": `{"next":2,"size":1,"record":"` + key + `"}` + "\n" + `{"next":2,"size":1,"end":true}` + "\n",
		"an entry that is none": lines[0] + `{"seq":0,"id":` + "\n" + lines[4], "an error": lines[0] + `{"next":0,"size":3,"end":true,"error":"no disk"}` + "\n",
	} {
		var got bytes.Buffer
		x := b.exporter(Config{To: "stdout", Out: &got, Open: func(context.Context, Request) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(text)), nil
		}})
		if err := x.CatchUp(t.Context()); err == nil {
			t.Errorf("%s: taken as\n%s", name, got.String())
		}
	}
	other := newBook(t)
	other.many(5)
	at := filepath.Join(t.TempDir(), "cursor.json")
	if err := b.streamed(&gate{dir: b.dir}, Config{To: "stdout", Out: io.Discard, Cursor: at}).CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := other.streamed(&gate{dir: other.dir}, Config{To: "stdout", Out: io.Discard, Cursor: at}).CatchUp(t.Context()); err == nil || !strings.Contains(err.Error(), "another record") {
		t.Errorf("a cursor of another record: %v", err)
	}
}

// Whoever reads nothing costs what fits between them, and no more.
func TestAStreamNobodyReadsWaits(t *testing.T) {
	b := newBook(t)
	for range 60 {
		b.add(audit.Event{Kind: audit.Decided, SQL: strings.Repeat("x", 60<<10)})
	}
	r, w := io.Pipe()
	n := &counted{w: w}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Give(ctx, b.dir, Request{}, n, func() error { return nil }, nil) }()
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = r.Close()
	if err := <-done; err == nil {
		t.Error("it was given to nobody")
	}
	if n.most > 256<<10 || n.all > 1<<20 {
		t.Errorf("%d bytes at once, %d in all were on their way", n.most, n.all)
	}
}

type counted struct {
	w         io.Writer
	most, all int
}

func (c *counted) Write(p []byte) (int, error) {
	c.most, c.all = max(c.most, len(p)), c.all+len(p)
	return c.w.Write(p)
}
