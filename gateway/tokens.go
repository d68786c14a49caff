package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/howlong"
)

// maxUses bounds how often a token of a job can be used.
const maxUses = 1000

// exchange trades a token for a certificate (RFC 8693). It is open to nobody in
// particular: the token says who asks.
func (g *Gateway) exchange(r *http.Request) (any, error) {
	var in api.TokenExchange
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if in.GrantType != api.GrantExchange || in.RequestedTokenType != "" && in.RequestedTokenType != api.TypeCertificate {
		return nil, &api.Error{Sentence: "this is not a token exchange for a certificate", Hint: "update sluice on one of the two sides", Code: api.CodeUsage}
	}
	pub, err := identity.ParsePublicKey([]byte(in.PublicKeyPEM))
	if err != nil {
		return nil, &api.Error{Sentence: "the public key cannot be read", Hint: "update sluice on one of the two sides", Code: api.CodeUsage}
	}
	var who identity.Identity
	var ttl time.Duration
	switch in.SubjectTokenType {
	case api.TypeJWT:
		who, ttl, err = g.workload(r, in.SubjectToken)
	case api.TypeSecret:
		who, ttl, err = g.redeem(in.SubjectToken)
	default:
		return nil, &api.Error{Sentence: fmt.Sprintf("tokens of the type %q are not exchanged here", cutName(in.SubjectTokenType)), Hint: "update sluice on one of the two sides", Code: api.CodeUsage}
	}
	if err != nil {
		return nil, err
	}
	out, err := g.issue(who, pub, ttl)
	if err != nil {
		return nil, err
	}
	if err := g.extend(who, in.PublicKeyPEM, out.Expires); err != nil {
		return nil, err
	}
	return api.TokenExchanged{
		AccessToken: out.CertPEM, IssuedTokenType: api.TypeCertificate, TokenType: api.TokenTypeNoBearer,
		ExpiresIn: int64(out.Expires.Sub(g.cfg.Now()) / time.Second), Identity: out.Identity,
	}, nil
}

func cutName(s string) string { return s[:min(len(s), 80)] }

// workload is whom the token of a job's issuer names.
func (g *Gateway) workload(r *http.Request, raw string) (identity.Identity, time.Duration, error) {
	if g.cfg.Workloads == nil {
		return identity.Identity{}, 0, &api.Error{Sentence: "no jobs are let in here", Hint: "add their issuer under workloads: in the gateway's configuration, or use sluice token create", Code: api.CodeNotLoggedIn}
	}
	who, ttl, claims, err := g.cfg.Workloads.Verify(r.Context(), raw)
	if err == nil {
		return who, ttl, nil
	}
	g.log(g.note(audit.Event{Kind: audit.LoggedIn, Outcome: "refused", CallerKind: string(identity.Job), Claims: identity.ClaimList(claims), Error: err.Error()}))
	e := &api.Error{Sentence: "the job's token was not accepted: " + err.Error(), Hint: "compare its claims with workloads: in the gateway's configuration", Code: api.CodeNotLoggedIn}
	if len(claims) > 0 {
		e.Hint = "its claims are " + strings.Join(identity.ClaimList(claims), ", ") + "; compare them with workloads: in the gateway's configuration"
	}
	if errors.Is(err, identity.ErrIssuerAway) {
		g.cfg.Log.Warn("an issuer of jobs cannot be asked for its keys", "error", err)
		e.Hint = "try again in a moment; if that does not help, ask whoever runs the gateway whether it reaches the issuer"
	}
	return identity.Identity{}, 0, e
}

// redeem is whom a token of ours stands for.
func (g *Gateway) redeem(secret string) (identity.Identity, time.Duration, error) {
	if g.cfg.Standing == nil {
		return identity.Identity{}, 0, errNoTokens()
	}
	who, t, err := g.cfg.Standing.Redeem(secret)
	if err != nil {
		ev := audit.Event{Kind: audit.LoggedIn, Outcome: "refused", CallerKind: string(t.Kind), Owner: t.Made.Subject, Error: "token: " + err.Error()}
		if t.ID != "" {
			ev.Detail = "token " + t.ID
		}
		g.log(g.note(ev))
		var no *identity.Barred
		if errors.As(err, &no) {
			return who, 0, &api.Error{Sentence: no.Sentence, Hint: no.Hint, Code: api.CodeNotLoggedIn}
		}
		return who, 0, &api.Error{Sentence: "the token was not accepted: " + err.Error(), Hint: "make a new one: sluice token create", Code: api.CodeNotLoggedIn}
	}
	ttl := identity.MaxJobTTL
	if !t.Ends.IsZero() {
		ttl = min(ttl, t.Ends.Sub(g.cfg.Now()))
	}
	return who, ttl, nil
}

func errNoTokens() error {
	return &api.Error{Sentence: "this gateway keeps no tokens and no locks", Hint: "run it with a data directory: sluice gateway", Code: api.CodeError}
}

func (g *Gateway) audiences() []string {
	if g.cfg.Workloads == nil {
		return nil
	}
	return g.cfg.Workloads.Audiences()
}

// NewToken makes a token for who: for a job that may open connections, or for an agent
// that acts for them. Only people make tokens, for what they may do themselves;
// administrators also for connections that they may not open.
func (g *Gateway) NewToken(who identity.Identity, in api.TokenRequest) (api.TokenMade, error) {
	t, err := g.shape(who, in)
	if err == nil && g.cfg.Standing == nil {
		err = errNoTokens()
	}
	ev := g.adminEvent(who)
	ev.Detail = fmt.Sprintf("token for %s %q on %s", in.Kind, cutName(in.Name), strings.Join(in.Connections, ", "))
	if in.Writes {
		ev.Detail += ", with leave to write"
	}
	if err != nil {
		ev.Outcome, ev.Error = "refused", err.Error()
		g.log(g.note(ev))
		return api.TokenMade{}, err
	}
	if err := g.note(ev); err != nil { // before there is a token: none goes unrecorded
		return api.TokenMade{}, err
	}
	secret, made, err := g.cfg.Standing.Mint(t)
	if err != nil {
		return api.TokenMade{}, &api.Error{Sentence: err.Error(), Hint: "run: sluice token ls", Code: api.CodeError}
	}
	ev.Detail = "made token " + made.ID + " until " + made.Expires.Format(time.RFC3339)
	if err := g.note(ev); err != nil {
		return api.TokenMade{}, err
	}
	return api.TokenMade{Secret: secret, Token: g.tokenFor(made)}, nil
}

// shape is the token that who may have of what they ask for.
func (g *Gateway) shape(who identity.Identity, in api.TokenRequest) (identity.Token, error) {
	kind, now := identity.Kind(in.Kind), g.cfg.Now()
	usage := func(hint, format string, args ...any) (identity.Token, error) {
		return identity.Token{}, &api.Error{Sentence: fmt.Sprintf(format, args...), Hint: hint, Code: api.CodeUsage}
	}
	switch {
	case who.Kind != identity.Person:
		return identity.Token{}, &api.Error{Sentence: "only people make tokens", Hint: "ask the person this runs for", Code: api.CodeRefused}
	case kind != identity.Job && kind != identity.Agent:
		return usage("it is for a job or for an agent", "a token is not made for %q", cutName(in.Kind))
	case kind == identity.Job && len(in.Connections) == 0:
		return usage("name them with --connection", "a token of a job is bound to connections, and none is named")
	case in.TTL < 0 || in.TTL > identity.MaxTokenTTL:
		return usage("leave it out for 15 minutes", "a token lasts at most %s", howlong.Text(identity.MaxTokenTTL))
	case in.Writes && kind != identity.Agent:
		return usage("the policy says what a job may do", "leave to write is for agents")
	case in.Uses < 0 || in.Uses > maxUses:
		return usage("leave it out for one use", "a token is used from 1 to %d times", maxUses)
	}
	t := identity.Token{
		Kind: kind, Name: in.Name, Groups: who.Groups, Connections: in.Connections, Uses: in.Uses, Writes: in.Writes,
		Made: identity.Maker{Subject: who.Subject, Name: who.Name(), Email: who.Email, Issuer: who.Issuer, Credential: who.Credential},
	}
	for _, group := range in.Groups {
		if !who.In(group) {
			return identity.Token{}, &api.Error{Sentence: fmt.Sprintf("you are not in the group %q, so your token cannot be", cutName(group)), Hint: "your groups: sluice whoami", Code: api.CodeRefused}
		}
	}
	if len(in.Groups) > 0 {
		t.Groups = in.Groups
	}
	for _, name := range in.Connections {
		own := g.open(who, name) != nil
		if !own && (kind == identity.Agent || !g.admin(who) || g.bases[name] == nil) {
			return identity.Token{}, &api.Error{Sentence: fmt.Sprintf("there is no connection %q for you", cutName(name)), Hint: "run: sluice ls", Code: api.CodeRefused}
		}
		// What the maker may open, the token may, whichever of the groups it was given.
		t.Granted = kind == identity.Job
	}
	g.lifeOf(&t, who, in.TTL, now)
	return t, nil
}

// lifeOf sets how long and how often a token is good. What people make ends with their
// own login; a job's token that an administrator made may outlast it.
func (g *Gateway) lifeOf(t *identity.Token, who identity.Identity, ttl time.Duration, now time.Time) {
	if t.Kind == identity.Agent {
		if t.Uses == 0 {
			t.Uses = identity.Unlimited
		}
		if ttl == 0 {
			ttl = identity.MaxPersonTTL
		}
	}
	if t.Uses == 0 {
		t.Uses = 1
	}
	if ttl == 0 {
		ttl = identity.DefaultTokenTTL
	}
	t.Expires = now.Add(ttl).UTC().Truncate(time.Second)
	if t.Kind == identity.Agent || !g.admin(who) {
		t.Ends = who.Expires.UTC()
		if t.Ends.Before(t.Expires) {
			t.Expires = t.Ends
		}
	}
	if t.Kind == identity.Agent {
		t.Ends = t.Expires // an agent is its token; a job may still run when its token is spent
	}
}

// Tokens lists the tokens that who made, all for administrators.
func (g *Gateway) Tokens(who identity.Identity) []api.Token {
	out := []api.Token{}
	if g.cfg.Standing == nil {
		return out
	}
	for _, t := range g.cfg.Standing.Tokens() {
		if g.admin(who) || madeBy(t, who) {
			out = append(out, g.tokenFor(t))
		}
	}
	return out
}

func madeBy(t identity.Token, who identity.Identity) bool {
	return who.Kind == identity.Person && t.Made.Subject == who.Subject && t.Made.Issuer == who.Issuer
}

func (g *Gateway) tokenFor(t identity.Token) api.Token {
	return api.Token{
		ID: t.ID, Kind: string(t.Kind), Name: t.Name, Owner: t.Made.Name, Groups: t.Groups, Connections: t.Connections,
		Uses: t.Uses, Writes: t.Writes, Created: t.Created, Expires: t.Expires, State: t.State(g.cfg.Now()),
	}
}

// Revoke ends a token and what was got with it, or a certificate by its serial number.
// People revoke their own tokens, administrators everything.
func (g *Gateway) Revoke(who identity.Identity, id, reason string) (api.Revoked, error) {
	if g.cfg.Standing == nil {
		return api.Revoked{}, errNoTokens()
	}
	token := strings.HasPrefix(id, "t-")
	own := token && slices.ContainsFunc(g.cfg.Standing.Tokens(), func(t identity.Token) bool { return t.ID == id && madeBy(t, who) })
	switch {
	case !g.admin(who) && !own:
		return api.Revoked{}, &api.Error{Sentence: fmt.Sprintf("there is no token %q of yours", cutName(id)), Hint: "run: sluice token ls; administrators revoke those of others, and certificates", Code: api.CodeRefused}
	case id == who.Credential && id != "":
		return api.Revoked{}, &api.Error{Sentence: "this is the certificate that you are using", Hint: "run: sluice logout", Code: api.CodeUsage}
	}
	out := api.Revoked{What: "the certificate " + id}
	var err error
	if token {
		out.What = "the token " + id
		_, err = g.cfg.Standing.Withdraw(id)
	} else {
		err = g.cfg.Standing.Revoke(id)
	}
	return g.ended(who, out, "revoked "+out.What, reason, err)
}

// ended records a lock or a revocation, which hold already, and cuts what they end.
func (g *Gateway) ended(who identity.Identity, out api.Revoked, detail, reason string, err error) (api.Revoked, error) {
	if err == nil {
		out.Sessions, out.Tunnels = g.cutBarred()
	}
	ev := g.adminEvent(who)
	ev.Detail, ev.Reason = detail, reason
	if err != nil {
		ev.Outcome, ev.Error = "error", err.Error()
	} else {
		ev.Detail += fmt.Sprintf("; %d sessions and %d tunnels ended", out.Sessions, out.Tunnels)
	}
	if rerr := g.note(ev); rerr != nil {
		return api.Revoked{}, rerr
	}
	if err != nil {
		return api.Revoked{}, &api.Error{Sentence: err.Error(), Hint: "run: sluice token ls, sluice users ls", Code: api.CodeError}
	}
	return out, nil
}

// adminEvent begins the record of what somebody did to others.
func (g *Gateway) adminEvent(who identity.Identity) audit.Event {
	return audit.Event{Kind: audit.Admin, Outcome: "ok", Who: who.Name(), Subject: who.Subject, CallerKind: string(who.Kind), Owner: who.Owner, Groups: who.Groups, Credential: who.Credential}
}
