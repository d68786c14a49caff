package query

import (
	"slices"
	"strings"
	"testing"
)

var meetSchema = &testSchema{path: []string{"public"}, rels: map[[2]string]*Relation{
	{"public", "people"}: {Schema: "public", Name: "people", Kind: Table, Columns: []string{"id", "email", "name", "status"}},
	{"public", "orders"}: {Schema: "public", Name: "orders", Kind: Table, Columns: []string{"id", "person", "note"}},
}}

// shownMeets writes what each constant and parameter meets, as "ada=email,name".
func shownMeets(t *testing.T, sql string) string {
	t.Helper()
	m, ok := Values(sql, meetSchema)
	if !ok {
		return "not told"
	}
	var out []string
	ReplaceConstants(sql, func(n int, text string) (string, bool) {
		names := slices.Sorted(slices.Values(m.Constants[n]))
		out = append(out, strings.Trim(text, "'")+"="+strings.Join(names, ","))
		return "", false
	})
	for i, names := range m.Params {
		out = append(out, "$"+string(rune('1'+i))+"="+strings.Join(slices.Sorted(slices.Values(names)), ","))
	}
	return strings.Join(out, " ")
}

func TestWhatConstantsMeet(t *testing.T) {
	for _, c := range []struct{ sql, want string }{
		{"select id from people where email = 'a' and status = 'b'", "a=email b=status"},
		{"select id from people where email = 'a' or not (status = 'b') limit 5", "a=email b=status 5="},
		{"select id from people where email in ('a','b') and id between 3 and 4", "a=email b=email 3=id 4=id"},
		{"select id from people where lower(email) = lower($1) and status like $2 || '%'", "%=status $1=email $2=status"},
		{"select id from people where 'a' = email", "a=email"},
		{"select id from people where (email, status) = ('a', 'b')", "a=email,status b=email,status"},
		{"select id from people where email = any($1)", "$1=email"},
		{"select 'x' as a, email from people", "x="},
		{"select email = 'x', 7 from people", "x=email 7="},
		{"select case when email = 'x' then 'yes' else 'no' end from people", "x=email yes=email no=email"},
		{"select count(*) filter (where email = 'x') from people", "x=email"},
		{"insert into people (id, email) values (1, 'a'), (2, 'b')", "1=id a=email 2=id b=email"},
		{"insert into people values (1, 'a', 'n')", "1=id a=email n=name"},
		{"insert into people (email) select 'a' union all select $1", "a=email $1=email"},
		{"insert into people (id, email) values (1, lower('a')) on conflict (id) do update set email = 'c' where people.name = 'd' returning 'e'", "1=id a=email c=email d=name e="},
		{"update people set email = 'a', status = 'b' where id = 3", "a=email b=status 3=id"},
		{"update people set (email, status) = ('a', 'b')", "a=email,status b=email,status"},
		{"delete from people using orders o where o.person = people.id and name = 'a'", "a=name"},
		{"select * from orders join people on person = people.id and email = 'a' where note = 'b'", "a=email b=note"},
		{"select * from (select 'a' as e) q join people p on p.email = q.e", "a=*"},
		{"with q as (select 'a' as e) select * from people, q where email = e", "a=*"},
		{"select * from (values ('a')) v(e), people where email = e", "a=*"},
		{"select id from people where email = (select 'a')", "a=email"},
		{"select * from find_person('a')", "a=*"},
		{"select * from generate_series(1, 2)", "1= 2="},
		{"select find_person('a') from people", "a=*"},
		{"explain select id from people where email = 'a'", "a=email"},
		{"prepare p as select 'x', email from people where email = 'a'", "x= a=email"},
		{"execute p('a', 3)", "a=* 3=*"},
		{"copy (select id from people where email = 'a') to stdout", "a=email"},
		{"select id from people p where p = 'x'", "x=p"},
		{"select id from people p where p.* = row('x')", "x=*"},
		{"merge into people p using orders o on o.person = p.id and o.note = 'n' when matched then update set email = 'a' when not matched then insert (id, email) values (1, 'b')", "n=note a=email 1=id b=email"},
		{"select id from people where email = E'a\\'b' and status = $q$b$q$", "Ea\\'b=email $q$b$q$=status"},
		{"select id from people where id = 1.5 and id = 7", "1.5=id 7=id"},
		{"select id from people where email = 'a", "not told"},
		{"selct 'a'", "not told"},
	} {
		if got := strings.ReplaceAll(shownMeets(t, c.sql), "'", ""); got != strings.ReplaceAll(c.want, "'", "") {
			t.Errorf("%s\n got %s\nwant %s", c.sql, got, c.want)
		}
	}
}

func TestReplaceConstants(t *testing.T) {
	hide := func(n int, text string) (string, bool) { return "'#'", n != 1 }
	for _, c := range []struct {
		sql, want string
		cut       bool
	}{
		{"select 'a', 2 ,'c'  -- x", "select '#', 2 ,'#'", false},
		{"select 'it''s' from t where a=5", "select '#' from t where a=5", false},
		{"select 'a' 'b", "select ", true},
		{"select 'a', 2, 'b", "select '#', 2", true},
		{"", "", false},
	} {
		if got, cut := ReplaceConstants(c.sql, hide); got != c.want || cut != c.cut {
			t.Errorf("%q: %q, %v", c.sql, got, cut)
		}
	}
}

// Whatever the text, nothing of a constant that is to be hidden is left.
func FuzzReplaceConstants(f *testing.F) {
	for _, s := range []string{"select 'a', 1", "select E'\\'x', $$a$$, U&'x' uescape '!'", "select 'a", "insert into t values ('a','b'),(1,2)", "select 1.5e3, 0x1f, 'a' \n 'b'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		out, cut := ReplaceConstants(sql, func(int, string) (string, bool) { return "'#'", true })
		if cut {
			return
		}
		for _, text := range Constants(out) {
			if text != "#" && !strings.HasPrefix(text, "#") {
				t.Fatalf("%q is left of %q: %q", text, sql, out)
			}
		}
		Values(sql, meetSchema)
	})
}
