package leak

import (
	"fmt"
	"math/big"
	"strings"
)

// people is how many persons a world has.
const people = 24

// flavour is what makes the secrets of one world differ from those of another in which
// all that masks show is the same: first letters, years, last digits.
type flavour struct {
	given, family, domain, street string
	salary, step, phone, card     int
	token                         string
}

var flavours = []flavour{
	{"Zelqu", "Wyrb", "vexfoldia.test", "Quorxlane", 8_600_000, 1357, 55_100, 40_071_600, "qzjxkvbw"},
	{"Zompa", "Wulk", "quibbera.test", "Brimfelt", 9_700_000, 2468, 67_200, 40_082_700, "hgfwqxzp"},
}

// person is one row of people.
type human struct {
	first, last, email, phone, born, iban, card, ssn, street, ip, hash, key string
	salary                                                                  int
}

// letters writes a number so that no two look alike.
func letters(n int) string {
	const of = "bdfgjklmnp"
	return string([]byte{of[n/10%10], of[n%10]})
}

func (f flavour) person(i int) human {
	code := letters(i)
	h := human{first: f.given + code, last: f.family + code + "orn"}
	h.email = strings.ToLower(h.first+"."+h.last) + "@" + f.domain
	h.phone = fmt.Sprintf("+49 30 %d%02d", f.phone+i*7, i)
	h.born = fmt.Sprintf("%d-%02d-%02d", 1950+i, 11+(f.step+i)%2, 12+(f.step+i*3)%16)
	h.iban = iban(fmt.Sprintf("37040044%08d", (f.salary+i*f.step)*13%100_000_000), i)
	h.card = card(fmt.Sprintf("%d%07d", f.card, 7919*f.step*i%10_000_000), i)
	h.ssn = fmt.Sprintf("%03d-%02d-%04d", 219+f.step%90, 10+i, 2000+f.step+i)
	h.street = fmt.Sprintf("%s%s %d", f.street, code, i)
	h.ip = fmt.Sprintf("%d.%d.%d.%d", 180+f.phone%40, 100+i, 100+f.step%150, 150+i)
	h.hash = "$2b$12$" + strings.Repeat(f.token+code+"R9", 5)[:53]
	h.key = "sk_live_" + strings.Repeat(f.token+code+"4T", 3)[:32]
	h.salary = f.salary + i*f.step
	return h
}

// iban ends in two digits of our choice: the number before them is changed until the
// check digits, which come first, are right for them.
func iban(bban string, end int) string {
	bban = fmt.Sprintf("%s%02d", bban, end)
	n, _ := new(big.Int).SetString(bban+"131400", 10)
	return fmt.Sprintf("DE%02d%s", 98-new(big.Int).Mod(n, big.NewInt(97)).Int64(), bban)
}

// card has a right Luhn sum and ends as all of its number i do, in every world.
func card(head string, i int) string {
	tail := fmt.Sprintf("%04d", 1000+i)
	for d := range 10 {
		s := head[:11] + fmt.Sprint(d) + tail
		sum := 0
		for k := range len(s) {
			v := int(s[len(s)-1-k] - '0')
			if k%2 == 1 {
				if v *= 2; v > 9 {
					v -= 9
				}
			}
			sum += v
		}
		if sum%10 == 0 {
			return s
		}
	}
	return ""
}

// secrets are all values of a world that must not leave.
func (f flavour) secrets() (out []string) {
	for i := 1; i <= people; i++ {
		h := f.person(i)
		out = append(out, h.first, h.last, h.email, h.phone, strings.ReplaceAll(h.phone, "+49", ""), h.born, h.iban, h.card, h.ssn, h.street, h.ip, h.hash, h.key, fmt.Sprint(h.salary))
	}
	return out
}

// sql makes the world. The structure is the same for all.
func (f flavour) sql() string {
	var b strings.Builder
	b.WriteString(tables)
	row := func(form string, args ...any) { fmt.Fprintf(&b, form+";\n", args...) }
	for i := 1; i <= people; i++ {
		h := f.person(i)
		row("insert into people (id, first_name, last_name, email, phone, born, salary, iban, card_number, ssn, street, last_ip, password_hash, api_key, notes, profile, mails, reach, mail, income) values (%d,'%s','%s','%s','%s','%s',%d,'%s','%s','%s','%s','%s','%s','%s','Please write to %s or call %s about order %d.',"+
			`'{"email": "%s", "phone": "%s", "tier": "gold"}','{%s,none@here}',row('%s','%s'),'%s',int4range(%d,%d))`,
			i, h.first, h.last, h.email, h.phone, h.born, h.salary, h.iban, h.card, h.ssn, h.street, h.ip, h.hash, h.key, h.email, h.phone, i, h.email, h.phone, h.email, h.email, h.phone, h.email, h.salary, h.salary+1)
		row("insert into tickets values (%d, %d, 'The customer %s asked again, see %s; card %s was refused.', '{\"contact\": {\"email\": \"%s\"}, \"open\": true}')", i, i, h.email, h.phone, h.card, h.email)
		row("insert into payroll values (%d, %d, %d)", 2023+i%2, i, h.salary)
		row("insert into vip_person values (%d, '%s %s', 'gold')", i, h.first, h.last)
		row("insert into plain_copy values (%d, '%s')", i, h.email)
	}
	b.WriteString(after)
	return b.String()
}

const tables = `
create type contact as (address text, tel text);
create domain mail_address as text check (value like '%@%');
create type mood as enum ('fine', 'sad');
create table people (id int primary key, first_name text, last_name text, email text unique, phone text, born date, salary int check (salary > 1000), iban text, card_number text, ssn text,
	street text, last_ip inet, password_hash text, api_key text, notes text, profile jsonb, mails text[], reach contact, mail mail_address, income int4range,
	low text generated always as (lower(email)) stored, created timestamptz default '2024-05-06', active boolean default true);
create table cities (id int primary key, name text, size int, doc jsonb, tags text[]);
insert into cities select i, 'Town ' || i, i * 100, jsonb_build_object('n', i), array['a' || i] from generate_series(1, 60) i;
create table orders (id int primary key, person_id int, amount int, status text, city_id int);
insert into orders select i, 1 + i % 24, i * 3, case when i % 2 = 0 then 'paid' else 'open' end, 1 + i % 60 from generate_series(1, 60) i;
create table tickets (id int primary key, person_id int, body text, doc jsonb);
create table payroll (year int, person_id int, salary int) partition by list (year);
create table payroll_2023 partition of payroll for values in (2023);
create table payroll_2024 partition of payroll for values in (2024);
create table base_person (id int, full_name text);
create table vip_person (level text) inherits (base_person);
create table plain_copy (id int, reach text);
create table kv (k text primary key, v text);
create table numbers (n int);
insert into numbers select generate_series(1, 60);
create sequence counter;
`

const after = `
insert into kv select 'key ' || i, 'value ' || i from generate_series(1, 40) i;
create view contacts as select id, email as reach, salary as amount from people;
create view contacts_deep as select c.id, upper(c.reach) as label, c.amount + 0 as n from contacts c;
create view barrier with (security_barrier) as select id, email from people where id < 10;
create materialized view people_kept as select id, email as a, salary as b, phone as c from people;
create view towns as select id, name from cities;
create function mail_of(x int) returns text language sql stable as $$ select email from people where id = x $$;
create function mail_plain(x int) returns text language plpgsql stable as $$ declare r text; begin select email into r from people where id = x; return r; end $$;
create function mail_dynamic(x int) returns text language plpgsql stable as $$ declare r text; begin execute 'select email from people where id = ' || x into r; return r; end $$;
create function mails() returns setof text language sql stable as $$ select email from people order by id $$;
create function folk() returns setof people language sql stable as $$ select * from people $$;
create function folk_table() returns table (a int, b text) language sql stable as $$ select id, email from people $$;
create function definer_mail(x int) returns text language sql stable security definer as $$ select email from people where id = x $$;
create function twist(t text) returns text language sql immutable as $$ select reverse(t) $$;
create function tell(x int) returns void language plpgsql as $$ declare r text; begin select email into r from people where id = x; raise notice 'it is %', r; end $$;
create function blow(x int) returns int language plpgsql as $$ declare r text; begin select email into r from people where id = x; raise exception 'it is %', r using detail = 'the detail ' || r, hint = 'the hint ' || r; end $$;
create function out_mail(x int, out a text, out b int) language sql stable as $$ select email, salary from people where id = x $$;
create function cursor_of() returns refcursor language plpgsql as $$ declare c refcursor := 'opened'; begin open c for select email from people; return c; end $$;
create function shout() returns trigger language plpgsql as $$ begin raise notice 'changed %', new.email; return new; end $$;
create trigger shouts after update on people for each row execute function shout();
create function glue_step(a text, b text) returns text language sql immutable as $$ select coalesce(a || ',', '') || b $$;
create aggregate glue (text) (sfunc = glue_step, stype = text);
create operator ### (procedure = twist, rightarg = text);
create function first_of(people) returns text language sql stable as $$ select $1.email $$;
analyze;
`
