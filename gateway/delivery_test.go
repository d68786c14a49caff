package gateway_test

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/approval"
	"github.com/sluicehq/sluice/client"
)

// heldAtOnce is how many statements wait at once; docs/approvals.md has the figures of
// 1,000, which is the most that a gateway holds.
var heldAtOnce = flag.Int("held", 100, "statements that wait at once in TestManyStatementsWaitAtOnce")

var differing = flag.Bool("shapes", false, "in TestManyStatementsWaitAtOnce each statement has a shape of its own")

const (
	// mostPerHold bounds heap and stacks of a statement that waits, beside its session:
	// the ask with its evidence, four goroutines, and what two people who follow know
	// of it. All ends are in this process. It is 55 to 62 KiB, and 71 to 80 with the race
	// detector, whose stacks are larger.
	mostPerHold = 112 << 10
	// goroutinesPerHold are the two that see the client go, the one that tells it that it
	// waits, and that of the test.
	goroutinesPerHold = 4
	// linesPerAsk is how often a follower is told of an ask: that it is there, what was
	// found out, each of which may be split by a look in between, and that it is over.
	linesPerAsk = 4
)

// waiting is a gateway with sessions for n statements that will be held.
func waiting(t *testing.T, n int) (*tunnelled, []*pgx.Conn) {
	t.Helper()
	const setup = "create table counted (i int primary key, n int); insert into counted select i, 0 from generate_series(1, 10000) i; analyze"
	tu := crowded(t, n, "prod", setup, heldBy(t, "{groups: [dba]}"))
	dsns := make([]string, (n+approval.MaxOpenEach-1)/approval.MaxOpenEach)
	for i := range dsns {
		dsns[i] = tu.local(t, fmt.Sprint("ada", i))
	}
	conns := make([]*pgx.Conn, n)
	inParallel(t, conns, func(ctx context.Context, i int, _ *pgx.Conn) (err error) {
		if conns[i], err = pgx.Connect(ctx, dsns[i%len(dsns)]); err == nil {
			_, err = conns[i].Exec(ctx, "select 1")
		}
		return err
	})
	return tu, conns
}

// inTime is eventually for something that is done for each of n, one after the other.
func inTime(t *testing.T, n int, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience + time.Duration(n)*200*time.Millisecond)
	for !cond() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("still not: %s", what)
		}
	}
}

// spread sums durations up.
func spread(list []time.Duration) string {
	slices.Sort(list)
	at := func(p float64) time.Duration { return list[int(p*float64(len(list)-1))].Round(100 * time.Microsecond) }
	return fmt.Sprintf("p50 %s, p99 %s, most %s", at(0.5), at(0.99), at(1))
}

// As many statements as a gateway holds wait at once, each followed by two people, in
// memory that does not grow by more than a bound for each; nobody is told more often
// than something happens; each is released by its own approval, runs once, and nothing
// is left.
func TestManyStatementsWaitAtOnce(t *testing.T) {
	n := *heldAtOnce
	tu, conns := waiting(t, n)
	bob := tu.login(person("bob", "dba"))
	seen := []*follower{follow(t, bob), follow(t, tu.login(person("cy", "dba")))}
	before, tasks := taken(), runtime.NumGoroutine()
	var mu sync.Mutex
	sent, done := make([]time.Time, n), make([]time.Time, n)
	results := make(chan error, n)
	for i, conn := range conns {
		go func() {
			mu.Lock()
			sent[i] = time.Now()
			mu.Unlock()
			sql := "update counted set n = n + 1 where i = $1"
			if *differing {
				sql += fmt.Sprint(" returning i as shape", i)
			}
			_, err := conn.Exec(context.Background(), sql, i+1)
			mu.Lock()
			done[i] = time.Now()
			mu.Unlock()
			results <- err
		}()
	}
	listed := lookAtLast(t, bob, seen[0], n)
	for _, f := range seen {
		inTime(t, n, "all wait, and were looked into", f.has(func(f *follower) bool {
			for _, a := range f.asks {
				if !a.Evidence.Done {
					return false
				}
			}
			return len(f.asks) == n
		}))
	}
	all := time.Since(sent[0])
	each := int(taken()-min(before, taken())) / n
	if each > mostPerHold {
		t.Errorf("%d KiB a hold, the bound is %d", each>>10, mostPerHold>>10)
	}
	if ran := runtime.NumGoroutine(); ran > tasks+n*goroutinesPerHold+20 {
		t.Errorf("%d goroutines for %d holds, there were %d before", ran, n, tasks)
	}
	var appeared []time.Duration
	at := map[string]int{} // ask by id to session
	seen[0].has(func(f *follower) bool {
		for id, a := range f.asks {
			i, err := strconv.Atoi(a.Params[0])
			if err != nil {
				t.Fatal(err)
			}
			at[id] = i - 1
			appeared = append(appeared, f.arrived[id].Sub(sent[i-1]))
		}
		return true
	})()
	var released []time.Duration
	for id, i := range at {
		began := time.Now()
		if _, code := call[api.Ask](t, bob, "POST", strings.ReplaceAll(api.AskPath, "{id}", id), tu.yes(id)); code != 0 {
			t.Fatalf("the vote on %s was refused: %d", id, code)
		}
		if err := await(t, results); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		released = append(released, done[i].Sub(began))
		mu.Unlock()
	}
	for _, f := range seen {
		eventually(t, "all are over", f.has(func(f *follower) bool { return len(f.asks) == 0 }))
		f.has(func(f *follower) bool {
			if f.told > n*linesPerAsk {
				t.Errorf("a follower was told of asks %d times, of %d asks", f.told, n)
			}
			return true
		})()
	}
	if once := count(t, tu.through, "select count(*) from counted where n = 1"); once != n || count(t, tu.through, "select max(n) from counted") != 1 {
		t.Errorf("%d of %d ran once", once, n)
	}
	t.Logf("%s", listed)
	t.Logf("%d at once: %d KiB for each; all looked into after %s; to appear %s; from the vote to the end of the statement %s", n, each>>10, all.Round(time.Millisecond), spread(appeared), spread(released))
	inParallel(t, conns, func(ctx context.Context, _ int, conn *pgx.Conn) error { return conn.Close(ctx) })
}

// lookAtLast has an approver look at the newest of n asks while others wait to be looked
// into, and says how long that took.
func lookAtLast(t *testing.T, bob *client.Gateway, f *follower, n int) string {
	t.Helper()
	var last api.Ask
	left := 0
	inTime(t, n, "all are listed", f.has(func(f *follower) bool {
		last, left = api.Ask{}, 0
		for _, a := range f.asks {
			if a.Evidence.Done {
				continue
			}
			if left++; a.Created.After(last.Created) {
				last = a
			}
		}
		return len(f.asks) == n
	}))
	if last.ID == "" {
		return "all were looked into before one could be looked at"
	}
	began := time.Now()
	got, code := call[api.Ask](t, bob, "GET", strings.ReplaceAll(api.AskPath, "{id}", last.ID), nil)
	took := time.Since(began)
	if code != 0 || got.ID != last.ID || !got.Evidence.Done {
		t.Errorf("a look at %s gives %+v, %d", last.ID, got.Evidence, code)
	}
	return fmt.Sprintf("the newest, looked at while %d were to be looked into, after %s", left, took.Round(100*time.Microsecond))
}

// What a statement that waits takes does not grow: not with how many wait, nor with how
// many came and went meanwhile.
func TestMemoryOfAHoldIsFlat(t *testing.T) {
	const few, more, gone = 40, 120, 200
	const mostPerGone = 8 << 10 // how it ended, for those who saw it wait; the record's and its index's own
	tu, conns := waiting(t, few+more+1)
	f := follow(t, tu.login(person("bob", "dba")))
	sent := 0
	send := func(n int) {
		for range n {
			sent++
			go func(conn *pgx.Conn, i int) {
				_, _ = conn.Exec(context.Background(), "update counted set n = n + 1 where i = $1", i)
			}(conns[sent-1], sent)
		}
		inTime(t, n, "all wait, and were looked into", f.has(func(f *follower) bool {
			for _, a := range f.asks {
				if !a.Evidence.Done {
					return false
				}
			}
			return len(f.asks) == sent
		}))
	}
	before := taken()
	send(few)
	some := taken()
	send(more)
	many := taken()
	first, each := int(some-min(some, before))/few, int(many-min(many, some))/more
	if each > mostPerHold || each > first+first/2 {
		t.Errorf("%d KiB for each of the first %d, %d KiB for each of %d more", first>>10, few, each>>10, more)
	}
	last := conns[few+more]
	for i := range gone {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			_, err := last.Exec(ctx, fmt.Sprintf("update counted set n = n + 1 where i = %d", i))
			done <- err
		}()
		var id string
		inTime(t, 1, "it waits", f.has(func(f *follower) bool {
			for _, a := range f.asks {
				if a.Params == nil {
					id = a.ID
				}
			}
			return id != ""
		}))
		tu.deny(t, id)
		wantCode(t, <-done, "42501")
		cancel()
		inTime(t, 1, "it is over", f.has(func(f *follower) bool { _, waits := f.asks[id]; return !waits }))
	}
	if after := taken(); int(after)-int(many) > gone*mostPerGone {
		t.Errorf("%d that came and went left %d KiB", gone, (after-many)>>10)
	} else {
		t.Logf("%d KiB for each of %d, %d KiB for each of %d more; %d that came and went left %d bytes each", first>>10, few, each>>10, more, gone, (int(after)-int(many))/gone)
	}
	for _, a := range tu.Asks(auditor) {
		tu.deny(t, a.ID)
	}
}

// One at a time, as in a day's work: figures for docs/approvals.md, and that nothing is
// waited for that nobody does.
func TestDeliveryOneAtATime(t *testing.T) {
	tu, conns := waiting(t, 1)
	bob := tu.login(person("bob", "dba"))
	f := follow(t, bob)
	var appeared, looked, released []time.Duration
	for i := range 50 {
		began := time.Now()
		done := background(conns[0], fmt.Sprintf("update counted set n = n + 1 where i = %d", i+1))
		var ask api.Ask
		eventually(t, "it appears", f.has(func(f *follower) bool {
			for _, a := range f.asks {
				ask = a
			}
			return ask.ID != ""
		}))
		f.has(func(f *follower) bool { appeared = append(appeared, f.arrived[ask.ID].Sub(began)); return true })()
		eventually(t, "it was looked into", f.has(func(f *follower) bool { return f.asks[ask.ID].Evidence.Done }))
		looked = append(looked, time.Since(began))
		began = time.Now()
		if _, code := call[api.Ask](t, bob, "POST", strings.ReplaceAll(api.AskPath, "{id}", ask.ID), api.AskDecision{Grant: true, Seal: ask.Seal}); code != 0 {
			t.Fatalf("the vote was refused: %d", code)
		}
		if err := await(t, done); err != nil {
			t.Fatal(err)
		}
		released = append(released, time.Since(began))
		eventually(t, "it is over", f.has(func(f *follower) bool { return len(f.asks) == 0 }))
	}
	t.Logf("to appear %s; with all that is known %s; from the vote to the end of the statement %s", spread(appeared), spread(looked), spread(released))
}
