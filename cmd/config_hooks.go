package cmd

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/gateway"
)

// webhookConfig is an address that is told of what waits for people. With Slack and
// Teams the address itself is a secret, so it is referred to like one.
type webhookConfig struct {
	URL    secret `yaml:"url"`
	Secret secret `yaml:"secret"` // of the signature; needed with the generic form
	Format string `yaml:"format"` // generic, slack or teams
}

var hookFormats = []string{gateway.HookGeneric, gateway.HookSlack, gateway.HookTeams}

func (w webhookConfig) check(s *sheet, path string) {
	none := func(x secret) bool { return x.Env == "" && x.File == "" && len(x.Exec) == 0 }
	if none(w.URL) {
		s.sayAt(path, "url is missing: {env: NAME}, {file: PATH} or {exec: [PROGRAM]} that gives the address")
	}
	if w.Format != "" && !slices.Contains(hookFormats, w.Format) {
		s.sayAt(path+".format", "format is %q, must be %s", short(w.Format, 40), listed(hookFormats))
	}
	if (w.Format == "" || w.Format == gateway.HookGeneric) && none(w.Secret) {
		s.sayAt(path, "secret is missing: nobody could tell a message of the gateway from another")
	}
}

// hook reads what the entry refers to.
func (w webhookConfig) hook(ctx context.Context, n int, env func(string) string) (gateway.Hook, error) {
	name := fmt.Sprintf("webhook %d", n+1)
	address, err := w.URL.read(ctx, name, "address", env)
	if err != nil {
		return gateway.Hook{}, err
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !local(u.Hostname())) {
		return gateway.Hook{}, tell(exitUsage, "give the whole address: https://…", "the address of %s is no https address", name)
	}
	key, err := w.Secret.read(ctx, name, "secret", env)
	if err != nil {
		return gateway.Hook{}, err
	}
	return gateway.Hook{URL: strings.TrimSpace(address), Secret: key, Format: w.Format}, nil
}
