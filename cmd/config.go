package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"go.yaml.in/yaml/v3"

	"github.com/sluicehq/sluice/gateway"
)

// gatewayConfig is gateway.yaml. Unknown keys are refused, and secrets are only
// ever referred to.
type gatewayConfig struct {
	Listen      string             `yaml:"listen"`      // address clients reach: host:port
	Data        string             `yaml:"data"`        // directory for keys and the record
	Hosts       []string           `yaml:"hosts"`       // names and addresses in the gateway's own certificate
	TLS         tlsConfig          `yaml:"tls"`         // a certificate of one's own instead
	OIDC        oidcConfig         `yaml:"oidc"`        // who vouches for people
	Connections []connectionConfig `yaml:"connections"` //
	Policy      string             `yaml:"policy"`      // file; without one the built-in policy applies
	Approvals   approvalsConfig    `yaml:"approvals"`   //
	Record      recordConfig       `yaml:"record"`      //
	Admins      []string           `yaml:"admins"`      // groups that may see and end everyone's sessions
	Auditors    []string           `yaml:"auditors"`    // groups that may read the whole record
	Certificate duration           `yaml:"certificate"` // how long a login lasts; default 8h
}

type tlsConfig struct {
	Cert string `yaml:"cert"` // PEM file
	Key  string `yaml:"key"`  // PEM file
}

type oidcConfig struct {
	Issuer        string   `yaml:"issuer"`
	ClientID      string   `yaml:"client_id"`
	GroupsClaim   string   `yaml:"groups_claim"`
	Scopes        []string `yaml:"scopes"`
	RequireGroups bool     `yaml:"require_groups"`
}

type connectionConfig struct {
	Name     string         `yaml:"name"`
	Env      string         `yaml:"env"`
	Groups   []string       `yaml:"groups"` // whose members may open it; everyone who can log in if empty
	Database databaseConfig `yaml:"database"`
}

type databaseConfig struct {
	Host        string `yaml:"host"`
	Port        int    `yaml:"port"`
	Name        string `yaml:"name"`
	User        string `yaml:"user"`
	Password    secret `yaml:"password"`
	SSLMode     string `yaml:"sslmode"` // as libpq; default verify-full unless the host is local
	SSLRootCert string `yaml:"sslrootcert"`
}

type approvalsConfig struct {
	Wait              duration `yaml:"wait"`                // default 15m
	WaitInTransaction duration `yaml:"wait_in_transaction"` // default 60s
}

type recordConfig struct {
	Durability string `yaml:"durability"` // balanced or strict
}

// duration is a time such as "15m".
type duration time.Duration

// UnmarshalYAML reads a duration as Go writes it.
func (d *duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil || v <= 0 {
		return fmt.Errorf("line %d: %q is not a duration such as 15m or 8h", n.Line, n.Value)
	}
	*d = duration(v)
	return nil
}

// secret says where a secret is; never what it is.
type secret struct {
	Env  string   `yaml:"env"`
	File string   `yaml:"file"`
	Exec []string `yaml:"exec"`
}

// UnmarshalYAML refuses a secret that is written out.
func (s *secret) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: a password is not written here; say where it is: {env: NAME}, {file: PATH} or {exec: [COMMAND]}", n.Line)
	}
	// One source, spelt right: a mistake here must not come to mean no password.
	if len(n.Content) != 2 {
		return fmt.Errorf("line %d: a password has one source: env, file or exec", n.Line)
	}
	switch key := n.Content[0].Value; key {
	case "env", "file", "exec":
	default:
		return fmt.Errorf("line %d: unknown source %q of a password, must be env, file or exec", n.Line, key)
	}
	type plain secret
	if err := n.Decode((*plain)(s)); err != nil {
		return err
	}
	if s.Env == "" && s.File == "" && len(s.Exec) == 0 {
		return fmt.Errorf("line %d: the source of the password is empty", n.Line)
	}
	return nil
}

const secretTime = 10 * time.Second

func (s secret) read(ctx context.Context, env func(string) string) (string, error) {
	switch {
	case s.Env != "":
		v := env(s.Env)
		if v == "" {
			return "", tell(exitError, "set it in the environment of the gateway", "the environment variable %s is empty", s.Env)
		}
		return v, nil
	case s.File != "":
		b, err := os.ReadFile(s.File)
		if err != nil {
			return "", fmt.Errorf("read a password: %w", err)
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	case len(s.Exec) > 0:
		ctx, cancel := context.WithTimeout(ctx, secretTime)
		defer cancel()
		out, err := exec.CommandContext(ctx, s.Exec[0], s.Exec[1:]...).Output()
		if err != nil {
			return "", fmt.Errorf("run %s for a password: %w", s.Exec[0], err)
		}
		return strings.TrimRight(string(out), "\r\n"), nil
	}
	return "", nil
}

// readConfig reads and checks gateway.yaml; all problems at once, with line numbers.
func readConfig(path string) (*gatewayConfig, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, tell(exitUsage, "give the path with --config", "the configuration cannot be read: %v", err)
	}
	cfg := &gatewayConfig{}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(cfg); err != nil {
		return nil, configError(path, data, err)
	}
	if problems := cfg.check(); len(problems) > 0 {
		return nil, tell(exitUsage, "see the example in the README", "%s: %s", path, strings.Join(problems, "; "))
	}
	if cfg.Policy != "" && !filepath.IsAbs(cfg.Policy) {
		cfg.Policy = filepath.Join(filepath.Dir(path), cfg.Policy)
	}
	return cfg, nil
}

func (c *gatewayConfig) check() (problems []string) {
	if c.Listen == "" {
		problems = append(problems, "listen is missing: the address clients reach, such as 0.0.0.0:8443")
	}
	if c.Data == "" {
		problems = append(problems, "data is missing: a directory for keys and the record")
	}
	if c.OIDC.Issuer == "" || c.OIDC.ClientID == "" {
		problems = append(problems, "oidc needs issuer and client_id, or nobody can log in")
	}
	if len(c.Connections) == 0 {
		problems = append(problems, "connections is empty: name at least one database")
	}
	seen := map[string]bool{}
	for i, conn := range c.Connections {
		switch {
		case conn.Name == "" || strings.ContainsAny(conn.Name, " /\\\t\n"):
			problems = append(problems, fmt.Sprintf("connection %d needs a name without spaces and slashes", i+1))
		case seen[conn.Name]:
			problems = append(problems, fmt.Sprintf("connection %q stands there twice", conn.Name))
		case conn.Database.Host == "" || conn.Database.Name == "" || conn.Database.User == "":
			problems = append(problems, fmt.Sprintf("connection %q needs database.host, name and user", conn.Name))
		}
		seen[conn.Name] = true
	}
	if d := c.Record.Durability; d != "" && d != "balanced" && d != "strict" {
		problems = append(problems, fmt.Sprintf("record.durability is %q, must be balanced or strict", d))
	}
	return problems
}

// configError adds the nearest key to complaints about unknown ones.
func configError(path string, data []byte, err error) error {
	var typed *yaml.TypeError
	if !errors.As(err, &typed) {
		return tell(exitUsage, "mend the file and try again", "%s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	keys := knownKeys()
	lines := make([]string, len(typed.Errors))
	for i, e := range typed.Errors {
		lines[i] = e
		where, rest, ok := strings.Cut(e, ": field ")
		if !ok {
			continue
		}
		key, _, _ := strings.Cut(rest, " ")
		lines[i] = fmt.Sprintf("%s: unknown key %q", where, key)
		if near := nearest(key, keys); near != "" {
			lines[i] += fmt.Sprintf(", did you mean %q?", near)
		}
	}
	return tell(exitUsage, "mend the file and try again", "%s: %s", path, strings.Join(lines, "; "))
}

func knownKeys() []string {
	return []string{
		"listen", "data", "hosts", "tls", "cert", "key", "oidc", "issuer", "client_id", "groups_claim", "scopes", "require_groups",
		"connections", "name", "env", "database", "host", "port", "user", "password", "sslmode", "sslrootcert",
		"groups", "policy", "approvals", "wait", "wait_in_transaction", "record", "durability", "admins", "auditors", "certificate", "file", "exec",
	}
}

// nearest is the word that key was probably meant to be.
func nearest(key string, words []string) string {
	best, at := "", 3 // more than two slips are another word
	for _, w := range words {
		if d := distance(key, w); d < at && d < len(w) {
			best, at = w, d
		}
	}
	return best
}

// distance counts the letters to change, add or leave out (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		prev := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			prev, row[j] = row[j], min(row[j]+1, row[j-1]+1, prev+cost)
		}
	}
	return row[len(b)]
}

// connection turns one entry into what the gateway needs.
func (c connectionConfig) connection(ctx context.Context, env func(string) string) (gateway.Connection, error) {
	password, err := c.Database.Password.read(ctx, env)
	if err != nil {
		return gateway.Connection{}, fmt.Errorf("connection %s: %w", c.Name, err)
	}
	d := c.Database
	mode := d.SSLMode
	if mode == "" {
		mode = "verify-full"
		if local(d.Host) {
			mode = "prefer"
		}
	}
	q := url.Values{"sslmode": {mode}, "connect_timeout": {"10"}}
	if d.SSLRootCert != "" {
		q.Set("sslrootcert", d.SSLRootCert)
	}
	if d.Port == 0 {
		d.Port = 5432
	}
	u := url.URL{Scheme: "postgres", Host: net.JoinHostPort(d.Host, strconv.Itoa(d.Port)), Path: "/", RawQuery: q.Encode()}
	if strings.HasPrefix(d.Host, "/") {
		q.Set("host", d.Host)
		q.Set("port", strconv.Itoa(d.Port))
		u = url.URL{Scheme: "postgres", Path: "/", RawQuery: q.Encode()}
	}
	cfg, err := pgconn.ParseConfig(u.String())
	if err != nil {
		return gateway.Connection{}, tell(exitUsage, "check host, port, sslmode and sslrootcert", "connection %s: %v", c.Name, err)
	}
	// Names are set as they are, not through the text, so that nothing in them can
	// add parameters.
	cfg.Database, cfg.User, cfg.Password = d.Name, d.User, password
	return gateway.Connection{Name: c.Name, Env: c.Env, Groups: c.Groups, Database: cfg}, nil
}

func local(host string) bool {
	return strings.HasPrefix(host, "/") || slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, host)
}
