package query

import (
	"strings"
	"testing"
)

// Attack: nest queries in conditions until looking at them in every way takes for
// ever. What is nested so deep has not said which rows are meant.
func TestNestedConditionsEnd(t *testing.T) {
	const deep = 300
	for _, part := range []string{
		"id in (select id from t where ", "exists (select from t x where x.id = t.id and ", "id = any (array(select id from t where ",
		"id >= (select min(id) from t where ", "id not in (select id from t where false or ", "id = id and (",
		"id in (select id from (select id from t where id = 7) t where ",
	} {
		sql := "delete from t where " + strings.Repeat(part, deep) + "id = 1"
		sql += strings.Repeat(")", strings.Count(sql, "(")-strings.Count(sql, ")"))
		if st := one(t, sql); st.Kind != Delete {
			t.Errorf("%s…: %q %s", part, st.Kind, st.Problem)
		}
	}
}
