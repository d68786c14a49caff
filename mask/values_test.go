package mask_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/internal/specimen"
	"github.com/sluicehq/sluice/mask"
)

// gateValues is the share of single values in prose and documents that may come
// through, by type. Those that are not in it are reported and not held to anything.
var gateValues = map[string]float64{
	"secret": 0, "jwt": 0, "card": 0, "iban": 0, "email": 0, "ssn": 0, "mac": 0, "phone": 0.02, "dob": 0.02, "ip": 0.02,
}

type through struct{ prose, inProse, documents, inDocuments int }

// valuesThrough has a column of unknown content read value by value, and counts what
// stands in it after that.
func valuesThrough(t *testing.T) map[string]*through {
	out := map[string]*through{}
	for _, l := range specimen.Judging.Literals(judgingSeed, 90) {
		x := out[l.Type]
		if x == nil {
			x = &through{}
			out[l.Type] = x
		}
		oid, all, came := uint32(textOID), &x.prose, &x.inProse
		if l.JSON {
			oid, all, came = 3802, &x.documents, &x.inDocuments
		}
		row := [][]byte{[]byte(l.Text)}
		mask.NewPlan([]mask.Column{{State: mask.Unknown, TypeOID: oid}}).Apply(row)
		*all++
		if strings.Contains(string(row[0]), l.Value) {
			*came++
			if testing.Verbose() {
				t.Logf("%s %s: %q", l.Type, l.Kind, l.Text)
			}
		}
	}
	return out
}

// TestGateValues is the gate of what is hidden inside other text.
func TestGateValues(t *testing.T) {
	for name, x := range valuesThrough(t) {
		most, held := gateValues[name]
		if share := ratio(x.inProse+x.inDocuments, x.prose+x.documents); held && share > most {
			t.Errorf("%s: %.3f come through, at most %.2f may", name, share, most)
		}
	}
}

func valueFigures(t *testing.T) string {
	var b strings.Builder
	fmt.Fprintln(&b, "| Type | Through in prose | Through in JSON | May |")
	fmt.Fprintln(&b, "|---|---|---|---|")
	all := valuesThrough(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		x, may := all[name], "–"
		if most, ok := gateValues[name]; ok {
			may = fmt.Sprintf("%.2f", most)
		}
		fmt.Fprintf(&b, "| %s | %.3f of %d | %.3f of %d | %s |\n", name, ratio(x.inProse, x.prose), x.prose, ratio(x.inDocuments, x.documents), x.documents, may)
	}
	return b.String()
}
