package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/internal/demo"
	"github.com/sluicehq/sluice/internal/pgcluster"
)

// allowAll is a policy under which Sluice stands in nobody's way: what differs with
// it is the path itself.
const allowAll = `builtin: false
rules:
  - name: everything
    when: 'true'
    effect: allow
    unmask: [all]
    function_calls: [lo_creat, lo_create, lo_open, lo_close, loread, lowrite, lo_lseek, lo_lseek64, lo_tell, lo_tell64, lo_truncate, lo_truncate64, lo_unlink]
`

// tester is who runs the tests, as far as Sluice knows.
var tester = demo.User{Name: "Tess Ter", Email: "tess@conformance.example", Groups: []string{"testers"}}

// Side is one way to a database.
type Side struct {
	Name     string // "direct" or "through"
	Host     string
	Port     int
	User     string
	Password string
	Database string
}

// DSN is the connection string of the side's database.
func (s Side) DSN() string {
	user := url.User(s.User)
	if s.Password != "" {
		user = url.UserPassword(s.User, s.Password)
	}
	u := url.URL{Scheme: "postgres", User: user, Host: net.JoinHostPort(s.Host, strconv.Itoa(s.Port)), Path: "/" + s.Database, RawQuery: "sslmode=disable"}
	return u.String()
}

// World is a pair of databases that are made alike: one is reached directly, the
// other through sluice connect, a TLS tunnel and sluice gateway, each a process of
// its own, by somebody who logged in at an identity provider.
type World struct {
	Direct, Through Side
	ends            []func() error
}

// WorldConfig says what a suite needs.
type WorldConfig struct {
	Sluice   string            // the program
	Dir      string            // for the files of the processes
	Database string            // name on both sides
	Setup    []string          // SQL run on both databases as the superuser, directly
	Settings map[string]string // of both servers
}

// Open makes a world. The caller closes it, also after an error.
func Open(ctx context.Context, cfg WorldConfig) (*World, error) {
	w := &World{}
	direct, err := w.cluster(ctx, cfg)
	if err != nil {
		return w, err
	}
	behind, err := w.cluster(ctx, cfg)
	if err != nil {
		return w, err
	}
	w.Direct = Side{Name: "direct", Host: direct.Host, Port: direct.Port, User: direct.User, Password: direct.Password, Database: cfg.Database}
	gateway, fingerprint, issuer, err := w.gateway(ctx, cfg, behind)
	if err != nil {
		return w, err
	}
	home := []string{"SLUICE_HOME=" + filepath.Join(cfg.Dir, "home")}
	if err := logIn(ctx, cfg.Sluice, home, gateway, fingerprint, issuer); err != nil {
		return w, err
	}
	connect, err := run(ctx, home, cfg.Sluice, "connect", "db", "--no-password", "-o", "json")
	if err != nil {
		return w, err
	}
	w.ends = append(w.ends, connect.stop)
	line, err := connect.line(ctx, `"ready":true`)
	if err != nil {
		return w, err
	}
	var ready struct {
		Host string `json:"host"`
		Port int    `json:"port"`
	}
	if err := json.Unmarshal([]byte(line), &ready); err != nil {
		return w, fmt.Errorf("read what sluice connect said: %w", err)
	}
	w.Through = Side{Name: "through", Host: ready.Host, Port: ready.Port, User: behind.User, Database: cfg.Database}
	return w, nil
}

// Close ends everything, the last first.
func (w *World) Close() error {
	var errs []error
	for i := len(w.ends) - 1; i >= 0; i-- {
		errs = append(errs, w.ends[i]())
	}
	w.ends = nil
	return errors.Join(errs...)
}

func (w *World) cluster(ctx context.Context, cfg WorldConfig) (*pgcluster.Cluster, error) {
	c, err := pgcluster.Start(ctx, pgcluster.Config{Settings: cfg.Settings})
	if err != nil {
		return nil, err
	}
	w.ends = append(w.ends, c.Stop)
	if err := execute(ctx, c.DSN("postgres"), fmt.Sprintf("create database %q template template0", cfg.Database)); err != nil {
		return nil, err
	}
	for _, sql := range cfg.Setup {
		if err := execute(ctx, c.DSN(cfg.Database), sql); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func execute(ctx context.Context, dsn, sql string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return fmt.Errorf("prepare a database: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
		return fmt.Errorf("prepare a database: %.100s: %w", sql, err)
	}
	return nil
}

// gateway starts an identity provider and sluice gateway before c.
func (w *World) gateway(ctx context.Context, cfg WorldConfig, c *pgcluster.Cluster) (addr, fingerprint string, idp *demo.IDP, err error) {
	idp, err = demo.StartIDP(ctx, demo.Config{Users: []demo.User{tester}, ClientID: "sluice"})
	if err != nil {
		return "", "", nil, err
	}
	w.ends = append(w.ends, idp.Close)
	policy, config := filepath.Join(cfg.Dir, "policy.yaml"), filepath.Join(cfg.Dir, "gateway.yaml")
	text := fmt.Sprintf(`listen: 127.0.0.1:0
data: %s
policy: %s
oidc: {issuer: %s, client_id: sluice}
connections:
  - name: db
    groups: ["*"]
    database: {host: %s, port: %d, name: %s, user: %s, password: {env: DB_PASSWORD}, sslmode: disable}
`, filepath.Join(cfg.Dir, "data"), policy, idp.Issuer(), c.Host, c.Port, cfg.Database, c.User)
	if err := errors.Join(os.WriteFile(policy, []byte(allowAll), 0o600), os.WriteFile(config, []byte(text), 0o600)); err != nil {
		return "", "", nil, err
	}
	p, err := run(ctx, []string{"DB_PASSWORD=" + c.Password}, cfg.Sluice, "gateway", "--config", config)
	if err != nil {
		return "", "", nil, err
	}
	w.ends = append(w.ends, p.stop)
	serving, err := p.line(ctx, "serving 1 connections on ")
	if err != nil {
		return "", "", nil, err
	}
	shown, err := p.line(ctx, "fingerprint")
	return lastWord(serving), lastWord(shown), idp, err
}

// logIn takes the tester through sluice login; only the browser is played.
func logIn(ctx context.Context, sluice string, home []string, gateway, fingerprint string, idp *demo.IDP) error {
	p, err := run(ctx, home, sluice, "login", gateway, "--ca-pin", fingerprint, "--no-browser")
	if err != nil {
		return err
	}
	defer p.cancel()
	link, err := p.line(ctx, "http://127.0.0.1")
	if err != nil {
		return err
	}
	if err := idp.SignIn(tester.Email)(strings.TrimSpace(link)); err != nil {
		return err
	}
	_, err = p.line(ctx, "logged in as")
	return err
}

func lastWord(line string) string { return line[strings.LastIndex(line, " ")+1:] }
