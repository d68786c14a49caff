package gateway_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// A column is judged by its type as well as by its name: these types alone say
// that their values are personal, or that a telling name must be believed.
func TestTypeOfAColumnCountsForItsLabel(t *testing.T) {
	th := start(t, "dev", `create table visits (id int primary key, seen_from inet, lan cidr, device macaddr, date_of_birth timestamptz, salary money, at timestamptz);
		create table empty (a inet, b cidr, c macaddr, d timestamptz);
		insert into visits select i, '203.0.113.7', '203.0.113.0/24', '08:00:2b:01:02:03', '1815-12-10', 98765.43, '2024-02-29' from generate_series(1, 200) i; analyze visits`, nil)
	columns, err := th.Scan(t.Context(), person("ada"), "orders")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"visits.seen_from", "visits.lan", "visits.device", "visits.date_of_birth", "visits.salary", "empty.a", "empty.b", "empty.c"} {
		if c := columns["public."+name]; !c.PII {
			t.Errorf("%s is not personal: %+v", name, c)
		}
	}
	if c := columns["public.empty.d"]; c.PII || !strings.Contains(c.Evidence, "nothing personal") {
		t.Errorf("a time: %+v", c)
	}
	conn := connect(t, th.as(person("ada")))
	for name, mode := range map[string]pgx.QueryExecMode{"text": pgx.QueryExecModeSimpleProtocol, "binary": pgx.QueryExecModeCacheStatement} {
		rows, err := conn.Query(context.Background(), "select seen_from, lan, device, date_of_birth, salary, at from visits where id = 7", mode)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			raw := rows.RawValues()
			for i, secret := range []string{"203.0.113.7", "203.0.113.0", "2b:01:02:03", "1815-12-10", "98,765.43"} {
				if name == "text" && strings.Contains(string(raw[i]), secret) {
					t.Errorf("%s came through as %s", secret, raw[i])
				}
			}
			if name == "text" && !strings.HasPrefix(string(raw[5]), "2024-02-2") || len(raw[5]) < 8 {
				t.Errorf("%s: a time that is nobody's came as %q", name, raw[5])
			}
			for i, secret := range []string{"\xcb\x00\x71\x07", "\xcb\x00\x71\x00", "\x2b\x01\x02\x03"} {
				if name == "binary" && strings.Contains(string(raw[i]), secret) {
					t.Errorf("%q came through as %q", secret, raw[i])
				}
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// What refers to a key has its values: a telling name means nothing if the key is a row
// number, and a silent one is no cover if the key is personal.
func TestForeignKeysHaveTheLabelsOfTheirKeys(t *testing.T) {
	th := start(t, "dev", `
create table patients (id bigint primary key, insurance_number text unique);
insert into patients select 70000000 + i, 'Q' || (800000000 + i * 13) from generate_series(1, 300) i;
create table visits (id int primary key, patient_id bigint references patients, policy text references patients (insurance_number));
create table letters (patient_id bigint);
insert into letters select 70000000 + i from generate_series(1, 300) i;
insert into visits select i, 70000000 + i, 'Q' || (800000000 + i * 13) from generate_series(1, 300) i;
analyze`, nil)
	columns, err := th.Scan(t.Context(), person("ada"), "orders")
	if err != nil {
		t.Fatal(err)
	}
	for name, personal := range map[string]bool{
		"patients.id": false, "visits.patient_id": false, "letters.patient_id": true, "patients.insurance_number": true, "visits.policy": true,
	} {
		if c := columns["public."+name]; c.PII != personal || (c.State == "clean") == personal {
			t.Errorf("%s: %+v", name, c)
		}
	}
	conn := connect(t, th.as(person("ada")))
	var joined int
	if err := conn.QueryRow(t.Context(), "select count(*) from patients p join visits v on v.patient_id = p.id").Scan(&joined); err != nil || joined != 300 {
		t.Errorf("a join by the key: %d rows, %v", joined, err)
	}
}

// A column of few values is judged by what ANALYZE has of it, all of it, and is not read
// value by value for ever; one of few rows stays in doubt.
func TestColumnOfOneValueIsJudged(t *testing.T) {
	th := start(t, "dev", `create table parts (id int primary key, state text, colour text); create table few (state text);
		insert into parts select i, 'in stock', case when i % 2 = 0 then 'green' end from generate_series(1, 3000) i; insert into few values ('in stock'), ('in stock');
		analyze`, nil)
	columns, err := th.Scan(t.Context(), person("ada"), "orders")
	if err != nil {
		t.Fatal(err)
	}
	for name, state := range map[string]string{"parts.state": "clean", "parts.colour": "clean", "few.state": "unknown"} {
		if c := columns["public."+name]; c.State != state {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// Attack: a key that nobody checked, so that a column of personal data would count as a
// copy of one that is clean when a gateway starts and judges it for the first time.
func TestForeignKeyThatIsNotValidHidesNothingLess(t *testing.T) {
	th := start(t, "dev", `
create table codes (code bigint primary key);
insert into codes select i from generate_series(1, 300) i;
create table letters (id int primary key, patient_id bigint);
insert into letters select i, 70000000 + i from generate_series(1, 300) i;
alter table letters add foreign key (patient_id) references codes not valid;
analyze`, nil)
	columns, err := th.Scan(t.Context(), person("ada"), "orders")
	if err != nil {
		t.Fatal(err)
	}
	if c := columns["public.letters.patient_id"]; !c.PII {
		t.Errorf("%+v", c)
	}
	if c := columns["public.codes.code"]; c.State != "clean" {
		t.Errorf("the key: %+v", c)
	}
}
