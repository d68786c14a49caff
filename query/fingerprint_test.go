package query

import "testing"

func TestFingerprint(t *testing.T) {
	equal := [][]string{
		{"SELECT a FROM t WHERE id = 1", "select  A from T where ID = 22 -- x", "SELECT/**/a FROM t WHERE id = $1;", "select a from t where id = 'x'"},
		{"SELECT 1 WHERE a IN (1, 2, 3)", "SELECT 2 WHERE a IN (1)", "SELECT 2 WHERE a IN ($1, $2)"},
		{"INSERT INTO t VALUES (1, 2), (3, 4)", "INSERT INTO t VALUES (1, 2)", "INSERT INTO t VALUES ('a', $1), (1, 2), (3, 4)"},
		{`SELECT "a" FROM t`, "SELECT a FROM t"},
	}
	seen := map[string]string{}
	for _, group := range equal {
		first := Fingerprint(group[0])
		if first == "" || seen[first] != "" {
			t.Errorf("%q has the fingerprint of %q", group[0], seen[first])
		}
		seen[first] = group[0]
		for _, sql := range group[1:] {
			if Fingerprint(sql) != first {
				t.Errorf("%q differs from %q", sql, group[0])
			}
		}
	}
	different := []string{"SELECT a FROM t WHERE id > 1", `SELECT "A" FROM t WHERE id = 1`, `SELECT "select" FROM t`,
		"SELECT b FROM t WHERE id = 1", "DELETE FROM t WHERE id = 1", "SELECT a FROM u WHERE id = 1"}
	for _, sql := range different {
		fp := Fingerprint(sql)
		if fp == "" || seen[fp] != "" {
			t.Errorf("%q has the fingerprint of %q", sql, seen[fp])
		}
		seen[fp] = sql
	}
	for _, sql := range []string{"SELECT 'open", "\xff"} {
		if fp := Fingerprint(sql); fp != "" {
			t.Errorf("%q has a fingerprint", sql)
		}
	}
	if st := one(t, " SELECT a FROM t WHERE id = 7 ;"); st.Fingerprint != Fingerprint("SELECT a FROM t WHERE id = 1") {
		t.Error("a statement's fingerprint is not that of its text")
	}
}
