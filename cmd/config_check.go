package cmd

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicehq/sluice/identity"
)

// maxConfig is the most a gateway.yaml may have: ten thousand connections.
const maxConfig = 1 << 20

// readConfig reads and checks gateway.yaml; all mistakes at once, with their lines.
func readConfig(path string) (*gatewayConfig, error) {
	text, err := readFile(path, maxConfig)
	if err != nil {
		return nil, tell(exitUsage, "give the path with --config", "the configuration %s cannot be read: %s", path, reason(err))
	}
	cfg := &gatewayConfig{}
	s := &sheet{}
	s.read([]byte(text), cfg)
	if err := s.err(path); err != nil {
		return nil, err
	}
	cfg.check(s)
	if err := s.err(path); err != nil {
		return nil, err
	}
	if cfg.Policy != "" && !filepath.IsAbs(cfg.Policy) {
		cfg.Policy = filepath.Join(filepath.Dir(path), cfg.Policy)
	}
	if f := cfg.Lineage.OpenLineage.File; f != "" && !filepath.IsAbs(f) {
		cfg.Lineage.OpenLineage.File = filepath.Join(filepath.Dir(path), f)
	}
	if dir := cfg.Triggers.Runbooks; dir != "" && !filepath.IsAbs(dir) {
		cfg.Triggers.Runbooks = filepath.Join(filepath.Dir(path), dir)
	}
	for i, file := range cfg.Witness.Files {
		if !filepath.IsAbs(file) {
			cfg.Witness.Files[i] = filepath.Join(filepath.Dir(path), file)
		}
	}
	return cfg, nil
}

// check finds what each value alone does not show.
func (c *gatewayConfig) check(s *sheet) {
	switch {
	case c.Listen == "":
		s.sayAt("listen", "listen is missing: the address clients reach, such as 0.0.0.0:8443")
	case !isAddress(c.Listen):
		s.sayAt("listen", "listen is %q, must be an address and a port such as 0.0.0.0:8443", short(c.Listen, 40))
	}
	if c.Data == "" {
		s.sayAt("data", "data is missing: a directory for keys and the record")
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		s.sayAt("tls", "tls needs cert and key, both")
	}
	c.OIDC.check(s)
	c.checkWorkloads(s)
	c.Lineage.OpenLineage.check(s)
	c.Peers.check(s)
	for i, w := range c.Approvals.Webhooks {
		w.check(s, fmt.Sprintf("approvals.webhooks[%d]", i))
	}
	c.Limits.check(s)
	c.checkRecord(s)
	c.checkTriggers(s)
	if len(c.Connections) == 0 {
		s.sayAt("connections", "connections is missing or empty: name at least one database")
	}
	seen := map[string]bool{}
	for i, conn := range c.Connections {
		path := fmt.Sprintf("connections[%d]", i)
		switch {
		case conn.Name == "" || strings.ContainsAny(conn.Name, " /\\\t\n"):
			s.sayAt(path+".name", "connection %d needs a name without spaces and slashes", i+1)
		case seen[conn.Name]:
			s.sayAt(path+".name", "connection %q stands there twice", conn.Name)
		default:
			conn.check(s, path)
		}
		seen[conn.Name] = true
	}
	if closed := c.closed(); len(closed) > 0 && len(closed) == len(c.Connections) && len(s.Problems) == 0 {
		s.sayAt("connections", "no connection says who may open it, so nobody could: %s", admitHint)
	}
}

// admitHint says how a connection admits somebody.
const admitHint = `give it groups: [NAME, …], or groups: ["*"] for everyone who can log in`

// closed are the connections that admit nobody.
func (c *gatewayConfig) closed() (names []string) {
	for _, conn := range c.Connections {
		if len(conn.Groups) == 0 {
			names = append(names, conn.Name)
		}
	}
	return names
}

var (
	durabilities = []string{"balanced", "strict"}
	prompts      = []string{"consent", "login", "select_account"}
	groupSplits  = []string{"space", "comma"}
	sslModes     = []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}
)

func (o *oidcConfig) check(s *sheet) {
	if _, given := s.Lines["oidc.require_groups"]; !given {
		o.RequireGroups = o.GroupsClaim != ""
	}
	if _, given := s.Lines["oidc.device"]; !given {
		o.Device = true
	}
	if o.GroupsSplit != "" && !slices.Contains(groupSplits, o.GroupsSplit) {
		s.sayAt("oidc.groups_split", "groups_split is %q, must be %s", short(o.GroupsSplit, 40), listed(groupSplits))
	}
	if err := identity.CheckDomains(o.Domains); err != nil {
		s.sayAt("oidc.domains", "domains: %v", err)
	}
	if o.Prompt != "" && !slices.Contains(prompts, o.Prompt) {
		s.sayAt("oidc.prompt", "prompt is %q, must be %s", short(o.Prompt, 40), listed(prompts))
	}
	if len(o.Scopes) > 0 && !slices.Contains(o.Scopes, "openid") {
		s.sayAt("oidc.scopes", "scopes needs openid among them, or the provider sends no ID token")
	}
	if o.Issuer == "" || o.ClientID == "" {
		s.sayAt("oidc", "oidc needs issuer and client_id, or nobody can log in")
		return
	}
	if u, err := url.Parse(o.Issuer); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		s.sayAt("oidc.issuer", "issuer is %q, must be a URL such as https://id.example.com", short(o.Issuer, 60))
	}
}

func (l *limitsConfig) check(s *sheet) {
	for _, at := range []struct {
		key   string
		value int
	}{{"sessions", l.Sessions}, {"sessions_each", l.SessionsEach}} {
		if _, given := s.Lines["limits."+at.key]; given && (at.value < 1 || at.value > maxSessions) {
			s.sayAt("limits."+at.key, "%s is %d, must be from 1 to %d", at.key, at.value, maxSessions)
		}
	}
	if _, given := s.Lines["limits.memory"]; given && (l.Memory < minMemory || l.Memory > maxMemory) {
		s.sayAt("limits.memory", "memory is %s, must be from %s to %s", l.Memory, size(minMemory), size(maxMemory))
	}
	if most := l.inAll(); l.SessionsEach > most {
		s.sayAt("limits.sessions_each", "sessions_each is %d, more than the %d sessions in all", l.SessionsEach, most)
	}
}

func (c connectionConfig) check(s *sheet, path string) {
	d := c.Database
	if _, given := s.Lines[path+".groups"]; given && len(c.Groups) == 0 {
		s.sayAt(path+".groups", "groups is empty, which lets in nobody: name the groups that may open it, or write [\"*\"] for everyone who can log in")
	}
	if d.Host == "" || d.Name == "" || d.User == "" {
		s.sayAt(path+".database", "connection %q needs database.host, name and user", c.Name)
	}
	if host, port, err := net.SplitHostPort(d.Host); err == nil && port != "" {
		s.sayAt(path+".database.host", "host has a port in it; write host: %s, port: %s", short(host, 60), short(port, 10))
	}
	if _, given := s.Lines[path+".database.port"]; given && (d.Port < 1 || d.Port > 65535) {
		s.sayAt(path+".database.port", "port is %d, must be from 1 to 65535", d.Port)
	}
	if m := d.SSLMode; m != "" && !slices.Contains(sslModes, m) {
		s.sayAt(path+".database.sslmode", "sslmode is %q%s", short(m, 40), didYouMean(m, sslModes))
	}
}

// isAddress says that a is a host, or none, and a port.
func isAddress(a string) bool {
	_, port, err := net.SplitHostPort(a)
	if err != nil {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n <= 65535
}
