package gateway_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/identity"
)

// shown writes a sample as lines of text.
func shown(rows *api.PreviewRows) string {
	if rows == nil {
		return "none"
	}
	var lines []string
	for _, r := range rows.Rows {
		var cells []string
		for i, c := range r {
			text := "NULL"
			if c != nil {
				text = *c
			}
			cells = append(cells, rows.Columns[i]+"="+text)
		}
		lines = append(lines, strings.Join(cells, " "))
	}
	return strings.Join(lines, "\n")
}

// preview holds sql and asks for its preview, as who; then the ask is denied.
func (th *through) preview(t *testing.T, conn *pgx.Conn, who identity.Identity, sql string, args ...any) (api.Preview, error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { _, err := conn.Exec(context.Background(), sql, args...); done <- err }()
	var asks []api.Ask
	eventually(t, "it waits", func() bool {
		select {
		case err := <-done:
			t.Fatalf("%s was not held: %v", sql, err)
		default:
		}
		asks = th.Asks(approver)
		return len(asks) == 1
	})
	p, err := th.Preview(t.Context(), who, asks[0].ID)
	th.deny(t, asks[0].ID)
	wantCode(t, await(t, done), "42501")
	return p, err
}

func TestPreviewShowsRowsBeforeAndAfter(t *testing.T) {
	th := start(t, "prod", village, heldBy(t, "{groups: [dba]}"))
	conn := connect(t, th.as(person("ada")))
	for _, tt := range []struct {
		sql           string
		args          []any
		rows          int64
		before, after string // of the first row; "none" for no sample
	}{
		{"update people set name = $1 where city = $2 and id < $3", []any{"new", 3, 400}, 40, "id=3 name=n3 email=", "id=3 name=new email="},
		{"delete from people where id = 7", nil, 1, "id=7 name=n7 email=", "none"},
		{"insert into people values (5000, 'x', 'neu@example.com', 1) -- with a comment", nil, 1, "none", "id=5000 name=x email="},
		{"update people p set city = q.city from people q where p.id = q.id + 1 and q.id = 1", nil, 1, "id=2 name=n2", "id=2 name=n2"},
		{"update people set name = 'x' where id = 3 returning id", nil, 1, "none", "none"},
		{"update people set name = 'x' where id = -3", nil, 0, "none", "none"},
	} {
		p, err := th.preview(t, conn, approver, tt.sql, tt.args...)
		if err != nil || p.Error != "" || p.Rows != tt.rows || !strings.HasPrefix(shown(p.Before), tt.before) || !strings.HasPrefix(shown(p.After), tt.after) {
			t.Errorf("%s: %v %q, %d rows\nbefore %s\nafter %s", tt.sql, err, p.Error, p.Rows, shown(p.Before), shown(p.After))
		}
		if text := shown(p.Before) + shown(p.After); strings.Contains(text, secret) {
			t.Errorf("%s shows personal data:\n%s", tt.sql, text)
		}
		if p.After != nil && len(p.After.Rows) > 5 {
			t.Errorf("%d rows are no sample", len(p.After.Rows))
		}
	}
	if n := count(t, th, "select count(*) from people where name in ('new', 'x') or id = 5000"); n != 0 || count(t, th, "select count(*) from visits") != 100 {
		t.Errorf("a preview changed %d rows", n)
	}
	previews := 0
	for _, ev := range th.events(audit.Admin) {
		if strings.HasPrefix(ev.Detail, "preview of ask ") && ev.Who == approver.Name() {
			previews++
		}
	}
	if previews != 6 {
		t.Errorf("%d previews are in the record", previews)
	}
}

// Attack: read personal data through the preview of a statement that moves it to where
// nothing is hidden.
func TestPreviewDoesNotShowWhatAStatementMoves(t *testing.T) {
	th := start(t, "prod", village, heldBy(t, "{groups: [dba]}"))
	conn := connect(t, th.as(person("ada")))
	for _, sql := range []string{
		"update people set name = email where id = 3", "update visits set what = p.email from people p where p.id = person and person = 4",
		"update people set name = substr(email, 1, 40) where id = 3",
	} {
		p, err := th.preview(t, conn, approver, sql)
		if err != nil || p.Rows != 1 || strings.Contains(shown(p.Before)+shown(p.After), secret) {
			t.Errorf("%s: %v\n%s\n%s", sql, err, shown(p.Before), shown(p.After))
		}
	}
}

// Attack: have a preview do what no rollback takes back.
func TestPreviewRefusesWhatCannotBeRolledBack(t *testing.T) {
	th := start(t, "prod", village+`
create sequence seen;
create function tell() returns trigger language plpgsql as 'begin perform nextval(''seen''); return new; end';
create table told (id int primary key, what text); create trigger tells before update on told for each row execute function tell();
create table parent (id int primary key); create table child (id int primary key, parent int references parent on delete cascade);
create trigger child_tells after delete on child for each row execute function tell();
create function seeing(int) returns bool language plpgsql immutable as 'begin perform nextval(''seen''); return true; end';
create table checked (id int primary key, what text, check (seeing(id))); create table indexed (id int primary key, what text); create index on indexed (seeing(id));
create table ruled (id int primary key, what text); create rule also as on update to ruled do also select nextval('seen');
create view seen_people as select * from people; create table numbered (id serial, what text);
create table parts (id int, what text) partition by range (id); create table parts1 partition of parts for values from (0) to (100);
create trigger part_tells before update on parts1 for each row execute function tell();
insert into told values (1, 'x'); insert into parent values (1); insert into child values (1, 1); insert into parts values (1, 'x');`, heldBy(t, "{groups: [dba]}"))
	conn := connect(t, th.as(person("ada")))
	for sql, want := range map[string]string{
		"insert into visits (person, what) values (1, 'x')":                             "sequence visits_id_seq",
		"insert into numbered (what) values ('x')":                                      "sequence numbered_id_seq",
		"update numbered set id = default where what = 'x'":                             "sequence numbered_id_seq",
		"update people set city = nextval('seen') where id = 1":                         "nextval",
		"update people set name = pg_notify('a', 'b')::text where id = 1":               "pg_notify",
		"update people set city = 1 where id = 1 and pg_try_advisory_lock(1)":           "",
		"update people set name = pg_sleep(1)::text where id = 1":                       "pg_sleep",
		"update told set what = 'y' where id = 1":                                       "",
		"delete from parent where id = 1":                                               "",
		"update checked set what = 'y' where id = 1":                                    "",
		"update indexed set what = 'y' where id = 1":                                    "",
		"update ruled set what = 'y' where id = 1":                                      "",
		"update seen_people set name = 'y' where id = 1":                                "",
		"update parts set what = 'y' where id = 1":                                      "",
		"with d as (delete from visits where person = 1) delete from people where id=1": "",
		"alter table people add column x int":                                           "no plan",
	} {
		p, err := th.preview(t, conn, approver, sql)
		e, ok := api.AsError(err)
		if !ok || !strings.Contains(e.Sentence, "there is no preview") || !strings.Contains(e.Sentence, want) {
			t.Errorf("%s: %v, %+v", sql, err, p)
		}
	}
	if n := count(t, th, "select count(*) from pg_sequences where last_value is not null"); n != 1 { // that of visits, filled by the setup
		t.Errorf("%d sequences were moved", n)
	}
}

// Triggers whose source says that they do nothing but write, as most do, are no reason
// against a preview; what they write is undone with the rest.
func TestPreviewTriesTriggersThatARollbackUndoes(t *testing.T) {
	th := start(t, "prod", village+`
alter table people add column changed timestamptz, add column seen int default 0;
create function touch() returns trigger language plpgsql as 'begin new.changed := now(); new.name := upper(new.name); return new; end';
create trigger touches before update on people for each row when (old.name is distinct from new.name) execute function touch();
create table log (at timestamptz primary key default clock_timestamp(), who int, was text);
create function note() returns trigger language plpgsql as 'begin insert into log (who, was) values (old.id, old.name); update counted set n = n + 1 where what = tg_table_name; return null; end';
create trigger notes after update or delete on people for each row execute function note();
create table counted (what text primary key, n int); insert into counted values ('people', 0);
create trigger same before update on counted for each row execute function suppress_redundant_updates_trigger();`, heldBy(t, "{groups: [dba]}"))
	conn := connect(t, th.as(person("ada")))
	p, err := th.preview(t, conn, approver, "update people set name = 'new' where id = 3")
	if err != nil || p.Error != "" || p.Rows != 1 || !strings.Contains(shown(p.After), "name=NEW") {
		t.Errorf("%+v, %v\n%s", p, err, shown(p.After))
	}
	if p, err = th.preview(t, conn, approver, "delete from people where id = 200"); err != nil || p.Rows != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	if n := count(t, th, "select (select count(*) from log) + (select n from counted) + (select count(*) from people where name = 'NEW')"); n != 0 {
		t.Error("a preview left something")
	}
	done := background(conn, "update people set name = 'x' where id = 4")
	if ask := th.looked(t, th.held(t, 1)[0].ID); ask.Evidence.Rows == nil || *ask.Evidence.Rows != 1 {
		t.Errorf("it was not planned: %+v", ask.Evidence)
	}
	th.deny(t, th.held(t, 1)[0].ID)
	wantCode(t, await(t, done), "42501")
}

// Attack: read personal data through what a trigger makes of a row.
func TestPreviewDoesNotShowWhatATriggerMoves(t *testing.T) {
	for _, body := range []string{
		"new.name := new.email;", `new.name := new . "email";`, "new.name := to_jsonb(new)::text;", "select email into new.name from people where id = new.id;",
		"new := old; new.name := (select string_agg(p.email, ',') from people p);", "new.name := row(old.*)::text;", "declare r record; begin r := new; new.name := r::text; end;",
	} {
		th := start(t, "prod", village+"create function moves() returns trigger language plpgsql as $$ begin "+body+" return new; end $$; create trigger moves before update on people for each row execute function moves();", heldBy(t, "{groups: [dba]}"))
		p, err := th.preview(t, connect(t, th.as(person("ada"))), approver, "update people set city = 1 where id = 3")
		if text := shown(p.Before) + shown(p.After) + strings.Join(p.Notes, ""); strings.Contains(text, "p3@") {
			t.Errorf("%s: %v\n%s", body, err, text)
		}
		if err == nil && (p.After != nil || len(p.Notes) == 0) {
			t.Errorf("%s: rows are shown: %s", body, shown(p.After))
		}
	}
}

// Attack: a trigger, or what it reaches, that does more than it seems to.
func TestPreviewRefusesTriggersThatDoMore(t *testing.T) {
	const plain = "create table aim (id int primary key, what text); insert into aim values (1, 'x'); create sequence seen; create table numbered (id serial primary key, what text); create table other (id int primary key, what text);"
	trigger := func(body string) string {
		return "create function fires() returns trigger language plpgsql as $$ begin " + body + " return new; end $$; create trigger fires before update on aim for each row execute function fires();"
	}
	for name, setup := range map[string]string{
		"takes a number":                    trigger("perform nextval('seen');"),
		"takes one for a default":           trigger("insert into numbered (what) values (new.what);"),
		"takes one for an assigned default": trigger("update numbered set id = default;"),
		"runs SQL that is made up":          trigger("execute 'select nextval(''seen'')';"),
		"calls what does":                   "create function more() returns int language plpgsql as $$ begin return nextval('seen'); end $$;" + trigger("perform more();"),
		"calls by an operator":              "create function more(int, int) returns bool immutable language plpgsql as $$ begin perform nextval('seen'); return true; end $$; create operator === (leftarg = int, rightarg = int, function = more);" + trigger("if 1 === 1 then null; end if;"),
		"calls in its condition":            "create function more() returns bool language plpgsql as $$ begin perform nextval('seen'); return true; end $$; create function fires() returns trigger language plpgsql as $$ begin return new; end $$; create trigger fires before update on aim for each row when (more()) execute function fires();",
		"fires another":                     "create function late() returns trigger language plpgsql as $$ begin perform nextval('seen'); return new; end $$; create trigger late after insert on other for each row execute function late();" + trigger("insert into other values (7, 'x');"),
		"changes tables":                    trigger("create table made (id int);"),
		"empties one":                       trigger("truncate other;"),
		"locks":                             trigger("perform pg_advisory_lock(1);"),
		"tells others":                      trigger("notify x;"),
		"has changed since it was read":     "", // below
	} {
		t.Run(name, func(t *testing.T) {
			if setup == "" {
				setup = trigger("new.what := 'y';")
			}
			th := start(t, "prod", village+plain+setup, heldBy(t, "{groups: [dba]}"))
			conn := connect(t, th.as(person("ada")))
			if name == "has changed since it was read" {
				done := background(conn, "update aim set what = 'y' where id = 1")
				ask := th.held(t, 1)[0]
				direct := connect(t, th.direct)
				if _, err := direct.Exec(t.Context(), "create or replace function fires() returns trigger language plpgsql as $$ begin perform nextval('seen'); return new; end $$"); err != nil {
					t.Fatal(err)
				}
				if p, err := th.Preview(t.Context(), approver, ask.ID); err == nil {
					t.Errorf("it was tried: %+v", p)
				}
				th.deny(t, ask.ID)
				wantCode(t, await(t, done), "42501")
			} else if p, err := th.preview(t, conn, approver, "update aim set what = 'y' where id = 1"); err == nil {
				t.Errorf("it was tried: %+v", p)
			}
			if n := count(t, th, "select count(*) from pg_sequences where sequencename in ('seen', 'numbered_id_seq') and last_value is not null"); n != 0 {
				t.Error("a sequence was moved")
			}
		})
	}
}

// A preview is for those who decide, ends soon, and never outlives the wait.
func TestPreviewIsForApproversAndShort(t *testing.T) {
	th := start(t, "prod", village, heldBy(t, "{groups: [dba]}"))
	ada := person("ada", "dba")
	conn := connect(t, th.as(ada))
	for _, who := range []identity.Identity{ada, person("eve"), auditor, person("root", "admin")} {
		if p, err := th.preview(t, conn, who, "update people set name = 'x' where id = 1"); err == nil {
			t.Errorf("%s was shown %+v", who.Name(), p)
		}
	}
	locker := connect(t, th.direct)
	if _, err := locker.Exec(t.Context(), "begin; update people set name = 'locked' where id = 1"); err != nil {
		t.Fatal(err)
	}
	if p, err := th.preview(t, conn, approver, "update people set name = 'x' where id = 1"); err != nil || !strings.Contains(p.Error, "55P03") {
		t.Errorf("on a locked row: %+v, %v", p, err)
	}
	p, err := th.preview(t, conn, approver, "update people set name = 'x' where id = (select count(*) from people a, people b, people c, people d where a.id + b.id <> c.id - d.id)")
	if err != nil || !strings.Contains(p.Error, "57014") {
		t.Errorf("one that takes for ever: %+v, %v", p, err)
	}
	if _, err := th.Preview(t.Context(), approver, "nope2"); err == nil {
		t.Error("an ask that is not there has a preview")
	}
	// A look at an ask that was answered just then is given up, and not waited for.
	eventually(t, "nothing of it is open", func() bool {
		return count(t, th, "select count(*) from pg_stat_activity where application_name = 'sluice approvals' and state <> 'idle'") == 0
	})
	p, err = th.preview(t, conn, approver, "insert into people values (2, 'twice', 'a@example.com', 1)")
	if err != nil || !strings.Contains(p.Error, "23505") || strings.Contains(p.Error, "(2)") {
		t.Errorf("one that fails: %+v, %v", p, err)
	}
}
