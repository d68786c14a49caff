package lineage

import (
	"strings"
	"testing"
)

// Constants and comments do not leave, in whatever quotes they stand.
func TestSecretsDoNotLeaveWithTheStatement(t *testing.T) {
	for _, sql := range []string{
		`select 'SECRET'`, `select E'a\'SECRET'`, `select $$SECRET$$`, `select $x$ $$ SECRET $x$`, `select 'a''SECRET'`, `select 1 -- SECRET`,
		`select /* /* a */ SECRET */ 1`, `select U&'SECRET'`, `select b'SECRET'`, `select $$SECRET`, `select 'SECRET`, `select $ä$SECRET$ä$`, "select e'x\\\\', 'SECRET'",
	} {
		if got := withoutValues(sql); strings.Contains(strings.ToLower(got), "secret") {
			t.Errorf("%s: %s", sql, got)
		}
	}
	if got := withoutValues(`Insert Into t ("a b", x1) Values (12, $1, 1.5e3)`); got != `insert into t ( "a b" , x1 ) values ( ? , $1 , ? . ? )` {
		t.Error(got)
	}
}

func TestFilesAndColumnsOfStatements(t *testing.T) {
	for sql, want := range map[string]string{
		`copy t from '/tmp/it''s.csv'`: "/tmp/it's.csv", `COPY (select 'from ''x''') TO PROGRAM 'cat >x'`: "program cat >x", `copy t from stdin`: "a file on the server", `copy t to`: "a file on the server",
	} {
		if got := fileName(sql); got != want {
			t.Errorf("%s: %q", sql, got)
		}
	}
	for sql, want := range map[string]string{
		`alter table t rename a to b`: "a b", `ALTER TABLE "rename" RENAME COLUMN "A ""x" TO c`: `A "x c`, `alter table t rename column column to b`: "column b", `alter table t rename`: " ",
	} {
		if from, to, _ := renamedColumn(sql); from+" "+to != want {
			t.Errorf("%s: %q %q", sql, from, to)
		}
	}
}

func FuzzTokens(f *testing.F) {
	f.Add("select E'x\\' from $a$ b $a$ /* c /* d */ */ -- e\n 'f")
	f.Fuzz(func(t *testing.T, sql string) {
		for _, w := range tokens(sql) {
			if w == "" {
				t.Error("an empty word")
			}
		}
		renamedColumn(sql)
		fileName(sql)
		withoutValues(sql)
	})
}
