//go:build unix

package cmd

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sluicehq/sluice/internal/demo"
	"github.com/sluicehq/sluice/internal/pgtest"
)

// SIGHUP does not end a gateway; it has the policy read.
func TestGatewayReadsItsPolicyWhenHungUp(t *testing.T) {
	idp, err := demo.StartIDP(t.Context(), demo.Config{Users: []demo.User{ada}, ClientID: "sluice"})
	must(t, err)
	defer idp.Close()
	db, err := url.Parse(pgtest.Database(t))
	must(t, err)
	password, _ := db.User.Password()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "p.yaml"), denying("first"))
	config := filepath.Join(dir, "gateway.yaml")
	put(t, config, fmt.Sprintf(`listen: 127.0.0.1:0
data: %s
oidc: {issuer: %s, client_id: sluice}
connections: [{name: orders, groups: ["*"], database: {host: %s, port: %s, name: %s, user: %s, password: {env: DB_PASSWORD}}}]
policy: p.yaml
`, filepath.Join(dir, "data"), idp.Issuer(), db.Hostname(), db.Port(), strings.TrimPrefix(db.Path, "/"), db.User.Username()))
	said := lines(t, map[string]string{"DB_PASSWORD": password}, "gateway", "--config", config)
	said("serving 1 connections")
	must(t, syscall.Kill(syscall.Getpid(), syscall.SIGHUP))
	if line := said("policy unchanged"); !strings.Contains(line, "cause=SIGHUP") {
		t.Errorf("told %s", line)
	}
	put(t, filepath.Join(dir, "p.yaml"), denying("second"))
	if line := said("policy changed"); !strings.Contains(line, "p.yaml") {
		t.Errorf("told %s", line)
	}
}
