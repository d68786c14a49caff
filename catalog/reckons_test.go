package catalog

import "testing"

// A mark of a function is its author's promise: PostGIS calls one IMMUTABLE that makes a
// table.
func TestMarksOfTrustedExtensions(t *testing.T) {
	for _, tt := range []struct {
		r    routine
		want bool
	}{
		{routine{name: "st_distance", kind: "f", volatility: "i", trusted: true}, true},
		{routine{name: "st_fromflatgeobuftotable", kind: "f", volatility: "i", trusted: true}, false},
		{routine{name: "st_estimatedextent", kind: "f", volatility: "s", trusted: true}, false},
		{routine{name: "st_distance", kind: "f", volatility: "i"}, false},
		{routine{name: "st_distance", kind: "f", volatility: "v", trusted: true}, false},
		{routine{name: "st_distance", kind: "f", volatility: "i", trusted: true, special: true}, false},
		{routine{name: "st_distance", kind: "p", volatility: "i", trusted: true}, false},
	} {
		if got := tt.r.reckons(); got != tt.want {
			t.Errorf("%+v: %v", tt.r, got)
		}
	}
}
