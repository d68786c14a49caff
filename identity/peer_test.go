package identity

import (
	"crypto/tls"
	"net"
	"testing"
	"time"
)

// meet has a gateway call another, and gives what the latter sees of the former.
func meet(t *testing.T, caller *tls.Config, called *Peer, base *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	cfg := called.Serve(base)
	cfg.ClientAuth = tls.VerifyClientCertIfGiven
	server := tls.Server(b, cfg)
	done := make(chan error, 1) // one result, read below
	go func() {
		err := tls.Client(a, caller).HandshakeContext(t.Context())
		if err != nil {
			a.Close()
		}
		done <- err
	}()
	err := server.HandshakeContext(t.Context())
	if err != nil {
		b.Close()
	}
	if told := <-done; told != nil {
		err = told
	}
	return server.ConnectionState(), err
}

func TestPeersKnowEachOtherByTheirKey(t *testing.T) {
	key := []byte("some thirty-two bytes that two gateways share")
	peer := func(key []byte, id string) *Peer {
		t.Helper()
		p, err := NewPeer(key, id, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	a, b, other := peer(key, "gw-a"), peer(key, "gw-b"), peer([]byte("another key of thirty-two bytes or more"), "gw-a")
	authority, err := LoadOrCreateAuthority(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	cert, _, err := ServerCertificate(t.TempDir(), time.Now(), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	base := &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: authority.Pool()}
	state, err := meet(t, a.Dial(), b, base)
	if err != nil {
		t.Fatal(err)
	}
	if id, ok := b.Identify(state); !ok || id != "gw-a" {
		t.Errorf("gw-b takes gw-a for %q, %v", id, ok)
	}
	if who, err := authority.Identify(state); err == nil {
		t.Errorf("a peer is taken for %v", who)
	}
	if _, ok := other.Identify(state); ok {
		t.Error("one of another key takes it for a peer")
	}
	if _, err := meet(t, other.Dial(), b, base); err == nil {
		t.Error("one of another key is let in")
	}
	if _, err := NewPeer([]byte("short"), "gw-a", time.Now); err == nil {
		t.Error("a key that can be guessed is taken")
	}
}
