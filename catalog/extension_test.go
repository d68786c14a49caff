package catalog_test

import (
	"slices"
	"testing"

	"github.com/sluicehq/sluice/query"
)

// Functions in C of extensions that only reckon are known, with where their values come
// from; those of others, and what runs a text, are not.
func TestExtensionsThatReckon(t *testing.T) {
	s := load(t, connect(t, `create extension cube; create extension earthdistance; create extension pg_trgm; create extension tablefunc;
		create extension pgstattuple; create extension fuzzystrmatch; create table places (id int, lat float8, lon float8, name text, note text)`), nil).InPath([]string{"public"})
	for sql, want := range map[string][]string{
		"select similarity(name, 'x') from places":                        {"places.name"},
		"select levenshtein(name, note) from places":                      {"places.name places.note"},
		"select cube(lat, lon) from places":                               {"places.lat places.lon"},
		"select point(lat, lon) <@> point(1, 2), upper(name) from places": {"?", "places.name"}, // an operator says no name
		"select geo_distance(point(lat, lon), point(1, 2)) from places":   {"places.lat places.lon"},
	} {
		st := query.Analyze(sql, s)[0]
		var got []string
		for _, c := range st.Output {
			got = append(got, sourcesOf(c))
		}
		if !slices.Equal(got, want) || st.Has(query.UnknownRoutine) {
			t.Errorf("%s: %q, want %q (%s)", sql, got, want, st.Problem)
		}
	}
	for sql, sign := range map[string]query.Sign{
		"select * from crosstab('select 1, 2, 3') as x(a int, b int)": query.DynamicSQL,
		"select * from pgstattuple('places')":                         query.UnknownRoutine,
		"select normal_rand(1, 2, 3)":                                 query.UnknownRoutine,
	} {
		if st := query.Analyze(sql, s)[0]; !st.Has(sign) {
			t.Errorf("%s: signs %v, want %s", sql, st.Signs, sign)
		}
	}
}
