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
