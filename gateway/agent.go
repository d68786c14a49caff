package gateway

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/wire/postgres"
)

// ruleReads is of agents whose token gives no leave to write. No policy file states it:
// what a model is talked into must not depend on a rule that somebody forgot.
const ruleReads = "agent-reads-only"

// ruleOnly is of sessions that were opened to read (sluice.reads = 'only'), by whomever.
const ruleOnly = "session-reads-only"

// looks are the kinds of statement that leave a database, and the server, as they were.
var looks = []query.Kind{
	query.Empty, query.Select, query.Show, query.Explain, query.Set, query.Transaction, query.CopyTo,
	query.Prepare, query.Execute, query.Deallocate, query.Declare, query.Fetch, query.Close,
}

// acts are functions that are called in order to change something outside of tables,
// which no rule calls a write.
var acts = []string{"nextval", "pg_notify", "pg_cancel_backend", "pg_terminate_backend"}

// leashed is the refusal of what an agent may not run whatever the policy allows, or what
// a session may not that was opened to read; it is nil if the statement may run.
func (s *session) leashed(st *query.Statement) *policy.Verdict {
	switch {
	case s.Who.Kind == identity.Agent && !s.Who.Writes && !onlyLooks(st):
		return &policy.Verdict{Effect: policy.Deny, Rule: ruleReads, Reason: noLeave}
	case s.reads && !onlyLooks(st):
		return &policy.Verdict{Effect: policy.Deny, Rule: ruleOnly, Reason: "this session was opened to read only"}
	}
	return nil
}

// onlyLooks reports whether it is certain of a statement that it leaves all as it was.
func onlyLooks(st *query.Statement) bool {
	for in := st; in != nil; in = in.Inner {
		if !slices.Contains(looks, in.Kind) || in.Has(query.AdvisoryLock) || in.Has(query.TableLock) || in.Has(query.RowLock) {
			return false
		}
		if slices.ContainsFunc(in.Functions, func(f string) bool { return slices.Contains(acts, strings.TrimPrefix(f, "pg_catalog.")) }) {
			return false
		}
		if in.Kind == query.Explain && !policy.MayChange(in) {
			return true // it plans what it does not run
		}
	}
	return !policy.MayChange(st)
}

const noLeave = "this agent may only read; ask the person it acts for to make its token with leave to write (--writes)"

// tellMasks tells a caller who asked for it (SET sluice.masks = 'tell') which columns of
// a result were hidden, and how many values: a line "LABEL COLUMN" for each column, as
// the record has them. Only down calls it.
func (s *session) tellMasks(x *run) {
	if !s.tells.Load() || len(x.hidden) == 0 && x.masked == 0 {
		return
	}
	var lines []string
	for _, hidden := range x.hidden {
		i := strings.LastIndexByte(hidden, ':')
		lines = append(lines, hidden[i+1:]+" "+strings.Join(strings.Fields(hidden[:i]), " "))
	}
	err := s.client.Notice(postgres.Say{Severity: "NOTICE", Code: "00000", Message: fmt.Sprintf("values hidden: %d", x.masked), Detail: strings.Join(lines, "\n")})
	if err != nil {
		s.g.cfg.Log.Debug("tell a client what was hidden", "session", s.id, "error", err)
	}
}

// leaseKey is what renewals are kept by. An agent's are of its key and its token: who
// exchanges a token shows no proof of the key, and must not touch what another opened.
func leaseKey(key string, who identity.Identity) string {
	if who.Kind == identity.Agent && who.Token != "" {
		return key + " " + who.Token
	}
	return key
}

// extend makes the sessions that an agent opened with its token and a key last as long
// as the certificate that it has just got with both: what waits for people may wait
// longer than one certificate. Sessions of jobs end with theirs (decision 041).
func (g *Gateway) extend(who identity.Identity, publicKey string, expires time.Time) error {
	if who.Kind != identity.Agent {
		return nil
	}
	pub, err := identity.ParsePublicKey([]byte(publicKey))
	if err != nil {
		return err
	}
	key, err := identity.FingerprintOf(pub)
	if err != nil {
		return err
	}
	who.Expires = expires
	g.leases.put(leaseKey(key, who), who, g.cfg.Now())
	return nil
}
