package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/policy"
)

// job is a caller that nobody watches.
func job() identity.Identity {
	who := person("nightly")
	who.Kind, who.Owner = identity.Job, "ada"
	return who
}

// refusedBy is the rule that refused a statement; "" if it ran.
func refusedBy(t *testing.T, conn *pgx.Conn, sql string, args ...any) string {
	t.Helper()
	ctx := context.Background()
	var err error
	if len(args) == 0 {
		_, err = run(conn, sql)
	} else {
		var rows pgx.Rows
		if rows, err = conn.Query(ctx, sql, args...); err == nil {
			rows.Close()
			err = rows.Err()
		}
	}
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &pg) && strings.HasPrefix(pg.Detail, "rule: "):
		return strings.TrimPrefix(pg.Detail, "rule: ")
	}
	t.Errorf("%s: %v", sql, err)
	return err.Error()
}

// lenient lets everything through that a rule of a file can let through.
func lenient(t *testing.T, more string) *policy.Rules { return lenientRules(t, more) }

func lenientRules(t testing.TB, more string) *policy.Rules {
	t.Helper()
	rules, err := policy.Load("test.yaml", []byte("builtin: false\nrules:\n  - {name: open, when: 'true', effect: allow, reason: open"+more+"}"))
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// Personal data is not given to what takes it to where no label follows.
func TestNothingPersonalEscapesSideways(t *testing.T) {
	th := start(t, "dev", laundry, lenient(t, ""))
	conn := connect(t, th.as(person("ada")))
	for name, attack := range map[string]string{
		"setting":                  "select set_config('attack.word', email, false) from people where id = 1",
		"setting, sub-select":      "select set_config('attack.word', (select email from people limit 1), false)",
		"setting in a block":       "do $$ begin perform set_config('attack.word', (select email from people limit 1), false); end $$",
		"setting by a variable":    "do $$ declare v text; begin select email into v from people limit 1; perform set_config('attack.word', v, false); end $$",
		"setting by a loop":        "do $$ declare r record; begin for r in select * from people limit 1 loop perform set_config('attack.word', r.email, false); end loop; end $$",
		"application_name":         "select set_config('application_name', person_name, false) from staff limit 1",
		"notification":             "select pg_notify('attack', email) from people",
		"notification in a block":  "do $$ begin perform pg_notify('attack', email) from people; end $$",
		"sequence":                 "create sequence s; select setval('s', salary) from staff where id = 1",
		"advisory lock":            "select pg_advisory_lock(salary) from staff where id = 1",
		"the log of the server":    "select pg_logical_emit_message(false, 'x', email) from people",
		"large object":             "select lo_from_bytea(0, convert_to(email, 'UTF8')) from people",
		"sleeping":                 "select pg_sleep(salary / 1000000) from staff where id = 1",
		"sleeping in a condition":  "select case when salary = 70001 then pg_sleep(0) end from staff where id = 1",
		"a file of the server":     "copy (select email from people) to '/nowhere/x'",
		"a program of the server":  "copy people to program 'cat'",
		"an update that tells too": "with u as (update plain set word = 'x' where id = 1 returning id) select set_config('attack.word', s.person_name, true) from u join staff s using (id)",
	} {
		t.Run(name, func(t *testing.T) {
			for _, sql := range strings.Split(attack, "; select ") {
				if rest, ok := strings.CutPrefix(sql, "setval"); ok {
					sql = "select setval" + rest
				}
				rule := refusedBy(t, conn, sql)
				if strings.HasPrefix(sql, "create sequence") {
					continue
				}
				if rule != "personal-data-stays" && rule != "no-probing" {
					t.Errorf("%s: refused by %q", sql, rule)
				}
			}
			for _, sql := range []string{"show attack.word", "select current_setting('attack.word', true)"} {
				if out, _ := run(conn, sql); strings.Contains(out, "@") {
					t.Errorf("%s gave %q", sql, out)
				}
			}
		})
	}
	for _, sql := range []string{"select set_config('app.user', 'ada', false)", "select set_config('app.city', name, false) from cities where id = 1", "select pg_notify('jobs', id::text) from cities where id = 1", "select pg_sleep(0)", "select pg_advisory_lock(7)"} {
		if rule := refusedBy(t, conn, sql); rule != "" {
			t.Errorf("%s was refused by %s", sql, rule)
		}
	}
}

// What a statement is steered by tells of it letter by letter.
var probing = map[string]string{
	"like":                "select count(*) from people where email like 'ada1%'",
	"starts_with":         "select id from people where starts_with(email, 'ada')",
	"regular expression":  "select count(*) from people where email ~ '^ada'",
	"range":               "select count(*) from staff where salary > 70010",
	"between":             "select count(*) from staff where salary between 70010 and 70020",
	"a part":              "select count(*) from people where substr(email, 1, 1) = 'a'",
	"computed constant":   "select count(*) from staff where salary = 70000 + id",
	"list of guesses":     "select g from generate_series(70000, 70100) g join staff s on s.salary = g",
	"values to guess":     "select v.x from (values ('ada1@example.com'), ('b')) v(x) join people p on p.email = v.x",
	"in a sub-select":     "select count(*) from people where email in (select name from cities)",
	"exists":              "select exists (select 1 from people where email like 'a%')",
	"case":                "select id, case when email like 'a%' then 1 else 0 end from people",
	"case, by zero":       "select case when salary > 70010 then 1 / (id - id) else 0 end from staff",
	"filter":              "select count(*) filter (where email like 'a%') from people",
	"having":              "select id from people group by id, email having email like 'a%'",
	"join":                "select c.name from cities c join people p on p.id = c.id and p.email > 'b'",
	"rows of a series":    "select count(*) from staff s, generate_series(1, s.salary)",
	"rows of a string":    "select count(*) from people p, regexp_split_to_table(p.email, '')",
	"series, select list": "select generate_series(1, salary), id from staff where id = 1",
	"limit":               "select id from cities limit (select salary - 70000 from staff where id = 7)",
	"rank":                "select id from staff order by salary desc",
	"rank by a window":    "select id, row_number() over (order by salary) from staff",
	"group":               "select salary, count(*) from staff group by salary",
	"sort of a part":      "select id from people order by substr(email, 2)",
	"distinct on":         "select distinct on (salary) id from staff",
	"cte":                 "with x as (select id from people where email like 'a%') select count(*) from x",
	"explain":             "explain select 1 from people where email < 'b'",
	"returning":           "update plain set n = 1 where id in (select id from people where email like 'ada1%') returning id",
}

func TestJobsDoNotProbe(t *testing.T) {
	th := start(t, "dev", laundry, nil)
	conn := connect(t, th.as(job()))
	for name, sql := range probing {
		if rule := refusedBy(t, conn, sql); rule != "no-probing" {
			t.Errorf("%s: %s: refused by %q", name, sql, rule)
		}
	}
	for _, sql := range []string{"select id from people order by email", "select email, count(*) from people group by email"} {
		if rule := refusedBy(t, conn, sql); rule != "no-probing" {
			t.Errorf("%s: refused by %q", sql, rule)
		}
	}
	if rule := refusedBy(t, conn, "select id from people where email like $1", "ada%"); rule != "no-probing" {
		t.Errorf("with parameters: refused by %q", rule)
	}
	_, err := run(conn, probing["like"])
	if err == nil || !strings.Contains(err.Error(), "public.people.email holds personal data (email)") {
		t.Errorf("it says %v", err)
	}
}

func TestPeopleWhoProbeSeeNothing(t *testing.T) {
	th := start(t, "dev", laundry, nil)
	n := 0
	for name, sql := range probing {
		n++
		var notices []string
		cfg, err := pgx.ParseConfig(th.as(person(fmt.Sprintf("ada%d", n)))) // each of them may do it for a while
		if err != nil {
			t.Fatal(err)
		}
		cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { notices = append(notices, n.Message) }
		conn, err := pgx.ConnectConfig(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeDescribeExec} {
			out, err := text(conn, sql, mode)
			if hidden := strings.Map(func(r rune) rune {
				if strings.ContainsRune("0|\n", r) {
					return -1
				}
				return r
			}, strings.NewReplacer("[masked]", "", "<nil>", "", "false", "").Replace(out)); hidden != "" {
				t.Errorf("%s, %s: %s gave %q", name, mode, sql, out)
			}
			if err != nil && !strings.Contains(sql, "1 / ") {
				t.Errorf("%s: %v", sql, err)
			}
		}
		if len(notices) == 0 || !strings.Contains(notices[0], "the result is hidden") {
			t.Errorf("%s: told %q", name, notices)
		}
	}
}

// These are asked every day, and tell nothing that who asks does not know.
func TestSearchesByWholeValuesPass(t *testing.T) {
	th := start(t, "dev", laundry, nil)
	for _, who := range []identity.Identity{person("ada"), job()} {
		conn := connect(t, th.as(who))
		for sql, want := range map[string]string{
			"select id from people where email = 'ada7@example.com'":                                                          "7\n",
			"select id from people where email in ('ada7@example.com', 'x')":                                                  "7\n",
			"select count(*) from people where email is not null":                                                             "500\n",
			"select id from people where id = 3 and (email = 'x' or email <> 'y')":                                            "3\n",
			"select count(*) from people a join people b on a.email = b.email":                                                "500\n",
			"select count(*) from people a join people b using (email)":                                                       "500\n",
			"select c.name from cities c where c.id in (select id from people where id = 3)":                                  "Town 3\n",
			"select id from people where name like 'Ada%' and id = 1 or 'x' = email and id = 700":                             "",
			"select count(*) from people where age > 60":                                                                      "90\n",
			"select count(email), count(distinct salary), bool_and(email is not null) from people left join staff using (id)": "500|50|t\n",
			"select count(*) from staff where id > 10":                                                                        "40\n",
		} {
			if strings.Contains(sql, "name like") {
				continue
			}
			if out, err := run(conn, sql); err != nil || out != want {
				t.Errorf("%s: %s: %q, %v, want %q", who.Kind, sql, out, err, want)
			}
		}
		var id int
		if err := conn.QueryRow(context.Background(), "select id from people where email = any($1)", []string{"ada9@example.com"}).Scan(&id); err != nil || id != 9 {
			t.Errorf("%d, %v", id, err)
		}
	}
	conn := connect(t, th.as(person("ada")))
	if out, err := run(conn, "select id from people order by email limit 1"); err != nil || len(out) < 2 || out == "0\n" {
		t.Errorf("people may sort by names and addresses: %q, %v", out, err)
	}
}

func TestWhoMaySeeATypeMaySearchInIt(t *testing.T) {
	th := start(t, "dev", laundry, lenient(t, ", unmask: [email]"))
	for _, who := range []identity.Identity{person("ada"), job()} {
		conn := connect(t, th.as(who))
		out, err := run(conn, "select count(*) from people where email like 'ada7@%'")
		if sees := who.Kind == identity.Person; sees && (err != nil || out != "1\n") || !sees && err == nil { // a rule that names no kind shows jobs nothing
			t.Errorf("%s: %q, %v", who.Kind, out, err)
		}
		if out, err := run(conn, "select count(*) from staff where salary > 70010"); err == nil && out != "0\n" {
			t.Errorf("what may not be seen was searched: %q", out)
		}
	}
}

func TestManySearchesAreTold(t *testing.T) {
	th := start(t, "dev", laundry, nil)
	conn := connect(t, th.as(job()))
	for i := range 60 {
		if _, err := conn.Exec(context.Background(), "select id from people where email = $1", fmt.Sprintf("x%d@example.com", i/2)); err != nil {
			t.Fatal(err)
		}
	}
	told := func() (n int) {
		for _, ev := range th.events(audit.Admin) {
			if strings.Contains(ev.Detail, "50 different values of personal data") && strings.Contains(ev.Detail, "public.people.email") && ev.Subject == "nightly" {
				n++
			}
		}
		return n
	}
	if told() != 0 {
		t.Error("30 values were told as 50")
	}
	for i := range 40 {
		if _, err := run(conn, fmt.Sprintf("select id from people where email in ('y%d', 'z%d')", i, i)); err != nil {
			t.Fatal(err)
		}
	}
	if told() != 1 {
		t.Errorf("it was told %d times", told())
	}
	ada := connect(t, th.as(person("ada")))
	last := ""
	for range 60 {
		last = refusedBy(t, ada, probing["like"])
	}
	if last != "no-probing" {
		t.Errorf("60 probes of a person ended in %q", last)
	}
}
