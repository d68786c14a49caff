package cmd

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/tunnel"
)

// peersConfig names other gateways in front of the same databases, which share what they
// know of columns. The same file may serve all of them.
type peersConfig struct {
	Key      secret   `yaml:"key"`      // 32 characters or more, the same at each
	Gateways []string `yaml:"gateways"` // host:port of each; this one may be among them
}

func (p peersConfig) check(s *sheet) {
	keyed := p.Key.Env != "" || p.Key.File != "" || len(p.Key.Exec) > 0
	if _, given := s.Lines["peers"]; given && (!keyed || len(p.Gateways) == 0) {
		s.sayAt("peers", "peers needs key and gateways, both")
	}
	if len(p.Gateways) > gateway.MaxPeers {
		s.sayAt("peers.gateways", "gateways names %d, must be %d at most", len(p.Gateways), gateway.MaxPeers)
	}
	seen := map[string]bool{}
	for i, address := range p.Gateways {
		path := fmt.Sprintf("peers.gateways[%d]", i)
		switch host, port, _ := net.SplitHostPort(address); {
		case !isAddress(address) || host == "" || port == "0":
			s.sayAt(path, "gateways has %q, must be an address and a port such as gateway-b.example.com:8443", short(address, 60))
		case seen[address]:
			s.sayAt(path, "gateways has %q twice", short(address, 60))
		}
		seen[address] = true
	}
}

// read fetches the key; nil if there are no peers.
func (p peersConfig) read(ctx context.Context, env func(string) string) ([]byte, error) {
	if len(p.Gateways) == 0 {
		return nil, nil
	}
	key, err := p.Key.read(ctx, "peers", "key", env)
	if err != nil {
		return nil, err
	}
	if len(key) < identity.MinPeerKey {
		return nil, tell(exitUsage, "make one with: openssl rand -hex 32", "peers: the key has %d characters, it needs %d that nobody can guess", len(key), identity.MinPeerKey)
	}
	return []byte(key), nil
}

// peersOf is what a house tells its gateway of others.
func (h *house) peersOf(key []byte, addresses []string, now func() time.Time) (*gateway.PeersConfig, error) {
	if key == nil {
		return nil, nil
	}
	is, err := identity.NewPeer(key, h.id, now)
	if err != nil {
		return nil, err
	}
	return &gateway.PeersConfig{Identity: is, Addresses: addresses, State: filepath.Join(h.dir, "peers.json")}, nil
}

// examinePeers looks whether each of the other gateways answers and has the key.
func (a *app) examinePeers(ctx context.Context, d *diagnosis, cfg *gatewayConfig) {
	key, err := cfg.Peers.read(ctx, a.env)
	if err != nil {
		d.failed("peers", err, "")
		return
	}
	if key == nil {
		return
	}
	is, err := identity.NewPeer(key, "doctor", a.now)
	if err != nil {
		d.failed("peers", err, "")
		return
	}
	for _, address := range cfg.Peers.Gateways {
		check := "peer " + address
		id, err := greetPeer(ctx, is, address)
		if err != nil {
			d.wrong(check, "start it, and see that both have the same peers.key and reach each other; until then what appears in the databases is hidden here",
				"the gateway at %s does not answer as one that shares labels: %s", address, reason(err))
			continue
		}
		d.ok(check, "the gateway at %s, %s, shares its labels", address, id)
	}
}

// greetPeer says who answers at an address, once both sides are sure of the other.
func greetPeer(ctx context.Context, is *identity.Peer, address string) (id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	sess, err := tunnel.Dial(ctx, address, is.Dial(), tunnel.Config{})
	if err != nil {
		return "", err
	}
	defer sess.Close()
	if err := sess.Ping(ctx); err != nil { // unlike a handshake, tells of a refused certificate
		return "", err
	}
	id, _ = is.Identify(sess.TLS)
	return id, nil
}
