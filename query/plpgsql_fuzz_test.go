package query

import (
	"slices"
	"strings"
	"testing"
)

// The reader of PL/pgSQL ends, and a body either is understood as a whole or is
// unknown: nothing in it lets it be half of each.
func FuzzProcedural(f *testing.F) {
	for _, body := range []string{
		"begin return; end", "declare x int := 1; begin <<l>> loop exit l when x > 3; end loop l; end",
		"begin for i in 1..10 by 2 loop delete from t where id = i; end loop; exception when others then raise; end;",
		"declare c cursor (k int) for select 1; begin open c(1); fetch c into x; close c; end",
		"begin if a then b := 1; elsif c then perform d(); else return next e; end if; end",
		"begin execute 'drop table t' into x using y; case x when 1 then null; else null; end case; end",
		"begin for r in execute 'x' || y loop null; end loop; return query select 1; end",
		"#variable_conflict use_column\nbegin select a into strict b, c.d from t; a[1] := 2; raise notice '%', a using hint = 'x'; end",
		"begin ((((", "declare declare begin end", "begin into into; end", "begin get diagnostics n = row_count; assert true, 'x'; end",
	} {
		f.Add(body)
	}
	s := newSchema(map[string][]string{"t": {"id", "a"}})
	f.Fuzz(func(t *testing.T, text string) {
		c := called{r: &Routine{Name: "f", Language: "plpgsql", Body: text}, schema: s}
		e := c.effect()
		doubtful := slices.Contains(e.signs, UnknownRoutine) || slices.Contains(e.signs, DynamicSQL)
		if doubtful != (e.problem != "") {
			t.Errorf("%q: problem %q, signs %v", text, e.problem, e.signs)
		}
		if !e.writes && strings.HasPrefix(e.problem, "function f ") {
			t.Errorf("%q is not understood and yet writes nothing", text)
		}
	})
}
