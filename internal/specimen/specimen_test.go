package specimen_test

import (
	"reflect"
	"testing"

	"github.com/sluicehq/sluice/internal/specimen"
)

func TestTheSameSeedMakesTheSame(t *testing.T) {
	a, b := specimen.Judging.Catalogue(7), specimen.Judging.Catalogue(7)
	if !reflect.DeepEqual(a, b) {
		t.Error("two catalogues of one seed differ")
	}
	if reflect.DeepEqual(a, specimen.Judging.Catalogue(8)) {
		t.Error("the seed changes nothing")
	}
}

func TestEveryKindOfNameAndPlaceIsThere(t *testing.T) {
	seen := map[any]int{}
	for _, set := range []specimen.Set{specimen.Tuning, specimen.Judging} {
		for _, c := range set.Catalogue(1) {
			if c.Name == "" || c.Table == "" || len(c.Values) != specimen.Rows {
				t.Fatalf("%+v", c)
			}
			seen[c.Naming]++
			seen[c.Where]++
			seen[c.PII]++
		}
	}
	for _, k := range []any{specimen.Honest, specimen.Foreign, specimen.Misleading, specimen.Meaningless, "whole", "embedded", "json", true, false} {
		if seen[k] < 20 {
			t.Errorf("%v: %d columns", k, seen[k])
		}
	}
}

func TestStatisticsAreFewAndShort(t *testing.T) {
	for _, c := range specimen.Statistics(specimen.Tuning.Catalogue(1)) {
		if len(c.Values) > 201 {
			t.Errorf("%s has %d values", c.Name, len(c.Values))
		}
		for _, v := range c.Values {
			if len(v) > 1024 {
				t.Errorf("%s has a value of %d bytes", c.Name, len(v))
			}
		}
	}
}
