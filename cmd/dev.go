package cmd

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
)

// devTTL is how long dev's own identities last; a day of trying out.
const devTTL = 24 * time.Hour

// devOptions are dev's flags.
type devOptions struct {
	dsn        string
	env        string
	port       int
	as         string
	groups     []string
	kind       string
	policy     string
	data       string
	noPassword bool
	verbose    bool
	durability string
	format     format
}

// devReady is what dev prints with -o json once it serves.
type devReady struct {
	Ready        bool   `json:"ready"`
	URL          string `json:"url"`
	Host         string `json:"host"`
	Port         int    `json:"port"`
	Database     string `json:"database"`
	Gateway      string `json:"gateway"`
	Data         string `json:"data"`
	Home         string `json:"home"`          // SLUICE_HOME of the caller
	ApproverHome string `json:"approver_home"` // SLUICE_HOME of someone who may approve
}

func (a *app) devCommand() *cobra.Command {
	var o devOptions
	c := &cobra.Command{
		Use: "dev --dsn URL", Short: "put the whole path in front of a database of your own, in one process", Args: noArgs,
		Long: `Put the whole path in front of a database of your own: tunnel, policy, approvals,
masking and record, in one process, to try out and to test with. State lies in a
temporary directory that is removed at the end, or in --data.`,
		Example: "  sluice dev --dsn postgres://me:secret@localhost/shop\n  sluice dev --dsn \"$DSN\" --as ci --kind job --env prod -o json",
		RunE:    func(c *cobra.Command, _ []string) error { return a.dev(c.Context(), &o) },
	}
	f := c.Flags()
	f.StringVar(&o.dsn, "dsn", "", "connection string of the database")
	f.StringVar(&o.env, "env", "", "what rules see as connection.env, for example prod")
	f.IntVar(&o.port, "port", 0, "local port; 0 takes a free one")
	f.StringVar(&o.as, "as", "dev", "who you are to Sluice")
	f.StringSliceVar(&o.groups, "groups", nil, "your groups")
	f.StringVar(&o.kind, "kind", "person", "person, job or agent")
	f.StringVar(&o.policy, "policy", "", "policy file, read again when it changes; without one the built-in policy applies")
	f.StringVar(&o.data, "data", "", "keep keys and record in this directory")
	f.BoolVar(&o.noPassword, "no-password", false, "let every program on this machine use the port")
	f.BoolVar(&o.verbose, "verbose", false, "log what happens to standard error")
	f.StringVar(&o.durability, "durability", "", "of the record: balanced or strict")
	addFormat(c, &o.format, "text", "json")
	return c
}

func (a *app) dev(ctx context.Context, o *devOptions) error {
	conn, err := devConnection(o.dsn, "dev", o.env)
	if err != nil {
		return err
	}
	who, err := devIdentity(o, a.now())
	if err != nil {
		return err
	}
	ln, err := listen(net.JoinHostPort("127.0.0.1", strconv.Itoa(o.port)), "choose another one with --port, or leave --port out")
	if err != nil {
		return err
	}
	defer ln.Close()
	dir, remove, err := dataDir(o.data)
	if err != nil {
		return err
	}
	defer remove()
	level := slog.LevelError
	if o.verbose {
		level = slog.LevelDebug
	}
	h, err := a.openHouse(ctx, houseConfig{
		dir: dir, hosts: []string{"127.0.0.1"}, connections: []gateway.Connection{conn}, policy: o.policy, durability: o.durability, log: a.err, level: level,
		base: gateway.Config{Admins: []string{"sluice-dev"}, Auditors: []string{"sluice-dev"}, Pseudonyms: []byte(rand.Text() + rand.Text())},
	})
	if err != nil {
		return err
	}
	return a.serveDev(ctx, o, h, conn, who, ln)
}

// serveDev runs gateway, tunnel and local port until ctx is done.
func (a *app) serveDev(ctx context.Context, o *devOptions, h *house, conn gateway.Connection, who identity.Identity, ln net.Listener) error {
	gln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, h.close())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if h.policy != nil { // the new one may ask other groups
		h.policy.taken = func() error { return a.admitApprover(h, gln.Addr().String()) }
	}
	served := make(chan error, 1) // one result, read below
	go func() { served <- h.serve(ctx, gln); cancel() }()
	err = a.forwardDev(ctx, o, h, conn, who, ln, gln.Addr().String())
	cancel()
	return errors.Join(err, <-served)
}

func (a *app) forwardDev(ctx context.Context, o *devOptions, h *house, conn gateway.Connection, who identity.Identity, ln net.Listener, addr string) error {
	caller := client.NewStore(filepath.Join(h.dir, "caller"), a.now)
	if err := errors.Join(h.admit(caller, addr, who, devTTL), a.admitApprover(h, addr)); err != nil {
		return err
	}
	gw, err := client.Open(ctx, caller, addr)
	if err != nil {
		return err
	}
	defer gw.Close()
	if err := h.gateway.Ready(ctx, conn.Name); err != nil {
		return err
	}
	var password, verifier string
	if !o.noPassword {
		password, verifier = client.NewPassword()
	}
	if err := a.printDev(o, h, conn, ln, addr, password); err != nil {
		return err
	}
	err = client.Forward(ctx, ln, func(ctx context.Context) (net.Conn, error) { return gw.Stream(ctx, conn.Name, verifier) }, h.log)
	if ctx.Err() != nil {
		return nil // Ctrl-C is how dev ends
	}
	return err
}

// admitApprover makes credentials of someone who may answer whatever the policy in
// force holds.
func (a *app) admitApprover(h *house, addr string) error {
	store := client.NewStore(filepath.Join(h.dir, "approver"), a.now)
	boss := identity.Identity{Subject: "approver", Email: "approver@dev", Kind: identity.Person, Method: "dev", Groups: append(h.gateway.Approvers(), "sluice-dev")}
	return h.admit(store, addr, boss, devTTL)
}

func (a *app) printDev(o *devOptions, h *house, conn gateway.Connection, ln net.Listener, addr, password string) error {
	port := ln.Addr().(*net.TCPAddr).Port
	u := url.URL{Scheme: "postgres", User: url.User("sluice"), Host: ln.Addr().String(), Path: "/" + conn.Database.Database, RawQuery: "sslmode=disable"}
	if password != "" {
		u.User = url.UserPassword("sluice", password)
	}
	r := devReady{
		Ready: true, URL: u.String(), Host: "127.0.0.1", Port: port, Database: conn.Database.Database, Gateway: addr, Data: h.dir,
		Home: filepath.Join(h.dir, "caller"), ApproverHome: filepath.Join(h.dir, "approver"),
	}
	if o.format.name == "json" {
		return json.NewEncoder(a.out).Encode(r)
	}
	_, err := fmt.Fprintf(a.out, `Sluice is in front of database %q. You are %s (%s). Ctrl-C ends it.

  psql '%s'

What waits for approval, as someone who may answer:

  SLUICE_HOME=%s sluice approvals
`, r.Database, o.as, o.kind, r.URL, r.ApproverHome)
	return err
}

// devConnection reads a connection string; "" means the PG* variables, as in psql.
func devConnection(dsn, name, env string) (gateway.Connection, error) {
	if dsn == "" {
		return gateway.Connection{}, usageError{errors.New("--dsn is missing: the connection string of a database")}
	}
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return gateway.Connection{}, tell(exitUsage, "write it as postgres://user:password@host:5432/database", "the connection string cannot be read")
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 10 * time.Second
	}
	return gateway.Connection{Name: name, Env: env, Groups: []string{gateway.Everyone}, Database: cfg}, nil
}

func devIdentity(o *devOptions, now time.Time) (identity.Identity, error) {
	kind := identity.Kind(o.kind)
	if !slices.Contains([]identity.Kind{identity.Person, identity.Job, identity.Agent}, kind) {
		return identity.Identity{}, usageError{fmt.Errorf("--kind is %q, must be person, job or agent", o.kind)}
	}
	who := identity.Identity{Subject: o.as, Groups: o.groups, Kind: kind, Method: "dev", Expires: now.Add(devTTL)}
	if strings.Contains(o.as, "@") {
		who.Email = o.as
	}
	return who, nil
}

// dataDir is dir, or a temporary directory that remove takes away.
func dataDir(dir string) (path string, remove func(), err error) {
	if dir != "" {
		return dir, func() {}, nil
	}
	path, err = os.MkdirTemp("", "sluice-dev-")
	if err != nil {
		return "", nil, fmt.Errorf("make a temporary directory: %w", err)
	}
	return path, func() { os.RemoveAll(path) }, nil
}
