package demo

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"
)

func startIDP(t *testing.T) *IDP {
	t.Helper()
	p, err := StartIDP(t.Context(), Config{ClientID: "sluice", Users: []User{
		{Name: "Ada Support", Email: "ada@shop.example.com", Groups: []string{"support"}},
		{Name: "Dan Administrator", Email: "dan@shop.example.com", Groups: []string{"dba", "staff"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// login is one client with its callback server.
type login struct {
	oauth2.Config
	provider *oidc.Provider
	answers  chan url.Values // one place: a login has one answer
}

func newLogin(t *testing.T, p *IDP) *login {
	t.Helper()
	provider, err := oidc.NewProvider(t.Context(), p.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &login{provider: provider, answers: make(chan url.Values, 1)}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.answers <- r.URL.Query()
		io.WriteString(w, "you can close this page")
	})}
	go server.Serve(ln)
	t.Cleanup(func() { server.Close() })
	l.Config = oauth2.Config{
		ClientID: "sluice", Endpoint: provider.Endpoint(), RedirectURL: "http://" + ln.Addr().String() + "/callback",
		Scopes: []string{"openid", "email", "profile", "groups"},
	}
	return l
}

func (l *login) answer(t *testing.T) url.Values {
	t.Helper()
	select {
	case v := <-l.answers:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("the browser never came back")
		return nil
	}
}

type claims struct {
	Email    string   `json:"email"`
	Verified bool     `json:"email_verified"`
	Name     string   `json:"name"`
	Groups   []string `json:"groups"`
}

func (l *login) check(t *testing.T, tok *oauth2.Token) (*oidc.IDToken, claims) {
	t.Helper()
	raw, _ := tok.Extra("id_token").(string)
	id, err := l.provider.Verifier(&oidc.Config{ClientID: "sluice"}).Verify(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	var c claims
	if err := id.Claims(&c); err != nil {
		t.Fatal(err)
	}
	return id, c
}

var dan = claims{Email: "dan@shop.example.com", Verified: true, Name: "Dan Administrator", Groups: []string{"dba", "staff"}}

func TestSignInGivesAVerifiableToken(t *testing.T) {
	p := startIDP(t)
	l := newLogin(t, p)
	verifier := oauth2.GenerateVerifier()
	authURL := l.AuthCodeURL("state-1", oauth2.S256ChallengeOption(verifier), oidc.Nonce("nonce-1"))
	if err := p.SignIn("Dan Administrator")(authURL); err != nil {
		t.Fatal(err)
	}
	back := l.answer(t)
	if back.Get("state") != "state-1" {
		t.Errorf("state = %q, want state-1", back.Get("state"))
	}
	tok, err := l.Exchange(t.Context(), back.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	id, got := l.check(t, tok)
	if diff := cmp.Diff(dan, got); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	if id.Nonce != "nonce-1" || id.Subject != dan.Email {
		t.Errorf("nonce %q subject %q, want nonce-1 and %s", id.Nonce, id.Subject, dan.Email)
	}
	info, err := l.provider.UserInfo(t.Context(), oauth2.StaticTokenSource(tok))
	if err != nil || info.Email != dan.Email {
		t.Errorf("userinfo %+v, %v, want %s", info, err, dan.Email)
	}
	if _, err := l.Exchange(t.Context(), back.Get("code"), oauth2.VerifierOption(verifier)); err == nil {
		t.Error("the code worked twice")
	}
}

func TestStolenCodeWithoutItsVerifierIsRefused(t *testing.T) {
	p := startIDP(t)
	l := newLogin(t, p)
	verifier := oauth2.GenerateVerifier()
	if err := p.SignIn("ada@shop.example.com")(l.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier))); err != nil {
		t.Fatal(err)
	}
	code := l.answer(t).Get("code")
	var refused *oauth2.RetrieveError
	if _, err := l.Exchange(t.Context(), code, oauth2.VerifierOption(oauth2.GenerateVerifier())); !errors.As(err, &refused) {
		t.Fatalf("wrong verifier: %v, want a refusal", err)
	}
	if _, err := l.Exchange(t.Context(), code, oauth2.VerifierOption(verifier)); err == nil {
		t.Error("the code survived a wrong verifier")
	}
}

func TestRequestsTheProviderRefuses(t *testing.T) {
	p := startIDP(t)
	l := newLogin(t, p)
	s256 := oauth2.S256ChallengeOption(oauth2.GenerateVerifier())
	with := func(change func(*oauth2.Config)) *oauth2.Config {
		c := l.Config
		change(&c)
		return &c
	}
	for name, authURL := range map[string]string{
		"without PKCE":          l.AuthCodeURL("s"),
		"plain PKCE":            l.AuthCodeURL("s", oauth2.SetAuthURLParam("code_challenge", "abc"), oauth2.SetAuthURLParam("code_challenge_method", "plain")),
		"another client":        with(func(c *oauth2.Config) { c.ClientID = "other" }).AuthCodeURL("s", s256),
		"redirect to elsewhere": with(func(c *oauth2.Config) { c.RedirectURL = "https://attacker.example.org/callback" }).AuthCodeURL("s", s256),
		"redirect to other path": with(func(c *oauth2.Config) {
			c.RedirectURL = strings.Replace(c.RedirectURL, "/callback", "/elsewhere", 1)
		}).AuthCodeURL("s", s256),
	} {
		t.Run(name, func(t *testing.T) {
			if err := p.SignIn("Ada Support")(authURL); err == nil {
				t.Error("signed in")
			}
			select {
			case back := <-l.answers:
				if back.Get("code") != "" {
					t.Errorf("got a code: %v", back)
				}
			default:
			}
		})
	}
	if err := p.SignIn("nobody")(l.AuthCodeURL("s", s256)); err == nil {
		t.Error("a stranger signed in")
	}
	resp, err := http.PostForm(p.Issuer()+"/login?id=guessed", url.Values{"user": {"ada@shop.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a guessed login id answered %s", resp.Status)
	}
}

func TestWebPageReachingTheLoopbackAddressIsRefused(t *testing.T) {
	p := startIDP(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.Issuer()+"/login?id=x", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "attacker.example.org"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("status %s, want 421", resp.Status)
	}
}

func TestDeviceLogin(t *testing.T) {
	p := startIDP(t)
	l := newLogin(t, p)
	device, err := l.DeviceAuth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.SignIn(dan.Name)(device.VerificationURIComplete); err != nil {
		t.Fatal(err)
	}
	tok, err := l.DeviceAccessToken(t.Context(), device)
	if err != nil {
		t.Fatal(err)
	}
	if _, got := l.check(t, tok); !cmp.Equal(got, dan) {
		t.Errorf("claims %+v, want %+v", got, dan)
	}
	if err := p.SignIn(dan.Name)(device.VerificationURIComplete); err == nil {
		t.Error("the user code worked twice")
	}
}

func TestLoginPageShowsEveryUser(t *testing.T) {
	p := startIDP(t)
	l := newLogin(t, p)
	resp, err := http.Get(l.AuthCodeURL("s", oauth2.S256ChallengeOption(oauth2.GenerateVerifier())))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`value="ada@shop.example.com"`, "Dan Administrator", "staff"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("page lacks %s", want)
		}
	}
}

func TestEndOfContextStopsTheProvider(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p, err := StartIDP(ctx, Config{ClientID: "sluice", Users: []User{{Name: "A", Email: "a@example.com"}}})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-p.done
	if _, err := http.Get(p.Issuer()); err == nil {
		t.Error("still answering")
	}
	if _, err := StartIDP(t.Context(), Config{}); err == nil {
		t.Error("a provider without users started")
	}
}
