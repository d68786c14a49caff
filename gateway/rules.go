package gateway

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/policy"
)

// Policy is a set of rules, and the file it was read from.
type Policy struct {
	Rules  *policy.Rules
	Source string // file name, or "built-in"
	Text   string
}

// inForce is the policy that decides now. It is never changed, only replaced:
// whoever took it decides all of one message by it.
type inForce struct {
	Policy
	hash   string
	since  time.Time
	steady bool // verdicts can be kept
}

// refusal is a policy that was offered and not taken.
type refusal struct {
	at        time.Time
	hash, why string
}

// policies are the policy in force and what became of attempts to replace it.
type policies struct {
	now     atomic.Pointer[inForce]
	refused atomic.Pointer[refusal] // the latest, until another is accepted
	mu      sync.Mutex              // one change at a time: its record says what it replaced
}

func newInForce(p Policy, since time.Time) *inForce {
	return &inForce{Policy: p, hash: hashText(p.Text), since: since, steady: p.Rules.Steady()}
}

// SetPolicy replaces the policy in force. Every statement that is judged after it
// returns follows the new rules, in sessions that are open as in new ones; one that
// waits for people is judged again before it runs. The change is on disk in the record
// before it is in force. cause says, for the record, what brought it about.
func (g *Gateway) SetPolicy(p Policy, cause string) error {
	if p.Rules == nil {
		return errors.New("a policy without rules cannot be put in force")
	}
	if err := keyFor(p.Rules, g.cfg.Pseudonyms); err != nil {
		return err
	}
	g.policies.mu.Lock()
	defer g.policies.mu.Unlock()
	old, next := g.policies.now.Load(), newInForce(p, g.cfg.Now())
	if old.hash == next.hash && old.Source == next.Source {
		g.policies.refused.Store(nil) // the file is again what is in force
		g.cfg.Log.Info("policy unchanged", "source", next.Source, "cause", cause, "hash", next.hash)
		return nil
	}
	ev := audit.Event{Kind: audit.Admin, Outcome: "ok",
		Detail: fmt.Sprintf("policy changed (%s): %s sha256:%s to %s sha256:%s; %s", cause, old.Source, old.hash, next.Source, next.hash, p.Rules.Differences(old.Rules))}
	if err := g.note(ev); err != nil {
		return err
	}
	g.policies.now.Store(next)
	g.policies.refused.Store(nil)
	g.cfg.Log.Info("policy changed", "source", next.Source, "cause", cause, "before", old.hash, "after", next.hash, "rules", len(p.Rules.List))
	return nil
}

// RefusePolicy notes that a policy was offered which cannot be taken; the one in force
// stays. text is "" if it could not even be read.
func (g *Gateway) RefusePolicy(source, text string, why error, cause string) error {
	g.policies.mu.Lock()
	defer g.policies.mu.Unlock()
	old, r := g.policies.now.Load(), &refusal{at: g.cfg.Now(), why: why.Error()}
	offered := "what could not be read"
	if text != "" {
		r.hash = hashText(text)
		offered = "sha256:" + r.hash
	}
	g.policies.refused.Store(r)
	g.cfg.Log.Error("the new policy is refused, the old one stays in force", "source", source, "cause", cause, "in_force", old.hash, "refused", r.hash, "error", why)
	return g.note(audit.Event{Kind: audit.Admin, Outcome: "refused", Error: r.why,
		Detail: fmt.Sprintf("policy refused (%s): %s sha256:%s stays, not %s of %s", cause, old.Source, old.hash, offered, source)})
}

// PolicyStatus is the policy in force, and the refusal of a newer one if there is one.
func (g *Gateway) PolicyStatus() api.Policy {
	p := g.policies.now.Load()
	out := api.Policy{Source: p.Source, Hash: p.hash, Text: p.Text, Since: p.since, Rules: len(p.Rules.List)}
	if r := g.policies.refused.Load(); r != nil {
		out.Refused = &api.PolicyRefused{At: r.at, Hash: r.hash, Problem: r.why}
	}
	return out
}

// follow takes the policy that is in force now, for the message that comes next. What
// was decided under another is forgotten. Only up calls it.
func (s *session) follow() {
	if now := s.g.policies.now.Load(); s.policy != now {
		s.policy, s.verdicts = now, verdicts{}
	}
}
