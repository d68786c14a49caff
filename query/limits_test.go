package query

import "testing"

// A write that fails by what was made of a column tells of it.
func TestWhatAWriteFailsByTells(t *testing.T) {
	s := typedSchema()
	for name, rel := range map[string]*Relation{
		"old":   {Limited: []string{"k"}, Columns: []string{"k", "x"}, Types: []string{"integer", "text"}},
		"fresh": {Limited: []string{"k"}, Fresh: []string{"x"}, Columns: []string{"k", "x"}, Types: []string{"integer", "text"}},
		"must":  {Required: []string{"k"}, Columns: []string{"k", "x"}, Types: []string{"integer", "text"}},
		"split": {Limited: []string{Star}, Columns: []string{"k", "x"}, Types: []string{"integer", "text"}},
	} {
		rel.Schema, rel.Name, rel.Kind = "public", name, Table
		s.rels[[2]string{"public", name}] = rel
	}
	for _, tt := range []struct{ sql, fails string }{
		{"insert into old (k) select (s like 'a%')::int from t", "t.s"},
		{"insert into old (k) select n - 9000000 from t", "t.n"},
		{"insert into old (k) select ascii(s) from t", "t.s"},
		{"insert into old (k) select (n > 7)::int from t on conflict do nothing", "t.n"},
		{"update old set k = (select length(s) from t where id = 1)", "t.s"},
		{"insert into old (k) select x from (select n % 10 as x from t) q", "t.n"},
		{"insert into split (x) select left(s, 1) from t", "t.s"},
		{"insert into fresh (x) select s from t", "t.s"},
		{"insert into fresh (x) select upper(s) from t", "t.s"},
		{"merge into old o using t on o.k = t.id when not matched then insert (k) values (t.n - 7)", "t.n"},
		{"with w as (insert into old (k) select ascii(s) from t returning k) select 1", "t.s"},
		{"insert into t (m) select sum(t.n) from t, u", "t.n"},
		{"insert into must (k) select nullif((s like 'a%')::int, 1) from t", "t.s"},
		{"insert into must (k) select length(substring(s from '^ze')) from t", "t.s"},
		{"insert into nowhere (x) select s from t", "t.s"},
		{"alter table t alter column s type varchar(20)", "t.s"},
		{"alter table t add exclude using gist (n with =)", "t.n"},
		{"create unique index on t ((n > 9000000))", "t.n"},
		{"create index on t ((1 / (n - 9000000)))", "t.n"},
		{"alter table t add column y int generated always as (1 / (n - 9000000)) stored", "t.n"},
		{"alter table t alter column m type int using 1 / (n - 9000000)", "t.n"},

		{"insert into old (k, x) select n, s from t", ""},
		{"insert into old (k, x) select n * 12, upper(s) from t", ""},
		{"insert into must (k, x) select length(s), coalesce(nullif(trim(s), ''), '-') from t", ""},
		{"insert into old (x) select left(s, 1) from t", ""},
		{"insert into fresh (k) select n from t on conflict do nothing", ""},
		{"insert into split (k, x) select max(n), max(s) from t group by id", ""},
		{"insert into t (big) select sum(n) from t group by id", ""},
		{"update t set n = n - 7 where id = 1", ""},
		{"alter table t alter column s type varchar(255)", ""},
		{"alter table t add unique (s)", ""},
		{"create unique index on t (lower(s))", ""},
		{"create index on t (lower(s)) where n is not null", ""},
	} {
		if st := Analyze(tt.sql, s)[0]; short(st.Fails) != tt.fails {
			t.Errorf("%s: %s, want %q", tt.sql, short(st.Fails), tt.fails)
		}
	}
	for sql, probes := range map[string]string{
		"alter table t add check (n < 9000000)":                           "t.n",
		"alter table t add constraint c check (s like 'a%') not valid":    "t.s",
		"alter table t add column y int check (n < 9000000)":              "t.n",
		"create unique index on t (id) where n > 9000000":                 "t.n",
		"alter table t add check (s = 'x' or s is null)":                  "",
		"alter table t add constraint f foreign key (n) references u (n)": "",
	} {
		if st := Analyze(sql, s)[0]; short(st.Probes) != probes {
			t.Errorf("%s: %s, want %q", sql, short(st.Probes), probes)
		}
	}
	if st := Analyze("alter table t add constraint f foreign key (n) references u (n)", s)[0]; len(st.Joins) != 1 {
		t.Errorf("a key to a list of guesses is no comparison with it: %v", st.Joins)
	}
}

// What CREATE TABLE says of its columns is known before the catalogue shows it.
func TestLimitsOfATableThatIsMade(t *testing.T) {
	for sql, want := range map[string][2]string{
		"create table z (n int check (n < 9000000))":                                        {Star, Star},
		"create table z (n int references u (id))":                                          {Star, Star},
		"create table z (n int) partition by range (n)":                                     {Star, Star},
		"create table z (n int, exclude (n with =))":                                        {Star, Star},
		"create table z (like t including constraints)":                                     {Star, Star},
		"create table z (v varchar(27), w numeric(7), id int)":                              {"", "v w"},
		"create table z (v own_domain)":                                                     {"", "v"},
		"create table z (n int primary key, m int unique)":                                  {"n m", ""},
		"create table z (n int not null, v varchar(255), w numeric(12,2), at timestamp(3))": {"", ""},
	} {
		m := Analyze(sql, typedSchema())[0].Made
		if m == nil {
			t.Errorf("%s: it is not known", sql)
			continue
		}
		if got := [2]string{join(m.Relation.Limited), join(m.Relation.Fresh)}; got != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
}

func join(list []string) (s string) {
	for i, x := range list {
		if i > 0 {
			s += " "
		}
		s += x
	}
	return s
}
