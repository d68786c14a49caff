package mask_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sluicehq/sluice/internal/specimen"
	"github.com/sluicehq/sluice/mask"
)

var update = flag.Bool("update", false, "write the table of docs/masking.md anew")

// The seeds of the two catalogues: one to fit rules to, one to judge.
const (
	tuningSeed  = 1
	judgingSeed = 101
)

var catalogues = map[string]func() []specimen.Column{
	"tuning":  sync.OnceValue(func() []specimen.Column { return specimen.Tuning.Catalogue(tuningSeed) }),
	"judging": sync.OnceValue(func() []specimen.Column { return specimen.Judging.Catalogue(judgingSeed) }),
}

// judgement is what was said of a column.
type judgement struct {
	column specimen.Column
	found  mask.Finding
}

var judgements = map[string]*[]judgement{}

// judge classifies a catalogue as a variant shows it, once.
func judge(set string, v variant) []judgement {
	key := set + v.name
	if judgements[key] == nil {
		list := []judgement{}
		for _, c := range v.narrow(catalogues[set]()) {
			if v.fair(c) {
				list = append(list, judgement{c, classify(c)})
			}
		}
		judgements[key] = &list
	}
	return *judgements[key]
}

// score is what was found of some columns of which the truth is known.
type score struct {
	personal, found, typed, unread int // unread: neither found nor clean, so that values are scanned
	harmless, wrong                int
}

func (s score) recall() float64    { return ratio(s.found, s.personal) }
func (s score) precision() float64 { return ratio(s.found, s.found+s.wrong) }
func (s score) accuracy() float64  { return ratio(s.typed, s.found) }
func (s score) missed() int        { return s.personal - s.found - s.unread } // called clean

func ratio(a, b int) float64 {
	if b == 0 {
		return 1
	}
	return float64(a) / float64(b)
}

func (s score) f2() float64 {
	p, r := s.precision(), s.recall()
	if p+r == 0 {
		return 0
	}
	return 5 * p * r / (4*p + r)
}

func (s *score) add(c specimen.Column, f mask.Finding) {
	switch {
	case !c.PII:
		s.harmless++
		if f.PII {
			s.wrong++
		}
	case f.PII:
		s.personal++
		s.found++
		if slices.Contains(c.Types, string(f.Type)) {
			s.typed++
		}
	default:
		s.personal++
		if !f.Clean {
			s.unread++
		}
	}
}

func classify(c specimen.Column) mask.Finding {
	return mask.Classify(mask.ColumnInfo{
		Schema: c.Schema, Table: c.Table, Column: c.Name, Type: c.Type, TypeOID: c.OID, Samples: c.Values, Siblings: c.Siblings, Rows: specimen.Rows,
	})
}

// variant is what the finder is given to see of a catalogue.
type variant struct {
	name   string
	narrow func([]specimen.Column) []specimen.Column
	fair   func(specimen.Column) bool // columns of which something tells in this variant
}

func anything(specimen.Column) bool { return true }

var variants = []variant{
	{"500 rows", func(c []specimen.Column) []specimen.Column { return c }, anything},
	{"20 rows", func(c []specimen.Column) []specimen.Column { return specimen.Sampled(c, 20) }, anything},
	{"statistics only", specimen.Statistics, anything},
	{"names only", func(c []specimen.Column) []specimen.Column { return specimen.Sampled(c, 0) }, func(c specimen.Column) bool {
		return !c.PII || c.Where == "whole" && (c.Naming == specimen.Honest || c.Naming == specimen.Foreign)
	}},
	{"content only", specimen.Anonymous, func(c specimen.Column) bool { return !c.ByName }},
}

// judged counts by place and by kind of name.
func judged(set string, v variant) map[string]*score {
	out := map[string]*score{}
	for _, key := range []string{"all", "whole", "parts"} {
		out[key] = &score{}
	}
	for _, j := range judge(set, v) {
		c, naming := j.column, string(j.column.Naming)
		if out[naming] == nil {
			out[naming] = &score{}
		}
		out[naming].add(c, j.found)
		if c.Naming == specimen.Strange { // reported by itself: the finder has no words for it
			continue
		}
		out["all"].add(c, j.found)
		if c.Where == "whole" || !c.PII {
			out["whole"].add(c, j.found)
		}
		if c.Where != "whole" || !c.PII {
			out["parts"].add(c, j.found)
		}
	}
	return out
}

// TestGateColumns is the gate of the finding of columns: it fails when a figure on
// the judging set falls below what docs/masking.md promises.
func TestGateColumns(t *testing.T) {
	s := judged("judging", variants[0])
	for _, g := range []struct {
		what      string
		got, want float64
	}{
		{"recall of whole values", s["whole"].recall(), 0.99},
		{"recall of parts of text and documents", s["parts"].recall(), 0.97},
		{"precision", s["all"].precision(), 0.95},
		{"right type", s["all"].accuracy(), 0.90},
	} {
		t.Logf("%s: %.4f", g.what, g.got)
		if g.got < g.want {
			t.Errorf("%s is %.4f, must be %.2f", g.what, g.got, g.want)
		}
	}
	if testing.Verbose() {
		misses(t, "judging")
	}
}

// misses lists what was got wrong, for whoever works on it.
func misses(t *testing.T, set string) {
	for _, v := range variants {
		for _, j := range judge(set, v) {
			c, f := j.column, j.found
			if f.PII == c.PII && (!c.PII || slices.Contains(c.Types, string(f.Type))) {
				continue
			}
			first := ""
			if len(c.Values) > 0 {
				first = c.Values[0]
			}
			t.Logf("%s: %s %s.%s.%s is %v %v, found %v %s clean=%v (%s), e.g. %.60q", v.name, c.Naming, c.Schema, c.Table, c.Name, c.Kind, c.Types, f.PII, f.Type, f.Clean, f.Evidence, first)
		}
	}
}

// TestTuningFigures holds what was reached on the set that rules may be fitted to.
func TestTuningFigures(t *testing.T) {
	s := judged("tuning", variants[0])
	if s["all"].recall() < 0.97 || s["all"].precision() < 0.95 {
		t.Errorf("recall %.4f, precision %.4f on the tuning set", s["all"].recall(), s["all"].precision())
	}
	if testing.Verbose() {
		misses(t, "tuning")
	}
}

const (
	tableStart = "<!-- figures: made by go test ./mask -run TestFiguresAreFresh -update -->"
	tableEnd   = "<!-- end of figures -->"
)

func figures() string {
	var b strings.Builder
	fmt.Fprintln(&b, "| Given | Columns | of these personal | Recall whole | Recall embedded, JSON, arrays | Precision | False alarms of harmless | F2 | Right type | Missed, called clean |")
	fmt.Fprintln(&b, "|---|---|---|---|---|---|---|---|---|---|")
	var first map[string]*score
	for _, v := range variants {
		s := judged("judging", v)
		if first == nil {
			first = s
		}
		parts := "–"
		if s["parts"].personal > 0 {
			parts = fmt.Sprintf("%.3f", s["parts"].recall())
		}
		a := s["all"]
		fmt.Fprintf(&b, "| %s | %d | %d | %.3f | %s | %.3f | %.3f | %.3f | %.3f | %d |\n", v.name, a.personal+a.harmless, a.personal, s["whole"].recall(), parts, a.precision(), ratio(a.wrong, a.harmless), a.f2(), a.accuracy(), a.missed())
	}
	fmt.Fprintln(&b, "\n| Names, with 500 rows | Personal columns | Recall | Right type | Missed, called clean |")
	fmt.Fprintln(&b, "|---|---|---|---|---|")
	for _, n := range []specimen.Naming{specimen.Honest, specimen.Foreign, specimen.Misleading, specimen.Meaningless, specimen.Strange} {
		s := first[string(n)]
		fmt.Fprintf(&b, "| %s | %d | %.3f | %.3f | %d |\n", n, s.personal, s.recall(), s.accuracy(), s.missed())
	}
	return b.String()
}

// TestFiguresAreFresh: what docs/masking.md says was measured is what is measured.
func TestFiguresAreFresh(t *testing.T) {
	const path = "../docs/masking.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := bytes.Cut(text, []byte(tableStart))
	_, tail, ended := bytes.Cut(rest, []byte(tableEnd))
	if !ok || !ended {
		t.Fatalf("%s has no place for the figures", path)
	}
	fresh := slices.Concat(head, []byte(tableStart+"\n\n"+figures()+"\n"+valueFigures(t)+"\n"+tableEnd), tail)
	if *update {
		if err := os.WriteFile(path, fresh, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(text, fresh) {
		t.Errorf("%s is out of date; run: go test ./mask -run TestFiguresAreFresh -update", path)
	}
}
