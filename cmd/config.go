package cmd

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
	sheets "github.com/sluicehq/sluice/internal/sheet"
)

// gatewayConfig is gateway.yaml. A sheet reads it, so every field has its key as
// a tag; secrets are only ever referred to.
type gatewayConfig struct {
	Listen      string             `yaml:"listen"`      // address clients reach: host:port
	Data        string             `yaml:"data"`        // directory for keys and the record
	Hosts       []string           `yaml:"hosts"`       // names and addresses in the gateway's own certificate
	TLS         tlsConfig          `yaml:"tls"`         // a certificate of one's own instead
	OIDC        oidcConfig         `yaml:"oidc"`        // who vouches for people
	Workloads   []workloadConfig   `yaml:"workloads"`   // who vouches for jobs
	Connections []connectionConfig `yaml:"connections"` //
	Policy      string             `yaml:"policy"`      // file; without one the built-in policy applies
	Approvals   approvalsConfig    `yaml:"approvals"`   //
	Record      recordConfig       `yaml:"record"`      //
	Witness     witnessConfig      `yaml:"witness"`     // who keeps checkpoints of the record elsewhere
	Metrics     metricsConfig      `yaml:"metrics"`     // for operators
	Exports     []exportConfig     `yaml:"exports"`     // where the record is handed on to
	Admins      []string           `yaml:"admins"`      // groups that may see and end everyone's sessions
	Auditors    []string           `yaml:"auditors"`    // groups that may read the whole record
	Certificate duration           `yaml:"certificate"` // how long a login lasts; default 8h
	Limits      limitsConfig       `yaml:"limits"`      //
	Pseudonyms  pseudonymsConfig   `yaml:"pseudonyms"`  // for rules that show some
	Lineage     lineageConfig      `yaml:"lineage"`     // who is told of it
	Peers       peersConfig        `yaml:"peers"`       // other gateways in front of the same databases
	Triggers    triggersConfig     `yaml:"triggers"`    // what begins runbooks by signed messages
}

type tlsConfig struct {
	Cert string `yaml:"cert"` // PEM file
	Key  string `yaml:"key"`  // PEM file
}

type oidcConfig struct {
	Issuer        string   `yaml:"issuer"`
	ClientID      string   `yaml:"client_id"`
	GroupsClaim   string   `yaml:"groups_claim"`   // its name, or the way to it: realm_access.roles; default groups
	GroupsSplit   string   `yaml:"groups_split"`   // space or comma, for a provider that sends one string
	Scopes        []string `yaml:"scopes"`         // instead of the usual ones
	RequireGroups bool     `yaml:"require_groups"` // refuse a login without the claim; true if groups_claim is given

	Prompt string `yaml:"prompt"` // consent, for providers that give no refresh token without it
	Device bool   `yaml:"device"` // whether people may log in by device code; default true

	// Domains are groups for everyone of a domain, for providers that tell none.
	Domains map[string][]string `yaml:"domains"`

	// ClientSecret is for providers that give one to programs on laptops, as Google does:
	// every client is told it, so it is no secret, and no other kind of secret may stand
	// here.
	ClientSecret string `yaml:"client_secret"`
}

// provider is what verifies logins.
func (o oidcConfig) provider() *identity.OIDCConfig {
	return &identity.OIDCConfig{
		Issuer: o.Issuer, ClientID: o.ClientID, GroupsClaim: o.GroupsClaim, GroupsSplit: o.GroupsSplit,
		RequireGroups: o.RequireGroups, Domains: o.Domains,
	}
}

type connectionConfig struct {
	Name     string         `yaml:"name"`
	Env      string         `yaml:"env"`
	Groups   []string       `yaml:"groups"` // whose members may open it; nobody if empty, everyone with "*"
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

	Webhooks []webhookConfig `yaml:"webhooks"` // told of what waits, and how it ended
}

type recordConfig struct {
	Durability string   `yaml:"durability"` // balanced or strict
	Pack       duration `yaml:"pack"`       // segments whose entries are all older are packed; default 7d
	Keep       duration `yaml:"keep"`       // and removed; for ever if not given
	Literals   string   `yaml:"literals"`   // what is kept of values that tell of people: pseudonymise (default), keep or drop
}

// witnessConfig says who is told of each checkpoint of the record, within half a minute.
type witnessConfig struct {
	Files []string `yaml:"files"` // on another disk or machine: checkpoints are appended
	URLs  []string `yaml:"urls"`  // a checkpoint is posted as text/plain
}

// pseudonymsConfig says where the key of pseudonyms is: 32 characters or more, which
// nobody can guess. With another key all pseudonyms are others.
type pseudonymsConfig struct {
	Key secret `yaml:"key"`
}

// duration is a time such as "15m".
type duration = sheets.Duration

// limitsConfig bounds what callers may take of the gateway.
type limitsConfig struct {
	Sessions     int `yaml:"sessions"`      // at once, in all; default 5000
	SessionsEach int `yaml:"sessions_each"` // of one caller; default half of them

	// Memory is for what is large: messages over 64 KiB, and what stands behind the
	// names of statements and cursors, of all sessions together; default 512MiB. One
	// caller gets half of it.
	Memory size `yaml:"memory"`
}

// size is a number of bytes such as "512MiB".
type size int64

// Bounds of limits.memory: below, sessions would mostly wait for one another; more no
// machine has.
const (
	minMemory = 16 << 20
	maxMemory = 1 << 40
)

// sizeUnits are what sizes are written in.
var sizeUnits = []struct {
	name  string
	bytes int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}}

// String is s in the largest unit that gives a whole number.
func (s size) String() string {
	for _, unit := range slices.Backward(sizeUnits) {
		if int64(s)%unit.bytes == 0 {
			return strconv.FormatInt(int64(s)/unit.bytes, 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + " bytes"
}

// readSize reads a whole number and its unit. A bare number could be bytes or
// megabytes, and is refused.
func readSize(text string) (size, bool) {
	for _, unit := range sizeUnits {
		if digits, ok := strings.CutSuffix(text, unit.name); ok {
			n, err := strconv.ParseUint(strings.TrimSuffix(digits, " "), 10, 32)
			return size(int64(n) * unit.bytes), err == nil
		}
	}
	return 0, false
}

// maxSessions is more than one machine's descriptors carry.
const maxSessions = 1_000_000

func (l *limitsConfig) inAll() int {
	if l.Sessions == 0 {
		return gateway.DefaultSessions
	}
	return l.Sessions
}

// each is half of all if not given, so that nobody shuts out the others.
func (l *limitsConfig) each() int {
	if l.SessionsEach == 0 {
		return max(l.inAll()/2, 1)
	}
	return l.SessionsEach
}

// connection turns one entry into what the gateway needs.
func (c connectionConfig) connection(ctx context.Context, env func(string) string) (gateway.Connection, error) {
	password, err := c.Database.Password.read(ctx, "connection "+c.Name, "password", env)
	if err != nil {
		return gateway.Connection{}, err
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
		if err := readableRoots(c.Name, d.SSLRootCert); err != nil {
			return gateway.Connection{}, err
		}
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
		if inner := errors.Unwrap(err); inner != nil {
			err = inner // without the text that it was parsed from
		}
		return gateway.Connection{}, tell(exitUsage, "check host, port, sslmode and sslrootcert, and the PG… variables of the gateway",
			"connection %s: its settings are refused: %s", c.Name, reason(err))
	}
	// Names are set as they are, not through the text, so that nothing in them can
	// add parameters.
	cfg.Database, cfg.User, cfg.Password = d.Name, d.User, password
	return gateway.Connection{Name: c.Name, Env: c.Env, Groups: c.Groups, Database: cfg}, nil
}

// readableRoots checks the file with the authorities of a database. "system" means
// those of the machine.
func readableRoots(connection, path string) error {
	if path == "system" {
		return nil
	}
	text, err := readFile(path, maxConfig)
	if err != nil {
		return tell(exitUsage, "check the path, and that the user of the gateway may read it", "connection %s: sslrootcert %s cannot be read: %s", connection, path, reason(err))
	}
	if !x509.NewCertPool().AppendCertsFromPEM([]byte(text)) {
		return tell(exitUsage, "it is a PEM file with the certificate of the authority", "connection %s: there is no certificate in sslrootcert %s", connection, path)
	}
	return nil
}

func local(host string) bool {
	return strings.HasPrefix(host, "/") || slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, host)
}
