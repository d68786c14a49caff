// Package client is the laptop side: it logs in, keeps the credentials, calls
// the gateway and opens local ports into its tunnel. It guarantees that the
// private key and the refresh token stay sealed by the system's keyring, or where there
// is none in a file that only its owner can read, and that nothing is sent to a gateway other than the one that was trusted at the first login.
//
// Goroutines: Login owns its loopback server, Forward one goroutine per local
// connection and two copies, Keep none; all have ended when they return. A Gateway owns
// its tunnel session and at most one dial, ended by Close. A keyring that does not
// answer keeps one goroutine until it does (keyring.go).
package client

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/adrg/xdg"
	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/durable"
)

// defaultPort is where a gateway listens if its address names no port.
const defaultPort = "8443"

// Store is the directory with one file of credentials per gateway and the ports
// that connections were given.
type Store struct {
	Dir string
	Now func() time.Time

	// Keyring holds the key that private keys and refresh tokens are sealed with. Without
	// one they lie in the file as they are; Warn is told so once per Dir.
	Keyring Keyring
	Warn    func(sentence, hint string)

	mu   sync.Mutex
	seal []byte // under mu: what the keyring gave; nil before
}

// Credentials are what one gateway knows us by, and we it.
type Credentials struct {
	Gateway  string            `json:"gateway"` // host:port
	ID       string            `json:"gateway_id,omitempty"`
	Trust    Trust             `json:"trust"`
	Key      string            `json:"key,omitempty"` // PEM; in the file only without a keyring, as Refresh
	Cert     string            `json:"certificate"`   // PEM
	Identity identity.Identity `json:"identity"`
	LoggedIn time.Time         `json:"logged_in"`
	Issued   time.Time         `json:"issued,omitzero"`   // of Cert, by our clock
	Refresh  string            `json:"refresh,omitempty"` // token that renews the login; "" if the provider gave none, or takes it no more
	Provider Provider          `json:"provider,omitzero"` // where Refresh is from, and the only one it is sent to
	Sealed   []byte            `json:"sealed,omitempty"`  // Key and Refresh, if the keyring has a key for them
}

// Provider is the identity provider of a login, as the gateway named it then.
type Provider struct {
	Issuer       string   `json:"issuer,omitempty"`
	ClientID     string   `json:"client_id,omitempty"`
	ClientSecret string   `json:"client_secret,omitempty"`
	Scopes       []string `json:"scopes,omitempty"`
}

// NewStore gives the store in dir, or in the user's configuration directory if
// dir is empty.
func NewStore(dir string, now func() time.Time) *Store {
	if dir == "" {
		dir = filepath.Join(xdg.ConfigHome, "sluice")
	}
	return &Store{Dir: dir, Now: now}
}

// Address completes what a person types to host:port.
func Address(gateway string) (string, error) {
	gateway = strings.ToLower(strings.TrimSpace(gateway))
	host, port, err := net.SplitHostPort(gateway)
	if err != nil {
		host, port = strings.Trim(gateway, "[]"), defaultPort
	}
	if _, err := strconv.ParseUint(port, 10, 16); host == "" || err != nil || strings.ContainsAny(host, "/@ ?#") {
		return "", &api.Error{
			Sentence: fmt.Sprintf("%q is not the address of a gateway", gateway),
			Hint:     "write host or host:port, for example gateway.example.com:8443",
			Code:     api.CodeUsage,
		}
	}
	return net.JoinHostPort(host, port), nil
}

// Load reads the credentials for gateway; an empty gateway means the one last
// logged in to.
func (s *Store) Load(gateway string) (*Credentials, error) {
	c, err := s.Look(gateway)
	if err != nil {
		return nil, err
	}
	if err := s.open(c); err != nil {
		return nil, err
	}
	return c, nil
}

// Look is Load for what is no secret: it does not ask the keyring, and gives no Key and
// no Refresh that is sealed.
func (s *Store) Look(gateway string) (*Credentials, error) {
	if gateway == "" {
		return s.latest()
	}
	addr, err := Address(gateway)
	if err != nil {
		return nil, err
	}
	c, err := s.read(s.file(addr))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notLoggedIn(addr)
	}
	if err != nil {
		return nil, err
	}
	if c.Gateway != addr {
		return nil, damaged(s.file(addr), fmt.Errorf("it is for %q", c.Gateway))
	}
	return c, nil
}

// Gateways lists those that we have credentials for.
func (s *Store) Gateways() ([]string, error) {
	all, err := s.all()
	var list []string
	for _, c := range all {
		list = append(list, c.Gateway)
	}
	slices.Sort(list)
	return list, err
}

// all reads every file of credentials.
func (s *Store) all() ([]*Credentials, error) {
	files, err := filepath.Glob(filepath.Join(s.Dir, "gateways", "*.json"))
	if err != nil {
		return nil, fmt.Errorf("list the credentials: %w", err)
	}
	var list []*Credentials
	for _, f := range files {
		c, err := s.read(f)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

func (s *Store) latest() (*Credentials, error) {
	all, err := s.all()
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, notLoggedIn("")
	}
	return slices.MaxFunc(all, func(a, b *Credentials) int { return a.LoggedIn.Compare(b.LoggedIn) }), nil
}

// Save replaces the credentials of c.Gateway as a whole.
func (s *Store) Save(c *Credentials) error {
	kept := *c
	if err := s.close(&kept); err != nil {
		return err
	}
	body, err := json.MarshalIndent(&kept, "", "\t")
	if err != nil {
		return fmt.Errorf("encode the credentials: %w", err)
	}
	dir := filepath.Join(s.Dir, "gateways")
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the credential directory: %w", err)
	}
	if err := durable.WriteFile(s.file(c.Gateway), body, 0o600); err != nil {
		return fmt.Errorf("write the credentials: %w", err)
	}
	return nil
}

// Forget removes the credentials for gateway, the trust in it among them.
func (s *Store) Forget(gateway string) error {
	c, err := s.Look(gateway)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), renewTime)
	defer cancel()
	unlock, err := s.lock(ctx, c.Gateway)
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.Remove(s.file(c.Gateway)); err != nil {
		return fmt.Errorf("remove the credentials: %w", err)
	}
	return nil
}

// maxCredentials bounds what is read: a key, and a certificate with many groups.
const maxCredentials = 1 << 20

// read refuses a file that others could have read or changed.
func (s *Store) read(path string) (*Credentials, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the credentials: %w", err)
	}
	// Windows has no such bits: the profile directory's access list protects it.
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, &api.Error{
			Sentence: fmt.Sprintf("others on this machine can read %s (mode %04o)", path, info.Mode().Perm()),
			Hint:     "log in again: delete the file and run sluice login",
			Code:     api.CodeNotLoggedIn,
		}
	}
	if info.Size() > maxCredentials {
		return nil, damaged(path, fmt.Errorf("%d bytes are too many", info.Size()))
	}
	body, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the credentials: %w", err)
	}
	var c Credentials
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, damaged(path, err)
	}
	return &c, nil
}

// file names the file for addr: readable, and distinct for distinct addresses
// whatever characters they hold.
func (s *Store) file(addr string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '_'
	}, addr)
	sum := sha256.Sum256([]byte(addr))
	return filepath.Join(s.Dir, "gateways", plain[:min(len(plain), 80)]+"-"+hex.EncodeToString(sum[:4])+".json")
}

// keyPair is the client certificate in the form TLS wants.
func (c *Credentials) keyPair() (tls.Certificate, error) {
	pair, err := tls.X509KeyPair([]byte(c.Cert), []byte(c.Key))
	if err != nil {
		return tls.Certificate{}, damaged("the stored certificate", err)
	}
	return pair, nil
}

func damaged(what string, err error) error {
	return &api.Error{
		Sentence: fmt.Sprintf("%s is damaged: %v", what, err),
		Hint:     "run sluice login again; if that does not help, delete it first",
		Code:     api.CodeNotLoggedIn,
	}
}

func notLoggedIn(addr string) error {
	if addr == "" {
		return &api.Error{Sentence: "not logged in to any gateway", Hint: "run: sluice login GATEWAY", Code: api.CodeNotLoggedIn}
	}
	return &api.Error{Sentence: "not logged in to " + addr, Hint: "run: sluice login " + addr, Code: api.CodeNotLoggedIn}
}

func loginExpired(addr string) error {
	return &api.Error{Sentence: "login expired", Hint: "run: sluice login " + addr, Code: api.CodeNotLoggedIn}
}
