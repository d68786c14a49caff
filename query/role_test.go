package query

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// As what columns steer follows from the clause that they stand in.
func TestRolesOfColumnsThatSteer(t *testing.T) {
	for sql, want := range map[string]string{
		"select t.a from t join u on t.id = u.id":                                        "t.id: join, u.id: join",
		"select a from t join u using (id)":                                              "t.id: join, u.id: join",
		"select t.a from t, u where t.id = u.id and t.b > 3":                             "t.b: filter, t.id: join, u.id: join",
		"select a from t where id in (select id from u where c = 1)":                     "t.id: join, u.c: filter, u.id: join",
		"select a from t where b = c":                                                    "t.b: filter, t.c: filter",
		"select b, sum(a) from t group by b having max(c) > 1":                           "t.b: group_by, t.c: filter",
		"select a from t order by b, c desc limit 1":                                     "t.b: sort, t.c: sort",
		"select distinct on (b) a from t order by b, c":                                  "t.b: group_by sort, t.c: sort",
		"select sum(a) over (partition by b order by c) from t":                          "t.b: window, t.c: window",
		"select case when b > 1 then a end, case c when 1 then a end from t":             "t.b: conditional, t.c: conditional",
		"select sum(a) filter (where b > 1), string_agg(a::text, ',' order by c) from t": "t.b: filter, t.c: sort",
		"update t set a = 1 where b = 2":                                                 "t.b: filter",
		"delete from t using u where t.id = u.id and u.c = 1":                            "t.id: join, u.c: filter, u.id: join",
		"merge into t using u on t.id = u.id when matched and u.c > 1 then delete":       "t.id: join, u.c: conditional, u.id: join",
		"with x as (select id from u where c = 1) select a from t join x on x.id = t.id": "t.id: join, u.c: filter, u.id: join",
		"with x as (select id from u where c = 1) select a from t where b = 1":           "t.b: filter",
		"select a from t": "",
	} {
		sc := newSchema(map[string][]string{"t": {"id", "a", "b", "c"}, "u": {"id", "c"}})
		st := Analyze(sql, sc)[0]
		var got []string
		for _, ref := range slices.SortedFunc(maps.Keys(st.Roles), func(a, b Ref) int { return strings.Compare(a.String(), b.String()) }) {
			got = append(got, strings.TrimPrefix(ref.String(), "public.")+": "+st.Roles[ref].String())
		}
		if text := strings.Join(got, ", "); text != want {
			t.Errorf("%s\n%s, want %s", sql, text, want)
		}
		for _, ref := range st.Indirect {
			if st.Roles[ref] == 0 {
				t.Errorf("%s: nobody knows as what %s steers", sql, ref)
			}
		}
	}
}
