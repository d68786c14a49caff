package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPeersAreReadAndFound(t *testing.T) {
	s := newSite(t, "peers: {key: {env: PEER_KEY}, gateways: ['127.0.0.1:1']}\n")
	s.env["PEER_KEY"] = "thirty-two characters, or a few more"
	s.serve(t)
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	look := func(peers, key string) (int, string, map[string]finding) {
		path := filepath.Join(t.TempDir(), "gateway.yaml")
		config := strings.Replace(string(text), "peers: {key: {env: PEER_KEY}, gateways: ['127.0.0.1:1']}", peers, 1)
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, _ := runs(t.Context(), map[string]string{"DB_PASSWORD": s.env["DB_PASSWORD"], "PEER_KEY": key}, "doctor", "--config", path, "-o", "json")
		return code, out, toldOf(t, out)
	}
	both := "peers: {key: {env: PEER_KEY}, gateways: ['" + s.addr + "']}"
	code, out, by := look(both, s.env["PEER_KEY"])
	if code != exitOK {
		t.Errorf("exit code %d\n%s", code, out)
	}
	want(t, by, "peer "+s.addr, stateOK, "shares its labels")
	for _, c := range []struct{ peers, key, check, sentence string }{
		{both, "thirty-two characters of somebody else", "peer " + s.addr, "does not answer as one that shares labels"},
		{"peers: {key: {env: PEER_KEY}, gateways: ['127.0.0.1:1']}", s.env["PEER_KEY"], "peer 127.0.0.1:1", "does not answer as one that shares labels"},
		{both, "short", "peers", "it needs 32"},
		{"peers: {key: {env: PEER_KEY}}", s.env["PEER_KEY"], "config", "needs key and gateways, both"},
		{"peers: {gateways: ['gw:8443']}", s.env["PEER_KEY"], "config", "needs key and gateways, both"},
		{"peers: {key: {env: PEER_KEY}, gateways: ['gw']}", s.env["PEER_KEY"], "config", "must be an address and a port"},
		{"peers: {key: {env: PEER_KEY}, gateways: ['gw:1', 'gw:1']}", s.env["PEER_KEY"], "config", "twice"},
	} {
		code, out, by := look(c.peers, c.key)
		if code != exitError {
			t.Errorf("%s with %q: exit code %d\n%s", c.peers, c.key, code, out)
		}
		want(t, by, c.check, stateProblem, c.sentence)
	}
}
