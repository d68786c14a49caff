package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicehq/sluice/api"
	"golang.org/x/oauth2"
)

// polled is a provider that answers a device's questions as written.
type polled struct {
	answers []string
	asked   []time.Duration // since the start
	start   time.Time
	begin   map[string]any
}

func (p *polled) RoundTrip(r *http.Request) (*http.Response, error) {
	body, status := "", http.StatusOK
	if strings.HasSuffix(r.URL.Path, "/device") {
		raw, _ := json.Marshal(p.begin)
		body = string(raw)
	} else {
		p.asked = append(p.asked, time.Since(p.start))
		body = p.answers[min(len(p.asked), len(p.answers))-1]
		if strings.Contains(body, "error") {
			status = http.StatusBadRequest
		}
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}, nil
}

func (p *polled) login() (tokens, DeviceCode, error) {
	p.start = time.Now()
	var shown DeviceCode
	l := &login{
		opt:  LoginOptions{ShowDevice: func(d DeviceCode) { shown = d }, Out: io.Discard},
		http: &http.Client{Transport: p}, device: true, nonce: "n", provider: Provider{Issuer: "https://id.example.com"},
		conf: oauth2.Config{ClientID: "sluice", Endpoint: oauth2.Endpoint{DeviceAuthURL: "https://id.example.com/device", TokenURL: "https://id.example.com/token", AuthStyle: oauth2.AuthStyleInParams}},
	}
	tok, err := l.byDevice(context.Background())
	return tok, shown, err
}

func deviceBegins() map[string]any {
	return map[string]any{
		"device_code": "d", "user_code": "ABCD-EFGH", "verification_uri": "https://id.example.com/activate",
		"verification_uri_complete": "https://id.example.com/activate?user_code=ABCD-EFGH", "expires_in": 600, "interval": 7,
	}
}

// The provider says how often it may be asked, and that it is asked too often.
func TestDeviceLoginKeepsToTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &polled{begin: deviceBegins(), answers: []string{`{"error":"authorization_pending"}`, `{"error":"slow_down"}`, `{"error":"authorization_pending"}`, `{"access_token":"a","id_token":"i","refresh_token":"r","token_type":"Bearer"}`}}
		tok, shown, err := p.login()
		if err != nil || tok.id != "i" || tok.refresh != "r" || !tok.device {
			t.Fatalf("%+v, %v", tok, err)
		}
		if shown.Code != "ABCD-EFGH" || shown.Complete == "" || shown.Expires.Sub(p.start).Round(time.Second) != 10*time.Minute {
			t.Errorf("shown %+v", shown)
		}
		want := []time.Duration{7 * time.Second, 14 * time.Second, 26 * time.Second, 38 * time.Second}
		for i, at := range p.asked {
			if at.Round(time.Second) != want[i] {
				t.Errorf("asked at %v, want %v", p.asked, want)
				break
			}
		}
	})
}

func TestDeviceLoginEnds(t *testing.T) {
	with := func(key string, value any) map[string]any { m := deviceBegins(); m[key] = value; return m }
	for name, tt := range map[string]struct {
		begin    map[string]any
		answer   string
		sentence string
	}{
		"refused":                 {deviceBegins(), `{"error":"access_denied"}`, "refused at the identity provider"},
		"too late, it says":       {deviceBegins(), `{"error":"expired_token"}`, "in time"},
		"too late, by our clock":  {deviceBegins(), `{"error":"authorization_pending"}`, "in time"},
		"too late, by our limit":  {with("expires_in", 86400), `{"error":"authorization_pending"}`, "in time"},
		"not allowed":             {deviceBegins(), `{"error":"unauthorized_client"}`, "does not let sluice log in by device code"},
		"no ID token":             {deviceBegins(), `{"access_token":"a","token_type":"Bearer"}`, "no ID token"},
		"an error with an escape": {deviceBegins(), `{"error":"x\u001b[2J"}`, `"x\x1b[2J"`},
		"an address for a shell":  {with("verification_uri", "javascript:alert(1)"), ``, "no address to log in at"},
		"no code":                 {with("user_code", ""), ``, "no address to log in at"},
		"a picture of a file":     {with("verification_uri_complete", "file:///etc/passwd"), ``, "no address to log in at"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &polled{begin: tt.begin, answers: []string{tt.answer}}
				_, _, err := p.login()
				e, ok := api.AsError(err)
				if !ok || !strings.Contains(e.Sentence, tt.sentence) || e.Hint == "" {
					t.Errorf("got %v", err)
				}
				if took := time.Since(p.start); took > 16*time.Minute {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func TestScopesAreThoseTheProviderKnows(t *testing.T) {
	for _, tt := range []struct {
		given, known []string
		want         string
	}{
		{nil, nil, "openid email profile groups"},
		{nil, []string{"openid", "email", "profile"}, "openid email profile"},                                                   // Google
		{nil, []string{"openid", "profile", "email", "offline_access"}, "openid email profile offline_access"},                  // Entra
		{nil, []string{"openid", "email", "groups", "profile", "offline_access"}, "openid email profile groups offline_access"}, // Dex
		{[]string{"openid", "x"}, []string{"openid"}, "openid x"},
	} {
		if got := strings.Join(scopes(tt.given, tt.known), " "); got != tt.want {
			t.Errorf("%v of %v: %s, want %s", tt.given, tt.known, got, tt.want)
		}
	}
}
