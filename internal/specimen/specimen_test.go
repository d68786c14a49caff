package specimen_test

import (
	"reflect"
	"sync"
	"testing"

	"github.com/sluicehq/sluice/internal/specimen"
)

var tuning = sync.OnceValue(func() []specimen.Column { return specimen.Tuning.Catalogue(1) })

func TestTheSameSeedMakesTheSame(t *testing.T) {
	if !reflect.DeepEqual(tuning(), specimen.Tuning.Catalogue(1)) {
		t.Error("two catalogues of one seed differ")
	}
	if reflect.DeepEqual(tuning(), specimen.Tuning.Catalogue(2)) {
		t.Error("the seed changes nothing")
	}
}

func TestEveryKindOfNameAndPlaceIsThere(t *testing.T) {
	seen := map[any]int{}
	for _, c := range tuning() {
		if c.Name == "" || c.Table == "" || len(c.Values) != specimen.Rows {
			t.Fatalf("%+v", c)
		}
		seen[c.Naming]++
		seen[c.Where]++
		seen[c.PII]++
	}
	for _, k := range []any{specimen.Honest, specimen.Foreign, specimen.Misleading, specimen.Meaningless, "whole", "embedded", "json", true, false} {
		if seen[k] < 20 {
			t.Errorf("%v: %d columns", k, seen[k])
		}
	}
}

func TestStatisticsAreFewAndShort(t *testing.T) {
	for _, c := range specimen.Statistics(tuning()) {
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
