package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWebhooksOfTheConfiguration(t *testing.T) {
	const base = "listen: 127.0.0.1:1\ndata: d\noidc: {issuer: https://id.example.com, client_id: x}\nconnections: [{name: a, groups: ['*'], database: {host: localhost, name: a, user: a}}]\napprovals: {webhooks: ["
	env := func(name string) string {
		return map[string]string{"HOOK": "https://hooks.example.com/x", "KEY": "k", "PLAIN": "http://hooks.example.com/x"}[name]
	}
	for entry, want := range map[string]string{
		"{url: {env: HOOK}, secret: {env: KEY}}":                 "",
		"{url: {env: HOOK}, format: slack}":                      "",
		"{url: {env: HOOK}}":                                     "secret is missing",
		"{secret: {env: KEY}}":                                   "url is missing",
		"{url: {env: HOOK}, secret: {env: KEY}, format: sms}":    "generic",
		"{url: {env: PLAIN}, secret: {env: KEY}, format: teams}": "no https address",
		"{url: {env: NOTHING}, secret: {env: KEY}}":              "NOTHING",
	} {
		path := filepath.Join(t.TempDir(), "gateway.yaml")
		if err := os.WriteFile(path, []byte(base+entry+"]}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := readConfig(path)
		if err == nil {
			_, err = cfg.Approvals.Webhooks[0].hook(t.Context(), 0, env)
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", entry, err)
		}
		if err != nil && strings.Contains(err.Error(), "hooks.example.com") {
			t.Errorf("the address is told: %v", err)
		}
	}
}
