package policy

import (
	"os"
	"strings"
	"testing"
)

// The manual names all that a rule may speak of, and its example loads.
func TestManualIsWhole(t *testing.T) {
	data, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range names() {
		if !strings.Contains(string(data), "| `"+name+"` |") {
			t.Errorf("%s is not in docs/policy.md", name)
		}
	}
	_, example, _ := strings.Cut(string(data), "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	if _, err := Load("docs/policy.md", []byte(example)); err != nil {
		t.Error(err)
	}
}
