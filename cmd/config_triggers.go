package cmd

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/gateway"
)

// triggersConfig lets programs elsewhere begin runbooks by signed messages. Without hooks
// nothing listens.
type triggersConfig struct {
	Listen   string          `yaml:"listen"`   // address for the messages: host:port, apart from that of people
	Runbooks string          `yaml:"runbooks"` // directory with the runbooks
	Hooks    []triggerConfig `yaml:"hooks"`    //
}

// triggerConfig is one hook: who it acts as, and what it may begin.
type triggerConfig struct {
	Name       string            `yaml:"name"`       // in the path of its messages, and as hook:NAME in the record
	Secret     secret            `yaml:"secret"`     // of the signature: whsec_ and base64
	Owner      ownerConfig       `yaml:"owner"`      // who answers for it, and never approves what it asks for
	Groups     []string          `yaml:"groups"`     // that it has
	Connection string            `yaml:"connection"` // that its runbooks run on
	Runbooks   []string          `yaml:"runbooks"`   // that it may begin, by name
	Set        map[string]string `yaml:"set"`        // parameters with values of their own
	Allow      []string          `yaml:"allow"`      // parameters that its messages may give
}

// ownerConfig is a person, as sluice whoami shows them.
type ownerConfig struct {
	Subject string `yaml:"subject"`
	Name    string `yaml:"name"` // address
}

var (
	runbookName  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]{0,99}$`) // a file of the directory, never a path
	hookKeyWords = fmt.Sprintf("whsec_ and the base64 of %d to %d bytes", gateway.MinTriggerKey, gateway.MaxTriggerKey)
)

func (c *gatewayConfig) checkTriggers(s *sheet) {
	t := &c.Triggers
	if len(t.Hooks) == 0 {
		if t.Listen != "" {
			s.sayAt("triggers", "triggers has no hooks, so there is nothing to listen for")
		}
		return
	}
	if !isAddress(t.Listen) {
		s.sayAt("triggers.listen", "triggers.listen is %q, must be an address and a port such as 0.0.0.0:8444", short(t.Listen, 40))
	} else if t.Listen == c.Listen {
		s.sayAt("triggers.listen", "triggers.listen is the address that clients reach; give messages a port of their own")
	}
	if t.Runbooks == "" {
		s.sayAt("triggers", "runbooks is missing: the directory with the runbooks that hooks may begin")
	}
	seen := map[string]bool{}
	for i := range t.Hooks {
		h, path := &t.Hooks[i], fmt.Sprintf("triggers.hooks[%d]", i)
		h.check(s, path)
		if seen[h.Name] {
			s.sayAt(path+".name", "there are two hooks called %q", short(h.Name, 40))
		}
		seen[h.Name] = true
		at := slices.IndexFunc(c.Connections, func(x connectionConfig) bool { return x.Name == h.Connection })
		switch {
		case h.Connection == "":
			s.sayAt(path, "connection is missing: the one that the runbooks of hook %d run on", i+1)
		case at < 0:
			s.sayAt(path+".connection", "there is no connection %q", short(h.Connection, 40))
		case !slices.Contains(c.Connections[at].Groups, gateway.Everyone) && !slices.ContainsFunc(h.Groups, func(g string) bool { return slices.Contains(c.Connections[at].Groups, g) }):
			s.sayAt(path+".groups", "the connection %s does not admit the hook: give it one of the groups %s", h.Connection, listed(c.Connections[at].Groups))
		}
	}
}

func (h *triggerConfig) check(s *sheet, path string) {
	if !gateway.TriggerName.MatchString(h.Name) {
		s.sayAt(path+".name", "name is %q, must be a word of lower-case letters, digits and -", short(h.Name, 40))
	}
	if h.Secret.Env == "" && h.Secret.File == "" && len(h.Secret.Exec) == 0 {
		s.sayAt(path, "secret is missing: {env: NAME}, {file: PATH} or {exec: [PROGRAM]} that gives %s", hookKeyWords)
	}
	if h.Owner.Subject == "" || h.Owner.Name == "" {
		s.sayAt(path, "owner is missing: {subject: …, name: …} of a person who answers for the hook, as sluice whoami shows them")
	}
	if len(h.Runbooks) == 0 {
		s.sayAt(path, "runbooks is missing: the names of those that the hook may begin")
	}
	for i, name := range h.Runbooks {
		if !runbookName.MatchString(name) {
			s.sayAt(fmt.Sprintf("%s.runbooks[%d]", path, i), "%q is no name of a runbook: write it without a directory and without .yaml", short(name, 40))
		}
	}
	for i, name := range h.Allow {
		if _, both := h.Set[name]; both {
			s.sayAt(fmt.Sprintf("%s.allow[%d]", path, i), "the parameter %s has a value under set, so it cannot be given", short(name, 40))
		}
	}
}

// triggers are the hooks of the file, with their secrets, and where their runbooks are.
func (c *gatewayConfig) triggers(ctx context.Context, base *gateway.Config, env func(string) string) error {
	for _, h := range c.Triggers.Hooks {
		text, err := h.Secret.read(ctx, "hook "+h.Name, "secret", env)
		if err != nil {
			return err
		}
		key, ok := gateway.HookKey(strings.TrimSpace(text))
		if !ok {
			return tell(exitUsage, "make one with: echo whsec_$(openssl rand -base64 32)", "hook %s: the secret is not as Standard Webhooks has it: %s", h.Name, hookKeyWords)
		}
		base.Triggers = append(base.Triggers, gateway.Trigger{
			Name: h.Name, Key: key, Owner: h.Owner.Subject, OwnerName: h.Owner.Name, Groups: h.Groups, Connection: h.Connection,
			Runbooks: h.Runbooks, Fixed: h.Set, Allow: h.Allow,
		})
	}
	sh := shelf{dir: c.Triggers.Runbooks}
	base.Book = func(ctx context.Context, name string) (gateway.BookFile, error) {
		v, err := sh.take(ctx, name)
		return gateway.BookFile{File: filepath.Base(v.File), Text: v.Text, Commit: v.Commit}, err
	}
	return nil
}
