package gateway_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/audit"
)

// What a decision says of the ways that values take, in each way that a statement comes.
func TestFlowsAreRecorded(t *testing.T) {
	th := start(t, "dev", shop+`
		create table spend (city int, total bigint, who text);
		create table log (what text);
		create function noted() returns trigger language plpgsql as 'begin insert into log values (new.who); return new; end';
		create trigger noted after update on spend for each row execute function noted();`, nil)
	conn := connect(t, th.as(person("ada")))
	for _, c := range []struct {
		sql   string
		flows []string
	}{
		{"select id, name from cities", nil},
		{"select name from cities where id = 3", []string{"- steers+filter public.cities.id"}},
		{"select upper(name), count(*) from cities group by name", []string{"- derived public.cities.name"}},
		{"select id, email from people", []string{"- direct+masked public.people.email"}},
		{"select lower(email) as e, id from people where email = 'x'", []string{"- derived+masked public.people.email"}},
		{"select count(email) from people", []string{"- counted public.people.email"}},
		{"explain select email from people", nil},
		{"declare c cursor for select id from people", nil},
		{"insert into spend values (1, 2, 'x')", nil},
		{"insert into spend select c.id, sum(p.id), min(p.email) from cities c join people p on p.id = c.id where c.name <> 'x' group by c.id",
			[]string{
				"public.spend.city direct public.cities.id", "public.spend.total derived public.people.id", "public.spend.who derived public.people.email",
				"public.spend steers+join+group_by public.cities.id", "public.spend steers+filter public.cities.name", "public.spend steers+join public.people.id",
			}},
		{"delete from spend where city in (select id from cities)", []string{"public.spend steers+join public.cities.id public.spend.city"}},
		{"insert into spend select id, row_number() over (partition by name order by id), case when id > 1 then 'a' else 'b' end from cities order by name limit 1",
			[]string{"public.spend.city direct public.cities.id", "public.spend steers+window+conditional public.cities.id", "public.spend steers+sort+window public.cities.name"}},
		{"insert into spend select c.id, 1, 'x' from cities c, people p where c.id = p.id and c.id < p.id",
			[]string{"public.spend.city direct public.cities.id", "public.spend steers+join+filter public.cities.id public.people.id"}},
		{"explain analyze insert into spend select id, 1, 'x' from cities", []string{"public.spend.city direct public.cities.id"}},
	} {
		tx, err := conn.Begin(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(context.Background(), c.sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", c.sql, err)
		}
		if err := tx.Rollback(context.Background()); err != nil {
			t.Fatal(err)
		}
		var ev audit.Event
		for _, e := range th.events(audit.Decided) {
			if e.SQL == c.sql {
				ev = e
			}
		}
		if d := cmp.Diff(c.flows, ev.Flows); d != "" {
			t.Errorf("%s: flows (-want +got)\n%s", c.sql, d)
		}
	}
}

// What a trigger, a function or a name behind EXECUTE moves is moved as well.
func TestFlowsOfWhatIsNotInTheText(t *testing.T) {
	th := start(t, "dev", shop+`
		create table copies (email text);
		create function fill() returns void language sql as 'insert into copies select email from people';`, nil)
	conn := connect(t, th.as(person("ada")))
	for _, sql := range []string{"select fill()", "prepare p as insert into copies select email from people", "execute p"} {
		if _, err := conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
	}
	found := map[string]bool{}
	for _, e := range th.events(audit.Decided) {
		for _, f := range e.Flows {
			if f == "public.copies.email direct public.people.email" {
				found[e.SQL] = true
			}
		}
	}
	if !found["select fill()"] || !found["execute p"] || found["prepare p as insert into copies select email from people"] {
		t.Errorf("%v", found)
	}
}
