package mask

import (
	"strings"
	"testing"
)

func TestDictionaryIsWhole(t *testing.T) {
	if n := len(dictionary()); n != 38_198 {
		t.Errorf("%d names", n)
	}
	for name := range dictionary() {
		if foldWord(name) != name || strings.ContainsAny(name, " -'") {
			t.Errorf("%q is not folded", name)
		}
	}
}

func TestPersonWords(t *testing.T) {
	for _, tt := range []struct {
		in            string
		words, listed int
		ok            bool
	}{
		{"Ada Lovelace", 2, 2, true}, {"Müller, Jürgen", 2, 2, true}, {"Dr. Anna Schmidt", 2, 2, true}, {"José García de la Cruz", 3, 3, true},
		{"Иван Петров", 2, 2, true}, {"王伟", 1, 1, true}, {"山田 太郎", 2, 1, true}, {"김민준", 1, 1, true}, {"Anne-Marie O'Brien", 2, 2, true},
		{"Zxq Vwk", 2, 0, true},
		{"order shipped", 0, 0, false}, {"Apple 2", 0, 0, false}, {"a@b.de", 0, 0, false}, {"", 0, 0, false}, {"USB", 0, 0, false},
	} {
		words, listed, ok := personWords(tt.in)
		if words != tt.words || listed != tt.listed || ok != tt.ok {
			t.Errorf("%q: %d words, %d listed, %v; want %d, %d, %v", tt.in, words, listed, ok, tt.words, tt.listed, tt.ok)
		}
	}
}

func FuzzPersonWords(f *testing.F) {
	for _, s := range []string{"Ada Lovelace", "王伟", "김민준", "O’Brien-Smith, J.", "\xff\xfe A"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if words, listed, _ := personWords(s); listed > words {
			t.Errorf("%d of %d words", listed, words)
		}
	})
}

func TestPlaces(t *testing.T) {
	if n := len(gazetteer()); n < 20_000 {
		t.Errorf("%d places", n)
	}
	for v, want := range map[string]bool{"Paris": true, "Côte d'Ivoire": true, "Tübingen": true, "Österreich": true, "Maria": false, "": false} {
		if isPlace(v) != want {
			t.Errorf("%q: %v", v, !want)
		}
	}
}
