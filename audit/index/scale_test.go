//go:build unix

package index

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/audit/town"
)

var (
	scaleEvents = flag.Int("events", 2*blockEntries, "how many entries TestScale asks")
	scaleRounds = flag.Int("rounds", 3, "how often it asks each question")
	scaleDir    = flag.String("scale-dir", "", "where it makes its record, or finds the one that it made; default a temporary directory")
)

// TestScale builds a record of -events entries and its index, asks what auditors ask,
// and prints how long it took. `make audit-scale` runs it over ten million; as a plain
// test it shows over a few that each question is answered, and how much disk is used.
func TestScale(t *testing.T) {
	dir := *scaleDir
	if dir == "" {
		dir = t.TempDir()
	}
	record := filepath.Join(dir, "record")
	if _, err := os.Stat(record + ".key"); err != nil {
		from := time.Now()
		town.Build(t, dir, *scaleEvents)
		fmt.Fprintf(os.Stderr, "record: %d entries in %v\n", *scaleEvents, time.Since(from).Round(time.Millisecond))
	}
	x := open(t, Config{Record: record})
	from, before := time.Now(), cpuTime(t)
	if err := x.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	took, used, log := time.Since(from), cpuTime(t)-before, sizeOf(t, record)
	w := town.New(*scaleEvents)
	w.At = w.At.Add(w.Step * time.Duration(*scaleEvents))
	out := &strings.Builder{}
	fmt.Fprintf(out, "%d entries, %d processors; record %.0f bytes an entry, index %.0f (%.0f %%); indexed in %v (%.0f µs of CPU an entry)\n\n", *scaleEvents, runtime.NumCPU(),
		float64(log)/float64(*scaleEvents), float64(x.Size())/float64(*scaleEvents), 100*float64(x.Size())/float64(log), took.Round(time.Millisecond), float64(used.Microseconds())/float64(*scaleEvents))
	fmt.Fprintf(out, "| question | found | p50 ms | p95 ms | CPU ms |\n|---|--:|--:|--:|--:|\n")
	var all []time.Duration
	for _, q := range scaleQuestions(w) {
		var times []time.Duration
		found, cpu := 0, cpuTime(t)
		for range *scaleRounds {
			from := time.Now()
			a, err := q.ask(t.Context(), x)
			if err != nil || a.Scanned != "" {
				t.Fatalf("%s: %v, the record was read: %q", q.name, err, a.Scanned)
			}
			times = append(times, time.Since(from))
			found = len(a.Events) + len(a.Groups)
		}
		if found == 0 && !strings.Contains(q.name, "nobody") && !(q.rare && *scaleEvents < 1_000_000) {
			t.Errorf("%s: nothing found", q.name)
		}
		slices.Sort(times)
		all = append(all, times...)
		fmt.Fprintf(out, "| %s | %d | %.1f | %.1f | %.1f |\n", q.name, found, ms(times[len(times)/2]), ms(times[len(times)*95/100]), ms((cpuTime(t)-cpu)/time.Duration(*scaleRounds)))
	}
	slices.Sort(all)
	fmt.Fprintf(out, "| **all** | | %.1f | %.1f | |\n", ms(all[len(all)/2]), ms(all[len(all)*95/100]))
	t.Log(out.String())
	if x.Size() > 2*log && *scaleEvents > 100_000 {
		t.Errorf("the index takes %d bytes, the record %d", x.Size(), log)
	}
}

// cpuTime is what this process has used of the processors: on a machine that others
// use too it says more than the clock.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func sizeOf(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		n += info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

type scaleQuestion struct {
	name string
	rare bool // a small record may have none
	ask  func(context.Context, *Index) (Answer, error)
}

func isRare(name string) bool {
	for _, word := range []string{"rare", "quiet", "more than", "one shape", "error"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// scaleQuestions are what auditors ask, the busiest and the rarest of each kind.
func scaleQuestions(w *town.Town) (list []scaleQuestion) {
	add := func(name string, f audit.Filter) {
		list = append(list, scaleQuestion{name, isRare(name), func(ctx context.Context, x *Index) (Answer, error) { return x.List(ctx, f) }})
	}
	count := func(name string, f audit.Filter, order string, by ...string) {
		list = append(list, scaleQuestion{name, isRare(name), func(ctx context.Context, x *Index) (Answer, error) {
			return x.Count(ctx, f, Count{By: by, Order: order})
		}})
	}
	month := w.At.Add(-30 * 24 * time.Hour)
	busy, rare := w.Tables[0], w.Tables[len(w.Tables)/3]
	col := strings.SplitN(busy, ".", 2)[1] + ".ssn"
	text := w.Texts[len(w.Texts)/8]
	add("newest entries", audit.Filter{})
	add("newest of a busy person", audit.Filter{Who: w.People[0].Who})
	add("newest of a quiet person", audit.Filter{Who: w.People[len(w.People)/2].Who})
	add("newest of a group", audit.Filter{Group: "team-7"})
	add("nobody by that name", audit.Filter{Who: "nobody"})
	add("writes of one person", audit.Filter{Who: w.People[1].Who, Statement: "update"})
	add("who read a column of personal data", audit.Filter{Column: col})
	add("the same, more than 500 rows", audit.Filter{Column: col, RowsOver: 500})
	add("busiest table, more than 150,000 rows", audit.Filter{Table: busy, RowsOver: 150_000})
	add("refused", audit.Filter{Effect: "deny"})
	add("held, approved by one person", audit.Filter{Approver: w.People[1].Who})
	add("a rule", audit.Filter{Rule: "ddl-in-production", Since: month})
	add("errors on a connection", audit.Filter{Outcome: "error", Connection: "db5"})
	add("masked, of one person", audit.Filter{Masked: true, Who: w.People[3].Who})
	add("one shape of statement", audit.Filter{Fingerprint: text.Fingerprint})
	add("text of a statement", audit.Filter{Text: "note_1"})
	add("a value that somebody looked for, rare", audit.Filter{Text: fmt.Sprintf("o''brien %d", 4321%5000)})
	add("a word that is everywhere", audit.Filter{Text: "open", Limit: 100})
	add("text of an error", audit.Filter{Text: "gone_77"})
	count("who used the busiest table, 30 days", audit.Filter{Table: busy, Since: month}, "", "who")
	count("who used a rare table, all time", audit.Filter{Table: rare}, "", "who")
	count("who read a column, all time", audit.Filter{Column: col}, "", "who")
	count("top people by rows read, 30 days", audit.Filter{Since: month}, "rows", "who")
	count("top people by rows read, all time", audit.Filter{}, "rows", "who")
	count("top tables, all time", audit.Filter{}, "", "table")
	count("columns one group used", audit.Filter{Group: "team-3"}, "", "column")
	count("effects by day, all time", audit.Filter{}, "name", "day", "effect")
	count("rules that refused, by person", audit.Filter{Effect: "deny"}, "", "rule", "who")
	count("who approved", audit.Filter{Effect: "hold"}, "", "approver")
	count("people by table, all time", audit.Filter{}, "", "who", "table")
	count("masked values by person, all time", audit.Filter{Masked: true}, "masked", "who")
	count("statements with a text, by person", audit.Filter{Text: "note_2"}, "", "who")
	return list
}
