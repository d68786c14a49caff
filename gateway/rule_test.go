package gateway_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/policy"
)

// A verdict is remembered only while it cannot change: a rule that looks at the
// clock is asked each time, of a prepared statement as of a plain one.
func TestRuleOfTheClockIsAskedEachTime(t *testing.T) {
	rules, err := policy.Load("policy.yaml", []byte(`builtin: false
rules:
  - {name: open, when: 'true', effect: allow, reason: open}
  - {name: closed, when: 'now >= timestamp("2100-01-01T00:00:00Z")', effect: deny, reason: closed}
`))
	if err != nil {
		t.Fatal(err)
	}
	if rules.Steady() {
		t.Error("a rule of the clock is taken for steady")
	}
	if !policy.Builtin().Steady() {
		t.Error("the built-in rules do not look at the clock, and are asked each time")
	}
	var later atomic.Bool
	th := start(t, "dev", shop, rules, func(c *gateway.Config) {
		c.Now = func() time.Time {
			if later.Load() {
				return time.Date(2100, 1, 2, 0, 0, 0, 0, time.UTC)
			}
			return time.Now()
		}
	})
	who := person("ada")
	who.Expires = time.Date(2101, 1, 1, 0, 0, 0, 0, time.UTC)
	conn := connect(t, th.as(who))
	ask := func(mode pgx.QueryExecMode) error {
		_, err := conn.Exec(context.Background(), "select id from cities where id = 1", mode)
		return err
	}
	modes := []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement}
	for _, mode := range modes {
		for range 2 {
			if err := ask(mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	later.Store(true)
	for _, mode := range modes {
		wantCode(t, ask(mode), "42501")
	}
}

// A rule about a relation is not passed by because the session did something that
// leaves names in doubt: a typo that people let through, a temporary table, a changed
// search_path.
func TestDoubtfulNamesDoNotPassByRulesOfRelations(t *testing.T) {
	rules, err := policy.Load("policy.yaml", []byte(`builtin: false
rules:
  - {name: open, when: 'true', effect: allow, reason: open, unmask: [all]}
  - {name: kept, when: '"public.cities" in statement.tables', effect: deny, reason: kept}
  - {name: mail, when: '"public.people.email" in statement.reads', effect: deny, reason: mail}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, doubt := range []string{
		"selec 1", "do $$ begin execute format('select 1'); end $$", "create temp table cities (id int, name text)", "create temp table elsewhere (id int)",
		"do $$ begin create temp table cities (id int, name text); end $$", "do $$ begin create table pg_temp.cities (id int, name text); end $$",
		"set search_path = other, public", "create schema other",
	} {
		t.Run(doubt, func(t *testing.T) {
			for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec, pgx.QueryExecModeCacheStatement} {
				th := start(t, "dev", shop, rules)
				conn := connect(t, th.as(person("ada")))
				ctx := context.Background()
				_, _ = conn.Exec(ctx, doubt, pgx.QueryExecModeSimpleProtocol) // a typo fails at the database
				for _, sql := range []string{
					"insert into cities values (1001, 'x')", "delete from cities where id = 1", "drop table cities", "select * from cities",
					"update cities set name = 'x' where id = 1", "truncate cities", "select email from people", "select * from people",
					"select p.email from people p", "with x as (select email from people) select * from x", "copy cities to stdout",
				} {
					if _, err := conn.Exec(ctx, sql, mode); err == nil {
						t.Errorf("%s: %q ran", mode, sql)
					} else {
						wantCode(t, err, "42501")
					}
				}
			}
		})
	}
}
