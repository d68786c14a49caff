package cmd

import (
	"strings"
	"testing"
)

const goodWorkloads = goodConfig + `workloads:
  - issuer: https://token.actions.githubusercontent.com
    audience: sluice://gw.example.com
    when: |
      claims.repository == "acme/shop" &&
      claims.environment == "production"
    groups: [ci]
    name: '{repository}@{ref}'
    ttl: 10m
`

func TestWorkloadMistakesAreSaidWithTheirLine(t *testing.T) {
	if _, err := readConfig(writeConfig(t, goodWorkloads)); err != nil {
		t.Fatalf("what the cases vary is not good itself: %v", err)
	}
	for _, tt := range []struct{ name, from, to, want string }{
		{"no issuer", "issuer: https://token.actions.githubusercontent.com\n    ", "", ":10: workload 1 needs an issuer"},
		{"issuer without https", "https://token", "http://token", `:10: issuer is "http://token`},
		{"no audience", "audience: sluice://gw.example.com", "", ":10: audience is missing"},
		{"audience of people", "audience: sluice://gw.example.com", "audience: sluice", ":11: audience is the client_id"},
		{"mistyped name on the second line", "claims.environment", "claim.environment", ":14: when: undeclared reference to 'claim'"},
		{"mistyped name on the first line", "claims.repository", "repository", ":13: when: undeclared reference"},
		{"condition for everybody", "|\n      claims.repository == \"acme/shop\" &&\n      claims.environment == \"production\"", "'true'", ":12: when looks at no claim"},
		{"condition of no type", "|\n      claims.repository == \"acme/shop\" &&\n      claims.environment == \"production\"", "claims.ref_protected", ":12: when must be true or false"},
		{"no condition", "when: |\n      claims.repository == \"acme/shop\" &&\n      claims.environment == \"production\"", "", ":10: when is missing"},
		{"longer than a job's", "ttl: 10m", "ttl: 1h", ":17: ttl is 1h, must be at most 15m"},
		{"one name for all", "'{repository}@{ref}'", "ci", ":16: name has no claim in it"},
		{"unknown key", "ttl: 10m", "life: 10m", `:17: unknown key "life"`},
		{"a group of no name", "[ci]", "['']", ":15: a group is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(goodWorkloads, tt.from, tt.to, 1)
			if text == goodWorkloads {
				t.Fatal("the case changes nothing")
			}
			path := writeConfig(t, text)
			_, err := readConfig(path)
			if err == nil {
				t.Fatal("the mistake went unnoticed")
			}
			if sentence, hint, _ := explainError(err); !strings.Contains(sentence, path+tt.want) || hint == "" {
				t.Errorf("%q does not say %q; hint %q", sentence, tt.want, hint)
			}
		})
	}
}
