package identity

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/sluicehq/sluice/internal/howlong"
)

// What a workload token must be like.
const (
	// maxWorkloadToken is four times what the known issuers send.
	maxWorkloadToken = 16 << 10
	// clockSkew is how far the clocks of an issuer and a gateway may be apart.
	clockSkew = time.Minute
	// maxWorkloadLife refuses tokens that are as good as a password: the known issuers
	// give minutes, or the time limit of a job.
	maxWorkloadLife = 24 * time.Hour
)

// workloadAlgs are all signatures that are read. What is not here is not even parsed.
var workloadAlgs = []jose.SignatureAlgorithm{jose.RS256, jose.ES256}

// WorkloadConfig is one entry of workloads: which tokens of an issuer of jobs are
// accepted, and what a job that has one may do.
type WorkloadConfig struct {
	Issuer   string        // exact, as in its discovery document and tokens
	Audience string        // what tokens must be for; not the client id that people log in with
	When     string        // CEL on claims
	Groups   []string      // of the jobs
	Name     string        // template with claims in braces; "{sub}" if empty
	TTL      time.Duration // of certificates; MaxJobTTL if 0, and never more
}

// ErrIssuerAway says that a token may be good, but that nobody can check it now.
var ErrIssuerAway = errNoKeys

// workload is a WorkloadConfig that was found good.
type workload struct {
	WorkloadConfig
	when     *condition
	name     nameTemplate
	keys     *keySet
	verifier *oidc.IDTokenVerifier
}

// Workloads verifies the tokens that CI systems and clusters give their jobs. Issuers
// are asked for their keys when a token comes and not before, so that one that is away
// stops nothing else. Safe for use by several goroutines.
type Workloads struct {
	list     []workload
	clientID string // that people log in with
	now      func() time.Time
}

// CheckWorkload says what is wrong with an entry before there is a gateway, by the key
// that is wrong.
func CheckWorkload(cfg WorkloadConfig) map[string][]Flaw {
	flaws := map[string][]Flaw{}
	say := func(key, text string) { flaws[key] = append(flaws[key], Flaw{1, text}) }
	if cfg.Audience == "" {
		say("audience", "audience is missing: what the job asks its issuer to make the token for, such as sluice://gateway.example.com")
	}
	if _, f := compileCondition(cfg.When); f != nil {
		flaws["when"] = f
	}
	if _, err := parseName(cfg.Name); err != nil {
		say("name", err.Error())
	}
	if cfg.TTL < 0 || cfg.TTL > MaxJobTTL {
		say("ttl", fmt.Sprintf("ttl is %s, must be at most %s: a job asks for the next certificate by itself", howlong.Text(cfg.TTL), howlong.Text(MaxJobTTL)))
	}
	for _, g := range cfg.Groups {
		if plainName(g, maxName) != nil {
			say("groups", "a group is empty or cannot be shown")
		}
	}
	return flaws
}

// NewWorkloads prepares the entries. clientID is the one that people log in with: a
// token that was made for it is no workload's. client is nil for one with a time limit.
func NewWorkloads(list []WorkloadConfig, clientID string, client *http.Client, now func() time.Time) (*Workloads, error) {
	if client == nil {
		client = &http.Client{Timeout: oidcTimeout, CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("an issuer does not redirect")
		}}
	}
	w := &Workloads{clientID: clientID, now: now}
	keys := map[string]*keySet{}
	for i, cfg := range list {
		if flaws := CheckWorkload(cfg); len(flaws) > 0 || cfg.Issuer == "" || cfg.Audience == clientID {
			return nil, fmt.Errorf("workload %d is not complete: %v", i+1, flaws)
		}
		if cfg.TTL == 0 {
			cfg.TTL = MaxJobTTL
		}
		when, _ := compileCondition(cfg.When)
		name, err := parseName(cfg.Name)
		if err != nil {
			return nil, err
		}
		if keys[cfg.Issuer] == nil {
			keys[cfg.Issuer] = &keySet{issuer: cfg.Issuer, client: client, now: now}
		}
		w.list = append(w.list, workload{cfg, when, name, keys[cfg.Issuer], oidc.NewVerifier(cfg.Issuer, keys[cfg.Issuer], &oidc.Config{
			ClientID: cfg.Audience, SupportedSigningAlgs: []string{oidc.RS256, oidc.ES256}, SkipExpiryCheck: true, Now: now,
		})})
	}
	return w, nil
}

// Audiences are what tokens must be for, each once.
func (w *Workloads) Audiences() (list []string) {
	for _, one := range w.list {
		if !slices.Contains(list, one.Audience) {
			list = append(list, one.Audience)
		}
	}
	return list
}

// Verify checks a workload token and gives the job that it speaks for, with the life
// of its certificate. claims are what the record keeps, also of a token that was
// verified and then refused.
func (w *Workloads) Verify(ctx context.Context, raw string) (id Identity, ttl time.Duration, claims map[string]string, err error) {
	if len(raw) > maxWorkloadToken {
		return Identity{}, 0, nil, fmt.Errorf("workload token: %d bytes are more than %d", len(raw), maxWorkloadToken)
	}
	issuer, err := said(raw)
	if err != nil {
		return Identity{}, 0, nil, fmt.Errorf("workload token: %w", err)
	}
	var why error = fmt.Errorf("its issuer %q is none of those under workloads", issuer)
	for _, one := range w.list {
		if one.Issuer != issuer {
			continue
		}
		all, verr := w.verified(ctx, one, raw)
		if verr != nil {
			why = verr // another entry may have its audience
			continue
		}
		claims = shownClaims(all)
		ok, cerr := one.when.matches(all)
		if cerr != nil || !ok {
			why = refusedBy(one.when, cerr)
			continue
		}
		id, err := one.identity(all, claims)
		if err != nil {
			return Identity{}, 0, claims, fmt.Errorf("workload token: %w", err)
		}
		return id, one.TTL, claims, nil
	}
	return Identity{}, 0, claims, fmt.Errorf("workload token: %w", why)
}

func refusedBy(c *condition, err error) error {
	if err != nil {
		return fmt.Errorf("no condition under workloads admits it (%s: %w)", c.text, err)
	}
	return fmt.Errorf("no condition under workloads admits it (%s)", c.text)
}

// said reads the issuer and the type that a token claims, to find who can check it.
func said(raw string) (issuer string, err error) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return "", errors.New("it is not a signed JSON web token")
	}
	var head struct {
		Typ string `json:"typ"`
	}
	var body struct {
		Issuer string `json:"iss"`
	}
	for i, into := range []any{&head, &body} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(text, into) != nil {
			return "", errors.New("it is not a signed JSON web token")
		}
	}
	// Access tokens, logout tokens and others say so here (RFC 8725 section 3.11).
	if head.Typ != "" && !strings.EqualFold(head.Typ, "JWT") {
		return "", fmt.Errorf("it is of the type %q, not JWT", head.Typ)
	}
	if plainName(body.Issuer, maxName) != nil {
		return "", errors.New("it names no issuer")
	}
	return body.Issuer, nil
}

// verified checks all of a token but the condition.
func (w *Workloads) verified(ctx context.Context, one workload, raw string) (map[string]any, error) {
	// Apart from the rest, so that an issuer that is away is told from a bad token.
	if _, err := one.keys.find(ctx, false); err != nil {
		return nil, err
	}
	tok, err := one.verifier.Verify(ctx, raw)
	if err != nil {
		return nil, err
	}
	var claims map[string]any
	if err := tok.Claims(&claims); err != nil {
		return nil, err
	}
	now := w.now()
	switch {
	case tok.Issuer != one.Issuer:
		return nil, fmt.Errorf("it was issued by %q, not %q", tok.Issuer, one.Issuer)
	case len(tok.Audience) != 1:
		return nil, errors.New("it is for several audiences, of which each could use it here")
	case tok.Expiry.IsZero() || !now.Before(tok.Expiry.Add(clockSkew)):
		return nil, errors.New("it has expired")
	case tok.Expiry.Sub(now) > maxWorkloadLife:
		return nil, fmt.Errorf("it is good for more than %s, as a password would be", howlong.Text(maxWorkloadLife))
	case later(claims["iat"], now.Add(clockSkew)), later(claims["nbf"], now.Add(clockSkew)):
		return nil, errors.New("it is from the future: compare the clocks of the gateway and the issuer")
	case claims["nonce"] != nil:
		return nil, errors.New("it is from a person's login (it has a nonce)")
	case w.clientID != "" && claims["azp"] == w.clientID:
		return nil, errors.New("it is from a person's login (azp)")
	}
	if err := plainName(tok.Subject, maxSubject); err != nil {
		return nil, fmt.Errorf("its subject %w", err)
	}
	return claims, nil
}

// later reports whether a time in a token lies after at, or is none.
func later(claim any, at time.Time) bool {
	if claim == nil {
		return false
	}
	seconds, ok := claim.(float64)
	return !ok || seconds > float64(at.Unix())
}

func (one *workload) identity(all map[string]any, claims map[string]string) (Identity, error) {
	name, err := one.name.fill(all)
	if err != nil {
		return Identity{}, err
	}
	sub, _ := all["sub"].(string)
	groups := slices.Clone(one.Groups)
	slices.Sort(groups)
	return Identity{
		Subject: sub, Label: name, Groups: slices.Compact(groups), Kind: Job, Method: "workload", Issuer: one.Issuer, Claims: claims,
	}, nil
}
