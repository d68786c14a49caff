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
