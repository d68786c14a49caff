package query

import "testing"

func TestWhatFailsTells(t *testing.T) {
	for _, tt := range []struct{ sql, fails string }{
		{"select 1 / (a - 7) from t", "t.a"},
		{"select 1 % (a - 7) from t where id = 1", "t.a"},
		{"select x from (select 1 / (y - 7) as x from (select a as y from t) s) s", "t.a"},
		{"select 1 / y from (select a - 7 as y from t) s", "t.a"},
		{"select mod(id, a - 7), div(1, a - 7) from t", "t.a"},
		{"select (translate(a, 'a', '1'))::int from t", "t.a"},
		{"select cast(substr(a, 1, 1) as date) from t", "t.a"},
		{"select (a || '')::jsonb from t", "t.a"},
		{"select a::d, b::int from t", "t.a"},
		{"select (a * 2)::int2 from t", "t.a"},
		{"select (a * 2)::numeric(4) from t", "t.a"},
		{"select sqrt(a - 7), ln(b - 7) from t", "t.a t.b"},
		{"select substr('x', 1, a - 7) from t", "t.a"},
		{"select int4range(a - 7, 0), chr(b - 7) from t", "t.a t.b"},
		{"select 'x' ~ (a || '') from t", "t.a"},
		{"select (-1.0) ^ (a - 7.5) from t", "t.a"},
		{"select decode(substr(a, 1, 2), 'hex') from t", "t.a"},
		{"insert into u select 1 / (a - 7) from t", "t.a"},
		{"select id from t order by 1 / (a - 7)", "t.a"},

		{"select 1 / a, 1 / nullif(a - 7, 0), 7 / coalesce(nullif(a - 7, 0), 1), 1 / count(a), sum(a) / count(*) from t", ""},
		{"select a::int, a::text::int, trim(a)::int, nullif(btrim(a), '')::numeric, (doc ->> 'k')::int, lower(doc #>> '{a,b}')::date, coalesce(a, '0')::int from t", ""},
		{"select (a * 12)::numeric, avg(a)::int, round(sum(a) / 7, 2)::float8, (a + interval '1 day')::date, (a - 7)::text, extract(year from a + b)::int from t", ""},
		{"select substr(lower(a) || b, 1, 3), lpad(upper(a), 8), regexp_replace(a || b, 'x', 'y') from t", ""},
		{"select a * 12, a + 1, a || 'x', array[a || 'x'], upper(a) from t", ""},
	} {
		if st := Analyze(tt.sql, steerSchema())[0]; short(st.Fails) != tt.fails {
			t.Errorf("%s: %s, want %q", tt.sql, short(st.Fails), tt.fails)
		}
	}
}

// NULL for one value, where that decides, is a comparison with it.
func TestFailingForOneValueIsAComparison(t *testing.T) {
	for sql, equals := range map[string]string{
		"select 1 / coalesce(nullif(a, 7), 0) from t": "t.a",
		"select nullif(trim(a), '')::int from t":      "t.a",
		"select 1 / a, a::int from t":                 "",
	} {
		if st := Analyze(sql, steerSchema())[0]; short(st.Equals) != equals || short(st.Fails) != "" {
			t.Errorf("%s: compares %s, fails by %s", sql, short(st.Equals), short(st.Fails))
		}
	}
}

func TestWhatBodiesDecideTells(t *testing.T) {
	for _, tt := range []struct{ body, fails string }{
		{"if (select a from t where id = 1) > 7 then perform 1 / 0; end if;", "t.a"},
		{"declare s int; begin select a into s from t where id = 1; if s > 7 then raise 'x'; end if; end;", "t.a"},
		{"declare s int := (select a from t where id = 1); begin while s > 7 loop s := s - 1; end loop; end;", "t.a"},
		{"declare s int; begin s := (select a from t where id = 1); for i in 1 .. s loop null; end loop; end;", "t.a"},
		{"declare r record; begin for r in select a, id from t loop exit when r.a > 7; end loop; end;", "t.a t.id"},
		{"declare r record; begin for r in select a from t loop perform 1 / (r.a - 7); end loop; end;", "t.a"},
		{"declare s int; begin select a into s from t; case s when 7 then null; else raise 'x'; end case; end;", "t.a"},
		{"declare s int; begin select a into s from t; assert s > 7; end;", "t.a"},
		{"perform 1 / (a - 7) from t;", "t.a"},

		{"if exists (select 1 from t where a = 'x') then raise 'x'; end if;", ""},
		{"if (select count(*) from t where a = 'x') > 3 then raise 'x'; end if;", ""},
		{"if (select a from t where id = 1) is null then raise 'x'; end if;", ""},
		{"declare s int; begin select a into s from t where id = 1; if not found then raise 'x'; end if; if s is null then raise 'y'; end if; end;", ""},
		{"declare n int := 3; begin update t set b = 'x' where a = 'y'; for i in 1 .. n loop null; end loop; if n > 2 then raise 'x'; end if; end;", ""},
	} {
		if tt.body[:7] != "declare" {
			tt.body = "begin " + tt.body + " end;"
		}
		st := Analyze("do $$ "+tt.body+" $$", steerSchema())[0]
		if st.Problem != "" || short(st.Fails) != tt.fails {
			t.Errorf("%s: %s, want %q (%s)", tt.body, short(st.Fails), tt.fails, st.Problem)
		}
	}
}
