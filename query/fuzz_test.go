package query

import (
	"strings"
	"testing"
)

var fuzzSeeds = []string{
	"", ";;", "SELECT 1", "SELECT * FROM users u, LATERAL (SELECT u.email) x", "DELETE FROM users WHERE 1=1; DROP TABLE users",
	"WITH RECURSIVE r AS (SELECT 1 UNION ALL SELECT * FROM r) SELECT * FROM r", "WITH a AS (SELECT * FROM a) SELECT * FROM a",
	"WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT * FROM a) SELECT * FROM b",
	"MERGE INTO scratch USING users ON true WHEN MATCHED THEN UPDATE SET a = email WHEN NOT MATCHED THEN INSERT DEFAULT VALUES",
	"INSERT INTO scratch (a[1], b) SELECT * FROM users ON CONFLICT DO NOTHING RETURNING *", "UPDATE scratch SET (a, b) = (SELECT 1)",
	"SELECT E'\\'' || U&'\\0041' || $$x$$ || $a$ $$ $a$", "SELECT (((u).x).y)[1:2].* FROM users u", "COPY users (id, nope) TO STDOUT",
	"CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; DELETE FROM t;)", "SELECT x COLLATE \"C\" IS NULL", "EXPLAIN (ANALYZE) SELECT * FROM x",
	"SELECT * FROM (a NATURAL JOIN b) AS j (x, y, z)", "SELECT a[1].b.c FROM t", "SELECT json_object('a': 1) IS JSON",
	"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END; SELECT 2",
	"SELECT * FROM ((a JOIN b ON true)) x", "SELECT 'a'\n'b'", "/* /* */ SELECT", "GRANT ALL ON users TO PUBLIC", "VALUES (1), (2, 3)",
}

// FuzzAnalyze: no text makes it panic, every text gets an answer, and an answer
// that claims to know a column names no column that the catalogue lacks.
func FuzzAnalyze(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add(s)
	}
	schema := people()
	f.Fuzz(func(t *testing.T, sql string) {
		for _, s := range []Schema{nil, schema} {
			list := Analyze(sql, s)
			if len(list) == 0 {
				t.Fatal("no answer")
			}
			for i := range list {
				checkStatement(t, &list[i], s)
			}
		}
	})
}

func checkStatement(t *testing.T, st *Statement, s Schema) {
	t.Helper()
	if st.Kind == Unknown && len(st.Signs) == 0 && st.Problem == "" {
		t.Errorf("unknown without a sign or a problem: %+v", st)
	}
	for _, col := range append(st.Output, st.Returning...) {
		for _, src := range col.Sources {
			if s == nil || len(s.Lookup(src.Ref.Schema, src.Ref.Table)) == 0 {
				t.Errorf("source %v is in no catalogue", src.Ref)
			}
		}
	}
	if st.Kind == Drop && !st.Has(Destructive) || (st.Kind == Insert || st.Kind == Drop) && !st.Writes {
		t.Errorf("a write that does not write: %+v", st)
	}
	e := st.Explain()
	if e.Reads == nil || e.Writes == nil || e.Columns == nil || e.Indirect == nil || e.Signs == nil {
		t.Errorf("a list is null: %+v", e)
	}
	if st.Inner != nil {
		checkStatement(t, st.Inner, s)
	}
}

// FuzzPrescan: what the prescan lets pass holds, for the lexer too, no operator
// past the limit and no deeper nesting.
func FuzzPrescan(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add(s)
	}
	for _, s := range []string{strings.Repeat("+", 64), "'" + strings.Repeat("+", 70) + "'", "$a$" + strings.Repeat("-", 70) + "$a$", "e'\\'" + strings.Repeat("+", 70),
		"ee'\\'" + strings.Repeat("+", 70) + "'", "u&'\\'" + strings.Repeat("+", 70), "\"" + strings.Repeat("+", 70), "$1$" + strings.Repeat("+", 70), "1e'\\'" + strings.Repeat("+", 70)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		if len(sql) > 1<<14 || refuse(sql) != "" {
			return
		}
		list, _ := parse(sql)
		if list == nil {
			return
		}
		depth := 0
		tokens, _ := lex(sql)
		for _, tok := range tokens {
			if len(tok.word) >= maxOperator && strings.Trim(tok.word, "~!@#^&|`?+-*/%<>=") == "" {
				t.Errorf("operator of %d characters let pass", len(tok.word))
			}
			switch tok.kind {
			case '(', '[':
				depth++
			case ')', ']':
				depth--
			}
			if depth > maxNesting {
				t.Error("nesting let pass")
			}
		}
	})
}
