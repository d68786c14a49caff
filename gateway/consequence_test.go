package gateway_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/audit"
)

const hanging = `create table customers (id int primary key, name text, updated_at timestamptz);
create table orders (id int primary key, customer_id int references customers on delete cascade, total int);
create table audit_log (what text, row_was text);
create function touch() returns trigger language plpgsql as $$ begin new.updated_at := now(); return new; end $$;
create trigger touch before update on customers for each row execute function touch();
create function audited() returns trigger language plpgsql as $$ begin
  insert into audit_log values (tg_op, row_to_json(old)::text); perform pg_notify('changes', tg_table_name); return old; end $$;
create trigger audit_orders after delete on orders for each row execute function audited();
insert into customers values (1, 'Ada'), (2, 'Bob'); insert into orders values (1, 1, 5), (2, 2, 6);
create table metered (id int); create function meters() returns trigger language plpgsql as $$ begin
  execute format('insert into %I values ($1)', 'audit_log') using tg_op; return new; end $$;
create trigger meters after insert on metered for each row execute function meters();
create table closed (id int) partition by range (id); create table closed_1 partition of closed for values from (0) to (9);
insert into closed values (1);
create table secrets (k text); create view open_secrets as select k from secrets; insert into secrets values ('x');`

// Ordinary triggers and cascades are in nobody's way, in production as elsewhere.
func TestOrdinaryTriggersPass(t *testing.T) {
	th := start(t, "prod", hanging, nil)
	conn := connect(t, th.as(person("ada")))
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement} {
		for _, sql := range []string{"update customers set name = 'x' where id = 2", "delete from orders where id = 2", "delete from customers where id = 1"} {
			if _, err := conn.Exec(context.Background(), sql, mode); err != nil {
				t.Errorf("%s: %v", sql, err)
			}
		}
	}
	if n := count(t, th, "select count(*) from audit_log"); n != 2 {
		t.Errorf("%d rows were audited, want one of the delete and one of the cascade", n)
	}
	for _, ev := range th.events(audit.Decided) {
		if strings.HasPrefix(ev.SQL, "delete from customers") && !strings.Contains(strings.Join(ev.Writes, " "), "public.audit_log") {
			t.Errorf("the record of %s names only %v", ev.SQL, ev.Writes)
		}
	}
}

// Attack: write a table that a rule protects by writing another: through a cascade, a
// trigger, a partition, a parent, a view, or a function that does.
func TestWriteOfAProtectedTableByWayOfAnother(t *testing.T) {
	th := start(t, "dev", hanging+`create function by_function() returns void language sql as 'delete from customers where id = 1';`, rules(t, `builtin: false
rules:
  - name: closed
    when: 'statement.writes && ["public.orders", "public.audit_log", "public.closed", "public.secrets"].exists(t, t in statement.tables)'
    effect: deny
    reason: this is closed
  - {name: read, when: '"public.closed_1" in statement.tables', effect: deny, reason: this is closed}
  - {name: rest, when: 'true', effect: allow, unmask: [all]}
`))
	conn := connect(t, th.as(person("ada")))
	for _, sql := range []string{
		"delete from customers where id = 1", "select by_function()", "do 'begin perform by_function(); end'",
		"with x as (delete from customers where id = 1 returning 1) select * from x", "explain analyze delete from customers where id = 1",
		"insert into closed_1 values (2)", "update closed_1 set id = 3 where id = 1", "truncate closed_1", "select * from closed",
		"insert into open_secrets values ('y')", "update open_secrets set k = 'y'", "delete from open_secrets", "truncate customers cascade",
		"begin; create temp table x (i int); delete from public.customers where id = 1",
	} {
		_, err := conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol)
		if e := wantCode(t, err, "42501"); !strings.Contains(e.Message, "this is closed") {
			t.Errorf("%s: told %+v", sql, e)
		}
		_, _ = conn.Exec(context.Background(), "rollback", pgx.QueryExecModeSimpleProtocol) // of the last only
	}
	for _, sql := range []string{"update customers set name = 'x' where id = 1", "select * from open_secrets"} {
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if n := count(t, th, "select count(*) from orders, customers"); n != 4 {
		t.Errorf("%d pairs are left", n)
	}
}

// Whoever is stopped because of doubt is told what is in doubt, as are approvers and
// the record.
func TestDoubtIsExplained(t *testing.T) {
	th := start(t, "prod", hanging, nil)
	job := person("ci")
	job.Kind = "job"
	conn := connect(t, th.as(job))
	const trigger = "trigger meters on public.metered: function public.meters runs dynamic SQL at line 2"
	for sql, want := range map[string]string{
		"insert into metered values (1)":                      "(" + trigger + ")",
		"select 1; insert into metered values (1); select 2":  "(statement 2 of 3: " + trigger + ")",
		"select 1; delete from orders; select 2":              "(statement 2 of 3)",
		"select 1; selec 2":                                   `(statement 2 of 2 cannot be parsed near "selec" at position 11)`,
		"do $$ begin execute 'drop ' || current_user; end $$": "(the DO block runs dynamic SQL at line 1)",
		"alter role ci password 'hunter2' 'hunter3'":          "(it cannot be parsed near a constant at position 34)",
		"select no_such_function(1)":                          "(function no_such_function is not in the catalogue)",
	} {
		_, err := conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol)
		if e := wantCode(t, err, "42501"); !strings.HasSuffix(e.Message, want) {
			t.Errorf("%s:\n told %q\n want %q", sql, e.Message, want)
		}
	}
	cfg, err := pgx.ParseConfig(th.as(person("ada")))
	if err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 10)
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { said <- n.Detail }
	waits, err := pgx.ConnectConfig(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer waits.Close(context.Background())
	done := background(waits, "insert into metered values (1)")
	ask := th.held(t, 1)[0]
	if detail := <-said; !strings.HasSuffix(detail, "("+trigger+")") || !strings.HasSuffix(ask.Reason, "("+trigger+")") {
		t.Errorf("the client hears %q, the approver %q", detail, ask.Reason)
	}
	th.approve(t, ask.ID)
	if err := await(t, done); err != nil {
		t.Fatal(err)
	}
	recorded := false
	for _, ev := range th.events(audit.Decided) {
		recorded = recorded || ev.SQL == "insert into metered values (1)" && ev.Detail == trigger
		if raw, _ := json.Marshal(ev); strings.Contains(string(raw), "hunter") {
			t.Errorf("the record holds a password: %s", raw)
		}
	}
	if !recorded {
		t.Error("the record does not say what was in doubt")
	}
}
