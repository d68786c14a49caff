package mask_test

import (
	"strings"
	"testing"

	"github.com/sluicehq/sluice/internal/specimen"
	"github.com/sluicehq/sluice/mask"
)

func read(v string) string {
	row := [][]byte{[]byte(v)}
	mask.NewPlan([]mask.Column{{State: mask.Unknown, TypeOID: textOID}}).Apply(row)
	return string(row[0])
}

func TestNamesInProse(t *testing.T) {
	for v, want := range map[string]string{
		"we spoke with Mrs Wyrbthorn today":             "we spoke with Mrs ••• today",
		"please ask Dr. Anna Schmidt about it":          "please ask Dr. ••• about it",
		"the parcel went to Thomas Miller at noon":      "the parcel went to ••• at noon",
		"Herr Jürgen von Mühlen hat angerufen":          "Herr ••• hat angerufen",
		"my name is Fatima Okonkwo, thanks":             "my name is •••, thanks",
		"please ask Miller, Thomas; thanks":             "please ask •••; thanks",
		"English (Hong Kong SAR China)":                 "English (Hong Kong SAR China)",
		"the branch in Santa Maria is closed":           "the branch in Santa Maria is closed",
		"stores in Paris, London and Rome":              "stores in Paris, London and Rome",
		"ask for Apples, Pears or Plums":                "ask for Apples, Pears or Plums",
		"shipped from the warehouse in New York today":  "shipped from the warehouse in New York today",
		"The Customer asked about Order 17 on Monday":   "The Customer asked about Order 17 on Monday",
		"meet at Grand Park Hotel, Baker Street":        "meet at Grand Park Hotel, Baker Street",
		"sold to Miller and Sons Ltd in March":          "sold to Miller and Sons Ltd in March",
		"Please see the Annual Report and the Terms Of": "Please see the Annual Report and the Terms Of",
	} {
		if got := read(v); got != want {
			t.Errorf("%q becomes %q, want %q", v, got, want)
		}
	}
}

// Sentences without a name pass as they are.
func TestProseWithoutNamesPasses(t *testing.T) {
	var texts, hit int
	for _, c := range specimen.Judging.Catalogue(judgingSeed) {
		if c.PII {
			continue
		}
		for _, v := range c.Values {
			if strings.Count(v, " ") < 4 {
				continue
			}
			if texts++; strings.Contains(read(v), "•••") {
				if hit++; hit < 10 {
					t.Logf("%s.%s: %q becomes %q", c.Table, c.Name, v, read(v))
				}
			}
		}
	}
	t.Logf("%d texts, in %d of them something is taken for a name", texts, hit)
	if texts < 200 || hit*50 > texts {
		t.Errorf("in %d of %d texts something is taken for a name", hit, texts)
	}
}
