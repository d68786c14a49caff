package client

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/identity"
)

// JobOptions say how a job, or an agent with a token, comes to its certificate.
type JobOptions struct {
	Gateway  string // host or host:port
	Ambient  *Ambient
	Audience string // what its token must be for; "" for the gateway's own, if it has one
	Trust    Trust  // how to recognise the gateway: there is nobody to ask
	Now      func() time.Time
}

// OpenJob opens a gateway for a job. The key is made here and kept in memory alone; the
// certificate is renewed while the job runs, with a new token if there is one.
func OpenJob(ctx context.Context, opt JobOptions) (*Gateway, error) {
	addr, err := Address(opt.Gateway)
	if err != nil {
		return nil, err
	}
	key, err := identity.NewKey()
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	j := &job{opt: opt, addr: addr, key: key}
	c, err := j.credentials(ctx)
	if err != nil {
		return nil, err
	}
	g := &Gateway{Address: c.Gateway, Identity: c.Identity, now: opt.Now, load: j.credentials, renews: true}
	return g.begin(ctx)
}

// job keeps the credentials of one process. Safe for use by several goroutines.
type job struct {
	opt  JobOptions
	addr string
	key  *ecdsa.PrivateKey

	mu   sync.Mutex // held while a token is exchanged
	have *Credentials
}

// renewBefore is how much of its life a certificate must have left to be shown again.
// Less is too little for a connection that is only being opened.
const renewBefore = time.Minute

// credentials gives what is good for a while, and exchanges a token for it if needed.
// One that is still good is better than none when the token can be used no more.
func (j *job) credentials(ctx context.Context) (*Credentials, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.opt.Now()
	if j.have != nil && j.have.Identity.Valid(now.Add(renewBefore)) {
		return j.have, nil
	}
	c, err := j.exchange(ctx)
	if err != nil {
		if j.have != nil && j.have.Identity.Valid(now) {
			return j.have, nil
		}
		return nil, err
	}
	j.have = c
	return c, nil
}

func (j *job) exchange(ctx context.Context) (*Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*providerTimeout)
	defer cancel()
	door := &door{addr: j.addr, tc: j.opt.Trust.config(j.addr, j.opt.Now)}
	defer door.close()
	gw := streamClient(door.open)
	defer gw.CloseIdleConnections()
	audience, err := j.audience(ctx, gw)
	if err != nil {
		return nil, err
	}
	token, err := j.opt.Ambient.token(ctx, audience, j.opt.Now())
	if err != nil {
		return nil, err
	}
	pub, err := identity.EncodePublicKey(&j.key.PublicKey)
	if err != nil {
		return nil, err
	}
	var out api.TokenExchanged
	err = call(ctx, gw, http.MethodPost, api.TokenPath, api.TokenExchange{
		GrantType: api.GrantExchange, SubjectToken: token, SubjectTokenType: j.opt.Ambient.Type, RequestedTokenType: api.TypeCertificate, PublicKeyPEM: string(pub),
	}, &out)
	if err != nil {
		return nil, err
	}
	keyPEM, err := identity.EncodeKey(j.key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair([]byte(out.AccessToken), keyPEM)
	if err != nil {
		return nil, fmt.Errorf("the gateway's certificate does not fit our key: %w", err)
	}
	id, err := identity.Claimed(pair.Leaf)
	if err != nil {
		return nil, err
	}
	return &Credentials{Gateway: j.addr, Trust: j.opt.Trust, Key: string(keyPEM), Cert: out.AccessToken, Identity: id, LoggedIn: j.opt.Now()}, nil
}

// audience is what to ask the issuer for. Only where the issuer asks does it matter.
func (j *job) audience(ctx context.Context, gw *http.Client) (string, error) {
	if j.opt.Audience != "" || !j.opt.Ambient.asks {
		return j.opt.Audience, nil
	}
	var info api.Info
	if err := call(ctx, gw, http.MethodGet, api.InfoPath, nil, &info); err != nil {
		return "", err
	}
	switch len(info.Audiences) {
	case 1:
		return info.Audiences[0], nil
	case 0:
		return "", &api.Error{Sentence: "the gateway at " + j.addr + " lets no jobs in", Hint: "add their issuer under workloads: in its configuration, or use sluice token create", Code: api.CodeNotLoggedIn}
	}
	return "", &api.Error{
		Sentence: "the gateway takes tokens for several audiences: " + strings.Join(info.Audiences, ", "),
		Hint:     "say which one is this job's with " + EnvAudience, Code: api.CodeUsage,
	}
}
