package gateway_test

import (
	"strings"
	"testing"
)

// What a job reckons with personal numbers, or writes of them, does not tell by being too
// large or by what the table has against it; ordinary reckoning and loading goes on.
func TestDoorTooLarge(t *testing.T) {
	th := start(t, "dev", laundry+"; create table loads (id int primary key, email text not null, salary int check (salary > 0), mark int unique)", nil)
	conn := connect(t, th.as(job()))
	for _, tt := range []struct {
		sql     string
		args    []any
		refused bool
	}{
		{"select salary * 238 from staff", nil, true},
		{"select 2147483647 + (email like 'a%')::int from people", nil, true},
		{"select salary * $1 from staff", []any{30_000}, true},
		{"select salary + $1 from staff", []any{2_147_400_000}, true},
		{"select salary * $1::int from staff", []any{"30000"}, true},
		{"select s.salary * c.id from staff s, cities c", nil, true},
		{"update staff set salary = salary + 2147400000 where id = 1", nil, true},
		{"insert into loads (id, email, mark) select id, email, (email like 'a%')::int from people where id = 1", nil, true},
		{"insert into loads (id, email, salary) select id, 'x', salary - 70010 from staff where id = 1", nil, true},
		{"create temp table small (v varchar(15)); insert into small select email from people where id = 1", nil, true},
		{"create temp table own (k int check (k < 70010)); insert into own select salary from staff where id = 1", nil, true},
		{"create temp table grown (k int); alter table grown add check (k < 70010); insert into grown select salary from staff where id = 1", nil, true},
		{"create temp table later (k int)", nil, false},
		{"alter table later add check (k < 70010)", nil, false},
		{"insert into later select salary from staff where id = 1", nil, true},
		{"alter table staff add check (salary < 70010)", nil, true},

		{"select salary * 12, salary::numeric * 238, sum(salary), avg(salary)::int from staff group by id", nil, false},
		{"select salary * $1 from staff", []any{12}, false},
		{"update staff set salary = salary + $1 where id = $2", []any{500, 1}, false},
		{"update staff set salary = salary - 10 where id = 1", nil, false},
		{"insert into loads (id, email, salary) select s.id, p.email, s.salary from staff s join people p on p.id = s.id", nil, false},
		{"create temp table wide (id int primary key, v varchar(255), n int not null); insert into wide select id, email, 1 from people", nil, false},
	} {
		want := ""
		if tt.refused {
			want = "no-probing"
		}
		if rule := refusedBy(t, conn, tt.sql, tt.args...); rule != want {
			t.Errorf("%s %v: refused by %q, want %q", tt.sql, tt.args, rule, want)
		}
	}
	person := connect(t, th.as(person("ada")))
	if rule := refusedBy(t, person, "select salary * 12 * 30000 from staff where id < 0"); rule != "" {
		t.Errorf("a person was refused by %s", rule)
	}
}

// A migration that fills a table with checks of its own hears that it is about those, and
// not what to do about a division.
func TestJobHearsThatATableIsAgainstIt(t *testing.T) {
	th := start(t, "dev", laundry, nil)
	conn := connect(t, th.as(job()))
	if _, err := run(conn, "create table migrated (id int, email text check (email <> ''))"); err != nil {
		t.Fatal(err)
	}
	_, err := run(conn, "insert into migrated select id, email from people")
	if err == nil || !strings.Contains(err.Error(), "newer than the gateway's start") {
		t.Errorf("it is told %v", err)
	}
	if _, err := run(conn, "select 1 / length(email) from people"); err == nil || !strings.Contains(err.Error(), "divide by nullif") {
		t.Errorf("who divides is told %v", err)
	}
}
