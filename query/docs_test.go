package query

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The manual explains every sign, and none that is not there.
func TestManualExplainsSigns(t *testing.T) {
	source, err := os.ReadFile("query.go")
	if err != nil {
		t.Fatal(err)
	}
	manual, err := os.ReadFile("../docs/statements.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(manual), "## Signs\n")
	table, _, _ = strings.Cut(table, "\n## ")
	told := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(table, -1) {
		told[m[1]] = true
	}
	signs := regexp.MustCompile(`(?m)^\t[A-Z]\w+ +Sign = "([a-z_]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(signs) < 10 {
		t.Fatalf("found %d signs in query.go", len(signs))
	}
	for _, m := range signs {
		if !told[m[1]] {
			t.Errorf("sign %s is not in docs/statements.md", m[1])
		}
		delete(told, m[1])
	}
	for name := range told {
		t.Errorf("docs/statements.md explains %s, which is no sign", name)
	}
}
