package cmd

import (
	"testing"

	"go.yaml.in/yaml/v3"
)

// A mistake in where a password is must not come to mean that there is none.
func TestMistypedSourceOfAPasswordIsRefused(t *testing.T) {
	for _, bad := range []string{"{envv: PW}", "{}", "{env: PW, file: /x}", "{env: ''}", "{exec: []}", "hunter2", "[env]", "{env: [PW]}"} {
		var s secret
		if err := yaml.Unmarshal([]byte(bad), &s); err == nil {
			t.Errorf("%s is taken as %+v", bad, s)
		}
	}
	for _, good := range []string{"{env: PW}", "{file: /x}", "{exec: [pass, show]}"} {
		var s secret
		if err := yaml.Unmarshal([]byte(good), &s); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}
