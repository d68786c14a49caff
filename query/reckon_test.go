package query

import (
	"fmt"
	"strings"
	"testing"
)

// typedSchema has columns of known types, as a catalogue has.
func typedSchema() *testSchema {
	s := newSchema(map[string][]string{"u": {"id", "n"}})
	s.rels[[2]string{"public", "t"}] = &Relation{Schema: "public", Name: "t", Kind: Table,
		Columns: []string{"id", "n", "m", "big", "rate", "price", "f", "d", "ts", "s"},
		Types:   []string{"integer", "integer", "integer", "bigint", "numeric", "numeric(12,2)", "double precision", "date", "timestamp with time zone", "text"}}
	s.rels[[2]string{"public", "u"}].Types = []string{"integer", "integer"}
	s.rels[[2]string{"public", "t2"}] = &Relation{Schema: "public", Name: "t2", Kind: Table, Columns: []string{"a", "v", "w"}, Types: []string{"integer", "character varying(20)", "integer"}}
	return s
}

// What is reckoned by a number of the writer's choice is too large above a value of his
// choice.
func TestWhatGetsTooLargeTells(t *testing.T) {
	for _, tt := range []struct{ sql, fails string }{
		{"select n * 238 from t", "t.n"},
		{"select n + 2138883646 from t", "t.n"},
		{"select 2147483647 + (s like 'a%')::int from t", "t.s"},
		{"select '2147483647'::int + (s like 'a%')::int from t", "t.s"},
		{"select (-2147483648) - (s like 'a%')::int from t", "t.s"},
		{"select -n - 2000000000 from t", "t.n"},
		{"select n * 100 * 100 from t", "t.n"},
		{"select x * 50 from (select n * 50 as x from t) q", "t.n"},
		{"with q as (select n * 50 as x from t) select x + x + x from q", "t.n"},
		{"with recursive q(x, i) as (select n, 1 from t union all select x * 2, i + 1 from q where i < 9) select x from q", "t.n"},
		{"select n + (select 2138883646) from t", "t.n"},
		{"select n + length(repeat('x', 200000000)) from t", "t.n"},
		{"select big * 922337203685 from t", "t.big"},
		{"select rate * 1e131060 from t", "t.rate"},
		{"select f * 1e300, f * 1e-310 from t", "t.f"},
		{"select f / 1e-300 from t", "t.f"},
		{"select (n * 238.0)::int from t", "t.n"},
		{"select (n::numeric * 238)::bigint::int from t", "t.n"},
		{"select sum(n)::int from t", "t.n"},
		{"select d + 2145000000 from t", "t.d"},
		{"select ts + interval '290000 years' from t", "t.ts"},
		{"select ts + interval '290 millennia' from t", "t.ts"},
		{"select date '5874890-01-01' + n from t", "t.n"},
		{"select '255.255.255.255'::inet + (s like 'a%')::int from t", "t.s"},
		{"select power(n, 18700) from t", "t.n"},
		{"select n ^ 44.25 from t", "t.n"},
		{"select 1.00008 ^ n from t", "t.n"},
		{"select int4range(n, 9000000) from t", "t.n"},
		{"select repeat('x', n), lpad(s, 1000000000) from t", "t.n t.s"},
		{"select to_date(s, '???DD') from t", "t.s"},
		{"select jsonb_path_query_first(s::jsonb, 'strict $ ? (@.a like_regex \"^z\").b') from t", "t.s"},
		{"select array[array['a','b'], string_to_array(s, 'z')] from t", "t.s"},
		{"select array[['a','b']] || string_to_array(s, 'z') from t", "t.s"},
		{"select trim_array(string_to_array(s, 'z'), 2) from t", "t.s"},
		{"select format(translate(s, 'z', '%')) from t", "t.s"},
		{"select date_trunc(translate(s, 'z', 'y'), ts) from t", "t.s"},
		{"select now() at time zone left(s, 3) from t", "t.s"},
		{"select get_byte('x'::bytea, n) from t", "t.n"},
		{"select xmlcomment(substr(s, 1, 2)) from t", "t.s"},
		{"select int4(translate(s, 'z', '1')) from t", "t.s"},
		{"select date(translate(s, 'z', '1')) from t", "t.s"},
		{"select int4(n * 238.0) from t", "t.n"},
		{"select convert_to(s, 'LATIN1') from t", "t.s"},
		{"select substring('x' from left(s, 3)) from t", "t.s"},
		{"select sin(n - 1), tan(n * 2) from t", "t.n"},
		{"update t set m = n * 238", "t.n"},
		{"insert into t2 (a) select n * 238 from t", "t.n"},

		{"select n * 12, n * 100, n + 1, n - 7, n + 99999, -n, abs(n) from t", ""},
		{"select n * 1.05, round(n * 1.19, 2), n::numeric * 238, n::float8 * 1e6, big * 12, price * 1000000 from t", ""},
		{"select n / 1000, big / 12, n % 100, avg(n), sum(n), sum(n) / count(*), round(avg(n))::int from t", ""},
		{"select d + 30, d - 365, d - date '2024-01-01', now() - ts, ts + interval '3 months', ts - '1 day'::interval, age(d), extract(year from now()) - extract(year from d) from t", ""},
		{"select extract(epoch from ts)::bigint, date_trunc('month', ts), (ts at time zone 'Europe/Berlin')::date from t", ""},
		{"select price * n, price + rate, (n + 1) * price from t", ""},
		{"select n ^ 2, power(n, 3), sqrt(n) from t", ""},
		{"update t set n = n + 1 where id = 3", ""},
		{"select s || 'x', upper(s) || ' ' || lower(s), concat(s, ' ', n), md5(lower(s)) from t", ""},
		{"select jsonb_set(s::jsonb, '{a}', to_jsonb(upper(s))), array_append(string_to_array(s, ','), lower(s)), setweight(to_tsvector('english', s || ''), 'A') from t", ""},
		{"select substring(s from position('@' in s) + 1), left(s, strpos(s, '@') - 1), encode(sha256(convert_to(lower(s), 'UTF8')), 'hex'), date(ts + interval '1 day') from t", ""},
		{"select to_date(s, 'YYYY-MM-DD'), to_timestamp(s, 'DD.MM.YYYY HH24:MI'), to_number(s, '999G999D99'), int4range(n, n + 1), daterange(d, null) from t", ""},
	} {
		if st := Analyze(tt.sql, typedSchema())[0]; short(st.Fails) != tt.fails {
			t.Errorf("%s: %s, want %q", tt.sql, short(st.Fails), tt.fails)
		}
	}
}

func TestWhatIsReckonedWithEachOther(t *testing.T) {
	for sql, want := range map[string]string{
		"select t.n + u.n from t, u":            "t.n<u.n u.n<t.n",
		"select t.n * u.n from t, u":            "t.n<u.n u.n<t.n",
		"select t.d + u.n from t, u":            "t.d<u.n u.n<t.d",
		"select n::numeric * id from t":         "",
		"select rate * n from t":                "t.n<t.rate",
		"select rate * price, n * price from t": "t.price<t.rate",
		"select n + n from t":                   "",
		"select int4range(t.n, u.n) from t, u":  "t.n<u.n u.n<t.n",
	} {
		var got []string
		for _, p := range Analyze(sql, typedSchema())[0].Reckoned {
			got = append(got, fmt.Sprintf("%s<%s", short(p[:1]), short(p[1:])))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
}

func TestParametersThatColumnsAreReckonedWith(t *testing.T) {
	for sql, want := range map[string]string{
		"update t set n = n + $1 where id = $2":   "1 131072 t.n",
		"select n * $1 from t":                    "1 100 t.n",
		"select $2::int - n from t where id = $1": "2 131072 t.n",
		"select rate * $1 from t":                 "1 1e+30 t.rate",
		"select n from t where n = $1":            "",
	} {
		st := Analyze(sql, typedSchema())[0]
		got := ""
		for _, s := range st.Scales {
			got += fmt.Sprintf("%d %g %s", s.Param, s.Most, short(s.Of))
		}
		if got != want || len(st.Fails) > 0 {
			t.Errorf("%s: %q, want %q; fails by %s", sql, got, want, short(st.Fails))
		}
	}
	for _, sql := range []string{"select n * $1 * $2 from t", "prepare p as select n * $1 from t", "do $$ declare k int := 238; begin perform n * k from t; end $$"} {
		st := Analyze(sql, typedSchema())[0]
		if st.Inner != nil {
			st = *st.Inner
		}
		if short(st.Fails) != "t.n" {
			t.Errorf("%s: fails by %q", sql, short(st.Fails))
		}
	}
}

// Texts that differ in how large a number is that a column is reckoned with do not share
// an analysis.
func TestDoorLargeNumberOfAKnownShape(t *testing.T) {
	for _, pair := range [][2]string{
		{"update t set n = n * 12 where id = 1", "update t set n = n * 238 where id = 1"},
		{"update t set n = 12 * n where id = 1", "update t set n = 238 * n where id = 1"},
		{"update t set n = n + 12 where id = 1", "update t set n = n + 213888364 where id = 1"},
		{"update t set n = 12 + n where id = 1", "update t set n = 213888364 + n where id = 1"},
		{"update t set n = n + (12) where id = 1", "update t set n = n + (213888364) where id = 1"},
		{"update t set n = n + '12' where id = 1", "update t set n = n + '2138883646' where id = 1"},
		{"update t set n = n - 12 where id = 1", "update t set n = n - - 213888364 where id = 1"},
		{"update t set d = d + 12 where id = 1", "update t set d = d + 213888364 where id = 1"},
	} {
		c := NewCache(Config{})
		for i, sql := range pair {
			if st := c.Analyze(sql, typedSchema(), 1)[0]; len(st.Fails) != i {
				t.Errorf("%s: fails by %q", sql, short(st.Fails))
			}
		}
	}
	c := NewCache(Config{})
	for _, sql := range []string{"update t set n = n + -1234 where id = 7", "update t set n = n + -99 where id = 8", "update t set n = n + -4000 where id = 9"} {
		c.Analyze(sql, typedSchema(), 1)
	}
	if c.Len() != 1 {
		t.Errorf("sums of one shape are kept %d times", c.Len())
	}
}
