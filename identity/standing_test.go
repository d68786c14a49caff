package identity

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicehq/sluice/internal/durable"
)

func newStanding(t *testing.T, c *clock) *Standing {
	t.Helper()
	s, err := OpenStanding(filepath.Join(t.TempDir(), "standing.json"), c.now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// again opens the same file, as a gateway does that starts anew.
func (s *Standing) again(t *testing.T) *Standing {
	t.Helper()
	n, err := OpenStanding(s.file.Path, s.now)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestLocksHoldForTheWholePersonAndAfterARestart(t *testing.T) {
	s := newStanding(t, newClock())
	person := Identity{Subject: "u1", Email: "ada@example.com", Kind: Person}
	agent := Identity{Subject: "agent:claude:u1", Kind: Agent, Owner: "u1", OwnerName: "ada@example.com"}
	bob := Identity{Subject: "u2", Email: "bob@example.com", Kind: Person}
	for _, name := range []string{"u1", "U1", "ada@example.com", "Ada@Example.COM"} {
		if err := s.Lock(Lock{Name: name, Reason: "laptop lost", By: "root"}); err != nil {
			t.Fatal(err)
		}
		for _, st := range []*Standing{s, s.again(t)} {
			for _, who := range []Identity{person, agent} {
				var no *Barred
				if err := st.Check(who); !errors.As(err, &no) || !strings.Contains(no.Sentence, "laptop lost") || !strings.Contains(no.Hint, "root") {
					t.Errorf("lock of %s, %s: %v", name, who.Subject, err)
				}
			}
			if err := st.Check(bob); err != nil {
				t.Errorf("lock of %s: %v", name, err)
			}
		}
		if n := len(s.Locks()); n != 1 {
			t.Errorf("%d locks", n)
		}
		if err := s.Unlock(strings.ToUpper(name)); err != nil {
			t.Fatal(err)
		}
		if err := s.Check(person); err != nil {
			t.Errorf("after unlock: %v", err)
		}
	}
	if err := s.Unlock("u1"); !errors.Is(err, ErrNotLocked) {
		t.Errorf("unlock of nobody: %v", err)
	}
	for _, name := range []string{"", "a\nb", strings.Repeat("x", maxName+1)} {
		if err := s.Lock(Lock{Name: name}); err == nil {
			t.Errorf("locked %q", name)
		}
	}
	if err := s.Check(Identity{Subject: "u9"}); err != nil {
		t.Errorf("empty fields were compared: %v", err)
	}
}

func TestRevocationEndsWhatWasMadeWithTheCertificate(t *testing.T) {
	c := newClock()
	s := newStanding(t, c)
	serial := strings.Repeat("ab", 16)
	secret, tok, err := s.Mint(Token{Kind: Agent, Name: "claude", Uses: Unlimited, Made: Maker{Subject: "u1", Name: "ada", Credential: serial}, Expires: c.t.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	id, _, err := s.Redeem(secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(id); err != nil {
		t.Fatal(err)
	}
	if err := s.Revoke(serial); err != nil {
		t.Fatal(err)
	}
	for _, st := range []*Standing{s, s.again(t)} {
		if st.Check(Identity{Subject: "u1", Credential: serial}) == nil || st.Check(id) == nil {
			t.Error("the certificate, or an agent's that came of it, is still good")
		}
		if _, _, err := st.Redeem(secret); !errors.Is(err, ErrTokenRevoked) {
			t.Errorf("its token still buys: %v", err)
		}
	}
	if _, _, err := s.Mint(Token{Kind: Job, Name: "ci", Uses: 1, Made: Maker{Subject: "u1", Name: "ada", Credential: serial}, Expires: c.t.Add(time.Hour)}); err == nil {
		t.Error("a revoked certificate makes tokens")
	}
	for _, bad := range []string{"", "xyz", "AB" + serial[2:], strings.Repeat("a", 41), tok.ID} {
		if err := s.Revoke(bad); err == nil {
			t.Errorf("%q was taken for a serial number", bad)
		}
	}
	if err := s.Check(Identity{Subject: "u1"}); err != nil {
		t.Errorf("an identity without a certificate: %v", err)
	}
	// It is forgotten when no certificate of the time can be valid.
	c.t = c.t.Add(MaxPersonTTL + 2*backdate)
	if err := s.Lock(Lock{Name: "x", By: "root"}); err != nil {
		t.Fatal(err)
	}
	if n := len(s.state.Revoked); n != 0 {
		t.Errorf("%d revocations are kept for ever", n)
	}
}

// Attack: use a token again after it was used, also at the same moment and after a
// crash (PEERS C: replayed first-use token).
func TestTokenReplayAfterUse(t *testing.T) {
	c := newClock()
	s := newStanding(t, c)
	secret, tok, err := s.Mint(Token{Kind: Job, Name: "ci", Connections: []string{"orders"}, Uses: 1, Made: Maker{Subject: "u1", Name: "ada"}, Expires: c.t.Add(15 * time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	var got atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if _, _, err := s.Redeem(secret); err == nil {
				got.Add(1)
			} else if !errors.Is(err, ErrTokenSpent) {
				t.Errorf("another error: %v", err)
			}
		})
	}
	group.Wait()
	if got.Load() != 1 {
		t.Errorf("one use bought %d certificates", got.Load())
	}
	if _, _, err := s.again(t).Redeem(secret); !errors.Is(err, ErrTokenSpent) {
		t.Errorf("after a restart: %v", err)
	}
	if list := s.Tokens(); len(list) != 1 || list[0].State(c.t) != "used" || list[0].ID != tok.ID || list[0].Hash != "" {
		t.Errorf("listed as %+v", list)
	}
}

func TestTokensBuyNothingWhen(t *testing.T) {
	c := newClock()
	s := newStanding(t, c)
	mint := func(ttl time.Duration) (string, Token) {
		secret, tok, err := s.Mint(Token{Kind: Job, Name: "ci", Uses: 1, Made: Maker{Subject: "u1", Name: "ada"}, Expires: c.t.Add(ttl)})
		if err != nil {
			t.Fatal(err)
		}
		return secret, tok
	}
	good, _ := mint(time.Hour)
	for name, secret := range map[string]string{
		"empty": "", "mark alone": tokenMark, "one letter less": good[:len(good)-1], "one letter more": good + "A", "another case": strings.ToLower(good),
		"a space": good + " ", "too long": good + strings.Repeat("A", maxSecret), "its hash": hashToken(good), "its id": strings.Split(good, "_")[2],
	} {
		if _, _, err := s.Redeem(secret); !errors.Is(err, ErrTokenUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	withdrawn, tok := mint(time.Hour)
	if _, err := s.Withdraw(tok.ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Redeem(withdrawn); !errors.Is(err, ErrTokenRevoked) {
		t.Errorf("revoked: %v", err)
	}
	if _, err := s.Withdraw("t-000000000000"); !errors.Is(err, ErrTokenUnknown) {
		t.Errorf("revoke of nothing: %v", err)
	}
	if err := s.Lock(Lock{Name: "ada", By: "root"}); err != nil {
		t.Fatal(err)
	}
	var no *Barred
	if _, _, err := s.Redeem(good); !errors.As(err, &no) {
		t.Errorf("of someone who is locked: %v", err)
	}
	if err := s.Unlock("ada"); err != nil {
		t.Fatal(err)
	}
	c.t = c.t.Add(time.Hour)
	if _, _, err := s.Redeem(good); !errors.Is(err, ErrTokenExpired) {
		t.Errorf("expired: %v", err)
	}
	for _, bad := range []Token{{}, {Kind: Person, Name: "x", Made: Maker{Subject: "u"}, Expires: c.t}, {Kind: Job, Name: "x", Expires: c.t}, {Kind: Job, Name: "a\nb", Made: Maker{Subject: "u"}, Expires: c.t}, {Kind: Job, Name: "x", Made: Maker{Subject: "u"}}} {
		if _, _, err := s.Mint(bad); err == nil {
			t.Errorf("made %+v", bad)
		}
	}
}

// Attack: a stolen copy of the gateway's data directory holds tokens to use (PEERS C:
// secrets at rest).
func TestTokensAtRestAreHashesOnly(t *testing.T) {
	c := newClock()
	s := newStanding(t, c)
	secret, _, err := s.Mint(Token{Kind: Job, Name: "ci", Uses: 1, Made: Maker{Subject: "u1", Name: "ada"}, Expires: c.t.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(s.file.Path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(body), secret[strings.LastIndex(secret, "_"):]) {
		t.Error("the secret is in the file")
	}
	info, err := os.Stat(s.file.Path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v", info.Mode())
	}
}

// Attack: damage the file, so that its locks are gone.
func TestDamagedStandingIsNotReplaced(t *testing.T) {
	for name, body := range map[string]string{
		"empty": "", "half": `{"version":1,"locks":[{"name":"a"`, "another version": `{"version":2}`, "no version": `{}`, "a key of later": `{"version":1,"blocked":["ada"]}`,
		"two": `{"version":1}{"version":1}`, "a lock of nobody": `{"version":1,"locks":[{"reason":"x"}]}`, "a token that is none": `{"version":1,"tokens":[{"id":"t-1","kind":"job"}]}`,
		"a token of a person": `{"version":1,"tokens":[{"id":"t-aaaaaaaaaaaa","hash":"` + strings.Repeat("0", 64) + `","kind":"person","made":{"subject":"u"},"expires":"2030-01-01T00:00:00Z"}]}`,
	} {
		path := filepath.Join(t.TempDir(), "standing.json")
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenStanding(path, time.Now); err == nil {
			t.Errorf("%s: taken for a fresh start", name)
		}
	}
}

func TestChangeThatIsNotOnDiskDoesNotCount(t *testing.T) {
	c := newClock()
	s := newStanding(t, c)
	s.file.Path = filepath.Join(t.TempDir(), "gone", "standing.json")
	if _, _, err := s.Mint(Token{Kind: Job, Name: "ci", Uses: 1, Made: Maker{Subject: "u1", Name: "ada"}, Expires: c.t.Add(time.Hour)}); err == nil || len(s.Tokens()) != 0 {
		t.Errorf("a token that nothing keeps: %v", err)
	}
	if err := s.Lock(Lock{Name: "ada"}); err == nil || len(s.Locks()) != 0 {
		t.Errorf("a lock that nothing keeps was said to hold: %v", err)
	}
}

func FuzzStanding(f *testing.F) {
	for _, s := range []string{"", "{}", `{"version":1}`, `{"version":1,"locks":[{"name":"a"}],"revoked":{"ab":"2030-01-01T00:00:00Z"}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var st standing
		err := (durable.JSON{Strict: true}).Decode(body, &st)
		if err == nil {
			st, err = st.check()
		}
		if err == nil && st.lock(Identity{}) != nil {
			t.Error("a lock on nobody")
		}
	})
}
