package client

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/internal/durable"
	"github.com/sluicehq/sluice/internal/howlong"
	"github.com/zalando/go-keyring"
	"golang.org/x/crypto/chacha20poly1305"
)

// Keyring is the system's, or what stands for it in a test. It holds one short text per
// name: the key that credentials are sealed with, as they themselves do not fit into
// every system's. Get gives ErrNotInKeyring for a name it does not know.
type Keyring interface {
	Get(name string) (string, error)
	Set(name, value string) error
}

// ErrNotInKeyring says that the keyring works, and does not have it.
var ErrNotInKeyring = errors.New("not in the keyring")

// SystemKeyring is the login keyring: Keychain, Credential Manager, Secret Service.
type SystemKeyring struct{}

// keyringTime bounds one call: a desktop may ask the person to unlock it, and one that
// nobody sits at never answers.
const keyringTime = 3 * time.Second

// keyringService is under what our entries stand.
const keyringService = "sluice"

var errNoKeyring = errors.New("there is no keyring on this machine")

// Get implements Keyring.
func (SystemKeyring) Get(name string) (string, error) {
	found := make(chan string, 1) // 1: it may come when nobody waits any more
	err := timely(func() error {
		v, err := keyring.Get(keyringService, name)
		if err == nil {
			found <- v
		}
		return err
	})
	switch {
	case errors.Is(err, keyring.ErrNotFound):
		return "", ErrNotInKeyring
	case err != nil:
		return "", err
	}
	return <-found, nil
}

// Set implements Keyring.
func (SystemKeyring) Set(name, value string) error {
	return timely(func() error { return keyring.Set(keyringService, name, value) })
}

// timely calls f, and does not wait for it longer than keyringTime. Where no desktop
// is, the library would start a message bus of its own to ask; that is not tried.
func timely(f func() error) error {
	if runtime.GOOS != "darwin" && runtime.GOOS != "windows" && !bus() {
		return errNoKeyring
	}
	done := make(chan error, 1) // 1: so that f ends though nobody waits
	go func() { done <- f() }()
	late := time.NewTimer(keyringTime)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
		return fmt.Errorf("the keyring did not answer within %s", howlong.Text(keyringTime))
	}
}

// bus says that this login has a message bus, over which Secret Service is reached.
func bus() bool {
	if os.Getenv("DBUS_SESSION_BUS_ADDRESS") != "" {
		return true
	}
	_, err := os.Stat(filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "bus"))
	return os.Getenv("XDG_RUNTIME_DIR") != "" && err == nil
}

// secrets are what is sealed.
type secrets struct {
	Key     string `json:"key"`
	Refresh string `json:"refresh,omitempty"`
}

// close seals what is secret in c. Without a keyring it stays as it is.
func (s *Store) close(c *Credentials) error {
	c.Sealed = nil
	if s.Keyring == nil || c.Key == "" {
		return nil
	}
	aead, err := s.sealer(true)
	if err != nil {
		s.warn(err)
		return nil
	}
	plain, err := json.Marshal(secrets{c.Key, c.Refresh})
	if err != nil {
		return fmt.Errorf("encode the key: %w", err)
	}
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	c.Sealed = aead.Seal(nonce, nonce, plain, sealedFor(c.Gateway))
	c.Key, c.Refresh = "", ""
	return nil
}

// open is the way back.
func (s *Store) open(c *Credentials) error {
	if len(c.Sealed) == 0 {
		return nil
	}
	aead, err := s.sealer(false)
	if err != nil {
		return &api.Error{
			Sentence: fmt.Sprintf("the keyring that seals your login does not open: %v", err),
			Hint:     "unlock it; where there is none, such as over SSH, run: sluice login " + c.Gateway,
			Code:     api.CodeNotLoggedIn,
		}
	}
	if len(c.Sealed) < aead.NonceSize() {
		return damaged(s.file(c.Gateway), errors.New("it is cut short"))
	}
	nonce, body := c.Sealed[:aead.NonceSize()], c.Sealed[aead.NonceSize():]
	plain, err := aead.Open(nil, nonce, body, sealedFor(c.Gateway))
	var sec secrets
	if err == nil {
		err = json.Unmarshal(plain, &sec)
	}
	if err != nil {
		return damaged(s.file(c.Gateway), errors.New("the keyring's key does not open it"))
	}
	c.Key, c.Refresh, c.Sealed = sec.Key, sec.Refresh, nil
	return nil
}

// sealedFor ties a seal to its gateway, so that one file cannot be put in place of
// another.
func sealedFor(gateway string) []byte { return []byte("sluice credentials\x00" + gateway) }

// sealer is made of the key in the keyring, which make puts there if it has none.
func (s *Store) sealer(make bool) (cipher.AEAD, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seal == nil {
		key, err := s.sealKey(make)
		if err != nil {
			return nil, err
		}
		s.seal = key
	}
	return chacha20poly1305.NewX(s.seal)
}

func (s *Store) sealKey(make bool) ([]byte, error) {
	if s.Keyring == nil {
		return nil, errNoKeyring
	}
	name, err := filepath.Abs(s.Dir)
	if err != nil {
		return nil, err
	}
	text, err := s.Keyring.Get(name)
	if errors.Is(err, ErrNotInKeyring) && make {
		fresh := [chacha20poly1305.KeySize]byte{}
		rand.Read(fresh[:])
		text = base64.StdEncoding.EncodeToString(fresh[:])
		err = s.Keyring.Set(name, text)
	}
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != chacha20poly1305.KeySize {
		return nil, errors.New("what it holds is not our key")
	}
	return key, nil
}

// warn says once that secrets lie in a file.
func (s *Store) warn(why error) {
	told := filepath.Join(s.Dir, "no-keyring")
	if _, err := os.Stat(told); !errors.Is(err, fs.ErrNotExist) || s.Warn == nil {
		return
	}
	s.Warn(fmt.Sprintf("your key and refresh token are kept in a file that only you can read, not in a keyring (%v)", why),
		"nothing to do; programs that run as you could read it until you run: sluice logout")
	// If it cannot be noted it is said again.
	if err := durable.MkdirAll(s.Dir, 0o700); err == nil {
		_ = durable.WriteFile(told, nil, 0o600)
	}
}
