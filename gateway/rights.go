package gateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/policy"
)

// Everyone stands among the groups of a connection for all whom the gateway lets in:
// people who can log in, and what workloads and tokens bring. Without it, and without
// a group, a connection admits nobody.
const Everyone = "*"

// open is the database behind a connection, if there is one that who may use; that
// there is one they may not use is not told.
func (g *Gateway) open(who identity.Identity, connection string) *database {
	base := g.bases[connection]
	if base == nil || !admits(base.Connection, who) {
		return nil
	}
	return base
}

// admits reports whether who may open c: by a group, or because an administrator's
// token names it. A token that is bound to connections opens no others.
func admits(c Connection, who identity.Identity) bool {
	bound := slices.Contains(who.Only, c.Name)
	if len(who.Only) > 0 && !bound {
		return false
	}
	return bound && who.Granted || slices.Contains(c.Groups, Everyone) || inAny(who, c.Groups)
}

// admin reports whether who may act for everybody. Only people may: neither a job nor
// an agent has what its groups would give a person.
func (g *Gateway) admin(who identity.Identity) bool {
	return who.Kind == identity.Person && inAny(who, g.cfg.Admins)
}

// auditor reports whether who may read the whole record: people, and jobs that the
// configuration gave the group.
func (g *Gateway) auditor(who identity.Identity) bool {
	if who.Kind != identity.Person && (who.Kind != identity.Job || who.Owner != "") {
		return false
	}
	return inAny(who, g.cfg.Auditors) || g.admin(who)
}

func inAny(who identity.Identity, groups []string) bool {
	return slices.ContainsFunc(groups, who.In)
}

// owns reports whether whose is who, or acts for them.
func owns(who, whose identity.Identity) bool {
	return who.Same(whose) || who.Kind == identity.Person && whose.Owner != "" && whose.Owner == who.Subject
}

// rulesFor says, for a person to read, what the rules may do to statements of who on c.
func (g *Gateway) rulesFor(who identity.Identity, c Connection) (out []string) {
	for _, r := range g.policies.now.Load().Rules.Applies(who, policy.Connection{Name: c.Name, Env: c.Env}, g.cfg.Now()) {
		switch {
		case r.Decides && r.Effect != policy.Allow:
			out = append(out, fmt.Sprintf("%s (%s): %s", r.Name, r.Effect, r.Reason))
		case len(r.Unmask) > 0:
			out = append(out, fmt.Sprintf("%s (unmask): you may see in clear: %s", r.Name, strings.Join(r.Unmask, ", ")))
		}
		if len(r.Pseudonym) > 0 {
			out = append(out, fmt.Sprintf("%s (pseudonym): you see pseudonyms of: %s", r.Name, strings.Join(r.Pseudonym, ", ")))
		}
		if r.MaxRows > 0 {
			out = append(out, fmt.Sprintf("%s (max_rows): a statement changes at most %d rows", r.Name, r.MaxRows))
		}
	}
	return out
}
