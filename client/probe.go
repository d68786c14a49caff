package client

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/identity"
	"golang.org/x/oauth2"
)

// Shown is the certificate that a gateway shows to whoever comes.
type Shown struct {
	Pin      string // fingerprint of the authority above it, or its own
	Names    []string
	NotAfter time.Time
	Public   bool // names addr, and a public authority has signed it

	chain []*x509.Certificate
}

// Look fetches the certificate at addr, and sends nothing else.
func Look(ctx context.Context, addr string, now func() time.Time) (Shown, error) {
	chain, err := lookAt(ctx, addr, now)
	if err != nil {
		return Shown{}, dialError(addr, err)
	}
	s := Shown{Pin: identity.Fingerprint(chain[len(chain)-1]), NotAfter: chain[0].NotAfter, Names: chain[0].DNSNames, chain: chain}
	for _, ip := range chain[0].IPAddresses {
		s.Names = append(s.Names, ip.String())
	}
	s.Public = Trust{System: true}.verify(chain, hostOf(addr), now()) == nil
	return s, nil
}

// By says why t does not recognise the gateway at addr; nil if it does.
func (s Shown) By(t Trust, addr string, now func() time.Time) error {
	if err := t.verify(s.chain, hostOf(addr), now()); err != nil {
		return dialError(addr, &wrongCertificate{err})
	}
	return nil
}

// Greet asks a gateway that t recognises what it tells everyone, and how far its clock is
// ahead of ours; zero if it does not tell.
func Greet(ctx context.Context, addr string, t Trust, now func() time.Time) (info api.Info, ahead time.Duration, err error) {
	door := &door{addr: addr, tc: t.config(addr, now)}
	defer door.close()
	gw := streamClient(door.open)
	defer gw.CloseIdleConnections()
	start := now()
	if err := call(ctx, gw, http.MethodGet, api.InfoPath, nil, &info); err != nil {
		return api.Info{}, 0, err
	}
	if !info.Now.IsZero() {
		end := now()
		ahead = info.Now.Sub(start.Add(end.Sub(start) / 2))
	}
	return info, ahead, nil
}

// Discovery is what an identity provider says of itself.
type Discovery struct {
	Issuer    string   `json:"issuer"`
	AuthURL   string   `json:"authorization_endpoint"`
	TokenURL  string   `json:"token_endpoint"`
	KeysURL   string   `json:"jwks_uri"`
	DeviceURL string   `json:"device_authorization_endpoint"`
	Scopes    []string `json:"scopes_supported"`
	Claims    []string `json:"claims_supported"`

	Ahead time.Duration `json:"-"` // of our clock, to the second; zero if it does not tell
	Keys  int           `json:"-"` // that it signs with
}

// maxDiscovery bounds what a provider can make us read.
const maxDiscovery = 1 << 20

// Discover reads an identity provider's own description, and its keys.
func Discover(ctx context.Context, issuer string, now func() time.Time) (Discovery, error) {
	hc, end := providerClient()
	defer end()
	var d Discovery
	start := now()
	date, err := getJSON(ctx, hc, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration", &d)
	if err != nil {
		return Discovery{}, err
	}
	if d.Issuer != issuer {
		return Discovery{}, fmt.Errorf("it calls itself %.200q", d.Issuer)
	}
	if !date.IsZero() {
		d.Ahead = date.Sub(start.Truncate(time.Second))
	}
	var keys struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if _, err := getJSON(ctx, hc, d.KeysURL, &keys); err != nil {
		return Discovery{}, fmt.Errorf("its keys: %w", err)
	}
	d.Keys = len(keys.Keys)
	return d, nil
}

func getJSON(ctx context.Context, hc *http.Client, at string, into any) (date time.Time, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return time.Time{}, err
	}
	resp, err := hc.Do(req)
	if err != nil {
		return time.Time{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return time.Time{}, fmt.Errorf("%s answered %s", at, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxDiscovery)).Decode(into); err != nil {
		return time.Time{}, fmt.Errorf("%s does not answer with JSON", at)
	}
	date, err = http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		date = time.Time{} // it need not tell
	}
	return date, nil
}

// KnowsClient begins a login that nobody will finish, and reads whether the provider
// refuses it outright: it then does not know the client, the way back to 127.0.0.1, or a
// scope. Providers that only tell a person are taken to agree.
func KnowsClient(ctx context.Context, d Discovery, p Provider) error {
	hc, end := providerClient()
	defer end()
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	const back = "http://127.0.0.1:49152/callback"
	conf := oauth2.Config{ClientID: p.ClientID, Endpoint: oauth2.Endpoint{AuthURL: d.AuthURL}, RedirectURL: back, Scopes: scopes(p.Scopes, d.Scopes)}
	verifier := oauth2.GenerateVerifier()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, conf.AuthCodeURL(oauth2.GenerateVerifier(), oauth2.S256ChallengeOption(verifier)), nil)
	if err != nil {
		return err
	}
	resp, err := hc.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode >= 400 && resp.StatusCode < 500:
		return fmt.Errorf("it answered %s", strings.ToLower(resp.Status))
	case strings.HasPrefix(resp.Header.Get("Location"), back):
		to, err := url.Parse(resp.Header.Get("Location"))
		if err == nil && to.Query().Get("error") != "" && to.Query().Get("error") != "login_required" {
			return fmt.Errorf("it answered %.100q: %.200q", to.Query().Get("error"), to.Query().Get("error_description"))
		}
	}
	return nil
}
