package cmd

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/sluicehq/sluice/audit/export"
	"github.com/sluicehq/sluice/internal/howlong"
)

// exportConfig is a place to which the record is handed on.
type exportConfig struct {
	Name          string `yaml:"name"`          // of its cursor, so it must stay
	To            string `yaml:"to"`            // stdout, file:PATH, https://…, syslog+tls://HOST:PORT, syslog+tcp://, syslog+udp://, syslog+unix://PATH
	Format        string `yaml:"format"`        // json (default), ocsf, cef, otlp
	From          string `yaml:"from"`          // start (default) or now: where a new one begins
	Secret        secret `yaml:"secret"`        // of the signature of what is posted
	Authorization secret `yaml:"authorization"` // header of what is posted
	CA            string `yaml:"ca"`            // PEM file with who vouches for the other side
}

// exportName is what a file can be called everywhere.
var exportName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)

func (e exportConfig) check(s *sheet, path string) {
	if !exportName.MatchString(e.Name) {
		s.sayAt(path+".name", "name is %q, must be a word of lower-case letters, digits, - and _", short(e.Name, 40))
	}
	if e.From != "" && e.From != "start" && e.From != "now" {
		s.sayAt(path+".from", "from is %q, must be start or now", short(e.From, 40))
	}
	format := e.Format
	if format == "" {
		format = "json"
	}
	if e.To == "" {
		s.sayAt(path, "to is missing: where the record is to go, such as syslog+tls://logs.example.com:6514")
	} else if err := export.Check(e.To, format); err != nil {
		s.sayAt(path+".to", "%v", err)
	}
}

// exporter makes what the entry says, for the record in a data directory.
func (e exportConfig) exporter(ctx context.Context, dir string, env func(string) string, out io.Writer, log *slog.Logger) (*export.Exporter, error) {
	key, err := e.Secret.read(ctx, "export "+e.Name, "secret", env)
	if err != nil {
		return nil, err
	}
	auth, err := e.Authorization.read(ctx, "export "+e.Name, "authorization", env)
	if err != nil {
		return nil, err
	}
	cfg := export.Config{
		Name: e.Name, To: e.To, Format: e.Format, Record: filepath.Join(dir, "record"), Cursor: filepath.Join(dir, "exports", e.Name+".json"), FromNow: e.From == "now",
		Secret: []byte(key), Authorization: auth, Version: buildVersion(), Out: out, Log: log,
	}
	if cfg.Roots, err = e.roots(); err != nil {
		return nil, err
	}
	x, err := export.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("export %s: %w", e.Name, err)
	}
	return x, nil
}

// roots are who vouches for the other side; nil for those of the machine.
func (e exportConfig) roots() (*x509.CertPool, error) {
	if e.CA == "" {
		return nil, nil
	}
	text, err := readFile(e.CA, maxConfig)
	if err != nil {
		return nil, tell(exitUsage, "check the path, and that the user of the gateway may read it", "the ca of the export %s cannot be read: %s", e.Name, reason(err))
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(text)) {
		return nil, tell(exitUsage, "it is a PEM file with the certificate of the authority", "there is no certificate in the ca of the export %s", e.Name)
	}
	return pool, nil
}

// checkRecord finds what is wrong with all that is about the record.
func (c *gatewayConfig) checkRecord(s *sheet) {
	if d := c.Record.Durability; d != "" && !slices.Contains(durabilities, d) {
		s.sayAt("record.durability", "durability is %q, must be %s", short(d, 40), listed(durabilities))
	}
	if k := time.Duration(c.Record.Keep); k != 0 && k < minKeep {
		s.sayAt("record.keep", "keep is %s, must be a day at least", howlong.Text(k))
	}
	if m := c.Record.Literals; m != "" && !slices.Contains(literalModes, m) {
		s.sayAt("record.literals", "literals is %q, must be %s", short(m, 40), listed(literalModes))
	}
	for i, u := range c.Witness.URLs {
		if u, err := url.Parse(u); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			s.sayAt(fmt.Sprintf("witness.urls[%d]", i), "witness.urls has an entry that is no URL such as https://witness.example.com/checkpoint")
		}
	}
	if m := c.Metrics.Listen; m != "" && !isAddress(m) {
		s.sayAt("metrics.listen", "metrics.listen is %q, must be an address and a port such as 127.0.0.1:9187", short(m, 40))
	}
	seen := map[string]bool{}
	for i, e := range c.Exports {
		path := fmt.Sprintf("exports[%d]", i)
		e.check(s, path)
		if seen[e.Name] {
			s.sayAt(path+".name", "there are two exports called %q", short(e.Name, 40))
		}
		seen[e.Name] = true
	}
}
