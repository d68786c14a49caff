package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/policy"
)

const bodies = `
create function tidy() returns void language sql as 'delete from people where age < 0';
create function wreck() returns void language plpgsql as 'begin drop table people; end';
create function peek() returns bigint language sql stable as 'select count(*) from people';
create view adults as select id, email from people where age > 17;`

// past are statements of every kind that the record may hold.
var past = []string{
	"select 1", "select email from people where id = 3", "select count(*) from people", "select 1 from people limit 1", "table people",
	"select id from adults where email like 'a%'", "select peek()", "select tidy()", "select wreck()", "select lower(name) from people where id = 1",
	"insert into people (id, name) values (1001, 'x')", "update people set age = age where id = 3", "delete from people where id = 1001", "delete from people",
	"with gone as (delete from people where id = 1002 returning id) select count(*) from gone", "explain delete from people", "explain analyze delete from people where id = 1003",
	"explain select * from people", "copy people (id, city) to stdout", "copy (select id from people) to stdout",
	"drop table people", "drop/**/table people", "truncate people", "create table made (n int)", "alter table made add column m int", "drop table if exists made",
	"grant select on people to public", "set role postgres", "set statement_timeout = 100000", "reset statement_timeout", "show search_path", "select set_config('work_mem', '4MB', false)",
	"begin", "savepoint here", "rollback", "do 'begin perform 1; end'", "do $$ begin execute 'select 1'; end $$", "vacuum people", "lock table people", "listen x",
	"prepare p as select email from people where id = $1", "execute p(3)", "prepare d as delete from people", "prepare u as update people set age = 1 where id = $1", "execute u(3)",
	"deallocate p", "select nothing from nowhere", "select from where", "select * from people cross join adults", "select x.email from (select * from people) x",
	"alter role postgres password 'hunter2'", "copy people to program 'cat'", "merge into people using (values (3)) v(id) on v.id = people.id when matched then update set age = 5",
	"select pg_sleep(0)", "select * from pg_class limit 1", "create view v2 as select email from people", "select random(), now()", "values (1), (2)", "checkpoint",
}

// ask runs the statements in several protocol modes; that some are refused is meant.
func (th *through) ask(conn *pgx.Conn, statements []string) {
	th.t.Helper()
	for _, sql := range statements {
		for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec} {
			_, _ = conn.Exec(context.Background(), sql, mode) // refusals are what is looked for
		}
	}
	for _, sql := range []string{"begin; declare c cursor for select email from people; fetch 2 from c; commit", "select 1; delete from people where id = 1004; select email from people"} {
		_, _ = run(conn, sql)
	}
}

// replayed is a policy that looks at everything.
const replayed = `
time_zone: Europe/Berlin
rules:
  - {name: cities, when: '"public.people.city" in statement.reads', effect: hold, approvers: {groups: [dba]}}
  - {name: sleepers, when: '"pg_sleep" in statement.functions', effect: deny}
  - {name: locks, when: 'statement.tag.startsWith("LOCK")', effect: deny}
  - {name: timeouts, when: 'statement.sets == "statement_timeout"', effect: deny}
  - {name: tables, when: 'statement.tables.exists(t, t == "public.nowhere" || t == "nowhere")', effect: deny}
  - {name: readers, when: 'statement.reads_data && who.email == "ada@example.com" && "public.people" in statement.tables', unmask: [email]}
  - {name: few, when: 'statement.kind in ["update", "merge"]', max_rows: 3}
  - {name: listeners, when: 'statement.kind == "listen" && who.kind == "person" && "staff" in who.groups', effect: deny}
`

// Decisions that are made again under the policy that made them come out as they were,
// with the catalogue at hand and without; else what is lacking is named.
func TestReplayOfTheSamePolicyIsTheRecord(t *testing.T) {
	for name, text := range map[string]string{"built-in": "rules: []", "own": replayed} {
		t.Run(name, func(t *testing.T) {
			th := start(t, "prod", people+bodies, rules(t, text), func(c *gateway.Config) {
				c.PolicyText, c.Hold = text, time.Millisecond
				c.HoldTransaction = time.Millisecond
			})
			th.ask(connect(t, th.as(person("ada", "staff"))), past)
			events := th.events(audit.Decided)
			if len(events) < 100 {
				t.Fatalf("only %d decisions", len(events))
			}
			unsure, exact := 0, 0
			for _, ev := range events {
				if slices.Contains([]string{"names-are-known", "copy-can-be-read", "text-means-what-it-says"}, ev.Rule) {
					continue
				}
				for _, catalogue := range []bool{true, false} {
					v, needs := th.Again(ev, catalogue)
					if len(needs) > 0 {
						unsure++
						if catalogue && !strings.HasPrefix(ev.SQL, "execute") && !strings.HasPrefix(ev.SQL, "fetch") {
							t.Errorf("%q: with the catalogue it needs %v", ev.SQL, needs)
						}
						continue
					}
					exact++
					// In a message of several the strictest decides; the cursor's may be softened.
					if v.Effect.String() != ev.Effect || v.Rule != ev.Rule {
						t.Errorf("catalogue %v: %q was %s by %s, and is %s by %s", catalogue, ev.SQL, ev.Effect, ev.Rule, v.Effect, v.Rule)
					}
				}
			}
			t.Logf("%d made again, %d unsure", exact, unsure)
			if unsure > len(events)/4 {
				t.Errorf("%d of %d cannot be told", unsure, 2*len(events))
			}
			res, err := th.PolicyReplay(t.Context(), person("eve", "audit"), api.ReplayRequest{Policy: api.PolicyFile{Source: "p", Text: text}})
			if err != nil || res.Changed != 0 || res.Decisions != uint64(len(events)) || res.Same+res.Unsure+res.Own != res.Decisions {
				t.Errorf("%+v, %v", res, err)
			}
		})
	}
}

func TestReplayTellsWhatChanges(t *testing.T) {
	th := start(t, "prod", people, rules(t, "rules: []"), func(c *gateway.Config) { c.PolicyText = "rules: []" })
	ada, bob := connect(t, th.as(person("ada"))), connect(t, th.as(person("bob", "dba")))
	for i := range 7 {
		for _, sql := range []string{"update people set age = 1 where id = %d", "select email from people where id = %d"} {
			if _, err := run(ada, fmt.Sprintf(sql, i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := run(bob, "update people set age = 2 where id = 9"); err != nil {
		t.Fatal(err)
	}
	_, _ = run(ada, "execute nothing") // refused by Sluice itself
	const changed = `
rules:
  - {name: look, when: 'statement.writes && !("dba" in who.groups)', effect: hold, approvers: {groups: [dba]}}
  - {name: never, when: 'statement.writes && "dba" in who.groups', effect: deny, reason: not even you}
  - {name: mails, when: 'statement.kind == "select"', unmask: [email]}
`
	in := api.ReplayRequest{Policy: api.PolicyFile{Source: "new.yaml", Text: changed}}
	res, err := th.PolicyReplay(t.Context(), person("eve", "audit"), in)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range res.Changes {
		got = append(got, fmt.Sprintf("%s %d %s>%s %s %s", c.What, c.Count, c.FromRule, c.ToRule, c.Who, c.Statement))
	}
	want := []string{"shows email 7 default>default ada@example.com select", "allow -> hold 7 default>look ada@example.com update", "allow -> deny 1 default>never bob@example.com update"}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if res.Decisions != 16 || res.Changed != 15 || res.Own != 1 || res.Against.Source != "test" || len(res.Totals) != 3 {
		t.Errorf("%+v", res)
	}
	// Nobody but an auditor is told what others did, or has the gateway work for them.
	if own, err := th.PolicyReplay(t.Context(), person("bob", "dba"), in); err == nil || own.Decisions != 0 {
		t.Errorf("bob is told of %d decisions, %v", own.Decisions, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := th.PolicyReplay(ctx, person("eve", "audit"), in); !errors.Is(err, context.Canceled) {
		t.Errorf("after the caller left: %v", err)
	}
	if _, err := th.PolicyReplay(t.Context(), person("eve", "audit"), api.ReplayRequest{Policy: api.PolicyFile{Source: "bad.yaml", Text: "rules: ["}}); err == nil || !strings.Contains(err.Error(), "bad.yaml: line 1") {
		t.Errorf("a bad policy: %v", err)
	}
	if asked := th.events(audit.Questioned); len(asked) != 2 || !strings.Contains(asked[0].Detail, "policy replay of sha256:") {
		t.Errorf("on the record: %+v", asked)
	}
}

// What the record does not tell is named, and never guessed.
func TestReplayNamesWhatItCannotTell(t *testing.T) {
	th := start(t, "dev", "create table old (n int, email text)", rules(t, "rules: []"), func(c *gateway.Config) { c.PolicyText = "rules: []" })
	conn := connect(t, th.as(person("ada")))
	long := "select n /* " + strings.Repeat("x", 70<<10) + " */ from old"
	for _, sql := range []string{"select n from old", long, "prepare p as select n from old", "execute p"} {
		if _, err := run(conn, sql); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := run(connect(t, th.as(person("eve"))), "alter table old rename to new"); err != nil {
		t.Fatal(err)
	}
	replay := func(rule string) api.ReplayResult {
		t.Helper()
		res, err := th.PolicyReplay(t.Context(), person("eve", "audit"), api.ReplayRequest{Who: "ada", Policy: api.PolicyFile{Source: "p", Text: "rules: [{name: x, when: '" + rule + "', effect: deny}]"}})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	// What was recorded suffices, whatever became of the table and the text.
	if res := replay(`"public.old.n" in statement.reads`); res.Changed != 4 || res.Drifted != 2 || res.Unsure != 0 {
		t.Errorf("by a column: %+v", res)
	}
	// What only the text tells does not stand in the record of the cut one, nor in that of EXECUTE.
	res := replay(`"pg_sleep" in statement.functions`)
	var why []string
	for _, d := range res.Doubts {
		why = append(why, fmt.Sprintf("%d: %s; %s", d.Count, d.Why, strings.Join(d.Needs, " ")))
	}
	slices.Sort(why)
	want := []string{"1: it ran by a name, and the text under that name is not in the entry; statement.functions", "1: the text of the statement was cut for its length; statement.functions"}
	if !slices.Equal(why, want) || res.Unsure != 2 || res.Changed != 0 {
		t.Errorf("%q, %+v", why, res)
	}
}

// Replay of a hundred thousand decisions of two thousand shapes.
func BenchmarkReplay(b *testing.B) {
	const decisions = 100_000
	dir := b.TempDir()
	log, err := audit.Open(audit.Config{Dir: dir, Origin: "sluice/test", Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	for i := range decisions {
		sql := fmt.Sprintf("select id, name, email from people_%d where id = %d and city = 'Berlin' order by age limit 100", i%200, i)
		who := fmt.Sprintf("person%d@example.com", i%10)
		_, err := log.Append(audit.Event{Kind: audit.Decided, Time: time.Now(), Session: "s-abcdefghijkl", Who: who, Subject: who, CallerKind: "person", Groups: []string{"dev", "support"},
			Connection: "orders", SQL: sql, Fingerprint: fmt.Sprint(i % 200), Statement: "select", Effect: "allow", Rule: "default", Reason: "no rule objects",
			Reads: []string{fmt.Sprintf("public.people_%d.id", i%200), "public.people.name", "public.people.email", "public.people.city", "public.people.age"}})
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		b.Fatal(err)
	}
	for name, text := range map[string]string{"steady": "rules: []", "by-the-hour": "rules: [{name: night, when: 'time.hour < 3 && statement.writes', effect: deny}]"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := gateway.Replay{Dir: dir, Policy: gateway.Policy{Rules: rules(b, text)}, Against: gateway.Policy{Rules: policy.Builtin()}, Envs: map[string]string{"orders": "prod"}}
				res, err := r.Run(b.Context())
				if err != nil || res.Decisions != decisions {
					b.Fatal(res.Decisions, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/decisions, "µs/decision")
		})
	}
}
