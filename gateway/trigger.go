package gateway

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/sluicehq/sluice/identity"
)

// Trigger lets a program elsewhere begin runs of runbooks by a signed message. Who does so
// is the hook itself: a caller of kind job, "hook:NAME", with an owner. What it may do on
// its connection, the policy decides as for any job.
type Trigger struct {
	Name       string
	Key        []byte   // of HMAC-SHA-256, MinTriggerKey bytes at least; of no other trigger
	Owner      string   // subject of the person who answers for it, and never may approve what it asks for
	OwnerName  string   // their address
	Groups     []string // of the hook
	Connection string
	Runbooks   []string          // names of those that it may begin
	Fixed      map[string]string // values that its messages cannot change
	Allow      []string          // parameters that its messages may give
}

// BookFile is the file of a runbook on this machine.
type BookFile struct {
	File, Text string
	Commit     string // of git that has it so; "" if none is known
}

// Limits of triggers.
const (
	MinTriggerKey = 24 // bytes, as Standard Webhooks asks for
	MaxTriggerKey = 64 //

	// maxTriggers is more than a gateway's owner keeps secrets for.
	maxTriggers = 100
)

// TriggerName is what stands in the path, and in the record.
var TriggerName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// triggerIssuer vouches for hooks: the configuration. No provider of people or jobs has a
// name without a scheme.
const triggerIssuer = "sluice/hooks"

// who is the caller that a trigger's runs have, until then.
func (t *Trigger) who(until time.Time) identity.Identity {
	name := "hook:" + t.Name
	return identity.Identity{
		Subject: name, Label: name, Groups: t.Groups, Kind: identity.Job, Owner: t.Owner, OwnerName: t.OwnerName,
		Method: "hook", Issuer: triggerIssuer, Expires: until, Only: []string{t.Connection},
	}
}

// check says why a trigger cannot be, in words for who configures it.
func (t *Trigger) check(cfg *Config) error {
	at := slices.IndexFunc(cfg.Connections, func(c Connection) bool { return c.Name == t.Connection })
	switch {
	case !TriggerName.MatchString(t.Name):
		return fmt.Errorf("the name of a hook is %q, must be lower-case letters, digits and -", cutName(t.Name))
	case len(t.Key) < MinTriggerKey || len(t.Key) > MaxTriggerKey:
		return fmt.Errorf("the secret of hook %s has %d bytes, must be %d to %d", t.Name, len(t.Key), MinTriggerKey, MaxTriggerKey)
	case t.Owner == "" || t.OwnerName == "":
		return fmt.Errorf("hook %s has no owner: a person answers for it", t.Name)
	case len(t.Runbooks) == 0:
		return fmt.Errorf("hook %s may begin no runbook", t.Name)
	case at < 0:
		return fmt.Errorf("there is no connection %q for hook %s", t.Connection, t.Name)
	case !admits(cfg.Connections[at], t.who(time.Time{})):
		return fmt.Errorf("the connection %s does not admit hook %s, which has the groups %q", t.Connection, t.Name, t.Groups)
	}
	for _, p := range t.Allow {
		if _, both := t.Fixed[p]; both {
			return fmt.Errorf("hook %s both fixes the parameter %s and lets it be given", t.Name, p)
		}
	}
	return nil
}

// newTriggers takes the triggers of a configuration; nil if there are none.
func newTriggers(g *Gateway, cfg *Config) (*triggers, error) {
	if len(cfg.Triggers) == 0 {
		return nil, nil
	}
	if cfg.Book == nil {
		return nil, errors.New("hooks begin runbooks, and it is not said where these are")
	}
	if len(cfg.Triggers) > maxTriggers {
		return nil, fmt.Errorf("there are %d hooks, the most is %d", len(cfg.Triggers), maxTriggers)
	}
	t := &triggers{g: g, list: map[string]*inbound{}, work: make(chan *hookRun), runs: map[string]*hookRun{}, used: map[string]time.Time{}, seen: map[string]time.Time{}}
	for i := range cfg.Triggers {
		one := &cfg.Triggers[i]
		if err := one.check(cfg); err != nil {
			return nil, err
		}
		if t.list[one.Name] != nil {
			return nil, fmt.Errorf("hook %s is configured twice", one.Name)
		}
		for _, other := range t.list {
			if string(other.Key) == string(one.Key) { // or what is signed for one could be sent to the other
				return nil, fmt.Errorf("hooks %s and %s have the same secret", other.Name, one.Name)
			}
		}
		t.list[one.Name] = &inbound{Trigger: *one}
	}
	return t, t.open()
}
