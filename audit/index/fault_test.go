package index

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/audit/town"
)

// killedDir tells the test binary that it is the one to be killed.
const killedDir = "SLUICE_INDEX_TEST_KILLED_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killedDir); dir != "" {
		fmt.Println(New(Config{Record: dir, batch: 256}).CatchUp(context.Background()))
		return
	}
	os.Exit(m.Run())
}

// same fails the test unless the index answers as the record does.
func same(t *testing.T, x *Index, record string) {
	t.Helper()
	for _, f := range []audit.Filter{{Limit: 300}, {Text: "note_1", Limit: 50}, {RowsOver: 100, Limit: 50}, {Effect: "hold", Limit: 50}} {
		got, err := x.List(t.Context(), f)
		if err != nil || got.Scanned != "" {
			t.Fatalf("%+v: %v %s", f, err, got.Scanned)
		}
		f.Whole = true
		want, err := audit.Query(t.Context(), record, f)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want.Events, got.Events); d != "" {
			t.Fatalf("%+v (-record +index):\n%s", f, d)
		}
	}
	got, err := x.Count(t.Context(), audit.Filter{}, Count{By: []string{"who"}})
	if err != nil {
		t.Fatal(err)
	}
	want, err := CountRecord(t.Context(), record, audit.Filter{}, Count{By: []string{"who"}})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("counts (-record +index):\n%s", d)
	}
}

// A process that is killed while it writes the index leaves one that goes on, and
// answers as the record does.
func TestIndexKilledMidWrite(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	record := town.Build(t, t.TempDir(), blockEntries+1500)
	killed := 0
	for _, size := range []int64{1, 200_000, 600_000} { // bytes that it has written when it dies
		if killAt(t, exe, record, size) {
			killed++
		}
	}
	if killed < 2 {
		t.Errorf("%d processes were killed while they wrote", killed)
	}
	x := open(t, Config{Record: record})
	same(t, x, record)
	if why := x.Rebuilt(); why != "" {
		t.Errorf("it was made anew: %s", why)
	}
}

// killAt kills a process that builds the index once it has written so much, and says
// whether it did not end by itself before.
func killAt(t *testing.T, exe, record string, size int64) (killed bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), killedDir+"="+record)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1) // one result
	go func() { ended <- cmd.Wait() }()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-ended:
			return false
		case <-poll.C:
		}
		if info, err := os.Stat(record + ".index-wal"); err == nil && info.Size() >= size {
			err := cmd.Process.Kill()
			<-ended
			return err == nil
		}
	}
}

// A disk without room stops the index, not its answers: these come from the record. When
// there is room again, it goes on.
func TestDiskFullUnderTheIndex(t *testing.T) {
	record := town.Build(t, t.TempDir(), 3000)
	x := New(Config{Record: record, maxPages: 60})
	err := x.CatchUp(t.Context())
	if err == nil || !strings.Contains(err.Error(), "full") {
		t.Fatalf("CatchUp: %v", err)
	}
	a, err := x.List(t.Context(), audit.Filter{Limit: 10})
	if err != nil || len(a.Events) != 10 || !strings.Contains(a.Scanned, "full") {
		t.Fatalf("%d events, %q, %v", len(a.Events), a.Scanned, err)
	}
	a, err = x.Count(t.Context(), audit.Filter{}, Count{By: []string{"kind"}})
	if err != nil || len(a.Groups) == 0 || a.Scanned == "" {
		t.Fatalf("%d groups, %q, %v", len(a.Groups), a.Scanned, err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	same(t, open(t, Config{Record: record}), record)
}

// An index that is damaged is made anew, and says so.
func TestADamagedIndexIsMadeAnew(t *testing.T) {
	record := town.Build(t, t.TempDir(), blockEntries+50)
	for _, c := range []struct {
		name string
		harm func([]byte) []byte
	}{
		{"no database", func([]byte) []byte { return []byte("this is no database, whatever its name says") }},
		{"head overwritten", func(b []byte) []byte { return append(make([]byte, 100), b[100:]...) }},
		{"cut in the middle", func(b []byte) []byte { return b[:len(b)/2/4096*4096] }},
		{"noise", func(b []byte) []byte {
			for i := 4096 * 3; i < len(b); i++ {
				b[i] ^= byte(i*31) | 1
			}
			return b
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := New(Config{Record: record})
			if err := errors.Join(x.CatchUp(t.Context()), x.Close()); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(record + ".index")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(record+".index", c.harm(b), 0o600); err != nil {
				t.Fatal(err)
			}
			x = open(t, Config{Record: record})
			a, err := x.Count(t.Context(), audit.Filter{}, Count{By: []string{"table"}})
			if err != nil || len(a.Groups) == 0 {
				t.Fatalf("%+v, %v", a, err)
			}
			same(t, x, record)
			if x.Rebuilt() == "" {
				t.Error("nothing was said")
			}
		})
	}
}

// Put another record in its place, and the index does not answer for the first.
func TestAnIndexOfAnotherRecordIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	record := town.Build(t, dir, 2000)
	x := New(Config{Record: record})
	if err := errors.Join(x.CatchUp(t.Context()), x.Close()); err != nil {
		t.Fatal(err)
	}
	other := town.Build(t, filepath.Join(dir, "other"), 1500)
	if err := errors.Join(os.RemoveAll(record), os.Rename(other, record)); err != nil {
		t.Fatal(err)
	}
	x = open(t, Config{Record: record})
	same(t, x, record)
	if why := x.Rebuilt(); !strings.Contains(why, "another record") {
		t.Errorf("made anew because %q", why)
	}
}

// Put an older state back, and the index does not answer for what is gone.
func TestARecordPutBackMakesTheIndexAnew(t *testing.T) {
	record := town.Build(t, t.TempDir(), 2000)
	x := New(Config{Record: record})
	if err := errors.Join(x.CatchUp(t.Context()), x.Close()); err != nil {
		t.Fatal(err)
	}
	segment := filepath.Join(record, "entries", "00000000000000000000.jsonl")
	b, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	cut := strings.Index(string(b), `{"seq":1500,`)
	if err := os.WriteFile(segment, b[:cut], 0o600); err != nil {
		t.Fatal(err)
	}
	x = open(t, Config{Record: record})
	same(t, x, record)
	if why := x.Rebuilt(); !strings.Contains(why, "older state") {
		t.Errorf("made anew because %q", why)
	}
}

// Where nothing can be written, the record answers.
func TestAnIndexThatCannotBeMade(t *testing.T) {
	record := town.Build(t, t.TempDir(), 500)
	x := open(t, Config{Record: record, Path: filepath.Join(record, "log.vkey", "index")})
	a, err := x.List(t.Context(), audit.Filter{Limit: 5})
	if err != nil || len(a.Events) != 5 || a.Scanned == "" {
		t.Fatalf("%+v, %v", a, err)
	}
}

// The index holds statements, as the record does, and is as private.
func TestTheIndexIsPrivate(t *testing.T) {
	record := town.Build(t, t.TempDir(), 500)
	x := open(t, Config{Record: record})
	if err := x.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(record + ".index" + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("index%s has mode %v", suffix, info.Mode())
		}
	}
}

// SQL can read the index, and nothing else.
func TestSQLOnlySelects(t *testing.T) {
	record := town.Build(t, t.TempDir(), 1000)
	x := open(t, Config{Record: record})
	got, err := x.SQL(t.Context(), "select kind, count(*) as n from events group by 1 order by 2 desc", 0)
	if err != nil || len(got.Rows) < 3 || got.Rows[0][0] != "decided" || len(got.Columns) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	if got, err = x.SQL(t.Context(), "select count(*) from word where word match 'open'", 0); err != nil || got.Rows[0][0] == int64(0) {
		t.Errorf("text: %+v, %v", got, err)
	}
	if got, err = x.SQL(t.Context(), "select seq from events", 10); err != nil || len(got.Rows) != 10 || !got.More {
		t.Errorf("limit: %d rows, %v", len(got.Rows), err)
	}
	loot := filepath.Join(t.TempDir(), "loot")
	for _, text := range []string{
		"delete from event", "update about set value='9'", "insert into name values (99,'x')", "drop table event", "create table t (x)", "create temp table t (x)",
		"attach '" + loot + "' as l", "vacuum into '" + loot + "'", "pragma query_only=0", "pragma journal_mode=delete", "pragma writable_schema=1",
		"select 1; delete from event", "begin", "savepoint x", "reindex", "analyze", "select load_extension('x')", "detach main",
		"insert into word (word) values ('optimize')", "select * from pragma_table_info('event')", "explain delete from event",
	} {
		if _, err := x.SQL(t.Context(), text, 0); err == nil {
			t.Errorf("%s: it ran", text)
		}
	}
	if _, err := os.Stat(loot); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file was made: %v", err)
	}
	if _, err := x.SQL(t.Context(), "select hex(zeroblob(100000000))", 0); err == nil {
		t.Error("a value of 200 MB was made")
	}
	same(t, x, record)
}

// A question that never ends, ends.
func TestSQLEndsWithItsContext(t *testing.T) {
	record := town.Build(t, t.TempDir(), 200)
	x := open(t, Config{Record: record})
	if err := x.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := x.SQL(ctx, "with recursive r(i) as (select 1 union all select i+1 from r) select count(*) from r", 0)
	if err == nil {
		t.Error("it came to an end")
	}
}
