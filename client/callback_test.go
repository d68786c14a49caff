package client

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/api"
)

func newCallback(t *testing.T) *callback {
	t.Helper()
	cb, err := listenCallback("the-state", "https://id.example.com")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cb.close)
	return cb
}

func visit(t *testing.T, req *http.Request) (int, string) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Do(req)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, string(body)
}

func request(t *testing.T, method, at string, query url.Values) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, at+"?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// SSO redirect or state theft, and DNS rebinding: nothing that other pages or programs
// can send ends the login or gets in.
func TestSSOStateTheftAndDNSRebinding(t *testing.T) {
	cb := newCallback(t)
	good := url.Values{"state": {"the-state"}, "code": {"c"}}
	rebound := request(t, http.MethodGet, cb.url(), good)
	rebound.Host = "evil.example.com"
	localhost := request(t, http.MethodGet, cb.url(), good)
	localhost.Host = strings.Replace(cb.host, "127.0.0.1", "localhost", 1)
	tests := map[string]*http.Request{
		"DNS rebinding":       rebound,
		"name not registered": localhost,
		"no state":            request(t, http.MethodGet, cb.url(), url.Values{"code": {"c"}}),
		"wrong state":         request(t, http.MethodGet, cb.url(), url.Values{"code": {"c"}, "state": {"other"}}),
		"state cut":           request(t, http.MethodGet, cb.url(), url.Values{"code": {"c"}, "state": {"the-stat"}}),
		"POST":                request(t, http.MethodPost, cb.url(), good),
		"another path":        request(t, http.MethodGet, "http://"+cb.host+"/", good),
		"path with a slash":   request(t, http.MethodGet, cb.url()+"/", good),
		"path with dots":      request(t, http.MethodGet, "http://"+cb.host+"/x/../callback/.", good),
		"favicon":             request(t, http.MethodGet, "http://"+cb.host+"/favicon.ico", nil),
	}
	for name, req := range tests {
		status, page := visit(t, req)
		if status < 400 || strings.Contains(page, "You are logged in") {
			t.Errorf("%s: HTTP %d\n%s", name, status, page)
		}
	}
	select {
	case a := <-cb.answers:
		t.Errorf("an answer got through: %+v", a)
	default:
	}
	go cb.finish(t.Context(), "ada", nil)
	if status, page := visit(t, request(t, http.MethodGet, cb.url(), good)); status != http.StatusOK || !strings.Contains(page, "as ada") {
		t.Errorf("after all that, the true answer: HTTP %d\n%s", status, page)
	}
}

func TestSSOAnswerReplayed(t *testing.T) {
	cb := newCallback(t)
	good := url.Values{"state": {"the-state"}, "code": {"first"}}
	go cb.finish(t.Context(), "ada", nil)
	visit(t, request(t, http.MethodGet, cb.url(), good))
	good.Set("code", "second")
	if status, _ := visit(t, request(t, http.MethodGet, cb.url(), good)); status != http.StatusGone {
		t.Errorf("a replay got HTTP %d", status)
	}
	if code, err := cb.wait(t.Context()); err != nil || code != "first" {
		t.Errorf("%q, %v", code, err)
	}
}

func TestErrorPageInjection(t *testing.T) {
	const script = `<script>alert(1)</script>`
	for name, q := range map[string]url.Values{
		"error":       {"state": {"the-state"}, "error": {script}},
		"description": {"state": {"the-state"}, "error": {"access_denied"}, "error_description": {script}},
	} {
		cb := newCallback(t)
		ended := make(chan error, 1)
		go func() {
			_, err := cb.wait(t.Context())
			ended <- err
		}()
		status, page := visit(t, request(t, http.MethodGet, cb.url(), q))
		if status < 400 || strings.Contains(page, "<script") || !strings.Contains(page, "&lt;script") {
			t.Errorf("%s: HTTP %d\n%s", name, status, page)
		}
		if e, ok := api.AsError(<-ended); !ok || e.Code != api.CodeNotLoggedIn {
			t.Errorf("%s: got %v", name, e)
		}
	}
	cb := newCallback(t)
	go cb.finish(t.Context(), "<b>ada</b>", nil)
	_, page := visit(t, request(t, http.MethodGet, cb.url(), url.Values{"state": {"the-state"}, "code": {"c"}}))
	if strings.Contains(page, "<b>") {
		t.Errorf("a name is shown as HTML:\n%s", page)
	}
}

// SSO redirect theft: the code goes to no address but a port of this very login on the
// loopback interface, and is worth nothing to who gets hold of it there.
func TestSSORedirectTheft(t *testing.T) {
	gw := newGateway(t)
	hooked := errors.New("seen")
	var at *url.URL
	_, err := Login(t.Context(), LoginOptions{
		Gateway: gw.addr, Store: gw.store(), HTTP: gw.http(), Trust: func(string) error { return nil },
		OpenBrowser: func(u string) error {
			at, _ = url.Parse(u)
			q := at.Query()
			back, err := url.Parse(q.Get("redirect_uri"))
			if err != nil || back.Scheme != "http" || back.Hostname() != "127.0.0.1" || back.Path != "/callback" || back.RawQuery != "" {
				t.Errorf("redirect to %q", q.Get("redirect_uri"))
			}
			if len(q.Get("state")) < 40 || len(q.Get("nonce")) < 40 || q.Get("code_challenge_method") != "S256" || q.Get("code_verifier") != "" {
				t.Errorf("the address holds %v", q)
			}
			// A thief who saw the code has no verifier, and the code is gone once used.
			c := gw.http()
			c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			resp, err := c.Get(u)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			to, err := url.Parse(resp.Header.Get("Location"))
			if err != nil || to.Query().Get("code") == "" {
				t.Fatalf("no code: %v, %v", to, err)
			}
			resp, err = c.PostForm(gw.provider.URL+"/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {"sluice"}, "code": {to.Query().Get("code")}, "redirect_uri": {q.Get("redirect_uri")}})
			if err != nil || resp.StatusCode != http.StatusBadRequest {
				t.Errorf("a stolen code: %v, %v", resp, err)
			}
			resp.Body.Close()
			go func() { // the login itself is told by another page that it is over
				resp, err := c.Get(q.Get("redirect_uri") + "?error=access_denied&state=" + url.QueryEscape(q.Get("state")))
				if err == nil {
					resp.Body.Close()
				}
			}()
			return hooked
		},
	})
	wantError(t, err, api.CodeNotLoggedIn, "access_denied", "again")
	if at == nil {
		t.Fatal("no address was opened")
	}
}

func TestAnswerOfAnotherProviderIsRefused(t *testing.T) {
	const issuer = "https://id.example.com"
	tests := map[string]struct {
		iss []string
		ok  bool
	}{
		"none sent": {nil, true},
		"right":     {[]string{issuer}, true},
		"wrong":     {[]string{"https://evil.example.com"}, false},
		"empty":     {[]string{""}, false},
		"two":       {[]string{issuer, "https://evil.example.com"}, false},
	}
	for name, tt := range tests {
		if a := read("code", "", "", tt.iss, issuer); (a.err == nil) != tt.ok {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if a := read("", "", "", nil, issuer); a.err == nil {
		t.Error("neither code nor error is an answer")
	}
}

// The person sees in the browser that the gateway refused.
func TestRefusedLoginIsShown(t *testing.T) {
	gw := newGateway(t)
	gw.ttl = -1 // the gateway's own mistake, as any refusal
	var b browser
	s := gw.store()
	_, err := Login(t.Context(), LoginOptions{Gateway: gw.addr, Store: s, OpenBrowser: b.open, HTTP: gw.http(), Trust: func(string) error { return nil }})
	if err == nil {
		t.Fatal("logged in")
	}
	if page := b.page(); !strings.Contains(page, "Not logged in") {
		t.Errorf("the browser shows:\n%s", page)
	}
	if _, err := s.Load(gw.addr); err == nil {
		t.Error("credentials were stored")
	}
}

func TestBrowserThatDoesNotOpen(t *testing.T) {
	gw := newGateway(t)
	var b browser
	var out strings.Builder
	_, err := Login(t.Context(), LoginOptions{
		Gateway: gw.addr, Store: gw.store(), HTTP: gw.http(), Out: &out,
		Trust: func(string) error { return nil },
		OpenBrowser: func(u string) error {
			b.open(u) // the person pastes the line
			return errors.New("no display")
		},
	})
	b.wg.Wait()
	if err != nil || !strings.Contains(out.String(), "no display") || !strings.Contains(out.String(), gw.provider.URL+"/auth?") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestIssuerMustBeReachedSafely(t *testing.T) {
	for issuer, ok := range map[string]bool{
		"https://id.example.com": true, "http://127.0.0.1:5556/x": true, "http://localhost:1": true, "http://[::1]:1": true,
		"http://id.example.com": false, "http://localhost.evil.com": false, "http://127.0.0.1.evil.com": false,
		"": false, "file:///etc/passwd": false, "https://": false, "javascript:alert(1)": false,
	} {
		if err := checkIssuer(issuer); (err == nil) != ok {
			t.Errorf("%q: %v", issuer, err)
		}
	}
}
