package client

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehq/sluice/api"
)

// ring is a keyring in memory.
type ring struct {
	mu   sync.Mutex
	held map[string]string // under mu
	err  error             // of every call
}

func (r *ring) Get(name string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return "", r.err
	}
	v, ok := r.held[name]
	if !ok {
		return "", ErrNotInKeyring
	}
	return v, nil
}

func (r *ring) Set(name, value string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held == nil {
		r.held = map[string]string{}
	}
	r.held[name] = value
	return r.err
}

// nearEnd is a store whose login needs renewal by its clock, though it is good.
func nearEnd(t *testing.T, gw *gatewayWorld, s *Store) *Store {
	t.Helper()
	c, err := s.Load(gw.addr)
	if err != nil {
		t.Fatal(err)
	}
	c.Issued = time.Now().Add(-24 * time.Hour) // a quarter of its life is longer than what is left
	if err := s.Save(c); err != nil {
		t.Fatal(err)
	}
	return s
}

// Two processes with one login: the provider ends it if a refresh token is used twice.
func TestOneRefresherAtATime(t *testing.T) {
	gw := newGateway(t)
	s := gw.store()
	gw.login(s)
	before, err := nearEnd(t, gw, s).Load(gw.addr)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			g, err := Open(t.Context(), NewStore(s.Dir, time.Now), gw.addr)
			if err != nil {
				t.Error(err)
				return
			}
			g.Close()
		})
	}
	group.Wait()
	after, err := s.Load(gw.addr)
	if err != nil {
		t.Fatal(err)
	}
	gw.provider.mu.Lock()
	defer gw.provider.mu.Unlock()
	if gw.provider.uses != 1 || after.Refresh != gw.provider.refresh || after.Refresh == before.Refresh {
		t.Errorf("%d refresh tokens were used; the one kept works: %v", gw.provider.uses, after.Refresh == gw.provider.refresh)
	}
	if after.Cert == before.Cert || after.Key != before.Key || !after.LoggedIn.Equal(before.LoggedIn) {
		t.Error("the certificate was not renewed for the same key")
	}
}

func TestRenewalThatTheProviderRefusesIsToldOnceAndNotTriedAgain(t *testing.T) {
	gw := newGateway(t)
	s := gw.store()
	gw.login(s)
	gw.provider.mu.Lock()
	gw.provider.refresh = "" // an administrator has ended the login
	gw.provider.mu.Unlock()
	g, err := Open(t.Context(), nearEnd(t, gw, s), gw.addr)
	if err != nil {
		t.Fatal(err) // it lasts until its end
	}
	defer g.Close()
	if err := g.renew(t.Context()); !lasts(err) || !errors.Is(err, errNoRefresh) {
		t.Errorf("got %v", err)
	}
	if c, err := s.Load(gw.addr); err != nil || c.Refresh != "" {
		t.Errorf("kept a refresh token that is worth nothing: %+v, %v", c, err)
	}
	if gw.provider.uses != 1 {
		t.Errorf("asked %d times", gw.provider.uses)
	}
}

// The key alone, or the refresh token alone, opens nothing.
func TestRefreshTokenGoesToItsProviderOnly(t *testing.T) {
	gw := newGateway(t)
	s := gw.store()
	gw.login(s)
	c, err := nearEnd(t, gw, s).Load(gw.addr)
	if err != nil {
		t.Fatal(err)
	}
	c.Provider.Issuer = "http://evil.example.com"
	if err := s.Save(c); err != nil {
		t.Fatal(err)
	}
	g, err := Open(t.Context(), s, gw.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := g.renew(t.Context()); err == nil || !lasts(err) {
		t.Errorf("got %v", err)
	}
	if gw.provider.uses != 0 {
		t.Error("the token was used")
	}
}

func TestExpiredLoginIsNotRenewed(t *testing.T) {
	gw := newGateway(t)
	s := gw.store()
	gw.login(s)
	s.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	_, err := Open(t.Context(), s, gw.addr)
	wantError(t, err, api.CodeNotLoggedIn, "login expired", "sluice login")
	if gw.provider.uses != 0 {
		t.Error("a stolen disk would be worth more than the hours of a certificate")
	}
}

func TestSecretsAreSealedByTheKeyring(t *testing.T) {
	gw := newGateway(t)
	s, r := gw.store(), &ring{}
	s.Keyring = r
	gw.login(s)
	raw, err := os.ReadFile(s.file(gw.addr))
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Load(gw.addr)
	if err != nil {
		t.Fatal(err)
	}
	if c.Refresh == "" || bytes.Contains(raw, []byte("PRIVATE KEY")) || bytes.Contains(raw, []byte(c.Refresh)) {
		t.Errorf("the file holds a secret:\n%s", raw)
	}
	if look, err := s.Look(""); err != nil || look.Key != "" || look.Identity.Email != "ada@example.com" {
		t.Errorf("without the keyring: %+v, %v", look, err)
	}
	other := NewStore(s.Dir, time.Now)
	_, err = other.Load(gw.addr)
	wantError(t, err, api.CodeNotLoggedIn, "keyring", "sluice login")
	other.Keyring = &ring{err: errors.New("locked")}
	_, err = other.Load(gw.addr)
	wantError(t, err, api.CodeNotLoggedIn, "does not open: locked", "unlock it")
	other = NewStore(s.Dir, time.Now)
	other.Keyring = &ring{held: map[string]string{s.Dir: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}
	_, err = other.Load(gw.addr)
	wantError(t, err, api.CodeNotLoggedIn, "damaged", "sluice login")
	gw.login(other) // the way out
	if _, err := other.Load(gw.addr); err != nil {
		t.Error(err)
	}
}

// One file cannot be put in place of another's.
func TestSealIsOfOneGateway(t *testing.T) {
	s := NewStore(t.TempDir(), time.Now)
	s.Keyring = &ring{}
	for _, addr := range []string{"a:1", "b:1"} {
		if err := s.Save(&Credentials{Gateway: addr, Key: "key of " + addr}); err != nil {
			t.Fatal(err)
		}
	}
	a, err := s.Look("a:1")
	if err != nil {
		t.Fatal(err)
	}
	a.Gateway = "b:1"
	if err := s.open(a); err == nil {
		t.Errorf("opened as %+v", a)
	}
	a.Gateway, a.Sealed = "a:1", a.Sealed[:10]
	if err := s.open(a); err == nil {
		t.Error("a seal cut short was opened")
	}
}

func TestNoKeyringIsSaidOnce(t *testing.T) {
	gw := newGateway(t)
	s := gw.store()
	var said []string
	for range 2 {
		s := NewStore(s.Dir, time.Now)
		s.Keyring = &ring{err: errors.New("there is no keyring on this machine")}
		s.Warn = func(sentence, hint string) { said = append(said, sentence+" "+hint) }
		gw.login(s)
		if _, err := s.Load(gw.addr); err != nil {
			t.Fatal(err)
		}
	}
	if len(said) != 1 || !strings.Contains(said[0], "only you can read") {
		t.Errorf("said %q", said)
	}
}

func TestPinThatIsGiven(t *testing.T) {
	gw := newGateway(t)
	login := func(s *Store, pin string) error {
		var b browser
		defer b.page()
		_, err := Login(t.Context(), LoginOptions{Gateway: gw.addr, Store: s, Pin: pin, OpenBrowser: b.open, HTTP: gw.http()})
		return err
	}
	s := gw.store()
	if err := login(s, strings.ToUpper(gw.fingerprint)); err != nil {
		t.Error(err)
	}
	wantError(t, login(s, "sha256:"+strings.Repeat("0", 64)), api.CodeError, "not the one given", "in between")
	wantError(t, login(s, "sha256:00"), api.CodeUsage, "is not the fingerprint", "64 hexadecimal digits")
	if c, err := s.Load(gw.addr); err != nil || c.Trust.Pin != gw.fingerprint {
		t.Errorf("trusts %+v, %v", c, err)
	}
}
