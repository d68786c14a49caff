package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/policy"
)

// follower keeps what a live stream told.
type follower struct {
	mu       sync.Mutex
	asks     map[string]api.Ask
	sessions map[string]api.Session
	requests map[string]api.Request
	ended    []api.Ended
	arrived  map[string]time.Time // of asks
	gone     map[string]time.Time
	told     int // of asks, however often
}

// follow reads gw's live stream until the test ends.
func follow(t *testing.T, gw *client.Gateway) *follower {
	t.Helper()
	f := &follower{asks: map[string]api.Ask{}, sessions: map[string]api.Session{}, requests: map[string]api.Request{}, arrived: map[string]time.Time{}, gone: map[string]time.Time{}}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	whole := make(chan struct{}, 1)
	go func() {
		defer close(done)
		_ = gw.Watch(ctx, api.LivePath, func(line []byte) error { // it ends with the test
			var l api.Live
			if err := json.Unmarshal(line, &l); err != nil {
				return err
			}
			f.take(l, time.Now())
			if l.Whole {
				select {
				case whole <- struct{}{}:
				default:
				}
			}
			return nil
		})
	}()
	t.Cleanup(func() { stop(); <-done })
	<-whole
	return f
}

func (f *follower) take(l api.Live, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range l.Ended {
		delete(f.asks, e.ID)
		f.gone[e.ID] = now
	}
	f.ended = append(f.ended, l.Ended...)
	f.told += len(l.Asks) + len(l.Ended)
	for _, a := range l.Asks {
		if _, known := f.arrived[a.ID]; !known {
			f.arrived[a.ID] = now
		}
		f.asks[a.ID] = a
	}
	for _, r := range l.Requests {
		f.requests[r.ID] = r
	}
	for _, s := range l.Sessions {
		f.sessions[s.ID] = s
	}
	for _, id := range l.Closed {
		delete(f.sessions, id)
	}
}

func (f *follower) has(cond func(*follower) bool) func() bool {
	return func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return cond(f)
	}
}

// What waits, who is connected and what was asked for ahead of time come by themselves,
// each to those who may see it, and how an ask ended.
func TestLiveTellsOfChanges(t *testing.T) {
	tu := serve(t, "prod", shop)
	ada, otto := tu.login(person("ada", "dba")), tu.login(person("otto", "support"))
	bob, root := tu.login(person("bob", "dba")), tu.login(person("root", "admin"))
	seen := map[string]*follower{}
	for name, gw := range map[string]*client.Gateway{"ada": ada, "otto": otto, "bob": bob, "root": root} {
		seen[name] = follow(t, gw)
	}
	notices := make(chan string, 20)
	conn := tu.session(ada, notices)
	if _, err := conn.Exec(t.Context(), "select name from cities where id = 4711"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ada", "root"} {
		eventually(t, name+" sees the statement of the session", seen[name].has(func(f *follower) bool {
			for _, s := range f.sessions {
				if strings.Contains(s.SQL, "4711") && !s.Begun.IsZero() {
					return true
				}
			}
			return false
		}))
	}
	for i, decision := range []bool{true, false} {
		done := make(chan error, 1)
		go func() {
			_, err := run(conn, fmt.Sprintf("alter table cities add column c%d int", i))
			done <- err
		}()
		var ask api.Ask
		eventually(t, "bob and ada see the ask, with its evidence", func() bool {
			return seen["ada"].has(func(f *follower) bool { return len(f.asks) == 1 })() && seen["bob"].has(func(f *follower) bool {
				for _, a := range f.asks {
					ask = a
				}
				return ask.MayAnswer && ask.Evidence != nil && ask.Evidence.Done
			})()
		})
		if _, err := tu.Answer(person("bob", "dba"), ask.ID, api.AskDecision{Grant: decision, Seal: ask.Seal, Reason: "because"}); err != nil {
			t.Fatal(err)
		}
		<-done
		want := map[bool]string{true: api.AskApproved, false: api.AskDenied}[decision]
		eventually(t, "bob sees how it ended", seen["bob"].has(func(f *follower) bool {
			return len(f.ended) == i+1 && f.ended[i].ID == ask.ID && f.ended[i].State == want && strings.Contains(f.ended[i].Why, "bob")
		}))
		ask = api.Ask{}
	}
	conn.Close(context.Background())
	eventually(t, "the session is gone", seen["root"].has(func(f *follower) bool { return len(f.sessions) == 0 }))
	for _, name := range []string{"otto", "bob"} {
		seen[name].has(func(f *follower) bool {
			if len(f.sessions) > 0 || name == "otto" && len(f.arrived) > 0 {
				t.Errorf("%s saw %v %v", name, f.sessions, f.arrived)
			}
			return true
		})()
	}
}

// stream reads what happens in a session.
func stream(t *testing.T, gw *client.Gateway, session string) (<-chan api.SessionEvent, <-chan error) {
	t.Helper()
	events, ended := make(chan api.SessionEvent, 1000), make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		err := gw.Watch(ctx, strings.ReplaceAll(api.StreamPath, "{id}", session), func(line []byte) error {
			var ev api.SessionEvent
			if err := json.Unmarshal(line, &ev); err != nil {
				return err
			}
			events <- ev
			return nil
		})
		close(events)
		ended <- err
	}()
	t.Cleanup(stop)
	return events, ended
}

// until reads events up to one of a kind.
func until(t *testing.T, events <-chan api.SessionEvent, kind string) api.SessionEvent {
	t.Helper()
	for {
		select {
		case ev, ok := <-events:
			if !ok {
				t.Fatalf("the stream ended before %q", kind)
			}
			if ev.Kind == kind {
				return ev
			}
		case <-time.After(patience):
			t.Fatalf("no event %q", kind)
		}
	}
}

// Attack: look over somebody's shoulder to read what the masks hide, or without anybody
// knowing.
func TestWatchingASessionShowsNoPersonalDataAndIsRecorded(t *testing.T) {
	rules, err := policy.Load("p.yaml", []byte("rules:\n  - {name: sees, when: '\"support\" in who.groups', unmask: [all]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	tu := serveOn(t, func(change func(*gateway.Config)) *through { return start(t, "dev", village, rules, change) })
	ada := tu.login(person("ada", "support"))
	root, eve, aud := tu.login(person("root", "admin")), tu.login(person("eve")), tu.login(person("aud", "audit", "admin"))
	conn := tu.session(ada, make(chan string, 20))
	if _, err := conn.Exec(t.Context(), "select 1"); err != nil {
		t.Fatal(err)
	}
	id := tu.Sessions(person("root", "admin"))[0].ID
	if _, ended := stream(t, eve, id); <-ended == nil {
		t.Error("a stranger may watch")
	}
	if _, ended := stream(t, root, "s-nothing"); <-ended == nil {
		t.Error("a session that is not there can be watched")
	}
	byRoot, _ := stream(t, root, id)
	byAda, _ := stream(t, ada, id)
	byAud, _ := stream(t, aud, id)
	for _, ch := range []<-chan api.SessionEvent{byRoot, byAda, byAud} {
		until(t, ch, "watching")
	}
	var email string
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheDescribe} {
		if err := conn.QueryRow(t.Context(), "select email, id, email as again from people where email = 'p3@example.com'", mode).Scan(&email, nil, nil); err != nil || email != "p3@example.com" {
			t.Fatalf("the caller sees %q: %v", email, err)
		}
		for name, ch := range map[string]<-chan api.SessionEvent{"root": byRoot, "ada": byAda, "aud": byAud} {
			if sql := until(t, ch, "decided").SQL; !strings.Contains(sql, "p3@example.com") {
				t.Errorf("%s sees %q", name, sql)
			}
			end := until(t, ch, "finished")
			if end.Rows != 1 || end.Outcome != "ok" || mode == pgx.QueryExecModeSimpleProtocol && (end.Sample == nil || len(end.Sample.Rows) != 1) {
				t.Errorf("%s, %s: %+v", mode, name, end)
			}
			if text, _ := json.Marshal(end.Sample); strings.Contains(string(text), "p3@example.com") || mode == pgx.QueryExecModeSimpleProtocol && !strings.Contains(string(text), "masked.invalid") {
				t.Errorf("%s sees %s", name, text)
			}
		}
	}
	// Rows that pass unseen otherwise are seen, and come out the same.
	var n int
	if err := conn.QueryRow(t.Context(), "select count(*) from visits", pgx.QueryExecModeSimpleProtocol).Scan(&n); err != nil || n != 100 {
		t.Errorf("%d, %v", n, err)
	}
	if end := until(t, byRoot, "finished"); end.Sample == nil || len(end.Sample.Rows) != 1 || *end.Sample.Rows[0][0] != "100" {
		t.Errorf("%+v", end.Sample)
	}
	direct := connect(t, tu.direct)
	for _, sql := range []string{"copy (select * from visits order by id) to stdout", "copy people to stdout (format csv)", "copy (select id from people) to stdout (format binary)", "copy (select) to stdout"} {
		var got, want bytes.Buffer
		if _, err := conn.PgConn().CopyTo(t.Context(), &got, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
		if _, err := direct.PgConn().CopyTo(t.Context(), &want, sql); err != nil || got.String() != want.String() {
			t.Errorf("%s brings %d bytes, want %d: %v", sql, got.Len(), want.Len(), err)
		}
	}
	for _, sql := range []string{"select 1; select 2, null; select", "begin; declare c cursor for select * from visits; fetch 3 from c; commit", "explain (costs off) select 1", "show application_name", "values ('a'::text, 1.5, now() is null, array[1, 2])"} {
		got, gotErr := run(conn, sql)
		want, wantErr := run(direct, sql)
		if sql == "show application_name" {
			want = got
		}
		if got != want || (gotErr == nil) != (wantErr == nil) {
			t.Errorf("%s brings\n%s, want\n%s: %v %v", sql, got, want, gotErr, wantErr)
		}
	}
	if _, err := conn.Exec(t.Context(), "select 'seven'::int", pgx.QueryExecModeSimpleProtocol); err == nil {
		t.Fatal("it did not fail")
	}
	end := until(t, byRoot, "finished")
	for end.Outcome == "ok" {
		end = until(t, byRoot, "finished")
	}
	if end.Code != "22P02" || end.Outcome != "error" {
		t.Errorf("an administrator sees %+v", end)
	}
	conn.Close(context.Background())
	until(t, byRoot, "closed")
	watches := 0
	for _, ev := range tu.events(audit.Admin) {
		if strings.HasPrefix(ev.Detail, "session watched by ") {
			watches++
		}
	}
	if watches != 3 {
		t.Errorf("%d watches are in the record, want 3", watches)
	}
}

// A watcher that does not read delays nobody, and hears how much it missed.
func TestWatcherThatDoesNotReadDelaysNobody(t *testing.T) {
	tu := serve(t, "dev", shop)
	root := tu.login(person("root", "admin"))
	conn := tu.session(tu.login(person("ada")), make(chan string, 20))
	id := tu.Sessions(person("root", "admin"))[0].ID
	hold, first := make(chan struct{}), make(chan struct{}, 1)
	missed := make(chan int64, 1)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		_ = root.Watch(ctx, strings.ReplaceAll(api.StreamPath, "{id}", id), func(line []byte) error { // it is stopped below
			select {
			case first <- struct{}{}:
			default:
			}
			<-hold
			var ev api.SessionEvent
			if json.Unmarshal(line, &ev) == nil && ev.Missed > 0 {
				select {
				case missed <- ev.Missed:
				default:
				}
			}
			return nil
		})
	}()
	<-first
	text := "select '" + strings.Repeat("x", 1500) + "'"
	for range 3000 {
		if _, err := conn.Exec(t.Context(), text, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
	}
	close(hold)
	for {
		if _, err := conn.Exec(t.Context(), "select 1"); err != nil {
			t.Fatal(err)
		}
		select {
		case n := <-missed:
			if n < 1 {
				t.Errorf("%d missed", n)
			}
			return
		default:
		}
	}
}
