package cmd

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// docs/gateway.md shows each key of gateway.yaml, in a file that can be read as it stands.
func TestGuideShowsEachKey(t *testing.T) {
	page, err := os.ReadFile("../docs/gateway.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	text, _, found := strings.Cut(rest, "```\n")
	if !found {
		t.Fatal("the page has no example of gateway.yaml")
	}
	file := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readConfig(file); err != nil {
		t.Errorf("the example is refused: %v", err)
	}
	s, cfg := &sheet{}, &gatewayConfig{}
	s.read([]byte(text), cfg)
	shown := map[string]bool{}
	number := regexp.MustCompile(`\[\d+\]`)
	for path := range s.Lines {
		shown[number.ReplaceAllString(path, "[]")] = true
	}
	for _, key := range configKeys(reflect.TypeFor[gatewayConfig](), "") {
		if !shown[key] {
			t.Errorf("the example has no %s", key)
		}
	}
}

// The unit of the packages keeps its directory and its secrets where the page says.
func TestGuideAndUnitAgree(t *testing.T) {
	unit, err := os.ReadFile("../packaging/sluice.service")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/gateway.md")
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string][2]string{
		"the directory": {"StateDirectory=sluice\n", "data: /var/lib/sluice "},
		"the secrets":   {"LoadCredential=secrets:/etc/sluice/secrets\n", "/run/credentials/sluice.service/secrets_orders"},
		"the file":      {"--config /etc/sluice/gateway.yaml\n", "gateway.yaml policy.yaml /etc/sluice/"},
	} {
		if !strings.Contains(string(unit), want[0]) || !strings.Contains(string(page), want[1]) {
			t.Errorf("%s: not %q in the unit, or not %q on the page", in, want[0], want[1])
		}
	}
}
