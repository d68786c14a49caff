package query

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/internal/pgtest"
)

const interferenceSchema = `
	CREATE TABLE users (id int, name text, email text, address text);
	CREATE TABLE orders (id int, user_id int, total text, note text);
	CREATE TABLE scratch (a text, b text, c text);
	CREATE TABLE tree (id int, parent int, label text);
	CREATE VIEW contacts AS SELECT u.name AS who, lower(u.email) AS mail FROM users u WHERE u.id > 0;
	CREATE VIEW over_contacts AS SELECT mail AS m FROM contacts;
	INSERT INTO users VALUES (1, 'ada', 'ada@x', 'a st'), (2, 'bob', 'bob@y', 'b st'), (3, 'cyd', 'cyd@z', 'c st');
	INSERT INTO orders VALUES (1, 1, '10', 'first'), (2, 1, '20', 'second'), (4, 3, '30', 'x');
	INSERT INTO scratch VALUES ('1', '2', '3'), ('4', '5', '6');
	INSERT INTO tree VALUES (1, NULL, 'root'), (2, 1, 'leaf'), (3, 2, 'deep');`

// interferenceSQL are queries in which values take winding ways.
var interferenceSQL = []string{
	"SELECT e FROM (SELECT name AS x, email AS e FROM users UNION SELECT note, total FROM orders) q(x, e)",
	"SELECT max(v) FROM (SELECT name v FROM users UNION ALL SELECT (SELECT note FROM orders o WHERE o.user_id = users.id LIMIT 1) FROM users) s",
	"SELECT u.name, l.* FROM users u LEFT JOIN LATERAL (SELECT o.total || u.address AS ta, count(*) OVER () FROM orders o WHERE o.user_id = u.id) l ON true",
	"WITH a AS (SELECT id, email FROM users), b AS (SELECT a.email || t.label AS z FROM a JOIN tree t USING (id)) SELECT z, length(z) FROM b",
	"WITH RECURSIVE r(id, path) AS (SELECT id, label FROM tree WHERE parent IS NULL UNION ALL SELECT t.id, r.path || '/' || t.label FROM tree t JOIN r ON t.parent = r.id) SELECT * FROM r",
	"SELECT id, name FROM users WHERE EXISTS (SELECT 1 FROM orders WHERE user_id = users.id AND note <> address)",
	"SELECT name, rank() OVER (ORDER BY email), lag(address) OVER (PARTITION BY id > 1 ORDER BY name) FROM users",
	"SELECT DISTINCT ON (user_id) user_id, total FROM orders ORDER BY user_id, note DESC", "SELECT user_id, string_agg(total, ',' ORDER BY note) FILTER (WHERE id < 4) FROM orders GROUP BY 1 HAVING count(note) > 0",
	"SELECT j.value, j.key FROM users u, jsonb_each_text(to_jsonb(u)) j", "SELECT (x).email, x.name FROM (SELECT u AS x, u.name FROM users u) s", "SELECT row_to_json(s)->>'q' FROM (SELECT email AS q, name FROM users) s",
	"SELECT CASE WHEN name = 'ada' THEN email WHEN address LIKE 'b%' THEN note ELSE total END FROM users JOIN orders ON users.id = orders.id",
	"SELECT * FROM users u FULL JOIN orders o USING (id) ORDER BY 1", "SELECT id FROM users RIGHT JOIN orders USING (id)", "SELECT * FROM tree NATURAL LEFT JOIN users", "SELECT total FROM orders EXCEPT SELECT a || '0' FROM scratch",
	"SELECT (SELECT string_agg(mail, who) FROM contacts), (SELECT count(*) FROM over_contacts)", "SELECT ARRAY(SELECT email FROM users ORDER BY name)", "SELECT name = ANY (SELECT label FROM tree), name IN (SELECT email FROM users) FROM users",
	"SELECT unnest(ARRAY[name, email]) FROM users", "SELECT generate_series(1, length(email)) FROM users", "SELECT g FROM users, generate_series(1, id) g", "SELECT x, y FROM users, unnest(ARRAY[name, address], ARRAY[email]) AS t(x, y)",
	"SELECT name FROM users ORDER BY email LIMIT 1", "SELECT name FROM users LIMIT (SELECT count(*) FROM scratch)", "SELECT min(name COLLATE \"C\") FROM users GROUP BY ROLLUP (address)", "SELECT users.name FROM users, orders, scratch WHERE total = a || '0'",
	"SELECT x.u FROM (SELECT users AS u FROM users) x", "SELECT users FROM users", "SELECT count(users), count(DISTINCT users.email) FROM users", "SELECT coalesce(nullif(name, 'ada'), email) FROM users", "SELECT format('%s-%s', name, email) FROM users",
	"SELECT regexp_replace(email, name, address) FROM users", "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY email) FROM users", "VALUES ((SELECT max(email) FROM users), 1), ((SELECT min(note) FROM orders), 2)",
	"WITH d AS (DELETE FROM users WHERE address = 'a st' RETURNING email AS e) SELECT e FROM d", "WITH w AS (INSERT INTO scratch SELECT name, email, address FROM users RETURNING a, b || c AS bc) SELECT * FROM w",
	"WITH w AS (UPDATE scratch SET a = email FROM users WHERE users.id = 1 RETURNING a, name) SELECT * FROM w",
}

// TestNonInterference changes one column at a time in a real database: whatever
// changes in a result must come from a column that is said to reach or steer it.
func TestNonInterference(t *testing.T) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(ctx) })
	exec(t, conn, interferenceSchema)
	s := loadSchema(t, conn, []string{"public"})
	all := slices.Clone(interferenceSQL)
	for _, sql := range resultSQL {
		if !strings.Contains(sql, "RECURSIVE") { // those are described only: they never end
			all = append(all, sql)
		}
	}
	for _, tt := range columnTests {
		if !strings.Contains(tt.sql, "RECURSIVE") {
			all = append(all, tt.sql)
		}
	}
	exec(t, conn, "BEGIN; SET LOCAL statement_timeout = '5s'")
	checked := 0
	for _, sql := range all {
		st := Analyze(sql, s)[0]
		if cols, ok := st.Results(); st.Kind != Select || !ok || len(cols) == 0 {
			continue
		}
		before, ok := rowsOf(t, conn, sql)
		again, _ := rowsOf(t, conn, sql)
		if !ok || !slices.EqualFunc(before, again, slices.Equal) {
			continue // refused by this version, or different each time
		}
		for ref, change := range changes(s) {
			exec(t, conn, "SAVEPOINT changed; "+change)
			after, ok := rowsOf(t, conn, sql)
			exec(t, conn, "ROLLBACK TO changed")
			if ok {
				checked++
				interferes(t, sql, &st, ref, before, after)
			}
		}
	}
	if checked < 1000 {
		t.Errorf("only %d changes checked", checked)
	}
}

// changes gives, for each column, a statement that alters every value in it.
func changes(s *testSchema) map[Ref]string {
	out := map[Ref]string{}
	for _, rel := range s.rels {
		for _, c := range rel.Columns {
			if rel.Kind != Table {
				continue
			}
			set := c + " = coalesce(" + c + ", 0) + 7"
			if c != "id" && c != "parent" && c != "user_id" {
				set = c + " = 'zz' || " + c + " || 'q'"
			}
			out[Ref{"public", rel.Name, c}] = "UPDATE " + rel.Name + " SET " + set
		}
	}
	return out
}

func interferes(t *testing.T, sql string, st *Statement, ref Ref, before, after [][]string) {
	t.Helper()
	if slices.Contains(st.Indirect, ref) {
		return
	}
	for i, col := range st.Output {
		if !col.Known || slices.Equal(before[i], after[i]) || col.Name == "ctid" { // where a row is stored is no data
			continue
		}
		if !slices.ContainsFunc(col.Sources, func(s Source) bool { return s.Ref == ref }) {
			t.Errorf("%s\n column %s changes with %v, but is said to come from %v and to be steered by %v", sql, col.Name, ref, col.Sources, st.Indirect)
		}
	}
}

// rowsOf runs a query and gives, column by column, its sorted values.
func rowsOf(t *testing.T, conn *pgx.Conn, sql string) (cols [][]string, ok bool) {
	t.Helper()
	ctx := context.Background()
	exec(t, conn, "SAVEPOINT run")
	defer exec(t, conn, "ROLLBACK TO run")
	rows, err := conn.Query(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return nil, false
	}
	defer rows.Close()
	cols = make([][]string, len(rows.FieldDescriptions()))
	for rows.Next() {
		for i, v := range rows.RawValues() {
			value := "null"
			if v != nil {
				value = strings.ToValidUTF8("="+string(v), "?")
			}
			cols[i] = append(cols[i], value)
		}
	}
	rows.Close()
	for i := range cols {
		slices.Sort(cols[i])
	}
	return cols, rows.Err() == nil
}

func exec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
