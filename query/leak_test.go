package query

import (
	"slices"
	"strings"
	"testing"
)

func people() *testSchema {
	s := newSchema(map[string][]string{
		"users":   {"id", "name", "email", "address"},
		"orders":  {"id", "user_id", "total", "note"},
		"scratch": {"a", "b", "c"},
		"tree":    {"id", "parent", "label"},
	})
	s.rels[[2]string{"public", "contacts"}] = &Relation{Schema: "public", Name: "contacts", Kind: View,
		Columns: []string{"who", "mail"}, Definition: "SELECT u.name AS who, lower(u.email) AS mail FROM public.users u WHERE u.id > 0;"}
	s.rels[[2]string{"public", "over_contacts"}] = &Relation{Schema: "public", Name: "over_contacts", Kind: View,
		Columns: []string{"m"}, Definition: "SELECT contacts.mail AS m FROM public.contacts;"}
	s.rels[[2]string{"public", "self"}] = &Relation{Schema: "public", Name: "self", Kind: View,
		Columns: []string{"x"}, Definition: "SELECT x FROM public.self"}
	s.rels[[2]string{"public", "broken"}] = &Relation{Schema: "public", Name: "broken", Kind: View,
		Columns: []string{"x"}, Definition: "SELECT FROM WHERE"}
	return s
}

// show writes columns as "name=source+source", sources that are derived with ~,
// and ? for a column that is not known.
func show(cols []Column) string {
	var out []string
	for _, c := range cols {
		var srcs []string
		for _, s := range c.Sources {
			ref := strings.TrimPrefix(s.Ref.String(), "public.")
			if s.How == Derived {
				ref = "~" + ref
			}
			srcs = append(srcs, ref)
		}
		x := c.Name + "=" + strings.Join(srcs, "+")
		if !c.Known {
			x += "?"
		}
		out = append(out, x)
	}
	return strings.Join(out, " ")
}

var columnTests = []struct{ sql, want string }{
	{"SELECT email FROM users", "email=users.email"},
	{"SELECT * FROM orders", "id=orders.id user_id=orders.user_id total=orders.total note=orders.note"},
	{"SELECT e FROM (SELECT email AS e FROM users) x", "e=users.email"},
	{"SELECT x.mail FROM contacts x", "mail=~users.email"},
	{"SELECT m FROM over_contacts", "m=~users.email"},
	{"SELECT x FROM self", "x=self.x?"},
	{"SELECT x FROM broken", "x=broken.x?"},
	{"SELECT u FROM users u", "u=~users.address+~users.email+~users.id+~users.name"},
	{"SELECT u::text FROM users u", "u=~users.address+~users.email+~users.id+~users.name"},
	{"SELECT (u).email FROM users u", "email=users.email"},
	{"SELECT (u).* FROM users u", "id=users.id name=users.name email=users.email address=users.address"},
	{"SELECT row_to_json(u) FROM users u", "row_to_json=~users.address+~users.email+~users.id+~users.name"},
	{"SELECT count(u.*) FROM users u", "count=~users.address+~users.email+~users.id+~users.name"},
	{"SELECT (SELECT v FROM users v LIMIT 1).email", "email=~users.address+~users.email+~users.id+~users.name"},
	{"SELECT email(u) FROM users u", "email=~users.address+~users.email+~users.id+~users.name?"},
	{"SELECT u.contact FROM users u", "contact=~users.address+~users.email+~users.id+~users.name?"},
	{"SELECT string_agg('x', email) FROM users", "string_agg=~users.email"},
	{"SELECT string_agg(name, ',' ORDER BY email) FROM users", "string_agg=~users.name"},
	{"SELECT (SELECT email) FROM users", "email=users.email"},
	{"SELECT ARRAY(SELECT email FROM users)", "array=~users.email"},
	{"SELECT name IN (SELECT email FROM users) FROM orders, users", "?column?=~users.email+~users.name"},
	{"SELECT EXISTS (SELECT email FROM users)", "exists="},
	{"SELECT total FROM orders UNION SELECT email FROM users", "total=orders.total+users.email"},
	{"SELECT total FROM orders EXCEPT SELECT email FROM users", "total=orders.total"},
	{"SELECT total FROM orders UNION (SELECT name FROM users INTERSECT SELECT email FROM users)", "total=orders.total+users.email+users.name"},
	{"VALUES ((SELECT email FROM users LIMIT 1), 1), (2, (SELECT name FROM users LIMIT 1))", "column1=users.email column2=users.name"},
	{"TABLE users", "id=users.id name=users.name email=users.email address=users.address"},
	{"SELECT * FROM users u(a, b)", "a=users.id b=users.name email=users.email address=users.address"},
	{"WITH users AS (SELECT total AS email FROM orders) SELECT email FROM users", "email=orders.total"},
	{"WITH users AS (SELECT * FROM users) SELECT email FROM users", "email=users.email"},
	{"WITH a AS (SELECT email AS x FROM users), b AS (SELECT x AS y FROM a) SELECT y FROM b", "y=users.email"},
	{"WITH RECURSIVE b AS (SELECT y FROM a), a AS (SELECT email AS y FROM users) SELECT y FROM b", "y=users.email"},
	{"WITH RECURSIVE r(a, b, c) AS (SELECT id, name, email FROM users UNION ALL SELECT b, c, a FROM r) SELECT a FROM r",
		"a=users.email+users.id+users.name"},
	{"WITH RECURSIVE r AS (SELECT id, label FROM tree UNION ALL SELECT t.id, r.label || t.label FROM tree t JOIN r ON t.parent = r.id) SEARCH DEPTH FIRST BY label SET o SELECT o, label FROM r",
		"o=~tree.label label=~tree.label"},
	{"SELECT * FROM (SELECT id, email FROM users) u JOIN (SELECT id, total FROM orders) o USING (id)",
		"id=orders.id+users.id email=users.email total=orders.total"},
	{"SELECT x.id FROM (users JOIN orders USING (id)) AS x", "id=orders.id+users.id"},
	{"SELECT * FROM users NATURAL JOIN tree", "id=tree.id+users.id name=users.name email=users.email address=users.address parent=tree.parent label=tree.label"},
	{"SELECT l.e FROM orders o, LATERAL (SELECT email AS e FROM users WHERE id = o.user_id) l", "e=users.email"},
	{"SELECT x FROM users, unnest(ARRAY[name, email]) AS x", "x=~users.email+~users.name"},
	{"SELECT g FROM users, generate_series(1, length(email)) AS g", "g=~users.email"},
	{"SELECT y FROM users, unnest(ARRAY[name], ARRAY[email]) AS z(x, y)", "y=~users.email"},
	{"SELECT v.value FROM users, jsonb_array_elements_text(to_jsonb(email)) v", "value=~users.email"},
	{"SELECT o FROM users, unnest(ARRAY[email]) WITH ORDINALITY AS z(x, o)", "o="},
	{"SELECT x.a FROM users, XMLTABLE('/r' PASSING (email::xml) COLUMNS a text) x", "a=~users.email"},
	{"SELECT CASE WHEN name = 'x' THEN email ELSE '' END FROM users", "case=~users.email"},
	{"SELECT coalesce(name, email), nullif(name, email), greatest(name, email) FROM users",
		"coalesce=~users.email+~users.name nullif=~users.email+~users.name greatest=~users.email+~users.name"},
	{"SELECT max(email) OVER (PARTITION BY name), rank() OVER (ORDER BY email) FROM users", "max=~users.email rank="},
	{"SELECT xmlelement(name a, email) FROM users", "xmlelement=~users.email"},
	{"SELECT json_object('a': email) FROM users", "json_object=~users.email"},
	{"SELECT json_arrayagg(email ORDER BY name) FROM users", "json_arrayagg=~users.email"},
	{"SELECT json_value(email::jsonb, '$.a') FROM users", "json_value=~users.email"},
	{"SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY email) FROM users", "percentile_disc=~users.email"},
	{"SELECT leak(id) FROM users", "leak=~users.id?"},
	{"SELECT current_setting('my.secret')", "current_setting=?"},
	{"SELECT nowhere FROM users", "nowhere=?"},
	{"SELECT a FROM missing", "a=?"},
	{"SELECT *, 1 AS one FROM missing", "*=? one="},
	{"SELECT email FROM users, missing", "email=users.email"},
	{"SELECT zip FROM users, missing", "zip=?"},
	{"SELECT ctid, tableoid FROM users", "ctid= tableoid="},
	{"SELECT DISTINCT ON (name) email FROM users ORDER BY name", "email=users.email"},
	{"COPY users (email) TO STDOUT", "email=users.email"},
	{"COPY users TO STDOUT", "id=users.id name=users.name email=users.email address=users.address"},
	{"COPY (SELECT email FROM users) TO STDOUT", "email=users.email"},
	{"COPY (DELETE FROM users RETURNING email) TO STDOUT", "email=users.email"},
	{"EXPLAIN ANALYZE SELECT email FROM users", "QUERY PLAN="},
}

func TestColumns(t *testing.T) {
	for _, tt := range columnTests {
		st := Analyze(tt.sql, people())[0]
		if got := show(st.Output); got != tt.want || st.Kind == Unknown {
			t.Errorf("%s\n got %s %s\nwant %s", tt.sql, got, st.Problem, tt.want)
		}
	}
}

func TestWrites(t *testing.T) {
	tests := []struct{ sql, target, set, returning string }{
		{"INSERT INTO scratch SELECT id, email FROM users", "public.scratch", "a=users.id b=users.email", ""},
		{"INSERT INTO scratch (c, a) SELECT id, email FROM users RETURNING *", "public.scratch", "c=users.id a=users.email",
			"a=scratch.a+users.email b=scratch.b c=scratch.c+users.id"},
		{"INSERT INTO scratch VALUES (1, (SELECT email FROM users)) RETURNING b", "public.scratch", "a= b=users.email", "b=scratch.b+users.email"},
		{"INSERT INTO scratch (a, b) SELECT name, email FROM users ON CONFLICT (a) DO UPDATE SET b = excluded.a || scratch.c", "public.scratch",
			"a=users.name b=~scratch.c+users.email+~users.name", ""},
		{"UPDATE scratch SET a = email FROM users WHERE users.id = b RETURNING email, a", "public.scratch", "a=users.email", "email=users.email a=scratch.a+users.email"},
		{"UPDATE scratch SET (a, b) = (SELECT email, name FROM users LIMIT 1)", "public.scratch", "a=users.email b=users.name", ""},
		{"UPDATE scratch SET (a, b) = ROW(b, a)", "public.scratch", "a=scratch.b b=scratch.a", ""},
		{"UPDATE scratch SET a[1] = (SELECT email FROM users)", "public.scratch", "a=~scratch.a+~users.email", ""},
		{"DELETE FROM users USING orders WHERE users.id = user_id RETURNING email, note", "public.users", "", "email=users.email note=orders.note"},
		{"MERGE INTO scratch s USING users u ON s.a = u.id WHEN MATCHED THEN UPDATE SET b = u.email WHEN NOT MATCHED THEN INSERT (a, c) VALUES (u.id, u.name)",
			"public.scratch", "b=users.email a=users.id c=users.name", ""},
		{"CREATE TABLE n AS SELECT email AS e FROM users", "public.n", "e=users.email", ""},
		{"SELECT email INTO n FROM users", "public.n", "email=users.email", ""},
		{"SELECT email INTO TEMP n FROM users", "pg_temp.n", "email=users.email", ""},
		{"CREATE VIEW v (x) AS SELECT email FROM users", "public.v", "x=users.email", ""},
		{"CREATE MATERIALIZED VIEW v AS SELECT email FROM users", "public.v", "email=users.email", ""},
		{"COPY scratch (b) FROM STDIN", "public.scratch", "b=", ""},
		{"INSERT INTO missing SELECT email FROM users", "missing", "*=users.email?", ""},
		{"INSERT INTO scratch SELECT * FROM missing RETURNING a", "public.scratch", "a=? b=? c=?", "a=scratch.a?"},
		{"WITH d AS (DELETE FROM users RETURNING email AS e) INSERT INTO scratch (a) SELECT e FROM d", "public.scratch", "a=users.email", ""},
	}
	for _, tt := range tests {
		st := Analyze(tt.sql, people())[0]
		target := ""
		if st.Target != nil {
			target = st.Target.String()
		}
		if show(st.Output) != tt.set || show(st.Returning) != tt.returning || target != tt.target || !st.Writes {
			t.Errorf("%s\n got %s: %s / %s\nwant %s: %s / %s", tt.sql, target, show(st.Output), show(st.Returning), tt.target, tt.set, tt.returning)
		}
	}
}

func TestIndirectAndReads(t *testing.T) {
	st := Analyze("SELECT name FROM users u JOIN orders o ON u.id = o.user_id WHERE note = 'x' ORDER BY email", people())[0]
	want := []Ref{{"public", "orders", "note"}, {"public", "orders", "user_id"}, {"public", "users", "email"}, {"public", "users", "id"}}
	if !slices.Equal(st.Indirect, want) {
		t.Errorf("indirect %v", st.Indirect)
	}
	if !slices.Contains(st.Reads, Ref{"public", "users", "name"}) || !slices.Contains(st.Reads, want[0]) {
		t.Errorf("reads %v", st.Reads)
	}
	st = Analyze("SELECT count(*) FROM users", people())[0]
	if !slices.Equal(st.Reads, []Ref{{"public", "users", ""}}) || st.Partial {
		t.Errorf("reads %v, partial %v", st.Reads, st.Partial)
	}
	// A column read in a sub-select whose output nobody uses is still read.
	st = Analyze("SELECT 1 FROM (SELECT lower(email) FROM users) x", people())[0]
	if !slices.Contains(st.Reads, Ref{"public", "users", "email"}) {
		t.Errorf("reads %v", st.Reads)
	}
	// A view's other columns are not read.
	st = Analyze("SELECT who FROM contacts", people())[0]
	if slices.Contains(st.Reads, Ref{"public", "users", "email"}) || !slices.Contains(st.Indirect, Ref{"public", "users", "id"}) {
		t.Errorf("reads %v, indirect %v", st.Reads, st.Indirect)
	}
}

// Whether a row is there follows from all that it is compared by, also where nobody
// looks at that. Found by changing columns under made statements (internal/differ).
func TestWhatDecidesHowManyRowsSteers(t *testing.T) {
	for _, tt := range []struct{ sql, ref string }{
		{"SELECT count(*) FROM (SELECT DISTINCT name, email FROM users) s", "public.users.email"},
		{"SELECT count(*) FROM (SELECT DISTINCT email FROM users) s", "public.users.email"},
		{"SELECT DISTINCT name, email FROM users ORDER BY name LIMIT 2", "public.users.email"},
		{"SELECT count(*) FROM (SELECT note FROM orders UNION SELECT email FROM users) s", "public.users.email"},
		{"SELECT name, email FROM users INTERSECT SELECT note, total FROM orders", "public.orders.total"},
		{"SELECT name, email FROM users EXCEPT ALL SELECT note, total FROM orders", "public.users.email"},
		{"SELECT 1 FROM (SELECT email FROM users EXCEPT SELECT note FROM orders) s OFFSET 1", "public.users.email"},
		{"SELECT count(*) FROM orders o, generate_series(1, o.id) g", "public.orders.id"},
		{"SELECT name, unnest(string_to_array(email, '@')) FROM users", "public.users.email"},
	} {
		st := Analyze(tt.sql, people())[0]
		if !slices.ContainsFunc(st.Indirect, func(r Ref) bool { return r.String() == tt.ref }) {
			t.Errorf("%s: %s decides which rows there are, but it is said to be steered by %v", tt.sql, tt.ref, st.Indirect)
		}
	}
	// UNION ALL compares nothing.
	if st := Analyze("SELECT count(*) FROM (SELECT note, id FROM orders UNION ALL SELECT email, id FROM users) s", people())[0]; len(st.Indirect) != 0 {
		t.Errorf("steered by %v", st.Indirect)
	}
	// Columns that nobody could list are joined by too.
	if st := Analyze("SELECT v.id FROM unknown_set() t NATURAL LEFT JOIN (VALUES (1)) v(id)", people())[0]; !st.Partial {
		t.Error("what a natural join with unknown columns joins by is said to be known")
	}
}

// two has two candidates for every name: the search path is not known.
type two struct{ *testSchema }

func (s two) Lookup(schema, name string) []*Relation {
	if schema != "" {
		return s.testSchema.Lookup(schema, name)
	}
	var out []*Relation
	for _, p := range []string{"app", "public"} {
		if rel := s.rels[[2]string{p, name}]; rel != nil {
			out = append(out, rel)
		}
	}
	return out
}

func TestDoorUnknownSearchPath(t *testing.T) {
	s := people()
	s.rels[[2]string{"app", "users"}] = &Relation{Schema: "app", Name: "users", Kind: Table, Columns: []string{"id", "email"}}
	st := Analyze("SELECT email FROM users", two{s})[0]
	if got := show(st.Output); got != "email=app.users.email+users.email" {
		t.Errorf("got %s", got)
	}
	st = Analyze("SELECT * FROM users", two{s})[0]
	if _, ok := st.Results(); ok {
		t.Errorf("a star over relations of different shapes is expanded: %s", show(st.Output))
	}
	st = Analyze("DELETE FROM users WHERE id = 1", two{s})[0]
	if len(st.Targets) != 2 {
		t.Errorf("targets %v", st.Targets)
	}
}

func TestNoCatalogue(t *testing.T) {
	st := Analyze("SELECT email, 1 AS one FROM users u WHERE u.id = 1", nil)[0]
	if show(st.Output) != "email=? one=" || !slices.Equal(st.Relations, []Ref{{"", "users", ""}}) || !st.Partial {
		t.Errorf("got %s, relations %v", show(st.Output), st.Relations)
	}
	if _, ok := Analyze("SELECT * FROM users", nil)[0].Results(); ok {
		t.Error("a star is expanded without a catalogue")
	}
}
