package query

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKinds(t *testing.T) {
	tests := []struct {
		sql    string
		kind   Kind
		writes bool
		signs  []Sign
	}{
		{"", Empty, false, nil},
		{" ; -- nothing\n ; /* */", Empty, false, nil},
		{"SELECT 1", Select, false, nil},
		{"VALUES (1)", Select, false, nil},
		{"TABLE t", Select, false, nil},
		{"SELECT * FROM t FOR UPDATE", Select, false, []Sign{RowLock, TableLock}},
		{"SELECT 1 INTO t", DDL, true, nil},
		{"SELECT 1 INTO t UNION SELECT 2", DDL, true, nil},
		{"INSERT INTO t VALUES (1)", Insert, true, nil},
		{"UPDATE t SET a = 1 WHERE id = 1", Update, true, nil},
		{"COPY t FROM STDIN", CopyFrom, true, nil},
		{"COPY t TO STDOUT", CopyTo, false, nil},
		{"CREATE TABLE t (a int)", DDL, true, nil},
		{"CREATE TABLE t AS SELECT 1", DDL, true, nil},
		{"CREATE TABLE t AS EXECUTE p", DDL, true, []Sign{DynamicSQL}},
		{"CREATE VIEW v AS SELECT 1", DDL, true, nil},
		{"CREATE INDEX ON t (a)", DDL, true, []Sign{TableLock}},
		{"ALTER TABLE t ADD COLUMN b int", DDL, true, nil},
		{"ALTER TABLE t DROP COLUMN a", DDL, true, []Sign{Destructive}},
		{"ALTER TABLE t ALTER a TYPE text USING 'x'", DDL, true, []Sign{Destructive, TableLock}},
		{"ALTER TABLE t OWNER TO x", DDL, true, []Sign{Privilege}},
		{"ALTER TABLE t DISABLE ROW LEVEL SECURITY", DDL, true, []Sign{Privilege}},
		{"ALTER TABLE t DISABLE TRIGGER ALL", DDL, true, []Sign{ServerCode}},
		{"ALTER TABLE t RENAME TO u", DDL, true, nil},
		{"ALTER SYSTEM SET log_statement = 'none'", DDL, true, []Sign{Privilege}},
		{"ALTER DATABASE d SET search_path = x", DDL, true, []Sign{Privilege}},
		{"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 1'", DDL, true, []Sign{ServerCode}},
		{"CREATE TRIGGER x AFTER INSERT ON t EXECUTE FUNCTION f()", DDL, true, []Sign{ServerCode}},
		{"CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM u; SELECT 1;)", DDL, true, []Sign{ServerCode}},
		{"CREATE EXTENSION dblink", DDL, true, []Sign{ServerCode}},
		{"CREATE POLICY p ON t USING (true)", DDL, true, []Sign{Privilege}},
		{"CREATE SCHEMA s CREATE TABLE t (a int)", DDL, true, nil},
		{"COMMENT ON TABLE t IS 'x'", DDL, true, nil},
		{"LOAD 'x'", DDL, true, []Sign{ServerCode}},
		{"CREATE AGGREGATE a (int) (sfunc = f, stype = int)", DDL, true, []Sign{ServerCode}},
		{"DROP TABLE t", Drop, true, []Sign{Destructive}},
		{"DROP SCHEMA s CASCADE", Drop, true, []Sign{Destructive}},
		{"DROP DATABASE d", Drop, true, []Sign{Destructive}},
		{"DROP OWNED BY x", Drop, true, []Sign{Destructive, Privilege}},
		{"DROP ROLE x", Drop, true, []Sign{Destructive, Privilege}},
		{"DROP FUNCTION f", Drop, true, []Sign{Destructive}},
		{"DROP INDEX i", Drop, true, []Sign{Destructive}},
		{"TRUNCATE t, u", Truncate, true, []Sign{Destructive}},
		{"GRANT SELECT ON t TO x", Grant, true, []Sign{Privilege}},
		{"REVOKE x FROM y", Grant, true, []Sign{Privilege}},
		{"CREATE USER x PASSWORD 'y'", Grant, true, []Sign{Privilege}},
		{"ALTER ROLE x PASSWORD 'y'", Grant, true, []Sign{Privilege}},
		{"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO x", Grant, true, []Sign{Privilege}},
		{"REASSIGN OWNED BY x TO y", Grant, true, []Sign{Privilege}},
		{"BEGIN", Transaction, false, nil},
		{"START TRANSACTION ISOLATION LEVEL SERIALIZABLE", Transaction, false, nil},
		{"COMMIT", Transaction, false, nil},
		{"SAVEPOINT a", Transaction, false, nil},
		{"ROLLBACK TO a", Transaction, false, nil},
		{"COMMIT PREPARED 'x'", Transaction, false, nil},
		{"SET CONSTRAINTS ALL DEFERRED", Transaction, false, nil},
		{"SHOW search_path", Show, false, nil},
		{"CLOSE c", Close, false, nil},
		{"MOVE 3 FROM c", Fetch, false, nil},
		{"LISTEN x", Listen, false, nil},
		{"NOTIFY x, 'y'", Listen, false, nil},
		{"UNLISTEN *", Listen, false, nil},
		{"VACUUM FULL t", Maintain, false, []Sign{TableLock}},
		{"ANALYZE", Maintain, false, nil},
		{"REINDEX TABLE t", Maintain, false, []Sign{TableLock}},
		{"CHECKPOINT", Maintain, false, nil},
		{"REFRESH MATERIALIZED VIEW m", Maintain, true, []Sign{TableLock}},
		{"LOCK TABLE t", Lock, false, []Sign{TableLock}},
		{"CALL p()", Unknown, true, []Sign{UnknownRoutine}},
		{"DO 'x'", Unknown, true, []Sign{DynamicSQL, UnknownRoutine}},
		{"SELEC 1", Unknown, false, []Sign{Unparsable}},
	}
	for _, tt := range tests {
		st := one(t, tt.sql)
		if st.Kind != tt.kind || st.Writes != tt.writes || !slices.Equal(st.Signs, tt.signs) {
			t.Errorf("%q: %q writes %v %v, want %q %v %v (%s)", tt.sql, st.Kind, st.Writes, st.Signs, tt.kind, tt.writes, tt.signs, st.Problem)
		}
	}
}

func TestExplanation(t *testing.T) {
	st := Analyze("SELECT lower(email) AS e, id FROM users WHERE id = 1", people())[0]
	got, err := json.Marshal(st.Explain())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"kind":"select","reads":["public.users.email","public.users.id"],"writes":[],"target":null,` +
		`"columns":[{"name":"e","sources":["public.users.email"],"how":"derived","known":true},` +
		`{"name":"id","sources":["public.users.id"],"how":"direct","known":true}],"indirect":["public.users.id"],"signs":[]}`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
	st = Analyze("nonsense", nil)[0]
	got, err = json.Marshal(st.Explain())
	if err != nil {
		t.Fatal(err)
	}
	want = `{"kind":"unknown","reads":[],"writes":[],"target":null,"columns":[],"indirect":[],"signs":["unparsable"]}`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
}
