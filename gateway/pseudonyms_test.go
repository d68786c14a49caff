package gateway_test

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/policy"
)

const pseudonymous = `
create table members (id int primary key, email text, ssn int, phone varchar(30), salary int, note text, doc jsonb);
insert into members select i, 'ada' || i % 20 || '@example.com', 100000000 + i % 20, '+49 30 5550' || 100 + i, 70000 + i, 'write to ada' || i % 20 || '@example.com', jsonb_build_object('email', 'ada' || i % 20 || '@example.com') from generate_series(1, 60) i;
create table visits (id int primary key, contact_email varchar(60));
insert into visits select i, 'ada' || i % 20 || '@example.com' from generate_series(1, 60) i;
analyze;`

func withKey(c *gateway.Config) { c.Pseudonyms = []byte(strings.Repeat("a key of tests ", 4)) }

// What is exported with pseudonyms can be joined and counted outside, in text and in
// binary, and tells nothing else.
func TestPseudonymsJoinOutside(t *testing.T) {
	rules, err := policy.Load("test.yaml", []byte(`
builtin: false
rules:
  - {name: open, when: 'true', effect: allow}
  - {name: analysts, when: '"analysts" in who.groups', pseudonym: [email, ssn, phone], purpose: churn}
  - {name: others, when: '"others" in who.groups', pseudonym: [email]}
  - {name: jobs, when: 'who.kind == "job" && "nightly" in who.groups', pseudonym: [email], purpose: churn}
`))
	if err != nil {
		t.Fatal(err)
	}
	th := start(t, "dev", pseudonymous, rules, withKey)
	read := func(who identity.Identity, sql string, mode pgx.QueryExecMode) []string {
		out, err := text(connect(t, th.as(who)), sql, mode)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if strings.Contains(out, "ada") || strings.Contains(out, "1000000") || strings.Contains(out, "5550") {
			t.Errorf("%s: %.100q", sql, out)
		}
		return strings.Fields(strings.ReplaceAll(out, "|", " "))
	}
	ann := person("ann", "analysts")
	first := read(ann, "select email from members order by id limit 1", pgx.QueryExecModeSimpleProtocol)[0]
	if !regexp.MustCompile(`^u-[a-z2-7]{12}@masked\.invalid$`).MatchString(first) {
		t.Fatalf("the pseudonym is %q", first)
	}
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement} {
		members, visits := read(ann, "select email from members order by id", mode), read(ann, "select contact_email from visits order by id", mode)
		seen := map[string]bool{}
		for i, m := range members {
			seen[m] = true
			if m != visits[i] || members[0] != first {
				t.Fatalf("row %d: %q and %q", i, m, visits[i])
			}
		}
		if len(seen) != 20 {
			t.Errorf("%d different addresses, there are 20", len(seen))
		}
		numbers := map[string]bool{}
		for _, n := range read(ann, "select ssn from members", mode) {
			numbers[n] = true
		}
		if len(numbers) != 20 || numbers["0"] {
			t.Errorf("%d different numbers, there are 20", len(numbers))
		}
	}
	if got := strings.Join(read(ann, "select note, doc from members where id = 1", pgx.QueryExecModeSimpleProtocol), " "); strings.Count(got, first) != 2 {
		t.Errorf("in prose and in a document: %s", got)
	}
	if got := read(ann, "select salary from members where id = 1", pgx.QueryExecModeSimpleProtocol)[0]; got != "0" {
		t.Errorf("a salary is shown as %s", got)
	}
	for name, who := range map[string]identity.Identity{"another purpose": person("olga", "others"), "nobody's rule": person("nina")} {
		if got := read(who, "select email from members order by id limit 1", pgx.QueryExecModeSimpleProtocol)[0]; got == first {
			t.Errorf("%s sees the same", name)
		}
	}
	job := person("job", "nightly")
	job.Kind = identity.Job
	if got := read(job, "select email from members group by email order by email limit 20", pgx.QueryExecModeSimpleProtocol); len(got) != 20 || !strings.HasPrefix(got[0], "u-") {
		t.Errorf("a job groups by pseudonyms: %q", got)
	}
	if out, err := run(connect(t, th.as(ann)), "select md5(email) from members limit 1"); err != nil || out != "[masked]\n" {
		t.Errorf("what is computed is hidden: %q, %v", out, err)
	}
	if rule := refusedBy(t, connect(t, th.as(ann)), "update members set email = '"+first+"' where id = 1"); rule != "no-masks-written" {
		t.Errorf("a pseudonym is written back: refused by %q", rule)
	}
	var told bool
	for _, ev := range th.events(audit.Finished) {
		told = told || strings.Contains(strings.Join(ev.MaskedCols, " "), "email:email as a pseudonym") && ev.Masked > 0
	}
	if !told {
		t.Error("the record does not say which columns had pseudonyms")
	}
	for _, ev := range append(th.events(audit.Decided), th.events(audit.Admin)...) {
		if strings.Contains(ev.Detail+ev.Reason+ev.SQL, "key of tests") {
			t.Errorf("the key is in the record: %+v", ev)
		}
	}
}

// Copies have them too.
func TestPseudonymsInCopies(t *testing.T) {
	th := start(t, "dev", pseudonymous, lenient(t, ", pseudonym: [email, ssn]"), withKey)
	conn := connect(t, th.as(person("ann")))
	want, err := run(conn, "select email, ssn from members where id = 1")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if _, err := conn.PgConn().CopyTo(context.Background(), &out, "copy (select email, ssn from members where id = 1) to stdout"); err != nil {
		t.Fatal(err)
	}
	if got := strings.ReplaceAll(out.String(), "\t", "|"); got != want || !strings.HasPrefix(got, "u-") {
		t.Errorf("copied %q, selected %q", got, want)
	}
}

// Without a key there are none, and nobody must think that there are.
func TestPseudonymsNeedAKey(t *testing.T) {
	th := start(t, "dev", pseudonymous, nil)
	rules := lenient(t, ", pseudonym: [email]")
	if err := th.SetPolicy(gateway.Policy{Rules: rules, Source: "x", Text: "x"}, "test"); err == nil {
		t.Error("a policy with pseudonyms was put in force without a key")
	}
	cfg := th.cfg
	cfg.Rules = rules
	if _, err := gateway.New(cfg); err == nil {
		t.Error("a gateway began without a key")
	}
	cfg.Pseudonyms = []byte("too short")
	if _, err := gateway.New(cfg); err == nil {
		t.Error("a gateway began with a short key")
	}
}

// The record of a SELECT says which columns were masked, whole or in part, and how many
// values.
func TestRecordSaysWhichColumnsWereMasked(t *testing.T) {
	th := start(t, "dev", pseudonymous, nil)
	if _, err := run(connect(t, th.as(person("ann"))), "select id, email, note from members where id in (1, 2, 3)"); err != nil {
		t.Fatal(err)
	}
	for _, ev := range th.events(audit.Finished) {
		if got := strings.Join(ev.MaskedCols, ", "); got != "email:email, note:email in part" || ev.Masked != 6 {
			t.Errorf("masked %d of %q", ev.Masked, got)
		}
	}
}
