package conformance

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompare(t *testing.T) {
	direct := Outcomes{"a": Passed, "b": Failed, "c": Skipped, "d": Passed, "e": Passed, "e/1": Passed, "e/2": Passed, "f": Passed}
	through := Outcomes{"a": Passed, "b": Failed, "c": Passed, "e": Failed, "e/1": Passed, "e/2": Failed, "f": Failed, "g": Passed}
	want := []Difference{
		{"c", "is skipped directly, passes through Sluice"},
		{"d", "passes directly, does not run through Sluice"},
		{"e/2", "passes directly, fails through Sluice"}, // e differs because of it
		{"f", "passes directly, fails through Sluice"},
		{"g", "does not run directly, passes through Sluice"},
	}
	if d := cmp.Diff(want, Compare(direct, through)); d != "" {
		t.Errorf("differences (-want +got):\n%s", d)
	}
}

// What nobody reviewed is a fault, and so is what was reviewed and is gone.
func TestJudge(t *testing.T) {
	found := []Difference{{"a", "fails"}, {"b", "fails"}}
	for name, tt := range map[string]struct {
		reviewed []Reviewed
		want     []string // parts of the complaints
	}{
		"all reviewed":        {[]Reviewed{{Test: "a", Diff: "fails\n"}, {Test: "b", Diff: "fails"}}, nil},
		"one is new":          {[]Reviewed{{Test: "a", Diff: "fails"}}, []string{"not in the reviewed list: b"}},
		"one is stale":        {[]Reviewed{{Test: "a", Diff: "fails"}, {Test: "b", Diff: "fails"}, {Test: "c", Diff: "fails", Line: 9}}, []string{"line 9 of the reviewed list is stale"}},
		"one differs further": {[]Reviewed{{Test: "a", Diff: "fails"}, {Test: "b", Diff: "is skipped"}}, []string{"not in the reviewed list: b", "is stale"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Judge(found, tt.reviewed)
			if len(got) != len(tt.want) {
				t.Fatalf("complaints: %q", got)
			}
			for i := range got {
				if !strings.Contains(got[i], tt.want[i]) {
					t.Errorf("%q does not say %q", got[i], tt.want[i])
				}
			}
		})
	}
}

func TestReadReviewed(t *testing.T) {
	list, err := ReadReviewed(strings.NewReader("- test: a\n  reason: it must\n  diff: fails\n- test: b\n  reason: so\n  diff: fails\n"))
	want := []Reviewed{{"a", "it must", "fails", 1}, {"b", "so", "fails", 4}}
	if d := cmp.Diff(want, list); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	if list, err := ReadReviewed(strings.NewReader("# none\n")); err != nil || len(list) != 0 {
		t.Errorf("an empty list: %v, %v", list, err)
	}
	for name, text := range map[string]string{
		"no reason":   "- test: a\n  diff: fails\n",
		"blank":       "- test: a\n  reason: ' '\n  diff: fails\n",
		"no test":     "- reason: a\n  diff: fails\n",
		"no diff":     "- test: a\n  reason: b\n",
		"unknown key": "- test: a\n  reason: b\n  diff: c\n  until: later\n",
		"twice":       "- {test: a, reason: b, diff: c}\n- {test: a, reason: d, diff: c}\n",
		"no list":     "test: a\n",
	} {
		if list, err := ReadReviewed(strings.NewReader(text)); err == nil {
			t.Errorf("%s: read as %v", name, list)
		}
	}
}

// The lists in force can be read: a run of an hour should not end with that.
func TestListsAreReadable(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d lists, %v", len(files), err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ReadReviewed(f); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		f.Close()
	}
}

func TestReadEvents(t *testing.T) {
	var printed strings.Builder
	got, err := readEvents(strings.NewReader(`{"Action":"run","Test":"TestA"}
{"Action":"output","Test":"TestA","Output":"hello\n"}
{"Action":"pass","Test":"TestA"}
{"Action":"run","Test":"TestB"}
{"Action":"skip","Test":"TestB"}
{"Action":"run","Test":"TestC/file='/tmp/x/TestC123/001/f'"}
{"Action":"pass","Test":"TestC/file='/tmp/x/TestC123/001/f'"}
{"Action":"run","Test":"TestHangs"}
{"Action":"fail"}
`), "p/", &printed)
	want := Outcomes{"p/TestA": Passed, "p/TestB": Skipped, "p/TestC/file='TMP/f'": Passed, "p/TestHangs": Failed}
	if d := cmp.Diff(want, got); d != "" || err != nil || printed.String() != "hello\n" {
		t.Errorf("%v, printed %q\n%s", err, printed.String(), d)
	}
	if _, err := readEvents(strings.NewReader("panic: no JSON"), "", io.Discard); err == nil {
		t.Error("what is no event was read")
	}
}

// The schedule says what is run, and in which order.
func TestRegressSchedule(t *testing.T) {
	dir := t.TempDir()
	text := "# a comment\ntest: test_setup\n\n# more\ntest: boolean char  name\nignore: random\ntest: random\n"
	if err := os.WriteFile(filepath.Join(dir, "parallel_schedule"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Regress{Source: dir}.tests()
	if d := cmp.Diff([]string{"test_setup", "boolean", "char", "name", "random"}, got); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	if got, err := (Regress{Source: t.TempDir()}).tests(); err == nil {
		t.Errorf("without a schedule: %v", got)
	}
}

func TestDiff(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	a, b := write("a", "same\nserver process with pid 12\none\n"), write("b", "same\nserver process with pid 345\ntwo\n")
	if got, err := diff(t.Context(), a, b); err != nil || got != "-one\n+two\n" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := diff(t.Context(), a, a); err != nil || got != "" {
		t.Errorf("the same: %q, %v", got, err)
	}
	if _, err := diff(t.Context(), a, filepath.Join(dir, "none")); err == nil {
		t.Error("a file that is not there was compared")
	}
}
