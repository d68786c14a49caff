package gateway_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/gateway"
)

const tenanted = `create table accounts (id int, tenant text); insert into accounts values (1, 'a'), (2, 'b');
do $$ begin create role keeper; create role tenant; exception when duplicate_object then null; end $$; grant select on accounts to tenant; alter table accounts owner to keeper;
alter table accounts enable row level security; create policy own on accounts using (tenant = 'a');
create schema app; create table app.accounts (id int);`

// Applications set search_path, pg_dump turns row_security off, and neither shows anybody
// more: the built-in policy lets both pass, by SET or by a single set_config (decision 024).
func TestSettingsThatPass(t *testing.T) {
	th := start(t, "prod", tenanted, nil, func(c *gateway.Config) { c.Hold = shortHold })
	job := person("ci")
	job.Kind = "job"
	for _, who := range []string{th.as(person("ada")), th.as(job)} {
		for _, sql := range []string{
			"set row_security = off", "set local row_security to off", "select set_config('row_security', 'off', false)",
			"set search_path = app, public", "select pg_catalog.set_config('search_path', 'app', false)", "select set_config('search_path', '', false)",
			"select set_config('app.user', 'ada', true), set_config('app.tenant', 'a', true)", "reset all",
		} {
			if _, err := connect(t, who).Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
				t.Errorf("%s: %v", sql, err)
			}
		}
	}
	conn := connect(t, th.as(job))
	for _, sql := range []string{
		"select set_config('search_path', 'app', false), set_config('role', 'keeper', false)", "select set_config(tenant, 'x', false) from accounts",
		"select set_config('role', 'keeper', false)",
	} {
		if _, err := conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol); err == nil {
			t.Errorf("%s: passed", sql)
		}
	}
}

// On the server: with row_security off a query fails that policies would have
// narrowed, and whoever policies do not bind sees what they saw before.
func TestRowSecurityOffShowsNothingMore(t *testing.T) {
	th := start(t, "prod", tenanted, nil)
	ctx := context.Background()
	direct := connect(t, th.direct)
	see := func(role, setting string) (n int, err error) {
		tx, err := direct.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback(ctx) //nolint:errcheck // nothing was written
		if _, err := tx.Exec(ctx, "set local role "+role+"; set local row_security = "+setting); err != nil {
			t.Fatal(err)
		}
		err = tx.QueryRow(ctx, "select count(*) from public.accounts").Scan(&n)
		return n, err
	}
	if n, err := see("tenant", "on"); n != 1 || err != nil {
		t.Fatalf("a tenant sees %d accounts, %v", n, err)
	}
	_, err := see("tenant", "off")
	wantCode(t, err, "42501")
	for _, setting := range []string{"on", "off"} {
		if n, err := see("keeper", setting); n != 2 || err != nil {
			t.Errorf("the owner sees %d accounts with row_security %s, %v", n, setting, err)
		}
	}
	if _, err := direct.Exec(ctx, "alter table accounts force row level security"); err != nil {
		t.Fatal(err)
	}
	_, err = see("keeper", "off")
	wantCode(t, err, "42501")
}
