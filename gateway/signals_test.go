package gateway_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
)

// Signals to other sessions carry what the client has sent, and nothing that it reads
// (docs/decisions/022): a number in pg_locks, a payload and a setting would pass the
// mask by.
func TestSignalsDoNotCarryWhatIsRead(t *testing.T) {
	th := start(t, "prod", shop+`
create function tell(text) returns void language sql as 'select pg_notify(''c'', $1)';
create function lock_it(bigint) returns void language sql as 'select pg_advisory_lock($1)';
create schema evil; create function evil.pg_advisory_lock(text) returns void language plpgsql as $$ begin execute 'delete from cities'; end $$;
create operator evil.= (leftarg = text, rightarg = text, function = textne);`, nil, func(c *gateway.Config) { c.Hold = time.Millisecond })
	who := person("bot")
	who.Kind = identity.Job
	port := th.as(who)
	for name, attack := range map[string]string{
		"a lock by a column":           "select pg_advisory_lock(ascii(email)) from people",
		"a lock by a subquery":         "select pg_try_advisory_lock((select age from people where id = 1))",
		"a hash of a column":           "select pg_advisory_lock(hashtext(email)) from people",
		"a payload from a column":      "select pg_notify('c', email) from people",
		"a channel from a column":      "select pg_notify(name, '') from people",
		"a payload of an aggregate":    "select pg_notify('c', string_agg(email, ',')) from people",
		"a payload in JSON":            "select pg_notify('c', json_build_object('e', email)::text) from people",
		"a payload through a case":     "select pg_notify('c', case when true then email end) from people",
		"through a function":           "select tell(email) from people",
		"a lock through a function":    "select lock_it(ascii(email)) from people",
		"in a data-modifying cte":      "with x as (update people set age = age where id = 1 returning email) select pg_notify('c', email) from x",
		"prepared, worked out later":   "prepare p (text) as select pg_notify('c', $1)",
		"a function that looks alike":  "select evil.pg_advisory_lock('x')",
		"a setting from a column":      "select set_config('my.x', 'a', false), set_config(name, email, false) from people",
		"the name of another setting":  "select set_config(name, 'x', false) from pg_settings where name like 'r%'",
		"names that a cte gives":       "with pg_settings as (select 'row_security'::text as name) select set_config(name, 'off', false) from pg_settings where name = 'jit'",
		"names that a table gives":     "select set_config(name, 'x', false) from people where name = 'jit'",
		"settings from somewhere else": "select set_config(pg_settings.name, 'off', false) from pg_settings, people where pg_settings.name = 'jit'",
		"a role by its setting":        "select set_config(name, 'postgres', false) from pg_settings where name = 'role'",
		"an operator of one's own":     "select set_config(name, 'off', false) from pg_settings where name operator(evil.=) 'jit'",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := run(connect(t, port), attack); err == nil || !strings.Contains(err.Error(), "refused by policy") && !strings.Contains(err.Error(), "not approved") {
				t.Errorf("%s: %v", attack, err)
			}
		})
	}
}

// A session that moved its search_path may mean another function by the same name.
func TestSignalOfAnotherSchemaIsNotTrusted(t *testing.T) {
	th := start(t, "prod", shop+`create schema evil;
create function evil.pg_advisory_lock(text) returns void language plpgsql as $$ begin execute 'delete from cities'; end $$;`, nil)
	who := person("bot")
	who.Kind = identity.Job
	conn := connect(t, th.as(who))
	if _, err := run(conn, "set search_path = evil, public"); err != nil {
		t.Fatal(err)
	}
	if _, err := run(conn, "select pg_advisory_lock('1')"); err == nil {
		t.Error("it ran")
	}
	if n := count(t, th, "select count(*) from cities"); n != 300 {
		t.Errorf("%d cities are left", n)
	}
}

// Where tables may be thrown away, agents still may not, and nothing does it out of sight.
func TestThrowingAwayStaysInSight(t *testing.T) {
	th := start(t, "dev", shop+`create function gone() returns void language plpgsql as $$ begin drop table cities; end $$;`, nil)
	agent := person("bot")
	agent.Kind, agent.Owner, agent.Writes = identity.Agent, "ada@example.com", true
	for _, tt := range []struct {
		who identity.Identity
		sql string
	}{
		{agent, "drop table cities"}, {agent, "truncate cities"}, {person("ada"), "select gone()"},
		{person("ada"), "drop schema public cascade"}, {person("ada"), "drop owned by current_user"}, {person("ada"), "do $$ begin truncate cities; end $$"},
	} {
		if _, err := run(connect(t, th.as(tt.who)), tt.sql); err == nil || !strings.Contains(err.Error(), "refused by policy") {
			t.Errorf("%s, %s: %v", tt.who.Kind, tt.sql, err)
		}
	}
	if n := count(t, th, "select count(*) from cities"); n != 300 {
		t.Errorf("%d cities are left", n)
	}
}
