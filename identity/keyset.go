package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// How the keys of an issuer are kept.
const (
	maxDocument  = 1 << 20          // a discovery document or a set of keys
	keysFresh    = time.Hour        // keys are asked for again after this, if a token comes
	keysLast     = 24 * time.Hour   // an outage of the issuer is lived through with the keys known
	keysPause    = 10 * time.Second // between two questions, whatever tokens come
	maxKeys      = 100
	wellKnownOID = "/.well-known/openid-configuration"
)

// errNoKeys says that an issuer could not be asked, and was not known.
var errNoKeys = errors.New("its issuer's keys cannot be had")

// keySet holds the public keys of one issuer, found by discovery when the first token
// of it comes. A token with a key that is not known makes it ask again, at most once
// in keysPause, so that made-up tokens do not become a flood at the issuer; an issuer
// that is away is done without as long as its keys are not too old. Safe for use by
// several goroutines: one asks, the others wait for it.
type keySet struct {
	issuer string
	client *http.Client
	now    func() time.Time

	mu    sync.Mutex // held while the issuer is asked, for oidcTimeout at most
	keys  []jose.JSONWebKey
	got   time.Time // when keys were read
	asked time.Time // when the issuer was last asked
	err   error     // of the last question
}

// VerifySignature gives the payload of a token that one of the issuer's keys signed.
// Only the algorithms of workloadAlgs are read at all, and a key for one of them never
// checks another.
func (k *keySet) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	jws, err := jose.ParseSigned(raw, workloadAlgs)
	if err != nil {
		return nil, fmt.Errorf("read its signature: %w", err)
	}
	if len(jws.Signatures) != 1 {
		return nil, errors.New("it has not exactly one signature")
	}
	kid, alg := jws.Signatures[0].Header.KeyID, jws.Signatures[0].Header.Algorithm
	keys, err := k.find(ctx, false)
	if err != nil {
		return nil, err
	}
	if body, ok := verifyWith(jws, keys, kid, alg); ok {
		return body, nil
	}
	// The issuer may have new keys.
	if keys, err = k.find(ctx, true); err != nil {
		return nil, err
	}
	if body, ok := verifyWith(jws, keys, kid, alg); ok {
		return body, nil
	}
	return nil, errors.New("none of its issuer's keys signed it")
}

func verifyWith(jws *jose.JSONWebSignature, keys []jose.JSONWebKey, kid, alg string) ([]byte, bool) {
	for _, key := range keys {
		if kid != "" && key.KeyID != kid || key.Algorithm != "" && key.Algorithm != alg || key.Use != "" && key.Use != "sig" || !key.IsPublic() {
			continue
		}
		if body, err := jws.Verify(key); err == nil {
			return body, true
		}
	}
	return nil, false
}

// find gives the keys, asking the issuer if they are old, or if again says that they
// were not enough.
func (k *keySet) find(ctx context.Context, again bool) ([]jose.JSONWebKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if (again || len(k.keys) == 0 || now.Sub(k.got) >= keysFresh) && (k.asked.IsZero() || now.Sub(k.asked) >= keysPause) {
		// Not on the caller's context: one that hangs up must not spoil it for the rest.
		ask, cancel := context.WithTimeout(context.WithoutCancel(ctx), oidcTimeout)
		keys, err := k.ask(ask)
		cancel()
		k.asked, k.err = now, err
		if err == nil {
			k.keys, k.got = keys, now
		}
	}
	if len(k.keys) == 0 || now.Sub(k.got) >= keysLast {
		if k.err == nil {
			k.err = errors.New("it has none")
		}
		return nil, fmt.Errorf("%w: %w", errNoKeys, k.err)
	}
	return k.keys, nil
}

// ask reads the discovery document and the keys that it leads to.
func (k *keySet) ask(ctx context.Context) ([]jose.JSONWebKey, error) {
	var found struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := k.get(ctx, strings.TrimSuffix(k.issuer, "/")+wellKnownOID, &found); err != nil {
		return nil, err
	}
	if found.Issuer != k.issuer {
		return nil, fmt.Errorf("%s says it is %q", k.issuer, found.Issuer)
	}
	if strings.HasPrefix(k.issuer, "https://") && !strings.HasPrefix(found.Keys, "https://") {
		return nil, fmt.Errorf("%s gives its keys without https", k.issuer)
	}
	var set jose.JSONWebKeySet
	if err := k.get(ctx, found.Keys, &set); err != nil {
		return nil, err
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("%s has %d keys, more than %d", k.issuer, len(set.Keys), maxKeys)
	}
	return set.Keys, nil
}

func (k *keySet) get(ctx context.Context, url string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := k.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", url, err)
	}
	if len(body) > maxDocument {
		return fmt.Errorf("%s is longer than %d bytes", url, maxDocument)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("read %s: %w", url, err)
	}
	return nil
}
