package query

import "testing"

func TestNoWhere(t *testing.T) {
	unbounded := []string{
		"", "true", "1=1", "'1'='1'", "id = id", "t.id = id", "not false", "not (1=2)", "true or id = 1", "id = 1 or true",
		"id is null or id is not null", "id = 1 or not id = 1", "id = 1 or id <> 1", "$1", "$1 or id = 2", "id = coalesce($1, id)",
		"coalesce($1, id) = id", "id in (1, id)", "id = any(array[id])", "id between id and id", "id + 0 = id", "lower(a) = lower(a)",
		"1 < 2", "2 > 1 and 1 = 1", "'t'::bool", "now() is not null", "random() >= 0", "(select true)", "exists (select 1)",
		"id is not distinct from id", "a like '%'", "a ilike '%%'", "a ~ '.*'", "true is true", "(id = 2) is not null or true",
		"coalesce(null, true)", "case when true then true else true end", "id in (select id from t)",
		"id in (select t.id from public.t where true)", "$1 is null or id = $1", "id = case when $1 then id else 1 end",
		"not (id <> id) or true", "1=1 and 'a'='a' and true", "((true))", "id >= id", "not null is not null or true",
	}
	for _, where := range unbounded {
		for _, sql := range []string{"DELETE FROM t", "UPDATE t SET a = 1"} {
			if where != "" {
				sql += " WHERE " + where
			}
			if st := one(t, sql); !st.Has(NoWhere) {
				t.Errorf("%q is not seen as unbounded (%q %s)", sql, st.Kind, st.Problem)
			}
		}
	}
	bounded := []string{
		"id = 1", "id = $1", "false", "1=2", "id = 1 and true", "id = id and a = 'x'", "id in (1, 2)", "id in (select id from other)",
		"id in (select id from t where a = 'x')", "id in (select id from t limit 1)", "exists (select 1 from x where x.id = t.id)",
		"a like 'x%'", "not true", "id > 0", "id between 1 and 2", "id is null", "id = a", "current of c", "not id = 1", "id <> id",
	}
	for _, where := range bounded {
		if st := one(t, "DELETE FROM t WHERE "+where); st.Has(NoWhere) || st.Kind != Delete {
			t.Errorf("%q is seen as unbounded (%q %s)", where, st.Kind, st.Problem)
		}
	}
}

func TestNoWhereOfJoinsAndMerge(t *testing.T) {
	for _, sql := range []string{
		"DELETE FROM t USING x", "UPDATE t SET a = x.a FROM x", "MERGE INTO t USING x ON true WHEN MATCHED THEN DELETE",
		"MERGE INTO t USING x ON t.id = x.id WHEN NOT MATCHED BY SOURCE THEN DELETE",
		"MERGE INTO t USING x ON 1=1 WHEN MATCHED AND true THEN UPDATE SET a = 1",
	} {
		if st := one(t, sql); !st.Has(NoWhere) {
			t.Errorf("%q is not seen as unbounded", sql)
		}
	}
	for _, sql := range []string{
		"DELETE FROM t USING x WHERE t.id = x.id", "MERGE INTO t USING x ON t.id = x.id WHEN MATCHED THEN DELETE",
		"MERGE INTO t USING x ON true WHEN NOT MATCHED THEN INSERT VALUES (1)", "INSERT INTO t SELECT * FROM x",
	} {
		if st := one(t, sql); st.Has(NoWhere) {
			t.Errorf("%q is seen as unbounded", sql)
		}
	}
}

// table is a catalogue of a shop's tables.
type table struct{}

func (table) Lookup(schema, name string) []*Relation {
	all := []*Relation{
		{Schema: "public", Name: "t", Kind: Table, Columns: []string{"id", "a", "active", "price"},
			Types: []string{"integer", "text", "boolean", "numeric(10,2)"}, Required: []string{"id"}},
		{Schema: "public", Name: "x", Kind: Table, Columns: []string{"id", "name", "t_id"}},
		{Schema: "public", Name: "v", Kind: View, Columns: []string{"k", "b"}, Definition: "SELECT id, a FROM public.t"},
		{Schema: "public", Name: "w", Kind: View, Columns: []string{"k"}, Definition: "WITH x AS (SELECT k FROM v) SELECT k FROM x"},
		{Schema: "public", Name: "part", Kind: View, Columns: []string{"k", "b"}, Definition: "SELECT id, a FROM t WHERE a = 'x'"},
		{Schema: "public", Name: "loop", Kind: View, Columns: []string{"id"}, Definition: "SELECT id FROM loop"},
	}
	var out []*Relation
	for _, r := range all {
		if r.Name == name && (schema == "" || schema == r.Schema) {
			out = append(out, r)
		}
	}
	return out
}

func (table) Harmless(_, name string) bool { return pure(name) }

// Attack: let every row through by what only the catalogue tells.
func TestNoWhereWithACatalogue(t *testing.T) {
	unbounded := []string{
		"WHERE id IS NOT NULL", "WHERE NOT (id IS NULL)", "WHERE (id + 1) IS NOT NULL", "WHERE (id = 1) IS NOT UNKNOWN", "WHERE t IS NOT NULL",
		"WHERE id = id::int", "WHERE id = id::text::integer", "WHERE tableoid = 't'::regclass", "WHERE ctid >= '(0,0)'",
		"WHERE id - id = 0", "WHERE id * 0 = 0", "WHERE 0 = id % 1", "WHERE id * id >= 0", "WHERE -1 < length(a)", "WHERE id >= -2147483648",
		"WHERE id BETWEEN -2147483648 AND 2147483647", "WHERE id < 10 OR id > 5", "WHERE id <> 1 OR id <> 2", "WHERE active OR NOT active",
		"WHERE active IS TRUE OR (a = 'x' OR active IS NOT TRUE)", "WHERE active IN (true, false)", "WHERE NOT (id < 1 AND id >= 1)", "WHERE NOT id < id",
		"WHERE id >= (SELECT min(id) FROM t)", "WHERE id <= ALL (SELECT max(id) FROM t)", "WHERE id = ANY (ARRAY(SELECT id FROM t))",
		"WHERE id IN (SELECT DISTINCT id FROM t LIMIT ALL)", "WHERE id IN (SELECT 1 UNION SELECT id FROM t)", "WHERE id NOT IN (SELECT id FROM x WHERE false)",
		"WHERE EXISTS (SELECT FROM t b WHERE b.id = t.id)", "WHERE EXISTS (SELECT FROM x WHERE name = 'n')", "WHERE 'n' IN (SELECT name FROM x)",
		"WHERE (id, a) = (id, a)", "WHERE a SIMILAR TO '%'", "WHERE a ~* '^.*$'", "WHERE starts_with(a, '')", "WHERE id = least(id)",
		"USING x WHERE x.id = 1", "USING x WHERE name = 'n'", "USING t b WHERE t.id = b.id", "USING (SELECT id FROM t) b WHERE b.id = t.id",
		"USING t b LEFT JOIN x ON false WHERE t.id = b.id", "USING t b WHERE t.a = b.a AND b.id <= t.id",
	}
	for _, tail := range unbounded {
		if st := Analyze("DELETE FROM t "+tail, table{})[0]; !st.Has(NoWhere) {
			t.Errorf("%q is not seen as unbounded (%q %s)", tail, st.Kind, st.Problem)
		}
	}
	bounded := []string{
		"WHERE a IS NOT NULL", "WHERE price = price::int", "WHERE ctid = '(0,7)'", "WHERE ctid IN (SELECT ctid FROM t LIMIT 10)", "WHERE id - 1 = 0", "WHERE length(a) > 0",
		"WHERE id BETWEEN 1 AND 2147483647", "WHERE id < 5 OR id > 10", "WHERE active", "WHERE active IS NOT TRUE", "WHERE active IN (true)",
		"WHERE a = 't' OR a = 'f'", "WHERE id > (SELECT min(id) FROM t)", "WHERE id = (SELECT max(id) FROM t)", "WHERE id IN (SELECT id FROM t OFFSET 5)",
		"WHERE id IN (SELECT t_id FROM x)", "WHERE EXISTS (SELECT FROM x WHERE t_id = t.id)", "WHERE EXISTS (SELECT FROM x WHERE t_id = a::int)",
		"WHERE NOT EXISTS (SELECT FROM x WHERE x.t_id = t.id)", "WHERE id IN (SELECT id FROM t WHERE a = 'x')", "WHERE id NOT IN (SELECT id FROM x)",
		"WHERE EXISTS (SELECT FROM t b WHERE b.a = t.a AND b.id < t.id)", "USING x WHERE t.id = x.t_id", "USING x WHERE t_id = t.id AND name = 'n'",
		"USING t b WHERE t.a = b.a AND t.id > b.id", "USING t b WHERE t.id = b.id AND b.a = 'x'", "USING (VALUES (1), (2)) v(n) WHERE id = v.n",
		"USING (SELECT id FROM t WHERE a = 'x') b WHERE t.id = b.id", "WHERE a LIKE '_'", "WHERE a LIKE 'x%'", "WHERE a ~ 'x.*'", "WHERE id >= 0 AND a = 'x'",
	}
	for _, tail := range bounded {
		if st := Analyze("DELETE FROM t "+tail, table{})[0]; st.Has(NoWhere) || st.Kind != Delete {
			t.Errorf("%q is seen as unbounded (%q %s)", tail, st.Kind, st.Problem)
		}
	}
}

// Attack: every row by the table itself, under other names.
func TestNoWhereOfCopies(t *testing.T) {
	for sql, want := range map[string]bool{
		"DELETE FROM t USING v WHERE t.id = v.k":                                             true,
		"DELETE FROM t USING v WHERE id = k":                                                 true,
		"DELETE FROM t USING w WHERE t.id = w.k":                                             true,
		"DELETE FROM t USING v q(z) WHERE t.id = q.z":                                        true,
		"WITH x AS (SELECT k FROM v) DELETE FROM t USING x WHERE x.k = t.id":                 true,
		"WITH x(n) AS (SELECT k FROM v) DELETE FROM t USING x WHERE x.n = t.id":              true,
		"WITH x AS (SELECT id AS e FROM t) DELETE FROM t USING x WHERE t.id = x.e":           true,
		"DELETE FROM t USING (SELECT id + 0 AS e FROM t) x WHERE t.id = x.e":                 true,
		"DELETE FROM t WHERE id IN (SELECT k FROM v)":                                        true,
		"DELETE FROM t WHERE (id, a) IN (SELECT k, b FROM v)":                                true,
		"DELETE FROM t WHERE EXISTS (SELECT FROM v WHERE v.k = t.id)":                        true,
		"DELETE FROM t WHERE id >= (SELECT min(k) FROM v)":                                   true,
		"DELETE FROM t USING x CROSS JOIN v WHERE t.id = v.k":                                true,
		"DELETE FROM t USING x RIGHT JOIN v ON false WHERE t.id = v.k":                       true,
		"DELETE FROM v USING t WHERE v.k = t.id":                                             true,
		"DELETE FROM part USING t WHERE part.k = t.id":                                       true,
		"DELETE FROM part USING v WHERE part.k = v.k":                                        true,
		"DELETE FROM part WHERE k IS NOT NULL":                                               true,
		"MERGE INTO t USING v ON t.id = v.k WHEN MATCHED THEN DELETE":                        true,
		"INSERT INTO t (id, a) SELECT k, b FROM v ON CONFLICT (id) DO UPDATE SET a = 'x'":    true,
		"DELETE FROM t USING v WHERE t.a = v.k":                                              false,
		"DELETE FROM t USING part WHERE t.id = part.k":                                       false,
		"DELETE FROM t USING v WHERE t.id = v.k AND v.b = 'x'":                               false,
		"DELETE FROM t USING v WHERE t.id = v.k + 1":                                         false,
		"DELETE FROM t USING loop WHERE t.id = loop.id":                                      false,
		"DELETE FROM t WHERE (id, a) IN (SELECT k, 'x' FROM v)":                              false,
		"DELETE FROM t USING x JOIN v ON x.id = v.k WHERE t.id = v.k":                        false,
		"DELETE FROM t WHERE id IN (SELECT k FROM v LIMIT 10)":                               false,
		"DELETE FROM t WHERE id IN (SELECT k FROM part)":                                     false,
		"DELETE FROM t WHERE id = (SELECT max(k) FROM v)":                                    false,
		"WITH v AS (SELECT id AS k FROM x) DELETE FROM t USING v WHERE t.id = v.k":           false,
		"WITH x AS (SELECT a AS id FROM t) DELETE FROM t USING x WHERE t.id = x.id::integer": false,
		"DELETE FROM t WHERE id = (SELECT b.id FROM t b WHERE b.id = t.id)":                  true,
		"DELETE FROM t WHERE (SELECT q.b FROM v q WHERE q.k = t.id) = a":                     true,
		"DELETE FROM t WHERE id = (SELECT id)":                                               true,
		"DELETE FROM t WHERE id = id + 0 * price":                                            true,
		"DELETE FROM t WHERE id = (SELECT b.id FROM t b WHERE b.id = t.id AND b.a = 'x')":    false,
		"DELETE FROM t WHERE id = (SELECT max(b.id) FROM t b WHERE b.a = t.a)":               false,
		"DELETE FROM t WHERE id = (SELECT b.price FROM t b WHERE b.id = t.id)":               false,
		"DELETE FROM t WHERE id = (SELECT price)":                                            false,
		"DELETE FROM v WHERE k = 1":                                                          false,
	} {
		if st := Analyze(sql, table{})[0]; st.Has(NoWhere) != want {
			t.Errorf("%q: unbounded is %v, want %v (%q %s)", sql, !want, want, st.Kind, st.Problem)
		}
	}
}

// Attack: every row by a query before, or by a conflict with itself.
func TestNoWhereOfQueriesBefore(t *testing.T) {
	for sql, want := range map[string]bool{
		"WITH b AS (SELECT id FROM t) DELETE FROM t USING b WHERE t.id = b.id":                              true,
		"WITH b AS (SELECT id FROM t), c AS (SELECT * FROM b) DELETE FROM t WHERE id IN (SELECT id FROM c)": true,
		"WITH b AS (SELECT id FROM t WHERE a = 'x') DELETE FROM t WHERE id IN (SELECT id FROM b)":           false,
		"WITH t AS (SELECT id FROM x) DELETE FROM public.t p USING t WHERE p.id = t.id":                     false,
		"WITH b AS (SELECT id FROM t LIMIT 100) DELETE FROM t USING b WHERE t.id = b.id":                    false,
		"INSERT INTO t SELECT * FROM t ON CONFLICT (id) DO UPDATE SET a = 'x'":                              true,
		"INSERT INTO t TABLE t ON CONFLICT (id) DO UPDATE SET a = 'x' WHERE true":                           true,
		"INSERT INTO t SELECT * FROM t ON CONFLICT (id) DO NOTHING":                                         false,
		"INSERT INTO t SELECT * FROM t WHERE id = 1 ON CONFLICT (id) DO UPDATE SET a = 'x'":                 false,
		"INSERT INTO t SELECT * FROM x ON CONFLICT (id) DO UPDATE SET a = excluded.a":                       false,
		"INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET a = 'x'":                                   false,
		"MERGE INTO t USING x ON x.id = 1 WHEN MATCHED THEN DELETE":                                         true,
		"MERGE INTO t USING t b ON t.id = b.id WHEN MATCHED THEN DELETE":                                    true,
		"MERGE INTO t USING t b ON t.id = b.id WHEN MATCHED AND b.a = 'x' THEN DELETE":                      false,
	} {
		if st := Analyze(sql, table{})[0]; st.Has(NoWhere) != want {
			t.Errorf("%q: unbounded is %v, want %v (%q %s)", sql, !want, want, st.Kind, st.Problem)
		}
	}
}

// Attack: change what PostgreSQL keeps of itself, past its commands.
func TestWritesToTheSystemCatalog(t *testing.T) {
	for sql, want := range map[string]Sign{
		"update pg_class set relname = 'x' where oid = 1":                      SystemCatalog,
		"delete from pg_catalog.pg_depend where objid = 1":                     SystemCatalog,
		"with x as (insert into pg_description values (1, 1, 1, '')) select 1": SystemCatalog,
		"copy pg_authid from stdin":                                            SystemCatalog,
		"update pg_settings set setting = 'x' where name = 'role'":             SessionState,
		"select * from pg_hba_file_rules":                                      ServerFile,
		"select 1 from (select 1) x, pg_catalog.pg_file_settings f":            ServerFile,
		"do $$ begin delete from pg_catalog.pg_class where oid = 1; end $$":    SystemCatalog,
	} {
		if st := one(t, sql); !st.Has(want) {
			t.Errorf("%q: signs %v, want %s", sql, st.Signs, want)
		}
	}
	for _, sql := range []string{"select * from pg_class", "update shop.pg_things set a = 1 where id = 1", "select * from shop.pg_file_settings"} {
		if st := one(t, sql); st.Has(SystemCatalog) || st.Has(ServerFile) || st.Has(SessionState) {
			t.Errorf("%q: signs %v", sql, st.Signs)
		}
	}
}
