package gateway_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
)

// Mistakes that others made with approvals, each a test with its name, as a person would
// meet it. docs/approvals.md lists where the rest of them is tested.

func TestMistakeOnePersonInTwoGroupsSatisfiesTwoApprovals(t *testing.T) {
	th := start(t, "prod", shop, heldBy(t, "{groups: [dba, security], count: 2}"))
	done := background(connect(t, th.as(person("ada"))), move)
	ask := th.held(t, 1)[0]
	both := person("bob", "dba", "security")
	if _, err := th.Answer(both, ask.ID, th.yes(ask.ID)); err != nil {
		t.Fatal(err)
	}
	for _, again := range []identity.Identity{both, person("bob", "security"), person("bob", "dba")} {
		if _, err := th.Answer(again, ask.ID, th.yes(ask.ID)); err == nil {
			t.Error("one person agreed twice")
		}
	}
	if asks := th.held(t, 1); asks[0].Needs[0].Have != 1 {
		t.Errorf("%d agreed", asks[0].Needs[0].Have)
	}
	if _, err := th.Answer(person("cy", "security"), ask.ID, th.yes(ask.ID)); err != nil {
		t.Fatal(err)
	}
	if err := await(t, done); err != nil {
		t.Error(err)
	}
}

func TestMistakeOneApproverInTwoGroupsIsWaitedForForEver(t *testing.T) {
	th := start(t, "prod", shop, heldBy(t, "{groups: [dba, security], count: 1}"))
	done := background(connect(t, th.as(person("ada"))), move)
	ask := th.held(t, 1)[0]
	if _, err := th.Answer(person("bob", "dba", "security"), ask.ID, th.yes(ask.ID)); err != nil {
		t.Fatal(err)
	}
	if err := await(t, done); err != nil {
		t.Error(err)
	}
}

func TestMistakeAdministratorApprovesTheirOwnRequest(t *testing.T) {
	th := start(t, "prod", shop, heldBy(t, "{groups: [dba]}"))
	root := person("root", "admin", "dba", "audit")
	done := background(connect(t, th.as(root)), move)
	ask := th.Asks(root)
	eventually(t, "it waits", func() bool { ask = th.Asks(root); return len(ask) == 1 })
	if ask[0].MayAnswer || ask[0].BreakGlass {
		t.Error("they are told that they may answer")
	}
	agent := root
	agent.Subject, agent.Kind, agent.Owner = "root/claude", identity.Agent, "root"
	for name, who := range map[string]identity.Identity{"themselves": root, "their agent": agent} {
		for _, in := range []api.AskDecision{{Grant: true, Seal: ask[0].Seal}, {Grant: true, Seal: ask[0].Seal, BreakGlass: true, Reason: "in a hurry"}} {
			if _, err := th.Answer(who, ask[0].ID, in); err == nil {
				t.Errorf("%s answered with %+v", name, in)
			}
		}
	}
	th.deny(t, ask[0].ID)
	wantCode(t, await(t, done), "42501")
	for _, in := range []api.NewRequest{{Connection: "orders", SQL: move, Reason: "mine"}, {Connection: "orders", Seconds: 60, Reason: "mine"}} {
		r, err := th.Request(t.Context(), root, in)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := th.Answer(root, r.ID, api.AskDecision{Grant: true, Seal: r.Seal}); err == nil {
			t.Error("they granted their own request")
		}
	}
}

// A rule speaks of what is done, however it arrives.
func TestMistakeRuleForOneWayDoesNotCoverTheOther(t *testing.T) {
	th := start(t, "prod", shop+`
create procedure moves() language sql as 'update cities set name = ''moved'' where id = 1';
create function moved() returns int language sql as 'update cities set name = ''moved'' where id = 1 returning 1';`, heldBy(t, "{groups: [dba]}"))
	ways := map[string]func(*pgx.Conn) error{
		"a simple query": func(c *pgx.Conn) error { _, err := run(c, move); return err },
		"with parameters": func(c *pgx.Conn) error {
			_, err := c.Exec(context.Background(), "update cities set name = $1 where id = $2", "moved", 1)
			return err
		},
		"a prepared statement": func(c *pgx.Conn) error {
			if _, err := c.Prepare(context.Background(), "p", "update cities set name = $1 where id = 1"); err != nil {
				return err
			}
			_, err := c.Exec(context.Background(), "p", "moved")
			return err
		},
		"a pipeline": func(c *pgx.Conn) error {
			b := &pgx.Batch{}
			b.Queue("select 1")
			b.Queue(move)
			return c.SendBatch(context.Background(), b).Close()
		},
		"PREPARE and EXECUTE": func(c *pgx.Conn) error { _, err := run(c, "prepare p as "+move+"; execute p"); return err },
		"in WITH": func(c *pgx.Conn) error {
			_, err := run(c, "with m as ("+move+" returning 1) select * from m")
			return err
		},
		"EXPLAIN ANALYZE": func(c *pgx.Conn) error { _, err := run(c, "explain analyze "+move); return err },
		"MERGE or insert on conflict": func(c *pgx.Conn) error {
			_, err := run(c, "insert into cities select id, 'moved' from cities where id = 1 on conflict (id) do update set name = excluded.name")
			return err
		},
		"COPY": func(c *pgx.Conn) error {
			_, err := c.PgConn().CopyFrom(context.Background(), strings.NewReader("99\tmoved\n"), "copy cities from stdin")
			return err
		},
		"a procedure":            func(c *pgx.Conn) error { _, err := run(c, "call moves()"); return err },
		"a function in a select": func(c *pgx.Conn) error { _, err := run(c, "select moved()"); return err },
		"a DO block":             func(c *pgx.Conn) error { _, err := run(c, "do $$ begin "+move+"; end $$"); return err },
		"behind another":         func(c *pgx.Conn) error { _, err := run(c, "select 1; "+move); return err },
		"in a transaction":       func(c *pgx.Conn) error { _, err := run(c, "begin; "+move+"; commit"); return err },
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			conn := connect(t, th.as(person("ada")))
			done := make(chan error, 1)
			go func() { done <- way(conn) }()
			eventually(t, "it waits", func() bool {
				select {
				case err := <-done:
					t.Fatalf("it was not held: %v", err)
				default:
				}
				return len(th.Asks(approver)) == 1
			})
			th.deny(t, th.Asks(approver)[0].ID)
			if err := await(t, done); err == nil || !strings.Contains(err.Error(), "not approved") {
				t.Errorf("it ended with %v", err)
			}
		})
	}
	if n := count(t, th, "select count(*) from cities where name = 'moved'"); n != 0 {
		t.Errorf("%d rows were written", n)
	}
}

// Of two approvers at the same moment each counts once, and the statement runs once.
func TestTwoApproversAtOnceReleaseOnce(t *testing.T) {
	for approvers, need := range map[string]int{"{groups: [dba]}": 1, "{groups: [dba], count: 2}": 2} {
		th := start(t, "prod", shop+"create table hits (n int);", heldBy(t, approvers))
		conn := connect(t, th.as(person("ada")))
		for range 10 {
			done := background(conn, "insert into hits values (1)")
			ask := th.held(t, 1)[0]
			var both sync.WaitGroup
			var mu sync.Mutex
			counted := 0
			yes := th.yes(ask.ID)
			for _, name := range []string{"bob", "cy"} {
				both.Go(func() {
					if _, err := th.Answer(person(name, "dba"), ask.ID, yes); err == nil {
						mu.Lock()
						counted++
						mu.Unlock()
					}
				})
			}
			both.Wait()
			if err := await(t, done); err != nil || counted != need {
				t.Fatalf("%d votes counted, want %d: %v", counted, need, err)
			}
		}
		if n := count(t, th, "select count(*) from hits"); n != 10 {
			t.Errorf("%d ran, want 10", n)
		}
		th.balanced()
	}
}

// An approver who is locked out while others decide: their vote counts no more, their
// screen ends, and the statement waits for somebody who may.
func TestApproverIsLockedOutWhileDeciding(t *testing.T) {
	rules := heldBy(t, "{groups: [dba], count: 2}")
	gu := guard(t, func(c *gateway.Config) { c.Rules = rules })
	ada, bob := gu.login(person("ada", "dev")), gu.login(person("bob", "dba"))
	conn, err := over(t, ada)
	if err != nil {
		t.Fatal(err)
	}
	done := background(conn, move)
	ask := gu.held(t, 1)[0]
	screen := make(chan error, 1)
	whole := make(chan struct{}, 100)
	go func() {
		screen <- bob.Watch(t.Context(), api.LivePath, func([]byte) error {
			select {
			case whole <- struct{}{}:
			default:
			}
			return nil
		})
	}()
	<-whole
	if _, err := gu.Answer(person("bob", "dba"), ask.ID, gu.yes(ask.ID)); err != nil {
		t.Fatal(err)
	}
	if _, code := call[api.Revoked](t, gu.boss, "POST", api.UserLockPath, api.UserLock{Name: "bob", Reason: "left"}); code != 0 {
		t.Fatalf("lock: %d", code)
	}
	_ = await(t, screen) // their screen ends, with whatever words
	if _, err := gu.Answer(person("bob", "dba"), ask.ID, api.AskDecision{Reason: "no"}); err == nil {
		t.Error("a locked approver answered")
	}
	if _, err := gu.Answer(person("cy", "dba"), ask.ID, gu.yes(ask.ID)); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Fatalf("the vote of somebody locked out counted: %v", err)
	default:
	}
	if _, err := gu.Answer(person("di", "dba"), ask.ID, gu.yes(ask.ID)); err != nil {
		t.Fatal(err)
	}
	if err := await(t, done); err != nil {
		t.Error(err)
	}
}
